"""What a question may carry, which of its sums come back, and that none is about patients without demands."""

from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ProtocolError
from common.messages.catalogue import QUESTIONS, Operation, Question, Spared, find_question
from common.messages.headers import RequestHeader
from common.messages.protocol import Request, decode_request, encode_request

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
WEIGHTS = np.zeros(3, dtype=np.float32)
FIELDS = {"model": "m", "arm": "federated", "round": 1, "regressions": (("age",),)}
WHOLE = {"guard", "setup", "newton", "magnitudes", "scaling", "reading-means", "calibrate", "weight"}
NAMES = [" ".join(key) for key in QUESTIONS]
EVERY = pytest.mark.parametrize("question", QUESTIONS.values(), ids=NAMES)


def read(operation, weights=None, parameters=None, **fields):
    header = RequestHeader(operation=operation, plan_hash="0" * 64, site="a", **fields)
    return decode_request(encode_request(Request(header, weights, parameters or {}), KEY), KEY.public_key())


def test_every_operation_is_a_question():
    assert {question.operation for question in QUESTIONS.values()} == set(Operation)


@EVERY
def test_a_field_that_a_question_does_not_use_is_empty(question):
    stated = {"stage": question.stage}
    asked = stated | {name: FIELDS[name] for name in question.carries if name in FIELDS}
    assert read(question.operation, **asked).header.operation is question.operation

    for name, value in FIELDS.items():
        if name not in question.carries:
            with pytest.raises(ProtocolError, match=name):
                read(question.operation, **asked | {name: value})
    if "has_weights" not in question.carries:
        with pytest.raises(ProtocolError, match="weights"):
            read(question.operation, WEIGHTS, **asked)
    if "parameters" not in question.carries:
        with pytest.raises(ProtocolError, match="parameters"):
            read(question.operation, None, {"x": np.zeros(2)}, **asked)


@pytest.mark.parametrize("operation", [one for one in Operation if one is not Operation.GUARD])
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


@EVERY
def test_all_or_nothing_of_every_question_but_evaluations_steers(question):
    names = ("test/classes", "score", "test/0/roc/histogram", "paired/3/2/histogram")

    if question.operation is not Operation.EVALUATE:
        assert {question.steers(name) for name in names} == {question.operation.value in WHOLE}
    in_all = question.operation.value in {*WHOLE, "evaluate"} - {"calibrate"}
    assert question.steers_in_all_groups is in_all


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("test/0/roc/histogram", True),
        ("train/12/roc/missing", True),
        ("whole/0/calibration/patients", True),
        ("whole/0/calibration/logits", True),
        ("whole/0/calibration/brier", False),
        ("paired/3/0/histogram", True),
        ("test/0/confusion/counts", False),
        ("test/0/decision/counts", False),
        ("test/0/subgroups/sex/histogram", False),
        ("test/roc/histogram", False),
        ("elsewhere/0/roc/histogram", False),
    ],
)
def test_of_an_evaluation_only_histograms_and_calibrations_steer(name, expected):
    assert find_question(Operation.EVALUATE).steers(name) is expected


def test_a_question_about_patients_demands_something_of_them_or_says_what_protects_them():
    table = find_question(Operation.COHORT)

    with pytest.raises(TypeError, match="demand"):
        Question(Operation.COHORT, ("parameters",))
    with pytest.raises(ValueError, match="cohort: its patients are counted, but nothing is demanded of them"):
        replace(table, demand=Spared("there is no hurry"))
    with pytest.raises(ValueError, match="for a reason"):
        Spared("")
    with pytest.raises(ValueError, match="is registered"):
        replace(table, cohorts=())


@EVERY
def test_a_guard_round_demands_what_the_questions_behind_it_do_and_of_the_same_patients(question):
    if question.guard:
        guard = find_question(Operation.GUARD, question.guard)
        assert (guard.demand, guard.cohorts) == (question.demand, question.cohorts)
