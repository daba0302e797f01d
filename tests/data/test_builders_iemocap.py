"""IEMOCAP in its distributed layout, written small: three sessions, noise as sound."""

import librosa
import numpy as np
import pytest
import soundfile

from mer_jax.data.builders.iemocap import IEMOCAP_3, IEMOCAP_4, IemocapOptions
from mer_jax.data.builders.iemocap_files import CLASSES, CODES, read_evaluations, read_transcripts
from mer_jax.data.builders.sound_features import SoundOptions, sound_features
from mer_jax.data.corpus import load, prepare
from mer_jax.data.doctor import examine, require_sound
from mer_jax.errors import InputError
from mer_jax.evaluation.protocol import Protocol, ProtocolConfig
from mer_jax.evaluation.votes import soft_labels
from tests.data.corpora import corpus_of, read_corpus, utterance

HEAD = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
IMPRO = (
    HEAD
    + """[6.2901 - 6.7901]\tSes01F_impro01_F000\tneu\t[2.5000, 2.5000, 2.5000]
C-E2:\tNeutral;\t()
C-E3:\tNeutral;\t()
C-E4:\tNeutral; Anger;\t()
C-F1:\tHappiness;\t(curious: happy; (really))
A-E3:\tval 3; act 2; dom  2;\t()
A-E4:\tval 2; act 3; dom  ;\t(mildly aggravated but staying polite, attitude)
A-F1:\tval 3; act 2; dom  1;\t()

[14.0000 - 14.3000]\tSes01F_impro01_F001\txxx\t[3.0000, 3.3333, 2.0000]
C-E2:\tFrustration;\t()
C-E3:\tOther;\t(confused)
C-E4:\tNeutral state;\t()

[10.0100 - 10.4100]\tSes01F_impro01_M000\texc\t[4.5000, 3.5000, 4.0000]
C-E2:\tExcited;\t()
C-E3:\tHappiness; Excited;\t()
C-M1:\tSadness;\t()
"""
)
SPOKEN = """Ses01F_impro01_F000 [006.2901-006.7901]: Excuse me.
M: [breathing]
Ses01F_impro01_M000 [010.0100-010.4100]: Do you have it: your form?
Ses01F_impro01_MXX0 [011.0000-011.4000]: Mm.
Ses01F_impro01_F001 [014.0000-014.3000]: [LAUGHTER]
"""
WDSEG = """\t SFrm  EFrm    SegAScr Word
\t    0     4     -76543 <s>
\t    5    19    -123456 EXCUSE(8)
\t   20    59    -345678 ME
 Total score:     -545677
"""


def write_sounds(session, dialogue, names, rng, seconds=0.5):
    folder = session / "sentences" / "wav" / dialogue
    folder.mkdir(parents=True)
    for name in names:
        sound = rng.uniform(-0.2, 0.2, round(16000 * seconds))
        soundfile.write(folder / f"{name}.wav", sound, 16000, subtype="PCM_16")


def write_texts(session, dialogue, evaluations, transcripts):
    for kind, text in (("EmoEvaluation", evaluations), ("transcriptions", transcripts)):
        (session / "dialog" / kind).mkdir(parents=True, exist_ok=True)
        (session / "dialog" / kind / f"{dialogue}.txt").write_text(text)


@pytest.fixture
def raw(tmp_path):
    """Session 1 with a dialogue of three turns, sessions 2 and 4 with two dialogues of two turns."""
    folder, rng = tmp_path / "iemocap", np.random.default_rng(0)
    first = folder / "Session1"
    write_texts(first, "Ses01F_impro01", IMPRO, SPOKEN)
    (first / "dialog" / "EmoEvaluation" / "._Ses01F_impro01.txt").write_bytes(b"\x00\x05\x16\x07")
    (first / "dialog" / "EmoEvaluation" / "Categorical").mkdir()
    write_sounds(
        first, "Ses01F_impro01", [f"Ses01F_impro01_{turn}" for turn in ("F000", "F001", "M000")], rng
    )
    aligned = first / "sentences" / "ForcedAlignment" / "Ses01F_impro01"
    aligned.mkdir(parents=True)
    (aligned / "Ses01F_impro01_F000.wdseg").write_text(WDSEG)
    for number in (2, 4):
        for dialogue in (f"Ses0{number}F_script01_1", f"Ses0{number}M_impro02"):
            session, turns = folder / f"Session{number}", (f"{dialogue}_F000", f"{dialogue}_M000")
            rows = zip(turns, ("ang", "sad"), strict=True)
            evaluations = HEAD + "".join(
                f"[{k}.0 - {k}.5]\t{t}\t{c}\t[1, 2, 3]\n" for k, (t, c) in enumerate(rows)
            )
            write_texts(session, dialogue, evaluations, "".join(f"{t} [0-1]: So.\n" for t in turns))
            write_sounds(session, dialogue, turns, rng)
    return folder


