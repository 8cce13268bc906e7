"""A member believes a sum only if it can add it itself from what the other members signed."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
from secagg.attacker import Attacker, codes
from secagg.faults import Killed, counted
from secagg.proving import list_disproved
from secagg.world import (
    AUTHORITY,
    COORDINATOR,
    COUNTS,
    REALS,
    SESSIONS,
    World,
    check_sums,
    code_of,
    key,
    values_of,
)

from common.errors import ProtocolError, ResumeError
from common.secagg.codes import SecAggError
from common.secagg.coordinator.drive import finish, open_session, run_step
from common.secagg.coordinator.forwarding import MemberAnswer, join_answers, name_step, read_step
from common.secagg.site.endpoint import SiteMachine, approve_waiver
from common.secagg.wire.forwarded import (
    SignedIteration,
    read_index,
    read_transcript,
    take_transcripts,
    write_index,
)
from common.secagg.wire.frames import MessageKind, pack, sha256, unpack
from common.secagg.wire.messages import NO_DIGEST, Iteration, read
from common.secagg.wire.payload import cut_rooms, digest_iteration, read_layout
from common.secagg.wire.roster import Waiver, sign_waiver

EVERYBODY = (1, 2, 3)


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path, 3)
    world.returns = {COUNTS.name: EVERYBODY, REALS.name: (1, 2)}
    return world


def opened(world, parameters=b"beta", number=1):
    """A session with one step opened, and what is forwarded of it."""
    server = world.session(number)
    open_session(server, world.exchange)
    run_step(server, world.exchange, parameters)
    return server, read_step(name_step(world.session_folder(number), 1))


def transcript(world, step, site=1):
    return step.make_transcript(world.coordinator, site)


def prove(world, message, site=1):
    return world.machine(site).open_transcripts(message)


def forge(world, opened_step, site=1, *, words=None, index=None, **header):
    """A transcript with other content, which the coordinator signs all the same."""
    frame = unpack(transcript(world, opened_step, site))
    told = read_transcript(frame)
    first = index or read_index(bytes(frame.payload[: told.index_bytes]))
    content = write_index(first) + (bytes(frame.payload[told.index_bytes :]) if words is None else words)
    changed = told.model_copy(
        update={
            "index_bytes": len(write_index(first)),
            "content_bytes": len(content),
            "content": sha256(content),
            **header,
        }
    )
    return world.coordinator.say(MessageKind.TRANSCRIPT, changed, content)


def index_of(world, step, site=1):
    frame = unpack(transcript(world, step, site))
    return read_index(bytes(frame.payload[: read_transcript(frame).index_bytes]))


def words_of(world, step, site=1):
    frame = unpack(transcript(world, step, site))
    told = read_transcript(frame)
    return bytearray(frame.payload[told.index_bytes : told.content_bytes])


def refuse(world, message, site=1):
    """Why a transcript is refused; the site does not stop, so that the next is judged by itself."""
    with mock.patch.object(SiteMachine, "_stop"), pytest.raises(SecAggError) as refused:
        prove(world, message, site)
    if refused.value.code != "E_SUM_PROOF":
        return refused.value.code
    return str(refused.value).removeprefix("a transcript does not prove its sum: ")


@pytest.mark.parametrize("site", [1, 3])
def test_each_member_adds_the_sums_that_come_back_to_it(world, site):
    _, step = opened(world)

    (proved,) = prove(world, transcript(world, step, site), site)

    expected = {1: [COUNTS, REALS], 3: [COUNTS]}[site]
    assert list(proved.vectors) == expected
    assert (proved.phase, proved.step, proved.input) == (SESSIONS, 1, sha256(b"beta"))
    assert proved.note == "of 4"
    sums = {vector.name: array for vector, array in zip(proved.vectors, proved.sums, strict=True)}
    assert np.array_equal(sums["patients"], sum(values_of(member)["patients"] for member in EVERYBODY))
    if site == 1:
        check_sums(sums, list(EVERYBODY), factor=5)


def test_a_transcript_has_nothing_of_the_vectors_that_do_not_come_back(world):
    _, step = opened(world)

    assert len(words_of(world, step, 3)) == 2 * 64
    assert len(words_of(world, step, 1)) == 2 * (64 + 96)
    assert step.sites == {1, 2, 3}


def test_the_message_behind_transcripts_is_answered(world):
    server, step = opened(world)
    server.ask(b"gamma")
    asked = server.make_requests()["centre1"]
    message = transcript(world, step) + transcript(world, step) + asked

    frames, rest = take_transcripts(message)

    assert len(frames) == 2
    assert bytes(rest) == asked
    assert len(prove(world, message)) == 2
    assert code_of(world.handle("centre1", bytes(rest))) == "OK"


def test_nothing_is_kept_where_nothing_comes_back(world):
    world.returns = {}
    server, step = opened(world)

    assert step is None
    check_sums(run_step(server, world.exchange, b"x"), [1, 2, 3], factor=2)


def test_a_step_is_kept_until_the_next_is_open(world):
    server, _ = opened(world)
    run_step(server, world.exchange, b"gamma")

    assert read_step(name_step(world.session_folder(), 1)) is None
    assert read_step(name_step(world.session_folder(), 2)) is not None


def test_attack_40_one_forged_number(world):
    _, step = opened(world)
    for place in range(0, len(words_of(world, step)), 33):
        words = words_of(world, step)
        words[place] ^= 1
        reason = refuse(world, forge(world, step, words=bytes(words)))
        assert reason.endswith("are not those that it signed")


def test_attack_40_forged_number_with_its_digest(world):
    """The digests are what the site signed: who alters one, needs the site's key."""
    _, step = opened(world)
    words, index = words_of(world, step), index_of(world, step)
    words[0] ^= 1
    first, *others = index.iterations
    parts = (sha256(words[:64]), *first.parts[1:])
    forged = first.model_copy(update={"parts": parts})
    message = forge(
        world, step, words=bytes(words), index=index.model_copy(update={"iterations": (forged, *others)})
    )
    assert refuse(world, message) == "the digests of site 2 are not what it signed"

    own = unpack(world.files(1).read_reply(SESSIONS, world.files(1).read(SESSIONS).reply))
    layout = own.payload[: read(own, MessageKind.ITERATION, Iteration).layout_bytes]
    header = first.iteration.model_copy(update={"payload": digest_iteration(layout, parts)})
    signed = forged.model_copy(update={"iteration": header})
    message = forge(
        world, step, words=bytes(words), index=index.model_copy(update={"iterations": (signed, *others)})
    )
    assert refuse(world, message) == "site 2 did not sign its iteration"


