"""The forecast of a study: what it will be able to show, and what it will cost, before anything is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from common.hiding.noise import SitePrivacy, site_privacy
from common.plan.matrix import FAIR, Part, TablePart
from common.plan.state_sizes import STATE_SIZES
from common.plan.study import StudyPlan
from common.plan.update_noise import UpdatePart
from common.stats.estimate import Interval
from common.stats.hanley_mcneil import hanley_mcneil_variance
from common.stats.roc import auc_interval
from server.planning.expected_folds import ExpectedFolds
from server.planning.expected_patients import ExpectedPatients
from server.planning.message_rounds import RoundCount, expect_rounds
from server.planning.study_costs import DiskUse, SiteCosts, expect_costs, expect_disk, expect_minutes
from server.planning.withheld_results import ForecastResult, ResultForecast

EXPECTED_AUCS = (0.7, 0.8)
"""True AUCs for which the width of an interval is told."""


@dataclass(frozen=True)
class ExpectedInterval:
    """How precisely models will be judged on a cohort that did not train them.

    Attributes
    ----------
    sites : tuple of str
        Whose patients.
    part : str
        Which of them.
    negative, positive : int
        How many without and with the outcome.
    intervals : tuple of Interval or None
        The 95 % interval of an AUC that is as in `EXPECTED_AUCS`; None where there is none.
    """

    sites: tuple[str, ...]
    part: Part | TablePart
    negative: int
    positive: int
    intervals: tuple[Interval | None, ...]


@dataclass(frozen=True)
class Forecast:
    """What a study will be able to show, and what it will cost.

    Attributes
    ----------
    plan : StudyPlan
        The study's plan.
    patients : mapping of str to ExpectedPatients
        Of every site.
    results : tuple of ForecastResult
        Every result, shown or withheld.
    folds : tuple of ExpectedFolds
        Of every cross-validation over sites.
    intervals : tuple of ExpectedInterval
        Of the cohorts on which models can be judged fairly.
    rounds : mapping of str to RoundCount
        Rounds of messages by phase.
    costs : mapping of str to SiteCosts
        By site.
    training_minutes : float or None
        How long all networks train; None where that is not given of every site.
    disk : DiskUse
        On the coordinator's disk.
    privacy : SitePrivacy or None
        What noisy trainings tell of a site; None without noise.
    """

    plan: StudyPlan
    patients: Mapping[str, ExpectedPatients]
    results: tuple[ForecastResult, ...]
    folds: tuple[ExpectedFolds, ...]
    intervals: tuple[ExpectedInterval, ...]
    rounds: Mapping[str, RoundCount]
    costs: Mapping[str, SiteCosts]
    training_minutes: float | None
    disk: DiskUse
    privacy: SitePrivacy | None

    @property
    def withheld(self) -> tuple[ForecastResult, ...]:
        """Results that cannot be shown, or that there will not be."""
        return tuple(result for result in self.results if not result.status.ok)


def forecast_study(
    plan: StudyPlan,
    patients: Mapping[str, ExpectedPatients],
    minutes: Mapping[str, float],
    mbit: Mapping[str, float],
) -> Forecast:
    """The forecast of a study.

    Parameters
    ----------
    plan : StudyPlan
    patients : mapping of str to ExpectedPatients
        Of every site of the plan.
    minutes : mapping of str to float
        How long one network trains at a site in one round, minutes, where that is known.
    mbit : mapping of str to float
        The speed of a site's line in megabits a second, where that is known.
    """
    judged = ResultForecast(plan, patients)
    results = judged.list_results()
    trains = bool(plan.networks) and "training" in plan.phases
    return Forecast(
        plan=plan,
        patients=patients,
        results=results,
        folds=tuple(judged.folds),
        intervals=_expect_intervals(plan, results),
        rounds=expect_rounds(plan),
        costs=expect_costs(plan, mbit),
        training_minutes=expect_minutes(plan, minutes) if trains else 0.0,
        disk=expect_disk(plan),
        privacy=_find_privacy(plan),
    )


def _expect_intervals(plan: StudyPlan, results: tuple[ForecastResult, ...]) -> tuple[ExpectedInterval, ...]:
    """Of each cohort on which a model is judged that none of its patients trained, once."""
    fair = [
        result
        for result in results
        if result.relation in FAIR and result.part in {"test", "whole"} and result.status.ok
    ]
    cohorts = dict.fromkeys((result.sites, result.part, result.negative, result.positive) for result in fair)
    return tuple(
        ExpectedInterval(*cohort, tuple(expect_interval(plan, auc, *cohort[2:]) for auc in EXPECTED_AUCS))
        for cohort in cohorts
    )


def expect_interval(plan: StudyPlan, auc: float, negatives: int, positives: int) -> Interval | None:
    """The 95 % interval, by the plan's method, of an AUC that is as expected; None where there is none."""
    variance = hanley_mcneil_variance(auc, negatives, positives)
    return auc_interval(auc, variance, negatives + positives, plan.interval)


def _find_privacy(plan: StudyPlan) -> SitePrivacy | None:
    trained = []
    for model in plan.networks:
        elements, statistics = STATE_SIZES[model.family, model.dimensions]
        sizes: dict[UpdatePart, int] = {"weights": elements, "buffers": statistics}
        trained += [(arm, sizes) for arm in plan.all_arms()]
    return site_privacy(plan, trained) if trained else None
