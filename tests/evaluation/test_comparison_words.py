import itertools

import pytest

from mer_jax.evaluation.comparison_numbers import capital, listed, p_text, plain, signed
from mer_jax.evaluation.comparison_words import remarks, verdict
from mer_jax.evaluation.significance import ONE_SEED

EARLY = ("early fusion", ("text", "audio"), 0.73)
LATE = ("late fusion", ("text", "audio"), 0.66)
TEXT = ("unimodal (text)", ("text",), 0.58)
AUDIO = ("unimodal (audio)", ("audio",), 0.4)


def row(name, modalities, mean, **changes):
    return {
        "name": name,
        "modalities": list(modalities),
        "mean": mean,
        "low": mean - 0.03,
        "high": mean + 0.03,
        "n": 5,
        "dev_mean": mean,
        "floor": 0.3,
        "floor_name": "linear",
        "above_floor": True,
        "collapsed": False,
        "collapsed_seeds": 0,
    } | changes


def comparison(rows, p=None, lower=False, **changes):
    """Rows best first; p: (a, b) -> Holm-corrected p, .0001 by default."""
    pairs = []
    for a, b in itertools.combinations(rows, 2):
        value = (p or {}).get((a["name"], b["name"]), 0.0001)
        gain = round(abs(a["mean"] - b["mean"]), 6)
        margin = gain / 2 if value < 0.05 else gain + 0.02
        names = {"a": a["name"], "b": b["name"], "metric": "accuracy", "p": value, "p_holm": value}
        bounds = {"difference": gain, "low": gain - margin, "high": gain + margin}
        pairs.append(names | bounds | {"test": "bootstrap", "significant": value < 0.05, "remark": ""})
    return {
        "corpus": "mosi",
        "generated": False,
        "metric": "mae" if lower else "accuracy",
        "resample_by": "dialogue",
        "groups": 31,
        "rows": rows,
        "pairs": pairs,
        "ceilings": {},
        "leakage": [],
    } | changes


def said(names, p=None, changes=(), **options):
    rows = [row(*name, **dict(changes).get(name[0], {})) for name in names]
    return comparison(rows, p, **options)


SCOPE = "Nothing is shown of data other than mosi, nor of other protocols."


def test_a_planted_order():
    p = {("early fusion", "late fusion"): 0.003, ("late fusion", "unimodal (text)"): 0.0021}
    assert verdict(said([EARLY, LATE, TEXT], p)) == (
        "Early fusion is better than late fusion (accuracy +.070, p = .003) and the best single modality on dev, "
        f"text (+.150, p < .001). Late fusion is better than text alone (+.080, p = .002). {SCOPE}"
    )


def test_no_difference():
    p = dict.fromkeys(itertools.combinations([EARLY[0], LATE[0], TEXT[0]], 2), 0.61)
    names = [EARLY, ("late fusion", LATE[1], 0.724), ("unimodal (text)", TEXT[1], 0.72)]
    assert verdict(said(names, p)) == (
        "No system is shown to be better than another: the largest difference is early fusion over unimodal (text) "
        f"(accuracy +.010, 95 % interval -.020 to +.040, p = .61). {SCOPE}"
    )


def test_two_systems_without_a_difference():
    text = verdict(said([EARLY, LATE], {(EARLY[0], LATE[0]): 0.2}))
    assert text.startswith(
        "Early fusion is not shown to be better than late fusion (accuracy +.070, 95 % interval -.020"
    )


def test_a_part_of_the_differences():
    p = {(EARLY[0], LATE[0]): 0.4, (LATE[0], TEXT[0]): 0.3}
    assert verdict(said([EARLY, LATE, TEXT], p)) == (
        "Early fusion is better than the best single modality on dev, text (accuracy +.150, p < .001). It is not "
        "shown to be better than late fusion (+.070, 95 % interval -.020 to +.160, p = .40). Late fusion is not shown "
        f"to be better than text alone (+.080, 95 % interval -.020 to +.180, p = .30). {SCOPE}"
    )


def test_the_best_mean_may_beat_nobody():
    p = {(EARLY[0], LATE[0]): 0.4, (EARLY[0], TEXT[0]): 0.06}
    text = verdict(said([EARLY, LATE, TEXT], p))
    assert text.startswith(
        "Early fusion has the best mean, but is not shown to be better than any other system (to late fusion: accuracy "
        "+.070, 95 % interval -.020 to +.160, p = .40). The best single modality on dev is text: early fusion is not "
        "shown to be better than text alone (+.150, 95 % interval -.020 to +.320, p = .060); late fusion is better "
        "than text alone (+.080, p < .001)."
    )


def test_a_fusion_may_be_worse_than_a_single_modality():
    text = verdict(
        said(
            [("early fusion", EARLY[1], 0.79), ("unimodal (text)", TEXT[1], 0.784), LATE],
            {(EARLY[0], TEXT[0]): 0.5},
        )
    )
    assert "It is not shown to be better than the best single modality on dev, text (+.006" in text
    assert "Late fusion is worse than text alone (-.124, p < .001)." in text