def test_attack_41_forged_signature(world):
    _, step = opened(world)
    index = index_of(world, step)
    first, *others = index.iterations
    by_itself = pack(MessageKind.ITERATION, first.iteration.body(), COORDINATOR)
    for signature in ("0" * 128, unpack(by_itself).signature.hex(), others[0].signature):
        iterations = (first.model_copy(update={"signature": signature}), *others)
        message = forge(world, step, index=index.model_copy(update={"iterations": iterations}))
        assert refuse(world, message) == "site 2 did not sign its iteration"


def test_attack_42_iteration_of_another_step(world):
    server, first = opened(world)
    run_step(server, world.exchange, b"gamma")
    second = read_step(name_step(world.session_folder(), 2))

    message = forge(world, second, index=index_of(world, first), words=bytes(words_of(world, first)), step=2)

    assert refuse(world, message) == "what site 2 signed is of another session, set or step"


def test_attack_42_iteration_of_another_session(world):
    server, first = opened(world)
    server.close()
    finish(server, world.exchange)
    _, second = opened(world, b"gamma", number=2)

    message = forge(world, second, index=index_of(world, first), words=bytes(words_of(world, first)), step=1)

    assert refuse(world, message) == "what site 2 signed is of another session, set or step"


@pytest.mark.parametrize("change", [{"step": 2}, {"step": 0}, {"hdr": "11" * 32}, {"phase": "other"}])
def test_attack_42_transcript_of_a_step_that_the_site_never_answered(world, change):
    _, step = opened(world)

    assert refuse(world, forge(world, step, **change)) == "it is of a step that this site never answered"


def test_attack_39_member_left_out_or_twice_or_the_site_itself(world):
    _, step = opened(world)
    index = index_of(world, step)
    two, three = index.iterations
    one = index_of(world, step, 2).iterations[0]
    size, words = len(words_of(world, step)) // 2, words_of(world, step)
    for iterations, told in (
        ((two,), words[:size]),
        ((), b""),
        ((two, two), words[:size] * 2),
        ((three, two), words[size:] + words[:size]),
        ((two, three, three), words + words[size:]),
        ((one, two, three), words[:size] + words),
    ):
        message = forge(
            world, step, words=bytes(told), index=index.model_copy(update={"iterations": iterations})
        )
        assert refuse(world, message) == "it is not of every other member of the set, once"


