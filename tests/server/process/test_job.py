"""A job's folder tells how it ended, whatever ended it."""

from __future__ import annotations

import os
import sys
import types

import pytest

from common.errors import ExchangeError, ResumeError, SmallNumberError, StorageError
from server.process import job as jobs
from server.process.job import OFFICE_VARIABLE, JobOutcome, Order, perform_job, place_job
from server.provision.office import OfficeSettings, create_office

PLAN = """
name = "A study"
seed = 1
[[sites]]
name = "A"
role = "train"
[[models]]
name = "m"
family = "resnet10-narrow"
"""


@pytest.fixture
def office(tmp_path, monkeypatch):
    (tmp_path / "study.toml").write_text(PLAN)
    monkeypatch.setenv(OFFICE_VARIABLE, str(tmp_path / "office"))
    monkeypatch.setattr(jobs, "end_with_parent", lambda: None)
    settings = OfficeSettings(host="localhost", port=1)
    return create_office(tmp_path / "office", tmp_path / "study.toml", settings)


def conducted(monkeypatch, conduct):
    module = types.ModuleType("server.conduct")
    module.conduct = conduct
    monkeypatch.setitem(sys.modules, "server.conduct", module)


def fail(failure):
    def conduct(*_):
        raise failure

    return conduct


def test_a_study_that_ends_well_is_told_and_logged(office, tmp_path, monkeypatch):
    job = place_job(office, Order(out=tmp_path / "out"))
    seen = []

    def conduct(grid, run, _):
        seen.append((grid, run.plan, run.out, run.backend, job.running))
        jobs.logging.getLogger("server.anything").info("round number=1")

    conducted(monkeypatch, conduct)
    perform_job("grid", job.identifier)

    assert seen == [("grid", office.plan, tmp_path / "out", "flower", True)]
    assert job.read_outcome() == JobOutcome()
    assert "round number=1" in job.log.read_text()
    assert job.process == os.getpid()
    assert not job.running
    job.read_outcome().raise_if_failed()


@pytest.mark.parametrize(
    ("failure", "code", "raised"),
    [
        (SmallNumberError("too few"), 16, SmallNumberError),
        (KeyboardInterrupt(), 130, KeyboardInterrupt),
        (SystemExit(3), 130, KeyboardInterrupt),
        (KeyError("x"), 70, RuntimeError),
    ],
)
def test_every_failure_reaches_the_other_process(office, monkeypatch, failure, code, raised):
    job = place_job(office, Order(out=office.folder / "out"))
    conducted(monkeypatch, fail(failure))
    with pytest.raises(type(failure)):
        perform_job("grid", job.identifier)
    assert job.read_outcome().exit_code == code
    with pytest.raises(raised):
        job.read_outcome().raise_if_failed()
    assert ("KeyError" in job.log.read_text()) == (code == 70)


def test_a_full_disk_and_another_study_keep_their_codes(office, tmp_path, monkeypatch):
    job = place_job(office, Order(out=tmp_path / "out"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "study.json").write_text('{"plan_hash": "0"}')
    conducted(monkeypatch, fail(StorageError("never reached")))
    with pytest.raises(ResumeError, match="another --out"):
        perform_job("grid", job.identifier)
    assert job.read_outcome().exit_code == 20


def test_the_runs_configuration_cannot_name_another_folder(office, tmp_path, monkeypatch):
    conducted(monkeypatch, fail(AssertionError("conducted")))
    with pytest.raises(ResumeError, match="holds no order"):
        perform_job("grid", "../../elsewhere")
    assert not (tmp_path / "elsewhere").exists()


def test_a_superlink_that_was_started_otherwise_is_refused(monkeypatch):
    monkeypatch.delenv(OFFICE_VARIABLE, raising=False)
    with pytest.raises(ExchangeError, match="rhe-server start"):
        perform_job("grid", "x")
