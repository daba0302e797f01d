"""The tables of README.md and BENCHMARKS.md: where they stand, and what is left as it was."""

import json
import re
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from experiments import benchmark_significance, compare, prepare_data, results
from experiments.command import parse, run
from experiments.studies import BENCHMARKS, CEILING, STUDIES, Benchmark, Study
from mer_jax.errors import InputError
from mer_jax.evaluation.comparison_tables import markdown
from tests.evaluation.contenders import compared

REPOSITORY = Path(__file__).parents[2]
NAMES = (*(study.name for study in STUDIES), CEILING.name, *BENCHMARKS)
MARKS = re.compile(r"<!-- (/?)results:(\w+) -->")
BEHIND = "# Títle\r\n\r\nA word.\r\n"
BENCHMARK_PAGE = (
    "before  \n<!-- results:mosi -->\nthe old table of mosi\n<!-- /results:mosi -->\n\n"
    "<!-- results:tiny --><!-- /results:tiny -->\tafter"
)
README = f"{BEHIND}<!-- results:summary -->\nnothing yet\n<!-- /results:summary -->\n{BEHIND}"


def marks(file):
    return MARKS.findall((REPOSITORY / file).read_text(encoding="utf-8"))


@pytest.fixture
def pages(tmp_path, monkeypatch):
    """A folder in place of the repository, with two pages."""
    (tmp_path / "BENCHMARKS.md").write_bytes(BENCHMARK_PAGE.encode())
    (tmp_path / "README.md").write_bytes(README.encode())
    monkeypatch.setattr(results, "ROOT", tmp_path)
    return tmp_path


def page(folder, name="BENCHMARKS.md"):
    return (folder / name).read_bytes().decode()


@pytest.fixture
def made(pages, capsys):
    """Calls `results`; raw data and prepared corpora are below the pages' folder."""

    def call(*argv):
        capsys.readouterr()
        places = [f"--{place}={pages / place}" for place in ("out", "prepared", "data-dir")]
        code = run(results.main, results.Args, [*argv, *places])
        return code, capsys.readouterr()

    return call


def test_every_table_has_its_place_and_every_place_its_table():
    assert len(set(NAMES)) == len(NAMES)
    assert "summary" not in NAMES
    found = marks("BENCHMARKS.md")
    assert sorted(found) == sorted((slash, name) for name in NAMES for slash in ("", "/"))
    assert [slash for slash, _ in found] == ["", "/"] * len(NAMES), "marks are nested or out of order"
    assert [name for _, name in found[::2]] == [name for _, name in found[1::2]]
    assert marks("README.md") == [("", "summary"), ("/", "summary")]


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_studys_systems_are_ones_that_can_be_compared(study):
    corpus = study.corpus or study.name
    systems = study.script.systems(parse(study.script.Args, [corpus, *study.systems]))
    assert {system.experiment.data.corpus for system in systems} == {corpus}
    assert len({system.name for system in systems}) == len({s.stem for s in systems}) == len(systems)
    assert len({json.dumps(s.experiment.to_json()) for s in systems}) == len(systems)
    assert len({s.experiment.protocol for s in systems}) == 1
    assert study.seeds >= 3


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_studys_corpus_can_be_prepared_and_its_command_be_typed(study):
    corpus = study.corpus or study.name
    prepare = [corpus] if study.needs else ["generated", "--name", corpus, *study.options]
    asked = prepare_data.parse(prepare)
    assert (asked.name or asked.corpus) == corpus
    argv = [
        corpus,
        *study.systems,
        "--seeds",
        str(study.seeds),
        *(["--metric", study.metric] * bool(study.metric)),
    ]
    args = parse(study.script.Args, results.shown("compare", argv, study).split()[3:])
    assert (args.corpus, args.seeds, args.metric) == (corpus, study.seeds, study.metric)
    if study.script is compare:
        assert args.systems == study.systems


