"""A site that is alone in its study holds to the plan as others do; so does each where it trains alone."""

from types import SimpleNamespace

import numpy as np
import pytest
from rich.progress import Progress
from sites.attacked import CLINICAL, MACHINE, make_cases
from sites.crafted import SITE_TOML
from sites.plans import NETWORK, SCALE, plan_of

from client.answers.next_model import ModelDeriver
from client.answers.samples import SiteSamples
from client.answers.statistics import SiteAnalyses
from client.answers.trainer import Trainer
from client.cohort.cases import PreparedSite
from client.engine import open_engine
from client.hidden import HiddenAnswers
from common.cohort.eligibility import Flow
from common.errors import SmallNumberError, StorageError
from common.messages.catalogue import Operation
from common.messages.headers import RequestHeader
from common.messages.protocol import Request, decode_reply, encode_request
from common.messages.questions import write_centre
from common.plan.design import design_of
from common.program.names import SCREENING
from common.secagg.codes import SecAggError
from simulations.backends.parties import derive_simulated_key

COVARIATES = ["age", "inr"]


@pytest.fixture
def site(tmp_path, monkeypatch):
    # Nobody pulls a plug here
    monkeypatch.setattr("os.fsync", lambda _: None)

    def start(plan):
        (tmp_path / "site.toml").write_text(SITE_TOML.format(name="a"))
        key, cases = derive_simulated_key(plan), make_cases(0)
        engine = open_engine(tmp_path, plan, key.public_key(), tmp_path / "state", Progress(disable=True))
        flow = Flow(len(cases), (), (), tuple(case.patient for case in cases))
        engine._samples = SiteSamples(PreparedSite(engine.settings, flow, cases, (), ()))

        def ask(operation, parameters=None, weights=None, **fields):
            header = RequestHeader.model_validate(
                {"operation": operation, "plan_hash": plan.digest(), "site": "a", "arm": "local-a", **fields}
            )
            message = encode_request(Request(header, weights, parameters or {}), key)
            return decode_reply(engine.handle(message)).header.code

        return engine, ask

    return start


def plan_alone(*models):
    return plan_of({"a": "train"}, SCALE, *models, profile="standard", two_site_ack=False)


def read_scores(engine, model):
    analyses = engine._analyses
    return analyses.store.find(model, "local-a", analyses.cases)


def of_model(kind, model):
    return {"model": model, "procedure": f"{kind} {model} local-a"}


def test_a_site_alone_scores_with_its_own_coefficients(site):
    plan = plan_alone({**CLINICAL, "covariates": COVARIATES})
    engine, ask = site(plan)
    columns = 1 + len(design_of(plan).columns)
    crafted = {"coefficients": np.full(columns, 0.1), "estimated": np.ones(columns, dtype=np.bool_)}
    assert ask(Operation.TRAIN_LOCAL, **of_model("fit", "Clinical"), step=1) == "OK"

    for names in (COVARIATES, COVARIATES[:1]):
        about = {**of_model("scoring", "Clinical"), "step": 1, "regressions": (tuple(names),)}
        assert ask(Operation.SCORE, crafted, **about) == "E_NOT_THE_PLAN"
    assert not list((engine.state / "scores").rglob("*.npz"))


def test_an_old_question_changes_no_score_again(site):
    engine, ask = site(plan_alone({**CLINICAL, "covariates": COVARIATES}))
    about = of_model("scoring", "Clinical")
    assert ask(Operation.TRAIN_LOCAL, **of_model("fit", "Clinical"), step=1) == "OK"
    assert ask(Operation.SCORE, **about, step=1) == "OK"
    assert np.isfinite(read_scores(engine, "Clinical")).all()
    # The last question of a procedure may be asked again: the answer may have been lost
    assert ask(Operation.SCORE, **about, step=1) == "OK"

    assert ask(Operation.SCORE, **about, step=3, stage="untrained") == "OK"
    assert ask(Operation.SCORE, **about, step=1) == "OK"

    assert np.isnan(read_scores(engine, "Clinical")).all()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda first: first, "E_STORAGE"),
        (lambda first: first + np.float32(1e-3), "E_NOT_THE_PLAN"),
        (lambda first: first[:-1], "E_NOT_THE_PLAN"),
    ],
    ids=["the plan's", "moved", "shorter"],
)
def test_a_local_training_starts_with_the_plan_s_weights(site, monkeypatch, change, code):
    def reach(*_):
        raise StorageError("reached")

    monkeypatch.setattr(Trainer, "train_alone", reach)
    plan = plan_alone({**NETWORK, "initialisation": "random"})
    engine, ask = site(plan)
    monkeypatch.setattr(engine.trainings, "_read_part", lambda *_: None)
    first = engine.trainings.make_initial_weights(plan.networks[0], plan.arm("local-a"))

    assert ask(Operation.TRAIN_LOCAL, weights=change(first), **of_model("training", "Net"), step=1) == code


