"""What `benchmark_decoder` computes: the decoder alone and a whole training step, ours and in PyTorch."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark_attention_peers import Interpreter, threads
from kernels.attention import SlidingWindow
from kernels.attention.alignment import Size
from kernels.attention.bench import Program as Compiled
from kernels.attention.bench import compiled
from mer_jax.data.batching import Batch
from mer_jax.errors import InputError
from mer_jax.models.base import Task
from mer_jax.models.lexico_acoustic import LexicoAcousticConfig
from mer_jax.nn.attention import AttentionConfig, Score
from mer_jax.nn.decoder import AttendingDecoder, Feedback
from mer_jax.nn.front_end import FrontEndConfig
from mer_jax.training.config import TrainingConfig
from mer_jax.training.data_parallel import DataParallel
from mer_jax.training.optimizer import OptimizerConfig
from mer_jax.training.program import Program
from mer_jax.training.scalars import Member
from mer_jax.training.state import stack, unstack

DIFFERENCE = 1e-3  # of the largest entry: more is another network
CLASSES, RATE = 4, 3e-4
MIB = 2**20


@dataclasses.dataclass(frozen=True)
class Sizes:
    """batch, words of dim features, hidden units (of the audio states and h~ too), states of a window."""

    batch: int = 32
    words: int = 128
    dim: int = 100
    hidden: int = 200
    width: int = 64


@dataclasses.dataclass(frozen=True)
class Ours:
    """A case of ours, compiled.

    Attributes:
        run: makes the call.
        compile_ms: of compilation.
        temporary_mib: that XLA allocates beside arguments and results.
        arrays: all that the other side needs.
        results: what both sides must agree in, by name; makes a training step if the call is one.
    """

    run: Callable[[], Any]
    compile_ms: float
    temporary_mib: float
    arrays: Mapping[str, np.ndarray]
    results: Callable[[], Mapping[str, np.ndarray]]


def attending(sizes: Sizes, n: int, score: Score, feedback: Feedback) -> Ours:
    """h~ of the decoder over n audio states, and gradients of all parameters, words and states."""
    program, operands, cotangent = _decoder(sizes, n, score, feedback, "window")
    start, end = _spans(sizes, n)
    arrays = {
        "start": start,
        "end": end,
        "cotangent": cotangent,
        **_named(operands.pop("params")),
        **operands,
    }

    def results() -> dict[str, np.ndarray]:
        states, found = program.run()
        return {"states": np.asarray(states), **_named(found["params"])} | {
            name: np.asarray(found[name]) for name in ("inputs", "encoder")
        }

    return Ours(program.run, program.compile_ms, program.temporary / MIB, arrays, results)


def keys_alone(sizes: Sizes, n: int) -> Compiled:
    """W2 s of n audio states and its two gradients, compiled: what a concat score cannot do without,
    however little its windows cost."""
    random = np.random.default_rng(0)
    shapes = (sizes.batch, n, sizes.hidden), (sizes.hidden, sizes.hidden), (sizes.batch, n, sizes.hidden)
    operands = jax.device_put([random.normal(size=shape).astype(np.float32) for shape in shapes])

    def both(encoder: jax.Array, kernel: jax.Array, cotangent: jax.Array) -> Any:
        keys, pull_back = jax.vjp(jnp.matmul, encoder, kernel)
        return keys, pull_back(cotangent)

    return compiled(both, *operands)


def memory_of_decoder(
    sizes: Sizes, n: int, score: Score, feedback: Feedback, alignment: str
) -> tuple[float, float]:
    """MiB of temporaries of the same, and ms of compilation; alignment: window or global."""
    program, _, _ = _decoder(sizes, n, score, feedback, alignment)
    return program.temporary / MIB, program.compile_ms


def _decoder(
    sizes: Sizes, n: int, score: Score, feedback: Feedback, alignment: Any
) -> tuple[Any, Any, np.ndarray]:
    random, shape = np.random.default_rng(0), (sizes.batch, sizes.words)

    def normal(*shape: int) -> np.ndarray:
        return random.normal(size=shape).astype(np.float32)

    config = AttentionConfig(score, alignment, width=sizes.width, size=sizes.hidden)
    module = AttendingDecoder(config, sizes.hidden, feedback)
    operands: dict[str, Any] = {
        "inputs": normal(*shape, sizes.dim),
        "encoder": np.tanh(normal(sizes.batch, n, sizes.hidden)),
    }
    masks = jnp.ones(shape, bool), jnp.ones((sizes.batch, n), bool)
    cotangent = normal(*shape, sizes.hidden)
    inputs, encoder = (jnp.asarray(operands[name]) for name in ("inputs", "encoder"))
    started = module.init(jax.random.key(0), inputs, masks[0], encoder, masks[1])
    operands["params"] = started["params"]

    def both(operands: Any, masks: Any, cotangent: Any) -> Any:
        def states(o: Any) -> jax.Array:
            found: Any = module.apply({"params": o["params"]}, o["inputs"], masks[0], o["encoder"], masks[1])
            return found.states

        found, pull_back = jax.vjp(states, operands)
        return found, pull_back(cotangent)[0]

    return compiled(both, *jax.device_put((operands, masks, cotangent))), operands, cotangent


def training(sizes: Sizes, samples: int, vocabulary: int, score: Score, feedback: Feedback) -> Ours:
    """A step of Adam on words and raw waveforms, as training makes it."""
    config = LexicoAcousticConfig(
        main="words",
        auxiliary="waveform",
        front=FrontEndConfig(embedding=sizes.dim, filters=(4, 8)),
        cell="gru",
        hidden=(sizes.hidden,),
        bidirectional=False,
        encoder="decoder",
        feedback=feedback,
        starts_from_auxiliary=True,
        score=score,
        alignment="window",
        width=sizes.width,
        attention_size=sizes.hidden,
        dense=(),
        dropout=0.0,
        pooling="last",
    )
    task = Task({"words": 1, "waveform": 1}, CLASSES, True, "utterance", vocabulary=vocabulary)
    rules = TrainingConfig(batch_size=sizes.batch, optimizer=OptimizerConfig(learning_rate=RATE, clip=0.0))
    program = Program(config, task, rules, DataParallel(devices=jax.local_devices()[:1]))
    batch = _batch(sizes, samples, vocabulary)
    states = program.init([Member(0)], batch)
    steps = -(-samples // 2500)
    start, end = _spans(sizes, steps)
    arrays = {
        **_named(unstack(states, 0).params),
        "words": batch.features["words"][:, :, 0].astype(np.int64),
        "waveform": batch.features["waveform"][:, :, 0],
        "targets": batch.targets.astype(np.int64),
        "start": start,
        "end": end,
    }
    return _step(program, states, program.parallel.place_batch(stack([batch]), axis=1), arrays)


def _step(program: Program, states: Any, batch: Any, arrays: Mapping[str, np.ndarray]) -> Ours:
    current = program.parallel.place_state(states)
    began = time.perf_counter()
    found = program.train_step.lower(current, batch).compile().memory_analysis()
    compile_ms = 1e3 * (time.perf_counter() - began)

    def run() -> Any:
        nonlocal current
        current, sums = program.train_step(current, batch)
        return current, sums

    def results() -> dict[str, np.ndarray]:
        after, sums = run()
        moments = next(part for part in after.optimizer if hasattr(part, "mu"))
        first = unstack(program.parallel.one_copy(moments.mu), 0)  # .1 of the gradient, after one step
        loss, weight = (float(program.parallel.one_copy(sums[name])[0]) for name in ("loss", "weight"))
        return {name: 10 * x for name, x in _named(first).items()} | {"loss": np.asarray(loss / weight)}

    return Ours(run, compile_ms, found.temp_size_in_bytes / MIB, arrays, results)


def _batch(sizes: Sizes, samples: int, vocabulary: int) -> Batch:
    random, (batch, words) = np.random.default_rng(0), (sizes.batch, sizes.words)
    return Batch(
        features={
            "words": random.integers(1, vocabulary, (batch, words, 1)).astype(np.float32),
            "waveform": random.normal(size=(batch, samples, 1)).astype(np.float32),
        },
        masks={"words": np.ones((batch, words), bool), "waveform": np.ones((batch, samples), bool)},
        targets=random.integers(0, CLASSES, batch).astype(np.int32),
        weights=np.ones(batch, np.float32),
        rows=np.arange(batch, dtype=np.int32),
        slots=np.arange(batch, dtype=np.int32),
    )


def _spans(sizes: Sizes, n: int) -> tuple[np.ndarray, np.ndarray]:
    """First and last state of each word's window, [batch, words]."""
    lengths = np.full(sizes.batch, sizes.words), np.full(sizes.batch, n)
    found = SlidingWindow(sizes.width).ranges(Size(sizes.batch, sizes.words, n, *lengths))
    shape = (sizes.batch, sizes.words)
    start, end = (np.broadcast_to(np.asarray(x, np.int64), shape) for x in (found.start, found.end))
    return start, end


