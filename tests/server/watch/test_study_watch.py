"""What a study tells its watch, and what a file, a board, lines and metrics make of it."""

from __future__ import annotations

import logging
import re
from contextlib import suppress
from dataclasses import dataclass, field

import pytest
from studies.metrics_text import read_exposition

from common.runtime.watch.exposition import write_exposition
from common.runtime.watch.plain_times import read_moment
from server.earlier_run import describe_earlier_run
from server.watch.study_board import describe_study
from server.watch.study_metrics import list_study_metrics
from server.watch.study_state import STATE_FILE, read_study_state
from server.watch.study_watch import StudyWatch
from server.watch.time_left import Reckoning, Work
from server.watch.watched_parts import StudyOutline


@dataclass
class Counted:
    rounds: int = 0
    messages: int = 0
    bytes_sent: int = 0
    bytes_received: int = 0


@dataclass(frozen=True)
class Line:
    number: int
    loss: float
    validation_auc: float | None = None
    released: bool = False


@dataclass(frozen=True)
class Absent:
    since: float
    pause: str = "goes on"


@dataclass
class Stage:
    """A study of two sites that is kept in a folder."""

    folder: object
    watch: StudyWatch = field(default_factory=StudyWatch)
    traffic: Counted = field(default_factory=Counted)

    def keep(self):
        outline = StudyOutline(
            name="A study",
            plan_hash="f" * 64,
            sites=("a", "b"),
            phases=("enrolment", "cohort", "training", "evaluation"),
            procedures={
                "cohort": "cohort",
                "training m federated": "training",
                "training m local-a": "training",
                "evaluation": "evaluation",
                "calibration": "evaluation",
            },
            reckoning=Reckoning(
                usual={"cohort": 2, "training": 20, "evaluation": 10},
                trainings=(Work("m", "federated", 3), Work("m", "local-a", 3)),
            ),
        )
        return self.watch.keep(outline, self.folder, self.traffic, 1)

    @property
    def told(self):
        """The lines without their times."""
        return [line.partition(" ")[2] for line in self.watch.read().lines]


@pytest.fixture
def stage(tmp_path):
    return Stage(tmp_path)


def test_the_file_says_that_it_runs_and_afterwards_how_it_ended(stage, tmp_path):
    with stage.keep():
        running = read_study_state(tmp_path)
    finished = read_study_state(tmp_path)

    assert (running.condition, running.ended, running.name) == ("running", "", "A study")
    assert running.pid > 0
    assert finished.condition == "finished"
    assert read_moment(finished.ended) is not None
    assert finished.steps.done == finished.steps.of == 5


@pytest.mark.parametrize(
    ("failure", "condition", "words"),
    [
        (ValueError("b: too\n few"), "failed", "b: too few"),
        (KeyboardInterrupt(), "interrupted", "--resume goes on"),
        (SystemExit(143), "interrupted", "--resume goes on"),
    ],
)
def test_an_end_that_was_not_planned_is_told_and_stays_what_it_is(stage, tmp_path, failure, condition, words):
    with pytest.raises(type(failure)), stage.keep():
        raise failure

    state = read_study_state(tmp_path)
    assert state.condition == condition
    assert words in state.ending


def test_phases_that_go_on_together_end_with_their_last_procedure(stage):
    watch = stage.watch
    with stage.keep():
        with watch.watch_phase("enrolment"):
            pass
        watch.watch_part("cohort", lambda: 1)()
        train = watch.watch_part("training m federated", lambda: "model")
        with watch.watch_phase("training"):
            stage.traffic.rounds += 1
        assert train() == "model"
        half = watch.read()
        watch.watch_part("training m local-a", lambda: None)()
        whole = watch.read()

    def going(state):
        return [phase.name for phase in state.phases if phase.goes_on]

    assert (going(half), going(whole)) == (["training"], [])
    assert (half.steps.done, whole.steps.done) == (2, 3)
    assert [line.partition(" in ")[0] for line in stage.told[:6]] == [
        "phase 1 of 4 begins: enrolment",
        "enrolment: done",
        "phase 2 of 4 begins: cohort",
        "cohort: done",
        "phase 3 of 4 begins: training",
        "training: done",
    ]


