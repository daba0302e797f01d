"""What lies where on the map: local averages and densities of the observed states on a grid of pixels."""

import base64
import dataclasses
import struct
import zlib

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import gaussian_filter

from mer_jax.emotion_space.mapping import Map

PIXELS = 180  # along the longer side
BLUR = 0.02  # standard deviation of the local average, of the longer side
EDGE = 0.09  # of the longer side: free space around the observed states


@dataclasses.dataclass(frozen=True)
class Territory:
    """Grids over the map, [rows, columns] from the lowest y up.

    x, y: the pixels' centres. low, high: [2] the grid's corners.
    presence: 0..1, how surely observed states lie here, each distinct state counted once.
    rows: share of all rows per pixel, smoothed. mean: [..., E] local mean state; kind: [..., K]
    share of each of the map's kinds, K = len(Map.kinds).
    """

    x: np.ndarray
    y: np.ndarray
    low: np.ndarray
    high: np.ndarray
    presence: np.ndarray
    rows: np.ndarray
    mean: np.ndarray
    kind: np.ndarray


def territory(space: Map) -> Territory:
    """Local averages of the observed states, each distinct state counted once, by a Gaussian
    window (Nadaraya 1964; Watson 1964) over the map."""
    low, high, step = _frame(space)
    columns, lines = np.ceil((high - low) / step).astype(int)
    where = np.clip(((space.places - low) / step).astype(int), 0, [columns - 1, lines - 1])
    kinds = np.array([kind.index for kind in space.kinds])
    own = (space.dominant(space.states)[:, None] == kinds).astype(np.float64)
    rows = space.counts / space.counts.sum()
    values = np.column_stack([np.ones(len(where)), rows, space.states, own])
    grid = np.zeros((lines, columns, values.shape[1]))
    np.add.at(grid, (where[:, 1], where[:, 0]), values)
    grid = gaussian_filter(grid, (BLUR * PIXELS, BLUR * PIXELS, 0), mode="constant", truncate=5)
    weight = np.maximum(grid[..., :1], 1e-12)
    alone = 1 / (2 * np.pi * (BLUR * PIXELS) ** 2)  # the peak of a single state
    cut = 2 + len(space.emotions)
    return Territory(
        x=low[0] + step * (np.arange(columns) + 0.5),
        y=low[1] + step * (np.arange(lines) + 0.5),
        low=low,
        high=low + step * np.array([columns, lines]),
        presence=1 - np.exp(-2.5 * grid[..., 0] / alone),
        rows=grid[..., 1],
        mean=grid[..., 2:cut] / weight,
        kind=grid[..., cut:] / weight,
    )


def levels_holding(rows: Float[np.ndarray, "h w"], shares: tuple[float, ...]) -> list[float]:
    """The density above which each share of all rows lies: contours of highest density."""
    falling = np.sort(rows.ravel())[::-1]
    within = np.cumsum(falling) / falling.sum()
    return [float(falling[min(np.searchsorted(within, share), len(falling) - 1)]) for share in shares]


def picture_of_kinds(space: Map, ground: Territory, strength: float) -> str:
    """The map's land as a PNG: each pixel in the colour of its commonest kind, fading out where
    nothing is observed. strength: opacity at its fullest, 0..1."""
    palette = np.array([_rgb(kind.colour) for kind in space.kinds])
    sharp = ground.kind**2
    sharp /= np.maximum(sharp.sum(-1, keepdims=True), 1e-12)
    alpha = strength * ground.presence * (0.35 + 0.65 * ground.kind.max(-1))
    return _data_uri(_image(sharp @ palette, alpha))


def picture_of_emotion(space: Map, ground: Territory, emotion: int, brightest: float) -> str:
    """How strong one emotion is, as a PNG: from pale grey to its colour at `brightest`."""
    share = np.clip(ground.mean[..., emotion] / brightest, 0, 1)[..., None]
    pale, full = np.array([232, 235, 239]), np.array(_rgb(space.kinds[emotion].colour))
    return _data_uri(_image(pale + (full - pale) * share, 0.92 * ground.presence))


def _frame(space: Map) -> tuple[np.ndarray, np.ndarray, float]:
    """Corners around the observed states and the pixel's side."""
    low, high = space.places.min(0), space.places.max(0)
    side = float((high - low).max()) or 1.0
    return low - EDGE * side, high + EDGE * side, side * (1 + 2 * EDGE) / PIXELS


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _image(colour: Float[np.ndarray, "h w 3"], alpha: Float[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 4"]:
    """Rows from the top down, in few enough steps to be packed small."""
    image = np.concatenate([np.round(colour / 5) * 5, np.round(alpha[..., None] * 85) * 3], axis=-1)
    return np.clip(image[::-1], 0, 255).astype(np.uint8)


def _data_uri(image: UInt8[np.ndarray, "h w 4"]) -> str:
    """A PNG (ISO 15948): header, one block of compressed lines, each without a filter, and the end."""
    height, width, _ = image.shape
    lines = b"".join(b"\0" + line.tobytes() for line in image)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines, 9)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
