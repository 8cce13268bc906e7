"""A session at a site: one set and one set of keys for many small sums, each of one message.

There is no self mask, hence no second attempt: an iteration opens when every member has answered.
"""

from __future__ import annotations

from functools import lru_cache

from common.secagg.errors import SecAggError
from common.secagg.history import Release
from common.secagg.messages import (
    NO_DIGEST,
    Admitted,
    Iterate,
    Iteration,
    SignedJoin,
    bitmap,
    read,
    set_digest,
)
from common.secagg.opening import check_computed, definitions_of, encoded
from common.secagg.pairing import Pairing, pair_up, session_context
from common.secagg.party import Party, read_contribute
from common.secagg.payload import layout_of, payload_bytes, read_layout, views
from common.secagg.policy import Computed, PhaseRules
from common.secagg.state import SessionState
from common.secagg.vectors import Words
from common.secagg.wire import Bytes, Frame, Kind, blank, pack, seal, sha256, unpack


def admit(party: Party, frame: Frame) -> bytes:
    """The site's consent to the set: the same bytes for the same set.

    Raises
    ------
    SecAggError
        The codes of M3.
    """
    request = read_contribute(frame)
    state = party.opened(request.phase, request.hdr, SessionState)
    party.check_members(request, state)
    members = set_digest(request.joins)
    if request.attempt != 0:
        raise SecAggError("a session has one attempt", code="E_ATTEMPTS")
    if state.set not in {"", members}:
        raise SecAggError("this session has another set", code="E_EQUIVOCATION")
    party.check_set(request, state)
    pair_up(party.site, bytes.fromhex(state.private), request.joins)
    if not state.set:
        state = state.model_copy(update={"joins": request.joins, "set": members})
        party.files.write(state)
    _audit(party, "ADMITTED", state, frame)
    answer = Admitted(hdr=state.hdr, set=members, site=party.site)
    return pack(Kind.ADMITTED, answer.body(), party.identity.key)


def iterate(party: Party, frame: Frame) -> Bytes:
    """The site's masked answer to one iteration: the same bytes for the same request.

    Raises
    ------
    SecAggError
        E_CONTEXT if the iteration does not follow the last; E_ALREADY_RELEASED if it was answered with
        other parameters; E_INPUT_HASH, and the codes of the release rules and the local checks.
    RheError
        What the engine's computation refuses.
    """
    request = read(frame, Kind.ITERATE, Iterate)
    state = party.opened(request.phase, request.hdr, SessionState)
    if not state.set or request.set != state.set:
        raise SecAggError("the iteration is of another set", code="E_CONTEXT")
    if sha256(frame.payload) != request.input:
        raise SecAggError("the parameters are not those that were signed", code="E_INPUT_HASH")
    if request.step == state.step and frame.digest != state.question:
        raise SecAggError("this iteration was answered with other parameters", code="E_ALREADY_RELEASED")
    if request.step not in {state.step, state.step + 1}:
        raise SecAggError("the iteration does not follow the last", code="E_CONTEXT")
    if request.step == state.step:
        reply: Bytes = party.files.read_reply(request.phase, state.reply)
    else:
        reply, state = _answered(party, request, state, frame)
    party.files.drop_replies(request.phase, state.reply)
    if state.release is not None and party.files.history.release(state.hdr, state.step) is None:
        party.files.record(state.release)
    _audit(party, "ITERATION", state, frame, step=state.step, bytes=len(reply), **_described(reply))
    return reply


def _answered(
    party: Party, request: Iterate, state: SessionState, frame: Frame
) -> tuple[Bytes, SessionState]:
    """The answer, and the state in which it may leave."""
    party.check_quota(request.phase)
    rules = party.rules(state)
    computed = party.compute(state.asked, request, frame.payload)
    names = tuple(part.vector.name for part in computed.parts)
    definitions = definitions_of(computed)
    party.check_release(state, names, definitions, (request.input, request.input))
    check_computed(party, computed, rules)
    reply = _masked(party, request, state, (computed, rules))
    release = Release(
        phase=request.phase,
        hdr=state.hdr,
        step=request.step,
        vectors=names,
        definitions=definitions,
        model=request.input,
        input=request.input,
        set=bitmap(state.members),
    )
    update = {
        "step": request.step,
        "question": frame.digest,
        "reply": party.files.keep_reply(request.phase, reply),
        "release": release,
    }
    state = state.model_copy(update=update)
    party.files.write(state)
    return reply, state


def _masked(
    party: Party, request: Iterate, state: SessionState, work: tuple[Computed, PhaseRules]
) -> bytearray:
    computed, rules = work
    vectors = [part.vector for part in computed.parts]
    layout = layout_of(vectors)
    words = _encoded(party, state, request.step, work)
    blind = _header(party, request, len(layout), NO_DIGEST)
    message, payload = blank(len(blind.body()), len(layout) + payload_bytes(vectors))
    payload[: len(layout)] = layout
    pairing = _paired(party.site, state.private, state.joins)
    context = session_context(state.hdr, state.set, request.step, request.input, sha256(layout))
    for vector, plain, room in zip(vectors, words, views(vectors, payload[len(layout) :]), strict=True):
        room[:] = plain
        pairing.mask(vector, room, context, rules.suite)
    header = _header(party, request, len(layout), sha256(payload))
    seal(message, Kind.ITERATION, header.body(), party.identity.key)
    return message


def _encoded(party: Party, state: SessionState, step: int, work: tuple[Computed, PhaseRules]) -> list[Words]:
    computed, rules = work
    purpose = f"{state.hdr}/{step}"
    return [encoded(party, part, rules, purpose).words for part in computed.parts]


def _header(party: Party, request: Iterate, layout_bytes: int, payload: str) -> Iteration:
    return Iteration(
        hdr=request.hdr,
        set=request.set,
        step=request.step,
        site=party.site,
        layout_bytes=layout_bytes,
        payload=payload,
    )


def forget_keys() -> None:
    """Drops the session keys that are kept in memory."""
    _paired.cache_clear()


@lru_cache(maxsize=64)
def _paired(site: int, private: str, joins: tuple[SignedJoin, ...]) -> Pairing:
    """Kept in memory over a session's iterations: fifty key agreements cost more than the masks."""
    return pair_up(site, bytes.fromhex(private), joins)


def _described(reply: Bytes) -> dict[str, object]:
    """What left, for the audit."""
    frame = unpack(reply)
    header = read(frame, Kind.ITERATION, Iteration)
    vectors = read_layout(bytes(frame.payload[: header.layout_bytes]))
    described = [[vector.name, list(vector.shape), str(vector.ring)] for vector in vectors]
    return {"payload": header.payload, "vectors": described}


def _audit(party: Party, event: str, state: SessionState, frame: Frame, **details: object) -> None:
    party.audit(
        event,
        state.asked,
        frame,
        hdr=state.hdr,
        participants=state.members,
        set=state.set,
        **details,
    )
