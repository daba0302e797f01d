"""Examples, scaling, padding and the order of batches."""

import numpy as np
import pytest

from mer_jax.data.batching import Buckets, batches, plan
from mer_jax.data.examples import View, make_examples
from mer_jax.data.preprocessing import Preprocessing, balanced_weights
from mer_jax.data.scaling import Scaler, scale_by_speaker
from tests.tiny import DIMS, tiny_corpus

ALL = tuple(DIMS)


@pytest.fixture(scope="module")
def corpus():
    return tiny_corpus()


@pytest.fixture(scope="module")
def targets(corpus):
    return np.array([corpus.spec.classes.index(u.label) for u in corpus.utterances], np.int32)


def utterances(corpus, targets=None, rows=None, step=1):
    rows = np.arange(len(corpus)) if rows is None else rows
    return make_examples(corpus, rows, View(ALL, "utterance", step), targets)


def test_a_dialogue_is_one_example_in_order_of_time(corpus, targets):
    rows = np.random.default_rng(0).permutation(len(corpus))
    examples = make_examples(corpus, rows, View(ALL, "dialogue"), targets)
    assert len(examples) == 16
    for group, labels in zip(examples.rows, examples.targets, strict=True):
        starts = [corpus.utterances[i].start for i in group]
        assert starts == sorted(starts)
        np.testing.assert_array_equal(labels, targets[group])


def test_a_missing_modality_of_a_dialogue_becomes_the_mean_of_train(corpus):
    examples = make_examples(corpus, np.arange(len(corpus)), View(ALL, "dialogue"), None)
    lacking = [
        (g, i)
        for g, rows in enumerate(examples.rows)
        for i, r in enumerate(rows)
        if not corpus.utterances[r].has("text")
    ]
    assert lacking
    scaled = Scaler.fit(examples, 10.0)(examples)
    for group, step in lacking:
        assert not scaled.features["text"][group][step].any()
    assert all(np.isfinite(x).all() for x in scaled.features["text"])


def test_scaling_of_train_has_mean_0_and_sd_1(corpus):
    examples = utterances(corpus)
    scaled = np.concatenate(Scaler.fit(examples, 50.0)(examples).features["audio"])
    np.testing.assert_allclose(scaled.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(0), 1, atol=1e-5)


def test_outliers_are_clipped_and_constants_survive(corpus):
    examples = utterances(corpus)
    frames = [x.copy() for x in examples.features["audio"]]
    frames[0][0, 0], _ = 1e9, [x.__setitem__((slice(None), 1), 7.0) for x in frames]
    changed = type(examples)({**examples.features, "audio": frames}, examples.rows, None, "utterance")
    scaled = np.concatenate(Scaler.fit(changed, 5.0)(changed).features["audio"])
    assert np.abs(scaled).max() <= 5
    assert not scaled[:, 1].any()


