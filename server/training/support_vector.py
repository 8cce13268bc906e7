"""A support vector machine over sites: ridge-penalised logistic regression on random Fourier features.

It approximates the machine of the pooled rows (Rahimi and Recht 2007) and equals, to rounding, the same
regression on all rows in one place. The penalty is 1 / C; C and gamma are chosen by the log-likelihood of
patients whom a fold's model has not seen.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from common.cards.fourier_machine import (
    FEWEST_SVM_FOLDS,
    NO_COVARIATE,
    NOBODY,
    Scales,
    SvmQuery,
    explain_no_machine,
    scales_of,
    standardised_of,
    write_query,
)
from common.messages.headers import FittedSvm, Operation
from common.messages.questions import write_centre
from common.plan.design import design_of
from common.plan.models import SvmModel
from common.stats.contract import Summary
from common.stats.estimate import Status, undefined
from common.stats.folds import FoldChoice, choose_folds
from common.stats.guard import Demand, GuardResult, finish_guard
from common.stats.lasso import gram_status
from common.stats.minima import Minima, minima_of
from common.stats.ridge import RidgeState, advance_ridge, start_ridge
from common.types import Counts, Reals
from server.exchange import Exchange


@dataclass(frozen=True)
class SvmSites:
    """The questions about one machine to the sites of one arm.

    Attributes
    ----------
    exchange : Exchange
        The connection to the sites.
    sites : tuple of str
        Sites of the arm, whose training patients are used.
    arm : str
        Name of the arm.
    model : SvmModel
        The machine, as the plan describes it.
    names : tuple of str
        Names of its covariates, with the arm's predictors in place of "independent" and "radiomics".
    means : mapping of str to float
        Public means of covariates that may lie far from 0, such as radiomics features; by default none.
    """

    exchange: Exchange
    sites: tuple[str, ...]
    arm: str
    model: SvmModel
    names: tuple[str, ...]
    means: Mapping[str, float] = field(default_factory=dict)

    @property
    def centre(self) -> Reals:
        """What sums about the covariates are taken about, shape (columns of the design,)."""
        return design_of(self.exchange.plan).centre_on(self.means)

    def count_patients(self) -> Summary:
        """Patients of each class for the machine, then for each fold, in the answer to GUARD."""
        return self.exchange.sum(
            Operation.GUARD,
            self.sites,
            stage="svm",
            model=self.model.name,
            arm=self.arm,
            regressions=(self.names,),
        )

    def sum_moments(self) -> Summary:
        """Moments and tables of the covariates about their centre, in the answer to SETUP."""
        centre = write_centre(self.centre)
        return self.exchange.sum(Operation.SETUP, self.sites, centre, arm=self.arm, regressions=(self.names,))

    def ask(self, operation: Operation, query: SvmQuery) -> Summary:
        """The sums of one round, of the operation RIDGE or HELD_OUT."""
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
    """Models to be fitted together, each with its own C, gamma and left-out fold.

    Attributes
    ----------
    c : float array, shape (models,)
        Inverse of the ridge penalty.
    gammas : float array, shape (models,)
        Width parameter of the Gaussian kernel.
    left_out : int array, shape (models,)
        The fold that is not used for fitting; `NOBODY` if all folds are.
    folds : int
        How many folds there are.
    """

    c: Reals
    gammas: Reals
    left_out: Counts
    folds: int

    @classmethod
    def of(cls, triples: Sequence[tuple[float, float, int]], folds: int) -> Candidates:
        """Candidates from triples (C, gamma, left-out fold), in the order given."""
        c, gammas, left_out = zip(*triples, strict=True)
        return cls(np.array(c), np.array(gammas), np.array(left_out, dtype=np.int64), folds)


def fit_svm_over_sites(sites: SvmSites) -> FittedSvm:
    """The machine, fitted to these sites' training patients.

    Patients are counted first, then come the covariates' moments, the cross-validation and the fit of the
    chosen C and gamma.
    """
    if not sites.names:
        return explain_no_machine(NO_COVARIATE)
    plan, model = sites.exchange.plan, sites.model
    minima = minima_of(plan.profile)
    counted = sites.count_patients()
    terms = design_of(plan).model(sites.names)
    demand = Demand("ridge", len(terms.columns), one_site=len(sites.sites) == 1)
    demands = (demand,) * len(counted.counts["classes"])
    guard = finish_guard(counted, demands, minima, two_site_ack=plan.two_site_ack)[0]
    if not guard.status.ok:
        return _add_numbers(explain_no_machine(guard.status), guard)
    folds = choose_folds(counted.counts["classes"][1:], model.folds, FEWEST_SVM_FOLDS, minima)
    features = count_permitted_features(model, folds.classes, minima) if folds.status.ok else 0
    status = _judge_folds(model, folds.classes, features, minima) if folds.status.ok else folds.status
    if not status.ok:
        return _add_numbers(explain_no_machine(status), guard)
    scales, status = scales_of(sites.sum_moments(), terms, minima, sites.centre)
    if scales is None:
        return _add_numbers(explain_no_machine(status), guard)
    return _add_numbers(_cross_validate(sites, scales, folds, features), guard)


def count_permitted_features(model: SvmModel, folds: Counts, minima: Minima) -> int:
    """How many random Fourier features may be used: at most one for every two patients of the smallest fold.

    All of the plan's features may be used if the profile sets no minimum for a fold, or if the plan accepts
    sums of cross-products that are wider than that.

    Parameters
    ----------
    model : SvmModel
        It says how many features the plan asks for.
    folds : int array, shape (folds, 2)
        Patients of each class.
    minima : Minima
        Smallest numbers of patients behind a released sum.
    """
    if minima.fold == 1 or model.wide_gram_accepted:
        return model.fourier_features
    return min(model.fourier_features, int(folds.sum(axis=1).min()) // 2)


def _judge_folds(model: SvmModel, folds: Counts, features: int, minima: Minima) -> Status:
    """Whether the features' cross-products may be summed, by the same rules as those of the LASSO."""
    return gram_status(folds, features, minima, wide_gram_accepted=model.wide_gram_accepted)


