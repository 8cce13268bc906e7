"""What a hospital's engine is at, as numbers for the hospital's monitoring; none of them about patients."""

from __future__ import annotations

import time
from collections.abc import Iterator

from client.watch.site_state import EngineState
from common.runtime.watch.exposition import MetricFamily, Sample, gauge_of
from common.runtime.watch.plain_times import read_moment


def list_site_metrics(
    state: EngineState, *, is_running: bool = True, is_connected: bool | None = None, now: float | None = None
) -> tuple[MetricFamily, ...]:
    """The metrics of a site.

    Parameters
    ----------
    state : EngineState
    is_running : bool
        Whether an engine is at work.
    is_connected : bool or None
        Whether its link reaches the coordinator; None where that is not known.
    now : float, optional
        Seconds since 1970; by default the present.
    """
    at = time.time() if now is None else now
    return tuple(_list_metrics(state, is_running=is_running, is_connected=is_connected, now=at))


def _list_metrics(
    state: EngineState, *, is_running: bool, is_connected: bool | None, now: float
) -> Iterator[MetricFamily]:
    site = {"site": state.site}
    heard, since = read_moment(state.heard), read_moment(state.computing.since)
    yield gauge_of("rhe_engine_running", "Whether the site's engine is at work.", is_running, **site)
    yield gauge_of(
        "rhe_link_connected", "Whether the site's link reaches the coordinator.", is_connected, **site
    )
    yield gauge_of(
        "rhe_engine_updated_timestamp_seconds",
        "When the engine last told of itself.",
        read_moment(state.updated),
        **site,
    )
    yield gauge_of(
        "rhe_coordinator_last_contact_timestamp_seconds",
        "When the coordinator's last question came.",
        heard,
        **site,
    )
    yield gauge_of(
        "rhe_coordinator_last_contact_seconds",
        "How long ago the coordinator's last question came.",
        None if heard is None else max(now - heard, 0),
        **site,
    )
    yield gauge_of(
        "rhe_engine_computing_seconds",
        "For how long the engine has computed the answer; 0 while it waits.",
        0 if since is None else max(now - since, 0),
        **site,
    )
    yield from _list_epochs(state)
    answered = (Sample(state.answered, site),)
    yield MetricFamily("rhe_engine_answers_total", "Questions answered since its start.", answered, "counter")
    kinds = sorted(state.left.answers.items())
    yield MetricFamily(
        "rhe_answers_left_today",
        "Answers that have left today (UTC) by the ledger, by kind.",
        tuple(Sample(number, {**site, "kind": kind}) for kind, number in kinds),
    )
    if state.memory.total_bytes:
        used, total = state.memory.used_bytes, state.memory.total_bytes
        yield gauge_of("rhe_gpu_memory_used_bytes", "Memory of the GPU in use, by everybody.", used, **site)
        yield gauge_of("rhe_gpu_memory_bytes", "Memory of the GPU.", total, **site)
    yield gauge_of(
        "rhe_site_disk_free_bytes", "Free space of the site's state.", state.disk_free_bytes, **site
    )


def _list_epochs(state: EngineState) -> Iterator[MetricFamily]:
    site = {"site": state.site}
    if state.computing.part == "epoch":
        yield gauge_of(
            "rhe_engine_epoch", "Epochs of the training that are done.", state.computing.done, **site
        )
        yield gauge_of("rhe_engine_epochs", "Epochs of the training.", state.computing.of, **site)
