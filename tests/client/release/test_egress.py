"""What an engine answers stands in its ledger before it leaves, and `rhe-client audit` tells of it."""

import hashlib
import io
import json
import os
import re

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.progress import Progress
from sites.tables import Habits, table_only_hospital

from client.engine import open_engine
from client.release.audit import describe_lines, make_audit_tables
from client.release.ledger import Departure, Ledger
from client.release.refusal_counts import RefusalCounts
from common.errors import ProtocolError
from common.messages.catalogue import Operation
from common.messages.headers import RequestHeader
from common.messages.protocol import Request, decode_reply, encode_request
from common.plan.matrix import TABLE_PARTS
from common.plan.study import StudyPlan
from common.plan.variables import DESCRIBED
from common.secagg.wire.frames import MessageKind, pack

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PLAN = StudyPlan.model_validate(
    {
        "name": "Tables",
        "seed": 5,
        "two_site_ack": True,
        "privacy": {"secure": False},
        "sites": [{"name": "a", "role": "train"}, {"name": "b", "role": "train"}],
        "models": [{"kind": "scores", "name": "S", "column": "alpha", "probability": True}],
    }
)


@pytest.fixture
def engine(tmp_path):
    folder = table_only_hospital(
        tmp_path / "a", "a", 60, 1, ("alpha",), habits=Habits(split=("train", "test"))
    )
    return open_engine(folder, PLAN, KEY.public_key(), tmp_path / "state", Progress(disable=True))


def ask(engine, operation, parameters=None, **fields):
    settings = {"operation": operation, "plan_hash": PLAN.digest(), "site": "a"} | fields
    return engine.handle(encode_request(Request(RequestHeader(**settings), None, parameters or {}), KEY))


def test_every_answer_has_its_line_with_its_digest(engine):
    guard = ask(engine, Operation.GUARD, stage="cohort")
    prepared = ask(engine, Operation.PREPARE)
    refused = ask(engine, Operation.GUARD, stage="cohort", plan_hash="0" * 64)
    forged = engine.handle(b"forged" * 30)

    told = [line.departure for line in engine.ledger.read_lines()]

    assert [one.phase for one in told] == ["guard cohort", "prepare", "guard cohort", "unreadable"]
    assert [one.what for one in told] == ["statistics", "statistics", "refusal", "refusal"]
    assert [one.code for one in told] == ["OK", "OK", "E_PLAN", "E_CONTEXT"]
    assert [one.digest for one in told] == [
        hashlib.sha256(body).hexdigest() for body in (guard, prepared, refused, forged)
    ]
    counts = decode_reply(guard).summary.counts
    assert told[0].numbers == sum(array.size for array in counts.values()) > 0
    assert [one.numbers for one in told[2:]] == [0, 0]


def test_refusals_without_end_fill_neither_ledger_nor_log(engine, caplog, monkeypatch):
    """As whoever took over the link can send: what nobody signed, and what was signed and refused before."""
    now = [1000.0]
    monkeypatch.setattr("common.runtime.repeat_counts.time.monotonic", lambda: now[0])
    for number in range(30):
        assert decode_reply(engine.handle(b"junk %d" % number)).header.code == "E_CONTEXT"
        ask(engine, Operation.GUARD, stage="cohort", plan_hash="0" * 64)
    assert sum("code=E_CONTEXT" in line.message for line in caplog.records) == 1
    now[0] += 3600.0
    engine.handle(b"junk")
    ask(engine, Operation.PREPARE)
    told = [line.departure for line in engine.ledger.read_lines()]
    assert [(one.code, one.times) for one in told] == [
        ("E_CONTEXT", 1), ("E_PLAN", 1), ("E_CONTEXT", 30), ("OK", 1)
    ]  # fmt: skip
    console = Console(file=io.StringIO())
    console.print(*make_audit_tables(engine.ledger.read_lines()))
    assert re.search(r"unreadable +refusal +31 ", console.file.getvalue())


