"""One run of the study on the SuperLink; this process is its ServerApp, and no code travels with it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from common.errors import ExchangeError
from common.messages.bundle import make_bundle
from server.process.flower_logs import quieten_flower
from server.provision.office import Office

if TYPE_CHECKING:
    from flwr.serverapp import Grid
    from flwr.supercore.control import ControlHttpClient

    from server.process.flower_socket import SocketGrid

_POLL_S = 0.05
_BEGIN_S = 30.0


@contextmanager
def open_run(office: Office) -> Iterator[Grid]:
    """A context with Flower's grid of a new run; every earlier run is ended first, and this one at the end.

    Raises
    ------
    ExchangeError
        If the SuperLink refuses, or does not answer.
    """
    from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http

    from server.process.flower_socket import explain_failures, open_control

    quieten_flower()
    with explain_failures(), open_control(office.control_socket) as control:
        stop_runs(control)
        run = _start_run(control)
        grid = _acquire_grid(office, run)
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(grid.runtime))
    heartbeat.start()
    completed = False
    try:
        yield grid
        completed = True
    finally:
        with suppress(ExchangeError):
            _end_task(grid, completed=completed)
        heartbeat.stop()
        grid.close()


def stop_runs(control: ControlHttpClient) -> None:
    """End every run that is not finished, so that no site works for it any more."""
    from flwr.proto.control_pb2 import ListRunsRequest, StopRunRequest

    for number, run in control.ListRuns(ListRunsRequest()).run_dict.items():
        if run.status.status != "finished":
            control.StopRun(StopRunRequest(run_id=number))


def _start_run(control: ControlHttpClient) -> int:
    from flwr.proto.control_pb2 import StartRunRequest
    from flwr.proto.fab_pb2 import Fab

    response = control.StartRun(StartRunRequest(fab=Fab(content=make_bundle())))
    if not response.run_id:
        raise ExchangeError("the SuperLink did not start a run -> see its log")
    return int(response.run_id)


def _acquire_grid(office: Office, run: int) -> SocketGrid:
    """The grid of the run's task, which nobody but this process takes.

    Raises
    ------
    ExchangeError
        If the SuperLink does not hand out the task in time.
    """
    from flwr.common.serde import run_from_proto
    from flwr.proto.runtime_pb2 import AcquireTaskRequest, PullTaskInputRequest
    from flwr.supercore.constant import TaskType
    from flwr.supercore.task_identity import TaskIdentity

    from server.process.flower_socket import SocketGrid, open_runtime

    deadline = time.monotonic() + _BEGIN_S
    with open_runtime(office.control_socket) as runtime:
        request = AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP])
        while True:
            answer = runtime.AcquireTask(request)
            if answer.token and answer.task.run_id == run:
                break
            if time.monotonic() > deadline:
                raise ExchangeError(f"the SuperLink has not begun the run in {_BEGIN_S:.0f} s -> see its log")
            time.sleep(_POLL_S)
    grid = SocketGrid(office.control_socket, answer.token)
    task = grid.runtime.PullTaskInput(PullTaskInputRequest())
    # Flower's Message constructor reads the identity of its process, which its own executor would have set
    TaskIdentity.task_id, TaskIdentity.run_id = task.task_id, task.run.run_id
    TaskIdentity.node_id = task.context.node_id
    grid.set_run(run_from_proto(task.run))
    return grid


def _end_task(grid: SocketGrid, *, completed: bool) -> None:
    from flwr.common.constant import SubStatus
    from flwr.proto.runtime_pb2 import PushTaskOutputRequest

    from server.process.flower_socket import explain_failures

    status = SubStatus.COMPLETED if completed else SubStatus.STOPPED
    with explain_failures():
        grid.runtime.PushTaskOutput(PushTaskOutputRequest(sub_status=status))
