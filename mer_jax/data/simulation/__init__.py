"""A corpus made up from a seed, whose truth is known: what later parts are verified against.

Everything is drawn by numpy from named streams, one per dialogue and one per speaker, so
that the number of dialogues changes none of them.
"""

from collections.abc import Iterator

from mer_jax.data.schema import CorpusSpec, Modality, Utterance
from mer_jax.data.simulation.dialogue import dialogue, speaker_pools, split_of
from mer_jax.data.simulation.emotion import CLASSES, EMOTIONS
from mer_jax.data.simulation.options import MODALITIES, PRESETS, Options, resolve
from mer_jax.data.simulation.rendering import TEXT_MARKS

__all__ = ["PRESETS", "Options", "describe", "resolve", "simulate"]


def describe(options: Options) -> CorpusSpec:
    """What the corpus of these (resolved) options holds. Raises InputError where speakers are too few."""
    speaker_pools(options)
    text = (*TEXT_MARKS, *(f"text_{i}" for i in range(len(TEXT_MARKS), options.text_dim)))
    truth = {"latent": (None, len(EMOTIONS)), "alignment": (None, 2), "emphasised": (None,), "ironic": ()}
    for m in MODALITIES:
        dim = getattr(options, f"{m}_dim")
        truth |= {f"bad_{m}": (), f"lag_{m}": (), f"clean_{m}": (None, dim)}
    return CorpusSpec(
        name="generated",
        modalities=(
            Modality("text", options.text_dim, None, text),
            Modality("audio", options.audio_dim, options.audio_rate),
            Modality("face", options.face_dim, options.face_rate),
        ),
        classes=CLASSES,
        intensities=EMOTIONS,
        votes=CLASSES,
        truth=truth,
        generated=True,
        description=f"Generated, not recorded: preset {options.preset!r}, seed {options.seed}, "
        f"{options.dialogues} dialogues of {options.speakers} invented speakers.",
        licence="none needed",
        notes=("words are invented; nothing measured here says anything about people",),
    )


def simulate(options: Options, split: str) -> Iterator[Utterance]:
    """The utterances of one split, in order of dialogue."""
    for number in range(options.dialogues):
        if split_of(options, number) == split:
            yield from dialogue(options, number)
