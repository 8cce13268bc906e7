"""A site's door: each question once, in its order, over restarts; whatever else is asked is refused."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from sites.exchange import analyses_of
from sites.followed import FollowedExchange
from sites.patients import a_case
from sites.plans import NETWORK, plan_of

from client.answers.shifts import PredictorShifts
from client.door.course import AskedStep
from client.door.door import StudyDoor
from client.door.record import DoorRecord
from common.errors import NotThePlanError, SmallNumberError, StorageError
from common.messages.protocol import Request
from common.program.names import SCREENING
from common.program.regressions import screen_candidates
from common.stats.contract import Summary
from server.phases.cohort import describe_cohorts
from server.procedures import carry_out


def make_cases(seed):
    random = np.random.default_rng(seed)
    return tuple(
        a_case(
            f"P{number:03d}",
            grows=bool(random.random() < 0.4),
            age=float(random.normal(60, 10)),
            sah=float(number % 3 == 0),
        )
        for number in range(60)
    )


@dataclass
class BehindDoor:
    """Stands where a follower stands, and asks the site's door."""

    door: StudyDoor
    asked: list = field(default_factory=list)

    def follow(self, step):
        self.asked.append(Request(step.header, None, step.parameters))
        self.door.admit(self.asked[-1], self.digest)

    def learn(self, sums):
        self.door.learn(self.digest, sums)

    @property
    def digest(self):
        return f"{len(self.asked):064x}"


@pytest.fixture
def line(tmp_path):
    plan = plan_of(
        {"a": "train", "b": "train", "c": "train"},
        NETWORK,
        profile="standard",
        two_site_ack=False,
        phases=["cohort", "regression"],
        regression={"candidates": ["age", "sah"]},
    )
    sites = {
        name: analyses_of(plan, name, make_cases(seed), tmp_path / name) for seed, name in enumerate("abc")
    }
    return FollowedExchange(plan, sites, followers={"a": BehindDoor(open_door(plan, sites["a"], tmp_path))})


def open_door(plan, analyses, folder):
    shifts = PredictorShifts(plan, analyses.cases, analyses.store)
    return StudyDoor(plan, "a", folder / "door", shifts.measure)


def conduct(line):
    describe_cohorts(line)
    carry_out(line, SCREENING, screen_candidates(line.plan, line.plan.training_sites))


def reopen(line):
    """The same site after its engine was started anew."""
    behind = line.followers["a"]
    line.followers["a"] = BehindDoor(
        StudyDoor(behind.door.plan, "a", behind.door.folder, behind.door.measure), behind.asked
    )
    return line.followers["a"]


def test_a_site_goes_on_after_any_restart(line):
    gather = line.gather

    def restart(*arguments, **context):
        reopen(line)
        return gather(*arguments, **context)

    line.gather = restart
    conduct(line)

    assert len(line.followers["a"].asked) > 6


def test_the_same_question_is_admitted_again_and_no_other_at_its_step(line):
    conduct(line)
    behind = reopen(line)

    for number, request in enumerate(behind.asked, start=1):
        assert behind.door.admit(request, f"{number:064x}")
        with pytest.raises(NotThePlanError):
            behind.door.admit(request, "f" * 64)


def test_a_question_that_was_left_out_its_successor_or_an_earlier_one_is_refused(line):
    conduct(line)
    door, asked = line.followers["a"].door, line.followers["a"].asked
    fresh = StudyDoor(line.plan, "a", door.folder / "other", door.measure)

    # The guard round of each procedure may come; what builds on it may not, without its sum
    for request in asked:
        is_first = request.header.step == 1
        if is_first:
            fresh.admit(request, f"{len(fresh._admitted) + 1:064x}")
            continue
        with pytest.raises(NotThePlanError):
            fresh.admit(request, "e" * 64)


def test_a_refusal_leaves_the_door_as_it_was(line):
    gather = line.gather

    def ask_wrongly_first(operation, parameters=None, weights=None, **context):
        door = line.followers["a"].door
        later = {"step": context["step"] + 3, "stage": "svm"}
        for wrong in (later, {"procedure": "other"}):
            header = line.make_header(operation, parameters or {}, {**context, **wrong})
            with pytest.raises(NotThePlanError):
                door.admit(Request(header, None, parameters or {}), "d" * 64)
        return gather(operation, parameters, weights, **context)

    line.gather = ask_wrongly_first
    conduct(line)


