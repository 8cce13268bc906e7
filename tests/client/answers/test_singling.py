"""The row reader, whose steep coefficients leave weight to one patient, is refused at its first question."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.progress import Progress
from sites.tables import Habits, table_only_hospital

from client.answers.singling import refuse_singling_out
from client.engine import open_engine
from common.cards.fourier_machine import NOBODY, Scales, SvmQuery, write_query
from common.errors import SmallNumberError
from common.messages.catalogue import Operation
from common.messages.headers import CODE_OK, RequestHeader
from common.messages.protocol import Request, decode_reply, encode_request
from common.messages.questions import write_coefficients, write_newton
from common.plan.design import design_of
from common.plan.study import StudyPlan
from common.stats.newton import Query
from common.stats.stack import Problem

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
MACHINE = {"kind": "svm", "name": "S", "covariates": ["age", "sbp_mmhg"]}
LOGISTIC = {"kind": "logistic", "name": "L", "covariates": ["age", "sbp_mmhg"]}
NAMES = ("age", "sbp_mmhg")


@pytest.fixture(scope="module")
def plan():
    return StudyPlan.model_validate(
        {
            "name": "Rows",
            "seed": 5,
            "profile": "standard",
            "two_site_ack": True,
            "regression": {"candidates": NAMES},
            # What leaves is looked at in the clear; under masks it is the same numbers.
            "privacy": {"secure": False},
            "sites": [{"name": "a", "role": "train"}, {"name": "b", "role": "train"}],
            "cohort": {"validation_fraction": 0.0},
            "models": [LOGISTIC, MACHINE],
        }
    )


@pytest.fixture(scope="module")
def ask(plan, tmp_path_factory):
    """Asks a hospital of 100 training patients whatever the coordinator likes."""
    habits = Habits(split=("train", "train", "test"))
    root = tmp_path_factory.mktemp("hospital")
    folder = table_only_hospital(root / "a", "a", 150, 1, ("score",), habits=habits)
    engine = open_engine(folder, plan, KEY.public_key(), root / "state", Progress(disable=True))

    def put(operation, parameters, **fields):
        header = {"operation": operation, "plan_hash": plan.digest(), "site": "a"} | fields
        request = Request(RequestHeader.model_validate(header), None, parameters)
        return decode_reply(engine.handle(encode_request(request, KEY)))

    return put


COLUMNS = [0, 1]
"""Of the design: age, then blood pressure."""
CENTRE, UNIT = np.array([65.0, 150.0]), np.array([12.0, 25.0])
"""Years and mmHg."""


def newton(coefficients, *, scale=1.0):
    """A question about models of both columns."""
    models = len(coefficients)
    columns, free = np.tile(COLUMNS, (models, 1)), np.ones((models, 3), dtype=bool)
    problem = Problem(columns, free, CENTRE, UNIT * scale, firth=False)
    return write_newton(problem, Query(np.asarray(coefficients), np.ones(models, dtype=bool)))


def read_rows(answer):
    """Rows that one patient's weight alone fills: the information is then of rank 1."""
    information = answer.summary.reals["information"]
    values = np.linalg.eigvalsh(information)
    alone = (values[:, -2] < 1e-9 * values[:, -1]) & (values[:, -1] > 0)
    return information[alone, 0, 1:] / information[alone, 0, :1]


@pytest.mark.parametrize("steepness", [300.0, 1e4, 1e7])
def test_lines_through_the_patients_are_refused_at_the_first_question(ask, steepness):
    angles, offsets = np.meshgrid(np.linspace(0, np.pi, 16, endpoint=False), np.linspace(-2, 2, 40))
    turned = np.stack([-offsets, np.cos(angles), np.sin(angles)], axis=-1).reshape(-1, 3)

    answer = ask(Operation.NEWTON, newton(steepness * turned))

    assert answer.header.code == "E_SMALL_N", f"{len(read_rows(answer))} rows read"
    assert not answer.summary.reals


def test_one_line_through_a_patient_is_refused_however_it_is_written(ask):
    """Gentle coefficients of columns in units of a thousandth are steep ones."""
    turned = np.array([[0.05, -0.06, 0.08]])

    assert ask(Operation.NEWTON, newton(1e3 * turned)).header.code == "E_SMALL_N"
    assert ask(Operation.NEWTON, newton(turned, scale=1e-3)).header.code == "E_SMALL_N"


def test_gentle_coefficients_are_answered(ask):
    answer = ask(Operation.NEWTON, newton([[0.0, 0.0, 0.0], [-0.5, 1.0, -2.0], [1.0, 5.0, 3.0]]))

    assert answer.header.code == CODE_OK
    assert not len(read_rows(answer))


@pytest.mark.parametrize("operation", [Operation.RIDGE, Operation.HELD_OUT])
@pytest.mark.parametrize(("steepness", "code"), [(1.0, CODE_OK), (1e4, "E_SMALL_N")])
def test_a_machine_s_steep_forms_are_refused(ask, operation, steepness, code):
    left_out = np.array([0 if operation is Operation.HELD_OUT else NOBODY])
    forms = steepness * np.array([[0.1, -1.0, 0.7, 0.4, -0.3]])
    query = SvmQuery(Scales(np.array(COLUMNS), CENTRE, UNIT), np.array([0.1]), left_out, forms)
    parameters = write_query(query)

    answer = ask(operation, parameters, model="S", arm="federated", regressions=(NAMES,))

    assert answer.header.code == code


@pytest.mark.parametrize(
    ("steepness", "arm"), [(1.0, "federated"), (1e3, "federated"), (1.0, "local-b"), (1e3, "local-b")]
)
def test_scores_by_steep_coefficients_are_refused_where_they_were_to_be_fitted(ask, plan, steepness, arm):
    """Of a model of other patients alone nothing says how it orders these."""
    coefficients = np.full(1 + len(design_of(plan).columns), np.nan)
    coefficients[[0, 1, 2]] = steepness * np.array([0.0, -1.0, 0.42])

    answer = ask(Operation.SCORE, write_coefficients(coefficients), model="L", arm=arm, regressions=(NAMES,))

    refused = steepness > 1 and arm == "federated"
    assert answer.header.code == ("E_SMALL_N" if refused else CODE_OK)


def test_the_refusal_says_how_many_models_and_names_nobody():
    predictors = np.linspace(-500, 500, 40)[np.newaxis].repeat(3, axis=0)
    predictors[1] /= 1e3
    labels = np.arange(40) % 2 == 0

    with pytest.raises(SmallNumberError, match=r"^a LASSO: 2 of 3 models .* do not fit them$"):
        refuse_singling_out("a LASSO", predictors, labels, np.ones((3, 40), dtype=bool))
