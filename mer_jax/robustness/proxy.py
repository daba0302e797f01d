"""Proxy features: an ineffective modality's vectors regenerated from the effective ones.

Mittal et al., AAAI 2020, arXiv 1911.05659, section 3.3.
"""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import struct
from jaxtyping import Bool, Float

from mer_jax import records
from mer_jax.errors import InputError, nearest
from mer_jax.robustness.arrays_file import damaged, read_arrays, write_arrays
from mer_jax.robustness.local_ridge import Combine, combine_in_chunks
from mer_jax.robustness.vectors import TrainingExamples, availability, resample

KIND = "proxies 1"


@dataclasses.dataclass(frozen=True)
class ProxyConfig:
    """How vectors are regenerated.

    Attributes:
        neighbours: K, training vectors that a query is combined of.
        ridge: lambda over the neighbours' mean squared length.
        combine: joint, one combination that fits all effective sources at once; or mean, of one
            combination for each, as printed, in which a source that knows little counts as much.
        points: training vectors of a basis, at most; drawn from all of them.
        seed: of the draw.

    Raises:
        InputError: where a field is out of range.
    """

    neighbours: int = 400
    ridge: float = 0.03
    combine: Combine = "joint"
    points: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("neighbours", "points"):
            if getattr(self, name) < 1:
                raise InputError(f"proxies: {name}={getattr(self, name)} must be at least 1")
        if not 0 < self.ridge < np.inf:
            raise InputError(f"proxies: ridge={self.ridge} must be finite and above 0")


class Basis(struct.PyTreeNode):
    """Training vectors that have one modality, the target, paired step by step with the others.

    vectors: modality -> [points, dim], standardised; zeros where it is missing or was ineffective.
    available: [points, modalities]. rows: [points] utterance numbers.
    """

    vectors: Any
    available: Any
    rows: Any


