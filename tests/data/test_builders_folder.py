import numpy as np
import pytest
import soundfile

from mer_jax.data.builders.folder import FolderOptions
from mer_jax.data.corpus import prepare
from mer_jax.errors import InputError
from tests.data.corpora import read_corpus

FULL = '''id,speaker,dialogue,start,end,transcript,label,split,file,intensity_valence,votes_joy,votes_anger
ä1,anna,talk,0.0,1.5,"So, it's ""on""",joy,train,one.npz,0.5,3,0
b2,ben,talk,1.5,2.0,Grüße,anger,test,,,0,2
'''


def write_raw(folder, manifest=FULL, **files):
    folder.mkdir(exist_ok=True)
    (folder / "manifest.csv").write_text(manifest, encoding="utf-8")
    for name, arrays in files.items():
        np.savez(folder / f"{name}.npz", **arrays)
    return folder


def frames(time, dim, value=1.0):
    return np.full((time, dim), value, np.float32)


WORDS = {"words": np.array(["So", "it's"]), "word_spans": np.array([[0, 0.4], [0.4, 1.5]])}
FILES = {"one": {"audio": frames(4, 3), "text": frames(2, 5), **WORDS}, "b2": {"audio": frames(7, 3)}}


def test_everything_a_manifest_can_say_arrives(tmp_path):
    source = write_raw(tmp_path / "mine", **FILES)
    corpus = prepare("folder", source, tmp_path / "out", as_name="mine")
    assert corpus.spec.name == "mine"
    assert {m.name: m.dim for m in corpus.spec.modalities} == {"audio": 3, "text": 5}
    assert corpus.spec.classes == ("anger", "joy")
    assert (corpus.spec.intensities, corpus.spec.votes) == (("valence",), ("joy", "anger"))
    assert corpus.splits.tolist() == ["train", "test"]
    first, second = corpus.utterances
    assert (first.id, first.speaker, first.dialogue, first.end) == ("ä1", "anna", "talk", 1.5)
    assert (first.transcript, second.transcript) == ('So, it\'s "on"', "Grüße")
    assert first.words == ("So", "it's")
    np.testing.assert_allclose(first.word_spans, WORDS["word_spans"])
    assert not second.has("text")
    assert np.isnan(second.intensities).all()
    np.testing.assert_array_equal(second.votes, np.array([0, 2], np.float32))


def test_only_ids_are_required(tmp_path):
    source = write_raw(tmp_path / "mine", "id\na\nb\n", a={"face": frames(1, 2)}, b={})
    corpus = prepare("folder", source, tmp_path / "out", as_name="mine")
    assert corpus.splits.tolist() == ["all", "all"]
    assert corpus.column("speaker").tolist() == corpus.column("dialogue").tolist() == ["a", "b"]
    assert [u.has("face") for u in corpus.utterances] == [True, False]
    assert any("names no speakers" in note for note in corpus.spec.notes)


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("name\na\n", r"manifest\.csv: there is no column 'id'"),
        ("id,lable\na,joy\n", r"column 'lable' is unknown; did you mean 'label'"),
        ("id\n", r"manifest\.csv has no rows"),
        ("id,start\na,0\nb,soon\n", r"row 3, column 'start': 'soon' is not a number"),
        ("id,split\na,train\nb,valid\n", r"row 3, column 'split': 'valid' is none of train, dev, test"),
        ("id,split\na,train\nb,\n", r"row 3, column 'split': '' is none of .* leave the column out"),
        ("id,file\na,gone.npz\n", r"row 2, column 'file': .*gone\.npz does not exist"),
        ("id,votes_x\na,1\nb,two\n", r"row 3, column 'votes_x': 'two' is not a number"),
        ("id,label\na,x\n,y\n", r"row 3, column 'id': it is empty"),
    ],
)
def test_a_fault_in_the_manifest_names_file_row_and_column(tmp_path, manifest, said):
    source = write_raw(tmp_path / "mine", manifest, a={"audio": frames(2, 2)}, b={"audio": frames(2, 2)})
    with pytest.raises(InputError, match=said) as raised:
        read_corpus("folder", source, tmp_path)
    assert "manifest.csv" in str(raised.value)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"audio": np.zeros(4)}, r"array 'audio' has shape \[4\] and type float64; save numbers of shape"),
        ({"audio": np.array([["x"]])}, r"array 'audio' has shape \[1, 1\] and type <U1"),
        ({"words": frames(1, 1)}, r"words \[1, 1\] of type float32 .* do not fit"),
        ({"words": np.array(["a"]), "word_spans": frames(2, 2)}, r".*word_spans \[2, 2\] do not fit"),
        ({"label": frames(1, 2)}, r"array 'label' can't name a modality"),
        ({"my-audio": frames(1, 2)}, r"array 'my-audio' can't name a modality"),
    ],
)
def test_a_fault_in_an_npz_names_file_and_array(tmp_path, arrays, said):
    source = write_raw(tmp_path / "mine", "id\na\n", a=arrays)
    with pytest.raises(InputError, match=rf"a\.npz: {said}"):
        read_corpus("folder", source, tmp_path)


def test_dimensions_must_agree(tmp_path):
    source = write_raw(tmp_path / "mine", "id\na\nb\n", a={"audio": frames(2, 3)}, b={"audio": frames(2, 4)})
    with pytest.raises(InputError, match=r"row 3: b\.npz has 4 features of 'audio' where a\.npz has 3"):
        read_corpus("folder", source, tmp_path)