def test_put_replaces_what_is_between_the_marks_and_keeps_every_other_byte(pages):
    results.put("mosi", "\n| a | \\1 \\g<0> |\n\n")
    changed = BENCHMARK_PAGE.replace("the old table of mosi", "| a | \\1 \\g<0> |")
    assert page(pages) == changed
    assert page(pages, "README.md") == README
    results.put("tiny", "new")
    results.put("summary", "Größe")
    assert page(pages) == changed.replace(":tiny --><", ":tiny -->\nnew\n<")
    assert page(pages, "README.md") == README.replace("nothing yet", "Größe")


def test_put_writes_every_place_of_that_name(pages):
    (pages / "README.md").write_bytes(BENCHMARK_PAGE.encode())
    results.put("mosi", "new")
    assert page(pages) == page(pages, "README.md") == BENCHMARK_PAGE.replace("the old table of mosi", "new")


def test_put_twice_is_put_once(pages):
    results.put("mosi", "new")
    before = page(pages), (pages / "BENCHMARKS.md").stat().st_mtime_ns
    results.put("mosi", "new")
    assert (page(pages), (pages / "BENCHMARKS.md").stat().st_mtime_ns) == before


@pytest.mark.parametrize("name", ["mmmo", "mos", "MOSI", ""])
def test_put_refuses_marks_that_are_not_there(pages, name):
    with pytest.raises(InputError, match=f"has the marks <!-- results:{name} -->"):
        results.put(name, "new")
    assert (page(pages), page(pages, "README.md")) == (BENCHMARK_PAGE, README)


def test_put_refuses_a_mark_without_its_end(pages):
    (pages / "BENCHMARKS.md").write_text("<!-- results:mosi -->\nall the rest of the page\n")
    with pytest.raises(InputError, match="has the marks"):
        results.put("mosi", "new")
    assert page(pages) == "<!-- results:mosi -->\nall the rest of the page\n"


def test_an_unknown_table_suggests_the_nearest_and_nothing_is_made(made, pages):
    code, said = made("mossi")
    assert (code, said.err.strip()) == (2, "error: table 'mossi' is unknown; did you mean 'mosi'?")
    assert (page(pages), page(pages, "README.md")) == (BENCHMARK_PAGE, README)


def test_without_its_raw_data_a_study_is_left_out_in_words_and_keeps_its_table(made, pages):
    code, said = made("mosi", "ceiling")
    assert code == 0
    assert (
        "left out, because data they read are missing (raw sets below --data-dir, --vectors): mosi, ceiling"
        in said.err
    )
    assert page(pages) == BENCHMARK_PAGE
    assert not (pages / "out").exists()
    assert not (pages / "prepared").exists()


@pytest.fixture
def compared_already(pages, monkeypatch):
    """A comparison whose runs are not needed: notes the arguments and leaves comparison.json."""
    calls = []

    def leave(args):
        calls.append(args)
        folder = args.out / args.name
        folder.mkdir(parents=True)
        (folder / "comparison.json").write_text(json.dumps(compared()[0]))
        (folder / "table.md").write_text(markdown(compared()[0]))

    monkeypatch.setattr(compare, "main", leave)
    monkeypatch.setattr(prepare_data, "main", lambda args: calls.append(args))
    return calls


TINY = Study(
    "tiny", ("early_fusion_generated", "unimodal_generated:seed=3"), 4, needs="raw", metric="macro_f1"
)


