"""Which sums steer later questions: these come back to the sites that are in them, and no others do."""

from __future__ import annotations

from common.messages.headers import Operation
from common.plan.matrix import PARTS

_WHOLE = frozenset(
    {
        Operation.GUARD,
        Operation.SETUP,
        Operation.NEWTON,
        Operation.MAGNITUDES,
        Operation.SCALING,
        Operation.READING_MEANS,
        Operation.CALIBRATE,
        Operation.WEIGHT,
    }
)
"""Questions of whose answers all arrays steer: what is left out, coefficients, scales, weights."""
_OF_CALIBRATIONS = frozenset({"patients", "events", "missing", "logits"})
"""Of a score's calibration on a part: from what its Newton loop begins."""
_OF_PAIRS = "paired/"
"""Begins the histograms over the patients who have all scores that are compared."""


def steer_all_groups(operation: Operation) -> bool:
    """Whether arrays of every group of the question steer; of calibrations, those of the cohorts asked do."""
    return operation is not Operation.CALIBRATE and (operation in _WHOLE or operation is Operation.EVALUATE)


def steers(operation: Operation, stage: str, array_name: str) -> bool:
    """Whether an array of a question's answer steers later questions.

    Parameters
    ----------
    operation : Operation
        The question.
    stage : str
        Its stage; no stage makes a difference today.
    array_name : str
        The array's name in a site's summary, without the number of its group.

    Examples
    --------
    >>> steers(Operation.EVALUATE, "", "test/0/roc/histogram")
    True
    >>> steers(Operation.EVALUATE, "", "test/0/subgroups/sex/histogram")
    False
    """
    del stage
    if operation is not Operation.EVALUATE:
        return operation in _WHOLE
    if array_name.startswith(_OF_PAIRS):
        return True
    part, _, rest = array_name.partition("/")
    _, _, of_score = rest.partition("/")
    kind, _, name = of_score.partition("/")
    # The histogram of a score places the scores that are compared
    return part in PARTS and (kind == "roc" or (kind == "calibration" and name in _OF_CALIBRATIONS))
