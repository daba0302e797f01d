"""Predicts emotion intensities without a network: K nearest neighbours, or ridge regression.

    python -m experiments.emotion_predictors neighbours unimodal_mosei_text --data.vectors VECTORS --data-dir DIR
    python -m experiments.emotion_predictors ridge unimodal_mulan_emotions --data-dir DIR
    python -m experiments.emotion_predictors neighbours unimodal_mosei_text --model.weights distance --name weighted

Data, protocol and what is read are the config's, its system and training are not: --model.* are the predictor's
settings, of which dev chooses. What is left behind is a run folder as `experiments.train` makes it,
without checkpoints, with the predictions over time (timeline.npz), and with every setting that was tried
(tried.json).
"""

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Generic

import numpy as np
import tyro

from experiments.command import data_dir_from_environment, leading_name, parse, program, run, write_json
from experiments.experiment import Experiment, Model, config_names, get_config
from experiments.printing import print_findings, print_scores
from experiments.runs import finish, floors_of, record, write_setup
from experiments.setup import FoldPlan, Setup, set_up
from mer_jax.data.examples import make_examples
from mer_jax.data.prefixes import prefixes
from mer_jax.emotion_space.predictors import PREDICTORS, Fitted
from mer_jax.errors import InputError
from mer_jax.evaluation.findings import Finding, stop_on_error
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.timeline import Timeline
from mer_jax.training.predicting import as_predictions
from mer_jax.training.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Args(Generic[Model]):
    """Flags of `emotion_predictors`.

    Attributes:
        experiment: the config's data and protocol, and the predictor's settings as its model.
        name: of the run folder; empty: the predictor and the corpus.
        out: where run folders lie.
        prepared: where prepared corpora lie.
        data_dir: raw data, to prepare a corpus that is not there yet; default MER_DATA.
        overwrite: remove a run folder of the same name first.
        json: also write the scores to this file.
    """

    experiment: Annotated[Experiment[Model], tyro.conf.arg(name="")]
    name: str = ""
    out: Path = Path("runs")
    prepared: Path = Path("prepared")
    data_dir: Path | None = dataclasses.field(default_factory=data_dir_from_environment)
    overwrite: bool = False
    json: Path | None = None


def main(args: Args[Any]) -> int:
    """Data, audit, a predictor per fold, scores."""
    if args.experiment.protocol.task != "regression":
        raise InputError(
            "nearest neighbours and ridge regression predict intensities; set --protocol.task regression"
        )

    setup = set_up(args.experiment, args.prepared, args.data_dir)
    findings = setup.audit()
    print_findings(findings, sys.stderr)
    stop_on_error(findings)
    folder = RunFolder(args.out / (args.name or f"{kind_of(args.experiment)}_{args.experiment.data.corpus}"))
    scores = made(setup, folder, findings, overwrite=args.overwrite)
    print_scores(scores, sys.stdout)
    print(f"report: {folder.path / 'report.html'}")
    write_json(args.json, scores)
    return 0


def made(setup: Setup, folder: RunFolder, findings: Sequence[Finding], *, overwrite: bool) -> dict[str, Any]:
    """Leaves the run folder of the setup's predictor; its scores."""
    folder.check(record(setup, setup.experiment), resume=False, overwrite=overwrite)

    # One predictor per fold, its setting chosen on dev; test is predicted once.
    fitted = [fit(setup, plan) for plan in setup.plans]
    found = [
        predict(setup, plan, number, one)
        for number, (plan, one) in enumerate(zip(setup.plans, fitted, strict=True))
    ]

    # The run folder; metrics.json, the mark of a finished one, comes last.
    folder.start(record(setup, setup.experiment), resume=False, overwrite=overwrite)
    write_setup(setup, folder)
    folder.write_json(
        "tried.json", {p.fold.name: one.tried for p, one in zip(setup.plans, fitted, strict=True)}
    )
    predictions = Predictions.concatenate([part for part, _ in found])
    predictions.save(folder.path / "predictions.npz")
    Timeline.concatenate([part for _, part in found]).save(folder.path / "timeline.npz")
    return finish(setup, folder, predictions, floors_of(setup), findings)


def fit(setup: Setup, plan: FoldPlan) -> Fitted:
    """The predictor of one fold."""
    experiment, data = setup.experiment, plan.data
    names = setup.protocol.targets
    return Fitted.fit(experiment.model, data.train, data.dev, names, experiment.protocol.select, data.words)


def predict(setup: Setup, plan: FoldPlan, number: int, fitted: Fitted) -> tuple[Predictions, Timeline]:
    """What it says of the fold's utterances, and of test after every step."""
    corpus, protocol, view = plan.corpus, setup.protocol, setup.experiment.data.view
    parts = []
    for split in ("train", "dev", "test"):
        rows = getattr(plan.fold, split)
        examples = plan.preprocessing(make_examples(corpus, rows, view, None))
        parts.append(as_predictions(corpus, protocol, rows, split, number, fitted(examples)))
    heard = prefixes(plan.preprocessing(make_examples(corpus, plan.fold.test, view, None)))
    values = np.asarray(fitted(heard.examples))
    timeline = Timeline.make(corpus, protocol, view, plan.fold.test, "test", heard, values)
    return Predictions.concatenate(parts), timeline


def kind_of(experiment: Experiment[Any]) -> str:
    """The predictor's name."""
    return next(name for name, cls in PREDICTORS.items() if isinstance(experiment.model, cls))


def arguments(argv: Sequence[str]) -> Args[Any]:
    """The predictor named first, then the config, with every value as a flag."""
    kind = leading_name(argv, PREDICTORS, "predictor")
    name = None if kind is None else leading_name(argv[1:], config_names(), "config")
    if kind is None or name is None:
        print(
            f"{__doc__}\nusage: {program()} PREDICTOR CONFIG [flags]\npredictors: {', '.join(PREDICTORS)}\n"
            f"configs: {', '.join(config_names())}"
        )
        raise SystemExit(0)
    experiment = dataclasses.replace(get_config(name), model=PREDICTORS[kind]())
    generic: Any = Args
    default = Args(experiment=experiment)
    return parse(generic[PREDICTORS[kind]], argv[2:], default=default, description=__doc__)


if __name__ == "__main__":
    sys.exit(run(main, arguments))
