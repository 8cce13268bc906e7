"""Which fields of a request each question uses; any other is empty: what nobody reads could say anything."""

from __future__ import annotations

from collections.abc import Mapping

from common.errors import ProtocolError
from common.messages.headers import Operation, RequestHeader

_FIELDS = ("model", "arm", "round", "stage", "regressions", "has_weights", "parameters", "endorsements")
_WORDS = {"has_weights": "weights"}

OF_GUARDS: Mapping[str, tuple[str, ...]] = {
    "agreement": (),
    "cohort": (),
    "regression": ("arm", "regressions"),
    "reproducibility": ("arm",),
    "selection": ("arm",),
    "svm": ("model", "arm", "regressions"),
    "evaluation": ("parameters",),
}
"""What a guard round uses, by the stage that it precedes."""

OF_OPERATIONS: Mapping[Operation, tuple[str, ...]] = {
    Operation.DESCRIBE: (),
    Operation.PREPARE: (),
    Operation.AGREEMENT: ("parameters",),
    Operation.READING_MEANS: ("arm", "parameters"),
    Operation.READING_SUMS: ("arm", "parameters"),
    Operation.COHORT: ("parameters",),
    Operation.SETUP: ("arm", "regressions", "parameters"),
    Operation.NEWTON: ("arm", "parameters"),
    Operation.MAGNITUDES: ("arm",),
    Operation.SCALING: ("arm", "parameters"),
    Operation.PRESCREEN: ("arm", "parameters"),
    Operation.GRAM: ("arm", "parameters"),
    Operation.PATH: ("arm", "parameters"),
    Operation.RIDGE: ("model", "arm", "regressions", "parameters"),
    Operation.HELD_OUT: ("model", "arm", "regressions", "parameters"),
    Operation.TRAIN: ("model", "arm", "round", "has_weights"),
    Operation.VALIDATE: ("model", "arm", "round", "has_weights"),
    Operation.TRAIN_LOCAL: ("model", "arm", "has_weights"),
    Operation.RELEASE: ("model", "arm"),
    Operation.SCORE: (
        *("model", "arm", "round", "stage", "regressions"),
        *("has_weights", "parameters", "endorsements"),
    ),
    Operation.GRID: ("parameters",),
    Operation.EVALUATE: ("stage", "parameters"),
    Operation.CALIBRATE: ("parameters",),
    Operation.COMPARE: ("parameters",),
    Operation.WEIGHT: ("arm",),
    Operation.EXPLAIN: ("model", "arm", "round", "has_weights", "endorsements"),
}
"""What every other question uses."""

_UNTRAINED = ("model", "arm", "stage")
"""What a question to score nobody uses."""
_STAGES: Mapping[Operation, tuple[str, ...]] = {
    Operation.SCORE: ("", "untrained"),
    Operation.EVALUATE: ("", "operating point"),
}
"""The stages of the questions that have one, guard rounds apart."""


def refuse_unused_fields(header: RequestHeader) -> None:
    """Refuse a request with a field that its question does not use.

    Raises
    ------
    ProtocolError
        If it has one, weights together with parameters, or a stage that the question does not have.
    """
    used = _find_used(header)
    unused = [name for name in _FIELDS if name not in used and getattr(header, name)]
    if header.has_weights and header.parameters:
        unused += ["has_weights"]
    if unused:
        named = ", ".join(_WORDS.get(name, name) for name in unused)
        raise ProtocolError(f"{header.operation}: the request has {named}, which it does not use")


def _find_used(header: RequestHeader) -> tuple[str, ...]:
    if header.operation is Operation.GUARD:
        if header.stage not in OF_GUARDS:
            raise ProtocolError(f"a guard round for no known stage: {header.stage!r}")
        return ("stage", *OF_GUARDS[header.stage])
    if header.stage not in _STAGES.get(header.operation, ("", header.stage)):
        raise ProtocolError(
            f"{header.operation} was asked for the stage {header.stage!r}, which it does not have"
        )
    if header.operation is Operation.SCORE and header.stage == "untrained":
        return _UNTRAINED
    return OF_OPERATIONS[header.operation]
