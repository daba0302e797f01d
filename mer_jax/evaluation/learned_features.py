"""Features learned with the training labels: a trap that makes selection on dev blind.

Some published feature files come from networks that were trained on the corpus's own
train labels. Any dev part taken from train then looks solved while test does not. Before
training, a linear probe fitted on half of train's groups shows it without a test target:
it is far surer of train's other half than of test. After evaluation, `score_gap` shows it
in the scores.
"""

from collections.abc import Sequence

import numpy as np
import scipy.stats
from sklearn.linear_model import LogisticRegression

from mer_jax.data.corpus import Corpus
from mer_jax.data.splits import Fold
from mer_jax.evaluation.additive import LOWER_IS_BETTER, additive
from mer_jax.evaluation.findings import Finding
from mer_jax.evaluation.intervals import resampled
from mer_jax.evaluation.predictions import Predictions
from mer_jax.evaluation.protocol import Protocol
from mer_jax.evaluation.summaries import design, summarise

PROBE_C = 0.01
PROBE_ROWS = 4000
HALVINGS = 4
FEWEST_GROUPS, FEWEST_SCORED_GROUPS = 6, 3
CONFIDENCE_GAP, KS_GAP, Z_GAP = 0.05, 0.2, 4.0
Z_SCORE_GAP = 3.0


def learned_features(
    corpus: Corpus, fold: Fold, protocol: Protocol, modalities: Sequence[str]
) -> list[Finding]:
    """One finding per modality, by the label-free probe. Test inputs are read, test
    targets never.

    Half of train's groups (the coarsest of speaker, dialogue and utterance that test
    shares with train nowhere) fit a logistic regression; its highest probability is
    compared between the other half and test, over 4 random halvings. A warning needs all
    of: means more than .05 apart, Kolmogorov-Smirnov distance above .2, and z > 4 with
    groups as the unit, since utterances of one group are alike.
    """
    groups = _grouping(corpus, fold)
    targets = _probe_targets(corpus, fold, protocol)
    return [_probe(corpus, fold, name, groups, targets) for name in modalities]


def score_gap(
    name: str,
    dev: Predictions,
    test: Predictions,
    unit: str,
    metric: str = "accuracy",
    *,
    n: int = 1000,
    seed: int = 0,
) -> Finding:
    """Whether dev is better than test by more than chance allows.

    Welch's t with cluster-bootstrap variances and groups as the unit; a warning where its
    p-value is that of a standard normal above 3. A variance of accuracy is never below
    the binomial one at the pooled accuracy, so a perfect small dev part proves nothing.

    name: the model or floor. unit: the groups to resample (dialogue, speaker or id).
    Raises InputError for an unknown metric.
    """
    check = f"dev_above_test/{name}"
    values = {"dev": additive(metric)(dev), "test": additive(metric)(test)}
    groups = [len(np.unique(part.groups(unit))) for part in (dev, test)]
    numbers = {"metric": metric, **values}
    if min(groups) < FEWEST_SCORED_GROUPS:
        message = (
            f"{name}: fewer than {FEWEST_SCORED_GROUPS} {unit}s in dev or test, so they can't be compared"
        )
        return Finding(check, "note", message, numbers)
    variances = [_variance(metric, part, unit, n, seed + k) for k, part in enumerate((dev, test))]
    if metric == "accuracy":
        pooled = np.average([values["dev"], values["test"]], weights=[len(dev), len(test)])
        binomial = [pooled * (1 - pooled) / len(part) for part in (dev, test)]
        variances = [max(pair) for pair in zip(variances, binomial, strict=True)]
    gap = (values["dev"] - values["test"]) * (-1 if metric in LOWER_IS_BETTER else 1)
    z = _welch_z(gap, variances, groups)
    numbers |= {"gap": gap, "z": z}
    shown = f"{name}: {metric} {values['dev']:.3f} on dev, {values['test']:.3f} on test (z = {round(z, 1) + 0.0:.1f})"
    if z > Z_SCORE_GAP:
        why = (
            ": dev is better by more than chance allows, so selection on dev is nearly blind; suspect "
            "features learned with the training labels"
        )
        return Finding(check, "warning", shown + why, numbers)
    return Finding(check, "ok", shown, numbers)


def _variance(metric: str, part: Predictions, unit: str, n: int, seed: int) -> float:
    groups = part.groups(unit)
    count = len(np.unique(groups))
    return float(np.nanvar(resampled(metric, part, groups, n, seed))) * count / (count - 1)


