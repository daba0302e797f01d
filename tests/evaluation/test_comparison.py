import dataclasses
import json

import numpy as np
import pytest

from mer_jax.errors import InputError
from mer_jax.evaluation.comparison import Contender, compare
from mer_jax.evaluation.findings import Finding
from mer_jax.evaluation.scoring import score
from tests.evaluation.corpora import CLASSES, bound, corpus, floors_of, predicted

COST = {"parameters": 1000, "seconds": 2.5, "memory_mib": None, "seeds_at_once": 1}
BOTH, TEXT, AUDIO = ("audio", "text"), ("text",), ("audio",)
PAIR_KEYS = {"a", "b", "metric", "difference", "low", "high", "p", "p_holm", "test", "significant"}


@dataclasses.dataclass(frozen=True)
class Case:
    data: object
    protocol: object
    floors: dict

    def contender(self, name, modalities, strength, stream, seeds=(0, 1, 2), leakage=()) -> Contender:
        """A system that knows the truth to a degree; `stream` keeps its errors apart from others'."""
        told = tuple(predicted(self.data, self.protocol, strength, seed=100 * stream + s) for s in seeds)
        scores = tuple(score(self.protocol, p, self.floors, leakage, resamples=100) for p in told)
        runs = tuple(f"runs/{name}-seed{s}" for s in seeds)
        return Contender(name, f"{name}:x=1", modalities, tuple(seeds), told, scores, COST, runs)


def made(**options) -> Case:
    data = corpus(per_dialogue=6, **options)
    protocol = bound(data)
    return Case(data, protocol, floors_of(data, protocol))


@pytest.fixture(scope="module")
def case() -> Case:
    return made(dialogues=160)


@pytest.fixture(scope="module")
def planted(case) -> list[Contender]:
    """Early over late over text over audio, given in another order."""
    return [
        case.contender("unimodal (text)", TEXT, 1.9, 3),
        case.contender(
            "early fusion", BOTH, 4.0, 1, leakage=[Finding("speakers", "warning", "one is shared")]
        ),
        case.contender("unimodal (audio)", AUDIO, 0.9, 4),
        case.contender("late fusion", BOTH, 2.9, 2),
    ]


@pytest.fixture(scope="module")
def compared(case, planted) -> dict:
    return compare(case.protocol, planted)


@pytest.fixture(scope="module")
def regression() -> Case:
    return made(dialogues=160, intensities=True)


def test_the_planted_order_is_found(compared):
    names = ["early fusion", "late fusion", "unimodal (text)", "unimodal (audio)"]
    assert [row["name"] for row in compared["rows"]] == names
    bootstrap = [p for p in compared["pairs"] if p["test"] == "bootstrap"]
    order = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    assert [(p["a"], p["b"]) for p in bootstrap] == order
    assert all(p["significant"] and p["low"] > 0 and p["p"] <= p["p_holm"] < 0.05 for p in bootstrap)
    assert compared["cliques"] == []
    assert compared["verdict"].startswith(
        "On generated data: early fusion is better than late fusion (accuracy +."
    )
    assert "the best single modality on dev, text (+." in compared["verdict"]
    assert "Late fusion is better than text alone (+." in compared["verdict"]
    assert "warns of speakers" in compared["verdict"]