def test_a_single_modality_may_be_best():
    text = verdict(said([("unimodal (text)", TEXT[1], 0.8), EARLY, LATE]))
    assert text.startswith(
        "Unimodal (text) is better than early fusion (accuracy +.070, p < .001) and late fusion (+.140"
    )
    assert "Early fusion is better than late fusion (+.070, p < .001)." in text
    assert "text alone" not in text


def test_the_single_modality_is_chosen_on_dev():
    c = said([EARLY, TEXT, AUDIO], changes={AUDIO[0]: {"dev_mean": 0.9}})
    assert (
        "unimodal (text) (accuracy +.150, p < .001) and the best single modality on dev, audio (+.330"
        in verdict(c)
    )
    assert "the best single modality, audio, is chosen by its dev mean, never by test" in remarks(c)
    c = said([EARLY, TEXT, AUDIO], changes={AUDIO[0]: {"dev_mean": None}})
    assert "best single modality" not in verdict(c)


def test_the_dev_choice_of_another_system_is_remarked():
    c = said([EARLY, LATE], changes={LATE[0]: {"dev_mean": 0.9}})
    assert (
        "rows are ranked by test; to choose one system, go by dev: late fusion, whose test accuracy is .660"
        in remarks(c)
    )
    same = said([EARLY, LATE], changes={LATE[0]: {"dev_mean": 0.73}})
    assert not any("ranked by test" in remark for c in (same, said([EARLY, LATE])) for remark in remarks(c))


def test_a_modality_that_several_systems_use_goes_by_their_names():
    c = said([EARLY, ("LSTM text", TEXT[1], 0.6), ("SVM text", TEXT[1], 0.5)])
    assert "the best single modality on dev, LSTM text (+.130" in verdict(c).replace("accuracy ", "")


def test_lower_is_better():
    names = [
        ("early fusion", EARLY[1], 0.8),
        ("late fusion", LATE[1], 0.9),
        ("unimodal (text)", TEXT[1], 1.1),
    ]
    p = {(EARLY[0], LATE[0]): 0.2}
    changes = {TEXT[0]: {"above_floor": False, "floor": 1.05, "floor_name": "mean"}}
    text = verdict(said(names, p, lower=True, changes=changes, ceilings={"annotators": 0.7}))
    assert "better than the best single modality on dev, text (MAE -.300, p < .001)" in text
    assert "not shown to be better than late fusion (-.100, 95 % interval -.220 to +.020, p = .20)" in text
    assert "Lower is better." in text
    assert "Short of the best floor, train mean 1.050: unimodal (text) 1.100." in text
    assert "Early fusion, at .800, is .100 short of the human ceiling (annotators .700)." in text


def test_floors_and_collapse():
    changes = {
        LATE[0]: {"above_floor": False, "floor": 0.65},
        TEXT[0]: {"above_floor": False, "floor": 0.65},
        AUDIO[0]: {"above_floor": False, "floor": 0.65, "collapsed": True, "collapsed_seeds": 2},
    }
    text = verdict(said([EARLY, LATE, TEXT, AUDIO], changes=changes))
    floor = "the best floor, linear (all modalities) .650"
    assert f"Short of {floor}: unimodal (text) .580 and unimodal (audio) .400." in text
    assert f"Not shown to be better than {floor}: late fusion .660." in text
    assert "Unimodal (audio) collapsed in 2 of 5 seeds: it answers nearly always the same." in text
    assert "floor" not in verdict(said([EARLY, LATE]))
    assert "floor" not in verdict(
        said([EARLY, LATE], changes={LATE[0]: {"above_floor": None, "floor": None}})
    )


def test_ceilings():
    text = verdict(said([EARLY, LATE], ceilings={"voice": 0.455, "both": 0.748}))
    assert (
        "Early fusion, at .730, is .018 short of the highest human ceiling (both; people reach voice .455, both .748)."
        in text
    )
    text = verdict(said([EARLY, LATE], ceilings={"voice": 0.455}))
    assert "Early fusion, at .730, is .275 beyond the human ceiling (voice .455)." in text


def test_generated_data_are_said_first_and_last():
    text = verdict(said([EARLY, LATE], generated=True))
    assert text.startswith("On generated data: early fusion is better than late fusion (")
    assert text.endswith("Generated data test the code; nothing here is shown of people.")


