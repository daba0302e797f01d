"""Computational sequences as the CMU Multimodal SDK writes them."""

import json

import numpy as np

WORDS = "CMU_MOSEI_TimestampedWords.csd"
VECTORS = "CMU_MOSEI_TimestampedWordVectors.csd"
COVAREP = "CMU_MOSEI_COVAREP.csd"
FACET = "CMU_MOSEI_VisualFacet42.csd"
LABELS = "CMU_MOSEI_Labels.csd"


def write_csd(path, root, videos, names=None, **metadata):
    """videos: key -> (features, intervals). names: the `dimension names`."""
    import h5py

    path.parent.mkdir(exist_ok=True)
    if names is not None:
        metadata["dimension names"] = list(names)
    with h5py.File(path, "w") as file:
        data = file.create_group(root).create_group("data")
        for video, (features, intervals) in videos.items():
            group = data.create_group(video)
            group.create_dataset("features", data=features)
            group.create_dataset("intervals", data=np.asarray(intervals, np.float64))
        described = file[root].create_group("metadata")
        for key, value in {"root name": root, **metadata}.items():
            described.create_dataset(key, (1,), dtype=h5py.string_dtype())[0] = json.dumps(value)
    return path


def evenly(start, end, rate):
    """Intervals of frames at a rate."""
    edges = np.arange(round((end - start) * rate) + 1) / rate + start
    return np.stack([edges[:-1], edges[1:]], axis=1)
