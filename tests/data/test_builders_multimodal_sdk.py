import numpy as np
import pytest

from mer_jax.data.builders.multimodal_sdk import Clock, SdkOptions
from mer_jax.data.corpus import prepare
from mer_jax.data.facet import FACET_42
from mer_jax.errors import InputError
from tests.data.computational_sequences import COVAREP, FACET, LABELS, VECTORS, WORDS, evenly, write_csd
from tests.data.corpora import read_corpus

pytest.importorskip("h5py", reason="h5py is not installed: pip install 'mer-jax[hdf5]'")

SPOKEN = [b"sp", b"I", b"like", b"it", b"sp", b"not", b"this"]
TIMES = [[0, 1], [1, 1.5], [1.5, 2], [2, 3], [3, 4], [4, 4.5], [4.5, 6]]
SEGMENTS = [[3.9, 6.0], [-0.4, 3.1], [8, 9], [2, 2]]  # not in order, before 0, without words, without length
LEVELS = [[-1.0, 0, 1, 2, 0, 0, 0], [2 / 3, 3, 0, 0, 0, 0, 1], [0.0] * 7, [1.0] * 7]


def arrays(videos=("v1",)):
    rng = np.random.default_rng(0)
    sound, face = evenly(0, 10, 100), evenly(0, 5, 30)  # no face after 5 s
    return {
        WORDS: ("words", {v: (np.array(SPOKEN)[:, None], TIMES) for v in videos}),
        VECTORS: (
            "glove_vectors",
            {v: (rng.normal(size=(5, 3)), np.array(TIMES)[[1, 2, 3, 5, 6]]) for v in videos},
        ),
        COVAREP: ("COVAREP", {v: (rng.normal(size=(len(sound), 4)), sound) for v in videos}),
        FACET: ("FACET 4.2", {v: (rng.normal(size=(len(face), 35)), face) for v in videos}),
        LABELS: ("All Labels", {v: (np.array(LEVELS), SEGMENTS) for v in videos}),
    }


def write(folder, files, names=None):
    for name, (root, videos) in files.items():
        write_csd(folder / name, root, videos, names=(names or {}).get(name))
    return folder


def mean_under(values, frames, start, end):
    under = [i for i, (a, b) in enumerate(frames) if min(b, end) - max(a, start) > 1e-4]
    return np.mean(values[under], axis=0) if under else np.zeros(values.shape[1])


def test_every_modality_is_brought_to_the_words_of_each_segment(tmp_path):
    files = arrays()
    corpus = prepare("mosei", write(tmp_path / "mosei", files), tmp_path / "out")
    assert corpus.column("id").tolist() == ["v1[0]", "v1[2]"]
    np.testing.assert_allclose(corpus.column("start"), [-0.4, 3.9], rtol=1e-6)
    first, second = corpus.utterances
    assert (first.words, first.transcript) == (("I", "like", "it"), "I like it")
    assert (second.words, second.label, first.label) == (("not", "this"), "negative", "positive")
    np.testing.assert_allclose(second.word_spans, [[0.1, 0.6], [0.6, 2.1]], atol=1e-6)
    assert corpus.spec.intensities[:2] == ("happiness", "sadness")
    np.testing.assert_allclose(first.intensities, [3, 0, 0, 0, 0, 1, 2 / 3], rtol=1e-6)
    np.testing.assert_allclose(second.intensities, [0, 1, 2, 0, 0, 0, -1])

    vectors = files[VECTORS][1]["v1"][0]
    np.testing.assert_allclose(first.features["text"], vectors[:3], rtol=1e-6)
    np.testing.assert_allclose(second.features["text"], vectors[3:], rtol=1e-6)
    for modality, name, columns in (("audio", COVAREP, slice(None)), ("video", FACET, [5, *range(10, 35)])):
        values, frames = files[name][1]["v1"]
        for utterance, spans in ((first, TIMES[1:4]), (second, TIMES[5:])):
            expected = [mean_under(values, frames, *span)[columns] for span in spans]
            np.testing.assert_allclose(utterance.features[modality], expected, rtol=1e-5, atol=1e-7)
    assert corpus.splits.tolist() == ["all", "all"]
    assert "all: segments without a timed word, left out: 2." in corpus.spec.notes


