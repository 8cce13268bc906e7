"""The hidden command of the link: a process of its own, small, without science, that ends at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from client.link.credentials import open_door
from client.link.service import listen
from client.membership.link_folder import LinkFolder, LinkSettings
from common.errors import SiteError
from common.messages.protocol import from_record

SCIENCE = ("scipy", "torch", "monai", "SimpleITK", "pandas", "sklearn", "nibabel", "pydicom")
MEGABYTE = 2**20


@pytest.fixture
def folder(coordinator, tmp_path) -> tuple[LinkFolder, int]:
    """A link's folder as `init` makes it, and the site's node."""
    key, node = coordinator.enrol()
    folder = LinkFolder(tmp_path / "link")
    folder.root.mkdir(mode=0o700)
    folder.node_key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    folder.authority.write_bytes(coordinator.authority.certificate_pem)
    folder.save(LinkSettings(site="a", study="s", address=coordinator.address, largest_message=2**22))
    return folder, node


@contextmanager
def ended(child):
    """Kills what a failed test leaves, before it is waited for."""
    try:
        yield
    finally:
        child.kill()


def test_the_command_answers_is_small_and_signs_off_when_it_is_asked_to_end(coordinator, folder, tmp_path):
    linked, node = folder
    command = [str(Path(sys.executable).with_name("rhe-client")), "link", str(linked.root)]
    with listen(lambda question: question[::-1], tmp_path / "run" / "engine.sock", 2**22) as socket:
        child = subprocess.Popen(
            [*command, "--engine", socket], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        with child, ended(child):
            assert from_record(coordinator.ask(node, b"\x00ab", 60.0).content) == b"ba\x00"
            assert psutil.Process(child.pid).memory_full_info().pss < 120 * MEGABYTE
            begun = time.monotonic()
            child.send_signal(signal.SIGTERM)
            output, _ = child.communicate(timeout=60)
    assert time.monotonic() - begun < 20.0
    assert coordinator.state.get_node_info(node_ids=[node])[0].status == "offline"
    first, second = output.splitlines()
    assert first.endswith(f"Z connected node={node}")
    assert "answered message=" in second


def test_the_command_answers_on_when_nobody_keeps_its_lines_any_more(coordinator, folder, tmp_path):
    linked, node = folder
    command = [str(Path(sys.executable).with_name("rhe-client")), "link", str(linked.root)]
    with listen(lambda question: question[::-1], tmp_path / "run" / "engine.sock", 2**22) as socket:
        child = subprocess.Popen(
            [*command, "--engine", socket], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        with child, ended(child):
            assert "connected node=" in child.stdout.readline()
            child.stdout.close()
            for _ in range(2):
                assert from_record(coordinator.ask(node, b"\x00ab", 60.0).content) == b"ba\x00"
            child.send_signal(signal.SIGTERM)
            child.wait(60)
    assert coordinator.state.get_node_info(node_ids=[node])[0].status == "offline"


def test_a_file_that_is_missing_ends_it_with_one_message(folder):
    linked, _ = folder
    linked.node_key.unlink()
    command = [str(Path(sys.executable).with_name("rhe-client")), "link", str(linked.root), "--engine", "x"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == SiteError.exit_code
    assert "node.key" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_client_certificate_in_the_links_folder_is_shown_to_the_gateway(folder):
    linked, _ = folder
    assert open_door(linked).address == linked.load().address
    for name in ("client.crt", "client.key"):
        (linked.root / name).write_text("no certificate")
    with pytest.raises(SiteError, match=r"client\.crt.*without a password"):
        open_door(linked)


@pytest.mark.parametrize("address", ["", "coordinator", "https://a:1", "a:b", "a:1/x", "a b:1"])
def test_an_address_is_a_host_and_a_port(folder, address):
    linked, _ = folder
    linked.save(linked.load().model_copy(update={"address": "a:1"}))
    with pytest.raises(SiteError, match="HOST:PORT"):
        open_door(linked, address or " ")
    for right in ("a.example:9092", "10.0.0.1:443", "[::1]:9092"):
        assert open_door(linked, right).address == right


def test_the_link_loads_no_science():
    code = f"import sys, client.cli, client.link.carry; print([m for m in {SCIENCE} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