def _cross_validate(sites: SvmSites, scales: Scales, folds: FoldChoice, features: int) -> FittedSvm:
    model, number = sites.model, folds.number
    grid = list(itertools.product(model.c_grid, model.gamma_grid))
    candidates = Candidates.of([(c, gamma, fold) for c, gamma in grid for fold in range(number)], number)
    fitted = _fit_together(sites, scales, candidates, features)
    if not fitted.converged.all():
        return explain_no_machine(undefined("no convergence in cross-validation"))
    answer = sites.ask(Operation.HELD_OUT, _make_query(scales, candidates, fitted.accepted))
    # Grid points in rows, folds in columns; of equal values the smaller C wins, then the smaller gamma.
    held_out = answer.reals["log_likelihood"].reshape(len(grid), number).sum(axis=1) / folds.classes.sum()
    best = int(np.argmax(held_out))
    c, gamma = grid[best]
    chosen = _fit_together(sites, scales, Candidates.of([(c, gamma, NOBODY)], number), features)
    if not chosen.converged.all():
        return explain_no_machine(undefined("no convergence"))
    return FittedSvm(
        covariates=sites.names,
        columns=standardised_of(scales, design_of(sites.exchange.plan)),
        c=c,
        gamma=gamma,
        weights=tuple(chosen.accepted[0, 1:].tolist()),
        intercept=float(chosen.accepted[0, 0]),
        criterion=float(held_out[best]),
        folds=number,
        fold_reason=folds.why,
        method=f"ridge-penalised logistic regression on {features} of the plan's {model.fourier_features} "
        "random Fourier features",
    )


def _fit_together(sites: SvmSites, scales: Scales, candidates: Candidates, features: int) -> RidgeState:
    """All candidates, fitted in one Newton loop; each round asks for those that have not converged."""
    state = start_ridge(1 / candidates.c, features)
    while state.active.any():
        asked = np.flatnonzero(state.active)
        active = Candidates(
            candidates.c[asked], candidates.gammas[asked], candidates.left_out[asked], candidates.folds
        )
        answer = sites.ask(Operation.RIDGE, _make_query(scales, active, state.trial[asked]))
        state = advance_ridge(state, answer)
    return state


def _make_query(scales: Scales, candidates: Candidates, coefficients: Reals) -> SvmQuery:
    return SvmQuery(scales, candidates.gammas, candidates.left_out, coefficients, candidates.folds)


def _add_numbers(fitted: FittedSvm, guard: GuardResult) -> FittedSvm:
    return fitted.model_copy(update={"used": guard.n_used, "missing": guard.n_missing})
