"""M1 to M2: a site is asked, computes, keeps its vector, and joins."""

from __future__ import annotations

from typing import cast

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from common.secagg.encoding import Encoded, encode, norm
from common.secagg.errors import SecAggError
from common.secagg.history import Begun
from common.secagg.keys import sign
from common.secagg.messages import Join, RoundRequest, SignedJoin, VectorSpec, input_digest, read
from common.secagg.noise import add_noise
from common.secagg.party import Party
from common.secagg.policy import Computed, Part, PhaseRules
from common.secagg.releases import check_definitions, check_inputs
from common.secagg.state import RoundState, SessionState, State
from common.secagg.vectors import Ring
from common.secagg.wire import Frame, Kind, repack, sha256
from common.types import Reals


def answer_request(party: Party, frame: Frame) -> bytes:
    """The site's JOIN: the same bytes for the same request.

    Raises
    ------
    SecAggError
        The codes of M1 and of the local checks.
    RheError
        What the engine's computation refuses.
    """
    request = read(frame, Kind.ROUND_REQUEST, RoundRequest)
    rules = _checked_rules(party, request, frame)
    state = party.files.read(request.phase)
    if state is None or state.hdr != frame.digest:
        _check_history(party, request, frame)
        _clear(party, state, request)
        party.check_quota(request.phase)
        party.policy.check(request, party.files.history)
        state = _open(party, request, rules, frame)
    party.audit("JOIN", request, frame, hdr=state.hdr)
    join = state.join
    return repack(Kind.JOIN, join.join.body(), bytes.fromhex(join.signature))


def check_computed(party: Party, computed: Computed, rules: PhaseRules) -> None:
    """Refuses what the site may not contribute, before anything is encoded.

    Raises
    ------
    SecAggError
        E_SMALL_N, E_WEIGHT, E_NORM or E_ALREADY_RELEASED.
    ValueError
        If the rules limit the number of patients and the engine does not say it.
    """
    patients = computed.patients
    if patients is None and (rules.site_minimum or rules.largest_weight is not None):
        raise ValueError("the phase limits the number of patients, and it is unknown")
    if patients is not None and patients < rules.site_minimum:
        raise SecAggError("the site has too few patients", code="E_SMALL_N")
    if patients is not None and rules.largest_weight is not None and patients > rules.largest_weight:
        raise SecAggError("the site has more patients than the largest weight", code="E_WEIGHT")
    for part in computed.parts:
        # False where the norm is not a number, which `encode` names better
        if (
            rules.norm_bound is not None
            and part.vector.ring is Ring.UPDATES
            and _norm(part) > rules.norm_bound
        ):
            raise SecAggError("a model delta is longer than the plan allows", code="E_NORM")
    check_definitions(party.files.history, definitions_of(computed))


def encoded(party: Party, part: Part, rules: PhaseRules, purpose: str) -> Encoded:
    """The part's words, with the site's share of the noise; `purpose` names its random numbers."""
    sites = len(party.roster.sites)
    result = encode(
        part.vector, part.values, sites=sites, alpha=part.alpha, clip_fraction=rules.clip_fraction
    )
    if part.variance:
        key = party.draw(f"noise/{purpose}/{part.vector.name}")
        add_noise(part.vector, result.words, part.variance, key)
    return result


def definitions_of(computed: Computed) -> tuple[str, ...]:
    """Of the static statistics among the parts."""
    return tuple(sorted({part.definition for part in computed.parts if part.definition}))


