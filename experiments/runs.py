"""From a set-up experiment to finished run folders: one training, or many in one program."""

import dataclasses
import hashlib
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.command import program as command
from experiments.experiment import Experiment
from experiments.members import Variant
from experiments.setup import FoldPlan, Setup
from mer_jax.data.batching import largest_batch
from mer_jax.evaluation.attention_record import AttentionRecord, chosen
from mer_jax.evaluation.ceiling import human_ceiling
from mer_jax.evaluation.findings import Finding
from mer_jax.evaluation.floors import Floor, fit_floors, pool_floors, summaries_of
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.report import write_report
from mer_jax.evaluation.scoring import score
from mer_jax.evaluation.soft_metrics import soft_metrics
from mer_jax.evaluation.summaries import Summary
from mer_jax.evaluation.votes import target_votes
from mer_jax.training.attending import Attending, Examiner, known_rows
from mer_jax.training.checkpoint import Checkpoints
from mer_jax.training.code import scoring_code, training_code
from mer_jax.training.interrupt import Interrupted
from mer_jax.training.loop import DivergedError, Trained, train_fold
from mer_jax.training.memory import members_at_once
from mer_jax.training.predicting import fold_predictions
from mer_jax.training.program import Program
from mer_jax.training.progress import TrainingProgress
from mer_jax.training.run_folder import RunFolder, provenance
from mer_jax.training.state import TrainState, parameter_count, stack, unstack
from mer_jax.training.tensorboard import write_curves

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Job:
    """One training and the folder it fills."""

    variant: Variant
    folder: RunFolder

    @property
    def experiment(self) -> Experiment[Any]:
        return self.variant.experiment


@dataclasses.dataclass(frozen=True)
class Options:
    """How `train_jobs` goes about it: see the flags of `experiments.train`.

    go_on: what a person adds to the same command to go on after an interruption.
    """

    resume: bool = False
    overwrite: bool = False
    memory_gib: float = 0.0
    tensorboard: bool = False
    go_on: tuple[str, ...] = ("--resume",)


def train_jobs(
    setup: Setup, jobs: Sequence[Job], findings: Sequence[Finding], options: Options
) -> list[tuple[Job, str]]:
    """Trains every job and leaves finished run folders; returns those that failed, and why.

    The jobs share setup's data and protocol and differ in seed and scalars. They run in one
    program, in several groups where memory asks for it. With `resume`, finished ones stay.
    """
    system = setup.program()
    votes_of(setup)  # what it refuses, it refuses here
    unfinished = [job for job in jobs if not (options.resume and len(jobs) > 1 and job.folder.finished)]
    mode = {"resume": options.resume, "overwrite": options.overwrite}
    for job in unfinished:
        job.folder.check(record(setup, job.experiment), **mode)
    for job in unfinished:
        job.folder.start(record(setup, job.experiment), **mode)
        write_setup(setup, job.folder)
    begun = _begun_size(setup, jobs) if options.resume else None
    if begun is None:
        jobs = [job for job in jobs if not job.folder.finished]
    if not jobs:
        return []
    floors = floors_of(setup)
    size, needed = _group_size(setup, system, jobs, begun, options)
    if size < len(jobs):
        print(f"{size} of {len(jobs)} trainings at once fit into memory", file=sys.stderr)
    failed = []
    for group in _groups(jobs, size):
        cost = {"seeds_at_once": len(group), "memory_mib": round(needed / size / 2**20, 1)}
        if not options.resume:
            _forget_shared(setup, group)  # of another try, maybe by other code
        if not all(job.folder.finished for job in group):
            failed += _train_group(setup, system, group, floors, findings, cost, options)
        _forget_shared(setup, group)
    return failed


def floors_of(setup: Setup) -> dict[str, Floor]:
    """The floors of the setup's protocol and modalities; no seed changes them."""
    modalities = setup.experiment.data.modalities
    known: dict[int, Mapping[str, Summary]] = {}
    fits = []
    for plan in setup.plans:
        if id(plan.given) not in known:
            known[id(plan.given)] = summaries_of(plan.given, modalities)
        summaries = known[id(plan.given)]
        fits.append(fit_floors(plan.given, plan.fold, setup.protocol, modalities, summaries))
    return pool_floors(setup.corpus, setup.folds, setup.protocol, fits)


def finish(
    setup: Setup,
    folder: RunFolder,
    predictions: Predictions,
    floors: Mapping[str, Floor],
    findings: Sequence[Finding],
) -> dict[str, Any]:
    """Scores beside their floors, the page, and, last, metrics.json: the mark of a finished run."""
    scores = score(setup.protocol, predictions, floors, findings)
    scores |= beside_votes(setup, predictions) | {"scoring_code": scoring_code()}
    if (folder.path / "attention.npz").exists():
        scores["attention"] = AttentionRecord.load(folder.path / "attention.npz").summary()
    write_report(folder.path, scores)
    folder.write_json("metrics.json", scores)
    return scores


