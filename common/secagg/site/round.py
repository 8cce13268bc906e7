"""M3 and M5 of a round at a site: the masked vector leaves, then what opens the sum and proves it."""

from __future__ import annotations

from common.runtime.hash_beside import hash_beside
from common.secagg.codes import SecAggError
from common.secagg.crypto.keys import sign_message
from common.secagg.crypto.rings import Vector
from common.secagg.crypto.sum_tag import derive_pad, tag_words
from common.secagg.site.handler import Party, read_contribute
from common.secagg.site.history import Release
from common.secagg.site.state import RoundState
from common.secagg.wire.frames import Bytes, MessageFrame, MessageKind, make_room, pack, seal
from common.secagg.wire.messages import (
    NO_DIGEST,
    ContributeRequest,
    Contribution,
    Reveal,
    RevealRequest,
    SignedContribution,
    bitmap_of,
    read,
    set_digest,
)
from common.secagg.wire.pairing import Context, Pairing, derive_self_mask_key, make_round_context, pair_up
from common.secagg.wire.payload import count_payload_bytes, cut_rooms, view_words
from common.secagg.wire.tag_keys import derive_vector_tag_key, find_tag_key, hide_tag_key, mask_tag


def contribute(party: Party, frame: MessageFrame) -> Bytes:
    """M4, the site's masked vector: the same bytes for the same request.

    Raises
    ------
    SecAggError
        With the codes of M3.
    """
    request = read_contribute(frame)
    state = party.require_open(request.phase, request.hdr, RoundState)
    if state.reveal or party.files.history.find_release(state.hdr) is not None:
        raise SecAggError("this round's sum was released", code="E_ALREADY_RELEASED")
    party.check_members(request, state)
    _check_attempt(party, request, state)
    party.check_set(request, state)
    pairing = pair_up(party.site, bytes.fromhex(state.private), request.joins)
    if request.attempt > state.attempt:
        state = _begin_attempt(party, request, state)
        _check_release(party, state)
    message, signed = _mask_contribution(party, state, pairing)
    if state.contribution is None:
        # A new attempt: on the disk its seed replaces the old one before any byte of the message leaves
        party.files.write(state.model_copy(update={"contribution": signed}))
    elif state.contribution != signed:
        raise SecAggError("the attempt would not be answered as before", code="E_STATE_CORRUPT")
    _audit(party, "CONTRIBUTION", state, frame, payload=signed.contribution.payload, bytes=len(message))
    return message


def reveal(party: Party, frame: MessageFrame) -> bytes:
    """M6, the seed of the site's own mask and the masked tags: the same bytes for the same request.

    Raises
    ------
    SecAggError
        With the codes of M5.
    """
    request = read(frame, MessageKind.REVEAL_REQUEST, RevealRequest)
    state = party.require_open(request.phase, request.hdr, RoundState)
    if state.reveal and state.reveal != frame.digest:
        raise SecAggError("this round's sum was released", code="E_ALREADY_RELEASED")
    _check_contributions(party, request, state)
    released = party.files.history.find_release(state.hdr)
    if released is None:
        _check_release(party, state)
    if not state.reveal:
        state = _tag_vectors(party, request, state)
        # The tags with the private key in one step: without it they could not be made again
        state = state.model_copy(update={"reveal": frame.digest, "private": ""})
        party.files.write(state)
    party.files.erase_words(request.phase)
    if released is None:
        party.files.record(_release_of(state))
    _audit(party, "REVEAL", state, frame)
    answer = Reveal(hdr=state.hdr, attempt=state.attempt, site=party.site, seed=state.seed, tags=state.tags)
    return pack(MessageKind.REVEAL, answer.body(), party.identity.key)


def _check_attempt(party: Party, request: ContributeRequest, state: RoundState) -> None:
    if request.attempt < state.attempt:
        raise SecAggError("a later attempt was answered", code="E_ATTEMPT_OLD")
    if request.attempt >= party.rules_of(state).max_attempts:
        raise SecAggError("the round has had all its attempts", code="E_ATTEMPTS")
    if request.attempt == state.attempt and set_digest(request.joins) != state.set:
        raise SecAggError("this attempt has another set", code="E_EQUIVOCATION")


def _begin_attempt(party: Party, request: ContributeRequest, state: RoundState) -> RoundState:
    """The state at the start of a new attempt: without the old seed, the old sum can never be opened."""
    seed = party.draw(f"self-mask/{state.hdr}/{request.attempt}")
    is_lowest = party.site == min(signed.join.site for signed in request.joins)
    shared = party.draw(f"tag-key/{state.hdr}/{request.attempt}") if is_lowest else b""
    update = {
        "attempt": request.attempt,
        "joins": request.joins,
        "set": set_digest(request.joins),
        "seed": seed.hex(),
        "tag_key": shared.hex(),
        "contribution": None,
    }
    return state.model_copy(update=update)


def _check_release(party: Party, state: RoundState) -> None:
    asked = state.asked
    names = tuple(spec.name for spec in asked.vectors)
    party.check_release(state, names, state.definitions, (asked.model, asked.input))


