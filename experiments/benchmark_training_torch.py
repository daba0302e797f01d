"""The network of `benchmark_training` in PyTorch; run by an interpreter that has it.

Not a module of the package: takes sizes as JSON, then makes one training step for each line
on stdin and prints its milliseconds.
"""

import json
import sys
import time

import torch


class Network(torch.nn.Module):
    """One LSTM and one linear classifier for each modality."""

    def __init__(self, hidden, classes, dims):
        super().__init__()
        self.layers = torch.nn.ModuleList(torch.nn.LSTM(dim, hidden, batch_first=True) for dim in dims)
        self.heads = torch.nn.ModuleList(torch.nn.Linear(hidden, classes) for _ in dims)

    def forward(self, inputs):
        return [
            head(layer(x)[0][:, -1]) for layer, head, x in zip(self.layers, self.heads, inputs, strict=True)
        ]


def main():
    """One step for each line of stdin."""
    batch, steps, hidden, classes, dims = json.loads(sys.argv[1])
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = Network(hidden, classes, dims).to(device)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    inputs = [torch.randn(batch, steps, dim, device=device) for dim in dims]
    targets = torch.randint(0, classes, (batch,), device=device)
    for _ in sys.stdin:
        begin = time.perf_counter()
        optimizer.zero_grad()
        sum(torch.nn.functional.cross_entropy(x, targets) for x in network(inputs)).backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()
        print(1e3 * (time.perf_counter() - begin), flush=True)


if __name__ == "__main__":
    main()
