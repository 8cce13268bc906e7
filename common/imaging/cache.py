"""Prepared scans on disk, keyed by the content of their files and by everything that determines the result.

An entry is a manifest and its arrays. The manifest is written last: an entry without one does not exist, so a
process may be killed at any time. It holds every array's digest: damage is found and the entry made again.
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

from common.errors import Level, ScanError, StorageError
from common.imaging.scan import Scan, ScanHeaders
from common.runtime.settings_file import Section
from common.runtime.storage import write_atomically

READING_ALGORITHM = 5
"""Raised with every change of what reading a scan or a mask gives, refuses or notes: it makes caches anew.

A model's card does not state it: inputs of scans that are still accepted are the same.
"""

_log = logging.getLogger(__name__)


class ScanNote(Section):
    """A finding about a scan that can still be used."""

    where: str
    """File or folder."""
    what: str
    """The finding, with the value."""
    remedy: str
    """What to do, if anything."""
    level: Level
    """What follows from it."""


class ScanRecord(Section):
    """What is stored of a scan beside its arrays."""

    ich_ml: float
    """Volume of ICH in ml, on the mask's original grid."""
    ivh_ml: float
    """Volume of IVH in ml, on the mask's original grid."""
    voxels: str
    """Digest of the scan's HU: equal scans in different files have the same digest."""
    labels: str = ""
    """Digest of the mask's labels on its own grid; empty where there is no mask."""
    rectangle: tuple[int, ...] = ()
    """Start and count of the 2D crop along (z, y, x); empty where nothing was cropped."""
    notes: tuple[ScanNote, ...] = ()
    """What should be known about the scan."""
    headers: ScanHeaders | None = None
    """What DICOM says of patient and time; none where the format cannot say it."""


class Manifest(Section):
    """The manifest of one entry; it is written last."""

    record: ScanRecord
    """What is stored of the scan beside its arrays."""
    arrays: dict[str, str]
    """SHA-256 of each array's file, by the array's name."""


@dataclass(frozen=True)
class CachedScan:
    """One prepared scan in the cache.

    Attributes
    ----------
    record : ScanRecord
        What is stored beside the arrays.
    paths : mapping of str to Path
        The .npy file of each array, by the array's name.
    """

    record: ScanRecord
    paths: Mapping[str, Path] = field(hash=False)


@dataclass(frozen=True)
class Cache:
    """A folder of prepared scans; may be deleted at any time.

    Attributes
    ----------
    folder : Path
        Holds a subfolder for each first two digits of a key.
    """

    folder: Path

    def find(self, key: str) -> CachedScan | None:
        """The entry of this key; None if it does not exist or is damaged.

        Raises
        ------
        StorageError
            If its manifest cannot be read.
        """
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
        entry = CachedScan(manifest.record, {name: self._array(key, name) for name in manifest.arrays})
        for name, digest in manifest.arrays.items():
            if _digest_or_none(entry.paths[name]) != digest:
                _log.warning("cache damaged file=%s action=rebuild", entry.paths[name].name)
                return None
        return entry

    def keep(self, key: str, record: ScanRecord, arrays: Mapping[str, NDArray[Any]]) -> CachedScan:
        """Write an entry, completely or not at all, and return it.

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
        return CachedScan(record, {name: self._array(key, name) for name in arrays})

    def tidy(self) -> None:
        """Remove files that a killed process left incomplete; only while no other process uses the folder."""
        for partial in self.folder.glob("*/.*.partial"):
            partial.unlink(missing_ok=True)

    def _manifest(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"

    def _array(self, key: str, name: str) -> Path:
        return self.folder / key[:2] / f"{key}.{name}.npy"


def content_key(files: Iterable[Path], settings: Mapping[str, Any]) -> str:
    """The key of the result that these files give under these settings.

    Parameters
    ----------
    files : iterable of Path
        Their order and bytes count, their names do not.
    settings : mapping
        Everything else that determines the result; must be convertible to JSON. For a patient's scans,
        `client/cohort/scans.py` collects it.

    Raises
    ------
    ScanError
        If a file cannot be read.
    """
    everything = {"reading": READING_ALGORITHM, **settings}
    digest = hashlib.sha256(json.dumps(everything, sort_keys=True).encode())
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


def digest_voxels(scan: Scan) -> str:
    """The SHA-256 of a scan's voxels, hexadecimal: equal for equal voxels, whatever their files are.

    A slice of whole numbers is digested as int16, whatever its type is: they are half the bytes.
    """
    digest = hashlib.sha256()
    for plane in scan.voxels:
        part = plane if plane.dtype == np.int16 else _shorten(plane)
        digest.update(part.dtype.str.encode())
        digest.update(np.ascontiguousarray(part).data)
    return digest.hexdigest()


def _shorten(plane: NDArray[Any]) -> NDArray[Any]:
    """The slice as int16 where that changes no value, else as float32."""
    # What does not fit becomes another number
    with np.errstate(invalid="ignore"):
        whole = plane.astype(np.int16)
    return whole if np.array_equal(whole, plane) else plane.astype(np.float32)


def _digest_or_none(path: Path) -> str | None:
    try:
        return file_digest(path)
    except OSError:
        return None
