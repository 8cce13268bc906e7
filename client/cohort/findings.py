"""What stops a whole site because of its patients: too few, an outcome too rare, a score out of range.

A site without any patient of an outcome, or without any at all, is not stopped: it is left out of what needs
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from client.cohort.given_scores import find_raw_score
from client.membership.site import SiteSettings
from common.cohort.outcome import Volumes
from common.cohort.patient import Patient
from common.cohort.schema import BY_NAME
from common.errors import Finding, Level
from common.plan.study import ScoresModel


@dataclass(frozen=True)
class StudiedPatient:
    """What is known of a patient when the cohort is judged.

    Attributes
    ----------
    patient : Patient
        The row of the table.
    baseline : Volumes or None
        Of the baseline CT, in ml; None while they are unknown.
    positive : bool or None
        Whether the hematoma expanded; None while that is unknown.
    """

    patient: Patient
    baseline: Volumes | None
    positive: bool | None


@dataclass(frozen=True)
class CohortFindings:
    """What stops a site because of its patients, and what leaves it out of some results.

    Attributes
    ----------
    studied : tuple of StudiedPatient
        The patients who were judged.
    size : tuple of Finding
        Fewer patients than the site takes part with.
    classes : tuple of Finding
        Too few patients of an outcome; empty while an outcome is unknown.
    ranges : tuple of Finding
        Values beyond the plan's range of a score.
    notes : tuple of Finding
        That an outcome, or every patient, is missing: nothing stops because of it.
    event : str
        What patients have who reached the outcome.
    """

    studied: tuple[StudiedPatient, ...]
    size: tuple[Finding, ...]
    classes: tuple[Finding, ...]
    ranges: tuple[Finding, ...]
    notes: tuple[Finding, ...] = ()
    event: str = "expansion"


def judge_cohort(
    settings: SiteSettings,
    models: Sequence[ScoresModel],
    studied: Sequence[StudiedPatient],
    *,
    refused: bool = True,
    event: str = "expansion",
) -> CohortFindings:
    """What stops the site because of these patients.

    Parameters
    ----------
    settings : SiteSettings
        The site's minimums.
    models : sequence of ScoresModel
        The plan's scores.
    studied : sequence of StudiedPatient
        The patients who can be used.
    refused : bool
        Whether findings refused other patients: if nobody is left then, they have to be mended first.
    event : str
        What patients have who reached the outcome.
    """
    return CohortFindings(
        studied=tuple(studied),
        size=find_too_few(settings, len(studied), refused=refused),
        classes=_find_rare_outcomes(settings, studied, event),
        ranges=tuple(find_out_of_range(settings.table, models, studied)),
        notes=note_missing_outcomes(settings.table, studied, refused=refused, event=event),
        event=event,
    )


def judge_again(
    earlier: CohortFindings,
    settings: SiteSettings,
    models: Sequence[ScoresModel],
    studied: Sequence[StudiedPatient],
) -> CohortFindings:
    """What stops the site after its scans were read: judges again only what the scans may have changed.

    Parameters
    ----------
    earlier : CohortFindings
        By the table alone.
    settings, models, studied
        As those of `judge_cohort`; nobody is studied who was not before.
    """
    by_table = {before.patient.identifier: before for before in earlier.studied}
    pairs = [(by_table[now.patient.identifier], now) for now in studied]
    some_refused = len(pairs) < len(by_table)
    new_outcomes = any(before.positive != now.positive for before, now in pairs)
    measured = [now for before, now in pairs if before.baseline != now.baseline]
    return CohortFindings(
        studied=tuple(studied),
        size=find_too_few(settings, len(pairs), refused=True) if some_refused else earlier.size,
        classes=_find_rare_outcomes(settings, studied, earlier.event)
        if some_refused or new_outcomes
        else earlier.classes,
        ranges=(*earlier.ranges, *(find_out_of_range(settings.table, models, measured) if measured else ())),
        notes=note_missing_outcomes(settings.table, studied, refused=True, event=earlier.event)
        if by_table
        else earlier.notes,
        event=earlier.event,
    )


def find_too_few(settings: SiteSettings, patients: int, *, refused: bool) -> tuple[Finding, ...]:
    """A fatal finding if fewer patients can be used than the site takes part with.

    A site of which the criteria leave nobody takes part with zeros, unless findings refused patients.
    """
    if patients >= settings.min_patients or (patients == 0 and not refused):
        return ()
    return (
        Finding(
            settings.table,
            f"{patients} patients can be used, fewer than the site's {settings.min_patients}",
            "mend the findings about patients, add patients, or lower policy.min_patients in site.toml",
        ),
    )


def find_rare_outcomes(
    settings: SiteSettings, positives: Sequence[bool], event: str = "expansion"
) -> tuple[Finding, ...]:
    """Fatal findings if an outcome is too rare for the site to take part; none if nobody has it.

    A number of 0 tells nothing of a single patient, so a site may take part with one outcome.

    Parameters
    ----------
    settings : SiteSettings
        The site's minimums.
    positives : sequence of bool
        Whether the outcome was reached, for every patient who can be used.
    event : str
        What patients have who reached it.
    """
    expanded = sum(positives)
    return tuple(
        Finding(
            settings.table,
            f"{number} patients {name} {event}, fewer than the site's {settings.min_per_class}",
            "add patients, or lower policy.min_per_class",
        )
        for number, name in ((expanded, "with"), (len(positives) - expanded, "without"))
        if 0 < number < settings.min_per_class
    )


def note_missing_outcomes(
    table: str, studied: Sequence[StudiedPatient], *, refused: bool, event: str = "expansion"
) -> tuple[Finding, ...]:
    """What a site is told that lacks an outcome, or every patient; nothing while an outcome is unknown.

    Parameters
    ----------
    table : str
        The file's name.
    studied : sequence of StudiedPatient
        Every patient who can be used.
    refused : bool
        Whether findings refused patients: if nobody is left then, it is not for the criteria.
    event : str
        What patients have who reached the outcome.
    """
    if not studied and refused:
        return ()
    if not studied:
        what, remedy = "the criteria leave no patient", "the site adds nothing to the study: check the units"
        return (Finding(table, what, remedy, Level.LOOK),)
    known = {patient.positive for patient in studied}
    if len(known) > 1 or None in known:
        return ()
    missing = "without" if True in known else "with"
    what = f"all {len(studied)} patients have one outcome: none is {missing} {event}"
    remedy = "the site is left out of what needs both outcomes, by name; the rest of the study goes on"
    return (Finding(table, what, remedy, Level.LOOK),)


def _find_rare_outcomes(
    settings: SiteSettings, studied: Sequence[StudiedPatient], event: str
) -> tuple[Finding, ...]:
    """Fatal findings on rare outcomes; none while an outcome is unknown."""
    positives = [patient.positive for patient in studied if patient.positive is not None]
    return find_rare_outcomes(settings, positives, event) if len(positives) == len(studied) else ()


def find_out_of_range(
    table: str, models: Sequence[ScoresModel], studied: Sequence[StudiedPatient]
) -> Iterator[Finding]:
    """Fatal findings on values of variables that lie outside the plan's range of a score.

    Columns for scores alone were checked cell by cell when the table was read.

    Parameters
    ----------
    table : str
        The file's name.
    models : sequence of ScoresModel
        The plan's scores.
    studied : sequence of StudiedPatient
        With their baseline volumes as far as they are known.
    """
    for known in studied:
        for column, model in ((one.column, one) for one in models if _is_variable(known.patient, one.column)):
            value = find_raw_score(known.patient, known.baseline, column)
            if value is not None and not model.low <= value <= model.high:
                yield Finding(
                    f"{table}, row {known.patient.row}, column {column!r}",
                    f"{value:g} lies outside {model.low:g} to {model.high:g}, the plan's range of the score "
                    f"{model.name!r}",
                    "correct the value; if it is right, the plan needs a wider range",
                )


def _is_variable(patient: Patient, column: str) -> bool:
    """Whether a score's column is a variable, too, with a range of its own."""
    return column in BY_NAME or column in patient.own
