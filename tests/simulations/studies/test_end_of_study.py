"""A study's end is told to every hospital, sums hidden or not; who does not hear it costs nothing."""

import pytest
from rich.progress import Progress
from sites.tables import table_only_hospital

from client.watch.site_board import describe_site_state
from common.errors import ExchangeError
from common.messages.envelope import split_messages
from common.messages.protocol import question_of
from common.plan.study import StudyPlan
from server.conduct import conduct
from server.planning.message_rounds import expect_rounds
from server.run import StudyRun
from server.watch.study_state import read_study_state
from simulations.backends.in_process import open_engines
from simulations.backends.local_grid import LocalGrid
from simulations.backends.parties import derive_simulated_key, derive_simulated_roster

NAMES = ("east", "west")
TOLD = "all questions of this study were answered ("


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("hospitals")
    return {name: table_only_hospital(root / name, name, 40, seed) for seed, name in enumerate(NAMES)}


def a_run(out, *, secure):
    plan = StudyPlan.model_validate(
        {
            "name": "Ends",
            "seed": 3,
            "profile": "simulation",
            "two_site_ack": True,
            "sites": [{"name": name, "role": "train"} for name in NAMES],
            "models": [{"kind": "logistic", "name": "L", "covariates": ["age"]}],
            "phases": ["cohort"],
            "privacy": {"secure": secure},
        }
    )
    return StudyRun(plan, out, derive_simulated_key(plan), derive_simulated_roster(plan))


def carry_out(run, folders, lose=lambda name, message: None):
    """The results, and what each hospital then says of itself."""
    engines = open_engines(run, folders, Progress(disable=True))

    def tap(name, engine):
        return lambda message: (lose(name, message), engine.handle(message))[1]

    results = conduct(LocalGrid({name: tap(name, engines[name]) for name in NAMES}), run, Progress())
    boards = {name: describe_site_state(engines[name].watch.read()) for name in NAMES}
    for board in boards.values():
        assert board.condition.startswith(TOLD) != ("phase" in {fact.label for fact in board.facts})
    return results, {name: board.condition for name, board in boards.items()}


@pytest.mark.usefixtures("no_page")
@pytest.mark.parametrize("secure", [True, False])
def test_each_hospital_says_that_all_was_answered(folders, tmp_path, secure):
    run = a_run(tmp_path, secure=secure)

    results, told = carry_out(run, folders)

    assert all(condition.startswith(TOLD) for condition in told.values()), told
    taken = {phase.phase: phase.rounds for phase in results.provenance.phases}
    assert taken["closing"] == expect_rounds(run.plan)["closing"].usual == 1


@pytest.mark.usefixtures("no_page")
def test_a_hospital_that_does_not_hear_the_end_costs_no_result(folders, tmp_path, caplog):
    def lose(name, message):
        if name == "west" and any(question_of(one).stage == "end" for one in split_messages(message)):
            raise ExchangeError("the hospital is dead")

    run = a_run(tmp_path, secure=False)
    results, told = carry_out(run, folders, lose)

    assert run.results.exists()
    assert read_study_state(tmp_path).condition == "finished"
    assert results.provenance.pauses == ()
    assert told["east"].startswith(TOLD)
    assert told["west"] == "waits for the coordinator's next question"
    assert "the end of the study was not told to west (west: " in caplog.text
