"""A support vector machine over sites: ridge-penalised logistic regression on random Fourier features.

It approximates the machine of the pooled rows (Rahimi and Recht 2007) and equals, to rounding, the same
regression on all rows in one place. The penalty is 1 / C; C and gamma are chosen by the log-likelihood of
patients whom a fold's model has not seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from common.design import design_of
from common.headers import FittedSvm, Operation
from common.stats.contract import Summary
from common.stats.estimate import Status, undefined
from common.stats.guard import Demand, GuardResult, finish_guard
from common.stats.lasso import gram_status
from common.stats.minima import Minima, minima_of
from common.stats.ridge import RidgeState, advance_ridge, start_ridge
from common.study_models import SvmModel
from common.svm import (
    NO_COVARIATE,
    NOBODY,
    Scales,
    SvmQuery,
    not_fitted,
    scales_of,
    standardised_of,
    write_query,
)
from common.types import Counts, Reals
from server.exchange import Exchange


@dataclass(frozen=True)
class SvmSites:
    """The sites of an arm, as whoever answers for one machine.

    Attributes
    ----------
    exchange : Exchange
    sites : tuple of str
    arm : str
    model : SvmModel
    names : tuple of str
        Its covariates by their own names.
    """

    exchange: Exchange
    sites: tuple[str, ...]
    arm: str
    model: SvmModel
    names: tuple[str, ...]

    def guard(self) -> Summary:
        """Who stands behind the machine, then behind each fold."""
        return self.exchange.sum(
            Operation.GUARD,
            self.sites,
            stage="svm",
            model=self.model.name,
            arm=self.arm,
            regressions=(self.names,),
        )

    def setup(self) -> Summary:
        """Moments and tables of the covariates."""
        return self.exchange.sum(Operation.SETUP, self.sites, arm=self.arm, regressions=(self.names,))

    def ask(self, operation: Operation, query: SvmQuery) -> Summary:
        """One round: RIDGE or HELD_OUT."""
        return self.exchange.sum(
            operation,
            self.sites,
            write_query(query),
            model=self.model.name,
            arm=self.arm,
            regressions=(self.names,),
        )


@dataclass(frozen=True)
class Candidates:
    """Models to be fitted together: one C, gamma and left-out fold each.

    Attributes
    ----------
    c, gammas : float arrays, shape (models,)
    left_out : int array, shape (models,)
    """

    c: Reals
    gammas: Reals
    left_out: Counts

    @classmethod
    def of(cls, triples: Sequence[tuple[float, float, int]]) -> Candidates:
        """In the order given."""
        c, gammas, left_out = zip(*triples, strict=True)
        return cls(np.array(c), np.array(gammas), np.array(left_out, dtype=np.int64))


def fit_svm_over_sites(sites: SvmSites) -> FittedSvm:
    """The machine on these sites' training patients: guard, moments, cross-validation, the chosen one."""
    if not sites.names:
        return not_fitted(NO_COVARIATE)
    plan, model = sites.exchange.plan, sites.model
    minima = minima_of(plan.profile)
    counted = sites.guard()
    terms = design_of(plan).model(sites.names)
    demand = Demand("ridge", len(terms.columns), one_site=len(sites.sites) == 1)
    demands = (demand,) * (1 + model.folds)
    guard = finish_guard(counted, demands, minima, two_site_ack=plan.two_site_ack)[0]
    folds = counted.counts["classes"][1:]
    features = permitted_features(model, folds, minima)
    status = guard.status if not guard.status.ok else _folds_permitted(model, folds, features, minima)
    if not status.ok:
        return _with_numbers(not_fitted(status), guard)
    scales, status = scales_of(sites.setup(), terms, minima)
    if scales is None:
        return _with_numbers(not_fitted(status), guard)
    return _with_numbers(_cross_validated(sites, scales, folds, features), guard)


def permitted_features(model: SvmModel, folds: Counts, minima: Minima) -> int:
    """Features of which cross-products may be summed: two patients of the smallest fold stand behind each.

    Parameters
    ----------
    folds : int array, shape (folds, 2)
        Patients of each class.
    """
    if minima.fold == 1 or model.wide_gram_accepted:
        return model.fourier_features
    return min(model.fourier_features, int(folds.sum(axis=1).min()) // 2)


def _folds_permitted(model: SvmModel, folds: Counts, features: int, minima: Minima) -> Status:
    """The rules that hold for the cross-products of the LASSO hold for these, too."""
    return gram_status(folds, features, minima, wide_gram_accepted=model.wide_gram_accepted)


def _cross_validated(sites: SvmSites, scales: Scales, folds: Counts, features: int) -> FittedSvm:
    model = sites.model
    grid = list(itertools.product(model.c_grid, model.gamma_grid))
    candidates = Candidates.of([(c, gamma, fold) for c, gamma in grid for fold in range(model.folds)])
    fitted = _fit(sites, scales, candidates, features)
    if not fitted.converged.all():
        return not_fitted(undefined("no convergence in cross-validation"))
    answer = sites.ask(Operation.HELD_OUT, _query(scales, candidates, fitted.accepted))
    # Grid points down, folds across; of equals the smaller C, then the smaller gamma.
    held_out = answer.reals["log_likelihood"].reshape(len(grid), model.folds).sum(axis=1) / folds.sum()
    best = int(np.argmax(held_out))
    c, gamma = grid[best]
    chosen = _fit(sites, scales, Candidates.of([(c, gamma, NOBODY)]), features)
    if not chosen.converged.all():
        return not_fitted(undefined("no convergence"))
    return FittedSvm(
        covariates=sites.names,
        columns=standardised_of(scales, design_of(sites.exchange.plan)),
        c=c,
        gamma=gamma,
        weights=tuple(chosen.accepted[0, 1:].tolist()),
        intercept=float(chosen.accepted[0, 0]),
        criterion=float(held_out[best]),
        method=f"ridge-penalised logistic regression on {features} of the plan's {model.fourier_features} "
        "random Fourier features",
    )


def _fit(sites: SvmSites, scales: Scales, candidates: Candidates, features: int) -> RidgeState:
    """All candidates in one Newton loop; a round asks for those that are not finished."""
    state = start_ridge(1 / candidates.c, features)
    while state.active.any():
        asked = np.flatnonzero(state.active)
        own = Candidates(candidates.c[asked], candidates.gammas[asked], candidates.left_out[asked])
        answer = sites.ask(Operation.RIDGE, _query(scales, own, state.trial[asked]))
        state = advance_ridge(state, answer)
    return state


def _query(scales: Scales, candidates: Candidates, coefficients: Reals) -> SvmQuery:
    return SvmQuery(scales, candidates.gammas, candidates.left_out, coefficients)


def _with_numbers(fitted: FittedSvm, guard: GuardResult) -> FittedSvm:
    return fitted.model_copy(update={"used": guard.n_used, "missing": guard.n_missing})
