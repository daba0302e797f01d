"""Files written by hand, field by field and byte by byte, in the layouts of the tools."""

import gzip
import struct
import zipfile

import numpy as np
import pytest

from mer_jax.errors import InputError
from mer_jax.features.word_vectors import WordVectors, read_word_vectors, table

VECTORS = {
    "the": [0.25, -1.5, 3.0],
    "n't": [1.0, 2.0, -0.125],
    "\u00fcber": [0.5, 0.5, 0.75],
    "Paris": [-2.0, 0.0, 1e-3],
}
WANTED = ("\u00fcber", "missing", "the", "\u00fcber", "n't")
FOUND = ("\u00fcber", "the", "n't")


def lines(vectors=VECTORS, end="\n"):
    return "".join(f"{word} {' '.join(map(str, numbers))}{end}" for word, numbers in vectors.items()).encode()


def binary(vectors=VECTORS, newline=b"\n", header=None):
    records = [w.encode() + b" " + struct.pack(f"<{len(v)}f", *v) + newline for w, v in vectors.items()]
    return (header or f"{len(vectors)} 3\n".encode()) + b"".join(records)


def words_and_matrix(dtype=np.float32):
    return list(VECTORS), np.array(list(VECTORS.values()), dtype)


def write(path, content):
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def write_npy(folder, dtype=np.float32, suffix=".txt"):
    words, matrix = words_and_matrix(dtype)
    np.save(folder / "v.npy", matrix)
    (folder / f"v{suffix}").write_text("\n".join(words) + "\n", encoding="utf-8")
    return folder / "v.npy"


def write_npz(path, **arrays):
    words, matrix = words_and_matrix()
    np.savez(path, **({"words": np.array(words), "vectors": matrix} | arrays))
    return path


FILES = {
    "glove.txt": lines(),
    "glove.txt.gz": lines(),
    "word2vec.txt": b"4 3\n" + lines(),
    "fasttext.vec": b"4 3\n" + lines(end=" \n"),
    "windows.txt": b"\xef\xbb\xbf" + lines(end="\r\n"),
    "no_last_newline.txt": lines().rstrip(),
    "newlines.bin": binary(),
    "no_newlines.bin": binary(newline=b""),
    "word2vec.bin.gz": binary(),
}


def check(vectors):
    assert vectors.words == FOUND
    assert vectors.matrix.dtype == np.float32
    np.testing.assert_array_equal(vectors.matrix, np.array([VECTORS[w] for w in FOUND], np.float32))


@pytest.mark.parametrize("name", FILES)
def test_a_file_gives_the_wanted_words_in_their_order(name, tmp_path):
    check(read_word_vectors(write(tmp_path / name, FILES[name]), WANTED))


