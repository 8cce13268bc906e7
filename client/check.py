"""Everything that is wrong with a site's folder, told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from client.intake import Intake, class_findings, given_expansion, inspect_site, size_findings
from client.lost_readings import LostReading, lost
from client.parts import assign_parts, split_notes
from client.refusals import needed_files
from client.scans import mask_labels, same_voxels, voxel_digest
from client.scores import range_findings
from client.site import SITE_FILE, SiteSettings
from common.cohort.outcome import Volumes, classify
from common.cohort.patient import Patient
from common.cohort.readings import READINGS
from common.errors import CohortError, Finding, ScanError, SiteError, SmallNumberError
from common.imaging.mask import read_mask
from common.imaging.scan import read_scan
from common.study import StudyPlan


@dataclass(frozen=True)
class Checkup:
    """A site's folder as found.

    Attributes
    ----------
    screened, usable : int
        Patients in the table, and those without a finding.
    findings : tuple of Finding
        Every one; none if the folder is in order.
    notes : tuple of Finding
        What is worth knowing although nothing is wrong with it.
    """

    screened: int
    usable: int
    findings: tuple[Finding, ...]
    notes: tuple[Finding, ...] = ()


@dataclass(frozen=True)
class _Seen:
    """What a patient's row tells, and what scans and masks hold where they are decoded.

    Attributes
    ----------
    patient : Patient
    positive : bool or None
        Whether the hematoma expanded; None if that cannot be told.
    baseline : Volumes or None
        Of the table, else of the mask; None if they are not known.
    scans : tuple of str
        Digests of the voxels of the scans that can be read.
    problems : tuple of str
        Why scans or masks cannot be used.
    lost : tuple of LostReading
        Further masks that cannot be used.
    """

    patient: Patient
    positive: bool | None
    baseline: Volumes | None
    scans: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    lost: tuple[LostReading, ...] = ()


def check_site(folder: Path, progress: Progress, *, pixels: bool, plan: StudyPlan | None = None) -> Checkup:
    """What is wrong with the folder.

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

    Raises
    ------
    PlanError
        If the plan has no such site.
    """
    try:
        intake = inspect_site(folder, plan)
    except CohortError as failure:
        return Checkup(0, 0, failure.findings)
    except SiteError as failure:
        return Checkup(0, 0, tuple(Finding(SITE_FILE, line) for line in str(failure).splitlines()))
    seen = tuple(_decode_all(intake, progress) if pixels else map(_by_table(intake), intake.usable))
    refused = _refusals(intake, seen)
    bad = {patient.identifier for patient, _ in refused}
    usable = [patient for patient in intake.usable if patient.identifier not in bad]
    cohort = _cohort_findings(intake, [one for one in seen if one.patient.identifier not in bad])
    findings = (
        *intake.site_findings,
        *(finding for finding in cohort if finding not in intake.site_findings),
        *(refusal.finding for refusal in intake.refusals),
        *(finding for _, finding in refused),
        *(one.finding for one in intake.lost),
        *(one.finding for found in seen for one in found.lost),
    )
    return Checkup(len(intake.table.patients), len(usable), findings, tuple(_notes(intake, usable)))


def _cohort_findings(intake: Intake, seen: Sequence[_Seen]) -> Iterator[Finding]:
    """What stops the site because of the patients that are left after their scans were read."""
    settings, plan = intake.settings, intake.plan
    yield from size_findings(settings, len(seen))
    if plan:
        studied = [(one.patient, one.baseline) for one in seen]
        yield from range_findings(settings.table, plan.scores, studied)
    positives = [one.positive for one in seen if one.positive is not None]
    if len(positives) < len(seen):
        return
    classes = class_findings(settings, positives)
    yield from classes
    if plan and positives and not classes:
        yield from _part_findings(plan, settings, [one.patient for one in seen], positives)


def _part_findings(
    plan: StudyPlan, settings: SiteSettings, patients: Sequence[Patient], positives: Sequence[bool]
) -> Iterator[Finding]:
    """Too few patients for the parts of a training site."""
    try:
        assign_parts(plan, settings.name, patients, positives)
    except SmallNumberError as failure:
        what, _, remedy = str(failure).partition(" -> ")
        yield Finding(settings.table, what, remedy)


def _notes(intake: Intake, usable: Sequence[Patient]) -> Iterator[Finding]:
    table = intake.settings.table
    if intake.plan:
        yield from split_notes(intake.plan, intake.settings.name, table, usable)
    elif not intake.table.images:
        what = "the table has no columns for images: taken for a site without images"
        yield Finding(table, what, "a study of networks needs 'baseline_ct' and 'baseline_mask'", fatal=False)


def _by_table(intake: Intake) -> Callable[[Patient], _Seen]:
    def seen(patient: Patient) -> _Seen:
        expansion = given_expansion(patient, intake.definition)
        positive = None if expansion is None else expansion.positive(intake.definition)
        return _Seen(patient, positive, patient.baseline_volumes)

    return seen


def _refusals(intake: Intake, seen: Sequence[_Seen]) -> tuple[tuple[Patient, Finding], ...]:
    """Patients whose scans cannot be used, and patients who share one."""
    table = intake.table.path.name
    unreadable = tuple(
        (
            one.patient,
            Finding(f"{table}, row {one.patient.row}, patient {one.patient.identifier!r}", what, fatal=False),
        )
        for one in seen
        for what in one.problems
    )
    shared = same_voxels(intake, [(one.patient, one.scans) for one in seen])
    return (*unreadable, *((refusal.patient, refusal.finding) for refusal in shared))


def _decode_all(intake: Intake, progress: Progress) -> Iterator[_Seen]:
    task = progress.add_task("reading scans", total=len(intake.usable))
    for patient in intake.usable:
        yield _decode(patient, intake)
        progress.advance(task)
    progress.remove_task(task)


def _decode(patient: Patient, intake: Intake) -> _Seen:
    problems, scans, volumes = [], [], []
    definition, files = intake.definition, dict(needed_files(patient, images=intake.table.images))
    for time in ("baseline", "followup"):
        try:
            scan, measured = _read(files.get(f"{time}_ct"), files.get(f"{time}_mask"), intake.settings)
            scans += scan
            volumes.append(measured)
        except ScanError as refusal:
            problems.append(str(refusal))
            volumes.append(None)
    baseline = patient.baseline_volumes or volumes[0]
    followup = patient.followup_volumes or volumes[1]
    positive = (
        classify(baseline, followup, definition).positive(definition) if baseline and followup else None
    )
    return _Seen(patient, positive, baseline, tuple(scans), tuple(problems), tuple(_lost(patient, intake)))


def _lost(patient: Patient, intake: Intake) -> Iterator[LostReading]:
    """Further masks that the table did not tell to be of no use, read on their CT."""
    readings = intake.plan.readings if intake.plan else READINGS
    gone = {one.reading for one in intake.lost if one.patient is patient}
    ct = patient.baseline_ct
    for reading, path in patient.repeated_masks.items():
        if reading not in readings or reading in gone or ct is None:
            continue
        try:
            read_mask(path, read_scan(ct), mask_labels(intake.settings))
        except ScanError as refusal:
            yield lost(intake.table.path.name, patient, reading, str(refusal))


def _read(ct: Path | None, mask: Path | None, settings: SiteSettings) -> tuple[list[str], Volumes | None]:
    """The digest of a scan's voxels, if there is one, and the volumes of its mask, if there is one."""
    if ct is None:
        return [], None
    scan = read_scan(ct)
    measured = read_mask(mask, scan, mask_labels(settings)).volumes() if mask is not None else None
    return [voxel_digest(scan)], measured
