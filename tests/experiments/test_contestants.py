"""What a comparison's command line names: configs, flags, names to show, names of folders."""

import dataclasses

import pytest

from experiments.contestants import contestant, contestants
from experiments.experiment import get_config
from mer_jax.errors import InputError


def test_the_corpus_may_be_left_out_of_a_configs_name():
    short, whole = contestant("early_fusion", "generated"), contestant("early_fusion_generated", "generated")
    assert short.experiment == whole.experiment == get_config("early_fusion_generated")
    assert short.name == whole.name == "early fusion"
    assert (short.spec, whole.spec) == ("early_fusion", "early_fusion_generated")


def test_every_system_reads_the_corpus_of_the_comparison():
    there = get_config("early_fusion_mosi")
    found = contestant("early_fusion_mosi", "lagged").experiment
    assert found.data.corpus == "lagged"
    assert dataclasses.replace(found, data=there.data) == there
    assert dataclasses.replace(found.data, corpus="mosi") == there.data


def test_the_config_of_the_corpus_is_taken_where_there_is_one():
    assert contestant("early_fusion", "mosi").experiment == get_config("early_fusion_mosi")


def test_a_corpus_without_a_config_of_its_own_is_told_whose_it_may_read_with():
    known = "dual_recurrent_emodb, dual_recurrent_generated, dual_recurrent_iemocap"
    with pytest.raises(InputError, match=f"'dual_recurrent' has no config .* 'lagged'; name .*: {known}$"):
        contestant("dual_recurrent", "lagged")
    with pytest.raises(InputError, match="config 'dual_recurent' is unknown; did you mean"):
        contestant("dual_recurent", "lagged")


@pytest.mark.parametrize("change", ["model.dropout=0.2", "--model.dropout=0.2", "model.dropout=.2"])
def test_a_flag_changes_one_value(change):
    before, after = get_config("early_fusion_generated"), contestant(f"early_fusion:{change}", "generated")
    model = dataclasses.replace(before.model, dropout=0.2)
    assert after.experiment == dataclasses.replace(before, model=model)


def test_several_flags_and_several_values():
    spec = "early_fusion:data.modalities=audio,text:model.hidden=128,64:training.optimizer.clip=0:seed=3"
    found = contestant(spec, "generated").experiment
    assert found.data.modalities == ("audio", "text")
    assert found.model.hidden == (128, 64)
    assert found.training.optimizer.clip == 0
    assert found.seed == 3


def test_a_value_may_hold_an_equals_sign():
    found = contestant("early_fusion:protocol.label-map=happy=positive,sad=", "generated").experiment
    assert found.protocol.label_map == ("happy=positive", "sad=")


@pytest.mark.parametrize("value", ["True", "False"])
def test_a_switch_can_be_set_and_unset(value):
    spec = f"unimodal:model.batch-norm={value}:model.bidirectional={value}:training.optimizer.amsgrad={value}"
    found = contestant(spec, "generated").experiment
    switches = found.model.batch_norm, found.model.bidirectional, found.training.optimizer.amsgrad
    assert switches == (value == "True",) * 3


def test_true_may_be_the_name_of_a_choice():
    """`true` is no switch here: it is one of two kinds of masks, or of interpolations."""
    found = contestant("early_fusion:data.masks=nonzero:model.interpolation=true", "generated").experiment
    assert (found.data.masks, found.model.interpolation) == ("nonzero", "true")


