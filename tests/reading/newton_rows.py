"""What the rounds of Newton's method tell of one patient, whose row follows from coefficients and curvatures.

The curvature of two yes/no covariates A and B is the sum of w = p (1 - p) over the patients who have both. If
one patient has both, every round tells this patient's w, so |x b| at the round's coefficients b: an equation
for its other covariates x. There are as many as rounds, and fits without one covariate each, on which tests
of likelihood rest, make them differ. The reader first undoes the standardisation, whose constants the
question carries; then A without B is A less both, and so on: one patient in any cell of A by B is enough.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from client.answers.statistics import SiteAnalyses
from common.messages.catalogue import Operation
from common.messages.headers import RequestHeader
from common.messages.protocol import Parameters
from common.messages.questions import read_newton
from common.program.steps import GroupSums
from common.stats.stack import Problem
from common.types import Reals

_FITS = 1e-4
_TRIED = 8
"""Rounds whose signs are tried, all of them."""
Question = tuple[RequestHeader, Parameters, GroupSums]


@dataclass(frozen=True)
class ModelRound:
    """One model in one round of Newton's method, on the covariates' own scale.

    Attributes
    ----------
    columns : tuple of int
        The model's columns of the design matrix.
    coefficients : float array, shape (1 + columns,)
        The intercept first.
    information : float array, shape (1 + columns, 1 + columns)
        Sum of w [1, x] [1, x]'.
    """

    columns: tuple[int, ...]
    coefficients: Reals
    information: Reals


@dataclass(frozen=True)
class SolvedRow:
    """A patient's covariates.

    Attributes
    ----------
    columns : tuple of int
        Of the design matrix.
    values : float array, shape (columns,)
        What the solver says that they are.
    """

    columns: tuple[int, ...]
    values: Reals


def list_rounds(
    received: Sequence[Question], sites: tuple[str, ...], own: SiteAnalyses | None = None
) -> Iterator[ModelRound]:
    """Every model of every round, over these sites; less the own part of a site that reads."""
    for header, parameters, sums in received:
        if header.operation is not Operation.NEWTON or "inverse" in parameters:
            continue
        problem, query = read_newton(parameters, 10**6)
        information = sums.of(sites).reals["information"]
        if own is not None:
            information = information - own.answer(header, parameters).reals["information"]
        for model in np.flatnonzero(query.active).tolist():
            yield _undo_standardisation(problem, query.coefficients[model], information[model], model)


def solve_rows(
    rounds: Sequence[ModelRound], binary: frozenset[int], fewest: float = 1e-9
) -> Iterator[SolvedRow]:
    """The rows of all patients who alone have their levels of two yes/no covariates of a model.

    Parameters
    ----------
    rounds : sequence of ModelRound
    binary : frozenset of int
        Columns of yes/no covariates.
    fewest : float
        By how much less than 1 the first round's count may be through rounding.
    """
    for columns in dict.fromkeys(each.columns for each in rounds):
        own = [each for each in rounds if each.columns == columns]
        places = [1 + place for place, column in enumerate(columns) if column in binary]
        first = next((each for each in own if not each.coefficients.any()), None)
        if first is None:
            continue
        for pair in combinations(places, 2):
            for levels in product((0, 1), (0, 1)):
                # At coefficients of 0 every weight is 1/4
                if abs(4 * _sum_cell(first.information, pair, levels) - 1) < max(fewest, 1e-6):
                    values = _solve(own, pair, levels)
                    if values is not None:
                        yield SolvedRow(columns, values)


def _undo_standardisation(
    problem: Problem, coefficients: Reals, information: Reals, model: int
) -> ModelRound:
    columns = [column for column in problem.columns[model].tolist() if column >= 0]
    width = 1 + len(columns)
    # z = back x, both with the intercept's 1 first
    back = np.eye(width)
    back[1:, 0] = -problem.centre[columns] / problem.scale[columns]
    back[range(1, width), range(1, width)] = 1 / problem.scale[columns]
    forth = np.linalg.inv(back)
    return ModelRound(
        tuple(columns),
        back.T @ coefficients[:width],
        forth @ information[:width, :width] @ forth.T,
    )


def _sum_cell(information: Reals, pair: tuple[int, int], levels: tuple[int, int]) -> float:
    """The sum of w over the patients with these levels."""
    both = information[pair]
    cells = {
        (1, 1): both,
        (1, 0): information[pair[0], 0] - both,
        (0, 1): information[pair[1], 0] - both,
        (0, 0): information[0, 0] - information[pair[0], 0] - information[pair[1], 0] + both,
    }
    return float(cells[levels])


def _solve(rounds: Sequence[ModelRound], pair: tuple[int, int], levels: tuple[int, int]) -> Reals | None:
    """The covariates whose linear predictors all rounds tell; the signs are those that fit best."""
    width = rounds[0].coefficients.size
    free = [place for place in range(1, width) if place not in pair]
    equations, sizes = [], []
    for each in rounds:
        weight = _sum_cell(each.information, pair, levels)
        if each.coefficients.any() and 0 < weight < 0.25:
            known = each.coefficients[0] + each.coefficients[list(pair)] @ np.array(levels)
            equations.append(np.append(each.coefficients[free], known))
            sizes.append(2 * np.arctanh(np.sqrt(1 - 4 * weight)))
    if len(equations) <= len(free):
        return None
    best, error = _try_signs(np.array(equations), np.array(sizes))
    if error > _FITS:
        return None
    values = np.zeros(width - 1)
    values[[place - 1 for place in pair]] = levels
    values[[place - 1 for place in free]] = best
    return values


def _try_signs(equations: Reals, sizes: Reals) -> tuple[Reals, float]:
    """The covariates, and by how much they miss an equation, under the signs that fit best."""
    table, known = equations[:, :-1], equations[:, -1]
    first = slice(0, _TRIED)
    best: Reals = np.zeros(table.shape[1])
    smallest = np.inf
    for signs in product((-1.0, 1.0), repeat=len(sizes[first])):
        begun = np.linalg.lstsq(table[first], np.array(signs) * sizes[first] - known[first], rcond=None)[0]
        # The first rounds tell the signs of all
        all_signs = np.sign(table @ begun + known)
        solved = np.linalg.lstsq(table, all_signs * sizes - known, rcond=None)[0]
        error = float(np.abs(np.abs(table @ solved + known) - sizes).max())
        if error < smallest:
            best, smallest = np.asarray(solved, dtype=np.float64), error
    return best, smallest
