"""The networks of `benchmark_decoder` in PyTorch; run by an interpreter that has it.

Not a module of the package: a JSON object a line on stdin, an answer a line on stdout.

    {"do": "prepare", "name", "arrays": an .npz file, "what": "decoder" or "step", "feedback",
     "windows", "rate", "threads"}     -> {}
    {"do": "time", "name"}             -> {"ms"}
    {"do": "memory", "name"}           -> {"mib"}
    {"do": "results", "name", "path"}  writes states or loss and gradients, an .npz file -> {}
    {"do": "drop"}                     forgets what was prepared -> {}

windows: how a word gets at the audio states of its window.

    masked     it does not: all states get a score, those outside are masked
    fused      the same in one call of scaled_dot_product_attention (general score, without feedback)
    by_arrays  key[rows, places]; with feedback at each step, else of all words at once
    by_step    rows copied by `index_select`, at each step
    at_once    the same of all words, before the first step
    in_pieces  the same of 16 words at a time, without feedback

Parameters come and gradients go under the names and in the layout, [in, out], of mer_jax.
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
from torch import nn
from torch.nn import functional

QUICK_MS, TURN_MS = 100.0, 10.0  # as in kernels/attention/bench.py
PIECE = 16
WHOLE = ("masked", "fused")  # ways that cut out no windows
WORDS_OF_ROWS = 3  # dimensions: rows, words, features


class Decoder(nn.Module):
    """A GRU whose states attend to windows of an encoder's states.

    score: concat, v . tanh(W1 h + W2 s), or general, W h . s, which projects the few words alone.
    """

    def __init__(self, dim, hidden, memory, size, score, feedback, windows):
        super().__init__()
        self.feedback, self.windows, concat = feedback, windows, score == "concat"
        fed = size if feedback == "input" else 0
        self.gru = (
            nn.GRU(dim, hidden, batch_first=True) if feedback == "none" else nn.GRUCell(dim + fed, hidden)
        )
        self.query = nn.Linear(hidden, size if concat else memory, bias=False)
        self.key = nn.Linear(memory, size, bias=False) if concat else None
        self.score = nn.Linear(size, 1, bias=False) if concat else None
        self.attentional = nn.Linear(memory + hidden, size, bias=False)

    def forward(self, inputs, encoder, spans, initial=None):
        """h~ of [batch, words, dim] over [batch, n, memory]; spans: first and last state of each word."""
        if initial is None:
            initial = inputs.new_zeros(len(inputs), self.query.in_features)
        memory = Windows(self.key and self.key(encoder), encoder, *spans, self.windows)
        if self.feedback != "none":
            return self.stepwise(inputs, memory, initial)
        states, _ = self.gru(inputs, initial[None])
        if self.windows != "in_pieces":
            return self.attend(states, *memory.some(slice(None)))
        pieces = (slice(at, at + PIECE) for at in range(0, states.shape[1], PIECE))
        return torch.cat([self.attend(states[:, p], *memory.some(p)) for p in pieces], dim=1)

    def stepwise(self, inputs, memory, state):
        """One word after the other."""
        found, fed = [], None
        for x, now in zip(inputs.unbind(1), memory.by_word(), strict=True):
            if self.feedback == "input":
                x = torch.cat([x, torch.zeros_like(state) if fed is None else fed], dim=1)
            state = self.gru(x, state)
            fed = self.attend(state, *now)
            found.append(fed)
            state = fed if self.feedback == "state" else state
        return torch.stack(found, dim=1)

    def attend(self, states, key, value, outside):
        """h~ of [..., hidden] over [..., w, size] and [..., w, memory], each word's own or one for all
        words of a row; outside: not attended to."""
        query = self.query(states)
        if self.windows == "fused":
            context = functional.scaled_dot_product_attention(query, value, value, ~outside, scale=1.0)
        else:
            scores = of_each(query, value.mT) if key is None else self.additive(query, key)
            shares = torch.softmax(scores.masked_fill(outside, -math.inf), dim=-1)
            context = of_each(shares, value)
        return torch.tanh(self.attentional(torch.cat([context, states], dim=-1)))

    def additive(self, query, key):
        """v . tanh(query + key)"""
        key = key[:, None] if key.ndim == query.ndim == WORDS_OF_ROWS else key
        return self.score(torch.tanh(query[..., None, :] + key))[..., 0]


def of_each(x, matrices):
    """x [..., f] times a matrix [..., f, g] of its own, or one that all words of a row share."""
    if x.ndim == matrices.ndim == WORDS_OF_ROWS:
        return x @ matrices
    return (x[..., None, :] @ matrices)[..., 0, :]


class Windows:
    """Keys (None: the values are the keys) and values, [batch, n, ...], as the words see them."""

    def __init__(self, key, value, start, end, how):
        self.key, self.value, self.how = key, value, how
        n = value.shape[1]
        width = n if how in WHOLE else min(n, int((end - start).max()) + 1)
        self.places = start.clamp(0, n - width)[..., None] + torch.arange(width)
        self.outside = (self.places < start[..., None]) | (self.places > end[..., None])

    def some(self, words):
        """Keys, values and what is outside, of a slice of the words: [batch, words, w, ...]; where no
        window is cut out, keys and values [batch, n, ...]."""
        outside = self.outside[:, words]
        if self.how in WHOLE:
            return self.key, self.value, outside
        places, rows = self.places[:, words], torch.arange(len(self.value))[:, None, None]
        flat = (places + self.value.shape[1] * rows).flatten()

        def cut(x):
            if self.how == "by_arrays":
                return x[rows, places]
            return x.flatten(0, 1).index_select(0, flat).view(*places.shape, -1)

        return self.key if self.key is None else cut(self.key), cut(self.value), outside

    def by_word(self):
        """The same of each word, [batch, w, ...]."""
        words = range(self.places.shape[1])
        if self.how in WHOLE:
            return ((self.key, self.value, self.outside[:, word]) for word in words)
        if self.how == "at_once":
            return zip(*(of_words(x, len(words)) for x in self.some(slice(None))), strict=True)
        return (tuple(next(of_words(x, 1)) for x in self.some(slice(word, word + 1))) for word in words)


def of_words(x, words):
    """x of each word; None for each where there is no x."""
    return iter([None] * words if x is None else x.unbind(1))


def decoder_of(arrays, prefix, dim, memory, feedback, windows):
    """A decoder of the sizes, and with the score, of our arrays."""
    hidden = arrays[f"{prefix}gru/recurrent_kernel"].shape[0]
    size = arrays[f"{prefix}attention/W_c"].shape[1]
    score = "concat" if f"{prefix}attention/W2" in arrays else "general"
    return Decoder(dim, hidden, memory, size, score, feedback, windows)


class LexicoAcoustic(nn.Module):
    """Words and a raw waveform: convolutions, a GRU over the audio, the decoder, the classes."""

    def __init__(self, arrays, feedback, windows):
        super().__init__()
        table, first, second = (arrays[f"front/{name}"].shape for name in (TABLE, FIRST, SECOND))
        hidden = arrays["auxiliary_0/recurrent_kernel"].shape[0]
        self.words = nn.Embedding(*table)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(channels, filters, width, padding=(width - 1) // 2)
            for width, channels, filters in (first, second)
        )
        self.audio = nn.GRU(second[2], hidden, batch_first=True)
        self.decoder = decoder_of(arrays, "decoder/", table[1], hidden, feedback, windows)
        self.head = nn.Linear(*arrays["Dense_0/kernel"].shape)

    def forward(self, words, waveform, spans):
        """Logits of the classes."""
        x = (waveform - waveform.mean(1, keepdim=True)) / waveform.std(1, correction=0, keepdim=True)
        x = x[:, None]
        for convolution in self.convolutions:
            x = functional.max_pool1d(functional.relu(convolution(x)), POOL)
        audio, last = self.audio(x.transpose(1, 2))
        states = self.decoder(self.words(words), audio, spans, last[0])
        return self.head(states[:, -1])


TABLE, FIRST, SECOND = "table", "convolutions/kernel_0", "convolutions/kernel_1"
POOL = 50


def parameters_of_gru(module, prefix):
    """Name of ours -> parameter, and its index or None; the recurrent bias of ours has the new gate alone."""
    suffix = "" if isinstance(module, nn.GRUCell) else "_l0"
    names = {"input_kernel": "weight_ih", "recurrent_kernel": "weight_hh", "bias": "bias_ih"}
    found = {f"{prefix}/{ours}": getattr(module, theirs + suffix) for ours, theirs in names.items()}
    return found | {f"{prefix}/recurrent_bias": getattr(module, f"bias_hh{suffix}")}


def parameters_of_decoder(module, prefix=""):
    """Name of ours -> parameter."""
    concat = {"W1": module.query, "W2": module.key, "v": module.score}
    layers = ({"W": module.query} if module.key is None else concat) | {"W_c": module.attentional}
    own = {f"{prefix}attention/{name}": layer.weight for name, layer in layers.items()}
    return parameters_of_gru(module.gru, f"{prefix}gru") | own


def parameters_of_network(module):
    """Name of ours -> parameter."""
    found = {f"front/{TABLE}": module.words.weight, "Dense_0/kernel": module.head.weight}
    found |= {"Dense_0/bias": module.head.bias}
    for number, layer in enumerate(module.convolutions):
        found |= {f"front/convolutions/kernel_{number}": layer.weight}
        found |= {f"front/convolutions/bias_{number}": layer.bias}
    return (
        found
        | parameters_of_gru(module.audio, "auxiliary_0")
        | parameters_of_decoder(module.decoder, "decoder/")
    )


def other_layout(name, x):
    """Between [in, out] or [width, in, out] and [out, in] or [out, in, width]; the table has one layout."""
    return x if x.ndim < 2 or name.endswith(TABLE) else x.transpose(0, x.ndim - 1)


def load(parameters, arrays):
    """Copies our values into their parameters."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            x = other_layout(name, arrays[name])
            if name.endswith("recurrent_bias"):
                x = functional.pad(x, (parameter.shape[0] - x.shape[0], 0))
            parameter.copy_(x)


