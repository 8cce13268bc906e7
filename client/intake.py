"""Everything about a site's folder that can be checked without decoding a pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from client.lost_readings import LostReading, lost_by_table
from client.parts import split_findings
from client.refusals import Refusal, refuse_patients
from client.scores import range_findings
from client.site import MARKER, SITE_FILE, SiteSettings, is_marked_synthetic, load_site
from common.cohort.columns import Wanted
from common.cohort.eligibility import Flow, apply_exclusions
from common.cohort.outcome import Expansion, OutcomeDefinition, classify
from common.cohort.score_columns import score_columns
from common.cohort.table import CohortTable, Patient, read_table
from common.errors import Finding
from common.study import StudyPlan


@dataclass(frozen=True)
class Intake:
    """A site's folder as found.

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
    refusals : tuple of Refusal
        Eligible patients who cannot be used, and patients whose eligibility is unknown; a patient can have
        several.
    site_findings : tuple of Finding
        What stops the whole site (fatal).
    lost : tuple of LostReading
        Repeated readings that cannot be used; their patients can.
    """

    folder: Path
    settings: SiteSettings
    plan: StudyPlan | None
    table: CohortTable
    flow: Flow
    refusals: tuple[Refusal, ...]
    site_findings: tuple[Finding, ...]
    lost: tuple[LostReading, ...] = ()

    @property
    def definition(self) -> OutcomeDefinition:
        """What counts as expansion: as the plan says, or the paper."""
        return self.plan.cohort.outcome if self.plan else OutcomeDefinition()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What stops the site, then what refuses single patients, then what costs a reading."""
        refused = (refusal.finding for refusal in self.refusals)
        return (*self.site_findings, *refused, *(one.finding for one in self.lost))

    @property
    def usable(self) -> tuple[Patient, ...]:
        """Eligible patients without a finding, in the table's order."""
        refused = {refusal.patient.identifier for refusal in self.refusals}
        return tuple(patient for patient in self.flow.included if patient.identifier not in refused)

    @property
    def unmeasured(self) -> tuple[Patient, ...]:
        """Usable patients whose outcome needs volumes that only the masks can give."""
        return tuple(
            patient
            for patient in self.usable
            if patient.baseline_volumes is None or patient.followup_volumes is None
        )


def inspect_site(folder: Path, plan: StudyPlan | None = None) -> Intake:
    """The site's folder, checked.

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
    table = read_table(folder / settings.table, root=folder, wanted=_wanted(plan))
    flow = apply_exclusions(table)
    refusals = tuple(refuse_patients(table, flow))
    intake = Intake(folder, settings, plan, table, flow, refusals, site_findings=())
    lost = tuple(lost_by_table(table, intake.usable)) if plan is None or plan.readings else ()
    return replace(intake, site_findings=tuple(_site_findings(intake)), lost=lost)


def _wanted(plan: StudyPlan | None) -> Wanted:
    if plan is None:
        return Wanted(images=None)
    scores = score_columns((model.column, model.low, model.high) for model in plan.scores)
    return Wanted(scores, images=plan.reads_images)


def _site_findings(intake: Intake) -> Iterator[Finding]:
    settings, usable = intake.settings, intake.usable
    known = [given_expansion(patient, intake.definition) for patient in usable]
    positives = [expansion.positive(intake.definition) for expansion in known if expansion]
    yield from _marker_findings(settings, intake.folder)
    yield from size_findings(settings, len(known))
    if len(positives) == len(known):
        yield from class_findings(settings, positives)
    if intake.plan:
        given = [(patient, patient.baseline_volumes) for patient in usable]
        yield from range_findings(settings.table, intake.plan.scores, given)
        yield from split_findings(intake.plan, settings.name, settings.table, usable)


def given_expansion(patient: Patient, definition: OutcomeDefinition) -> Expansion | None:
    """The outcome by the table's own volumes; None if they do not stand there."""
    baseline, followup = patient.baseline_volumes, patient.followup_volumes
    return None if baseline is None or followup is None else classify(baseline, followup, definition)


def size_findings(settings: SiteSettings, patients: int) -> tuple[Finding, ...]:
    """A fatal finding if fewer patients can be used than the site takes part with."""
    if patients >= settings.min_patients:
        return ()
    return (
        Finding(
            settings.table,
            f"{patients} patients can be used, fewer than the site's {settings.min_patients}",
            "mend the findings about patients, add patients, or lower policy.min_patients in site.toml",
        ),
    )


def class_findings(settings: SiteSettings, positives: Sequence[bool]) -> tuple[Finding, ...]:
    """Fatal findings if an outcome is missing, or too rare for the site to take part; none without patients.

    Parameters
    ----------
    settings : SiteSettings
        The site's minima.
    positives : sequence of bool
        Whether the hematoma expanded, for every patient who can be used.
    """
    if not positives:
        return ()
    expanded = sum(positives)
    findings = []
    for number, name in ((expanded, "with"), (len(positives) - expanded, "without")):
        if number == 0:
            what = f"all {len(positives)} patients have one outcome: none is {name} expansion"
            findings.append(Finding(settings.table, what, "a site needs patients of both outcomes"))
        elif number < settings.min_per_class:
            what = f"{number} patients {name} expansion, fewer than the site's {settings.min_per_class}"
            findings.append(Finding(settings.table, what, "add patients, or lower policy.min_per_class"))
    return tuple(findings)


def _marker_findings(settings: SiteSettings, folder: Path) -> Iterator[Finding]:
    marked = is_marked_synthetic(folder)
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
