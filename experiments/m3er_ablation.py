"""What each part of M3ER is worth: its ablation table, with floors, seeds and paired tests.

    python -m experiments.m3er_ablation generated
    python -m experiments.m3er_ablation mosi --data-dir DATA --snr-db 0
    python -m experiments.m3er_ablation generated --base m3er:model.combine=confidence --seeds 5

On features as they are: the Memory Fusion Network it grew out of, Liu's original multiplicative loss,
M3ER. With white Gaussian noise in a modality of some dev and test utterances: M3ER without check and
proxies, with the check alone (a rejected modality counts as missing), and whole. Beside that, how many
bad modalities the check finds, how near the proxies come (at 0 dB and at the noise asked for), and how
scores fall with noise and with missing modalities. Trains what is not trained yet; leaves a page,
two comparisons and ablation.json below --out.
"""

import dataclasses
import html as markup
import json
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.table import Table

from experiments import compare, robustness_curves
from experiments.command import run, write_json
from experiments.contestants import Contestant, contestant
from experiments.printing import console_on
from mer_jax.errors import InputError
from mer_jax.evaluation import ablation, comparison_tables
from mer_jax.evaluation.figures_robustness import detector_figure, regenerated_figure
from mer_jax.evaluation.repair_assessment import Assessment, assess
from mer_jax.evaluation.report_page import Section, filled, page
from mer_jax.models.m3er import M3ERConfig
from mer_jax.records import write_atomically
from mer_jax.robustness.corruption import Corruption
from mer_jax.robustness.pipeline import Repair
from mer_jax.training.run_folder import RunFolder, provenance

CLEAN = {
    "original loss": ["model.weighting=original", "robustness.repair=proxies"],
    "M3ER": ["robustness.repair=proxies"],
}
NOISY = {
    "neither": ["robustness.repair=none"],
    "check only": ["robustness.repair=check"],
    "full": ["robustness.repair=proxies"],
}
ANCESTOR = "Memory Fusion Network"
UNCHANGED = "as they are"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Args(compare.Options):
    """Flags of `m3er_ablation`.

    Args:
        base: the M3ER config that is taken apart, [:flag=value]...
        kind: what befalls a bad modality.
        snr_db: power of the features over that of the noise, in decibels.
        share: of dev and test utterances that have a bad modality.
        curves: also score every noisy system over noise and missing modalities.
    """

    base: str = "m3er"
    seeds: int = 10
    kind: Literal["noise", "burst"] = "noise"
    snr_db: float = -10.0
    share: float = 0.5
    curves: bool = True


def main(args: Args) -> int:
    """Two comparisons, what the check and the proxies do, curves; one page."""
    started = time.perf_counter()
    clean, noisy = halves(args)

    # The table's two halves, each a comparison of its own: what is scored differs.
    made: dict[str, Any] = {}
    for condition, chosen in ((UNCHANGED, clean), (described(args), noisy)):
        folder, content = compare.compared(chosen, dataclasses.replace(args, name=""))
        compare.show(folder, content)
        made[condition] = content
    order = [ANCESTOR, *CLEAN, *NOISY]
    table = [row for name, content in made.items() for row in ablation.rows(content, name, order)]

    # What the whole system's check and proxies do, on test.
    second = made[described(args)]
    trained = {
        row["name"]: robustness_curves.opened(
            [RunFolder(args.out / name) for name in row["runs"]], args.prepared, args.data_dir, row["name"]
        )
        for row in second["rows"]
    }
    assessments = [
        assessed(trained["full"], args.kind, snr) for snr in sorted({0.0, args.snr_db}, reverse=True)
    ]
    curves = []
    if args.curves:
        wanted = robustness_curves.conditions(args.kind, (20.0, 10.0, 0.0, -10.0, -20.0), (0.0, 0.5, 1.0))
        curves = robustness_curves.curves([trained[name] for name in NOISY], wanted, second["metric"], 0)

    # One page, one file.
    content = {
        "rows": [row | {"condition": name} for name, c in made.items() for row in c["rows"]],
        "pairs": [pair | {"condition": name} for name, c in made.items() for pair in c["pairs"]],
        "verdict": " ".join(f"Features {name}: {c['verdict']}" for name, c in made.items()),
        "table": table,
        "robustness": [one.to_json() for one in assessments],
        "curves": curves,
        "record": provenance() | {"duration": round(time.perf_counter() - started, 1)},
    }
    sections = filled([*table_sections(made, table), *repair_sections(assessments), *curve_sections(curves)])
    folder = write_folder(args, made, content, sections)
    show(table, content["robustness"])
    print(f"report: {folder / 'report.html'}")
    write_json(args.json, content)
    return 0


