"""Where names go beside their points, so that none covers another or a point that matters."""

import numpy as np
from jaxtyping import Float

LETTER, BOLD, LINE = (
    0.56,
    0.62,
    1.3,
)  # a letter's width, plain and bold, and a line's height, of the font's size
DISTANCES = (16.0, 26.0, 40.0, 58.0, 80.0)
DIRECTIONS = 24


def text_size(text: str, font: float) -> tuple[float, float]:
    """Width and height of one line of text, in pixels."""
    return LETTER * font * len(text) + 4, LINE * font


def shortened(text: str, font: float, width: float) -> str:
    """One line of bold text of at most `width` pixels: its middle, if any of it, gives way to an ellipsis (of the
    names of two runs both ends tell them apart)."""
    most = max(5, int(width / (BOLD * font)))
    if len(text) <= most:
        return text
    tail = most // 2
    return f"{text[: most - tail - 1]}…{text[-tail:]}"


def offsets(
    anchors: Float[np.ndarray, "n 2"],
    sizes: Float[np.ndarray, "n 2"],
    outward: Float[np.ndarray, "n 2"],
    avoid: Float[np.ndarray, "o 2"],
    frame: Float[np.ndarray, "2 2"],
) -> Float[np.ndarray, "n 2"]:
    """From each anchor to its label's centre, in pixels (y up).

    Labels are placed in the given order; each takes, of a ring of candidates, the one that costs
    least: covering another label or leaving the frame costs most, then covering points of
    `avoid`, then turning away from `outward`, then distance.
    sizes: of the labels. frame: lowest and highest corner.
    """
    turns = np.linspace(0, 2 * np.pi, DIRECTIONS, endpoint=False)
    ring = np.stack([np.cos(turns), np.sin(turns)], axis=1)
    placed: list[np.ndarray] = []
    chosen = np.zeros((len(anchors), 2))
    for k, (anchor, size) in enumerate(zip(anchors, sizes, strict=True)):
        reach = np.abs(ring) @ (size / 2) * 0.9
        steps = np.concatenate([ring * (reach + d)[:, None] for d in DISTANCES])
        length = np.repeat(DISTANCES, DIRECTIONS)
        towards = np.tile(ring @ _unit(outward[k]), len(DISTANCES))
        boxes = np.stack([anchor + steps - size / 2, anchor + steps + size / 2], axis=1)
        cost = 0.35 * length - 14 * towards + 6 * _points_within(boxes, avoid)
        cost += 400 * _overlaps(boxes, placed) + 400 * _outside(boxes, frame)
        best = int(cost.argmin())
        chosen[k] = steps[best]
        placed.append(boxes[best])
    return chosen


def _unit(vector: np.ndarray) -> np.ndarray:
    return vector / max(float(np.linalg.norm(vector)), 1e-9)


def _points_within(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    if not len(points):
        return np.zeros(len(boxes))
    inside = (points >= boxes[:, None, 0]) & (points <= boxes[:, None, 1])
    return inside.all(-1).sum(1)


def _overlaps(boxes: np.ndarray, placed: list[np.ndarray]) -> np.ndarray:
    """How many of the labels placed before each box meets."""
    if not placed:
        return np.zeros(len(boxes))
    others = np.stack(placed)
    apart = (boxes[:, None, 1] < others[:, 0]) | (boxes[:, None, 0] > others[:, 1])
    return (~apart.any(-1)).sum(1)


def _outside(boxes: np.ndarray, frame: np.ndarray) -> np.ndarray:
    return ((boxes[:, 0] < frame[0]).any(-1) | (boxes[:, 1] > frame[1]).any(-1)).astype(float)