def test_a_phase_of_its_own_ends_with_all_its_procedures_asked_or_not(stage):
    with stage.keep():
        with stage.watch.watch_phase("evaluation"):
            stage.watch.see_question("evaluate", {"procedure": "evaluation"})
            assert stage.watch.read().steps.now == ("evaluation",)
        assert stage.watch.read().steps.done == 2


def test_each_round_has_one_line_with_what_may_be_shown(stage):
    watch = stage.watch
    curve = [Line(1, 0.5), Line(1, 0.5, 0.71, released=True), Line(2, 0.4), Line(2, 0.4, 0.8)]
    with stage.keep():
        watch.see_training("m", "federated", 3)
        watch.see_round("m", "federated", curve[:1])
        watch.see_round("m", "federated", [curve[1], curve[2]])
        watch.see_round("m", "federated", [curve[1], curve[3], Line(3, 0.3)])
        (training,) = watch.read().trainings
        board = describe_study(watch.read())
        watch.see_trained("m", "federated", curve[1:2], 1)

    assert [line.rpartition(";")[0] or line for line in stage.told[:5]] == [
        "m, federated: training of 3 rounds",
        "m, federated: round 1 of 3, loss 0.5000",
        "m, federated: round 2 of 3, loss 0.4000, validation AUC of round 1 0.710",
        "m, federated: round 3 of 3, loss 0.3000, validation AUC withheld: too few validation patients",
        "m, federated: trained, round 1 is kept, validation AUC 0.710",
    ]
    assert (training.round, training.validation_auc) == (3, None)
    assert "withheld" in next(bar.note for bar in board.bars if bar.label == "m, federated")


def test_an_auc_that_may_not_be_shown_is_in_no_form_of_the_state(stage, tmp_path):
    with stage.keep():
        stage.watch.see_training("m", "federated", 3)
        stage.watch.see_round("m", "federated", [Line(1, 0.5, 0.87654321), Line(2, 0.4)])
        state = stage.watch.read()
        forms = [
            write_exposition(list_study_metrics(state)),
            str(describe_study(state).write_json()),
            str(state.write_json()),
        ]
    forms.append((tmp_path / STATE_FILE).read_text())

    assert not any("0.87" in form for form in forms)
    assert all("0.4" in form for form in forms)


def test_the_board_tells_of_each_site_what_it_is_at(stage):
    watch = stage.watch
    with stage.keep():
        watch.see_arrival("a")
        watch.see_question("train", {"model": "m", "arm": "federated", "round": 2, "procedure": "x"})
        watch.see_question("newton", {"stage": "regression"})
        watch.see_departure(["a", "node 7"])
        asked = describe_study(watch.read())
        watch.see_answer("a")
        # The protocol's further steps belong to the same question
        watch.see_departure(["a"])
        again = describe_study(watch.read())
        watch.see_answer("a")
        answered = describe_study(watch.read())

    def words(board):
        return [party.words for party in board.parties]

    asked_words, unmet = words(asked)
    assert asked_words.startswith("at work for ")
    assert asked_words.endswith(" s: train m federated, round 2 and 1 more question")
    assert unmet == "not connected yet"
    assert words(again)[0].partition(":")[2] == asked_words.partition(":")[2]
    assert words(answered)[0].endswith(" s ago: train m federated, round 2 and 1 more question")


def test_who_trains_alone_is_named_with_the_time_until_its_end(stage):
    watch = stage.watch

    def words():
        return {bar.label: bar.note for bar in describe_study(watch.read()).bars}

    with stage.keep():
        watch.see_arrival("a")
        watch.see_training("m", "local-a", 3, words="30 epochs")
        before = words()["m, local-a"]
        watch.see_question("train-local", {"model": "m", "arm": "local-a", "procedure": "training m local-a"})
        watch.see_departure(["a"])
        during = words()["m, local-a"]
        watch.epochs = {"a": (7, 30), "b": (3, 30)}
        board = describe_study(watch.read())
        (told,) = (bar for bar in board.bars if bar.label == "m, local-a")
        party, _ = board.parties
        watch.see_answer("a")
        after = words()["m, local-a"]

    assert before == after == "at its site, which tells of its end"
    assert re.fullmatch(r"a trains m alone, for \d+ s", during)
    assert re.fullmatch(r"a trains m alone, for \d+ s, epoch 7 of 30", told.note)
    assert (told.done, told.total) == (7, 30)
    assert party.words.endswith("s: train-local m local-a, epoch 7 of 30")