def _welch_z(gap: float, variances: Sequence[float], groups: Sequence[int]) -> float:
    """The standard normal deviate with the one-sided p-value of Welch's t."""
    total = sum(variances)
    if total == 0:
        return 0.0
    freedom = total**2 / sum(v**2 / (g - 1) for v, g in zip(variances, groups, strict=True))
    t = gap / np.sqrt(total)
    z = scipy.stats.norm.isf(scipy.stats.t.sf(abs(t), freedom))
    return float(np.sign(t) * min(z, 38.0))


def _grouping(corpus: Corpus, fold: Fold) -> np.ndarray:
    for unit in ("speaker", "dialogue"):
        groups = corpus.column(unit)
        enough = len(np.unique(groups[fold.train])) >= 2 * FEWEST_GROUPS
        if enough and not np.isin(groups[fold.test], groups[fold.train]).any():
            return groups
    return corpus.column("id")


def _probe_targets(corpus: Corpus, fold: Fold, protocol: Protocol) -> np.ndarray:
    """[n] class numbers; for intensities whether the first is above its train median."""
    if protocol.config.task == "classification":
        return protocol.labels(corpus)
    first = protocol.intensities(corpus)[:, 0]
    return (first > np.median(first[fold.train])).astype(int)


def _probe(corpus: Corpus, fold: Fold, modality: str, groups: np.ndarray, targets: np.ndarray) -> Finding:
    check = f"learned_features/{modality}"
    summary = summarise(corpus, modality)
    train, test = (rows[summary.present[rows]] for rows in (fold.train, fold.test))
    few = min(len(np.unique(groups[rows])) if len(rows) else 0 for rows in (train, test))
    if few < FEWEST_GROUPS or len(np.unique(targets[train])) < 2:
        return Finding(check, "note", f"too few {modality} rows or groups in train or test for the probe")
    inputs = design({modality: summary}, [modality], train)
    halves = _halves(groups[train], targets[train])
    runs = [_halving(inputs, train[half], train[~half], test, groups, targets) for half in halves]
    if not runs:
        return Finding(check, "note", f"train has too few labelled {modality} groups for the probe")
    held, tested, ks, z = (float(v) for v in np.mean(runs, axis=0))
    numbers = {"confidence_held_out_train": held, "confidence_test": tested, "ks": ks, "z": z}
    shown = f"a linear probe's mean confidence is {held:.3f} on held-out train and {tested:.3f} on test"
    if held - tested > CONFIDENCE_GAP and ks > KS_GAP and z > Z_GAP:
        message = (
            f"{modality} features look as if they had been learned with the training labels: {shown} "
            f"(z = {z:.1f}); selection on dev is blind"
        )
        return Finding(check, "warning", message, numbers)
    return Finding(check, "ok", f"{modality}: {shown}", numbers)


def _halves(groups: np.ndarray, targets: np.ndarray) -> list[np.ndarray]:
    """Masks of a random half of the groups that holds at least two classes."""
    rng = np.random.default_rng(0)
    names = np.unique(groups)
    halves = [np.isin(groups, rng.permutation(names)[: len(names) // 2]) for _ in range(HALVINGS)]
    return [half for half in halves if len(np.unique(targets[half])) > 1]


def _halving(
    inputs: np.ndarray,
    fitted: np.ndarray,
    held: np.ndarray,
    test: np.ndarray,
    groups: np.ndarray,
    targets: np.ndarray,
) -> np.ndarray:
    """[4] mean confidence on held-out train and on test, their KS distance, z by groups."""
    fitted = fitted[:: -(-len(fitted) // PROBE_ROWS)]
    probe = LogisticRegression(C=PROBE_C, max_iter=2000, tol=1e-3).fit(inputs[fitted], targets[fitted])
    sure = [probe.predict_proba(inputs[rows]).max(axis=1) for rows in (held, test)]
    means = [_group_means(values, groups[rows]) for values, rows in zip(sure, (held, test), strict=True)]
    error = np.sqrt(sum(m.var(ddof=1) / len(m) for m in means))
    z = (means[0].mean() - means[1].mean()) / error if error > 0 else 0.0
    return np.array([sure[0].mean(), sure[1].mean(), scipy.stats.ks_2samp(*sure).statistic, z])


def _group_means(values: np.ndarray, groups: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.bincount(inverse, values) / counts
