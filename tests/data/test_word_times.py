"""Word times from small files in the formats their makers document; LONG is what Praat 6.1.38 wrote."""

import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mer_jax.data.word_times import (
    read_csd,
    read_ctm,
    read_textgrid,
    read_wdseg,
    read_words,
    within,
)
from mer_jax.errors import InputError

LONG = """File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0 
xmax = 1.5 
tiers? <exists> 
size = 3 
item []: 
    item [1]:
        class = "TextTier" 
        name = "clicks" 
        xmin = 0 
        xmax = 1.5 
        points: size = 1 
        points [1]:
            number = 0.5 
            mark = "click" 
    item [2]:
        class = "IntervalTier" 
        name = "phones" 
        xmin = 0 
        xmax = 1.5 
        intervals: size = 1 
        intervals [1]:
            xmin = 0 
            xmax = 1.5 
            text = "a" 
    item [3]:
        class = "IntervalTier" 
        name = "Words" 
        xmin = 0 
        xmax = 1.5 
        intervals: size = 5 
        intervals [1]:
            xmin = 0 
            xmax = 0.25 
            text = "" 
        intervals [2]:
            xmin = 0.25 
            xmax = 0.5 
            text = "schöne" 
        intervals [3]:
            xmin = 0.5 
            xmax = 0.75 
            text = "<eps>" 
        intervals [4]:
            xmin = 0.75 
            xmax = 1.25 
            text = "a ""b""! 7" 
        intervals [5]:
            xmin = 1.25 
            xmax = 1.5 
            text = "SIL" 
"""  # noqa: W291
SHORT = """File type = "ooTextFile short"
"TextGrid"

0
1.5
<exists>
2
"IntervalTier"
"word"
0
1.5
2
0
.5
"so"
0.5
1.5
"it's"
"IntervalTier"
"ORT"
0
1.5
1
0
1.5
"so it's"
"""
NOTED = """File type = "ooTextFile"
Object class = "TextGrid"
! a grid "with notes"
0 1.5 <exists> 1
"IntervalTier" "words" 0 1.5 1 ! class, name, start, end, 9 intervals
0 1.5e0 "so"
"""
CTM = """;; made by hand
one A 0.10 0.20 so 0.98
one A 0.30 0.00 <eps>
one A 0.30 0.50 it's
two 1 0.00 1.00 no 1.0 lex anna
"""
WDSEG = """\t SFrm  EFrm    SegAScr Word
\t    0     9     -76543 <s>
\t   10    39    -123456 HELLO(2)
\t   40    44     -23456 <sil>
\t   45    60     -98765 ++LAUGHTER++
\t   61    99    -345678 IT'S
\t  100   105     -12345 </s>
 Total score:     -680243
"""


