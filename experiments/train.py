"""Trains one system on one corpus and leaves a run folder with scores, floors and a report.

    python -m experiments.train early_fusion_generated
    python -m experiments.train unimodal_mosi --data-dir DIR --data.modalities audio --seed 3
    python -m experiments.train early_fusion_mosi --model.hidden 64 32 --training.epochs 60
    python -m experiments.train early_fusion_mosi --seeds 10                  (in one program)
    python -m experiments.train early_fusion_mosi --seeds 3 --grid model.dropout=.3,.5
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

import tyro

from experiments.command import data_dir_from_environment, leading_name, parse, program, run, write_json
from experiments.evaluate import print_choice, print_table, table_rows
from experiments.experiment import Experiment, Model, config_names, get_config
from experiments.members import variants
from experiments.printing import print_findings, print_scores
from experiments.runs import Job, Options, train_jobs
from experiments.setup import Setup, set_up
from mer_jax.data.batching import largest_batch
from mer_jax.evaluation.findings import stop_on_error
from mer_jax.training.host_memory import keep_freed_memory
from mer_jax.training.run_folder import RunFolder
from mer_jax.training.scalars import Member
from mer_jax.training.state import parameter_count, stack, unstack


@dataclasses.dataclass(frozen=True)
class Args(Generic[Model]):
    """Flags of `train`.

    Attributes:
        experiment: everything the config says, each value a flag.
        name: of the run folder; empty: the config's name and the seed. Of several runs, what
            their names begin with.
        seeds: train so many seeds, from `seed` on, in one program.
        grid: also every combination of these values, in the same program:
            model.dropout=.3,.5 training.optimizer.learning-rate=1e-3,3e-3
        memory_gib: what training may take; 0: what the device has. Seeds that do not fit
            together are trained in groups.
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
    seeds: int = 1
    grid: tuple[str, ...] = ()
    memory_gib: float = 0.0
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
    keep_freed_memory()
    trainings = variants(args.experiment, args.seeds, args.grid)
    many = args.seeds > 1 or bool(args.grid)

    # Data and protocol: what is compared with what, fixed before anything is trained.
    setup = set_up(args.experiment, args.prepared, args.data_dir)
    findings = setup.audit()
    print_findings(findings, sys.stderr)
    stop_on_error(findings)

    if args.dry_run:
        return dry_run(setup, len(trainings))

    # Training, then one look at test with what dev selected. Folders are made only now.
    jobs = [
        Job(variant, RunFolder(args.out / (args.name + (variant.suffix if many else ""))))
        for variant in trainings
    ]
    options = Options(args.resume, args.overwrite, args.memory_gib, args.tensorboard)
    failed = train_jobs(setup, jobs, findings, options)
    for job, reason in failed:
        print(f"{job.folder.path} failed: {reason}", file=sys.stderr)

    # Scores beside their floors, and the page; of several runs a table.
    finished = [job.folder for job in jobs if job.folder.finished]
    if not finished:
        return 1
    if many:
        rows = table_rows(finished, "")
        if args.grid:
            write_json(args.json, {"rows": rows, "chosen": print_choice(rows)["config"]})
        else:
            print_table(rows)
            write_json(args.json, {"rows": rows})
    else:
        scores = jobs[0].folder.read("metrics.json")
        print_scores(scores, sys.stdout)
        print(f"report: {jobs[0].folder.path / 'report.html'}")
        write_json(args.json, scores)
    return 1 if failed else 0


def dry_run(setup: Setup, trainings: int) -> int:
    """Shapes, parameters, memory of all trainings at once, one compiled step of one; writes nothing."""
    plan, config, system = setup.plans[0], setup.experiment.training, setup.program()
    batch = largest_batch(plan.data.train, plan.data.buckets, config.batch_size)
    states = system.init([Member(setup.experiment.seed)], batch)
    for modality, lengths in plan.data.buckets.lengths.items():
        dim = batch.features[modality].shape[2]
        print(f"{modality}: batches of [{config.batch_size}, {' | '.join(map(str, lengths))}, {dim}]")
    print(f"parameters: {parameter_count(states):,}")
    started = time.perf_counter()
    needed = system.memory(unstack(states, 0), batch, 1)
    print(f"one step: {needed / 2**20:,.0f} MiB, compiled in {time.perf_counter() - started:.1f} s")
    if trainings > 1:
        together = system.memory(unstack(states, 0), batch, trainings)
        print(f"one step of {trainings} trainings at once: {together / 2**20:,.0f} MiB")
    _, sums = system.step(system.parallel.place_state(states), stack([batch]))
    one = system.parallel.one_copy(sums)
    print(f"loss of the first step: {float(one['loss'][0] / one['weight'][0]):.4f}")
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
    if args.name:
        return args
    several = args.seeds > 1 or args.grid
    return dataclasses.replace(args, name=name if several else f"{name}-seed{args.experiment.seed}")


if __name__ == "__main__":
    sys.exit(run(main, arguments))
