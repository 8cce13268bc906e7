"""A round's end at a member: the sums that come back must have the tags of what the members sent.

The member then derives the round's result itself, and takes no other. The result that it derived is the only
model from which it will train next, or that it will evaluate as this training's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from common.runtime.hash_beside import hash_beside
from common.secagg.codes import FalseSumError, SecAggError
from common.secagg.crypto.rings import Vector, Words
from common.secagg.crypto.sum_tag import is_sum_proved
from common.secagg.site.handler import Party
from common.secagg.site.rules import OpenedRound
from common.secagg.site.state import RoundState
from common.secagg.wire.frames import Bytes
from common.secagg.wire.messages import NO_DIGEST, Close
from common.secagg.wire.pairing import make_round_context
from common.secagg.wire.payload import count_payload_bytes, view_words
from common.secagg.wire.tag_keys import derive_vector_tag_key, read_tag


def prove_result(party: Party, close: Close, sums: memoryview) -> bool:
    """Whether the site derived the round's result from proved sums; false where no sums came back to it.

    What it derived is on the disk when this returns. Asked again, it comes to the same.

    Parameters
    ----------
    party : Party
    close : Close
        Signed by the coordinator.
    sums : memoryview
        The payload's first part.

    Raises
    ------
    SecAggError
        E_INPUT_HASH if the sums are not those that were signed; E_STATE_CORRUPT if the model before is gone.
    FalseSumError
        If the sums were signed, and are not the sums of what the members sent, or the result does not follow
        from them.
    RheError
        If the engine refuses the weight.
    """
    if close.status != "opened" or close.result == NO_DIGEST or not close.sums_bytes:
        return False
    state = party.files.read(close.phase)
    is_open = isinstance(state, RoundState) and state.hdr == close.hdr and bool(state.reveal)
    with hash_beside() as beside:
        beside.add(sums)
        words: dict[str, Words] = {}
        lie: FalseSumError | None = None
        if isinstance(state, RoundState) and is_open:
            words, lie = _judge_sums(party, state, close, sums)
        # Who altered them on their way proves nothing against anybody
        if beside.end() != close.sums:
            raise SecAggError("the sums are not those that were signed", code="E_INPUT_HASH")
    if not isinstance(state, RoundState) or not is_open:
        return False
    if lie is not None:
        raise lie
    result = _derive_result(party, state, close, words)
    if result != close.result:
        raise FalseSumError("the round's result does not follow from its sums")
    return True


def _judge_sums(
    party: Party, state: RoundState, close: Close, sums: memoryview
) -> tuple[dict[str, Words], FalseSumError | None]:
    """The words of each sum by the vector's name; and, if they are not proved, what is false."""
    rules = party.rules_of(state)
    vectors = [vector for vector in rules.vectors if vector.name in rules.returned]
    try:
        return _check_sums(party, state, vectors, close, sums), None
    except FalseSumError as lie:
        return {}, lie


def _check_sums(
    party: Party, state: RoundState, vectors: list[Vector], close: Close, sums: memoryview
) -> dict[str, Words]:
    """The words of each sum by the vector's name, once they are proved.

    Raises
    ------
    FalseSumError
        If one is not.
    """
    if len(close.tags) != len(vectors) or len(sums) != count_payload_bytes(vectors):
        raise FalseSumError("a round's sums are not those of the vectors that come back")
    context = make_round_context(state.hdr, state.attempt, state.set)
    opened = dict(zip([vector.name for vector in vectors], view_words(vectors, sums), strict=True))
    for vector, tag in zip(vectors, close.tags, strict=True):
        key = derive_vector_tag_key(bytes.fromhex(state.tag_key), vector, context)
        if not is_sum_proved(vector, opened[vector.name], key, read_tag(tag)):
            others = [site for site in state.members if site != party.site]
            # The coordinator has no key of the tags: one that a member falsified looks the same to it
            raise FalseSumError("a round's sum is not the sum of what the members sent", others)
    return opened


def _derive_result(party: Party, state: RoundState, close: Close, words: Mapping[str, Words]) -> str:
    """SHA-256 of the model that follows, which is on the disk.

    Raises
    ------
    SecAggError
        E_STATE_CORRUPT if the model before is gone.
    ValueError
        If the engine cannot derive a model.
    """
    asked, kept = state.asked, party.files.models_of(close.phase)
    model = kept.find(asked.model, asked.model_bytes)
    if model is None:
        raise SecAggError("the model from which the round started is gone", code="E_STATE_CORRUPT")
    if party.derive is None:
        raise ValueError("sums come back to a site that cannot derive anything from them")
    derive = party.derive
    opened = OpenedRound(
        request=asked,
        sums=words,
        weight=close.weight,
        earlier_weight=party.files.history.find_weight(close.phase),
        model=model,
        memory=kept.read_memory(asked.model),
    )

    def fill(write: Callable[[Bytes], None]) -> bytes:
        return derive(opened, write)

    return kept.derive(fill)
