"""AdaBelief with the AMSGrad maximum, which optax does not ship."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int


class ScaleByAmsbeliefState(NamedTuple):
    """count: updates made. mu: m_t. nu: s_t. nu_max: the largest s_1 ... s_t of each element."""

    count: Int[Array, ""]
    mu: Any
    nu: Any
    nu_max: Any


def scale_by_amsbelief(
    b1: float = 0.9, b2: float = 0.999, eps: float = 1e-16, eps_root: float = 1e-16
) -> optax.GradientTransformation:
    """AdaBelief (Zhuang et al. 2020, Algorithm 2) over the maximum of AMSGrad (Reddi et al. 2018):

        m_t = b1 m_{t-1} + (1 - b1) g_t
        s_t = b2 s_{t-1} + (1 - b2) (g_t - m_t)^2 + eps_root
        u_t = m_t / (1 - b1^t) / (sqrt(max_{i<=t}(s_i) / (1 - b2^t)) + eps)

    The maximum is that of the authors' packages with `amsgrad=True, rectify=False`, which have one eps
    for both places: adabelief-pytorch 0.2.1 (1e-16) and adabelief-tf 0.2.1 (1e-14). In both, eps is
    added to s_t itself, so that it accumulates, and the maximum is taken over the s_t as they are;
    the bias correction of step t divides it afterwards. Where s_t never falls, and so always in its
    first step, this is `optax.scale_by_belief`.

    `rectify=True`, the default of both packages, is another algorithm and is not here; with it
    adabelief-pytorch 0.2.1 divides by s_t, not by its maximum: `amsgrad` then changes nothing.
    """

    def init(params: optax.Params) -> ScaleByAmsbeliefState:
        mu, nu, nu_max = (optax.tree.zeros_like(params) for _ in range(3))
        return ScaleByAmsbeliefState(jnp.zeros((), jnp.int32), mu, nu, nu_max)

    def update(updates: optax.Updates, state: Any, params: optax.Params | None = None) -> Any:
        del params
        mu = optax.tree.update_moment(updates, state.mu, b1, 1)
        error = optax.tree.sub(updates, mu)
        nu = optax.tree.update_moment_per_elem_norm(error, state.nu, b2, 2)
        nu = jax.tree.map(lambda s: s + eps_root, nu)
        nu_max = jax.tree.map(jnp.maximum, state.nu_max, nu)
        count = jnp.asarray(optax.safe_increment(state.count))
        steps = count.astype(jnp.result_type(float))  # strict promotion knows no b ** whole number
        mu_hat = optax.tree.bias_correction(mu, b1, steps)
        nu_hat = optax.tree.bias_correction(nu_max, b2, steps)
        scaled = jax.tree.map(lambda m, s: m / (jnp.sqrt(s) + eps), mu_hat, nu_hat)
        return scaled, ScaleByAmsbeliefState(count, mu, nu, nu_max)

    return optax.GradientTransformation(init, update)
