"""Every results table of README.md and BENCHMARKS.md, made again.

    python -m experiments.results --data-dir DATA        (make results DATA=DATA)
    python -m experiments.results mosi generated         (some of them)

Prepares what is not prepared, trains what is not trained (finished runs of the same
configuration, data and code are used as they are) and writes each table, with its command,
commit, device, versions and duration, between the marks `<!-- results:NAME -->` and
`<!-- /results:NAME -->` of the two files. A real set that is not below the data directory is
left out, in words, and its old table stays.
"""

import dataclasses
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tyro

from experiments import prepare_data
from experiments.command import data_dir_from_environment, parse, run
from experiments.studies import BENCHMARKS, CEILING, DATA, STUDIES, VECTORS, Benchmark, Study
from mer_jax.data.corpus import load
from mer_jax.errors import InputError, nearest
from mer_jax.evaluation.ceiling import human_ceiling
from mer_jax.evaluation.protocol import Protocol, ProtocolConfig
from mer_jax.records import write_atomically
from mer_jax.training.host_memory import keep_freed_memory
from mer_jax.training.run_folder import provenance, read_json

ROOT = Path(__file__).parents[1]
FILES = ("BENCHMARKS.md", "README.md")
SHOWN_VERSIONS = ("python", "jax", "flax", "optax", "numpy", "scikit-learn")


@dataclasses.dataclass(frozen=True)
class Args:
    """Flags of `results`.

    Args:
        names: of the tables to make; none: all.
        out: where run folders lie.
        prepared: where prepared corpora lie.
        data_dir: raw data of the real sets; default MER_DATA.
        torch_python: an interpreter with torch, for the benchmarks of steps, attention, the decoder
            and the memory; empty: without.
        vectors: word vectors (GloVe 6B 50-d), for the table of emotions from words; empty: without it.
    """

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    out: Path = Path("runs")
    prepared: Path = Path("prepared")
    data_dir: Path | None = dataclasses.field(default_factory=data_dir_from_environment)
    torch_python: str = ""
    vectors: str = ""


def main(args: Args) -> int:
    """Each study, each benchmark, then the summary."""
    keep_freed_memory()
    known = [*(study.name for study in STUDIES), CEILING.name, *BENCHMARKS]
    for name in args.names:
        if name not in known:
            raise InputError(f"table {name!r} is unknown; {nearest(name, known)}")
    wanted = set(args.names or known)
    started, left_out = time.perf_counter(), []
    for study in STUDIES:
        if study.name in wanted and not at_hand(study, args):
            left_out.append(study.name)
        elif study.name in wanted:
            put(study.name, timed(lambda study=study: comparison(study, args)))
    for name, one in BENCHMARKS.items():
        if name in wanted and one.needs and not raw(one, args):
            left_out.append(name)
        elif name in wanted:
            put(name, timed(lambda name=name, one=one: benchmark(name, one, args)))
    if "ceiling" in wanted and not at_hand(CEILING, args):
        left_out.append("ceiling")
    elif "ceiling" in wanted:
        put("ceiling", timed(lambda: ceiling(args)))
    put("summary", summary(args))
    if left_out:
        print(
            f"left out, because data they read are missing (raw sets below --data-dir, --vectors): {', '.join(left_out)}",
            file=sys.stderr,
        )
    print(f"README.md and BENCHMARKS.md written, {(time.perf_counter() - started) / 60:.1f} min")
    return 0


def at_hand(study: Study, args: Args) -> bool:
    """Whether what the study needs is prepared or can be."""
    if any(VECTORS in system for system in study.systems) and not args.vectors:
        return False
    return (args.prepared / (study.corpus or study.name)).exists() or not study.needs or raw(study, args)


def raw(needing: Study | Benchmark, args: Args) -> bool:
    """Whether the folder that is needed is there, which may lie outside the data directory."""
    return ((args.data_dir or Path()) / needing.needs).exists()


def comparison(study: Study, args: Args) -> str:
    """Prepares the corpus where it is not yet, compares, and gives the section's text."""
    corpus = study.corpus or study.name
    prepare = ["generated", "--name", corpus, *study.options] if not study.needs else [corpus]
    said = []
    if study.options or not (args.prepared / corpus).exists():
        said.append(shown("prepare_data", prepare, study))
    if not (args.prepared / corpus).exists():
        source = ["--data-dir", str(args.data_dir)] if study.needs else []
        prepare_data.main(prepare_data.parse([*prepare, *source, "--out", str(args.prepared)]))
    argv = [corpus, *study.systems, "--seeds", str(study.seeds)]
    argv += ["--metric", study.metric] if study.metric else []
    argv += ["--name", f"compare-{study.name}"]
    places = ["--out", str(args.out), "--prepared", str(args.prepared)]
    given = [word.replace(VECTORS, args.vectors) for word in argv]
    study.script.main(parse(study.script.Args, [*given, *places]))
    table = (args.out / f"compare-{study.name}" / "table.md").read_text()
    name = study.script.__name__.rpartition(".")[2]
    return "\n".join(["```sh", *said, shown(name, argv, study), "```", "", table])


