"""One function for the loop; how it is computed is chosen here."""

import importlib
from collections.abc import Sequence

import jax
from jaxtyping import Array, Bool, Float

from kernels.memory import loop
from kernels.memory.loop import Outputs, Weights

IMPLEMENTATIONS = ("reference", "xla", "native")


def run(
    weights: Weights,
    projected: Sequence[Float[Array, "batch time gates"]],
    mask: Bool[Array, "batch time"],
    present: Bool[Array, "batch modalities"],
    *,
    implementation: str | None = None,
) -> Outputs:
    """From states and memory of 0, at each step

        h_t, c_t = LSTM_i(W x_t + b + V mem_{t-1}, h_{t-1}, c_{t-1})   for each modality i
        c* = [c_{t-1}; c_t] of all modalities
        a = softmax(NN_a(c*)),  u = tanh(NN_u(a c*))
        g1 = sigmoid(NN_1([a c*; mem_{t-1}])),  g2 = sigmoid(NN_2([a c*; mem_{t-1}]))
        mem_t = g1 mem_{t-1} + g2 u

    where each NN has one hidden layer of rectifiers.

    A modality that is not `present` has states of 0, so its part of c* is 0, and a is over the
    others. Where `mask` is false states and memory stay as they are and the attention is 0, as in
    an example without any modality.

    Args:
        weights: of the loop.
        projected: W x_t of each modality, gates in the order input, forget, cell, output.
        mask: which steps exist, on the one clock of all modalities.
        present: which modalities an example has.
        implementation: "reference" (a scan, differentiated as it stands), "xla" (with a derivative of
            its own), "native" (float32 on the CPU, built by `make native`), or None: "native" where
            it can serve, else "xla".

    Raises:
        ValueError: the implementation is unknown or cannot serve.
    """
    if implementation is not None and implementation not in IMPLEMENTATIONS:
        raise ValueError(f"implementation={implementation!r} is unknown; known: {', '.join(IMPLEMENTATIONS)}")
    given = weights, projected, mask & present.any(axis=1)[:, None], present
    if implementation == "reference":
        return loop.run(*given, plainly=True)
    if implementation == "xla":
        return loop.run(*given)
    platform = jax.default_backend()
    if platform == "cpu":
        native = importlib.import_module("kernels.memory.native")
        reason = native.why_not(weights, projected)
        if reason is None:
            return native.run(*given)
    else:
        reason = f"it does not run on the {platform}"
    if implementation is not None:
        raise ValueError(f'implementation="native" cannot serve: {reason}; leave it out or use "xla"')
    return loop.run(*given)
