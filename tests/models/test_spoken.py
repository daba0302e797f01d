"""Systems on words and sound: decoders with feedback, forced alignment, MDRE and MDREA, what was wrong."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import softmax

from experiments.experiment import get_config
from mer_jax.data.batching import Batch, Buckets, batches
from mer_jax.data.examples import View, make_examples
from mer_jax.data.preprocessing import Preprocessing
from mer_jax.data.schema import WAVEFORM
from mer_jax.data.vocabulary import WORDS
from mer_jax.errors import InputError
from mer_jax.models.base import Task
from mer_jax.models.dual_recurrent import DualRecurrentConfig, read
from mer_jax.models.early_fusion import EarlyFusionConfig
from mer_jax.models.late_fusion import LateFusionConfig
from mer_jax.models.lexico_acoustic import LexicoAcousticConfig, steps_of
from mer_jax.models.unimodal import UnimodalConfig
from mer_jax.nn.front_end import FrontEndConfig
from tests.models.test_classifiers import LOOSE, initialised, jit_apply
from tests.tiny import AUDIO_RATE, SOUND_RATE, spoken_corpus

SIZE = 16
RATES = {"audio": AUDIO_RATE, WAVEFORM: SOUND_RATE}
DIMS = {WORDS: 1, "text": 4, "audio": 6, WAVEFORM: 1}
FRONT = FrontEndConfig(embedding=5, filters=(3, 4), kernels=(5, 3), pools=(5, 2))
DECODER = LexicoAcousticConfig(
    main=WORDS,
    auxiliary=WAVEFORM,
    front=FRONT,
    cell="gru",
    hidden=(6,),
    bidirectional=False,
    encoder="decoder",
    starts_from_auxiliary=True,
    width=4,
    half_width=3,
    attention_size=6,
    dense=(),
    dropout=0.0,
    pooling="last",
)
MDRE = DualRecurrentConfig(WORDS, "audio", FRONT, hidden=6, dropout=0.0)


def task(modalities, timed=""):
    rates = {m: RATES[m] for m in modalities if m in RATES}
    return Task({m: DIMS[m] for m in modalities}, 3, True, "utterance", rates, SIZE, timed)


def batch_of(rows, modalities, timed="", extra=0, size=None):
    view = View(modalities, timed=timed)
    everything = make_examples(spoken_corpus(), np.arange(96), view, None)
    fitted = Preprocessing.fit(
        everything, scale=True, outlier_limit=10.0, buckets=1, length_quantile=1.0, vocabulary=SIZE
    )
    examples = fitted(make_examples(spoken_corpus(), np.asarray(rows), view, None))
    longer = Buckets({m: (edges[0] + extra,) for m, edges in fitted.buckets.lengths.items()}, False)
    (batch,) = batches(examples, longer, size or len(examples))
    return jax.tree.map(jnp.asarray, batch)


def built(config, modalities=None, timed=""):
    modalities = modalities or config.attends
    batch = batch_of(range(6), modalities, timed)
    model = config.build(task(modalities, timed))
    return jit_apply(model), initialised(model, batch), batch


def changed(**fields):
    return dataclasses.replace(DECODER, **fields)


SYSTEMS = {
    "none": (DECODER, (WORDS, WAVEFORM), ""),
    "state": (changed(feedback="state", score="concat"), (WORDS, WAVEFORM), ""),
    "input": (changed(feedback="input", alignment="local_p", auxiliary="audio"), (WORDS, "audio"), ""),
    "forced": (changed(alignment="forced"), (WORDS, WAVEFORM), WORDS),
    "forced, fed back": (changed(alignment="forced", feedback="input"), (WORDS, WAVEFORM), WORDS),
    "exchanged": (changed(main="audio", auxiliary=WORDS), (WORDS, "audio"), ""),
    "MDRE": (MDRE, (WORDS, "audio"), ""),
    "MDREA": (dataclasses.replace(MDRE, attention="by_audio"), (WORDS, "audio"), ""),
    "words alone": (UnimodalConfig((6,), (4,), 0.0, front=FRONT, cell="gru"), (WORDS,), ""),
    "waveform alone": (UnimodalConfig((6,), (4,), 0.0, front=FRONT), (WAVEFORM,), ""),
    "early": (EarlyFusionConfig((6,), (4,), 0.0, front=FRONT, clock=WAVEFORM), (WORDS, WAVEFORM), ""),
    "late": (LateFusionConfig((6,), (4,), 0.0, front=FRONT), (WORDS, WAVEFORM), ""),
}


@pytest.mark.parametrize("name", SYSTEMS)
def test_padding_changes_nothing_and_examples_do_not_mix(name):
    config, modalities, timed = SYSTEMS[name]
    model, variables, batch = built(config, modalities, timed)
    logits = model(variables, batch).logits
    more = model(variables, batch_of(range(6), modalities, timed, extra=20, size=8)).logits
    np.testing.assert_allclose(more[:6], logits, **LOOSE)
    alone = model(variables, batch_of([4], modalities, timed)).logits
    np.testing.assert_allclose(alone[0], logits[4], **LOOSE)


def test_without_masks_padding_does_change_the_result():
    model, variables, batch = built(changed(masked=False))
    more = model(variables, batch_of(range(6), (WORDS, WAVEFORM), extra=20)).logits
    assert np.abs(more - model(variables, batch).logits).max() > 1e-3


def test_scrambled_states_are_those_of_a_reshape_where_a_transposition_was_meant():
    """NumPy's own reshape of the transposed states, attended to globally, as a check of the flag."""
    config = changed(alignment="global", auxiliary_states="scrambled_by_reshape")
    model, variables, batch = built(config)
    in_order = changed(alignment="global").build(task(config.attends))
    _, seen = in_order.apply(variables, batch, False, capture_intermediates=True)
    states = np.asarray(seen["intermediates"]["auxiliary_0"]["__call__"][0][0])
    scrambled = np.stack([one.T.reshape(one.shape) for one in states])
    assert not np.allclose(scrambled, states)

    def exchanged(next_fun, args, kwargs, context):
        if context.module.name == "decoder" and context.method_name == "__call__":
            args = (args[0], args[1], jnp.asarray(scrambled), *args[3:])
        return next_fun(*args, **kwargs)

    import flax.linen as nn

    with nn.intercept_methods(exchanged):
        wanted = in_order.apply(variables, batch, False).logits
    np.testing.assert_allclose(model(variables, batch).logits, wanted, **LOOSE)


