"""Predictions of a finished run for the utterances of any prepared corpus.

    python -m experiments.predict runs/early_fusion_generated-seed0
    python -m experiments.predict runs/early_fusion_generated-seed0 my_recordings --csv out.csv
    python -m experiments.predict runs/m3er_generated-seed0 --without audio face

The corpus must have the run's modalities with the same number of features; labels are not
needed and not looked at. With several folds the probabilities of all folds are averaged. Modalities may be
missing, of all utterances or of some; a run with a modality check and proxies uses them here too.
"""

import csv
import dataclasses
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.progress import track
from scipy.special import softmax

from experiments.command import data_dir_from_environment, run
from experiments.experiment import Experiment, experiment_from_json
from experiments.printing import console_on
from experiments.setup import make_program, open_corpus
from mer_jax.data.batching import batches
from mer_jax.data.corpus import Corpus
from mer_jax.data.examples import make_examples
from mer_jax.data.preprocessing import Preprocessing
from mer_jax.errors import InputError, nearest
from mer_jax.evaluation.protocol import Protocol
from mer_jax.records import from_json, write_atomically
from mer_jax.robustness.pipeline import Repair, without_modalities
from mer_jax.training.checkpoint import Checkpoints
from mer_jax.training.predicting import predict_rows
from mer_jax.training.program import Program
from mer_jax.training.run_folder import RunFolder
from mer_jax.training.scalars import Member
from mer_jax.training.state import TrainState, stack, unstack
from mer_jax.training.step import System


@dataclasses.dataclass(frozen=True)
class Args:
    """Predictions of a finished run.

    Args:
        run: the run folder.
        corpus: a prepared corpus; empty: the one the run was trained on.
        without: modalities to leave out, as if they had not been recorded.
        csv: where to write id, prediction and one column per target; default: the terminal.
        prepared: where prepared corpora lie.
        data_dir: raw data, to prepare a corpus that is not there yet; default MER_DATA.
    """

    run: tyro.conf.Positional[Path]
    corpus: tyro.conf.Positional[str] = ""
    without: tuple[str, ...] = ()
    csv: Path | None = None
    prepared: Path = Path("prepared")
    data_dir: Path | None = dataclasses.field(default_factory=data_dir_from_environment)


def main(args: Args) -> int:
    """Restores the run's best states and writes a table."""
    folder = RunFolder(args.run)
    if not folder.finished:
        raise InputError(f"{folder.path} is no finished run (it has no metrics.json); train or resume it")
    experiment = experiment_from_json(folder.read("config.json")["config"])
    protocol = from_json(Protocol, {k: v for k, v in folder.read("protocol.json").items() if k != "hash"})
    require_network(experiment, folder)
    data = dataclasses.replace(experiment.data, corpus=args.corpus or experiment.data.corpus)
    corpus = open_corpus(data, args.prepared, args.data_dir)
    if len(corpus) == 0:
        raise InputError(f"corpus {data.corpus!r} holds no utterance")
    corpus = left_out(corpus, data.view.streams, args.without)
    values = predict(folder, experiment, protocol, corpus)
    write(args.csv, corpus, protocol, values)
    return 0


def require_network(experiment: Experiment[Any], folder: RunFolder) -> None:
    """Raises InputError where the run has none to restore."""
    if not isinstance(experiment.model, System):
        raise InputError(
            f"{folder.path} holds no network, experiments.emotion_predictors made it: its predictions.npz and "
            "timeline.npz are all there is; for another corpus run that script on it"
        )


def left_out(corpus: Corpus, streams: Sequence[str], without: Sequence[str]) -> Corpus:
    """The corpus without these modalities. Raises InputError for one that the run does not read, or all."""
    for name in without:
        if name not in streams:
            raise InputError(f"--without {name!r} is no modality of the run; {nearest(name, streams)}")
    if set(without) >= set(streams):
        raise InputError("--without names every modality of the run; leave it one to read")
    return without_modalities(corpus, without) if without else corpus


def predict(folder: RunFolder, experiment: Experiment[Any], protocol: Protocol, corpus: Corpus) -> np.ndarray:
    """[utterances, targets] probabilities (or intensities), averaged over the folds."""
    program = make_program(experiment, protocol, corpus)
    fitted = folder.read("preprocessing.json")
    rows, data, values = np.arange(len(corpus)), experiment.data, []
    for name in track(fitted, description="folds", console=console_on(sys.stderr), disable=len(fitted) == 1):
        preprocessing = Preprocessing.from_json(fitted[name])
        _check_dims(preprocessing, corpus, folder)
        state = restore(folder, name, program, preprocessing, corpus, experiment)
        given = corpus
        if experiment.robustness.repair != "none":
            given = Repair.load(folder.repair(name))(corpus).corpus
        (logits,) = predict_rows(program, stack([state]), preprocessing, given, rows, data.view)
        values.append(logits if protocol.config.task == "regression" else softmax(logits, axis=1))
    return np.mean(values, axis=0)


def restore(
    folder: RunFolder,
    fold: str,
    program: Program,
    preprocessing: Preprocessing,
    corpus: Corpus,
    experiment: Experiment[Any],
) -> TrainState:
    """The selected state of one fold."""
    data = experiment.data
    example = preprocessing(make_examples(corpus, np.arange(1), data.view, None))
    like = program.init([Member(0)], next(batches(example, preprocessing.buckets, 1)))
    with Checkpoints(folder.checkpoints / fold) as checkpoints:
        return checkpoints.restore("best", unstack(like, 0))[0]


def _check_dims(preprocessing: Preprocessing, corpus: Corpus, folder: RunFolder) -> None:
    for modality, mean in preprocessing.scaler.mean.items():
        dim = corpus.spec.modality(modality).dim
        if dim != len(mean):
            raise InputError(
                f"{modality} of corpus {corpus.spec.name!r} has {dim} features, {folder.path} was "
                f"trained on {len(mean)}; extract the same features"
            )


def write(path: Path | None, corpus: Corpus, protocol: Protocol, values: np.ndarray) -> None:
    """A CSV: id, the predicted class (for classification), a column per target."""
    classification = protocol.config.task == "classification"
    header = ["id", *(["predicted"] if classification else []), *protocol.targets]
    lines = []
    for utterance, row in zip(corpus.utterances, values, strict=True):
        name = [protocol.targets[int(row.argmax())]] if classification else []
        lines.append([utterance.id, *name, *(f"{value:.6f}" for value in row)])
    if path is None:
        csv.writer(sys.stdout, lineterminator="\n").writerows([header, *lines])
        return
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *lines])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, text.getvalue().encode())
    print(f"wrote {len(lines)} predictions to {path}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run(main, Args))
