"""One patient of the cohort table, with typed access to the row's values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from common.cohort.outcome import Volumes
from common.cohort.repeated_readings import Reading
from common.cohort.schema import BY_NAME, find_variable
from common.cohort.variable import Variable, VariableKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class Patient:
    """One row of the table.

    Attributes
    ----------
    identifier : str
        The site's own pseudonym; never leaves the site.
    row : int
        As a spreadsheet shows it: the heading is row 1.
    baseline_ct, baseline_mask, followup_ct, followup_mask : Path or None
        Absolute; a file or a DICOM folder; None where the cell is blank.
    values : mapping of str to float or str
        By the column's name, binary variables as 0.0 or 1.0; blank cells are absent.
    scores : mapping of str to float or None
        By column, the scores that only the study plan names; None where the cell is blank.
    repeated_masks : mapping of Reading to Path
        Further segmentations of the baseline CT, absolute paths; blank cells are absent.
    own : mapping of str to Variable
        The plan's own variables by heading; their values are among `values`.
    """

    identifier: str
    row: int
    baseline_ct: Path | None
    baseline_mask: Path | None
    followup_ct: Path | None
    followup_mask: Path | None
    values: Mapping[str, float | str] = field(hash=False)
    scores: Mapping[str, float | None] = field(default_factory=dict, hash=False)
    repeated_masks: Mapping[Reading, Path] = field(default_factory=dict, hash=False)
    own: Mapping[str, Variable] = field(default_factory=dict, hash=False, compare=False, repr=False)

    def number(self, name: str) -> float | None:
        """The value of a continuous variable; None where it is missing.

        Raises
        ------
        KeyError
            If neither schema nor plan has such a continuous variable.
        """
        return self._number_of_kind(name, "continuous")

    def flag(self, name: str) -> bool | None:
        """The value of a binary variable; None where it is missing.

        Raises
        ------
        KeyError
            If neither schema nor plan has such a binary variable.
        """
        value = self._number_of_kind(name, "binary")
        return None if value is None else bool(value)

    def level(self, name: str) -> str | None:
        """The level of a categorical variable; None where it is missing.

        Raises
        ------
        KeyError
            If neither schema nor plan has such a categorical variable.
        """
        value = self._value_of_kind(name, "categorical")
        return None if value is None else str(value)

    def score(self, column: str) -> float | None:
        """A score in the table: a column for scores alone, or a continuous variable of schema or plan.

        Raises
        ------
        KeyError
            If the column is neither, or was not read.
        """
        return self.number(column) if column in BY_NAME or column in self.own else self.scores[column]

    def value(self, name: str) -> float | str | None:
        """The value of a variable of any kind; None where it is missing."""
        return self.values.get(name)

    @property
    def files(self) -> tuple[tuple[str, Path], ...]:
        """Columns and paths of the cells that are filled, in the table's order."""
        cells = (
            ("baseline_ct", self.baseline_ct),
            ("baseline_mask", self.baseline_mask),
            ("followup_ct", self.followup_ct),
            ("followup_mask", self.followup_mask),
        )
        return tuple((column, path) for column, path in cells if path is not None)

    @property
    def baseline_volumes(self) -> Volumes | None:
        """The volumes that the table gives for the baseline CT; None unless it gives both."""
        return self._volumes_of("")

    @property
    def followup_volumes(self) -> Volumes | None:
        """The volumes that the table gives for the follow-up CT; None unless it gives both."""
        return self._volumes_of("followup_")

    def _volumes_of(self, prefix: str) -> Volumes | None:
        ich_ml, ivh_ml = self.number(f"{prefix}ich_volume_ml"), self.number(f"{prefix}ivh_volume_ml")
        return None if ich_ml is None or ivh_ml is None else Volumes(ich_ml, ivh_ml)

    def _number_of_kind(self, name: str, kind: VariableKind) -> float | None:
        value = self._value_of_kind(name, kind)
        return None if value is None else float(value)

    def _value_of_kind(self, name: str, kind: VariableKind) -> float | str | None:
        variable = self.own.get(name) or find_variable(name)
        if variable is None or variable.kind != kind:
            raise KeyError(f"the schema has no {kind} variable {name!r}, nor has the plan")
        return self.value(name)
