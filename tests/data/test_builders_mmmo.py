import sys

import numpy as np
import pytest

from mer_jax.data.corpus import prepare
from mer_jax.errors import InputError
from tests.data.corpora import read_corpus

h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install 'mer-jax[hdf5]'")


def write_raw(folder, **changed):
    """Two reviews per split; the first has two steps of padding before, the second one after."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for raw in ("train", "valid", "test"):
        arrays = {
            f"audio_{raw}": rng.normal(size=(2, 5, 3)),
            f"video_{raw}": rng.normal(size=(2, 5, 2)),
            f"text_{raw}_emb": rng.normal(size=(2, 5, 4)),
        }
        for values in arrays.values():
            values[0, :2] = 0
            values[1, 4:] = 0
        arrays[f"video_{raw}"][0, 2:4] = 0
        arrays[f"y_{raw}"] = np.array([1.5, 3.0])
        for name, values in {**arrays, **changed}.items():
            if name != "text_train_emb":
                with h5py.File(folder / f"{name}.h5", "w") as file:
                    file["d1"] = values


def test_padding_is_cut_for_all_modalities_alike_and_text_is_missing_in_train(tmp_path):
    write_raw(tmp_path / "mmmo")
    corpus = prepare("mmmo", tmp_path / "mmmo", tmp_path / "out")
    first, second = corpus.utterances[:2]
    assert {m: len(v) for m, v in first.features.items()} == {"audio": 3, "video": 3}
    assert {m: len(v) for m, v in second.features.items()} == {"audio": 4, "video": 4}
    assert not first.features["video"][:2].any()
    assert first.features["audio"].any(axis=1).all()
    assert [u.has("text") for u in corpus.utterances] == [False, False, True, True, True, True]
    assert corpus.column("label").tolist()[:2] == ["negative", ""]
    assert corpus.column("id").tolist()[2] == "dev[0]"


def test_a_truncated_file_is_named_with_the_remedy(tmp_path):
    write_raw(tmp_path / "mmmo")
    path = tmp_path / "mmmo" / "audio_valid.h5"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"audio_valid\.h5 cannot be read .* copy it again"):
        read_corpus("mmmo", tmp_path / "mmmo", tmp_path)


def test_files_of_different_lengths_are_damage(tmp_path):
    write_raw(tmp_path / "mmmo", y_train=np.ones(3))
    with pytest.raises(InputError, match="its reviews are not those of audio_train"):
        read_corpus("mmmo", tmp_path / "mmmo", tmp_path)


def test_without_h5py_the_extra_is_named(tmp_path, monkeypatch):
    write_raw(tmp_path / "mmmo")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"pip install 'mer-jax\[hdf5\]'"):
        read_corpus("mmmo", tmp_path / "mmmo", tmp_path)


def test_real_mmmo_has_its_published_shapes(data_dir, tmp_path):
    """220/40/80 clips of 20 steps, 74/36/300 features, y in 1..5: the data set's README."""
    corpus = read_corpus("mmmo", data_dir / "mmmo", tmp_path)
    assert [int((corpus.splits == s).sum()) for s in ("train", "dev", "test")] == [220, 40, 80]
    assert {m.name: m.dim for m in corpus.spec.modalities} == {"audio": 74, "video": 36, "text": 300}
    levels = np.concatenate([u.intensities for u in corpus.utterances])
    assert (levels.min(), levels.max()) == (1, 5)
    assert max(len(u.features["audio"]) for u in corpus.utterances) == 20
    assert max(np.abs(u.features["audio"]).max() for u in corpus.utterances) == 255
