"""M3 and M5 of a round at a site: the masked vector leaves, then the seed that opens the sum."""

from __future__ import annotations

from common.secagg.errors import SecAggError
from common.secagg.history import Release
from common.secagg.keys import sign
from common.secagg.masks import add_stream
from common.secagg.messages import (
    NO_DIGEST,
    ContributeRequest,
    Contribution,
    Reveal,
    RevealRequest,
    SignedContribution,
    bitmap,
    read,
    set_digest,
)
from common.secagg.pairing import Pairing, pair_up, round_context, self_stream
from common.secagg.party import Party, read_contribute
from common.secagg.payload import payload_bytes, views
from common.secagg.state import RoundState
from common.secagg.vectors import Vector
from common.secagg.wire import Bytes, Frame, Kind, blank, pack, seal, sha256


def contribute(party: Party, frame: Frame) -> Bytes:
    """M4, the site's masked vector: the same bytes for the same request.

    Raises
    ------
    SecAggError
        The codes of M3.
    """
    request = read_contribute(frame)
    state = party.opened(request.phase, request.hdr, RoundState)
    if state.reveal or party.files.history.release(state.hdr) is not None:
        raise SecAggError("this round's sum was released", code="E_ALREADY_RELEASED")
    party.check_members(request, state)
    _check_attempt(party, request, state)
    party.check_set(request, state)
    pairing = pair_up(party.site, bytes.fromhex(state.private), request.joins)
    if request.attempt > state.attempt:
        state = _attempted(party, request, state)
        _check_release(party, state)
    message, signed = _masked(party, state, pairing)
    if state.contribution is None:
        # A new attempt: its seed replaces the old one's on disk before a byte of it leaves
        party.files.write(state.model_copy(update={"contribution": signed}))
    elif state.contribution != signed:
        raise SecAggError("the attempt would not be answered as before", code="E_STATE_CORRUPT")
    _audit(party, "CONTRIBUTION", state, frame, payload=signed.contribution.payload, bytes=len(message))
    return message


def reveal(party: Party, frame: Frame) -> bytes:
    """M6, the seed of the site's own mask: the same bytes for the same request.

    Raises
    ------
    SecAggError
        The codes of M5.
    """
    request = read(frame, Kind.REVEAL_REQUEST, RevealRequest)
    state = party.opened(request.phase, request.hdr, RoundState)
    if state.reveal and state.reveal != frame.digest:
        raise SecAggError("this round's sum was released", code="E_ALREADY_RELEASED")
    _check_contributions(party, request, state)
    released = party.files.history.release(state.hdr)
    if released is None:
        _check_release(party, state)
    if not state.reveal:
        state = state.model_copy(update={"reveal": frame.digest, "private": ""})
        party.files.write(state)
    party.files.erase_words(request.phase)
    if released is None:
        party.files.record(_release(state))
    _audit(party, "REVEAL", state, frame)
    answer = Reveal(hdr=state.hdr, attempt=state.attempt, site=party.site, seed=state.seed)
    return pack(Kind.REVEAL, answer.body(), party.identity.key)


def _check_attempt(party: Party, request: ContributeRequest, state: RoundState) -> None:
    if request.attempt < state.attempt:
        raise SecAggError("a later attempt was answered", code="E_ATTEMPT_OLD")
    if request.attempt >= party.rules(state).max_attempts:
        raise SecAggError("the round has had all its attempts", code="E_ATTEMPTS")
    if request.attempt == state.attempt and set_digest(request.joins) != state.set:
        raise SecAggError("this attempt has another set", code="E_EQUIVOCATION")


def _attempted(party: Party, request: ContributeRequest, state: RoundState) -> RoundState:
    """The state in a new attempt: the old seed is forgotten, so the old sum can never be opened."""
    seed = party.draw(f"self-mask/{state.hdr}/{request.attempt}")
    update = {
        "attempt": request.attempt,
        "joins": request.joins,
        "set": set_digest(request.joins),
        "seed": seed.hex(),
        "contribution": None,
    }
    return state.model_copy(update=update)


def _check_release(party: Party, state: RoundState) -> None:
    asked = state.asked
    names = tuple(spec.name for spec in asked.vectors)
    party.check_release(state, names, state.definitions, (asked.model, asked.input))


def _masked(party: Party, state: RoundState, pairing: Pairing) -> tuple[bytearray, SignedContribution]:
    """The message, made in place, and its header as M5 brings it back."""
    vectors = _vectors(state)
    blind = _contribution(party, state, NO_DIGEST)
    message, payload = blank(len(blind.body()), payload_bytes(vectors))
    context = round_context(state.hdr, state.attempt, state.set)
    suite = party.rules(state).suite
    for number, (vector, words) in enumerate(zip(vectors, views(vectors, payload), strict=True)):
        if party.files.fill_words(state.asked.phase, number, words) != state.encoded[number]:
            raise SecAggError("a kept vector was altered", code="E_STATE_CORRUPT")
        pairing.mask(vector, words, context, suite)
        key = self_stream(bytes.fromhex(state.seed), party.site, vector, context)
        add_stream(words, key, vector.ring, sign=1, suite=suite)
    contribution = _contribution(party, state, sha256(payload))
    seal(message, Kind.CONTRIBUTION, contribution.body(), party.identity.key)
    signature = sign(party.identity.key, Kind.CONTRIBUTION.name, contribution.body())
    return message, SignedContribution(contribution=contribution, signature=signature.hex())


def _contribution(party: Party, state: RoundState, payload: str) -> Contribution:
    return Contribution(hdr=state.hdr, attempt=state.attempt, set=state.set, site=party.site, payload=payload)


def _check_contributions(party: Party, request: RevealRequest, state: RoundState) -> None:
    """R2: only the latest attempt, and only with the signed contributions of all members."""
    if request.attempt != state.attempt:
        raise SecAggError("not the latest attempt", code="E_WRONG_ATTEMPT")
    sites = [signed.contribution.site for signed in request.contributions]
    if len(set(sites)) != len(sites):
        raise SecAggError("two contributions are of one site", code="E_DUP_SITE")
    if not set(state.members) <= set(sites):
        raise SecAggError("a member's contribution is missing", code="E_SET_INCOMPLETE")
    for signed in request.contributions:
        public = party.roster.public(signed.contribution.site)
        if public is None or not signed.is_signed_by(public):
            raise SecAggError("a contribution is not signed by its site", code="E_CONTRIB_SIG")
        if _what(signed.contribution) != (state.hdr, state.attempt, state.set):
            raise SecAggError("a contribution is to another set, attempt or round", code="E_CONTEXT")
    if state.contribution not in request.contributions or len(sites) != len(state.members):
        raise SecAggError("the contributions are not this set's", code="E_CONTEXT")


def _what(contribution: Contribution) -> tuple[str, int, str]:
    return contribution.hdr, contribution.attempt, contribution.set


def _release(state: RoundState) -> Release:
    asked = state.asked
    return Release(
        phase=asked.phase,
        hdr=state.hdr,
        step=0,
        vectors=tuple(spec.name for spec in asked.vectors),
        definitions=state.definitions,
        model=asked.model,
        input=asked.input,
        set=bitmap(state.members),
    )


def _vectors(state: RoundState) -> list[Vector]:
    return [spec.vector() for spec in state.asked.vectors]


def _audit(party: Party, event: str, state: RoundState, frame: Frame, **details: object) -> None:
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