def test_forced_alignment_gives_each_word_the_steps_of_its_time():
    """Against the mean over each word's own steps, which is what even scores make of them."""
    config = changed(alignment="forced", auxiliary="audio")
    batch = batch_of(range(6), config.attends, WORDS)
    model = config.build(task(config.attends, WORDS))
    outputs = jax.jit(lambda key: model.init_with_output(key, batch, False, weights=True))(jax.random.key(0))[
        0
    ]
    values, positions = map(np.asarray, outputs.attention["weights"])
    mask, spans = np.asarray(batch.masks[WORDS]), np.asarray(batch.spans)
    assert mask.any(axis=1).sum() > 3
    for b, t in zip(*np.nonzero(mask), strict=True):
        seen = np.sort(positions[b, t][positions[b, t] >= 0])
        frames = np.arange(
            int(np.floor(spans[b, t, 0] * AUDIO_RATE)), int(np.ceil(spans[b, t, 1] * AUDIO_RATE))
        )
        np.testing.assert_array_equal(seen, frames)
        assert values[b, t].sum() == pytest.approx(1, rel=1e-5)


def test_spans_become_steps():
    spans = jnp.asarray([[[0.0, 0.1], [0.1, 0.34], [0.34, 0.341], [0.0, -1.0]]])
    np.testing.assert_array_equal(steps_of(spans, 10.0)[0], [[0, 0], [1, 3], [3, 3], [0, -1]])


