"""EmoDB from a folder the tests write in its layout, and from the real one where it is."""

from collections import Counter

import numpy as np
import pytest
import soundfile

from mer_jax.data.builders.emodb import CLASSES, SENTENCES, EmodbOptions, read_recognised, read_words
from mer_jax.errors import InputError
from tests.data.corpora import read_corpus

SYLLABLES = ["der", "la", "pen", "liegt", "auf", "dem", "eis", "schrank"]


@pytest.fixture
def folder(tmp_path):
    """Two clips: one of 1.5 s padded to 2.0 s, one that fills them."""
    source = tmp_path / "emodb"
    (source / "audio").mkdir(parents=True)
    (source / "syllables").mkdir()
    rng = np.random.default_rng(0)
    for name, seconds in (("03a01Fa", 1.5), ("16a01Wb", 2.0)):
        sound = np.zeros(44100)
        sound[: round(22050 * seconds)] = rng.uniform(0.01, 0.2, round(22050 * seconds))
        soundfile.write(source / "audio" / f"{name}.flac", sound, 22050)
        lines = [f"{0.1 + 0.3 * i:.6f}\t{syllable}" for i, syllable in enumerate(SYLLABLES)]
        (source / "syllables" / f"{name}.silb").write_text("\n".join([*lines, "2.500000\t."]))
    table = "Nr.\tSatz\terkannt\tnatuerlich\n1\u00a0\t03a01Fa.wav\t90,00\u00a0\t75,00\n2\t16a01Wb.wav\t65,50\t1,00\n"
    (source / "perception_test.txt").write_text(table, encoding="utf-8")
    return source


def test_a_clip_is_read_without_its_padding(folder, tmp_path):
    corpus = read_corpus("emodb", folder, tmp_path)
    first, second = corpus.utterances
    assert (first.id, first.speaker, first.label) == ("03a01Fa", "03", "happiness")
    assert (second.id, second.speaker, second.label) == ("16a01Wb", "16", "anger")
    assert first.end == pytest.approx(1.5, abs=1e-3)
    assert first.features["waveform"].shape == (24000, 1)
    assert second.features["waveform"].shape == (32000, 1)
    for utterance, frames in ((first, 147), (second, 197)):
        assert utterance.features["log_mel"].shape == (frames, 64)
        assert utterance.features["mfcc"].shape == (frames, 43)
    assert float(second.truth["recognised"]) == pytest.approx(0.655)
    assert first.transcript == "Der Lappen liegt auf dem Eisschrank."


def test_options_choose_the_features(folder, tmp_path):
    corpus = read_corpus("emodb", folder, tmp_path, EmodbOptions(waveform=False, n_mels=40, n_mfcc=13))
    assert corpus.spec.modality_names == ("log_mel", "mfcc")
    assert corpus.utterances[0].features["mfcc"].shape[1] == len(corpus.spec.modality("mfcc").columns) == 29
    with pytest.raises(InputError, match="n_mfcc = 50; give 1 to n_mels = 40"):
        EmodbOptions(n_mels=40, n_mfcc=50)


def test_words_are_joined_from_syllables_and_cut_where_the_clip_ends(folder):
    words, spans = read_words(folder / "syllables" / "16a01Wb.silb", SENTENCES["a01"], 2.0)
    assert words == ("Der", "Lappen", "liegt", "auf", "dem", "Eisschrank")
    np.testing.assert_allclose(spans[:2], [[0.1, 0.4], [0.4, 1.0]], atol=1e-6)
    np.testing.assert_allclose(spans[-1], [1.9, 2.0], atol=1e-6)
    words, spans = read_words(folder / "syllables" / "16a01Wb.silb", SENTENCES["a01"], 1.2)
    assert words == ("Der", "Lappen", "liegt")
    assert spans.max() == np.float32(1.2)


def test_a_pause_belongs_to_no_word(tmp_path):
    path = tmp_path / "a.silb"
    path.write_bytes("0.1\tdie\n0.2\t(\n0.5 t\xfcr\n0.8\t.\n".encode("latin-1"))
    words, spans = read_words(path, "Die Tür.", 2.0)
    assert words == ("Die", "Tür")
    np.testing.assert_allclose(spans, [[0.1, 0.2], [0.5, 0.8]], atol=1e-6)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.1\tdie\n0.2\t.\n", "has 1 syllables, its sentence 2"),
        ("0.1\tdie\nx\ttür\n", "could not convert"),
        ("0.1 die da\n", "too many values"),
    ],
)
def test_a_damaged_syllable_file_is_named(tmp_path, text, said):
    (tmp_path / "a.silb").write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        read_words(tmp_path / "a.silb", "Die Tür.", 2.0)
    assert "a.silb" in str(caught.value)


