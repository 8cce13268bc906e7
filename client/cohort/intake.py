"""Everything about a site's folder that can be checked without decoding a pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from client.cohort.findings import CohortFindings, StudiedPatient, judge_cohort
from client.cohort.lost_readings import LostReading, find_lost_readings
from client.cohort.parts import find_split_problems
from client.cohort.patient_needs import PatientNeeds, needs_of
from client.cohort.refusals import PatientRefusal, refuse_patients
from client.membership.site import MARKER, SITE_FILE, SiteSettings, is_marked_synthetic, load_site
from common.cohort.eligibility import Flow, apply_exclusions, note_exclusions
from common.cohort.outcome import Expansion, OutcomeDefinition, classify
from common.cohort.table import CohortTable, Patient, read_faulty_table
from common.errors import CohortError, Finding, Level, SiteError
from common.plan.needed_columns import choose_columns
from common.plan.study import StudyPlan

_OWN_TABLE = 5
"""Wrong headings that tell of a hospital's own table."""


@dataclass(frozen=True)
class Intake:
    """A site's folder as intake finds it.

    Attributes
    ----------
    folder : Path
        The site's folder.
    settings : SiteSettings
        Its site.toml.
    plan : StudyPlan or None
        The study for which it was checked, if any.
    table : CohortTable
        Its patients.
    flow : Flow
        Who is eligible.
    refusals : tuple of PatientRefusal
        Eligible patients who cannot be used, and patients whose eligibility is unknown; a patient can have
        several.
    cohort : CohortFindings
        What stops the whole site because of its patients, by the table alone.
    site_findings : tuple of Finding
        Everything that stops the whole site, those of `cohort` among them.
    lost : tuple of LostReading
        Repeated readings that cannot be used; their patients can.
    """

    folder: Path
    settings: SiteSettings
    plan: StudyPlan | None
    table: CohortTable
    flow: Flow
    refusals: tuple[PatientRefusal, ...]
    cohort: CohortFindings
    site_findings: tuple[Finding, ...]
    lost: tuple[LostReading, ...] = ()

    @property
    def definition(self) -> OutcomeDefinition:
        """What counts as expansion: by the plan, or by the paper if there is none."""
        return self.plan.cohort.outcome if self.plan else OutcomeDefinition()

    @property
    def needs(self) -> PatientNeeds:
        """What nobody can be studied without."""
        return needs_of(self.plan, images=self.table.images)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What stops the site, then what refuses rows and patients, then what loses a reading."""
        refused = (refusal.finding for refusal in self.refusals)
        lost = (reading.finding for reading in self.lost)
        return (*self.site_findings, *self.rejected, *refused, *lost)

    @property
    def rejected(self) -> tuple[Finding, ...]:
        """Why rows of the table cannot be used."""
        return tuple(finding for row in self.table.rejected for finding in row.findings)

    @property
    def usable(self) -> tuple[Patient, ...]:
        """Eligible patients without a finding, in the table's order."""
        return _keep_usable(self.table, self.flow, self.refusals)

    @property
    def unusable(self) -> tuple[Patient, ...]:
        """Everybody else whom no criterion excludes, as far as the row can be read, in the table's order."""
        used = {patient.row for patient in self.usable}
        undecided = (one.patient for one in self.flow.undecided)
        rejected = (row.readable for row in self.table.rejected)
        others = (one for one in (*self.flow.included, *undecided, *rejected) if one.row not in used)
        return tuple(sorted(others, key=lambda patient: patient.row))


def inspect_site(folder: Path, plan: StudyPlan | None = None) -> Intake:
    """The site's folder, checked by its table and its files.

    Without a plan the paper's outcome is taken, and images are needed if the table has columns for them.

    Parameters
    ----------
    folder : Path
        Holds site.toml, the table and the images.
    plan : StudyPlan, optional
        Says whether images are needed, which scores the table must hold, and what counts as expansion.

    Raises
    ------
    SiteError
        If site.toml is missing or violates its model.
    PlanError
        If the plan has no such site.
    CohortError
        If the table violates its schema, with every violation.
    """
    settings = load_site(folder)
    if plan:
        plan.site(settings.name)
    return inspect_folder(folder, settings, plan)


