"""What a trained model says of every utterance: the one file evaluation starts from."""

import dataclasses
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mer_jax.data.schema import SPLITS
from mer_jax.errors import InputError
from mer_jax.records import write_atomically

GROUP_COLUMNS = {"dialogue": "dialogues", "speaker": "speakers", "id": "ids"}


@dataclasses.dataclass(frozen=True)
class Predictions:
    """Pooled predictions of all folds, one row per fold, split and utterance.

    With several folds an utterance occurs once as test and possibly several times as
    train or dev. What a task does not have is zero wide.

    ids, splits, dialogues, speakers: [n] str; splits are train, dev or test.
    folds: [n] int, which fold's model the row belongs to.
    labels: [n] int, -1 where there is none.
    probabilities: [n, K] float32, rows that sum to one.
    intensities, predicted_intensities: [n, E] float32.
    Raises InputError where shapes or values contradict this.
    """

    ids: np.ndarray
    splits: np.ndarray
    folds: np.ndarray
    dialogues: np.ndarray
    speakers: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    intensities: np.ndarray
    predicted_intensities: np.ndarray

    def __post_init__(self) -> None:
        self._check_shapes()
        for name in ("probabilities", "predicted_intensities"):
            bad = ~np.isfinite(getattr(self, name)).all(axis=1)
            if bad.any():
                raise InputError(
                    f"predictions: {name} of {int(bad.sum())} rows, first utterance "
                    f"{str(self.ids[bad][0])!r}, are not finite; the training diverged: lower the "
                    "learning rate or clip gradients"
                )
        if self.probabilities.shape[1] and len(self):
            off = np.abs(self.probabilities.sum(axis=1, dtype=np.float64) - 1).max()
            if off > 1e-3 or self.probabilities.min() < 0:
                raise InputError(
                    "predictions: probabilities must be >= 0 and sum to one in every row (largest "
                    f"deviation {off:.3g}); pass softmax outputs, not logits"
                )

    def _check_shapes(self) -> None:
        n = len(self.ids)
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if len(value) != n:
                raise InputError(
                    f"predictions: {field.name} has {len(value)} rows, ids has {n}; give one per row"
                )
        if self.intensities.shape != self.predicted_intensities.shape:
            raise InputError(
                f"predictions: intensities {self.intensities.shape} and predicted_intensities "
                f"{self.predicted_intensities.shape} must have one shape"
            )
        unknown = sorted(set(self.splits.tolist()) - set(SPLITS))
        if unknown:
            raise InputError(f"predictions: splits holds {unknown}; use train, dev and test")

    @classmethod
    def make(
        cls,
        *,
        ids: Sequence[str] | np.ndarray,
        splits: Sequence[str] | np.ndarray,
        folds: Sequence[int] | np.ndarray,
        dialogues: Sequence[str] | np.ndarray,
        speakers: Sequence[str] | np.ndarray,
        labels: Sequence[int] | np.ndarray | None = None,
        probabilities: np.ndarray | None = None,
        intensities: np.ndarray | None = None,
        predicted_intensities: np.ndarray | None = None,
    ) -> "Predictions":
        """Predictions with types set right, and nothing where None is given."""
        n = len(ids)
        texts = {"ids": ids, "splits": splits, "dialogues": dialogues, "speakers": speakers}
        tables = {
            "probabilities": probabilities,
            "intensities": intensities,
            "predicted_intensities": predicted_intensities,
        }
        none = np.zeros((n, 0), np.float32)
        return cls(
            **{k: np.asarray(v, dtype=np.str_) for k, v in texts.items()},
            folds=np.asarray(folds, np.int64),
            labels=np.full(n, -1) if labels is None else np.asarray(labels, np.int64),
            **{k: none if v is None else np.asarray(v, np.float32) for k, v in tables.items()},
        )

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, keep: np.ndarray) -> "Predictions":
        """The rows that `keep` (a mask or numbers) selects."""
        return Predictions(**{f.name: getattr(self, f.name)[keep] for f in dataclasses.fields(self)})

    def part(self, split: str) -> "Predictions":
        """The rows of one split."""
        return self.where(self.splits == split)

    def groups(self, unit: str) -> np.ndarray:
        """[n] names of the dialogue, speaker or id that each row belongs to."""
        return getattr(self, GROUP_COLUMNS[unit])

    @staticmethod
    def concatenate(parts: Sequence["Predictions"]) -> "Predictions":
        """Rows of all `parts` in order."""
        names = [f.name for f in dataclasses.fields(Predictions)]
        return Predictions(**{k: np.concatenate([getattr(p, k) for p in parts]) for k in names})

    def save(self, path: Path) -> None:
        """Writes an .npz atomically, the same bytes for the same predictions."""
        arrays = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        file = io.BytesIO()
        np.savez_compressed(file, **{k: v for k, v in arrays.items() if v.ndim == 1 or v.shape[1]})
        write_atomically(path, file.getvalue())

    @classmethod
    def load(cls, path: Path) -> "Predictions":
        """Reads what `save` wrote. Raises InputError where the file is missing or damaged."""
        if not path.exists():
            raise InputError(f"{path} does not exist; the run is not finished: train it again or resume it")
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return cls.make(**arrays)
        except InputError:
            raise
        except Exception as error:
            raise InputError(f"{path} is damaged ({error}); train the run again") from error
