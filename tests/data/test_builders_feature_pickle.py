import pickle

import numpy as np
import pytest

from mer_jax.data.builders.feature_pickle import PickleOptions
from mer_jax.data.corpus import prepare
from mer_jax.data.facet import FACET_42
from mer_jax.errors import InputError
from tests.data.corpora import read_corpus

PARTS = ("train", "valid", "test")


def mult(lengths=(5, 5, 5), video=35, **changed):
    """Two utterances a split, padded before as MulT's are: 3 and 5 steps of what is spoken."""
    rng = np.random.default_rng(0)
    content = {}
    for part in PARTS:
        sizes = {"text": (lengths[0], 3), "audio": (lengths[1], 2), "vision": (lengths[2], video)}
        fields = {name: rng.normal(size=(2, *size)) for name, size in sizes.items()}
        for name in sizes:
            fields[name][0, : sizes[name][0] - 3] = 0
        fields["labels"] = np.array([[[-1.0]], [[0.0]]])
        fields["id"] = np.array([[f"{part}v", "1.5", "3.25"], [f"{part}v", "3.25", "5"]], object)
        content[part] = {k: v for k, v in {**fields, **changed}.items() if v is not None}
    return content


def mmsa(lengths=(5, 8, 6), **changed):
    rng = np.random.default_rng(1)
    content = {}
    for part in PARTS:
        sizes = {"text": (lengths[0], 4), "audio": (lengths[1], 2), "vision": (lengths[2], 35)}
        fields = {name: rng.normal(size=(2, *size)).astype(np.float32) for name, size in sizes.items()}
        mask = np.arange(lengths[0]) < np.array([[4], [5]])
        fields["text_bert"] = np.stack([np.full(mask.shape, 101), mask, mask], axis=1).astype(np.float32)
        fields["audio_lengths"], fields["vision_lengths"] = [6, 8], [1, 6]
        fields["vision"][0] = 0
        fields["id"] = [f"{part}v$_$1", f"{part}v$_$12"]
        fields["raw_text"] = np.array(["GUT", "nicht schön"], object)
        fields["regression_labels"] = np.array([1.5, -2 / 3])
        fields["classification_labels"] = np.array([2.0, 0.0])
        fields["annotations"] = ["Positive", "Negative"]
        content[part] = {k: v for k, v in {**fields, **changed}.items() if v is not None}
    return content


def write(folder, content, name="data.pkl"):
    folder.mkdir(exist_ok=True)
    with open(folder / name, "wb") as file:
        pickle.dump(content, file)
    return folder


def shapes(utterance):
    return {name: values.shape for name, values in utterance.features.items()}


def test_an_aligned_file_of_mult_loses_its_padding_in_all_modalities_alike(tmp_path):
    content = mult()
    content["train"]["vision"][0, 2:4] = 0
    content["train"]["audio"][1] = 0
    corpus = prepare("mult", write(tmp_path / "mult", content), tmp_path / "out")
    first, second = corpus.utterances[:2]
    assert shapes(first) == {"text": (3, 3), "audio": (3, 2), "video": (3, 26)}
    np.testing.assert_allclose(first.features["audio"], content["train"]["audio"][0, 2:], rtol=1e-6)
    assert not first.features["video"][:2].any()
    np.testing.assert_allclose(
        first.features["video"][2, 1:], content["train"]["vision"][0, 4, 10:], rtol=1e-6
    )
    assert shapes(second) == {"text": (5, 3), "video": (5, 26)}
    assert (first.id, second.id, first.dialogue) == ("trainv[0]", "trainv[1]", "trainv")
    assert (first.start, first.end) == (1.5, 3.25)
    assert [u.label for u in (first, second)] == ["negative", ""]
    assert corpus.splits.tolist() == ["train"] * 2 + ["dev"] * 2 + ["test"] * 2
    assert corpus.spec.modality("video").columns == ("Baseline", *FACET_42[10:])
    assert any(note.startswith("WARNING: 9 of 35") for note in corpus.spec.notes)


def test_an_unaligned_file_of_mult_is_cut_by_modality(tmp_path):
    folder = write(tmp_path / "mult", mult(lengths=(5, 9, 7), video=20))
    corpus = read_corpus("mult", folder, tmp_path)
    assert shapes(corpus.utterances[0]) == {"text": (3, 3), "audio": (3, 2), "video": (3, 20)}
    assert shapes(corpus.utterances[1]) == {"text": (5, 3), "audio": (9, 2), "video": (7, 20)}
    assert any("emotion scores may be among them" in note for note in corpus.spec.notes)


def test_emotion_scores_are_kept_and_named_where_asked(tmp_path):
    folder = write(tmp_path / "mult", mult())
    corpus = read_corpus("mult", folder, tmp_path, PickleOptions(keep_emotion_scores=True))
    assert corpus.spec.modality("video").columns == FACET_42
    assert corpus.utterances[0].features["video"].shape == (3, 35)


def test_mosi_names_its_segments_in_bytes(tmp_path):
    ids = np.array([[b"GW[7]", b"0.1", b"x"], [b"GW[8]", b"1", b"2"]])
    corpus = read_corpus("mult", write(tmp_path / "mult", mult(id=ids)), tmp_path)
    first, second = corpus.utterances[:2]
    assert (first.id, first.speaker, second.start, second.end) == ("GW[7]", "GW", 1.0, 2.0)
    assert np.isnan(first.end)


