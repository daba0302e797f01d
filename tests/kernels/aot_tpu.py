"""What the ahead-of-time compilations for TPUs share: the chips, and the instructions that come out.

To be imported before anything is compiled: libtpu reads its flags when it is loaded.
"""

import os
import pathlib
import re
import tempfile
from collections.abc import Sequence
from typing import Any

DUMP = tempfile.TemporaryDirectory()
os.environ["LIBTPU_INIT_ARGS"] = f"--xla_jf_dump_to={DUMP.name} --xla_jf_dump_llo_text=true"
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")
os.environ.setdefault("TPU_WORKER_HOSTNAMES", "localhost")

TOPOLOGIES = {"v5e": "v5e:2x2", "v4": "v4:2x2x1", "v5p": "v5p:2x2x1", "v6e": "v6e:2x2"}


def device(chip: str) -> Any:
    """One chip, to compile for."""
    from jax.experimental import topologies

    return topologies.get_topology_desc(TOPOLOGIES[chip], "tpu").devices[0]


def bundles(kernels: Sequence[str]) -> dict[str, str]:
    """Final instructions of each kernel, as the compiler dumped them; the dump is emptied."""
    found = {}
    for path in sorted(pathlib.Path(DUMP.name).iterdir()):
        name = next((kernel for kernel in kernels if re.search(f"{kernel}[._]", path.name)), None)
        if name and re.search(r"-\d+-final_bundles\.txt$", path.name):
            found[name] = path.read_text()
        if path.is_file():
            path.unlink()
    return found


def length(text: str) -> int:
    """How many bundles."""
    return len(re.findall(r"^ *0x[0-9a-f]+ ", text, re.M))
