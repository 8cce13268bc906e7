"""All members get one key, the coordinator gets none of its own into it, and masks of tags cancel."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from common.secagg.codes import SecAggError
from common.secagg.crypto.rings import Ring, Vector
from common.secagg.crypto.sum_tag import TAG_MODULUS
from common.secagg.wire.messages import Join, SignedJoin, set_digest
from common.secagg.wire.pairing import Pairing, make_round_context, pair_up
from common.secagg.wire.tag_keys import (
    derive_vector_tag_key,
    find_tag_key,
    hide_tag_key,
    mask_tag,
    read_tag,
    write_tag,
)

KEY = bytes(range(32))
COUNTS = Vector("counts", (3,), Ring.COUNTS)


def pairings_of(*sites: int, hdr: str = "a" * 64) -> tuple[dict[int, Pairing], str]:
    """The pairings of a set, by the site's number, and the set's digest."""
    private = {site: X25519PrivateKey.generate() for site in sites}
    joins = tuple(
        SignedJoin(
            join=Join(hdr=hdr, site=site, key=key.public_key().public_bytes_raw().hex(), sets=()),
            signature="0" * 128,
        )
        for site, key in private.items()
    )
    pairs = {site: pair_up(site, key.private_bytes_raw(), joins) for site, key in private.items()}
    return pairs, set_digest(joins)


@pytest.mark.parametrize("sites", [(1, 2), (2, 5, 9), (7, 3, 4, 1, 512)])
def test_every_other_member_finds_the_key(sites):
    pairs, members = pairings_of(*sites)
    context, lowest = make_round_context("a" * 64, 0, members), min(sites)
    keys = hide_tag_key(pairs[lowest], KEY, context)

    assert len(set(keys)) == len(sites) - 1
    assert all(find_tag_key(pairs[site], keys, context) == KEY for site in sites if site != lowest)
    assert KEY.hex() not in keys


def test_a_hidden_key_is_of_one_round_attempt_and_set():
    pairs, members = pairings_of(1, 2, 3)
    keys = hide_tag_key(pairs[1], KEY, make_round_context("a" * 64, 0, members))

    for context in (
        make_round_context("b" * 64, 0, members),
        make_round_context("a" * 64, 1, members),
        make_round_context("a" * 64, 0, "c" * 64),
    ):
        assert find_tag_key(pairs[2], keys, context) != KEY
    swapped = find_tag_key(pairs[2], keys[::-1], make_round_context("a" * 64, 0, members))
    assert swapped != KEY


@pytest.mark.parametrize("keys", [(), ("0" * 64,), ("0" * 64,) * 3])
def test_a_key_that_is_not_hidden_for_every_member_is_refused(keys):
    pairs, members = pairings_of(1, 2, 3)

    with pytest.raises(SecAggError, match="not hidden for every member") as refused:
        find_tag_key(pairs[2], keys, make_round_context("a" * 64, 0, members))
    assert refused.value.code == "E_CONTEXT"


def test_each_vector_attempt_set_and_round_has_a_tag_key_of_its_own():
    other = Vector("others", (3,), Ring.COUNTS)
    keys = {
        derive_vector_tag_key(KEY, vector, make_round_context(hdr, attempt, members))
        for vector in (COUNTS, other)
        for hdr in ("a" * 64, "b" * 64)
        for attempt in (0, 1)
        for members in ("c" * 64, "d" * 64)
    }

    assert len(keys) == 16


@pytest.mark.parametrize("sites", [(1, 2), (3, 1, 8, 5)])
def test_masks_of_tags_cancel_over_all_members_and_over_no_others(sites):
    pairs, members = pairings_of(*sites)
    context = make_round_context("a" * 64, 0, members)
    masked = {site: read_tag(mask_tag(pair, COUNTS, site, context)) for site, pair in pairs.items()}

    assert sum(masked.values()) % TAG_MODULUS == sum(sites)
    for site in sites:
        rest = sum(tag for other, tag in masked.items() if other != site) % TAG_MODULUS
        assert rest > 2**200
    assert read_tag(write_tag(-1)) == TAG_MODULUS - 1