def test_everything_of_an_utterance_arrives(raw, tmp_path):
    prepare("iemocap", raw, tmp_path / "out", check=lambda corpus: require_sound(examine(corpus)))
    corpus = load("iemocap", tmp_path / "out")
    assert len(corpus) == 11
    assert set(corpus.splits) == {"all"}
    ids = [f"Ses01F_impro01_{turn}" for turn in ("F000", "M000", "F001")]
    assert corpus.column("id").tolist()[:3] == ids, "in the order of time"
    first, second, third = corpus.utterances[:3]
    assert (first.speaker, second.speaker, third.speaker) == ("Ses01F", "Ses01M", "Ses01F")
    assert first.dialogue == "Ses01F_impro01"
    assert (first.start, first.end) == pytest.approx((6.2901, 6.7901))
    assert [u.transcript for u in (first, second, third)] == [
        "Excuse me.", "Do you have it: your form?", "[LAUGHTER]"]  # fmt: skip
    assert [u.label for u in (first, second, third)] == ["neutral", "excited", ""]
    np.testing.assert_allclose(third.intensities, [3.0, 3.3333, 2.0])
    assert corpus.spec.intensities == ("valence", "activation", "dominance")
    assert "Not there: Session3, Session5." in corpus.spec.notes


def test_votes_are_those_of_evaluators_and_not_of_the_speaker(raw, tmp_path):
    corpus = read_corpus("iemocap", raw, tmp_path)
    first, second, third = (
        {name: int(n) for name, n in zip(CLASSES, u.votes, strict=True) if n} for u in corpus.utterances[:3]
    )
    assert first == {"neutral": 3, "anger": 1}
    assert second == {"excited": 2, "happiness": 1}
    assert third == {"frustration": 1, "other": 1, "neutral": 1}
    protocol = Protocol.bind(ProtocolConfig(split="random", label_map=IEMOCAP_4), corpus)
    np.testing.assert_allclose(soft_labels(corpus, protocol)[:2], [[0.25, 0, 0, 0.75], [0, 1, 0, 0]])


def test_words_are_those_of_the_alignment_up_to_the_end_of_the_sound(raw, tmp_path):
    first, second, _ = read_corpus("iemocap", raw, tmp_path).utterances[:3]
    assert first.words == ("excuse", "me")
    np.testing.assert_allclose(first.word_spans, [[0.05, 0.2], [0.2, 0.5]], atol=1e-6)
    assert second.words == ()
    assert second.word_spans.shape == (0, 2)


def test_options_choose_the_features(raw, tmp_path):
    corpus = read_corpus("iemocap", raw, tmp_path)
    assert [(m.name, m.dim, m.rate) for m in corpus.spec.modalities] == [
        ("log_mel", 64, 100.0), ("mfcc", 43, 100.0), ("waveform", 1, 16000.0)]  # fmt: skip
    assert {n: x.shape for n, x in corpus.utterances[0].features.items()} == {
        "log_mel": (47, 64), "mfcc": (47, 43), "waveform": (8000, 1)}  # fmt: skip
    few = read_corpus("iemocap", raw, tmp_path, IemocapOptions(waveform=False, n_mels=40, n_mfcc=13))
    assert {n: x.shape for n, x in few.utterances[0].features.items()} == {
        "log_mel": (47, 40),
        "mfcc": (47, 29),
    }


@pytest.mark.parametrize("samples", [700, 32000, 40001])
def test_features_are_librosas_of_the_true_length(samples):
    sound = np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32)
    ours = sound_features(sound, SoundOptions())
    bands = librosa.feature.melspectrogram(
        y=sound, sr=16000, n_fft=512, hop_length=160, n_mels=64, center=False
    )
    decibels = librosa.power_to_db(bands, amin=1e-10, top_db=None)
    np.testing.assert_allclose(ours["log_mel"], decibels.T, rtol=1e-4, atol=5e-3)
    cepstra = librosa.feature.mfcc(S=decibels, n_mfcc=20).T
    np.testing.assert_allclose(ours["mfcc"][:, :20], cepstra, rtol=1e-4, atol=5e-3)
    np.testing.assert_array_equal(ours["waveform"][:, 0], sound)


def test_sessions_are_left_out_one_by_one(raw, tmp_path):
    corpus = read_corpus("iemocap", raw, tmp_path)
    config = ProtocolConfig(split="leave_one_session_out", label_map=IEMOCAP_4)
    folds = Protocol.bind(config, corpus).folds(corpus)
    names = corpus.column("id")
    assert [fold.name for fold in folds] == ["session-Ses01F", "session-Ses02F", "session-Ses04F"]
    for fold, session, following in zip(folds, "124", "241", strict=True):
        assert {name[4] for name in names[fold.test]} == {session}
        assert {name[4] for name in names[fold.dev]} == {following}
    assert sum(len(fold.test) for fold in folds) == 10, "one has no class"


