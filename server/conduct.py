"""Conducting a study from the first site's greeting to the report."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.progress import Progress

from common.errors import PlanError
from common.runtime.machine import bind_threads
from common.runtime.storage import make_private_folder
from server.attendance import Attendance
from server.closing import close_study
from server.earlier_run import describe_earlier_run
from server.exchange import Exchange
from server.folder_note import begin_note, finish_note
from server.phases.admission import admit_sites
from server.phases.comparison import compare_models
from server.phases.earlier_models import read_earlier_cards, score_by_earlier_models
from server.phases.evaluation import evaluate_models
from server.phases.explanation import explain_models
from server.phases.preparation import prepare_sites
from server.phases.reference import choose_reference_model
from server.planning.first_counts import foresee_disk, foresee_withheld
from server.planning.study_outline import outline_study
from server.report import write_report, write_tables
from server.results.assembly import StudyOutcome, assemble
from server.results.cards import write_cards
from server.results.clock import PhaseClock, start_clock
from server.results.earlier_cards import record_earlier_models
from server.results.file import Results, save_results
from server.results.journal import open_journal
from server.results.provenance import read_own_versions, record_provenance
from server.run import StudyRun
from server.study_parts import carry_out_parts

if TYPE_CHECKING:
    from flwr.serverapp import Grid

_log = logging.getLogger(__name__)


def conduct(grid: Grid, run: StudyRun, progress: Progress) -> Results:
    """The study's results; the results file and the report are also written into the run's folder.

    Every phase may be repeated: what was prepared or trained before is read from the disk, so an interrupted
    study that is conducted again ends with the same bits.

    Parameters
    ----------
    grid : flwr.serverapp.Grid
        Flower's connection to the sites' nodes, or the one of a simulation in one process.
    run : StudyRun
        What to do, and where results go.
    progress : Progress
        Shows how far a training is.

    Raises
    ------
    RheError
        If a site stays away, refuses or fails, or the folder cannot be written.
    """
    with bind_threads(run.plan.threads):
        return _conduct(grid, run, progress)


def _conduct(grid: Grid, run: StudyRun, progress: Progress) -> Results:
    exchange = _open_exchange(grid, run)
    clock = _start_clock(exchange, run)
    clock.on_phase, run.watch.missed = run.watch.watch_phase, exchange.attendance.absent
    run.watch.epochs = exchange.attendance.epochs
    outline = outline_study(run.plan, clock.journal.phases)
    earlier = describe_earlier_run(run.out)
    with run.watch.keep(outline, run.out, exchange.traffic, clock.run), exchange.attendance.attend():
        if earlier:
            run.watch.say(earlier)
        return _carry_through(exchange, run, progress, clock)


def _carry_through(exchange: Exchange, run: StudyRun, progress: Progress, clock: PhaseClock) -> Results:
    # A missing or wrong file is told before anybody is asked
    earlier = record_earlier_models(run.plan, read_earlier_cards(run.plan, run.cards))
    begin_note(run.plan, run.out)
    _log.info("%s", foresee_disk(run.plan, run.out))
    with clock.measure("enrolment"):
        admission = admit_sites(exchange, run.patience_s, read_own_versions())
    with clock.measure("preparation"):
        preparation = prepare_sites(exchange)
    for line in foresee_withheld(run.plan, preparation.counted):
        _log.info("%s", line)
    begun = StudyOutcome(admission.facts, preparation, records={"earlier_models": earlier})
    outcome = _carry_out(exchange, run, progress, clock, begun)
    with clock.measure("closing"):
        close_study(exchange)
    run.watch.say("writing results, report and tables")
    provenance = record_provenance(run, clock.journal, admission)
    results = assemble(run, outcome, provenance)
    write_cards(run, outcome, results)
    save_results(results, run.results)
    write_report(results, run.report)
    write_tables(results, run.tables)
    finish_note(run.plan, run.out, results)
    _log.info("%s", provenance.describe_rounds())
    return results


def _open_exchange(grid: Grid, run: StudyRun) -> Exchange:
    """The exchange with the sites; sums of several sites go through the protocol if the plan hides them.

    Raises
    ------
    PlanError
        If the plan hides sums and there is no roster.
    """
    exchange = Exchange(grid, run.plan, run.key, watch=run.watch, attendance=Attendance(run.patience_s))
    exchange.stall_s = run.stall_s or run.plan.federation.timeout_s
    if run.plan.hides_sums:
        if run.roster is None:
            raise PlanError("the plan hides sums, and no roster says among whom -> rhe-server roster")
        exchange.hide(run.roster, run.protocol, run.absent)
    return exchange


def _start_clock(exchange: Exchange, run: StudyRun) -> PhaseClock:
    """The clock of this run; every round of messages is in the study's journal as soon as it is sent."""
    begun = run.checkpoints.exists() or run.protocol.exists()
    journal = open_journal(run.journal)
    clock = start_clock(exchange.traffic, journal, read_own_versions(), earlier=begun and not journal.runs)
    exchange.on_round = clock.note
    exchange.attendance.on_pause = clock.note_pause
    if run.plan.hides_sums:
        # It holds each site's answers, also those that the report suppresses
        make_private_folder(run.protocol)
    return clock


def _carry_out(
    exchange: Exchange, run: StudyRun, progress: Progress, clock: PhaseClock, outcome: StudyOutcome
) -> StudyOutcome:
    """The outcome after all phases that the plan asks for."""
    phases = run.plan.phases
    outcome = carry_out_parts(exchange, run, progress, clock, outcome)
    if "evaluation" in phases:
        outcome = _evaluate_models(exchange, run, clock, outcome)
    if "explanation" in phases:
        with clock.measure("explanation"):
            outcome = replace(outcome, explanation=explain_models(exchange, outcome.trained))
    return outcome


def _evaluate_models(
    exchange: Exchange, run: StudyRun, clock: PhaseClock, outcome: StudyOutcome
) -> StudyOutcome:
    """Judge and compare the scores, which stay at the sites."""
    reference = choose_reference_model(exchange.plan, outcome.trained)
    with clock.measure("evaluation"):
        score_by_earlier_models(exchange, run.cards)
        evaluated = evaluate_models(exchange, reference, outcome.unfitted, outcome.trainers)
    with clock.measure("comparison"):
        compared = compare_models(exchange, evaluated, reference)
    return replace(outcome, reference=reference, evaluated=evaluated, compared=compared)
