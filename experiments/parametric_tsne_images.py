"""Parametric t-SNE on pictures: 20,000 images fitted, 5,000 held out, beside openTSNE's fit and transform.

    python -m experiments.parametric_tsne_images
    python -m experiments.parametric_tsne_images --images DATA/mnist --held-out test --json figures.json

The images are those of Debian's package dataset-fashion-mnist (idx files, gzipped; MIT), or any folder of such
files, MNIST's for one. All are drawn with a fixed seed, since the halves of MNIST's files are of different writers:
settings are chosen on `--held-out dev`, 5,000 other training images, and reported on `--held-out test`, 5,000 of the
test images; PCA to 50 components is fitted to the 20,000. Measures: KL of the
fitted map, and of the held-out images the accuracy of the nearest fitted image's class on the map (1-NN),
trustworthiness T(12), and CPU seconds. What is asked of MNIST is held against the median over seeds of the first of
`--steps`. openTSNE is no dependency: where it is not installed it is left out, and the run says so.
"""

import dataclasses
import gzip
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from rich.table import Table
from sklearn.decomposition import PCA

from experiments.benchmark_tables import at_least, at_most, markdown_table, markdown_targets, targets_table
from experiments.command import run, write_json
from experiments.emotion_space_peer import opentsne_module
from experiments.printing import console_on
from mer_jax.data.randomness import stream
from mer_jax.emotion_space.parametric_tsne import ParametricTSNE
from mer_jax.emotion_space.quality import nearest_neighbor_accuracy, trustworthiness
from mer_jax.errors import InputError
from mer_jax.training.run_folder import provenance

FITTED, HELD_OUT, COMPONENTS = 20_000, 5_000, 50
FOLDER = Path("/usr/share/datasets/fashion-mnist")  # of Debian's package
COLUMNS = ("map", "KL", "1-NN", "T(12)", "fit, CPU s", "transform, CPU s")


@dataclasses.dataclass(frozen=True)
class Args:
    """Pictures of ten classes on a map.

    Args:
        images: a folder of idx files, gzipped: train-images-idx3-ubyte.gz and so on.
        held_out: dev, to choose settings on; test, to report on.
        steps: of the descent; a fit for each number and seed.
        batch_size: edges of a step.
        learning_rate: Adam's first.
        hidden: width of each hidden layer.
        exaggeration: early exaggeration.
        seeds: of the fits.
        json: also write the figures to this file.
    """

    images: Path = FOLDER
    held_out: Literal["dev", "test"] = "dev"
    steps: tuple[int, ...] = (700, 1_500)
    batch_size: int = 2_048
    learning_rate: float = 1e-2
    hidden: tuple[int, ...] = (160, 160, 160, 160, 160)
    exaggeration: float = 4.0
    seeds: tuple[int, ...] = (0, 1, 2)
    json: Path | None = None


@dataclasses.dataclass(frozen=True)
class Split:
    """Rows [n, 50] and classes, fitted and held out."""

    rows: np.ndarray
    classes: np.ndarray
    new_rows: np.ndarray
    new_classes: np.ndarray


def main(args: Args) -> int:
    """Images, our map, openTSNE's, a table."""
    for name in ("steps", "seeds"):
        if not getattr(args, name):
            raise InputError(f"--{name} names none; give at least one")
    split = read_split(args.images, args.held_out)
    rows = [ours(args, split, steps, seed) for steps in args.steps for seed in args.seeds]
    targets = judged(rows[: len(args.seeds)])
    rows += theirs(split, args.seeds[0])
    table = Table(
        title=f"{args.images.resolve().name}, {FITTED:,} fitted, {HELD_OUT:,} held out ({args.held_out})",
        title_justify="left",
    )
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if number else "left")
    for row in rows:
        table.add_row(*cells(row))
    console = console_on(sys.stdout)
    console.print(table)
    console.print(targets_table("what is asked, median over seeds of the first fits", targets))
    write_json(args.json, {**provenance(), "held_out": args.held_out, "rows": rows, "targets": targets})
    return 0


