"""Proxies in place of what a modality check rejects, in whole example sets, and how near they come."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from mer_jax.data.examples import ExampleSet
from mer_jax.errors import InputError
from mer_jax.robustness.modality_check import ModalityCheck
from mer_jax.robustness.proxy import Proxies
from mer_jax.robustness.vectors import availability, check_examples, example_vectors, resample


@dataclasses.dataclass(frozen=True)
class RegenerationError:
    """Relative L2 errors of one modality over the samples where it was corrupted, and their number.

    |x - clean| / |clean| with x the proxies, or what the corruption left.
    """

    proxy: float
    corrupted: float
    samples: int

    @property
    def ratio(self) -> float:
        """How many times nearer to the clean features the proxies are."""
        return self.corrupted / self.proxy


def ineffective(
    check: ModalityCheck, examples: ExampleSet
) -> tuple[Bool[np.ndarray, "samples modalities"], Float[np.ndarray, "samples modalities"]]:
    """The check's verdicts on examples, and its scores; modalities in the examples' order."""
    check_examples(examples)
    names = tuple(examples.features)
    if names != check.modalities:
        raise InputError(
            f"modality check: fitted on {', '.join(check.modalities)}, given {', '.join(names)}; "
            "give the same modalities in the same order"
        )
    verdicts = check(example_vectors(examples, check.steps), availability(examples))
    return np.asarray(verdicts.ineffective), np.asarray(verdicts.score)


def regenerate(
    proxies: Proxies, examples: ExampleSet, rejected: Bool[np.ndarray, "samples modalities"]
) -> tuple[ExampleSet, Bool[np.ndarray, "samples modalities"]]:
    """Examples with proxies for what is rejected or missing, and where that could be done.

    A proxy has the frames that its modality had; of one that is missing, as many as the longest
    effective one. What can't be regenerated (no effective source, or none that train has together
    with it) stays as it was.
    """
    check_examples(examples)
    names, there = tuple(examples.features), availability(examples)
    effective, done = there & ~rejected, np.zeros_like(there)
    lengths = np.stack([examples.lengths(name) for name in names], axis=1)
    longest = np.where(effective, lengths, 0).max(axis=1)
    features = {}
    for k, name in enumerate(names):
        wanted = np.flatnonzero(~effective[:, k] & effective.any(axis=1))
        frames = np.where(there[wanted, k], lengths[wanted, k], longest[wanted])
        sequences, features[name] = list(examples.features[name]), examples.features[name]
        if not len(wanted):
            continue
        made, found = proxies(name, _sources(examples, wanted, frames), effective[wanted].repeat(frames, 0))
        ends = np.cumsum(frames)
        for i, start, end in zip(wanted, ends - frames, ends, strict=True):
            if found[start]:
                sequences[i] = made[start:end].astype(np.float32)
                done[i, k] = True
        features[name] = sequences
    return dataclasses.replace(examples, features=features), done


def without(examples: ExampleSet, rejected: Bool[np.ndarray, "samples modalities"]) -> ExampleSet:
    """Examples that miss what is rejected: the check without proxies."""
    features = {
        name: [x[:0] if gone else x for x, gone in zip(xs, rejected[:, k], strict=True)]
        for k, (name, xs) in enumerate(examples.features.items())
    }
    return dataclasses.replace(examples, features=features)


def relative_error(estimate: np.ndarray, truth: np.ndarray) -> float:
    """|estimate - truth| / |truth| in the L2 norm over all elements."""
    off = estimate.astype(np.float64) - truth.astype(np.float64)
    return float(np.linalg.norm(off) / np.linalg.norm(truth.astype(np.float64)))


def regeneration_errors(
    clean: ExampleSet,
    corrupted: ExampleSet,
    regenerated: ExampleSet,
    where: Bool[np.ndarray, "samples modalities"],
) -> dict[str, RegenerationError]:
    """Per modality, and of all under the name "all", the errors over the samples `where`.

    In the features' own units; a modality without such samples is left out. Raises InputError where a
    sequence's length changed: a dropped modality has no error of its own to compare with.
    """
    stacked: dict[str, list[np.ndarray]] = {}
    counts = {}
    for k, name in enumerate(clean.features):
        rows = np.flatnonzero(where[:, k]).tolist()
        if not rows:
            continue
        sets = [[s.features[name][i] for i in rows] for s in (clean, corrupted, regenerated)]
        for row, *frames in zip(rows, *sets, strict=True):
            if len({len(x) for x in frames}) > 1:
                raise InputError(
                    f"regeneration: {name!r} of example {row} has {', '.join(str(len(x)) for x in frames)} "
                    "frames clean, corrupted and regenerated; compare samples with the same length in all"
                )
        stacked[name] = [np.concatenate(frames) for frames in sets]
        counts[name] = len(rows)
    if stacked:
        stacked["all"] = [np.concatenate([s[k].ravel() for s in stacked.values()]) for k in range(3)]
        counts["all"] = sum(counts.values())
    return {
        name: RegenerationError(relative_error(made, truth), relative_error(noisy, truth), counts[name])
        for name, (truth, noisy, made) in stacked.items()
    }


def _sources(examples: ExampleSet, wanted: np.ndarray, frames: np.ndarray) -> dict[str, np.ndarray]:
    return {
        name: np.concatenate([resample(xs[i], int(n)) for i, n in zip(wanted, frames, strict=True)])
        for name, xs in examples.features.items()
    }
