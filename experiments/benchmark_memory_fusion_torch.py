"""The network of `benchmark_memory_fusion` in eager PyTorch; run by an interpreter that has it.

Not a module of the package: a JSON object a line on stdin, an answer a line on stdout.

    {"do": "prepare", "name", "arrays": an .npz file, "lstm", "adam", "rate", "threads"} -> {}
    {"do": "time", "name"}             -> {"ms"}
    {"do": "memory", "name"}           -> {"mib"}
    {"do": "results", "name", "path"}  writes the loss and the gradients, an .npz file; makes a step -> {}
    {"do": "drop"}                     forgets what was prepared -> {}

lstm: how a step gets its states. nn.LSTM can't give them: the memory enters every step, and a step's
cells are read, of which nn.LSTM gives the last alone.

    cells      an nn.LSTMCell a modality, which reads features and memory
    projected  W x + b of all steps beforehand, the rest of the cell by hand

adam: default, foreach or fused. Parameters come and gradients go under the names and in the layout,
[in, out], of mer_jax; of the two biases of an nn.LSTMCell one starts at zero and is not compared.
"""

import functools
import gc
import json
import math
import os
import sys
import time

import numpy as np
import torch
from resident_memory import growth
from torch import nn
from torch.nn import functional

QUICK_MS, TURN_MS = 100.0, 10.0  # as in kernels/attention/bench.py
NAMES = ("text", "audio", "video")


class Cells(nn.ModuleList):
    """One cell a modality, which reads its features and the memory."""

    def __init__(self, dims, hidden, memory):
        super().__init__(nn.LSTMCell(dim + memory, hidden) for dim in dims)
        self.memory = memory

    def begin(self, features):
        """What each step reads of every modality."""
        return zip(*(x.unbind(1) for x in features), strict=True)

    def forward(self, now, memory, states, cells):
        """States and cells of every modality."""
        found = [
            cell(torch.cat([x, memory], dim=1), (h, c))
            for cell, x, h, c in zip(self, now, states, cells, strict=True)
        ]
        return zip(*found, strict=True)


class Projected(Cells):
    """The same with W x + b made before the first step."""

    def begin(self, features):
        """W x + b at each step, of every modality."""
        found = []
        for cell, x in zip(self, features, strict=True):
            kernel, bias = cell.weight_ih[:, : -self.memory], cell.bias_ih + cell.bias_hh
            found.append(functional.linear(x, kernel, bias).unbind(1))
        return zip(*found, strict=True)

    def forward(self, now, memory, states, cells):
        """States and cells of every modality."""
        found = []
        for cell, x, h, c in zip(self, now, states, cells, strict=True):
            gates = torch.addmm(x, h, cell.weight_hh.T)
            gates = torch.addmm(gates, memory, cell.weight_ih[:, -self.memory :].T)
            i, f, g, o = gates.chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            found.append((torch.sigmoid(o) * torch.tanh(c), c))
        return zip(*found, strict=True)