def beside_votes(setup: Setup, predictions: Predictions) -> dict[str, Any]:
    """Where the corpus has annotators' votes: how near the predicted distributions are to
    them on test, and how often people meet the label (never said of generated votes)."""
    test = predictions.part("test")
    row_of = {name: row for row, name in enumerate(setup.corpus.column("id").tolist())}
    votes = votes_of(setup)[[row_of[name] for name in test.ids.tolist()]]
    if not votes.any():
        return {}
    found: dict[str, Any] = {"votes": soft_metrics(votes, test.probabilities)}
    if not setup.protocol.generated:
        found["people"] = human_ceiling(setup.corpus, setup.protocol)
    return found


def votes_of(setup: Setup) -> np.ndarray:
    """[n, K] annotators' votes for the targets, zeros where there are none. Raises InputError
    where they are for something that is no class."""
    if not setup.corpus.spec.votes or setup.protocol.config.task == "regression":
        return np.zeros((len(setup.corpus), len(setup.protocol.targets)))
    return target_votes(setup.corpus, setup.protocol)


def record(setup: Setup, experiment: Experiment[Any]) -> dict[str, Any]:
    """The content of config.json."""
    corpus = {"name": setup.corpus.spec.name, "hash": setup.corpus.content_hash}
    code = training_code(type(experiment.model).__module__)
    return {"config": experiment.to_json(), "corpus": corpus, "code_hash": code} | provenance()


def write_setup(setup: Setup, folder: RunFolder) -> None:
    """protocol.json, preprocessing.json, and the repairs where there are any."""
    folder.write_json("protocol.json", setup.protocol.to_json() | {"hash": setup.protocol.hash})
    folder.write_json(
        "preprocessing.json", {plan.fold.name: plan.preprocessing.to_json() for plan in setup.plans}
    )
    for plan in setup.plans:
        if plan.repair is not None:
            plan.repair.save(folder.repair(plan.fold.name))


def _group_size(
    setup: Setup, system: Program, jobs: Sequence[Job], begun: int | None, options: Options
) -> tuple[int, int]:
    """How many jobs run at once, and the bytes their step takes. `begun`: how many did when the
    run was interrupted; memory that is free today must not change who trains with whom."""
    longest = max(setup.plans, key=lambda plan: max(map(max, plan.data.buckets.lengths.values())))
    batch = largest_batch(longest.data.train, longest.data.buckets, setup.experiment.training.batch_size)
    state = unstack(system.init([jobs[0].variant.member], batch), 0)
    limit = round(options.memory_gib * GIB) or None
    if begun is not None:
        needed = system.memory(state, batch, begun)
        if limit is None or needed <= limit:
            return begun, needed
    return members_at_once(system, state, batch, len(jobs), limit)


def _groups(jobs: Sequence[Job], size: int) -> list[Sequence[Job]]:
    return [jobs[start : start + size] for start in range(0, len(jobs), size)]


def _begun_size(setup: Setup, jobs: Sequence[Job]) -> int | None:
    """The size of the groups of which an interrupted run left a checkpoint."""
    for size in range(len(jobs), 1, -1):
        if any(len(group) > 1 and _shared(setup, group).exists() for group in _groups(jobs, size)):
            return size
    return None


def _train_group(
    setup: Setup,
    system: Program,
    group: Sequence[Job],
    floors: Mapping[str, Floor],
    findings: Sequence[Finding],
    cost: Mapping[str, Any],
    options: Options,
) -> list[tuple[Job, str]]:
    folds = [[] for _ in group]
    for plan in setup.plans:
        try:
            found = _train_fold(setup, system, group, plan, folds, options)
        except DivergedError as error:
            return list(zip(group, error.reasons, strict=True))
        for fold, trained in zip(folds, found, strict=True):
            fold.append(trained)
    failures = [next((t.failure for t in fold if t.failure), "") for fold in folds]
    alive = [k for k, failure in enumerate(failures) if not failure]
    examiner = _examiner(setup, system)
    for k, predictions in zip(alive, _predictions(setup, system, [folds[k] for k in alive]), strict=True):
        if group[k].folder.finished:
            continue
        folder, history = group[k].folder, [row for t in folds[k] for row in t.history]
        folder.write_lines("metrics.jsonl", history)
        seconds = sum(t.seconds for t in folds[k])
        parameters = parameter_count(folds[k][0].state)
        folder.write_json("timing.json", {"seconds": seconds, "parameters": parameters, **cost})
        if options.tensorboard:
            write_curves(history, folder.path / "tensorboard")
        predictions.save(folder.path / "predictions.npz")
        if examiner is not None:
            _attention(setup, examiner, group[k], folds[k]).save(folder.path / "attention.npz")
        finish(setup, folder, predictions, floors, findings)
    return [(job, failure) for job, failure in zip(group, failures, strict=True) if failure]