def test_questions_of_other_sites_patients_are_zeros_here_and_never_of_this_site(line):
    conduct(line)
    header = line.followers["a"].asked[0].header

    with pytest.raises(NotThePlanError, match="no procedure"):
        line.followers["a"].door.admit(
            Request(header.model_copy(update={"procedure": "training Net federated-without-a"})), "c" * 64
        )


def test_a_damaged_record_lets_nothing_in(line):
    conduct(line)
    behind = line.followers["a"]
    (first, *_) = sorted(behind.door.folder.glob("*.asked"))
    first.write_bytes(first.read_bytes()[:-4])

    with pytest.raises(StorageError, match="is damaged"):
        reopen(line).door.admit(behind.asked[0], f"{1:064x}")


def test_a_record_that_is_shorter_than_the_ledger_knows_lets_nothing_in(line):
    conduct(line)
    door = line.followers["a"].door
    known = door.questions
    for path in door.folder.glob(f"{known - 1:06d}.*"):
        path.unlink()

    with pytest.raises(StorageError, match=f"has {known - 1} questions, {known} were admitted"):
        StudyDoor(door.plan, "a", door.folder, door.measure, lambda: known).admit(
            line.followers["a"].asked[0], f"{1:064x}"
        )


def test_a_number_without_an_axis_is_kept_as_it_is(tmp_path, line):
    conduct(line)
    behind = line.followers["a"]
    record = DoorRecord(tmp_path / "record")
    step = AskedStep(behind.asked[0].header, {"n": np.array(3), "x": np.ones((2, 0))})
    record.keep("0" * 64, step)
    record.learn("0" * 64, {("a", "b"): Summary({"patients": np.array(7)})})

    ((_, asked, sums),) = record.read()
    assert {name: array.shape for name, array in asked.parameters.items()} == {"n": (), "x": (2, 0)}
    assert sums["a", "b"].counts["patients"].shape == ()


def refuse(*_):
    raise SmallNumberError("too few")


def replay_until(line, operation):
    """A new door of the site at the question before the first of this operation, and that question."""
    conduct(line)
    behind = line.followers["a"]
    door = StudyDoor(line.plan, "a", behind.door.folder.parent / "again", behind.door.measure)
    for (digest, _, sums), request in zip(DoorRecord(behind.door.folder).read(), behind.asked, strict=True):
        if request.header.operation == operation:
            return door, request
        door.admit(request, digest)
        door.learn(digest, sums)
    raise LookupError(operation)


def test_a_question_that_a_minimum_refuses_does_not_use_up_its_step(line):
    door, request = replay_until(line, "setup")

    for digest in ("a" * 64, "b" * 64):
        assert door.admit(request, digest)
        with pytest.raises(SmallNumberError):
            door.attempt(digest, refuse)
        assert digest not in DoorRecord(door.folder).list_digests()
    assert door.admit(request, "c" * 64)
    assert door.attempt("c" * 64, str, 5) == "5"
    with pytest.raises(NotThePlanError, match="was answered"):
        door.admit(request, "d" * 64)


def test_what_was_answered_once_stays_though_a_minimum_refuses_it_later(line):
    door, request = replay_until(line, "setup")
    door.admit(request, "a" * 64)
    door.attempt("a" * 64, str)
    door.admit(request, "a" * 64)

    with pytest.raises(SmallNumberError):
        door.attempt("a" * 64, refuse)

    with pytest.raises(NotThePlanError, match="was answered"):
        door.admit(request, "b" * 64)


def test_a_refusal_of_coefficients_uses_up_its_step(line):
    """Asked again with others, each refusal would tell of a patient."""
    door, request = replay_until(line, "newton")
    door.admit(request, "a" * 64)
    with pytest.raises(SmallNumberError):
        door.attempt("a" * 64, refuse)

    with pytest.raises(NotThePlanError, match="was answered"):
        door.admit(request, "b" * 64)
    assert door.admit(request, "a" * 64)