def test_the_contract_of_comparison_json(case, planted, compared):
    json.dumps(compared, allow_nan=False)
    assert compared["protocol"] == case.protocol.hash
    assert (compared["metric"], compared["task"], compared["resample_by"]) == (
        "accuracy",
        "classification",
        "dialogue",
    )
    assert (compared["groups"], compared["test_n"], compared["generated"]) == (40, 240, True)
    assert {frozenset(p) >= PAIR_KEYS for p in compared["pairs"]} == {True}
    assert [p["test"] for p in compared["pairs"]] == ["bootstrap"] * 6 + ["mcnemar"] * 6
    row, c = compared["rows"][0], planted[1]
    values = [m["test"]["accuracy"] for m in c.metrics]
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["sd"] == pytest.approx(np.std(values, ddof=1))
    assert row["dev_mean"] == pytest.approx(np.mean([m["dev"]["accuracy"] for m in c.metrics]))
    assert row["low"] < row["mean"] < row["high"]
    assert (row["n"], row["seeds"], row["runs"]) == (
        3,
        [0, 1, 2],
        [f"runs/early fusion-seed{s}" for s in range(3)],
    )
    assert row["cost"] == COST
    assert row["metrics"]["macro_f1"]["mean"] == pytest.approx(
        np.mean([m["test"]["macro_f1"] for m in c.metrics])
    )
    assert row["dev_metrics"]["log_loss"]["sd"] == pytest.approx(
        np.std([m["dev"]["log_loss"] for m in c.metrics], ddof=1)
    )
    assert set(row["per_class"]) == set(CLASSES)
    joy = [m["test"]["per_class"]["joy"] for m in c.metrics]
    assert row["per_class"]["joy"]["support"] == joy[0]["support"]
    assert row["per_class"]["joy"]["f1"]["mean"] == pytest.approx(np.mean([one["f1"] for one in joy]))
    assert row["confusion"] == np.sum([m["test"]["confusion"] for m in c.metrics], axis=0).tolist()
    assert row["calibration"]["ece"]["mean"] == pytest.approx(np.mean([m["test"]["ece"] for m in c.metrics]))
    assert row["calibration"]["log_loss_scaled"]["mean"] < row["calibration"]["log_loss"]["mean"]


def test_floors(case, planted, compared):
    rows = {row["name"]: row for row in compared["rows"]}
    floors = case.floors
    scores = planted[0].metrics[0]["floors"]
    best = max(scores, key=lambda name: scores[name]["accuracy"])
    assert rows["early fusion"]["floor_name"] == best
    assert rows["early fusion"]["floor"] == scores[best]["accuracy"]
    assert rows["early fusion"]["majority"] == scores["majority"]["accuracy"]
    assert rows["early fusion"]["above_floor"] is True
    assert rows["unimodal (audio)"]["above_floor"] is False
    assert set(compared["floors"]) == set(floors)
    assert compared["floors"]["linear"]["macro_f1"] == scores["linear"]["macro_f1"]


def test_a_floor_that_depends_on_the_inputs_is_named_with_them(case, planted):
    text = planted[0]
    metrics = []
    for one in text.metrics:
        linear = {**one["floors"]["linear"], "accuracy": 0.25}
        metrics.append({**one, "floors": {**one["floors"], "linear": linear}})
    other = dataclasses.replace(text, metrics=tuple(metrics))
    floors = compare(case.protocol, [other, planted[1]])["floors"]
    assert floors["linear (text)"]["accuracy"] == 0.25
    assert floors["linear (audio, text)"]["accuracy"] != 0.25
    assert {"majority", "tfidf"} <= set(floors)
    assert "linear" not in floors
    alike = dataclasses.replace(other, modalities=BOTH)
    floors = compare(case.protocol, [alike, planted[1]])["floors"]
    assert {"linear (unimodal (text))", "linear (early fusion)"} <= set(floors)


def test_above_the_floor_follows_the_seeds_own_tests_or_else_the_interval(case, planted):
    c = planted[1]
    best = compare(case.protocol, [c])["rows"][0]["floor_name"]

    def with_above(*answers: bool) -> Contender:
        metrics = []
        for one, above in zip(c.metrics, answers, strict=True):
            d = {**one["differences"][best], "above": above}
            metrics.append({**one, "differences": {**one["differences"], best: d}})
        return dataclasses.replace(c, metrics=tuple(metrics))

    above = [
        compare(case.protocol, [with_above(*answers)])["rows"][0]["above_floor"]
        for answers in ((True, True, False), (True, False, False))
    ]
    assert above == [True, False]
    row = compare(case.protocol, [c], metric="log_loss")["rows"][0]
    assert row["above_floor"] is (row["high"] < row["floor"])


