"""A whole corpus examined: summaries and findings, and the line it must not cross."""

import dataclasses
from typing import Any

from mer_jax.data.corpus import Corpus
from mer_jax.data.doctor.features import feature_findings
from mer_jax.data.doctor.finding import SEVERITIES, Finding, Severity, plural
from mer_jax.data.doctor.frames import frame_statistics
from mer_jax.data.doctor.records import record_findings
from mer_jax.data.doctor.summary import ModalitySummary, SplitSummary, modality_summary, split_summaries
from mer_jax.data.doctor.texts import text_findings
from mer_jax.data.schema import CorpusSpec
from mer_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Examination:
    """What a corpus holds and what was found, errors first."""

    spec: CorpusSpec
    content_hash: str
    splits: tuple[SplitSummary, ...]
    modalities: tuple[ModalitySummary, ...]
    findings: tuple[Finding, ...]

    def of(self, severity: Severity) -> tuple[Finding, ...]:
        """The findings of one severity."""
        return tuple(f for f in self.findings if f.severity == severity)

    def to_json(self) -> dict[str, Any]:
        """Everything as JSON values."""
        return dataclasses.asdict(self)


def examine(corpus: Corpus) -> Examination:
    """Looks at every utterance, feature and text of `corpus` once."""
    statistics = {m.name: frame_statistics(corpus.utterances, m.name, m.dim) for m in corpus.spec.modalities}
    found = [*record_findings(corpus), *text_findings(corpus), *feature_findings(corpus, statistics)]
    return Examination(
        spec=corpus.spec,
        content_hash=corpus.content_hash,
        splits=split_summaries(corpus),
        modalities=tuple(modality_summary(corpus, m, statistics[m.name]) for m in corpus.spec.modalities),
        findings=tuple(sorted(found, key=lambda f: SEVERITIES.index(f.severity))),
    )


def require_sound(examination: Examination) -> Examination:
    """`examination` itself, or an InputError with its first error and the number of others."""
    errors = examination.of("error")
    if errors:
        more = f" ({plural(len(errors) - 1, 'more error')})" if len(errors) > 1 else ""
        raise InputError(f"{examination.spec.name}: {errors[0].check}: {errors[0].message.rstrip('.')}{more}")
    return examination
