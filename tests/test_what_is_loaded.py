"""What a process loads before it needs it: torch alone takes 170 MB, and a second or two of every start."""

from __future__ import annotations

import subprocess
import sys

from sites.hospitals import make_site

SLOW = (
    *("torch", "monai", "SimpleITK", "radiomics", "sklearn", "matplotlib", "pandas", "nibabel"),
    *("scipy.stats", "scipy.optimize", "scipy.signal"),
)
FLOWER = ("flwr", "grpc")
SCIENCE = (*SLOW, "scipy", "pydicom")

ANSWERS = """
import sys
from pathlib import Path

import client.link.service
import client.link.upkeep
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from rich.progress import Progress

from client.engine import open_engine
from common.messages.headers import RequestHeader
from common.messages.protocol import Request, decode_reply, encode_request
from common.plan.study import StudyPlan

folder, slow = Path(sys.argv[1]), set(sys.argv[2:])
plan = StudyPlan.model_validate({
    "name": "Light", "seed": 1, "threads": 1, "profile": "simulation", "two_site_ack": True,
    "privacy": {"secure": False},
    "sites": [{"name": "a", "role": "train"}, {"name": "b", "role": "external"}],
    "models": [{"name": "m", "family": "resnet10-narrow", "input_size": 16}],
})
key = Ed25519PrivateKey.generate()
engine = open_engine(folder, plan, key.public_key(), folder / "state", Progress(disable=True))
print("start", *sorted(slow & set(sys.modules)))
for operation, stage in (("describe", ""), ("prepare", ""), ("guard", "cohort")):
    fields = {"operation": operation, "stage": stage, "plan_hash": plan.digest(), "site": "a"}
    asked = encode_request(Request(RequestHeader.model_validate(fields), None, {}), key)
    reply = decode_reply(engine.handle(asked))
    assert reply.header.code == "OK", (operation, reply.header)
    # Numbers the parts of a mask
    slow -= {"SimpleITK"} if operation == "prepare" else set()
    print(operation, *sorted(slow & set(sys.modules)))
import client.cohort.check, client.cohort.finding_report, client.predict.request
print("commands", *sorted(slow & set(sys.modules)))
import simulations.backends.engine_host
print("hosts", *sorted({"torch", "monai"} & set(sys.modules)))
"""
"""Names of steps, each with what was loaded by its end and should not be."""


def run(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def find_loaded(modules: str, *slow: str) -> list[str]:
    """Which of these a new process has loaded once it has imported the modules."""
    return run(f"import sys, {modules}; print(*sorted(set(sys.argv[1:]) & set(sys.modules)))", *slow).split()


def test_an_engine_prepares_scans_and_answers_statistics_of_a_plan_of_networks_without_torch(tmp_path):
    folder = make_site(tmp_path / "a", "a", patients=8)

    loaded = run(ANSWERS, folder, *SLOW, *FLOWER)

    assert loaded.splitlines() == ["start", "describe", "prepare", "guard", "commands", "hosts"]


def test_a_link_loads_no_science():
    assert find_loaded("client.link.carry, client.link.credentials, client.link.connection", *SCIENCE) == []


def test_what_watches_a_site_loads_neither_science_nor_flower():
    assert find_loaded("client.link.supervise, client.membership.places", *SCIENCE, *FLOWER) == []


def test_a_coordinator_loads_no_network_before_a_study_trains_one():
    modules = "server.process.order, server.provision.office, server.conduct, simulations.backends.flower"
    assert find_loaded(modules, *SLOW) == []
