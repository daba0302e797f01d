"""What every system takes and returns."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from flax import struct
from jaxtyping import Array, Bool

from mer_jax.data.batching import Batch
from mer_jax.data.examples import Unit


class Outputs(struct.PyTreeNode):
    """What a system computes of a batch; whatever an analysis may want of it.

    logits: [batch, targets], or [batch, time, targets] where the unit is a dialogue;
        for regression the predictions themselves.
    modality_logits: the same per modality, for systems that have them.
    states: modality (or "fused") -> the vector per example the head reads.
    attention: what a system that attends gives of it where it is asked to; else empty.
    available: where each of `modality_logits` is there, for systems that say so.
    """

    logits: Any
    modality_logits: Mapping[str, Any] = struct.field(default_factory=dict)
    states: Mapping[str, Any] = struct.field(default_factory=dict)
    attention: Mapping[str, Any] = struct.field(default_factory=dict)
    available: Mapping[str, Any] = struct.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Task:
    """What a system is built for.

    dims: features per modality. targets, classification: what it is to tell. unit: of an example.
    rates: modality -> steps per second, where they have a clock.
    vocabulary: rows of the table of words, where words are a modality.
    timed: the modality whose steps are words with known times, or empty.
    """

    dims: Mapping[str, int]
    targets: int
    classification: bool
    unit: Unit
    rates: Mapping[str, float] = dataclasses.field(default_factory=dict)
    vocabulary: int = 0
    timed: str = ""


def valid_positions(batch: Batch) -> Bool[Array, "*positions"]:
    """True where a position is an utterance, false on padding."""
    return batch.rows >= 0
