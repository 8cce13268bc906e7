"""What a site refuses to contribute, and what its disk, its audit and its refusals give away."""

import shutil
import stat
from dataclasses import replace

import numpy as np
import pytest
from secagg.attacker import Attacker, codes, seed_of, signed_contribution
from secagg.world import AUTHORITY, ROUNDS, UPDATE, World, code_of, key, values_of

from common.errors import SiteError
from common.runtime.chained_file import DamagedChainError, list_chain
from common.secagg.codes import SecAggError
from common.secagg.coordinator.drive import finish, open_session, run_round, run_step
from common.secagg.crypto.encoding import encode, scale_bits_for
from common.secagg.crypto.rings import Ring, Vector
from common.secagg.site.endpoint import approve_waiver
from common.secagg.site.erasure import sweep
from common.secagg.site.rules import Computed, ComputedVector, PhaseRules
from common.secagg.wire.frames import MessageKind, pack, unpack
from common.secagg.wire.messages import Reveal
from common.secagg.wire.roster import Waiver, sign_waiver


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, 3)


def contributing(world, values, patients=None, vector=UPDATE, **rules):
    """What site 1 answers to M1 if it computed these values."""
    world.plan.phases[ROUNDS] = PhaseRules(mode="round", vectors=(vector,), rounds=10, **rules)
    world.compute[1] = lambda *_: Computed((ComputedVector(vector, values),), patients)
    attack = Attacker(world, vectors=(vector,))
    return code_of(attack.send(1, attack.m1()))


def halves():
    return np.full(6, 0.5, np.float32)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_attack_22_not_finite(world, bad):
    values = halves()
    values[3] = bad

    assert contributing(world, values) == "E_NONFINITE"


def test_attack_22_too_long_or_too_much_clipped(world):
    values = halves()
    values[:2] = 1.5

    assert contributing(world, values, norm_bound=2.0) == "E_NORM"
    assert contributing(world, values, clip_fraction=0.3) == "E_CLIP"
    assert contributing(world, values, clip_fraction=0.34, norm_bound=2.5) == "OK"


def test_attack_22_too_few_or_too_many_patients(world):
    assert contributing(world, halves(), 4, site_minimum=5) == "E_SMALL_N"
    assert contributing(world, halves(), 101, largest_weight=100) == "E_WEIGHT"
    assert contributing(world, halves(), 5, site_minimum=5, largest_weight=100) == "OK"


def test_attack_22_number_of_patients_not_said(world):
    assert contributing(world, halves(), None, site_minimum=5) == "E_INTERNAL"


def test_attack_22_scale_at_which_the_sum_overflows(world):
    bits = scale_bits_for(3, 1.0) + 1
    coarse = Vector("update", (6,), Ring.UPDATES, clip=1.0, scale_bits=bits)

    assert contributing(world, halves(), vector=coarse) == "E_VECTOR"


def test_attack_22_bound_at_which_a_wide_sum_overflows(world):
    assert contributing(world, halves(), vector=Vector("update", (6,), Ring.REALS, 2.0**62)) == "E_VECTOR"


def test_attack_22_running_statistics_not_finite_too_long_or_too_much_clipped(world):
    vector, values = Vector("update", (6,), Ring.REALS, 256.0), halves()
    values[:2] = np.inf, 22870

    assert contributing(world, values, vector=vector, clip_fraction=1.0) == "E_NONFINITE"
    values[0] = 22870
    assert contributing(world, values, vector=vector, norm_bound=1e4) == "E_NORM"
    assert contributing(world, values, vector=vector, clip_fraction=0.3) == "E_CLIP"
    assert contributing(world, values, vector=vector, clip_fraction=0.34, norm_bound=1e5) == "OK"


