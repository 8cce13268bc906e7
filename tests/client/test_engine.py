import csv
import logging

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.progress import Progress
from sites.handmade import make_site, read_rows, write_table

from client.engine import open_engine
from common.errors import PlanError
from common.hiding.rounds import VALIDATION_GRID
from common.messages.catalogue import Operation
from common.messages.headers import CODE_OK, RequestHeader
from common.messages.protocol import Request, decode_reply, encode_request
from common.messages.questions import write_grids
from common.plan.comparisons import find_compared_scores
from common.plan.matrix import PARTS, scorers_of
from common.plan.study import StudyPlan
from common.stats.score_grid import ScoreGrid
from server.training.federated import make_initial_weights

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def a_plan(**changes):
    settings = {
        "name": "A study",
        "seed": 7,
        "threads": 1,
        "profile": "simulation",
        "two_site_ack": True,
        # What an engine computes is looked at in the clear; how it is hidden has tests of its own.
        "privacy": {"secure": False},
        "sites": [
            {"name": "a", "role": "train", "model_release": True},
            {"name": "b", "role": "external"},
        ],
        "models": [
            {
                "name": "m",
                "family": "resnet10-narrow",
                "input_size": 16,
                "training": {"batch_size": 8, "learning_rate": 0.003},
            }
        ],
        "federation": {"rounds": 2},
        "explanation": {"per_site": 2},
    }
    return StudyPlan.model_validate(settings | changes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_site(tmp_path_factory.mktemp("sites") / "a", "a", patients=18)


def counting(scorers):
    """How an evaluation counts the scores of which none is compared."""
    return {
        "scored": np.ones(scorers, dtype=bool),
        "reference": np.array([0]),
        "thresholds": np.full(scorers, 0.5),
        "recounted": np.zeros(0, dtype=bool),
        **write_grids([ScoreGrid.with_fine_ends(1000)] * scorers),
    }


class Coordinator:
    """Asks one engine as the coordinator would."""

    def __init__(self, folder, state, plan):
        self.plan, self.weights = (
            plan,
            make_initial_weights(plan, plan.models[0], plan.all_arms()[0], None)[0],
        )
        self.engine = open_engine(folder, plan, KEY.public_key(), state, Progress(disable=True))

    def ask(self, operation, weights=None, key=KEY, parameters=None, **fields):
        settings = {"operation": operation, "plan_hash": self.plan.digest(), "site": "a"} | fields
        request = Request(RequestHeader.model_validate(settings), weights, parameters or {})
        return decode_reply(self.engine.handle(encode_request(request, key)))

    def judge(self, weights=None, **fields):
        """The sums of the plan's first score, once the model has scored here."""
        assert self.ask(Operation.SCORE, weights, **fields).header.code == CODE_OK
        scorers = len(scorers_of(self.plan))
        parameters = {
            "asked": np.ones((2, len(PARTS), scorers), dtype=bool),
            **counting(scorers),
            "recounted": np.ones(len(find_compared_scores(self.plan, [True] * scorers, "m")), dtype=bool),
        }
        reply = self.ask(Operation.EVALUATE, parameters=parameters)
        assert reply.header.code == CODE_OK
        return reply.summary


@pytest.fixture
def coordinator(folder, tmp_path):
    return Coordinator(folder, tmp_path / "state", a_plan())


LOCAL = {"model": "m", "arm": "local-a"}


def test_a_site_describes_itself_without_being_named(coordinator):
    reply = coordinator.ask(Operation.DESCRIBE, site="")

    assert reply.header.site == "a"
    assert reply.header.facts.synthetic
    assert reply.header.facts.device.startswith("cpu")


def test_a_site_states_whether_its_link_is_another_user_where_it_has_one(coordinator):
    assert coordinator.ask(Operation.DESCRIBE, site="").header.facts.users is None
    coordinator.engine.users = "two users"
    assert coordinator.ask(Operation.DESCRIBE, site="").header.facts.users == "two users"


def test_a_site_in_the_clear_is_told_the_end_by_its_own_coordinator_alone(coordinator):
    told = lambda: bool(coordinator.engine.watch.read().closed)
    last = {"operation": Operation.DESCRIBE, "stage": "end"}
    foreign = Ed25519PrivateKey.from_private_bytes(bytes(32))

    coordinator.ask(Operation.DESCRIBE)
    coordinator.ask(**last, key=foreign)
    coordinator.ask(**last, plan_hash="0" * 64)
    coordinator.ask(**last, site="b")
    assert not told()

    # Nothing leaves that did not leave before
    first, end = coordinator.ask(Operation.DESCRIBE), coordinator.ask(**last)
    assert told()
    assert first.header.model_copy(update={"request": ""}) == end.header.model_copy(update={"request": ""})

    coordinator.ask(Operation.PREPARE)
    assert not told()


def test_the_flow_and_the_parts_add_up(coordinator):
    summary = coordinator.ask(Operation.PREPARE).summary

    assert summary.counts["flow/screened"] == 18
    assert summary.counts["parts/patients"].sum() == 18
    np.testing.assert_array_equal(summary.counts["flow/included"], [12, 6])


def test_a_round_answers_with_an_update_weighted_by_patients(coordinator):
    reply = coordinator.ask(Operation.TRAIN, coordinator.weights, round=1, **LOCAL)

    patients = int(reply.summary.counts["patients"])
    assert patients == int(coordinator.ask(Operation.PREPARE).summary.counts["parts/patients"][0].sum())
    assert reply.summary.updates["delta"].shape == coordinator.weights.shape
    assert np.abs(reply.summary.updates["delta"]).max() > 0
    assert reply.summary.counts["validation/histogram"].shape == (1, 2, VALIDATION_GRID.bins)


def test_the_same_request_gives_the_same_bits_in_another_process_s_place(folder, tmp_path, coordinator):
    other = Coordinator(folder, tmp_path / "elsewhere", a_plan())
    other.ask(Operation.TRAIN, other.weights, round=2, **LOCAL)

    first = coordinator.ask(Operation.TRAIN, coordinator.weights, round=1, **LOCAL)
    second = other.ask(Operation.TRAIN, other.weights, round=1, **LOCAL)

    assert first.summary.updates["delta"].tobytes() == second.summary.updates["delta"].tobytes()


def test_every_part_is_judged_and_the_parts_make_the_whole(coordinator):
    summary = coordinator.judge(coordinator.weights, **LOCAL)

    parts = [summary.counts[f"{part}/0/confusion/table"] for part in ("train", "validation", "test")]
    np.testing.assert_array_equal(sum(parts), summary.counts["whole/0/confusion/table"])
    assert summary.counts["whole/0/confusion/table"].sum() == 18


def test_what_is_not_asked_is_zero(coordinator):
    coordinator.ask(Operation.SCORE, coordinator.weights, **LOCAL)
    asked = np.zeros((2, len(PARTS), 1), dtype=bool)
    asked[0, PARTS.index("test")] = True
    asked[1] = True  # of the other site

    parameters = {
        "asked": asked,
        **counting(1),
    }
    summary = coordinator.ask(Operation.EVALUATE, parameters=parameters).summary

    assert summary.counts["test/0/roc/histogram"].sum() > 0
    assert all(summary.counts[f"{part}/0/roc/histogram"].sum() == 0 for part in ("train", "whole"))


def test_a_model_that_has_not_scored_is_not_evaluated(coordinator):
    parameters = {
        "asked": np.ones((2, len(PARTS), 1), dtype=bool),
        **counting(1),
    }
    assert coordinator.ask(Operation.EVALUATE, parameters=parameters).header.code == "E_CONTEXT"


@pytest.mark.parametrize(
    "name", ["asked", "scored", "reference", "recounted", "thresholds", "values", "sizes"]
)
def test_a_parameter_of_another_shape_is_refused(coordinator, name):
    coordinator.ask(Operation.SCORE, coordinator.weights, **LOCAL)
    parameters = {
        "asked": np.ones((2, len(PARTS), 1), dtype=bool),
        **counting(1),
    }
    wrong = np.ones(7, dtype=parameters[name].dtype)

    assert coordinator.ask(Operation.EVALUATE, parameters=parameters).header.code == CODE_OK

    assert (
        coordinator.ask(Operation.EVALUATE, parameters=parameters | {name: wrong}).header.code == "E_CONTEXT"
    )


def test_a_local_model_is_trained_once_and_released_as_declared(coordinator):
    first = coordinator.ask(Operation.TRAIN_LOCAL, coordinator.weights, **LOCAL)
    again = coordinator.ask(Operation.TRAIN_LOCAL, coordinator.weights, **LOCAL)
    released = coordinator.ask(Operation.RELEASE, **LOCAL)

    assert first.weights is None
    assert again.header == first.header
    assert [line.number for line in first.header.curve] == [1, 2]
    assert released.weights.shape == coordinator.weights.shape


def test_a_local_model_that_stays_is_judged_at_its_site(coordinator):
    coordinator.ask(Operation.TRAIN_LOCAL, coordinator.weights, **LOCAL)
    released = coordinator.ask(Operation.RELEASE, **LOCAL).weights

    stayed, sent = coordinator.judge(**LOCAL), coordinator.judge(released, **LOCAL)

    np.testing.assert_array_equal(
        stayed.counts["whole/0/roc/histogram"], sent.counts["whole/0/roc/histogram"]
    )


def test_attention_of_synthetic_patients_may_leave(coordinator, tmp_path):
    reply = coordinator.ask(Operation.EXPLAIN, coordinator.weights, **LOCAL)

    captions = reply.header.captions
    assert [caption.outcome for caption in captions] == [True, False]
    assert [caption.positive for caption in captions] == [caption.score >= 0.5 for caption in captions]
    with (tmp_path / "state" / "attention" / "m" / "local-a" / "captions.csv").open(newline="") as file:
        kept = [(float(row["score"]), row["called_positive"]) for row in csv.DictReader(file)]
    assert kept == [(caption.score, str(int(caption.positive))) for caption in captions]
    assert all(picture.tobytes().startswith(b"\x89PNG") for picture in reply.pictures)
    assert len(list((tmp_path / "state" / "attention" / "m" / "local-a").glob("*.png"))) == 2


def test_attention_of_patients_stays(tmp_path):
    folder = make_site(tmp_path / "a", "a", patients=36, synthetic=False)
    plan = a_plan(
        profile="standard",
        sites=[{"name": "a", "role": "train", "model_release": True}],
        explanation={"per_site": 2, "mean_maps": True},
    )
    coordinator = Coordinator(folder, tmp_path / "state", plan)

    training = {"procedure": "training m local-a", **LOCAL}
    coordinator.ask(Operation.TRAIN_LOCAL, coordinator.weights, step=1, **training)
    trained = coordinator.ask(Operation.RELEASE, step=2, **training).weights
    explanation = {"procedure": "explanation m local-a", "step": 1, **LOCAL}
    crafted = coordinator.ask(Operation.EXPLAIN, coordinator.weights, **explanation)
    reply = coordinator.ask(Operation.EXPLAIN, trained, **explanation | {"step": 2})

    assert crafted.header.code == "E_NOT_THE_PLAN"
    assert reply.header.code == "OK"
    assert reply.pictures == ()
    assert reply.header.captions == ()
    assert len(list((tmp_path / "state" / "attention" / "m" / "local-a").glob("*.png"))) == 2
    assert len(list((tmp_path / "state" / "maps").rglob("m/local-a.npz"))) == 1


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"key": Ed25519PrivateKey.from_private_bytes(bytes(32))}, "E_CONTEXT"),
        ({"plan_hash": "00" * 32}, "E_PLAN"),
        ({"site": "b"}, "E_CONTEXT"),
        ({"site": ""}, "E_CONTEXT"),
        ({"model": "other"}, "E_PLAN"),
        ({"arm": "federated"}, "E_PLAN"),
        ({"weights": np.zeros(3, np.float32)}, "E_MODEL"),
        ({"weights": None}, "E_CONTEXT"),
    ],
)
def test_a_request_out_of_order_is_refused_with_a_code(coordinator, fields, code):
    asked = {"weights": coordinator.weights, "round": 1, **LOCAL} | fields

    reply = coordinator.ask(Operation.TRAIN, **asked)

    assert reply.header.code == code
    assert not reply.summary.updates


