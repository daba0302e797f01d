"""What the results tables of README.md and BENCHMARKS.md are made by: studies and benchmarks."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from experiments import (
    benchmark_attention,
    benchmark_decoder,
    benchmark_emotion_space,
    benchmark_memory_fusion,
    benchmark_significance,
    benchmark_training,
    benchmark_tsne,
    benchmark_tsne_fit,
    compare,
    compare_alignments,
    compare_predictors,
    m3er_ablation,
    multiplicative_loss,
    parametric_tsne_images,
)

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

VECTORS = "VECTORS"  # stands for the file of word vectors
DATA = "DATA"  # stands for the data directory
GLOVE = f"unimodal:data.vectors={VECTORS}"
BRIEF = (
    *("--options.preset", "bad_modality", "--options.words", "1", "3", "--options.bad-splits"),
    *("--options.dialogues", "280", "--options.test-tenths", "4", "--options.speakers", "42"),
)


@dataclasses.dataclass(frozen=True)
class Study:
    """One comparison: its corpus, the raw folder it needs ("" for none), how it is prepared.

    systems: what `script` is given after the corpus; VECTORS in it is the file of word vectors.
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
    Study(
        "m3er_all_bad",
        ("--base", "m3er_generated", "--share", "1"),
        10,
        corpus="brief",
        options=BRIEF,
        script=m3er_ablation,
    ),
    Study(
        "m3er_unaugmented",
        ("--base", "m3er_generated:robustness.augmentation.share=0"),
        10,
        corpus="brief",
        options=BRIEF,
        script=m3er_ablation,
    ),
    Study("m3er_mosi", ("--snr-db", "0"), 10, needs="mosi", corpus="mosi", script=m3er_ablation),
    Study("m3er_mmmo", ("--snr-db", "0"), 10, needs="mmmo", corpus="mmmo", script=m3er_ablation),
    Study("beta", ("--base", "m3er_generated"), 3, corpus="brief", options=BRIEF, script=multiplicative_loss),
    Study(
        "emotion_words",
        (GLOVE, f"{GLOVE}:model.error=absolute", "neighbours", "ridge"),
        3,
        needs="mosei",
        corpus="mosei_text",
        script=compare_predictors,
    ),
    Study(
        "music",
        ("unimodal", "neighbours", "ridge"),
        3,
        needs="mulan_emotions",
        corpus="mulan_emotions",
        script=compare_predictors,
    ),
)
CEILING = Study("ceiling", (), 0, needs="crema_d", corpus="crema_d_votes")


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One script with `--json` and `markdown`, run in a process of its own.

    argv: DATA in it is the data directory.
    needs: the folder it reads: of a real set below the data directory, or, of pictures, anywhere.
    torch: whether it takes `--torch-python`. corpus: whether it takes `--prepared` and `--data-dir`.
    """

    script: Any
    argv: tuple[str, ...] = ()
    needs: str = ""
    torch: bool = False
    corpus: bool = False


BENCHMARKS: Mapping[str, Benchmark] = {
    "steps": Benchmark(benchmark_training, torch=True),
    "steps_given_back": Benchmark(benchmark_training, ("--host-memory", "given_back"), torch=True),
    "significance": Benchmark(benchmark_significance),
    "attention": Benchmark(benchmark_attention, torch=True),
    "decoder": Benchmark(benchmark_decoder, torch=True),
    "memory": Benchmark(benchmark_memory_fusion, torch=True),
    "tsne": Benchmark(benchmark_tsne),
    "fits": Benchmark(benchmark_tsne_fit),
    "emotion_space": Benchmark(benchmark_emotion_space, ("mosei_labels",), "mosei", corpus=True),
    "emotion_space_votes": Benchmark(
        benchmark_emotion_space, ("crema_d_votes", "--states", "votes"), "crema_d", corpus=True
    ),
    "images": Benchmark(parametric_tsne_images, ("--held-out", "test"), str(parametric_tsne_images.FOLDER)),
    "digits": Benchmark(parametric_tsne_images, ("--images", f"{DATA}/mnist", "--held-out", "test"), "mnist"),
}
