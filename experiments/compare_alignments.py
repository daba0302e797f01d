"""Which score, which alignment, which feedback? One lexico-acoustic system in all its variants.

    python -m experiments.compare_alignments generated --seeds 10
    python -m experiments.compare_alignments generated --scores general --questions --beside dual_recurrent late_fusion
    python -m experiments.compare_alignments emodb --alignments global window
    python -m experiments.compare_alignments lagged --base lexico_acoustic_generated:model.encoder=decoder:model.cell=gru \\
        --feedbacks none input

Every score is combined with every alignment and feedback in the base config; `--questions` adds
two errors of the original code, so that the table answers what each of them costs: global
attention over audio states scrambled by a reshape, and without masks. `--beside` are systems
without such attention, on the same modalities. Trains what is not trained, with the statistics
of experiments.compare, whose folder this leaves: report.html, table.md, table.tex,
comparison.json, and alignments.json, a row per system.
"""

import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from experiments import compare
from experiments.command import run, write_json
from experiments.contestants import Contestant, contestant
from mer_jax.errors import InputError
from mer_jax.models.lexico_acoustic import LexicoAcousticConfig
from mer_jax.nn.attention import AlignmentName, Score
from mer_jax.nn.decoder import Feedback
from mer_jax.records import write_atomically

QUESTIONS = {
    "scrambled reshape": "model.auxiliary_states=scrambled_by_reshape",
    "no masks": "model.masked=False",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Args(compare.Options):
    """Flags of `compare_alignments`.

    Args:
        base: the lexico-acoustic config whose score, alignment and feedback vary, [:flag=value]...
        scores: compared scores.
        alignments: compared alignments; forced takes the words' true times where there are some.
        feedbacks: what becomes of an attentional vector; other than none needs a base with
            model.encoder=decoder.
        questions: also global attention as the original code had it, with the first of the scores.
        beside: other systems, config[:flag=value]..., given the base's modalities.
    """

    base: str = "lexico_acoustic"
    scores: tuple[Score, ...] = ("dot", "general", "concat")
    alignments: tuple[AlignmentName, ...] = ("global", "local_m", "local_p", "window", "forced")
    feedbacks: tuple[Feedback, ...] = ("none",)
    questions: bool = False
    beside: tuple[str, ...] = ()


def main(args: Args) -> int:
    """The variants and what stands beside them; then the comparison and its rows."""
    folder, content = compare.compared(systems(args), args)
    compare.show(folder, content)
    found = rows(content, {system.name: system for system in variants(args)})
    write_atomically(folder / "alignments.json", (json.dumps(found, indent=1) + "\n").encode())
    write_json(args.json, found)
    return 0


def systems(args: Args) -> list[Contestant]:
    """What is compared."""
    for name in ("scores", "alignments", "feedbacks"):
        if not getattr(args, name):
            raise InputError(f"--{name} names none; give at least one")
    return [*variants(args), *others(args)]


def variants(args: Args) -> Iterator[Contestant]:
    """Every score, alignment and feedback in the base config, and the two of `--questions`."""
    base = contestant(args.base, args.corpus).experiment
    if not isinstance(base.model, LexicoAcousticConfig):
        raise InputError(
            f"--base {args.base!r} is no lexico-acoustic system; name one, for instance lexico_acoustic"
        )
    decodes = base.model.encoder == "decoder"
    if not decodes and set(args.feedbacks) != {"none"}:
        raise InputError(
            f"--feedbacks {' '.join(args.feedbacks)} needs a base whose model.encoder is decoder; "
            f"write --base {args.base}:model.encoder=decoder"
        )
    timed = f"data.timed={base.model.main}"
    for feedback, score, alignment in itertools.product(args.feedbacks, args.scores, args.alignments):
        changes = [f"model.score={score}", f"model.alignment={alignment}"]
        changes += [f"model.feedback={feedback}"] if decodes else []
        changes += [timed] if alignment == "forced" else []
        said = [score, *([f"feedback {feedback}"] if len(args.feedbacks) > 1 else [])]
        yield named(args, f"{alignment.replace('_', '-')} ({', '.join(said)})", changes)
    if args.questions:
        score = args.scores[0]
        for what, change in QUESTIONS.items():
            yield named(
                args, f"global, {what} ({score})", [f"model.score={score}", "model.alignment=global", change]
            )


def named(args: Args, name: str, changes: list[str]) -> Contestant:
    """The base with changes, shown as `name`."""
    made = contestant(":".join([args.base, *changes]), args.corpus)
    return dataclasses.replace(made, name=name)


def others(args: Args) -> list[Contestant]:
    """What stands beside, each with the base's modalities unless it says which."""
    modalities = f"data.modalities={','.join(contestant(args.base, args.corpus).experiment.data.modalities)}"
    given = [spec if "data.modalities=" in spec else f"{spec}:{modalities}" for spec in args.beside]
    each = [set(spec.split(":")[1:]) for spec in given]
    alike = set.intersection(*each) if len(each) > 1 else set()
    return [contestant(spec, args.corpus, {modalities, *alike}) for spec in given]


def rows(content: Mapping[str, Any], varied: Mapping[str, Contestant]) -> list[dict[str, Any]]:
    """A row per system in order of rank: score, alignment and feedback where it attends, its
    accuracy (the compared metric beside it), where its attention lies, and what it costs."""
    attention = {row["name"]: row for row in content.get("attention", {}).get("rows", ())}
    made = []
    for row in content["rows"]:
        model = varied[row["name"]].experiment.model if row["name"] in varied else None
        own, found = attention.get(row["name"], {}), row["metrics"]
        made.append(
            {
                "name": row["name"],
                "config": row["config"],
                **{name: getattr(model, name, None) for name in ("score", "alignment", "feedback")},
                "auxiliary_states": getattr(model, "auxiliary_states", None),
                "masked": getattr(model, "masked", None),
                "accuracy": found.get("accuracy", {}).get("mean"),
                "metric": row["metric"],
                **{name: row[name] for name in ("mean", "sd", "low", "high", "n")},
                "train": own.get("train", {}).get("mean"),
                "mass_in_span": own.get("mass_in_span", {}).get("mean"),
                "mass_within_one_word": own.get("mass_within_one_word", {}).get("mean"),
                "width_seconds": own.get("width", {}).get("mean"),
                "epoch_seconds": row["cost"].get("epoch_seconds"),
                "memory_mib": row["cost"].get("memory_mib"),
            }
        )
    return made


if __name__ == "__main__":
    sys.exit(run(main, Args))