def _named(tree: Any) -> dict[str, np.ndarray]:
    """Path -> array."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {"/".join(part.key for part in path): np.asarray(x) for path, x in leaves}


@dataclasses.dataclass(frozen=True)
class Setting:
    """What holds for every case; torch, and torch_memory, which measures memory alone: other processes."""

    rounds: int
    seconds: float
    memory_gib: float
    folder: Path
    torch: Interpreter | None
    torch_memory: Interpreter | None


def temporaries(sizes: Sizes, n: int, score: Score, windows: str, whole: bool) -> float:
    """Bytes of the largest arrays that a PyTorch network keeps for its backward pass, about: sums and
    tanh of each word's states, or of all states; whole: without feedback, all words at once. Of the
    general score: each word's states, where they are copied, or a number for each."""
    all_states = windows in ("masked", "fused")
    seen = n if all_states else min(n, sizes.width + 1)
    of_each = 1 if score == "general" and all_states else sizes.hidden
    return 4.0 * 2 * sizes.batch * sizes.words * seen * of_each * (2 if whole else 1)


def in_torch(
    setting: Setting, name: str, what: str, feedback: str, path: Path
) -> tuple[Callable[[], float], float | None, Mapping[str, np.ndarray]]:
    """A turn, MiB at the peak and the results of one of PyTorch's ways to get at windows."""
    assert setting.torch is not None
    torch, asked = setting.torch, {"arrays": str(path), "what": what, "feedback": feedback, "rate": RATE}
    asked |= {"name": name, "windows": name, "threads": threads()}
    torch.ask("prepare", **asked)
    found = setting.folder / "results.npz"
    torch.ask("results", name=name, path=str(found))
    with np.load(found) as held:
        results = {key: held[key] for key in held.files}
    peak = None
    if setting.torch_memory is not None:
        setting.torch_memory.ask("prepare", **asked)
        peak = setting.torch_memory.ask("memory", name=name)["mib"]
        setting.torch_memory.ask("drop")
    return lambda: torch.ask("time", name=name)["ms"], peak, results


def check_same(
    ours: Mapping[str, np.ndarray],
    theirs: Mapping[str, np.ndarray],
    where: str,
    allowed: float = DIFFERENCE,
) -> float:
    """The largest difference of any array, relative to its largest entry.

    Raises InputError above `allowed`: times of two different networks say nothing.
    """
    largest = {name: _difference(x, theirs[name]) for name, x in ours.items()}
    worst = max(largest, key=lambda name: largest[name])
    if not largest[worst] <= allowed:
        raise InputError(
            f"{where}: {worst} differs by {largest[worst]:.1g} of its largest entry, more than {allowed:g}; "
            "the two compute different networks and can't be compared"
        )
    return largest[worst]


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other.reshape(one.shape)).max() / np.abs(one).max())


def ways(score: Score, feedback: Feedback) -> Sequence[str]:
    """How PyTorch gets at windows (see benchmark_decoder_torch.py)."""
    own = ("by_step",) if feedback != "none" else ("in_pieces", "fused")[: 1 + (score == "general")]
    return ("masked", "by_arrays", "at_once", *own)
