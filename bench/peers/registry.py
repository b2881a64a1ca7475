"""Which library answers which workload: modules register a function a pair with the decorator `peer`.

A registered function gets the inputs and the thread count, prepares whatever may be prepared outside
the timing, and returns a `Prepared` whose `run` computes the complete answer once.
"""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass
class Prepared:
    """A peer ready to run: `run` is timed; `answer` turns its result into one array and is not."""

    run: Callable[[], Any]
    answer: Callable[[Any], np.ndarray]
    isa: str = "-"

    def on(self, isa: str) -> "Prepared":
        """The same with the instruction set that the library says it uses."""
        return replace(self, isa=isa)


@dataclass(frozen=True)
class Peer:
    """One way of answering one workload; `name` is the library, with the method after a colon."""

    workload: str
    name: str
    distribution: str
    prepare: Callable[["Inputs", int], Prepared]

    def version(self) -> str | None:
        """The installed version, None when the library is not installed."""
        try:
            return importlib.metadata.version(self.distribution)
        except importlib.metadata.PackageNotFoundError:
            return None


class Inputs:
    """The arrays of a workload, read from the directory that the caller has filled."""

    def __init__(self, directory: str):
        self.directory = directory

    def array(self, name: str) -> np.ndarray:
        """The array in `name`.npy, in memory of its own (NumPy asks the kernel for huge pages)."""
        return np.load(f"{self.directory}/{name}.npy")

    def csr(self, dim: int | None = None):
        """The sparse rows as a SciPy CSR matrix with 32-bit indices."""
        import scipy.sparse as sp

        indptr, indices, values = (self.array(part) for part in ("indptr", "indices", "values"))
        width = int(self.array("dim")[0]) if dim is None else dim
        return sp.csr_matrix((values, indices.astype(np.int32), indptr.astype(np.int32)), (len(indptr) - 1, width))


PEERS: list[Peer] = []


def peer(workloads: str, name: str, distribution: str):
    """Registers a function for every workload named in `workloads` (separated by spaces)."""

    def register(prepare):
        for workload in workloads.split():
            PEERS.append(Peer(workload, name, distribution, prepare))
        return prepare

    return register
