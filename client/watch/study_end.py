"""Whether a study asks this hospital nothing more, by the last message that it answered."""

from __future__ import annotations

from typing import Final

from common.errors import RheError
from common.messages.catalogue import LAST_STAGE, Operation
from common.messages.headers import CODE_OK
from common.messages.protocol import decode_reply, question_of
from common.secagg.wire.forwarded import take_transcripts
from common.secagg.wire.frames import MessageFrame, MessageKind, is_sealed, unpack
from common.secagg.wire.messages import Close, read

_STATISTICS: Final = "statistics"
"""Begins the name of each phase of hidden statistics, as `common.hiding.phases` gives it."""


def closes_study(message: bytes, reply: bytes) -> bool:
    """Whether a message was the study's last, and the engine agreed.

    A study that hides sums closes its sessions of hidden statistics for good; one that is begun anew was
    closed as lost. A study in the clear asks the site once more who it is, at the last stage.

    Parameters
    ----------
    message : bytes
        As it came; transcripts may stand before it.
    reply : bytes
        The engine's, which checked who signed the message.
    """
    try:
        asked = take_transcripts(message)[1]
        if is_sealed(asked):
            return _closes_session(unpack(asked), reply)
        header = question_of(asked)
        is_last = header.operation is Operation.DESCRIBE and header.stage == LAST_STAGE
        return is_last and decode_reply(reply).header.code == CODE_OK
    except RheError:
        # The engine itself has refused it
        return False


def _closes_session(asked: MessageFrame, reply: bytes) -> bool:
    if asked.kind is not MessageKind.CLOSE:
        return False
    close = read(asked, MessageKind.CLOSE, Close)
    if close.status != "opened" or close.phase.partition(":")[0] != _STATISTICS:
        return False
    sealed = decode_reply(reply).sealed
    return sealed is not None and unpack(sealed.data).kind is MessageKind.CLOSED
