"""Questions in one message are judged one by one, in their order: a refusal costs no other its answer."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.progress import Progress
from sites.plans import plan_of
from sites.tables import table_only_hospital

from client.engine import open_engine
from common.messages.catalogue import Operation
from common.messages.envelope import join_messages, split_messages
from common.messages.headers import RequestHeader
from common.messages.protocol import Request, decode_reply, encode_request
from common.program import names
from common.secagg.wire.forwarded import Transcript
from common.secagg.wire.frames import MessageKind, pack, sha256

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PLAN = plan_of(
    {"a": "train"},
    {"kind": "logistic", "name": "Ages", "covariates": ["age"]},
    {"kind": "logistic", "name": "Volumes", "covariates": ["ich_volume_ml"]},
    phases=["cohort", "training"],
)
ARM = PLAN.all_arms()[0]


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _: None)
    folder = table_only_hospital(tmp_path / "a", "a", 60)
    made = open_engine(folder, PLAN, KEY.public_key(), tmp_path / "state", Progress(disable=True))
    assert read(made.handle(ask(Operation.PREPARE, names.PREPARATION, 1))) == ["OK"]
    return made


def ask(operation, procedure, step, **fields):
    header = {"operation": operation, "plan_hash": PLAN.digest(), "site": "a", "procedure": procedure}
    return encode_request(Request(RequestHeader.model_validate({**header, "step": step, **fields})), KEY)


def count():
    return ask(Operation.GUARD, names.COHORT_DESCRIPTION, 1, stage="cohort")


def fit(name):
    model = PLAN.model(name)
    return ask(Operation.TRAIN_LOCAL, names.name_fit(model, ARM), 1, model=name, arm=ARM.name)


def read(answer):
    """The code of each reply."""
    return [decode_reply(reply).header.code for reply in split_messages(answer)]


def test_each_is_answered(engine):
    assert read(engine.handle(join_messages([count(), fit("Ages"), fit("Volumes")]))) == ["OK"] * 3


def test_one_that_was_altered_is_refused_alone(engine):
    altered = bytearray(fit("Ages"))
    altered[-1] ^= 1

    codes = read(engine.handle(join_messages([count(), bytes(altered), fit("Volumes")])))

    assert codes[::2] == ["OK", "OK"]
    assert codes[1] != "OK"
    # Nothing of it was taken in: the honest one is answered
    assert read(engine.handle(fit("Ages"))) == ["OK"]


def test_one_that_does_not_follow_is_refused_alone(engine):
    too_early = ask(
        Operation.SCORE, names.name_scoring(PLAN.model("Ages"), ARM), 1, model="Ages", arm=ARM.name
    )
    late = count()

    codes = read(engine.handle(join_messages([fit("Ages"), late, fit("Volumes")])))

    # A fit builds on the description of the cohort, of which nothing is asked any more
    assert codes == ["OK", "E_NOT_THE_PLAN", "OK"]
    assert read(engine.handle(join_messages([too_early, fit("Volumes")])))[1] == "OK"


def test_the_same_question_again_gives_the_same_answer(engine):
    first, again = split_messages(engine.handle(join_messages([fit("Ages"), fit("Ages")])))

    assert first == again
    assert engine.handle(fit("Ages")) == first


def test_the_ledger_has_a_line_for_each(engine):
    before = len(engine.ledger.path.read_bytes().splitlines())

    engine.handle(join_messages([count(), fit("Ages"), fit("Volumes")]))

    assert len(engine.ledger.path.read_bytes().splitlines()) == before + 3


def test_an_envelope_that_is_cut_short_is_refused_as_one(engine):
    whole = join_messages([count(), fit("Ages")])

    (code,) = read(engine.handle(whole[:-1]))

    assert code != "OK"


def tell_sum(message):
    """The question, behind a sum that cannot be learnt here."""
    said = Transcript(
        hdr="0" * 64, phase="statistics:0", step=1, index_bytes=0, content_bytes=0, content=sha256(b"")
    )
    return pack(MessageKind.TRANSCRIPT, said.body(), KEY) + message


def test_where_a_sum_before_the_first_was_not_learnt_the_rest_is_left_for_the_next_message(engine):
    # Answered, the second could erase the site's own words, without which nobody learns the sum again
    first, second = split_messages(engine.handle(join_messages([tell_sum(count()), fit("Ages")])))

    assert read(first) != ["OK"]
    assert second == b""