def test_a_word_across_a_boundary_belongs_where_its_middle_lies():
    clock = Clock(("a", "b", "c"), np.array([[0, 1.0], [0.5, 2.5], [2, 4.0]]))
    assert clock.within(-1.0, 1.5).words == ("a",)
    assert clock.within(1.5, 3.0).words == ("b",)
    np.testing.assert_array_equal(clock.within(1.5, 3.0).spans, [[0.5, 2.5]])
    assert clock.within(3.0, 9.0).words == ("c",)


def test_facet_scores_are_dropped_with_a_warning_unless_kept(tmp_path):
    folder = write(tmp_path / "mosei", arrays())
    spec = read_corpus("mosei", folder, tmp_path).spec
    assert spec.modality("video").columns == ("Baseline", *FACET_42[10:])
    (note,) = [note for note in spec.notes if note.startswith("WARNING: 9 of 35 video columns")]
    assert "by place" in note
    kept = read_corpus("mosei", folder, tmp_path, SdkOptions(keep_emotion_scores=True))
    assert kept.spec.modality("video").columns == FACET_42
    assert kept.utterances[0].features["video"].shape == (3, 35)
    write(folder, {FACET: arrays()[FACET]}, names={FACET: FACET_42})
    assert any("by name" in note for note in read_corpus("mosei", folder, tmp_path).spec.notes)


def test_a_modality_without_frames_under_the_words_is_missing(tmp_path):
    files = arrays(("v1", "v2"))
    del files[COVAREP][1]["v2"]
    files[FACET][1]["v2"] = (np.ones((60, 35)), evenly(0, 2, 30))
    corpus = read_corpus("mosei", write(tmp_path / "mosei", files), tmp_path)
    by_id = {u.id: u for u in corpus.utterances}
    assert not by_id["v2[0]"].has("audio")
    assert by_id["v2[0]"].has("video")
    np.testing.assert_array_equal(by_id["v2[0]"].features["video"][:, 0], [1, 1, 0])
    assert sorted(by_id["v2[2]"].features) == ["text"]


def test_bad_frames_are_read_as_zero_only_where_asked(tmp_path):
    files = arrays()
    values = files[COVAREP][1]["v1"][0]
    values[120, 1] = -np.inf
    folder = write(tmp_path / "mosei", files)
    assert np.isneginf(read_corpus("mosei", folder, tmp_path).utterances[0].features["audio"][0, 1])
    corpus = prepare("mosei", folder, tmp_path / "out", options=SdkOptions(nan="zero"))
    expected = np.where(np.isfinite(values), values, 0)[100:150, 1].mean()
    np.testing.assert_allclose(corpus.utterances[0].features["audio"][0, 1], expected, rtol=1e-5)
    assert "all: non-finite values of audio frames, read as 0 (--nan zero): 1." in corpus.spec.notes


def test_lists_of_videos_make_the_splits(tmp_path):
    videos = ("v1", "v2", "v3", "v4")
    folder = write(tmp_path / "mosei", arrays(videos))
    (folder / "train.txt").write_text("v2\nv1\nelsewhere\n")
    (folder / "test.txt").write_text("v4\n")
    corpus = read_corpus("mosei", folder, tmp_path)
    assert corpus.spec.splits == ("train", "test")
    assert list(zip(corpus.splits, corpus.column("dialogue"), strict=True))[::2] == [
        ("train", "v1"), ("train", "v2"), ("test", "v4"),
    ]  # fmt: skip
    assert "Labelled videos in no list of ids, left out: 1." in corpus.spec.notes
    (folder / "valid.txt").write_text("v3")
    assert read_corpus("mosei", folder, tmp_path).spec.splits == ("train", "dev", "test")
    (folder / "valid.txt").write_text("v4")
    with pytest.raises(InputError, match=r"test\.txt names 'v4', and so does valid\.txt"):
        read_corpus("mosei", folder, tmp_path)
    (folder / "valid.txt").write_text("v5")
    with pytest.raises(InputError, match=r"valid\.txt names none of the labelled videos"):
        read_corpus("mosei", folder, tmp_path)
    (folder / "test.txt").unlink()
    with pytest.raises(InputError, match=r"test\.txt names none of the labelled videos"):
        read_corpus("mosei", folder, tmp_path)