def test_a_masked_question_that_nobody_signed_does_not_reach_the_protocol(engine):
    """Which keeps a line of its own about each refusal."""
    reached = []

    class Protocol:
        def handle(self, message):
            reached.append(message)
            raise ProtocolError("it came")

    vars(engine)["_hidden"] = Protocol()
    forger = Ed25519PrivateKey.from_private_bytes(bytes(32))
    for key, code in ((forger, "E_COORD_SIG"), (KEY, "E_CONTEXT")):
        message = pack(MessageKind.ITERATE, b"{}", key)
        assert decode_reply(engine.handle(message)).header.code == code
    assert reached == [message]
    assert decode_reply(engine.handle(message[:20])).header.code == "E_CONTEXT"
    assert reached == [message]


def test_nothing_leaves_when_the_ledger_cannot_be_kept(engine):
    ask(engine, Operation.PREPARE)
    engine.ledger.path.unlink()

    reply = decode_reply(ask(engine, Operation.GUARD, stage="cohort"))

    assert reply.header.code == "E_STORAGE"
    assert not reply.summary.layout()


def test_the_ledger_names_no_patient_and_holds_no_value(engine):
    asked = np.ones((2, len(TABLE_PARTS), len(DESCRIBED)), dtype=bool)
    ask(engine, Operation.COHORT, {"asked": asked})

    text = engine.ledger.path.read_text()

    patients = [case.patient.identifier for case in engine.open_patients().prepared.cases]
    assert len(patients) == 60
    assert not any(name in text for name in patients)
    assert set(json.loads(text.splitlines()[0])["departure"]) == set(Departure.model_fields)


def test_an_auditor_reads_what_left_in_one_table_a_study(tmp_path):
    ledger = Ledger(tmp_path)
    line = {"phase": "train", "what": "model update", "size": 2**20, "digest": "0" * 64}
    for number in range(1, 4):
        hidden = {"hidden": True, "summed_with": ("b", "c")}
        ledger.record(Departure(plan_hash="a" * 64, round=number, numbers=1000, **line, **hidden))
    ledger.record(Departure(plan_hash="a" * 64, numbers=7, **line | {"phase": "release", "what": "model"}))
    ledger.record(Departure(plan_hash="b" * 64, numbers=0, **line | {"what": "refusal"}, code="E_SMALL_N"))

    text = print_audit(ledger.read_lines())

    assert text.count("Plan ") == 2
    assert re.search(r"train +model update +1-3 +3 +3,000 +3.1 MB +sum 1", text)
    assert "sum 1: masked; nothing but the sum can be read, with b, c" in text
    assert re.search(r"release +model +1 +7 +1.0 MB +own", text)
    assert "own: shown as this hospital's own" in text
    assert re.search(r"train +refusal +1 +0 +1.0 MB +\n +E_SMALL_N", text)


def print_audit(lines, plan=None):
    console = Console(width=200, record=True, file=io.StringIO())
    for table in make_audit_tables(lines, plan):
        console.print(table)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= 80
    return text


HIDDEN = PLAN.model_copy(
    update={
        "privacy": PLAN.privacy.model_copy(update={"secure": True}),
        "models": StudyPlan.model_validate(
            {
                "name": "A",
                "seed": 1,
                "two_site_ack": True,
                "sites": [{"name": "a", "role": "train"}, {"name": "b", "role": "train"}],
                "models": [{"name": "a-net", "family": "resnet10-narrow"}],
            }
        ).models,
    }
)


