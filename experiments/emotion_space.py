"""Fits (or loads) the emotion space of a corpus, lays runs over it, and writes one report page.

    python -m experiments.emotion_space mosei_labels --data-dir DATA
    python -m experiments.emotion_space mosei_text runs/unimodal_mosei_text-seed0 runs/neighbours_mosei_text --data-dir DATA
    python -m experiments.emotion_space crema_d_votes --states votes --data-dir DATA   # as perceived from voice, face, both

The space is a map of emotion states (six intensities, or shares of votes) by parametric t-SNE, fitted to the train
split; it is kept in `spaces/<corpus>` and loaded from there. Runs are finished run folders of any system, whose
intensities (or class probabilities) must be those of the space's emotions. The page shows the map, each run's
predictions and errors on it, what moves over time, and whether a run has collapsed.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import tyro
from rich.table import Table

from experiments.command import data_dir_from_environment, run, write_json
from experiments.emotion_space_peer import opentsne
from experiments.emotion_space_runs import check_courses, overlay, read_runs, trajectories
from experiments.emotion_space_tables import diagnosis_table, perceived_table, quality_table
from experiments.printing import console_on
from experiments.setup import load_or_prepare
from mer_jax.data.corpus import Corpus
from mer_jax.emotion_space.canvas import WIDTH
from mer_jax.emotion_space.corpus_states import CorpusStates, Kind, corpus_states, perceived
from mer_jax.emotion_space.diagnostics import Diagnosis, diagnose
from mer_jax.emotion_space.overlay import Overlay
from mer_jax.emotion_space.page import space_page, space_sections
from mer_jax.emotion_space.space import EmotionSpace, SpaceConfig
from mer_jax.emotion_space.verdicts import compare_verdicts
from mer_jax.errors import InputError
from mer_jax.evaluation.figure_png import check_png, write_png
from mer_jax.evaluation.report_page import Section
from mer_jax.records import write_atomically


@dataclasses.dataclass(frozen=True)
class Args:
    """The emotion space of a corpus, and runs on it.

    Args:
        corpus: a prepared corpus (or one that can be prepared from --data-dir).
        runs: run folders to lay over it.
        fit: how the space is fitted, where it is.
        states: of the corpus: intensities, or shares of annotators' votes; auto: intensities where there are any.
        split: which of a run's utterances are shown and judged.
        groups: dialogues, videos or songs whose course is shown; empty: those that move most.
        utterances: ids of those whose course is shown word by word (or step by step), of runs with a timeline.npz
            (see experiments.timeline); empty: those that move most.
        trajectories: how many of each where none is named.
        space: where the space lies; empty: spaces/<corpus>.
        refit: fit it even where there is one.
        opentsne: also fit openTSNE (where installed) and print its figures beside ours.
        out: the page.
        png: also write every figure of the page, as it first appears, to this folder (needs the `export` extra).
        prepared: where prepared corpora lie.
        data_dir: raw data, to prepare a corpus that is not there yet; default MER_DATA.
        seed: of the fit.
        json: also write the figures to this file.
    """

    corpus: tyro.conf.Positional[str]
    runs: tyro.conf.Positional[tuple[Path, ...]] = ()
    fit: SpaceConfig = dataclasses.field(default_factory=SpaceConfig)
    states: Kind = "auto"
    split: Literal["train", "dev", "test"] = "test"
    groups: tuple[str, ...] = ()
    utterances: tuple[str, ...] = ()
    trajectories: int = 3
    space: Path | None = None
    refit: bool = False
    opentsne: bool = False
    out: Path = Path("emotion_space.html")
    png: Path | None = None
    prepared: Path = Path("prepared")
    data_dir: Path | None = dataclasses.field(default_factory=data_dir_from_environment)
    seed: int = 0
    json: Path | None = None


def main(args: Args) -> int:
    """States, the fitted map, runs on it, verdicts, the page."""
    # Everything that is read comes first, so that a wrong run is named before anything is fitted.
    corpus = load_or_prepare(args.corpus, args.prepared, args.data_dir, modalities=())
    states = corpus_states(corpus, args.states)
    runs = read_runs(args.runs, corpus, args.split)
    check_courses(runs, args.groups, args.utterances)
    if args.png is not None:
        check_png(args.png)

    # The space: loaded where it was fitted to these very states, else fitted and kept.
    space = fitted_space(args, corpus, states)
    the_map = space.map()
    overlays = [overlay(one, the_map, corpus, args.split) for one in runs]
    people = perceived(corpus, states)
    shown = [*overlays, *people]
    peer = opentsne(states, space.config.seed) if args.opentsne else None

    # What the runs say: measures, a verdict each, and what their errors hide.
    found = {one.name: judged(one, space) for one in overlays}
    hidden = compare_verdicts(found)
    courses = trajectories(the_map, overlays, runs, args.groups, args.utterances, args.trajectories)

    tables = [quality_table(space, peer)]
    tables += [diagnosis_table(found)] if found else []
    tables += [perceived_table(people, the_map)] if people else []
    show(tables, found, hidden)

    sections = space_sections(space, the_map, shown, found, hidden, courses, peer, people)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(args.out, space_page(space, sections).encode())
    print(f"report: {args.out}")
    write_json(args.json, as_json(space, found, hidden, peer))
    if args.png is not None:
        write_pictures(sections, args.png)
    return 0


def show(tables: Sequence[Table], found: Mapping[str, Diagnosis], hidden: Sequence[str]) -> None:
    """Tables, verdicts and what errors hide, on the terminal."""
    console = console_on(sys.stdout)
    for table in tables:
        console.print(table)
    for name, one in found.items():
        console.print(f"- {name}: {one.verdict}", markup=False, highlight=False)
    for sentence in hidden:
        console.print(f"! {sentence}", markup=False, highlight=False)


def write_pictures(sections: Sequence[Section], folder: Path) -> None:
    """Every figure of the page as a PNG of its size there."""
    folder.mkdir(parents=True, exist_ok=True)
    for section in sections:
        if section.figure is not None:
            path, layout = folder / f"{section.id}.png", section.figure.to_plotly_json()["layout"]
            write_png(section.figure, path, WIDTH, layout["height"])
            print(f"picture: {path}")


def fitted_space(args: Args, corpus: Corpus, states: CorpusStates) -> EmotionSpace:
    """The kept space, where it is of these states, or a new one."""
    folder = args.space or Path("spaces") / args.corpus
    config = dataclasses.replace(args.fit, seed=args.seed)
    if not args.refit and (folder / "space.json").exists():
        space = EmotionSpace.load(folder)
        same = space.made_of["hash"] == corpus.content_hash and space.emotions == states.emotions
        if same and space.config == config:
            print(f"space: {folder} (fitted before)", file=sys.stderr)
            return space
        if args.space is not None:
            raise InputError(
                f"{folder} was fitted to other states or in another way (corpus {space.made_of['corpus']!r}, emotions "
                f"{', '.join(space.emotions)}); pass --refit to fit it anew, or name another folder"
            )
    space = EmotionSpace.fit(config, states, corpus, verbose=1)
    space.save(folder)
    print(f"space: {folder}", file=sys.stderr)
    return space


def judged(one: Overlay, space: EmotionSpace) -> Diagnosis:
    """Whether what is overlaid has collapsed."""
    return diagnose(
        one.truth,
        one.predicted,
        space.emotions,
        transform=space.model.transform,
        map_states=space.states,
        groups=one.groups,
    )


def as_json(
    space: EmotionSpace, found: Mapping[str, Diagnosis], hidden: Sequence[str], peer: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What `--json` holds."""
    return {
        "made_of": space.made_of,
        "fit": dataclasses.asdict(space.config),
        "emotions": list(space.emotions),
        **space.quality,
        "opentsne": None if peer is None else dict(peer),
        "runs": {name: one.to_json() for name, one in found.items()},
        "hidden_by_mae": list(hidden),
    }


if __name__ == "__main__":
    sys.exit(run(main, Args))
