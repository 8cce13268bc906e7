"""From an answer to its line in the ledger: what it was, how much of it, and with whom it is summed."""

from __future__ import annotations

import hashlib
import math

from client.ledger import Departure, Kind
from common.headers import OK, RequestHeader
from common.protocol import Reply


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


def _phase(header: RequestHeader | None) -> str:
    if header is None:
        return "unreadable"
    return f"{header.operation} {header.stage}".strip()


def _kind(reply: Reply) -> Kind:
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
