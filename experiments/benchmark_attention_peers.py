"""Whom `benchmark_attention` compares with: what each peer computes, what it cannot, how it is called."""

import contextlib
import dataclasses
import json
import os
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark_attention_cases import Case, Function, Operands, Problem
from kernels.attention import Forced, Global
from mer_jax.errors import InputError

WORKER = Path(__file__).with_name("benchmark_attention_torch.py")
DIAGONAL = ("sliding_window", "local_m")
TORCH_REMEDY = "can the interpreter of --torch-python import torch and numpy, and is there memory enough?"
# glibc's: keep what is freed, as mer_jax.training.host_memory does; or give back all of some size
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_ARENA_MAX_": "1"}
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": str(2**16)}


@dataclasses.dataclass(frozen=True)
class Peer:
    """Another implementation.

    Attributes:
        label: its name in tables.
        score: the only one it has.
        about: what it computes, for the reader of the page.
        keys: which keys its queries see: "ranges" (those of the case), "all", "square" (those of
            a window over as many keys as queries), "blocks" or "before" (about as many, but others).
        temporaries: for a peer in torch, arrays of `elements` alive at once in the forward pass and
            with the backward, as measured; 0 where it keeps none of that size.
        build: for a peer in JAX, the function of a problem; None: it runs in torch.
        where: the platform it needs, or "".
        square: whether it is compared where m = n alone, because each shape costs it a compilation
            of 10 to 20 s.
    """

    label: str
    score: str
    about: str
    keys: str
    build: Callable[[Problem], Function] | None = None
    temporaries: tuple[int, int] = (0, 0)
    where: str = ""
    square: bool = False

    def why_not(self, case: Case) -> str | None:
        """Why the case is not for this peer, or None."""
        if self.where and jax.default_backend() != self.where:
            return f"it needs a {self.where}"
        if self.square and not case.shape.square:
            return "it takes 10 to 20 s of compilation for each shape: compared where m = n"
        if self.keys == "ranges":
            return "it has no Gaussian" if case.kind == "local_p" else None
        if self.keys == "all":
            served = case.kind == "global" or (case.kind in DIAGONAL and case.shape.square)
            return None if served else "it attends to all keys: compared where m = n and on global alignment"
        if case.kind not in DIAGONAL:
            return "it has no other alignment than a window around t"
        if not case.shape.square:
            return "its window lies around key t, not t n / m: only where m = n"
        return None if case.half else "its window needs a width"

    def computes(self, case: Case) -> Any:
        """The alignment object that says which keys it attends to; None: that of the case."""
        if self.keys in ("ranges", "square"):
            return None
        return Global() if self.keys == "all" else Forced(_spans(self.keys, case), overlapping=True)

    def needs(self, case: Case, backward: bool) -> int:
        """Bytes that a peer in torch takes at the peak, estimated."""
        s = case.shape
        most = s.n if self.label != LABELS["torch_unfold"] else 2 * (case.half or 0) + 1
        elements = s.batch * s.m * most * (s.d if self.score == "additive" else 1)
        return self.temporaries[backward] * elements * jnp.dtype(case.dtype).itemsize


