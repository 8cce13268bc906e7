"""Everything that is wrong with a site's folder, listed at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from client.cohort.brain_columns import find_blank_brain_columns
from client.cohort.findings import StudiedPatient, judge_again
from client.cohort.intake import Intake, inspect_site
from client.cohort.lost_readings import LostReading, describe_lost_reading
from client.cohort.parts import assign_parts, note_short_parts, note_split
from client.cohort.refusals import list_needed_files
from client.cohort.scans import digest_voxels, find_same_voxels, labels_of_masks
from client.membership.site import SITE_FILE, SiteSettings
from common.cohort.outcome import Volumes, classify
from common.cohort.patient import Patient
from common.errors import CohortError, Finding, ScanError, SiteError
from common.imaging.mask import read_mask
from common.imaging.reader import read_scan
from common.plan.study import StudyPlan


@dataclass(frozen=True)
class Checkup:
    """What a check of a site's folder gave.

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
class _CheckedPatient:
    """What a patient's row says, and what scans and masks hold where they are decoded.

    Attributes
    ----------
    studied : StudiedPatient
        Volumes and outcome of the table, else of the masks.
    scans : tuple of str
        Digests of the voxels of the scans that can be read.
    problems : tuple of str
        Why scans or masks cannot be used.
    lost : tuple of LostReading
        Further masks that cannot be used.
    """

    studied: StudiedPatient
    scans: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    lost: tuple[LostReading, ...] = ()

    @property
    def patient(self) -> Patient:
        """The row of the table."""
        return self.studied.patient


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
    checked = tuple(_decode_all(intake, progress) if pixels else map(_CheckedPatient, intake.cohort.studied))
    refused = _refuse_patients(intake, checked)
    bad = {patient.identifier for patient, _ in refused}
    usable = [patient for patient in intake.usable if patient.identifier not in bad]
    studied = [case.studied for case in checked if case.patient.identifier not in bad]
    judged = judge_again(intake.cohort, intake.settings, intake.plan.scores if intake.plan else (), studied)
    cohort = (*judged.size, *judged.ranges, *judged.classes)
    findings = (
        *intake.site_findings,
        *(find_blank_brain_columns(plan, intake.settings.table, usable) if plan else ()),
        *(finding for finding in cohort if finding not in intake.site_findings),
        *(refusal.finding for refusal in intake.refusals),
        *(finding for _, finding in refused),
        *(reading.finding for reading in intake.lost),
        *(reading.finding for case in checked for reading in case.lost),
    )
    notes = (*judged.notes, *_list_notes(intake, usable), *_note_parts(intake, studied))
    return Checkup(len(intake.table.patients), len(usable), findings, notes)


def _note_parts(intake: Intake, studied: Sequence[StudiedPatient]) -> Iterator[Finding]:
    """Outcomes that a part of a training site lacks; nothing while an outcome or the division is unknown."""
    plan, settings = intake.plan, intake.settings
    outcomes = {case.patient.identifier: case.positive for case in studied if case.positive is not None}
    if plan is None or len(outcomes) < len(studied) or intake.site_findings:
        return
    patients = [case.patient for case in studied]
    parts = assign_parts(plan, settings.name, patients, list(outcomes.values()))
    yield from note_short_parts(plan, settings.name, settings.table, parts, outcomes)


def _list_notes(intake: Intake, usable: Sequence[Patient]) -> Iterator[Finding]:
    table = intake.settings.table
    if intake.plan:
        yield from note_split(intake.plan, intake.settings.name, table, usable)
    elif not intake.table.images:
        what = "the table has no columns for images: taken for a site without images"
        yield Finding(table, what, "a study of networks needs 'baseline_ct' and 'baseline_mask'")


def _refuse_patients(
    intake: Intake, checked: Sequence[_CheckedPatient]
) -> tuple[tuple[Patient, Finding], ...]:
    """Patients whose scans cannot be used, and patients who share one."""
    table = intake.table.path.name
    unreadable = tuple(
        (
            case.patient,
            Finding(f"{table}, row {case.patient.row}, patient {case.patient.identifier!r}", what),
        )
        for case in checked
        for what in case.problems
    )
    shared = find_same_voxels(intake, [(case.patient, case.scans) for case in checked])
    return (*unreadable, *((refusal.patient, refusal.finding) for refusal in shared))


def _decode_all(intake: Intake, progress: Progress) -> Iterator[_CheckedPatient]:
    task = progress.add_task("reading scans", total=len(intake.usable))
    for patient in intake.usable:
        yield _decode(patient, intake)
        progress.advance(task)
    progress.remove_task(task)


def _decode(patient: Patient, intake: Intake) -> _CheckedPatient:
    problems, scans, volumes = [], [], []
    definition, files = intake.definition, dict(list_needed_files(patient, images=intake.table.images))
    for time in ("baseline", "followup"):
        try:
            scan, measured = _read_volumes(
                files.get(f"{time}_ct"), files.get(f"{time}_mask"), intake.settings
            )
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
    studied = StudiedPatient(patient, baseline, positive)
    return _CheckedPatient(
        studied, tuple(scans), tuple(problems), tuple(_find_lost_readings(patient, intake))
    )


def _find_lost_readings(patient: Patient, intake: Intake) -> Iterator[LostReading]:
    """Further masks that intake accepted and that cannot be read on their CT."""
    readings = intake.plan.readings if intake.plan else tuple(patient.repeated_masks)
    lost_by_table = {lost.reading for lost in intake.lost if lost.patient is patient}
    ct = patient.baseline_ct
    for reading, path in patient.repeated_masks.items():
        if reading not in readings or reading in lost_by_table or ct is None:
            continue
        try:
            read_mask(path, read_scan(ct), labels_of_masks(intake.settings))
        except ScanError as refusal:
            yield describe_lost_reading(intake.table.path.name, patient, reading, str(refusal))


def _read_volumes(
    ct: Path | None, mask: Path | None, settings: SiteSettings
) -> tuple[list[str], Volumes | None]:
    """The digest of a scan's voxels, if there is one, and the volumes of its mask, if there is one."""
    if ct is None:
        return [], None
    scan = read_scan(ct)
    measured = read_mask(mask, scan, labels_of_masks(settings)).volumes() if mask is not None else None
    return [digest_voxels(scan)], measured