def _checked_rules(party: Party, request: RoundRequest, frame: Frame) -> PhaseRules:
    """The phase's rules, if the request keeps to them, whatever was asked before."""
    roster = party.roster
    if (request.study, request.plan, request.roster) != (roster.study, roster.plan, roster.digest):
        raise SecAggError("the request is of another study, plan or roster", code="E_CONTEXT")
    rules = party.policy.rules(request.phase)
    if request.mode != rules.mode:
        raise SecAggError("the phase has rounds and the request a session, or reversed", code="E_CONTEXT")
    if request.vectors != tuple(VectorSpec.of(vector) for vector in rules.vectors):
        raise SecAggError("the request's vectors are not the plan's", code="E_VECTOR")
    if not 1 <= request.round <= rules.rounds:
        raise SecAggError("the plan has no round of this number", code="E_ROUND_RANGE")
    if not 0 <= request.deadline - party.clock() <= rules.max_age_s:
        raise SecAggError("the deadline is past, or too far ahead", code="E_EXPIRED")
    split = request.model_bytes
    model, configuration = frame.payload[:split], frame.payload[split:]
    if (
        split > len(frame.payload)
        or sha256(model) != request.model
        or input_digest(request.model, configuration) != request.input
    ):
        raise SecAggError("model or configuration are not those that were signed", code="E_INPUT_HASH")
    return rules


def _check_history(party: Party, request: RoundRequest, frame: Frame) -> None:
    history = party.files.history
    last = history.last(request.phase)
    # A request whose answer was lost before it was kept may come again
    again = last is not None and last.hdr == frame.digest and history.ended(last.hdr) is None
    if last is not None and request.round <= last.round and not again:
        raise SecAggError("the phase has come further than this round", code="E_ROUND_OLD")
    check_inputs(history, request.phase, (spec.name for spec in request.vectors), request.input)


def _clear(party: Party, state: State | None, request: RoundRequest) -> None:
    """Wipes what a higher round supersedes; a session has to be closed first."""
    if isinstance(state, SessionState):
        raise SecAggError("another session of the phase is open", code="E_BUSY")
    party.erase(request, "superseded")


def _open(party: Party, request: RoundRequest, rules: PhaseRules, frame: Frame) -> State:
    digests, definitions = _keep_vectors(party, request, rules, frame)
    private = X25519PrivateKey.from_private_bytes(party.draw(f"session-key/{frame.digest}"))
    join = Join(
        hdr=frame.digest,
        site=party.site,
        key=private.public_key().public_bytes_raw().hex(),
        sets=party.files.history.sets(request.phase),
    )
    signature = sign(party.identity.key, Kind.JOIN.name, join.body())
    secret = private.private_bytes_raw().hex()
    words, signed = frame.header.decode("ascii"), SignedJoin(join=join, signature=signature.hex())
    state: State
    if request.mode == "session":
        state = SessionState(request=words, join=signed, private=secret)
    else:
        state = RoundState(
            request=words, join=signed, private=secret, encoded=digests, definitions=definitions
        )
    party.files.record(Begun(phase=request.phase, round=request.round, hdr=frame.digest))
    party.files.write(state)
    return state


def _keep_vectors(
    party: Party, request: RoundRequest, rules: PhaseRules, frame: Frame
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Computes a round's vectors and keeps them; returns their digests, and their static definitions."""
    if request.mode == "session":
        return (), ()
    computed = party.compute(request, None, frame.payload)
    if tuple(part.vector for part in computed.parts) != rules.vectors:
        raise SecAggError("the site computed other vectors than the plan's", code="E_VECTOR")
    check_computed(party, computed, rules)
    digests, clipped = [], []
    for number, part in enumerate(computed.parts):
        # Not the request's digest, which holds a time: a simulated round has the same noise twice
        purpose = f"{request.phase}/{request.round}/{request.input}"
        result = encoded(party, part, rules, purpose)
        digests.append(party.files.keep_words(request.phase, number, result.words))
        clipped.append(result.clipped)
    party.audit("ENCODED", request, hdr=frame.digest, clipped=clipped, norms=_norms(computed))
    return tuple(digests), definitions_of(computed)


def _norms(computed: Computed) -> list[str]:
    """Of the model deltas, for the audit: to two digits, because a norm is a number about the patients."""
    return [f"{_norm(part):.1e}" for part in computed.parts if part.vector.ring is Ring.UPDATES]


def _norm(part: Part) -> float:
    return norm(cast("Reals", part.values))
