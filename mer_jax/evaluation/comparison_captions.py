"""Titles of a comparison's figures, and how each is to be read."""

CAPTIONS = {
    "ranking": (
        "Ranking",
        "Large dots are means over seeds, small ones single seeds, lines 95 % intervals that count both test "
        "groups and seeds; grey marks are floors. An upright bar at the right joins systems that the paired bootstrap test "
        "(Holm-corrected) does not tell apart; where intervals overlap a paired difference can still be significant.",
    ),
    "scores": (
        "Scores",
        "Mean ± standard deviation over seeds, on test; under the first score its 95 % interval. Dev is what the "
        "epoch was selected on, so it is not a result. Floors are fitted on the same inputs and train rows.",
    ),
    "pairs": (
        "Every pair",
        "Row minus column, above 0 where the row is better, with the p of a paired bootstrap of test groups, the "
        "variance over seeds added, after Holm's correction. Blue and orange differences are supported; grey ones are not, which does "
        "not show that the two are equal.",
    ),
    "per-class": (
        "F1 per class",
        "Means over seeds on test, whiskers are standard deviations over seeds; n is the number of test utterances.",
    ),
    "per-name-pearson": (
        "Correlation per intensity",
        "Pearson's r of prediction and truth on test, mean over seeds, whiskers are standard deviations over seeds; "
        "a bar is missing where a constant prediction leaves r undefined.",
    ),
    "per-name-ccc": (
        "Concordance per intensity",
        "Concordance is 1 for perfect, 0 for a constant prediction; mean over seeds, whiskers are standard "
        "deviations over seeds.",
    ),
    "per-name-mae": (
        "Mean absolute error per intensity",
        "In the unit of the label, lower is better; mean over seeds, whiskers are standard deviations over seeds.",
    ),
    "confusion": (
        "Confusion matrices",
        "Numbers are per cent of a true class (row), over all seeds; the diagonal is right, and a dark column is a "
        "class the system prefers.",
    ),
    "roc": (
        "ROC",
        "Curves are drawn from the test rows of all seeds pooled; numbers are the area under the curve, mean ± "
        "standard deviation over seeds. The dotted diagonal is chance. A class without test rows has no panel.",
    ),
    "precision-recall": (
        "Precision and recall per class",
        "Curves are drawn from the test rows of all seeds pooled; numbers are average precision (the steps' sum, no "
        "trapezoids), mean ± standard deviation over seeds. The dotted line is the class's share of test: chance.",
    ),
    "reliability": (
        "Reliability",
        "Points on the dotted line are honest probabilities, points below it over-confidence; larger points hold more "
        "rows, of all seeds pooled, and bins of fewer than 10 are left out. ECE is the expected calibration error, mean ± standard deviation over seeds. "
        "Scaling divides the logits by a temperature T, fitted on dev for every fold and seed.",
    ),
    "attention": (
        "Attention and the true word times",
        "Systems that attend to audio at known word times, by the share of a word's attention between the beginning of "
        "the word before and the end of the word after. Even: what attention spread evenly over the same keys has there. "
        "Large marks are means with 95 % intervals (test groups and seeds both drawn again), small ones single seeds.",
    ),
    "attention-maps": (
        "One utterance as each system sees it",
        "The first seed of each system. A row is a word, its true span is outlined, white is out of its reach; below is "
        "the sound the model reads.",
    ),
    "cost": (
        "Cost",
        "Score over what it costs, on logarithmic axes; lines are 95 % intervals. Seeds may have been trained "
        "several at once: seconds are those of a seed's share.",
    ),
}
