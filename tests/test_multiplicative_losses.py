"""Multiplicative losses against their printed formulas, evaluated directly in NumPy's float64."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit, softmax

from mer_jax import losses
from mer_jax.errors import InputError
from mer_jax.losses import Multiplicative

WEIGHTINGS = ("original", "modified", "product")
M, N, K = 3, 20, 4
LOGITS = np.random.default_rng(0).normal(0, 2, (M, N, K)).astype(np.float32)
LABELS = np.arange(N, dtype=np.int32) % K
AVAILABLE = np.tile(np.array([[1, 1, 0, 1, 0], [1, 0, 1, 1, 0], [1, 1, 1, 0, 1]], bool), (1, 4))
EVERYWHERE = np.ones((M, N), bool)


def weight(p, i, there, weighting, beta):
    """w_i: p holds the classes' probabilities per modality, `there` the indices that exist."""
    others = [j for j in there if j != i]
    if not others:
        return 1.0
    a = beta / (len(there) - 1)
    if weighting == "original":
        return np.prod([1 - p[j] for j in others], axis=0) ** a
    return p[i] ** a if weighting == "modified" else np.prod([p[j] for j in others], axis=0) ** a


def printed(p, available, weighting, beta, weights_of=None):
    """c^(k), [positions, classes], as the papers print it; `weights_of`: other probabilities for the weights."""
    weights_of = p if weights_of is None else weights_of
    costs = np.zeros(p.shape[1:])
    for n in range(len(costs)):
        there = [i for i in range(len(p)) if available[i, n]]
        for i in there:
            costs[n] -= weight(weights_of[:, n], i, there, weighting, beta) * np.log(p[i, n])
    return costs


def probabilities(logits=LOGITS):
    return softmax(np.asarray(logits, np.float64), axis=-1)


def ours(form, targets=LABELS, logits=LOGITS, available=None):
    available = None if available is None else jnp.asarray(available)
    return losses.multiplicative_loss(jnp.asarray(logits), jnp.asarray(targets), available, form)


@functools.partial(jax.jit, static_argnums=0)
def gradient_of(form, logits):
    return jax.grad(lambda z: ours(form, np.zeros(1, np.int32), z).sum())(logits)


def of_true_class(form, logits):
    """Of one position, whose class is the first: the gradient of its logit, per modality."""
    return np.asarray(gradient_of(form, jnp.asarray(logits)))[:, 0, 0]


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("beta", [0.3, 1.0, 4.0])
def test_costs_are_those_printed(weighting, beta):
    form = Multiplicative(weighting, beta)
    for available in (EVERYWHERE, AVAILABLE):
        expected = printed(probabilities(), available, weighting, beta)
        costs = losses.multiplicative_costs(jnp.asarray(LOGITS), jnp.asarray(available), form)
        np.testing.assert_allclose(costs, expected, rtol=2e-5)
        loss = ours(form, available=available)
        np.testing.assert_allclose(loss, expected[np.arange(N), LABELS], rtol=2e-5)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("stop", [True, False])
def test_gradients_by_finite_differences(weighting, stop):
    """With stopped weights: differences of the loss whose weights stay where they are."""
    beta, base, step = 1.7, LOGITS.astype(np.float64), 1e-5

    def loss(logits):
        fixed = probabilities(base) if stop else None
        return printed(probabilities(logits), AVAILABLE, weighting, beta, fixed)[np.arange(N), LABELS].sum()

    expected = np.zeros(base.shape)
    for place in np.ndindex(base.shape):
        shift = np.zeros(base.shape)
        shift[place] = step
        expected[place] = (loss(base + shift) - loss(base - shift)) / (2 * step)
    form = Multiplicative(weighting, beta, stop)
    gradient = jax.grad(lambda z: ours(form, logits=z, available=AVAILABLE).sum())(jnp.asarray(LOGITS))
    np.testing.assert_allclose(gradient, expected, atol=2e-5)
    assert not np.asarray(gradient)[~AVAILABLE].any()


@pytest.mark.parametrize(("classes", "critical"), [(2, 2.89), (4, 1.44), (6, 1.12)])
@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize("side", [-0.02, 0.02])
def test_the_sign_of_the_gradient_at_a_uniform_start(classes, critical, stop, side):
    """Unstopped, the modified loss of 3 modalities drives the true class down from beta = 2 / ln K on."""
    np.testing.assert_allclose(2 / np.log(classes), critical, atol=5e-3)
    form = Multiplicative("modified", critical + side, stop)
    true_class_rises = of_true_class(form, np.zeros((M, 1, classes), np.float32)) < 0
    assert true_class_rises.all() if stop or side < 0 else not true_class_rises.any()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("classes", [2, 4, 6])
