"""The corpus on disk, through the `folder` builder, which can hold everything the schema has."""

import dataclasses
import json
import shutil
from unittest import mock

import numpy as np
import pytest

from mer_jax.data import corpus as corpus_module
from mer_jax.data.builders.base import decode, encode
from mer_jax.data.corpus import load, prepare
from mer_jax.data.schema import CorpusSpec, Modality, Utterance
from mer_jax.errors import InputError
from mer_jax.records import from_json
from tests.data.test_builders_folder import FILES, write_raw


@pytest.fixture
def made(tmp_path):
    """A small corpus prepared as `mine`, and the folder it is in."""
    prepared = tmp_path / "prepared"
    return prepare("folder", write_raw(tmp_path / "raw", **FILES), prepared, as_name="mine"), prepared


def assert_same(one: Utterance, other: Utterance):
    for field in dataclasses.fields(Utterance):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, dict):
            assert a.keys() == b.keys()
            for name in a:
                np.testing.assert_array_equal(a[name], b[name])
        else:
            np.testing.assert_array_equal(a, b)


def test_what_is_loaded_is_what_was_prepared(made):
    corpus, prepared = made
    again = load("mine", prepared)
    assert again.spec == corpus.spec
    assert again.content_hash == corpus.content_hash
    assert again.splits.tolist() == ["train", "test"]
    for one, other in zip(corpus.utterances, again.utterances, strict=True):
        assert_same(one, other)
    record = json.loads((prepared / "mine" / "corpus.json").read_text())
    assert record["options"] == {"nan": "error", "manifest": "manifest.csv"}


def test_an_utterance_survives_encoding_with_every_field():
    spec = CorpusSpec(
        "made",
        (Modality("audio", 2), Modality("face", 3)),
        classes=("joy",),
        intensities=("valence",),
        votes=("joy", "anger"),
        truth={"state": (None, 2), "lag": ()},
    )
    utterance = Utterance(
        id="日本",
        speaker="Zoë",
        dialogue="d",
        start=1.25,
        end=2.5,
        transcript="naïve — “quoted”\n",
        features={"audio": np.ones((4, 2), np.float32)},
        label="joy",
        intensities=np.array([np.nan], np.float32),
        votes=np.array([1, 2], np.float32),
        words=("", "ß"),
        word_spans=np.array([[0, 0.5], [0.5, 1]], np.float32),
        truth={"state": np.zeros((3, 2), np.float32), "lag": np.float32(0.5)},
    )
    row = encode(utterance, spec)
    assert not row["has_face"]
    stored = {k: v.encode() if isinstance(v, str) else v for k, v in row.items()}
    stored["words"] = [word.encode() for word in row["words"]]
    assert_same(decode(stored, spec, spec.modality_names), utterance)


def test_the_spec_survives_json():
    spec = CorpusSpec("made", (Modality("a", 2, 25.0, ("x", "y")),), truth={"state": (None, 2)}, notes=("n",))
    assert from_json(CorpusSpec, json.loads(json.dumps(spec.to_json()))) == spec


def test_only_the_named_modalities_are_read(made):
    _, prepared = made
    assert set(load("mine", prepared, ["text"]).utterances[0].features) == {"text"}
    with pytest.raises(InputError, match="has no modality 'face'; it has: audio, text"):
        load("mine", prepared, ["face"])


def test_the_content_hash_is_the_same_elsewhere_and_changes_with_any_datum(made, tmp_path):
    corpus, _ = made
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tmp_path / "raw", elsewhere / "raw")
    same = prepare("folder", elsewhere / "raw", elsewhere / "prepared", as_name="mine")
    assert same.content_hash == corpus.content_hash
    manifest = elsewhere / "raw" / "manifest.csv"
    seen = {corpus.content_hash}
    for number, (old, new) in enumerate([("joy,train", "anger,train"), (",1.5,", ",1.6,"), ("test", "dev")]):
        manifest.write_text(manifest.read_text(encoding="utf-8").replace(old, new, 1), encoding="utf-8")
        changed = prepare("folder", elsewhere / "raw", elsewhere / "prepared", as_name=f"c{number}")
        seen.add(changed.content_hash)
    features = {**FILES["b2"], "audio": FILES["b2"]["audio"] + np.float32(1e-6)}
    np.savez(elsewhere / "raw" / "b2.npz", **features)
    seen.add(prepare("folder", elsewhere / "raw", elsewhere / "prepared", as_name="last").content_hash)
    assert len(seen) == 5


def test_a_truncated_shard_is_found_at_load(made):
    _, prepared = made
    shard = next((prepared / "mine").rglob("*.array_record*"))
    shard.write_bytes(shard.read_bytes()[:-8])
    with pytest.raises(InputError, match=r"truncated or changed since it was prepared; run: .* --overwrite"):
        load("mine", prepared)


@pytest.mark.parametrize("key", ["schema", "version"])
def test_another_version_is_refused(made, key):
    _, prepared = made
    path = prepared / "mine" / "corpus.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, key: "0.9.0" if key == "version" else 0}))
    with pytest.raises(InputError, match="was prepared by another version"):
        load("mine", prepared)


def test_an_unprepared_corpus_says_how_to_prepare_it(tmp_path):
    with pytest.raises(InputError, match=r"run: python -m experiments\.prepare_data mosi"):
        load("mosi", tmp_path)


def test_a_corpus_is_only_replaced_when_asked(made, tmp_path):
    corpus, prepared = made
    with pytest.raises(InputError, match="exists; pass --overwrite"):
        prepare("folder", tmp_path / "raw", prepared, as_name="mine")
    manifest = tmp_path / "raw" / "manifest.csv"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("joy", "fear"), encoding="utf-8")
    replaced = prepare("folder", tmp_path / "raw", prepared, as_name="mine", overwrite=True)
    assert replaced.content_hash != corpus.content_hash
    assert load("mine", prepared).content_hash == replaced.content_hash
    assert [path.name for path in prepared.iterdir()] == ["mine"]


@pytest.mark.parametrize("failing", ["_read", "_build"])
def test_a_failure_leaves_the_old_corpus_and_nothing_else(made, tmp_path, failing):
    corpus, prepared = made
    broken = mock.patch.object(corpus_module, failing, side_effect=OSError(28, "No space left on device"))
    with broken, pytest.raises(InputError, match=r"the disk that holds .* is full; nothing was kept"):
        prepare("folder", tmp_path / "raw", prepared, as_name="mine", overwrite=True)
    assert [path.name for path in prepared.iterdir()] == ["mine"]
    assert load("mine", prepared).content_hash == corpus.content_hash


def test_a_failed_check_leaves_nothing_behind(made, tmp_path):
    _, prepared = made

    def refuse(corpus):
        raise InputError("not this one")

    with pytest.raises(InputError, match="not this one"):
        prepare("folder", tmp_path / "raw", prepared, as_name="new", check=refuse)
    assert [path.name for path in prepared.iterdir()] == ["mine"]


def test_an_unknown_corpus_suggests_the_nearest(tmp_path):
    with pytest.raises(InputError, match="did you mean 'mosi'"):
        prepare("mossi", None, tmp_path)
