import csv

import numpy as np
import pytest

from mer_jax.data.builders.meld import plain, seconds
from mer_jax.data.corpus import prepare
from mer_jax.errors import InputError
from tests.data.corpora import read_corpus

HEADER = [
    "Sr No.",
    "Utterance",
    "Speaker",
    "Emotion",
    "Sentiment",
    "Dialogue_ID",
    "Utterance_ID",
    "Season",
    "Episode",
    "StartTime",
    "EndTime",
]
ROW = ["1", "Well, it\u2019s  \u201cfine\u201d", " The  Waiter", "joy", "positive", "12", "3", "8", "21",
       "00:16:16,059", "00:16:21,731"]  # fmt: skip


def write_raw(folder, row=ROW):
    folder.mkdir(exist_ok=True)
    for split in ("train", "dev", "test"):
        with open(folder / f"{split}_sent_emo.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([HEADER, row])


def test_a_row_becomes_an_utterance(tmp_path):
    write_raw(tmp_path / "meld")
    corpus = prepare("meld", tmp_path / "meld", tmp_path / "out")
    assert corpus.column("id").tolist() == [f"{s}/dia12_utt3" for s in ("train", "dev", "test")]
    first = corpus.utterances[0]
    assert (first.dialogue, first.speaker, first.label) == ("train/dia12", "The Waiter", "joy")
    assert first.transcript == 'Well, it\'s "fine"'
    assert (first.start, first.end) == pytest.approx((976.059, 981.731), abs=1e-4)
    np.testing.assert_array_equal(first.intensities, np.ones(1, np.float32))
    assert corpus.spec.modalities == ()


def test_typography_and_cp1252_leftovers_become_ascii():
    assert plain("you\u2019re \u2018it\u2019") == "you're 'it'"
    assert plain("you\x92re \x93it\x94") == 'you\'re "it"'
    assert plain("caf\u00e9 \u2014 now") == "caf\u00e9 \u2014 now"


def test_a_bad_time_names_the_row(tmp_path):
    write_raw(tmp_path / "meld", [*ROW[:-1], "later"])
    with pytest.raises(InputError, match=r"train_sent_emo\.csv, row 2: 'later' is not a time") as raised:
        prepare("meld", tmp_path / "meld", tmp_path / "out")
    assert "\n" not in str(raised.value)
    assert list((tmp_path / "out").iterdir()) == []
    assert seconds("1:02:03,5", "here") == pytest.approx(3723.005)


def test_an_unknown_sentiment_names_the_row(tmp_path):
    write_raw(tmp_path / "meld", [*ROW[:4], "mixed", *ROW[5:]])
    with pytest.raises(InputError, match=r"row 2: sentiment 'mixed' is none of negative, neutral, positive"):
        read_corpus("meld", tmp_path / "meld", tmp_path)


def test_real_meld_has_its_published_counts(data_dir, tmp_path):
    """9989/1109/2610 utterances, .958 of test by speakers of train: the data set's README."""
    corpus = read_corpus("meld", data_dir / "meld", tmp_path)
    assert [int((corpus.splits == s).sum()) for s in ("train", "dev", "test")] == [9989, 1109, 2610]
    speaker = corpus.column("speaker")
    seen = np.isin(speaker[corpus.splits == "test"], speaker[corpus.splits == "train"])
    assert seen.mean() == pytest.approx(0.958, abs=5e-4)
    assert len(set(corpus.column("id"))) == len(corpus)
    assert set(corpus.column("label")) == set(corpus.spec.classes)
    assert not any(set("\u2018\u2019\u201c\u201d") & set(u.transcript) for u in corpus.utterances)
