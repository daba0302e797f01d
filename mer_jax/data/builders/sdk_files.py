"""Which `.csd` file of a folder holds what, and which of its videos is in which split."""

import re
from collections.abc import Mapping
from pathlib import Path

from mer_jax.data.computational_sequence import ComputationalSequence
from mer_jax.errors import InputError, nearest

ROLES = {
    "labels": r"label",
    "words": r"^words$|timestampedwords$",
    "text": r"glove|word_?vector|bert",
    "audio": r"coa?varep|opensmile|acoustic|audio",
    "video": r"facet|openface|visual|video",
}
FEATURES = ("text", "audio", "video")
UNUSED_ROLE = r"phone"
FOLDS = {"train": "train.txt", "dev": "valid.txt", "test": "test.txt"}


def find_sequences(
    folder: Path, chosen: Mapping[str, str], ask: str
) -> tuple[dict[str, Path], tuple[Path, ...]]:
    """The file of each role, and those of none; `chosen` names some, the rest tell by their names.

    ask: how to place the folder, for the error where it has no such file.
    Raises InputError where two files could have one role, or a needed one is missing.
    """
    found: dict[str, Path] = {}
    for role, name in chosen.items():
        if name:
            found[role] = _existing(folder, role, name)
    unknown = []
    for path in sorted(set(folder.glob("*.csd")) - set(found.values())):
        role = _role(path)
        if role is None:
            unknown.append(path)
        elif not chosen.get(role):
            if role in found:
                raise InputError(
                    f"{folder} has two files of {role}, {found[role].name} and {path.name}; name one with "
                    f"--options.{role}"
                )
            found[role] = path
    if not found and not unknown:
        raise InputError(f"{folder} has no .csd files; {ask}")
    _require(folder, found)
    return found, tuple(path for path in unknown if not re.search(UNUSED_ROLE, path.stem.lower()))


def _existing(folder: Path, role: str, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        known = nearest(name, (other.name for other in folder.glob("*.csd")))
        raise InputError(f"--options.{role} {name}: {path} does not exist; {known}")
    return path


def _role(path: Path) -> str | None:
    with ComputationalSequence(path) as sequence:
        root = sequence.name
    for name in (root.lower(), path.stem.lower()):
        for role, pattern in ROLES.items():
            if re.search(pattern, name):
                return role
    return None


def _require(folder: Path, found: Mapping[str, Path]) -> None:
    needs = {"labels": ("labels",), "words or word vectors": ("words", "text"), "features": FEATURES}
    for what, roles in needs.items():
        if not set(roles) & set(found):
            raise InputError(
                f"{folder}: no .csd file of {what} is recognised by its name; put it there, or name it with "
                f"--options.{roles[0]}"
            )


def read_folds(folder: Path, videos: tuple[str, ...]) -> dict[str, tuple[str, ...]] | None:
    """The labelled videos of each split, from train.txt, valid.txt and test.txt with one video a line.

    None where there are no such files. Videos in none of them are in no split. Raises
    InputError where train or test is missing or holds no labelled video, or a video is in two.
    """
    listed: dict[str, str] = {}
    paths = {split: folder / name for split, name in FOLDS.items() if (folder / name).is_file()}
    if not paths:
        return None
    for split, path in paths.items():
        for video in path.read_text(encoding="utf-8-sig").split():
            if listed.setdefault(video, split) != split:
                raise InputError(
                    f"{path} names {video!r}, and so does {FOLDS[listed[video]]}; keep it in one of them"
                )
    folds = {split: tuple(video for video in videos if listed.get(video) == split) for split in paths}
    for split in ("train", "test", *paths):
        if not folds.get(split):
            raise InputError(
                f"{folder / FOLDS[split]} names none of the labelled videos; list their ids, one a line, in "
                f"{', '.join(FOLDS.values())} or in none of them"
            )
    return folds
