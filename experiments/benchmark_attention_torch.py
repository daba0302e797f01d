"""The peers of `benchmark_attention` in PyTorch; run by an interpreter that has it.

Not a module of the package: a JSON object a line on stdin, an answer a line on stdout.

    {"do": "prepare", "peer", "arrays": an .npz file, "half", "dtype", "backward", "threads"}
                             -> {"compile_ms"} or {"why": why the peer cannot serve}
    {"do": "time", "peer"}   -> {"ms"}
    {"do": "memory", "peer"} -> {"mib"}
    {"do": "context", "peer", "path"}  writes an .npy file -> {}
    {"do": "drop"}           forgets what was prepared -> {}

half: the keys on each side of a query's centre.
"""

import gc
import json
import math
import os
import sys
import time

import numpy as np
import torch
from resident_memory import growth
from torch.nn import functional

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
QUICK_MS, TURN_MS = 100.0, 10.0  # as in kernels/attention/bench.py


def sdpa(arrays, half):
    """Scaled dot product attention; the band as an additive mask, made once."""
    mask = torch.zeros_like(allowed(arrays), dtype=arrays["query"].dtype)
    mask = mask.masked_fill(~allowed(arrays), -math.inf)[:, None]

    def attend(query, key, value):
        attended = functional.scaled_dot_product_attention(
            query[:, None], key[:, None], value[:, None], attn_mask=mask, scale=1.0
        )
        return attended[:, 0]

    return attend


def local_attention(arrays, half):
    """Blocks of `half` queries over the block before, their own and the one after: 3 half keys."""
    from local_attention import LocalAttention

    layer = LocalAttention(
        window_size=half,
        look_backward=1,
        look_forward=1,
        causal=False,
        autopad=arrays["query"].shape[1] % half != 0,
        use_rotary_pos_emb=False,
        scale=1.0,
    )
    return layer.to(DEVICE)


def flex(arrays, half):
    """FlexAttention, compiled for this shape alone, with a block mask of the ranges made once.

    Compiled for any shape, which torch tries at the second one, its C++ is refused on the CPU (2.13).
    """
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    torch._dynamo.reset()

    start, end = arrays["start"], arrays["end"]
    rows = start.shape[0]

    def inside(batch, head, query, key):
        row = batch if rows > 1 else 0
        return (start[row, query] <= key) & (key <= end[row, query])

    sizes = (arrays["query"].shape[1], arrays["key"].shape[1])
    mask = create_block_mask(inside, rows if rows > 1 else None, None, *sizes, device=DEVICE)
    attend = torch.compile(flex_attention, dynamic=False)
    return lambda query, key, value: attend(
        query[:, None], key[:, None], value[:, None], block_mask=mask, scale=1.0
    )[:, 0]


def keras_formula(arrays, half):
    """keras.layers.AdditiveAttention: sum(scale tanh(q + k)), over all keys, in eager torch."""

    def attend(query, key, value, score_vector):
        scores = torch.sum(score_vector * torch.tanh(query[:, :, None] + key[:, None]), dim=-1)
        return torch.softmax(scores, dim=-1) @ value

    return attend


def unfolded(arrays, half):
    """Additive attention over windows that `unfold` cuts out of padded keys and values."""
    length = arrays["query"].shape[1]
    positions = torch.arange(length, device=DEVICE)[:, None] + torch.arange(-half, half + 1, device=DEVICE)
    outside = (positions < 0) | (positions >= length)

    def windows(x):
        padded = functional.pad(x, (0, 0, half, half))
        return padded.unfold(1, 2 * half + 1, 1).transpose(-1, -2)

    def attend(query, key, value, score_vector):
        scores = torch.tanh(query[:, :, None] + windows(key)) @ score_vector
        shares = torch.softmax(scores.masked_fill(outside, -math.inf), dim=-1)
        return (shares[:, :, None] @ windows(value))[:, :, 0]

    return attend


PEERS = {
    "torch_sdpa": sdpa,
    "local_attention": local_attention,
    "torch_flex": flex,
    "keras_formula": keras_formula,
    "torch_unfold": unfolded,
}


def allowed(arrays):
    """[batch or 1, m, n]: whether the key lies in the query's range."""
    positions = torch.arange(arrays["key"].shape[1], device=DEVICE)
    return (arrays["start"][:, :, None] <= positions) & (positions <= arrays["end"][:, :, None])


class Prepared:
    """A peer with its arrays, ready to be called."""

    def __init__(self, asked):
        torch.set_num_threads(asked["threads"])
        dtype = getattr(torch, asked["dtype"])
        with np.load(asked["arrays"]) as held:
            arrays = {name: torch.from_numpy(held[name]).to(DEVICE) for name in held.files}
        arrays = {name: x.to(dtype) if x.is_floating_point() else x for name, x in arrays.items()}
        names = ("query", "key", "value", "score_vector")
        self.operands = [arrays[name] for name in names if name in arrays]
        self.cotangent, self.backward = arrays["cotangent"], asked["backward"]
        self.attend = PEERS[asked["peer"]](arrays, asked["half"])
        for operand in self.operands:
            operand.requires_grad_(self.backward)
        self.last = math.inf
        began = time.perf_counter()
        self.run()
        self.compile_ms = 1e3 * (time.perf_counter() - began) if asked["peer"] == "torch_flex" else 0.0

    def run(self):
        """Context, and the gradients of all operands where they are asked for."""
        if not self.backward:
            with torch.inference_mode():
                return [self.attend(*self.operands)]
        context = self.attend(*self.operands)
        return [context, *torch.autograd.grad(context, self.operands, self.cotangent)]

    def time(self):
        """Milliseconds of a call, as `stopwatch` takes them in kernels/attention/bench.py."""
        if self.last < QUICK_MS:
            self.run()
        synchronize()
        calls = max(1, min(100, math.ceil(TURN_MS / self.last)))
        began = time.perf_counter()
        for _ in range(calls):
            self.run()
        synchronize()
        self.last = max(1e3 * (time.perf_counter() - began) / calls, 1e-6)
        return self.last

    def memory(self):
        """MiB beside arguments and results at the peak of a call; None where nothing tells."""
        if DEVICE == "cuda":
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            results = size(self.run())
            return (torch.cuda.max_memory_allocated() - before - results) / 2**20
        found = growth(self.run, size)
        return None if found is None else found / 2**20


def size(results):
    """Bytes of the results."""
    return sum(x.numel() * x.element_size() for x in results)


def synchronize():
    """Waits for the accelerator, where there is one."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def answer(asked, prepared):
    """What is said to one request."""
    if asked["do"] == "drop":
        prepared.clear()
        gc.collect()
        return {}
    peer = asked["peer"]
    if asked["do"] == "prepare":
        try:
            prepared[peer] = Prepared(asked)
        except Exception as error:  # whatever a peer raises is the reason why it cannot serve
            words = str(error).strip().splitlines()
            return {"why": f"{type(error).__name__}: {words[0] if words else 'without a message'}"}
        return {"compile_ms": prepared[peer].compile_ms}
    if asked["do"] == "time":
        return {"ms": prepared[peer].time()}
    if asked["do"] == "memory":
        return {"mib": prepared[peer].memory()}
    np.save(asked["path"], prepared[peer].run()[0].detach().float().cpu().numpy())
    return {}


def main():
    """Answers until stdin ends; what others print goes to stderr."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps({"torch": torch.__version__, "device": DEVICE}), file=replies, flush=True)
    prepared = {}
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), prepared)), file=replies, flush=True)


if __name__ == "__main__":
    main()
