"""From an answer to its line in the ledger: what it was, how much of it, and with whom it is summed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace

from client.ledger import Departure, Sort
from common.headers import OK, RequestHeader
from common.phases import phase_of
from common.protocol import Reply, encode_reply, question_of
from common.secagg.canonical import parse
from common.secagg.messages import Refusal, read
from common.secagg.wire import Frame, Kind, unpack
from common.study import StudyPlan


def departure_of(header: RequestHeader | None, reply: Reply, body: bytes) -> Departure:
    """The line of one answer that leaves in the clear.

    Parameters
    ----------
    header : RequestHeader or None
        What was asked; None if it could not be read.
    reply : Reply
    body : bytes
        What leaves.
    """
    return Departure(
        plan_hash=header.plan_hash if header else "",
        phase=_phase(header),
        what=_kind(reply),
        subject=" ".join(part for part in (header.model, header.arm) if part) if header else "",
        round=header.round if header else 0,
        numbers=_numbers(reply),
        size=len(body),
        digest=hashlib.sha256(body).hexdigest(),
        code=reply.header.code,
    )


def sealed_departures(plan: StudyPlan, message: bytes, reply: Reply) -> Iterator[Departure]:
    """The lines of an answer to a message of the protocol that hides sums: masked, and beside it the own.

    Parameters
    ----------
    plan : StudyPlan
    message : bytes
        What was asked.
    reply : Reply
    """
    if reply.sealed is None:
        return
    body = reply.sealed.tobytes()
    asked, answer = unpack(message), unpack(body)
    phase, sites = _sealed_phase(plan, asked, reply.header.site)
    kinds: dict[Kind, Sort] = {
        Kind.ITERATION: "statistics",
        Kind.CONTRIBUTION: "model update",
        Kind.REFUSAL: "refusal",
    }
    told = {
        Kind.ITERATION: sum(math.prod(shape) for _, _, shape in reply.header.layout),
        Kind.CONTRIBUTION: len(answer.payload) // 4,
    }
    line = Departure(
        plan_hash=plan.digest(),
        phase=phase,
        what=kinds.get(answer.kind, "protocol"),
        numbers=told.get(answer.kind, 0),
        size=len(body),
        digest=hashlib.sha256(body).hexdigest(),
        summed_with=sites,
        hidden=True,
        code=read(answer, Kind.REFUSAL, Refusal).code if answer.kind is Kind.REFUSAL else OK,
    )
    yield line
    own = replace(reply, sealed=None)
    if own.summary.layout():
        plain = encode_reply(own)
        update = {"hidden": False, "summed_with": (), "numbers": _numbers(own), "size": len(plain)}
        yield line.model_copy(update={**update, "digest": hashlib.sha256(plain).hexdigest()})


def _sealed_phase(plan: StudyPlan, asked: Frame, site: str) -> tuple[str, tuple[str, ...]]:
    """The question in an iteration, else the protocol's phase; and with whom the answer is summed."""
    fields = parse(asked.header, len(asked.header))
    name = str(fields.get("phase", ""))
    sites = tuple(one for one in phase_of(plan, name).sites if one != site) if name else ()
    if asked.kind is Kind.ITERATE:
        return _phase(question_of(bytes(asked.payload))), sites
    return name or asked.kind.name.lower(), sites


def _phase(header: RequestHeader | None) -> str:
    if header is None:
        return "unreadable"
    return f"{header.operation} {header.stage}".strip()


def _kind(reply: Reply) -> Sort:
    header = reply.header
    if header.code != OK:
        return "refusal"
    if reply.pictures:
        return "pictures"
    if reply.weights is not None or header.fitted is not None or header.svm is not None:
        return "model"
    if reply.summary.updates:
        return "model update"
    return "statistics" if reply.summary.layout() else "description"


def _numbers(reply: Reply) -> int:
    """Elements of all arrays, and the coefficients of a released model of the table."""
    header = reply.header
    counted = sum(math.prod(shape) for _, _, shape in reply.summary.layout())
    counted += sum(picture.size for picture in reply.pictures)
    counted += 0 if reply.weights is None else reply.weights.size
    counted += 0 if header.fitted is None else len(header.fitted.effects)
    return counted + (0 if header.svm is None else len(header.svm.weights))
