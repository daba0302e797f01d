"""Neighbours by hand, ridge by its normal equations."""

import numpy as np
import pytest

from mer_jax.data.examples import ExampleSet
from mer_jax.emotion_space.predictors import Fitted, NeighboursConfig, RidgeConfig, pooled
from mer_jax.errors import InputError

NAMES = ("happy", "sad")


def example_set(count, seed, informative=True, unit="utterance"):
    """Sequences of one to five frames around a vector that tells the two intensities."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(count, 3))
    frames = [c + 0.1 * random.normal(size=(random.integers(1, 6), 3)) for c in centres]
    targets = centres[:, :2] if informative else random.normal(size=(count, 2))
    rows = list(np.arange(count)[:, None])
    return ExampleSet({"audio": frames}, rows, [t[None] for t in targets.astype(np.float32)], unit)


def table(examples):
    return np.concatenate(examples.targets)


def test_neighbours_are_the_nearest_by_hand():
    train, test = example_set(30, 0), example_set(5, 1)
    fitted = Fitted.fit(NeighboursConfig((4,)), train, example_set(8, 2), NAMES)
    inputs = np.stack([x.mean(axis=0) for x in train.features["audio"]])
    mean, sd = inputs.mean(axis=0), inputs.std(axis=0)
    for sequence, found in zip(test.features["audio"], fitted(test), strict=True):
        distance = np.linalg.norm((inputs - sequence.mean(axis=0)) / sd, axis=1)
        nearest = np.argsort(distance)[:4]
        np.testing.assert_allclose(found, table(train)[nearest].mean(axis=0), rtol=1e-5)
    assert mean.shape == (3,)


def test_weights_by_distance_are_inverse_distances():
    train, test = example_set(30, 0), example_set(3, 1)
    fitted = Fitted.fit(NeighboursConfig((30,), "distance"), train, example_set(8, 2), NAMES)
    inputs = np.stack([x.mean(axis=0) for x in train.features["audio"]])
    sequence = test.features["audio"][0].mean(axis=0)
    weights = 1 / np.linalg.norm((inputs - sequence) / inputs.std(axis=0), axis=1)
    np.testing.assert_allclose(fitted(test)[0], weights @ table(train) / weights.sum(), rtol=1e-5)


def test_ridge_solves_its_normal_equations():
    train, test = example_set(30, 0), example_set(5, 1)
    fitted = Fitted.fit(RidgeConfig((7.0,)), train, example_set(8, 2), NAMES)
    inputs, wanted = pooled(train), table(train).astype(np.float64)
    scaled = (inputs - inputs.mean(axis=0)) / inputs.std(axis=0)
    weights = np.linalg.solve(scaled.T @ scaled + 7 * np.eye(3), scaled.T @ (wanted - wanted.mean(axis=0)))
    expected = (pooled(test) - inputs.mean(axis=0)) / inputs.std(axis=0) @ weights + wanted.mean(axis=0)
    np.testing.assert_allclose(fitted(test), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("select", ["loss", "mae", "ccc"])
def test_dev_chooses_by_the_protocols_score(select):
    fitted = Fitted.fit(NeighboursConfig((1, 3, 25)), example_set(60, 0), example_set(40, 1), NAMES, select)
    scores = [row[select] for row in fitted.tried]
    best = max(scores) if select == "ccc" else min(scores)
    assert [row["chosen"] for row in fitted.tried] == [score == best for score in scores]
    assert fitted.tried[2]["chosen"] is False


def test_features_that_tell_nothing_ask_for_many_neighbours():
    train, dev = (example_set(200, seed, informative=False) for seed in (0, 1))
    chosen = next(
        row for row in Fitted.fit(NeighboursConfig((1, 5, 150)), train, dev, NAMES).tried if row["chosen"]
    )
    assert chosen["neighbours"] == 150


def test_words_are_the_mean_of_their_vectors_and_a_missing_one_is_zeros():
    ids = [np.array([[1.0], [2]]), np.zeros((0, 1))]
    examples = ExampleSet(
        {"words": ids, "audio": [np.ones((2, 2)), np.zeros((0, 2))]},
        [np.array([0]), np.array([1])],
        None,
        "utterance",
    )
    vectors = np.array([[0.0, 0], [2, 4], [4, 8]])
    np.testing.assert_array_equal(pooled(examples, vectors), [[3, 6, 1, 1], [0, 0, 0, 0]])
    with pytest.raises(InputError, match=r"pass --data\.vectors"):
        pooled(examples)


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="at least one number of 1 or more"):
        NeighboursConfig(())
    with pytest.raises(InputError, match="at least one number above 0"):
        RidgeConfig((0.0,))
    with pytest.raises(InputError, match="all above the 5 utterances of train"):
        Fitted.fit(NeighboursConfig((6,)), example_set(5, 0), example_set(5, 1), NAMES)
    with pytest.raises(InputError, match="choose loss, mae or ccc"):
        Fitted.fit(RidgeConfig(), example_set(5, 0), example_set(5, 1), NAMES, "accuracy")
    with pytest.raises(InputError, match=r"set --data\.unit utterance"):
        pooled(example_set(5, 0, unit="dialogue"))
