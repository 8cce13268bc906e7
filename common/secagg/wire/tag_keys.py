"""The key that the members of a set share and the coordinator does not know, and what is made with it.

The member with the lowest number draws the key anew for each attempt of each round. It hides the key for
every other member under the secret that both derive from the session keys of their JOINs, and signs all of
that in the header of its contribution (M4). The request to reveal (M5) has every contribution's header
anyway, so the key costs no message; a member finds it there, tags its vectors, and sends the masked tags
with its seed (M6).

Why the coordinator neither knows nor chooses it: it would need the private half of a session key, or a JOIN
or contribution of its own making, but both are signed under the roster, and a JOIN names the round's header,
which names the roster's digest. Each hidden key is the key plus (exclusive or) 32 bytes of HKDF that serve
this pair, round, attempt and set alone: a one-time pad. It can neither move a hidden key to another attempt,
set or round (the header says which), nor give two members different ones (a site signs one contribution an
attempt). A tag key serves one sum: of an attempt whose sum is not opened nobody ever makes a tag.
"""

from __future__ import annotations

from collections.abc import Sequence

from common.secagg.codes import SecAggError
from common.secagg.crypto.keys import derive_tag_key, derive_tag_mask_key, derive_wrap_key
from common.secagg.crypto.rings import Vector
from common.secagg.crypto.sum_tag import TAG_BYTES, TAG_MODULUS, draw_tag_mask
from common.secagg.wire.canonical import encode_canonical
from common.secagg.wire.pairing import Context, Pairing, describe_pair, describe_vector


def hide_tag_key(pairing: Pairing, shared: bytes, context: Context) -> tuple[str, ...]:
    """The tag key, hidden for each other member in ascending order, 64 hexadecimal digits each."""
    return tuple(
        _combine_bits(shared, _make_cover(pairing, peer, context)).hex() for peer in sorted(pairing.secrets)
    )


def find_tag_key(pairing: Pairing, keys: Sequence[str], context: Context) -> bytes:
    """The tag key, 32 bytes, from the contribution of the member with the lowest number.

    Parameters
    ----------
    pairing : Pairing
        Of another member of the set.
    keys : sequence of str
        What `hide_tag_key` made.
    context : Context
        Of the attempt.

    Raises
    ------
    SecAggError
        E_CONTEXT if there is not one for each other member.
    """
    lowest, *others = sorted([pairing.site, *pairing.secrets])
    if len(keys) != len(others):
        raise SecAggError("the tag key is not hidden for every member of the set", code="E_CONTEXT")
    hidden = bytes.fromhex(keys[others.index(pairing.site)])
    return _combine_bits(hidden, _make_cover(pairing, lowest, context))


def derive_vector_tag_key(shared: bytes, vector: Vector, context: Context) -> bytes:
    """The key, 32 bytes, of one vector's tag in one attempt."""
    salt = bytes.fromhex(str(context["set"]))
    return derive_tag_key(shared, salt, encode_canonical({**context, **describe_vector(vector)}))


def mask_tag(pairing: Pairing, vector: Vector, tag: int, context: Context) -> str:
    """The tag with every pair's mask: the member with the lower number adds what the higher subtracts."""
    salt = bytes.fromhex(pairing.set)
    for peer, secret in pairing.secrets.items():
        info = {**context, **describe_vector(vector), **describe_pair(pairing.site, peer)}
        mask = draw_tag_mask(derive_tag_mask_key(secret, salt, encode_canonical(info)))
        tag += mask if pairing.site < peer else -mask
    return write_tag(tag)


def write_tag(tag: int) -> str:
    """A tag as messages carry it."""
    return (tag % TAG_MODULUS).to_bytes(TAG_BYTES, "little").hex()


def read_tag(text: str) -> int:
    """The tag that `write_tag` wrote."""
    return int.from_bytes(bytes.fromhex(text), "little")


def _make_cover(pairing: Pairing, peer: int, context: Context) -> bytes:
    info = encode_canonical({**context, **describe_pair(pairing.site, peer)})
    return derive_wrap_key(pairing.secrets[peer], bytes.fromhex(pairing.set), info)


def _combine_bits(left: bytes, right: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(left, right, strict=True))
