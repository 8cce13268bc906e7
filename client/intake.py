"""Everything about a site's folder that can be checked without decoding a pixel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from client.refusals import Refusal, refuse_patients
from client.site import MARKER, SITE_FILE, SiteSettings, is_marked_synthetic, load_site
from common.cohort.eligibility import Flow, apply_exclusions
from common.cohort.outcome import Expansion, OutcomeDefinition, classify
from common.cohort.table import CohortTable, Patient, read_table
from common.errors import Finding


@dataclass(frozen=True)
class Intake:
    """A site's folder as found.

    Attributes
    ----------
    folder : Path
        The site's folder.
    settings : SiteSettings
        Its site.toml.
    table : CohortTable
        Its patients.
    flow : Flow
        Who is eligible.
    refusals : tuple of Refusal
        Eligible patients who cannot be used, and patients whose eligibility is unknown; a patient can have
        several.
    site_findings : tuple of Finding
        What stops the whole site (fatal).
    """

    folder: Path
    settings: SiteSettings
    table: CohortTable
    flow: Flow
    refusals: tuple[Refusal, ...]
    site_findings: tuple[Finding, ...]

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What stops the site, then what refuses single patients."""
        return (*self.site_findings, *(refusal.finding for refusal in self.refusals))

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


def inspect_site(folder: Path, definition: OutcomeDefinition | None = None) -> Intake:
    """The site's folder, checked.

    Parameters
    ----------
    folder : Path
        Holds site.toml, the table and the images.
    definition : OutcomeDefinition, optional
        What counts as expansion where the table gives all volumes; the paper's by default.

    Raises
    ------
    SiteError
        If site.toml is missing or violates its model.
    CohortError
        If the table violates its schema, with every violation.
    """
    settings = load_site(folder)
    table = read_table(folder / settings.table, root=folder)
    flow = apply_exclusions(table)
    refusals = tuple(refuse_patients(table, flow))
    intake = Intake(folder, settings, table, flow, refusals, site_findings=())
    known = [given_expansion(patient, definition or OutcomeDefinition()) for patient in intake.usable]
    positives = [expansion.positive(definition or OutcomeDefinition()) for expansion in known if expansion]
    findings = (
        *_marker_findings(settings, folder),
        *size_findings(settings, len(known)),
        *(class_findings(settings, positives) if len(positives) == len(known) else ()),
    )
    return Intake(folder, settings, table, flow, refusals, findings)


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
