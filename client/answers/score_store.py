"""The scores that a site's models gave its patients; they stay there, only sums over them leave."""

from __future__ import annotations

import hashlib
import io
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias
from zipfile import BadZipFile

import numpy as np

from client.cohort.cases import PreparedCase
from client.release.registry import digest_row
from common.errors import ProtocolError, StorageError
from common.runtime.storage import write_atomically
from common.types import Reals

_Fingerprint: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.uint8]]"


@dataclass(frozen=True)
class ScoreStore:
    """A folder with one file of scores a model and arm, of one plan.

    Attributes
    ----------
    folder : Path
        Where the files lie.
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
        buffer = io.BytesIO()
        np.savez(buffer, scores=scores, patients=self._fingerprint(cases))
        write_atomically(self._path(model, arm), buffer.getvalue(), private=True)

    def find(self, model: str, arm: str, cases: Sequence[PreparedCase]) -> Reals:
        """The scores of these patients, shape (n,), NaN where a patient has none.

        Raises
        ------
        ProtocolError
            If these patients were not scored by this model.
        StorageError
            If the file is damaged.
        """
        path = self._path(model, arm)
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as kept:
                scores, patients = kept["scores"], kept["patients"]
        except FileNotFoundError:
            raise ProtocolError(
                f"{model}, {arm}: asked to evaluate a model that has not scored yet"
            ) from None
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as failure:
            raise StorageError(
                f"{path}: the scores are damaged ({failure}) -> delete it, run again"
            ) from None
        if patients.tolist() != self._fingerprint(cases).tolist():
            raise ProtocolError(f"{model}, {arm}: the patients have changed since they were scored")
        return np.asarray(scores, dtype=np.float64)

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


def _fingerprint_patients(cases: Sequence[PreparedCase]) -> _Fingerprint:
    """SHA-256 of the patients' rows in their order, shape (32,): a corrected value is scored anew."""
    names = "\n".join(digest_row(case) for case in cases)
    return np.frombuffer(hashlib.sha256(names.encode()).digest(), dtype=np.uint8)
