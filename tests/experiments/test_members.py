"""Seeds and grids: names, values, and what is refused."""

import dataclasses

import pytest

from experiments.experiment import get_config
from experiments.members import variants
from mer_jax.errors import InputError


@pytest.fixture(scope="module")
def experiment():
    return dataclasses.replace(get_config("early_fusion_generated"), seed=4)


def test_seeds_count_on_from_that_of_the_config(experiment):
    found = variants(experiment, 3)
    assert [v.member.seed for v in found] == [v.experiment.seed for v in found] == [4, 5, 6]
    assert [v.suffix for v in found] == ["-seed4", "-seed5", "-seed6"]
    for variant in found:
        assert not variant.member.scalars
        assert dataclasses.replace(variant.experiment, seed=4) == experiment


def test_one_seed_is_the_experiment_itself(experiment):
    (variant,) = variants(experiment, 1)
    assert variant.experiment == experiment


def test_a_grid_is_every_combination_with_every_seed(experiment):
    found = variants(experiment, 2, ["model.dropout=.3,0.5", "training.optimizer.learning-rate=1e-3,3e-3"])
    assert [v.suffix for v in found] == [
        f"-dropout{dropout}-learning_rate{rate}-seed{seed}"
        for dropout in ("0.3", "0.5")
        for rate in ("0.001", "0.003")
        for seed in (4, 5)
    ]
    assert len({v.suffix for v in found}) == len(found) == 8
    for variant in found:
        scalars = variant.member.scalars
        assert set(scalars) == {"model.dropout", "training.optimizer.learning_rate"}
        assert variant.experiment.model.dropout == scalars["model.dropout"]
        optimizer = variant.experiment.training.optimizer
        assert optimizer.learning_rate == scalars["training.optimizer.learning_rate"]
        assert variant.experiment.seed == variant.member.seed


def test_only_what_the_grid_names_is_changed(experiment):
    (variant,) = variants(experiment, 1, ["training.optimizer.weight_decay=0.25"])
    optimizer = dataclasses.replace(experiment.training.optimizer, weight_decay=0.25)
    training = dataclasses.replace(experiment.training, optimizer=optimizer)
    assert variant.experiment == dataclasses.replace(experiment, training=training)
    assert variant.suffix == "-weight_decay0.25-seed4"


@pytest.mark.parametrize(
    "entry",
    [
        "model.dropout=0,.5",
        "--model.dropout=0,.5",
        "training.optimizer.weight-decay=0,1e-4",
        "training.optimizer.clip=0,1",
        "training.optimizer.plateau-factor=.5,.8",
        "training.optimizer.plateau_floor=1e-6,1e-5",
    ],
)
def test_every_real_valued_field_can_be_named_as_its_flag_is(experiment, entry):
    assert len(variants(experiment, 1, [entry])) == 2


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (
            ["model.dropuot=.3"],
            "'model.dropuot' is no real-valued hyper-parameter; did you mean 'model.dropout'",
        ),
        (["dropout=.3"], "did you mean 'model.dropout'"),
        (["training.optimizer.lerning-rate=1"], "did you mean 'training.optimizer.learning_rate'"),
        (["model.hidden=32,64"], "'model.hidden' is no real-valued hyper-parameter"),
        (["model.batch_norm=1"], "'model.batch_norm' is no real-valued"),
        (["training.batch_size=8,16"], "'training.batch_size' is no real-valued"),
        (["training.optimizer.warmup-epochs=1,2"], "'training.optimizer.warmup_epochs' is no real-valued"),
        (["seed=1,2"], "'seed' is no real-valued"),
        (["model.dropout"], "--grid 'model.dropout'"),
        (["model.dropout="], "must be numbers with commas between them"),
        (["model.dropout=.3,,.5"], "must be numbers with commas between them"),
        (["model.dropout=.3,high"], "'.3,high' must be numbers"),
        (["model.dropout=nan,.3"], "must be finite"),
        (["training.optimizer.clip=1,inf"], "must be finite"),
        (["model.dropout=.3,.30"], "names a value twice"),
        (["model.dropout=.3000001,.3000002"], "names a value twice"),
        (["model.dropout=.3", "model.dropout=.5"], "names model.dropout twice"),
        (["training.optimizer.learning-rate=0,1e-3"], "optimizer.learning_rate=0.0 must be above 0"),
        (["training.optimizer.clip=-1"], "optimizer.clip=-1.0 must not be negative"),
    ],
)
def test_a_bad_grid_is_refused_with_the_remedy(experiment, grid, message):
    with pytest.raises(InputError) as raised:
        variants(experiment, 1, grid)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("seed", "seeds", "fits"), [(-1, 1, 0), (2**32, 1, 0), (2**32 - 2, 3, 0), (2**32 - 2, 2, 1)]
)
def test_seeds_are_32_bits_wide(experiment, seed, seeds, fits):
    changed = dataclasses.replace(experiment, seed=seed)
    if fits:
        assert [v.member.seed for v in variants(changed, seeds)] == [2**32 - 2, 2**32 - 1]
        return
    with pytest.raises(InputError, match=rf"--seed {seed}: all seeds must lie in \[0, 2\^32\)"):
        variants(changed, seeds)


@pytest.mark.parametrize("seeds", [0, -1])
def test_at_least_one_seed(experiment, seeds):
    with pytest.raises(InputError, match=f"--seeds {seeds} must be at least 1"):
        variants(experiment, seeds)