def write(tmp_path, name, text, encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def same(found, words, spans):
    assert found[0] == words
    assert found[1].dtype == np.float32
    assert found[1].shape == (len(words), 2)
    np.testing.assert_allclose(found[1], np.array(spans, np.float32).reshape(-1, 2), atol=1e-6)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_a_long_textgrid_is_read_without_its_silences(tmp_path, encoding, ends):
    path = write(tmp_path, "a.TextGrid", LONG.replace("\n", ends), encoding)
    same(read_textgrid(path), ("schöne", 'a "b"! 7'), [[0.25, 0.5], [0.75, 1.25]])
    same(read_textgrid(path, "phones"), ("a",), [[0, 1.5]])


def test_big_endian_utf_16_as_praat_writes_it(tmp_path):
    path = tmp_path / "a.TextGrid"
    path.write_bytes(b"\xfe\xff" + LONG.encode("utf-16-be"))
    assert read_words(path)[0] == ("schöne", 'a "b"! 7')


def test_a_short_textgrid_and_its_default_tier(tmp_path):
    path = write(tmp_path, "a.textgrid", SHORT)
    same(read_words(path), ("so", "it's"), [[0, 0.5], [0.5, 1.5]])
    same(read_words(path, "ORT"), ("so it's",), [[0, 1.5]])
    same(read_words(path, start=0.4, end=1.5), ("it's",), [[0.1, 1.1]])


def test_notes_in_a_textgrid_are_passed_over(tmp_path):
    same(read_textgrid(write(tmp_path, "a.TextGrid", NOTED)), ("so",), [[0, 1.5]])


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r"), min_size=1), max_size=5))
def test_any_text_comes_back_from_both_forms(tmp_path_factory, texts):
    texts = [f"w{text}w" for text in texts]
    spans = [(k / 4, (k + 1) / 4) for k in range(len(texts))]
    quoted = [text.replace('"', '""') for text in texts]
    rows = [f'{a}\n{b}\n"{text}"\n' for text, (a, b) in zip(quoted, spans, strict=True)]
    short = f'"ooTextFile"\n"TextGrid"\n0\n9\n<exists>\n1\n"IntervalTier"\n"words"\n0\n9\n{len(rows)}\n'
    blocks = [
        f'intervals [{k}]:\nxmin = {a}\nxmax = {b}\ntext = "{text}"\n'
        for k, (text, (a, b)) in enumerate(zip(quoted, spans, strict=True), start=1)
    ]
    long = (
        'File type = "ooTextFile"\nObject class = "TextGrid"\nxmin = 0\nxmax = 9\ntiers? <exists>\nsize = 1\n'
        'item []:\nitem [1]:\nclass = "IntervalTier"\nname = "words"\nxmin = 0\nxmax = 9\n'
        f"intervals: size = {len(rows)}\n"
    )
    path = tmp_path_factory.getbasetemp() / "any.TextGrid"
    for text in (short + "".join(rows), long + "".join(blocks)):
        path.write_bytes(text.encode())
        same(read_textgrid(path), tuple(texts), spans)


@pytest.mark.parametrize(
    ("text", "tier", "said"),
    [
        (LONG, "clicks", r"no interval tier 'clicks'; known: Words, phones"),
        (LONG, "wrds", r"no interval tier 'wrds'; did you mean 'Words'"),
        (
            LONG.replace('"Words"', '"IPA"'),
            None,
            "no tier is called words, word, ort; name one of phones, IPA",
        ),
        (LONG.replace('"TextGrid"', '"Pitch 1"'), None, "of 'Pitch 1'; save a TextGrid as text"),
        ("one two", None, "expected the file type, but the file ends"),
        (LONG[: LONG.index("xmax = 1.25")], None, r"line 47: expected its end, but the file ends"),
        (LONG.replace("xmax = 0.5 ", "xmax = half "), None, "expected its end, but it is 'schöne'"),
        (LONG.replace("size = 5", "size = 4.5"), None, "there can't be 4.5 intervals"),
        (LONG.replace('"IntervalTier"', '"Tier"'), None, "line 19: tiers of class 'Tier' are unknown"),
        (LONG.replace("xmax = 0.5 ", "xmax = 0.2 "), None, r"interval 2, line 40: 'schöne' lasts from 0.25"),
        (LONG.replace("xmax = 0.5 ", "xmax = 9 "), None, "interval 4.*after 0.25 to 9 s; words must last"),
    ],
)
def test_a_damaged_textgrid_says_where(tmp_path, text, tier, said):
    path = write(tmp_path, "a.TextGrid", text)
    with pytest.raises(InputError, match=said) as caught:
        read_textgrid(path, tier)
    assert str(path) in str(caught.value)


def test_a_file_that_is_no_text_or_not_there(tmp_path):
    (tmp_path / "a.TextGrid").write_bytes(b'File type = "ooBinaryFile"\xff\xfe\x00')
    with pytest.raises(InputError, match="neither UTF-8 nor UTF-16 text"):
        read_words(tmp_path / "a.TextGrid")
    with pytest.raises(InputError, match=r"b\.ctm cannot be read .*; correct the path"):
        read_words(tmp_path / "b.ctm")
    with pytest.raises(InputError, match=r"read from \.TextGrid, \.ctm, \.wdseg and \.csd; convert it"):
        read_words(tmp_path / "a.srt")


def test_a_ctm_gives_the_words_of_one_recording(tmp_path):
    path = write(tmp_path, "a.ctm", CTM)
    same(read_ctm(path, "one"), ("so", "it's"), [[0.1, 0.3], [0.3, 0.8]])
    same(read_words(path, "two"), ("no",), [[0, 1]])
    same(read_words(path, "one", 0.3, 0.6), ("it's",), [[0, 0.3]])
    same(read_ctm(write(tmp_path, "b.ctm", CTM.replace("two 1", "one A 0.9 .1 x\n;;"))),
         ("so", "it's", "x"), [[0.1, 0.3], [0.3, 0.8], [0.9, 1.0]])  # fmt: skip


@pytest.mark.parametrize(
    ("text", "recording", "said"),
    [
        (CTM, None, r"holds 2 recordings \(one, two\); name one, or give each its own file"),
        ("", None, r"holds 0 recordings \(none\)"),
        (CTM, "tow", "has no recording 'tow'; did you mean 'two'"),
        (CTM.replace("one A 0.30 0.50", "one B 0.30 0.50"), "one", "'one' has channels A, B; keep the lines"),
        ("one A 0.1 so\n", None, "line 1: expected file, channel, start, duration, word"),
        ("one A * * <ALT>\n", None, r"line 1: '\*' is not a number; correct the file"),
        ("one A 0.1 nan so\n", None, "line 1: 'so' lasts from 0.1 to nan s"),
        ("one A 0.1 0 so\n", None, "line 1: 'so' lasts from 0.1 to 0.1 s"),
        ("one A -0.1 0.5 so\n", None, "line 1: 'so' lasts from -0.1"),
        ("one A 0.5 0.5 so\none A 0.1 0.2 no\n", None, "line 2: 'no' lasts .* after 0.5 to 1 s"),
    ],
)
def test_a_damaged_ctm_says_where(tmp_path, text, recording, said):
    path = write(tmp_path, "a.ctm", text)
    with pytest.raises(InputError, match=said) as caught:
        read_ctm(path, recording)
    assert str(path) in str(caught.value)


def test_frames_of_a_wdseg_are_inclusive(tmp_path):
    path = write(tmp_path, "a.wdseg", WDSEG)
    same(read_wdseg(path), ("HELLO", "IT'S"), [[0.1, 0.4], [0.61, 1.0]])
    same(read_words(path, start=0.6), ("IT'S",), [[0.01, 0.4]])
    with pytest.raises(InputError, match="holds one utterance, and nothing called 'x'"):
        read_words(path, "x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "truncated or no word segmentation; copy it again"),
        (WDSEG[: WDSEG.index(" Total")], "truncated or no word segmentation"),
        (WDSEG.replace("SFrm", "Start"), "truncated or no word segmentation"),
        (WDSEG.replace("HELLO(2)", "HELLO THERE"), "line 3: expected first frame, last frame, score, word"),
        (WDSEG.replace("10    39", "1O    39"), "line 3: '1O' is not a number"),
        (WDSEG.replace("10    39", "39    10"), "line 3: 'HELLO' lasts from 0.39 to 0.11 s"),
    ],
)
def test_a_damaged_wdseg_says_where(tmp_path, text, said):
    with pytest.raises(InputError, match=said) as caught:
        read_wdseg(write(tmp_path, "a.wdseg", text))
    assert "a.wdseg" in str(caught.value)


