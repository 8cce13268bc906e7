"""The scores and attention maps that a site's models gave its patients; only sums over them leave."""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from zipfile import BadZipFile

import numpy as np

from client.cohort.cases import PreparedCase
from client.release.registry import digest_row
from common.errors import ProtocolError, StorageError
from common.runtime.storage import write_atomically
from common.types import Counts, Flags, Reals

_Fingerprint: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.uint8]]"


@dataclass(frozen=True, eq=False)
class KeptMaps:
    """The attention maps of some patients.

    Attributes
    ----------
    drawn : bool array, shape (n,)
        Who has one.
    maps : int array, shape (drawn patients, 2, cells, cells)
        Of these, as `common.stats.mean_map.encode_map` writes them.
    """

    drawn: Flags
    maps: Counts

    @classmethod
    def of_nobody(cls, patients: int, cells: int) -> KeptMaps:
        """What is kept of a network that could not be explained here."""
        return cls(np.zeros(patients, dtype=np.bool_), np.zeros((0, 2, cells, cells), dtype=np.int64))

    def of(self, patients: Counts) -> Counts:
        """The maps of those of these patients who have one, in their order."""
        wanted = patients[self.drawn[patients]]
        chosen: Counts = self.maps[np.cumsum(self.drawn)[wanted] - 1]
        return chosen


@dataclass(frozen=True)
class ScoreStore:
    """A folder with one file of scores a model and arm, of one plan; maps lie in a folder beside it.

    Attributes
    ----------
    folder : Path
        Where the files with scores lie.
    plan_hash : str
        Part of every path, so that a changed plan scores anew.
    """

    folder: Path
    plan_hash: str
    _fingerprints: deque[tuple[tuple[PreparedCase, ...], _Fingerprint]] = field(
        default_factory=lambda: deque(maxlen=1), init=False, repr=False, compare=False
    )

    def keep(self, model: str, arm: str, cases: Sequence[PreparedCase], scores: Reals) -> None:
        """Saves the scores, in the order of the cases."""
        self._write(self._path(model, arm), cases, scores=scores)

    def keep_maps(self, model: str, arm: str, cases: Sequence[PreparedCase], kept: KeptMaps) -> None:
        """Saves the maps of some of the cases."""
        maps = kept.maps.astype(np.int32)
        self._write(self._path_of_maps(model, arm), cases, drawn=kept.drawn, maps=maps)

    def find(self, model: str, arm: str, cases: Sequence[PreparedCase]) -> Reals:
        """The scores of these patients, shape (n,), NaN where a patient has none.

        Raises
        ------
        ProtocolError
            If these patients were not scored by this model.
        StorageError
            If the file is damaged.
        """
        kept = self._read(self._path(model, arm), cases, ("scores",))
        if kept is None:
            raise ProtocolError(f"{model}, {arm}: asked to evaluate a model that has not scored yet")
        return np.asarray(kept[0], dtype=np.float64)

    def find_maps(self, model: str, arm: str, cases: Sequence[PreparedCase]) -> KeptMaps | None:
        """The attention maps of these patients; None where this model has not been explained here.

        Raises
        ------
        ProtocolError
            If the patients have changed since.
        StorageError
            If the file is damaged.
        """
        kept = self._read(self._path_of_maps(model, arm), cases, ("drawn", "maps"))
        if kept is None:
            return None
        return KeptMaps(np.asarray(kept[0], dtype=np.bool_), np.asarray(kept[1], dtype=np.int64))

    def _write(self, path: Path, cases: Sequence[PreparedCase], **arrays: np.ndarray[Any, Any]) -> None:
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays, patients=self._fingerprint(cases))
        write_atomically(path, buffer.getvalue(), private=True)

    def _read(
        self, path: Path, cases: Sequence[PreparedCase], names: tuple[str, ...]
    ) -> list[np.ndarray[Any, Any]] | None:
        """The arrays of a file about these patients; None if there is none.

        Raises
        ------
        ProtocolError
            If it is about other patients.
        StorageError
            If it is damaged.
        """
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
                arrays, patients = [kept[name] for name in names], kept["patients"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as failure:
            what = f"the {names[-1]} are damaged"
            raise StorageError(f"{path}: {what} ({failure}) -> delete it, run again") from None
        if patients.tolist() != self._fingerprint(cases).tolist():
            raise ProtocolError(
                f"{path.parent.name}, {path.stem}: the patients have changed since they were scored"
            )
        return arrays

    def _fingerprint(self, cases: Sequence[PreparedCase]) -> _Fingerprint:
        """The patients' fingerprint, taken once for the same tuple: every question opens every score."""
        for known, fingerprint in self._fingerprints:
            if known is cases:
                return fingerprint
        fingerprint = _fingerprint_patients(cases)
        if isinstance(cases, tuple):
            self._fingerprints.append((cases, fingerprint))
        return fingerprint

    def _path(self, model: str, arm: str) -> Path:
        return self.folder / self.plan_hash[:16] / model / f"{arm}.npz"

    def _path_of_maps(self, model: str, arm: str) -> Path:
        return self.folder.with_name("maps") / self.plan_hash[:16] / model / f"{arm}.npz"


def _fingerprint_patients(cases: Sequence[PreparedCase]) -> _Fingerprint:
    """SHA-256 of the patients' rows in their order, shape (32,): a corrected value is scored anew."""
    names = "\n".join(digest_row(case) for case in cases)
    return np.frombuffer(hashlib.sha256(names.encode()).digest(), dtype=np.uint8)
