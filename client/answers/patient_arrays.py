"""The variables of a site's patients as arrays: for Table 1, for regressions, for subgroups."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from client.answers.score_store import ScoreStore
from client.cohort.cases import PreparedCase
from common.cohort.outcome import Volumes
from common.cohort.patient import Patient
from common.cohort.schema import BY_NAME, Variable
from common.models.brain_score import BrainA, BrainInputs, brain_score
from common.plan.design import Column, Design, design_of
from common.plan.models import BRAIN, SCORE_OF
from common.plan.own_variables import MISSING_LEVEL
from common.plan.study import StudyPlan
from common.plan.variables import levels_of
from common.radiomics.features import FEATURES
from common.stats.calibration import logits
from common.stats.contingency import MISSING as NO_LEVEL
from common.types import Counts, Flags, Reals


class HasCovariates(Protocol):
    """Whoever has covariates: a patient of the study, or a new one whose outcome is not known."""

    @property
    def patient(self) -> Patient:
        """The row of the table."""
        ...

    @property
    def baseline(self) -> Volumes | None:
        """Volumes of the table or the mask, in ml; None if they are unknown."""
        ...

    @property
    def features(self) -> Reals | None:
        """Radiomics, shape (851,), NaN where one is not known."""
        ...


def labels_of(cases: Sequence[PreparedCase]) -> Flags:
    """Who reached the plan's endpoint, shape (n,)."""
    return np.array([case.positive for case in cases], dtype=np.bool_)


def numbers_of(cases: Sequence[HasCovariates], name: str) -> Reals:
    """A continuous variable, NaN where missing, shape (n,).

    Volumes are those on which the outcome rests: the table's, or the masks' where the table gives none.
    """
    return np.array([_find_number(case, name) for case in cases], dtype=np.float64)


def codes_of(cases: Sequence[HasCovariates], variable: Variable) -> Counts:
    """A binary or categorical variable as positions in `levels_of`, -1 where missing, shape (n,)."""
    levels = levels_of(variable)
    return np.array([_find_code(case, variable, levels) for case in cases], dtype=np.int64)


def table_one_column(cases: Sequence[PreparedCase], variable: Variable) -> Reals | Counts:
    """A variable as Table 1 takes it."""
    if variable.kind == "continuous":
        return numbers_of(cases, variable.name)
    return codes_of(cases, variable)


def find_described(cases: Sequence[PreparedCase], variables: Sequence[Variable]) -> Flags:
    """Who has a value of each variable, shape (variables, n)."""
    return np.stack([_is_present(table_one_column(cases, variable)) for variable in variables])


def _is_present(column: Reals | Counts) -> Flags:
    return np.asarray(column >= 0 if column.dtype == np.int64 else ~np.isnan(column))


def make_design_matrix(
    cases: Sequence[HasCovariates], design: Design, scores: Callable[[str], Reals] | None = None
) -> Reals:
    """All columns of the plan's design, NaN where a patient has no value, shape (n, columns).

    Parameters
    ----------
    cases : sequence of HasCovariates
        The patients, one a row.
    design : Design
        The plan's, or a model card's.
    scores : callable, optional
        A network's scores of the cases by its name; needed where the design has the logit of one.
    """
    levelled = {column.variable for column in design.columns if column.level == MISSING_LEVEL}
    takes_features = any(column.variable in _PLACES for column in design.columns)
    features = make_feature_matrix(cases) if takes_features else None
    matrix = np.empty((len(cases), len(design.columns)))
    for index, column in enumerate(design.columns):
        if column.variable.startswith(SCORE_OF):
            name = column.variable.removeprefix(SCORE_OF)
            matrix[:, index] = np.nan if scores is None else logits(scores(name))
        elif features is not None and column.variable in _PLACES:
            matrix[:, index] = features[:, _PLACES[column.variable]]
        else:
            matrix[:, index] = (
                _score_brain(cases, design.brain_a)
                if column.variable == BRAIN
                else _make_column(
                    cases,
                    column,
                    design.own.get(column.variable) or BY_NAME[column.variable],
                    missing_is_level=column.variable in levelled,
                )
            )
    return matrix


