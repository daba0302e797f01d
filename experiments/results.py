"""Every results table of README.md and BENCHMARKS.md, made again.

    python -m experiments.results --data-dir DATA        (make results DATA=DATA)
    python -m experiments.results mosi generated         (some of them)

Prepares what is not prepared, trains what is not trained (finished runs of the same
configuration, data and code are used as they are) and writes each table, with its command,
commit, device, versions and duration, between the marks `<!-- results:NAME -->` and
`<!-- /results:NAME -->` of the two files. A real set that is not below the data directory is
left out, in words, and its old table stays.
"""

import dataclasses
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from experiments import (
    benchmark_attention,
    benchmark_decoder,
    benchmark_memory_fusion,
    benchmark_significance,
    benchmark_training,
    benchmark_tsne,
    compare,
    compare_alignments,
    m3er_ablation,
    multiplicative_loss,
    prepare_data,
)
from experiments.command import data_dir_from_environment, parse, run
from mer_jax.data.corpus import load
from mer_jax.errors import InputError, nearest
from mer_jax.evaluation.ceiling import human_ceiling
from mer_jax.evaluation.protocol import Protocol, ProtocolConfig
from mer_jax.records import write_atomically
from mer_jax.training.host_memory import keep_freed_memory
from mer_jax.training.run_folder import provenance, read_json

ROOT = Path(__file__).parents[1]
FILES = ("BENCHMARKS.md", "README.md")
SHOWN_VERSIONS = ("python", "jax", "flax", "optax", "numpy", "scikit-learn")
MODALITIES = (
    "unimodal:data.modalities=text",
    "unimodal:data.modalities=audio",
    "unimodal:data.modalities=face",
)
GENERATED = (
    "early_fusion_generated",
    "late_fusion_generated",
    *(m.replace(":", "_generated:") for m in MODALITIES),
)
RECIPE = ":data.modalities=audio,face:model.clock=audio:model.hidden=64,32:model.dense=64,64:model.dropout=.3:training.epochs=40:protocol.split=official:protocol.resample_by=dialogue"
PLANTED = ("--options.preset", "complementary", "--options.noise-text", "1.5", "--options.dialogues", "300")

FEWER_STEPS = ":training.batch-size=128:training.optimizer.learning-rate="
LAGGED = (
    *("--base", f"lexico_acoustic_generated{FEWER_STEPS}2e-3:training.epochs=16", "--scores", "general"),
    *("--questions", "--beside"),
    *(f"{name}{FEWER_STEPS}3e-3:training.epochs=12:model.hidden=32" for name in (
        "dual_recurrent_generated", "late_fusion_generated:model.cell=gru",
        "unimodal_generated:model.cell=gru:data.modalities=text",
    )),
)  # fmt: skip
QUIET = ("--options.noise-measured", ".1", "--options.speaker-effect", ".1")
PLANTED_LAG = (
    *("--options.preset", "lagged", "--options.dialogues", "1500", "--options.speakers", "100"),
    *(*QUIET, "--options.dead-text", "0", "--options.dead-audio", "0"),
)
RAW = "model.front.filters=4,8:training.epochs=15"

BRIEF = (
    *("--options.preset", "bad_modality", "--options.words", "1", "3", "--options.dialogues", "200"),
    "--options.bad-splits",
)


@dataclasses.dataclass(frozen=True)
class Study:
    """One comparison: its corpus, the raw folder it needs ("" for none), how it is prepared.

    systems: what `script` is given after the corpus.
    """

    name: str
    systems: tuple[str, ...]
    seeds: int
    needs: str = ""
    metric: str = ""
    corpus: str = ""
    options: tuple[str, ...] = ()
    script: Any = compare