def test_few_groups_one_seed_and_leakage():
    text = verdict(said([EARLY, LATE], groups=10, resample_by="speaker"))
    assert "Test has only 10 speakers, so intervals and p-values are rough." in text
    once = {name: {"n": 1} for name in (EARLY[0], LATE[0])}
    assert "Every system was trained once, so nothing is said of training again." in verdict(
        said([EARLY, LATE], changes=once)
    )
    some = verdict(said([EARLY, LATE, TEXT], changes=once))
    assert "Early fusion and late fusion were trained once, so nothing is said of training again." in some
    warned = [{"check": "learned_features/text", "severity": "warning", "message": "x"}] * 2
    fine = {"check": "speakers", "severity": "ok", "message": "y"}
    text = verdict(said([EARLY, LATE], leakage=[*warned, fine]))
    assert "The leakage audit warns of learned features (text): read that before quoting a score." in text
    checks = ("speakers", "dev_above_test/early fusion", "dev_above_test/linear", "learned_features/text")
    warned = [
        {"check": check, "severity": "warning", "message": "x"}
        for check in (*checks, "learned_features/video")
    ]
    text = verdict(said([EARLY, LATE], leakage=warned))
    assert "warns of speakers, dev above test (early fusion) and learned features (text, video):" in text


def test_nothing_could_be_tested():
    c = said([EARLY, LATE], groups=1)
    c["pairs"][0] |= {"p": None, "p_holm": None, "low": None, "high": None, "significant": False}
    assert verdict(c).startswith(
        "Early fusion reaches accuracy .730 (mean of 5 seeds, 95 % interval .700 to .760), the best mean; no difference"
    )


def test_one_system():
    assert verdict(said([EARLY])).startswith(
        "Early fusion reaches accuracy .730 (mean of 5 seeds, 95 % interval .700 to .760); there is no other system"
    )


def test_many_systems_stay_readable():
    names = [EARLY, LATE, TEXT, AUDIO, *((f"system {k}", ("face",), 0.3 - 0.02 * k) for k in range(4))]
    p = {("system 0", "system 1"): 0.5, ("system 2", "system 3"): 0.7, (EARLY[0], "system 3"): 0.01}
    text = verdict(said(names, p))
    assert "and 4 others (" not in text.split(".")[0]
    assert (
        "the best single modality on dev, text (+.150, p < .001) and 5 others (unimodal (audio), system 0"
        in text
    )
    assert "p = .010 at most)" in text
    assert (
        "Of the other 20 pairs 18 differ; not shown to differ: system 0 and system 1; system 2 and system 3."
        in text
    )
    assert len(text) < 900


def test_many_undecided_pairs_are_counted():
    names = [EARLY, *((f"system {k}", ("face",), 0.5 - 0.01 * k) for k in range(6))]
    p = dict.fromkeys(itertools.combinations([name for name, _, _ in names], 2), 0.5)
    text = verdict(said(names, p | {(EARLY[0], "system 5"): 0.001}))
    assert "No difference is shown between the two of any of the other 15 pairs." in text
    text = verdict(said(names, p | {(EARLY[0], "system 5"): 0.001, ("system 0", "system 5"): 0.001}))
    assert "Of the other 15 pairs 1 differs; not shown to differ: 14." in text


def test_remarks():
    c = said([EARLY, LATE, TEXT], {(EARLY[0], LATE[0]): 0.2})
    mcnemar = {**c["pairs"][0], "test": "mcnemar", "p_holm": 0.01, "significant": True}
    c["pairs"] = [*c["pairs"], mcnemar]
    c["pairs"][0]["remark"] = ONE_SEED
    for row, ended in zip(c["rows"], (2, 0, 5), strict=True):
        row["calibration"] = {"at_bound": ended}
    names = [f"{c['rows'][k]['name']} ({n} of 5 seeds)" for k, n in ((0, 2), (2, 5))]
    found = remarks(c)
    assert any("Holm-corrected over 3 pairs" in remark for remark in found)
    assert any(
        remark.startswith("McNemar finds these trained models to differ in accuracy: early")
        for remark in found
    )
    assert any(remark.startswith(ONE_SEED) for remark in found)
    (ended,) = [remark for remark in found if remark.startswith("the temperature ended at a bound")]
    assert ended.endswith(f"mean little: {names[0]} and {names[1]}")
    assert remarks(said([EARLY])) == []


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.00049, "p < .001"),
        (0.0031, "p = .003"),
        (0.049, "p = .049"),
        (0.612, "p = .61"),
        (0.999, "p = 1"),
        (1.0, "p = 1"),
    ],
)
def test_p_values(p, text):
    assert p_text(p) == text


def test_numbers_and_names():
    assert [plain(0.79), plain(1.234), plain(0.99996)] == [".790", "1.234", "1.000"]
    assert [signed(0.067), signed(-0.0671), signed(-0.0001), signed(1.5)] == [
        "+.067",
        "-.067",
        "+.000",
        "+1.500",
    ]
    assert [capital("early fusion"), capital("early_fusion_mosi is")] == [
        "Early fusion",
        "early_fusion_mosi is",
    ]
    assert [listed("a"), listed("ab"), listed("abc")] == ["a", "a and b", "a, b and c"]
