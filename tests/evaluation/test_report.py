import json
import re
from html.parser import HTMLParser

import pytest

from mer_jax.errors import InputError
from mer_jax.evaluation.attention_record import STATES
from mer_jax.evaluation.figure_style import colours
from mer_jax.evaluation.leakage import audit
from mer_jax.evaluation.report import write_report
from mer_jax.evaluation.report_page import Section, filled
from mer_jax.evaluation.scoring import score
from tests.evaluation.corpora import bound, corpus, floors_of, predicted
from tests.evaluation.test_alignment import record


class Page(HTMLParser):
    """Ids, resource loads, table cells and whether every tag is closed."""

    VOID = frozenset({"meta", "link", "br", "img", "hr"})

    def __init__(self, text: str):
        super().__init__()
        self.open, self.ids, self.loads = [], [], []
        self.cells, self.cell = {}, None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.loads += [attributes[k] for k in ("src", "href", "data") if k in attributes]
        if "data-metric" in attributes:
            self.cell = (attributes["data-row"], attributes["data-metric"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.cell and self.open[-1] == "span":
            self.cells[self.cell], self.cell = data, None


def run_folder(path, *, intensities=False, **config):
    data = corpus(dialogues=30, intensities=intensities)
    protocol = bound(data, **config)
    rows = predicted(data, protocol)
    path.mkdir()
    rows.save(path / "predictions.npz")
    found = audit(data, protocol.folds(data), protocol)
    content = score(protocol, rows, floors_of(data, protocol), found, resamples=50)
    (path / "metrics.json").write_text(json.dumps(content))
    (path / "protocol.json").write_text(json.dumps(protocol.to_json() | {"hash": protocol.hash}))
    record = {
        "config": {"name": "</script><b>"},
        "versions": {"jax": "1"},
        "command": "python -m experiments.train x",
    }
    (path / "config.json").write_text(json.dumps(record))
    score_name = "dev_mae" if intensities else "dev_accuracy"
    lines = [
        {"fold": fold, "epoch": e, "train_loss": 1 / (e + 1), "dev_loss": 1.0, score_name: 0.5}
        for fold in ("a", "b")
        for e in range(3)
    ]
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path, content


@pytest.fixture(scope="module", params=[False, True], ids=["classification", "regression"])
def made(request, tmp_path_factory):
    folder, content = run_folder(tmp_path_factory.mktemp("report") / "run", intensities=request.param)
    text = write_report(folder).read_text()
    return folder, content, text, Page(text)


def test_the_page_parses_and_loads_nothing(made):
    _, _, text, page = made
    assert page.open == []
    assert page.loads == []
    own = re.sub(r"<script id='plotly-js'>.*?</script>", "", text, flags=re.DOTALL)
    assert "http:" not in own
    assert "https:" not in own
    assert "@import" not in own


def test_plotly_is_embedded_once_and_every_figure_has_its_place(made):
    _, content, text, page = made
    assert text.count("plotly.js v") == 1
    assert len(page.ids) == len(set(page.ids))
    drawn = re.findall(r"Plotly\.newPlot\('(figure-[\w-]+)'", text)
    assert drawn
    assert set(drawn) <= set(page.ids)
    names = {"figure-scores-figure", "figure-curves"}
    names |= (
        {"figure-truth-and-prediction"}
        if content["task"] == "regression"
        else {"figure-confusion", "figure-roc"}
    )
    assert names <= set(drawn)


def test_the_table_holds_the_numbers_of_metrics_json(made):
    _, content, _, page = made
    rows = {"model": content["test"], "dev": content["dev"]}
    rows |= {f"floor-{name}": scores for name, scores in content["floors"].items()}
    assert {row for row, _ in page.cells} == set(rows)
    for (row, metric), shown in page.cells.items():
        value = rows[row][metric]
        assert shown == ("\u2013" if value is None else f"{value:.3f}")


def test_generated_data_and_findings_are_plain_to_see(made):
    _, content, text, _ = made
    assert "<span class='badge generated'>GENERATED DATA</span>" in text
    assert "&lt;/script&gt;&lt;b&gt;" in text
    for finding in content["leakage"]:
        assert finding["check"] in text


def test_the_same_folder_gives_the_same_bytes(made):
    folder, _, text, _ = made
    assert write_report(folder).read_text() == text


def test_optional_files_may_be_missing(tmp_path):
    folder, _ = run_folder(tmp_path / "run")
    for name in ("config.json", "protocol.json", "metrics.jsonl"):
        (folder / name).unlink()
    text = write_report(folder).read_text()
    assert "figure-curves" not in text
    assert "records no command" in text


def test_an_unfinished_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="finished run folder"):
        write_report(tmp_path)
    (tmp_path / "metrics.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        write_report(tmp_path)


def test_a_collapsed_model_is_named(tmp_path):
    folder, content = run_folder(tmp_path / "run")
    content |= {"collapsed": True, "collapsed_reasons": ["one class"], "generated": False}
    (folder / "metrics.json").write_text(json.dumps(content))
    text = write_report(folder).read_text()
    assert "COLLAPSED" in text
    assert "The model has collapsed: one class." in text
    assert "GENERATED DATA" not in text


def test_colours_are_fixed_and_distinct():
    names = ["neutral", "joy", "anger", "sadness", "surprise", "fear", "disgust", "shrug", "wink"]
    assert len(set(colours(names).values())) == 9
    assert colours(["anger"])["anger"] == colours(names)["anger"]


def test_no_half_row_stays_empty():
    cards = [
        Section("a", "", wide=True),
        Section("b", ""),
        Section("c", ""),
        Section("d", ""),
        Section("e", "", wide=True),
    ]
    assert [s.wide for s in filled(cards)] == [True, False, False, True, True]


def test_what_people_say_stands_beside_the_model(tmp_path):
    folder, content = run_folder(tmp_path / "run")
    people = {"both": {"majority_vote": {"accuracy": 0.748, "balanced_accuracy": 0.7, "macro_f1": 0.69}}}
    votes = {"n": 1200, "soft_cross_entropy": 1.234, "votes_entropy": 0.9, "total_variation": 0.3}
    (folder / "metrics.json").write_text(
        json.dumps(content | {"people": people, "votes": votes | {"jensen_shannon": 0.4}})
    )
    text = write_report(folder).read_text()
    assert "People, majority vote" in text
    assert "0.748" in text
    assert "1.234" in text
    assert Page(text).open == []
    (folder / "metrics.json").write_text(json.dumps(content))
    assert "People, majority vote" not in write_report(folder).read_text()


def test_where_attention_lies_stands_beside_chance(tmp_path):
    folder, content = run_folder(tmp_path / "run")
    found, _, _ = record(4)
    found.save(folder / "attention.npz")
    assert "figure-attention" not in write_report(folder).read_text()
    (folder / "metrics.json").write_text(json.dumps(content | {"attention": found.summary()}))
    text = write_report(folder).read_text()
    assert "figure-attention" in text
    assert f"{found.summary()['mass_in_span']:.3f}" in text
    assert f"puts {found.summary()['uniform']['mass_within_one_word']:.0%} of its mass" in text
    assert "Untrained, the same seed" in text
    for state in (found.summary(), *(found.summary()[name] for name in STATES[1:])):
        assert f"{state['entropy']:.2f} nats and {state['width']:.2f} s" in text
        assert f"<span>{state['width']:.3f}</span>" in text
    assert "Beneath, over the same time: the RMS of the features of audio, as the model reads them." in text
    assert Page(text).open == []
    heard, _, _ = record(4, sound="waveform")
    heard.save(folder / "attention.npz")
    assert "Beneath, over the same time: the waveform, from its lowest" in write_report(folder).read_text()
