"""A fitted map as one file: arrays, and the estimator's parameters as JSON."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from mer_jax.errors import InputError
from mer_jax.robustness.arrays_file import damaged, read_arrays, write_arrays

KIND = "parametric t-SNE, 2"
UNSAVED = ("align_to", "n_devices", "random_state")  # of the fit, not of the map


def save(model: Any, path: Path) -> None:
    """Writes `model`, fitted, to `path`."""
    parameters = {k: _plain(v) for k, v in model.get_params(deep=False).items() if k not in UNSAVED}
    record = {
        "parameters": parameters,
        "kl_divergence": float(model.kl_divergence_),
        "n_iter": int(model.n_iter_),
        "distinct": int(model.distinct_),
        "infeasible": float(model.infeasible_),
        "feature_names": list(getattr(model, "feature_names_in_", ())),
    }
    arrays = {
        "record": np.array(json.dumps(record)),
        "center": model.center_,
        "scale": model.scale_,
        "embedding": model.embedding_,
        "held_out": np.asarray(model.held_out_, np.float64),
    }
    for number, (weights, bias) in enumerate(model.layers_):
        arrays |= {f"weights{number}": weights, f"bias{number}": bias}
    write_arrays(path, KIND, arrays)


def load(cls: type, path: Path) -> Any:
    """The model that `save` wrote."""
    arrays = read_arrays(path, KIND)
    try:
        record = json.loads(str(arrays["record"]))
        model = cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in record["parameters"].items()})
        count = sum(name.startswith("weights") for name in arrays)
        model.layers_ = [(arrays[f"weights{i}"], arrays[f"bias{i}"]) for i in range(count)]
        model.center_, model.scale_ = arrays["center"], arrays["scale"]
        model.embedding_, model.held_out_ = arrays["embedding"], arrays["held_out"].tolist()
        model.kl_divergence_, model.n_iter_ = record["kl_divergence"], record["n_iter"]
        model.distinct_, model.infeasible_ = record["distinct"], record["infeasible"]
        model.n_features_in_ = len(model.center_)
        if record["feature_names"]:
            model.feature_names_in_ = np.array(record["feature_names"], dtype=object)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, KIND, error) from error
    return model


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (str, int, float, bool, type(None))):
        return value
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    raise InputError(f"a parameter of type {type(value).__name__} cannot be saved; give numbers and names")