def _spans(keys: str, case: Case) -> np.ndarray:
    half, t = case.half or 0, np.arange(case.shape.m)
    if keys == "blocks":
        first, last = (t // half - 1) * half, (t // half + 2) * half - 1
    else:
        first, last = t - 2 * half, t
    spans = np.stack([np.maximum(first, 0), np.minimum(last, case.shape.n - 1)], axis=-1)
    return spans[None].astype(np.int32)


def _jax_nn(**settings: Any) -> Callable[[Problem], Function]:
    """jax.nn.dot_product_attention, one head."""

    def build(problem: Problem) -> Function:
        window = settings.get("window")
        half = problem.case.half or 0
        sides = {None: None, "both": (half, half), "before": (2 * half, 0)}[window]

        def call(operands: Operands) -> jax.Array:
            query, key, value = (operands[name][:, :, None, :] for name in ("query", "key", "value"))
            attended = jax.nn.dot_product_attention(
                query,
                key,
                value,
                scale=1.0,
                is_causal=window == "before",
                local_window_size=sides,
                implementation=settings["implementation"],
            )
            return attended[:, :, 0]

        return call

    return build


def _naive(problem: Problem) -> Function:
    """v . tanh(q + k) of every pair at once, then a masked softmax."""
    ranges = problem.ranges()
    positions = np.arange(problem.case.shape.n)
    allowed = (ranges.start[..., None] <= positions) & (positions <= ranges.end[..., None])

    def call(operands: Operands) -> jax.Array:
        query, key = operands["query"][:, :, None, :], operands["key"][:, None, :, :]
        logits = jnp.tanh(query + key) @ operands["score_vector"]
        low = jnp.asarray(jnp.finfo(logits.dtype).min, logits.dtype)
        return jax.nn.softmax(jnp.where(allowed, logits, low), axis=-1) @ operands["value"]

    return call


PEERS = {
    "jax_full": Peer(
        "jax.nn full", "dot", "jax.nn.dot_product_attention without a window (XLA)", "all",
        _jax_nn(implementation="xla"),
    ),
    "jax_window": Peer(
        "jax.nn local_window_size", "dot",
        "jax.nn.dot_product_attention(local_window_size=(w/2, w/2)): all logits, masked (XLA)", "square",
        _jax_nn(implementation="xla", window="both"),
    ),
    "cudnn_full": Peer(
        "cuDNN full", "dot", "jax.nn.dot_product_attention(implementation='cudnn'), 16-bit types", "all",
        _jax_nn(implementation="cudnn"), where="gpu",
    ),
    "cudnn_window": Peer(
        "cuDNN window", "dot",
        "the same, causal, with a window of the w keys before t and t itself: cuDNN has none on both sides",
        "before", _jax_nn(implementation="cudnn", window="before"), where="gpu",
    ),
    "naive_jnp": Peer(
        "naive jnp", "additive", "the formula in jitted jax.numpy over all pairs, masked", "ranges", _naive,
    ),
    "torch_sdpa": Peer(
        "torch SDPA + mask", "dot", "scaled_dot_product_attention with the band as an additive mask made beforehand",
        "ranges", temporaries=(1, 1),
    ),
    "local_attention": Peer(
        "local-attention", "dot",
        "lucidrains' local-attention: blocks of w/2 queries over the block before, their own and the next, 3w/2 keys "
        "of which the w+1 of ours are always part; the cheapest setting of which this is true",
        "blocks",
    ),
    "torch_flex": Peer(
        "torch FlexAttention", "dot", "compiled FlexAttention with a block mask made beforehand", "ranges",
        square=True,
    ),
    "keras_formula": Peer(
        "Keras formula, torch", "additive", "keras.layers.AdditiveAttention's formula in eager torch, all keys", "all",
        temporaries=(2, 3),
    ),
    "torch_unfold": Peer(
        "torch unfold", "additive", "windows cut out by unfold, in eager torch", "square", temporaries=(2, 3)
    ),
}  # fmt: skip
LABELS = {name: peer.label for name, peer in PEERS.items()}


class Interpreter:
    """Another process, which answers one request at a time."""

    def __init__(self, process: subprocess.Popen[str], program: str, remedy: str):
        self.process, self.program, self.remedy = process, program, remedy
        self.about = self._answer()

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """One request. Raises InputError where the other side is gone."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its end shows as an empty answer
            print(json.dumps({"do": do, **more}), file=self.process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise InputError(f"{self.program} stopped; {self.remedy}")
        return json.loads(line)


@contextlib.contextmanager
def interpreter(
    command: Sequence[str], environment: Mapping[str, str], remedy: str
) -> Iterator[Interpreter | None]:
    """A process of `command`, which is closed at the end; None where the command names no program."""
    if not command[0]:
        yield None
        return
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )
    except OSError as error:
        raise InputError(f"{command[0]} can't be run ({error}); {remedy}") from error
    with process:
        try:
            yield Interpreter(process, command[0], remedy)
        finally:
            assert process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()


def save_arrays(problem: Problem, path: Path) -> None:
    """What the other interpreter needs, in float32."""
    ranges = problem.ranges()
    arrays: dict[str, Any] = {name: np.asarray(x, np.float32) for name, x in problem.operands.items()}
    arrays["cotangent"] = np.asarray(problem.cotangent, np.float32)
    arrays |= {"start": np.asarray(ranges.start, np.int64), "end": np.asarray(ranges.end, np.int64)}
    np.savez(path, **arrays)


def threads() -> int:
    """Cores this process may run on: as many threads as XLA takes, and so the peers."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