def test_a_masked_training_is_one_row_with_the_name_of_its_model_and_its_rounds(tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    line = {"phase": "training:0:0", "size": 100, "hidden": True, "summed_with": ("b",), "digest": "0" * 64}
    for number in (1, 2, 4):
        for event, what, numbers in (("JOIN", "protocol", 0), ("CONTRIBUTION", "model update", 50)):
            ledger.append({"event": event, "phase": "training:0:0", "round": number})
            departure = Departure(plan_hash=HIDDEN.digest(), what=what, numbers=numbers, **line)
            ledger.record(departure)

    text = print_audit(ledger.read_log(), HIDDEN)

    assert re.search(
        r"training a-net +model +1-4 \(-1\) +3 +150 +300 bytes +sum 1 +\n +federated +update", text
    )
    assert re.search(r"training a-net +protocol +1-4 \(-1\) +3 +0 +300 bytes", text)


def test_each_line_in_words(tmp_path):
    ledger = Ledger(tmp_path / "ledger")
    ledger.append({"event": "ERASE", "phase": "statistics:0", "round": 2, "reason": "deadline"})
    line = {"plan_hash": "a" * 64, "phase": "evaluate", "subject": "m", "digest": "d" * 64, "size": 2000}
    ledger.record(Departure(what="statistics", numbers=1200, hidden=True, summed_with=("b",), **line))
    ledger.record(Departure(what="refusal", numbers=0, code="E_SMALL_N", times=3, **line))

    first, second, third = describe_lines(ledger.read_log())

    assert re.fullmatch(r"1 [-0-9]+ [:0-9]+ protocol: ERASE statistics:0 2 deadline", first)
    assert re.fullmatch(
        r"2 [-0-9]+ [:0-9]+ evaluate m: statistics, 1,200 numbers, 2,000 bytes, nothing but the sum can be "
        rf"read, with b, sha256 {'d' * 64}",
        second,
    )
    assert "evaluate m: refusal E_SMALL_N (3 times), 0 numbers, 2,000 bytes, no number left, sha256" in third


def test_the_same_answer_without_a_number_again_and_again_is_counted(monkeypatch):
    now, counts = [1000.0], RefusalCounts()
    monkeypatch.setattr("common.runtime.repeat_counts.time.monotonic", lambda: now[0])
    described = Departure(
        plan_hash="", phase="describe", what="description", numbers=0, size=9, digest="0" * 64
    )
    other = described.model_copy(update={"digest": "1" * 64})
    numbers = described.model_copy(update={"numbers": 3, "what": "statistics"})

    assert counts.merge(described) == described
    assert {counts.merge(described) for _ in range(20)} == {None}
    assert counts.merge(other) == other
    assert [counts.merge(numbers) for _ in range(3)] == [numbers] * 3
    now[0] += 3600.0
    assert counts.merge(described).times == 21


def damage_a_line(ledger):
    first, *rest = ledger.path.read_bytes().splitlines(keepends=True)
    ledger.path.write_bytes(b"".join([first.replace(b'"size":', b'"size":1'), *rest]))


DAMAGES = {
    "its first line altered": damage_a_line,
    "its last line cut off": lambda ledger: ledger.path.write_bytes(
        b"".join(ledger.path.read_bytes().splitlines(keepends=True)[:-1])
    ),
    "deleted": lambda ledger: (ledger.path.unlink(), ledger.folder.rmdir()),
    "emptied": lambda ledger: ledger.path.write_bytes(b""),
    "its head altered": lambda ledger: ledger.head_file.write_bytes(b"{}"),
}


@pytest.mark.parametrize("restarted", [False, True], ids=["running", "restarted"])
@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_of_a_damaged_ledger_nothing_leaves_not_even_why_a_question_is_refused(engine, damage, restarted):
    ask(engine, Operation.PREPARE)
    ask(engine, Operation.GUARD, stage="cohort")
    ask(engine, Operation.GUARD, stage="cohort", plan_hash="0" * 64)
    damage(engine.ledger)
    if restarted:
        engine = open_engine(engine.folder, PLAN, KEY.public_key(), engine.state, Progress(disable=True))

    answers = [
        ask(engine, Operation.GUARD, stage="cohort"),
        ask(engine, Operation.GUARD, stage="cohort", plan_hash="0" * 64),
        ask(engine, Operation.DESCRIBE),
        engine.handle(b"junk"),
        engine.handle(pack(MessageKind.ITERATE, b"{}", KEY)),
    ]

    assert {decode_reply(answer).header.code for answer in answers} == {"E_STORAGE"}
    assert not any(decode_reply(answer).summary.layout() for answer in answers)


def test_a_line_that_cannot_be_written_takes_its_answer_and_its_reason_along(engine, monkeypatch):
    """The ledger was whole when the question came, and the disk is full when it is answered."""
    ask(engine, Operation.PREPARE)
    write = os.write

    def fail(handle, text):
        if b"previous" in bytes(text):
            raise OSError(28, "No space left on device")
        return write(handle, text)

    monkeypatch.setattr("common.runtime.chained_file.os.write", fail)

    for fields in ({}, {"plan_hash": "0" * 64}):
        reply = decode_reply(ask(engine, Operation.GUARD, stage="cohort", **fields))
        assert reply.header.code == "E_STORAGE"
        assert not reply.summary.layout()
