"""How faithful the map of a corpus' emotion states is: several seeds, affinities that stay or go all the way, openTSNE.

    python -m experiments.benchmark_emotion_space mosei_labels --data-dir DATA
    python -m experiments.benchmark_emotion_space crema_d_votes --states votes --seeds 1 --json space.json --data-dir DATA

Every fit is of the train split's distinct states, every figure that of `mer_jax.emotion_space.space.measure`: T(12) of
states that train lacks, T(12) of states between the observed ones, the longest step of straight paths. openTSNE is no
dependency: where it is not installed it is left out, and the run says so.
"""

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from rich.table import Table

from experiments.benchmark_tables import at_least, at_most, markdown_table, markdown_targets, targets_table
from experiments.command import data_dir_from_environment, run, write_json
from experiments.emotion_space_peer import opentsne
from experiments.printing import console_on
from experiments.setup import load_or_prepare
from mer_jax.emotion_space.corpus_states import CorpusStates, Kind, corpus_states, perceived
from mer_jax.emotion_space.numbers import PERCEIVED_HEAD, perceived_rows
from mer_jax.emotion_space.space import EmotionSpace, SpaceConfig
from mer_jax.errors import InputError
from mer_jax.training.host_memory import keep_freed_memory
from mer_jax.training.run_folder import provenance

OTHERS = {
    "that stay": SpaceConfig(noise=0.11, noise_in_affinities=0.0),
    "that go all the way": SpaceConfig(noise_in_affinities=1.0),
}
COLUMNS = (
    "map",
    "T(12) unseen",
    "T(12) between",
    "longest step, median",
    "longest of all",
    "KL",
    "CPU s",
)
# The figure, its place in `measure`, and the bound.
ASKED = (
    ("T(12) of unseen states", ("held_out", "trustworthiness"), at_least, 0.925),
    ("T(12) of states between", ("continuous", "trustworthiness"), at_least, 0.95),
    ("longest step of a path, median / radius", ("path", "longest_step"), at_most, 0.045),
    ("CPU seconds of the fit", ("fit_cpu_seconds",), at_most, 10.0),
)
JUDGED = "mosei_labels"  # the corpus that the bounds are of


@dataclasses.dataclass(frozen=True)
class Args:
    """The space of a corpus, fitted several times.

    Args:
        corpus: a prepared corpus (or one that can be prepared from --data-dir).
        states: of the corpus: intensities, or shares of annotators' votes; auto: intensities where there are any.
        seeds: fits of the default setting.
        prepared: where prepared corpora lie.
        data_dir: raw data, to prepare a corpus that is not there yet; default MER_DATA.
        json: also write the figures to this file.
    """

    corpus: tyro.conf.Positional[str]
    states: Kind = "auto"
    seeds: int = 5
    prepared: Path = Path("prepared")
    data_dir: Path | None = dataclasses.field(default_factory=data_dir_from_environment)
    json: Path | None = None


def main(args: Args) -> int:
    """Fits, tables."""
    if args.seeds < 1:
        raise InputError(f"--seeds {args.seeds} must be at least 1")
    keep_freed_memory()
    corpus = load_or_prepare(args.corpus, args.prepared, args.data_dir, modalities=())
    states = corpus_states(corpus, args.states)
    rows, people = [], []
    for name, config in settings(args.seeds):
        space = EmotionSpace.fit(config, states, corpus, verbose=1)
        rows.append({"map": name, "config": dataclasses.asdict(config), **space.quality})
        people = people or perceived_rows(perceived(corpus, states), space.map())
    found = {
        **provenance(),
        "corpus": args.corpus,
        "generated": corpus.spec.generated,
        "rows": [*rows, *beside(states)],
        "perceived": people,
        "targets": judged(rows) if args.corpus == JUDGED else [],
    }
    show(found)
    write_json(args.json, found)
    return 0


def settings(seeds: int) -> Iterator[tuple[str, SpaceConfig]]:
    """Name and config of every fit."""
    for seed in range(seeds):
        yield f"default, seed {seed}", SpaceConfig(seed=seed)
    for which, config in OTHERS.items():
        yield f"affinities {which}, noise {config.noise:g}", config


def beside(states: CorpusStates) -> list[dict[str, Any]]:
    """openTSNE's row, where it is installed."""
    try:
        found = opentsne(states, 0)
    except InputError as error:
        print(f"without openTSNE: {error}", file=sys.stderr)
        return []
    return [{"map": f"openTSNE {found['version']}, of the distinct states, `transform`", **found}]


def judged(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is asked of the map, beside the default setting's median over seeds; and whether each seed does it all."""
    defaults = [row for row in rows if row["map"].startswith("default")]
    found = []
    for what, keys, judge, bound in ASKED:
        values = [_at(row, keys) for row in defaults]
        middle = None if None in values else float(np.median(values))
        found.append(judge(f"{what}, median of {len(defaults)}", bound, middle, ""))
    at_once = [all(_met(judge, bound, _at(row, keys)) for _, keys, judge, bound in ASKED) for row in defaults]
    return [
        *found,
        at_least("share of seeds that meet all of it in one run", 1.0, float(np.mean(at_once)), ""),
    ]


def _met(judge: Any, bound: float, value: Any) -> bool:
    return judge("", bound, value, "")["met"]


def cells(row: Mapping[str, Any]) -> list[str]:
    """A line of the table."""
    figures = (
        (_at(row, ("held_out", "trustworthiness")), ".3f"),
        (_at(row, ("continuous", "trustworthiness")), ".3f"),
        (row["path"]["longest_step"], ".3f"),
        (row["path"]["longest_of_all"], ".2f"),
        (row["kl"], ".2f"),
        (row["fit_cpu_seconds"], ".1f"),
    )
    return [
        row["map"],
        *("too few rows" if value is None else format(value, form) for value, form in figures),
    ]


def show(found: Mapping[str, Any]) -> None:
    """The tables on the terminal."""
    console = console_on(sys.stdout)
    kind = " (GENERATED)" if found["generated"] else ""
    table = Table(title=f"the emotion space of {found['corpus']}{kind}", title_justify="left")
    for number, name in enumerate(COLUMNS):
        table.add_column(name, overflow="fold", justify="right" if number else "left")
    for row in found["rows"]:
        table.add_row(*cells(row))
    console.print(table)
    if found["targets"]:
        console.print(targets_table("what is asked", found["targets"]))


def markdown(result: Mapping[str, Any]) -> str:
    """The content of `--json` as tables for BENCHMARKS.md."""
    lines = [*markdown_targets(result["targets"]), ""] if result["targets"] else []
    lines += markdown_table(COLUMNS, [cells(row) for row in result["rows"]])
    if result["perceived"]:
        lines += ["", *markdown_table(PERCEIVED_HEAD, result["perceived"])]
    return "\n".join(lines)


def _at(row: Mapping[str, Any], keys: Sequence[str]) -> Any:
    found: Any = row
    for key in keys:
        found = found[key]
    return found


if __name__ == "__main__":
    sys.exit(run(main, Args))
