"""Parametric t-SNE on pictures: what is fitted, what is held out, what is asked; on generated idx files."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from experiments import parametric_tsne_images
from experiments.parametric_tsne_images import Args, main, read_split
from mer_jax.errors import InputError

FITTED, HELD_OUT = 300, 60


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """400 generated pictures to fit and choose on, 100 of a test, three classes of their own brightness."""
    monkeypatch.setattr(parametric_tsne_images, "FITTED", FITTED)
    monkeypatch.setattr(parametric_tsne_images, "HELD_OUT", HELD_OUT)
    monkeypatch.setattr(parametric_tsne_images, "COMPONENTS", 5)
    random = np.random.default_rng(0)
    for name, count in (("train", 400), ("t10k", 100)):
        classes = random.integers(0, 3, count).astype(np.uint8)
        images = random.integers(0, 40, (count, 28, 28)).astype(np.uint8)
        for row, which in enumerate(classes):
            images[row, 9 * which : 9 * which + 9] += np.uint8(150)
        for kind, header, values in (("images-idx3", 16, images), ("labels-idx1", 8, classes)):
            (tmp_path / f"{name}-{kind}-ubyte.gz").write_bytes(
                gzip.compress(bytes(header) + values.tobytes())
            )
    return tmp_path


def test_every_number_of_steps_and_seed_is_a_fit_and_the_first_are_held_to_what_is_asked(
    pictures: Path,
) -> None:
    figures = pictures / "figures.json"
    args = Args(images=pictures, steps=(50, 100), batch_size=64, hidden=(32,), held_out="test", json=figures)
    assert main(args) == 0
    found = json.loads(figures.read_text())
    rows = [row for row in found["rows"] if row["map"].startswith("parametric")]
    expected = [f"{steps} steps, seed {seed}" for steps in (50, 100) for seed in (0, 1, 2)]
    assert [row["map"].removeprefix("parametric t-SNE, ") for row in rows] == expected
    divergences = [row["kl"] for row in rows]
    assert len(set(divergences)) == 6, "no two fits are the same"
    assert rows[0]["nearest_neighbor"] > 0.9, "classes that differ in nothing but where they are bright"
    asked = {target["what"]: target for target in found["targets"]}
    assert asked["KL"]["measured"] == pytest.approx(sorted(divergences[:3])[1], rel=1e-3)
    assert asked["1-NN"]["met"] == (sorted(row["nearest_neighbor"] for row in rows[:3])[1] >= 0.92)
    table = parametric_tsne_images.markdown(found).splitlines()
    assert len([line for line in table if line.startswith("| parametric")]) == 6
    assert len([line for line in table if " 45 s " in line]) == 1


def test_what_settings_are_chosen_on_is_not_fitted_and_not_what_is_reported(pictures: Path) -> None:
    dev, test = (read_split(pictures, held_out) for held_out in ("dev", "test"))
    np.testing.assert_array_equal(dev.rows, test.rows)
    assert (len(dev.rows), len(dev.new_rows), len(test.new_rows)) == (FITTED, HELD_OUT, HELD_OUT)
    everything = np.concatenate([dev.rows, dev.new_rows, test.new_rows])
    assert len(np.unique(everything.round(4), axis=0)) == len(everything), "every picture is in one part"
    assert {*dev.new_classes, *test.new_classes} == {0, 1, 2}
    # PCA of what is fitted alone: its scores are centred there and not on what is held out.
    np.testing.assert_allclose(dev.rows.mean(axis=0), 0, atol=1e-4)
    assert np.abs(dev.new_rows.mean(axis=0)).max() > 1e-2


def test_a_folder_without_pictures_is_refused_with_the_file_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz does not exist; install"):
        main(Args(images=tmp_path))
    with pytest.raises(InputError, match="--steps names none"):
        main(Args(images=tmp_path, steps=()))
    with pytest.raises(InputError, match="--seeds names none"):
        main(Args(images=tmp_path, seeds=()))
