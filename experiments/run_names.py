"""What runs are called when several are shown together."""

from collections.abc import Sequence
from pathlib import Path

from mer_jax.errors import InputError


def run_names(paths: Sequence[Path]) -> list[str]:
    """The shortest end of each path that no other path has: mostly the folder's own name.

    Raises InputError where a folder is named twice.
    """
    whole = [path.resolve().parts for path in paths]
    for parts, path in zip(whole, paths, strict=True):
        if whole.count(parts) > 1:
            raise InputError(f"{path} is named twice; name every run folder once")
    return [_shortest_end(parts, whole) for parts in whole]


def _shortest_end(parts: tuple[str, ...], whole: Sequence[tuple[str, ...]]) -> str:
    ends = (parts[-depth:] for depth in range(1, len(parts) + 1))
    own = next(end for end in ends if sum(other[-len(end) :] == end for other in whole) == 1)
    return "/".join(own)
