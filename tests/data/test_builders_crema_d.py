"""CREMA-D in its distributed layout, written small: sines as sound, face CSVs by hand."""

import csv

import librosa
import numpy as np
import pytest
import soundfile

from mer_jax.data.builders.crema_d import CremaDOptions
from mer_jax.data.builders.crema_d_media import cepstra_and_slopes, votes_by_clip
from mer_jax.data.builders.crema_d_votes import CLASSES, LEVELS, VOTES
from mer_jax.data.corpus import load, prepare
from mer_jax.data.doctor import examine, require_sound
from mer_jax.errors import InputError
from mer_jax.evaluation.protocol import Protocol, ProtocolConfig
from mer_jax.evaluation.votes import soft_labels, vote_conditions
from tests.data.corpora import read_corpus
from tests.features.test_face import openface_rows, pyfeat_rows, write

CLIPS = ("1001_DFA_ANG_XX", "1001_IEO_SAD_HI", "1002_TSI_NEU_XX")
FAULTY = "1064_TIE_SAD_XX"
BOTH, VOICE = (8, 1, 0, 0, 1, 0), (2, 0, 0, 0, 6, 2)


def write_sound(folder, clip, seconds=1.3, rate=16000, pitch=220.0):
    folder.mkdir(parents=True, exist_ok=True)
    time = np.arange(round(seconds * rate)) / rate
    sound = 0.4 * np.sin(2 * np.pi * pitch * time) * (1 + np.sin(9 * time)) + 0.01 * np.cos(4000 * time)
    soundfile.write(folder / f"{clip}.wav", sound.astype(np.float32), rate, subtype="PCM_16")


def write_faces(folder, clip, rows):
    folder.mkdir(parents=True, exist_ok=True)
    write(folder / f"{clip}.csv", rows)