@pytest.mark.parametrize(
    ("weights", "told", "proved"),
    [("frozen", 300, None), ("frozen", 300, 290), ("equal", 3, None), ("equal", 3, 2)],
)
def test_a_round_s_sum_is_divided_by_the_proved_weight_alone(weights, told, proved):
    privacy = {"weights": weights}
    plan = plan_of(
        dict.fromkeys("abc", "train"), NETWORK, profile="standard", two_site_ack=False, privacy=privacy
    )
    door = SimpleNamespace(find_weight=lambda _: proved)
    answers = HiddenAnswers(plan, "a", *[None] * 6, door=door)
    derive = ModelDeriver(plan, None, answers._find_weight)
    opened = SimpleNamespace(weight=told, earlier_weight=None)

    with pytest.raises(SecAggError) as refused:
        derive._find_patients(opened, None, plan.arm("federated"))
    assert refused.value.code == "E_NOT_THE_PLAN"


def test_a_minimum_that_refuses_a_question_leaves_its_step_free(site, monkeypatch):
    def refuse(*_):
        raise SmallNumberError("too few")

    alone = {"profile": "standard", "two_site_ack": False, "regression": {"candidates": COVARIATES}}
    plan = plan_of({"a": "train"}, SCALE, phases=["regression"], **alone)
    engine, ask = site(plan)
    about = {"arm": "", "procedure": SCREENING, "regressions": tuple((name,) for name in COVARIATES)}
    assert ask(Operation.GUARD, stage="regression", step=1, **about) == "OK"
    setup = Operation.SETUP, write_centre(design_of(plan).centre_on({}))

    with monkeypatch.context() as patched:
        patched.setattr(SiteAnalyses, "answer", refuse)
        assert ask(*setup, step=2, **about) == "E_SMALL_N"
    assert engine._door.questions == 1

    assert ask(*setup, step=2, **about) == "OK"
    assert engine._door.questions == 2


def test_a_minimum_that_refuses_a_masked_answer_leaves_its_step_free():
    plan = plan_of(dict.fromkeys("abc", "train"), NETWORK, profile="standard", two_site_ack=False)
    door = SimpleNamespace(attempt=lambda digest, compute, *asked: (digest, compute, asked))
    answers = HiddenAnswers(plan, "a", *[None] * 6, door=door)

    assert answers._attempt("digest", "asked", "sites") == ("digest", answers._separate, ("asked", "sites"))


IMPOSSIBLE = {
    "no reference": {"scored": np.ones(3, dtype=np.bool_)},
    "another model": {"scored": np.ones(3, dtype=np.bool_), "reference": np.array([99])},
    "a reference of no shape": {"scored": np.ones(3, dtype=np.bool_), "reference": np.array(0)},
    "infinite": {"scored": np.ones(3, dtype=np.bool_), "reference": np.array([np.inf])},
    "scores of no shape": {"scored": np.array(1, dtype=np.bool_), "reference": np.array([0])},
}


@pytest.mark.parametrize("chosen", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_an_impossible_choice_leads_nowhere(site, chosen):
    _, ask = site(plan_alone({**CLINICAL, "covariates": COVARIATES}, MACHINE))
    first = ask(Operation.GUARD, chosen, arm="", stage="evaluation", procedure="evaluation", step=1)
    later = {
        ask(operation, arm="", procedure=procedure, step=2)
        for procedure, operation in (
            ("evaluation", Operation.GRID),
            ("calibration", Operation.CALIBRATE),
            ("comparison", Operation.COMPARE),
        )
    }

    assert first in {"E_CONTEXT", "E_NOT_THE_PLAN"}
    assert later == {"E_NOT_THE_PLAN"}
