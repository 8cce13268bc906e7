"""M1 to M2 at a site: it is asked, computes, keeps its vectors, and joins."""

from __future__ import annotations

from typing import cast

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from common.secagg.codes import SecAggError
from common.secagg.crypto.discrete_gaussian import add_noise
from common.secagg.crypto.encoding import DeltaEncoder, Encoded, encode, norm
from common.secagg.crypto.keys import sign_message
from common.secagg.site.handler import Party
from common.secagg.site.history import Begun
from common.secagg.site.release_rules import check_definitions, check_inputs
from common.secagg.site.rules import Computed, ComputedVector, PhaseRules
from common.secagg.site.state import RoundState, SessionState, SiteState
from common.secagg.wire.frames import MessageFrame, MessageKind, repack, sha256
from common.secagg.wire.messages import Join, RoundRequest, SignedJoin, VectorSpec, input_digest, read
from common.types import Reals


def answer_request(party: Party, frame: MessageFrame) -> bytes:
    """The site's JOIN: the same bytes for the same request.

    Raises
    ------
    SecAggError
        With the codes of M1 and of `check_computed`.
    RheError
        If the plan's policy or the engine's computation refuses.
    """
    request = read(frame, MessageKind.ROUND_REQUEST, RoundRequest)
    rules = _check_request(party, request)
    payload = _find_payload(party, request, rules, frame)
    state = party.files.read(request.phase)
    if state is None or state.hdr != frame.digest:
        _check_history(party, request, frame)
        _clear(party, state, request)
        party.check_quota(request.phase)
        party.policy.check(request, party.files.history)
        try:
            state = _open_phase(party, request, rules, (frame, payload))
        except Exception:
            # What was kept of the vectors before one of them was refused is of no use to anybody
            party.erase(request, "refused")
            raise
    party.audit("JOIN", request, frame, hdr=state.hdr)
    join = state.join
    return repack(MessageKind.JOIN, join.join.body(), bytes.fromhex(join.signature))


def check_computed(party: Party, computed: Computed, rules: PhaseRules) -> None:
    """Refuse what the site must not contribute, before anything is encoded.

    Raises
    ------
    SecAggError
        E_SMALL_N if the site has too few patients; E_WEIGHT if it has too many; E_NORM if a model delta is
        too long; E_ALREADY_RELEASED if a static statistic was released.
    ValueError
        If the rules limit the number of patients and the engine does not give it.
    """
    patients = computed.patients
    if patients is None and (rules.site_minimum or rules.largest_weight is not None):
        raise ValueError("the phase limits the number of patients, and it is unknown")
    if patients is not None and patients < rules.site_minimum:
        raise SecAggError("the site has too few patients", code="E_SMALL_N")
    if patients is not None and rules.largest_weight is not None and patients > rules.largest_weight:
        raise SecAggError("the site has more patients than the largest weight", code="E_WEIGHT")
    for part in computed.parts:
        # False if the norm is NaN: `encode` refuses that with a clearer code
        if rules.norm_bound is not None and part.vector.is_delta and _norm_of(part) > rules.norm_bound:
            raise SecAggError("a model delta is longer than the plan allows", code="E_NORM")
    check_definitions(party.files.history, definitions_of(computed))


def encode_vector(party: Party, part: ComputedVector, rules: PhaseRules, purpose: str) -> Encoded:
    """The part's words with the site's share of the noise; `purpose` names the noise's random stream.

    Raises
    ------
    SecAggError
        As `encode`.
    """
    sites = len(party.roster.sites)
    result = encode(
        part.vector, part.values, sites=sites, alpha=part.alpha, clip_fraction=rules.clip_fraction
    )
    if part.variance:
        key = party.draw(f"noise/{purpose}/{part.vector.name}")
        add_noise(part.vector, result.words, part.variance, key)
    return result


def definitions_of(computed: Computed) -> tuple[str, ...]:
    """The definitions of the static statistics among the parts, sorted."""
    return tuple(sorted({part.definition for part in computed.parts if part.definition}))


def _check_request(party: Party, request: RoundRequest) -> PhaseRules:
    """The phase's rules, once the request is found to keep to them, whatever was asked before.

    Raises
    ------
    SecAggError
        E_CONTEXT, E_VECTOR, E_ROUND_RANGE or E_EXPIRED: which rule the request breaks.
    """
    roster = party.roster
    if (request.study, request.plan, request.roster) != (roster.study, roster.plan, roster.digest):
        raise SecAggError("the request is of another study, plan or roster", code="E_CONTEXT")
    rules = party.policy.rules_of(request.phase)
    if request.mode != rules.mode:
        raise SecAggError(
            "the request is for a round and the phase has sessions, or the reverse", code="E_CONTEXT"
        )
    if request.vectors != tuple(VectorSpec.of(vector) for vector in rules.vectors):
        raise SecAggError("the request's vectors are not the plan's", code="E_VECTOR")
    if not 1 <= request.round <= rules.rounds:
        raise SecAggError("the plan has no round of this number", code="E_ROUND_RANGE")
    if not 0 <= request.deadline - party.clock() <= rules.max_age_s:
        raise SecAggError("the deadline is past, or too far ahead", code="E_EXPIRED")
    return rules


