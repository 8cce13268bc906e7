"""The hardware of this machine, for provenance, and how many of its threads linear algebra takes."""

from __future__ import annotations

import ctypes
import platform
import sys
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from threadpoolctl import ThreadpoolController

if TYPE_CHECKING:
    from collections.abc import Iterator


def name_processor() -> str:
    """The CPU's model name as Linux states it, otherwise its architecture."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def has_accelerator_driver() -> bool:
    """Whether torch could find a GPU here; without NVIDIA's or AMD's driver it certainly finds none."""
    if Path("/dev/kfd").exists():
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


@contextmanager
def bind_threads(threads: int) -> Iterator[None]:
    """A context in which numpy's and scipy's linear algebra takes so many threads, and afterwards as before.

    A product of matrices is cut among the threads, so their number decides its last bits. Inside, neither the
    number of cores nor OMP_NUM_THREADS and its kin do.

    Parameters
    ----------
    threads : int
        As the plan says; more than the machine has cores are slow and give the same bits.
    """
    # Scipy's linear algebra is a library of its own; whatever is loaded only later keeps its own number
    import scipy.linalg  # noqa: F401

    with _find_pools(len(sys.modules), next(reversed(sys.modules))).limit(limits=threads):
        yield


@lru_cache(maxsize=1)
def _find_pools(loaded: int, latest: str) -> ThreadpoolController:
    """The libraries with threads of their own: found anew once modules were loaded, which bring libraries.

    To find them takes milliseconds, each message asks for them.
    """
    del loaded, latest
    return ThreadpoolController()
