"""Forged, swapped, altered and outdated messages and rosters."""

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from secagg.attacker import Attacker, codes, signed_contribution
from secagg.world import AUTHORITY, COORDINATOR, ROUNDS, SESSIONS, UPDATE, VECTORS, World, code_of, key

from common.secagg.codes import SecAggError
from common.secagg.crypto.keys import sign_message
from common.secagg.site.endpoint import approve_roster
from common.secagg.wire.frames import MessageKind, pack, sha256
from common.secagg.wire.messages import Close, ContributeRequest, Join, SignedJoin, VectorSpec
from common.secagg.wire.roster import Pin, check_roster, read_roster, sign_roster


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, 3)


def signed_by(world, site, join):
    signature = sign_message(world.identities[site].key, MessageKind.JOIN.name, join.body())
    return SignedJoin(join=join, signature=signature.hex())


def with_key(signed, raw):
    """The JOIN with another session key, and the signature that it had."""
    return signed.model_copy(update={"join": signed.join.model_copy(update={"key": raw.hex()})})


def fresh_key():
    return X25519PrivateKey.generate().public_key().public_bytes_raw()


def test_attack_10_swapped_session_key(world):
    attack = Attacker(world).join()
    one, two, three = attack.members()

    swapped = attack.m3([one, two, with_key(three, fresh_key())])
    own = attack.m3([with_key(one, fresh_key()), two, three])

    assert code_of(attack.send(1, swapped)) == "E_JOIN_SIG"
    assert code_of(attack.send(1, own)) == "E_SELF_KEY"


def test_attack_10_own_join_left_out(world):
    attack = Attacker(world).join()

    assert code_of(attack.send(1, attack.m3(attack.members(2, 3)))) == "E_SELF_KEY"


def test_attack_11_invented_and_duplicated_sites(world):
    attack = Attacker(world).join()
    one, two, _ = attack.members()
    stranger = Join(hdr=attack.hdr, site=9, key=fresh_key().hex(), sets=())
    signature = sign_message(key("stranger"), MessageKind.JOIN.name, stranger.body()).hex()
    invented = SignedJoin(join=stranger, signature=signature)

    assert code_of(attack.send(1, attack.m3([one, two, invented]))) == "E_UNKNOWN_SITE"
    assert code_of(attack.send(1, attack.m3([one, two, two]))) == "E_DUP_SITE"


def test_attack_11_two_sites_with_one_session_key(world):
    """Colluders who share a session key would cancel each other's masks and leave the rest bare."""
    attack = Attacker(world).join()
    one, two, three = attack.members()
    twin = signed_by(world, 3, three.join.model_copy(update={"key": two.join.key}))

    assert code_of(attack.send(1, attack.m3([one, two, twin]))) == "E_DUP_SITE"


@pytest.mark.parametrize("point", [bytes(32), (1).to_bytes(32, "little")])
def test_attack_12_low_order_point(world, point):
    attack = Attacker(world).join()
    one, two, three = attack.members()
    low = signed_by(world, 3, three.join.model_copy(update={"key": point.hex()}))

    assert code_of(attack.send(1, attack.m3([one, two, low]))) == "E_BAD_POINT"


def test_attack_12_low_order_point_in_a_session(world):
    attack = Attacker(world, mode="session").join()
    one, two, three = attack.members()
    low = signed_by(world, 3, three.join.model_copy(update={"key": "00" * 32}))

    assert code_of(attack.send(1, attack.m3([one, two, low]))) == "E_BAD_POINT"


def test_attack_13_join_of_another_round(world):
    earlier = Attacker(world).join()
    attack = Attacker(world, 2).join(1, 2)

    answer = attack.send(1, attack.m3([*attack.members(), *earlier.members(3)]))

    assert code_of(answer) == "E_CONTEXT"


def test_attack_13_messages_in_the_name_of_another_round(world):
    attack = Attacker(world).join()
    other = Attacker(world, 2)
    other.joins = attack.joins
    answers = attack.contribute()

    assert codes(other.contribute()) == {"E_CONTEXT"}
    assert codes(other.reveal(answers)) == {"E_CONTEXT"}
    assert codes(attack.reveal(answers)) == {"OK"}


def test_attack_13_round_s_messages_in_a_session_and_reversed(world):
    session = Attacker(world, mode="session").join()
    attack = Attacker(world).join()
    answers = attack.contribute()
    session.contribute()

    assert code_of(attack.send(1, attack.iterate(1, b"beta"))) == "E_CONTEXT"
    assert code_of(session.send(1, session.m5([signed_contribution(answers[1])]))) == "E_CONTEXT"