@pytest.mark.parametrize("beta", [0.5, 5.0])
def test_with_stopped_weights_the_true_class_always_rises(weighting, classes, beta):
    logits = np.zeros((M, 1, classes), np.float32)
    form = Multiplicative(weighting, beta)
    for true in (-3.0, -1.0, 0.0, 2.0):
        logits[..., 0] = true
        assert (of_true_class(form, logits) < 0).all()


@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_the_unstopped_gradient_turns_at_the_stated_probability(beta):
    turn = np.exp(-2 / beta)
    form = Multiplicative("modified", beta, stop_gradient=False)
    for p, rises in ((turn * 0.97, False), (turn * 1.03, True), (turn**4, False), (turn**0.1, True)):
        logits = np.full((M, 1, 2), [np.log(p / (1 - p)), 0], np.float32)
        assert ((of_true_class(form, logits) < 0) == rises).all()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("stop", [True, False])
def test_beta_of_zero_and_a_single_modality_are_cross_entropy(weighting, stop):
    each = losses.cross_entropy(jnp.asarray(LOGITS), jnp.asarray(np.tile(LABELS, (M, 1))))
    np.testing.assert_allclose(ours(Multiplicative(weighting, 0.0, stop)), each.sum(axis=0), rtol=1e-5)
    form = Multiplicative(weighting, 2.0, stop)
    np.testing.assert_allclose(ours(form, logits=LOGITS[:1]), each[0], rtol=1e-5)
    alone = np.zeros((M, N), bool)
    alone[1] = True
    np.testing.assert_allclose(ours(form, available=alone), each[1], rtol=1e-5)
    assert not np.asarray(ours(form, available=~EVERYWHERE)).any()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("stop", [True, False])
def test_a_missing_modality_might_as_well_not_exist(weighting, stop):
    form = Multiplicative(weighting, 1.3, stop, margin=0.1)
    available = EVERYWHERE.copy()
    available[1] = False
    rubbish = LOGITS.copy()
    rubbish[1] = np.nan

    def loss(logits, there=None):
        return ours(form, logits=logits, available=there).sum()

    value, gradient = jax.value_and_grad(lambda z: loss(z, available))(jnp.asarray(rubbish))
    expected, by_two = jax.value_and_grad(loss)(jnp.asarray(LOGITS[[0, 2]]))
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient[jnp.array([0, 2])], by_two, rtol=1e-5, atol=1e-7)
    assert not np.asarray(gradient)[1].any()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("stop", [True, False])
def test_extreme_logits_give_finite_values_and_gradients(weighting, stop):
    extremes = np.array(np.meshgrid(*[[-1e4, 0, 1e4]] * 4), np.float32).reshape(2, 2, -1).swapaxes(1, 2)
    for beta in (0.5, 20.0):
        form = Multiplicative(weighting, beta, stop, margin=0.2)
        targets = np.zeros(extremes.shape[1], np.int32)
        value, gradient = jax.value_and_grad(lambda z: ours(form, targets, z).sum())(jnp.asarray(extremes))  # noqa: B023
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()


def test_weights_keep_their_precision_where_p_is_nearly_one():
    """1 - p of 1e-9 is 0 in float32's 1 - p; Liu's weight of the other modality is its square root."""
    logits = np.array([[[np.log(1e9), 0.0]], [[0.0, 0.0]]], np.float32)
    costs = losses.multiplicative_costs(jnp.asarray(logits), None, Multiplicative("original", 0.5))
    expected = printed(probabilities(logits), np.ones((2, 1), bool), "original", 0.5)
    np.testing.assert_allclose(costs, expected, rtol=1e-4)


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_boosting_spares_what_is_right_by_a_margin(weighting, margin):
    liu = printed(probabilities(), EVERYWHERE, "original", 0.5)
    labels = np.where(np.arange(N) % 2 == 0, liu.argmin(axis=1), LABELS).astype(np.int32)
    spared = [all(liu[n, y] + margin < liu[n, k] for k in range(K) if k != y) for n, y in enumerate(labels)]
    costs = printed(probabilities(), EVERYWHERE, weighting, 0.5)[np.arange(N), labels]
    loss = ours(Multiplicative(weighting, 0.5, margin=margin), labels)
    assert 0 < sum(spared) < N
    np.testing.assert_allclose(loss, np.where(spared, 0, costs), rtol=2e-5)


