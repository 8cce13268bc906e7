"""The cohorts whose statistics a site has released: no two may differ in only a few patients.

The registry outlives a study's run and its plan. It holds digests of rows, which never leave the site.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from client.cohort.cases import PreparedCase
from common.errors import PolicyError, SmallNumberError, StorageError
from common.runtime.settings_file import Section
from common.runtime.storage import write_atomically
from common.stats.differencing import is_too_close
from common.stats.minima import Minima


class Released(Section):
    """One cohort, in one state of the data, of which numbers left the site."""

    definition: str
    """Endpoint and part of the cohort, e.g. "rHE, test"."""
    rows: tuple[str, ...]
    """SHA-256 of its patients' rows (`digest_row`), sorted."""


class _File(Section):
    version: int = Field(default=1, ge=1, le=1)
    released: tuple[Released, ...] = ()


@dataclass(frozen=True)
class ReleaseRegistry:
    """The file in which a site remembers released cohorts.

    Attributes
    ----------
    path : Path
        The file.
    maximum : int
        How many cohorts the plan allows to be released.
    minima : Minima
        The least numbers of patients that the plan's profile asks for.
    """

    path: Path
    maximum: int
    minima: Minima

    def find_too_close(self, cohorts: Sequence[tuple[str, Sequence[str]]]) -> tuple[bool, ...]:
        """Which cohorts are too close to a released one, or to an earlier one here that may be released.

        Parameters
        ----------
        cohorts : sequence of (definition, rows)
            What one stage asks about together, in order of precedence; `rows` are the patients' `digest_row`.

        Raises
        ------
        PolicyError
            If a cohort is new and the plan allows no more.
        StorageError
            If the registry is damaged.
        """
        known, close = list(self._read()), []
        for definition, rows in cohorts:
            cohort = Released(definition=definition, rows=tuple(sorted(rows)))
            new = bool(rows) and cohort not in known
            close.append(new and self._is_close(cohort, known))
            if new and not close[-1]:
                known.append(cohort)
        return tuple(close)

    def remember(self, definition: str, rows: Sequence[str]) -> None:
        """Add the cohort, before any number of it leaves.

        Raises
        ------
        SmallNumberError
            If it is too close to one already released, even if the guard round's answer was ignored.
        PolicyError, StorageError
            As `find_too_close`.
        """
        known = self._read()
        cohort = Released(definition=definition, rows=tuple(sorted(rows)))
        if not rows or cohort in known:
            return
        if self._is_close(cohort, known):
            raise SmallNumberError(
                f"{definition}: too few patients more or less than in a cohort already released, "
                "as the guard round said"
            )
        text = _File(released=(*known, cohort)).model_dump_json(indent=1)
        write_atomically(self.path, text.encode(), private=True)

    def _is_close(self, cohort: Released, known: Sequence[Released]) -> bool:
        if len(known) >= self.maximum:
            raise PolicyError(
                f"statistics of {len(known)} cohorts were released, cohort.maximum_releases is "
                f"{self.maximum} -> ask for fewer cohorts, or agree on a plan that allows more"
            )
        return is_too_close(set(cohort.rows), [set(released.rows) for released in known], self.minima)

    def _read(self) -> tuple[Released, ...]:
        try:
            return _File.model_validate_json(self.path.read_bytes()).released
        except FileNotFoundError:
            return ()
        except (OSError, ValidationError):
            raise StorageError(
                f"{self.path}: the registry of released cohorts is damaged -> restore it from a backup; "
                "without it nothing more may be released"
            ) from None


def digest_row(case: PreparedCase) -> str:
    """SHA-256 of a patient's identifier and all values that statistics see; another value is another row."""
    row = {
        "patient": case.patient.identifier,
        "positive": case.positive,
        "values": dict(case.patient.values),
        "volumes": [None if one is None else asdict(one) for one in (case.baseline, case.followup)],
    }
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def digest_reading(case: PreparedCase) -> str:
    """SHA-256 of a patient's row and all readings that statistics see: volumes, features and suggestions."""
    readings = case.readings
    read = {
        "row": digest_row(case),
        "first": None if readings.first is None else asdict(readings.first),
        "repeated": {name: asdict(volumes) for name, volumes in readings.repeated.items()},
        "suggested": dict(readings.suggested),
    }
    digest = hashlib.sha256(json.dumps(read, sort_keys=True).encode())
    for features in (case.features, *(readings.features[name] for name in sorted(readings.features))):
        digest.update(b"none" if features is None else features.tobytes())
    return digest.hexdigest()
