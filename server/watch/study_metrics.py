"""Where a study stands, as numbers for a monitoring system; none of them that the report would not show."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import get_args

from common.runtime.watch.exposition import MetricFamily, Sample, gauge_of
from common.runtime.watch.plain_times import read_moment
from server.watch.study_state import Condition, RunState, TrainingProgress


def list_study_metrics(state: RunState, now: float | None = None) -> tuple[MetricFamily, ...]:
    """The metrics of a study.

    Parameters
    ----------
    state : RunState
    now : float, optional
        Seconds since 1970; by default the present.
    """
    at = time.time() if now is None else now
    return (*_list_study(state), *_list_trainings(state), *_list_traffic(state), *_list_sites(state, at))


def _list_study(state: RunState) -> Iterator[MetricFamily]:
    about = "The study that runs here, by its name and its plan; always 1."
    yield gauge_of("rhe_study_info", about, 1, name=state.name, plan=state.plan_hash[:12])
    conditions = (Sample(state.condition == name, {"condition": name}) for name in get_args(Condition))
    yield MetricFamily(
        "rhe_study_condition", "Which condition the study is in: 1 for that one.", tuple(conditions)
    )
    yield gauge_of("rhe_study_started_timestamp_seconds", "When this run began.", read_moment(state.started))
    yield gauge_of(
        "rhe_study_updated_timestamp_seconds", "When these numbers were taken.", read_moment(state.updated)
    )
    ended = sum(phase.seconds is not None for phase in state.phases)
    yield gauge_of("rhe_study_phases_done", "How many phases have ended.", ended)
    yield gauge_of("rhe_study_phases", "How many phases the study has.", len(state.phases))
    yield gauge_of("rhe_study_steps_done", "How many steps of the program have ended.", state.steps.done)
    yield gauge_of("rhe_study_steps", "How many steps the program has.", state.steps.of)
    yield gauge_of(
        "rhe_study_time_left_seconds",
        "How long it will take, about; none if unknown.",
        state.time_left.seconds,
    )
    yield gauge_of("rhe_study_disk_free_bytes", "Free space of the study's folder.", state.disk_free_bytes)


def _list_trainings(state: RunState) -> Iterator[MetricFamily]:
    numbers: tuple[tuple[str, str, Callable[[TrainingProgress], float | None]], ...] = (
        ("rhe_study_round", "Rounds of a training that are done.", lambda one: one.round),
        ("rhe_study_rounds", "Rounds that a training has.", lambda one: one.of),
        ("rhe_study_training_loss", "Mean loss of its last round.", lambda one: one.loss),
        (
            "rhe_study_validation_auc",
            "Its latest validation AUC; none where too few patients stand behind it.",
            lambda one: one.validation_auc,
        ),
    )
    for name, about, take in numbers:
        values = [(training, take(training)) for training in state.trainings]
        samples = (
            Sample(value, {"model": training.model, "arm": training.arm})
            for training, value in values
            if value is not None
        )
        yield MetricFamily(name, about, tuple(samples))


def _list_traffic(state: RunState) -> Iterator[MetricFamily]:
    traffic = state.traffic
    for name, about, value in (
        ("rhe_study_message_rounds_total", "Sets of messages sent at once in this run.", traffic.rounds),
        ("rhe_study_messages_total", "Messages sent to sites in this run.", traffic.messages),
        ("rhe_study_sent_bytes_total", "Bytes of their bodies.", traffic.bytes_sent),
        ("rhe_study_received_bytes_total", "Bytes of the replies.", traffic.bytes_received),
    ):
        yield MetricFamily(name, about, (Sample(value, {}),), "counter")


def _list_sites(state: RunState, now: float) -> Iterator[MetricFamily]:
    heard = {site.name: read_moment(site.heard) for site in state.sites}
    asked = {site.name: read_moment(site.asked_at) if site.owes else None for site in state.sites}
    yield MetricFamily(
        "rhe_site_connected",
        "Whether the site can be reached, as far as the coordinator knows.",
        tuple(Sample(site.connected, {"site": site.name}) for site in state.sites),
    )
    yield MetricFamily(
        "rhe_site_last_contact_timestamp_seconds",
        "When the site was last heard.",
        tuple(Sample(at, {"site": name}) for name, at in heard.items() if at is not None),
    )
    yield MetricFamily(
        "rhe_site_last_contact_seconds",
        "How long ago the site was last heard.",
        tuple(Sample(max(now - at, 0), {"site": name}) for name, at in heard.items() if at is not None),
    )
    yield MetricFamily(
        "rhe_site_asked_seconds",
        "For how long the site has owed an answer; 0 if it owes none.",
        tuple(Sample(0 if at is None else max(now - at, 0), {"site": name}) for name, at in asked.items()),
    )
