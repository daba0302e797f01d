"""What a run depends on: on small trees made here, and on the repository itself."""

import ast
import shutil
from pathlib import Path

import pytest

from mer_jax.errors import InputError
from mer_jax.training import code

TREE = {
    "mer_jax/__init__.py": "",
    "mer_jax/errors.py": "class InputError(ValueError): pass\n",
    "mer_jax/nn/__init__.py": "",
    "mer_jax/nn/layer.py": "import numpy as np\nfrom kernels.scan import scan\n",
    "mer_jax/nn/unused.py": "",
    "mer_jax/models/__init__.py": "",
    "mer_jax/models/one.py": "from mer_jax.nn import layer\nfrom mer_jax.errors import InputError\n",
    "mer_jax/models/two.py": "def build():\n    import mer_jax.nn.layer\n",
    "kernels/__init__.py": "",
    "kernels/scan.py": "def scan(x): return x\n",
}
LAYER = {"kernels/__init__.py", "kernels/scan.py", "mer_jax/__init__.py", "mer_jax/nn/__init__.py"} | {
    "mer_jax/nn/layer.py"
}


def write(root, **changes):
    """TREE below `root`; `changes` maps a module's last name to its new content."""
    for name, content in TREE.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(changes.get(path.stem, content))
    return root


def names(root, *roots, exclude=()):
    return [path.relative_to(root).as_posix() for path in code.sources(roots, exclude, root)]


def hash_of(root, *roots):
    return code.code_hash(roots or ("mer_jax.models.one",), root=root)


def test_follows_imports_into_other_packages_and_takes_their_init_files(tmp_path):
    found = names(write(tmp_path), "mer_jax.models.one")
    assert set(found) == LAYER | {"mer_jax/errors.py", "mer_jax/models/__init__.py", "mer_jax/models/one.py"}
    assert found == sorted(found)


def test_follows_imports_inside_functions(tmp_path):
    found = names(write(tmp_path), "mer_jax.models.two")
    assert set(found) == LAYER | {"mer_jax/models/__init__.py", "mer_jax/models/two.py"}


def test_a_package_brings_its_init_and_what_that_imports_but_not_its_modules(tmp_path):
    root = write(tmp_path)
    (root / "mer_jax/nn/__init__.py").write_text("from mer_jax.errors import InputError\n")
    assert names(root, "mer_jax.nn") == ["mer_jax/__init__.py", "mer_jax/errors.py", "mer_jax/nn/__init__.py"]


def test_ends_on_cycles(tmp_path):
    root = write(tmp_path, layer="import mer_jax.nn.unused\n", unused="from mer_jax.nn import layer\n")
    assert names(root, "mer_jax.nn.layer") == names(root, "mer_jax.nn.unused")


@pytest.mark.parametrize(
    ("statement", "target"),
    [
        ("from . import unused", "mer_jax/nn/unused.py"),
        ("from .unused import f", "mer_jax/nn/unused.py"),
        ("from .. import errors", "mer_jax/errors.py"),
        ("from ..models.one import f", "mer_jax/models/one.py"),
        ("import typing\nif typing.TYPE_CHECKING:\n    from . import unused", "mer_jax/nn/unused.py"),
    ],
)
def test_follows_relative_imports(tmp_path, statement, target):
    assert target in names(write(tmp_path, layer=statement), "mer_jax.nn.layer")


def test_a_relative_import_of_an_init_starts_at_its_own_package(tmp_path):
    root = write(tmp_path)
    (root / "mer_jax/nn/__init__.py").write_text("from .unused import f\n")
    assert "mer_jax/nn/unused.py" in names(root, "mer_jax.nn")


def test_an_exclusion_takes_what_only_it_imports_and_spares_roots(tmp_path):
    root, layer = write(tmp_path), {"mer_jax/nn/__init__.py", "mer_jax/nn/layer.py"}
    everything = set(names(root, "mer_jax.models.one"))
    without = set(names(root, "mer_jax.models.one", exclude=("mer_jax.nn", "mer_jax.nn.*")))
    assert everything - without == layer | {"kernels/__init__.py", "kernels/scan.py"}
    kept = names(root, "mer_jax.models.one", "mer_jax.nn.layer", exclude=("mer_jax.nn", "mer_jax.nn.*"))
    assert everything - set(kept) == {"mer_jax/nn/__init__.py"}


