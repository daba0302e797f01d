"""Shapes that attention meets in emotion recognition, named, for tests and benchmarks."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Shape:
    """One call: m queries over n keys of d features (the values too), `batch` times.

    Attributes:
        name: what it is called in tables.
        source: where the numbers come from.
    """

    name: str
    batch: int
    m: int
    n: int
    d: int
    source: str

    def __post_init__(self):
        for field in ("batch", "m", "n", "d"):
            if getattr(self, field) < 1:
                raise ValueError(
                    f"Shape {self.name!r}: {field} is {getattr(self, field)}; give an integer of at least 1"
                )

    @property
    def square(self) -> bool:
        """As many queries as keys."""
        return self.m == self.n


REAL = (
    Shape(
        "meld_dialogue_33", 10, 33, 33, 600,
        "MELD's longest dialogue, 33 utterances; batch 10 and a BiLSTM of 2 x 300 (Poria 2019, bimodal baseline)",
    ),
    Shape(
        "iemocap_128x60", 32, 128, 60, 200,
        "IEMOCAP: at most 128 words over 60 pooled audio steps, GRUs of 200, batch 32 (Cid Ornelas 2019)",
    ),
    Shape(
        "mosei_unaligned_50x500", 24, 50, 500, 40,
        "CMU-MOSEI, unaligned: 50 words over 500 audio frames, 40 features (Tsai 2019, MulT; its code's batch of 24)",
    ),
    Shape(
        "lexico_128x2000", 8, 128, 2000, 64,
        "128 words over 20 s of audio frames every 10 ms, which the pooling of iemocap_128x60 does away with",
    ),
)  # fmt: skip


def square(length: int) -> Shape:
    """Self-attention at `length`: 8 sequences of 64 features, the setting of BENCHMARKS.md."""
    return Shape(
        f"square_{length}", 8, length, length, 64, "self-attention, to see how cost grows with length"
    )


SQUARE = tuple(square(length) for length in (128, 256, 512, 1024, 2048, 4096, 8192))
SHAPES = {shape.name: shape for shape in (*REAL, *SQUARE)}
