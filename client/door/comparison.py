"""Whether what a question carries is what the site's own copy of the program has at this step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np

from common.errors import NotThePlanError
from common.messages.catalogue import Operation, find_question
from common.messages.protocol import Parameters
from common.program.steps import Step
from common.types import Counts, Flags, Reals

TOLERANCE: Final = 1e-6
"""By how much no patient's linear predictor may move against the site's own solution."""
_ROUNDING: Final = 1e-9
"""Relative difference of other numbers that two kernels of linear algebra may cause."""
IMPOSSIBLE: Final = (LookupError, TypeError, ValueError, ArithmeticError)
"""What the program raises where it cannot go on with arrays that the coordinator chose."""
MeasureShift: TypeAlias = Callable[[Step, Parameters, Parameters], float]
"""How far a linear predictor of a site's patient moves from expected to asked coefficients, at most."""
_LEFT_OUT: Final = frozenset({"asked", "kept", "compared"})
"""Flags by which the coordinator may ask for less than is permitted."""


def check_parameters(
    step: Step,
    asked: Parameters,
    own: int,
    measure: MeasureShift,
) -> None:
    """Compare the parameters of a question with those that the step expects.

    Parameters
    ----------
    step : Step
        As the site's own copy of the program has it.
    asked : Parameters
        What came.
    own : int
        The site's position among the plan's sites.
    measure : callable
        How far a linear predictor of the site's patients moves from expected to asked coefficients.

    Raises
    ------
    NotThePlanError
        If a parameter is missing, is not expected, or is another than expected.
    """
    try:
        expected = {**step.parameters, **(step.derive(asked) if step.derive else {})}
    except IMPOSSIBLE as failure:
        raise NotThePlanError(f"{step.operation}: what was chosen is impossible ({failure})") from None
    question = find_question(step.operation, step.stage)
    for name in asked:
        is_chosen = question.leaves_choice_of(name) and not name.startswith(step.absent)
        if name not in expected and not is_chosen:
            raise NotThePlanError(f"{step.operation}: the parameter {name!r} is not of this step")
    missing = expected.keys() - asked.keys()
    if missing:
        raise NotThePlanError(f"{step.operation}: without the parameters {', '.join(sorted(missing))}")
    measured = _find_measured(step.operation, expected)
    for name, array in expected.items():
        if name not in measured:
            _check_array(step, name, (array, asked[name]), own)
    if measured and not (shift := measure(step, expected, asked)) <= TOLERANCE:
        raise NotThePlanError(f"{step.operation}: coefficients move a linear predictor by {shift:.1e}")
    if "scale" in measured:
        _check_origin(step.operation, expected, asked)


def _check_origin(operation: Operation, expected: Parameters, asked: Parameters) -> None:
    """Refuse other centres and scales also where coefficients of 0 move no linear predictor.

    The site's own copy would take the sums for those about its own, and so be led to a next step at will.

    Raises
    ------
    NotThePlanError
        If one is farther off than rounding explains.
    """
    bound = _ROUNDING * np.abs(expected["scale"])
    for name in ("centre", "scale"):
        if asked[name].shape != bound.shape or not (np.abs(asked[name] - expected[name]) <= bound).all():
            raise NotThePlanError(f"{operation}: {name!r} is not what follows from the plan and the sums")


def _find_measured(operation: Operation, expected: Parameters) -> frozenset[str]:
    """Parameters that are judged together, by what they do to linear predictors."""
    if operation is Operation.NEWTON and "coefficients" in expected:
        return frozenset({"coefficients"})
    if operation is Operation.SCORE and "estimated" in expected:
        return frozenset({"coefficients"})
    return frozenset()


def _check_array(
    step: Step,
    name: str,
    arrays: tuple[Counts | Reals | Flags, Counts | Reals | Flags],
    own: int,
) -> None:
    expected, asked = arrays
    if asked.dtype != expected.dtype or asked.shape != expected.shape:
        raise NotThePlanError(
            f"{step.operation}: {name!r} is {asked.dtype} of {asked.shape}, expected {expected.dtype} of "
            f"{expected.shape}"
        )
    if name == "asked" and step.operation is not Operation.AGREEMENT:
        _check_rows(step, asked.astype(np.bool_), own)
        return
    relevant = step.relevant.get(name)
    if relevant is not None:
        expected, asked = expected[relevant], asked[relevant]
    if not _agrees(name, expected, asked):
        raise NotThePlanError(f"{step.operation}: {name!r} is not what follows from the plan and the sums")


def _check_rows(step: Step, asked: Flags, own: int) -> None:
    """Refuse to be asked but in a group that may be, and that is asked as a whole.

    With fewer sites the sum over the group would be of fewer: of this one alone, at worst.

    Raises
    ------
    NotThePlanError
        If the site is asked for something in no such group.
    """
    rows = asked.reshape(len(asked), -1, asked.shape[-1] if asked.ndim > 1 else 1)
    justified = np.zeros(rows.shape[1:], dtype=np.bool_)
    for group in step.groups:
        if own in group.rows:
            part = group.part or 0
            justified[part] |= group.permitted & rows[list(group.rows), part].all(axis=0)
    if (rows[own] & ~justified).any():
        raise NotThePlanError(
            f"{step.operation}: this site is asked in no group that may be asked as a whole"
        )


def _agrees(name: str, expected: Counts | Reals | Flags, asked: Counts | Reals | Flags) -> bool:
    if name in _LEFT_OUT and expected.dtype == np.bool_:
        return bool((expected.astype(np.bool_) | ~asked.astype(np.bool_)).all())
    if expected.dtype != np.float64:
        return bool(np.array_equal(expected, asked))
    known = ~np.isnan(expected)
    if not np.isfinite(asked).all():
        return False
    difference = np.abs(expected - asked)[known]
    bound = TOLERANCE if name.endswith(("coefficients", "inverse")) else _ROUNDING
    return bool((difference <= bound * np.maximum(1.0, np.abs(expected[known]))).all())
