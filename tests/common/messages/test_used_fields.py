"""A question has no field that it does not use: what nobody reads could say anything."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ProtocolError
from common.messages.headers import Operation, RequestHeader
from common.messages.protocol import Request, decode_request, encode_request
from common.messages.used_fields import OF_GUARDS, OF_OPERATIONS

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WEIGHTS = np.zeros(3, dtype=np.float32)
FIELDS = {"model": "m", "arm": "federated", "round": 1, "stage": "cohort", "regressions": (("age",),)}
QUESTIONS = [
    *((operation, "", used) for operation, used in OF_OPERATIONS.items()),
    *((Operation.GUARD, stage, ("stage", *used)) for stage, used in OF_GUARDS.items()),
    (Operation.SCORE, "untrained", ("model", "arm", "stage")),
]


def read(operation, weights=None, parameters=None, **fields):
    header = RequestHeader(operation=operation, plan_hash="0" * 64, site="a", **fields)
    return decode_request(encode_request(Request(header, weights, parameters or {}), KEY), KEY.public_key())


def test_every_question_has_its_line():
    assert {*OF_OPERATIONS, Operation.GUARD} == set(Operation)


@pytest.mark.parametrize(("operation", "stage", "used"), QUESTIONS)
def test_a_field_that_a_question_does_not_use_is_empty(operation, stage, used):
    names = [name for name in used if name in FIELDS and name != "stage"]
    asked = {"stage": stage} | {name: FIELDS[name] for name in names}
    assert read(operation, **asked).header.operation is operation

    for name, value in FIELDS.items():
        if name not in used:
            with pytest.raises(ProtocolError, match=name):
                read(operation, **asked | {name: value})
    if "has_weights" not in used:
        with pytest.raises(ProtocolError, match="weights"):
            read(operation, WEIGHTS, **asked)
    if "parameters" not in used:
        with pytest.raises(ProtocolError, match="parameters"):
            read(operation, None, {"x": np.zeros(2)}, **asked)


@pytest.mark.parametrize("operation", [Operation.SCORE, Operation.EVALUATE])
def test_a_stage_is_one_that_the_question_has(operation):
    with pytest.raises(ProtocolError, match="the stage 'cohort', which it does not have"):
        read(operation, stage="cohort")


def test_a_guard_round_is_for_a_stage():
    for stage in ("", "untrained", "operating point"):
        with pytest.raises(ProtocolError, match="no known stage"):
            read(Operation.GUARD, stage=stage)


def test_scores_come_from_weights_or_from_coefficients():
    with pytest.raises(ProtocolError, match="weights"):
        read(Operation.SCORE, WEIGHTS, {"coefficients": np.zeros(2)}, model="m", arm="federated")