def test_attack_44_part_of_a_group_to_which_the_site_does_not_belong(world):
    """Site 3 must not learn the moments of 1 and 2, whoever wants to tell it."""
    _, step = opened(world)
    everything = forge(
        world, step, 3, index=index_of(world, replace_returns(step), 3), words=bytes(all_words(step, 3))
    )

    assert refuse(world, everything, 3) == "it has other vectors than come back to this site"


def replace_returns(step):
    vectors = tuple(vector.model_copy(update={"sites": EVERYBODY}) for vector in step.kept.vectors)
    return replace(step, kept=step.kept.model_copy(update={"vectors": vectors}))


def all_words(step, site):
    frame = unpack(replace_returns(step).make_transcript(SimpleNamespace(say=say), site))
    return frame.payload[read_transcript(frame).index_bytes :]


def say(kind, header, *payload):
    return pack(kind, header.body(), COORDINATOR, *payload)


def test_attack_44_vector_withheld(world):
    _, step = opened(world)
    index = index_of(world, step)
    words = words_of(world, step)
    less = b"".join(bytes(words[start : start + 64]) for start in (0, 160))

    message = forge(world, step, words=less, index=index.model_copy(update={"vectors": (0,)}))

    assert refuse(world, message) == "it has other vectors than come back to this site"


def test_attack_45_a_colluding_site_changes_nothing_but_its_own_answer(world):
    """It signs other words: then the sum is the sum of what the members signed, at every member alike."""
    _, step = opened(world)
    index = index_of(world, step)
    two, three = index.iterations
    words = words_of(world, step)
    own = unpack(world.files(2).read_reply(SESSIONS, world.files(2).read(SESSIONS).reply))
    header = read(own, MessageKind.ITERATION, Iteration)
    layout = own.payload[: header.layout_bytes]
    counts = np.frombuffer(words, "<u8", 3)
    counts += np.array([10, 0, 0], dtype=np.uint64)
    room = bytes(words[:64])
    parts = (sha256(room), *two.parts[1:])
    changed = header.model_copy(update={"payload": digest_iteration(layout, parts)})
    signature = unpack(pack(MessageKind.ITERATION, changed.body(), key("site 2"))).signature.hex()
    lie = SignedIteration(iteration=changed, signature=signature, parts=parts)

    (proved,) = prove(
        world,
        forge(world, step, words=bytes(words), index=index.model_copy(update={"iterations": (lie, three)})),
    )

    honest = sum(values_of(member)["patients"] for member in EVERYBODY)
    assert (proved.sums[0] - honest).tolist() == [10, 0, 0]


def test_attack_46_sites_that_were_asked_different_things(world):
    """The masks do not cancel, and no colluding site can make them: it does not know those of the others."""
    attack = Attacker(world, mode="session").join()
    attack.contribute()
    answers = {
        site: attack.send(site, attack.iterate(1, b"bEta" if site == 3 else b"beta")) for site in EVERYBODY
    }
    assert codes(answers) == {"OK"}
    step = forwarded(world, answers, attack.hdr)

    assert refuse(world, transcript(world, step)) == "masks are left in a sum: keys or sets did not agree"


def forwarded(world, answers, hdr):
    """What a coordinator that checks nothing makes of the sites' answers."""
    members = {}
    for site, answer in answers.items():
        frame = unpack(answer)
        header = read(frame, MessageKind.ITERATION, Iteration)
        vectors = read_layout(bytes(frame.payload[: header.layout_bytes]))
        rooms = cut_rooms(vectors, frame.payload[header.layout_bytes :])
        parts = [sha256(room) for room in rooms]
        members[site] = MemberAnswer.of((header, frame), parts, rooms, (0, 1))
    return join_answers((SESSIONS, hdr, 1), members, {0: EVERYBODY, 1: (1, 2)})


def test_a_transcript_that_cannot_be_read_is_no_proof(world):
    _, step = opened(world)
    frame = unpack(transcript(world, step))
    told = read_transcript(frame)
    content = b"{}" + bytes(frame.payload[2 : told.content_bytes])
    header = told.model_copy(update={"content": sha256(content)})

    false = world.coordinator.say(MessageKind.TRANSCRIPT, header, content)

    assert refuse(world, false) == "a header is not canonical JSON"