def test_weights_that_are_not_numbers_are_refused(coordinator):
    weights = coordinator.weights.copy()
    weights[5] = np.nan

    assert coordinator.ask(Operation.TRAIN, weights, round=1, **LOCAL).header.code == "E_NONFINITE"


def test_another_site_s_arm_is_not_trained_here(coordinator):
    plan = a_plan(sites=[{"name": "a", "role": "train"}, {"name": "b", "role": "train"}])
    other = Coordinator(coordinator.engine.folder, coordinator.engine.state, plan)

    reply = other.ask(Operation.TRAIN_LOCAL, other.weights, model="m", arm="local-b")

    assert reply.header.code == "E_POLICY"


def test_a_model_that_nobody_trained_is_not_released(coordinator):
    assert coordinator.ask(Operation.RELEASE, **LOCAL).header.code == "E_CONTEXT"


def test_a_model_is_not_released_without_the_plan(folder, tmp_path):
    plan = a_plan(sites=[{"name": "a", "role": "train"}, {"name": "b", "role": "external"}])
    coordinator = Coordinator(folder, tmp_path / "state", plan)
    coordinator.ask(Operation.TRAIN_LOCAL, coordinator.weights, **LOCAL)

    assert coordinator.ask(Operation.RELEASE, **LOCAL).header.code == "E_POLICY"