def test_a_file_that_is_no_npz_is_named(tmp_path):
    source = write_raw(tmp_path / "mine", "id\na\n")
    (source / "a.npz").write_text("not an archive")
    with pytest.raises(InputError, match=r"a\.npz cannot be read"):
        read_corpus("folder", source, tmp_path)
    with open(source / "a.npz", "wb") as file:
        np.save(file, frames(1, 1))
    with pytest.raises(InputError, match=r"a\.npz holds one bare array"):
        read_corpus("folder", source, tmp_path)


def test_another_manifest_and_a_missing_one(tmp_path):
    source = write_raw(tmp_path / "mine", a={"audio": frames(1, 1)})
    (source / "few.csv").write_text("id\na\n")
    corpus = read_corpus("folder", source, tmp_path, FolderOptions(manifest="few.csv"))
    assert corpus.column("id").tolist() == ["a"]
    with pytest.raises(InputError, match=r"other\.csv does not exist; pass --data-dir"):
        read_corpus("folder", source, tmp_path, FolderOptions(manifest="other.csv"))


def test_non_finite_features_become_zero_only_when_asked_and_are_counted(tmp_path):
    holed = frames(3, 2)
    holed[1] = [np.nan, -np.inf]
    source = write_raw(
        tmp_path / "mine", "id,split\na,train\nb,test\n", a={"audio": holed}, b={"audio": holed}
    )
    kept = prepare("folder", source, tmp_path / "out", as_name="kept")
    assert np.isnan(kept.utterances[0].features["audio"]).sum() == 1
    zeroed = prepare("folder", source, tmp_path / "out", as_name="zeroed", options=FolderOptions(nan="zero"))
    expected = np.array([[1, 1], [0, 0], [1, 1]], np.float32)
    np.testing.assert_array_equal(zeroed.utterances[0].features["audio"], expected)
    assert "2 non-finite values of audio in train were stored as 0 (--nan zero)." in zeroed.spec.notes
    assert zeroed.content_hash != kept.content_hash


def write_sound(folder, name, seconds=0.5, rate=16000):
    time = np.arange(round(rate * seconds)) / rate
    folder.mkdir(exist_ok=True)
    soundfile.write(folder / name, 0.3 * np.sin(2 * np.pi * 220 * time), rate)


TEXTGRID = """"ooTextFile" "TextGrid" 0 0.5 <exists> 1
"IntervalTier" "words" 0 0.5 3
0 0.1 "" 0.1 0.3 "so" 0.3 0.5 "what"
"""


def test_a_sound_file_becomes_waveform_and_frames_and_a_textgrid_word_times(tmp_path):
    source = write_raw(
        tmp_path / "mine",
        "id,wav,words\na,sound/a.wav,a.TextGrid\nb,b.flac,\nc,,\n",
        b={"face": frames(5, 2)},
        c={"face": frames(4, 2)},
    )
    write_sound(source / "sound", "a.wav", rate=22050)
    write_sound(source, "b.flac")
    (source / "a.TextGrid").write_text(TEXTGRID)
    corpus = prepare("folder", source, tmp_path / "out", as_name="mine")
    assert [(m.name, m.dim, m.rate) for m in corpus.spec.modalities] == [
        ("face", 2, None),
        ("log_mel", 64, 100.0),
        ("mfcc", 43, 100.0),
        ("waveform", 1, 16000.0),
    ]
    first, second, third = corpus.utterances
    assert {n: x.shape for n, x in first.features.items()} == {
        "log_mel": (47, 64),
        "mfcc": (47, 43),
        "waveform": (8000, 1),
    }
    assert set(second.features) == {"face", "log_mel", "mfcc", "waveform"}
    assert set(third.features) == {"face"}
    assert first.words == ("so", "what")
    np.testing.assert_allclose(first.word_spans, [[0.1, 0.3], [0.3, 0.5]])
    assert second.words == ()
    time = np.arange(1000, 7000) / 16000
    heard = first.features["waveform"][1000:7000, 0]
    np.testing.assert_allclose(heard, 0.3 * np.sin(2 * np.pi * 220 * time), atol=1e-3)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("gone.wav,,", r"row 2, column 'wav': .*gone\.wav does not exist; correct the name or the row"),
        ("a.wav,,gone.npz", r"row 2, column 'file': .*gone\.npz does not exist"),
        ("a.wav,gone.ctm,", r"row 2, column 'words': .*gone\.ctm does not exist"),
        ("cut.wav,,", r"row 2, column 'wav': .*cut\.wav has \d+ of \d+ bytes: truncated"),
        ("a.wav,bad.ctm,", r"row 2, column 'words': .*bad\.ctm, line 1: expected file, channel"),
        ("a.wav,ok.ctm,timed.npz", r"row 2, column 'words': timed\.npz holds words too; keep one"),
        ("a.wav,,mel.npz", r"row 2: array 'log_mel' of mel\.npz is called as .* 'wav'; rename"),
        (",,", r"row 2, column 'file': .*u\.npz does not exist"),
    ],
)
def test_a_fault_of_sound_or_word_times_names_row_and_column(tmp_path, row, said):
    timed = {"words": np.array(["a"]), "word_spans": frames(1, 2)}
    source = write_raw(
        tmp_path / "mine", f"id,wav,words,file\nu,{row}\n", timed=timed, mel={"log_mel": frames(1, 64)}
    )
    write_sound(source, "a.wav")
    (source / "cut.wav").write_bytes((source / "a.wav").read_bytes()[:9000])
    (source / "bad.ctm").write_text("one A\n")
    (source / "ok.ctm").write_text("one A 0 0.4 so\n")
    with pytest.raises(InputError, match=said) as raised:
        read_corpus("folder", source, tmp_path)
    assert "manifest.csv" in str(raised.value)
