"""Message rounds of Flower as it comes: SuperLink, two SuperNodes, and apps that send bytes back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from client.link.supervise import find_free_port

_PATIENCE_S = 600.0
_PROJECT = """
[project]
name = "plain"
version = "1.0.0"
description = "Sends bytes back"
license = "Apache-2.0"
dependencies = []
[tool.flwr.app]
publisher = "bench"
[tool.flwr.app.components]
serverapp = "plain.server_app:app"
clientapp = "plain.client_app:app"
[tool.flwr.app.config]
"""
_CLIENT = """
from flwr.app import Message
from flwr.clientapp import ClientApp

app = ClientApp()

@app.query()
def answer(message, context):
    return Message(message.content, reply_to=message)
"""
_SERVER = """
import json, os, time
import numpy as np
from flwr.app import ArrayRecord, Message, MessageType, RecordDict
from flwr.serverapp import ServerApp

app = ServerApp()

@app.main()
def main(grid, context):
    while len(nodes := sorted(grid.get_node_ids())) < 2:
        time.sleep(0.1)
    times = []
    for number in range({rounds}):
        sent = RecordDict({{"bytes": ArrayRecord([np.full({size}, number, np.uint8)])}})
        messages = [Message(sent, dst_node_id=node, message_type=MessageType.QUERY) for node in nodes]
        begun = time.perf_counter()
        answers = list(grid.send_and_receive(messages))
        times.append(time.perf_counter() - begun)
        assert len(answers) == 2 and not any(answer.has_error() for answer in answers)
    with open({result!r} + ".part", "w") as file:
        json.dump(times, file)
    os.replace({result!r} + ".part", {result!r})
"""


def time_plain_rounds(folder: Path, rounds: int, size: int) -> list[float]:
    """Seconds of each round in which two SuperNodes get this many bytes and send them back.

    Without TLS and without signatures, which spares Flower what our line does.

    Raises
    ------
    RuntimeError
        If Flower's processes end, or nothing comes in time.
    """
    result = folder / "times.json"
    bundle = _build_bundle(folder, rounds, size, result)
    port = find_free_port()
    with ExitStack() as stack:
        flags = ["--insecure", "--port", str(port), "--disable-runtime-dependency-installation"]
        link = stack.enter_context(_run(folder, "superlink", flags))
        for number in (1, 2):
            flags = ["--insecure", "--superlink", f"127.0.0.1:{port}", "--port", str(find_free_port())]
            stack.enter_context(_run(folder, "supernode", flags, f"supernode-{number}"))
        _start_run(port, bundle)
        deadline = time.monotonic() + _PATIENCE_S
        while not result.exists():
            if link.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"plain Flower came to nothing: see {folder}")
            time.sleep(0.1)
    times: list[float] = json.loads(result.read_text(encoding="utf-8"))
    return times


def _build_bundle(folder: Path, rounds: int, size: int, result: Path) -> bytes:
    app = folder / "app"
    (app / "plain").mkdir(parents=True)
    (app / "pyproject.toml").write_text(_PROJECT, encoding="utf-8")
    (app / "plain" / "__init__.py").write_text("", encoding="utf-8")
    (app / "plain" / "client_app.py").write_text(_CLIENT, encoding="utf-8")
    server = _SERVER.format(rounds=rounds, size=size, result=str(result))
    (app / "plain" / "server_app.py").write_text(server, encoding="utf-8")
    program = str(Path(sys.executable).with_name("flwr"))
    environment = _make_environment(folder / "flwr")
    subprocess.run(
        [program, "build", "--app", str(app)], cwd=app, check=True, capture_output=True, env=environment
    )
    return next(app.glob("*.fab")).read_bytes()


def _start_run(port: int, bundle: bytes) -> None:
    import httpx
    from flwr.proto.control_pb2 import StartRunRequest
    from flwr.proto.fab_pb2 import Fab
    from flwr.supercore.control import ControlHttpClient

    control = ControlHttpClient(f"http://127.0.0.1:{port}", interceptors=[], verify=False)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        try:
            control.StartRun(StartRunRequest(fab=Fab(content=bundle)))
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        else:
            return


@contextmanager
def _run(
    folder: Path, program: str, flags: Sequence[str], name: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    """One of Flower's programs, which is ended with all that it started."""
    name = name or program
    path = Path(sys.executable).with_name(f"flower-{program}")
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [str(path), *flags],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=_make_environment(folder / name),
            cwd=folder,
        )
    try:
        yield process
    finally:
        _end(process)


def _make_environment(home: Path) -> dict[str, str]:
    home.mkdir(exist_ok=True)
    # Flower finds its other programs by PATH
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "FLWR_HOME": str(home), "FLWR_TELEMETRY_ENABLED": "0"}


def _end(process: subprocess.Popen[bytes]) -> None:
    import psutil

    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.terminate()
    _, alive = psutil.wait_procs(family, timeout=10)
    for member in alive:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
