"""Losses as pure functions: one value per labelled position."""

import dataclasses
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from mer_jax.errors import InputError


def cross_entropy(
    logits: Float[Array, "*positions classes"], labels: Int[Array, "*positions"]
) -> Float[Array, "*positions"]:
    """-log softmax(logits)[label]."""
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def soft_cross_entropy(
    logits: Float[Array, "*positions classes"], soft_targets: Float[Array, "*positions classes"]
) -> Float[Array, "*positions"]:
    """-sum_k p_k log softmax(logits)_k, for a distribution p over the classes.

    With p from annotators' votes: Peterson et al., ICCV 2019 (human uncertainty makes
    classification more robust); the loss of soft targets is that of Hinton et al. 2015.
    A one-hot p gives `cross_entropy`, zeros (padding) give 0.
    """
    return optax.softmax_cross_entropy(logits, soft_targets)


def squared_error(
    predicted: Float[Array, "*positions targets"], truth: Float[Array, "*positions targets"]
) -> Float[Array, "*positions"]:
    """Mean over targets of (predicted - truth)^2."""
    return jnp.square(predicted - truth).mean(axis=-1)


def absolute_error(
    predicted: Float[Array, "*positions targets"], truth: Float[Array, "*positions targets"]
) -> Float[Array, "*positions"]:
    """Mean over targets of |predicted - truth|, which the median of the truth makes least: 0 for
    an emotion that is absent more often than not, whatever is known of it."""
    return jnp.abs(predicted - truth).mean(axis=-1)


RegressionError = Literal["squared", "absolute"]


def task_loss(
    logits: Float[Array, "*positions outputs"],
    targets: Int[Array, "*positions"] | Float[Array, "..."],
    soft_targets: Float[Array, "*positions outputs"] | None = None,
    error: RegressionError = "squared",
) -> Float[Array, "*positions"]:
    """Cross-entropy for whole-number targets (classes), squared or absolute error for real ones; where
    `soft_targets` are given, the cross-entropy to them."""
    if soft_targets is not None:
        return soft_cross_entropy(logits, soft_targets)
    if jnp.issubdtype(targets.dtype, jnp.integer):
        return cross_entropy(logits, targets)
    return squared_error(logits, targets) if error == "squared" else absolute_error(logits, targets)


Weighting = Literal["original", "modified", "product"]


@dataclasses.dataclass(frozen=True)
class Multiplicative:
    """The form of the multiplicative loss, c^(y) = -sum_i w_i log p_i^(y).

    Attributes:
        weighting: w_i, with a = beta / (M - 1) and p of the class y:
            original  [prod over j != i of (1 - p_j)]^a (Liu et al. 2018)
            modified  p_i^a (Mittal et al. 2020)
            product   [prod over j != i of p_j]^a, the other reading of the latter's free index
        beta: how much the weights matter; 0 gives the sum of the modalities' cross-entropies.
        stop_gradient: the weights are constants to the gradient. Without it `modified` drives p
            down wherever p < exp(-1 / a), which at a uniform start over K classes is any
            beta > (M - 1) / ln K.
        margin: Liu's boosted training: an example costs nothing where the true class is ahead,
            c^(y) + margin < c^(k) for all others; None: each always costs. The c compared are
            always the original ones, since the others tend to 0 for a class all reject.
    """

    weighting: Weighting = "modified"
    beta: float = 0.5
    stop_gradient: bool = True
    margin: float | None = None

    def __post_init__(self) -> None:
        if not self.beta >= 0:
            raise InputError(f"multiplicative loss: beta={self.beta} must be at least 0")
        if self.margin is not None and not self.margin >= 0:
            raise InputError(
                f"multiplicative loss: margin={self.margin} must be at least 0, or None for no boosting"
            )


class _Evidence(NamedTuple):
    """log p and log(1 - p), [modalities, *positions, classes], 0 where the modality is not there;
    there, [modalities, *positions, 1], 1 or 0."""

    log_p: Array
    log_not_p: Array
    there: Array


def multiplicative_costs(
    logits: Float[Array, "modalities *positions classes"],
    available: Bool[Array, "modalities *positions"] | None = None,
    form: Multiplicative | None = None,
) -> Float[Array, "*positions classes"]:
    """c^(k) of each class k, as `form` (its defaults if None) weighs them; the margin plays no part.

    A modality that is not `available` is left out of sums and products and M counts those that
    are; a single one has the weight 1, none gives 0. Everything is computed from log p and
    log(1 - p), so that values and gradients are finite for any finite logits.

    Source: Liu, Li, Xu and Natarajan 2018 (arXiv 1805.11730); Mittal et al. 2020 (arXiv 1911.05659).
    """
    form = form or Multiplicative()
    evidence = _evidence(logits, available)
    weights = jnp.exp(_log_weights(evidence, form.weighting, form.beta))
    if form.stop_gradient:
        weights = jax.lax.stop_gradient(weights)
    return -(evidence.there * weights * evidence.log_p).sum(axis=0)


def multiplicative_loss(
    logits: Float[Array, "modalities *positions classes"],
    targets: Int[Array, "*positions"] | Float[Array, "*positions classes"],
    available: Bool[Array, "modalities *positions"] | None = None,
    form: Multiplicative | None = None,
) -> Float[Array, "*positions"]:
    """c^(y) of the true class; for a distribution over the classes (annotators' votes) its
    expectation, sum_k t_k c^(k). See `multiplicative_costs` and `Multiplicative`."""
    form = form or Multiplicative()
    costs = multiplicative_costs(logits, available, form)
    if form.margin is not None:
        original = multiplicative_costs(logits, available, Multiplicative("original", form.beta))
        costs = jnp.where(_ahead(original, form.margin), 0, costs)
    if jnp.issubdtype(targets.dtype, jnp.integer):
        targets = jax.nn.one_hot(targets, logits.shape[-1], dtype=costs.dtype)
    return (targets * costs).sum(axis=-1)


