"""What a series' headers say of the patient and the time (PS3.3 C.7.1.1, C.7.2.1, C.8.2.1).

Headers are written by hand, by anonymisers and by scanners: what is malformed is unknown, and never an error.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from datetime import time as clock

from common.errors import ScanError
from common.imaging.dicom.instance import Instance
from common.imaging.scan import ScanHeaders

_YEARS = {"D": 1 / 365.25, "W": 7 / 365.25, "M": 1 / 12, "Y": 1.0}
"""Years in each unit of an Age String (PS3.5 6.2)."""

_OLDEST_YEARS = 130.0

_TIMES = (
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("SeriesDate", "SeriesTime"),
)
"""Dates and times of an image, the one nearest to its acquisition first."""

_DATE = re.compile(r"(\d{4})[.-]?(\d\d)[.-]?(\d\d)")
_TIME = re.compile(r"(\d\d):?(\d\d)(?::?(\d\d)(?:\.(\d{1,6})\d*)?)?")
_DATETIME = re.compile(r"(\d{8})(\d{4}(?:\d\d(?:\.\d+)?)?)(?:[+-]\d{4})?")


def read_scan_headers(series: Sequence[Instance]) -> ScanHeaders:
    """Patient and time; the time is the earliest of all slices."""
    first = series[0]
    birth, study = parse_date(_read(first, "PatientBirthDate")), _find_day(first)
    times = [taken for instance in series if (taken := find_time(instance)) is not None]
    taken = min(times, default=None)
    age = parse_age(_read(first, "PatientAge"))
    if age is None:
        age = _subtract_years(taken.date() if taken else study, birth)
    return ScanHeaders(
        patient_id=_read(first, "PatientID"),
        sex=_read(first, "PatientSex"),
        age_years=age,
        birth_date=birth,
        study_date=study,
        taken=taken,
        frame_of_reference=_read(first, "FrameOfReferenceUID"),
    )


def _read(instance: Instance, keyword: str) -> str:
    try:
        return instance.text(keyword)
    except ScanError:
        return ""


def _find_day(instance: Instance) -> date | None:
    """The day of the study, else that of the images."""
    days = (parse_date(_read(instance, name)) for name in ("StudyDate", *(day for day, _ in _TIMES)))
    return next((day for day in days if day is not None), None)


def find_time(instance: Instance) -> datetime | None:
    """When the slice was acquired, by the first tags that say it.

    Exactly midnight says nothing: anonymisers put it in the place of a time that they remove. A local time is
    returned without its zone: the cohort table has none either.
    """
    matched = _DATETIME.fullmatch(_read(instance, "AcquisitionDateTime"))
    if matched and (taken := parse_time(*matched.groups())) is not None and taken.time() != clock.min:
        return taken
    for day, time in _TIMES:
        taken = parse_time(_read(instance, day), _read(instance, time))
        if taken is not None and taken.time() != clock.min:
            return taken
    return None


def parse_date(text: str) -> date | None:
    """The day of a DICOM date (DA); None if it is none.

    >>> parse_date("19570316"), parse_date("1957-13-99")
    (datetime.date(1957, 3, 16), None)
    """
    matched = _DATE.fullmatch(text)
    try:
        return date(*(int(part) for part in matched.groups())) if matched else None
    except ValueError:
        return None


def parse_time(day: str, time: str) -> datetime | None:
    """The moment of a DICOM date and time (TM); None if one is none.

    >>> parse_time("20240305", "101742.5")
    datetime.datetime(2024, 3, 5, 10, 17, 42, 500000)
    """
    parsed, matched = parse_date(day), _TIME.fullmatch(time)
    if parsed is None or matched is None:
        return None
    hours, minutes, seconds, fraction = matched.groups()
    if int(hours) > 23 or int(minutes) > 59 or int(seconds or 0) > 60:
        return None
    since = timedelta(
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(seconds or 0),
        microseconds=int((fraction or "0").ljust(6, "0")),
    )
    try:
        return datetime.combine(parsed, clock.min) + since
    except OverflowError:
        return None


def parse_age(text: str) -> float | None:
    """Years of an Age String such as 045Y or 018M; None if it is none.

    >>> parse_age("045Y"), parse_age("018M"), parse_age("old")
    (45.0, 1.5, None)
    """
    matched = re.fullmatch(r"(\d{1,3})([DWMY])", text.upper())
    if matched is None:
        return None
    years = int(matched[1]) * _YEARS[matched[2]]
    return years if years <= _OLDEST_YEARS else None


def _subtract_years(later: date | None, birth: date | None) -> float | None:
    if later is None or birth is None:
        return None
    years = (later - birth).days / 365.25
    return years if 0 <= years <= _OLDEST_YEARS else None
