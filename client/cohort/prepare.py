"""A site's cohort as network inputs with outcomes: each patient prepared once, the bad ones refused."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.progress import Progress

from client.cohort.case_readings import read_site
from client.cohort.cases import MeasuredPatient, PreparedCase, PreparedSite
from client.cohort.finding_report import count_levels, describe_counts
from client.cohort.intake import Intake, inspect_site
from client.cohort.patient_scans import measure_patients
from client.cohort.refusals import PatientRefusal
from client.cohort.scans import SitePreparation, list_input_shapes, name_array
from client.cohort.site_judgement import judge_outcome, judge_site, study_measured
from client.membership.policy import find_breaches
from client.membership.site import load_site
from common.cohort.split import SplitPart
from common.errors import CohortError, Finding, Level
from common.imaging.cache import Cache
from common.imaging.recipe import InputShape
from common.plan.study import StudyPlan
from common.runtime.machine import bind_threads
from common.runtime.storage import lock_folder, make_private_folder

_log = logging.getLogger(__name__)


def prepare_site(
    folder: Path, plan: StudyPlan, cache: Path, progress: Progress, own_seed: int | None = None
) -> PreparedSite:
    """The site's patients, prepared by the plan's recipe; what is in the cache is not made again.

    Parameters
    ----------
    folder : Path
        The site's folder.
    plan : StudyPlan
        As the site approved it.
    cache : Path
        The folder in which scans, inputs and features are kept.
    progress : Progress
        Shows what takes long.
    own_seed : int, optional
        With which the site divides its patients; by default the plan's seed.

    Raises
    ------
    SiteError
        If site.toml is unusable.
    PlanError
        If the plan has no such site.
    CohortError
        If the table violates its schema, or too few patients of either outcome are left.
    StorageError
        If the disk is full.
    """
    with bind_threads(plan.threads):
        return _prepare_site(folder, plan, cache, progress, own_seed)


def refuse_breaches(folder: Path, plan: StudyPlan) -> None:
    """Refuse the plan if the site's policy does: in its study nothing is prepared.

    Of a site that the plan does not have, nothing is said: `prepare_site` refuses it.

    Raises
    ------
    SiteError
        If site.toml is unusable.
    CohortError
        With everything that the policy forbids.
    """
    settings = load_site(folder)
    breaches = tuple(find_breaches(settings, folder, plan)) if settings.name in plan.site_names else ()
    if breaches:
        raise CohortError(breaches)


def _prepare_site(
    folder: Path, plan: StudyPlan, cache: Path, progress: Progress, own_seed: int | None
) -> PreparedSite:
    intake = _inspect_site(folder, plan)
    with lock_folder(make_private_folder(cache)):
        site = measure_patients(SitePreparation(plan, intake.settings, Cache(cache)), intake, progress)
    measured = site.cases
    judged = judge_site(intake, study_measured(intake, measured), own_seed)
    _refuse_site(judged.stops, intake, site.refusals)
    with lock_folder(cache):
        readings = read_site(plan, intake, measured, Cache(cache), progress)
    cases = tuple(
        replace(
            _make_case(plan, case, judged.parts[case.patient.identifier]),
            features=readings.features.get(case.patient.identifier),
            readings=readings.by_patient[case.patient.identifier],
        )
        for case in measured
    )
    prepared = PreparedSite(
        settings=intake.settings,
        flow=intake.flow,
        cases=cases,
        refusals=(*intake.refusals, *site.refusals),
        notes=(*intake.table.notes, *judged.notes, *site.notes, *readings.notes),
        lost=readings.lost,
        rows=intake.table.patients,
        refused=site.refused,
        event="Expansion" if plan.cohort.outcome.by_volumes else plan.cohort.outcome.label,
    )
    name, counts = intake.settings.name, count_levels((*prepared.findings, *prepared.notes))
    _log.info("prepared site=%s patients=%d findings: %s", name, len(cases), describe_counts(counts))
    return prepared


def _inspect_site(folder: Path, plan: StudyPlan) -> Intake:
    """The site by table and disk.

    Raises
    ------
    CohortError
        If that alone stops it: no scan is read then, which is said.
    """
    try:
        intake = inspect_site(folder, plan)
        _refuse_site(intake.site_findings, intake, ())
    except CohortError as failure:
        if not plan.reads_images:
            raise
        what = "scans and masks were not read: the site is refused without them"
        remedy = "'rhe-client check' lists what is wrong with them too"
        unread = Finding(load_site(folder).table, what, remedy, Level.KNOW)
        raise CohortError((*failure.findings, unread)) from None
    return intake


def _make_case(plan: StudyPlan, case: MeasuredPatient, part: SplitPart) -> PreparedCase:
    expansion, positive = judge_outcome(case, plan.cohort.outcome)
    return PreparedCase(
        patient=case.patient,
        expansion=expansion,
        positive=positive,
        part=part,
        inputs=_find_inputs(case, plan),
        baseline=case.baseline,
        followup=case.followup,
        entry=case.entry,
        followup_entry=case.followup_entry,
    )


def _find_inputs(case: MeasuredPatient, plan: StudyPlan) -> dict[InputShape, Path]:
    shapes = list_input_shapes(plan)
    if case.entry is None or not shapes:
        return {}
    return {shape: case.entry.paths[name_array(shape)] for shape in shapes}


def _refuse_site(stops: Sequence[Finding], intake: Intake, refusals: Sequence[PatientRefusal]) -> None:
    if stops:
        refused = (refusal.finding for refusal in (*intake.refusals, *refusals))
        raise CohortError((*intake.rejected, *refused, *stops))
