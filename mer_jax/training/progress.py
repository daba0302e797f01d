"""What a person sees while a system trains: on stderr, and only where that is a terminal."""

import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """A bar over all steps of a fold, with rate, time left and the last dev score.

    Called with the events of `train_fold`. Where stderr is no terminal it prints nothing
    but one line when a run is resumed.
    """

    def __init__(self, fold: str, epochs: int, select: str):
        self.fold, self.epochs, self.select = fold, epochs, select
        self.console = Console(stderr=True)
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[score]}"),
            console=self.console,
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        self.task = self.progress.add_task(f"train {fold}", total=None, rate="", score="")

    def __enter__(self) -> "TrainingProgress":
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def __call__(self, event: dict[str, Any]) -> None:
        """Takes one event of `train_fold`."""
        if event["event"] == "step":
            done = event["epoch"] * event["batches"] + event["batch"] + 1
            speed = self.progress.tasks[0].speed
            self.progress.update(
                self.task,
                completed=done,
                total=self.epochs * event["batches"],
                rate=f"{speed:.0f} steps/s" if speed else "",
            )
        elif event["event"] == "epoch":
            self.progress.update(self.task, score=self._standing(event["records"]))
        elif event["event"] == "resumed":
            self.console.print(
                f"fold {self.fold}: going on from epoch {event['epoch']}, batch {event['batch']}"
            )

    def _standing(self, records: Sequence[Any]) -> str:
        """The last dev score, or its mean over the members that have one."""
        last = [record.history[-1] for record in records if record.history]
        if not last:
            return ""
        score = sum(row[f"dev_{self.select}"] for row in last) / len(last)
        if len(records) > 1:
            return f"dev {self.select} {score:.3f} (mean of {len(last)})"
        return f"dev {self.select} {score:.3f} (best epoch {records[0].control.best_epoch})"