def _predictions(setup: Setup, system: Program, folds: Sequence[Sequence[Trained]]) -> list[Predictions]:
    """Of each member, what its selected states say of every fold."""
    if not folds:
        return []
    parts: list[list[Predictions]] = []
    for number, plan in enumerate(setup.plans):
        states: TrainState = stack([fold[number].state for fold in folds])
        known = (plan.corpus, setup.protocol, plan.fold, number, setup.experiment.data.view)
        parts.append(fold_predictions(system, states, plan.preprocessing, *known))
    return [Predictions.concatenate(of_member) for of_member in zip(*parts, strict=True)]


def _examiner(setup: Setup, system: Program) -> Examiner | None:
    """Where the system attends and the corpus knows what to."""
    model, view = setup.experiment.model, setup.experiment.data.view
    if not isinstance(model, Attending):
        return None
    rows = [known_rows(setup.corpus, plan.fold.test, view, model.attends) for plan in setup.plans]
    return Examiner(system, model.attends) if sum(map(len, rows)) else None


def _attention(setup: Setup, examiner: Examiner, job: Job, fold: Sequence[Trained]) -> AttentionRecord:
    """What one training's selected states, and its first ones, attend to in every fold's test."""
    view, member = setup.experiment.data.view, job.variant.member
    trained, untrained = [], []
    for plan, found in zip(setup.plans, fold, strict=True):
        known = known_rows(setup.corpus, plan.fold.test, view, examiner.attends)
        batch = largest_batch(plan.data.train, plan.data.buckets, examiner.program.config.batch_size)
        first = unstack(examiner.program.init([member], batch, plan.data.words), 0)
        for state, out in ((found.state, trained), (first, untrained)):
            out += examiner.examine(state, plan.preprocessing, plan.corpus, known, view) if len(known) else []
    keep = chosen([one.id for one in trained])
    return AttentionRecord.of(trained, untrained, examiner.rate(setup.corpus), keep)


def _train_fold(
    setup: Setup,
    system: Program,
    group: Sequence[Job],
    plan: FoldPlan,
    before: Sequence[Sequence[Trained]],
    options: Options,
) -> list[Trained]:
    """One fold of every job, from the last checkpoint where there is one."""
    experiment, name = setup.experiment, plan.fold.name
    earlier = [[row for trained in fold for row in trained.history] for fold in before]
    label = name if len(group) == 1 else f"{name}, {len(group)} at once"
    bar = TrainingProgress(label, experiment.training.epochs, experiment.protocol.select)

    def watch(event: dict[str, Any]) -> None:
        bar(event)
        if event["event"] == "epoch":
            for job, rows, record in zip(group, earlier, event["records"], strict=True):
                if not job.folder.finished:
                    job.folder.write_lines("metrics.jsonl", [*rows, *record.history])

    work = _shared(setup, group) if len(group) > 1 else group[0].folder.checkpoints
    try:
        with Checkpoints(work / name) as checkpoints, bar:
            found = train_fold(
                system,
                plan.data,
                members=[job.variant.member for job in group],
                select=experiment.protocol.select,
                checkpoints=checkpoints,
                fingerprint=_fingerprint(setup, group),
                watch=watch,
            )
    except Interrupted:
        again = _again(options.go_on)
        print(f"interrupted in fold {name}; everything is saved. Go on with:\n  {again}", file=sys.stderr)
        raise
    for job, trained in zip(group, found, strict=True):
        if not (trained.failure or job.folder.finished):
            _keep(job, name, trained)
    return found


def _keep(job: Job, fold: str, trained: Trained) -> None:
    """The selected state, as `experiments.predict` reads it."""
    with Checkpoints(job.folder.checkpoints / fold) as checkpoints:
        state = trained.state.replace(scalars={})
        checkpoints.save("best", int(np.asarray(state.step)), state, {})


def _fingerprint(setup: Setup, group: Sequence[Job]) -> str:
    each = [job.experiment.fingerprint(setup.corpus.content_hash) for job in group]
    return hashlib.sha256(json.dumps(each).encode()).hexdigest()[:16]


def _shared(setup: Setup, group: Sequence[Job]) -> Path:
    """Where trainings that run together keep their common checkpoint."""
    return group[0].folder.path.parent / f".together-{_fingerprint(setup, group)}"


def _forget_shared(setup: Setup, group: Sequence[Job]) -> None:
    shutil.rmtree(_shared(setup, group), ignore_errors=True)


def _again(go_on: Sequence[str]) -> str:
    words = (word for word in sys.argv[1:] if word not in ("--resume", "--overwrite"))
    return " ".join([command(), *words, *go_on])
