"""Exclusion criteria, the paper's six unless the plan has others, applied in order and counted.

References
----------
Ning et al. (2025), Scientific Reports, Methods and Fig. 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from common.cohort.schema import BY_NAME
from common.cohort.table import CohortTable, Patient, RejectedRow
from common.cohort.units import guess_stray
from common.errors import Finding, Level

_FEWEST = 5
"""Patients from which the share that a criterion excludes tells something."""


@dataclass(frozen=True)
class Bounds:
    """Values of a column that exclude a patient; those on a bound do not.

    Attributes
    ----------
    below, above : float or None
        Numbers below the one or above the other exclude.
    among : frozenset of float or str
        These exclude: levels, or 1.0 for a yes.
    """

    below: float | None = None
    above: float | None = None
    among: frozenset[float | str] = frozenset()

    def __call__(self, value: float | str) -> bool:
        """Whether a patient with this value is left out."""
        if value in self.among:
            return True
        if isinstance(value, str):
            return False
        return (self.below is not None and value < self.below) or (
            self.above is not None and value > self.above
        )


@dataclass(frozen=True)
class Criterion:
    """One reason for which a patient is left out.

    Attributes
    ----------
    name : str
        In results files.
    label : str
        As the flow chart prints it.
    variable : str
        The column that decides.
    excludes : Bounds
        Takes a value of that column, a number or a level; true if it excludes the patient.
    """

    name: str
    label: str
    variable: str
    excludes: Bounds


_PRESENT = Bounds(among=frozenset({1.0}))


CRITERIA: tuple[Criterion, ...] = (
    Criterion("age", "Age < 18 years", "age", Bounds(below=18)),
    Criterion("onset", "Baseline CT > 24 h after onset", "onset_to_ct_h", Bounds(above=24)),
    Criterion("followup", "Follow-up CT > 72 h after baseline CT", "ct_to_followup_h", Bounds(above=72)),
    Criterion("primary_ivh", "Primary IVH", "primary_ivh", _PRESENT),
    Criterion("prior_surgery", "Previous surgical treatment", "prior_surgery", _PRESENT),
    Criterion("artefacts", "Obvious artifacts", "artefacts", _PRESENT),
)
"""In the paper's order; a value on the bound (18 years, 24 h, 72 h) does not exclude."""


@dataclass(frozen=True)
class Exclusion:
    """Who was left out for one reason.

    Attributes
    ----------
    criterion : Criterion
        The first that the patients fail.
    patients : tuple of Patient
        In the table's order.
    """

    criterion: Criterion
    patients: tuple[Patient, ...]


@dataclass(frozen=True)
class Undecided:
    """A patient who fails no criterion that can be judged, while some cannot be judged.

    Attributes
    ----------
    patient : Patient
        With at least one blank column that a criterion needs.
    missing : tuple of str
        The blank columns.
    """

    patient: Patient
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Flow:
    """Rows of a table: screened, rejected, excluded, included.

    Attributes
    ----------
    screened : int
        Rows of the table, rejected ones too.
    exclusions : tuple of Exclusion
        One for each criterion, in order, including criteria that exclude nobody.
    undecided : tuple of Undecided
        Patients whose eligibility the table does not decide; neither included nor counted as excluded.
    included : tuple of Patient
        In the table's order.
    rejected : tuple of RejectedRow
        Rows that cannot be used, whose eligibility is not judged.
    """

    screened: int
    exclusions: tuple[Exclusion, ...]
    undecided: tuple[Undecided, ...]
    included: tuple[Patient, ...]
    rejected: tuple[RejectedRow, ...] = ()

    @property
    def excluded(self) -> tuple[int, ...]:
        """Numbers of patients left out, one for each criterion."""
        return tuple(len(exclusion.patients) for exclusion in self.exclusions)


