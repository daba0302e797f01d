"""The graph of nearest neighbours, in bounded memory up to a million rows."""

import dataclasses
from collections.abc import Callable

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.neighbors import NearestNeighbors

TREE_DIMENSIONS = 12  # up to which a tree finds neighbours faster than comparing all rows
ALL_PAIRS = 32_768  # rows up to which all are compared
CELL = 1_000  # rows of a cell, about, of a larger set
PROBES = 12  # nearest cells in which neighbours are looked for
QUERIES = 20_000  # rows that are looked up together


@dataclasses.dataclass(frozen=True)
class NeighborGraph:
    """The nearest others of each row.

    numbers: [n, k] int32, nearest first; -1 where fewer were found.
    distances: [n, k] float32, squared.
    exact: whether all rows were considered; else those of the nearest cells.
    """

    numbers: np.ndarray
    distances: np.ndarray
    exact: bool


def neighbor_graph(
    rows: np.ndarray, k: int, seed: int, tick: Callable[[float], None] = lambda share: None
) -> NeighborGraph:
    """The k nearest others of each row of [n, d], in squared Euclidean distance.

    Rows of few columns are found by a tree, up to 32,768 rows by comparing all: exactly. Beyond, rows are
    divided into cells (k-means, about 1,000 rows each) and looked for in the 12 cells nearest to a row's
    own (Jegou et al. 2011, inverted file), which misses a few of the farther ones.

    tick: told the share that is done.
    """
    n, d = rows.shape
    graph = NeighborGraph(np.empty((n, k), np.int32), np.empty((n, k), np.float32), True)
    if d <= TREE_DIMENSIONS or n <= ALL_PAIRS:
        found = NearestNeighbors(algorithm="kd_tree" if d <= TREE_DIMENSIONS else "brute").fit(rows)
        for part in np.array_split(np.arange(n), -(-n // QUERIES)):
            distances, numbers = found.kneighbors(rows[part], min(k + 1, n))
            _fill(graph, part, distances, numbers)
            tick((part[-1] + 1) / n)
        return graph
    return _by_cells(rows, dataclasses.replace(graph, exact=False), seed, tick)


def _by_cells(
    rows: np.ndarray, graph: NeighborGraph, seed: int, tick: Callable[[float], None]
) -> NeighborGraph:
    n, k = graph.numbers.shape
    count = -(-n // CELL)
    cells = MiniBatchKMeans(count, batch_size=8192, n_init=1, max_iter=10, random_state=seed).fit(rows)
    order, ends = (
        np.argsort(cells.labels_, kind="stable"),
        np.cumsum(np.bincount(cells.labels_, minlength=count)),
    )
    members = np.split(order, ends)[:-1]
    centers = cells.cluster_centers_
    _, near = NearestNeighbors().fit(centers).kneighbors(centers, min(PROBES, count))
    done = 0
    for own, probed in zip(members, near, strict=True):
        if len(own):
            among = np.concatenate([members[cell] for cell in probed])
            found = NearestNeighbors(algorithm="brute").fit(rows[among])
            distances, numbers = found.kneighbors(rows[own], min(k + 1, len(among)))
            _fill(graph, own, distances, among[numbers])
            done += len(own)
            tick(done / n)
    return graph


def _fill(graph: NeighborGraph, part: np.ndarray, distances: np.ndarray, found: np.ndarray) -> None:
    """What was found for the rows `part`, the row itself left out wherever it stands."""
    k = graph.numbers.shape[1]
    self_first = np.argsort(found != part[:, None], axis=1, kind="stable")
    found = np.take_along_axis(found, self_first, 1)
    squared = np.square(np.take_along_axis(distances, self_first, 1))
    has_self = found[:, :1] == part[:, None]
    moved = np.where(has_self, found[:, 1:], found[:, :-1])[:, :k]
    wide = np.full((len(part), k), -1, np.int32)
    wide[:, : moved.shape[1]] = moved
    graph.numbers[part] = wide
    far = np.zeros((len(part), k), np.float32)
    far[:, : moved.shape[1]] = np.where(has_self, squared[:, 1:], squared[:, :-1])[:, :k]
    graph.distances[part] = far
