"""Trains one system on one corpus and leaves a run folder with scores, floors and a report.

    python -m experiments.train early_fusion_generated
    python -m experiments.train unimodal_mosi --data-dir DIR --data.modalities audio --seed 3
    python -m experiments.train early_fusion_mosi --model.hidden 64 32 --training.epochs 60
    python -m experiments.train early_fusion_generated --dry-run
    python -m experiments.train early_fusion_generated --resume      (after Ctrl-C or a crash)

The trainer sees train and dev; test is predicted once, from the epoch that dev selected.
"""

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Generic

import jax
import tyro

from experiments.command import data_dir_from_environment, leading_name, parse, program, run, write_json
from experiments.experiment import Experiment, Model, config_names, get_config
from experiments.printing import print_findings, print_scores
from experiments.setup import FoldPlan, Setup, set_up
from mer_jax.data.batching import batches
from mer_jax.evaluation.findings import Finding, stop_on_error
from mer_jax.evaluation.floors import fit_floors, pool_floors, summaries_of
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.report import write_report
from mer_jax.evaluation.scoring import score
from mer_jax.training.checkpoint import Checkpoints
from mer_jax.training.interrupt import Interrupted
from mer_jax.training.loop import Program, Trained, train_fold
from mer_jax.training.predicting import fold_predictions
from mer_jax.training.progress import TrainingProgress
from mer_jax.training.run_folder import RunFolder, provenance
from mer_jax.training.state import init_state, parameter_count
from mer_jax.training.tensorboard import write_curves


@dataclasses.dataclass(frozen=True)
class Args(Generic[Model]):
    """Flags of `train`.

    Attributes:
        experiment: everything the config says, each value a flag.
        name: of the run folder; empty: the config's name and the seed.
        out: where run folders lie.
        prepared: where prepared corpora lie.
        data_dir: raw data, to prepare a corpus that is not there yet; default MER_DATA.
        resume: go on from the last checkpoint of an unfinished run.
        overwrite: remove a run folder of the same name first.
        dry_run: print shapes and parameters, compile, take one step, write nothing.
        print_config: print the configuration as JSON and stop.
        tensorboard: also write TensorBoard curves into the run folder (needs the extra).
        json: also write the scores to this file.
    """

    experiment: Annotated[Experiment[Model], tyro.conf.arg(name="")]
    name: str = ""
    out: Path = Path("runs")
    prepared: Path = Path("prepared")
    data_dir: Path | None = dataclasses.field(default_factory=data_dir_from_environment)
    resume: bool = False
    overwrite: bool = False
    dry_run: bool = False
    print_config: bool = False
    tensorboard: bool = False
    json: Path | None = None


def main(args: Args[Any]) -> int:
    """Data, audit, system, training, scores."""
    if args.print_config:
        print(json.dumps(args.experiment.to_json(), indent=1))
        return 0

    # Data and protocol: what is compared with what, fixed before anything is trained.
    setup = set_up(args.experiment, args.prepared, args.data_dir)
    findings = setup.audit()
    print_findings(findings, sys.stderr)
    stop_on_error(findings)

    # The system.
    system = setup.program()
    if args.dry_run:
        return dry_run(setup, system)

    # The run folder: made only now that everything fits together.
    folder = RunFolder(args.out / args.name)
    corpus = {"name": setup.corpus.spec.name, "hash": setup.corpus.content_hash}
    record = {"config": args.experiment.to_json(), "corpus": corpus} | provenance()
    folder.start(record, resume=args.resume, overwrite=args.overwrite)
    folder.write_json("protocol.json", setup.protocol.to_json() | {"hash": setup.protocol.hash})
    fitted = {plan.fold.name: plan.preprocessing.to_json() for plan in setup.plans}
    folder.write_json("preprocessing.json", fitted)

    # Training, then one look at test with what dev selected.
    predictions = train(args, setup, system, folder)
    predictions.save(folder.path / "predictions.npz")

    # Scores beside their floors, and the page.
    scores = evaluate(setup, predictions, findings)
    page = write_report(folder.path, scores)
    folder.write_json("metrics.json", scores)  # last: it marks the run as finished
    print_scores(scores, sys.stdout)
    print(f"report: {page}")
    write_json(args.json, scores)
    return 0


