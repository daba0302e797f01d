"""The doctor: what a prepared corpus holds, and what is wrong with it."""

from mer_jax.data.doctor.examination import Examination, examine, require_sound
from mer_jax.data.doctor.finding import Finding
from mer_jax.data.doctor.report import print_report
from mer_jax.data.doctor.summary import ModalitySummary, SplitSummary

__all__ = [
    "Examination",
    "Finding",
    "ModalitySummary",
    "SplitSummary",
    "examine",
    "print_report",
    "require_sound",
]