def _find_payload(party: Party, request: RoundRequest, rules: PhaseRules, frame: MessageFrame) -> memoryview:
    """Model and configuration; the configuration alone for a site that needs no model.

    The message may leave the model out: the site then has it, because it derived it itself.

    Raises
    ------
    SecAggError
        E_INPUT_HASH if they are not those that were signed; E_NO_MODEL if the message leaves the model out,
        and the site does not have it.
    """
    split = request.model_bytes
    model, configuration = frame.payload[:split], frame.payload[split:]
    is_whole = split <= len(frame.payload) and sha256(model) == request.model
    if is_whole and input_digest(request.model, configuration) == request.input:
        return frame.payload if rules.needs_model else configuration
    if input_digest(request.model, frame.payload) != request.input:
        raise SecAggError("model or configuration are not those that were signed", code="E_INPUT_HASH")
    if not rules.needs_model:
        return frame.payload
    kept = party.files.models_of(request.phase).find(request.model, split, frame.payload)
    if kept is None:
        raise SecAggError("the site does not have the model of this round", code="E_NO_MODEL")
    return kept


def _check_history(party: Party, request: RoundRequest, frame: MessageFrame) -> None:
    history = party.files.history
    party.refuse_aborted(frame.digest)
    last = history.find_begun(request.phase)
    # A request may come again if the site was killed before it kept its state
    is_repeated = last is not None and last.hdr == frame.digest and history.find_end(last.hdr) is None
    if last is not None and request.round <= last.round and not is_repeated:
        raise SecAggError("the phase is already at a later round", code="E_ROUND_OLD")
    check_inputs(history, request.phase, (spec.name for spec in request.vectors), request.input)


def _clear(party: Party, state: SiteState | None, request: RoundRequest) -> None:
    """Wipe what a higher round supersedes; an open session has to be closed first.

    Raises
    ------
    SecAggError
        E_BUSY if another session of the phase is open.
    """
    if isinstance(state, SessionState):
        raise SecAggError("another session of the phase is open", code="E_BUSY")
    party.erase(request, "superseded")


def _open_phase(
    party: Party, request: RoundRequest, rules: PhaseRules, asked: tuple[MessageFrame, memoryview]
) -> SiteState:
    frame, payload = asked
    digests, definitions = _keep_vectors(party, request, rules, asked)
    # Else the payload is where the site keeps that model
    if rules.returned and payload is frame.payload:
        party.files.models_of(request.phase).keep(request.model, payload[: request.model_bytes])
    private = X25519PrivateKey.from_private_bytes(party.draw(f"session-key/{frame.digest}"))
    join = Join(
        hdr=frame.digest,
        site=party.site,
        key=private.public_key().public_bytes_raw().hex(),
        sets=party.files.history.list_sets(request.phase),
    )
    signature = sign_message(party.identity.key, MessageKind.JOIN.name, join.body())
    secret = private.private_bytes_raw().hex()
    header, signed = frame.header.decode("ascii"), SignedJoin(join=join, signature=signature.hex())
    state: SiteState
    if request.mode == "session":
        state = SessionState(request=header, join=signed, private=secret)
    else:
        state = RoundState(
            request=header, join=signed, private=secret, encoded=digests, definitions=definitions
        )
    party.files.record(Begun(phase=request.phase, round=request.round, hdr=frame.digest))
    party.files.write(state)
    return state


def _keep_vectors(
    party: Party, request: RoundRequest, rules: PhaseRules, asked: tuple[MessageFrame, memoryview]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Compute and keep a round's vectors; return their SHA-256 and the definitions of static statistics.

    In a session there is nothing to compute yet.

    Raises
    ------
    SecAggError
        E_VECTOR if the site computed other vectors than the plan's.
    """
    if request.mode == "session":
        return (), ()
    frame, payload = asked
    computed = party.compute(request, None, payload)
    if tuple(part.vector for part in computed.parts) != rules.vectors:
        raise SecAggError("the site computed other vectors than the plan's", code="E_VECTOR")
    check_computed(party, computed, rules)
    digests, clipped = [], []
    for number, part in enumerate(computed.parts):
        # The request's own digest depends on the deadline; a simulated round must draw the same noise again
        purpose = f"{request.phase}/{request.round}/{request.input}"
        digest, cut = _keep_vector(party, (request.phase, number), part, rules, purpose)
        digests.append(digest)
        clipped.append(cut)
    party.files.sync_words(request.phase)
    party.audit("ENCODED", request, hdr=frame.digest, clipped=clipped, norms=_norms_of(computed))
    return tuple(digests), definitions_of(computed)


def _keep_vector(
    party: Party, place: tuple[str, int], part: ComputedVector, rules: PhaseRules, purpose: str
) -> tuple[str, int]:
    """SHA-256 of a part's words, which are kept, and how many elements were clipped.

    A large model delta goes to the disk piece by piece: there is no second one in the memory.
    """
    if not part.vector.is_delta or part.variance:
        result = encode_vector(party, part, rules, purpose)
        return party.files.keep_words(*place, (result.words,)), result.clipped
    sites = len(party.roster.sites)
    encoder = DeltaEncoder(part.vector, part.values, sites, part.alpha, rules.clip_fraction)
    digest = party.files.keep_words(*place, encoder.cut_words())
    return digest, encoder.clipped


def _norms_of(computed: Computed) -> list[str]:
    """The model deltas' norms, for the audit: two digits only, as a norm is a number about the patients."""
    return [f"{_norm_of(part):.1e}" for part in computed.parts if part.vector.is_delta]


def _norm_of(part: ComputedVector) -> float:
    return norm(cast("Reals", part.values))