def test_attack_22_other_vectors_than_the_plan_s(world):
    other = Vector("another name", (6,), Ring.UPDATES, clip=1.0, scale_bits=20)
    world.compute[2] = lambda *_: Computed((ComputedVector(other, halves()),))
    attack = Attacker(world)

    assert code_of(attack.send(2, attack.m1())) == "E_VECTOR"


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    "edge",
    [
        Vector("update", (6,), Ring.UPDATES, clip=1.0, scale_bits=scale_bits_for(5, 1.0)),
        Vector("update", (6,), Ring.REALS, clip=2.0**53),
    ],
    ids=["weights", "running statistics"],
)
def test_attack_22_every_site_at_its_bound(tmp_path, sign, edge):
    world, bound = World(tmp_path, 5), edge.segments[0].clip
    world.plan.phases[ROUNDS] = PhaseRules(mode="round", vectors=(edge,))
    values = np.full(6, sign * bound, np.float32)
    for site in world.identities:
        world.compute[site] = lambda *_: Computed((ComputedVector(edge, values),))

    sums = run_round(world.round(vectors=(edge,)), world.exchange)

    assert np.array_equal(sums["update"], np.full(6, 5.0 * sign * bound))


def phase_folder(world, site):
    (folder,) = (path for path in world.state(site).iterdir() if path.is_dir())
    return folder


def test_attack_25_kept_vector_altered(world):
    attack = Attacker(world).join()
    path = phase_folder(world, 1) / "encoded.1"
    altered = bytearray(path.read_bytes())
    altered[0] ^= 1
    path.write_bytes(bytes(altered))

    assert code_of(attack.contribute(asked=[1])[1]) == "E_STATE_CORRUPT"


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"short")])
def test_attack_25_kept_vector_gone_or_shortened(world, damage):
    attack = Attacker(world).join()
    damage(phase_folder(world, 1) / "encoded.1")

    assert code_of(attack.contribute(asked=[1])[1]) == "E_STATE_CORRUPT"


def test_attack_25_state_altered(world):
    attack = Attacker(world).join()
    path = phase_folder(world, 1) / "state"
    path.write_bytes(path.read_bytes().replace(b'"attempt":-1', b'"attempt":"0"'))

    assert code_of(attack.contribute(asked=[1])[1]) == "E_STATE_CORRUPT"


def test_attack_25_state_deleted(world):
    attack = Attacker(world).join()
    (phase_folder(world, 1) / "state").unlink()

    assert code_of(attack.contribute(asked=[1])[1]) == "E_NO_STATE"


def test_attack_25_cipher_changed_between_two_answers(world):
    """The same words under another mask would not be the same bytes."""
    attack = Attacker(world).join()
    attack.contribute()
    world.plan.phases[ROUNDS] = replace(world.plan.phases[ROUNDS], suite="chacha20")

    assert codes(attack.contribute()) == {"E_STATE_CORRUPT"}


def test_attack_25_kept_answer_of_a_session_altered(world):
    attack = Attacker(world, mode="session").join()
    attack.contribute()
    message = attack.iterate(1, b"beta")
    attack.send(1, message)
    (path,) = phase_folder(world, 1).glob("reply.*")
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    assert code_of(attack.send(1, message)) == "E_STATE_CORRUPT"
    path.unlink()
    assert code_of(attack.send(1, message)) == "E_STATE_CORRUPT"


def collecting(world):
    server = world.round()
    for name, answer in world.exchange(server.make_requests()).items():
        server.receive(name, answer)
    server.proceed()
    return server


def test_attack_26_upload_altered(world):
    server = collecting(world)
    answers = world.exchange(server.make_requests())
    altered = bytearray(answers["centre1"])
    altered[-20] ^= 1

    with pytest.raises(SecAggError) as refused:
        server.receive("centre1", bytes(altered))

    assert refused.value.code == "S_PAYLOAD"
    assert server.list_missing() == ("centre1", "centre2", "centre3")


def test_attack_26_upload_of_another_site(world):
    server = collecting(world)
    answers = world.exchange(server.make_requests())

    with pytest.raises(SecAggError) as refused:
        server.receive("centre1", answers["centre2"])

    assert refused.value.code == "S_SIG"


def test_attack_26_upload_signed_by_the_link(world):
    server = collecting(world)
    honest = unpack(world.exchange(server.make_requests())["centre1"])
    forged = pack(honest.kind, honest.header, key("link"), honest.payload)

    with pytest.raises(SecAggError) as refused:
        server.receive("centre1", forged)

    assert refused.value.code == "S_SIG"


