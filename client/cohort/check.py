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
from client.cohort.intake import Intake, inspect_folder
from client.cohort.lost_readings import LostReading
from client.cohort.scans import SitePreparation
from client.cohort.site_judgement import judge_site, study_measured
from client.membership.policy import find_breaches
from client.membership.salvage import UNNAMED, salvage_site
from client.membership.site import SITE_FILE, SiteSettings
from common.errors import CohortError, Finding
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
        return Checkup(ReportSubject(folder.resolve().name, "", scans_read=False), faults)
    site = settings.name
    if plan is not None:
        if salvaged.is_read:
            faults = (*faults, *_refuse_plan(settings, folder, plan))
        if site not in plan.site_names:
            settings = settings.model_copy(update={"name": plan.site_names[0]})
    try:
        intake = inspect_folder(folder, settings, plan)
    except CohortError as failure:
        return Checkup(ReportSubject(site, settings.table, scans_read=False), (*faults, *failure.findings))
    read = _read_scans(intake, progress) if pixels else _trust_table(intake)
    judged = judge_site(intake, read.studied)
    refusals = (refusal.finding for refusal in (*intake.refusals, *read.site.refusals))
    losses = (lost.finding for lost in (*intake.lost, *read.lost))
    # A site with too few patients may have them once those who are refused are mended: the cause comes first
    findings = (*faults, *intake.rejected, *refusals, *losses, *judged.stops)
    notes = (*intake.table.notes, *judged.notes, *read.site.notes, *read.notes)
    subject = ReportSubject(
        site, settings.table, len(read.studied), intake.flow, intake.table.patients, scans_read=pixels
    )
    return Checkup(subject, findings, notes)


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
    site = scans.measure_patients(intake, progress)
    patients = [case.patient for case in site.cases]
    every = {reading for patient in patients for reading in patient.repeated_masks}
    readings = intake.plan.readings if intake.plan else every
    again = measure_again(readings, intake, patients, scans, progress)
    return _CheckedPatients(study_measured(intake, site.cases), site, again.lost, again.notes)
