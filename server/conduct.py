"""Conducting a study from the first site's greeting to the report."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from rich.progress import Progress

from common.errors import PlanError
from common.messages.headers import SiteFacts
from common.messages.protocol import Reply
from server.exchange import Exchange
from server.phases.agreement import compare_readings
from server.phases.cohort import describe_cohorts
from server.phases.comparison import compare_models
from server.phases.evaluation import evaluate_models
from server.phases.explanation import explain_models
from server.phases.fitting import fit_models
from server.phases.preparation import prepare_sites
from server.phases.reference import choose_reference_model
from server.phases.regression import screen_predictors
from server.phases.scoring import score_by_networks, score_by_regressions
from server.phases.svm import fit_svms, score_by_svms
from server.phases.training import train_models
from server.report import write_report, write_tables
from server.results.assembly import StudyOutcome, assemble
from server.results.cards import write_cards
from server.results.clock import PhaseClock
from server.results.file import Results, save_results
from server.results.provenance import record_provenance
from server.run import StudyRun

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
    exchange = _open_exchange(grid, run)
    clock = PhaseClock(lambda: exchange.traffic.rounds)
    with clock.measure("enrolment"):
        facts = {site: _facts_of(reply) for site, reply in exchange.enrol(run.patience_s).items()}
    with clock.measure("preparation"):
        preparation = prepare_sites(exchange)
    outcome = _carry_out(exchange, run, progress, clock, StudyOutcome(facts, preparation))
    if exchange.hidden is not None:
        with clock.measure("closing"):
            exchange.hidden.close()
    provenance = record_provenance(run, exchange, clock, facts)
    results = assemble(run, outcome, provenance)
    write_cards(run, outcome, results)
    save_results(results, run.results)
    write_report(results, run.report)
    write_tables(results, run.tables)
    _log.info("%s", provenance.describe_rounds())
    return results


def _open_exchange(grid: Grid, run: StudyRun) -> Exchange:
    """The exchange with the sites; sums of several sites go through the protocol if the plan hides them.

    Raises
    ------
    PlanError
        If the plan hides sums and there is no roster.
    """
    exchange = Exchange(grid, run.plan, run.key)
    if run.plan.hides_sums:
        if run.roster is None:
            raise PlanError("the plan hides sums, and no roster says among whom -> rhe-server roster")
        exchange.hide(run.roster, run.protocol, run.absent)
    return exchange


def _carry_out(
    exchange: Exchange, run: StudyRun, progress: Progress, clock: PhaseClock, outcome: StudyOutcome
) -> StudyOutcome:
    """The outcome after all phases that the plan asks for."""
    phases = run.plan.phases
    if "agreement" in phases:
        with clock.measure("agreement"):
            outcome = replace(outcome, readings=compare_readings(exchange))
    if "cohort" in phases:
        with clock.measure("cohort"):
            outcome = replace(outcome, cohort=describe_cohorts(exchange))
    if "regression" in phases:
        with clock.measure("regression"):
            outcome = replace(outcome, screening=screen_predictors(exchange))
    if "training" in phases:
        with clock.measure("training"):
            outcome = replace(outcome, trained=train_models(exchange, run, progress))
        outcome = _fit_table_models(exchange, run, clock, outcome)
    if "evaluation" in phases:
        outcome = _evaluate_models(exchange, clock, outcome)
    if "explanation" in phases:
        with clock.measure("explanation"):
            outcome = replace(outcome, maps=explain_models(exchange, outcome.trained))
    return outcome


def _fit_table_models(
    exchange: Exchange, run: StudyRun, clock: PhaseClock, outcome: StudyOutcome
) -> StudyOutcome:
    """Fit the models of the table, after the networks have scored: their scores may be covariates."""
    with clock.measure("scoring"):
        score_by_networks(exchange, outcome.trained)
    with clock.measure("fitting"):
        fitting = fit_models(exchange, run, outcome.screening)
        score_by_regressions(exchange, fitting.models)
        machines = fit_svms(exchange, run, fitting.selections)
        score_by_svms(exchange, machines)
    return replace(outcome, fitted=fitting.models, machines=machines, selections=fitting.selections)


def _evaluate_models(exchange: Exchange, clock: PhaseClock, outcome: StudyOutcome) -> StudyOutcome:
    """Judge and compare the scores, which stay at the sites."""
    reference = choose_reference_model(exchange.plan, outcome.trained)
    with clock.measure("evaluation"):
        evaluated = evaluate_models(exchange, outcome.unfitted)
    with clock.measure("comparison"):
        compared = compare_models(exchange, evaluated, reference)
    return replace(outcome, reference=reference, evaluated=evaluated, compared=compared)


def _facts_of(reply: Reply) -> SiteFacts:
    if reply.header.facts is None:
        raise ValueError("a site described itself without facts")
    return reply.header.facts
