"""Everything that is wrong with a site's folder, told at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress

from client.intake import Intake, class_findings, inspect_site, size_findings
from client.refusals import needed_files
from client.scans import mask_labels, same_voxels, voxel_digest
from client.site import SITE_FILE, SiteSettings
from common.cohort.outcome import Volumes, classify
from common.cohort.patient import Patient
from common.errors import CohortError, Finding, ScanError, SiteError
from common.imaging.mask import read_mask
from common.imaging.scan import read_scan


@dataclass(frozen=True)
class Checkup:
    """A site's folder as found.

    Attributes
    ----------
    screened, usable : int
        Patients in the table, and those without a finding.
    findings : tuple of Finding
        Every one; none if the folder is in order.
    """

    screened: int
    usable: int
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class _Decoded:
    """What a patient's scans and masks hold.

    Attributes
    ----------
    patient : Patient
    positive : bool or None
        Whether the hematoma expanded by the paper's definition; None if that cannot be told.
    scans : tuple of str
        Digests of the voxels of the scans that can be read.
    problems : tuple of str
        Why scans or masks cannot be used.
    """

    patient: Patient
    positive: bool | None
    scans: tuple[str, ...]
    problems: tuple[str, ...]


def check_site(folder: Path, progress: Progress, *, pixels: bool) -> Checkup:
    """What is wrong with the folder.

    Parameters
    ----------
    folder : Path
        Holds site.toml, the table and the images.
    progress : Progress
        Shows the scans that are decoded.
    pixels : bool
        Whether every scan and mask is decoded too.
    """
    try:
        intake = inspect_site(folder)
    except CohortError as failure:
        return Checkup(0, 0, failure.findings)
    except SiteError as failure:
        return Checkup(0, 0, tuple(Finding(SITE_FILE, line) for line in str(failure).splitlines()))
    decoded = tuple(_decode_all(intake, progress)) if pixels else ()
    refused = _refusals(intake, decoded)
    bad = {patient.identifier for patient, _ in refused}
    usable = [patient for patient in intake.usable if patient.identifier not in bad]
    cohort = _cohort_findings(intake.settings, [one for one in decoded if one.patient in usable])
    findings = (
        *intake.site_findings,
        *(finding for finding in cohort if finding not in intake.site_findings),
        *(refusal.finding for refusal in intake.refusals),
        *(finding for _, finding in refused),
    )
    return Checkup(len(intake.table.patients), len(usable), findings)


def _cohort_findings(settings: SiteSettings, decoded: Sequence[_Decoded]) -> tuple[Finding, ...]:
    """What stops the site because of the patients that are left after their scans were read."""
    positives = [one.positive for one in decoded if one.positive is not None]
    if not decoded:
        return ()
    return (*size_findings(settings, len(decoded)), *class_findings(settings, positives))


def _refusals(intake: Intake, decoded: Sequence[_Decoded]) -> tuple[tuple[Patient, Finding], ...]:
    """Patients whose scans cannot be used, and patients who share one."""
    table = intake.table.path.name
    unreadable = tuple(
        (
            one.patient,
            Finding(f"{table}, row {one.patient.row}, patient {one.patient.identifier!r}", what, fatal=False),
        )
        for one in decoded
        for what in one.problems
    )
    shared = same_voxels(intake, [(one.patient, one.scans) for one in decoded])
    return (*unreadable, *((refusal.patient, refusal.finding) for refusal in shared))


def _decode_all(intake: Intake, progress: Progress) -> Iterator[_Decoded]:
    task = progress.add_task("reading scans", total=len(intake.usable))
    for patient in intake.usable:
        yield _decode(patient, intake)
        progress.advance(task)
    progress.remove_task(task)


def _decode(patient: Patient, intake: Intake) -> _Decoded:
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
    return _Decoded(patient, positive, tuple(scans), tuple(problems))


def _read(ct: Path | None, mask: Path | None, settings: SiteSettings) -> tuple[list[str], Volumes | None]:
    """The digest of a scan's voxels, if there is one, and the volumes of its mask, if there is one."""
    if ct is None:
        return [], None
    scan = read_scan(ct)
    measured = read_mask(mask, scan, mask_labels(settings)).volumes() if mask is not None else None
    return [voxel_digest(scan)], measured
