"""Which results of a study will be withheld, from its numbers of patients and the rules of the study itself.

What numbers of patients do not tell is not said here: missing values, rare levels of a covariate, readings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import filterfalse
from typing import Literal, TypeAlias

from common.messages.catalogue import Operation
from common.plan.described_columns import table_columns
from common.plan.design import design_of
from common.plan.matrix import Part, Relation, TablePart, cohorts_of, is_available, relation_of, scorers_of
from common.plan.models import (
    INDEPENDENT,
    RADIOMICS,
    AnyModel,
    AnyTableModel,
    AnyTrainedModel,
    CardModel,
    CnnModel,
    ScoresModel,
    SvmModel,
)
from common.plan.repeated_trainings import is_repeat
from common.plan.study import Arm, StudyPlan
from common.program.trainable_arms import judge_counted_training
from common.stats.covariates import judge_size
from common.stats.estimate import OK, Status
from common.stats.guard import Demand, find_breach
from common.stats.minima import minima_of
from server.planning.expected_folds import ExpectedFolds, expect_machine_folds, expect_selection_folds
from server.planning.expected_patients import ExpectedPatients
from server.planning.guard_rehearsal import GuardRehearsal

ForecastTopic: TypeAlias = Literal["description", "regression", "model", "judgement"]
"""Table 1; Table 2; a model that is trained; a model that is judged on a cohort."""


@dataclass(frozen=True)
class ForecastResult:
    """A result of the study, and whether its patients suffice for it.

    Attributes
    ----------
    topic : {"description", "regression", "model", "judgement"}
        What kind of result.
    model, arm : str
        Names of the model and its arm; of a regression, the covariate and nothing; else empty.
    sites : tuple of str
        Whose patients.
    part : str
        Which of their patients.
    negative, positive : int
        How many there are without and with the outcome.
    status : Status
        Whether it can be shown, and if not, why.
    columns : int
        Columns of covariates of a model of the table, at least; 0 for any other result.
    relation : Relation or None
        What the training of a judged model has seen of these patients; None for any other result.
    """

    topic: ForecastTopic
    model: str
    arm: str
    sites: tuple[str, ...]
    part: Part | TablePart
    negative: int
    positive: int
    status: Status
    columns: int = 0
    relation: Relation | None = None


@dataclass
class ResultForecast:
    """The results of a study, judged in the order in which they are asked.

    Attributes
    ----------
    plan : StudyPlan
        The study's plan.
    patients : mapping of str to ExpectedPatients
        Of every site.
    folds : list of ExpectedFolds
        The cross-validations over sites, once results are listed.
    """

    plan: StudyPlan
    patients: Mapping[str, ExpectedPatients]
    folds: list[ExpectedFolds] = field(default_factory=list)
    _failed: dict[tuple[str, str], Status] = field(default_factory=dict)

    def list_results(self) -> tuple[ForecastResult, ...]:
        """Every result of the phases that the plan asks for."""
        rehearsal, phases = GuardRehearsal(self.plan, self.patients), self.plan.phases
        results: list[ForecastResult] = []
        if "cohort" in phases:
            results += self._describe(rehearsal)
        if "regression" in phases:
            results += self._screen(rehearsal)
        if "training" in phases:
            results += self._train(rehearsal)
        if "evaluation" in phases:
            results += self._judge_scores(rehearsal)
        return tuple(results)

    def _describe(self, rehearsal: GuardRehearsal) -> Iterator[ForecastResult]:
        stage = rehearsal.begin(Operation.COHORT, "cohort")
        for column in table_columns(self.plan):
            status = stage.judge(column.sites, column.taken)
            if status.ok:
                stage.remember(column.sites, column.taken)
            yield self._make(("description", "", ""), (column.sites, column.taken), status)

    def _screen(self, rehearsal: GuardRehearsal) -> Iterator[ForecastResult]:
        sites, design = self.plan.training_sites, design_of(self.plan)
        stage = rehearsal.begin(Operation.SETUP, "regression")
        for name in self.plan.regression.candidates:
            columns = len(design.model((name,)).columns)
            status = stage.judge(sites, "training", columns)
            if status.ok:
                stage.remember(sites, "training")
            yield self._make(("regression", name, ""), (sites, "training"), status, columns)

    def _train(self, rehearsal: GuardRehearsal) -> Iterator[ForecastResult]:
        counted = {site: expected.counted for site, expected in self.patients.items()}
        for model in filterfalse(is_repeat, self.plan.trained_models):
            for arm in self.plan.arms_of(model):
                if isinstance(model, CnnModel):
                    status = judge_counted_training(self.plan, counted, arm)
                else:
                    status = self._judge_table_model(rehearsal, model, arm)
                if not status.ok:
                    verb = "trained" if isinstance(model, CnnModel) else "fitted"
                    failed = replace(status, reason=f"not {verb}: {status.reason}")
                    self._failed[model.name, arm.name] = failed
                part: Part | TablePart = "train" if isinstance(model, CnnModel) else "training"
                columns = count_fewest_columns(self.plan, model)
                yield self._make(("model", model.name, arm.name), (arm.sites, part), status, columns)

    def _judge_table_model(self, rehearsal: GuardRehearsal, model: AnyTableModel, arm: Arm) -> Status:
        missing = [
            self._failed[name, arm.name] for name in model.networks if (name, arm.name) in self._failed
        ]
        if missing:
            return missing[0]
        columns, is_machine = count_fewest_columns(self.plan, model), isinstance(model, SvmModel)
        if arm.kind == "local":
            return self._judge_alone(model, arm, columns)
        operation, name = (Operation.RIDGE, "svm") if is_machine else (Operation.SETUP, "regression")
        stage = rehearsal.begin(operation, name, arm.name)
        status = stage.judge(arm.sites, "training", columns)
        if status.ok:
            stage.remember(arm.sites, "training")
            status = self._judge_folds(model, arm)
        return status

    def _judge_alone(self, model: AnyTableModel, arm: Arm, columns: int) -> Status:
        """A model of one site; a machine that is released has the minima of a single site."""
        (site,) = arm.sites
        counts, minima = self.patients[site].count("training"), minima_of(self.plan.profile)
        if not isinstance(model, SvmModel):
            return judge_size(*counts, columns, minima)
        demand = Demand("ridge", columns, one_site=self.plan.site(site).model_release)
        return find_breach(*counts, demand, minima)

    def _judge_folds(self, model: AnyTableModel, arm: Arm) -> Status:
        """Whether the cross-validations of a model can be made."""
        members, folds = [self.patients[site] for site in arm.sites], []
        if RADIOMICS in model.covariates:
            folds.append(expect_selection_folds(self.plan, arm, members))
        if isinstance(model, SvmModel):
            folds.append(expect_machine_folds(self.plan, model, arm, members))
        for expected in folds:
            if (expected.what, expected.sites) not in {(known.what, known.sites) for known in self.folds}:
                self.folds.append(expected)
        return next((expected.choice.status for expected in folds if not expected.choice.status.ok), OK)

    def _judge_scores(self, rehearsal: GuardRehearsal) -> Iterator[ForecastResult]:
        stage = rehearsal.begin(Operation.EVALUATE, "evaluation")
        for cohort in cohorts_of(self.plan):
            if not any(sum(self.patients[site].count(cohort.part)) for site in cohort.sites):
                # The results leave out parts in which nobody is
                continue
            enough = stage.judge(cohort.sites, cohort.part)
            for scorer in scorers_of(self.plan):
                # A further training is judged on the patients of the first
                if is_available(self.plan, scorer, cohort) and not is_repeat(scorer.model):
                    status = self._failed.get((scorer.model.name, scorer.arm.name), enough)
                    relation = relation_of(scorer, cohort)
                    named: tuple[ForecastTopic, str, str] = "judgement", scorer.model.name, scorer.arm.name
                    yield self._make(named, (cohort.sites, cohort.part), status, 0, relation)

    def _make(
        self,
        named: tuple[ForecastTopic, str, str],
        whom: tuple[tuple[str, ...], Part | TablePart],
        status: Status,
        columns: int = 0,
        relation: Relation | None = None,
    ) -> ForecastResult:
        counts = [self.patients[site].count(whom[1]) for site in whom[0]]
        negative, positive = (sum(numbers) for numbers in zip(*counts, strict=True))
        return ForecastResult(*named, *whom, negative, positive, status, columns, relation)


def count_fewest_columns(plan: StudyPlan, model: AnyModel) -> int:
    """Columns of covariates that a model of the table has at least; 0 for any other model.

    Which covariates are independent, and which features are selected, only the study tells.
    """
    if isinstance(model, CnnModel | ScoresModel | CardModel):
        return 0
    named = tuple(name for name in model.covariates if name not in {INDEPENDENT, RADIOMICS})
    return len(design_of(plan).model(named).columns)


def is_open_ended(model: AnyTrainedModel) -> bool:
    """Whether the study chooses covariates of the model, so that it can have more than those it names."""
    return not isinstance(model, CnnModel) and bool({INDEPENDENT, RADIOMICS} & set(model.covariates))
