"""How much may the multiplicative loss trust its own weights? Scores over beta, with and without their gradient.

    python -m experiments.multiplicative_loss generated
    python -m experiments.multiplicative_loss generated --base m3er:model.weighting=product --betas 0 1 2 4 --seeds 5

M3ER's loss weighs each modality's -log p by p^(beta / (M - 1)). As printed the weight is a function that is
differentiated too, and then drives the true class down wherever p < exp(-(M - 1) / beta): at a uniform start over
K classes from beta = (M - 1) / ln K on. Held constant it never does. Judged are the modalities' own
predictions, by Liu's rule. All betas and seeds train in one program; leaves run folders, a page and loss.json.
"""

import dataclasses
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tyro
from rich.table import Table

from experiments.command import data_dir_from_environment, run, write_json
from experiments.contestants import Contestant, contestant
from experiments.experiment import Experiment
from experiments.members import variants
from experiments.printing import console_on, print_findings
from experiments.runs import Job, Options, train_jobs
from experiments.setup import Setup, set_up
from mer_jax.errors import InputError
from mer_jax.evaluation.comparison import checked_metric
from mer_jax.evaluation.comparison_rows import statistic
from mer_jax.evaluation.comparison_tables import grid, mean_and_sd
from mer_jax.evaluation.figures_robustness import beta_figure
from mer_jax.evaluation.findings import stop_on_error
from mer_jax.evaluation.report_page import Section, page
from mer_jax.models.m3er import M3ERConfig
from mer_jax.records import write_atomically
from mer_jax.training.host_memory import keep_freed_memory
from mer_jax.training.run_folder import RunFolder, provenance

FORMS = ("constant", "differentiated")
HEAD = ("beta", "weights constant", "gradient through the weights")


@dataclasses.dataclass(frozen=True)
class Args:
    """Flags of `multiplicative_loss`.

    Args:
        corpus: name of the prepared corpus.
        base: the M3ER config, [:flag=value]...
        betas: of the loss.
        seeds: trainings of each.
        metric: of the table; empty: the protocol's headline metric.
        name: of the study's folder; empty: made of the corpus.
        out: where run folders and the study's folder lie.
        prepared: where prepared corpora lie.
        data_dir: raw data, to prepare a corpus that is not there yet; default MER_DATA.
        memory_gib: what training may take; 0: what the device has.
        json: also write what is found to this file.
    """

    corpus: tyro.conf.Positional[str]
    base: str = "m3er"
    betas: tuple[float, ...] = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0)
    seeds: int = 3
    metric: str = ""
    name: str = ""
    out: Path = Path("runs")
    prepared: Path = Path("prepared")
    data_dir: Path | None = dataclasses.field(default_factory=data_dir_from_environment)
    memory_gib: float = 0.0
    json: Path | None = None


