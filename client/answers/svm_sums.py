"""A site's part in a support vector machine over sites: sums over its training patients, fold by fold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from client.answers.inquiry import Backing, Inquiry
from client.answers.model_sums import read_models
from client.answers.patient_arrays import labels_of
from client.answers.product_limits import refuse_wide_products
from client.answers.selection import deal_complete, find_fold_members
from client.answers.singling import refuse_singling_out
from client.cohort.cases import PreparedCase
from common.cards.fourier_machine import FEWEST_SVM_FOLDS, SvmQuery, map_of, read_query
from common.errors import PlanError, ProtocolError
from common.messages.headers import RequestHeader
from common.messages.protocol import Parameters
from common.plan.design import design_of
from common.plan.models import SvmModel
from common.plan.study import StudyPlan
from common.stats.contract import Summary
from common.stats.folds import list_numbers
from common.stats.ridge import local_held_out, local_ridge
from common.stats.symmetric import pack_symmetric
from common.types import Counts, Flags, Reals


@dataclass(frozen=True)
class SvmSums:
    """The training patients of one site, and whom of them a machine can use.

    Attributes
    ----------
    plan : StudyPlan
        As the site approved it.
    model : SvmModel
        The machine that is asked about.
    matrix : float array, shape (n, columns of the design)
        The training patients' design matrix, NaN where a value is missing.
    labels : bool array, shape (n,)
        Whether the plan's endpoint was reached.
    complete : bool array, shape (n,)
        Who has all covariates.
    seed : int
        With which the site deals its patients.
    site : str
        The site's name, which decides with which fold it begins.
    training : sequence of PreparedCase
        The training patients.
    """

    plan: StudyPlan
    model: SvmModel
    matrix: Reals
    labels: Flags
    complete: Flags
    seed: int
    site: str
    training: Sequence[PreparedCase]

    @classmethod
    def of(
        cls,
        plan: StudyPlan,
        dealer: tuple[int, str],
        training: Sequence[PreparedCase],
        header: RequestHeader,
        matrix: Reals,
    ) -> SvmSums:
        """The training patients, for the machine that a request is about.

        The dealer is the seed with which the site deals its patients, and its name.

        Raises
        ------
        PlanError
            If the plan has no such machine.
        ProtocolError
            If the covariates are not one list of the plan's.
        """
        model = plan.model(header.model)
        if not isinstance(model, SvmModel):
            raise PlanError(f"the plan's model {model.name!r} is no support vector machine")
        try:
            (names,) = header.regressions
            columns = list(design_of(plan).model(names).columns)
        except ValueError:
            raise ProtocolError(f"{model.name}: {header.regressions} is not one list of covariates") from None
        if not columns:
            raise ProtocolError(f"{model.name}: a machine was asked for without covariates")
        complete = np.asarray(~np.isnan(matrix[:, columns]).any(axis=1))
        return cls(plan, model, matrix, labels_of(training), complete, *dealer, training)

    def find_members(self) -> Flags:
        """Who is in each fold of each possible number of folds, shape (folds of all numbers, n)."""
        numbers = list_numbers(self.model.folds, FEWEST_SVM_FOLDS)
        return find_fold_members(self.seed, self.site, self.training, self.complete, numbers)

    def _deal(self, query: SvmQuery) -> Counts:
        """The fold of each patient whom the machine trains on."""
        return deal_complete(self.seed, self.site, self.training, self.complete, query.folds)[self.complete]

    def count_folds(self, parameters: Parameters) -> tuple[Counts, int]:
        """Patients of each fold of a question, shape (folds,), and how many features it is about."""
        query = read_query(parameters, self.model, self.matrix.shape[1])
        return np.bincount(self._deal(query), minlength=query.folds), query.coefficients.shape[1] - 1

    def sum_ridge(self, parameters: Parameters) -> Summary:
        """Answer to RIDGE: each model without the patients of the fold that it leaves out."""
        query = read_query(parameters, self.model, self.matrix.shape[1])
        models, width = query.coefficients.shape
        score, information = np.zeros((models, width)), pack_symmetric(np.zeros((models, width, width)))
        log_likelihood = np.zeros(models)
        trains = self._deal(query) != query.left_out[:, np.newaxis]
        for gamma, rows in _group_by_gamma(query):
            features, coefficients = self._make_features(query, gamma), query.coefficients[rows]
            self._refuse_singling_out(features, trains[rows], coefficients)
            sums = local_ridge(features, self.labels[self.complete], trains[rows], coefficients).reals
            score[rows], information[rows] = sums["score"], sums["information"]
            log_likelihood[rows] = sums["log_likelihood"]
        return Summary(reals={"score": score, "information": information, "log_likelihood": log_likelihood})

    def sum_held_out(self, parameters: Parameters) -> Summary:
        """Answer to HELD_OUT: each model's log-likelihood of the patients of the fold that it left out."""
        query = read_query(parameters, self.model, self.matrix.shape[1])
        log_likelihood = np.zeros(len(query.gammas))
        judged = self._deal(query) == query.left_out[:, np.newaxis]
        for gamma, rows in _group_by_gamma(query):
            features, labels = self._make_features(query, gamma), self.labels[self.complete]
            # A model fits those whom it was trained on, not those whom it is judged by.
            self._refuse_singling_out(features, ~judged[rows], query.coefficients[rows])
            sums = local_held_out(features, labels, judged[rows], query.coefficients[rows])
            log_likelihood[rows] = sums.reals["log_likelihood"]
        return Summary(reals={"log_likelihood": log_likelihood})

    def _refuse_singling_out(self, features: Reals, trains: Flags, coefficients: Reals) -> None:
        predictors = coefficients[:, :1] + coefficients[:, 1:] @ features.T
        refuse_singling_out(self.model.name, predictors, self.labels[self.complete], trains)

    def _make_features(self, query: SvmQuery, gamma: float) -> Reals:
        """Random Fourier features of those whom the machine trains on, shape (patients, features)."""
        z = query.scales.standardise(self.matrix[self.complete])
        features = query.coefficients.shape[1] - 1
        return map_of(self.plan, self.model, features, z.shape[1]).features(z, gamma)


def open_machine(inquiry: Inquiry) -> SvmSums:
    """The training patients, for the machine that a question is about."""
    dealer = (inquiry.seed, inquiry.site)
    return SvmSums.of(inquiry.plan, dealer, inquiry.training, inquiry.header, inquiry.make_matrix())


def list_machine_patients(inquiry: Inquiry) -> Iterator[Backing]:
    """The training patients, and who of them has all covariates of the machine."""
    sums = open_machine(inquiry)
    (model,) = read_models(inquiry)
    yield Backing(
        what="a machine was",
        sites=inquiry.sites,
        cohort="training",
        complete=sums.complete[np.newaxis],
        labels=sums.labels,
        columns=(len(model.columns),),
        folds=sums.find_members() if inquiry.is_guard else None,
    )


def refuse_wide_machine(inquiry: Inquiry) -> None:
    """Refuse products of more random features than a fold can carry.

    Raises
    ------
    SmallNumberError
        If there are too many.
    """
    sums = open_machine(inquiry)
    folds, features = sums.count_folds(inquiry.parameters)
    accepted = sums.model.wide_gram_accepted
    refuse_wide_products(inquiry.plan, inquiry.sites, folds, features, accepted=accepted)


def _group_by_gamma(query: SvmQuery) -> list[tuple[float, Counts]]:
    """Each width of the kernel with its models: they share their features."""
    gammas = np.unique(query.gammas)
    return [(float(gamma), np.flatnonzero(query.gammas == gamma)) for gamma in gammas]
