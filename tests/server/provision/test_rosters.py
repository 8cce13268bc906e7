"""Who takes part: the sites' own cards, the authority's signature, and every hospital's consent to both."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

import pytest
from sites.commands import run_command

from common.secagg.site.files import SiteFiles
from server.provision.office import open_office
from server.provision.rosters import load_waived_absences

PLAN = """
name = "A study"
seed = 1
profile = "simulation"
[[sites]]
name = "a"
role = "train"
[[sites]]
name = "b"
role = "train"
[[sites]]
name = "c"
role = "external"
[[models]]
name = "m"
family = "resnet10-narrow"
"""


def done(*arguments):
    found = run_command(*arguments)
    assert found.returncode == 0, found.stderr
    return found.stdout


@dataclass
class Study:
    root: Path

    @property
    def office(self):
        return self.root / "office"

    @property
    def authority(self):
        return self.root / "authority"

    @property
    def proposal(self):
        return self.office / "study.proposal"

    @property
    def signed(self):
        return self.authority / "study.roster"

    def site(self, name):
        return self.root / name

    def found(self):
        (self.root / "study.toml").write_text(PLAN)
        done("rhe-authority", "init", self.authority)
        plan = ("--plan", self.root / "study.toml", "--host", "localhost")
        done("rhe-server", "init", self.office, *plan, "--authority", self.authority / "authority.pub")

    def make_folder(self, name):
        site = self.site(name)
        site.mkdir()
        (site / "site.toml").write_text(f'name = "{name}"\ntable = "t.csv"\nsynthetic = true\n')
        (site / "SYNTHETIC.json").write_text('{"seed": 1}')

    def join(self, name):
        self.make_folder(name)
        site = self.site(name)
        done("rhe-client", "init", site, "--invitation", self.office / "study.invitation")
        done("rhe-server", "enrol", self.office, self.card(name))

    def card(self, name):
        return self.site(name) / ".rhe" / f"{name}.card"

    def sign(self):
        done("rhe-server", "roster", self.office)
        return done("rhe-authority", "sign", self.authority, self.proposal, "--yes")

    def copy(self, folder):
        shutil.copytree(self.root, folder, dirs_exist_ok=True)
        return Study(folder)


@pytest.fixture(scope="module")
def founded(tmp_path_factory):
    """To be read alone: whoever changes a study works on a copy."""
    study = Study(tmp_path_factory.mktemp("founded"))
    study.found()
    return study


@pytest.fixture(scope="module")
def enrolled(founded, tmp_path_factory):
    """To be read alone."""
    study = founded.copy(tmp_path_factory.mktemp("enrolled"))
    for name in "abc":
        study.join(name)
    return study


@pytest.fixture
def study(founded, tmp_path):
    return founded.copy(tmp_path)


@pytest.fixture
def joined(enrolled, tmp_path):
    return enrolled.copy(tmp_path)


def test_who_joins_is_told_that_the_roster_comes_before_the_approval(study):
    study.make_folder("a b")
    (study.site("a b") / "site.toml").write_text('name = "a"\ntable = "t.csv"\nsynthetic = true\n')
    told = done("rhe-client", "init", study.site("a b"), "--invitation", study.office / "study.invitation")

    command = f"rhe-client approve '{study.site('a b')}' --roster study.roster"
    assert f"then, once the coordinator has handed out study.roster: {command}" in told


def test_a_roster_goes_from_cards_to_consent_with_fingerprints_that_agree(joined):
    told = joined.sign()
    installed = done("rhe-server", "roster", joined.office, "--signed", joined.signed)
    approved = done("rhe-client", "approve", joined.site("a"), "--yes", "--roster", joined.signed)

    prints = [
        re.findall(r"((?:[A-Z2-7]{4} ){7}[A-Z2-7]{4})$", text, re.MULTILINE)[-1] for text in (told, installed)
    ]
    assert prints[0] == prints[1]
    assert prints[0] in approved
    assert "a sum needs 2 sites" in told
    of_sites = dict(re.findall(r"^  ([abc]): ((?:[A-Z2-7]{4} ?){8})$", told, re.MULTILINE))
    assert sorted(of_sites) == ["a", "b", "c"]
    assert all(f"  {name}: {key}" in approved for name, key in of_sites.items())
    consent = json.loads((joined.site("a") / ".rhe/approval.json").read_text())
    assert consent["roster"] == 1


def list_fingerprints(text):
    """By what stands before them."""
    form = r"^ *(.+?)(?:,[^,:]+)?:? ((?:[A-Z2-7]{4} ){7}[A-Z2-7]{4})$"
    return {what.partition(": ")[2] or what: groups for what, groups in re.findall(form, text, re.MULTILINE)}


def test_who_compares_a_thing_on_the_phone_reads_the_string_that_the_other_one_reads(tmp_path):
    study = Study(tmp_path)
    (study.root / "study.toml").write_text(PLAN)
    authority = list_fingerprints(done("rhe-authority", "init", study.authority))
    plan = ("--plan", study.root / "study.toml", "--host", "localhost")
    office = list_fingerprints(
        done("rhe-server", "init", study.office, *plan, "--authority", study.authority / "authority.pub")
    )
    sites, enrolled = {}, {}
    for name in "abc":
        study.make_folder(name)
        told = done("rhe-client", "init", study.site(name), "--invitation", study.office / "study.invitation")
        sites[name] = list_fingerprints(told)
        enrolled[name] = list_fingerprints(done("rhe-server", "enrol", study.office, study.card(name)))
    proposed = list_fingerprints(done("rhe-server", "roster", study.office))
    signed = list_fingerprints(done("rhe-authority", "sign", study.authority, study.proposal, "--yes"))
    installed = list_fingerprints(done("rhe-server", "roster", study.office, "--signed", study.signed))
    approvals = [
        list_fingerprints(done("rhe-client", "approve", study.site(name), "--yes", "--roster", study.signed))
        for name in "abc"
    ]

    assert authority["its fingerprint"] == office["the authority's fingerprint"]
    invitation = office["the invitation's fingerprint"]
    assert {site["the invitation's fingerprint"] for site in sites.values()} == {invitation}
    for name in "abc":
        card = sites[name]["the card's fingerprint"]
        assert enrolled[name] == {"the card's fingerprint": card}
        assert signed[name] == card
        assert all(approval[name] == card for approval in approvals)
    assert proposed["the proposal's fingerprint"] == signed["the proposal's fingerprint"]
    roster = signed["the roster's fingerprint"]
    assert installed == {"the roster's fingerprint": roster}
    for approval in approvals:
        assert approval["Roster 1"] == roster
        assert approval["signed by the authority"] == authority["its fingerprint"]
    of_sites = {signed[name] for name in "abc"}
    assert len({*authority.values(), invitation, *proposed.values(), roster} | of_sites) == 7


def test_nobody_else_can_read_the_secrets(joined):
    for path in (joined.authority / "authority.key", joined.site("a") / ".rhe/keys/identity.key"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert b"PRIVATE" not in (joined.authority / "authority.pub").read_bytes() + joined.card("a").read_bytes()


def test_a_plan_that_hides_sums_is_not_founded_without_an_authority(tmp_path):
    (tmp_path / "study.toml").write_text(PLAN)

    found = run_command(
        "rhe-server", "init", tmp_path / "office", "--plan", tmp_path / "study.toml", "--host", "localhost"
    )

    assert found.returncode == 10
    assert "rhe-authority init" in found.stderr
    assert not (tmp_path / "office").exists()


def test_no_roster_is_proposed_before_every_site_sent_its_card(study):
    study.join("a")

    found = run_command("rhe-server", "roster", study.office)

    assert found.returncode == 18
    assert "sent no card: b, c" in found.stderr
    assert not study.proposal.exists()


def test_a_site_approves_nothing_without_the_roster(joined):
    found = run_command("rhe-client", "approve", joined.site("a"), "--yes")

    assert found.returncode == 17
    assert "--roster FILE" in found.stderr
    assert not (joined.site("a") / ".rhe/approval.json").exists()


def test_a_roster_that_somebody_else_signed_is_refused_by_coordinator_and_site(joined, tmp_path):
    done("rhe-authority", "init", tmp_path / "other")
    joined.sign()
    forged = tmp_path / "other" / "study.roster"
    done("rhe-authority", "sign", tmp_path / "other", joined.proposal, "--yes")

    at_office = run_command("rhe-server", "roster", joined.office, "--signed", forged)
    at_site = run_command("rhe-client", "approve", joined.site("a"), "--yes", "--roster", forged)

    for found in (at_office, at_site):
        assert found.returncode == 22
        assert "E_ROSTER_SIG" in found.stderr


def test_nobody_waits_for_a_pipe_in_place_of_a_roster_or_a_waiver(joined, tmp_path):
    joined.sign()
    done("rhe-client", "approve", joined.site("a"), "--yes", "--roster", joined.signed)
    os.mkfifo(tmp_path / "pipe")
    for command in (
        ("rhe-client", "approve", joined.site("a"), "--yes", "--roster"),
        ("rhe-client", "waive", joined.site("a"), "--yes"),
        ("rhe-server", "roster", joined.office, "--signed"),
        ("rhe-authority", "waive", joined.authority, "--yes", "--site", "a", "--roster"),
    ):
        found = run_command(*command, tmp_path / "pipe")
        assert found.returncode == 18
        assert "pipe: cannot be read (it is no file) -> give the file" in found.stderr


def test_another_file_in_place_of_a_roster_or_a_waiver_is_named(joined, tmp_path):
    joined.sign()
    done("rhe-client", "approve", joined.site("a"), "--yes", "--roster", joined.signed)
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN * 3)
    for kind, *command in (
        ("roster", "rhe-client", "approve", joined.site("a"), "--yes", "--roster"),
        ("waiver", "rhe-client", "waive", joined.site("a"), "--yes"),
        ("roster", "rhe-server", "roster", joined.office, "--signed"),
        ("roster", "rhe-authority", "waive", joined.authority, "--yes", "--site", "a", "--roster"),
    ):
        found = run_command(*command, plan)
        assert found.returncode == 18
        assert f"plan.toml: is no {kind} that " in found.stderr
        assert "-> give that file, or ask for it again" in found.stderr
    card = run_command("rhe-server", "enrol", joined.office, plan)
    assert "plan.toml: is not a whole site card (Invalid JSON" in card.stderr


@pytest.mark.parametrize(
    ("spoilt", "said"),
    [("the key", "cannot be read"), ("the roster", "roster"), ("a name", "nowhere"), ("two", "one restored")],
)
def test_the_authority_is_asked_once_what_it_would_sign_was_checked(joined, spoilt, said):
    joined.sign()
    roster, sites = joined.signed, ("--site", "a")
    if spoilt == "the key":
        (joined.authority / "authority.key").write_text("damaged")
    elif spoilt == "the roster":
        roster.write_bytes(roster.read_bytes()[:-3])
    else:
        sites = ("--site", "nowhere") if spoilt == "a name" else ("--site", "a", "--site", "b")

    found = [run_command("rhe-authority", "waive", joined.authority, "--roster", roster, *sites)]
    if spoilt == "the key":
        found.append(run_command("rhe-authority", "sign", joined.authority, joined.proposal))

    for one in found:
        assert one.returncode not in {0, 130}
        assert said in one.stderr
        assert "Do you consent" not in one.stdout + one.stderr
        assert "Did every site" not in one.stdout + one.stderr


def test_a_hospital_is_shown_what_a_waiver_permits_before_it_is_asked(joined, tmp_path):
    approved(joined)
    waive = ("rhe-authority", "waive", joined.authority, "--roster", joined.signed, "--yes", "--site", "c")
    done(*waive, "--phase", "training:0:0", "--out", tmp_path / "absent.waiver")
    done(*waive, "--out", tmp_path / "restored.waiver")

    absent = run_command("rhe-client", "waive", joined.site("a"), tmp_path / "absent.waiver")
    restored = run_command("rhe-client", "waive", joined.site("a"), tmp_path / "restored.waiver")

    assert "permits sums of training:0:0 without c. Whoever sees such a sum and one with c" in absent.stdout
    assert "permits that c goes on, which was restored from a backup" in restored.stdout
    assert absent.returncode == restored.returncode == 130
    assert "WAIVED" not in done("rhe-client", "audit", joined.site("a"), "--lines")


def test_an_earlier_roster_is_refused_and_the_same_is_approved_again(joined):
    joined.sign()
    first = joined.signed.read_bytes()
    done("rhe-server", "roster", joined.office, "--signed", joined.signed)
    joined.sign()
    done("rhe-client", "approve", joined.site("a"), "--yes", "--roster", joined.signed)
    joined.signed.with_name("first").write_bytes(first)

    again = run_command("rhe-client", "approve", joined.site("a"), "--yes")
    earlier = run_command(
        "rhe-client", "approve", joined.site("a"), "--yes", "--roster", joined.signed.with_name("first")
    )

    assert again.returncode == 0, again.stderr
    assert earlier.returncode == 22
    assert "E_ROSTER_OLD" in earlier.stderr


def test_a_card_whose_identity_was_exchanged_is_not_enrolled(joined):
    card = json.loads(joined.card("a").read_text())
    card["identity"] = json.loads(joined.card("b").read_text())["identity"]
    joined.card("a").write_text(json.dumps(card))

    found = run_command("rhe-server", "enrol", joined.office, joined.card("a"))

    assert found.returncode == 18
    assert "not signed by the site's key" in found.stderr


@pytest.mark.parametrize("identity", ["", "00" * 90])
def test_a_card_without_a_whole_identity_is_not_enrolled(joined, identity):
    card = json.loads(joined.card("a").read_text())
    joined.card("a").write_text(json.dumps(card | {"identity": identity}))

    found = run_command("rhe-server", "enrol", joined.office, joined.card("a"))

    assert found.returncode == 18
    assert "proves no identity" in found.stderr


def test_what_is_no_public_key_is_told(tmp_path, study):
    (tmp_path / "wrong.pub").write_text("AB" * 32)
    plan = ("--plan", tmp_path / "study.toml", "--host", "localhost")

    wrong = run_command("rhe-server", "init", tmp_path / "o", *plan, "--authority", tmp_path / "wrong.pub")
    missing = run_command("rhe-server", "init", tmp_path / "o", *plan, "--authority", tmp_path / "none.pub")

    assert (wrong.returncode, missing.returncode) == (18, 18)
    assert "no authority's public key" in wrong.stderr
    assert "no such file" in missing.stderr


def test_an_authority_is_never_overwritten(study):
    found = run_command("rhe-authority", "init", study.authority)

    assert found.returncode == 21
    assert "already holds" in found.stderr


def approved(joined):
    joined.sign()
    done("rhe-server", "roster", joined.office, "--signed", joined.signed)
    done("rhe-client", "approve", joined.site("a"), "--yes", "--roster", joined.signed)


def test_a_restored_site_is_burnt_and_goes_on_with_a_waiver_of_its_own(joined, tmp_path):
    approved(joined)
    waive = ("rhe-authority", "waive", joined.authority, "--roster", joined.signed, "--yes")
    files = SiteFiles(joined.site("a") / ".rhe" / "sa1")
    files.keep_roster(joined.signed.read_bytes())
    done("rhe-client", "burn", joined.site("a"))
    for name in "ab":
        done(*waive, "--site", name, "--out", tmp_path / f"{name}.waiver")

    other = run_command("rhe-client", "waive", joined.site("a"), tmp_path / "b.waiver", "--yes")
    before = SiteFiles(files.folder)
    with before.lock():
        assert before.history.is_burned
    done("rhe-client", "waive", joined.site("a"), tmp_path / "a.waiver", "--yes")

    assert other.returncode == 22
    assert "another site" in other.stderr
    after = SiteFiles(files.folder)
    with after.lock():
        assert not after.history.is_burned
    done("rhe-client", "audit", joined.site("a"), "--verify")
    lines = done("rhe-client", "audit", joined.site("a"), "--lines")
    assert re.findall(r"protocol: (\w+)", lines) == ["BURNED", "WAIVED"]


def test_a_waiver_of_absence_is_taken_in_by_the_coordinator_and_a_stranger_s_is_not(joined, tmp_path):
    approved(joined)
    done("rhe-authority", "init", tmp_path / "other")
    absent = ("--site", "c", "--phase", "training:0:0", "--yes", "--out")
    waiver = tmp_path / "c.waiver"
    done("rhe-authority", "waive", joined.authority, "--roster", joined.signed, *absent, waiver)

    done("rhe-server", "waive", joined.office, waiver)
    stranger = run_command(
        "rhe-authority", "waive", tmp_path / "other", "--roster", joined.signed, *absent, tmp_path / "x"
    )
    damaged = tmp_path / "damaged.waiver"
    damaged.write_bytes(waiver.read_bytes()[:-3] + b"abc")
    refused = run_command("rhe-server", "waive", joined.office, damaged)

    assert load_waived_absences(open_office(joined.office)) == {"training:0:0": frozenset({3})}
    assert "E_ROSTER_SIG" in stranger.stderr
    assert not (tmp_path / "x").exists()
    assert refused.returncode in {18, 22}


def test_one_restored_site_at_a_time(joined):
    joined.sign()
    waive = ("rhe-authority", "waive", joined.authority, "--roster", joined.signed, "--yes")

    found = run_command(*waive, "--site", "a", "--site", "b")

    assert found.returncode == 18
    assert "one restored site at a time" in found.stderr
