"""A site's part in logistic models over sites: sums of covariates and outcomes over its training patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from client.answers.inquiry import Backing, Inquiry
from client.answers.patient_arrays import find_complete, labels_of
from client.answers.singling import refuse_singling_newton
from common.errors import ProtocolError
from common.messages.questions import read_centre, read_newton
from common.plan.design import design_of
from common.stats.contract import Summary
from common.stats.covariates import Model, count_cells, judge_cells, local_setup
from common.stats.minima import minima_of
from common.stats.newton import Query, local_newton
from common.stats.stack import Problem


def read_models(inquiry: Inquiry) -> tuple[Model, ...]:
    """The logistic models that a question names by their covariates.

    Raises
    ------
    ProtocolError
        If a model has none, or one that the plan does not have.
    """
    design = design_of(inquiry.plan)
    try:
        models = tuple(design.model(names) for names in inquiry.header.regressions)
    except ValueError as failure:
        raise ProtocolError(str(failure)) from None
    if not models or not all(model.terms for model in models):
        raise ProtocolError("a regression was asked for without covariates")
    return models


def list_modelled_patients(inquiry: Inquiry) -> Iterator[Backing]:
    """The training patients, and who of them has all covariates of each model that is named."""
    yield _find_patients(inquiry, [model.columns for model in read_models(inquiry)])


def list_iterated_patients(inquiry: Inquiry) -> Iterator[Backing]:
    """The same of the models of a round of Newton's method."""
    problem, _ = _read_round(inquiry)
    yield _find_patients(inquiry, [tuple(row[row >= 0].tolist()) for row in problem.columns])


def sum_setup(inquiry: Inquiry) -> Summary:
    """Moments and tables of the covariates of each model."""
    matrix = inquiry.make_matrix()
    centre = read_centre(inquiry.parameters, matrix.shape[1])
    return local_setup(matrix - centre, labels_of(inquiry.training), read_models(inquiry))


def sum_newton(inquiry: Inquiry) -> Summary:
    """One round of Newton's method."""
    patients = inquiry.make_matrix(), labels_of(inquiry.training)
    problem, query = _read_round(inquiry)
    refuse_singling_newton("a regression", patients, (problem, query))
    return local_newton(*patients, problem, query)


def add_cells(inquiry: Inquiry, counted: Summary) -> Summary:
    """With the patients of each level of the models' covariates: one alone shows in the setup's sums.

    Where each of two sites knows the other's sums, this one's own levels must reach the minimum, too.
    """
    models = read_models(inquiry)
    cells = count_cells(inquiry.make_matrix(), labels_of(inquiry.training), models)
    cells[counted.counts["close"][: len(models)] > 0] = 0
    short = counted.counts["short"].copy()
    if inquiry.plan.two_site_ack and len(inquiry.sites) > 1:
        minima, classes = minima_of(inquiry.plan.profile), counted.counts["classes"]
        accepted = inquiry.plan.regression.rare_pairs_accepted
        for row, model in enumerate(models):
            judged = judge_cells(classes[row], cells[row], model, minima, accept_rare_pairs=accepted)
            short[row] |= not judged.ok
    return replace(counted, counts={**counted.counts, "short": short, "cells": cells})


def _find_patients(inquiry: Inquiry, regressions: Sequence[tuple[int, ...]]) -> Backing:
    return Backing(
        what="a regression was",
        sites=inquiry.sites,
        cohort="training",
        complete=find_complete(inquiry.make_matrix(), regressions),
        labels=labels_of(inquiry.training),
        columns=tuple(len(columns) for columns in regressions),
    )


def _read_round(inquiry: Inquiry) -> tuple[Problem, Query]:
    return read_newton(inquiry.parameters, len(design_of(inquiry.plan).columns))
