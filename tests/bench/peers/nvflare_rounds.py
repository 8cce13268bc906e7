"""Message rounds of NVFlare's simulator; run by an interpreter that has NVFlare, with none of our libraries.

`python nvflare_rounds.py FOLDER ROUNDS BYTES` prints the seconds of each round, as JSON, in its last line.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

CODE = """
import json, time
import numpy as np
from nvflare.apis.controller_spec import Task
from nvflare.apis.dxo import DXO, DataKind, from_shareable
from nvflare.apis.executor import Executor
from nvflare.apis.impl.controller import Controller


class Rounds(Controller):
    def __init__(self, rounds, size, result):
        super().__init__()
        self.rounds, self.size, self.result = rounds, size, result

    def start_controller(self, fl_ctx):
        pass

    def stop_controller(self, fl_ctx):
        pass

    def control_flow(self, abort_signal, fl_ctx):
        times, answers = [], []
        for number in range(self.rounds):
            sent = DXO(DataKind.WEIGHTS, data={"bytes": np.full(self.size, number, np.uint8)}).to_shareable()
            answers.clear()
            task = Task(
                name="echo",
                data=sent,
                result_received_cb=lambda client_task, fl_ctx: answers.append(client_task.result),
            )
            begun = time.perf_counter()
            self.broadcast_and_wait(task=task, fl_ctx=fl_ctx, min_responses=2, abort_signal=abort_signal)
            times.append(time.perf_counter() - begun)
            assert [from_shareable(answer).data["bytes"].size for answer in answers] == [self.size] * 2
        with open(self.result, "w") as file:
            json.dump(times, file)

    def process_result_of_unknown_task(self, *arguments, **named):
        pass


class Echo(Executor):
    def execute(self, task_name, shareable, fl_ctx, abort_signal):
        return from_shareable(shareable).to_shareable()
"""


def main() -> None:
    """Run a job of these rounds in the folder."""
    from nvflare.private.fed.app.simulator.simulator_runner import (  # type: ignore[import-not-found]
        SimulatorRunner,
    )

    folder, rounds, size = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    app, result = folder / "job" / "app", folder / "times.json"
    (app / "config").mkdir(parents=True)
    (app / "custom").mkdir()
    (app / "custom" / "echo_rounds.py").write_text(CODE, encoding="utf-8")
    workflow = {"rounds": rounds, "size": size, "result": str(result)}
    server = {"workflows": [{"id": "rounds", "path": "echo_rounds.Rounds", "args": workflow}]}
    client = {"executors": [{"tasks": ["echo"], "executor": {"path": "echo_rounds.Echo", "args": {}}}]}
    meta = {"name": "job", "deploy_map": {"app": ["@ALL"]}, "min_clients": 2}
    for path, content in (
        (app / "config" / "config_fed_server.json", {"format_version": 2, **server, "components": []}),
        (app / "config" / "config_fed_client.json", {"format_version": 2, **client, "components": []}),
        (folder / "job" / "meta.json", meta),
    ):
        path.write_text(json.dumps(content), encoding="utf-8")
    code = SimulatorRunner(str(folder / "job"), str(folder / "work"), n_clients=2, threads=2).run()
    print(result.read_text(encoding="utf-8") if result.exists() else f"ended with {code}")


if __name__ == "__main__":
    main()
