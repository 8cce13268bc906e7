"""A site's patients with their scans: who can be used, and what is wrong with the others, all of it at once.

Scans of patients who are refused already are read too: whoever mends one fault should know of the next.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.progress import Progress

from client.cohort.cases import TIMES, MeasuredPatient, MeasuredSite, RefusedCase, Time
from client.cohort.intake import Intake
from client.cohort.patients_together import judge_together
from client.cohort.refusals import find_unreadable_files, list_needed_files, locate_patient, make_refusal
from client.cohort.scans import SitePreparation, find_volumes, make_record
from common.cohort.table import Patient
from common.errors import Finding, Level, ScanError
from common.imaging.cache import CachedScan
from common.imaging.masks.mask import UnlikelyMaskError
from common.imaging.overview import Overview
from common.imaging.scan import IDENTITY_REMARK
from common.runtime.pulse import mark_progress


@dataclass
class _ReadPatient:
    """What reading a patient's scans gave; problems and remarks are what is wrong, and what to do."""

    entries: dict[Time, CachedScan] = field(default_factory=dict)
    views: dict[Time, Overview] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)
    remarks: list[tuple[str, str]] = field(default_factory=list)


def measure_patients(scans: SitePreparation, intake: Intake, progress: Progress) -> MeasuredSite:
    """The usable patients with their volumes, sorted by identifier, and what the scans of the others show.

    Raises
    ------
    StorageError
        If the cache cannot be written.
    """
    if scans.cache is not None:
        scans.cache.tidy()
    table, usable = intake.table.path.name, {patient.row for patient in intake.usable}
    sharing = {refusal.patient.row for refusal in intake.refusals if refusal.shares}
    measured, refused = list[MeasuredPatient](), list[RefusedCase]()
    refusals, remarks = [], list[Finding]()
    doing = "reading" if scans.cache is None else "preparing"
    everybody = (*sorted(intake.usable, key=lambda one: one.identifier), *intake.unusable)
    task = progress.add_task(f"{scans.settings.name}: {doing} scans", total=len(everybody))
    for patient in everybody:
        read = _read_patient(scans, intake, patient, studied=patient.row in usable)
        refusals += [make_refusal(table, patient, *problem) for problem in read.problems]
        if patient.row in usable and not read.problems:
            measured.append(_measure(patient, read, _list_remarks(table, patient, read)))
        else:
            remarks += _list_remarks(table, patient, read)
            refused.append(RefusedCase(patient, read.entries, read.views, patient.row in sharing))
        progress.advance(task)
        mark_progress("preparing patients")
    progress.remove_task(task)
    site = judge_together(table, measured, refused)
    return replace(site, refusals=(*refusals, *site.refusals), notes=(*site.notes, *remarks))


def _measure(patient: Patient, read: _ReadPatient, remarks: Iterable[Finding]) -> MeasuredPatient:
    """The patient with both volumes; the table's count where it gives them."""
    baseline, followup = read.entries.get("baseline"), read.entries.get("followup")
    return MeasuredPatient(
        patient,
        baseline,
        baseline=patient.baseline_volumes or find_volumes(baseline),
        followup=patient.followup_volumes or find_volumes(followup),
        followup_entry=followup,
        remarks=tuple(remarks),
    )


def _list_remarks(table: str, patient: Patient, read: _ReadPatient) -> Iterator[Finding]:
    for what, remedy in read.remarks:
        said = f"{what} (the table's volumes are used)"
        yield Finding(locate_patient(table, patient), said, remedy, Level.LOOK)


def _read_patient(scans: SitePreparation, intake: Intake, patient: Patient, *, studied: bool) -> _ReadPatient:
    """A patient's scans, and what forbids their use.

    Scans are read where the table gives no volumes, for networks, and wherever a study of images names them:
    what they show is told, although the table counts. Of a patient who is refused already, what is there.
    """
    read = _ReadPatient()
    needed_files = list_needed_files(patient, intake.needs)
    files = dict(needed_files) if studied else _choose_readable(needed_files)
    for time in TIMES:
        needed = _is_needed(scans, intake, patient, time)
        ct, mask = files.get(f"{time}_ct"), files.get(f"{time}_mask")
        if ct is not None and (mask is not None or not (needed and studied)):
            _read_time(read, scans, time, (ct, mask), needed=needed)
            if time == "baseline" and studied and scans.cache is None:
                _read_again(scans, intake, patient)
        elif needed and studied:
            read.problems.append((f"'{time}_ct' or '{time}_mask' is blank", "write its path"))
    return read


def _read_again(scans: SitePreparation, intake: Intake, patient: Patient) -> None:
    """Read a patient's further masks while the CT is at hand: whoever asks later gets what was read."""
    lost = {(one.patient.row, one.reading) for one in intake.lost}
    for reading, path in patient.repeated_masks.items():
        wanted = intake.plan is None or reading in intake.plan.readings
        if wanted and (patient.row, reading) not in lost:
            with suppress(ScanError):
                scans.measure_mask(patient.baseline_ct, path)


def _choose_readable(files: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """The files of a refused patient of which nothing is said yet."""
    readable = {column: path for column, path in files if not any(find_unreadable_files(((column, path),)))}
    cts = {os.path.realpath(path) for column, path in readable.items() if column.endswith("_ct")}
    return {
        column: path
        for column, path in readable.items()
        if column.endswith("_ct") or path.is_dir() or os.path.realpath(path) not in cts
    }


def _is_needed(scans: SitePreparation, intake: Intake, patient: Patient, time: Time) -> bool:
    """Whether the patient cannot be studied without this scan; others are read to be judged.

    Outside of a study networks may come to look at the baseline CT.
    """
    given = patient.baseline_volumes if time == "baseline" else patient.followup_volumes
    if time == "baseline" and intake.table.images and scans.looks_at_baseline:
        return True
    if not intake.needs.volumes and (
        time == "followup" or not {"baseline_ct", "baseline_mask"} <= {*dict(patient.files)}
    ):
        return False
    return given is None and (intake.needs.volumes or intake.needs.baseline_volumes)


def _read_time(
    read: _ReadPatient, scans: SitePreparation, time: Time, files: tuple[Path, Path | None], *, needed: bool
) -> None:
    """Read a CT, and its mask; or note why they are refused, and what there is to see of them.

    What is doubtful about the CT comes before the refusal, because it may be the cause.
    """
    try:
        read.entries[time] = scans.read_pair(time, *files)
    except ScanError as refusal:
        scan = scans.find_last(files[0])
        doubts = [note for note in (() if scan is None else scan.notes) if _is_doubt(note)]
        what, _, remedy = str(refusal).partition(" -> ")
        said = (*((f"'{time}_ct': {note.what}", note.remedy) for note in doubts), (what, remedy))
        (read.problems if needed else read.remarks).extend(said)
        if scan is None or not needed:
            return
        notes = tuple(note for note in scan.notes if note not in doubts)
        read.entries[time] = CachedScan(make_record(replace(scan, notes=notes), None), {})
        view = scans.draw_refused(scan, refusal.labels if isinstance(refusal, UnlikelyMaskError) else None)
        if view is not None:
            read.views[time] = view


def _is_doubt(note: Finding) -> bool:
    return note.level is Level.LOOK and not note.what.startswith(IDENTITY_REMARK)
