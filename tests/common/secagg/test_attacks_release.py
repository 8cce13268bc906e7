"""A coordinator that wants more than one sum over one set: retries, smaller sets, other names."""

from dataclasses import replace

import numpy as np
import pytest
from secagg.attacker import Attacker, add, codes, seed_of, signed_contribution
from secagg.world import (
    AUTHORITY,
    COUNTS,
    ROUNDS,
    SESSIONS,
    UPDATE,
    World,
    check_sums,
    code_of,
    values_of,
)

from common.secagg.codes import SecAggError
from common.secagg.crypto.keys import sign_message
from common.secagg.crypto.rings import Ring, Vector
from common.secagg.site import handler
from common.secagg.site.endpoint import approve_waiver
from common.secagg.site.rules import Computed, ComputedVector, PhaseRules
from common.secagg.wire.frames import MessageKind, sha256, unpack
from common.secagg.wire.messages import SignedContribution
from common.secagg.wire.roster import Waiver, sign_waiver


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, 3)


def opened(attack, *sites, attempt=0):
    """A round opened as an honest coordinator would; returns the answers to M3 and the seeds."""
    answers = attack.contribute(*sites, attempt=attempt)
    assert codes(answers) == {"OK"}, codes(answers)
    seeds = {site: seed_of(answer) for site, answer in attack.reveal(answers, attempt).items()}
    return answers, seeds


def test_attack_01_another_attempt_after_the_reveal(world):
    attack = Attacker(world).join()
    opened(attack)

    assert codes(attack.contribute(1, 2, attempt=1)) == {"E_ALREADY_RELEASED"}


def test_attack_01_another_reveal_request_after_the_reveal(world):
    attack = Attacker(world).join()
    answers, _ = opened(attack)
    backwards = [signed_contribution(answers[site]) for site in (3, 2, 1)]

    assert code_of(attack.send(1, attack.m5(backwards))) == "E_ALREADY_RELEASED"


def test_attack_02_same_input_in_a_later_round_with_a_smaller_set(world):
    opened(Attacker(world).join())

    later = Attacker(world, 2)

    assert code_of(later.send(1, later.m1())) == "E_ALREADY_RELEASED"


def test_attack_03_same_model_with_a_new_seed_and_a_site_dropped(world):
    opened(Attacker(world).join())

    later = Attacker(world, 2, seed=b"another").join(1, 2)

    assert codes(later.contribute(1, 2)) == {"E_SET_CHANGE"}


def test_attack_03_would_isolate_the_dropped_site(world, monkeypatch):
    monkeypatch.setattr(handler, "check_sets", lambda *_: None)
    monkeypatch.setattr(handler, "check_model", lambda *_: None)
    first = Attacker(world).join()
    answers, seeds = opened(first)
    later = Attacker(world, 2, seed=b"another").join(1, 2)
    fewer, fewer_seeds = opened(later, 1, 2)

    all_three = first.unmask(first.total(answers.values()), seeds)
    two = later.unmask(later.total(fewer.values()), fewer_seeds)
    add(all_three, memoryview(two.payload), sign=-1)

    check_sums(all_three.decode_sums(), [3])


def test_attack_03_same_model_over_a_set_that_the_phase_may_have(tmp_path):
    world = World(tmp_path, 6)
    opened(Attacker(world).join())
    later = Attacker(world, 2, seed=b"another").join(1, 2, 3, 4)

    assert codes(later.contribute(1, 2, 3, 4)) == {"E_SET_CHANGE"}


def test_attack_03_same_model_in_two_phases_at_a_time(world):
    world.plan.phases["alias"] = world.plan.phases[ROUNDS]
    first, second = Attacker(world).join(), Attacker(world, phase="alias").join(1, 2)
    answers = first.contribute()
    opened(second, 1, 2)

    revealed = first.reveal(answers)

    assert [code_of(answer) for answer in revealed.values()] == ["E_SET_CHANGE", "E_SET_CHANGE", "OK"]


def test_attack_04_opening_an_attempt_that_was_abandoned(world):
    attack = Attacker(world).join()
    first = attack.contribute()
    attack.contribute(1, 2, attempt=1)

    answers = attack.reveal(first, attempt=0)

    assert code_of(answers[1]) == code_of(answers[2]) == "E_WRONG_ATTEMPT"


def test_attack_05_late_upload_and_its_seed_against_the_retry(world):
    attack = Attacker(world).join()
    first = attack.contribute()
    second = attack.contribute(1, 2, attempt=1)
    seeds = {site: seed_of(answer) for site, answer in attack.reveal(second, 1).items()}
    late = seed_of(attack.reveal(first, 0)[3])

    everything = attack.unmask(attack.total(first.values()), {3: late})
    retry = attack.unmask(attack.total(second.values()), seeds, (1, 2), attempt=1)
    check_sums(retry.decode_sums(), [1, 2])
    add(everything, memoryview(retry.payload), sign=-1)

    with pytest.raises(SecAggError) as refused:
        everything.decode_sums()
    assert refused.value.code == "S_CANARY"


