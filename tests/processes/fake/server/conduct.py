"""A study for tests of processes: rounds of sums with a checkpoint after each, no network is trained.

Its results file is that of another study, because `rhe-server run` tells what was found.
"""

from __future__ import annotations

import gzip
import json
import logging
from pathlib import Path

import numpy as np
from flwr.serverapp import Grid
from rich.progress import Progress

from common.errors import SmallNumberError
from common.messages.catalogue import Operation
from common.runtime.storage import write_atomically
from common.stats.contract import total
from server.attendance import Attendance
from server.exchange import Exchange
from server.run import StudyRun

_RESULTS = Path(__file__).parents[3] / "reference" / "results" / "version1.json.gz"
_log = logging.getLogger("server.conduct")


def conduct(grid: Grid, run: StudyRun, progress: Progress) -> None:
    stall_s = run.stall_s or run.plan.federation.timeout_s
    exchange = Exchange(grid, run.plan, run.key, attendance=Attendance(run.patience_s), stall_s=stall_s)
    exchange.enrol(run.patience_s)
    if run.out.name == "too small":
        raise SmallNumberError("3 patients -> 20 are needed")
    mark = run.out / "rounds.json"
    done = json.loads(mark.read_text()) if mark.exists() else []
    weights = np.arange(1000, dtype=np.float32)
    for number in range(len(done) + 1, run.plan.federation.rounds + 1):
        replies = exchange.ask(Operation.VALIDATE, run.plan.site_names, weights + number, round=number)
        summed = total([reply.summary for reply in replies.values()])
        done.append([int(summed.counts["round"][0]), float(summed.reals["sum"][0])])
        write_atomically(mark, json.dumps(done).encode())
        _log.info("round number=%d sum=%s", number, done[-1][1])
    write_atomically(run.results, gzip.decompress(_RESULTS.read_bytes()))
    write_atomically(run.report, b"<!doctype html>")
