"""How every script starts: arguments in, exit code out, bad input in one line.

Exit codes: 0 done, 1 failed (with a traceback), 2 bad input, 130 interrupted.
Results go to stdout, progress and errors to stderr.
"""

import contextlib
import dataclasses
import errno
import inspect
import io
import json
import os
import re
import sys
import textwrap
import typing
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import tyro

from mer_jax.errors import InputError, is_full_disk, nearest
from mer_jax.records import write_atomically

Arguments = TypeVar("Arguments")

FRAME = "╭╮╰╯│| "
RULE = "─-"


def run(
    main: Callable[[Arguments], int | None],
    arguments: type[Arguments] | Callable[[Sequence[str]], Arguments],
    argv: Sequence[str] | None = None,
) -> int:
    """Calls `main` with the parsed command line and returns the exit code.

    arguments: a dataclass, or a function from the command line to an instance of one (for
    flags that depend on the first argument; see `leading_name` and `parse`).
    Errors other than bad input, a full disk and an interrupt are left to the caller.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        parsed = parse(arguments, argv) if isinstance(arguments, type) else arguments(argv)
        return main(parsed) or 0
    except InputError as error:
        return _fail(str(error))
    except OSError as error:
        if error.errno == errno.EPIPE:  # the reader of our output left, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        if not is_full_disk(error):
            raise
        return _fail(f"the disk is full ({error}); free some space or write elsewhere with --out")
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)


def parse(
    arguments: type[Arguments],
    argv: Sequence[str],
    *,
    default: Arguments | None = None,
    description: str | None = None,
) -> Arguments:
    """The command line as an instance of `arguments`; flags override `default`.

    Raises InputError for an unknown option (with the nearest known one), a bad or missing
    value; SystemExit(0) after `--help`, which shows `description` (else the docstring) line
    for line.
    """
    given: dict[str, Any] = {} if default is None else {"default": default}
    shown, said = _held_output(), _held_output()
    try:
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(said):
            parsed, unknown = tyro.cli(
                arguments,
                args=list(argv),
                prog=program(),
                description=textwrap.indent(description or inspect.getdoc(arguments) or "", " "),
                return_unknown_args=True,
                **given,
            )
    except SystemExit as left:
        if not left.code:
            print(_tidied(_text(shown)))
            raise
        raise InputError(f"{_unframed(_text(said))} (see {program()} --help)") from None
    if unknown:
        about = _about_unknown(unknown, arguments if default is None else default)
        raise InputError(f"{about} (see {program()} --help)")
    return parsed


def leading_name(argv: Sequence[str], known: Collection[str], what: str) -> str | None:
    """The name the command line starts with; None where it starts with `--help` or `-h`.

    what: the kind of name, for the message ("corpus", "config"). Raises InputError where it
    is unknown or missing.
    """
    first = argv[0] if argv else ""
    if first in ("--help", "-h"):
        return None
    if first.startswith("-") or not first:
        raise InputError(
            f"the {what} comes first: {program()} {what.upper()} [options]; {nearest('', known)}"
        )
    if first not in known:
        raise InputError(f"{what} {first!r} is unknown; {nearest(first, known)}")
    return first


def data_dir_from_environment() -> Path | None:
    """The default of every `--data-dir`: the folder that MER_DATA names."""
    return Path(os.environ["MER_DATA"]) if os.environ.get("MER_DATA") else None


def write_json(path: Path | None, content: Any) -> None:
    """What `--json` asks for, whole or not at all; its folder is made. Nothing for None."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def program() -> str:
    """How the running script was called: `python -m experiments.train`."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return f"python -m {spec.name}" if spec else Path(sys.argv[0]).name


def _fail(message: str) -> int:
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return 2


def _about_unknown(unknown: Sequence[str], arguments: Any) -> str:
    option = next((token for token in unknown if token.startswith("-")), None)
    if option is None:
        return f"argument {unknown[0]!r} is one too many"
    option = option.partition("=")[0].replace("_", "-")
    suggestion = nearest(option, set(_options(arguments, "--"))).replace("'", "")
    return f"option {option} is unknown; {suggestion}"


def _options(arguments: Any, prefix: str) -> Iterator[str]:
    """Every flag of a dataclass or an instance of one, nested ones with dots."""
    cls = arguments if isinstance(arguments, type) else type(arguments)
    hints = typing.get_type_hints(cls, include_extras=True)
    for field in dataclasses.fields(arguments):
        name = prefix + field.name.replace("_", "-")
        value = hints[field.name] if isinstance(arguments, type) else getattr(arguments, field.name)
        if dataclasses.is_dataclass(value):
            unnamed = any(
                getattr(mark, "name", None) == "" for mark in typing.get_args(hints[field.name])[1:]
            )
            yield from _options(value, prefix if unnamed else f"{name}.")
        else:
            yield name


def _held_output() -> io.TextIOWrapper:
    """A stream in memory with the encoding of stdout, which decides how tyro draws."""
    return io.TextIOWrapper(io.BytesIO(), encoding=sys.stdout.encoding or "utf-8", newline="")


def _text(stream: io.TextIOWrapper) -> str:
    stream.seek(0)
    return stream.read()


def _tidied(help_text: str) -> str:
    """Help without the indent that keeps its lines apart and the blank lines it costs."""
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"(?m)^ ", "", help_text)).strip()


def _unframed(box: str) -> str:
    """The first message in the box tyro draws, in one line."""
    lines = [line.strip(FRAME) for line in box.splitlines()]
    rules = [i for i, line in enumerate(lines) if line and (not line.strip(RULE) or RULE[0] in line)]
    inner = lines[rules[0] + 1 : rules[1]] if len(rules) > 1 else lines
    return " ".join(line for line in inner if line).rstrip(".")
