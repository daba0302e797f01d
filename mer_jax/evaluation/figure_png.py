"""A figure as a PNG file, by kaleido and a browser of the machine's."""

import copy
import importlib.util
from pathlib import Path

import plotly.graph_objects as go

from mer_jax.errors import InputError
from mer_jax.records import write_atomically

INSTALL = "install the extra with: pip install 'mer-jax[export]'"


def write_png(figure: go.Figure, path: Path, width: int, height: int) -> None:
    """Writes the figure as it first appears, width by height in pixels, two dots to each.

    Points drawn by WebGL are drawn as vectors instead: a browser without a screen may have none.
    Raises InputError where kaleido, or a browser for it, is missing.
    """
    check_png(path)
    flat = go.Figure(_without_webgl(figure.to_plotly_json()))
    try:
        image = flat.to_image(format="png", width=width, height=height, scale=2)
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"{path} cannot be written: kaleido drew nothing ({str(error).strip().splitlines()[0]}); "
            "it needs Chrome or Chromium: install one, or run kaleido_get_chrome"
        ) from error
    write_atomically(path, image)


def check_png(path: Path) -> None:
    """Raises InputError where kaleido is missing."""
    if importlib.util.find_spec("kaleido") is None:
        raise InputError(f"{path} cannot be written: kaleido is missing; {INSTALL}")


def _without_webgl(drawn: dict) -> dict:
    plain = copy.copy(drawn)
    plain.pop("frames", None)
    plain["data"] = [
        trace | {"type": "scatter"} if trace.get("type") == "scattergl" else trace for trace in drawn["data"]
    ]
    return plain
