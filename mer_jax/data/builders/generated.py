"""The generated corpus as a data set like any other. Needs no files."""

import os
from collections.abc import Iterable, Mapping

from mer_jax.data.builders.base import CorpusBuilder
from mer_jax.data.schema import CorpusSpec, Utterance
from mer_jax.data.simulation import Options, describe, resolve, simulate


class Generated(CorpusBuilder):
    """Dialogues made up from a seed, with their truth."""

    Options = Options

    def __init__(
        self, source: str | os.PathLike[str] | None, options: Options | None = None, *, data_dir: str
    ):
        super().__init__(source, resolve(options or Options()), data_dir=data_dir)

    def describe(self) -> CorpusSpec:
        """The modalities, classes and truth these options ask for."""
        return describe(self.options)

    def read(self) -> Mapping[str, Iterable[Utterance]]:
        """Train, dev and test by dialogue; speaker-disjoint unless speakers are shared."""
        return {split: simulate(self.options, split) for split in self.spec.splits}
