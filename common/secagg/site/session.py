"""A session at a site: one set and one set of keys for many small sums, each of one message.

There is no self mask and therefore no second attempt: an iteration opens when every member has answered.
"""

from __future__ import annotations

from pathlib import Path

from common.secagg.codes import SecAggError
from common.secagg.crypto.rings import Words
from common.secagg.site.handler import Party, read_contribute
from common.secagg.site.history import Release
from common.secagg.site.opening import check_computed, definitions_of, encode_vector
from common.secagg.site.rules import Computed, PhaseRules
from common.secagg.site.state import SessionState
from common.secagg.wire.frames import Bytes, MessageFrame, MessageKind, make_room, pack, seal, sha256, unpack
from common.secagg.wire.messages import (
    NO_DIGEST,
    Admitted,
    Iterate,
    Iteration,
    bitmap_of,
    read,
    set_digest,
)
from common.secagg.wire.pairing import Pairing, make_session_context, pair_up
from common.secagg.wire.payload import (
    count_payload_bytes,
    cut_rooms,
    digest_iteration,
    layout_of,
    read_layout,
    view_words,
)

_MOST_PAIRINGS = 64
_PAIRINGS: dict[Path, dict[tuple[str, str], Pairing]] = {}
"""By the site's folder, because a simulation has many sites in one process; then by private key and set."""


def admit(party: Party, frame: MessageFrame) -> bytes:
    """The site's agreement to the set: the same bytes for the same set.

    Raises
    ------
    SecAggError
        With the codes of M3.
    """
    request = read_contribute(frame)
    state = party.require_open(request.phase, request.hdr, SessionState)
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
    return pack(MessageKind.ADMITTED, answer.body(), party.identity.key)


def iterate(party: Party, frame: MessageFrame) -> Bytes:
    """The site's masked answer to one iteration: the same bytes for the same request.

    Raises
    ------
    SecAggError
        E_CONTEXT if the set is another one or the iteration does not follow the last; E_ALREADY_RELEASED if
        it was answered at other parameters; E_INPUT_HASH if the parameters are not those that were signed;
        the codes of the release rules and of `check_computed`.
    RheError
        If the engine's computation refuses.
    """
    request = read(frame, MessageKind.ITERATE, Iterate)
    state = party.require_open(request.phase, request.hdr, SessionState)
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
        reply, state = _answer(party, request, state, frame)
    party.files.drop_replies(request.phase, state.reply)
    if state.release is not None and party.files.history.find_release(state.hdr, state.step) is None:
        party.files.record(state.release)
    _audit(party, "ITERATION", state, frame, step=state.step, bytes=len(reply), **_describe_reply(reply))
    return reply


def _answer(
    party: Party, request: Iterate, state: SessionState, frame: MessageFrame
) -> tuple[Bytes, SessionState]:
    """A new answer, and the state that had to be kept before it may leave."""
    party.check_quota(request.phase)
    rules = party.rules_of(state)
    computed = party.compute(state.asked, request, frame.payload)
    names = tuple(part.vector.name for part in computed.parts)
    definitions = definitions_of(computed)
    party.check_release(state, names, definitions, (request.input, request.input))
    check_computed(party, computed, rules)
    reply = _mask_answer(party, request, state, (computed, rules))
    release = Release(
        phase=request.phase,
        hdr=state.hdr,
        step=request.step,
        vectors=names,
        definitions=definitions,
        model=request.input,
        input=request.input,
        set=bitmap_of(state.members),
    )
    update = {
        "step": request.step,
        "question": frame.digest,
        "reply": party.files.keep_reply(request.phase, reply),
        "release": release,
        "returned": tuple(place for place, part in enumerate(computed.parts) if part.returns),
        "note": computed.note,
    }
    state = state.model_copy(update=update)
    party.files.write(state)
    return reply, state


def _mask_answer(
    party: Party, request: Iterate, state: SessionState, work: tuple[Computed, PhaseRules]
) -> memoryview:
    computed, rules = work
    vectors = [part.vector for part in computed.parts]
    layout = layout_of(vectors)
    words = _encode_vectors(party, state, request.step, work)
    blind = _make_header(party, request, len(layout), NO_DIGEST)
    message, payload = make_room(len(blind.body()), len(layout) + count_payload_bytes(vectors))
    payload[: len(layout)] = layout
    pairing = _pair_up_once(party, state)
    context = make_session_context(state.hdr, state.set, request.step, request.input, sha256(layout))
    for vector, plain, room in zip(vectors, words, view_words(vectors, payload[len(layout) :]), strict=True):
        room[:] = plain
        pairing.mask(vector, room, context, rules.suite)
    parts = [sha256(room) for room in cut_rooms(vectors, payload[len(layout) :])]
    header = _make_header(party, request, len(layout), digest_iteration(layout, parts))
    seal(message, MessageKind.ITERATION, header.body(), party.identity.key)
    return message


def _encode_vectors(
    party: Party, state: SessionState, step: int, work: tuple[Computed, PhaseRules]
) -> list[Words]:
    computed, rules = work
    purpose = f"{state.hdr}/{step}"
    return [encode_vector(party, part, rules, purpose).words for part in computed.parts]


def _make_header(party: Party, request: Iterate, layout_bytes: int, payload: str) -> Iteration:
    return Iteration(
        hdr=request.hdr,
        set=request.set,
        step=request.step,
        site=party.site,
        layout_bytes=layout_bytes,
        payload=payload,
    )


def forget_keys(folder: Path) -> None:
    """Forget the session keys of the site with this folder that are kept in memory."""
    _PAIRINGS.pop(folder, None)


def count_kept_keys(folder: Path) -> int:
    """Of how many sessions the keys of the site with this folder are in memory."""
    return len(_PAIRINGS.get(folder, ()))


def _pair_up_once(party: Party, state: SessionState) -> Pairing:
    """The pairing, computed once a session because fifty key agreements cost more than the masks."""
    known = _PAIRINGS.setdefault(party.files.folder, {})
    name = state.private, state.set
    pairing = known.get(name)
    if pairing is None:
        if len(known) >= _MOST_PAIRINGS:
            known.clear()
        pairing = known[name] = pair_up(party.site, bytes.fromhex(state.private), state.joins)
    return pairing


def _describe_reply(reply: Bytes) -> dict[str, object]:
    """What left, for the audit: the payload's SHA-256, and each vector's name, shape and ring."""
    frame = unpack(reply)
    header = read(frame, MessageKind.ITERATION, Iteration)
    vectors = read_layout(bytes(frame.payload[: header.layout_bytes]))
    described = [[vector.name, list(vector.shape), str(vector.ring)] for vector in vectors]
    return {"payload": header.payload, "vectors": described}


def _audit(party: Party, event: str, state: SessionState, frame: MessageFrame, **details: object) -> None:
    party.audit(
        event,
        state.asked,
        frame,
        hdr=state.hdr,
        participants=state.members,
        set=state.set,
        **details,
    )
