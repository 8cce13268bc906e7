"""A site's answers to the questions of statistics: each a sum over its patients that is added to others'."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from client.answers.agreement import AGREEMENT, REPRODUCIBILITY, SiteAgreement
from client.answers.compare import (
    calibrate_scores,
    compare_scores,
    list_calibrated_parts,
    list_compared_parts,
)
from client.answers.evaluate import (
    count_scores,
    evaluate_scores,
    guard_scores,
    list_asked_parts,
    list_evaluated_parts,
)
from client.answers.patient_arrays import labels_of, make_arm_matrix, make_feature_matrix, table_one_column
from client.answers.score_store import ScoreStore
from client.answers.scoreboard import Scoreboard, open_scoreboard
from client.answers.selection import (
    FeatureSums,
    answer_gram,
    answer_path,
    answer_prescreen,
    answer_scaling,
    find_fold_members,
    read_folds,
)
from client.answers.svm_sums import SvmSums
from client.cohort.cases import PreparedCase
from client.cohort.parts import cases_of
from client.release.registry import ReleaseRegistry
from client.release.releases import SiteReleases
from common.cohort.schema import Variable
from common.errors import ProtocolError, SmallNumberError
from common.messages.headers import Operation, RequestHeader
from common.messages.protocol import Parameters
from common.messages.questions import read_centre, read_flag_array, read_newton
from common.plan.design import Design, design_of
from common.plan.matrix import PARTS, TABLE_PARTS, TablePart
from common.plan.study import StudyPlan
from common.plan.variables import DESCRIBED, table_variables
from common.radiomics.lasso_selection import FEWEST_FOLDS, complete_features
from common.stats.contract import Summary, join_summaries
from common.stats.covariates import Model, local_setup
from common.stats.folds import list_numbers
from common.stats.guard import Demand, find_short_analyses, local_guard
from common.stats.lasso import LassoFamily
from common.stats.minima import Minima, minima_of
from common.stats.newton import local_newton
from common.stats.table_one import local_table_one
from common.types import Counts, Flags, Reals

_DESCRIPTION = (Demand("description"),) * len(DESCRIBED)
_SELECTION = (Demand("regression"),)


@dataclass(frozen=True)
class SiteAnalyses:
    """What statistics may ask of one site.

    Attributes
    ----------
    plan : StudyPlan
        As the site approved it.
    site : str
        Its name.
    cases : tuple of PreparedCase
        Its patients.
    store : ScoreStore
        The scores that the study's models gave them.
    registry : ReleaseRegistry
        Of the cohorts of which numbers were released.
    """

    plan: StudyPlan
    site: str
    cases: tuple[PreparedCase, ...]
    store: ScoreStore
    registry: ReleaseRegistry

    def guard(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """Guard round: number of patients that each number of the next stage rests on, and nothing else.

        Raises
        ------
        ProtocolError
            If there is no such stage.
        """
        if header.stage not in GUARDS:
            raise ProtocolError(f"a guard round for no known stage: {header.stage!r}")
        return GUARDS[header.stage](self, header, parameters)

    def guard_tables(self, _: RequestHeader, __: Parameters) -> Summary:
        """R0 of Table 1, of each part."""
        close = self._releases.find_too_close(*TABLE_PARTS)
        return join_summaries(
            self._guard_table(part, close[index]).under(part) for index, part in enumerate(TABLE_PARTS)
        )

    def guard_evaluation(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """R0 of every score on every part."""
        near = np.array(self._releases.find_too_close(*PARTS))
        return guard_scores(self._open_board(), near, parameters)

    def guard_regressions(self, header: RequestHeader, _: Parameters) -> Summary:
        """R0 of each logistic model."""
        regressions = [model.columns for model in self._read_models(header)]
        complete, labels = self._find_complete_of(regressions, header.arm), labels_of(self._training)
        short = self._find_short(complete, labels, _list_demands(regressions))
        close = np.full(len(regressions), self._releases.find_too_close("training")[0])
        return local_guard(complete, labels, short, close)

    def guard_selection(self, _: RequestHeader, __: Parameters) -> Summary:
        """R0 of the selection of radiomics features, then of each fold of each possible number of folds."""
        complete, planned = self._find_complete(), self.plan.radiomics.folds
        numbers = list_numbers(planned, FEWEST_FOLDS)
        in_folds = find_fold_members(self.plan, self.site, self._training, complete[0], numbers)
        return self._guard_with_folds(complete, in_folds, _SELECTION)

    def guard_svm(self, header: RequestHeader, _: Parameters) -> Summary:
        """R0 of the machine on all training patients, then of each fold of each possible number of folds."""
        (model,) = self._read_models(header)
        sums = self._open_svm(header)
        return self._guard_with_folds(
            sums.complete[np.newaxis], sums.find_members(), (Demand("ridge", len(model.columns)),)
        )

    def _guard_with_folds(self, complete: Flags, in_folds: Flags, demands: tuple[Demand, ...]) -> Summary:
        """R0 of one analysis, to which a site may object, and of the folds of its cross-validation."""
        members, labels = np.concatenate([complete, in_folds]), labels_of(self._training)
        short = np.zeros(len(members), dtype=np.bool_)
        analysis_short = self._find_short(complete, labels, demands)
        short[:1] = False if analysis_short is None else analysis_short
        close = np.full(len(members), self._releases.find_too_close("training")[0])
        return local_guard(members, labels, short, close)

    def guard_readings(self, header: RequestHeader, _: Parameters) -> Summary:
        """R0 of repeated readings."""
        return self._agreement.guard(header.stage)

    def sum_tables(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """Table 1 of each part, of the variables that this site was asked for; the others are empty."""
        sites = self.plan.site_names
        of_sites = read_flag_array(parameters, "asked", (len(sites), len(TABLE_PARTS), len(DESCRIBED)))
        asked = of_sites[sites.index(self.site)]
        return join_summaries(
            self._sum_table(part, wanted).under(part) for part, wanted in zip(TABLE_PARTS, asked, strict=True)
        )

    def count_scores(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """Patients by bin of the scores that were asked for."""
        board = self._open_board()
        answer = count_scores(board, parameters)
        self._releases.remember(*list_asked_parts(board, parameters))
        return answer

    def evaluate(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """Every score on every part that was asked for."""
        board = self._open_board()
        answer = evaluate_scores(board, parameters)
        self._releases.remember(*list_evaluated_parts(board, parameters))
        return answer

    def calibrate(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """One round of calibration intercepts and slopes."""
        board = self._open_board()
        answer = calibrate_scores(board, parameters)
        self._releases.remember(*list_calibrated_parts(board, parameters))
        return answer

    def compare(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """Models compared on the same patients."""
        board = self._open_board()
        answer = compare_scores(board, parameters)
        self._releases.remember(*list_compared_parts(board, parameters))
        return answer

    def sum_setup(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """Moments and tables of the covariates of each regression, over the training patients."""
        models = self._read_models(header)
        self._refuse_too_few([model.columns for model in models], header.arm)
        self._releases.remember("training")
        matrix = self._make_matrix(header.arm)
        centre = read_centre(parameters, matrix.shape[1])
        return local_setup(matrix - centre, labels_of(self._training), models)

    def sum_newton(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """One round of Newton's method over the training patients."""
        problem, query = read_newton(parameters, len(self._design.columns))
        self._refuse_too_few([tuple(row[row >= 0].tolist()) for row in problem.columns], header.arm)
        self._releases.remember("training")
        return local_newton(self._make_matrix(header.arm), labels_of(self._training), problem, query)

    def sum_magnitudes(self, _: RequestHeader, __: Parameters) -> Summary:
        """Sums of the training patients' radiomics features, from which all sites take public constants."""
        features = self._open_features(FEWEST_FOLDS)
        self._releases.remember("training")
        return features.sum_magnitudes()

    def sum_moments(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """Moments of the training patients' radiomics features about public constants."""
        features = self._open_features(FEWEST_FOLDS)
        self._releases.remember("training")
        return answer_scaling(features, parameters)

    def sum_products(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """Products of the training patients' radiomics features with the outcome."""
        return answer_prescreen(self._open_folds(parameters), parameters)

    def sum_cross_products(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """Cross-products of some radiomics features, by fold.

        Raises
        ------
        ProtocolError
            If the plan's LASSO is of the other family.
        """
        self._refuse_other_family("gaussian")
        return answer_gram(self._open_folds(parameters), parameters)

    def sum_path(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """One round of the binomial LASSO on some radiomics features.

        Raises
        ------
        ProtocolError
            If the plan's LASSO is of the other family.
        """
        self._refuse_other_family("binomial")
        return answer_path(self._open_folds(parameters), parameters)

    def sum_readings(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """How far repeated readings agree."""
        return self._agreement.answer(header, parameters)

    def sum_ridge(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """One round of a support vector machine's ridge regressions over the training patients."""
        self._releases.remember("training")
        return self._open_svm(header).sum_ridge(parameters)

    def sum_held_out(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """How well each of a machine's regressions predicts the fold that it left out."""
        self._releases.remember("training")
        return self._open_svm(header).sum_held_out(parameters)

    @property
    def _minima(self) -> Minima:
        return minima_of(self.plan.profile)

    @cached_property
    def _design(self) -> Design:
        return design_of(self.plan)

    @cached_property
    def _training(self) -> tuple[PreparedCase, ...]:
        return cases_of(self.cases, "training")

    @cached_property
    def _matrices(self) -> dict[str, Reals]:
        return {}

    def _make_matrix(self, arm: str) -> Reals:
        """The training patients' design matrix in an arm, whose networks' scores may be covariates."""
        if arm not in self._matrices:
            self._matrices[arm] = make_arm_matrix(self.plan, self.store, self.cases, (arm, self._training))
        return self._matrices[arm]

    def _read_models(self, header: RequestHeader) -> tuple[Model, ...]:
        try:
            models = tuple(self._design.model(names) for names in header.regressions)
        except ValueError as failure:
            raise ProtocolError(str(failure)) from None
        if not models or not all(model.terms for model in models):
            raise ProtocolError("a regression was asked for without covariates")
        return models

    def _open_svm(self, header: RequestHeader) -> SvmSums:
        return SvmSums.of(self.plan, self.site, self._training, header, self._make_matrix(header.arm))

    def _open_folds(self, parameters: Parameters) -> FeatureSums:
        return self._open_features(read_folds(parameters, self.plan.radiomics.folds, FEWEST_FOLDS))

    def _open_features(self, n_folds: int) -> FeatureSums:
        """The training patients who have every feature.

        Raises
        ------
        SmallNumberError
            If they are too few.
        """
        short = self._find_short(self._find_complete(), labels_of(self._training), _SELECTION)
        if short is not None and short.any():
            raise SmallNumberError("features were asked for with too few patients at this site")
        return FeatureSums.of(self.plan, self.site, self._training, n_folds)

    def _refuse_other_family(self, family: LassoFamily) -> None:
        if self.plan.radiomics.family != family:
            raise ProtocolError(f"a {family} LASSO was asked for, the plan's is {self.plan.radiomics.family}")

    def _find_complete(self) -> Flags:
        return complete_features(make_feature_matrix(self._training))[np.newaxis]

    def _refuse_too_few(self, regressions: Sequence[tuple[int, ...]], arm: str) -> None:
        """Refuse what the guard round would have objected to, whatever the coordinator made of it.

        Raises
        ------
        SmallNumberError
            If a regression has too few patients here.
        """
        complete, labels = self._find_complete_of(regressions, arm), labels_of(self._training)
        short = self._find_short(complete, labels, _list_demands(regressions))
        if short is not None and short.any():
            raise SmallNumberError("a regression was asked for with too few patients at this site")

    def _find_complete_of(self, regressions: Sequence[tuple[int, ...]], arm: str) -> Flags:
        """Who has all columns of each model, shape (models, n)."""
        matrix = self._make_matrix(arm)
        return np.stack([~np.isnan(matrix[:, list(columns)]).any(axis=1) for columns in regressions])

    def _guard_table(self, part: TablePart, near: bool) -> Summary:  # noqa: FBT001
        cases = cases_of(self.cases, part)
        complete, labels = _find_described(cases, DESCRIBED), labels_of(cases)
        short = self._find_short(complete, labels, _DESCRIPTION)
        close = np.full(len(complete), near)
        return local_guard(complete, labels, short, close)

    def _find_short(self, complete: Flags, labels: Flags, demands: tuple[Demand, ...]) -> Flags | None:
        """Which analyses have too few patients here; None where only the sum over sites must have enough.

        With two sites, each can compute the other's numbers, so every minimum must also hold at each site.
        """
        if not self.plan.two_site_ack:
            return None
        return find_short_analyses(complete, labels, demands, self._minima)

    def _sum_table(self, part: TablePart, asked: Flags) -> Summary:
        cases = cases_of(self.cases, part)
        short = self._find_short(_find_described(cases, DESCRIBED), labels_of(cases), _DESCRIPTION)
        if short is not None and (short & asked).any():
            raise SmallNumberError(f"Table 1, {part}: asked for with too few patients at this site")
        if asked.any():
            self._releases.remember(part)
        columns = [
            table_one_column(cases if wanted else (), variable)
            for variable, wanted in zip(DESCRIBED, asked.tolist(), strict=True)
        ]
        groups = [labels_of(cases if wanted else ()).astype(np.int64) for wanted in asked.tolist()]
        return join_summaries(
            local_table_one([column], group, [variable])
            for column, group, variable in zip(columns, groups, table_variables(self.plan), strict=True)
        )

    @cached_property
    def _releases(self) -> SiteReleases:
        return SiteReleases(self.plan, self.cases, self.registry)

    @cached_property
    def _agreement(self) -> SiteAgreement:
        return SiteAgreement(self.plan, self.site, self.cases, self._releases)

    def _open_board(self) -> Scoreboard:
        return open_scoreboard(self.plan, self.site, self.cases, self.store)


GUARDS: Mapping[str, Callable[[SiteAnalyses, RequestHeader, Parameters], Summary]] = {
    "cohort": SiteAnalyses.guard_tables,
    "evaluation": SiteAnalyses.guard_evaluation,
    "regression": SiteAnalyses.guard_regressions,
    "selection": SiteAnalyses.guard_selection,
    "svm": SiteAnalyses.guard_svm,
    AGREEMENT: SiteAnalyses.guard_readings,
    REPRODUCIBILITY: SiteAnalyses.guard_readings,
}
"""What answers the guard round of each stage."""

ANSWERS: Mapping[Operation, Callable[[SiteAnalyses, RequestHeader, Parameters], Summary]] = {
    Operation.GUARD: SiteAnalyses.guard,
    Operation.COHORT: SiteAnalyses.sum_tables,
    Operation.SETUP: SiteAnalyses.sum_setup,
    Operation.NEWTON: SiteAnalyses.sum_newton,
    Operation.MAGNITUDES: SiteAnalyses.sum_magnitudes,
    Operation.SCALING: SiteAnalyses.sum_moments,
    Operation.PRESCREEN: SiteAnalyses.sum_products,
    Operation.GRAM: SiteAnalyses.sum_cross_products,
    Operation.PATH: SiteAnalyses.sum_path,
    Operation.AGREEMENT: SiteAnalyses.sum_readings,
    Operation.READING_MEANS: SiteAnalyses.sum_readings,
    Operation.READING_SUMS: SiteAnalyses.sum_readings,
    Operation.RIDGE: SiteAnalyses.sum_ridge,
    Operation.HELD_OUT: SiteAnalyses.sum_held_out,
    Operation.GRID: SiteAnalyses.count_scores,
    Operation.EVALUATE: SiteAnalyses.evaluate,
    Operation.CALIBRATE: SiteAnalyses.calibrate,
    Operation.COMPARE: SiteAnalyses.compare,
}
"""What answers each question of statistics; an engine refuses those that are not listed."""


def _list_demands(regressions: Sequence[tuple[int, ...]]) -> tuple[Demand, ...]:
    return tuple(Demand("regression", len(columns)) for columns in regressions)


def _find_described(cases: Sequence[PreparedCase], variables: Sequence[Variable]) -> Flags:
    """Who has a value of each variable, shape (variables, n)."""
    return np.stack([_is_present(table_one_column(cases, variable)) for variable in variables])


def _is_present(column: Reals | Counts) -> Flags:
    return np.asarray(column >= 0 if column.dtype == np.int64 else ~np.isnan(column))
