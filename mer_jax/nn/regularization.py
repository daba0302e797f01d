"""Dropout and batch normalisation that give the same numbers on any number of devices."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Bool, Float, Int

DATA_AXIS = "data"


class Dropout(nn.Module):
    """Inverted dropout (Srivastava et al. 2014): x m / (1 - rate), m ~ Bernoulli(1 - rate).

    The mask of an example is drawn from the step's key and the example's slot in the whole
    batch, so it does not depend on how the batch lies on devices.
    """

    rate: float | Array

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch *rest"], slots: Int[Array, " batch"] | None
    ) -> Float[Array, "batch *rest"]:
        """`slots` None: x unchanged."""
        if slots is None or (isinstance(self.rate, int | float) and self.rate == 0):
            return x
        key = self.make_rng("dropout")
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, slots)
        keep = jax.vmap(lambda k: jax.random.bernoulli(k, 1 - self.rate, x.shape[1:]))(keys)
        return jnp.where(keep, x / (1 - self.rate), 0).astype(x.dtype)


class BatchNorm(nn.Module):
    """Batch normalisation (Ioffe & Szegedy 2015) over the valid positions of all devices:

        y = gamma (x - mean) / sqrt(variance + epsilon) + beta

    In training mean and variance are the batch's, summed over the mapped axis "data"; they
    are sown as the intermediate `moments`, and the training step folds them into the
    collection `statistics`, which is what every other call uses.
    """

    epsilon: float = 1e-3

    @nn.compact
    def __call__(
        self, x: Float[Array, "*batch dim"], valid: Bool[Array, "*batch"], train: bool
    ) -> Float[Array, "*batch dim"]:
        dim = x.shape[-1]
        gamma = self.param("scale", nn.initializers.ones, (dim,))
        beta = self.param("bias", nn.initializers.zeros, (dim,))
        kept = {
            "mean": self.variable("statistics", "mean", jnp.zeros, (dim,)).value,
            "variance": self.variable("statistics", "variance", jnp.ones, (dim,)).value,
        }
        if train:
            kept = masked_moments(x, valid, DATA_AXIS)
            self.sow("intermediates", "moments", kept, reduce_fn=lambda _, new: new, init_fn=lambda: None)
        wide = (1,) * (x.ndim - 1) + (dim,)
        mean, variance = kept["mean"].reshape(wide), kept["variance"].reshape(wide)
        normalised = (x - mean) * jax.lax.rsqrt(variance + self.epsilon)
        return normalised * gamma.reshape(wide) + beta.reshape(wide)


def masked_moments(
    x: Float[Array, "*batch dim"], valid: Bool[Array, "*batch"], axis_name: str | None
) -> dict[str, Float[Array, " dim"]]:
    """Mean and (biased) variance of each feature over valid positions, over all devices of
    the mapped axis."""
    total = (lambda v: v) if axis_name is None else (lambda v: jax.lax.psum(v, axis_name))
    over = tuple(range(x.ndim - 1))
    w = valid[..., None].astype(x.dtype)
    count = jnp.maximum(total(w.sum()), 1)
    mean = total((w * x).sum(over)) / count
    centred = x - mean.reshape((1,) * (x.ndim - 1) + mean.shape)
    return {"mean": mean, "variance": total((w * jnp.square(centred)).sum(over)) / count}


def fold_moments(statistics: dict, moments: dict, momentum: float) -> dict:
    """statistics <- momentum statistics + (1 - momentum) moments, leaf by leaf; those without
    moments (a table that is not trained) stay."""
    leaves = jax.tree_util.tree_leaves_with_path(moments)
    named = {tuple(_key(p) for p in path if _key(p) != "moments"): leaf for path, leaf in leaves}

    def fold(path, old):
        new = named.get(tuple(_key(p) for p in path))
        return old if new is None else momentum * old + (1 - momentum) * new

    return jax.tree_util.tree_map_with_path(fold, statistics)


def _key(entry) -> str:
    return str(getattr(entry, "key", entry))