STUDIES = (
    Study("generated", GENERATED, 5),
    Study("complementary", GENERATED, 5, options=PLANTED),
    Study("redundant", GENERATED, 5, options=("--options.preset", "redundant")),
    Study("lagged", LAGGED, 10, options=PLANTED_LAG, script=compare_alignments),
    Study(
        "recipe",
        tuple(f"early_fusion_crema_d{kind}{RECIPE}" for kind in ("", "_original")),
        3,
        corpus="generated",
    ),
    Study(
        "mosi",
        (
            "early_fusion",
            "late_fusion",
            *(f"unimodal:data.modalities={m}" for m in ("text", "audio", "video")),
        ),
        10,
        needs="mosi",
    ),
    Study(
        "mmmo",
        ("early_fusion", "late_fusion", "unimodal", "unimodal:data.modalities=video"),
        10,
        needs="mmmo",
    ),
    Study(
        "emodb",
        ("unimodal:data.modalities=mfcc", "unimodal:data.modalities=log_mel"),
        3,
        needs="emodb",
        metric="balanced_accuracy",
    ),
    Study(
        "emodb_by_speaker",
        ("unimodal:data.scaling=speaker",),
        3,
        needs="emodb",
        metric="balanced_accuracy",
        corpus="emodb",
    ),
    Study(
        "emodb_speech",
        (
            "lexico_acoustic",
            f"lexico_acoustic:data.modalities=words,waveform:model.auxiliary=waveform:{RAW}",
            "dual_recurrent",
            "unimodal:data.modalities=log_mel:model.cell=gru",
            f"unimodal:data.modalities=waveform:model.cell=gru:{RAW}",
            "unimodal:data.modalities=words:model.cell=gru:data.vocabulary=128",
        ),
        3,
        needs="emodb",
        metric="balanced_accuracy",
        corpus="emodb",
    ),
    Study("m3er", ("--base", "m3er_generated"), 10, corpus="brief", options=BRIEF, script=m3er_ablation),
    Study("m3er_mosi", ("--snr-db", "0"), 10, needs="mosi", corpus="mosi", script=m3er_ablation),
    Study("m3er_mmmo", ("--snr-db", "0"), 10, needs="mmmo", corpus="mmmo", script=m3er_ablation),
    Study("beta", ("--base", "m3er_generated"), 3, corpus="brief", options=BRIEF, script=multiplicative_loss),
)
CEILING = Study("ceiling", (), 0, needs="crema_d", corpus="crema_d_votes")
BENCHMARKS: Mapping[str, tuple[Any, tuple[str, ...]]] = {
    "steps": (benchmark_training, ()),
    "steps_given_back": (benchmark_training, ("--host-memory", "given_back")),
    "significance": (benchmark_significance, ()),
    "attention": (benchmark_attention, ()),
    "decoder": (benchmark_decoder, ()),
    "memory": (benchmark_memory_fusion, ()),
    "tsne": (benchmark_tsne, ()),
}
WITH_TORCH = ("steps", "steps_given_back", "attention", "decoder", "memory")


@dataclasses.dataclass(frozen=True)
class Args:
    """Flags of `results`.

    Args:
        names: of the tables to make; none: all.
        out: where run folders lie.
        prepared: where prepared corpora lie.
        data_dir: raw data of the real sets; default MER_DATA.
        torch_python: an interpreter with torch, for the benchmarks of steps, attention, the decoder
            and the memory; empty: without.
    """

    names: tyro.conf.Positional[tuple[str, ...]] = ()
    out: Path = Path("runs")
    prepared: Path = Path("prepared")
    data_dir: Path | None = dataclasses.field(default_factory=data_dir_from_environment)
    torch_python: str = ""


def main(args: Args) -> int:
    """Each study, each benchmark, then the summary."""
    keep_freed_memory()
    known = [*(study.name for study in STUDIES), CEILING.name, *BENCHMARKS]
    for name in args.names:
        if name not in known:
            raise InputError(f"table {name!r} is unknown; {nearest(name, known)}")
    wanted = set(args.names or known)
    started, left_out = time.perf_counter(), []
    for study in STUDIES:
        if study.name in wanted and not at_hand(study, args):
            left_out.append(study.name)
        elif study.name in wanted:
            put(study.name, timed(lambda study=study: comparison(study, args)))
    for name, (module, argv) in BENCHMARKS.items():
        if name in wanted:
            put(name, timed(lambda name=name, module=module, argv=argv: benchmark(name, module, argv, args)))
    if "ceiling" in wanted and not at_hand(CEILING, args):
        left_out.append("ceiling")
    elif "ceiling" in wanted:
        put("ceiling", timed(lambda: ceiling(args)))
    put("summary", summary(args))
    if left_out:
        print(
            f"left out, because their raw data are not below --data-dir: {', '.join(left_out)}",
            file=sys.stderr,
        )
    print(f"README.md and BENCHMARKS.md written, {(time.perf_counter() - started) / 60:.1f} min")
    return 0


def at_hand(study: Study, args: Args) -> bool:
    """Whether what the study needs is prepared or can be."""
    prepared = (args.prepared / (study.corpus or study.name)).exists()
    return (
        prepared or not study.needs or (args.data_dir is not None and (args.data_dir / study.needs).exists())
    )


def comparison(study: Study, args: Args) -> str:
    """Prepares the corpus where it is not yet, compares, and gives the section's text."""
    corpus = study.corpus or study.name
    prepare = ["generated", "--name", corpus, *study.options] if not study.needs else [study.needs]
    said = []
    if study.options or not (args.prepared / corpus).exists():
        said.append(shown("prepare_data", prepare, study))
    if not (args.prepared / corpus).exists():
        source = ["--data-dir", str(args.data_dir)] if study.needs else []
        prepare_data.main(prepare_data.parse([*prepare, *source, "--out", str(args.prepared)]))
    argv = [corpus, *study.systems, "--seeds", str(study.seeds)]
    argv += ["--metric", study.metric] if study.metric else []
    argv += ["--name", f"compare-{study.name}"]
    places = ["--out", str(args.out), "--prepared", str(args.prepared)]
    study.script.main(parse(study.script.Args, [*argv, *places]))
    table = (args.out / f"compare-{study.name}" / "table.md").read_text()
    name = study.script.__name__.rpartition(".")[2]
    return "\n".join(["```sh", *said, shown(name, argv, study), "```", "", table])


