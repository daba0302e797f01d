"""Shapes that t-SNE meets in emotion recognition, named, for tests and benchmarks."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Shape:
    """One set of rows: n points of d features, calibrated to a perplexity.

    Attributes:
        name: what it is called in tables.
        neighbors: k of the neighbour graph; None where all pairs are taken.
        source: where the numbers come from.
    """

    name: str
    n: int
    d: int
    perplexity: float
    neighbors: int | None
    source: str

    def __post_init__(self):
        others = self.n - 1 if self.neighbors is None else self.neighbors
        if not (self.d >= 1 and 1 <= self.perplexity < others < self.n):
            raise ValueError(
                f"Shape {self.name!r}: perplexity {self.perplexity} needs more neighbours than that, "
                f"fewer than the {self.n} rows, and at least one feature (d is {self.d})"
            )


REAL = (
    Shape(
        "mosei_distinct_1296x6", 1296, 6, 30.0, None,
        "the distinct states of six intensities among CMU-MOSEI's training labels",
    ),
    Shape(
        "mosei_labels_16327x6", 16_327, 6, 30.0, 90,
        "CMU-MOSEI's training labels, copies kept",
    ),
    Shape(
        "crema_d_votes_7442x6", 7_442, 6, 30.0, None,
        "CREMA-D: votes for six emotions on each of 7,442 clips",
    ),
    Shape(
        "batch_1024", 1_024, 50, 30.0, None,
        "a small batch of parametric t-SNE",
    ),
    Shape(
        "batch_5120", 5_120, 50, 30.0, None,
        "a batch of parametric t-SNE (van der Maaten 2009 took 5,000), in whole blocks",
    ),
    Shape(
        "mnist_pca50_1000", 1_000, 50, 30.0, None,
        "1,000 digits of MNIST on 50 principal components",
    ),
    Shape(
        "mnist_pca50_2000", 2_000, 50, 30.0, None,
        "2,000 of them",
    ),
    Shape(
        "mnist_pca50_5000", 5_000, 50, 30.0, None,
        "5,000 digits of MNIST on 50 principal components (van der Maaten and Hinton 2008 took 30)",
    ),
    Shape(
        "mnist_pca50_10000x90", 10_000, 50, 30.0, 90,
        "10,000 rows, 3 neighbours per unit of perplexity (van der Maaten 2014)",
    ),
    Shape(
        "mnist_pca50_100000x90", 100_000, 50, 30.0, 90,
        "as many rows as a neighbour graph is made for, 3 neighbours per unit of perplexity (van der Maaten 2014)",
    ),
)  # fmt: skip
SHAPES = {shape.name: shape for shape in REAL}