def unload(parameters, gradients):
    """Gradients under our names, in our layout."""
    found = {}
    for (name, _), x in zip(parameters.items(), gradients, strict=True):
        x = x[-x.shape[0] // 3 :] if name.endswith("recurrent_bias") else other_layout(name, x)
        found[name] = x.numpy()
    return found


class Attending:
    """The decoder alone: h~, and gradients of all parameters, words and audio states."""

    def __init__(self, asked, arrays):
        self.words = arrays["inputs"].requires_grad_()
        self.audio = arrays["encoder"].requires_grad_()
        self.cotangent, self.spans = arrays["cotangent"], (arrays["start"], arrays["end"])
        sizes = self.words.shape[2], self.audio.shape[2]
        self.module = decoder_of(arrays, "", *sizes, asked["feedback"], asked["windows"])
        self.parameters = parameters_of_decoder(self.module)
        load(self.parameters, arrays)

    def run(self):
        """[h~, gradients]"""
        states = self.module(self.words, self.audio, self.spans)
        wanted = [*self.parameters.values(), self.words, self.audio]
        return [states, *torch.autograd.grad(states, wanted, self.cotangent)]

    def results(self):
        """h~ and the gradients by name."""
        states, *gradients, words, audio = self.run()
        found = unload(self.parameters, gradients)
        return found | {"states": states.detach().numpy(), "inputs": words.numpy(), "encoder": audio.numpy()}


class Training:
    """A training step of the whole network by Adam."""

    def __init__(self, asked, arrays):
        self.arrays = arrays
        self.inputs = arrays["words"], arrays["waveform"], (arrays["start"], arrays["end"])
        self.module = LexicoAcoustic(arrays, asked["feedback"], asked["windows"])
        self.parameters = parameters_of_network(self.module)
        load(self.parameters, arrays)
        self.optimizer = torch.optim.Adam(self.module.parameters(), asked["rate"])

    def run(self):
        """[loss]"""
        self.optimizer.zero_grad()
        loss = functional.cross_entropy(self.module(*self.inputs), self.arrays["targets"])
        loss.backward()
        self.optimizer.step()
        return [loss.detach()]

    def results(self):
        """The loss and the gradients of the next step, which is made."""
        (loss,) = self.run()
        found = unload(self.parameters, [x.grad for x in self.parameters.values()])
        return found | {"loss": loss.numpy()}


class Prepared:
    """A network with its arrays, ready to be called."""

    def __init__(self, asked):
        torch.set_num_threads(asked["threads"])
        with np.load(asked["arrays"]) as held:
            arrays = {name: torch.from_numpy(held[name]) for name in held.files}
        self.network = {"decoder": Attending, "step": Training}[asked["what"]](asked, arrays)
        self.last = math.inf

    def time(self):
        """Milliseconds of a call, as `stopwatch` takes them in kernels/attention/bench.py."""
        if self.last < QUICK_MS:
            self.network.run()
        calls = max(1, min(100, math.ceil(TURN_MS / self.last)))
        began = time.perf_counter()
        for _ in range(calls):
            self.network.run()
        self.last = max(1e3 * (time.perf_counter() - began) / calls, 1e-6)
        return self.last

    def memory(self):
        """MiB beside arguments and results at the peak of a call; None where nothing tells."""
        found = growth(self.network.run, lambda results: sum(x.numel() * x.element_size() for x in results))
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
    np.savez(asked["path"], **prepared[name].network.results())
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