def test_attack_13_round_in_a_phase_of_sessions_and_reversed(world):
    for attack in (
        Attacker(world, phase=SESSIONS, vectors=()),
        Attacker(world, mode="session", phase=ROUNDS),
    ):
        assert code_of(attack.send(1, attack.m1())) == "E_CONTEXT"


def test_attack_13_join_of_another_study(world, tmp_path):
    other = World(tmp_path / "other", 3)
    other.roster = other.roster.model_copy(update={"study": "another study"})
    for site in other.identities:
        pin = Pin(**{**vars(other.pin(site)), "study": "another study"})
        (other.state(site) / "roster").unlink()
        approve_roster(other.files(site), sign_roster(other.roster, AUTHORITY), pin)
    other.coordinator = type(other.coordinator)(COORDINATOR, other.roster, other.clock)
    foreign = Attacker(other).join()
    attack = Attacker(world).join(1, 2)

    answer = attack.send(1, attack.m3([*attack.members(), *foreign.members(3)]))

    assert code_of(answer) == "E_CONTEXT"
    assert code_of(attack.send(3, foreign.m1())) == "E_CONTEXT"


def refused_roster(world, **changes):
    roster = world.roster.model_copy(update={"version": 2} | changes)
    with pytest.raises(SecAggError) as refused:
        approve_roster(world.files(1), sign_roster(roster, AUTHORITY), world.pin(1))
    return refused.value.code


def test_attack_14_roster_of_another_signer(world):
    forged = sign_roster(world.roster.model_copy(update={"version": 2}), COORDINATOR)

    with pytest.raises(SecAggError) as refused:
        approve_roster(world.files(1), forged, world.pin(1))

    assert refused.value.code == "E_ROSTER_SIG"


def test_attack_14_roster_old_own_key_changed_or_minimum_lowered(world):
    one, two, three = world.roster.sites
    other = one.model_copy(update={"key": key("other").public_key().public_bytes_raw().hex()})

    assert refused_roster(world, version=1) == "E_ROSTER_OLD"
    assert refused_roster(world, version=0) == "E_ROSTER_OLD"
    assert refused_roster(world, sites=(other, two, three)) == "E_SELF_KEY"
    assert refused_roster(world, plan=sha256(b"another plan")) == "E_PLAN"
    assert refused_roster(world, sites=(one, two, two.model_copy(update={"id": 7}))) == "E_DUP_KEY"
    assert refused_roster(world, colluders=1) == "E_MIN"


def test_attack_14_round_of_an_earlier_roster(world):
    attack = Attacker(world).join()
    later = world.roster.model_copy(update={"version": 2})
    approve_roster(world.files(1), sign_roster(later, AUTHORITY), world.pin(1))

    answers = attack.contribute()

    assert [code_of(answer) for answer in answers.values()] == ["E_CONTEXT", "OK", "OK"]
    assert code_of(attack.send(1, attack.m1())) == "E_CONTEXT"


def test_attack_14_roster_below_the_site_s_own_minimum(world):
    message = sign_roster(world.roster, AUTHORITY)

    with pytest.raises(SecAggError) as refused:
        check_roster(message, Pin(**{**vars(world.pin(1)), "minimum": 3}))

    assert refused.value.code == "E_MIN"
    assert read_roster(message, AUTHORITY.public_key().public_bytes_raw()) == world.roster


def test_attack_15_different_model_for_each_site(world):
    attack = Attacker(world).join(1, 2)
    other = Attacker(world)
    other.model = b"a model that marks one site"
    other.request = world.question().request(world.coordinator, other.model, other.seed)
    other.join(3)

    answer = attack.send(1, attack.m3([*attack.members(), *other.members(3)]))

    assert code_of(answer) == "E_CONTEXT"


def test_attack_16_model_differs_from_its_hash(world):
    attack = Attacker(world)
    header = attack.request
    nudged = attack.message(MessageKind.ROUND_REQUEST, header, b"mOdel" + attack.seed)
    other_seed = attack.message(MessageKind.ROUND_REQUEST, header, attack.model + b"sEed")
    resplit = attack.message(
        MessageKind.ROUND_REQUEST, header.model_copy(update={"model_bytes": 4}), attack.model + attack.seed
    )

    for message in (nudged, other_seed, resplit):
        assert code_of(attack.send(1, message)) == "E_INPUT_HASH"


