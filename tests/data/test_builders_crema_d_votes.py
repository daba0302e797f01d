import csv

import numpy as np
import pytest

from mer_jax.data.builders.crema_d_votes import LEVELS, VOTES
from mer_jax.data.corpus import prepare
from mer_jax.errors import InputError
from tests.data.corpora import read_corpus

HEADER = ["", *VOTES, "fileName", *LEVELS]


def write_raw(folder, *rows):
    folder.mkdir(exist_ok=True)
    with open(folder / "tabulatedVotes.csv", "w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])


def row(condition, votes, clip="1001_IEO_SAD_HI", levels=(-1, -1, -1, -1, 40, 61.5)):
    return [f"{condition}00001", *votes, clip, *levels]


def test_conditions_of_a_clip_are_one_dialogue(tmp_path):
    voice, both = (0, 0, 0, 0, 4, 6), (0, 0, 0, 0, 0, 9)
    write_raw(tmp_path / "crema_d", row(1, voice), row(1, voice, "1002_TSI_ANG_XX"), row(3, both))
    corpus = prepare("crema_d_votes", tmp_path / "crema_d", tmp_path / "out")
    expected = ["1001_IEO_SAD_HI/voice", "1001_IEO_SAD_HI/both", "1002_TSI_ANG_XX/voice"]
    assert corpus.column("id").tolist() == expected
    assert corpus.column("dialogue").tolist() == ["1001_IEO_SAD_HI"] * 2 + ["1002_TSI_ANG_XX"]
    assert corpus.column("speaker").tolist() == ["1001", "1001", "1002"]
    assert corpus.column("label").tolist() == ["sadness", "sadness", "anger"]
    assert set(corpus.splits) == {"all"}
    first = corpus.utterances[0]
    np.testing.assert_array_equal(first.votes, np.array(voice, np.float32))
    np.testing.assert_array_equal(first.intensities, np.array([0, 0, 0, 0, 40, 61.5], np.float32))


def test_a_strange_clip_name_is_damage(tmp_path):
    write_raw(tmp_path / "crema_d", row(1, (1, 0, 0, 0, 0, 0), "1001_IEO_XXX_HI"))
    with pytest.raises(InputError, match="row 2 names clip '1001_IEO_XXX_HI'"):
        read_corpus("crema_d_votes", tmp_path / "crema_d", tmp_path)


def test_a_vote_that_is_no_number_names_row_and_column(tmp_path):
    write_raw(tmp_path / "crema_d", row(1, ("many", 0, 0, 0, 0, 0)))
    with pytest.raises(InputError, match="row 2, column 'A': 'many' is not a number"):
        read_corpus("crema_d_votes", tmp_path / "crema_d", tmp_path)


def test_the_real_table_has_every_clip_in_three_conditions(data_dir, tmp_path):
    """7,442 clips of 91 actors: the data set's README. The human ceiling: tests/evaluation/test_ceiling.py."""
    corpus = read_corpus("crema_d_votes", data_dir / "crema_d", tmp_path)
    assert (len(corpus), len(set(corpus.column("dialogue")))) == (3 * 7442, 7442)
    assert len(set(corpus.column("speaker"))) == 91
    assert all(u.votes.any() for u in corpus.utterances)