def _mask_contribution(
    party: Party, state: RoundState, pairing: Pairing
) -> tuple[memoryview, SignedContribution]:
    """M4, made in place, and its signed header, which M5 brings back.

    Raises
    ------
    SecAggError
        E_STATE_CORRUPT if a kept vector was altered.
    """
    vectors = _vectors_of(state)
    context = _make_context(state)
    keys = hide_tag_key(pairing, bytes.fromhex(state.tag_key), context) if state.tag_key else ()
    blind = _make_contribution(party, state, NO_DIGEST, keys)
    message, payload = make_room(len(blind.body()), count_payload_bytes(vectors))
    suite = party.rules_of(state).suite
    rooms = zip(vectors, view_words(vectors, payload), cut_rooms(vectors, payload), strict=True)
    with hash_beside() as beside:
        for number, (vector, words, room) in enumerate(rooms):
            if party.files.fill_words(state.asked.phase, number, words) != state.encoded[number]:
                raise SecAggError("a kept vector was altered", code="E_STATE_CORRUPT")
            key = derive_self_mask_key(bytes.fromhex(state.seed), party.site, vector, context)
            pairing.mask(vector, words, context, suite, (key, beside.add))
            beside.add(room[words.nbytes :])
        digest = beside.end()
    contribution = _make_contribution(party, state, digest, keys)
    seal(message, MessageKind.CONTRIBUTION, contribution.body(), party.identity.key)
    signature = sign_message(party.identity.key, MessageKind.CONTRIBUTION.name, contribution.body())
    return message, SignedContribution(contribution=contribution, signature=signature.hex())


def _make_contribution(party: Party, state: RoundState, payload: str, keys: tuple[str, ...]) -> Contribution:
    return Contribution(
        hdr=state.hdr, attempt=state.attempt, set=state.set, site=party.site, keys=keys, payload=payload
    )


def _make_context(state: RoundState) -> Context:
    return make_round_context(state.hdr, state.attempt, state.set)


def _tag_vectors(party: Party, request: RevealRequest, state: RoundState) -> RoundState:
    """The state with the set's tag key and the masked tags of this site's vectors.

    Raises
    ------
    SecAggError
        E_CONTEXT if the lowest member has not hidden the key for every other; E_STATE_CORRUPT if a kept
        vector was altered.
    """
    pairing, context = pair_up(party.site, bytes.fromhex(state.private), state.joins), _make_context(state)
    lowest = min(state.members)
    if party.site != lowest:
        (keys,) = (one.contribution.keys for one in request.contributions if one.contribution.site == lowest)
        state = state.model_copy(update={"tag_key": find_tag_key(pairing, keys, context).hex()})
    shared, tags = bytes.fromhex(state.tag_key), []
    for number, vector in enumerate(_vectors_of(state)):
        words, digest = party.files.map_words(state.asked.phase, number, vector)
        if digest != state.encoded[number]:
            raise SecAggError("a kept vector was altered", code="E_STATE_CORRUPT")
        key = derive_vector_tag_key(shared, vector, context)
        tag = tag_words(vector, words, key) + (derive_pad(key) if party.site == lowest else 0)
        tags.append(mask_tag(pairing, vector, tag, context))
    return state.model_copy(update={"tags": tuple(tags)})


def _check_contributions(party: Party, request: RevealRequest, state: RoundState) -> None:
    """Refuse to reveal another attempt than the latest, or without all members' signed contributions (R2).

    Raises
    ------
    SecAggError
        E_WRONG_ATTEMPT, E_DUP_SITE, E_SET_INCOMPLETE, E_CONTRIB_SIG or E_CONTEXT.
    """
    if request.attempt != state.attempt:
        raise SecAggError("not the latest attempt", code="E_WRONG_ATTEMPT")
    sites = [signed.contribution.site for signed in request.contributions]
    if len(set(sites)) != len(sites):
        raise SecAggError("two contributions are of one site", code="E_DUP_SITE")
    if not set(state.members) <= set(sites):
        raise SecAggError("a member's contribution is missing", code="E_SET_INCOMPLETE")
    for signed in request.contributions:
        public = party.roster.find_key(signed.contribution.site)
        if public is None or not signed.is_signed_by(public):
            raise SecAggError("a contribution is not signed by its site", code="E_CONTRIB_SIG")
        if _context_of(signed.contribution) != (state.hdr, state.attempt, state.set):
            raise SecAggError("a contribution is to another set, attempt or round", code="E_CONTEXT")
    if state.contribution not in request.contributions or len(sites) != len(state.members):
        raise SecAggError("the contributions are not this set's", code="E_CONTEXT")


def _context_of(contribution: Contribution) -> tuple[str, int, str]:
    return contribution.hdr, contribution.attempt, contribution.set


def _release_of(state: RoundState) -> Release:
    asked = state.asked
    return Release(
        phase=asked.phase,
        hdr=state.hdr,
        step=0,
        vectors=tuple(spec.name for spec in asked.vectors),
        definitions=state.definitions,
        model=asked.model,
        input=asked.input,
        set=bitmap_of(state.members),
    )


def _vectors_of(state: RoundState) -> list[Vector]:
    return [spec.vector() for spec in state.asked.vectors]


def _audit(party: Party, event: str, state: RoundState, frame: MessageFrame, **details: object) -> None:
    asked = state.asked
    party.audit(
        event,
        asked,
        frame,
        hdr=state.hdr,
        attempt=state.attempt,
        participants=state.members,
        set=state.set,
        vectors=[[spec.name, list(spec.shape), str(spec.ring)] for spec in asked.vectors],
        **details,
    )