def test_attack_17_altered_vector_scale_or_plan(world):
    attack = Attacker(world)
    spec = VectorSpec.of(UPDATE)
    finer = spec.model_copy(update={"bits": spec.bits + 1})
    longer = spec.model_copy(update={"shape": (7,)})

    def answered(**changes):
        header = attack.request.model_copy(update=changes)
        return code_of(attack.send(1, attack.message(MessageKind.ROUND_REQUEST, header, b"modelseed")))

    rest = tuple(VectorSpec.of(vector) for vector in VECTORS[1:])
    assert answered(vectors=(finer, *rest)) == "E_VECTOR"
    assert answered(vectors=(longer, *rest)) == "E_VECTOR"
    assert answered(vectors=rest) == "E_VECTOR"
    assert answered(plan=sha256(b"another plan")) == "E_CONTEXT"
    assert answered(roster=sha256(b"another roster")) == "E_CONTEXT"
    assert answered(phase="tune") == "E_CONTEXT"
    assert answered() == "OK"


def test_attack_18_unsigned_coordinator_requests(world):
    attack = Attacker(world).join()
    answers = attack.contribute()
    m3 = ContributeRequest(hdr=attack.hdr, phase=ROUNDS, attempt=1, joins=attack.members(1, 2))

    forged = [
        pack(MessageKind.ROUND_REQUEST, attack.request.body(), key("link"), b"modelseed"),
        pack(MessageKind.CONTRIBUTE_REQUEST, m3.body(), key("link")),
        pack(MessageKind.CONTRIBUTE_REQUEST, m3.body(), world.identities[2].key),
        bytes(64) + b"x",
    ]
    moved = bytearray(attack.m1())
    moved[4] = MessageKind.CLOSE

    assert [code_of(attack.send(1, message)) for message in forged] == [
        "E_COORD_SIG",
        "E_COORD_SIG",
        "E_COORD_SIG",
        "E_CONTEXT",
    ]
    assert code_of(attack.send(1, bytes(moved))) == "E_COORD_SIG"
    assert codes(attack.reveal(answers)) == {"OK"}


def test_attack_18_what_no_site_is_asked(world):
    attack = Attacker(world).join()
    (one, *_) = attack.members()

    assert code_of(attack.send(1, attack.message(MessageKind.JOIN, one.join))) == "E_CONTEXT"


def test_attack_18_close_of_a_round_that_was_not_begun(world):
    attack = Attacker(world)
    close = Close(hdr=attack.hdr, phase=ROUNDS, status="opened", result="0" * 64)

    assert code_of(attack.send(1, attack.message(MessageKind.CLOSE, close))) == "E_NO_STATE"


def test_attack_19_old_round(world):
    world.release_round(1)
    world.release_round(2, configuration=b"2")

    old = Attacker(world, 1, seed=b"third")
    beyond = Attacker(world, 11)

    assert code_of(old.send(1, old.m1())) == "E_ROUND_OLD"
    assert code_of(beyond.send(1, beyond.m1())) == "E_ROUND_RANGE"


def test_attack_19_replay_of_a_closed_round(world):
    attack = Attacker(world)
    world.release_round()

    assert code_of(attack.send(1, attack.m1())) == "E_ROUND_OLD"


def test_attack_19_expired_deadline(world):
    attack = Attacker(world)
    attack.join()
    late = Attacker(world, 2, max_age_s=86_401)
    assert code_of(late.send(1, late.m1())) == "E_EXPIRED"

    world.now += 86_401

    assert codes(attack.contribute()) == {"E_EXPIRED"}
    assert codes(attack.contribute()) == {"E_NO_STATE"}
    assert code_of(attack.send(1, attack.m1())) == "E_EXPIRED"


def test_attack_19_expired_before_the_reveal(world):
    attack = Attacker(world).join()
    answers = attack.contribute()
    world.now += 86_401

    assert codes(attack.reveal(answers)) == {"E_EXPIRED"}


def test_attack_19_too_many_attempts(world):
    attack = Attacker(world).join()

    assert codes(attack.contribute(attempt=2)) == {"OK"}
    assert codes(attack.contribute(attempt=1)) == {"E_ATTEMPT_OLD"}
    assert codes(attack.contribute(attempt=3)) == {"E_ATTEMPTS"}
