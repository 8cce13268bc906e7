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
from client.answers.describe import guard_table, sum_table
from client.answers.evaluate import (
    count_scores,
    evaluate_scores,
    guard_scores,
    list_asked_parts,
    list_evaluated_parts,
)
from client.answers.own_minima import find_short_here
from client.answers.patient_arrays import find_complete, labels_of, make_arm_matrix, make_feature_matrix
from client.answers.product_limits import refuse_wide_products
from client.answers.score_store import ScoreStore
from client.answers.scoreboard import Scoreboard, open_scoreboard
from client.answers.selection import (
    FeatureSums,
    answer_gram,
    answer_path,
    answer_prescreen,
    answer_scaling,
    find_fold_members,
    read_chosen,
    read_folds,
)
from client.answers.singling import refuse_singling_newton
from client.answers.svm_sums import SvmSums
from client.cohort.cases import PreparedCase
from client.cohort.parts import cases_of
from client.release.registry import ReleaseRegistry
from client.release.releases import SiteReleases
from common.errors import ProtocolError, SmallNumberError
from common.messages.groups import groups_of
from common.messages.headers import Operation, RequestHeader
from common.messages.protocol import Parameters
from common.messages.questions import read_centre, read_flag_array, read_newton
from common.plan.design import Design, design_of
from common.plan.matrix import PARTS, TABLE_PARTS, TablePart
from common.plan.study import StudyPlan
from common.plan.variables import DESCRIBED
from common.radiomics.lasso_selection import FEWEST_FOLDS, complete_features
from common.stats.contract import Summary, join_summaries
from common.stats.covariates import Model, count_cells, judge_cells, local_setup
from common.stats.folds import list_numbers
from common.stats.guard import Demand, local_guard
from common.stats.lasso import LassoFamily
from common.stats.minima import minima_of
from common.stats.newton import local_newton
from common.types import Flags, Reals

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
            guard_table(self.plan, self.site, (part, cases_of(self.cases, part)), near=near).under(part)
            for part, near in zip(TABLE_PARTS, close, strict=True)
        )

    def guard_evaluation(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """R0 of every score on every part."""
        near = np.array(self._releases.find_too_close(*PARTS))
        return guard_scores(self._open_board(), near, parameters)

    def guard_regressions(self, header: RequestHeader, _: Parameters) -> Summary:
        """R0 of each logistic model."""
        models, labels = self._read_models(header), labels_of(self._training)
        regressions = [model.columns for model in models]
        complete = find_complete(self._make_matrix(header.arm), regressions)
        demands = tuple(Demand("regression", len(columns)) for columns in regressions)
        short = self._find_short(header, (complete, labels), demands)
        close = np.full(len(regressions), self._releases.find_too_close("training")[0])
        return self._add_cells(header, local_guard(complete, labels, short, close), models)

    def guard_selection(self, header: RequestHeader, _: Parameters) -> Summary:
        """R0 of the selection of radiomics features, then of each fold of each possible number of folds."""
        complete, planned = self._find_complete(), self.plan.radiomics.folds
        numbers = list_numbers(planned, FEWEST_FOLDS)
        in_folds = find_fold_members(self.plan, self.site, self._training, complete[0], numbers)
        return self._guard_with_folds(header, (complete, in_folds), _SELECTION)

    def guard_svm(self, header: RequestHeader, _: Parameters) -> Summary:
        """R0 of the machine on all training patients, then of each fold of each possible number of folds."""
        (model,) = self._read_models(header)
        sums = self._open_svm(header)
        members = (sums.complete[np.newaxis], sums.find_members())
        counted = self._guard_with_folds(header, members, (Demand("ridge", len(model.columns)),))
        return self._add_cells(header, counted, (model,))

    def _add_cells(self, header: RequestHeader, counted: Summary, models: Sequence[Model]) -> Summary:
        """With the patients of each level of the models' covariates: one alone shows in the setup's sums.

        Where each of two sites knows the other's sums, this one's own levels must reach the minimum, too.
        """
        cells = count_cells(self._make_matrix(header.arm), labels_of(self._training), models)
        short = counted.counts["short"].copy()
        if self.plan.two_site_ack and len(self._find_sites(header)) > 1:
            minima, classes = minima_of(self.plan.profile), counted.counts["classes"]
            for row, model in enumerate(models):
                short[row] |= not judge_cells(classes[row], cells[row], model, minima).ok
        return Summary({**counted.counts, "short": short, "cells": cells})

    def _guard_with_folds(
        self, header: RequestHeader, counted: tuple[Flags, Flags], demands: tuple[Demand, ...]
    ) -> Summary:
        """R0 of one analysis, to which a site may object, and of the folds of its cross-validation."""
        members, labels = np.concatenate(counted), labels_of(self._training)
        short = np.zeros(len(members), dtype=np.bool_)
        analysis_short = self._find_short(header, (counted[0], labels), demands)
        short[:1] = False if analysis_short is None else analysis_short
        close = np.full(len(members), self._releases.find_too_close("training")[0])
        return local_guard(members, labels, short, close)

    def guard_readings(self, header: RequestHeader, _: Parameters) -> Summary:
        """R0 of repeated readings."""
        return self._agreement.guard(header)

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
        self._refuse_too_few(header, [model.columns for model in models])
        self._releases.remember("training")
        matrix = self._make_matrix(header.arm)
        centre = read_centre(parameters, matrix.shape[1])
        return local_setup(matrix - centre, labels_of(self._training), models)

    def sum_newton(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """One round of Newton's method over the training patients."""
        problem, query = read_newton(parameters, len(self._design.columns))
        self._refuse_too_few(header, [tuple(row[row >= 0].tolist()) for row in problem.columns])
        patients = self._make_matrix(header.arm), labels_of(self._training)
        refuse_singling_newton("a regression", patients, (problem, query))
        self._releases.remember("training")
        return local_newton(*patients, problem, query)

    def sum_magnitudes(self, header: RequestHeader, _: Parameters) -> Summary:
        """Sums of the training patients' radiomics features, from which all sites take public constants."""
        return self._open_features(header, FEWEST_FOLDS).sum_magnitudes()

    def sum_moments(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """Moments of the training patients' radiomics features about public constants."""
        return answer_scaling(self._open_features(header, FEWEST_FOLDS), parameters)

    def sum_products(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """Products of the training patients' radiomics features with the outcome."""
        return answer_prescreen(self._open_folds(header, parameters), parameters)

    def sum_cross_products(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """Cross-products of some radiomics features, by fold.

        Raises
        ------
        ProtocolError
            If the plan's LASSO is of the other family.
        """
        self._refuse_other_family("gaussian")
        return answer_gram(self._open_chosen(header, parameters), parameters)

    def sum_path(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """One round of the binomial LASSO on some radiomics features.

        Raises
        ------
        ProtocolError
            If the plan's LASSO is of the other family.
        """
        self._refuse_other_family("binomial")
        return answer_path(self._open_chosen(header, parameters), parameters)

    def sum_readings(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """How far repeated readings agree."""
        return self._agreement.answer(header, parameters)

    def sum_ridge(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """One round of a support vector machine's ridge regressions over the training patients."""
        return self._open_machine(header, parameters).sum_ridge(parameters)

    def sum_held_out(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """How well each of a machine's regressions predicts the fold that it left out."""
        return self._open_machine(header, parameters).sum_held_out(parameters)

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

    def _open_machine(self, header: RequestHeader, parameters: Parameters) -> SvmSums:
        """The training patients of a machine, of whom numbers leave now.

        Raises
        ------
        SmallNumberError
            If they are too few, or too close to patients of whom numbers left before.
        """
        sums = self._open_svm(header)
        (model,) = self._read_models(header)
        patients = (sums.complete[np.newaxis], labels_of(self._training))
        self._refuse_short(header, patients, (Demand("ridge", len(model.columns)),), "a machine was")
        folds, features = sums.count_folds(parameters)
        accepted = sums.model.wide_gram_accepted
        refuse_wide_products(self.plan, self._find_sites(header), folds, features, accepted=accepted)
        self._releases.remember("training")
        return sums

    def _open_chosen(self, header: RequestHeader, parameters: Parameters) -> FeatureSums:
        """The training patients, of whom products of the chosen features may leave.

        Raises
        ------
        SmallNumberError
            If they are too few, or too close to patients of whom numbers left before.
        """
        sums, features = self._open_folds(header, parameters), read_chosen(parameters).size
        accepted = self.plan.radiomics.wide_gram_accepted
        refuse_wide_products(
            self.plan, self._find_sites(header), sums.fold_sizes, features, accepted=accepted
        )
        return sums

    def _open_folds(self, header: RequestHeader, parameters: Parameters) -> FeatureSums:
        return self._open_features(header, read_folds(parameters, self.plan.radiomics.folds, FEWEST_FOLDS))

    def _open_features(self, header: RequestHeader, n_folds: int) -> FeatureSums:
        """The training patients who have every feature, of whom numbers leave now.

        Raises
        ------
        SmallNumberError
            If they are too few, or too close to patients of whom numbers left before.
        """
        patients = (self._find_complete(), labels_of(self._training))
        self._refuse_short(header, patients, _SELECTION, "features were")
        self._releases.remember("training")
        return FeatureSums.of(self.plan, self.site, self._training, n_folds)

    def _refuse_other_family(self, family: LassoFamily) -> None:
        if self.plan.radiomics.family != family:
            raise ProtocolError(f"a {family} LASSO was asked for, the plan's is {self.plan.radiomics.family}")

    def _find_complete(self) -> Flags:
        return complete_features(make_feature_matrix(self._training))[np.newaxis]

    def _refuse_too_few(self, header: RequestHeader, regressions: Sequence[tuple[int, ...]]) -> None:
        """Refuse what the guard round would have objected to, whatever the coordinator made of it.

        Raises
        ------
        SmallNumberError
            If a regression has too few patients here.
        """
        patients = (find_complete(self._make_matrix(header.arm), regressions), labels_of(self._training))
        demands = tuple(Demand("regression", len(columns)) for columns in regressions)
        self._refuse_short(header, patients, demands, "a regression was")

    def _find_short(
        self, header: RequestHeader, patients: tuple[Flags, Flags], demands: tuple[Demand, ...]
    ) -> Flags | None:
        """Which analyses of an arm have too few patients here; None where only the sum must have enough."""
        return find_short_here(self.plan, self._find_sites(header), patients, demands)

    def _refuse_short(
        self, header: RequestHeader, patients: tuple[Flags, Flags], demands: tuple[Demand, ...], what: str
    ) -> None:
        short = self._find_short(header, patients, demands)
        if short is not None and short.any():
            raise SmallNumberError(f"{what} asked for with too few patients at this site")

    def _find_sites(self, header: RequestHeader) -> tuple[str, ...]:
        (group,) = groups_of(self.plan, header.operation, header.stage, header.arm)
        return group.sites

    def _sum_table(self, part: TablePart, asked: Flags) -> Summary:
        table = sum_table(self.plan, self.site, (part, cases_of(self.cases, part)), asked)
        if asked.any():
            self._releases.remember(part)
        return table

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
