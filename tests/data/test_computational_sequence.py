import sys

import numpy as np
import pytest

from mer_jax.data.computational_sequence import ComputationalSequence
from mer_jax.errors import InputError
from tests.data.computational_sequences import evenly, write_csd

h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install 'mer-jax[hdf5]'")


def opened(tmp_path, videos, **kwargs):
    return ComputationalSequence(write_csd(tmp_path / "a.csd", "COVAREP", videos, **kwargs))


def test_a_video_in_order_of_time_and_only_the_rows_asked_for(tmp_path):
    rows = np.arange(8.0).reshape(4, 2)
    videos = {"v1": (rows, evenly(0, 4, 1)), "v2": (rows, evenly(0, 4, 1)[[2, 0, 3, 1]])}
    with opened(tmp_path, videos, names=["F0", "VUV"]) as sequence:
        assert (sequence.name, sequence.columns, sequence.dim) == ("COVAREP", ("F0", "VUV"), 2)
        assert sequence.videos == ("v1", "v2")
        assert "v1" in sequence
        assert "v" not in sequence
        track = sequence.track("v1")
        assert track.between(1.5, 3.0) == (1, 3)
        np.testing.assert_array_equal(track.rows(1, 3), rows[1:3])
        mixed = sequence.track("v2")
        np.testing.assert_array_equal(mixed.intervals, evenly(0, 4, 1))
        np.testing.assert_array_equal(mixed.rows(0, 4), rows[[1, 3, 0, 2]])


def test_between_reaches_long_frames_that_started_early(tmp_path):
    videos = {"v": (np.zeros((3, 1)), [[0, 9], [1, 2], [5, 6]])}
    with opened(tmp_path, videos) as sequence:
        track = sequence.track("v")
        assert track.between(5.5, 5.7) == (0, 3)
        assert track.between(9.5, 9.7) == (3, 3)


def test_the_pieces_of_an_aligned_file_are_one_video(tmp_path):
    pieces = {f"v[{k}]": (np.full((1, 2), k), [[k, k + 1]]) for k in (2, 10, 0)}
    with opened(tmp_path, pieces) as sequence:
        assert sequence.videos == ("v",)
        np.testing.assert_array_equal(sequence.track("v").rows(0, 3)[:, 0], [0, 2, 10])


@pytest.mark.parametrize("as_objects", [False, True])
def test_words_are_texts(tmp_path, as_objects):
    words = ["so", "schön", "sp"]
    values = np.array(words, h5py.string_dtype()) if as_objects else np.array([w.encode() for w in words])
    with opened(tmp_path, {"v": (values[:, None], evenly(0, 3, 1))}) as sequence:
        assert not sequence.numeric
        assert sequence.track("v").texts() == ("so", "schön", "sp")


@pytest.mark.parametrize("names", [None, ["one"], "Anger", [["a", "b"]]])
def test_names_that_do_not_name_every_column_are_none(tmp_path, names):
    with opened(tmp_path, {"v": (np.zeros((1, 2)), [[0, 1]])}, **{"dimension names": names}) as sequence:
        assert sequence.columns == ()


@pytest.mark.parametrize(
    ("features", "intervals", "said"),
    [
        (np.zeros((3, 2)), [[0, 1], [1, 2]], r"v2: features of shape \[3, 2\], intervals of \[2, 2\]"),
        (np.zeros((2, 5)), [[0, 1], [1, 2]], r"v2: features of shape \[2, 5\].*others have 2 features"),
        (np.zeros((2, 2)), [[0, 1, 2]] * 2, r"intervals of \[2, 3\]"),
        (np.zeros(2), [[0, 1]] * 2, r"v2: features of shape \[2\]"),
        (np.zeros((2, 2)), [[0, 1], [np.nan, 2]], r"v2: interval 1 is \[nan, 2.0\]"),
    ],
)
def test_arrays_that_do_not_fit_are_damage(tmp_path, features, intervals, said):
    videos = {"v1": (np.zeros((1, 2)), [[0, 1]]), "v2": (features, intervals)}
    with (
        opened(tmp_path, videos) as sequence,
        pytest.raises(InputError, match=rf"a\.csd cannot be read .*{said}"),
    ):
        sequence.track("v2")


def test_other_faults_are_named(tmp_path, monkeypatch):
    with opened(tmp_path, {"video1": (np.zeros((1, 2)), [[0, 1]])}) as sequence:
        with pytest.raises(InputError, match="has no video 'video2'; did you mean 'video1'"):
            sequence.track("video2")
        path = sequence.path
    whole = path.read_bytes()
    for content in (whole[:300], b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.csd cannot be read .* copy it again"):
            ComputationalSequence(path)
    with h5py.File(path, "w"):
        pass
    with pytest.raises(InputError, match="it holds nothing"):
        ComputationalSequence(path)
    with h5py.File(path, "w") as file:
        file.create_group("x")
    with pytest.raises(InputError, match=r"cannot be read .*data"):
        ComputationalSequence(path)
    with pytest.raises(InputError, match="it holds no video"):
        opened(tmp_path, {})
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(InputError, match=r"pip install 'mer-jax\[hdf5\]'"):
        ComputationalSequence(path)
