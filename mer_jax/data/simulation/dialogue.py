"""Dialogues of speakers who take turns, each utterance with its features and its truth."""

import dataclasses
from collections.abc import Iterator

import numpy as np

from mer_jax.data.randomness import autoregressive, between, rounded, stream
from mer_jax.data.schema import SPLITS, Utterance
from mer_jax.data.simulation import emotion
from mer_jax.data.simulation.emotion import EMOTIONS, LATENT_RATE
from mer_jax.data.simulation.options import ANY, MODALITIES, Options
from mer_jax.data.simulation.rendering import Scene, bury, render, voice
from mer_jax.data.simulation.vocabulary import vocabulary
from mer_jax.errors import InputError

_DEV, _TEST = 2, (1, 6, 4, 8, 5, 9, 7, 3)  # of every ten dialogues; test takes the first so many
_SPEAKERS_PER_DIALOGUE = (2, 3)
_EDGE = 0.2


@dataclasses.dataclass
class _Turn:
    """What a dialogue remembers from turn to turn: the last speaker, plans and states by speaker."""

    clock: float = 0.0
    speaker: int | None = None
    planned: dict[int, int] = dataclasses.field(default_factory=dict)
    state: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)


def split_of(options: Options, dialogue: int) -> str:
    """The split a dialogue belongs to, whatever the number of dialogues."""
    place = dialogue % 10
    if place == _DEV:
        return "dev"
    return "test" if place in _TEST[: options.test_tenths] else "train"


def speaker_pools(options: Options) -> dict[str, range]:
    """The speakers of each split, disjoint unless they are shared. Raises InputError where too few."""
    fewest, total = _SPEAKERS_PER_DIALOGUE[1], options.speakers
    needed = fewest if options.shared_speakers else 3 * fewest
    if total < needed:
        raise InputError(f"generated: speakers = {total}; give at least {needed} for these splits")
    if options.shared_speakers:
        return dict.fromkeys(SPLITS, range(total))
    dev, test = max(fewest, round(0.1 * total)), max(fewest, round(0.1 * options.test_tenths * total))
    test = min(test, total - dev - fewest)
    edge = total - dev - test
    return {"train": range(edge), "dev": range(edge, edge + dev), "test": range(edge + dev, total)}


def dialogue(options: Options, number: int) -> Iterator[Utterance]:
    """The utterances of one dialogue; a function of the options and its number alone."""
    rng = stream(options.seed, "dialogue", number)
    pool = speaker_pools(options)[split_of(options, number)]
    cast = rng.permutation(len(pool))[: between(rng, *_SPEAKERS_PER_DIALOGUE)] + pool.start
    turn = _Turn()
    for place in range(between(rng, *options.utterances)):
        others = [int(s) for s in cast if s != turn.speaker]
        speaker = others[int(rng.integers(len(others)))]
        yield _utterance(rng, options, number, place, speaker, turn)


def _utterance(
    rng: np.random.Generator, options: Options, number: int, place: int, speaker: int, turn: _Turn
) -> Utterance:
    previous = None if turn.speaker is None else turn.planned[turn.speaker]
    planned = emotion.plan(rng, options, turn.planned.get(speaker), previous)
    scene = _scene(rng, options, planned, turn.state.get(speaker, np.full(len(EMOTIONS), 0.2)))
    mean = scene.states.mean(axis=0)
    start = turn.clock + float(rounded(0.1 + 0.5 * rng.random()))
    turn.clock, turn.speaker = start + scene.seconds, speaker
    turn.planned[speaker], turn.state[speaker] = planned, scene.states[-1]
    features, truth = _features(rng, options, scene, speaker, split_of(options, number))
    words = tuple(vocabulary().words[i] for i in scene.words)
    return Utterance(
        id=f"d{number:04d}_u{place:03d}",
        speaker=f"s{speaker:03d}",
        dialogue=f"d{number:04d}",
        start=start,
        end=turn.clock,
        transcript=" ".join(words),
        features=features,
        label=emotion.class_of(mean),
        intensities=rounded(mean),
        votes=emotion.votes(rng, options, mean),
        words=words,
        word_spans=scene.spans.astype(np.float32),
        truth=truth,
    )


