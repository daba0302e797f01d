import numpy as np
import pytest

from mer_jax.data.corpus import load, prepare
from mer_jax.errors import InputError
from tests.data.corpora import read_corpus

DIMS = {"text": 3, "audio": 2, "video": 4}


def write_raw(folder, **changed):
    """Two videos in train, one in test, at most three utterances each."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, lengths in (("train", [3, 1]), ("test", [2])):
        shape = (len(lengths), 3)
        for name, dim in DIMS.items():
            arrays[f"{split}_{name}"] = rng.normal(size=(*shape, dim)).astype(np.float32)
        sentiment = np.full(shape, np.nan, np.float32)
        for video, length in enumerate(lengths):
            sentiment[video, :length] = [-2.0, 0.0, 1.5][:length]
        arrays[f"{split}_len"] = np.array(lengths, np.int32)
        arrays[f"{split}_sentiment"] = sentiment
        arrays[f"{split}_label"] = (sentiment >= 0).astype(np.int8)
        arrays[f"{split}_vid"] = np.array([f"{split}-v{i}" for i in range(len(lengths))])
        arrays[f"{split}_transcript"] = np.full(shape, "IT WAS FUN")
    folder.mkdir(exist_ok=True)
    np.savez(folder / "mosi_trimodal.npz", **{**arrays, **changed})
    return arrays


def test_each_utterance_is_one_frame_and_a_video_is_a_dialogue_in_order(tmp_path):
    arrays = write_raw(tmp_path / "mosi")
    corpus = prepare("mosi", tmp_path / "mosi", tmp_path / "out")

    assert corpus.splits.tolist() == ["train"] * 4 + ["test"] * 2
    assert corpus.column("id").tolist()[:4] == ["train-v0[0]", "train-v0[1]", "train-v0[2]", "train-v1[0]"]
    assert corpus.column("dialogue").tolist() == corpus.column("speaker").tolist()
    assert corpus.column("label").tolist()[:3] == ["negative", "positive", "positive"]
    assert {m.name: m.dim for m in corpus.spec.modalities} == DIMS
    second = corpus.utterances[1]
    np.testing.assert_array_equal(second.features["audio"], arrays["train_audio"][0, 1][None])
    np.testing.assert_array_equal(second.intensities, np.zeros(1, np.float32))
    assert np.isnan(second.start)
    assert np.isnan(second.end)


def test_a_truncated_file_is_named_with_the_remedy(tmp_path):
    write_raw(tmp_path / "mosi")
    path = tmp_path / "mosi" / "mosi_trimodal.npz"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"mosi_trimodal\.npz cannot be read .* copy it again"):
        prepare("mosi", tmp_path / "mosi", tmp_path / "out")


def test_arrays_that_disagree_are_refused(tmp_path):
    write_raw(tmp_path / "mosi", train_len=np.array([3, 9], np.int32))
    with pytest.raises(InputError, match="train arrays do not agree"):
        prepare("mosi", tmp_path / "mosi", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_missing_array_is_named(tmp_path):
    write_raw(tmp_path / "mosi")
    path = tmp_path / "mosi" / "mosi_trimodal.npz"
    arrays = dict(np.load(path))
    np.savez(path, **{k: v for k, v in arrays.items() if k != "train_audio"})
    with pytest.raises(InputError, match=r"no array 'train_audio'; did you mean"):
        read_corpus("mosi", tmp_path / "mosi", tmp_path)


def test_a_missing_folder_says_what_to_pass(tmp_path):
    with pytest.raises(InputError, match="pass --data-dir"):
        read_corpus("mosi", tmp_path / "nowhere", tmp_path)


def test_real_mosi_has_its_published_counts(data_dir, tmp_path):
    """2199 utterances of 93 videos, majority .621 on test: the data set's README."""
    prepare("mosi", data_dir / "mosi", tmp_path)
    corpus = load("mosi", tmp_path, ("audio",))
    test = corpus.splits == "test"
    assert (len(corpus), int(test.sum()), len(set(corpus.column("dialogue")))) == (2199, 752, 93)
    assert np.mean(corpus.column("label")[test] == "positive") == pytest.approx(0.621, abs=5e-4)
    audio = np.concatenate([u.features["audio"] for u in corpus.utterances])
    assert audio.min() == pytest.approx(-11.8, abs=0.1)
    assert audio.max() == pytest.approx(376.0, abs=0.1)