def make_arm_matrix(
    plan: StudyPlan,
    store: ScoreStore,
    scored: Sequence[PreparedCase],
    wanted: tuple[str, Sequence[PreparedCase]],
) -> Reals:
    """The design matrix of some cases, with the scores that the arm's networks gave them.

    Parameters
    ----------
    plan : StudyPlan
        Whose design it is.
    store : ScoreStore
        Where the networks' scores are kept.
    scored : sequence of PreparedCase
        All patients of the site, in the order in which they were scored.
    wanted : tuple of (arm, cases)
        The arm, and the patients who are wanted. Under an empty arm, that of Table 2, no network has scored:
        its scores are missing.
    """
    arm, cases = wanted
    if not arm:
        return make_design_matrix(cases, design_of(plan))
    place = {case.patient.identifier: index for index, case in enumerate(scored)}
    rows = [place[case.patient.identifier] for case in cases]
    return make_design_matrix(cases, design_of(plan), lambda name: store.find(name, arm, scored)[rows])


def make_feature_matrix(cases: Sequence[HasCovariates]) -> Reals:
    """The radiomics features, NaN where a case has none, shape (n, 851)."""
    nothing = np.full(len(FEATURES), np.nan)
    rows = [nothing if case.features is None else case.features for case in cases]
    return np.array(rows, dtype=np.float64).reshape(len(cases), len(FEATURES))


_PLACES = {name: place for place, name in enumerate(FEATURES)}


def make_selectable_matrix(cases: Sequence[HasCovariates], names: Sequence[str]) -> Reals:
    """What a LASSO selects among, NaN where a case has none, shape (n, names).

    Parameters
    ----------
    cases : sequence of HasCovariates
        The patients, one a row.
    names : sequence of str
        `common.plan.design.list_selectable` the plan: extracted features, or numbers of the table.
    """
    if tuple(names) == FEATURES:
        return make_feature_matrix(cases)
    return np.stack([numbers_of(cases, name) for name in names], axis=1)


def _make_column(
    cases: Sequence[HasCovariates], column: Column, variable: Variable, *, missing_is_level: bool
) -> Reals:
    if variable.kind == "continuous":
        return numbers_of(cases, column.variable)
    codes = codes_of(cases, variable)
    if column.level == MISSING_LEVEL:
        return np.asarray(codes == NO_LEVEL, dtype=np.float64)
    wanted = 1 if variable.kind == "binary" else levels_of(variable).index(column.level)
    indicator = np.asarray(codes == wanted, dtype=np.float64)
    return indicator if missing_is_level else np.where(codes == NO_LEVEL, np.nan, indicator)


def _score_brain(cases: Sequence[HasCovariates], brain_a: BrainA) -> Reals:
    def read_flags(name: str) -> Reals:
        flags = [case.patient.flag(name) for case in cases]
        return np.array([np.nan if flag is None else float(flag) for flag in flags], dtype=np.float64)

    return brain_score(
        BrainInputs(
            ich_volume_ml=numbers_of(cases, "ich_volume_ml"),
            recurrent_ich=read_flags("recurrent_ich"),
            anticoagulated=read_flags(brain_a),
            ivh=read_flags("ivh"),
            onset_to_ct_h=numbers_of(cases, "onset_to_ct_h"),
        )
    )


def _find_number(case: HasCovariates, name: str) -> float:
    if case.baseline is not None and name == "ich_volume_ml":
        return case.baseline.ich_ml
    if case.baseline is not None and name == "ivh_volume_ml":
        return case.baseline.ivh_ml
    value = case.patient.number(name)
    return np.nan if value is None else value


def _find_code(case: HasCovariates, variable: Variable, levels: tuple[str, ...]) -> int:
    if variable.kind == "binary":
        flag = case.patient.flag(variable.name)
        return NO_LEVEL if flag is None else int(flag)
    level = case.patient.level(variable.name)
    return NO_LEVEL if level is None else levels.index(level)


def find_complete(matrix: Reals, regressions: Sequence[tuple[int, ...]]) -> Flags:
    """Which patients, rows of a design matrix, have all columns of each model, shape (models, n)."""
    return np.stack([~np.isnan(matrix[:, list(columns)]).any(axis=1) for columns in regressions])