def write_folder(
    args: Args, made: Mapping[str, Any], content: Mapping[str, Any], sections: Sequence[Section]
) -> Path:
    """The ablation's folder: report.html, table.md and, last, ablation.json."""
    folder = args.out / (args.name or f"m3er-ablation-{args.corpus}")
    folder.mkdir(parents=True, exist_ok=True)
    badges = [("generated", "GENERATED DATA")] if made[UNCHANGED]["generated"] else []
    badges += [("plain", args.corpus), ("plain", f"{args.seeds} seeds"), ("plain", described(args))]
    write_atomically(folder / "report.html", page("M3ER, taken apart", badges, sections).encode())
    write_atomically(folder / "table.md", markdown(made, content).encode())
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(folder / "ablation.json", text.encode())
    return folder


def described(args: Args) -> str:
    """The noise in words."""
    return f"with {args.kind} at {args.snr_db:g} dB in one modality of {args.share:.0%}"


def systems(args: Args) -> list[Contestant]:
    """All that is trained."""
    clean, noisy = halves(args)
    return [*clean, *noisy]


def halves(args: Args) -> tuple[list[Contestant], list[Contestant]]:
    """Those of the features as they are, and those of the noisy ones."""
    base = contestant(args.base, args.corpus)
    if not isinstance(base.experiment.model, M3ERConfig):
        raise InputError(f"--base {args.base!r} is no M3ER; name one, for instance m3er")
    if not 0 < args.share <= 1:
        raise InputError(
            f"--share {args.share} must lie in (0, 1]: a share of utterances with a bad modality"
        )
    noise = [f"robustness.corruption.kind={args.kind}", f"robustness.corruption.snr-db={args.snr_db:g}"]
    noise += [f"robustness.corruption.share={args.share:g}", "robustness.splits=dev,test"]
    clean = [named(args, name, changes) for name, changes in CLEAN.items()]
    noisy = [named(args, name, [*noise, *changes]) for name, changes in NOISY.items()]
    return [ancestor(args), *clean], noisy


def named(args: Args, name: str, changes: Sequence[str]) -> Contestant:
    """The base with changes, shown as `name`."""
    made = contestant(":".join([args.base, *changes]), args.corpus)
    return dataclasses.replace(made, name=name, called=f"m3er {args.corpus} {name}")


def ancestor(args: Args) -> Contestant:
    """The plain network under the base's flags for data and training."""
    config, *changes = args.base.split(":")
    own = [change for change in changes if not change.startswith("model.")]
    made = contestant(":".join([config.replace("m3er", "memory_fusion", 1), *own]), args.corpus)
    return dataclasses.replace(made, name=ANCESTOR)


def assessed(system: robustness_curves.Trained, kind: Any, snr: float) -> Assessment:
    """Check and proxies of the first fold, every test utterance that draws it with one bad modality."""
    fold = system.folds[0]
    repair = Repair.load(system.folders[0].repair(fold.name))
    corruption = Corruption(kind, share=0.5, snr_db=snr)
    streams = system.experiment.data.view.streams
    return assess(repair, system.corpus, fold.test, corruption, 0, streams)