def test_leakage_findings_are_united(compared):
    checks = [finding["check"] for finding in compared["leakage"]]
    assert checks[0] == "speakers"
    assert checks.count("speakers") == 1
    assert checks.count("dev_above_test/majority") == 1
    assert "dev_above_test/early fusion" in checks
    assert "dev_above_test/model" not in checks


def test_no_difference_is_not_claimed(case):
    same = [
        case.contender(name, BOTH, 2.0, stream) for stream, name in ((11, "one"), (12, "two"), (13, "three"))
    ]
    found = compare(case.protocol, same)
    assert not any(p["significant"] for p in found["pairs"] if p["test"] == "bootstrap")
    assert found["cliques"] == [[row["name"] for row in found["rows"]]]
    assert "no system is shown to be better than another: the largest difference is" in found["verdict"]


def test_a_system_against_its_own_copy(case, planted):
    twin = dataclasses.replace(planted[0], name="twin")
    found = compare(case.protocol, [planted[0], twin])
    assert [p["p"] for p in found["pairs"]] == [1, 1]
    assert [p["difference"] for p in found["pairs"]] == [0, 0]


def test_the_same_input_gives_the_same_bytes_in_any_order(case, planted, compared):
    assert json.dumps(compare(case.protocol, planted[::-1])["rows"]) == json.dumps(compared["rows"])
    assert compare(case.protocol, planted[::-1])["pairs"] == compared["pairs"]
    rng = np.random.default_rng(0)
    shuffled = [
        dataclasses.replace(c, predictions=tuple(p.where(rng.permutation(len(p))) for p in c.predictions))
        for c in planted
    ]
    again = compare(case.protocol, shuffled)
    assert again["pairs"] == compared["pairs"]
    assert again["verdict"] == compared["verdict"]


def test_train_and_dev_rows_can_not_change_a_test_result(case, planted, compared):
    """All but the temperature, which dev gives, and dev's own columns."""
    rng = np.random.default_rng(0)

    def spoiled(predictions):
        other = predictions.splits != "test"
        p = predictions.probabilities.copy()
        p[other] = rng.dirichlet(np.ones(3), other.sum())
        return dataclasses.replace(predictions, probabilities=p)

    changed = [dataclasses.replace(c, predictions=tuple(map(spoiled, c.predictions))) for c in planted]
    again = compare(case.protocol, changed)
    assert again["pairs"] == compared["pairs"]
    for row, before in zip(again["rows"], compared["rows"], strict=True):
        assert {k: v for k, v in row.items() if k != "calibration"} == {
            k: v for k, v in before.items() if k != "calibration"
        }
        assert row["calibration"]["ece"] == before["calibration"]["ece"]


def test_one_contender_is_a_table_without_pairs(case, planted):
    found = compare(case.protocol, planted[:1], ceilings={"both": 0.9})
    assert (found["pairs"], found["cliques"], found["ceilings"]) == ([], [], {"both": 0.9})
    assert "there is no other system to compare it with" in found["verdict"]


def test_one_seed_has_no_deviation_and_is_remarked(case):
    once = [case.contender("a", BOTH, 3.0, 1, seeds=(0,)), case.contender("b", TEXT, 0.5, 2, seeds=(7,))]
    found = compare(case.protocol, once)
    assert found["rows"][0]["sd"] is None
    assert found["pairs"][0]["remark"] == "one seed: says nothing of training again"
    assert "trained once" in found["verdict"]
    assert any(remark.startswith("one seed") for remark in found["remarks"])


@pytest.mark.parametrize("metric", ["mae", "pearson", "ccc"])
def test_regression(regression, metric):
    contenders = [
        regression.contender("text alone", TEXT, 2.4, 3),
        regression.contender("early", BOTH, 4.0, 1),
        regression.contender("late", BOTH, 3.4, 2),
    ]
    found = compare(regression.protocol, contenders, metric=metric)
    json.dumps(found, allow_nan=False)
    assert {p["test"] for p in found["pairs"]} == {"bootstrap"}
    assert all(p["difference"] >= 0 for p in found["pairs"])
    assert "calibration" not in found["rows"][0]
    assert set(found["rows"][0]["per_name"]) == set(CLASSES)
    if metric == "mae":
        assert [row["name"] for row in found["rows"]] == ["early", "late", "text alone"]
        assert found["rows"][0]["mean"] < found["rows"][1]["mean"]
        assert all(p["significant"] for p in found["pairs"])
        assert "early is better than late (MAE -." in found["verdict"]
        assert "Lower is better." in found["verdict"]


