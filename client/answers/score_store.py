"""The scores that a site's models gave its patients; they stay there, only sums over them leave."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from client.cohort.cases import PreparedCase
from client.release.registry import digest_row
from common.errors import ProtocolError, StorageError
from common.runtime.storage import write_atomically
from common.types import Reals


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

    def keep(self, model: str, arm: str, cases: Sequence[PreparedCase], scores: Reals) -> None:
        """Saves the scores, in the order of the cases."""
        buffer = io.BytesIO()
        np.savez(buffer, scores=scores, patients=_fingerprint_patients(cases))
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
        if patients.tolist() != _fingerprint_patients(cases).tolist():
            raise ProtocolError(f"{model}, {arm}: the patients have changed since they were scored")
        return np.asarray(scores, dtype=np.float64)

    def _path(self, model: str, arm: str) -> Path:
        return self.folder / self.plan_hash[:16] / model / f"{arm}.npz"


def _fingerprint_patients(cases: Sequence[PreparedCase]) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """SHA-256 of the patients' rows in their order, shape (32,): a corrected value is scored anew."""
    names = "\n".join(digest_row(case) for case in cases)
    return np.frombuffer(hashlib.sha256(names.encode()).digest(), dtype=np.uint8)