def train(args: Args[Any], setup: Setup, system: Program, folder: RunFolder) -> Predictions:
    """Trains every fold and predicts it; leaves checkpoints, history and times."""
    history: list[dict[str, Any]] = []
    parts: list[Predictions] = []
    seconds, parameters = 0.0, 0
    for number, plan in enumerate(setup.plans):
        trained = train_one(setup, system, folder, plan, history)
        history += trained.history
        seconds, parameters = seconds + trained.seconds, parameter_count(trained.state)
        view, fitted = setup.experiment.data.view, plan.preprocessing
        known = (setup.corpus, setup.protocol, plan.fold, number)
        parts.append(fold_predictions(system, trained.state, fitted, *known, view))
    folder.write_lines("metrics.jsonl", history)
    folder.write_json("timing.json", {"seconds": seconds, "parameters": parameters})
    if args.tensorboard:
        write_curves(history, folder.path / "tensorboard")
    return Predictions.concatenate(parts)


def train_one(
    setup: Setup, system: Program, folder: RunFolder, plan: FoldPlan, before: Sequence[dict[str, Any]]
) -> Trained:
    """Trains one fold, from its last checkpoint where there is one. `before`: earlier folds' epochs."""
    experiment, name = setup.experiment, plan.fold.name
    earlier = tuple(before)
    bar = TrainingProgress(name, experiment.training.epochs, experiment.protocol.select)

    def watch(event: dict[str, Any]) -> None:
        bar(event)
        if event["event"] == "epoch":
            folder.write_lines("metrics.jsonl", [*earlier, *event["history"]])

    try:
        with Checkpoints(folder.checkpoints / name) as checkpoints, bar:
            return train_fold(
                system,
                plan.data,
                select=experiment.protocol.select,
                seed=experiment.seed,
                checkpoints=checkpoints,
                fingerprint=experiment.fingerprint(setup.corpus.content_hash),
                watch=watch,
            )
    except Interrupted:
        again = " ".join(
            [
                program(),
                *(word for word in sys.argv[1:] if word not in ("--resume", "--overwrite")),
                "--resume",
            ]
        )
        print(f"interrupted in fold {name}; everything is saved. Go on with:\n  {again}", file=sys.stderr)
        raise


def evaluate(setup: Setup, predictions: Predictions, findings: Sequence[Finding]) -> dict[str, Any]:
    """The content of metrics.json: scores, intervals, floors, collapse, leakage."""
    modalities = setup.experiment.data.modalities
    summaries = summaries_of(setup.corpus, modalities)
    fits = [fit_floors(setup.corpus, fold, setup.protocol, modalities, summaries) for fold in setup.folds]
    floors = pool_floors(setup.corpus, setup.folds, setup.protocol, fits)
    return score(setup.protocol, predictions, floors, findings)


def dry_run(setup: Setup, system: Program) -> int:
    """Shapes, parameters, one compiled step; writes nothing."""
    plan, config = setup.plans[0], setup.experiment.training
    batch = next(batches(plan.data.train, plan.data.buckets, config.batch_size, order=(0, 0)))
    state = init_state(system.model, system.optimizer, batch, setup.experiment.seed)
    for modality, lengths in plan.data.buckets.lengths.items():
        dim = batch.features[modality].shape[2]
        print(f"{modality}: batches of [{config.batch_size}, {' | '.join(map(str, lengths))}, {dim}]")
    print(f"parameters: {parameter_count(state):,}")
    started = time.perf_counter()
    _, sums = system.train_step(system.parallel.place_state(state), system.parallel.place_batch(batch))
    jax.block_until_ready(sums)
    one = system.parallel.one_copy(sums)
    print(
        f"first step, with compilation: {time.perf_counter() - started:.1f} s; "
        f"loss {float(one['loss'] / one['weight']):.4f}"
    )
    return 0


def arguments(argv: Sequence[str]) -> Args[Any]:
    """The config named first, with every value as a flag."""
    name = leading_name(argv, config_names(), "config")
    if name is None:
        print(
            f"{__doc__}\nusage: {program()} CONFIG [flags]; {program()} CONFIG --help lists the flags\n"
            f"configs: {', '.join(config_names())}"
        )
        raise SystemExit(0)
    config = get_config(name)
    generic: Any = Args
    args = parse(generic[type(config.model)], argv[1:], default=Args(experiment=config), description=__doc__)
    return args if args.name else dataclasses.replace(args, name=f"{name}-seed{args.experiment.seed}")


if __name__ == "__main__":
    sys.exit(run(main, arguments))
