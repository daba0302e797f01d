"""Finished runs found again by what they were made from: configuration, data and code."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.members import variants
from experiments.runs import Job, Options, finish, floors_of, train_jobs
from experiments.setup import Setup
from mer_jax.errors import InputError
from mer_jax.evaluation.findings import Finding, stop_on_error
from mer_jax.evaluation.predictions import Predictions
from mer_jax.training.code import scoring_code, training_code
from mer_jax.training.run_folder import RunFolder

Audit = Callable[[Setup], Sequence[Finding]]


class RunStore:
    """The run folders below `out`."""

    def __init__(self, out: Path):
        self.out = out
        self._known: dict[str, RunFolder] = {}
        for path in sorted(out.glob("*/config.json")):
            folder = RunFolder(path.parent)
            made_from = _made_from(folder) if folder.finished else None
            if made_from is not None:
                self._known.setdefault(made_from, folder)

    def runs(
        self, setup: Setup, stem: str, seeds: int, memory_gib: float, audit: Audit
    ) -> tuple[list[RunFolder], int]:
        """The runs of `seeds` seeds of a setup, and how many of them had to be made: trained,
        or scored anew because the code that scores has changed.

        stem: what new folders' names begin with. An unfinished training goes on.
        Raises InputError where one of them fails, or a damaged folder stands in its place.
        """
        code = training_code(type(setup.experiment.model).__module__)
        jobs, found, stale = [], [], []
        for variant in variants(setup.experiment, seeds):
            key = identity(variant.experiment.to_json(), setup.corpus.content_hash, code)
            if key in self._known:
                folder = self._known[key]
                if _scored_by(folder) != scoring_code():
                    stale.append(folder)
            else:
                shared = variant.experiment.to_json() | {"seed": None}
                mark = identity(shared, setup.corpus.content_hash, code)[:6]
                folder = RunFolder(self.out / f"{stem}-{mark}{variant.suffix}")
                if folder.finished:
                    raise InputError(f"{folder.path / 'config.json'} is damaged; remove that folder")
                jobs.append(Job(variant, folder))
            found.append(folder)
        if jobs or stale:
            findings = audit(setup)
            stop_on_error(findings)
            _train(setup, jobs, findings, memory_gib)
            _score(setup, stale, findings)
        return found, len(jobs) + len(stale)


def _made_from(folder: RunFolder) -> str | None:
    """The identity of a finished run; None for a folder of something else, or a damaged one."""
    try:
        record = folder.read("config.json")
        return identity(record["config"], record["corpus"]["hash"], record["code_hash"])
    except (InputError, LookupError, TypeError):
        print(f"{folder.path} is left alone: its config.json is damaged or no run's", file=sys.stderr)
        return None


def _scored_by(folder: RunFolder) -> str | None:
    """The hash of the code that made metrics.json; None where that is damaged."""
    try:
        return folder.read("metrics.json")["scoring_code"]
    except (InputError, LookupError, TypeError):
        return None


def identity(config: Mapping[str, Any], corpus_hash: str, code: str) -> str:
    """16 hex digits that are the same for runs that must come out the same."""
    text = json.dumps([config, corpus_hash, code], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _train(setup: Setup, jobs: Sequence[Job], findings: Sequence[Finding], memory_gib: float) -> None:
    if not jobs:
        return
    failed = train_jobs(setup, jobs, findings, Options(resume=True, memory_gib=memory_gib, go_on=()))
    for job, reason in failed:
        raise InputError(f"{job.folder.path} failed, so there is nothing to compare: {reason}")


def _score(setup: Setup, stale: Sequence[RunFolder], findings: Sequence[Finding]) -> None:
    if not stale:
        return
    print(
        f"scoring {len(stale)} runs anew: other code made their scores, or they are damaged", file=sys.stderr
    )
    floors = floors_of(setup)
    for folder in stale:
        finish(setup, folder, Predictions.load(folder.path / "predictions.npz"), floors, findings)