def test_attack_05_would_open_if_a_seed_outlived_its_attempt(world, monkeypatch):
    world_seed = world.machine(1).randomness(32, "")
    monkeypatch.setattr("secagg.world.World.machine", kept_seed(World.machine, world_seed))
    attack = Attacker(world).join()
    first = attack.contribute()
    second = attack.contribute(1, 2, attempt=1)
    seeds = {site: seed_of(answer) for site, answer in attack.reveal(second, 1).items()}
    late = seed_of(attack.reveal(first, 0)[3])

    everything = attack.unmask(attack.total(first.values()), {**seeds, 3: late})
    retry = attack.unmask(attack.total(second.values()), seeds, (1, 2), attempt=1)
    add(everything, memoryview(retry.payload), sign=-1)

    check_sums(everything.decode_sums(), [3])


def kept_seed(machine, seed):
    """Machines whose own mask is the same in every attempt."""

    def made(self, site):
        honest = machine(self, site)

        def draw(size, purpose):
            return seed if "self-mask" in purpose else honest.randomness(size, purpose)

        return replace(honest, randomness=draw)

    return made


def test_attack_06_two_sets_in_one_attempt(world):
    attack = Attacker(world).join()
    attack.contribute()

    assert codes(attack.contribute(1, 2)) == {"E_EQUIVOCATION"}


def test_attack_07_split_views(tmp_path):
    world = World(tmp_path, 4)
    attack = Attacker(world).join()
    one, other = attack.contribute(1, 2, 3), attack.contribute(2, 3, 4, asked=[4])
    shown = [*one.values(), *other.values()]

    for site in (1, 2, 3):
        message = attack.m5([signed_contribution(answer) for answer in shown])
        assert code_of(attack.send(site, message)) == "E_CONTEXT"


def test_attack_07_member_that_was_shown_another_set(tmp_path):
    world = World(tmp_path, 4)
    attack = Attacker(world).join()
    answers = attack.contribute(1, 2, 3, asked=[1, 2]) | attack.contribute(2, 3, 4, asked=[3, 4])
    shown = [signed_contribution(answers[site]) for site in (1, 2, 3)]

    assert code_of(attack.send(1, attack.m5(shown))) == "E_CONTEXT"


def test_attack_07_colluder_who_vouches_for_a_set_that_it_is_not_in(tmp_path):
    world = World(tmp_path, 4)
    attack = Attacker(world).join()
    signed = [signed_contribution(answer) for answer in attack.contribute(1, 2, 3).values()]
    outsider = signed[0].contribution.model_copy(update={"site": 4})
    signature = sign_message(world.identities[4].key, MessageKind.CONTRIBUTION.name, outsider.body()).hex()
    extra = SignedContribution(contribution=outsider, signature=signature)

    assert code_of(attack.send(1, attack.m5([*signed, extra]))) == "E_CONTEXT"


def test_attack_08_set_below_the_minimum(tmp_path):
    world = World(tmp_path, 5, colluders=1)
    attack = Attacker(world).join()

    assert world.roster.minimum == 4
    assert codes(attack.contribute(1, 2, 5)) == {"E_MIN"}
    assert codes(attack.contribute(3, 4, 5)) == {"E_MIN"}


def test_attack_09_reveal_with_a_contribution_missing_or_forged(world):
    attack = Attacker(world).join()
    answers = attack.contribute()
    signed = {site: signed_contribution(answer) for site, answer in answers.items()}
    forged = signed[3].model_copy(update={"signature": signed[2].signature})

    missing = attack.send(1, attack.m5([signed[1], signed[2]]))
    twice = attack.send(1, attack.m5([signed[1], signed[2], signed[2]]))
    false = attack.send(1, attack.m5([signed[1], signed[2], forged]))

    assert code_of(missing) == "E_SET_INCOMPLETE"
    assert code_of(false) == "E_CONTRIB_SIG"
    assert code_of(twice) == "E_DUP_SITE"
    assert codes(attack.reveal(answers)) == {"OK"}


ALIAS = Vector("women and men", (3,), Ring.COUNTS)
DEFINITION = sha256(b"number of patients by sex")


def counted(site):
    def compute(request, question, payload):
        vector = COUNTS if question is None else ALIAS
        return Computed((ComputedVector(vector, values_of(site)["patients"], definition=DEFINITION),))

    return compute


@pytest.fixture
def static(world):
    world.plan.phases = {
        ROUNDS: PhaseRules(mode="round", vectors=(COUNTS,), rounds=10),
        "alias": PhaseRules(mode="round", vectors=(COUNTS,), rounds=10),
        SESSIONS: PhaseRules(mode="session", rounds=10),
    }
    world.compute = {site: counted(site) for site in world.identities}
    opened(Attacker(world, vectors=(COUNTS,)).join())
    return world


@pytest.mark.parametrize(("phase", "number"), [(ROUNDS, 2), ("alias", 1)])
def test_attack_20_static_statistic_in_another_round_or_phase(static, phase, number):
    again = Attacker(static, number, seed=b"other", phase=phase, vectors=(COUNTS,))

    assert code_of(again.send(1, again.m1())) == "E_ALREADY_RELEASED"