def test_speaker_scaling_standardises_each_speaker(corpus):
    scaled = scale_by_speaker(corpus, ALL)
    assert scaled.content_hash != corpus.content_hash
    for speaker in set(corpus.column("speaker")):
        frames = np.concatenate([u.features["audio"] for u in scaled.utterances if u.speaker == speaker])
        np.testing.assert_allclose(frames.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(frames.std(0), 1, atol=1e-5)


def test_preprocessing_survives_json(corpus):
    examples = utterances(corpus)
    made = Preprocessing.fit(examples, scale=True, outlier_limit=4.0, buckets=3, length_quantile=1.0)
    again = Preprocessing.from_json(made.to_json())
    for a, b in zip(
        made.scaler(examples).features["audio"], again.scaler(examples).features["audio"], strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert again.buckets == made.buckets


@pytest.mark.parametrize("batch_size", [1, 7, 32, 500])
def test_an_epoch_holds_every_example_once_and_at_most_one_batch_is_not_full(corpus, targets, batch_size):
    examples = utterances(corpus, targets)
    buckets = Buckets.fit(examples, 4)
    seen = list(batches(examples, buckets, batch_size, order=(3, 1)))
    rows = np.concatenate([b.rows[b.rows >= 0] for b in seen])
    assert sorted(rows) == list(range(len(corpus)))
    assert sum((b.rows < 0).any() for b in seen) <= 1


def test_batches_hold_what_the_corpus_holds(corpus, targets):
    examples = utterances(corpus, targets)
    for batch in batches(examples, Buckets.fit(examples, 3), 16):
        for place, row in enumerate(batch.rows):
            for modality in ALL:
                length = int(batch.masks[modality][place].sum())
                expected = corpus.utterances[row].features.get(modality, np.zeros((0, 1))) if row >= 0 else ()
                assert length == len(expected)
                np.testing.assert_array_equal(
                    batch.features[modality][place, :length],
                    expected[:length] if length else batch.features[modality][place, :0],
                )
                assert not batch.features[modality][place, length:].any()
            assert batch.weights[place] == (row >= 0)
            assert row < 0 or batch.targets[place] == targets[row]


def test_shapes_are_bounded_by_the_buckets(corpus):
    examples = utterances(corpus)
    shapes = {b.features["audio"].shape for b in batches(examples, Buckets.fit(examples, 4), 8, order=(0, 0))}
    assert len(shapes) <= 4


def test_order_depends_on_seed_and_epoch_alone(corpus):
    examples = utterances(corpus)
    buckets = Buckets.fit(examples, 4)
    orders = [
        [m.tolist() for _, m in plan(examples, buckets, 8, order)]
        for order in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] != orders[3] != orders[0]


def test_longer_test_sequences_get_a_bucket_of_their_own_and_are_not_cut(corpus):
    lengths = np.array([len(u.features["audio"]) for u in corpus.utterances])
    short = utterances(corpus, rows=np.flatnonzero(lengths < 15))
    everything = utterances(corpus)
    buckets = Buckets.fit(short, 2).covering(everything)
    longest = max(int(b.masks["audio"].sum(1).max()) for b in batches(everything, buckets, 8))
    assert longest == lengths.max()


def test_a_length_quantile_cuts_at_its_ceiling(corpus):
    """As M. Schmitz: the 95th percentile of train lengths, rounded up."""
    examples = utterances(corpus)
    lengths = np.array([len(u.features["audio"]) for u in corpus.utterances])
    limit = int(np.ceil(np.percentile(lengths, 95)))
    buckets = Buckets.fit(examples, 1, quantile=0.95)
    assert buckets.lengths["audio"] == (limit,)
    assert buckets.covering(examples) == buckets
    (batch,) = batches(examples, buckets, 200)
    np.testing.assert_array_equal(
        np.sort(batch.masks["audio"].sum(1))[-len(lengths) :], np.sort(np.minimum(lengths, limit))
    )


def test_balanced_weights_equal_scikit_learn():
    from sklearn.utils.class_weight import compute_class_weight

    y = np.array([0, 0, 0, 2, 2, 3])
    expected = compute_class_weight("balanced", classes=np.array([0, 2, 3]), y=y)
    np.testing.assert_allclose(balanced_weights(y, 4), [expected[0], 0, expected[1], expected[2]])


def soft_of(targets):
    """Distributions that name their utterance: 1 / (row + 2) of the mass beside the target."""
    aside = 1 / (np.arange(len(targets)) + 2)
    soft = np.eye(3)[targets] * (1 - aside)[:, None]
    soft[np.arange(len(targets)), (targets + 1) % 3] += aside
    return soft.astype(np.float32)


@pytest.mark.parametrize("unit", ["utterance", "dialogue"])
def test_soft_targets_lie_where_the_targets_do(corpus, targets, unit):
    soft = soft_of(targets)
    examples = make_examples(corpus, np.arange(len(corpus)), View(ALL, unit), targets, soft)
    scaled = Scaler.fit(examples, 10.0)(examples)
    for batch in batches(scaled, Buckets.fit(scaled, 2), 8, order=(0, 0)):
        there = batch.rows >= 0
        assert batch.soft_targets.dtype == np.float32
        np.testing.assert_array_equal(batch.soft_targets[there], soft[batch.rows[there]])
        np.testing.assert_array_equal(batch.targets[there], targets[batch.rows[there]])
        assert not batch.soft_targets[~there].any()


def test_without_soft_targets_a_batch_has_none(corpus, targets):
    examples = utterances(corpus, targets)
    assert all(b.soft_targets is None for b in batches(examples, Buckets.fit(examples, 1), 32))


def test_masks_of_frames_that_are_not_zero(corpus):
    """Keras' Masking(0): a true frame of zeros counts as padding, wherever it is."""
    examples = utterances(corpus)
    frames = [x.copy() for x in examples.features["audio"]]
    for x in frames:
        x[1], x[2, 1:] = 0, 0
    changed = type(examples)({**examples.features, "audio": frames}, examples.rows, None, "utterance")
    fitted = Preprocessing.fit(
        changed, scale=False, outlier_limit=1.0, buckets=1, length_quantile=1.0, masks="nonzero"
    )
    buckets = Preprocessing.from_json(fitted.to_json()).buckets.covering(changed)
    assert buckets.masks == "nonzero"
    (batch,) = batches(changed, buckets, 100)
    (true,) = batches(changed, Buckets.fit(changed, 1), 100)
    for modality in ALL:
        expected = (batch.features[modality] != 0).any(axis=2)
        np.testing.assert_array_equal(batch.masks[modality], expected)
    gone = true.masks["audio"] & ~batch.masks["audio"]
    np.testing.assert_array_equal(gone.sum(axis=1), (batch.rows >= 0).astype(int))
    assert gone[batch.rows >= 0, 1].all()
    np.testing.assert_array_equal(true.masks["text"], batch.masks["text"])


def test_preprocessing_saved_before_masks_were_a_choice_has_true_ones(corpus):
    made = Preprocessing.fit(
        utterances(corpus), scale=True, outlier_limit=4.0, buckets=1, length_quantile=1.0
    )
    old = {name: value for name, value in made.to_json().items() if name != "masks"}
    assert Preprocessing.from_json(old).buckets == made.buckets


def test_a_set_without_targets_has_none_to_give(corpus):
    examples = utterances(corpus)
    assert examples.targets is None
    assert not any(batch.targets.any() for batch in batches(examples, Buckets.fit(examples, 1), 32))


def test_preprocessing_tells_the_audit_what_it_was_fitted_on(corpus):
    rows = np.array([3, 1, 40])
    examples = utterances(corpus, rows=rows)
    made = Preprocessing.fit(examples, scale=True, outlier_limit=4.0, buckets=1, length_quantile=1.0)
    assert sorted(made.rows) == sorted(rows)


def test_a_step_is_the_mean_of_its_frames(corpus):
    whole, steps = utterances(corpus), utterances(corpus, step=4)
    for frames, means in zip(whole.features["audio"], steps.features["audio"], strict=True):
        expected = [frames[i : i + 4].mean(axis=0) for i in range(0, len(frames), 4)]
        np.testing.assert_allclose(means, expected, atol=1e-5)