def test_a_studys_section_is_command_table_and_where_it_was_made(made, pages, monkeypatch, compared_already):
    monkeypatch.setattr(results, "STUDIES", (TINY,))
    monkeypatch.setattr(prepare_data, "parse", lambda argv: argv)
    (pages / "data-dir" / "raw").mkdir(parents=True)
    code, said = made("tiny")
    assert code == 0, said.err
    prepared, called = compared_already
    assert prepared == ["tiny", "--data-dir", str(pages / "data-dir"), "--out", str(pages / "prepared")]
    assert (called.corpus, called.systems) == ("tiny", TINY.systems)
    assert (called.seeds, called.metric, called.name) == (4, "macro_f1", "compare-tiny")
    assert (called.out, called.prepared) == (pages / "out", pages / "prepared")
    section = page(pages).partition("<!-- results:tiny -->\n")[2].partition("\n<!-- /results:tiny -->")[0]
    assert section.startswith(
        "```sh\npython -m experiments.prepare_data tiny --data-dir DATA\n"
        "python -m experiments.compare tiny early_fusion_generated unimodal_generated:seed=3 --seeds 4 "
        "--metric macro_f1 --name compare-tiny --data-dir DATA\n```\n"
    )
    content = compared()[0]
    assert markdown(content).strip() in section
    provenance = section.splitlines()[-1]
    assert re.fullmatch(
        r"<sub>commit \S+; .+ cores; python 3\.\S+, jax .+; this table took \d.*</sub>", provenance
    )
    assert str(pages) not in page(pages)
    best = content["rows"][0]
    assert (
        f"| tiny (GENERATED) | 3, 2 | {best['name']}: accuracy {best['mean']:.3f} ± {best['sd']:.3f} |"
        in page(pages, "README.md")
    )


def test_a_summary_keeps_the_rows_of_what_is_not_at_hand(made, pages, monkeypatch, compared_already):
    """Raw data that are not here today do not take yesterday's row from the README."""
    old = ["| mosi | 5, 10 | old |", "| by speaker (GENERATED) | 1, 3 | old |", "| gone | 1, 1 | old |"]
    readme = README.replace("nothing yet", "\n".join(["| data | best |", "|---|---|", *old]))
    (pages / "README.md").write_bytes(readme.encode())
    monkeypatch.setattr(
        results, "STUDIES", (Study("mosi", (), 3, needs="m"), TINY, Study("by_speaker", (), 3))
    )
    (pages / "prepared" / "tiny").mkdir(parents=True)
    code, said = made("tiny", "mosi")
    assert code == 0, said.err
    assert "--vectors): mosi" in said.err
    table = page(pages, "README.md").partition("results:summary -->\n")[2].partition("\n<!--")[0].splitlines()
    assert [table[2], table[4]] == old[:2]
    assert table[3].startswith("| tiny (GENERATED) |")
    assert len(table) == 5


def test_a_benchmark_that_fails_is_named(made, pages, monkeypatch):
    monkeypatch.setattr(
        results, "BENCHMARKS", {"tiny": Benchmark(benchmark_significance, ("--no-such-flag",))}
    )
    code, said = made("tiny")
    assert code == 2
    assert "-m experiments.benchmark_significance --no-such-flag failed with exit code 2" in said.err
    assert page(pages) == BENCHMARK_PAGE


def test_a_benchmark_reads_below_the_data_directory_and_says_so_without_its_path(made, pages, monkeypatch):
    monkeypatch.setattr(results, "BENCHMARKS", {"tiny": BENCHMARKS["digits"]})
    called = []
    monkeypatch.setattr(
        results.subprocess, "run", lambda argv, check: called.append(argv) or CompletedProcess(argv, 1)
    )
    (pages / "data-dir" / "mnist").mkdir(parents=True)
    code, said = made("tiny")
    assert code == 2
    assert str(pages / "data-dir" / "mnist") in called[0]
    assert "--images DATA/mnist --held-out test failed" in said.err


def test_a_benchmark_whose_files_are_missing_is_left_out(made, pages, monkeypatch):
    monkeypatch.setattr(
        results, "BENCHMARKS", {"tiny": Benchmark(benchmark_significance, needs="no_such_folder")}
    )
    code, said = made("tiny")
    assert code == 0
    assert "--vectors): tiny" in said.err
    assert page(pages) == BENCHMARK_PAGE