def test_vectors_alone_are_a_clock_without_words(tmp_path):
    files = arrays()
    del files[WORDS]
    corpus = read_corpus("mosei", write(tmp_path / "mosei", files), tmp_path)
    assert [len(u.features["audio"]) for u in corpus.utterances] == [3, 2]
    assert {u.words for u in corpus.utterances} == {()}
    assert all(u.word_spans.shape == (0, 2) for u in corpus.utterances)


def test_mosi_has_sentiment_alone(tmp_path):
    files = arrays()
    files[LABELS] = ("Opinion Segment Labels", {"v1": (np.array(LEVELS)[:, :1], SEGMENTS)})
    corpus = read_corpus("mosi_sdk", write(tmp_path / "mosi_sdk", files), tmp_path)
    assert corpus.spec.intensities == ("sentiment",)
    assert corpus.column("label").tolist() == ["positive", "negative"]


def test_labels_are_found_by_their_names(tmp_path):
    files = arrays()
    order = ["fear", "happy", "sentiment"]
    files[LABELS] = ("Emotion Labels", {"v1": (np.arange(12.0).reshape(4, 3), SEGMENTS)})
    corpus = read_corpus("mosei", write(tmp_path / "mosei", files, names={LABELS: order}), tmp_path)
    assert corpus.spec.intensities == ("happiness", "fear", "sentiment")
    np.testing.assert_array_equal(corpus.utterances[0].intensities, [4, 3, 5])


@pytest.mark.parametrize(
    ("drop", "add", "options", "said"),
    [
        ({COVAREP}, {"other.csd": ("COVAREP", COVAREP), "more.csd": ("OpenSMILE", COVAREP)}, {},
         r"two files of audio, more\.csd and other\.csd; name one with --options.audio"),
        ({LABELS}, {}, {}, r"no \.csd file of labels .* --options.labels"),
        ({WORDS, VECTORS}, {}, {}, r"no \.csd file of words or word vectors"),
        ({VECTORS, COVAREP, FACET}, {}, {}, r"no \.csd file of features"),
        (set(), {}, {"audio": "CMU_MOSEI_COVARP.csd"}, r"does not exist; did you mean 'CMU_MOSEI_COVAREP.csd'"),
        (set(), {}, {"audio": WORDS, "words": VECTORS}, r"holds texts, no features of audio"),
        ({LABELS}, {LABELS: ("All Labels", FACET)}, {}, r"has 35 columns .*expected sentiment alone or"),
        ({WORDS, VECTORS, COVAREP, FACET, LABELS}, {}, {}, r"has no \.csd files; pass --data-dir"),
    ],
)  # fmt: skip
def test_folders_that_cannot_be_read_say_why(tmp_path, drop, add, options, said):
    files = arrays()
    made = {name: (root, files[source][1]) for name, (root, source) in add.items()}
    (tmp_path / "mosei").mkdir()
    write(tmp_path / "mosei", {**{name: file for name, file in files.items() if name not in drop}, **made})
    with pytest.raises(InputError, match=said):
        read_corpus("mosei", tmp_path / "mosei", tmp_path, SdkOptions(**options))


def test_files_of_other_kinds_are_left_alone(tmp_path):
    files = arrays()
    files["CMU_MOSEI_TimestampedPhones.csd"] = ("phones", files[WORDS][1])
    files["heart.csd"] = ("rates", files[COVAREP][1])
    spec = read_corpus("mosei", write(tmp_path / "mosei", files), tmp_path).spec
    assert [note for note in spec.notes if "was not read" in note] == [
        "heart.csd was not read: its name tells no use for it."
    ]