def test_a_site_that_forbids_release_refuses_the_plan(tmp_path):
    folder = make_site(tmp_path / "a", "a", patients=18, release=False)
    coordinator = Coordinator(folder, tmp_path / "state", a_plan())

    assert coordinator.ask(Operation.DESCRIBE, site="").header.code == "E_POLICY"


def test_patients_take_no_part_in_a_simulation(tmp_path):
    folder = make_site(tmp_path / "a", "a", patients=18, synthetic=False)
    coordinator = Coordinator(folder, tmp_path / "state", a_plan())

    assert coordinator.ask(Operation.DESCRIBE, site="").header.code == "E_POLICY"


def test_patients_show_no_number_of_their_own_in_a_study_of_several_sites(tmp_path):
    """The plan hides no sum; the same site answers one that hides them, or has no other site."""
    folder = make_site(tmp_path / "a", "a", patients=36, synthetic=False)
    alone = [{"name": "a", "role": "train", "model_release": True}]
    bare, own = a_plan(profile="standard"), a_plan(profile="standard", sites=alone)
    asked = {Operation.DESCRIBE: {"site": ""}, Operation.PREPARE: {}, Operation.GUARD: {"stage": "cohort"}}

    shown = Coordinator(folder, tmp_path / "bare", bare)
    for operation, fields in asked.items():
        reply = shown.ask(operation, **fields)
        assert reply.header.code == "E_POLICY", operation
        assert not reply.summary.counts
    place = {"procedure": "preparation", "step": 1}
    assert Coordinator(folder, tmp_path / "own", own).ask(Operation.PREPARE, **place).header.code == CODE_OK


