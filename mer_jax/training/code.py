"""Which source files a run depends on, so that a changed file reruns only what it touches.

Imports are read, not run: `import` and `from` statements anywhere in a file, those inside
functions and `if TYPE_CHECKING` too. What is imported by a name made at run time
(`importlib.import_module`) is not seen and has to be named as a root.
"""

import ast
import dataclasses
import functools
import hashlib
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from mer_jax.errors import InputError

PACKAGES = ("mer_jax", "kernels", "experiments")
ROOT = Path(__file__).parents[2]

NOT_TRAINING = (
    # They make or examine a prepared corpus; its content hash stands for what they did. The code
    # that reads it back (builders.base) is a root of its own below.
    "mer_jax.data.builders",
    "mer_jax.data.builders.*",
    "mer_jax.data.simulation",
    "mer_jax.data.simulation.*",
    "mer_jax.data.doctor",
    "mer_jax.data.doctor.*",
    # The audit before training: it reads, prints and may stop a run, and changes nothing.
    "mer_jax.evaluation.leakage",
    "mer_jax.evaluation.learned_features",
    "mer_jax.evaluation.duplicates",
    "mer_jax.evaluation.findings",
    # What a person sees while it trains, and the command line.
    "mer_jax.training.progress",
    "mer_jax.training.tensorboard",
    "experiments.command",
    "experiments.printing",
)


def training_roots(system_module: str) -> tuple[str, ...]:
    """The modules a trained model and its predictions start from; `system_module` is the
    system's, such as `mer_jax.models.unimodal`. To be read with `exclude=NOT_TRAINING`."""
    return (
        system_module,
        "mer_jax.training.loop",
        "mer_jax.training.predicting",
        "mer_jax.data.builders.base",
        "experiments.setup",
        "experiments.experiment",
    )


def scoring_roots() -> tuple[str, ...]:
    """The modules that turn predictions into scores, floors and what is said beside votes."""
    return (
        "mer_jax.evaluation.scoring",
        "mer_jax.evaluation.floors",
        "mer_jax.evaluation.soft_metrics",
        "mer_jax.evaluation.ceiling",
    )


def training_code(system_module: str, root: Path = ROOT) -> str:
    """`code_hash` of all that can change a trained model, given the prepared corpus."""
    return code_hash(training_roots(system_module), NOT_TRAINING, root)


def scoring_code(root: Path = ROOT) -> str:
    """`code_hash` of all that can change a score, given the predictions and the corpus."""
    return code_hash(scoring_roots(), root=root)


def code_hash(roots: Sequence[str], exclude: Sequence[str] = (), root: Path = ROOT) -> str:
    """16 hex digits over the path and the code of every file of `sources`.

    Comments, docstrings and formatting do not count. The same on every machine and Python.
    """
    sha = hashlib.sha256()
    for path in sources(roots, exclude, root):
        sha.update(f"{path.relative_to(root).as_posix()} {_read(path).digest}\n".encode())
    return sha.hexdigest()[:16]


def sources(roots: Sequence[str], exclude: Sequence[str] = (), root: Path = ROOT) -> list[Path]:
    """The files of the modules `roots` and of all they import, directly or not, in order of path.

    Only packages of `PACKAGES` below `root` count; a module brings the `__init__` of each package
    it lies in. A module that matches a pattern of `exclude` is left out, with what only it
    imports, unless it is a root itself. Raises InputError where a module does not exist or a
    file is no Python.
    """
    found: dict[str, Path] = {}
    waiting = [name for module in roots for name in _with_packages(module, root, "the roots name")]
    while waiting:
        name = waiting.pop()
        excluded = name not in roots and any(fnmatchcase(name, pattern) for pattern in exclude)
        path = _file(name, root)
        if name not in found and not excluded and path is not None:
            found[name] = path
            waiting += _imports(name, path, root)
    return sorted(found.values(), key=lambda path: path.relative_to(root).as_posix())


def _imports(name: str, path: Path, root: Path) -> Iterator[str]:
    """Modules that the module `name` imports, with the packages they lie in."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for level, target, names in _read(path).imports:
        module = _absolute(level, target, package)
        if module.partition(".")[0] not in PACKAGES:
            continue
        yield from _with_packages(module, root, f"{path} imports")
        for inner in names:
            if _file(f"{module}.{inner}", root):
                yield f"{module}.{inner}"


def _absolute(level: int, target: str, package: str) -> str:
    if not level:
        return target
    above = package.split(".")[: package.count(".") + 2 - level]
    return ".".join([*above, *filter(None, [target])])


def _with_packages(module: str, root: Path, because: str) -> Iterator[str]:
    if _file(module, root) is None and not root.joinpath(*module.split(".")).is_dir():
        raise InputError(f"{because} {module}, which is not below {root}; correct the name")
    parts = module.split(".")
    yield from (".".join(parts[: n + 1]) for n in range(len(parts)))


def _file(module: str, root: Path) -> Path | None:
    """The module's file, as Python would find it; None where there is none."""
    path = root.joinpath(*module.split("."))
    candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


@dataclasses.dataclass(frozen=True)
class _Source:
    """What one file says. imports: (level, module, names). digest: of its code."""

    imports: tuple[tuple[int, str, tuple[str, ...]], ...]
    digest: str


def _read(path: Path) -> _Source:
    try:
        return _parsed(path.read_bytes())
    except SyntaxError as error:
        raise InputError(f"{path}, line {error.lineno}: {error.msg}; correct the file") from error


@functools.cache
def _parsed(content: bytes) -> _Source:
    tree = ast.parse(content)
    imports: list[tuple[int, str, tuple[str, ...]]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imports += [(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            imports.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return _Source(tuple(imports), hashlib.sha256(canonical(tree).encode()).hexdigest())


def canonical(value: object) -> str:
    """A syntax tree in ASCII, equal for equal code: without strings that stand alone (docstrings),
    `u` prefixes, and what Python versions differ in (empty fields, empty pieces of f-strings)."""
    if isinstance(value, list):
        return f"[{','.join(canonical(item) for item in value if not _is_lone_string(item))}]"
    if not isinstance(value, ast.AST):
        return ascii(value)
    fields = dict(ast.iter_fields(value))
    fields.pop("kind", None)
    if isinstance(value, ast.JoinedStr):
        fields["values"] = [piece for piece in value.values if not _is_empty(piece)]
    present = (f"{name}={canonical(item)}" for name, item in fields.items() if item not in (None, []))
    return f"{type(value).__name__}({','.join(present)})"


def _is_lone_string(node: object) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _is_empty(piece: ast.expr) -> bool:
    return isinstance(piece, ast.Constant) and piece.value == ""
