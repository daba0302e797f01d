import json

import numpy as np
import pytest
from scipy import stats
from sklearn.preprocessing import StandardScaler

from mer_jax.data.doctor import Finding, examine, require_sound
from mer_jax.data.doctor.frames import frame_statistics
from mer_jax.data.doctor.texts import same_words
from mer_jax.data.schema import Modality
from mer_jax.errors import InputError
from tests.data.corpora import corpus_of, read_corpus, utterance


def audio(values):
    return {"audio": np.asarray(values, np.float32)}


def noise(seed, time=50, dim=2):
    return np.random.default_rng(seed).normal(size=(time, dim)).astype(np.float32)


def sound(count=4, **fields):
    """Utterances with nothing wrong."""
    labels = ["yes", "no"]
    return [
        utterance(f"u{i}", features=audio(noise(i)), label=labels[i % 2], transcript=f"text {i}", **fields)
        for i in range(count)
    ]


def found(corpus, check):
    return [f for f in examine(corpus).findings if f.check == check]


def only(corpus, check):
    (finding,) = found(corpus, check)
    return finding


def test_a_sound_corpus_has_no_findings():
    examination = examine(corpus_of(sound()))
    assert examination.findings == ()
    assert require_sound(examination) is examination


def test_counts_lengths_and_extremes():
    rows = sound(3)
    rows[2] = utterance("u2", label="yes")
    corpus = corpus_of(rows, ["train", "train", "test"], modalities=(Modality("audio", 2, rate=25.0),))
    examination = examine(corpus)
    train, test = examination.splits
    assert (train.utterances, train.dialogues, train.speakers, train.transcripts) == (2, 2, 2, 2)
    assert (train.classes, test.classes) == ({"no": 1, "yes": 1}, {"no": 0, "yes": 1})
    (summary,) = examination.modalities
    assert summary.present == {"train": 2, "test": 0}
    assert summary.frames == (50.0,) * 5
    assert summary.seconds == (2.0,) * 5
    every = np.concatenate([u.features["audio"] for u in rows[:2]])
    assert (summary.low, summary.high) == (float(every.min()), float(every.max()))


def test_frame_statistics_agree_with_scikit_learn_and_scipy():
    rows = [utterance(f"u{i}", features=audio(1000 + 3 * noise(i, time=30 + i, dim=4))) for i in range(5)]
    every = np.concatenate([u.features["audio"] for u in rows])
    statistics = frame_statistics(rows, "audio", 4)
    scaler = StandardScaler().fit(every.astype(np.float64))
    np.testing.assert_allclose(statistics.mean, scaler.mean_, rtol=1e-12)
    np.testing.assert_allclose(statistics.sd, scaler.scale_, rtol=1e-9)
    np.testing.assert_allclose(statistics.quartile_range, stats.iqr(every.astype(np.float64), axis=0))
    assert statistics.frames == len(every)


def test_statistics_in_blocks_and_samples_are_those_of_the_whole(monkeypatch):
    rows = [utterance(f"u{i}", features=audio(noise(i, time=40, dim=3))) for i in range(20)]
    whole = frame_statistics(rows, "audio", 3)
    monkeypatch.setattr("mer_jax.data.doctor.frames.BLOCK_FRAMES", 90)
    monkeypatch.setattr("mer_jax.data.doctor.frames.SAMPLE_FRAMES", 200)
    blocks = frame_statistics(rows, "audio", 3)
    np.testing.assert_allclose(blocks.sd, whole.sd, rtol=1e-9)
    np.testing.assert_array_equal(blocks.low, whole.low)
    every = np.concatenate([u.features["audio"] for u in rows]).astype(np.float64)[::4]
    np.testing.assert_allclose(blocks.median, np.median(every, axis=0))


def test_non_finite_features_are_an_error_naming_the_first_utterance():
    rows = sound()
    rows[1].features["audio"][3] = [np.nan, np.inf]
    rows[3].features["audio"][0, 0] = np.nan
    corpus = corpus_of(rows)
    finding = only(corpus, "non-finite features")
    assert finding.severity == "error"
    assert "2 NaN and 1 infinite values in 2 utterances, the first 'u1'" in finding.message
    with pytest.raises(InputError, match=r"made: non-finite features: .*--nan zero$"):
        require_sound(examine(corpus))
    json.dumps(examine(corpus).to_json(), allow_nan=False)


def test_double_and_empty_ids_are_errors():
    rows = [*sound(2), *sound(1), utterance("", label="no"), utterance("x", label="no")]
    assert "1 id, 'u0'" in only(corpus_of(rows), "duplicate ids").message
    assert only(corpus_of(rows), "empty ids").severity == "error"
    with pytest.raises(InputError, match=r"\(1 more error\)"):
        require_sound(examine(corpus_of(rows)))


