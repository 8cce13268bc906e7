"""A coordinator that keeps to no rule: it has its own key, sends what it likes, and keeps what it got."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from secagg.world import COORDINATOR, ROUNDS, SESSIONS, World, code_of

from common.secagg.coordinator.files import Total
from common.secagg.crypto import limbs, masks
from common.secagg.crypto.rings import Vector
from common.secagg.wire.frames import MessageFrame, MessageKind, pack, sha256, unpack
from common.secagg.wire.messages import (
    CanonicalDocument,
    ContributeRequest,
    Contribution,
    Iterate,
    Iteration,
    Join,
    Reveal,
    RevealRequest,
    SignedContribution,
    SignedJoin,
    read,
    set_digest,
)
from common.secagg.wire.pairing import derive_self_mask_key, make_round_context
from common.secagg.wire.payload import read_layout, view_words


class Attacker:
    """One round or session, asked of the sites message by message."""

    def __init__(
        self, world: World, number: int = 1, mode: str = "round", seed: bytes = b"seed", **changes: object
    ) -> None:
        self.world = world
        self.model, self.seed = (b"model", seed) if mode == "round" else (b"", b"")
        fields: dict[str, Any] = {"phase": ROUNDS} if mode == "round" else {"phase": SESSIONS, "vectors": ()}
        question = world.question(number, mode=mode, **(fields | changes))
        self.request = question.request(world.coordinator, self.model, self.seed)
        self.vectors = question.vectors
        self.joins: dict[int, SignedJoin] = {}

    @property
    def hdr(self) -> str:
        return sha256(self.request.body())

    def message(self, kind: MessageKind, header: CanonicalDocument, payload: bytes = b"") -> bytes:
        return pack(kind, header.body(), COORDINATOR, payload)

    def send(self, site: int, message: bytes) -> bytes:
        return self.world.handle(self.world.name(site), message)

    def m1(self) -> bytes:
        return self.message(MessageKind.ROUND_REQUEST, self.request, self.model + self.seed)

    def join(self, *sites: int) -> Attacker:
        for site in sites or self.world.identities:
            answer = self.send(site, self.m1())
            assert code_of(answer) == "OK", code_of(answer)
            self.joins[site] = signed_join(answer)
        return self

    def members(self, *sites: int) -> tuple[SignedJoin, ...]:
        return tuple(self.joins[site] for site in sites or self.joins)

    def m3(self, joins: Iterable[SignedJoin], attempt: int = 0) -> bytes:
        header = ContributeRequest(
            hdr=self.hdr, phase=self.request.phase, attempt=attempt, joins=tuple(joins)
        )
        return self.message(MessageKind.CONTRIBUTE_REQUEST, header)

    def contribute(self, *sites: int, attempt: int = 0, asked: Iterable[int] = ()) -> dict[int, bytes]:
        message = self.m3(self.members(*sites), attempt)
        return {site: self.send(site, message) for site in asked or sites or self.joins}

    def m5(self, contributions: Iterable[SignedContribution], attempt: int = 0) -> bytes:
        header = RevealRequest(
            hdr=self.hdr, phase=self.request.phase, attempt=attempt, contributions=tuple(contributions)
        )
        return self.message(MessageKind.REVEAL_REQUEST, header)

    def reveal(self, contributions: Mapping[int, bytes], attempt: int = 0) -> dict[int, bytes]:
        message = self.m5([signed_contribution(one) for one in contributions.values()], attempt)
        return {site: self.send(site, message) for site in contributions}

    def total(self, contributions: Iterable[bytes]) -> Total:
        return total_of(self.vectors, contributions)

    def unmask(
        self,
        total: Total,
        seeds: Mapping[int, bytes],
        sites: Iterable[int] = (),
        attempt: int = 0,
    ) -> Total:
        """Subtracts the self masks that were revealed for this set."""
        members = set_digest(self.members(*sites))
        context = make_round_context(self.hdr, attempt, members)
        for vector, words in zip(total.vectors, total.words, strict=True):
            for site, seed in seeds.items():
                masks.add_stream(
                    words, derive_self_mask_key(seed, site, vector, context), vector.ring, sign=-1
                )
        return total

    def iterate(self, step: int, parameters: bytes, sites: Iterable[int] = ()) -> bytes:
        header = Iterate(
            hdr=self.hdr,
            phase=self.request.phase,
            set=set_digest(self.members(*sites)),
            step=step,
            input=sha256(parameters),
        )
        return self.message(MessageKind.ITERATE, header, parameters)


def total_of(vectors: Iterable[Vector], messages: Iterable[bytes]) -> Total:
    total = Total(tuple(vectors))
    for message in messages:
        add(total, unpack(message).payload)
    return total


def add(total: Total, payload: memoryview, sign: int = 1) -> None:
    for vector, into, words in zip(
        total.vectors, total.words, view_words(total.vectors, payload), strict=True
    ):
        more = words if sign > 0 else negated(words, vector)
        masks.add_words(into, more, vector.ring)


def negated(words: np.ndarray, vector: Vector) -> np.ndarray:
    zero = Total([vector])
    if vector.ring.limbs == 2:
        limbs.subtract_limbs(zero.words[0], words)
    else:
        zero.words[0] -= words
    return zero.words[0]


def signed_join(answer: bytes) -> SignedJoin:
    frame = unpack(answer)
    return SignedJoin(join=read(frame, MessageKind.JOIN, Join), signature=frame.signature.hex())


def signed_contribution(answer: bytes) -> SignedContribution:
    frame = unpack(answer)
    contribution = read(frame, MessageKind.CONTRIBUTION, Contribution)
    return SignedContribution(contribution=contribution, signature=frame.signature.hex())


def seed_of(answer: bytes) -> bytes:
    return bytes.fromhex(read(unpack(answer), MessageKind.REVEAL, Reveal).seed)


def session_total(answers: Iterable[bytes]) -> Total:
    """The sum of a session's answers, whose layouts are alike."""
    frames = [unpack(answer) for answer in answers]
    lengths = [frame_layout(frame) for frame in frames]
    vectors = read_layout(bytes(frames[0].payload[: lengths[0]]))
    total = Total(vectors)
    for frame, length in zip(frames, lengths, strict=True):
        add(total, frame.payload[length:])
    return total


def frame_layout(frame: MessageFrame) -> int:
    return read(frame, MessageKind.ITERATION, Iteration).layout_bytes


def codes(answers: Mapping[int, bytes]) -> set[str]:
    return {code_of(answer) for answer in answers.values()}
