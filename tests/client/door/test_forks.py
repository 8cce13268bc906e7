"""Where a statistic is as good as its threshold, a site takes the coordinator's branch; elsewhere its own."""

from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
from sites.exchange import analyses_of
from sites.followed import FollowedExchange
from sites.patients import a_case
from sites.plans import NETWORK, plan_of

from client.answers.shifts import PredictorShifts
from client.door.door import StudyDoor
from common.errors import NotThePlanError
from common.messages.protocol import Request
from common.program import regressions
from common.program.names import SCREENING
from common.program.regressions import screen_candidates
from common.stats import newton
from common.stats.branches import Branches, Fork, find_below
from common.stats.glm import select_terms
from server.procedures import carry_out

CLOSE, APART = 1e-9, 1e-5


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
class OtherNumbers:
    """A site's door, with thresholds of its own."""

    door: StudyDoor
    thresholds: Callable[[], object]
    asked: int = 0

    def follow(self, step):
        self.asked += 1
        with self.thresholds():
            self.door.admit(Request(step.header, None, step.parameters), self.digest)

    def learn(self, sums):
        with self.thresholds():
            self.door.learn(self.digest, sums)

    @property
    def digest(self):
        return f"{self.asked:064x}"


class Anybody:
    """A site that is not looked at."""

    def follow(self, _):
        pass

    def learn(self, _):
        pass


@dataclass
class Study:
    """A screening, in which coordinator and site have a threshold each."""

    folder: object
    thresholds: Callable[[], object] = None

    def open_door(self, plan, analyses):
        shifts = PredictorShifts(plan, analyses.cases, analyses.store)
        return StudyDoor(plan, "a", self.folder / "door", shifts.measure)

    def conduct(self):
        plan = plan_of(
            {"a": "train", "b": "train", "c": "train"},
            NETWORK,
            profile="standard",
            two_site_ack=False,
            phases=["regression"],
            regression={"candidates": ["age", "sah"], "entry_p": 0.999},
        )
        sites = {
            name: analyses_of(plan, name, make_cases(seed), self.folder / name)
            for seed, name in enumerate("abc")
        }
        followers = dict.fromkeys("abc", Anybody())
        if self.thresholds:
            followers["a"] = OtherNumbers(self.open_door(plan, sites["a"]), self.thresholds)
        line = FollowedExchange(plan, sites, followers=followers)
        screening = carry_out(line, SCREENING, screen_candidates(plan, plan.training_sites))
        if self.thresholds:
            self.start_anew(plan, sites["a"], followers["a"].asked)
        return screening

    def start_anew(self, plan, analyses, asked):
        """The engine finds the same branches over what is on the disk."""
        door = self.open_door(plan, analyses)
        with self.thresholds():
            assert door.is_current(f"{asked:064x}")


@pytest.fixture(scope="module")
def statistics(tmp_path_factory):
    """By name, a statistic that the screening compares with a threshold."""
    compared = []

    def note(statistic, threshold, margin=None):
        compared.append((statistic, threshold))
        return find_below(statistic, threshold, margin)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(newton, "find_below", note)
        screening = Study(tmp_path_factory.mktemp("first")).conduct()
    # Of the second round, which asks further
    decrements = [left[0] for left, right in compared if np.ndim(left) and (right == newton.CONVERGED).all()]
    values = [value[0] for left, value in compared if np.ndim(left) == 0]
    p = screening.univariate[0].coefficients[0].p
    return {"decrement": decrements[1], "log-likelihood": values[1], "p": p}


def set_threshold(monkeypatch, wanted, value):
    """A context in which a threshold has this value."""

    @contextmanager
    def patch():
        with monkeypatch.context() as patched:
            if wanted == "p":
                patched.setattr(regressions, "select_terms", lambda results, _: select_terms(results, value))
            else:
                name = {"decrement": "CONVERGED", "log-likelihood": "SEPARATED"}[wanted]
                patched.setattr(newton, name, value)
            yield

    return patch


WANTED = ["decrement", "log-likelihood", "p"]


@pytest.fixture
def study(tmp_path, monkeypatch, statistics):
    monkeypatch.setattr("os.fsync", lambda _: None)

    def conduct_study(wanted, apart):
        value = statistics[wanted]
        site = set_threshold(monkeypatch, wanted, value + apart * abs(value))
        with set_threshold(monkeypatch, wanted, value - apart * abs(value))():
            return Study(tmp_path, site).conduct()

    return conduct_study


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("wanted", WANTED)
def test_a_statistic_at_its_threshold_is_judged_as_the_coordinator_does(study, wanted, side):
    screening = study(wanted, side * CLOSE)

    if wanted == "p":
        assert ("age" in screening.entered) == (side < 0)


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("wanted", WANTED)
def test_a_branch_of_another_statistic_is_refused(study, wanted, side):
    with pytest.raises(NotThePlanError):
        study(wanted, side * APART)


def test_forks_are_tried_from_the_last_and_models_together():
    branches = Branches()
    with branches.decide():
        assert find_below(np.array([1.0, 2.0, 3.0]), np.array([1 + 1e-7, 2 - 1e-7, 1.0])).tolist() == [
            True,
            False,
            False,
        ]
        assert find_below(5.0, 5 - 1e-7).tolist() is False
    assert branches.forks == [Fork(0, 0), Fork(0, 1), Fork(1, 0)]
    turned = [others.turned for others in branches.list_others()]
    assert turned[:3] == [{Fork(1, 0)}, {Fork(0, 1)}, {Fork(0, 0)}]
    assert {Fork(0, 0), Fork(0, 1)} in turned
    assert len(set(turned)) == len(turned) == 6


def test_a_turned_branch_is_the_other_one():
    with Branches(frozenset({Fork(0, 1), Fork(1, 0)})).decide():
        assert find_below(np.array([1.0, 2.0]), 2 + 1e-7).tolist() == [True, False]
        # Apart from its threshold there is no other branch
        assert find_below(1.0, 2.0).tolist() is True


def test_nothing_is_a_fork_without_a_site_that_follows_or_at_no_threshold():
    assert find_below(1.0, 1.0).tolist() is False
    branches = Branches()
    with branches.decide(), np.errstate(all="raise"):
        find_below(np.array([0.0, -np.inf, np.nan, np.inf]), np.array([0.0, -np.inf, 1.0, np.inf]))
        find_below(1.0, 1.0001)
        find_below(1.0, 1.0001, 1e-5)
    assert branches.forks == []
    with branches.decide():
        find_below(1.0, 1.0001, 1e-3)
    assert branches.forks == [Fork(3, 0)]