def one_against_rest_loss(
    logits: Float[Array, "modalities *positions classes"],
    present: Float[Array, "*positions classes"],
    available: Bool[Array, "modalities *positions"] | None = None,
    form: Multiplicative | None = None,
) -> Float[Array, "*positions classes"]:
    """`multiplicative_loss` of each class against the rest, with p_i = sigmoid(logits_i).

    present: 1 or 0, or the share of annotators who say that it is; classes may be present together.
    """
    if available is not None:
        available = jnp.broadcast_to(available[..., None], logits.shape)
    shares = jnp.stack([1 - present, present], axis=-1)
    return multiplicative_loss(binary_logits(logits), shares, available, form)


def binary_logits(logits: Float[Array, "*shape"]) -> Float[Array, "*shape 2"]:
    """The logits z as those of absent and present: softmax of (0, z) is (1 - sigmoid(z), sigmoid(z))."""
    return jnp.stack([jnp.zeros_like(logits), logits], axis=-1)


def least_costly(
    logits: Float[Array, "modalities *positions classes"],
    available: Bool[Array, "modalities *positions"] | None = None,
    beta: float = 0.5,
) -> Int[Array, "*positions"]:
    """Liu's rule of prediction, argmin_k c^(k) with the original weights; 0 where no modality is there.

    log c^(k) is compared, which still tells classes apart whose c is 0 in floating point. The
    other weightings have no such rule: their c^(k) tends to 0 for a class that all reject.
    """
    evidence = _evidence(logits, available)
    # Where p is near 1, -log p is 1 - p up to the square of it, but rounds to 0.
    near_one = evidence.log_not_p < -8
    surprise = jnp.log(-jnp.where(near_one, -1.0, evidence.log_p))
    log_surprise = jnp.where(near_one, evidence.log_not_p, surprise)
    terms = _log_weights(evidence, "original", beta) + log_surprise
    present = jnp.broadcast_to(evidence.there > 0, terms.shape)
    return jax.nn.logsumexp(terms, axis=0, where=present).argmin(axis=-1)


def subsets(modalities: int) -> np.ndarray:
    """[2^modalities - 1, modalities] bool: the members of each non-empty subset, single ones first."""
    numbers = sorted(range(1, 2**modalities), key=lambda n: (n.bit_count(), n))
    return (np.array(numbers)[:, None] >> np.arange(modalities)[None, :] & 1).astype(bool)


def mixtures(
    values: Float[Array, "modalities *positions dim"],
    available: Bool[Array, "modalities *positions"] | None = None,
) -> tuple[Float[Array, "candidates *positions dim"], Bool[Array, "candidates *positions"]]:
    """The candidates of Liu's MulMix: for each of the 2^M - 1 `subsets` of modalities the sum of
    its members, and where all of them are there.

    Classifiers of these vectors stand where those of single modalities would: their logits and
    this availability go into `multiplicative_loss`, whose M is then the number of candidates.
    """
    available = jnp.ones(values.shape[:-1], bool) if available is None else available
    members = jnp.asarray(subsets(values.shape[0]))
    values = jnp.where(available[..., None], values, 0)
    sums = _combined(members.astype(values.dtype), values)
    lacking = _combined(members.astype(values.dtype), (~available).astype(values.dtype))
    return sums, lacking < 0.5


def _evidence(logits: Array, available: Array | None) -> _Evidence:
    if logits.shape[-1] < 2:
        raise InputError(
            f"multiplicative loss: {logits.shape[-1]} logit per position tells nothing apart; give one per class, "
            "at least 2, or use one_against_rest_loss"
        )
    there = (jnp.ones(logits.shape[:-1], bool) if available is None else available)[..., None]
    log_p = jax.nn.log_softmax(jnp.where(there, logits, 0))
    others = _other_classes(log_p)
    log_not_p = jax.nn.logsumexp(jnp.broadcast_to(log_p[..., None, :], others.shape), axis=-1, where=others)
    return _Evidence(jnp.where(there, log_p, 0), jnp.where(there, log_not_p, 0), there.astype(logits.dtype))


def _log_weights(evidence: _Evidence, weighting: Weighting, beta: float | Array) -> Array:
    count = evidence.there.sum(axis=0, keepdims=True)
    exponent = jnp.where(count > 1, beta / jnp.maximum(count - 1, 1), 0)
    others = 1 - jnp.eye(evidence.there.shape[0], dtype=evidence.log_p.dtype)
    if weighting == "original":
        return exponent * _combined(others, evidence.log_not_p)
    return exponent * (evidence.log_p if weighting == "modified" else _combined(others, evidence.log_p))


def _combined(rows: Array, values: Array) -> Array:
    """sum_j rows[i, j] values[j]: exactly the members' sum, on any device."""
    return jnp.tensordot(rows, values, axes=1, precision=jax.lax.Precision.HIGHEST)


def _ahead(costs: Array, margin: float) -> Array:
    """Whether c^(k) + margin lies below the c of every other class."""
    rivals = jnp.where(_other_classes(costs), costs[..., None, :], jnp.inf).min(axis=-1)
    return costs + margin < rivals


def _other_classes(values: Array) -> Array:
    """[*positions, classes, classes]: the classes that are not the one before."""
    classes = values.shape[-1]
    return jnp.broadcast_to(~jnp.eye(classes, dtype=bool), (*values.shape, classes))
