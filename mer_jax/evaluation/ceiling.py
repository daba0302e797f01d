"""The human ceiling: how often those who annotated the test utterances meet their label."""

from typing import Any

import numpy as np
import sklearn.metrics as skm

from mer_jax.data.corpus import Corpus
from mer_jax.errors import InputError
from mer_jax.evaluation.metrics import number
from mer_jax.evaluation.protocol import Protocol
from mer_jax.evaluation.votes import target_votes, vote_conditions

MAJORITY, ONE = "majority_vote", "one_annotator"


def human_ceiling(
    corpus: Corpus, protocol: Protocol, rows: np.ndarray | None = None
) -> dict[str, dict[str, Any]]:
    """Agreement of annotators with the label, by condition.

    rows: utterance numbers (None: the test utterances of all folds); those without votes
    or label are left out. For each condition of the votes:

    - n, and annotators: mean votes of an utterance
    - majority_vote: accuracy, balanced_accuracy, macro_f1 of the target with the most votes
      (ties: the first target), which is what all annotators together can do
    - one_annotator: expected accuracy and balanced_accuracy of a single vote drawn at random,
      mean_i v_i,y / sum_k v_i,k, the fair mark for a single listener

    Raises InputError where the corpus has no votes or none of the utterances has any.
    """
    if rows is None:
        rows = np.unique(np.concatenate([fold.test for fold in protocol.folds(corpus)]))
    labels = protocol.labels(corpus)[rows]
    conditions = vote_conditions(corpus) or ("",)
    return {c: _agreement(target_votes(corpus, protocol, c)[rows], labels, c) for c in conditions}


def ceilings(table: dict[str, dict[str, Any]], metric: str) -> dict[str, float]:
    """One metric of `human_ceiling` by a name to show: {"majority vote, both": 0.748 ...}."""
    shown = {}
    for condition, found in table.items():
        for kind, words in ((MAJORITY, "majority vote"), (ONE, "one annotator")):
            value = found[kind].get(metric)
            if value is not None:
                shown[f"{words}, {condition}" if condition != "votes" else words] = value
    return shown


def _agreement(votes: np.ndarray, labels: np.ndarray, condition: str) -> dict[str, Any]:
    judged = votes.any(axis=1) & (labels >= 0)
    if not judged.any():
        raise InputError(f"human ceiling: no test utterance has votes of condition {condition!r}")
    votes, labels = votes[judged], labels[judged]
    majority = votes.argmax(axis=1)
    hit = votes[np.arange(len(labels)), labels] / votes.sum(axis=1)
    per_class = [hit[labels == k].mean() for k in np.unique(labels)]
    recall = skm.recall_score(labels, majority, labels=np.unique(labels), average="macro", zero_division=0)
    return {
        "n": len(labels),
        "annotators": number(votes.sum(axis=1).mean()),
        MAJORITY: {
            "accuracy": number(skm.accuracy_score(labels, majority)),
            "balanced_accuracy": number(recall),
            "macro_f1": number(skm.f1_score(labels, majority, average="macro", zero_division=0)),
        },
        ONE: {"accuracy": number(hit.mean()), "balanced_accuracy": number(np.mean(per_class))},
    }