def main(args: Args) -> int:
    """Both forms of the gradient at every beta; the table and the page."""
    keep_freed_memory()
    forms = systems(args)

    # Trainings: all betas and seeds of one form at once.
    folder = args.out / (args.name or f"multiplicative-loss-{args.corpus}")
    setups = [set_up(form.experiment, args.prepared, args.data_dir) for form in forms]
    metric = checked_metric(setups[0].protocol, args.metric)
    rows = [row for setup in setups for row in trained(setup, folder, metric, args)]

    # The table and the page.
    protocol, modalities = setups[0].protocol, forms[0].experiment.data.modalities
    threshold = (len(modalities) - 1) / math.log(len(protocol.targets))
    chance = RunFolder(Path(rows[0]["runs"][0])).read("metrics.json")["floors"]["majority"][metric]
    figure = beta_figure(rows, threshold, chance)
    caption = "Mean over seeds, bars one standard deviation, of predictions by Liu's rule, argmin c."
    badges = [("generated", "GENERATED DATA")] if protocol.generated else []
    section = Section("beta", "M3ER's loss over beta", figure=figure, caption=caption, wide=True)
    content = {"rows": rows, "threshold": threshold, "majority": chance, "record": provenance()}
    write_atomically(folder / "report.html", page("The multiplicative loss", badges, [section]).encode())
    write_atomically(folder / "loss.json", (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(folder / "table.md", markdown(content).encode())
    show(content)
    print(f"report: {folder / 'report.html'}")
    write_json(args.json, content)
    return 0


def systems(args: Args) -> list[Contestant]:
    """The base with constant weights, and with their gradient; judged by Liu's rule."""
    base = contestant(args.base, args.corpus).experiment
    if not isinstance(base.model, M3ERConfig):
        raise InputError(f"--base {args.base!r} is no M3ER; name one, for instance m3er")
    if len(base.data.modalities) < 2:
        raise InputError("modalities are weighed by each other; give data.modalities two or more")
    changes = [f"model.stop-gradient={stopped}:model.decide=least_costly" for stopped in (True, False)]
    made = [contestant(f"{args.base}:{change}", args.corpus) for change in changes]
    return [dataclasses.replace(one, called=name) for one, name in zip(made, FORMS, strict=True)]


def trained(setup: Setup, folder: Path, metric: str, args: Args) -> Iterator[dict[str, Any]]:
    """A row for each beta; finished runs of the same data and configuration are used as they are."""
    stopped = setup.experiment.model.stop_gradient
    grid = f"model.beta={','.join(f'{beta:g}' for beta in args.betas)}"
    made = variants(setup.experiment, args.seeds, (grid,))
    jobs = [Job(variant, RunFolder(folder / f"{FORMS[not stopped]}{variant.suffix}")) for variant in made]
    if not all(job.folder.finished for job in jobs):
        findings = setup.audit()
        print_findings(findings, sys.stderr)
        stop_on_error(findings)
        failed = train_jobs(setup, jobs, findings, Options(resume=True, memory_gib=args.memory_gib, go_on=()))
        for job, reason in failed:
            raise InputError(f"{job.folder.path} failed, so there is nothing to draw: {reason}")
    for beta in args.betas:
        own = [job.folder for job in jobs if beta_of(job.experiment) == beta]
        values = statistic([folder.read("metrics.json")["test"][metric] for folder in own])
        runs = [str(folder.path) for folder in own]
        yield {
            "stop_gradient": stopped,
            "beta": beta,
            "metric": metric,
            **values,
            "n": len(own),
            "runs": runs,
        }


def beta_of(experiment: Experiment[Any]) -> float:
    """The beta of one training."""
    return experiment.model.beta


def show(content: dict[str, Any]) -> None:
    """A line per beta."""
    rows = content["rows"]
    table = Table(title=f"test {rows[0]['metric']}, majority {content['majority']:.3f}", title_justify="left")
    for column in HEAD:
        table.add_column(column)
    for row in body(rows):
        table.add_row(*row)
    console_on(sys.stdout).print(table)
    print(f"at a uniform start the gradient turns at beta = (M - 1) / ln K = {content['threshold']:.2f}")


def markdown(content: dict[str, Any]) -> str:
    """The table for GitHub."""
    rows = content["rows"]
    about = (
        f"Test {rows[0]['metric']}, mean ± sd over {rows[0]['n']} seeds; majority {content['majority']:.3f}."
    )
    turn = f"At a uniform start the gradient turns at beta = (M - 1) / ln K = {content['threshold']:.2f}."
    return f"{grid(HEAD, body(rows))}\n\n{about} {turn}\n"


def body(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    """A line per beta: it, and mean and standard deviation of either form."""
    lines: dict[float, list[str]] = {}
    for row in sorted(rows, key=lambda row: (row["beta"], not row["stop_gradient"])):
        lines.setdefault(row["beta"], [f"{row['beta']:g}"]).append(mean_and_sd(row))
    return list(lines.values())


if __name__ == "__main__":
    sys.exit(run(main, Args))
