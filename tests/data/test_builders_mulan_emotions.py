import numpy as np
import pytest

from mer_jax.data.corpus import load, prepare
from mer_jax.errors import InputError
from mer_jax.evaluation.protocol import Protocol, ProtocolConfig
from tests.data.corpora import read_corpus

LABELS = ("calm", "angry")


def write_raw(folder, **changed):
    """Twelve songs of three features."""
    rng = np.random.default_rng(0)
    arrays = {
        "X": rng.normal(size=(12, 3)).astype(np.float32),
        "Y": rng.integers(0, 2, (12, 2)).astype(np.uint8),
        "features": np.array(["tempo", "peak", "MFCC_0"]),
        "labels": np.array(LABELS),
    }
    folder.mkdir(exist_ok=True)
    np.savez(folder / "emotions.npz", **{k: v for k, v in {**arrays, **changed}.items() if v is not None})
    return arrays


def test_a_song_is_one_step_of_named_features_with_its_labels_as_intensities(tmp_path):
    arrays = write_raw(tmp_path / "mulan_emotions")
    prepare("mulan_emotions", tmp_path / "mulan_emotions", tmp_path / "out")
    corpus = load("mulan_emotions", tmp_path / "out")
    assert corpus.spec.intensities == LABELS
    assert corpus.spec.modality("audio").columns == ("tempo", "peak", "MFCC_0")
    np.testing.assert_array_equal(corpus.utterances[5].features["audio"], arrays["X"][5:6])
    np.testing.assert_array_equal(np.stack([u.intensities for u in corpus.utterances]), arrays["Y"])
    assert len(set(corpus.column("dialogue"))) == len(corpus)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"Y": np.full((12, 2), 2, np.uint8)}, "a label is neither 0 nor 1"),
        ({"Y": np.zeros((11, 2), np.uint8)}, "do not agree in shape"),
        ({"labels": None}, "there is no array 'labels'"),
    ],
)
def test_damage_is_named(tmp_path, changed, message):
    write_raw(tmp_path / "mulan_emotions", **changed)
    with pytest.raises(InputError, match=message):
        read_corpus("mulan_emotions", tmp_path / "mulan_emotions", tmp_path)


def test_real_songs_have_their_published_counts(data_dir, tmp_path):
    """593 songs, 72 features, positives per label: the data set's description at mulan.sourceforge.net."""
    corpus = read_corpus("mulan_emotions", data_dir / "mulan_emotions", tmp_path)
    table = np.stack([u.intensities for u in corpus.utterances])
    assert (len(corpus), corpus.spec.modality("audio").dim) == (593, 72)
    assert table.sum(axis=0).tolist() == [173, 166, 264, 148, 168, 189]
    assert len(np.unique(table, axis=0)) == 27
    config = ProtocolConfig(task="regression", split="cross_validation", fractions=(0.8, 0.1, 0.1))
    folds = Protocol.bind(config, corpus).folds(corpus)
    assert {len(fold.test) for fold in folds} == {59, 60}
