"""What finished runs say of utterances after every step, written to their folders as timeline.npz.

    python -m experiments.timeline runs/unimodal_mosei_text-seed0
    python -m experiments.timeline runs/early_fusion_generated-seed* --splits dev test --most 32

The prediction after a step is that of the utterance cut off behind it: any system has one, a bidirectional
one too. Each utterance is predicted by the fold that tests (or selects on, or trains on) it.
"""

import dataclasses
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import tyro
from scipy.special import softmax

from experiments.command import data_dir_from_environment, run
from experiments.experiment import experiment_from_json
from experiments.predict import require_network, restore
from experiments.setup import FoldPlan, Setup, set_up
from mer_jax.data.examples import make_examples
from mer_jax.data.prefixes import MOST_STEPS, prefixes
from mer_jax.errors import InputError
from mer_jax.evaluation.timeline import Timeline
from mer_jax.training.program import Program
from mer_jax.training.run_folder import RunFolder
from mer_jax.training.state import TrainState, stack


@dataclasses.dataclass(frozen=True)
class Args:
    """Predictions over time of finished runs.

    Args:
        runs: run folders.
        splits: whose utterances.
        most: steps of an utterance at most; of longer ones so many are kept, evenly spaced.
        prepared: where prepared corpora lie.
        data_dir: raw data, to prepare a corpus that is not there yet; default MER_DATA.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    splits: tuple[Literal["train", "dev", "test"], ...] = ("test",)
    most: int = MOST_STEPS
    prepared: Path = Path("prepared")
    data_dir: Path | None = dataclasses.field(default_factory=data_dir_from_environment)


def main(args: Args) -> int:
    """Every run's timeline."""
    if not args.runs:
        raise InputError("name at least one run folder")
    for path in args.runs:
        timeline = of_run(RunFolder(path), args)
        timeline.save(path / "timeline.npz")
        print(f"{path / 'timeline.npz'}: {len(timeline.times):,} steps of {len(timeline)} utterances")
    return 0


def of_run(folder: RunFolder, args: Args) -> Timeline:
    """Sets the run's experiment up again, restores its states and predicts. Raises InputError where the
    corpus is no longer the one it was trained on."""
    if not folder.finished:
        raise InputError(f"{folder.path} is no finished run (it has no metrics.json); train or resume it")
    written = folder.read("config.json")
    experiment = experiment_from_json(written["config"])
    require_network(experiment, folder)
    setup = set_up(experiment, args.prepared, args.data_dir)
    if setup.corpus.content_hash != written["corpus"]["hash"]:
        raise InputError(
            f"{folder.path} was trained on another state of corpus {experiment.data.corpus!r}; name the folder "
            "of prepared corpora that holds it (--prepared), or train the run again"
        )
    program, parts = setup.program(), []
    for plan in setup.plans:
        state = restore(folder, plan.fold.name, program, plan.preprocessing, plan.corpus, experiment)
        parts += [of_split(setup, program, plan, state, split, args.most) for split in args.splits]
    return Timeline.concatenate(parts)


def of_split(
    setup: Setup, program: Program, plan: FoldPlan, state: TrainState, split: str, most: int
) -> Timeline:
    """One fold's utterances of one split."""
    rows, view = getattr(plan.fold, split), setup.experiment.data.view
    heard = prefixes(plan.preprocessing(make_examples(plan.corpus, rows, view, None)), most)
    placed = program.parallel.place_state(stack([state]))
    (logits,), _ = program.logits(placed, heard.examples, plan.preprocessing.buckets)
    regression = setup.protocol.config.task == "regression"
    values = logits if regression else softmax(logits.astype(np.float64), axis=1)
    return Timeline.make(plan.corpus, setup.protocol, view, rows, split, heard, values)


if __name__ == "__main__":
    sys.exit(run(main, Args))
