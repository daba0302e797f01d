"""Contenders on the small corpus, for what shows a comparison."""

import functools
from typing import Any

from mer_jax.evaluation.comparison import Contender, compare
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.protocol import Protocol
from mer_jax.evaluation.scoring import score
from tests.evaluation.corpora import bound, corpus, floors_of, predicted

NAMES = ("early fusion", "late <b>fusion</b> & a_b", "unimodal (text)")


@functools.cache
def contenders(
    strengths: tuple[float, ...] = (2.0, 1.9, 0.6), seeds: int = 2, intensities: bool = False
) -> tuple[Protocol, tuple[Contender, ...]]:
    """A contender per strength, the stronger the nearer its predictions are to the truth."""
    data = corpus(dialogues=40, intensities=intensities)
    protocol = bound(data)
    floors = floors_of(data, protocol)
    made = []
    for k, (name, strength) in enumerate(zip(NAMES, strengths, strict=False)):
        runs = [predicted(data, protocol, strength, seed=10 * k + seed) for seed in range(seeds)]
        cost = {"parameters": 10 ** (4 + k), "seconds": 20.0 + k, "memory_mib": None, "seeds_at_once": 1}
        made.append(
            Contender(
                name=name,
                config=f"system_{k}",
                modalities=("audio", "text")[: 2 - k // 2],
                seeds=tuple(range(seeds)),
                predictions=tuple(runs),
                metrics=tuple(score(protocol, run, floors, resamples=30) for run in runs),
                cost=cost,
                runs=tuple(f"runs/{k}-seed{seed}" for seed in range(seeds)),
            )
        )
    return protocol, tuple(made)


@functools.cache
def compared(**options: Any) -> tuple[dict[str, Any], tuple[Contender, ...]]:
    """The comparison of `contenders(**options)`, and they."""
    protocol, made = contenders(**options)
    return compare(protocol, made, resamples=200), made


def rows_of_test(contender: Contender) -> Predictions:
    """The test rows of all its seeds."""
    return Predictions.concatenate([rows.part("test") for rows in contender.predictions])