def test_a_wdseg_of_nothing_but_silence_has_no_words(tmp_path):
    silent = "\n".join(line for line in WDSEG.split("\n") if "HELLO" not in line and "IT'S" not in line)
    same(read_wdseg(write(tmp_path, "a.wdseg", silent)), (), [])


def test_a_word_on_the_border_belongs_to_the_segment_that_holds_its_middle():
    words, spans = ("a", "b", "c"), np.array([[0, 1], [1.5, 2.7], [3, 4]], np.float32)
    same(within(words, spans, 0.5, 2.1), ("a",), [[0, 0.5]])
    same(within(words, spans, 2.1, 3.6), ("b", "c"), [[0, 0.6], [0.9, 1.5]])
    same(within(words, spans, 8.0, 9.0), (), [])
    with pytest.raises(InputError, match=r"a segment from 2\.0 to 2\.0 s is empty"):
        within(words, spans, 2.0, 2.0)


class TestCsd:
    """As `computational_sequence.deploy` of the CMU Multimodal SDK lays files out."""

    @pytest.fixture
    def path(self, tmp_path):
        h5py = pytest.importorskip("h5py", reason="h5py is not installed: pip install 'mer-jax[hdf5]'")
        path = tmp_path / "words.csd"
        with h5py.File(path, "w") as file:
            data = file.create_group("words").create_group("data")
            self.write(data, "v1", [b"sp", b"so", "schön".encode(), b"sp", b"end"],
                       [[0, 1], [1, 1.5], [1.5, 2.5], [2.5, 3], [3, 4]])  # fmt: skip
            self.write(data, "late", [b"one", b"two"], [[2, 3], [1, 2]])
            self.write(data, "short", [b"one", b"two"], [[2, 3]])
            data.create_group("empty")
            file["words"].create_group("metadata")["root name"] = np.array([b'"words"'])
        return path

    @staticmethod
    def write(data, video, words, intervals):
        group = data.create_group(video)
        group.create_dataset("features", data=np.array(words)[:, None])
        group.create_dataset("intervals", data=np.array(intervals, np.float32))

    def test_a_video_and_a_segment_of_it(self, path):
        same(read_csd(path, "v1"), ("so", "schön", "end"), [[1, 1.5], [1.5, 2.5], [3, 4]])
        same(read_words(path, "v1", 1.75, 3.75), ("schön", "end"), [[0, 0.75], [1.25, 2.0]])
        same(read_csd(path, "late", 2.0, 3.0), ("one",), [[0, 1]])

    def test_faults_are_named(self, path, tmp_path):
        with pytest.raises(InputError, match="has no video 'latter'; did you mean 'late'"):
            read_csd(path, "latter")
        with pytest.raises(InputError, match="late, interval 1: 'two' lasts from 1 to 2 s, after 2 to 3 s"):
            read_csd(path, "late")
        with pytest.raises(InputError, match=r"short: 2 words, intervals of shape \[1, 2\]"):
            read_csd(path, "short")
        with pytest.raises(InputError, match=r"words\.csd cannot be read .*features"):
            read_csd(path, "empty")
        with pytest.raises(InputError, match="holds many videos; name one"):
            read_words(path)
        (tmp_path / "cut.csd").write_bytes(path.read_bytes()[:400])
        with pytest.raises(InputError, match=r"cut\.csd cannot be read .* copy it again"):
            read_csd(tmp_path / "cut.csd", "v1")

    def test_without_h5py_the_extra_is_named(self, path, monkeypatch):
        monkeypatch.setitem(sys.modules, "h5py", None)
        with pytest.raises(InputError, match=r"pip install 'mer-jax\[hdf5\]'"):
            read_csd(path, "v1")