def ceiling(args: Args) -> str:
    """How often people meet CREMA-D's intended emotion."""
    if not (args.prepared / CEILING.corpus).exists():
        prepare_data.main(
            prepare_data.parse(
                [CEILING.corpus, "--data-dir", str(args.data_dir), "--out", str(args.prepared)]
            )
        )
    corpus = load(CEILING.corpus, args.prepared)
    protocol = Protocol.bind(ProtocolConfig(), corpus)
    conditions = np.array([name.rpartition("/")[2] for name in corpus.column("id")])
    lines = [
        f"```sh\npython -m experiments.results {CEILING.name} --data-dir DATA\n```",
        "",
        "| condition | clips | annotators a clip | majority vote | one annotator |",
        "|---|---|---|---|---|",
    ]
    for condition in ("voice", "face", "both"):
        (found,) = human_ceiling(corpus, protocol, np.flatnonzero(conditions == condition)).values()
        accuracies = (f"{found[kind]['accuracy']:.3f}" for kind in ("majority_vote", "one_annotator"))
        lines.append(
            f"| {condition} | {found['n']:,} | {found['annotators']:.1f} | {' | '.join(accuracies)} |"
        )
    return "\n".join(lines)


def benchmark(name: str, module: Any, argv: Sequence[str], args: Args) -> str:
    """Runs a benchmark in a process of its own, which nothing before it has touched, and gives its table."""
    path = args.out / f"{name}.json"
    own = ["--torch-python", args.torch_python] if name in WITH_TORCH and args.torch_python else []
    words = ["-m", module.__name__, *argv]
    done = subprocess.run([sys.executable, *words, *own, "--json", str(path)], check=False)
    if done.returncode:
        raise InputError(f"python {' '.join(words)} failed with exit code {done.returncode}")
    told = [*words, *(["--torch-python", "PYTHON_WITH_TORCH"] if own else [])]
    return f"```sh\npython {' '.join(told)}\n```\n\n{module.markdown(json.loads(path.read_text()))}"


def shown(script: str, argv: Sequence[str], study: Study) -> str:
    """A command as a reader would type it."""
    data = " --data-dir DATA" if study.needs else ""
    return f"python -m experiments.{script} {' '.join(argv)}{data}"


def timed(make: Callable[[], str]) -> str:
    """The section's text with commit, device, versions and duration."""
    started = time.perf_counter()
    text = make()
    seconds, record = time.perf_counter() - started, provenance()
    versions = ", ".join(f"{name} {record['versions'][name]}" for name in SHOWN_VERSIONS)
    spent = f"{seconds / 60:.1f} min" if seconds >= 60 else f"{seconds:.0f} s"
    return f"{text}\n\n<sub>commit {record['commit'] or 'unknown'}; {record['device']}; {versions}; this table took {spent}</sub>"


def summary(args: Args) -> str:
    """The README's table: the best of each study, beside its floor, from the comparisons at hand;
    other studies keep their row."""
    lines = [
        "| data | systems compared, seeds | best | linear floor | what the data support |",
        "|---|---|---|---|---|",
    ]
    old = [
        row for file in FILES for found in marked("summary").findall(read(file)) for row in found.splitlines()
    ]
    rows = {
        row.split("|")[1].strip().removesuffix(" (GENERATED)"): row for row in old if row.startswith("| ")
    }
    for study in sorted(STUDIES, key=lambda study: not study.needs):  # real data first
        path, shown_as = args.out / f"compare-{study.name}" / "comparison.json", study.name.replace("_", " ")
        if study.name == "recipe":
            continue
        if not path.exists():
            lines += [rows[shown_as]] if shown_as in rows else []
            continue
        content = read_json(path)
        best, metric = content["rows"][0], content["metric"].replace("_", " ")
        spread = "" if best["sd"] is None else f" ± {best['sd']:.3f}"
        data = f"{shown_as}{' (GENERATED)' if content['generated'] else ''}"
        sentence = content["verdict"].split(". ")[0].removesuffix(".")
        lines.append(
            f"| {data} | {len(content['rows'])}, {best['n']} | {best['name']}: {metric} {best['mean']:.3f}{spread} "
            f"| {best['linear']:.3f} | {sentence} |"
        )
    return "\n".join(lines)


def put(name: str, text: str) -> None:
    """Replaces what stands between the marks of `name`, in every file that has them."""
    found = False
    for file in FILES:
        before = read(file)
        after, count = marked(name).subn(lambda _: f"\n{text.strip()}\n", before)
        found = found or bool(count)
        if after != before:
            write_atomically(ROOT / file, after.encode())
    if not found:
        raise InputError(f"neither {' nor '.join(FILES)} has the marks <!-- results:{name} -->")


def read(file: str) -> str:
    """One of FILES, its line ends as they are."""
    return (ROOT / file).read_bytes().decode()


def marked(name: str) -> re.Pattern[str]:
    """What stands between the marks of `name`."""
    return re.compile(f"(?<=<!-- results:{name} -->).*?(?=<!-- /results:{name} -->)", re.DOTALL)


if __name__ == "__main__":
    sys.exit(run(main, Args))
