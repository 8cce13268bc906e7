"""What the coordinator sees of one site looks the same whatever the site contributed."""

import numpy as np
import pytest
from scipy import stats
from secagg.attacker import Attacker, frame_layout
from secagg.world import ROUNDS, World

from common.secagg.crypto.encoding import encode
from common.secagg.crypto.rings import Ring, Vector
from common.secagg.site.rules import Computed, ComputedVector, PhaseRules
from common.secagg.wire.frames import unpack
from common.secagg.wire.messages import Iterate

SIZE = 20_000
UPDATE = Vector("update", (SIZE,), Ring.UPDATES, clip=1.0, scale_bits=20)
COUNTS = Vector("patients", (SIZE,), Ring.COUNTS)
REALS = Vector("moments", (SIZE,), Ring.REALS)
PLAIN = {
    "zeros": lambda vector, random: np.zeros(SIZE),
    "ones": lambda vector, random: np.ones(SIZE),
    "random": lambda vector, random: random.uniform(-1, 1, SIZE) * (1 if vector is UPDATE else 50),
}


def values_of(vector, what):
    values = PLAIN[what](vector, np.random.default_rng(7))
    return values.astype(np.int64 if vector.ring is Ring.COUNTS else np.float32)


def p_of_uniform(payload):
    """Chi-square of the bytes against a uniform distribution."""
    counts = np.bincount(np.frombuffer(payload, np.uint8), minlength=256)
    return stats.chisquare(counts).pvalue


@pytest.mark.parametrize("vector", [UPDATE, COUNTS, REALS], ids=lambda vector: vector.name)
@pytest.mark.parametrize("what", PLAIN)
def test_masked_words_are_uniform(tmp_path, vector, what):
    world = World(tmp_path, 3)
    world.plan.phases[ROUNDS] = PhaseRules(mode="round", vectors=(vector,))
    for site in world.identities:
        world.compute[site] = lambda *_: Computed((ComputedVector(vector, values_of(vector, what)),))
    attack = Attacker(world, vectors=(vector,)).join()

    answers = attack.contribute()
    total = attack.total([answers[1], answers[2]])

    # One in 10^6 runs of an honest cipher is less uniform
    assert p_of_uniform(unpack(answers[1]).payload) > 1e-6
    # Nor do two of three sites tell the third's words
    assert p_of_uniform(total.payload) > 1e-6


def test_all_contributions_without_the_seeds_are_uniform(tmp_path):
    """Until every site has revealed its seed, the sum itself is hidden."""
    world = World(tmp_path, 3)
    world.plan.phases[ROUNDS] = PhaseRules(mode="round", vectors=(COUNTS,))
    for site in world.identities:
        world.compute[site] = lambda *_: Computed((ComputedVector(COUNTS, values_of(COUNTS, "ones")),))
    attack = Attacker(world, vectors=(COUNTS,)).join()

    total = attack.total(attack.contribute().values())

    assert p_of_uniform(total.payload) > 1e-6


def test_plain_words_are_not_uniform(tmp_path):
    """The test can fail."""
    for vector in (UPDATE, COUNTS, REALS):
        words = encode(vector, values_of(vector, "random"), sites=3).words
        assert p_of_uniform(words.tobytes()) < 1e-6


def test_one_answer_of_a_session_is_uniform(tmp_path):
    world = World(tmp_path, 3)

    def compute(request, question: Iterate | None, payload):
        return Computed((ComputedVector(REALS, values_of(REALS, "ones")),))

    world.compute = dict.fromkeys(world.identities, compute)
    attack = Attacker(world, mode="session").join()
    attack.contribute()

    frame = unpack(attack.send(1, attack.iterate(1, b"beta")))

    assert p_of_uniform(frame.payload[frame_layout(frame) :]) > 1e-6
