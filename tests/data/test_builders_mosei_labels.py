import csv

import numpy as np
import pytest

from mer_jax.data.corpus import prepare
from mer_jax.data.splits import make_folds
from mer_jax.errors import InputError
from tests.data.corpora import read_corpus

HEADER = [
    "id",
    "start",
    "end",
    "sentiment",
    "happy",
    "sad",
    "anger",
    "surprise",
    "disgust",
    "fear",
    "split",
    "text",
]


def write_raw(folder, rows):
    folder.mkdir(exist_ok=True)
    with open(folder / "mosei_labels.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([HEADER, *rows])


def row(video, start, split, text="", levels=(0.5, 0, 0, 0, 0, 0)):
    return [video, start, start + 2, -1.5, *levels, split, text]


def test_segments_are_in_time_order_and_unused_ones_left_out(tmp_path):
    rows = [row("v", 9.0, "train"), row("v", 1.0, "train"), row("u", 0.0, "unused")]
    rows += [row("w", 0.0, "valid", "Grüße, all"), row("x", 0.0, "test", "so")]
    write_raw(tmp_path / "mosei", rows)
    corpus = prepare("mosei_labels", tmp_path / "mosei", tmp_path / "out")
    assert corpus.column("id").tolist() == ["v[0]", "v[1]", "w[0]", "x[0]"]
    assert corpus.splits.tolist() == ["train", "train", "dev", "test"]
    assert corpus.column("start").tolist() == [1.0, 9.0, 0.0, 0.0]
    assert corpus.utterances[2].transcript == "Grüße, all"
    assert corpus.spec.intensities[-1] == "sentiment"
    np.testing.assert_array_equal(
        corpus.utterances[0].intensities, np.array([0.5, 0, 0, 0, 0, 0, -1.5], np.float32)
    )
    assert set(corpus.column("label")) == {""}


def test_an_unknown_split_is_damage(tmp_path):
    write_raw(tmp_path / "mosei", [row("v", 0.0, "trian")])
    with pytest.raises(InputError, match="row 2 has split 'trian'"):
        read_corpus("mosei_labels", tmp_path / "mosei", tmp_path)


def test_a_row_cut_short_is_damage(tmp_path):
    write_raw(tmp_path / "mosei", [row("v", 0.0, "train"), ["w", "1.0"]])
    with pytest.raises(InputError, match=r"row 3 does not have the 12 fields .* copy it again"):
        read_corpus("mosei_labels", tmp_path / "mosei", tmp_path)


def test_real_labels_have_their_published_counts(data_dir, tmp_path):
    """Train 16327, valid 1871, test 4662, transcripts for the latter two: the data set's README."""
    corpus = read_corpus("mosei_labels", data_dir / "mosei", tmp_path)
    assert [int((corpus.splits == s).sum()) for s in ("train", "dev", "test")] == [16327, 1871, 4662]
    written = np.array([bool(u.transcript) for u in corpus.utterances])
    np.testing.assert_array_equal(written, corpus.splits != "train")
    table = np.stack([u.intensities for u in corpus.utterances])
    assert table[:, :6].min() == 0
    assert table[:, :6].max() == 3
    assert len(np.unique(table[:, :6], axis=0)) < 0.1 * len(table)


def test_the_text_corpus_has_the_segments_with_a_transcript_and_no_split(tmp_path):
    rows = [row("v", 9.0, "train"), row("w", 5.0, "valid", "and  then"), row("w", 1.0, "valid", "so")]
    rows += [row("x", 0.0, "test", "yes"), row("x", 3.0, "test"), row("u", 0.0, "unused", "no")]
    write_raw(tmp_path / "mosei", rows)
    corpus = prepare("mosei_text", tmp_path / "mosei", tmp_path / "out")
    assert corpus.column("transcript").tolist() == ["so", "and then", "yes"]
    assert corpus.column("id").tolist() == ["w[0]", "w[1]", "x[0]"]
    assert set(corpus.splits) == {"all"}
    assert "official split is given up" in " ".join(corpus.spec.notes)


def test_a_text_corpus_without_texts_is_refused(tmp_path):
    write_raw(tmp_path / "mosei", [row("v", 9.0, "train")])
    with pytest.raises(InputError, match="no segment has a transcript"):
        read_corpus("mosei_text", tmp_path / "mosei", tmp_path)


def test_real_texts_are_divided_by_video(data_dir, tmp_path):
    """1871 + 4662 segments with transcripts: the data set's README. Nobody's video is on two sides."""
    corpus = read_corpus("mosei_text", data_dir / "mosei", tmp_path)
    assert len(corpus) == 1871 + 4662
    (fold,) = make_folds(corpus, "dialogue", rows=np.arange(len(corpus)))
    videos = corpus.column("dialogue")
    assert not set(videos[fold.train]) & set(videos[fold.test])
    assert not set(videos[fold.dev]) & set(videos[fold.test])
    emotions = np.stack([u.intensities for u in corpus.utterances])[:, :6]
    assert (emotions > 0).mean(axis=0) == pytest.approx([0.537, 0.252, 0.216, 0.099, 0.166, 0.086], abs=1e-3)