def test_an_error_leaves_as_a_code_and_its_text_stays(tmp_path, caplog):
    folder = make_site(tmp_path / "a", "a", patients=18)
    write_table(folder, [row | {"age": "abc"} for row in read_rows(folder)])
    coordinator = Coordinator(folder, tmp_path / "state", a_plan())

    with caplog.at_level(logging.WARNING):
        message = coordinator.engine.handle(
            encode_request(
                Request(
                    RequestHeader(operation=Operation.PREPARE, plan_hash=coordinator.plan.digest(), site="a")
                ),
                KEY,
            )
        )

    assert decode_reply(message).header.code == "E_COHORT"
    assert b"abc" not in message
    assert "abc" in caplog.text


def test_a_bug_leaves_as_a_code_too(coordinator, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("patient Smith")

    monkeypatch.setattr("client.answers.trainer.score", broken)

    reply = coordinator.ask(Operation.SCORE, coordinator.weights, **LOCAL)

    assert reply.header.code == "E_INTERNAL"


def test_local_batch_norm_is_kept_by_round(folder, tmp_path):
    plan = a_plan(
        federation={"rounds": 2, "batch_norm": "local"},
        sites=[{"name": "a", "role": "train"}, {"name": "b", "role": "train"}],
        arms={"local_models": False},
    )
    arm = {"model": "m", "arm": "federated"}
    local = Coordinator(folder, tmp_path / "state", plan)
    local.ask(Operation.TRAIN, local.weights, round=1, **arm)
    judged_by_own = local.judge(local.weights, round=1, **arm)
    judged_by_global = local.judge(local.weights, round=0, **arm)

    own, shared = (s.counts["whole/0/roc/histogram"] for s in (judged_by_own, judged_by_global))
    assert not np.array_equal(own, shared)


def test_a_site_that_the_plan_does_not_have_cannot_be_opened(folder, tmp_path):
    plan = a_plan(sites=[{"name": "c", "role": "train"}])

    with pytest.raises(PlanError, match="no site 'a'"):
        open_engine(folder, plan, KEY.public_key(), tmp_path, Progress(disable=True))