def test_attack_26_wrong_seed(world):
    server = collecting(world)
    for name, answer in world.exchange(server.make_requests()).items():
        server.receive(name, answer)
    server.proceed()
    answers = world.exchange(server.make_requests())
    honest = unpack(answers["centre1"])
    other = Reveal.model_validate_json(honest.header).model_copy(update={"seed": "11" * 32})
    answers["centre1"] = pack(MessageKind.REVEAL, other.body(), world.identities[1].key)
    for name, answer in answers.items():
        server.receive(name, answer)

    with pytest.raises(SecAggError) as refused:
        server.open()

    assert refused.value.code == "S_CANARY"
    assert server.stage == "closing"


def test_attack_26_seed_missing(world):
    attack = Attacker(world).join()
    answers = attack.contribute()
    seeds = {site: seed_of(answer) for site, answer in attack.reveal(answers).items() if site != 3}

    with pytest.raises(SecAggError) as refused:
        attack.unmask(attack.total(answers.values()), seeds).decode_sums()

    assert refused.value.code == "S_CANARY"


class Watched:
    """Randomness that remembers what it gave."""

    def __init__(self, machine):
        self.drawn = []
        self._draw = machine.randomness

    def __call__(self, size, purpose):
        self.drawn.append(self._draw(size, purpose))
        return self.drawn[-1]


@pytest.fixture
def watched(world, monkeypatch):
    """A world that remembers its sites' secrets and every message."""
    world.secrets, world.messages = [], []
    made, handle = World.machine, World.handle

    def machine(self, site):
        honest = made(self, site)
        watch = Watched(honest)
        watch.drawn = world.secrets
        return replace(honest, randomness=watch)

    def handled(self, name, message):
        answer = handle(self, name, message)
        world.messages += [message, answer]
        return answer

    monkeypatch.setattr(World, "machine", machine)
    monkeypatch.setattr(World, "handle", handled)
    return world


def found_on_disk(world, needles):
    files = [
        path for site in world.identities for path in world.state(site).parent.rglob("*") if path.is_file()
    ]
    contents = [path.read_bytes() for path in files]
    return [needle for needle in needles if any(needle in content for content in contents)]


def needles_of(world):
    """Secrets as bytes and as text, and the sites' encoded words."""
    secrets = [*world.secrets, *(secret.hex().encode() for secret in world.secrets)]
    words = []
    for site in world.identities:
        values = values_of(site)
        for vector in world.plan.phases[ROUNDS].vectors:
            words.append(encode(vector, values[vector.name], sites=3).words.tobytes()[:16])
            words.append(values[vector.name].tobytes()[:16])
    return secrets, words


def test_attack_28_secrets_on_the_disk_after_the_round(watched):
    attack = Attacker(watched).join()
    answers = attack.contribute()
    secrets, words = needles_of(watched)
    assert len(found_on_disk(watched, secrets)) >= 6
    assert len(found_on_disk(watched, words)) >= 9

    attack.reveal(answers)
    session_keys = watched.secrets[:3] + [key.hex().encode() for key in watched.secrets[:3]]
    assert not found_on_disk(watched, words + session_keys)
    watched.now += 86_401
    for site in watched.identities:
        sweep(watched.files(site), watched.clock)

    assert not found_on_disk(watched, secrets + words)


def test_attack_28_secrets_after_close_and_in_messages(watched):
    server = watched.release_round()
    session = watched.session()
    open_session(session, watched.exchange)
    run_step(session, watched.exchange, b"beta")
    session.close()
    assert finish(session, watched.exchange)
    secrets, words = needles_of(watched)

    assert server.list_missing() == ()
    assert not found_on_disk(watched, secrets + words)
    # A seed travels, as text in M6: it opens nothing but its own site's mask in this attempt's sum
    told = [needle for needle in secrets + words if any(needle in message for message in watched.messages)]
    assert len(told) == 3
    assert not (set(told) & set(watched.secrets) | set(told) & set(words))


def test_attack_28_modes(world):
    attack = Attacker(world).join()
    attack.contribute()

    for path in world.state(1).rglob("*"):
        expected = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    assert stat.S_IMODE(world.state(1).stat().st_mode) == 0o700
    witness = world.state(1).with_name("secagg.witness")
    assert stat.S_IMODE(witness.stat().st_mode) == 0o600


