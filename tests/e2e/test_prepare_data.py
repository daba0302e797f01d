import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import command, prepare_data
from mer_jax.data.corpus import load
from tests.data.test_builders_folder import FILES, frames, write_raw


def launch(*argv, **environment):
    """The script as a stranger runs it."""
    return subprocess.run(
        [sys.executable, "-m", "experiments.prepare_data", *map(str, argv)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
    )


def run(*argv):
    """The same in this process: quicker."""
    return command.run(prepare_data.main, prepare_data.parse, [str(a) for a in argv])


def one_error_line(capsys):
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("preparing")]
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


def test_a_folder_becomes_a_corpus_with_its_description(tmp_path):
    source = write_raw(tmp_path / "mine", **FILES)
    done = launch(
        "folder", "--data-dir", source, "--out", tmp_path / "out", "--json", tmp_path / "x" / "d.json"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mine: A corpus read from the folder mine.")
    assert "Modalities" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr.splitlines() == ["preparing folder ...", f"prepared {tmp_path / 'out' / 'mine'}"]
    assert len(load("mine", tmp_path / "out")) == 2
    described = json.loads((tmp_path / "out" / "mine" / "doctor.json").read_text())
    assert described == json.loads((tmp_path / "x" / "d.json").read_text())
    assert described["splits"][0]["utterances"] == 1


def test_bad_input_ends_with_one_line_and_code_2(tmp_path):
    failed = launch("mosi", "--out", tmp_path / "out", MER_DATA=str(tmp_path / "nowhere"))
    assert (failed.returncode, failed.stdout) == (2, "")
    progress, error = failed.stderr.splitlines()
    assert progress == "preparing mosi ..."
    assert "mosi_trimodal.npz does not exist; pass --data-dir (or set MER_DATA)" in error


def test_nan_stops_unless_it_is_to_be_zero(tmp_path, capsys):
    source = write_raw(tmp_path / "mine", "id\na\n", a={"audio": frames(3, 2, float("nan"))})
    argv = ("folder", "--data-dir", source, "--out", tmp_path / "out")
    assert run(*argv) == 2
    assert "6 NaN and 0 infinite values in 1 utterance, the first 'a'" in one_error_line(capsys)
    assert list((tmp_path / "out").iterdir()) == []
    assert run(*argv, "--nan", "zero") == 0
    assert "6 non-finite values of audio in all were stored as 0" in capsys.readouterr().out


def test_a_corpus_is_kept_unless_overwritten_or_renamed(tmp_path, capsys):
    source = write_raw(tmp_path / "mine", **FILES)
    argv = ("folder", "--data-dir", source, "--out", tmp_path / "out")
    assert run(*argv) == 0
    capsys.readouterr()
    assert run(*argv) == 2
    assert "pass --overwrite to build it anew or --name to keep both" in one_error_line(capsys)
    assert run(*argv, "--overwrite") == 0
    assert run(*argv, "--name", "other") == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["mine", "other"]


def test_double_ids_stop(tmp_path, capsys):
    source = write_raw(tmp_path / "mine", "id\na\na\n", a={"audio": frames(3, 2)})
    assert run("folder", "--data-dir", source, "--out", tmp_path / "out") == 2
    assert "duplicate ids: Not unique: 1 id, 'a'" in one_error_line(capsys)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ((), "the corpus comes first"),
        (("--data-dir", "x", "mosi"), "the corpus comes first"),
        (("mossi",), "corpus 'mossi' is unknown; did you mean 'mosi'?"),
        (("mosi", "--otu", "x"), "option --otu is unknown; did you mean --out?"),
        (
            ("folder", "--options.manifets=x"),
            "option --options.manifets is unknown; did you mean --options.manifest?",
        ),
        (("mosi", "--nan", "zro"), "invalid choice 'zro' for argument '--nan'"),
        (("mosi", "meld"), "argument 'meld' is one too many"),
        (("mosi", "--out"), "Missing value for argument '--out'"),
        (
            ("meld", "--data-dir", "x", "--nan", "zero"),
            "--nan zero is for feature files, and meld reads none",
        ),
        (("mosi", "--data-dir", "x", "--name", "a/b"), "--name 'a/b' is not a plain name"),
    ],
)
def test_a_bad_command_line_is_one_line_with_the_remedy(capsys, argv, said):
    assert run(*argv) == 2
    assert said in one_error_line(capsys)


def test_without_a_data_folder_the_variable_is_named(monkeypatch, capsys):
    monkeypatch.delenv("MER_DATA", raising=False)
    assert run("mosi") == 2
    assert "pass --data-dir or set MER_DATA" in one_error_line(capsys)


def test_help_teaches_and_shows_the_options_of_the_corpus(capsys):
    assert run("--help") == 0
    general = capsys.readouterr().out
    assert "python -m experiments.prepare_data mosi --data-dir" in general
    assert "crema_d_votes" in general
    assert run("folder", "--help") == 0
    assert "--options.manifest" in capsys.readouterr().out


def raising(error):
    def main(arguments):
        raise error

    return command.run(main, prepare_data.parse, ["mosi"])


def test_exit_codes_of_other_ends(capsys):
    assert raising(KeyboardInterrupt()) == 130
    capsys.readouterr()
    assert raising(OSError(errno.ENOSPC, "No space left on device")) == 2
    assert "the disk is full" in one_error_line(capsys)
    with pytest.raises(FileNotFoundError):
        raising(FileNotFoundError(errno.ENOENT, "gone"))
    with pytest.raises(ZeroDivisionError):
        raising(ZeroDivisionError())
