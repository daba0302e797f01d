import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from mer_jax.data.schema import Utterance
from mer_jax.data.vocabulary import WORDS, Coverage, Vocabulary, tokenize, tokens
from mer_jax.errors import InputError
from tests.data.corpora import read_corpus

TRAIN = [("the", "cat", "saw", "the", "dog", "and", "the", "dog", "ran"), ("a", "cat", "ran", "and", "ran")]
PIECES = [
    "don't",
    "it's",
    "cannot",
    "'em",
    "y'know",
    "well,",
    "3.5",
    "--",
    "...",
    "no!",
    "u.s.",
    '"so"',
    "uh-huh",
]


def utterance(**fields):
    return Utterance(id="1", speaker="s", dialogue="d", **fields)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't!", "do n't !"),
        ("It's what I've said; we're, they'll, you'd, I'm", "it 's what i 've said ; we 're , they 'll , you 'd , i 'm"),
        ("They won't and shouldn't go to John's", "they wo n't and should n't go to john 's"),
        ("Well, the mother-in-law ain't here -- is she?", "well , the mother-in-law ai n't here -- is she ?"),
        ("That costs 1,000 or 3.5 at 10:30, o'clock ma'am", "that costs 1,000 or 3.5 at 10:30 , o'clock ma'am"),
        ("Hey ... you know?!", "hey ... you know ? !"),
        ("Mr. Geller isn't here, is he?", "mr. geller is n't here , is he ?"),
        ("$5 & 20% (or so)", "$ 5 & 20 % ( or so )"),
    ],
)  # fmt: skip
def test_english_is_parted_as_in_the_penn_treebank(text, expected):
    """The expected tokens are those of NLTK 3.10's TreebankWordTokenizer, lower-cased."""
    assert " ".join(tokenize(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("you\u2019re \u201cfine\u201d, he\u00b4s \u00about\u00bb", "you 're \" fine \" , he 's \" out \""),
        ("wait\u2026 what.... no..", "wait ... what ... no ..."),
        ("oh---no", "oh -- no"),
        ("I cannot, gonna", "i cannot , gonna"),
        ("wouldn't've", "would n't 've"),
        ("do n't , it 's", "do n't , it 's"),
        ("tell 'em 'cause 'tis", "tell 'em 'cause ' tis"),
        ("Y'know y'haven't", "y' know y' have n't"),
        ("the boys' dog", "the boys ' dog"),
        ("Mr. Geller, U.S. at 5 p.m.", "mr. geller , u.s. at 5 p.m."),
        ("Der Lappen \u00dcBER dem Gr\u00f6\u00dften", "der lappen \u00fcber dem gr\u00f6\u00dften"),
        ("cafe\u0301", "caf\u00e9"),
        ("\u041f\u0440\u0438\u0432\u0435\u0442 \u4f60\u597d", "\u043f\u0440\u0438\u0432\u0435\u0442 \u4f60\u597d"),
        ("so\u00adft\u200b, non\u00a0breaking", "soft , non breaking"),
        ("   ", ""),
    ],
)  # fmt: skip
def test_typography_and_other_languages(text, expected):
    assert " ".join(tokenize(text)) == expected


@given(st.text(max_size=60))
def test_no_token_is_empty_or_holds_space(text):
    assert all(token and not any(c.isspace() for c in token) for token in tokenize(text))


@given(st.text(alphabet=st.characters(codec="ascii"), max_size=60))
def test_no_letter_or_digit_is_lost_or_moved(text):
    found = [c for c in "".join(tokenize(text)) if c.isalnum()]
    assert found == [c for c in text.lower() if c.isalnum()]


@given(st.lists(st.sampled_from(PIECES)))
def test_tokens_joined_by_spaces_are_the_same_tokens(words):
    once = tokenize(" ".join(words))
    assert tokenize(" ".join(once)) == once


def test_an_utterance_with_words_has_one_token_a_word():
    spans = np.zeros((4, 2), np.float32)
    spoken = utterance(words=("Don\u2019t", "", " DO", "it"), word_spans=spans, transcript="Other text")
    assert tokens(spoken) == ("don't", "", "do", "it")
    assert tokens(utterance(transcript="Don\u2019t do it")) == ("do", "n't", "do", "it")
    assert tokens(utterance()) == ()


def test_the_most_frequent_words_have_the_first_ids():
    """the 3, ran 3, and 2, cat 2, dog 2, a 1, saw 1: alphabetical among equals."""
    vocabulary = Vocabulary.fit(TRAIN, 5)
    assert vocabulary.words == ("ran", "the", "and", "cat")
    ids = vocabulary.encode(("the", "dog", "", "ran"))
    np.testing.assert_array_equal(ids, [2, 0, 0, 1])
    assert ids.dtype == np.int32
    assert vocabulary.encode(()).shape == (0,)


