"""Face-analysis CSVs written by hand, in the layouts of the tools' versions."""

import numpy as np
import pytest

from mer_jax.errors import InputError
from mer_jax.features import face

AUS = face.OPENFACE["au_intensity"]
META = ("frame", "face_id", "timestamp", "confidence", "success")


def openface_rows(frames, columns=AUS, fps=30.0):
    """Rows of one face whose k-th column is frame + k / 100."""
    return [
        dict(zip(META, (i + 1, 0, round(i / fps, 3), 0.98, 1), strict=True))
        | {name: i + k / 100 for k, name in enumerate(columns)}
        for i in range(frames)
    ]


def write(path, rows, separator=",", names=None):
    names = list(rows[0]) if names is None else names
    lines = [separator.join(names), *(",".join(str(row[name]) for name in names) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def pyfeat_rows(frames, aus=("AU01", "AU02", "AU12", "AU43"), step=1):
    emotions = dict.fromkeys(face.EMOTION_SCORES, 0.1)
    return [
        {"frame": i, "FaceRectX": 5.0, "FaceScore": 0.99}
        | {"Pitch": 1.0, "Roll": 2.0, "Yaw": 3.0}
        | {name: i + k / 10 for k, name in enumerate(aus)}
        | emotions
        | {"input": "/videos/clip.mp4"}
        for i in range(0, frames * step, step)
    ]


def test_the_seventeen_intensities_of_openface(tmp_path):
    track = face.read_openface(write(tmp_path / "a.csv", openface_rows(4)))
    assert len(track.columns) == 17
    assert (track.columns[0], track.columns[-1]) == ("AU01_r", "AU45_r")
    assert track.values.dtype == np.float32
    np.testing.assert_allclose(track.values[2], 2 + np.arange(17) / 100, rtol=1e-6)
    np.testing.assert_allclose(track.times, [0, 0.033, 0.067, 0.1])
    np.testing.assert_array_equal(track.confidence, 0.98)
    assert track.valid.all()
    assert (track.other_faces, track.emotion_scores) == (0, ())


@pytest.mark.parametrize(
    ("group", "dim", "first", "last"),
    [
        ("au_presence", 18, "AU01_c", "AU45_c"),
        ("gaze", 6, "gaze_0_x", "gaze_1_z"),
        ("gaze_angle", 2, "gaze_angle_x", "gaze_angle_y"),
        ("pose", 6, "pose_Tx", "pose_Rz"),
        ("landmarks", 136, "x_0", "y_67"),
    ],
)
def test_groups_of_columns_in_a_fixed_order(tmp_path, group, dim, first, last):
    every = [name for names in face.OPENFACE.values() for name in names]
    rows = openface_rows(2, every)
    backwards = write(tmp_path / "a.csv", rows, names=list(rows[0])[::-1])
    track = face.read_openface(backwards, (group,))
    assert (len(track.columns), track.columns[0], track.columns[-1]) == (dim, first, last)
    np.testing.assert_allclose(track.values[1], [rows[1][name] for name in track.columns], rtol=1e-6)
    both = face.read_openface(backwards, ("pose", group))
    assert both.columns == face.OPENFACE["pose"] + face.OPENFACE[group]


def test_spaces_a_byte_order_mark_and_no_face_id_are_no_matter(tmp_path):
    """OpenFace 1 and 2.0: `frame, timestamp, confidence, success, gaze_0_x ...`."""
    rows = openface_rows(3)
    names = [name for name in rows[0] if name != "face_id"]
    spaced = write(tmp_path / "old.csv", rows, separator=", ", names=names)
    marked = tmp_path / "marked.csv"
    marked.write_bytes(b"\xef\xbb\xbf" + spaced.read_bytes().replace(b"\n", b"\r\n"))
    expected = face.read_openface(write(tmp_path / "new.csv", rows))
    for path in (spaced, marked):
        track = face.read_openface(path)
        np.testing.assert_array_equal(track.values, expected.values)
        assert track.columns == expected.columns


def test_frames_that_failed_are_nan(tmp_path):
    rows = openface_rows(5)
    rows[1]["success"] = 0
    rows[2]["confidence"] = 0.74
    rows[3]["AU12_r"] = "-nan(ind)"
    track = face.read_openface(write(tmp_path / "a.csv", rows))
    np.testing.assert_array_equal(track.valid, [True, False, False, False, True])
    np.testing.assert_array_equal(np.isnan(track.values).all(axis=1), ~track.valid)
    lenient = face.read_openface(tmp_path / "a.csv", min_confidence=0.7)
    np.testing.assert_array_equal(lenient.valid, [True, False, True, False, True])


def test_the_most_confident_face_of_a_frame_is_kept(tmp_path):
    rows = openface_rows(3)
    other = [
        {**row, "face_id": 1, "confidence": c, "AU01_r": 9.0}
        for row, c in zip(rows, (0.99, 0.8, 0.9), strict=True)
    ]
    other[2]["success"] = 0
    track = face.read_openface(write(tmp_path / "a.csv", [*other, *rows]))
    assert (len(track), track.other_faces) == (3, 3)
    np.testing.assert_array_equal(track.values[:, 0], np.float32([9, 1, 2]))
    np.testing.assert_array_equal(track.confidence, [0.99, 0.98, 0.98])


def test_a_rate_replaces_timestamps_that_count_milliseconds(tmp_path):
    path = write(tmp_path / "a.csv", openface_rows(4, fps=1000.0))
    np.testing.assert_allclose(face.read_openface(path).times, np.arange(4) / 1000)
    np.testing.assert_allclose(face.read_openface(path, rate=25.0).times, np.arange(4) / 25)
    still = [{**row, "timestamp": 0} for row in openface_rows(3)]
    with pytest.raises(InputError, match=r"b\.csv: the timestamps do not rise.*pass the video's rate"):
        face.read_openface(write(tmp_path / "b.csv", still))


def test_emotion_scores_of_pyfeat_are_never_features(tmp_path):
    track = face.read_pyfeat(write(tmp_path / "a.csv", pyfeat_rows(3)), ("au", "pose"), rate=30.0)
    assert track.columns == ("AU01", "AU02", "AU12", "AU43", "Pitch", "Roll", "Yaw")
    assert track.emotion_scores == face.EMOTION_SCORES
    np.testing.assert_allclose(track.values[2], [2, 2.1, 2.2, 2.3, 1, 2, 3], rtol=1e-6)


def test_pyfeat_numbers_its_units_with_or_without_zeros_and_may_skip_frames(tmp_path):
    rows = pyfeat_rows(3, aus=("AU10", "AU1", "AU2"), step=4)
    track = face.read_pyfeat(write(tmp_path / "a.csv", rows), rate=30.0)
    assert track.columns == ("AU01", "AU02", "AU10")
    np.testing.assert_allclose(track.times, [0, 4 / 30, 8 / 30])
    np.testing.assert_allclose(track.values[0], [0.1, 0.2, 0.0], rtol=1e-6)


def test_a_frame_of_pyfeat_without_a_face_is_empty_cells(tmp_path):
    rows = pyfeat_rows(3)
    rows[1] |= {name: "" for name in rows[1] if name not in ("frame", "input")}
    rows[2]["FaceScore"] = 0.4
    track = face.read_pyfeat(write(tmp_path / "a.csv", rows), rate=30.0)
    np.testing.assert_array_equal(track.valid, [True, False, False])


def track_of(valid):
    valid = np.array(valid, bool)
    times = np.arange(len(valid)) / 10
    values = np.where(valid[:, None], np.stack([times, 5 - 2 * times], axis=1), np.nan).astype(np.float32)
    return face.FaceTrack(times, values, ("a", "b"), valid.astype(float), valid)


def test_failed_frames_are_dropped_bridged_or_zero():
    track = track_of([0, 1, 0, 0, 1, 0, 0, 0, 1, 0])
    dropped = face.without_failed(track, "drop")
    np.testing.assert_allclose(dropped.times, [0.1, 0.4, 0.8])
    bridged = face.without_failed(track, "interpolate", longest_gap=2)
    np.testing.assert_allclose(bridged.times, [0.1, 0.2, 0.3, 0.4, 0.8])
    np.testing.assert_allclose(bridged.values[:, 1], 5 - 2 * bridged.times, rtol=1e-6)
    assert len(face.without_failed(track, "interpolate", longest_gap=3)) == 8
    zero = face.without_failed(track, "zero")
    np.testing.assert_array_equal(zero.values.any(axis=1), track.valid)
    for made in (dropped, bridged, zero):
        assert made.valid.all()
        assert np.isfinite(made.values).all()
        assert len(made.times) == len(made.values) == len(made.confidence) == len(made.valid)


@pytest.mark.parametrize("how", ["drop", "interpolate"])
def test_a_track_without_a_valid_frame_becomes_empty(how):
    made = face.without_failed(track_of([0, 0, 0]), how)
    assert (len(made), made.values.shape) == (0, (0, 2))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda text: text.replace("AU20_r", "AU19_r"),
            r"no column 'AU20_r'; run FeatureExtraction with -aus",
        ),
        (
            lambda text: text.replace("confidence", "conf"),
            r"no column 'confidence'; the file is of another tool",
        ),
        (lambda text: text[: len(text) // 2], r"line \d: \d+ fields where the header has 22; .*truncated"),
        (lambda text: text.splitlines()[0], "holds no frames"),
        (lambda text: "", "holds no frames"),
        (lambda text: text.replace("0.98", "high"), r"line 2, column 'confidence': 'high' is not a number"),
        (lambda text: text.replace("\n2,", "\n,"), r"line 3, column 'frame': it is empty"),
        (lambda text: text.replace("\n2,", '\n"2'), "cannot be read as a CSV file"),
    ],
)
def test_a_bad_file_is_named_with_line_and_column(tmp_path, spoil, message):
    path = write(tmp_path / "bad.csv", openface_rows(3))
    path.write_text(spoil(path.read_text()))
    with pytest.raises(InputError, match=rf"bad\.csv.*{message}"):
        face.read_openface(path)


def test_files_that_are_no_text_or_of_another_tool_are_named(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00binary")
    with pytest.raises(InputError, match=r"a\.csv cannot be read as a CSV file"):
        face.read_openface(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"none\.csv cannot be read"):
        face.read_openface(tmp_path / "none.csv")
    with pytest.raises(InputError, match=r"b\.csv: there is no action unit"):
        face.read_pyfeat(write(tmp_path / "b.csv", pyfeat_rows(1, aus=())), rate=30.0)
    with pytest.raises(InputError, match=r"c\.csv: there is no column 'AU01_r'"):
        face.read_openface(write(tmp_path / "c.csv", pyfeat_rows(1)))