def inspect_folder(folder: Path, settings: SiteSettings, plan: StudyPlan | None = None) -> Intake:
    """The folder, checked as by `inspect_site`, under settings that are known.

    Raises
    ------
    CohortError
        If the table cannot be read at all, or is refused as a whole.
    """
    intake = inspect_faulty_folder(folder, settings, plan)
    if intake.table.is_refused:
        raise CohortError(intake.table.violations)
    return intake


def inspect_faulty_folder(folder: Path, settings: SiteSettings, plan: StudyPlan | None = None) -> Intake:
    """As `inspect_folder`; of a table that is refused as a whole nobody is usable.

    Raises
    ------
    CohortError
        If the table cannot be read at all.
    """
    table = read_faulty_table(
        settings.locate_table(folder), root=folder, wanted=choose_columns(plan), mapping=settings.mapping
    )
    flow = apply_exclusions(table, plan.eligibility.criteria) if plan else apply_exclusions(table)
    if not table.is_refused:
        table = replace(table, notes=(*table.notes, *note_exclusions(table, flow)))
    if table.wrong_headings and settings.mapping is None and len(table.stops) >= _OWN_TABLE:
        table = replace(table, notes=(*table.notes, _suggest_mapping(settings)))
    refusals = tuple(refuse_patients(table, flow, needs_of(plan, images=table.images)))
    usable = _keep_usable(table, flow, refusals)
    outcome = plan.cohort.outcome if plan else OutcomeDefinition()
    studied = [_study_by_table(patient, outcome) for patient in usable]
    cohort = judge_cohort(
        settings,
        plan.scores if plan else (),
        studied,
        refused=bool(refusals or table.rejected),
        event=outcome.noun,
    )
    return Intake(
        folder=folder,
        settings=settings,
        plan=plan,
        table=table,
        flow=flow,
        refusals=refusals,
        cohort=cohort,
        site_findings=(
            *_check_marker(settings, folder),
            *cohort.size,
            *cohort.classes,
            *cohort.ranges,
            *(find_split_problems(plan, settings.name, settings.table, usable) if plan else ()),
        ),
        lost=tuple(find_lost_readings(table, usable)) if plan is None or plan.readings else (),
    )


def _suggest_mapping(settings: SiteSettings) -> Finding:
    what = "headings, codes and units of your own need not be changed"
    remedy = f"rhe-client map {settings.table} proposes how they are read"
    return Finding(settings.table, what, remedy, Level.KNOW)


def _keep_usable(table: CohortTable, flow: Flow, refusals: Sequence[PatientRefusal]) -> tuple[Patient, ...]:
    """Eligible patients whom nothing refuses, in the table's order."""
    refused = {refusal.patient.row for refusal in refusals}
    included = () if table.is_refused else flow.included
    return tuple(patient for patient in included if patient.row not in refused)


def _study_by_table(patient: Patient, definition: OutcomeDefinition) -> StudiedPatient:
    if definition.by_volumes:
        expansion = classify_by_table(patient, definition)
        positive = None if expansion is None else expansion.positive(definition)
    else:
        positive = patient.flag(definition.column)
    return StudiedPatient(patient, patient.baseline_volumes, positive)


def classify_by_table(patient: Patient, definition: OutcomeDefinition) -> Expansion | None:
    """The outcome by the table's own volumes; None if the table lacks one."""
    baseline, followup = patient.baseline_volumes, patient.followup_volumes
    return None if baseline is None or followup is None else classify(baseline, followup, definition)


def _check_marker(settings: SiteSettings, folder: Path) -> Iterator[Finding]:
    try:
        marked = is_marked_synthetic(folder)
    except SiteError as failure:
        what, _, remedy = str(failure).partition(" -> ")
        yield Finding(MARKER, what, remedy)
        return
    if settings.synthetic and not marked:
        yield Finding(
            SITE_FILE,
            f"synthetic = true, but the folder has no {MARKER}",
            "patients are not synthetic: remove the line; simulate a site with rhe-simulate centres",
        )
    if marked and not settings.synthetic:
        yield Finding(
            SITE_FILE,
            f"the folder's {MARKER} says that its patients are simulated, but synthetic is not true",
            "add synthetic = true, or keep real patients in a folder of their own",
        )