def table_sections(made: Mapping[str, Any], table: Sequence[ablation.Row]) -> list[Section]:
    """What the data support, and the table of the paper."""
    verdicts = "".join(
        f"<p class='lead'><b>Features {name}.</b> {markup.escape(content['verdict'])}</p>"
        for name, content in made.items()
    )
    caption = (
        "Each class against the rest. Reported figures are Mittal et al.'s (table 2), of other data and "
        "other noise; an always-absent answer has the accuracy of the last row of each part."
    )
    return [
        Section("verdict", "What the data support", verdicts, wide=True),
        Section("table", "The ablation table", ablation.html(table), caption=caption, wide=True),
    ]


def repair_sections(assessments: Sequence[Assessment]) -> list[Section]:
    """The detector's curves and, for the first noise, one example per modality regenerated."""
    made = []
    for k, one in enumerate(assessments):
        figure = detector_figure(one.scores, one.truth, one.rejected, one.modalities)
        title = f"Who finds the bad modality, {one.corruption.kind} at {one.corruption.snr_db:g} dB"
        caption = "Test utterances; points: the calibrated tau."
        made.append(Section(f"detector-{k}", title, figure=figure, caption=caption))
    shown = assessments[0]
    chosen, errors = shown.example(), shown.errors()
    if chosen and shown.regenerated is not None:
        clean, noisy, made_anew = (
            {name: examples.features[name][row] for name, row in chosen.items()}
            for examples in (shown.clean, shown.noisy, shown.regenerated)
        )
        known = {name: (errors[name]["noise"], errors[name]["proxies"]) for name in chosen}
        caption = (
            "For each modality the utterance whose proxies err as much as the middle one's; the errors in the "
            "titles are of all corrupted test utterances."
        )
        title = f"Regenerated features, {shown.corruption.kind} at {shown.corruption.snr_db:g} dB"
        figure = regenerated_figure(clean, noisy, made_anew, known)
        made.append(Section("regenerated", title, figure=figure, caption=caption, wide=True))
    return made


def curve_sections(curves: Sequence[Mapping[str, Any]]) -> list[Section]:
    """Score over noise and over missing modalities."""
    return robustness_curves.sections(curves) if curves else []


def markdown(made: Mapping[str, Any], content: Mapping[str, Any]) -> str:
    """The ablation table, both comparisons, what check and proxies do and the curves, for GitHub."""
    parts = [ablation.markdown(content["table"])]
    for name, comparison in made.items():
        parts += [f"Features {name}: {comparison_tables.markdown(comparison).rstrip()}"]
    lines = [f"- {line}" for line in remarks(content["robustness"])]
    for line in robustness_curves.lines(content["curves"]):
        lines.append(f"- {': '.join(line)}")
    return "\n\n".join([*parts, "\n".join(lines)]) + "\n"


def remarks(robustness: Sequence[Mapping[str, Any]]) -> list[str]:
    """What check and proxies do, a line for each noise."""
    said = []
    for one in robustness:
        noise = f"{one['corruption']['kind']} at {one['corruption']['snr_db']:g} dB"
        found = ", ".join(
            f"{name} {d['auc']:.3f} (rejects {d['hits']:.0%} of the bad, {d['false_alarms']:.0%} of the good)"
            for name, d in one["detector"].items()
        )
        near = ", ".join(f"{name} {e['ratio']:.1f} x" for name, e in one["regeneration"].items())
        said.append(
            f"{noise}: AUC of the check {found}; proxies nearer to the clean features than the noisy ones: {near}"
        )
    return said


def show(table: Sequence[ablation.Row], robustness: Sequence[Mapping[str, Any]]) -> None:
    """The table and what check and proxies do, on the terminal."""
    console = console_on(sys.stdout)
    shown = Table(title="one class against the rest, mean over classes", title_justify="left")
    for name in ("features", "system", "F1", "MA"):
        shown.add_column(name, overflow="fold")
    for row in table:
        overall = row["classes"][ablation.OVERALL]
        cells = (comparison_tables.three(overall[key]) for key in ("f1", "accuracy"))
        shown.add_row(row["condition"], row["system"], *cells)
    console.print(shown)
    for line in remarks(robustness):
        console.print(line, markup=False)


if __name__ == "__main__":
    sys.exit(run(main, Args))
