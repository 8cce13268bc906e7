"""Which sums come back to sites is said in one place, and most do not."""

import pytest

from common.messages.headers import Operation
from common.messages.steering import steers

WHOLE = {"guard", "setup", "newton", "magnitudes", "scaling", "reading-means", "calibrate", "weight"}


@pytest.mark.parametrize("operation", [one for one in Operation if one is not Operation.EVALUATE])
def test_all_or_nothing_of_every_other_question_steers(operation):
    names = ("test/classes", "score", "test/0/roc/histogram", "paired/3/2/histogram")

    assert {steers(operation, "evaluation", name) for name in names} == {operation.value in WHOLE}


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
    assert steers(Operation.EVALUATE, "", name) is expected