def apply_exclusions(table: CohortTable, criteria: Sequence[Criterion] = CRITERIA) -> Flow:
    """The patients who are studied, and those who are left out, by reason.

    A patient counts once, under the first criterion that fails. A blank cell fails nothing: if no other
    criterion fails either, the patient is undecided.

    Parameters
    ----------
    table : CohortTable
        The patients.
    criteria : sequence of Criterion
        The plan's, in its order; by default the paper's.
    """
    excluded: dict[str, list[Patient]] = {criterion.name: [] for criterion in criteria}
    undecided: list[Undecided] = []
    included: list[Patient] = []
    for patient in table.patients:
        criterion = _find_first_failing(patient, criteria)
        blank = (one.variable for one in criteria if patient.value(one.variable) is None)
        missing = tuple(dict.fromkeys(blank))
        if criterion is not None:
            excluded[criterion.name].append(patient)
        elif missing:
            undecided.append(Undecided(patient, missing))
        else:
            included.append(patient)
    return Flow(
        screened=table.size,
        exclusions=tuple(Exclusion(criterion, tuple(excluded[criterion.name])) for criterion in criteria),
        undecided=tuple(undecided),
        included=tuple(included),
        rejected=table.rejected,
    )


def note_exclusions(table: CohortTable, flow: Flow) -> tuple[Finding, ...]:
    """What a person has to look at: whoever may be excluded by a column or a cell in another unit.

    A criterion that excludes most patients is more often a column misread.

    Parameters
    ----------
    table : CohortTable
        The patients.
    flow : Flow
        Who is excluded.
    """
    judged = len(table.patients)
    notes = list[Finding]()
    for exclusion in flow.exclusions:
        excluded = len(exclusion.patients)
        if judged >= _FEWEST and 2 * excluded > judged:
            criterion = exclusion.criterion
            cells = [patient.value(criterion.variable) for patient in table.patients]
            span = _describe_cells(cells)
            what = f"{criterion.label!r} excludes {excluded} of {judged} patients; the column holds {span}"
            remedy = "check the column's unit and meaning; if it is right, nothing is to be done"
            where = f"{table.path.name}, column {criterion.variable!r}"
            notes.append(Finding(where, what, remedy, Level.LOOK))
        elif not any(f"column {exclusion.criterion.variable!r}" in note.where for note in table.notes):
            # Else the column's own remark on its unit says it
            notes += _find_strays(table.path.name, exclusion)
    return tuple(notes)


def _describe_cells(cells: Sequence[float | str | None]) -> str:
    """Smallest, median and largest of numbers; the most frequent of levels."""
    values = [cell for cell in cells if isinstance(cell, float)]
    if values:
        return f"{min(values):g} to {max(values):g}, median {median(values):g}"
    ((level, number),) = Counter(cell for cell in cells if cell is not None).most_common(1)
    return f"{level!r} {number} times"


def _find_strays(table: str, exclusion: Exclusion) -> Iterator[Finding]:
    """Patients who would not be excluded if their cells were in another unit; of the schema's columns."""
    criterion = exclusion.criterion
    variable = BY_NAME.get(criterion.variable)
    if variable is None:
        return
    for patient in exclusion.patients:
        value = patient.value(variable.name)
        guess = guess_stray(variable, value) if isinstance(value, float) else None
        if guess is not None and not criterion.excludes(guess[0]):
            what = (
                f"{value:g} {variable.unit} excludes the patient by {criterion.label!r}; "
                f"if it is {guess[1]}, it is {guess[0]:.3g} {variable.unit}"
            )
            remedy = "find out what was written down; if it is right, nothing is to be done"
            yield Finding(f"{table}, row {patient.row}, column {variable.name!r}", what, remedy, Level.LOOK)


def _find_first_failing(patient: Patient, criteria: Sequence[Criterion]) -> Criterion | None:
    for criterion in criteria:
        value = patient.value(criterion.variable)
        if value is not None and criterion.excludes(value):
            return criterion
    return None