def ceiling(args: Args) -> str:
    """How often people meet CREMA-D's intended emotion."""
    if not (args.prepared / CEILING.corpus).exists():
        prepare_data.main(
            prepare_data.parse(
                [CEILING.corpus, "--data-dir", str(args.data_dir), "--out", str(args.prepared)]
            )
        )
    corpus = load(CEILING.corpus, args.prepared)
    protocol = Protocol.bind(ProtocolConfig(), corpus)
    conditions = np.array([name.rpartition("/")[2] for name in corpus.column("id")])
    lines = [
        f"```sh\npython -m experiments.results {CEILING.name} --data-dir DATA\n```",
        "",
        "| condition | clips | annotators a clip | majority vote | one annotator |",
        "|---|---|---|---|---|",
    ]
    for condition in ("voice", "face", "both"):
        (found,) = human_ceiling(corpus, protocol, np.flatnonzero(conditions == condition)).values()
        accuracies = (f"{found[kind]['accuracy']:.3f}" for kind in ("majority_vote", "one_annotator"))
        lines.append(
            f"| {condition} | {found['n']:,} | {found['annotators']:.1f} | {' | '.join(accuracies)} |"
        )
    return "\n".join(lines)


def benchmark(name: str, one: Benchmark, args: Args) -> str:
    """Runs a benchmark in a process of its own, which nothing before it has touched, and gives its table."""
    path, said = args.out / f"{name}.json", ["-m", one.script.__name__, *one.argv]
    given = [word.replace(DATA, str(args.data_dir)) for word in said]
    if one.torch and args.torch_python:
        given += ["--torch-python", args.torch_python]
        said += ["--torch-python", "PYTHON_WITH_TORCH"]
    if one.corpus:
        given += ["--prepared", str(args.prepared), "--data-dir", str(args.data_dir)]
        said += ["--data-dir", "DATA"]
    done = subprocess.run([sys.executable, *given, "--json", str(path)], check=False)
    if done.returncode:
        raise InputError(f"python {' '.join(said)} failed with exit code {done.returncode}")
    return f"```sh\npython {' '.join(said)}\n```\n\n{one.script.markdown(json.loads(path.read_text()))}"


def shown(script: str, argv: Sequence[str], study: Study) -> str:
    """A command as a reader would type it."""
    data = " --data-dir DATA" if study.needs else ""
    return f"python -m experiments.{script} {' '.join(argv)}{data}"


def timed(make: Callable[[], str]) -> str:
    """The section's text with commit, device, versions and duration."""
    started = time.perf_counter()
    text = make()
    seconds, record = time.perf_counter() - started, provenance()
    versions = ", ".join(f"{name} {record['versions'][name]}" for name in SHOWN_VERSIONS)
    spent = f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
    return f"{text}\n\n<sub>commit {record['commit'] or 'unknown'}; {record['device']}; {versions}; this table took {spent}</sub>"


def summary(args: Args) -> str:
    """The README's table: the best of each study, beside its floor, from the comparisons at hand;
    other studies keep their row."""
    lines = [
        "| data | systems compared, seeds | best | linear floor | what the data support |",
        "|---|---|---|---|---|",
    ]
    old = [
        row for file in FILES for found in marked("summary").findall(read(file)) for row in found.splitlines()
    ]
    rows = {
        row.split("|")[1].strip().removesuffix(" (GENERATED)"): row for row in old if row.startswith("| ")
    }
    for study in sorted(STUDIES, key=lambda study: not study.needs):  # real data first
        path, shown_as = args.out / f"compare-{study.name}" / "comparison.json", study.name.replace("_", " ")
        if study.name == "recipe":
            continue
        if not path.exists():
            lines += [rows[shown_as]] if shown_as in rows else []
            continue
        content = read_json(path)
        best, metric = content["rows"][0], content["metric"].replace("_", " ")
        spread = "" if best["sd"] is None else f" ± {best['sd']:.3f}"
        data = f"{shown_as}{' (GENERATED)' if content['generated'] else ''}"
        sentence = content["verdict"].split(". ")[0].removesuffix(".")
        lines.append(
            f"| {data} | {len(content['rows'])}, {best['n']} | {best['name']}: {metric} {best['mean']:.3f}{spread} "
            f"| {best['linear']:.3f} | {sentence} |"
        )
    return "\n".join(lines)


def put(name: str, text: str) -> None:
    """Replaces what stands between the marks of `name`, in every file that has them."""
    found = False
    for file in FILES:
        before = read(file)
        after, count = marked(name).subn(lambda _: f"\n{text.strip()}\n", before)
        found = found or bool(count)
        if after != before:
            write_atomically(ROOT / file, after.encode())
    if not found:
        raise InputError(f"neither {' nor '.join(FILES)} has the marks <!-- results:{name} -->")


def read(file: str) -> str:
    """One of FILES, its line ends as they are."""
    return (ROOT / file).read_bytes().decode()


def marked(name: str) -> re.Pattern[str]:
    """What stands between the marks of `name`."""
    return re.compile(f"(?<=<!-- results:{name} -->).*?(?=<!-- /results:{name} -->)", re.DOTALL)


if __name__ == "__main__":
    sys.exit(run(main, Args))