def test_a_study_that_waits_says_for_whom_and_since_when(stage):
    missed = {}
    stage.watch.missed = missed
    with stage.keep():
        stage.watch.see_arrival("b")
        missed["b"] = Absent(since=read_moment("2026-11-29T14:03:00+00:00"))
        state = stage.watch.read()
        missed.clear()
        on = stage.watch.read()

    assert (state.condition, state.pause.sites) == ("paused", ("b",))
    assert state.pause.since == "2026-11-29T14:03:00+00:00"
    assert describe_study(state).condition.startswith("paused, waiting for b since ")
    assert describe_study(state).parties[1].tone == "waiting"
    assert on.condition == "running"


def test_work_of_a_site_that_was_away_is_counted_from_its_return(stage, monkeypatch):
    missed = {}
    stage.watch.missed = missed
    monkeypatch.setattr("server.watch.study_watch.write_moment", lambda *_: "2026-11-30T03:36:00+00:00")
    with stage.keep():
        stage.watch.see_arrival("a")
        stage.watch.see_question("train", {"model": "m", "arm": "federated", "procedure": "x"})
        stage.watch.see_departure(["a", "b"])
        missed["a"] = Absent(since=0.0)
        stage.watch._tick()
        monkeypatch.setattr("server.watch.study_watch.write_moment", lambda *_: "2026-11-30T03:40:00+00:00")
        missed.clear()
        asked_at = {site.name: site.asked_at for site in stage.watch.read().sites}

    assert asked_at == {"a": "2026-11-30T03:40:00+00:00", "b": "2026-11-30T03:36:00+00:00"}


def test_a_site_that_is_asked_who_it_is_is_connected(stage):
    with stage.keep():
        before = describe_study(stage.watch.read())
        stage.watch.see_departure(["a"])
        asked, unmet = describe_study(stage.watch.read()).parties

    assert before.parties[0].words == unmet.words == "not connected yet"
    assert asked.words.startswith("connected, asked ")


def test_the_phase_that_goes_on_is_counted_and_after_the_last_results_are_written(stage):
    with stage.keep():
        with stage.watch.watch_phase("enrolment"):
            first = describe_study(stage.watch.read())
        for name in ("cohort", "training m federated", "training m local-a"):
            stage.watch.watch_part(name, lambda: None)()
        with stage.watch.watch_phase("evaluation"):
            last = describe_study(stage.watch.read())
        after = describe_study(stage.watch.read())

    def count(board):
        return [(bar.label, bar.done, bar.total) for bar in board.bars if bar.label.startswith("phase")]

    assert count(first) == [("phase", 1, 4)]
    assert count(last) == [("phase", 4, 4)]
    assert last.condition.startswith("running since ")
    assert after.condition.startswith("writing results")


def test_who_was_waited_for_before_the_first_round_costs_its_measure_nothing(stage):
    watch, missed = stage.watch, {"b": Absent(since=0.0)}
    watch.missed = missed
    with stage.keep():
        watch._tick()
        missed.clear()
        watch.see_training("m", "federated", 3)
        watch.see_round("m", "federated", [Line(1, 0.5)])
        left = watch.read()

    assert left.time_left.seconds is not None
    # Once, among the facts
    assert str(describe_study(left).write_json()).count("about ") == 1


def test_the_time_left_falls_while_a_phase_asks_and_not_while_somebody_is_waited_for(stage, monkeypatch):
    clock, watch = [100.0], stage.watch
    monkeypatch.setattr("server.watch.study_watch.time.monotonic", lambda: clock[0])
    watch._ticked, missed = 100.0, {}
    watch.missed = missed
    with stage.keep():
        for name in ("cohort", "training m federated", "training m local-a"):
            watch.watch_part(name, lambda: None)()
        with watch.watch_phase("evaluation"):
            stage.traffic.rounds, clock[0] = 2, 104.0
            watch._tick()
            first = watch.read().time_left.seconds
            missed["b"], clock[0] = Absent(since=0.0), 1000.0
            watch._tick()
            missed.clear()
            waited = watch.read().time_left.seconds
            stage.traffic.rounds, clock[0] = 6, 1008.0
            later = watch.read().time_left.seconds

    # Two seconds a round, of which ten are usual
    assert (first, waited, later) == pytest.approx((16.0, 16.0, 8.0))


