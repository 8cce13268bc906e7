"""What DICOM says of patient and time, held against the table. Nothing of it leaves the site.

The table says how long after the onset the baseline CT was made, but not when the onset was: a scan's clock
alone cannot contradict it, so `onset_to_ct_h` is not compared. A contradiction that most patients of a site
share comes from the de-identification, not from the patients, and is said once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import Enum, auto

from client.cohort.refusals import PatientRefusal, locate_patient
from common.cohort.patient import Patient
from common.errors import Finding, Level
from common.imaging.scan import ScanHeaders

_HOUR_S = 3600
_DAY_H = 24.0
_YEAR_H = 8766.0
_INTERVAL_TOLERANCE_H = 1.0
_INTERVAL_TOLERANCE = 0.1
"""The scans' interval may differ from the table's by the larger of both (hours; share of the table's)."""
_AGE_TOLERANCE_YEARS = 1.0
_OLDEST_YEARS = 89.0
"""From this age on, de-identification writes one age for all."""
_FEW = 3
"""Fewer patients than these show no habit of a site."""
_ROWS_SHOWN = 5
_SEXES = {"M": "male", "F": "female"}
_REMEDY = "compare the files with the record; correct the table or the paths"
_PROVISIONAL = (
    "check that both are of one person; if they are, and one was made under an emergency's provisional "
    "number, give both the same PatientID"
)


class HeaderKind(Enum):
    """What DICOM and the table, or two scans of one patient, disagree about."""

    SWAPPED = auto()
    """The follow-up was taken before the baseline, by as much as the table says it came later."""
    DATES = auto()
    """The time between both scans."""
    IDENTITY = auto()
    """The PatientID of both scans."""
    BIRTH = auto()
    """The date of birth in both scans."""
    SEX = auto()
    """The patient's sex."""
    AGE = auto()
    """The patient's age."""


_OF_A_SITE = {
    HeaderKind.DATES: ("the scans' dates contradict 'ct_to_followup_h'", "were the dates altered?"),
    HeaderKind.IDENTITY: (
        "the PatientID of baseline and follow-up differs",
        "has each scan an ID of its own? Then compare both scans of each patient on the quality page",
    ),
    HeaderKind.BIRTH: ("the date of birth in baseline and follow-up differs", "were the dates altered?"),
    HeaderKind.SEX: ("the sex in DICOM contradicts 'sex'", "was it overwritten in the files?"),
    HeaderKind.AGE: ("the age in DICOM contradicts 'age'", "was it overwritten in the files?"),
}
"""What is said once where most patients of a site share a contradiction."""


@dataclass(frozen=True)
class PatientHeaders:
    """A patient and what the headers of both scans say.

    Attributes
    ----------
    patient : Patient
        The row of the table.
    baseline, followup : ScanHeaders or None
        None where the scan was not read or its format has no such headers.
    """

    patient: Patient
    baseline: ScanHeaders | None = None
    followup: ScanHeaders | None = None


@dataclass(frozen=True)
class HeaderFindings:
    """What comes of the comparison at one site.

    Attributes
    ----------
    refusals : tuple of PatientRefusal
        Patients whose scans are swapped, or of two people; a patient may have several.
    notes : tuple of Finding
        What a person must look at.
    """

    refusals: tuple[PatientRefusal, ...] = ()
    notes: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class _Contradiction:
    kind: HeaderKind
    finding: Finding


def compare_with_headers(
    table: str, patient: Patient, baseline: ScanHeaders | None, followup: ScanHeaders | None
) -> tuple[Finding, ...]:
    """What the headers of one patient's scans contradict: in the table, or in each other.

    Parameters
    ----------
    table : str
        The table's name, for messages.
    patient : Patient
    baseline, followup : ScanHeaders or None
        None where the scan was not read or its format has no such headers.
    """
    scans = PatientHeaders(patient, baseline, followup)
    return tuple(contradiction.finding for contradiction in _find_contradictions(table, scans))


def compare_site_with_headers(table: str, scans: Sequence[PatientHeaders]) -> HeaderFindings:
    """What the headers of a site's scans contradict; what most patients share is said once.

    Parameters
    ----------
    table : str
        The table's name, for messages.
    scans : sequence of PatientHeaders
        All patients whose scans were read.
    """
    uniform = _note_one_date(table, scans)
    if uniform:
        scans = [_drop_dates(one) for one in scans]
    found = [(one.patient, found) for one in scans for found in _find_contradictions(table, one)]
    comparable = Counter(kind for one in scans for kind in _list_comparable(one))
    patients: dict[HeaderKind, dict[int, Patient]] = defaultdict(dict)
    for patient, contradiction in found:
        patients[contradiction.kind][patient.row] = patient
    habits = [
        kind
        for kind in _OF_A_SITE
        if len(patients[kind]) >= _FEW and 2 * len(patients[kind]) >= comparable[kind]
    ]
    kept = [(patient, one.finding) for patient, one in found if one.kind not in habits]
    said_once = [_say_once(table, kind, list(patients[kind].values()), comparable[kind]) for kind in habits]
    shared = list(_find_shared_identities(table, scans))
    return HeaderFindings(
        tuple(
            PatientRefusal(patient, finding)
            for patient, finding in (*kept, *((p, f) for p, f in shared if p is not None))
            if finding.level is Level.REFUSED
        ),
        (
            *uniform,
            *said_once,
            *(finding for _, finding in (*kept, *shared) if finding.level is not Level.REFUSED),
        ),
    )


def _note_one_date(table: str, scans: Sequence[PatientHeaders]) -> tuple[Finding, ...]:
    """A note if all scans of several patients bear one date: it was overwritten and says nothing."""
    dates = [
        day
        for one in scans
        if one.baseline is not None and one.followup is not None
        for day in (_read_date(one.baseline), _read_date(one.followup))
        if day is not None
    ]
    if len(dates) < 2 * _FEW or len(set(dates)) > 1:
        return ()
    what = f"all {len(dates)} scans bear one date: it was overwritten, and the intervals were not compared"
    return (Finding(table, what, "nothing to do", Level.KNOW),)


def _read_date(headers: ScanHeaders) -> date | None:
    return headers.taken.date() if headers.taken else headers.study_date


def _drop_dates(scans: PatientHeaders) -> PatientHeaders:
    baseline, followup = (
        None if headers is None else replace(headers, taken=None, study_date=None)
        for headers in (scans.baseline, scans.followup)
    )
    return PatientHeaders(scans.patient, baseline, followup)


def _say_once(table: str, kind: HeaderKind, patients: list[Patient], comparable: int) -> Finding:
    what, remedy = _OF_A_SITE[kind]
    said = f"{what} for {len(patients)} of {comparable} patients ({_name_rows(patients)})"
    return Finding(table, said, remedy, Level.LOOK)


def _name_rows(patients: Sequence[Patient]) -> str:
    rows = [str(patient.row) for patient in patients]
    more = f" and {len(rows) - _ROWS_SHOWN} more" if len(rows) > _ROWS_SHOWN else ""
    return f"rows {', '.join(rows[:_ROWS_SHOWN])}{more}"


def _find_contradictions(table: str, scans: PatientHeaders) -> Iterator[_Contradiction]:
    where = locate_patient(table, scans.patient)
    yield from _compare_times(where, scans)
    yield from _compare_identity(where, scans)
    for time, headers in (("baseline", scans.baseline), ("followup", scans.followup)):
        if headers is not None:
            yield from _compare_sex(where, scans.patient, time, headers)
            yield from _compare_age(where, scans.patient, time, headers)


def _list_comparable(scans: PatientHeaders) -> Iterator[HeaderKind]:
    """What can be compared of this patient at all."""
    baseline, followup, patient = scans.baseline, scans.followup, scans.patient
    if baseline is not None and followup is not None:
        if _measure_interval(baseline, followup) is not None:
            yield HeaderKind.DATES
        if baseline.patient_id.strip() and followup.patient_id.strip():
            yield HeaderKind.IDENTITY
        if baseline.birth_date and followup.birth_date:
            yield HeaderKind.BIRTH
    read = [headers for headers in (baseline, followup) if headers is not None]
    if patient.level("sex") and any(_read_sex(headers) for headers in read):
        yield HeaderKind.SEX
    if patient.number("age") is not None and any(headers.age_years is not None for headers in read):
        yield HeaderKind.AGE


def _measure_interval(baseline: ScanHeaders, followup: ScanHeaders) -> tuple[float, float] | None:
    """From baseline to follow-up: hours, and by how many they may be off; None where a date is missing."""
    if baseline.taken and followup.taken:
        return (followup.taken - baseline.taken).total_seconds() / _HOUR_S, 0.0
    first, second = _read_date(baseline), _read_date(followup)
    # A day is known, and no time: 23:59 and 0:01 lie on different days, 0:01 and 23:59 on one
    return None if first is None or second is None else ((second - first).days * _DAY_H, _DAY_H)


def _compare_times(where: str, scans: PatientHeaders) -> Iterator[_Contradiction]:
    if scans.baseline is None or scans.followup is None:
        return
    measured = _measure_interval(scans.baseline, scans.followup)
    if measured is None:
        return
    hours, unsure_h = measured
    table_h = scans.patient.number("ct_to_followup_h")
    if hours < 0:
        kind = HeaderKind.DATES
        if table_h is not None and _fits(-hours, table_h, unsure_h):
            kind = HeaderKind.SWAPPED
        what = (
            f"by DICOM the follow-up CT was taken {_write_interval(-hours, unsure_h)} before the baseline CT"
        )
        remedy = "exchange baseline and follow-up (CT and mask) in the table, or correct the paths"
        yield _Contradiction(kind, Finding(where, what, remedy, Level.REFUSED))
    elif table_h is not None and not _fits(hours, table_h, unsure_h):
        what = (
            f"'ct_to_followup_h' is {table_h:g} h, but by DICOM the scans lie "
            f"{_write_interval(hours, unsure_h)} apart"
        )
        yield _Contradiction(HeaderKind.DATES, Finding(where, what, _REMEDY, Level.LOOK))


def _fits(hours: float, table_h: float, unsure_h: float) -> bool:
    tolerance = max(_INTERVAL_TOLERANCE_H, _INTERVAL_TOLERANCE * table_h)
    return abs(hours - table_h) <= tolerance + unsure_h + 1e-6


def _write_interval(hours: float, unsure_h: float) -> str:
    return f"{hours / _DAY_H:.0f} day(s)" if unsure_h else f"{hours:.1f} h"


def _compare_identity(where: str, scans: PatientHeaders) -> Iterator[_Contradiction]:
    baseline, followup = scans.baseline, scans.followup
    if baseline is None or followup is None:
        return
    first, second = baseline.patient_id.strip(), followup.patient_id.strip()
    if first and second and first != second:
        what = "the PatientID of baseline and follow-up differs: two people?"
        yield _Contradiction(HeaderKind.IDENTITY, Finding(where, what, _PROVISIONAL))
    births = (baseline.birth_date, followup.birth_date)
    if None not in births and births[0] != births[1]:
        what = "the date of birth in baseline and follow-up differs: two people?"
        yield _Contradiction(HeaderKind.BIRTH, Finding(where, what, _REMEDY, Level.LOOK))


def _read_sex(headers: ScanHeaders) -> str | None:
    return _SEXES.get(headers.sex.strip().upper())


def _compare_sex(where: str, patient: Patient, time: str, headers: ScanHeaders) -> Iterator[_Contradiction]:
    stated, written = _read_sex(headers), patient.level("sex")
    if stated and written and stated != written:
        what = f"'sex' is {written}, but DICOM says {stated} ('{time}_ct')"
        yield _Contradiction(HeaderKind.SEX, Finding(where, what, _REMEDY, Level.LOOK))


def _compare_age(where: str, patient: Patient, time: str, headers: ScanHeaders) -> Iterator[_Contradiction]:
    stated, written = headers.age_years, patient.number("age")
    if stated is None or written is None or min(stated, written) >= _OLDEST_YEARS:
        return
    passed = (patient.number("ct_to_followup_h") or 0.0) / _YEAR_H if time == "followup" else 0.0
    # Whole years, because one of the two may be rounded and the other reckoned from a year of birth alone
    if abs(int(stated) - int(written)) > _AGE_TOLERANCE_YEARS + passed:
        what = f"'age' is {written:g} years, but DICOM says {stated:.0f} ('{time}_ct')"
        yield _Contradiction(HeaderKind.AGE, Finding(where, what, _REMEDY, Level.LOOK))


def _find_shared_identities(
    table: str, scans: Sequence[PatientHeaders]
) -> Iterator[tuple[Patient | None, Finding]]:
    """Findings on a PatientID in several rows: in two it is one person twice, in more it stands for many."""
    owners: dict[str, dict[int, Patient]] = defaultdict(dict)
    for one in scans:
        for headers in (one.baseline, one.followup):
            if headers is not None and headers.patient_id.strip():
                owners[headers.patient_id.strip()][one.patient.row] = one.patient
    for rows in owners.values():
        patients = list(rows.values())
        if len(patients) == 2:
            for patient, other in (patients, patients[::-1]):
                what = (
                    f"DICOM has the same PatientID as in row {other.row}: one person twice, or a wrong path"
                )
                remedy = "keep one row a patient, or correct the paths"
                yield patient, Finding(locate_patient(table, patient), what, remedy)
        elif len(patients) > 2:
            what = f"one PatientID stands in the scans of {len(patients)} patients ({_name_rows(patients)})"
            remedy = (
                "if it is a person's, correct the paths; if it stands for everybody, nothing can be compared"
            )
            yield None, Finding(table, what, remedy, Level.LOOK)
