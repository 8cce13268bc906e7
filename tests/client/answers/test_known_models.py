"""A site uses a model that it holds itself, or that all who know it have signed; none on trust."""

import itertools

import numpy as np
import pytest
from sites.plans import LOGISTIC, NETWORK, plan_of

from client.answers.known_models import ModelJudge, brings_model
from common.errors import NotThePlanError, ProtocolError
from common.messages.catalogue import Operation
from common.messages.endorsement import Endorsement
from common.messages.headers import RequestHeader
from common.messages.protocol import Request
from common.program.scorings import BY_OTHERS, BY_TRAINERS
from simulations.backends.parties import derive_simulated_parties

ROLES = {**dict.fromkeys("abcd", "train"), "e": "external"}
PLAN = plan_of(ROLES, NETWORK, LOGISTIC, two_site_ack=False, arms={"local_models": True})
WEIGHTS = np.array([1.0, 2.0], dtype=np.float32)
CRAFTED = np.array([1.0, 2.5], dtype=np.float32)


@pytest.fixture
def parties(tmp_path):
    return derive_simulated_parties(PLAN, {name: tmp_path / name for name in ROLES})


@pytest.fixture
def judge(parties):
    """Judges at a site; those of `missing` missed the training, the others know one model."""

    def make(site, missing=""):
        def is_own(request):
            if site in missing:
                return False
            if not np.array_equal(request.weights, WEIGHTS):
                raise NotThePlanError("another model")
            return True

        return ModelJudge(PLAN, site, parties[site], is_own)

    return make


def ask(weights=WEIGHTS, said=(), arm="federated", step=BY_TRAINERS, operation=Operation.SCORE, **fields):
    asked = {"operation": operation, "plan_hash": PLAN.digest(), "site": "", "model": "Net", "arm": arm}
    header = RequestHeader.model_validate(asked | {"endorsements": said, "step": step} | fields)
    return Request(header, weights)


def sign(judge, sites="abcd", missing="", **fields):
    return tuple(judge(site, missing).judge(ask(**fields)) for site in sites)


def second(said, weights=WEIGHTS, **fields):
    return ask(weights, said, step=BY_OTHERS, **fields)


def test_a_site_of_no_arm_takes_a_model_that_all_of_its_arm_signed(judge):
    said = sign(judge)

    assert [endorsement.site for endorsement in said] == ["a", "b", "c", "d"]
    assert not any(endorsement.missed for endorsement in said)
    assert judge("e").judge(second(said)) is None
    # The same word serves the pictures
    assert judge("e").judge(ask(said=said, operation=Operation.EXPLAIN)) is None


def test_a_site_takes_no_model_on_trust(judge):
    said = sign(judge)
    for size in range(4):
        for some in itertools.combinations(said, size):
            with pytest.raises(NotThePlanError, match="did not sign this model"):
                judge("e").judge(second(some))
    with pytest.raises(NotThePlanError, match="a, b, c, d did not sign"):
        judge("e").judge(second(said, CRAFTED))
    for fields in ({"round": 1}, {"model": "Clinical"}):
        with pytest.raises(NotThePlanError, match="a, b, c, d did not sign"):
            judge("e").judge(second(said, **fields))


@pytest.mark.parametrize(
    "forge",
    [
        lambda a, b: (a, a.model_copy(update={"site": "b"})),
        lambda a, b: (a, b.model_copy(update={"missed": True})),
        lambda a, b: (a, Endorsement(site="b", signature="0" * 128)),
        lambda a, _: (a, a),
    ],
)
def test_no_word_is_taken_for_another(judge, forge):
    a, b, c, d = sign(judge)

    with pytest.raises(NotThePlanError, match="b did not sign"):
        judge("e").judge(second((*forge(a, b), c, d)))


def test_the_word_of_a_stranger_is_refused(judge):
    stranger = Endorsement(site="stranger", signature="0" * 128)
    with pytest.raises(ProtocolError, match="no site 'stranger'"):
        judge("e").judge(second((*sign(judge), stranger)))


def test_a_member_uses_no_other_model_whatever_the_others_signed(judge):
    crafted = sign(judge, "bcd", missing="bcd", weights=CRAFTED)
    with pytest.raises(NotThePlanError, match="another model"):
        judge("a").judge(second(crafted, CRAFTED))
    with pytest.raises(NotThePlanError, match="another model"):
        judge("a").judge(ask(CRAFTED))


def test_who_knows_a_model_scores_with_it_once(judge):
    with pytest.raises(NotThePlanError, match="was asked first"):
        judge("a").judge(second(sign(judge)))


def test_who_missed_the_end_says_so_and_takes_the_word_of_the_others(judge):
    said = sign(judge, missing="c")

    assert [endorsement.missed for endorsement in said] == [False, False, True, False]
    assert judge("c", "c").judge(second(said)) is None
    assert judge("e").judge(second(said)) is None


def test_a_model_that_too_few_know_is_not_used(judge):
    """As many must know it as a sum has members: three of five."""
    with pytest.raises(NotThePlanError, match="known to a, d alone"):
        judge("e").judge(second(sign(judge, missing="bc")))


def test_a_local_model_goes_out_with_the_word_of_its_owner(judge):
    (owner,) = sign(judge, "b", arm="local-b")

    assert judge("a").judge(second((owner,), arm="local-b")) is None
    with pytest.raises(NotThePlanError, match="b did not sign"):
        judge("a").judge(second((), arm="local-b"))
    with pytest.raises(NotThePlanError, match="a did not sign"):
        judge("b").judge(second((owner,), arm="local-a"))


def test_what_stays_at_its_site_and_what_does_not_exist_brings_no_model():
    assert not brings_model(ask(None))
    assert brings_model(ask())
    assert not brings_model(ask(operation=Operation.TRAIN))