def test_bytes_altered_on_the_way_stop_nobody(world):
    _, step = opened(world)
    message = bytearray(transcript(world, step))
    message[-1] ^= 1
    assert refuse(world, bytes(message)) == "E_INPUT_HASH"
    by_another = pack(
        MessageKind.TRANSCRIPT,
        unpack(message).header,
        key("somebody"),
        unpack(message).payload,
    )
    assert refuse(world, by_another) == "E_COORD_SIG"
    with pytest.raises(ProtocolError, match="longer than its message"):
        prove(world, bytes(message[:-16]))

    assert len(prove(world, transcript(world, step))) == 1


def test_a_site_that_found_a_false_sum_stops_and_keeps_the_evidence(world, caplog):
    server, step = opened(world)
    words = words_of(world, step)
    words[0] ^= 1
    false = forge(world, step, words=bytes(words))
    server.ask(b"gamma")
    asked = server.make_requests()["centre1"]

    with pytest.raises(SecAggError) as refused:
        prove(world, false + asked)

    assert refused.value.code == "E_SUM_PROOF"

    assert "words of site 2 are not those that it signed: coordinator lied" in caplog.text
    (told,) = list_disproved(world, 1)
    assert told["suspects"] == ["coordinator"]
    assert told["reason"].endswith("words of site 2 are not those that it signed")
    (evidence,) = world.state(1).glob("evidence.*")
    assert evidence.read_bytes() == false
    assert code_of(world.handle("centre1", asked)) == "E_SUM_PROOF"
    assert refuse(world, transcript(world, step)).startswith("a sum was found false before")
    with pytest.raises(SecAggError, match="found false before"):
        world.machine(1).insist_sound()
    world.machine(2).insist_sound()


def test_a_waiver_of_the_authority_lets_the_site_go_on(world):
    _, step = opened(world)
    with pytest.raises(SecAggError, match="more or fewer words"):
        prove(world, forge(world, step, words=b""))
    waiver = Waiver(
        number=1,
        study=world.roster.study,
        roster=world.roster.digest,
        kind="restored",
        phase="any",
        absent=(),
        definition=NO_DIGEST,
        site=1,
    )

    approve_waiver(world.files(1), sign_waiver(waiver, AUTHORITY), world.pin(1))

    assert len(prove(world, transcript(world, step))) == 1


def test_the_same_transcript_may_come_again_until_the_site_goes_on(world):
    server, step = opened(world)
    message = transcript(world, step)
    first, again = prove(world, message), prove(world, message)
    assert np.array_equal(first[0].sums[0], again[0].sums[0])

    run_step(server, world.exchange, b"gamma")
    assert prove(world, message) == ()
    server.close()
    finish(server, world.exchange)
    assert prove(world, message) == ()


def test_a_transcript_after_the_site_erased_its_session_stops_nobody(world):
    """A study that is resumed after the deadline tells again what nobody can check any more."""
    _, step = opened(world)
    world.now += 10**6
    attack = Attacker(world, 2, mode="session")
    attack.send(1, attack.m1())

    assert prove(world, transcript(world, step)) == ()


def test_a_killed_coordinator_sends_the_same_transcript(world, tmp_path):
    """At whatever write it dies: a step that counts as open has its transcripts, and they do not change."""
    server = world.session()
    open_session(server, world.exchange)
    server.ask(b"beta")
    answers = world.exchange(server.make_requests())
    for name, answer in answers.items():
        server.receive(name, answer)
    kills, seen = 0, set()
    while True:
        again = world.session()
        if again.ask(b"beta") is not None:
            break
        for name, answer in world.exchange(again.make_requests()).items():
            again.receive(name, answer)
        try:
            with counted(kills):
                again.open()
        except Killed:
            kills += 1
        step = read_step(name_step(world.session_folder(), 1))
        if world.session().has_opened(b"beta"):
            assert step is not None
        if step is not None:
            seen.add(transcript(world, step))

    assert kills >= 4
    assert len(seen) == 1
    assert len(prove(world, seen.pop())) == 1


def test_a_damaged_step_is_told(world):
    opened(world)
    path = name_step(world.session_folder(), 1)
    path.write_bytes(path.read_bytes()[:-1])

    with pytest.raises(ResumeError, match="is damaged"):
        read_step(path)


def test_what_members_signed_is_written_once_for_all_who_are_told(world, monkeypatch):
    _, step = opened(world)
    wrote, write = [], SignedIteration.body
    monkeypatch.setattr(SignedIteration, "body", lambda self: wrote.append(self) or write(self))

    for site in EVERYBODY:
        frame = unpack(transcript(world, step, site))
        index = bytes(frame.payload[: read_transcript(frame).index_bytes])
        assert write_index(read_index(index)) == index
    assert len(wrote) == 3