@pytest.mark.parametrize(
    ("spec", "corpus", "shown"),
    [
        ("unimodal", "generated", "unimodal (text)"),
        ("unimodal:data.modalities=audio", "generated", "unimodal (audio)"),
        ("unimodal_mosi:--data.modalities=audio", "generated", "unimodal (audio)"),
        ("unimodal:model.dropout=0.2:data.modalities=audio", "generated", "unimodal (audio, dropout 0.2)"),
        ("early_fusion", "generated", "early fusion"),
        ("early_fusion:model.dropout=0.2", "generated", "early fusion (dropout 0.2)"),
        ("early_fusion:--model.hidden=4,4", "generated", "early fusion (hidden 4,4)"),
        ("early_fusion:data.modalities=text,audio", "generated", "early fusion (modalities text,audio)"),
        ("late_fusion:training.optimizer.learning-rate=1e-3", "mosi", "late fusion (learning rate 1e-3)"),
        ("late_fusion:training.batch_size=64", "mosi", "late fusion (batch size 64)"),
        ("early_fusion_crema_d_original", "generated", "early fusion original"),
        ("early_fusion_crema_d", "generated", "early fusion"),
    ],
)
def test_the_name_that_is_shown(spec, corpus, shown):
    assert contestant(spec, corpus).name == shown


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("early_fusion", "early_fusion:model.dropout=0.2"),
        ("early_fusion:model.dropout=0.2", "early_fusion:model.dropout=0.3"),
        ("early_fusion:model.hidden=4,8", "early_fusion:model.hidden=8,4"),
        ("early_fusion:model.hidden=4", "early_fusion:model.dense=4"),
        ("unimodal:data.modalities=text", "unimodal:data.modalities=audio"),
    ],
)
def test_systems_that_differ_in_a_flag_have_names_and_folders_of_their_own(one, other):
    a, b = contestant(one, "generated"), contestant(other, "generated")
    assert a.name != b.name
    assert a.stem != b.stem
    assert a.experiment != b.experiment


def test_a_folders_name_is_safe_and_not_longer_than_file_systems_take():
    long = ":".join(["late_fusion:protocol.label-map=happy=good/bad"] + ["training.optimizer.clip=0.5"] * 12)
    for spec in ("early_fusion:model.dropout=0.2", long):
        stem = contestant(spec, "generated").stem
        assert set(stem) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
        assert stem[0].isalnum()
        assert len(f".together-{stem}-123456-learning_rate0.001-seed10") <= 255


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("early_fuson", "config 'early_fuson' is unknown; did you mean 'early_fusion'"),
        ("early_fusion_mossi", "did you mean 'early_fusion_mosi'"),
        ("", "config '' is unknown; known: "),
        ("early_fusion:model.hidden", "'model.hidden' must read flag=value"),
        ("early_fusion:model.hidden=", "'model.hidden=' must read flag=value"),
        ("early_fusion:", "'' must read flag=value"),
        ("early_fusion:model.hiden=4", "'early_fusion:model.hiden=4': .* did you mean --model.hidden\\?"),
        ("early_fusion:model.hidden=four", "'early_fusion:model.hidden=four': .*--model.hidden: .*'four'"),
        ("early_fusion:model.dropout=0.2,0.3", "argument '0.3' is one too many"),
        ("early_fusion:model.batch-norm=maybe", "batch-norm"),
        ("early_fusion:training.epochs=0", "training.epochs=0 must be at least 1"),
        ("early_fusion:out=x", "option --out is unknown"),
        ("early_fusion:data.corpus=mosi", "leave 'data.corpus=mosi' out"),
    ],
)
def test_what_can_not_be_meant_is_refused_in_one_line(spec, message):
    with pytest.raises(InputError, match=message) as raised:
        contestant(spec, "generated")
    assert "\n" not in str(raised.value)


def test_what_is_wrong_in_a_flag_says_where_flags_are_listed():
    with pytest.raises(InputError, match=r"experiments\.train early_fusion_generated --help lists the flags"):
        contestant("early_fusion:model.hiden=4", "generated")


def test_of_a_path_a_folders_name_keeps_the_file():
    spec = "lexico_acoustic:data.modalities=words,audio:data.vectors=/a/long/way/glove.txt:seed=3"
    assert (
        contestant(spec, "generated").stem
        == "lexico-acoustic-data.modalities-words-audio-data.vectors-glove.txt-seed-3"
    )


def test_what_is_changed_alike_in_all_systems_is_not_in_their_names():
    specs = ["early_fusion:model.hidden=8", "late_fusion:model.hidden=8:model.dropout=.2"]
    assert [c.name for c in contestants(specs, "generated")] == ["early fusion", "late fusion (dropout .2)"]
    assert [c.spec for c in contestants(specs, "generated")] == specs
    (alone,) = contestants(specs[:1], "generated")
    assert alone.name == "early fusion (hidden 8)"
