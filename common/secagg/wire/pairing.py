"""From session keys to mask keys: the secret that two sites share, and the key that hides each vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from common.secagg.crypto.keys import (
    derive_self_key,
    derive_shared_secret,
    expand_pair_key,
    extract_pair_secret,
)
from common.secagg.crypto.masks import Sign, Suite, add_streams
from common.secagg.crypto.rings import Vector, Words
from common.secagg.wire.canonical import Json, encode_canonical
from common.secagg.wire.messages import SignedJoin, set_digest

Context: TypeAlias = Mapping[str, Json]
"""What all members must agree on for their masks to cancel; see `make_round_context`."""
OwnMask: TypeAlias = tuple[bytes, Callable[[memoryview], None]]
"""Key, 32 bytes, of a site's own mask, and what takes the masked bytes, chunk by chunk."""


@dataclass(frozen=True)
class Pairing:
    """One member's secrets with every other member of a set.

    Attributes
    ----------
    site : int
        The member's own number.
    set : str
        SHA-256 of the set, 64 hexadecimal digits.
    secrets : mapping of int to bytes
        The 32 shared secret bytes, by the other member's number.
    """

    site: int
    set: str
    secrets: Mapping[int, bytes] = field(repr=False)

    def mask(
        self, vector: Vector, words: Words, context: Context, suite: Suite, own: OwnMask | None = None
    ) -> None:
        """Add every pair's mask in place: the site with the lower number adds what the higher subtracts.

        Parameters
        ----------
        vector : Vector
        words : Words
            The vector's.
        context : Context
            Of the attempt or iteration.
        suite : Suite
            Cipher of the masks.
        own : OwnMask, optional
            The site's own mask, added in the same pass, and who takes what is masked.
        """
        streams = tuple(self._streams(vector, context))
        if own is None:
            add_streams(words, streams, vector.ring, suite)
        else:
            add_streams(words, (*streams, (own[0], 1)), vector.ring, suite, own[1])

    def _streams(self, vector: Vector, context: Context) -> Iterator[tuple[bytes, Sign]]:
        # Two documents, of which the first is the same for all pairs, the second for all vectors
        shared = encode_canonical({**context, **describe_vector(vector)})
        for extracted, pair, sign in self._pairs:
            yield expand_pair_key(extracted, shared + pair), sign

    @cached_property
    def _pairs(self) -> tuple[tuple[bytes, bytes, Sign], ...]:
        """Of each other member: what its keys are expanded from, its document, and the sign of its masks."""
        salt = bytes.fromhex(self.set)
        return tuple(
            (
                extract_pair_secret(secret, salt),
                encode_canonical(describe_pair(self.site, peer)),
                1 if self.site < peer else -1,
            )
            for peer, secret in self.secrets.items()
        )


def pair_up(site: int, private: bytes, joins: Sequence[SignedJoin]) -> Pairing:
    """One member's secrets with every other member.

    Parameters
    ----------
    site : int
        The member's own number.
    private : bytes
        Its private session key, 32 bytes.
    joins : sequence of SignedJoin
        Of all members; their signatures must have been checked.

    Raises
    ------
    SecAggError
        E_BAD_POINT if a peer's key is a low-order point.
    """
    key = X25519PrivateKey.from_private_bytes(private)
    secrets = {
        signed.join.site: derive_shared_secret(key, bytes.fromhex(signed.join.key))
        for signed in joins
        if signed.join.site != site
    }
    return Pairing(site, set_digest(tuple(joins)), secrets)


def make_round_context(hdr: str, attempt: int, members: str) -> Context:
    """The context of one attempt's masks: round, attempt and set."""
    return {"hdr": hdr, "attempt": attempt, "set": members}


def make_session_context(hdr: str, members: str, step: int, question: str, layout: str) -> Context:
    """The context of one iteration's masks: if sites differ in parameters or vectors, masks do not cancel."""
    return {"hdr": hdr, "set": members, "step": step, "input": question, "layout": layout}


def derive_self_mask_key(seed: bytes, site: int, vector: Vector, context: Context) -> bytes:
    """The key, 32 bytes, of a site's own mask on a vector."""
    return derive_self_key(seed, encode_canonical({**context, **describe_vector(vector), "site": site}))


def describe_vector(vector: Vector) -> dict[str, Json]:
    """The fields that tell keys of different vectors apart."""
    return {"vector": vector.name, "shape": list(vector.shape), "ring": str(vector.ring)}


def describe_pair(site: int, peer: int) -> dict[str, Json]:
    """The fields that tell keys of different pairs of members apart."""
    return {"lower": min(site, peer), "higher": max(site, peer)}
