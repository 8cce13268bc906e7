"""From an answer to its line in the ledger: what leaves, how much, and with which sites it is summed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import replace

from client.release.ledger import Departure, Sort
from common.hiding.phases import phase_of
from common.messages.headers import CODE_OK, RequestHeader
from common.messages.protocol import Reply, encode_reply, question_of
from common.plan.study import StudyPlan
from common.secagg.wire.canonical import parse_canonical
from common.secagg.wire.frames import Bytes, MessageFrame, MessageKind, unpack
from common.secagg.wire.messages import ProtocolRefusal, read


def departure_of(header: RequestHeader | None, reply: Reply, body: bytes) -> Departure:
    """The line of one answer that leaves in the clear.

    Parameters
    ----------
    header : RequestHeader or None
        The question's header; None if it could not be read.
    reply : Reply
        The answer.
    body : bytes
        The answer as the bytes that leave.
    """
    return Departure(
        plan_hash=header.plan_hash if header else "",
        phase=_name_phase(header),
        what=_sort_of(reply),
        subject=" ".join(part for part in (header.model, header.arm) if part) if header else "",
        round=header.round if header else 0,
        numbers=_count_numbers(reply),
        size=len(body),
        digest=hashlib.sha256(body).hexdigest(),
        code=reply.header.code,
    )


def list_sealed_departures(plan: StudyPlan, message: Bytes, reply: Reply) -> Iterator[Departure]:
    """The lines of an answer in the protocol that hides sums: its masked part, then its part in the clear.

    Parameters
    ----------
    plan : StudyPlan
        The approved plan.
    message : bytes or memoryview
        The coordinator's message, without the transcripts before it.
    reply : Reply
        The answer; without a masked part there are no lines.
    """
    if reply.sealed is None:
        return
    body = reply.sealed.data
    asked, answer = unpack(message), unpack(body)
    phase, sites = _find_phase(plan, asked, reply.header.site)
    kinds: dict[MessageKind, Sort] = {
        MessageKind.ITERATION: "statistics",
        MessageKind.CONTRIBUTION: "model update",
        MessageKind.REFUSAL: "refusal",
    }
    numbers = {
        MessageKind.ITERATION: sum(math.prod(shape) for _, _, shape in reply.header.layout),
        MessageKind.CONTRIBUTION: len(answer.payload) // 4,
    }
    line = Departure(
        plan_hash=plan.digest(),
        phase=phase,
        what=kinds.get(answer.kind, "protocol"),
        numbers=numbers.get(answer.kind, 0),
        size=len(body),
        # Its header has the digest of the masked words, and its signature: nothing is hashed twice
        digest=answer.digest,
        summed_with=sites,
        hidden=True,
        code=read(answer, MessageKind.REFUSAL, ProtocolRefusal).code
        if answer.kind is MessageKind.REFUSAL
        else CODE_OK,
    )
    yield line
    clear = replace(reply, sealed=None)
    if clear.summary.layout():
        plain = encode_reply(clear)
        update = {"hidden": False, "summed_with": (), "numbers": _count_numbers(clear), "size": len(plain)}
        yield line.model_copy(update={**update, "digest": hashlib.sha256(plain).hexdigest()})


def _find_phase(plan: StudyPlan, asked: MessageFrame, site: str) -> tuple[str, tuple[str, ...]]:
    """The question of an iteration, otherwise the protocol's phase; and the other sites of the sum."""
    fields = parse_canonical(asked.header, len(asked.header))
    name = str(fields.get("phase", ""))
    sites = tuple(other for other in phase_of(plan, name).sites if other != site) if name else ()
    if asked.kind is MessageKind.ITERATE:
        return _name_phase(question_of(asked.payload)), sites
    return name or asked.kind.name.lower(), sites


def _name_phase(header: RequestHeader | None) -> str:
    if header is None:
        return "unreadable"
    return f"{header.operation} {header.stage}".strip()


def _sort_of(reply: Reply) -> Sort:
    header = reply.header
    if header.code != CODE_OK:
        return "refusal"
    if reply.pictures:
        return "pictures"
    if reply.weights is not None or header.released is not None:
        return "model"
    if reply.summary.updates:
        return "model update"
    return "statistics" if reply.summary.layout() else "description"


def _count_numbers(reply: Reply) -> int:
    """How many numbers leave: elements of all arrays, and coefficients of a released model of the table."""
    header = reply.header
    counted = sum(math.prod(shape) for _, _, shape in reply.summary.layout())
    counted += sum(picture.size for picture in reply.pictures)
    counted += 0 if reply.weights is None else reply.weights.size
    return counted + (0 if header.released is None else header.released.size)
