"""Whether a study asks this hospital nothing more, by the last message that it answered."""

from __future__ import annotations

from typing import Final

from common.errors import RheError
from common.messages.protocol import decode_reply
from common.secagg.wire.forwarded import take_transcripts
from common.secagg.wire.frames import MessageFrame, MessageKind, is_sealed, unpack
from common.secagg.wire.messages import Close, read

_STATISTICS: Final = "statistics"
"""Begins the name of each phase of hidden statistics, as `common.hiding.phases` gives it."""


def closes_study(message: bytes, reply: bytes) -> bool:
    """Whether a message closed a session of hidden statistics for good, and the engine agreed.

    That is how a study ends that hides sums. A session that is begun anew meanwhile was closed as lost.

    Parameters
    ----------
    message : bytes
        As it came; transcripts may stand before it.
    reply : bytes
        The engine's, which checked who signed the message.
    """
    try:
        asked = _unpack_sealed(take_transcripts(message)[1])
        if asked is None or asked.kind is not MessageKind.CLOSE:
            return False
        close = read(asked, MessageKind.CLOSE, Close)
        if close.status != "opened" or close.phase.partition(":")[0] != _STATISTICS:
            return False
        sealed = decode_reply(reply).sealed
        return sealed is not None and unpack(sealed.data).kind is MessageKind.CLOSED
    except RheError:
        # The engine itself has refused it
        return False


def _unpack_sealed(message: bytes | bytearray | memoryview) -> MessageFrame | None:
    return unpack(message) if is_sealed(message) else None
