"""The corpora by name, each imported only when asked for."""

import importlib

from mer_jax.data.builders.base import CorpusBuilder
from mer_jax.errors import InputError, nearest

CORPORA = {
    "generated": "generated:Generated",
    "folder": "folder:Folder",
    "mosi": "mosi:Mosi",
    "emodb": "emodb:Emodb",
    "iemocap": "iemocap:Iemocap",
    "meld": "meld:Meld",
    "crema_d": "crema_d:CremaD",
    "crema_d_votes": "crema_d_votes:CremaDVotes",
    "mosei": "multimodal_sdk:Mosei",
    "mosei_labels": "mosei_labels:MoseiLabels",
    "mosei_text": "mosei_labels:MoseiText",
    "mosi_sdk": "multimodal_sdk:MosiSdk",
    "mult": "mult_pickle:Mult",
    "mmsa": "mmsa_pickle:Mmsa",
    "mmmo": "mmmo:Mmmo",
    "mulan_emotions": "mulan_emotions:MulanEmotions",
}


def corpus_builder(name: str) -> type[CorpusBuilder]:
    """The builder class of a corpus. Raises InputError for an unknown name."""
    if name not in CORPORA:
        raise InputError(f"corpus {name!r} is unknown; {nearest(name, CORPORA)}")
    module, _, cls = CORPORA[name].partition(":")
    return getattr(importlib.import_module(f"{__name__}.{module}"), cls)