BEFORE = '''"""A module."""
class A:
    """A class."""
    rate = 0.001
    async def f(self, x=1):
        """A function."""
        return f"{x:{self.rate}}" + "text"
'''
SAME = """# A comment.


class A:
    rate = 1e-3  # another

    async def f(
        self,
        x=1,
    ):
        "Other words."
        return (f'{x:{self.rate}}' + u'text')
"""


def test_comments_docstrings_and_formatting_do_not_count(tmp_path):
    before, after = (hash_of(write(tmp_path / str(n), layer=text)) for n, text in enumerate((BEFORE, SAME)))
    windows = write(tmp_path / "windows")
    (windows / "mer_jax/nn/layer.py").write_bytes(BEFORE.replace("\n", "\r\n").encode())
    assert before == after == hash_of(windows)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.001", "0.002"),
        ("x=1", "x=True"),
        ("x=1", "x: int = 1"),
        ('"text"', '"Text"'),
        ("async ", ""),
        ("class A", "class B"),
        ("x:{", "x!r:{"),
        ("self, x", "self, *, x"),
        ("return ", "value = "),
    ],
)
def test_code_counts(tmp_path, old, new):
    assert old in BEFORE
    before, after = write(tmp_path / "a", layer=BEFORE), write(tmp_path / "b", layer=BEFORE.replace(old, new))
    assert hash_of(before) != hash_of(after)


def test_an_import_that_is_added_counts_and_an_unused_file_does_not(tmp_path):
    before = hash_of(write(tmp_path))
    assert before == hash_of(write(tmp_path, unused="x = 1\n"))
    assert before != hash_of(write(tmp_path, layer=TREE["mer_jax/nn/layer.py"] + "from . import unused\n"))


def test_the_hash_does_not_know_the_folder_nor_the_order_of_roots(tmp_path):
    roots = ("mer_jax.models.one", "mer_jax.models.two")
    here, there = write(tmp_path / "here"), write(tmp_path / "over" / "there")
    assert hash_of(here, *roots) == hash_of(there, *reversed(roots)) == hash_of(here, *roots, *roots)
    assert len(hash_of(here)) == 16
    assert int(hash_of(here), 16)


def test_a_module_that_moves_counts(tmp_path):
    before, root = hash_of(write(tmp_path)), tmp_path
    (root / "mer_jax/nn/layer").mkdir()
    (root / "mer_jax/nn/layer.py").rename(root / "mer_jax/nn/layer/__init__.py")
    assert hash_of(root) != before


def test_the_canonical_form_is_that_of_every_python():
    # Written by hand from the abstract grammar. 3.12 adds type_params to a def, and an empty piece
    # behind {width}.
    source = 'def f(x: "a"):\n    "doc"\n    return f"{x:>{width}}", u"ä", None, [""]\n'
    argument = "arguments(args=[arg(arg='x',annotation=Constant(value='a'))])"
    width = "FormattedValue(value=Name(id='width',ctx=Load()),conversion=-1)"
    spec = f"JoinedStr(values=[Constant(value='>'),{width}])"
    text = (
        f"JoinedStr(values=[FormattedValue(value=Name(id='x',ctx=Load()),conversion=-1,format_spec={spec})])"
    )
    rest = "Constant(value='\\xe4'),Constant(),List(elts=[Constant(value='')],ctx=Load())"
    body = f"Return(value=Tuple(elts=[{text},{rest}],ctx=Load()))"
    expected = f"Module(body=[FunctionDef(name='f',args={argument},body=[{body}])])"
    assert code.canonical(ast.parse(source)) == expected


