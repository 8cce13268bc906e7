"""The parameters of a round of calibrations: by the cohort's number, a problem of Newton's method."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from common.errors import ProtocolError
from common.messages.protocol import Parameters
from common.messages.questions import read_integer_array, write_newton
from common.stats.newton import NewtonQuestion

_SCORERS = "scorers"


def write_calibrations(questions: Mapping[int, tuple[Sequence[int], NewtonQuestion]]) -> Parameters:
    """The scores that are calibrated, and where their fits are, by the cohort's number."""
    return {
        f"{index}.{name}": array
        for index, (scorers, question) in questions.items()
        for name, array in {
            _SCORERS: np.array(scorers, dtype=np.int64),
            **write_newton(*question),
        }.items()
    }


def read_calibrated_cohorts(parameters: Parameters, cohorts: int) -> tuple[int, ...]:
    """Numbers of the cohorts that a round is about, in their order.

    Parameters
    ----------
    cohorts : int
        How many there are.

    Raises
    ------
    ProtocolError
        If a parameter is of no cohort.
    """
    numbers = set()
    for name in parameters:
        number = name.partition(".")[0]
        if not number.isdecimal() or str(int(number)) != number or int(number) >= cohorts:
            raise ProtocolError(f"the parameter {name!r} is of no cohort")
        numbers.add(int(number))
    return tuple(sorted(numbers))


def read_calibrated_scores(parameters: Parameters, index: int, scores: int) -> tuple[int, ...]:
    """Numbers of the scores that are calibrated on a cohort.

    Parameters
    ----------
    index : int
        Number of the cohort.
    scores : int
        How many scores there are.

    Raises
    ------
    ProtocolError
        If they are missing, out of range or repeated.
    """
    numbers = read_integer_array(select_calibrated(parameters, index), _SCORERS, 1)
    if (numbers < 0).any() or (numbers >= scores).any() or len(set(numbers.tolist())) < numbers.size:
        raise ProtocolError(f"scores {numbers.tolist()} of {scores} were asked to be calibrated")
    return tuple(numbers.tolist())


def select_calibrated(parameters: Parameters, index: int) -> Parameters:
    """The parameters about one cohort, under the names that Newton's method has for them."""
    start = f"{index}."
    return {name.removeprefix(start): array for name, array in parameters.items() if name.startswith(start)}
