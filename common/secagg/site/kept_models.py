"""The model that a training's sites share, at one of them, from round to round.

Each member derives the next model itself from the proved sum and the model before, so it keeps one, with what
a server's optimiser remembers. The files lie beside the phases' folders: a model outlives its round.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from common.runtime.hash_beside import hash_beside
from common.runtime.storage import write_atomically
from common.secagg.site.seen_files import SeenFiles
from common.secagg.wire.frames import Bytes, sha256

Fill: TypeAlias = Callable[[Callable[[Bytes], None]], bytes]
"""Writes a model piece by piece, and returns what an optimiser keeps with it."""


class KeptModels:
    """The model of one phase.

    Parameters
    ----------
    folder : Path
        The study's folder at the site.
    phase : str
        Name of the phase.
    seen : SeenFiles, optional
        Whose digest this process knows.
    """

    def __init__(self, folder: Path, phase: str, seen: SeenFiles | None = None) -> None:
        self._folder = folder
        self._seen = SeenFiles() if seen is None else seen
        self._name = sha256(phase.encode("ascii"))[:24]

    def keep(self, digest: str, model: Bytes) -> None:
        """Keep a model that came whole, under its SHA-256; what an optimiser kept with it stays."""
        if self.find(digest, len(model)) is None:
            self._write(lambda write: self._copy(write, digest, model))

    def derive(self, fill: Fill) -> str:
        """Keep the model that `fill` writes beside the one before, and return its SHA-256."""
        return self._write(fill)

    def find(self, digest: str, size: int, appendix: Bytes = b"") -> memoryview | None:
        """The model, with other bytes behind it: read-only, where it lies on the disk; None if not kept.

        Parameters
        ----------
        digest : str
            SHA-256 of the model.
        size : int
            Its length in bytes.
        appendix : bytes
            What is put behind it on the disk, in the place of what was there.
        """
        path = self._path_of("model", digest)
        if not path.exists() or path.stat().st_size < size:
            return None
        is_known = self._seen.find(path, size) == digest
        with path.open("r+b") as file:
            file.truncate(size)
            file.seek(size)
            file.write(appendix)
            file.flush()
            if not size + len(appendix):
                return memoryview(b"")
            view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
        if not is_known and sha256(view[:size]) != digest:
            return None
        self._seen.note(path, digest, size)
        return view

    def read_memory(self, digest: str) -> bytes:
        """What an optimiser keeps with the model of this SHA-256; empty if nothing."""
        path = self._path_of("memory", digest)
        return path.read_bytes() if path.exists() else b""

    def drop(self, but: str = "") -> None:
        """Erase the phase's models, except that of one SHA-256."""
        for file in self._folder.glob(f"{self._name}.m*"):
            if not but or not file.name.endswith(but):
                self._seen.forget(file)
                file.unlink()

    def _copy(self, write: Callable[[Bytes], None], digest: str, model: Bytes) -> bytes:
        write(model)
        return self.read_memory(digest)

    def _write(self, fill: Fill) -> str:
        path = self._path_of("model", "new")
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file, hash_beside() as written:

            def write(piece: Bytes) -> None:
                file.write(piece)
                written.add(piece)

            memory = fill(write)
            size = file.tell()
            file.flush()
            os.fsync(file.fileno())
            digest = written.end()
        if memory:
            write_atomically(self._path_of("memory", digest), memory, private=True)
        kept = self._path_of("model", digest)
        path.replace(kept)
        self._seen.note(kept, digest, size)
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return digest

    def _path_of(self, kind: str, digest: str) -> Path:
        return self._folder / f"{self._name}.{kind}.{digest}"
