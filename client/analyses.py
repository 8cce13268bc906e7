"""A site's answers to the questions of statistics: each a sum over its patients that is added to others'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from client.agreement import AGREEMENT, REPRODUCIBILITY, SiteAgreement
from client.compare import calibrate_scores, calibrated_parts, compare_scores, compared_parts
from client.covariates import arm_matrix, column_of, feature_matrix, labels_of
from client.evaluate import evaluate_scores, evaluated_parts, guard_scores
from client.prepare import PreparedCase
from client.registry import ReleaseRegistry
from client.releases import SiteReleases
from client.score_store import ScoreStore
from client.scoreboard import Scoreboard, cases_of, open_scoreboard
from client.selection import FeatureSums, answer_gram, answer_prescreen
from client.svm_sums import SvmSums
from common.cohort.schema import Variable
from common.design import Design, design_of
from common.errors import ProtocolError, SmallNumberError
from common.headers import RequestHeader
from common.matrix import PARTS, TABLE_PARTS, TablePart
from common.protocol import Parameters
from common.questions import flags, read_newton
from common.radiomics.selection import complete_features
from common.stats.contract import Summary, join
from common.stats.covariates import Model, local_setup
from common.stats.guard import Demand, local_guard, short_at_site
from common.stats.minima import Minima, minima_of
from common.stats.newton import local_newton
from common.stats.table_one import local_table_one
from common.study import StudyPlan
from common.types import Counts, Flags, Reals
from common.variables import DESCRIBED, table_variables

_DESCRIPTION = (Demand("description"),) * len(DESCRIBED)
_SELECTION = (Demand("regression"),)


@dataclass(frozen=True)
class SiteAnalyses:
    """What statistics may ask of one site.

    Attributes
    ----------
    plan : StudyPlan
    site : str
        Its name.
    cases : tuple of PreparedCase
        Its patients.
    store : ScoreStore
        What the study's models gave them.
    registry : ReleaseRegistry
        Of the cohorts that numbers were released of.
    """

    plan: StudyPlan
    site: str
    cases: tuple[PreparedCase, ...]
    store: ScoreStore
    registry: ReleaseRegistry

    def guard(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """R0: who stands behind each number of the stage that comes; nothing else of them."""
        if header.stage == "cohort":
            close = self._releases.too_close(*TABLE_PARTS)
            return join(
                self._guard_table(part, close[index]).under(part) for index, part in enumerate(TABLE_PARTS)
            )
        if header.stage == "evaluation":
            near = np.array(self._releases.too_close(*PARTS))
            return guard_scores(self._board(), near, parameters)
        if header.stage == "regression":
            columns = [model.columns for model in self._models(header)]
            return self._guard_regressions(columns, header.arm)
        if header.stage == "selection":
            return self._guard_selection()
        if header.stage == "svm":
            return self._guard_svm(header)
        if header.stage in {AGREEMENT, REPRODUCIBILITY}:
            return self._agreement.guard(header.stage)
        raise ProtocolError(f"a guard round for no known stage: {header.stage!r}")

    def cohort(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """Table 1 of each part, of the variables that this site was asked for; the others are empty."""
        sites = self.plan.site_names
        of_sites = flags(parameters, "asked", (len(sites), len(TABLE_PARTS), len(DESCRIBED)))
        asked = of_sites[sites.index(self.site)]
        return join(
            self._table(part, wanted).under(part) for part, wanted in zip(TABLE_PARTS, asked, strict=True)
        )

    def evaluate(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """Every score on every part that was asked for."""
        board = self._board()
        answer = evaluate_scores(board, parameters)
        self._releases.remember(*evaluated_parts(board, parameters))
        return answer

    def calibrate(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """One round of calibration intercepts and slopes."""
        board = self._board()
        answer = calibrate_scores(board, parameters)
        self._releases.remember(*calibrated_parts(board, parameters))
        return answer

    def compare(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """Models compared on the same patients."""
        board = self._board()
        answer = compare_scores(board, parameters)
        self._releases.remember(*compared_parts(board, parameters))
        return answer

    def setup(self, header: RequestHeader, _: Parameters) -> Summary:
        """Moments and tables of the covariates of each regression, over the training patients."""
        models = self._models(header)
        self._insist([model.columns for model in models], header.arm)
        self._releases.remember("training")
        return local_setup(self._matrix(header.arm), labels_of(self._training), models)

    def newton(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """One round of Newton's method over the training patients."""
        problem, query = read_newton(parameters, len(self._design.columns))
        self._insist([tuple(own[own >= 0].tolist()) for own in problem.columns], header.arm)
        self._releases.remember("training")
        return local_newton(self._matrix(header.arm), labels_of(self._training), problem, query)

    def scaling(self, _: RequestHeader, __: Parameters) -> Summary:
        """Moments of the training patients' radiomics features."""
        self._insist_on_selection()
        self._releases.remember("training")
        return self._features.scaling()

    def prescreen(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """Their products with the outcome."""
        self._insist_on_selection()
        return answer_prescreen(self._features, parameters)

    def gram(self, _: RequestHeader, parameters: Parameters) -> Summary:
        """Cross-products of some of them, by fold."""
        self._insist_on_selection()
        return answer_gram(self._features, parameters)

    def readings(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """How far repeated readings agree."""
        return self._agreement.answer(header, parameters)

    def ridge(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """One round of a support vector machine's ridge regressions over the training patients."""
        self._releases.remember("training")
        return self._svm(header).ridge(parameters)

    def held_out(self, header: RequestHeader, parameters: Parameters) -> Summary:
        """How well each of them predicts the fold that it left out."""
        self._releases.remember("training")
        return self._svm(header).held_out(parameters)

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
    def _features(self) -> FeatureSums:
        return FeatureSums.of(self.plan, self.site, self._training)

    @cached_property
    def _matrices(self) -> dict[str, Reals]:
        return {}

    def _matrix(self, arm: str) -> Reals:
        """The training patients' design; of an arm, because its networks' scores may be covariates."""
        if arm not in self._matrices:
            self._matrices[arm] = arm_matrix(self.plan, self.store, self.cases, (arm, self._training))
        return self._matrices[arm]

    def _models(self, header: RequestHeader) -> tuple[Model, ...]:
        try:
            models = tuple(self._design.model(names) for names in header.regressions)
        except ValueError as failure:
            raise ProtocolError(str(failure)) from None
        if not models or not all(model.terms for model in models):
            raise ProtocolError("a regression was asked for without covariates")
        return models

    def _guard_selection(self) -> Summary:
        complete, labels = self._with_features(), labels_of(self._training)
        short = self._short(complete, labels, _SELECTION)
        return local_guard(complete, labels, short, np.array([self._releases.too_close("training")[0]]))

    def _svm(self, header: RequestHeader) -> SvmSums:
        return SvmSums.of(self.plan, self.site, self._training, header, self._matrix(header.arm))

    def _guard_svm(self, header: RequestHeader) -> Summary:
        """Of the whole machine, then of each fold of its cross-validation."""
        sums = self._svm(header)
        (model,) = self._models(header)
        members = sums.members()
        demands = (Demand("ridge", len(model.columns)),)
        short = np.zeros(len(members), dtype=np.bool_)
        alone = self._short(members[:1], sums.labels, demands)
        short[:1] = False if alone is None else alone
        close = np.full(len(members), self._releases.too_close("training")[0])
        return local_guard(members, sums.labels, short, close)

    def _insist_on_selection(self) -> None:
        short = self._short(self._with_features(), labels_of(self._training), _SELECTION)
        if short is not None and short.any():
            raise SmallNumberError("features were asked for with too few patients at this site")

    def _with_features(self) -> Flags:
        return complete_features(feature_matrix(self._training))[np.newaxis]

    def _guard_regressions(self, regressions: Sequence[tuple[int, ...]], arm: str) -> Summary:
        complete, labels = self._complete_for(regressions, arm), labels_of(self._training)
        short = self._short(complete, labels, _demands(regressions))
        close = np.full(len(regressions), self._releases.too_close("training")[0])
        return local_guard(complete, labels, short, close)

    def _insist(self, regressions: Sequence[tuple[int, ...]], arm: str) -> None:
        """Refuses what the guard round would have objected to, whatever the coordinator made of it."""
        complete, labels = self._complete_for(regressions, arm), labels_of(self._training)
        short = self._short(complete, labels, _demands(regressions))
        if short is not None and short.any():
            raise SmallNumberError("a regression was asked for with too few patients at this site")

    def _complete_for(self, regressions: Sequence[tuple[int, ...]], arm: str) -> Flags:
        """Who has all columns of each model, shape (models, n)."""
        matrix = self._matrix(arm)
        return np.stack([~np.isnan(matrix[:, list(columns)]).any(axis=1) for columns in regressions])

    def _guard_table(self, part: TablePart, near: bool) -> Summary:  # noqa: FBT001
        cases = cases_of(self.cases, part)
        complete, labels = _complete(cases, DESCRIBED), labels_of(cases)
        short = self._short(complete, labels, _DESCRIPTION)
        close = np.full(len(complete), near)
        return local_guard(complete, labels, short, close)

    def _short(self, complete: Flags, labels: Flags, demands: tuple[Demand, ...]) -> Flags | None:
        """Of two sites each can tell the other's numbers: then every minimum holds at each of them."""
        if not self.plan.two_site_ack:
            return None
        return short_at_site(complete, labels, demands, self._minima)

    def _table(self, part: TablePart, asked: Flags) -> Summary:
        cases = cases_of(self.cases, part)
        short = self._short(_complete(cases, DESCRIBED), labels_of(cases), _DESCRIPTION)
        if short is not None and (short & asked).any():
            raise SmallNumberError(f"Table 1, {part}: asked for with too few patients at this site")
        if asked.any():
            self._releases.remember(part)
        columns = [
            column_of(cases if wanted else (), variable)
            for variable, wanted in zip(DESCRIBED, asked.tolist(), strict=True)
        ]
        groups = [labels_of(cases if wanted else ()).astype(np.int64) for wanted in asked.tolist()]
        return join(
            local_table_one([column], group, [variable])
            for column, group, variable in zip(columns, groups, table_variables(self.plan), strict=True)
        )

    @cached_property
    def _releases(self) -> SiteReleases:
        return SiteReleases(self.plan, self.cases, self.registry)

    @cached_property
    def _agreement(self) -> SiteAgreement:
        return SiteAgreement(self.plan, self.site, self.cases, self._releases)

    def _board(self) -> Scoreboard:
        return open_scoreboard(self.plan, self.site, self.cases, self.store)


def _demands(regressions: Sequence[tuple[int, ...]]) -> tuple[Demand, ...]:
    return tuple(Demand("regression", len(columns)) for columns in regressions)


def _complete(cases: Sequence[PreparedCase], variables: Sequence[Variable]) -> Flags:
    """Who has a value of each variable, shape (variables, n)."""
    return np.stack([_present(column_of(cases, variable)) for variable in variables])


def _present(column: Reals | Counts) -> Flags:
    return np.asarray(column >= 0 if column.dtype == np.int64 else ~np.isnan(column))
