"""From session keys to mask keys: what two sites share, and what each vector is hidden under."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from common.secagg.canonical import Json, canonical
from common.secagg.keys import pair_key, self_key, shared_secret
from common.secagg.masks import Sign, Suite, add_streams
from common.secagg.messages import SignedJoin, set_digest
from common.secagg.vectors import Vector, Words

Context: TypeAlias = Mapping[str, Json]
"""What all members must agree on for their masks to cancel: `round_context` or `session_context`."""


@dataclass(frozen=True)
class Pairing:
    """One member's secrets with every other member of a set.

    Attributes
    ----------
    site : int
        Its own number.
    set : str
        Digest of the set.
    secrets : mapping of int to bytes
        By the other member's number.
    """

    site: int
    set: str
    secrets: Mapping[int, bytes] = field(repr=False)

    def mask(self, vector: Vector, words: Words, context: Context, suite: Suite) -> None:
        """Adds every pair's mask in place: the lower number adds what the higher subtracts."""
        add_streams(words, self._streams(vector, context), vector.ring, suite)

    def _streams(self, vector: Vector, context: Context) -> Iterator[tuple[bytes, Sign]]:
        salt = bytes.fromhex(self.set)
        # Two documents, of which the first is the same for all pairs: half the cost of a small vector
        shared = canonical({**context, **_spelled(vector)})
        for peer, secret in self.secrets.items():
            pair = canonical({"lower": min(self.site, peer), "higher": max(self.site, peer)})
            yield pair_key(secret, salt, shared + pair), 1 if self.site < peer else -1


def pair_up(site: int, private: bytes, joins: Sequence[SignedJoin]) -> Pairing:
    """The member's secrets.

    Parameters
    ----------
    site : int
    private : bytes
        Its session key.
    joins : sequence of SignedJoin
        Of all members, checked.

    Raises
    ------
    SecAggError
        E_BAD_POINT if a peer's key is a low-order point.
    """
    key = X25519PrivateKey.from_private_bytes(private)
    secrets = {
        signed.join.site: shared_secret(key, bytes.fromhex(signed.join.key))
        for signed in joins
        if signed.join.site != site
    }
    return Pairing(site, set_digest(tuple(joins)), secrets)


def round_context(hdr: str, attempt: int, members: str) -> Context:
    """What the masks of one attempt depend on."""
    return {"hdr": hdr, "attempt": attempt, "set": members}


def session_context(hdr: str, members: str, step: int, question: str, layout: str) -> Context:
    """What the masks of one iteration depend on: sites with other parameters or vectors do not cancel."""
    return {"hdr": hdr, "set": members, "step": step, "input": question, "layout": layout}


def self_stream(seed: bytes, site: int, vector: Vector, context: Context) -> bytes:
    """The key of a site's own mask on a vector."""
    return self_key(seed, canonical({**context, **_spelled(vector), "site": site}))


def _spelled(vector: Vector) -> dict[str, Json]:
    return {"vector": vector.name, "shape": list(vector.shape), "ring": str(vector.ring)}
