"""What an engine answers stands in its ledger before it leaves, and `rhe-client audit` tells of it."""

import hashlib
import io
import json
import re

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.console import Console
from rich.progress import Progress
from sites.tables import Habits, table_only_hospital

from client.engine import open_engine
from client.release.audit import make_audit_tables
from client.release.ledger import Departure, Ledger
from common.errors import ProtocolError
from common.messages.headers import Operation, RequestHeader
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
    console = Console(file=io.StringIO(), width=200)
    console.print(*make_audit_tables(engine.ledger.read_lines()))
    assert re.search(r"E_CONTEXT\W+31\b", console.file.getvalue())


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

    console = Console(width=200, record=True, file=io.StringIO())
    for table in make_audit_tables(ledger.read_lines()):
        console.print(table)
    text = console.export_text()

    assert text.count("Plan ") == 2
    assert re.search(r"train .*model update.* 3 .* 3,000 .* 3.1 MB .*nothing but the sum with b, c", text)
    assert re.search(r"release .*model .* 1 .* 7 .*shown as this hospital's own", text)
    assert re.search(r"refusal E_SMALL_N .* 0 .*no number left", text)