class Network(nn.Module):
    """LSTMs side by side, the four small networks of the memory, a dense layer and the classes."""

    def __init__(self, arrays, lstm):
        super().__init__()
        kernels = [arrays[f"fusion/{name}/input_kernel"] for name in NAMES]
        dims, hidden = [len(x) for x in kernels], kernels[0].shape[1] // 4
        units, memory = arrays["fusion/update_out_kernel"].shape
        both, self.memory, self.hidden = 2 * hidden * len(dims), memory, hidden
        self.lstm = {"cells": Cells, "projected": Projected}[lstm](dims, hidden, memory)

        def small(inputs, outputs, last):
            return nn.Sequential(nn.Linear(inputs, units), nn.ReLU(), nn.Linear(units, outputs), last)

        self.attention = small(both, both, nn.Softmax(dim=1))
        self.update = small(both, memory, nn.Tanh())
        self.keep, self.write = (small(both + memory, memory, nn.Sigmoid()) for _ in range(2))
        dense, classes = arrays["dense/kernel"].shape[1], arrays["classes/kernel"].shape[1]
        self.head = nn.Sequential(nn.Linear(hidden + memory, dense), nn.ReLU(), nn.Linear(dense, classes))

    def forward(self, features):
        """Logits of the classes."""
        batch = len(features[0])
        states = cells = [features[0].new_zeros(batch, self.hidden) for _ in features]
        memory = features[0].new_zeros(batch, self.memory)
        for now in self.lstm.begin(features):
            before = cells
            states, cells = self.lstm(now, memory, states, cells)
            both = torch.cat([*before, *cells], dim=1)
            attended = self.attention(both) * both
            with_memory = torch.cat([attended, memory], dim=1)
            memory = self.keep(with_memory) * memory + self.write(with_memory) * self.update(attended)
        return self.head(torch.cat([functools.reduce(torch.mul, states), memory], dim=1))

    def by_name(self, of=lambda x: x):
        """Our name -> what `of` gives of that parameter, a view in our layout."""
        found = {}
        for name, cell in zip(NAMES, self.lstm, strict=True):
            inputs = of(cell.weight_ih).T
            found[f"{name}/input_kernel"], found[f"{name}/memory_kernel"] = (
                inputs[: -self.memory],
                inputs[-self.memory :],
            )
            found |= {f"{name}/recurrent_kernel": of(cell.weight_hh).T, f"{name}/bias": of(cell.bias_ih)}
        layers = {}
        for name in ("attention", "update", "keep", "write"):
            first, _, second, _ = getattr(self, name)
            layers |= {f"{name}_hidden_": first, f"{name}_out_": second}
        for name, layer in layers.items():
            found |= {f"{name}kernel": of(layer.weight).T, f"{name}bias": of(layer.bias)}
        found = {f"fusion/{name}": x for name, x in found.items()}
        for name, layer in (("dense", self.head[0]), ("classes", self.head[2])):
            found |= {f"{name}/kernel": of(layer.weight).T, f"{name}/bias": of(layer.bias)}
        return found


class Prepared:
    """A network with its arrays and its optimizer, ready to be called."""

    def __init__(self, asked):
        torch.set_num_threads(asked["threads"])
        with np.load(asked["arrays"]) as held:
            arrays = {name: torch.from_numpy(held[name]) for name in held.files}
        self.features = [arrays[f"features/{name}"] for name in NAMES]
        self.targets = arrays["targets"].long()
        self.network = Network(arrays, asked["lstm"])
        with torch.no_grad():
            for cell in self.network.lstm:
                cell.bias_hh.zero_()
            for name, parameter in self.network.by_name().items():
                parameter.copy_(arrays[name])
        ways = {} if asked["adam"] == "default" else {asked["adam"]: True}
        self.optimizer = torch.optim.Adam(self.network.parameters(), asked["rate"], **ways)
        self.last = math.inf

    def run(self):
        """A training step; its loss."""
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.network(self.features), self.targets)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def results(self):
        """The loss and the gradients of the step that is made."""
        loss = self.run().numpy()
        return {name: x.numpy() for name, x in self.network.by_name(lambda x: x.grad).items()} | {
            "loss": loss
        }

    def time(self):
        """Milliseconds of a call, as `stopwatch` takes them in kernels/attention/bench.py."""
        if self.last < QUICK_MS:
            self.run()
        calls = max(1, min(100, math.ceil(TURN_MS / self.last)))
        began = time.perf_counter()
        for _ in range(calls):
            self.run()
        self.last = max(1e3 * (time.perf_counter() - began) / calls, 1e-6)
        return self.last

    def memory(self):
        """MiB beside parameters and inputs at the peak of a call; None where nothing tells."""
        found = growth(self.run, lambda loss: loss.numel() * loss.element_size())
        return None if found is None else found / 2**20


def answer(asked, prepared):
    """What is said to one request."""
    if asked["do"] == "drop":
        prepared.clear()
        gc.collect()
        return {}
    name = asked["name"]
    if asked["do"] == "prepare":
        prepared[name] = Prepared(asked)
        return {}
    if asked["do"] == "time":
        return {"ms": prepared[name].time()}
    if asked["do"] == "memory":
        return {"mib": prepared[name].memory()}
    np.savez(asked["path"], **prepared[name].results())
    return {}


def main():
    """Answers until stdin ends; what others print goes to stderr."""
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    print(json.dumps({"torch": torch.__version__}), file=replies, flush=True)
    prepared = {}
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), prepared)), file=replies, flush=True)


if __name__ == "__main__":
    main()
