"""One site of an attacked study in a process of its own, so that its linear algebra has another kernel.

``python -m sites.kernel_site FOLDER SITE SEED THREADS``; each message and each answer follows its length in
8 bytes. The kernel is OpenBLAS's, by OPENBLAS_CORETYPE.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from unittest.mock import patch

TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class KernelSite:
    """Stands where a site's engine stands.

    Attributes
    ----------
    process : subprocess.Popen
        Where the engine is.
    """

    process: subprocess.Popen[bytes]

    def handle(self, message: bytes) -> bytes:
        """The site's answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        _write(self.process.stdin, message)
        return _read(self.process.stdout)


@contextmanager
def open_site(folder: Path, site: tuple[str, int], kernel: str, threads: int) -> Iterator[KernelSite]:
    """A site, by name and seed of its patients, whose linear algebra has this kernel and these threads."""
    environment = {**os.environ, "OPENBLAS_CORETYPE": kernel, "PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-m", "sites.kernel_site", str(folder), site[0], str(site[1]), str(threads)]
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=TESTS.parent
    )
    with process:
        yield KernelSite(process)
        assert process.stdin is not None
        process.stdin.close()


def _write(stream: IO[bytes], message: bytes) -> None:
    stream.write(struct.pack("<Q", len(message)) + message)
    stream.flush()


def _read(stream: IO[bytes]) -> bytes:
    length = stream.read(8)
    return stream.read(struct.unpack("<Q", length)[0]) if length else b""


def main() -> None:
    from sites.attacked import ROLES, make_cases, plan_table_models
    from sites.crafted import CraftedStudy

    from common.runtime.machine import bind_threads

    folder, name, seed, threads = sys.argv[1:]
    engine = CraftedStudy(plan_table_models(ROLES), Path(folder)).start(name, make_cases(int(seed)))
    with patch("client.engine.bind_threads", lambda _: bind_threads(int(threads))), patch("os.fsync"):
        while message := _read(sys.stdin.buffer):
            _write(sys.stdout.buffer, engine.handle(message))


if __name__ == "__main__":
    main()
