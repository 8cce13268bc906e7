"""Several messages in one, and their answers in one: each is what it would be by itself, signature included.

::

    mark      16 bytes
    lengths   the number of messages, then the length of each: unsigned 64-bit numbers, least byte first
    messages  one after the other

Nobody signs the envelope. Whoever opens it gets messages that are judged one by one, in their order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from common.errors import ProtocolError
from common.messages.protocol import decode_reply, has_answered
from common.plan.message_size import MOST_TOGETHER
from common.secagg.wire.forwarded import take_transcripts

_MARK: Final = b"rhe/together/1\x00\x00"
MOST_MEMBERS: Final = 256
"""Messages in one envelope."""
_NUMBER = np.dtype("<u8")


def join_messages(messages: Sequence[bytes]) -> bytes:
    """The messages in one, in their order; one alone stays as it is."""
    if len(messages) == 1:
        return messages[0]
    lengths = np.array([len(messages), *(len(message) for message in messages)], dtype=_NUMBER)
    return b"".join((_MARK, lengths.tobytes(), *messages))


def has_several(message: bytes) -> bool:
    """Whether it is several messages in one."""
    return bytes(message[: len(_MARK)]) == _MARK


def split_messages(message: bytes) -> tuple[bytes, ...]:
    """The messages that `join_messages` joined.

    Raises
    ------
    ProtocolError
        If the lengths are not those of the message.
    """
    if not has_several(message):
        return (message,)
    start = len(_MARK) + _NUMBER.itemsize
    number = int.from_bytes(message[len(_MARK) : start], "little")
    if not 2 <= number <= MOST_MEMBERS or len(message) < start + number * _NUMBER.itemsize:
        raise ProtocolError("an envelope of messages is truncated or malformed")
    lengths = [int(length) for length in np.frombuffer(message, _NUMBER, number, start)]
    start += number * _NUMBER.itemsize
    if start + sum(lengths) != len(message):
        raise ProtocolError("an envelope's messages are longer or shorter than it says")
    members = []
    for length in lengths:
        members.append(message[start : start + length])
        start += length
    return tuple(members)


def answer_each(message: bytes, answer: Callable[[bytes], bytes]) -> bytes:
    """The answers to each of several messages, in one; to one alone its answer.

    Once the answers are long, the questions that are left get an empty one: they are asked again. So they do
    where sums stand before a question that is refused, as by a site that is busy: they have to be learnt
    before the site goes on in their session, and come again with whatever is asked next.

    Parameters
    ----------
    message : bytes
        One message, or several in one. What cannot be opened is taken for one.
    answer : callable
        Answers one message.
    """
    try:
        members = split_messages(message)
    except ProtocolError:
        return answer(message)
    answers: list[bytes] = []
    size, goes_on = 0, True
    for place, member in enumerate(members):
        if place:
            goes_on = goes_on and size <= MOST_TOGETHER and _has_learnt(members[place - 1], answers[-1])
        answers.append(answer(member) if goes_on else b"")
        size += len(answers[-1])
    return join_messages(answers)


def _has_learnt(message: bytes, answer: bytes) -> bool:
    """Whether the sums before a message are known to its site, if there are any: else it answers nothing."""
    try:
        return not take_transcripts(message)[0] or has_answered(decode_reply(answer))
    except ProtocolError:
        return False