def write_votes(path, *rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        lines = [[f"{c}00001", *votes, clip, *[-1] * len(LEVELS)] for c, votes, clip in rows]
        csv.writer(file).writerows([["", *VOTES, "fileName", *LEVELS], *lines])


@pytest.fixture
def raw(tmp_path):
    """Three clips with sound and faces, a faulty one, votes of the first in two conditions."""
    folder = tmp_path / "crema_d"
    for k, clip in enumerate((*CLIPS, FAULTY)):
        write_sound(folder / "AudioWAV", clip, seconds=1.3 + 0.2 * k, pitch=200 + 30 * k)
        faces = [row | {"AU12_r": (k + row["frame"] * 7) % 5} for row in openface_rows(39 + 6 * k)]
        write_faces(folder / "OpenFace", clip, faces)
    write_votes(folder / "tabulatedVotes.csv", (1, VOICE, CLIPS[0]), (3, BOTH, CLIPS[0]), (3, BOTH, FAULTY))
    return folder


def notes(corpus):
    return "\n".join(corpus.spec.notes)


def test_a_prepared_corpus_holds_sound_action_units_and_votes(raw, tmp_path):
    prepare("crema_d", raw, tmp_path / "out", check=lambda corpus: require_sound(examine(corpus)))
    corpus = load("crema_d", tmp_path / "out")
    assert corpus.column("id").tolist() == list(CLIPS)
    assert corpus.column("speaker").tolist() == ["1001", "1001", "1002"]
    assert corpus.column("dialogue").tolist() == list(CLIPS)
    assert corpus.column("label").tolist() == ["anger", "sadness", "neutral"]
    assert corpus.utterances[2].transcript == "The surface is slick."
    np.testing.assert_allclose(corpus.column("end"), [1.3, 1.5, 1.7])
    assert set(corpus.splits) == {"all"}
    assert [(m.name, m.dim, m.rate) for m in corpus.spec.modalities] == [
        ("mfcc", 52, 100.0),
        ("action_units", 17, None),
    ]
    assert corpus.spec.modality("mfcc").columns[25:27] == ("mfcc_25", "slope_mfcc_0")
    assert corpus.spec.modality("action_units").columns[-1] == "AU45_r"
    frames = [1 + (round(16000 * s) - 512) // 160 for s in (1.3, 1.5, 1.7)]
    assert [len(u.features["mfcc"]) for u in corpus.utterances] == frames
    assert [len(u.features["action_units"]) for u in corpus.utterances] == [39, 45, 51]
    assert "1 clips known to be faulty were left out" in notes(corpus)


def test_votes_of_three_conditions_lie_side_by_side(raw, tmp_path):
    corpus = read_corpus("crema_d", raw, tmp_path)
    assert vote_conditions(corpus) == ("both", "voice", "face")
    assert corpus.spec.votes[:2] == ("both/anger", "both/disgust")
    np.testing.assert_array_equal(corpus.utterances[0].votes, [*BOTH, *VOICE, *[0] * 6])
    assert corpus.utterances[1].votes is None
    assert "2 clips have no votes." in notes(corpus)
    protocol = Protocol.bind(ProtocolConfig(split="speaker"), corpus)
    np.testing.assert_allclose(soft_labels(corpus, protocol)[0], np.array(BOTH) / 10)
    np.testing.assert_allclose(soft_labels(corpus, protocol, "voice")[0], np.array(VOICE) / 10)
    np.testing.assert_array_equal(soft_labels(corpus, protocol, "face")[0], np.eye(6)[0])


def test_cepstra_are_librosas_of_the_true_length():
    rng = np.random.default_rng(0)
    sound = (rng.standard_normal(21000) * np.linspace(0.01, 0.3, 21000)).astype(np.float32)
    bands = librosa.feature.melspectrogram(
        y=sound, sr=16000, n_fft=512, hop_length=160, n_mels=64, center=False
    )
    decibels = librosa.power_to_db(bands, amin=1e-10, top_db=None)
    cepstra = librosa.feature.mfcc(S=decibels, n_mfcc=26).T
    ours = cepstra_and_slopes(sound)
    assert ours.shape == (len(cepstra), 52)
    np.testing.assert_allclose(ours[:, :26], cepstra, rtol=1e-4, atol=5e-3)
    slopes = librosa.feature.delta(cepstra, width=9, axis=0, mode="nearest")
    np.testing.assert_allclose(ours[:, 26:], slopes, rtol=1e-3, atol=5e-3)


def test_votes_may_lie_in_processed_results_or_nowhere(raw, tmp_path):
    (raw / "processedResults").mkdir()
    (raw / "tabulatedVotes.csv").rename(raw / "processedResults" / "tabulatedVotes.csv")
    assert read_corpus("crema_d", raw, tmp_path).utterances[0].votes[0] == BOTH[0]
    (raw / "processedResults" / "tabulatedVotes.csv").unlink()
    corpus = read_corpus("crema_d", raw, tmp_path)
    assert corpus.spec.votes == ()
    assert all(u.votes is None for u in corpus.utterances)
    assert "no votes" in notes(corpus)


def test_the_media_may_lie_in_the_data_folder_itself(raw, tmp_path):
    corpus = read_corpus("crema_d", raw / "crema_d", tmp_path)
    assert len(corpus) == 3


def test_a_clip_without_sound_or_without_faces_lacks_that_modality(raw, tmp_path):
    (raw / "AudioWAV" / f"{CLIPS[0]}.wav").unlink()
    (raw / "OpenFace" / f"{CLIPS[1]}.csv").unlink()
    corpus = read_corpus("crema_d", raw, tmp_path)
    assert [sorted(u.features) for u in corpus.utterances] == [
        ["action_units"],
        ["mfcc"],
        ["action_units", "mfcc"],
    ]
    assert corpus.utterances[0].end == pytest.approx(39 / 29.97)
    assert "mfcc is missing in 1 clips" in notes(corpus)
    assert "action_units is missing in 1 clips" in notes(corpus)
    assert require_sound(examine(corpus))


def test_failed_frames_are_handled_as_the_option_says(raw, tmp_path):
    rows = openface_rows(20)
    for failed in (4, 5, *range(10, 17)):
        rows[failed]["success"] = 0
    write_faces(raw / "OpenFace", CLIPS[0], rows)
    none = [row | {"success": 0} for row in openface_rows(9)]
    write_faces(raw / "OpenFace", CLIPS[1], none)

    def made(**options):
        return read_corpus("crema_d", raw, tmp_path, CremaDOptions(**options))

    corpus = made()
    assert len(corpus.utterances[0].features["action_units"]) == 13
    np.testing.assert_allclose(corpus.utterances[0].features["action_units"][:8, 0], np.arange(8), atol=1e-5)
    assert not corpus.utterances[1].has("action_units")
    assert "failed in 18 of 80 frames" in notes(corpus)
    assert "(16 taken out)" in notes(corpus)
    assert len(made(failed="drop").utterances[0].features["action_units"]) == 11
    assert len(made(longest_gap=7).utterances[0].features["action_units"]) == 20
    zero = made(failed="zero")
    assert zero.spec.modality("action_units").rate == 29.97
    frames = zero.utterances[0].features["action_units"]
    assert (len(frames), int((~frames.any(axis=1)).sum())) == (20, 9)
    assert len(zero.utterances[1].features["action_units"]) == 9


def test_pyfeats_action_units_without_its_emotion_scores(raw, tmp_path):
    for clip in CLIPS:
        write_faces(raw / "pyfeat", clip, pyfeat_rows(30))
    corpus = read_corpus("crema_d", raw, tmp_path, CremaDOptions(face_tool="pyfeat"))
    assert corpus.spec.modality("action_units").columns == ("AU01", "AU02", "AU12", "AU43")
    assert "emotion scores (anger, disgust" in notes(corpus)
    write_faces(raw / "pyfeat", CLIPS[2], pyfeat_rows(30, aus=("AU01", "AU02")))
    with pytest.raises(
        InputError, match=r"1002_TSI_NEU_XX\.csv has 2 action units where the first file has 4"
    ):
        read_corpus("crema_d", raw, tmp_path, CremaDOptions(face_tool="pyfeat"))


def test_sound_alone_is_a_corpus_that_says_how_to_get_the_faces(raw, tmp_path):
    corpus = read_corpus("crema_d", raw, tmp_path, CremaDOptions(faces="none"))
    assert corpus.spec.modality_names == ("mfcc",)
    assert "no face CSV in none: run OpenFace on the videos: FeatureExtraction -f" in notes(corpus)


def test_actors_are_described_where_they_are_known(raw, tmp_path):
    (raw / "VideoDemographics.csv").write_text(
        '"ActorID","Age","Sex","Race","Ethnicity"\n1001,51,"Male","-","-"\n1002,21,"Female","-","-"\n1003,90,"Male","-","-"\n'
    )
    shown = "2 actors in VideoDemographics.csv: 1 female, 1 male; 21 to 51 years old."
    assert shown in notes(read_corpus("crema_d", raw, tmp_path))


def test_without_media_the_error_says_what_to_fetch(tmp_path):
    write_votes(tmp_path / "crema_d" / "tabulatedVotes.csv", (3, BOTH, CLIPS[0]))
    with pytest.raises(
        InputError, match=r"neither AudioWAV.*CheyneyComputerScience.*git lfs.*FeatureExtraction -f"
    ):
        read_corpus("crema_d", tmp_path / "crema_d", tmp_path)


def test_damaged_media_are_named(raw, tmp_path):
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    sound = raw / "AudioWAV" / f"{CLIPS[0]}.wav"
    whole = sound.read_bytes()
    sound.write_text(pointer)
    with pytest.raises(InputError, match=r"1001_DFA_ANG_XX\.wav is a git-lfs pointer.*git lfs pull"):
        read_corpus("crema_d", raw, tmp_path)
    sound.write_bytes(whole[:4000])
    with pytest.raises(InputError, match=r"1001_DFA_ANG_XX\.wav has 4000 of 41644 bytes: truncated"):
        read_corpus("crema_d", raw, tmp_path)
    write_sound(raw / "AudioWAV", CLIPS[0], seconds=0.02)
    with pytest.raises(InputError, match=r"1001_DFA_ANG_XX\.wav holds 320 samples"):
        read_corpus("crema_d", raw, tmp_path)
    write_sound(raw / "AudioWAV", CLIPS[0])
    write_sound(raw / "AudioWAV", "hello_world")
    with pytest.raises(InputError, match=r"hello_world\.wav is not named actor, sentence"):
        read_corpus("crema_d", raw, tmp_path)


def test_sound_at_another_rate_is_resampled(raw, tmp_path):
    write_sound(raw / "AudioWAV", CLIPS[0], rate=44100)
    frames = read_corpus("crema_d", raw, tmp_path).utterances[0].features["mfcc"]
    assert len(frames) == 1 + (20800 - 512) // 160


def test_options_that_can_not_be_say_why():
    with pytest.raises(InputError, match=r"video_rate=0\.0 above 0"):
        CremaDOptions(video_rate=0.0)


def test_votes_of_a_real_clip(data_dir):
    """1001_IEO_HAP_LO: H 3 N 6 by voice, and summaryTable.csv's majorities N by voice, H by face, H by both."""
    votes = votes_by_clip(data_dir / "crema_d" / "tabulatedVotes.csv")
    assert len(votes) == 7442
    both, voice, face = votes["1001_IEO_HAP_LO"].reshape(3, 6)
    np.testing.assert_array_equal(voice, [0, 0, 0, 3, 6, 0])
    assert [CLASSES[int(v.argmax())] for v in (both, voice, face)] == ["happiness", "neutral", "happiness"]