def test_attack_20_static_statistic_under_an_alias_in_a_session(static):
    again = Attacker(static, mode="session").join()
    assert codes(again.contribute()) == {"OK"}

    assert code_of(again.send(1, again.iterate(1, b"other words"))) == "E_ALREADY_RELEASED"


def test_attack_20_needs_a_waiver_for_new_data(static):
    again = Attacker(static, 2, seed=b"other", vectors=(COUNTS,))
    for site in static.identities:
        approve_waiver(
            static.files(site), waiver(static, "snapshot", definition=DEFINITION), static.pin(site)
        )

    opened(again.join())

    third = Attacker(static, 3, seed=b"third", vectors=(COUNTS,))
    assert code_of(third.send(1, third.m1())) == "E_ALREADY_RELEASED"


def waiver(world, kind, **fields):
    defaults = {"phase": ROUNDS, "absent": (), "definition": "0" * 64, "site": 0, "number": 1}
    whole = {"study": world.roster.study, "roster": world.roster.digest, "kind": kind} | defaults | fields
    return sign_waiver(Waiver(**whole), AUTHORITY)


def test_attack_21_third_set_that_no_single_site_can_recognise(tmp_path):
    world = World(tmp_path, 8)
    opened(Attacker(world, 1, seed=b"1").join(1, 2, 3, 4, 5), 1, 2, 3, 4, 5)
    second = Attacker(world, 2, seed=b"2")
    second.model = b"second"
    second.request = world.question(2).request(world.coordinator, second.model, second.seed)
    opened(second.join(4, 5, 6, 7, 8), 4, 5, 6, 7, 8)
    third = Attacker(world, 3, seed=b"3")
    third.model = b"third"
    third.request = world.question(3).request(world.coordinator, third.model, third.seed)
    third.join(1, 2, 3, 6, 7, 8)

    histories = [third.joins[site].join.sets for site in (1, 2, 3, 6, 7, 8)]
    answers = third.contribute(1, 2, 3, 6, 7, 8)

    assert all(len(sets) == 1 for sets in histories)
    assert codes(answers) == {"E_SET_CHANGE"}


def test_attack_21_returning_to_the_first_set_is_free(tmp_path):
    world = World(tmp_path, 6)
    for number, sites in enumerate([(1, 2, 3, 4, 5, 6), (1, 2, 3, 4), (1, 2, 3, 4, 5, 6)], start=1):
        attack = Attacker(world, number, seed=bytes([number]))
        attack.model = bytes([number])
        attack.request = world.question(number).request(world.coordinator, attack.model, attack.seed)
        opened(attack.join(*sites), *sites)


def test_attack_30_set_changes_by_one_and_no_site_gave_its_number(world):
    """In the frozen mode the total of patients is static, and rounds carry updates alone."""
    world.plan.phases = {
        "totals": PhaseRules(mode="round", vectors=(COUNTS,), rounds=10),
        ROUNDS: PhaseRules(mode="round", vectors=(UPDATE,), rounds=10),
    }
    for site in world.identities:
        world.compute[site] = frozen(site)
        approve_waiver(world.files(site), waiver(world, "absent", absent=(3,)), world.pin(site))
    opened(Attacker(world, phase="totals", vectors=(COUNTS,)).join())
    opened(Attacker(world, 1, vectors=(UPDATE,)).join())
    smaller = Attacker(world, 2, seed=b"2", vectors=(UPDATE,)).join(1, 2)
    answers, _ = opened(smaller, 1, 2)

    again = Attacker(world, 2, seed=b"2", phase="totals", vectors=(COUNTS,))
    with_numbers = Attacker(world, 3, seed=b"3", vectors=(UPDATE, COUNTS))

    # What was opened twice has no numbers of patients, and what has them opens once
    assert len(unpack(answers[1]).payload) == UPDATE.words * 4 + 8
    assert code_of(again.send(1, again.m1())) == "E_ALREADY_RELEASED"
    assert code_of(with_numbers.send(1, with_numbers.m1())) == "E_VECTOR"


def test_attack_30_numbers_in_every_round_would_tell_that_of_the_dropped_site(world):
    for site in world.identities:
        approve_waiver(world.files(site), waiver(world, "absent", absent=(3,)), world.pin(site))
    first = Attacker(world).join()
    answers, seeds = opened(first)
    second = Attacker(world, 2, seed=b"2").join(1, 2)
    fewer, fewer_seeds = opened(second, 1, 2)

    whole = first.unmask(first.total(answers.values()), seeds).decode_sums()["patients"]
    part = second.unmask(second.total(fewer.values()), fewer_seeds).decode_sums()["patients"]

    assert np.array_equal(whole - part, values_of(3)["patients"])


def frozen(site):
    def compute(request, question, payload):
        values = values_of(site)
        if request.phase == "totals":
            return Computed((ComputedVector(COUNTS, values["patients"], definition=DEFINITION),))
        return Computed((ComputedVector(UPDATE, values["update"], alpha=site / 4),))

    return compute