def test_an_empty_syllable_file_gives_no_words(tmp_path):
    (tmp_path / "a.silb").write_text("\n")
    words, spans = read_words(tmp_path / "a.silb", "Die Tür.", 2.0)
    assert words == ()
    assert spans.shape == (0, 2)


def test_a_damaged_folder_says_what_is_wrong(folder, tmp_path):
    with pytest.raises(InputError, match="pass --data-dir"):
        read_corpus("emodb", tmp_path / "nowhere", tmp_path)
    clip = folder / "audio" / "03a01Fa.flac"
    whole = clip.read_bytes()
    clip.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"03a01Fa\.flac"):
        read_corpus("emodb", folder, tmp_path)
    soundfile.write(clip, np.zeros(44100), 22050)
    with pytest.raises(InputError, match=r"03a01Fa\.flac holds .* of sound"):
        read_corpus("emodb", folder, tmp_path)
    clip.rename(folder / "audio" / "03a01Xa.flac")
    with pytest.raises(InputError, match="is not named speaker, sentence, emotion, version"):
        read_corpus("emodb", folder, tmp_path)
    for path in (folder / "audio").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"holds no \.flac file"):
        read_corpus("emodb", folder, tmp_path)


def test_a_damaged_perception_table_is_named(folder, tmp_path):
    path = folder / "perception_test.txt"
    path.write_text("Nr.\tSatz\terkannt\tnatuerlich\n1\t03a01Fa.wav\tviel\t2\n")
    with pytest.raises(InputError, match="line 2"):
        read_recognised(path)
    path.write_text("Nr.\tSatz\terkannt\tnatuerlich\n1\t03a01Fa.wav\t90,0\t2,0\n")
    with pytest.raises(InputError, match=r"perception_test\.txt.* lacks 16a01Wb"):
        read_corpus("emodb", folder, tmp_path)


@pytest.fixture(scope="module")
def real(data_dir, tmp_path_factory):
    return read_corpus("emodb", data_dir / "emodb", tmp_path_factory.mktemp("emodb"))


def test_the_real_corpus_has_the_counts_of_its_documentation(real):
    """Counts as published with the corpus (Burkhardt et al. 2005) and in the data's README."""
    counts = {"anger": 127, "boredom": 81, "neutral": 79, "happiness": 71, "fear": 69, "sadness": 62}
    assert Counter(real.column("label").tolist()) == counts | {"disgust": 46}
    assert len(set(real.column("id"))) == len(real) == 535
    assert len(set(real.column("speaker"))) == 10
    assert len({u.id[2:5] for u in real.utterances}) == len(SENTENCES) == 10
    assert set(real.spec.classes) == set(CLASSES.values())
    assert 100 < sum(u.end < 1.9999 for u in real.utterances) <= 126
    assert max(len(u.features["log_mel"]) for u in real.utterances) <= 200


def test_the_real_syllable_times_are_where_syllables_begin(real):
    """Just before its first syllable a clip is quiet, just after it is loud: times are starts."""

    def level(u, start, end):
        piece = u.features["waveform"][max(0, int(16000 * start)) : int(16000 * end)]
        return 10 * np.log10(np.mean(piece**2) + 1e-10)

    rises = [
        level(u, u.word_spans[0, 0], u.word_spans[0, 0] + 0.06)
        - level(u, u.word_spans[0, 0] - 0.06, u.word_spans[0, 0])
        for u in real.utterances
        if u.words and u.word_spans[0, 0] > 0.06
    ]
    assert len(rises) > 100
    assert np.median(rises) > 15


def test_the_real_words_lie_within_the_clips(real):
    assert [u.id for u in real.utterances if not u.words] == ["13a01Wb"], "its syllable file is empty"
    for u in real.utterances:
        assert len(u.words) == len(u.word_spans)
        assert np.all(u.word_spans[:, 0] < u.word_spans[:, 1])
        assert np.all(u.word_spans[1:, 0] >= u.word_spans[:-1, 1])
        assert np.all(u.word_spans <= np.float32(u.end))
        assert all(np.isfinite(x).all() for x in u.features.values())