@pytest.mark.parametrize(
    ("layer", "root", "message"),
    [
        ("", "mer_jax.models.three", "the roots name mer_jax.models.three, which is not below"),
        ("import mer_jax.nn.nowhere\n", "mer_jax.nn.layer", "layer.py imports mer_jax.nn.nowhere"),
        ("x = 1\ndef f(:\n", "mer_jax.nn.layer", r"layer.py, line 2: .*; correct the file"),
    ],
)
def test_what_can_not_be_read_is_named(tmp_path, layer, root, message):
    with pytest.raises(InputError, match=message):
        hash_of(write(tmp_path, layer=layer), root)


# The repository itself.

MODELS = (
    "unimodal",
    "early_fusion",
    "late_fusion",
    "lexico_acoustic",
    "dual_recurrent",
    "m3er",
    "memory_fusion",
)


def closure(model):
    roots = code.training_roots(f"mer_jax.models.{model}")
    return {
        path.relative_to(code.ROOT).as_posix() for path in code.sources(roots, code.NOT_TRAINING, code.ROOT)
    }


@pytest.mark.parametrize("model", MODELS)
def test_a_model_depends_on_what_it_is_made_of_and_trained_with(model):
    found = closure(model)
    assert {
        f"mer_jax/models/{model}.py",
        "mer_jax/losses.py",
        "mer_jax/nn/recurrent.py",
        "mer_jax/training/optimizer.py",
        "mer_jax/data/builders/base.py",
        "mer_jax/data/scaling.py",
        "mer_jax/data/splits.py",
        "experiments/setup.py",
    } <= found
    others = {f"mer_jax/models/{other}.py" for other in MODELS if other != model}
    assert not others & found
    for part in ("report", "figure", "doctor", "simulation", "leakage", "scoring", "experiments/train"):
        assert not [path for path in found if part in path]
    assert [path for path in found if "builders" in path] == ["mer_jax/data/builders/base.py"]
    assert not [path for path in found if path.startswith("experiments/configs/") and "__init__" not in path]


def test_every_excluded_module_exists():
    for pattern in code.NOT_TRAINING:
        path = code.ROOT.joinpath(*pattern.removesuffix(".*").split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), pattern


@pytest.fixture
def repository(tmp_path):
    """A copy of the sources that a test may change."""
    for package in code.PACKAGES:
        for path in (code.ROOT / package).rglob("*.py"):
            copy = tmp_path / path.relative_to(code.ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    return tmp_path


def all_hashes(root: Path) -> dict[str, str]:
    hashes = {model: code.training_code(f"mer_jax.models.{model}", root) for model in MODELS}
    return hashes | {"scoring": code.scoring_code(root)}


@pytest.mark.parametrize(
    ("file", "changed"),
    [
        ("mer_jax/models/late_fusion.py", {"late_fusion"}),
        ("mer_jax/nn/fusion.py", {"early_fusion", "m3er", "memory_fusion"}),
        ("kernels/memory/loop.py", {"m3er", "memory_fusion"}),
        ("mer_jax/losses.py", set(MODELS)),
        ("mer_jax/training/loop.py", set(MODELS)),
        ("mer_jax/evaluation/floors.py", {"scoring"}),
        ("mer_jax/errors.py", {*MODELS, "scoring"}),
        ("mer_jax/evaluation/report.py", set()),
        ("mer_jax/data/doctor/texts.py", set()),
        ("mer_jax/data/builders/mosi.py", set()),
        ("experiments/configs/unimodal_mosi.py", set()),
        ("experiments/train.py", set()),
    ],
)
def test_a_changed_file_reruns_only_what_it_touches(repository, file, changed):
    before, path = all_hashes(repository), repository / file
    path.write_text(path.read_text() + "\n# a comment\n")
    assert all_hashes(repository) == before
    path.write_text(path.read_text() + "\nADDED = 1\n")
    after = all_hashes(repository)
    assert {name for name in before if before[name] != after[name]} == changed


def test_the_repository_and_its_copy_hash_alike(repository):
    assert all_hashes(repository) == all_hashes(code.ROOT)