@dataclasses.dataclass(frozen=True)
class Proxies:
    """Bases of training vectors, one per target that train has.

    mean, sd: modality -> [dim] over train's vectors; all distances and fits are in standard scores.
    """

    modalities: tuple[str, ...]
    config: ProxyConfig
    mean: Mapping[str, np.ndarray]
    sd: Mapping[str, np.ndarray]
    bases: Mapping[str, Basis]

    @classmethod
    def fit(
        cls,
        train: TrainingExamples,
        config: ProxyConfig = ProxyConfig(),
        effective: Bool[np.ndarray, "samples modalities"] | None = None,
    ) -> "Proxies":
        """Bases of every modality's frames, the other modalities resampled to its clock.

        effective: what may serve (a check's verdicts on train); None: all that is there.
        """
        there = availability(train.examples)
        used = there if effective is None else there & effective
        names = tuple(train.examples.features)
        moments = {
            name: _moments(train, name, used[:, k]) for k, name in enumerate(names) if used[:, k].any()
        }
        if not moments:
            raise InputError(
                "proxies: train has no usable vector of any modality; nothing can be regenerated"
            )
        mean, sd = ({name: pair[k] for name, pair in moments.items()} for k in (0, 1))
        bases = {name: _basis(train, name, used, mean, sd, config) for name in mean}
        return cls(names, config, mean, sd, bases)

    @property
    def rows(self) -> np.ndarray:
        """Utterance numbers in any basis, for the leakage audit."""
        return np.unique(np.concatenate([basis.rows for basis in self.bases.values()]))

    def __call__(
        self,
        target: str,
        sources: Mapping[str, Float[np.ndarray, "queries _dim"]],
        effective: Bool[np.ndarray, "queries modalities"],
    ) -> tuple[Float[np.ndarray, "queries target_dim"], Bool[np.ndarray, " queries"]]:
        """Regenerated vectors of `target`, and where there are any.

        For a query f the K nearest v_j of the basis (L2) and, in standard scores,

            a = argmin |f - sum a_j v_j|^2 + lambda |a|^2,   p = sum a_j w_j

        with w_j the target's vectors paired with v_j: the prediction of a ridge regression of w on
        v among the neighbours. "joint": f and v are all effective sources side by side; "mean": p is
        the mean of one such p per source. A source serves that shares training points with the
        target; without one, or where no training point has all of a joint query's sources, there is
        no proxy.

        sources: every other modality on the target's clock, in the features' own units, anything
            where it isn't effective. Done in chunks of 128 queries, so that memory is bounded.
        Raises InputError where the target is none of the modalities.
        """
        if target not in self.modalities:
            raise InputError(f"proxies: no modality {target!r}; {nearest(target, self.modalities)}")
        others = [name for name in self.mean if name != target]
        if target not in self.bases or not others:
            dim = len(self.mean[target]) if target in self.mean else 0
            return np.zeros((len(effective), dim), np.float32), np.zeros(len(effective), bool)
        order = [self.modalities.index(name) for name in others]
        basis = self.bases[target]
        paired = basis.available[:, order]
        effective = effective[:, order] & paired.any(axis=0)
        queries = {name: self._standardised(name, sources[name]) for name in others}
        proxies, found = combine_in_chunks(
            queries,
            effective,
            vectors={name: jnp.asarray(basis.vectors[name]) for name in others},
            paired=jnp.asarray(paired),
            wanted=jnp.asarray(basis.vectors[target]),
            neighbours=self.config.neighbours,
            ridge=self.config.ridge,
            how=self.config.combine,
        )
        return proxies * self.sd[target] + self.mean[target], found

    def _standardised(self, name: str, values: np.ndarray) -> np.ndarray:
        return ((values - self.mean[name]) / self.sd[name]).astype(np.float32)

    def save(self, path: Path) -> None:
        """Writes an .npz atomically."""
        arrays = {
            "modalities": np.array(self.modalities),
            "config": np.array(json.dumps(dataclasses.asdict(self.config))),
        }
        for name, basis in self.bases.items():
            arrays |= {f"mean/{name}": self.mean[name], f"sd/{name}": self.sd[name]}
            arrays |= {f"available/{name}": basis.available, f"rows/{name}": basis.rows}
            arrays |= {f"vectors/{name}/{source}": value for source, value in basis.vectors.items()}
        write_arrays(path, KIND, arrays)

    @classmethod
    def load(cls, path: Path) -> "Proxies":
        """Reads what `save` wrote. Raises InputError where the file is missing or damaged."""
        arrays = read_arrays(path, KIND)
        try:
            config = records.from_json(ProxyConfig, json.loads(str(arrays["config"])))
            names = tuple(arrays["modalities"].tolist())
            present = [name for name in names if f"mean/{name}" in arrays]
            mean, sd = ({name: arrays[f"{part}/{name}"] for name in present} for part in ("mean", "sd"))
            bases = {}
            for name in present:
                vectors = {source: arrays[f"vectors/{name}/{source}"] for source in present}
                bases[name] = Basis(vectors, arrays[f"available/{name}"], arrays[f"rows/{name}"])
            return cls(names, config, mean, sd, bases)
        except (KeyError, ValueError, TypeError) as error:
            raise damaged(path, KIND, error) from error


def _moments(train: TrainingExamples, name: str, used: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    frames = np.concatenate([train.examples.features[name][i] for i in np.flatnonzero(used).tolist()])
    frames = frames.astype(np.float64)
    mean, sd = frames.mean(axis=0), frames.std(axis=0)
    varies = sd > 1e-6 * np.abs(frames).max(axis=0)
    return mean.astype(np.float32), np.where(varies, sd, 1).astype(np.float32)


def _basis(
    train: TrainingExamples,
    target: str,
    used: np.ndarray,
    mean: Mapping[str, np.ndarray],
    sd: Mapping[str, np.ndarray],
    config: ProxyConfig,
) -> Basis:
    """Every usable training frame of `target`, or `config.points` drawn of them."""
    names = tuple(train.examples.features)
    lengths = (train.examples.lengths(target) * used[:, names.index(target)]).tolist()
    owner = np.repeat(np.arange(len(lengths)), lengths)
    drawn = np.arange(len(owner))
    if len(owner) > config.points:
        random = np.random.default_rng(config.seed)
        drawn = np.sort(random.choice(len(owner), config.points, replace=False))
    vectors = {}
    for name in mean:
        keep = used[:, names.index(name)]
        aligned = np.concatenate(
            [
                resample(train.examples.features[name][i], lengths[i])
                if keep[i]
                else np.zeros((lengths[i], len(mean[name])), np.float32)
                for i in np.flatnonzero(lengths).tolist()
            ]
        )[drawn]
        scores = (aligned - mean[name]) / sd[name]
        vectors[name] = np.where(keep[owner[drawn]][:, None], scores, 0).astype(np.float32)
    return Basis(vectors, used[owner[drawn]], train.rows[owner[drawn]])
