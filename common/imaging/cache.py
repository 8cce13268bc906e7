"""Prepared scans on disk, keyed by the content of their files and by everything that determines the result.

An entry is a manifest and its arrays. The manifest is written last, so an entry without it does not exist,
whenever the process was killed. It holds every array's digest, so damage is found and the entry made anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from common.errors import ScanError, StorageError
from common.settings import Section
from common.storage import write_atomically

_log = logging.getLogger(__name__)


class Note(Section):
    """A finding about a scan that can be used all the same."""

    where: str
    """File or folder."""
    what: str
    """With the value."""
    remedy: str
    """What to do, if anything."""


class Record(Section):
    """What is kept of a scan beside its arrays."""

    ich_ml: float
    """Volume of ICH on the original grid."""
    ivh_ml: float
    """Volume of IVH on the original grid."""
    voxels: str
    """Digest of the scan's HU: equal scans in different files have the same."""
    rectangle: tuple[int, ...] = ()
    """Start and count of the 2D crop along (z, y, x); empty where nothing was cropped."""
    notes: tuple[Note, ...] = ()
    """Findings."""


class Manifest(Section):
    """An entry's file of contents."""

    record: Record
    """Of the scan."""
    arrays: dict[str, str]
    """SHA-256 of each array's file, by the array's name."""


@dataclass(frozen=True)
class Entry:
    """One prepared scan in the cache.

    Attributes
    ----------
    record : Record
    paths : mapping of str to Path
        The arrays' .npy files by name.
    """

    record: Record
    paths: Mapping[str, Path] = field(hash=False)


@dataclass(frozen=True)
class Cache:
    """A folder of prepared scans; may be deleted at any time.

    Attributes
    ----------
    folder : Path
    """

    folder: Path

    def find(self, key: str) -> Entry | None:
        """The entry, or None if it is not there or damaged."""
        path = self._manifest(key)
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as failure:
            raise StorageError(f"{path}: cannot be read ({failure.strerror})") from None
        try:
            manifest = Manifest.model_validate_json(content)
        except ValidationError:
            _log.warning("cache damaged file=%s action=rebuild", path.name)
            return None
        entry = Entry(manifest.record, {name: self._array(key, name) for name in manifest.arrays})
        for name, digest in manifest.arrays.items():
            if _digest_or_none(entry.paths[name]) != digest:
                _log.warning("cache damaged file=%s action=rebuild", entry.paths[name].name)
                return None
        return entry

    def keep(self, key: str, record: Record, arrays: Mapping[str, NDArray[Any]]) -> Entry:
        """The entry, written whole or not at all.

        Raises
        ------
        StorageError
            If the disk is full or the folder cannot be written.
        """
        digests = {}
        for name, array in arrays.items():
            buffer = io.BytesIO()
            np.save(buffer, array, allow_pickle=False)
            content = buffer.getvalue()
            digests[name] = hashlib.sha256(content).hexdigest()
            write_atomically(self._array(key, name), content)
        manifest = Manifest(record=record, arrays=digests)
        write_atomically(self._manifest(key), manifest.model_dump_json().encode())
        return Entry(record, {name: self._array(key, name) for name in arrays})

    def tidy(self) -> None:
        """Remove what a killed process left half-written; only while no other process uses the folder."""
        for partial in self.folder.glob("*/.*.partial"):
            partial.unlink(missing_ok=True)

    def _manifest(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    def _array(self, key: str, name: str) -> Path:
        return self.folder / key[:2] / f"{key}.{name}.npy"


def content_key(files: Iterable[Path], settings: Mapping[str, Any]) -> str:
    """The key of what these files give under these settings.

    Parameters
    ----------
    files : iterable of Path
        Their order and bytes count, their names do not.
    settings : mapping
        JSON-able; everything else that determines the result.

    Raises
    ------
    ScanError
        If a file cannot be read.
    """
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for file in files:
        try:
            digest.update(file_digest(file).encode())
        except OSError as failure:
            raise ScanError(f"{file}: cannot be read ({failure.strerror}) -> check the file") from None
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest_or_none(path: Path) -> str | None:
    try:
        return file_digest(path)
    except OSError:
        return None