def test_the_usual_tasks_are_label_maps():
    rows = [utterance(f"u{k}", label=name, features={}) for k, name in enumerate(CLASSES)]
    corpus = corpus_of(rows, classes=CLASSES)
    four, three = (
        Protocol.bind(ProtocolConfig(label_map=entries), corpus) for entries in (IEMOCAP_4, IEMOCAP_3)
    )
    assert four.targets == ("anger", "happiness", "sadness", "neutral")
    assert three.targets == ("anger", "sadness", "neutral")
    kept = dict(zip(CLASSES, four.labels(corpus).tolist(), strict=True))
    assert kept["excited"] == kept["happiness"] == 1
    assert [name for name, target in kept.items() if target < 0] == list(CLASSES[5:])
    assert set(CODES.values()) == {*CLASSES, ""}


def test_a_missing_corpus_says_how_to_get_it(raw, tmp_path):
    with pytest.raises(
        InputError, match=r"Session1 does not exist; .* USC SAIL gives on request .*--data-dir"
    ):
        read_corpus("iemocap", tmp_path / "nowhere", tmp_path)
    (raw / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_M000.wav").unlink()
    with pytest.raises(InputError, match=r"Ses01F_impro01_M000\.wav does not exist; copy it from"):
        read_corpus("iemocap", raw, tmp_path)
    for path in (raw / "Session2/dialog/EmoEvaluation").iterdir():
        path.unlink()
    (raw / "Session1").rename(tmp_path / "away")
    with pytest.raises(InputError, match=r"EmoEvaluation holds no Ses\*\.txt; copy it again"):
        read_corpus("iemocap", raw, tmp_path)


def test_a_truncated_sound_or_alignment_is_named(raw, tmp_path):
    wav = raw / "Session1/sentences/wav/Ses01F_impro01/Ses01F_impro01_F000.wav"
    whole = wav.read_bytes()
    wav.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"F000\.wav has \d+ of \d+ bytes: truncated"):
        read_corpus("iemocap", raw, tmp_path)
    soundfile.write(wav, np.zeros(200), 16000)
    with pytest.raises(InputError, match=r"F000\.wav lasts 0\.01. s, less than a frame"):
        read_corpus("iemocap", raw, tmp_path)
    wav.write_bytes(whole)
    aligned = raw / "Session1/sentences/ForcedAlignment/Ses01F_impro01/Ses01F_impro01_F000.wdseg"
    aligned.write_text(WDSEG[:90])
    with pytest.raises(InputError, match=r"F000\.wdseg does not go from .*; copy it again"):
        read_corpus("iemocap", raw, tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("[6.2901 - 6.7901]", "[6.2901]", r"line 3: expected \[start - end\], utterance, class"),
        ("[6.2901 - ", "[6.29o1 - ", r"line 3: could not convert string to float: '6\.29o1'"),
        ("\tneu\t", "\tnue\t", r"line 3: class 'nue' is unknown; did you mean 'neu'"),
        (
            "C-E2:\tFrustration",
            "C-E2:\tFrustation",
            "an evaluator says 'frustation'; did you mean 'frustration'",
        ),
        (HEAD, "C-E1:\tAnger;\t()\n", "line 1: an evaluator speaks before an utterance"),
        ("Ses01F_impro01_M000", "Ses01F_impro02_M000", "holds Ses01F_impro02_M000, of another dialogue"),
        ("Ses01F_impro01_M000", "Ses01F_impro01_M001", r"impro01\.txt lacks Ses01F_impro01_M001; copy it"),
    ],
)
def test_a_damaged_evaluation_is_named(raw, tmp_path, old, new, said):
    path = raw / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    assert old in IMPRO
    path.write_text(IMPRO.replace(old, new))
    with pytest.raises(InputError, match=said) as caught:
        read_corpus("iemocap", raw, tmp_path)
    assert "Ses01F_impro01.txt" in str(caught.value)


def test_files_are_read_with_either_line_end(tmp_path):
    (tmp_path / "e.txt").write_bytes(IMPRO.replace("\n", "\r\n").encode())
    (tmp_path / "t.txt").write_bytes(SPOKEN.replace("\n", "\r\n").encode())
    assert [e.label for e in read_evaluations(tmp_path / "e.txt")] == ["neutral", "excited", ""]
    assert list(read_transcripts(tmp_path / "t.txt").values())[-1] == "[LAUGHTER]"
