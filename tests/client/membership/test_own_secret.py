"""A site's own secret: nobody else can say in which part or fold a known patient is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sites.handmade import make_site

from client import cli
from client.answers.selection import deal_complete
from client.answers.svm import SiteSvms
from client.cohort.cases import PreparedSite
from client.cohort.parts import assign_parts
from client.engine import SiteEngine, open_engine
from client.membership.membership import Membership, join_study
from client.membership.own_secret import read_own_seed
from client.membership.roster import approve_plan
from common.cohort.eligibility import Flow
from common.cohort.patient import Patient
from common.errors import SiteError
from server.provision.office import OfficeSettings, create_office

PLAN = """
name = "A study"
seed = 1
profile = "standard"
[[sites]]
name = "a"
role = "train"
[[models]]
name = "m"
family = "resnet10-narrow"
"""


@pytest.fixture
def join(tmp_path):
    def join_one(*, synthetic: bool = False, folder: str = "a") -> Membership:
        text = PLAN.replace("standard", "simulation") if synthetic else PLAN
        root = tmp_path / folder
        site = make_site(root / "site", "a", 1, synthetic=synthetic)
        (root / "study.toml").write_text(text)
        office = create_office(root / "office", root / "study.toml", OfficeSettings(host="localhost", port=1))
        return join_study(site, site / ".rhe", office.invitation)

    return join_one


def seed_of(member: Membership) -> int:
    return read_own_seed(member, member.invitation.study_plan())


def test_an_approval_makes_a_secret_that_only_this_site_can_read(join):
    member = join()
    approve_plan(member)
    assert member.secret_file.stat().st_mode & 0o777 == 0o600
    assert member.secret_file.read_bytes() not in (member.state / "approval.json").read_bytes()
    assert seed_of(member) != member.invitation.study_plan().seed


def test_the_secret_stays_and_another_site_has_another(join):
    member, other = join(), join(folder="b")
    approve_plan(member)
    approve_plan(other)
    before = seed_of(member)
    approve_plan(member)
    assert seed_of(Membership(member.folder, member.state)) == before != seed_of(other)


def test_the_secret_decides_who_is_in_which_part_and_fold(join, tmp_path):
    members = join(), join(folder="b")
    for member in members:
        approve_plan(member)
    plan = members[0].invitation.study_plan()
    patients = [patient(f"P{number}") for number in range(60)]
    positives = [number % 3 == 0 for number in range(60)]
    seeds = [plan.seed, *map(seed_of, members)]
    parts = [assign_parts(plan, "a", patients, positives, seed) for seed in seeds]
    assert assign_parts(plan, "a", patients, positives) == parts[0]
    assert len({tuple(part.values()) for part in parts}) == 3
    assert len({tuple(sorted(part.values())) for part in parts}) == 1
    cases = [Dealt(patient, positive) for patient, positive in zip(patients, positives, strict=True)]
    folds = [deal_complete(seed, "a", cases, np.ones(60, dtype=np.bool_), 5) for seed in seeds]
    assert len({tuple(dealt.tolist()) for dealt in folds}) == 3


def test_simulated_sites_draw_by_the_plans_seed(join):
    member = join(synthetic=True)
    approve_plan(member)
    assert not member.secret_file.exists()
    assert seed_of(member) == 1


def test_a_study_that_began_before_there_was_a_secret_keeps_its_parts(join):
    member = join()
    approve_as_before_secrets(member)
    assert seed_of(member) == 1
    approve_plan(member, has_begun=True)
    assert seed_of(member) == 1
    assert not member.secret_file.exists()


def approve_as_before_secrets(member):
    approve_plan(member)
    path = member.state / "approval.json"
    told = json.loads(path.read_text())
    del told["secret"]
    path.write_text(json.dumps(told))
    member.secret_file.unlink()


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"{")])
def test_a_site_that_lost_all_it_knew_of_its_draws_does_not_draw_by_the_public_seed(join, spoil):
    member = join()
    approve_plan(member, has_begun=False)
    spoil(member.state / "approval.json")
    member.secret_file.unlink()
    for _ in range(2):
        with pytest.raises(SiteError, match=r"own\.secret.*numbers of this study have left.*backup"):
            approve_plan(member, has_begun=True)
        assert not member.secret_file.exists()


@pytest.mark.parametrize(
    "spoil", [Path.unlink, lambda path: path.write_bytes(bytes(32)), lambda path: path.write_bytes(b"1")]
)
def test_a_lost_secret_is_told_and_no_other_is_made(join, spoil):
    member = join()
    approve_plan(member)
    spoil(member.secret_file)
    for _ in range(2):
        with pytest.raises(SiteError, match=r"own\.secret.*restore the file from the backup"):
            seed_of(member)
        approve_plan(member)


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"{")])
def test_a_damaged_approval_is_given_again_with_the_same_secret(join, spoil):
    member = join()
    approve_plan(member)
    before = seed_of(member)
    spoil(member.state / "approval.json")
    approve_plan(member)
    assert seed_of(member) == before


def test_the_engine_draws_everything_with_the_secret(join, monkeypatch):
    member, engines = join(), []
    approve_plan(member)

    def open_one(*arguments: object) -> SiteEngine:
        engines.append(open_engine(*arguments))
        return engines[0]

    @contextmanager
    def listen(*_: object) -> Iterator[None]:
        yield

    monkeypatch.setattr("client.engine.open_engine", open_one)
    monkeypatch.setattr("client.link.service.listen", listen)
    monkeypatch.setattr("client.link.service.wait_forever", lambda: None)
    monkeypatch.setattr("common.runtime.accounts.close_to_others", lambda: None)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    cli.engine(member.folder)
    seeds = []
    prepared = PreparedSite(member.settings, Flow(0, (), (), ()), (), (), ())
    monkeypatch.setattr("client.engine.prepare_site", lambda *given: seeds.append(given[4]) or prepared)
    monkeypatch.setattr("client.engine.write_site_files", lambda *_: ())
    monkeypatch.setattr("client.engine.log_report", lambda _: None)
    (engine,) = engines
    trainings = engine.trainings
    seeds += [engine._analyses.own_seed, trainings.open_trainer(engine.plan.networks[0]).seed]
    seeds.append(trainings._open_regressions("local-a").own_seed)
    assert seeds == [seed_of(member)] * 4


def test_folds_of_a_machine_are_drawn_with_the_secret():
    plan, model = SimpleNamespace(seed=1), SimpleNamespace(name="m")
    tables = [SimpleNamespace(plan=plan, site="a", own_seed=seed) for seed in (None, 1, 2)]
    by_plan, same, by_secret = (SiteSvms(table)._derive_seed(model) for table in tables)
    assert by_plan == same != by_secret


def patient(name: str) -> Patient:
    return Patient(name, 2, None, None, None, None, values={})


class Dealt:
    """As much of a case as dealing needs."""

    def __init__(self, patient: Patient, positive: bool) -> None:  # noqa: FBT001
        self.patient, self.positive = patient, positive
