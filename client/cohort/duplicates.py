"""Scans that stand in a table twice, found by their bytes, whatever the files are called.

An entire archive need not be read: files of different sizes differ, and so do most headers.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

from common.cohort.table import Patient
from common.imaging.volumes.formats import DETACHED_HEADERS

_HEADERS = frozenset({*DETACHED_HEADERS, ".hdr"})
"""Suffixes of files that only describe a file beside them; alike for all patients of one scanner."""

_HEAD_BYTES = 8192
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class ScanUse:
    """One CT that the table names.

    Attributes
    ----------
    patient : Patient
        Whose row names it.
    column : str
        "baseline_ct" or "followup_ct".
    path : Path
        An existing file or folder.
    """

    patient: Patient
    column: str
    path: Path


def files_of(path: Path) -> tuple[Path, ...]:
    """The file itself, or every file of a DICOM folder but hidden ones, sorted.

    What is no file, such as a pipe, is left out: opening it may wait for ever. A broken link is listed.

    Raises
    ------
    OSError
        If a folder cannot be listed.
    """
    if not path.is_dir():
        return (path,)
    files: list[Path] = []
    for folder, _, names in os.walk(path, onerror=_raise):
        files += [Path(folder, name) for name in names if not name.startswith(".")]
    return tuple(sorted(file for file in files if file.is_file() or not file.exists()))


def _raise(failure: OSError) -> None:
    raise failure


def find_same_scans(uses: Iterable[ScanUse]) -> tuple[tuple[ScanUse, ...], ...]:
    """Groups of two or more uses whose files hold the same bytes.

    A header whose data lie in another file equals only itself; equal voxels are found when scans are read.
    """
    groups = [tuple(use for use in uses if use.path.is_file() or use.path.is_dir())]
    for fingerprint in (_fingerprint_sizes, _fingerprint_heads, _fingerprint_bytes):
        groups = [part for group in groups for part in _divide(group, fingerprint)]
    return tuple(groups)


def _divide(
    group: tuple[ScanUse, ...], fingerprint: Callable[[Path], Hashable]
) -> Iterable[tuple[ScanUse, ...]]:
    parts: defaultdict[Hashable, list[ScanUse]] = defaultdict(list)
    for use in group:
        try:
            parts[fingerprint(use.path)].append(use)
        except OSError:
            # No bytes, no comparison; reading the scan will report the file with its patient
            continue
    return [tuple(part) for part in parts.values() if len(part) > 1]


def _fingerprint_sizes(path: Path) -> Hashable:
    if path.suffix.lower() in _HEADERS:
        return os.path.realpath(path)
    return tuple(sorted(file.stat().st_size for file in files_of(path)))


def _fingerprint_heads(path: Path) -> Hashable:
    return tuple(sorted(_digest_head(file) for file in files_of(path)))


def _digest_head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.blake2b(stream.read(_HEAD_BYTES)).digest()


def _fingerprint_bytes(path: Path) -> Hashable:
    return tuple(sorted(_digest_file(file) for file in files_of(path)))


def _digest_file(file: Path) -> bytes:
    digest = hashlib.blake2b()
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.digest()