def test_it_keeps_the_words_scikit_learn_keeps():
    rng = np.random.default_rng(0)
    counts = rng.permutation(60) + 1  # no two alike: no ties
    stream = rng.permutation([f"w{k}" for k, count in enumerate(counts) for _ in range(count)]).tolist()
    sequences = [tuple(stream[i : i + 11]) for i in range(0, len(stream), 11)]
    kept = CountVectorizer(analyzer=list, max_features=24).fit(sequences).vocabulary_
    assert set(Vocabulary.fit(sequences, 25).words) == set(kept)


def test_a_small_text_leaves_rows_unused_and_no_text_all_of_them():
    assert len(Vocabulary.fit(TRAIN, 1000).words) == 7
    assert Vocabulary.fit(TRAIN, 1000).size == 1000
    empty = Vocabulary.fit([("", "")], 2)
    assert empty.words == ()
    np.testing.assert_array_equal(empty.encode(("the",)), [0])


def test_json_gives_the_same_vocabulary_back():
    vocabulary = Vocabulary.fit([("\u00fcber", "n't", '"')], 9)
    again = Vocabulary.from_json(json.loads(json.dumps(vocabulary.to_json())))
    assert again == vocabulary
    np.testing.assert_array_equal(again.encode(("n't", "\u00fcber")), vocabulary.encode(("n't", "\u00fcber")))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Vocabulary.fit(TRAIN, 1), r"size 1 leaves no row .*give 2 or more"),
        (lambda: Vocabulary.fit(TRAIN, 0), r"size 0 leaves no row"),
        (lambda: Vocabulary(("a", "b"), 2), r"2 words .* need 3 rows, size is 2"),
        (lambda: Vocabulary(("a", "b", "a"), 9), r"'a' occurs twice"),
        (lambda: Vocabulary.from_json({"words": ["a"], "size": 9, "oov": 1}), r"no field 'oov'"),
    ],
)
def test_a_vocabulary_that_cannot_be_is_refused(make, message):
    with pytest.raises(InputError, match=message) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_coverage_counts_tokens_types_and_what_is_missing():
    vocabulary = Vocabulary.fit(TRAIN, 3)  # ran, the
    coverage = vocabulary.coverage([("the", "the", "cow", ""), ("ran", "dog", "cow", "ox")])
    assert (coverage.tokens, coverage.types) == (7, 5)
    assert (coverage.share_of_tokens, coverage.share_of_types) == pytest.approx((3 / 7, 2 / 5))
    assert coverage.missing == (("cow", 2), ("dog", 1), ("ox", 1))
    assert coverage.sentence() == (
        "Of 7 tokens 42.9%, and of 5 distinct words 40.0%, are in the vocabulary; "
        "the most frequent missing: cow (2), dog (1), ox (1)."
    )


def test_coverage_lists_ten_words_and_none_where_all_are_known():
    text = [tuple(f"w{k:02}" for k in range(20))]
    assert Coverage.measure(text, set()).missing == tuple((f"w{k:02}", 1) for k in range(10))
    whole = Coverage.measure(text, set(text[0]))
    assert whole.sentence("GloVe") == "Of 20 tokens 100.0%, and of 20 distinct words 100.0%, are in GloVe."
    nothing = Coverage.measure([()], set())
    assert (nothing.share_of_tokens, nothing.share_of_types) == (1, 1)
    assert nothing.sentence() == "There are no words to cover."


def test_meld_has_no_apostrophe_inside_what_is_parted(data_dir, tmp_path):
    """Real dialogue: n't and 's are among the most frequent tokens, and encoding is fast and total."""
    corpus = read_corpus("meld", data_dir / "meld", tmp_path)
    train = [tokens(corpus.utterances[i]) for i in np.flatnonzero(corpus.splits == "train")]
    vocabulary = Vocabulary.fit(train, 4000)
    assert {"n't", "'s", "'m", "'re", "you", "!", "..."} <= set(vocabulary.words[:60])
    parted = [w for w in vocabulary.words if w.endswith(("n't", "'s", "'m", "'re", "'ll", "'ve", "'d"))]
    assert set(parted) <= {"n't", "'s", "'m", "'re", "'ll", "'ve", "'d"}
    assert vocabulary.coverage(train).share_of_tokens > 0.95
    assert all(vocabulary.encode(sentence).shape == (len(sentence),) for sentence in train)


def test_the_modality_is_called_words():
    assert WORDS == "words"