def test_attack_29_audit_line_edited(world):
    world.release_round()
    path = world.state(1) / "audit.jsonl"
    assert len(list_chain(path)) == len(path.read_bytes().splitlines())
    lines = path.read_bytes().splitlines(keepends=True)

    for damaged in (
        [*lines[:2], lines[2].replace(b'"attempt":0', b'"attempt":1'), *lines[3:]],
        [*lines[:1], *lines[2:]],
        [lines[1], lines[0], *lines[2:]],
        [*lines[:1], lines[0], *lines[1:]],
    ):
        path.write_bytes(b"".join(damaged))
        with pytest.raises(DamagedChainError, match="line [1-4]"):
            list_chain(path)


def test_attack_29_audit_has_what_left_and_no_values(world):
    attack = Attacker(world).join()
    answers = attack.contribute()
    attack.reveal(answers)

    entries = list_chain(world.state(1) / "audit.jsonl")
    events = [entry["event"] for entry in entries]
    (left,) = (entry for entry in entries if entry["event"] == "CONTRIBUTION")

    assert events == ["ENCODED", "JOIN", "CONTRIBUTION", "REVEAL"]
    assert left["payload"] == signed_contribution(answers[1]).contribution.payload
    assert left["participants"] == [1, 2, 3]
    assert "signature" in left["request"]


@pytest.mark.parametrize(
    ("failure", "code"),
    [(RuntimeError("/data/Doe^Jane/17.nii"), "E_INTERNAL"), (SiteError("/data/Doe^Jane/17.nii"), "E_SITE")],
)
def test_attack_31_exception_with_a_patient_s_path(world, failure, code):
    def fail(*_):
        raise failure

    world.compute[1] = fail
    attack = Attacker(world)
    answer = attack.send(1, attack.m1())

    assert code_of(answer) == code
    assert b"Doe" not in answer
    assert b"Doe" not in (world.state(1) / "audit.jsonl").read_bytes()


def test_attack_32_restored_state(world, tmp_path):
    attack = Attacker(world).join()
    first = attack.contribute()
    shutil.copytree(world.state(1), tmp_path / "backup")
    attack.contribute(1, 2, attempt=1)
    shutil.rmtree(world.state(1))
    shutil.copytree(tmp_path / "backup", world.state(1))

    opening = attack.m5([signed_contribution(answer) for answer in first.values()])
    assert code_of(attack.send(1, opening)) == "E_RESTORED"
    later = Attacker(world, 2)
    world.files(1).burn()
    assert code_of(attack.send(1, opening)) == "E_RESTORED"
    assert code_of(later.send(1, later.m1())) == "E_RESTORED"

    fields = {"phase": ROUNDS, "absent": (), "definition": "0" * 64, "site": 1, "number": 1}
    waiver = Waiver(study=world.roster.study, roster=world.roster.digest, kind="restored", **fields)
    approve_waiver(world.files(1), sign_waiver(waiver, AUTHORITY), world.pin(1))
    assert code_of(attack.send(1, opening)) == "E_NO_STATE"
    assert codes({1: later.send(1, later.m1())}) == {"OK"}


def test_attack_32_restored_ledger(world, tmp_path):
    world.release_round(1)
    shutil.copytree(world.state(1), tmp_path / "backup")
    world.release_round(2, configuration=b"2")
    shutil.rmtree(world.state(1))
    shutil.copytree(tmp_path / "backup", world.state(1))

    again = Attacker(world, 2, seed=b"2")

    assert code_of(again.send(1, again.m1())) == "E_RESTORED"


def test_attack_32_witness_gone(world):
    world.release_round(1)
    world.state(1).with_name("secagg.witness").unlink()
    later = Attacker(world, 2, seed=b"2")

    assert code_of(later.send(1, later.m1())) == "E_RESTORED"


def test_attack_32_witness_damaged(world):
    attack = Attacker(world).join()
    world.state(1).with_name("secagg.witness").write_bytes(b"{}")

    assert code_of(attack.send(1, attack.m1())) == "E_STATE_CORRUPT"
