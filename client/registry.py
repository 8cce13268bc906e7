"""Which cohorts of a site statistics were released of: no two may differ in so few patients that it tells.

The registry outlives a study's run and its plan; it holds digests of rows, which never leave the site.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from client.prepare import PreparedCase
from common.errors import PolicyError, SmallNumberError, StorageError
from common.settings import Section
from common.stats.differencing import too_close
from common.stats.minima import Minima
from common.storage import write_atomically


class Released(Section):
    """One cohort of which numbers left the site, in one state of the data."""

    definition: str
    """Endpoint and part, e.g. "rHE, test"."""
    rows: tuple[str, ...]
    """Digests of its patients' rows, sorted."""


class _File(Section):
    version: int = Field(default=1, ge=1, le=1)
    released: tuple[Released, ...] = ()


@dataclass(frozen=True)
class ReleaseRegistry:
    """The file in which a site remembers.

    Attributes
    ----------
    path : Path
    maximum : int
        How many releases the plan allows.
    minima : Minima
        Of the plan's profile.
    """

    path: Path
    maximum: int
    minima: Minima

    def too_close(self, definition: str, rows: Sequence[str]) -> bool:
        """Whether the cohort differs from one already released in too few patients.

        Parameters
        ----------
        definition : str
        rows : sequence of str
            Its patients' `row_digest`.

        Raises
        ------
        PolicyError
            If it is a new cohort and the plan allows no more.
        StorageError
            If the registry is damaged.
        """
        return self.too_close_together([(definition, rows)])[0]

    def too_close_together(self, cohorts: Sequence[tuple[str, Sequence[str]]]) -> tuple[bool, ...]:
        """Which cohorts are too close to one released, or to one before them that may be released.

        Parameters
        ----------
        cohorts : sequence of (definition, rows)
            What one stage asks of together, in order of precedence; raises as `too_close`.
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
        """Adds the cohort, before anything of it leaves.

        Raises
        ------
        SmallNumberError
            If it is too close to one already released, whatever was made of the guard round.
        PolicyError, StorageError
            As `too_close`.
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
        return too_close(set(cohort.rows), [set(one.rows) for one in known], self.minima)

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


def row_digest(case: PreparedCase) -> str:
    """Of the identifier and of every value that statistics see: another value is another row."""
    row = {
        "patient": case.patient.identifier,
        "positive": case.positive,
        "values": dict(case.patient.values),
        "volumes": [asdict(case.baseline), asdict(case.followup)],
    }
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def reading_digest(case: PreparedCase) -> str:
    """Of the row and of every reading that statistics see: volumes, features and suggestions."""
    readings = case.readings
    read = {
        "row": row_digest(case),
        "first": None if readings.first is None else asdict(readings.first),
        "repeated": {name: asdict(volumes) for name, volumes in readings.repeated.items()},
        "suggested": dict(readings.suggested),
    }
    digest = hashlib.sha256(json.dumps(read, sort_keys=True).encode())
    for features in (case.features, *(readings.features[name] for name in sorted(readings.features))):
        digest.update(b"none" if features is None else features.tobytes())
    return digest.hexdigest()