def test_iemocap_marks_four_emotions_and_has_no_ids(tmp_path):
    labels = np.array([[[0, 1], [1, 0], [1, 0], [1, 0]], [[1, 0], [0, 1], [1, 0], [0, 1]]])
    corpus = read_corpus("mult", write(tmp_path / "mult", mult(labels=labels, id=None)), tmp_path)
    assert corpus.spec.intensities == ("neutral", "happy", "sad", "anger")
    assert corpus.spec.classes == ()
    np.testing.assert_array_equal(corpus.utterances[1].intensities, [0, 1, 0, 1])
    assert corpus.column("id").tolist()[:3] == ["train[0]", "train[1]", "dev[0]"]


def test_mosei_has_seven_labels(tmp_path):
    labels = np.arange(14.0).reshape(2, 1, 7)
    corpus = read_corpus("mult", write(tmp_path / "mult", mult(labels=labels)), tmp_path)
    assert corpus.spec.intensities[-1] == "sentiment"
    np.testing.assert_array_equal(corpus.utterances[0].intensities, [1, 2, 3, 4, 5, 6, 0])


def test_an_unaligned_file_of_mmsa(tmp_path):
    content = mmsa()
    corpus = prepare("mmsa", write(tmp_path / "mmsa", content), tmp_path / "out")
    first, second = corpus.utterances[:2]
    assert shapes(first) == {"text": (4, 4), "audio": (6, 2)}
    assert shapes(second) == {"text": (5, 4), "audio": (8, 2), "video": (6, 26)}
    np.testing.assert_array_equal(first.features["audio"], content["train"]["audio"][0, :6])
    assert (first.id, first.dialogue, second.transcript) == ("trainv$_$1", "trainv", "nicht schön")
    assert [u.label for u in (first, second)] == ["positive", "negative"]
    np.testing.assert_allclose(second.intensities, [-2 / 3], rtol=1e-6)


def test_an_aligned_file_of_mmsa_goes_by_its_word_pieces(tmp_path):
    content = mmsa(lengths=(5, 5, 5))
    for part in content.values():
        for name in ("audio", "vision"):
            part[name][0, 4:] = 0
        part["vision"][1] = 0
    corpus = read_corpus("mmsa", write(tmp_path / "mmsa", content), tmp_path)
    first, second = corpus.utterances[:2]
    assert shapes(first) == {"text": (4, 4), "audio": (4, 2)}
    assert shapes(second) == {"text": (5, 4), "audio": (5, 2)}


def test_sims_labels_each_modality(tmp_path):
    own = {f"regression_labels_{m}": np.array([[0.2], [0.4]]) + k for k, m in enumerate("TAV")}
    corpus = read_corpus("mmsa", write(tmp_path / "mmsa", mmsa(raw_text=None, **own)), tmp_path)
    assert corpus.spec.intensities == ("sentiment", "sentiment_text", "sentiment_audio", "sentiment_video")
    np.testing.assert_allclose(corpus.utterances[1].intensities, [-2 / 3, 0.4, 1.4, 2.4], rtol=1e-6)
    assert corpus.utterances[0].transcript == ""


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "mult",
            [1],
            r"data\.pkl holds list; expected train, valid and test, as Multimodal-Transformer writes",
        ),
        ("mmsa", {"a": 1}, r"holds keys \['a'\]; expected train, valid and test, as MMSA writes"),
        ("mult", {"train": 3}, "train has no 'text'; known: none"),
        ("mult", mult(labels=None), "train has no 'labels'"),
        ("mult", mult(vision=None, video_=1), "train has no 'vision'"),
        (
            "mult",
            mult(labels=np.zeros((2, 5))),
            r"labels of shape \[2, 5\] and type float64; expected \[n, 1, 1\]",
        ),
        ("mult", mult(labels=np.zeros((3, 1, 1))), "train: 3 of labels, 2 of text"),
        (
            "mult",
            mult(audio=np.zeros((2, 5))),
            r"audio is \[2, 5\] of type float64, not \[n time dim\] numbers",
        ),
        ("mult", mult(audio=np.array([["a"] * 2] * 2, object)), "audio is .* of type object"),
        ("mult", mult(audio=[[1.0], [1.0, 2.0]]), "train: audio is no array"),
        ("mult", {**mult(), "test": mult(video=20)["test"]}, r"its splits have \[20, 35\] features of video"),
        ("mmsa", mmsa(id=["a$_$1", "a$_$1"]), r"id 'a\$_\$1' is there twice"),
        ("mmsa", mmsa(text_bert=np.zeros((2, 3, 9))), r"text_bert masks \[2, 9\], text is \[2, 5\]"),
        ("mmsa", mmsa(regression_labels=np.zeros((2, 3))[None]), "1 of regression_labels, 2 of text"),
    ],
)
def test_files_of_another_layout_say_what_is_wrong(tmp_path, name, content, said):
    with pytest.raises(InputError, match=said):
        read_corpus(name, write(tmp_path / name, content), tmp_path)


def test_the_file_must_be_told_where_there_are_several(tmp_path):
    folder = write(tmp_path / "mult", mult(), "a.pkl")
    write(folder, mult(id=None), "b.pkl")
    with pytest.raises(InputError, match=r"holds a\.pkl, b\.pkl; .* --options.file"):
        read_corpus("mult", folder, tmp_path)
    corpus = read_corpus("mult", folder, tmp_path, PickleOptions(file="b.pkl"))
    assert corpus.utterances[0].id == "train[0]"
    with pytest.raises(InputError, match=r"c\.pkl does not exist"):
        read_corpus("mult", folder, tmp_path, PickleOptions(file="c.pkl"))