def test_a_round_in_which_somebody_was_waited_for_measures_nothing(stage):
    watch, missed = stage.watch, {}
    watch.missed = missed
    with stage.keep():
        watch.see_training("m", "federated", 3)
        missed["b"] = Absent(since=0.0)
        watch._tick()
        missed.clear()
        watch.see_round("m", "federated", [Line(1, 0.5)])
        after_a_pause = watch.read().time_left.seconds
        watch.see_round("m", "federated", [Line(1, 0.5), Line(2, 0.4)])
        measured = watch.read().time_left.seconds

    assert after_a_pause is None
    assert measured is not None


def test_what_other_modules_log_is_among_the_lines_once(stage):
    with stage.keep():
        logging.getLogger("server.attendance").warning("paused, waiting for %s", "b")
        stage.watch.say("said once")
    logging.getLogger("server.attendance").warning("after the end")

    assert stage.told == ["paused, waiting for b", "said once", "finished: with results"]


def test_statistics_have_a_line_now_and_then_and_only_if_something_was_asked(stage, monkeypatch):
    monkeypatch.setattr("server.watch.study_watch._QUIET_S", 0.0)
    with stage.keep():
        stage.watch.see_question("newton", {"procedure": "cohort"})
        stage.watch.see_departure(["b"])
        stage.watch._tick()
        stage.traffic.rounds = 12
        stage.watch._tick()
        stage.watch._tick()

    assert stage.told[1:-1] == ["cohort: 12 rounds of messages so far, 0 of 5 steps done; b at work"]


def test_metrics_are_named_by_convention_and_read_back(stage):
    with stage.keep():
        stage.watch.see_arrival("a")
        stage.watch.see_training("m", "federated", 3)
        stage.watch.see_round("m", "federated", [Line(1, 0.5, 0.7, released=True)])
        stage.traffic.messages = 4
        state = stage.watch.read()

    read = read_exposition(write_exposition(list_study_metrics(state, read_moment(state.updated) + 60)))

    labels = (("arm", "federated"), ("model", "m"))
    assert read["rhe_study_round"] == ("gauge", {labels: 1.0})
    assert read["rhe_study_validation_auc"][1][labels] == 0.7
    assert read["rhe_study_messages_total"] == ("counter", {(): 4.0})
    assert read["rhe_study_condition"][1][("condition", "running"),] == 1.0
    assert read["rhe_site_last_contact_seconds"][1][("site", "a"),] == pytest.approx(60, abs=2)
    assert ("site", "b") not in {
        label for labels in read["rhe_site_last_contact_seconds"][1] for label in labels
    }
    assert all(name.startswith("rhe_") for name in read)


def test_a_watch_that_nobody_keeps_costs_no_file_and_no_thread(tmp_path):
    watch = StudyWatch()

    watch.see_question("train", {"procedure": "x"})
    watch.see_departure(["a"])
    watch.see_answer("a")

    assert watch.read().lines == ()


def end_without_word(stage):
    """The state of a run that was killed in its second round of training: nobody wrote its end."""
    with stage.keep():
        for name in ("enrolment", "cohort"):
            with stage.watch.watch_phase(name):
                pass
        with stage.watch.watch_phase("training"):
            stage.watch.see_training("m", "federated", 3)
            stage.watch.see_round("m", "federated", [Line(1, 0.7)])
            stage.watch._file.write()
            killed = (stage.folder / STATE_FILE).read_bytes()
    (stage.folder / STATE_FILE).write_bytes(killed)


def test_a_run_after_one_that_was_killed_says_so_and_from_where_it_goes_on(stage):
    end_without_word(stage)
    told = describe_earlier_run(stage.folder)
    assert told.startswith("run 1 of this study said nothing of its end: it was killed")
    assert "in cohort, training (m, federated: 1 of 3 rounds done); this run goes on from there" in told
    assert "\n" not in told


@pytest.mark.parametrize("ending", [KeyboardInterrupt(), RuntimeError("x")])
def test_a_run_after_one_that_told_its_end_says_nothing_of_it(stage, ending):
    with suppress(KeyboardInterrupt, RuntimeError), stage.keep():
        raise ending
    assert describe_earlier_run(stage.folder) == ""
    assert describe_earlier_run(stage.folder / "nowhere") == ""


def test_a_state_that_a_dying_disk_damaged_hinders_nobody(stage):
    (stage.folder / STATE_FILE).write_text("{")
    assert describe_earlier_run(stage.folder) == ""
