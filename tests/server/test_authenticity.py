"""A reply counts if it answers what was asked, and the site whose key the roster has signed it."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.errors import ExchangeError
from common.messages.catalogue import Operation
from common.messages.headers import ReplyHeader
from common.messages.protocol import Reply, decode_request, encode_reply
from common.messages.signed_reply import sign_reply
from common.plan.study import StudyPlan
from common.stats.contract import Summary
from server.exchange import Exchange
from simulations.backends.local_grid import LocalGrid
from simulations.backends.parties import derive_simulated_key, derive_simulated_roster

PLAN = StudyPlan.model_validate(
    {
        "name": "A study",
        "seed": 1,
        "two_site_ack": True,
        "sites": [{"name": "a", "role": "train"}, {"name": "b", "role": "train"}],
        "models": [{"kind": "scores", "name": "Scale", "column": "vendor"}],
    }
)
KEY = derive_simulated_key(PLAN)
STRANGER = Ed25519PrivateKey.from_private_bytes(bytes(32))


class Site:
    """Answers PREPARE with one number; what it does to the answer is changed by an attacker on the way."""

    def __init__(self, name):
        self.name, self.heard = name, []
        self.forge = lambda reply, message: self.sign(reply.name_request(message))

    def sign(self, reply, key=None):
        return sign_reply(encode_reply(reply), key or derive_simulated_key(PLAN, f"site {self.name}"))

    def __call__(self, message):
        header = decode_request(message, KEY.public_key()).header
        reply = Reply(ReplyHeader(site=self.name), Summary({"n": np.array(len(self.heard))}))
        if header.operation is Operation.DESCRIBE:
            return self.sign(reply.name_request(message))
        self.heard.append(message)
        return self.forge(reply, message)


@pytest.fixture
def sites():
    return {name: Site(name) for name in "ab"}


@pytest.fixture
def exchange(sites, tmp_path):
    line = Exchange(LocalGrid(sites), PLAN, KEY)
    line.hide(derive_simulated_roster(PLAN), tmp_path, {})
    line.enrol(0)
    return line


def prepare(exchange):
    return exchange.ask(Operation.PREPARE, ["a", "b"], procedure="preparation", step=1)


def test_a_signed_answer_to_the_question_counts(exchange):
    assert [int(reply.summary.counts["n"]) for reply in prepare(exchange).values()] == [0, 0]


FORGERIES = {
    "not signed": (
        lambda _, reply, message: encode_reply(reply.name_request(message)),
        "not signed with a's key",
    ),
    "by a stranger": (lambda a, reply, message: a.sign(reply.name_request(message), STRANGER), "not signed"),
    "by another site": (
        lambda a, reply, message: a.sign(reply.name_request(message), derive_simulated_key(PLAN, "site b")),
        "not signed",
    ),
    "altered": (
        lambda a, reply, message: a.sign(reply.name_request(message)).replace(b'chosen\\":0', b'chosen\\":1'),
        "not signed",
    ),
    "to an earlier question": (lambda a, reply, _: a.sign(reply.name_request(b"")), "names another request"),
    "to no question": (lambda a, reply, _: a.sign(reply), "names another request"),
    "as the protocol's": (
        lambda _, reply, __: encode_reply(Reply(reply.header, sealed=np.zeros(9, dtype=np.uint8))),
        "names another request",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_an_answer_that_is_not_the_site_s_to_this_question_is_refused(exchange, sites, name):
    forge, said = FORGERIES[name]
    sites["a"].forge = lambda reply, message: forge(sites["a"], reply, message)

    with pytest.raises(ExchangeError, match=f"^a: its answer.*{said}"):
        prepare(exchange)


def test_the_first_answer_of_a_node_is_signed_too(tmp_path):
    line = Exchange(
        LocalGrid(
            {
                name: lambda m, name=name: encode_reply(Reply(ReplyHeader(site=name)).name_request(m))
                for name in "ab"
            }
        ),
        PLAN,
        KEY,
    )
    line.hide(derive_simulated_roster(PLAN), tmp_path, {})

    with pytest.raises(ExchangeError, match="not signed with a's key in the roster"):
        line.enrol(0)