def _scene(rng: np.random.Generator, options: Options, planned: int, before: np.ndarray) -> Scene:
    """Words, states and movement of one utterance; room is left for what leads and lags."""
    count = between(rng, *options.words)
    lags = [options.of("lag", m) for m in MODALITIES]
    spans = _EDGE - min(lags) + _word_spans(rng, count)
    spans = rounded(spans).astype(np.float64)
    seconds = float(rounded(spans[-1, 1] + _EDGE + max(lags)))
    states = emotion.path(rng, planned, before, seconds)
    ironic = bool(rng.random() < options.interaction / 2)
    felt = emotion.at(states, spans.mean(axis=1))
    words = np.array([vocabulary().draw(rng, state) for state in felt])
    if ironic:
        words[int(rng.integers(count))] = 0
    emphasised = np.zeros(count, bool)
    emphasised[rng.permutation(count)[: max(1, count // 6)]] = options.emphasis > 0
    moving = autoregressive(rng, len(states), len(EMOTIONS), float(np.exp(-2 / LATENT_RATE)))
    articulation = 0.8 * rng.standard_normal(len(EMOTIONS)) + 0.6 * moving
    stray = rng.standard_normal(len(EMOTIONS))
    return Scene(seconds, states, _decoy(rng, states), articulation, stray, words, spans, emphasised, ironic)


def _word_spans(rng: np.random.Generator, count: int) -> np.ndarray:
    """Spans [count, 2]: log-normal durations around 0.3 s, a pause after one word in five."""
    lengths = np.clip(0.3 * np.exp(0.35 * rng.standard_normal(count)), 0.1, 0.9)
    pauses = np.where(rng.random(count) < 0.2, 0.1 + 0.4 * rng.random(count), 0.02)
    starts = np.cumsum(lengths + pauses) - lengths - pauses
    return np.stack([starts, starts + lengths], axis=1)


def _decoy(rng: np.random.Generator, states: np.ndarray) -> np.ndarray:
    """The same path with the strongest emotion weak and another, drawn at random, strong."""
    strongest = int(np.argmax(states.mean(axis=0)))
    other = (strongest + 1 + int(rng.integers(len(EMOTIONS) - 1))) % len(EMOTIONS)
    decoy = states.copy()
    decoy[:, strongest] = np.minimum(states[:, strongest], states[:, other])
    decoy[:, other] = np.maximum(states[:, strongest], 1.4 + rng.random())
    return decoy


def _features(
    rng: np.random.Generator, options: Options, scene: Scene, speaker: int, split: str
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """What a model sees, and the truth behind it."""
    clean = {m: render(rng, options, scene, voice(options, speaker), m) for m in MODALITIES}
    draws, which = rng.random(len(MODALITIES) + 1), int(rng.integers(len(MODALITIES)))
    target = MODALITIES[which] if options.bad_modality == ANY else options.bad_modality
    bad = target if draws[-1] < options.bad_share and split in options.bad_splits else ""
    seen = {m: bury(rng, x, options.bad_snr_db) if m == bad else x for m, x in clean.items()}
    missing = {m for m, draw in zip(MODALITIES, draws, strict=False) if draw < options.of("missing", m)}
    if missing == set(MODALITIES):
        missing.remove(MODALITIES[which])
    alignment = scene.spans + options.lag_audio
    truth = {
        "latent": scene.states,
        "alignment": alignment.astype(np.float32),
        "emphasised": scene.emphasised.astype(np.float32),
        "ironic": _scalar(scene.ironic),
    }
    for m in MODALITIES:
        truth[f"bad_{m}"] = _scalar(m == bad)
        truth[f"lag_{m}"] = _scalar(options.of("lag", m))
        truth[f"clean_{m}"] = rounded(clean[m] if m == bad else clean[m][:0])
    return {m: rounded(x) for m, x in seen.items() if m not in missing}, truth


def _scalar(value: float | bool) -> np.ndarray:
    return np.array(value, np.float32)