def test_mdrea_reads_the_text_by_the_audio():
    random = np.random.default_rng(0)
    query, states = random.normal(size=(2, 3)), random.normal(size=(2, 4, 3))
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0]], bool)
    wanted = softmax(states[0, mask[0]] @ query[0]) @ states[0, mask[0]]
    found = read(jnp.asarray(query, jnp.float32), jnp.asarray(states, jnp.float32), jnp.asarray(mask))
    np.testing.assert_allclose(found[0], wanted, rtol=1e-5)
    np.testing.assert_array_equal(found[1], 0)


def counted(config, dims, vocabulary=0, front_steps=None):
    """Parameters by shapes alone."""
    model = config.build(Task(dims, 4, True, "utterance", {WAVEFORM: 16000.0, "mfcc": 100.0}, vocabulary))
    lengths = {WAVEFORM: 150_000, WORDS: 128} | (front_steps or {})
    batch = batch_of(range(2), (WORDS,))
    features = {m: jnp.zeros((2, lengths.get(m, 8), dim)) for m, dim in dims.items()}
    batch = batch.replace(
        features=features, masks={m: jnp.ones(x.shape[:2], bool) for m, x in features.items()}
    )
    shapes = jax.eval_shape(lambda: model.init_with_output(jax.random.key(0), batch, False, weights=True))
    return shapes[0], sum(x.size for x in jax.tree.leaves(shapes[1]))


def test_the_original_network_has_the_shapes_and_parameters_of_section_4():
    """By hand: 60 steps of 150,000 samples; the reduced filters 4 and 8, GRUs of 200, words of 300."""
    config = get_config("lexico_acoustic_iemocap_original").model
    outputs, count = counted(config, {WORDS: 1, WAVEFORM: 1}, 4096)
    values, _ = outputs.attention["weights"]
    assert values.shape == (2, 128, 60)
    assert outputs.states["fused"].shape == (2, 200)
    convolutions = (25 * 1 * 4 + 4) + (5 * 4 * 8 + 8)
    audio, text = (3 * 200 * (dim + 200 + 1) + 200 for dim in (8, 300))
    attention = 200 * 200 + 200 * 200 + 200 + 400 * 200
    assert count == 4096 * 300 + convolutions + audio + text + attention + 200 * 4 + 4


def test_the_full_audio_encoder_alone():
    front = FrontEndConfig()
    config = UnimodalConfig((200,), (), 0.2, bidirectional=False, cell="gru", front=front)
    model = config.build(Task({WAVEFORM: 1}, 4, True, "utterance"))
    batch = batch_of(range(2), (WAVEFORM,))
    long = batch.replace(
        features={WAVEFORM: jnp.zeros((2, 150_000, 1))}, masks={WAVEFORM: jnp.ones((2, 150_000), bool)}
    )
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), long, False))
    convolutions = (25 * 25 + 25) + (5 * 25 * 50 + 50)
    gru = 3 * 200 * (50 + 200 + 1) + 200
    assert sum(x.size for x in jax.tree.leaves(shapes)) == convolutions + gru + 200 * 4 + 4


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"encoder": "recurrent"}, "are a decoder's"),
        ({"feedback": "state", "attention_size": 5}, "must be the decoder's 6 units"),
        ({"auxiliary_hidden": (7,)}, "can't start from the auxiliary encoder"),
        ({"auxiliary_dropout": 1.5}, "auxiliary_dropout=1.5"),
    ],
)
def test_decoders_that_make_no_sense_say_why(change, words):
    with pytest.raises(InputError, match=words):
        changed(**change)


@pytest.mark.parametrize(
    ("modalities", "timed", "words"),
    [((WORDS, WAVEFORM), "", "set --data.timed words"), ((WORDS, "text"), WORDS, "which has none")],
)
def test_forced_alignment_says_what_it_needs(modalities, timed, words):
    config = changed(alignment="forced", auxiliary=modalities[1])
    with pytest.raises(InputError, match=words):
        config.build(task(modalities, timed))


def test_a_dual_system_says_what_it_needs():
    with pytest.raises(InputError, match=r"model\.text='words' is not among data\.modalities"):
        MDRE.build(task(("text", "audio")))


def test_a_batch_without_spans_is_a_batch():
    assert isinstance(batch_of([0], (WORDS,)), Batch)
    assert batch_of([0], (WORDS,)).spans is None