def test_labels_outside_the_classes_are_an_error():
    rows = [*sound(), utterance("x", label="perhaps"), utterance("y")]
    corpus = corpus_of(rows)
    assert "1 utterance with labels outside the classes ('perhaps'), the first 'x'" in (
        only(corpus, "unknown labels").message
    )
    assert only(corpus, "missing labels").message == "1 of 6 (16.7 %) utterances have no label."


def test_absent_and_rare_classes():
    rows = [utterance(f"u{i}", label="yes" if i else "no") for i in range(40)]
    corpus = corpus_of([*rows, utterance("t", label="no")], ["train"] * 40 + ["test"])
    assert only(corpus, "rare classes").message == "1 of 2 classes hold less than 5 % of train: no 1."
    assert only(corpus, "absent classes").message == "test has no yes."


def test_bad_times():
    times = {"late": (5.0, 5.0), "long": (0.0, 61.0), "early": (-0.5, 1.0), "fine": (0.0, 60.0)}
    rows = [utterance(name, start=start, end=end, label="no") for name, (start, end) in times.items()]
    corpus = corpus_of([*rows, utterance("unknown", start=np.nan, label="no")])
    messages = " ".join(f.message for f in found(corpus, "bad times"))
    assert "1 utterance, late 0.0 s" in messages
    assert "Longer than 60 s: 1 utterance, long 61.0 s" in messages
    assert "the earliest early at -0.50 s" in messages
    assert only(corpus, "unknown times").message == "1 of 5 (20.0 %) utterances lack a start or end time."


def test_constant_equal_and_zero_features():
    values = noise(0, dim=5)
    values[:, 1] = 2.0
    values[:, 3] = values[:, 2]
    values[:10] = 0
    values[:10, 1] = 2.0
    train, test = values.copy(), noise(1, dim=5)
    train[:, 4] = 7.0
    test[:, 1] = 2.0
    test[:, 3] = test[:, 2]
    rows = [
        utterance("a", features=audio(train), label="no"),
        utterance("b", features=audio(test), label="no"),
    ]
    modality = Modality("audio", 5, columns=("f0", "rms", "c1", "c2", "c3"))
    corpus = corpus_of(rows, ["train", "test"], modalities=(modality,))
    constant = [f.message for f in found(corpus, "constant features")]
    assert "1 of 5 features never vary (rms)" in constant[0]
    assert "constant in train but not elsewhere: 1 feature (c3)" in constant[1]
    assert only(corpus, "equal features").message == "audio: features equal in every frame: c1=c2."
    rows[0].features["audio"][:10] = 0
    assert "10 of 100 (10.0 %) frames are zero" in only(corpus, "zero frames").message


def test_outliers_and_scale():
    rows = sound()
    rows[0].features["audio"][0, 1] = -255
    outlier = only(corpus_of(rows), "outliers")
    assert "1 of 2 features reach beyond 50 robust standard deviations; the worst, feature 1, spans -255" in (
        outlier.message
    )
    scaled = [utterance(u.id, features=audio(u.features["audio"] * [1, 200]), label="no") for u in sound()]
    assert "audio is unscaled" in only(corpus_of(scaled), "unscaled features").message


def test_missing_modalities_by_split():
    rows = [*sound(3), utterance("x", label="no"), utterance("y", label="yes")]
    corpus = corpus_of(rows, ["train", "train", "dev", "train", "test"])
    train, test = sorted(found(corpus, "missing modality"), key=lambda f: f.severity)
    assert (train.severity, train.message) == ("note", "audio is missing in 1 of 3 (33.3 %) of train.")
    assert (test.severity, test.message) == ("warning", "audio is missing in all of test (1 utterance).")
    nowhere = only(corpus_of([utterance("x", label="no")]), "missing modality")
    assert nowhere.message == "audio is in no utterance."


def test_feature_sequences_shared_between_splits():
    rows = sound(3)
    rows.append(utterance("copy", features=rows[0].features, label="no"))
    corpus = corpus_of(rows, ["train", "train", "train", "test"])
    across = only(corpus, "duplicate features")
    assert across.severity == "warning"
    assert "1 feature sequence found more than once and in several splits, as u0, copy" in across.message
    within = only(corpus_of(rows), "duplicate features")
    assert within.severity == "note"