@pytest.mark.parametrize("suffix", [".txt", ".vocab"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_matrix_with_its_words_beside_it(suffix, dtype, tmp_path):
    vectors = read_word_vectors(write_npy(tmp_path, dtype, suffix), FOUND)
    np.testing.assert_allclose(vectors.matrix, [VECTORS[w] for w in FOUND], rtol=1e-3)
    assert vectors.matrix.dtype == np.float32


def test_a_matrix_with_its_words_elsewhere(tmp_path):
    path = write_npy(tmp_path, suffix=".txt")
    elsewhere = (tmp_path / "v.txt").rename(tmp_path / "list of words")
    check(read_word_vectors(path, WANTED, elsewhere))
    with pytest.raises(InputError, match=r"v\.npy has no v\.txt or v\.vocab beside it; give the file"):
        read_word_vectors(path, WANTED)


def test_an_archive_of_words_and_vectors(tmp_path):
    check(read_word_vectors(write_npz(tmp_path / "v.npz"), WANTED))
    as_bytes = np.array([w.encode() for w in VECTORS])
    check(read_word_vectors(write_npz(tmp_path / "b.npz", words=as_bytes), WANTED))


def test_words_with_spaces_of_any_kind_take_the_last_numbers(tmp_path):
    """As in glove.840B.300d: `. . .`, `at name@domain.com`, and spaces that are no ASCII."""
    odd = {". . .": [1, 2, 3], "at name@domain.com": [4, 5, 6], ".\u00a0.": [7, 8, 9], "\u0085": [0, 0, 1]}
    path = write(tmp_path / "glove.txt", lines(VECTORS | odd))
    vectors = read_word_vectors(path, odd)
    assert vectors.words == tuple(odd)
    np.testing.assert_array_equal(vectors.matrix, np.array(list(odd.values()), np.float32))


def test_of_a_word_given_twice_the_first_vector_counts(tmp_path):
    for name, content in (("a.txt", lines() + b"the 9 9 9\n"), ("a.bin", None)):
        twice = (
            binary(header=b"5 3\n") + b"the " + struct.pack("<3f", 9, 9, 9) if content is None else content
        )
        check(read_word_vectors(write(tmp_path / name, twice), WANTED))


def test_cased_files_answer_lower_case_words_where_asked(tmp_path):
    cased = {"Paris": [1, 1, 1], "PARIS": [2, 2, 2], "NATO": [3, 3, 3], "The": [4, 4, 4], "the": [5, 5, 5]}
    path = write(tmp_path / "google.bin", binary(cased))
    exact = read_word_vectors(path, ("paris", "nato", "the"))
    assert exact.words == ("the",)
    either = read_word_vectors(path, ("paris", "nato", "the", "dog"), lower=True)
    assert either.words == ("paris", "nato", "the")
    np.testing.assert_array_equal(either.matrix[:, 0], np.array([1, 3, 5], np.float32))


def test_no_wanted_word_gives_an_empty_matrix_that_no_table_can_be_made_of(tmp_path):
    vectors = read_word_vectors(write(tmp_path / "g.txt", lines()), ("dog",))
    assert (vectors.words, vectors.matrix.shape) == ((), (0, 3))
    with pytest.raises(InputError, match="none of the words has a vector; give a file"):
        table(vectors, ("dog",), 4, 0)


def test_records_across_the_ends_of_the_buffer(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    many = {f"word{k}" * (1 + k % 5): rng.normal(size=7).astype("<f4") for k in range(200)}
    content = b"200 7\n" + b"".join(w.encode() + b" " + v.tobytes() + b"\n" for w, v in many.items())
    path = write(tmp_path / "many.bin", content)
    for chunk in (1, 13, 64, 1 << 20):
        monkeypatch.setattr("mer_jax.features.word_vectors._CHUNK", chunk)
        vectors = read_word_vectors(path, many)
        assert vectors.words == tuple(many)
        np.testing.assert_array_equal(vectors.matrix, np.stack(list(many.values())))


BROKEN_FILES = {
    "short_line.txt": (lines() + b"cut 0.1 0.2\n", r"short_line\.txt, line 5: 2 numbers where there should be 3"),
    "long_line.txt": (lines() + b"more 0.1 0.2 0.3 0.4\n", r"line 5: more than 3 numbers"),
    "letters.txt": (b"a 1 2 3\nthe 0.1 O.2 0.3\n", r"letters\.txt, line 2: no row of numbers .*O\.2"),
    "a_novel.txt": (b"It was the best of times, it was\nthe worst of times\n", r"line 1: no row of numbers"),
    "nan.txt": (b"the 1 nan 3\n", r"vector of 'the' is not finite"),
    "too_big.txt": (b"the 1 1e39 3\n", r"vector of 'the' is not finite"),
    "empty.txt": (b"", r"empty\.txt holds 0 words: truncated"),
    "one_column.txt": (b"the\nof\n", r"line 1: 0 numbers where there should be 1"),
    "fewer.vec": (b"5 3\n" + lines(), r"holds 4 words where its first line promises 5: truncated"),
    "more.vec": (b"3 3\n" + lines(), r"holds 4 words where its first line promises 3"),
    "other_dim.vec": (b"4 5\n" + lines(), r"line 2: 3 numbers where there should be 5"),
    "named_text.txt": (binary(), r"named_text\.txt, line 2: \d+ numbers .*named \.bin"),
    "text.bin": (lines(), r"text\.bin, line 1: no `words dim`.*name a text file \.txt"),
    "cut.bin": (binary()[:-5], r"cut\.bin, word 4 of 4: the file is truncated"),
    "cut_early.bin": (binary()[:14], r"word 1 of 4: the file is truncated"),
    "promises.bin": (binary(header=b"9 3\n"), r"word 5 of 9: the file is truncated"),
    "goes_on.bin": (binary(header=b"3 3\n"), r"goes on after its 3 words"),
    "no_space.bin": (b"1 3\n" + b"x" * 70_000, r"word 1 of 1: the file is truncated or damaged"),
    "not_finite.bin": (binary({"the": [1, float("inf"), 3]}), r"vector of 'the' is not finite"),
    "model.bin": (struct.pack("<2i", 793712314, 12) + bytes(99), r"is a fastText model.*\(\.vec\)"),
    "glove.zip": (b"PK\x03\x04" + bytes(99), r"is a zip archive; unpack it first"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_file_is_named_with_the_place(name, tmp_path):
    content, message = BROKEN_FILES[name]
    refused(message, write(tmp_path / name, content))


def refused(message, path, vocabulary=None):
    with pytest.raises(InputError, match=message) as raised:
        read_word_vectors(path, WANTED, vocabulary)
    assert "\n" not in str(raised.value)


def test_a_missing_or_cut_off_file_is_named(tmp_path):
    refused(r"none\.txt is missing", tmp_path / "none.txt")
    refused(r"none\.npz cannot be read", tmp_path / "none.npz")
    (tmp_path / "v.txt").write_text("the\n")
    refused(r"v\.npy with the words of .*v\.txt cannot be read", tmp_path / "v.npy")
    for name in ("a.txt.gz", "a.bin.gz"):
        content = gzip.compress(lines() if "txt" in name else binary())
        (tmp_path / name).write_bytes(content[:-12])
        refused(rf"{name} is missing, truncated or damaged", tmp_path / name)
    (tmp_path / "plain.txt.gz").write_bytes(lines())
    refused(r"plain\.txt\.gz is missing, truncated or damaged", tmp_path / "plain.txt.gz")


def test_a_matrix_that_does_not_fit_its_words_is_refused(tmp_path):
    path = write_npy(tmp_path)
    (tmp_path / "short.txt").write_text("the\nn't\n")
    refused(r"2 words for 4 vectors; give the two files that belong together", path, tmp_path / "short.txt")
    np.save(path, np.zeros((4, 3), int))
    refused(r"int64 of shape \(4, 3\) is no matrix of floats", path)
    np.save(path, np.zeros(4))
    refused(r"float64 of shape \(4,\) is no matrix", path)
    np.save(path, np.array([None] * 4), allow_pickle=True)
    refused(r"cannot be read", path)
    path.write_bytes(b"")
    refused(r"cannot be read", path)
    np.save(path, np.zeros((4, 3)))
    path.write_bytes(path.read_bytes()[:-8])
    refused(r"cannot be read", path)


def test_an_archive_that_lacks_something_says_what_to_save(tmp_path):
    np.savez(tmp_path / "a.npz", vectors=np.zeros((4, 3)))
    refused(r"a\.npz cannot be read .*words.*np\.savez\(path, words=", tmp_path / "a.npz")
    write_npz(tmp_path / "b.npz", words=np.array(["the"]))
    refused(r"1 words for 4 vectors", tmp_path / "b.npz")
    write_npz(tmp_path / "c.npz", words=np.array(list(VECTORS), object))
    refused(r"c\.npz cannot be read", tmp_path / "c.npz")
    (tmp_path / "d.npz").write_bytes((tmp_path / "b.npz").read_bytes()[:200])
    refused(r"d\.npz cannot be read", tmp_path / "d.npz")
    write_npy(tmp_path).rename(tmp_path / "e.npz")
    refused(r"e\.npz cannot be read", tmp_path / "e.npz")
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        archive.writestr("words.npy", b"no array")
        archive.writestr("vectors.npy", b"no array")
    refused(r"f\.npz: .* is no matrix of floats", tmp_path / "f.npz")


def test_a_vocabulary_belongs_to_a_matrix_only(tmp_path):
    path = write(tmp_path / "glove.txt", lines())
    refused(r"glove\.txt is no \.npy matrix .*leave the vocabulary .*w\.txt out", path, tmp_path / "w.txt")


def test_the_table_holds_vectors_where_known_and_draws_the_rest():
    rng = np.random.default_rng(1)
    matrix = rng.normal(0.1, 0.3, (50, 40)).astype(np.float32)
    known = WordVectors(tuple(f"w{k}" for k in range(50)), matrix)
    words = ("w7", "unknown", "w3")
    rows = table(known, words, 2000, seed=5)
    assert (rows.shape, rows.dtype) == ((2000, 40), np.float32)
    np.testing.assert_array_equal(rows[[1, 3]], matrix[[7, 3]])
    np.testing.assert_allclose(rows[0], matrix.mean(axis=0, dtype=np.float64), rtol=1e-5)
    drawn = rows[4:].ravel()
    assert drawn.std() == pytest.approx(matrix.std(), rel=0.01)  # 79,840 draws: s.e. .25 %
    assert drawn.mean() == pytest.approx(0, abs=0.005)
    assert len(np.unique(rows[:, 0])) == 2000


def test_the_table_is_the_same_bytes_for_the_same_seed():
    known = WordVectors(("a", "b"), np.array([[0.1, 0.2], [0.3, -0.4]], np.float32))
    first = table(known, ("b", "x"), 6, seed=3)
    assert first.tobytes() == table(known, ("b", "x"), 6, seed=3).tobytes()
    assert (first[2] != table(known, ("b", "x"), 6, seed=4)[2]).all()
    np.testing.assert_array_equal(first[2:], table(known, ("y", "x"), 9, seed=3)[2:6])


def test_a_table_too_small_for_the_words_is_refused():
    known = WordVectors(("a",), np.ones((1, 2), np.float32))
    with pytest.raises(InputError, match="3 words and the unknown one need 4 rows, size is 3"):
        table(known, ("a", "b", "c"), 3, 0)