def judged(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Every target, set on MNIST, with the median of the fits and whether it is met."""

    def middle(name: str) -> float:
        return float(np.median([row[name] for row in rows]))

    return [
        at_most("KL", 2.6, middle("kl"), ""),
        at_least("1-NN", 0.92, middle("nearest_neighbor"), ""),
        at_least("T(12)", 0.945, middle("trustworthiness"), ""),
        at_most("CPU seconds of the fit", 45, middle("fit_cpu_seconds"), "s"),
    ]


def cells(row: Mapping[str, Any]) -> list[str]:
    """A line of the table."""
    faithful = (f"{row[key]:.3f}" for key in ("kl", "nearest_neighbor", "trustworthiness"))
    spent = (f"{row[key]:.1f}" for key in ("fit_cpu_seconds", "transform_cpu_seconds"))
    return [row["map"], *faithful, *spent]


def markdown(result: Mapping[str, Any]) -> str:
    """The content of `--json` as tables for BENCHMARKS.md: targets, then rows."""
    rows: Sequence[list[str]] = [cells(row) for row in result["rows"]]
    return "\n".join([*markdown_targets(result["targets"]), "", *markdown_table(COLUMNS, rows)])


def ours(args: Args, split: Split, steps: int, seed: int) -> dict[str, Any]:
    """Fit and transform of our map."""
    before = time.process_time()
    model = ParametricTSNE(
        perplexity=30.0,
        hidden=args.hidden,
        max_iter=steps,
        batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        early_exaggeration=args.exaggeration,
        random_state=seed,
        verbose=1,
    ).fit(split.rows)
    fitted = time.process_time()
    places = model.transform(split.new_rows)
    spent = fitted - before, time.process_time() - fitted
    name = f"parametric t-SNE, {model.n_iter_:,} steps, seed {seed}"
    return _figures(name, model.kl_divergence_, model.embedding_, places, split, spent)


def theirs(split: Split, seed: int) -> Iterator[dict[str, Any]]:
    """Fit and transform of openTSNE with its defaults; nothing where it is not installed."""
    try:
        peer = opentsne_module()
    except InputError as error:
        print(f"without openTSNE: {error}", file=sys.stderr)
        return
    before = time.process_time()
    embedding = peer.TSNE(perplexity=30, random_state=seed, n_jobs=-1).fit(split.rows)
    fitted = time.process_time()
    places = np.asarray(embedding.transform(split.new_rows))
    spent = fitted - before, time.process_time() - fitted
    name, kl = f"openTSNE {peer.__version__}", float(embedding.kl_divergence)
    yield _figures(name, kl, np.asarray(embedding), places, split, spent)


def _figures(
    name: str, kl: float, places: np.ndarray, new_places: np.ndarray, split: Split, spent: tuple[float, float]
) -> dict[str, Any]:
    return {
        "map": name,
        "kl": float(kl),
        "nearest_neighbor": nearest_neighbor_accuracy(places, split.classes, new_places, split.new_classes),
        "trustworthiness": trustworthiness(split.new_rows, new_places),
        "fit_cpu_seconds": spent[0],
        "transform_cpu_seconds": spent[1],
    }


def read_split(folder: Path, held_out: str) -> Split:
    """The 20,000 images that are fitted, and those held out, on 50 principal components."""
    images, classes = _read(folder, "train")
    order = stream(0, "images").permutation(len(images))
    fitted, held = order[:FITTED], order[FITTED : FITTED + HELD_OUT]
    new, new_classes = images, classes
    if held_out == "test":
        new, new_classes = _read(folder, "t10k")
        held = stream(0, "test images").permutation(len(new))[:HELD_OUT]
    pca = PCA(COMPONENTS, random_state=0).fit(images[fitted])
    rows, new_rows = (pca.transform(x).astype(np.float32) for x in (images[fitted], new[held]))
    return Split(rows, classes[fitted], new_rows, new_classes[held])


def _read(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images [n, 784] in [0, 1] and classes [n] of a pair of idx files."""
    found = []
    for kind, header in (("images-idx3", 16), ("labels-idx1", 8)):
        path = folder / f"{name}-{kind}-ubyte.gz"
        if not path.exists():
            raise InputError(
                f"{path} does not exist; install Debian's dataset-fashion-mnist or name a folder of idx files, gzipped, with --images"
            )
        found.append(np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header))
    return found[0].reshape(len(found[1]), -1).astype(np.float32) / 255, found[1].astype(int)


if __name__ == "__main__":
    sys.exit(run(main, Args))