def test_texts_shared_between_splits_verbatim_and_nearly():
    texts = ["I do not like this film", "yeah", "So what?"]
    train = [utterance(f"a{i}", transcript=t, label="no") for i, t in enumerate(texts)]
    other = ["I do not like this film", "Yeah!", "new", "so  what"]
    test = [utterance(f"b{i}", transcript=t, label="no") for i, t in enumerate(other)]
    corpus = corpus_of(train + test, ["train"] * 3 + ["test"] * 4)
    message = only(corpus, "shared transcripts").message
    assert "1 of 4 (25.0 %) texts of test are verbatim in train, 3 of 4 (75.0 %) but for case" in message
    assert "1 verbatim ones have 5 words or more: 'I do not like this film'" in message
    assert same_words("It's\u00a0GREAT!") == same_words("it's great")


def test_repeated_and_missing_texts():
    rows = [utterance(f"u{i}", transcript="yes" if i < 3 else "", label="no") for i in range(4)]
    assert "3 of 3 (100.0 %) texts of train occur more than once" in (
        only(corpus_of(rows), "repeated transcripts").message
    )
    assert only(corpus_of(rows), "missing transcripts").severity == "note"


def test_speakers_and_dialogues_shared_with_train():
    rows = [utterance(f"u{i}", speaker=f"s{i // 2}", dialogue=f"d{i}", label="no") for i in range(4)]
    corpus = corpus_of(rows, ["train", "test", "dev", "test"])
    expected = "1 of 2 (50.0 %) utterances of test are of speakers also in train: 's0'."
    assert only(corpus, "shared speakers").message == expected
    assert found(corpus, "shared dialogues") == []


def test_votes_and_intensities():
    rows = [
        utterance(f"u{i}", label="no", votes=np.array(votes, np.float32), intensities=np.zeros(2, np.float32))
        for i, votes in enumerate([(1, 2), (0, 0), (-1, 2)])
    ]
    corpus = corpus_of(rows, votes=("no", "yes"), intensities=("joy", "fear"))
    assert only(corpus, "empty votes").message == "1 utterance without a single vote: u1."
    assert only(corpus, "bad votes").severity == "error"
    assert "3 vectors of 2 intensities take 1 distinct values, the commonest 3 times" in (
        only(corpus, "duplicate intensities").message
    )
    short = corpus_of(rows, votes=("no",), intensities=("joy", "fear"))
    assert len(found(short, "bad votes")) == 2


def test_errors_come_first():
    rows = [*sound(2), *sound(1), utterance("long", end=100.0, label="no")]
    severities = [f.severity for f in examine(corpus_of(rows)).findings]
    order = ["error", "warning", "note"]
    assert severities == sorted(severities, key=order.index)
    assert isinstance(examine(corpus_of(rows)).findings[0], Finding)


def texts_of(corpus, check):
    return " ".join(f.message for f in found(corpus, check))


def test_real_mosi_audio_is_unscaled(data_dir, tmp_path):
    """-12 to 376: the data set's README."""
    corpus = read_corpus("mosi", data_dir / "mosi", tmp_path)
    assert "audio is unscaled: values span -11.8 to 376" in texts_of(corpus, "unscaled features")
    assert "video: 32 of 100 features never vary" in texts_of(corpus, "constant features")
    require_sound(examine(corpus))


def test_real_meld_times_texts_and_speakers(data_dir, tmp_path):
    """304.9 s, a duration of 0, 12.6 % verbatim, 95.8 % by speakers of train: the README.

    331 of 2610 raw texts are verbatim in train; 3 more once quotes are ASCII and spaces single.
    """
    corpus = read_corpus("meld", data_dir / "meld", tmp_path)
    assert "304.9 s" in texts_of(corpus, "bad times")
    assert "1 utterance, test/dia155_utt3 0.0 s" in texts_of(corpus, "bad times")
    assert "334 of 2610 (12.8 %) texts of test are verbatim" in texts_of(corpus, "shared transcripts")
    assert "(95.8 %) utterances of test are of speakers also in train" in texts_of(corpus, "shared speakers")


def test_real_mosei_points_coincide(data_dir, tmp_path):
    corpus = read_corpus("mosei_labels", data_dir / "mosei", tmp_path)
    assert "22860 vectors of 7 intensities" in texts_of(corpus, "duplicate intensities")
    assert "16327 of 16327 (100.0 %) utterances of train have no" in texts_of(corpus, "missing transcripts")


def test_real_mmmo_outliers_and_missing_text(data_dir, tmp_path):
    """Audio holds +-255; train has no text: the data set's README."""
    pytest.importorskip("h5py", reason="h5py is not installed: pip install 'mer-jax[hdf5]'")
    corpus = read_corpus("mmmo", data_dir / "mmmo", tmp_path)
    assert "audio: 3 of 74 features reach beyond" in texts_of(corpus, "outliers")
    assert "spans -255 to" in texts_of(corpus, "outliers")
    assert "text is missing in all of train (220 utterances)" in texts_of(corpus, "missing modality")
