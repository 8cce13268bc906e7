"""A coordinator that tells a member a false sum of a round is found out, once, and answered nothing more."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from secagg.proving import (
    RETURNED,
    Following,
    Opened,
    ProvingWorld,
    check_stopped,
    count_one_less,
    history_of,
    list_disproved,
)
from secagg.world import ROUNDS

from common.secagg.crypto.sum_tag import TAG_MODULUS
from common.secagg.site.rules import Computed
from common.secagg.wire.frames import sha256
from common.secagg.wire.tag_keys import read_tag, write_tag


@pytest.fixture
def world(tmp_path):
    return ProvingWorld(tmp_path, 3)


@pytest.fixture
def first(world):
    opened = Opened(world)
    for site in world.identities:
        assert opened.send(site, opened.close()) == "OK"
    return opened


def move_one(words):
    words[3] += 1


def replace_by_a_third(words):
    words //= 3


ATTACKS = {
    "update": (move_one, replace_by_a_third, lambda words: words.fill(0)),
    "patients": (count_one_less, lambda words: words.fill(0)),
}


@pytest.mark.parametrize(("name", "change"), [(name, one) for name, some in ATTACKS.items() for one in some])
def test_attack_43_a_false_sum_alone(world, name, change):
    opened = Opened(world).alter(name, change)

    check_stopped(world, opened, 2, opened.close())
    # The coordinator cannot tell whether a member's tag is false
    assert [told["suspects"] for told in list_disproved(world, 2)] == [["coordinator", "site 1", "site 3"]]


@pytest.mark.parametrize("factor", [0, 2, -1])
def test_attack_43_sum_and_tag_scaled_together(world, factor):
    opened = Opened(world)
    for name in RETURNED:
        opened.alter(name, lambda words: np.copyto(words, words * np.array(factor).astype(words.dtype)))
        opened.tags[name] = write_tag(factor * read_tag(opened.tags[name]) % TAG_MODULUS)

    check_stopped(world, opened, 1, opened.close())


def send_nothing(compute):
    def send(*asked):
        parts = compute(*asked).parts
        return Computed(tuple(replace(part, values=0 * np.asarray(part.values)) for part in parts))

    return send


def test_attack_43_the_tag_divided_by_a_sum_with_one_entry(tmp_path):
    """Of zeros the tag would be zero without a pad, and any multiple of it one of a sum with one entry."""
    world = ProvingWorld(tmp_path, 2)
    for site in world.identities:
        world.compute[site] = send_nothing(world.machine(site).compute)
    opened = Opened(world)
    assert not opened.words("patients").any()
    tag = read_tag(opened.tags["patients"])
    opened.alter("patients", lambda words: words.__setitem__(0, 7))
    opened.tags["patients"] = write_tag(7 * tag)

    check_stopped(world, opened, 2, opened.close())


def test_attack_43_tags_of_another_vector_or_of_none(world):
    opened = Opened(world)
    swapped = tuple(opened.tags[name] for name in RETURNED[::-1])

    check_stopped(world, opened, 1, opened.close(tags=swapped))
    check_stopped(world, opened, 2, opened.close(tags=()))
    assert [told["suspects"] for told in list_disproved(world, 2)] == [["coordinator"]]
    check_stopped(world, opened, 3, opened.close(names=("update", "moments")))


def test_attack_43_the_sum_of_an_earlier_round(world, first):
    following = Following(world, first).join()
    following.reveal(following.contribute())
    first.attack = following

    assert first.send(1, first.close()) == "E_SUM_PROOF"
    assert len(history_of(world, 1).list_results(ROUNDS)) == 1


def test_attack_43_a_sum_of_another_attempt_or_set(tmp_path):
    """The first attempt is never opened, so its masks are in its sum; and the keys of the second are new."""
    world = ProvingWorld(tmp_path, 4)
    opened = Opened(world, attempt=1, sites=(1, 2, 3))
    assert opened.send(1, opened.close()) == "OK"
    other = Opened(ProvingWorld(tmp_path / "other", 4))
    opened.tags = other.tags

    check_stopped(world, opened, 2, opened.close())


def test_attack_43_a_result_that_nothing_proves_is_no_model_to_train_from(world):
    opened = Opened(world)

    assert opened.send(1, opened.close(names=(), result=sha256(b"a model of the attacker's own"))) == "OK"
    assert history_of(world, 1).list_results(ROUNDS) == frozenset()


def test_attack_43_a_result_that_does_not_follow_from_its_sums(world):
    opened = Opened(world)

    check_stopped(world, opened, 1, opened.close(result="5" * 64))
    (told,) = list_disproved(world, 1)
    assert (told["suspects"], told["reason"]) == (
        ["coordinator"],
        "the round's result does not follow from its sums",
    )