def test_an_undefined_score_is_null_and_last(regression):
    flat = regression.contender("flat", TEXT, 4.0, 5)
    constant = [
        dataclasses.replace(p, predicted_intensities=np.ones_like(p.predicted_intensities))
        for p in flat.predictions
    ]
    scores = [score(regression.protocol, p, regression.floors, resamples=50) for p in constant]
    flat = dataclasses.replace(flat, predictions=tuple(constant), metrics=tuple(scores))
    found = compare(
        regression.protocol, [flat, regression.contender("early", BOTH, 4.0, 1)], metric="pearson"
    )
    json.dumps(found, allow_nan=False)
    assert [(row["name"], row["mean"] is None) for row in found["rows"]] == [("early", False), ("flat", True)]
    assert (
        found["pairs"][0] | {"p": None, "p_holm": None, "difference": None, "low": None} == found["pairs"][0]
    )
    assert any("flat: pearson r is undefined" in remark for remark in found["remarks"])
    assert "Flat collapsed in 3 of 3 seeds" in found["verdict"]


def test_few_groups_are_said_and_one_group_gives_no_p(case):
    few = made(dialogues=40)
    found = compare(few.protocol, [few.contender("a", BOTH, 4.0, 1), few.contender("b", TEXT, 1.0, 2)])
    assert "Test has only 10 dialogues" in found["verdict"]
    alone = made(dialogues=7)
    found = compare(alone.protocol, [alone.contender("a", BOTH, 4.0, 1), alone.contender("b", TEXT, 1.0, 2)])
    json.dumps(found, allow_nan=False)
    assert found["groups"] == 1
    assert [(p["p"], p["p_holm"], p["significant"]) for p in found["pairs"]] == [(None, None, False)] * 2
    assert found["rows"][0]["low"] is None
    assert "All test rows belong to one dialogue" in found["verdict"]


def test_several_folds():
    data = corpus(dialogues=4, per_dialogue=15, split=False)
    protocol = bound(data, split="leave_one_speaker_out", resample_by="speaker")
    folds = Case(data, protocol, floors_of(data, protocol))
    found = compare(protocol, [folds.contender("a", BOTH, 4.0, 1), folds.contender("b", TEXT, 1.0, 2)])
    assert (found["groups"], found["test_n"]) == (4, 60)
    assert found["pairs"][0]["difference"] > 0.1
    assert found["rows"][0]["calibration"]["temperature"]["mean"] > 0


def test_what_can_not_be_compared_is_refused(case, planted):
    a, b = planted[:2]

    def refused(message, *contenders, **options):
        with pytest.raises(InputError, match=message):
            compare(case.protocol, contenders, **options)

    refused("no contender")
    refused(r"several contenders are called \['early fusion'\]", b, a, b)
    other = dataclasses.replace(a, metrics=tuple({**m, "protocol": "f" * 16} for m in a.metrics))
    refused("follows protocol ffffffffffffffff", other, b)
    fewer = dataclasses.replace(a, predictions=tuple(p.where(np.arange(len(p) - 1)) for p in a.predictions))
    refused("train both on the same corpus", b, fewer)
    wrong = dataclasses.replace(a, predictions=a.predictions[::-1])
    refused("are of different trainings", wrong, b)
    refused("one of each for every distinct seed", dataclasses.replace(a, seeds=(0, 0, 1)), b)
    refused("one of each for every distinct seed", dataclasses.replace(a, runs=()), b)
    refused("did you mean 'accuracy'", a, b, metric="acuracy")
    refused("can't be compared for a classification", a, b, metric="mae")
    no_test = tuple(p.where(p.splits != "test") for p in a.predictions)
    refused("hold no test rows", dataclasses.replace(a, predictions=no_test))
