"""The service units: systemd takes them as they are, and calls each one closed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.service"))
WORST = 2.0
"""Exposure, from 0 to 10, above which a unit counts as open here."""

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def settings_of(name: str) -> dict[str, list[str]]:
    """The values of each key of [Service], in their order."""
    values: dict[str, list[str]] = {}
    for line in (DEPLOY / "systemd" / name).read_text().splitlines():
        if re.match(r"\w+=", line):
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def installed(tmp_path) -> Path:
    """The units as they lie in a folder of systemd's, their program in a folder that exists."""
    program = tmp_path / "bin" / "rhe"
    program.parent.mkdir()
    for name in ("rhe-client", "rhe-server"):
        path = program.with_name(name)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    for unit in UNITS:
        text = unit.read_text().replace("/opt/rhe/.venv/bin", str(program.parent))
        text = re.sub(r"^Documentation=.*$", "", text, flags=re.MULTILINE)
        (tmp_path / unit.name.replace("@.", "@a.")).write_text(text)
    return tmp_path


def test_engine_link_and_coordinator_have_a_unit_each():
    assert [unit.name for unit in UNITS] == [
        "rhe-engine@.service",
        "rhe-link@.service",
        "rhe-server@.service",
    ]


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_has_nothing_to_complain_of(installed, unit):
    done = run("systemd-analyze", "verify", "--man=no", installed / unit.name.replace("@.", "@a."))
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "rhe-" in line]
    assert ours == []


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_is_closed(unit):
    done = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    score = re.search(r"Overall exposure level.*: ([0-9.]+)", done.stdout)
    assert score is not None, done.stdout + done.stderr
    assert float(score[1]) <= WORST


def test_the_engine_has_no_network_and_writes_its_state_alone():
    engine = settings_of("rhe-engine@.service")
    assert engine["PrivateNetwork"] == ["yes"]
    assert engine["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert engine["ReadWritePaths"] == ["/srv/rhe/%i/.rhe"]
    assert engine["ProtectSystem"] == ["strict"]


def test_the_link_sees_no_sites_folder_and_the_engine_none_of_the_links():
    link, engine = settings_of("rhe-link@.service"), settings_of("rhe-engine@.service")
    assert "-/srv" in link["InaccessiblePaths"][0].split()
    assert link["ReadWritePaths"] == ["/var/lib/rhe-link/%i"]
    assert "-/var/lib/rhe-link" in engine["InaccessiblePaths"][0].split()
    assert link["User"] != engine["User"]


def test_a_link_that_was_taken_over_cannot_take_the_computer():
    link, engine = settings_of("rhe-link@.service"), settings_of("rhe-engine@.service")
    assert (link["TasksMax"], link["MemoryMax"]) == (["64"], ["4G"])
    assert engine["TasksMax"] == ["1024"]


def test_a_second_study_is_told_to_use_a_pair_of_users_of_its_own():
    """Every instance of a unit has the same user: its folders are open to all of them."""
    guide = (DEPLOY / "README.md").read_text()
    for name in ("engine", "link"):
        assert "%i" not in settings_of(f"rhe-{name}@.service")["User"][0]
        assert re.search(rf"systemctl edit rhe-{name}@center2 .*User=rhe-{name}2 +Group=rhe-{name}2", guide)


def test_both_units_name_one_socket():
    (engine,), (link,) = (settings_of(f"rhe-{name}@.service")["ExecStart"] for name in ("engine", "link"))
    assert engine.split()[-1] == link.split()[-1] == "/run/rhe/%i/engine.sock"
    assert settings_of("rhe-engine@.service")["RuntimeDirectory"] == ["rhe/%i"]


def test_the_engine_may_write_machine_code_because_torch_must():
    """With "yes" every convolution fails: oneDNN compiles it when it runs. The others need none."""
    assert settings_of("rhe-engine@.service")["MemoryDenyWriteExecute"] == ["no"]
    for name in ("link", "server"):
        assert settings_of(f"rhe-{name}@.service")["MemoryDenyWriteExecute"] == ["yes"]


def test_the_users_of_the_units_are_made_and_the_engine_is_in_the_links_group():
    lines = (DEPLOY / "sysusers.d" / "rhe.conf").read_text().splitlines()
    users = {line.split()[1] for line in lines if line.startswith("u ")}
    assert users == {settings_of(unit.name)["User"][0] for unit in UNITS}
    assert "m rhe-engine rhe-link" in lines


@pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is not installed")
def test_systemd_can_make_the_users(tmp_path):
    users = DEPLOY / "sysusers.d" / "rhe.conf"
    done = run("systemd-sysusers", "--dry-run", f"--root={tmp_path}", users)
    assert done.returncode == 0, done.stderr
    assert "rhe-engine" in done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("systemd-tmpfiles") is None, reason="systemd-tmpfiles is not installed")
def test_systemd_can_make_the_folders(tmp_path):
    done = run("systemd-tmpfiles", "--create", f"--root={tmp_path}", DEPLOY / "tmpfiles.d" / "rhe.conf")
    assert done.returncode == 0, done.stderr
    modes = {
        name: (tmp_path / name).stat().st_mode & 0o777 for name in ("srv/rhe", "var/lib/rhe-link", "run/rhe")
    }
    assert modes == {"srv/rhe": 0o711, "var/lib/rhe-link": 0o711, "run/rhe": 0o755}
