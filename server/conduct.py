"""Conducting a study from the first site's greeting to the report."""

from __future__ import annotations

import logging
import os
import platform
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from rich.progress import Progress

from common.errors import PlanError
from common.headers import SiteFacts
from common.machine import processor
from common.protocol import Reply
from server.assembly import Outcome, assemble, unfitted
from server.cards import write_cards
from server.clock import PhaseClock
from server.exchange import Exchange
from server.phases.agreement import compare_readings
from server.phases.cohort import describe_cohorts
from server.phases.comparison import compare_models
from server.phases.evaluation import evaluate_models
from server.phases.explanation import explain_models
from server.phases.fitting import fit_models
from server.phases.preparation import prepare_sites
from server.phases.regression import screen_predictors
from server.phases.scoring import score_by_networks, score_by_regressions
from server.phases.svm import fit_svms, score_by_svms
from server.phases.training import train_models
from server.provenance import PhaseTime, Provenance, SiteProvenance
from server.reference import reference_model
from server.report import write_report, write_tables
from server.results import Results, save_results
from server.run import StudyRun

if TYPE_CHECKING:
    from flwr.serverapp import Grid

_log = logging.getLogger(__name__)
_PACKAGES = ("rhe", "flwr", "torch", "monai", "numpy", "scipy")


def conduct(grid: Grid, run: StudyRun, progress: Progress) -> Results:
    """The study's results, also written with the report into the run's folder.

    Every phase may be repeated: what was trained or prepared before is found again, so an interrupted study
    that is conducted once more ends with the same bits.

    Raises
    ------
    RheError
        If a site stays away, refuses or fails, or the folder cannot be written.
    """
    exchange = _line(grid, run)
    clock = PhaseClock(lambda: exchange.traffic.rounds)
    with clock.phase("enrolment"):
        facts = {site: _facts(reply) for site, reply in exchange.enrol(run.patience_s).items()}
    with clock.phase("preparation"):
        preparation = prepare_sites(exchange)
    outcome = _carry_out(exchange, run, progress, clock, Outcome(facts, preparation))
    if exchange.hidden is not None:
        with clock.phase("closing"):
            exchange.hidden.close()
    provenance = _provenance(run, exchange, clock, facts)
    results = assemble(run, outcome, provenance)
    write_cards(run, outcome, results)
    save_results(results, run.results)
    write_report(results, run.report)
    write_tables(results, run.tables)
    _log.info("%s", provenance.rounds())
    return results


def _line(grid: Grid, run: StudyRun) -> Exchange:
    """To the sites; what several of them add up to goes through the protocol if the plan hides it."""
    exchange = Exchange(grid, run.plan, run.key)
    if run.plan.hides_sums:
        if run.roster is None:
            raise PlanError("the plan hides sums, and no roster says among whom -> rhe-server roster")
        exchange.hide(run.roster, run.protocol, run.absent)
    return exchange


def _carry_out(
    exchange: Exchange, run: StudyRun, progress: Progress, clock: PhaseClock, outcome: Outcome
) -> Outcome:
    """What the plan's phases give."""
    phases = run.plan.phases
    if "agreement" in phases:
        with clock.phase("agreement"):
            outcome = replace(outcome, readings=compare_readings(exchange))
    if "cohort" in phases:
        with clock.phase("cohort"):
            outcome = replace(outcome, cohort=describe_cohorts(exchange))
    if "regression" in phases:
        with clock.phase("regression"):
            outcome = replace(outcome, screening=screen_predictors(exchange))
    if "training" in phases:
        with clock.phase("training"):
            outcome = replace(outcome, trained=train_models(exchange, run, progress))
        outcome = _fit(exchange, run, clock, outcome)
    if "evaluation" in phases:
        outcome = _evaluate(exchange, clock, outcome)
    if "explanation" in phases:
        with clock.phase("explanation"):
            outcome = replace(outcome, maps=explain_models(exchange, outcome.trained))
    return outcome


def _fit(exchange: Exchange, run: StudyRun, clock: PhaseClock, outcome: Outcome) -> Outcome:
    """Networks score first: their scores may be covariates of models of the table."""
    with clock.phase("scoring"):
        score_by_networks(exchange, outcome.trained)
    with clock.phase("fitting"):
        fitting = fit_models(exchange, run, outcome.screening)
        score_by_regressions(exchange, fitting.models)
        machines = fit_svms(exchange, run, fitting.selections)
        score_by_svms(exchange, machines)
    return replace(outcome, fitted=fitting.models, machines=machines, selections=fitting.selections)


def _evaluate(exchange: Exchange, clock: PhaseClock, outcome: Outcome) -> Outcome:
    """Judge and compare the scores, which stay at the sites throughout."""
    reference = reference_model(exchange.plan, outcome.trained)
    with clock.phase("evaluation"):
        evaluated = evaluate_models(exchange, unfitted(outcome))
    with clock.phase("comparison"):
        compared = compare_models(exchange, evaluated, reference)
    return replace(outcome, reference=reference, evaluated=evaluated, compared=compared)


def _facts(reply: Reply) -> SiteFacts:
    if reply.header.facts is None:
        raise ValueError("a site described itself without facts")
    return reply.header.facts


def _provenance(
    run: StudyRun, exchange: Exchange, clock: PhaseClock, facts: dict[str, SiteFacts]
) -> Provenance:
    traffic = exchange.traffic
    return Provenance(
        started=clock.started.isoformat(timespec="seconds"),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        backend=run.backend,
        python=platform.python_version(),
        versions={package: version(package) for package in _PACKAGES},
        processor=f"{processor()}, {os.cpu_count()} logical processors",
        sites=tuple(
            SiteProvenance(name=site, device=known.device, versions=known.versions, policy=known.policy)
            for site, known in sorted(facts.items())
        ),
        phases=tuple(
            PhaseTime(phase=name, seconds=round(spent.seconds, 3), rounds=spent.rounds)
            for name, spent in clock.spent.items()
        ),
        roster="" if run.roster is None or not run.plan.hides_sums else run.roster.fingerprint,
        message_rounds=traffic.rounds,
        messages=traffic.messages,
        bytes_sent=traffic.bytes_sent,
        bytes_received=traffic.bytes_received,
    )
