"""A site's cohort as network inputs with outcomes: each patient prepared once, the bad ones refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.progress import Progress

from client.intake import class_findings, inspect_site, size_findings
from client.lost_readings import LostReading
from client.parts import assign_parts, split_notes
from client.readings import NOT_READ_AGAIN, CaseReadings, read_site
from client.refusals import Refusal
from client.scans import MeasuredPatient, SitePreparation, array_name, input_shapes, notes_on
from client.scores import range_findings
from client.site import SiteSettings
from common.cohort.eligibility import Flow
from common.cohort.outcome import Expansion, Volumes, classify
from common.cohort.split import Part
from common.cohort.table import Patient
from common.errors import CohortError, Finding, SmallNumberError, StorageError
from common.imaging.cache import Cache, Entry
from common.imaging.overview import Overview
from common.imaging.recipe import InputShape
from common.storage import exclusive
from common.study import StudyPlan
from common.types import Pixels, Reals

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedCase:
    """One patient ready for training or evaluation.

    Attributes
    ----------
    patient : Patient
    expansion : Expansion
        Under both definitions, with the reasons.
    positive : bool
        Whether the plan's endpoint was reached.
    part : {"train", "validation", "test"}
    inputs : mapping of InputShape to Path
        .npy files, each of shape (channels, [z,] y, x); one for each grid of the plan's networks.
    baseline, followup : Volumes
        On which the outcome rests.
    entry : Entry or None
        The baseline scan in the cache; None if no network and no volume asked for it.
    features : float array, shape (851,), or None
        Radiomics of the lesion; None where no model of the plan takes them, or the lesion has none.
    readings : CaseReadings
        Further masks and suggested markers, where the plan asks for them.
    """

    patient: Patient
    expansion: Expansion
    positive: bool
    part: Part
    inputs: Mapping[InputShape, Path] = field(hash=False)
    baseline: Volumes
    followup: Volumes
    entry: Entry | None
    features: Reals | None = field(default=None, hash=False, compare=False)
    readings: CaseReadings = field(default=NOT_READ_AGAIN, hash=False, compare=False)

    def overview(self) -> Overview | None:
        """The slice with the largest lesion, its labels and the scan's histogram; None without networks.

        Raises
        ------
        StorageError
            If the cache was damaged since it was checked.
        """
        if self.entry is None or not self.inputs:
            return None
        arrays = (_load(self.entry.paths[name]) for name in ("pixels", "labels", "histogram"))
        return Overview(*arrays)


@dataclass(frozen=True)
class PreparedSite:
    """A site's cohort.

    Attributes
    ----------
    settings : SiteSettings
    flow : Flow
        Who was screened, excluded and included by the paper's criteria.
    cases : tuple of PreparedCase
        Sorted by patient.
    refusals : tuple of Refusal
        Patients who were refused, and why.
    notes : tuple of Finding
        What is worth knowing about patients who are used.
    lost : tuple of LostReading
        Further masks of patients who are used that cannot be used, and why.
    """

    settings: SiteSettings
    flow: Flow
    cases: tuple[PreparedCase, ...]
    refusals: tuple[Refusal, ...]
    notes: tuple[Finding, ...]
    lost: tuple[LostReading, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Why patients were refused, then why readings were."""
        return (*(one.finding for one in self.refusals), *(one.finding for one in self.lost))


def prepare_site(folder: Path, plan: StudyPlan, cache: Path, progress: Progress) -> PreparedSite:
    """The site's patients, prepared by the plan's recipe; from the cache what is there already.

    Raises
    ------
    SiteError
        If site.toml is unusable.
    PlanError
        If the plan has no such site.
    CohortError
        If the table violates its schema, or too few patients of either outcome are left.
    SmallNumberError
        If a training site has too few patients of an outcome for its parts, with every refusal.
    StorageError
        If the disk is full.
    """
    intake = inspect_site(folder, plan)
    _refuse_site(intake.site_findings, intake.refusals)
    with exclusive(cache):
        measured, refusals = SitePreparation(plan, intake.settings, Cache(cache)).run(intake, progress)
    refusals = (*intake.refusals, *refusals)
    expansions = [classify(one.baseline, one.followup, plan.cohort.outcome) for one in measured]
    positives = [expansion.positive(plan.cohort.outcome) for expansion in expansions]
    studied = [(one.patient, one.baseline) for one in measured]
    findings = (
        *size_findings(intake.settings, len(measured)),
        *class_findings(intake.settings, positives),
        *range_findings(intake.settings.table, plan.scores, studied),
    )
    _refuse_site(findings, refusals)
    patients = [one.patient for one in measured]
    parts = _parts(intake.settings, plan, patients, positives, refusals)
    with exclusive(cache):
        readings = read_site(plan, intake, measured, Cache(cache), progress)
    cases = tuple(
        replace(
            _case(plan, one, expansion, parts[one.patient.identifier]),
            features=readings.features.get(one.patient.identifier),
            readings=readings.by_patient[one.patient.identifier],
        )
        for one, expansion in zip(measured, expansions, strict=True)
    )
    _log.info("prepared site=%s patients=%d refused=%d", intake.settings.name, len(cases), len(refusals))
    notes = (
        *split_notes(plan, intake.settings.name, intake.settings.table, patients),
        *(note for one in measured for note in notes_on(one, intake)),
        *readings.notes,
    )
    return PreparedSite(intake.settings, intake.flow, cases, refusals, notes, readings.lost)


def _parts(
    settings: SiteSettings,
    plan: StudyPlan,
    patients: Sequence[Patient],
    positives: Sequence[bool],
    refusals: Sequence[Refusal],
) -> dict[str, Part]:
    """The part of each patient; if there are too few, the refused ones are named too."""
    try:
        return assign_parts(plan, settings.name, patients, positives)
    except SmallNumberError as failure:
        causes = (f"{settings.table}: {failure}", *(str(refusal.finding) for refusal in refusals))
        raise SmallNumberError("\n".join(causes)) from None


def _case(plan: StudyPlan, one: MeasuredPatient, expansion: Expansion, part: Part) -> PreparedCase:
    return PreparedCase(
        patient=one.patient,
        expansion=expansion,
        positive=expansion.positive(plan.cohort.outcome),
        part=part,
        inputs=_inputs(one, plan),
        baseline=one.baseline,
        followup=one.followup,
        entry=one.entry,
    )


def _inputs(one: MeasuredPatient, plan: StudyPlan) -> dict[InputShape, Path]:
    shapes = input_shapes(plan)
    if one.entry is None or not shapes:
        return {}
    return {shape: one.entry.paths[array_name(shape)] for shape in shapes}


def stack(cases: Sequence[PreparedCase], shape: InputShape) -> Pixels:
    """The inputs of several patients, shape (n, channels, [z,] y, x), in their order.

    Raises
    ------
    StorageError
        If a file of the cache cannot be read.
    """
    first = _load(cases[0].inputs[shape])
    inputs = np.empty((len(cases), *first.shape), dtype=np.float32)
    for index, case in enumerate(cases):
        inputs[index] = _load(case.inputs[shape])
    return inputs


def _refuse_site(findings: Sequence[Finding], refusals: Sequence[Refusal]) -> None:
    if findings:
        raise CohortError((*findings, *(refusal.finding for refusal in refusals)))


def _load(path: Path) -> NDArray[Any]:
    try:
        loaded: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as failure:
        raise StorageError(
            f"{path}: the cache is damaged ({failure}) -> run again, it is made anew"
        ) from None
    return loaded
