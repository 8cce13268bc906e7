"""Everything that is wrong with a site's folder, listed at once: no fault hides another.

It judges by the same functions as a preparation, so that it lists whatever a preparation would refuse.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from client.cohort.case_readings import measure_again
from client.cohort.cases import MeasuredSite
from client.cohort.finding_report import ReportSubject, SiteReport, make_report
from client.cohort.findings import StudiedPatient
from client.cohort.intake import Intake, inspect_faulty_folder
from client.cohort.lesion_outlook import LesionOutlook
from client.cohort.lost_readings import LostReading
from client.cohort.outlook_notes import find_featureless_readings, note_outlooks
from client.cohort.patient_scans import measure_patients
from client.cohort.scans import SitePreparation
from client.cohort.site_judgement import judge_site, study_measured
from client.membership.policy import find_breaches
from client.membership.salvage import UNNAMED, salvage_site
from client.membership.site import SITE_FILE, SiteSettings
from common.cohort.patient import Patient
from common.cohort.table import CohortTable
from common.errors import CohortError, Finding, Level, ScanError
from common.plan.study import StudyPlan


@dataclass(frozen=True)
class Checkup:
    """What a check of a site's folder gave.

    Attributes
    ----------
    subject : ReportSubject
        The site, who is eligible, and how many patients can be studied.
    findings : tuple of Finding
        Every refusal; none if the folder can be used.
    notes : tuple of Finding
        What somebody should look at, or know, although it is used.
    """

    subject: ReportSubject
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...] = ()

    @property
    def usable(self) -> int:
        """Patients who can be studied."""
        return self.subject.usable

    @property
    def screened(self) -> int:
        """Rows of the table."""
        return self.subject.flow.screened if self.subject.flow else 0

    def report(self, study: str | None = None) -> SiteReport:
        """The report, for people and programs."""
        return make_report(self.subject, (*self.findings, *self.notes), study)


def check_site(folder: Path, progress: Progress, *, pixels: bool, plan: StudyPlan | None = None) -> Checkup:
    """What is wrong with the folder, and what is worth knowing of it.

    Parameters
    ----------
    folder : Path
        Holds site.toml, the table and the images.
    progress : Progress
        Shows the scans that are decoded.
    pixels : bool
        Whether every scan and mask is decoded too.
    plan : StudyPlan, optional
        The study for which the folder is checked: it says whether images are needed, which scores the table
        must hold, what counts as expansion, and into which parts the patients are divided.
    """
    salvaged = salvage_site(folder)
    settings, faults = salvaged.settings, salvaged.findings
    if settings is None:
        subject = ReportSubject(folder.resolve().name, "", scans_read=False, uncounted="no table is known")
        return Checkup(subject, faults)
    site = settings.name
    if plan is not None:
        if salvaged.is_read:
            faults = (*faults, *_refuse_plan(settings, folder, plan))
        if site not in plan.site_names:
            settings = settings.model_copy(update={"name": plan.site_names[0]})
    try:
        intake = inspect_faulty_folder(folder, settings, plan)
    except CohortError as failure:
        unread = [_note_unread(settings.table, "the table cannot be read")] if pixels else ()
        why = "the table cannot be read: its rows were not counted"
        subject = ReportSubject(site, settings.table, scans_read=False, uncounted=why)
        return Checkup(subject, (*faults, *failure.findings), tuple(unread))
    read = _read_scans(intake, progress) if pixels else _trust_table(intake)
    refusals = [refusal.finding for refusal in (*intake.refusals, *read.site.refusals)]
    unread = [_note_unread(settings.table, what) for what in _list_unread(intake)] if pixels else []
    if intake.table.is_refused:
        subject = ReportSubject(
            site,
            settings.table,
            rows=intake.table.patients,
            scans_read=pixels,
            uncounted=_describe_uncounted(intake.table),
        )
        notes = (*unread, *intake.table.notes, *read.site.notes)
        return Checkup(subject, (*faults, *intake.table.violations, *refusals), notes)
    judged = judge_site(intake, read.studied)
    losses = (lost.finding for lost in (*intake.lost, *read.lost))
    # A site with too few patients may have them once those who are refused are mended: the cause comes first
    findings = (*faults, *intake.rejected, *refusals, *losses, *judged.stops)
    notes = (*intake.table.notes, *judged.notes, *read.site.notes, *read.notes)
    subject = ReportSubject(
        site, settings.table, len(read.studied), intake.flow, intake.table.patients, scans_read=pixels
    )
    return Checkup(subject, findings, notes)


def _describe_uncounted(table: CohortTable) -> str:
    """What is said of the rows of a table that is refused as a whole."""
    why = "of its headings" if table.wrong_headings else "the table is refused as a whole"
    return f"{table.size} rows in the table, none counted as a patient or usable because {why}"


def _list_unread(intake: Intake) -> Iterator[str]:
    """Why files are not read that the table may name."""
    columns = intake.table.unread_files
    if columns:
        yield f"the table has no column {' and no column '.join(map(repr, columns))}"


def _note_unread(table: str, why: str) -> Finding:
    what = f"not every scan and mask was read: {why}"
    return Finding(table, what, "mend the table and check again: there may be more to find", Level.LOOK)


def _refuse_plan(settings: SiteSettings, folder: Path, plan: StudyPlan) -> Iterator[Finding]:
    """Why the site would refuse the plan, or the plan the site."""
    if settings.name not in {*plan.site_names, UNNAMED}:
        what = f"the plan has no site {settings.name!r}; its sites are {', '.join(plan.site_names)}"
        yield Finding(SITE_FILE, what, "correct the name, or take the right plan")
    yield from find_breaches(settings, folder, plan)


@dataclass(frozen=True)
class _CheckedPatients:
    """What table or scans tell of the patients whom intake accepts."""

    studied: Sequence[StudiedPatient]
    site: MeasuredSite
    lost: tuple[LostReading, ...] = ()
    notes: tuple[Finding, ...] = ()


def _trust_table(intake: Intake) -> _CheckedPatients:
    return _CheckedPatients(intake.cohort.studied, MeasuredSite())


def _read_scans(intake: Intake, progress: Progress) -> _CheckedPatients:
    scans = SitePreparation(intake.plan, intake.settings, cache=None)
    site = measure_patients(scans, intake, progress)
    patients = [case.patient for case in site.cases]
    every = {reading for patient in patients for reading in patient.repeated_masks}
    readings = intake.plan.readings if intake.plan else every
    again = measure_again(readings, intake, patients, scans, progress)
    lost, notes = list(again.lost), list(again.notes)
    if intake.plan is not None:
        plan, table = intake.plan, intake.settings.table
        _read_for_suggestions(plan, patients, scans)
        lost += find_featureless_readings(plan, table, patients, again.repeated, scans.outlooks)
        notes += note_outlooks(plan, table, patients, scans.outlooks)
    return _CheckedPatients(study_measured(intake, site.cases), site, tuple(lost), tuple(notes))


def _read_for_suggestions(plan: StudyPlan, patients: Sequence[Patient], scans: SitePreparation) -> None:
    """Read the scans that nothing but the markers' suggestions asks for."""
    for patient in patients if "agreement" in plan.phases else ():
        ct, mask = patient.baseline_ct, patient.baseline_mask
        if ct is None or mask is None or (ct, mask) in scans.outlooks:
            continue
        try:
            scans.measure_mask(ct, mask)
        except ScanError as refusal:
            scans.outlooks[ct, mask] = LesionOutlook(no_suggestion=str(refusal))