def test_soft_labels_are_an_expectation_over_classes():
    votes = np.random.default_rng(1).dirichlet(np.ones(K), N).astype(np.float32)
    expected = (votes * printed(probabilities(), EVERYWHERE, "modified", 0.5)).sum(axis=1)
    np.testing.assert_allclose(ours(Multiplicative(), votes), expected, rtol=2e-5)
    one_hot = np.eye(K, dtype=np.float32)[LABELS]
    np.testing.assert_allclose(ours(Multiplicative(), one_hot), ours(Multiplicative()), rtol=1e-6)
    assert not np.asarray(ours(Multiplicative(), np.zeros((N, K), np.float32))).any()


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_one_against_the_rest_is_the_printed_loss_of_sigmoids(weighting):
    shares = np.random.default_rng(2).uniform(size=(N, K)).astype(np.float32)
    shares[:, 0] = LABELS == 0
    p = expit(LOGITS.astype(np.float64))
    present = printed(p, AVAILABLE, weighting, 0.8)
    absent = printed(1 - p, AVAILABLE, weighting, 0.8)
    loss = losses.one_against_rest_loss(
        jnp.asarray(LOGITS), jnp.asarray(shares), jnp.asarray(AVAILABLE), Multiplicative(weighting, 0.8)
    )
    np.testing.assert_allclose(loss, shares * present + (1 - shares) * absent, rtol=3e-5)


@pytest.mark.parametrize("beta", [0.0, 0.5, 2.0])
def test_prediction_takes_the_class_that_costs_least(beta):
    expected = printed(probabilities(), AVAILABLE, "original", beta).argmin(axis=1)
    predicted = losses.least_costly(jnp.asarray(LOGITS), jnp.asarray(AVAILABLE), beta)
    np.testing.assert_array_equal(predicted, expected)


def test_prediction_tells_classes_apart_whose_costs_are_zero():
    """Both modalities are as good as sure, of different classes; the surer one prevails."""
    logits = np.array([[[0, 300, 0]], [[400, 0, 0]]], np.float32)
    costs = losses.multiplicative_costs(jnp.asarray(logits), None, Multiplicative("original", 1.0))
    assert not np.asarray(costs)[0, :2].any()
    assert losses.least_costly(jnp.asarray(logits), None, 1.0).tolist() == [0]


def test_the_modified_loss_has_no_rule_of_prediction():
    """Its c tends to 0 for a class all reject as for one all accept: why the margin is the original's."""
    logits = jnp.asarray(np.tile(np.float32([0, 2, -60]), (M, 1, 1)))
    assert losses.multiplicative_costs(logits, None, Multiplicative("modified", 2.0)).argmin() == 2
    assert losses.least_costly(logits, None, 2.0).tolist() == [1]


def test_subsets_are_all_of_them():
    members = losses.subsets(3)
    assert members.shape == (7, 3)
    assert members[:3].tolist() == np.eye(3, dtype=bool).tolist()
    assert len({tuple(row) for row in members.tolist()}) == 7
    assert members.any(axis=1).all()


def test_mixtures_are_sums_over_the_subsets_whose_members_are_there():
    values = np.where(AVAILABLE[..., None], LOGITS, np.nan)
    sums, there = losses.mixtures(jnp.asarray(values), jnp.asarray(AVAILABLE))
    for members, candidate, exists in zip(
        losses.subsets(M), np.asarray(sums), np.asarray(there), strict=True
    ):
        np.testing.assert_array_equal(exists, AVAILABLE[members].all(axis=0))
        np.testing.assert_allclose(
            candidate[exists], LOGITS[members].sum(axis=0)[exists], rtol=1e-5, atol=1e-6
        )
    expected = printed(probabilities(np.nan_to_num(sums)), np.asarray(there), "original", 0.5)
    loss = losses.multiplicative_loss(sums, jnp.asarray(LABELS), there, Multiplicative("original", 0.5))
    np.testing.assert_allclose(loss, expected[np.arange(N), LABELS], rtol=2e-5)
    assert losses.mixtures(jnp.asarray(LOGITS))[1].all()


@pytest.mark.parametrize("wrong", [{"beta": -1.0}, {"beta": float("nan")}, {"margin": -0.1}])
def test_a_form_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(InputError, match="must be at least 0"):
        Multiplicative(**wrong)


def test_a_single_logit_is_refused():
    with pytest.raises(InputError, match="one_against_rest_loss"):
        losses.multiplicative_loss(jnp.zeros((M, N, 1)), jnp.zeros(N, jnp.int32))
