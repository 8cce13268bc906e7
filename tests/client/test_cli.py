"""The hospital's commands as a user types them."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sites.commands import Finished, run_command
from sites.handmade import make_site, read_rows, write_table
from sites.tables import table_only_hospital

from common.messages.enrolment import Invitation, SiteCard, load_handout
from server.provision.office import OfficeSettings, create_office

PLAN = """
name = "A study"
seed = 1
profile = "simulation"
two_site_ack = true
[privacy]
secure = false
[[sites]]
name = "a"
role = "train"
model_release = {release}
[[sites]]
name = "b"
role = "external"
[[models]]
name = "m"
family = "resnet10-narrow"
input_size = 16
[federation]
rounds = 7
"""


def rhe(*arguments: str | Path, answer: str = "") -> Finished:
    return run_command("rhe-client", *arguments, answer=answer)


def invite(folder: Path, release: str = "false") -> Path:
    plan = folder / "study.toml"
    folder.mkdir(exist_ok=True)
    plan.write_text(PLAN.format(release=release))
    return create_office(
        folder / "office", plan, OfficeSettings(host="study.example.org", port=8443)
    ).invitation


@pytest.fixture(scope="module")
def invitation(tmp_path_factory) -> Path:
    return invite(tmp_path_factory.mktemp("coordinator"))


@pytest.fixture
def site(tmp_path) -> Path:
    return make_site(tmp_path / "a", "a", 6)


def test_help_imports_nothing_slow():
    done = rhe("--help")
    assert done.returncode == 0
    code = "import client.cli, sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert not {"torch", "monai", "pandas", "scipy", "SimpleITK", "flwr", "numpy"} & set(loaded.split())


def test_joining_makes_a_private_key_and_a_card(site, invitation):
    done = rhe("init", site, "--invitation", invitation)
    assert done.returncode == 0, done.stderr
    state = site / ".rhe"
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE((state.with_name(".rhe-link") / "node.key").stat().st_mode) == 0o600
    card = load_handout(state / "a.card", SiteCard)
    assert card.fingerprint() in done.stdout
    assert load_handout(invitation, Invitation).fingerprint() in done.stdout
    assert "PRIVATE" not in (state / "a.card").read_text()


def test_joining_twice_keeps_the_key_and_another_study_is_refused(site, invitation, tmp_path):
    rhe("init", site, "--invitation", invitation)
    before = (site / ".rhe" / "a.card").read_bytes()
    assert rhe("init", site, "--invitation", invitation).returncode == 0
    assert (site / ".rhe" / "a.card").read_bytes() == before
    done = rhe("init", site, "--invitation", invite(tmp_path / "other"))
    assert done.returncode == 11
    assert "another study" in done.stderr


def test_a_site_that_the_plan_does_not_have_cannot_join(tmp_path, invitation):
    stranger = make_site(tmp_path / "c", "c", 1)
    done = rhe("init", stranger, "--invitation", invitation)
    assert (done.returncode, done.stdout) == (10, "")
    assert not (stranger / ".rhe").exists()


def test_approval_shows_what_leaves_and_is_asked_for(site, invitation):
    rhe("init", site, "--invitation", invitation)
    refused = rhe("approve", site, answer="n\n")
    assert refused.returncode == 25
    assert refused.stderr == "rhe-client: you answered no -> nothing was changed  [E_DECLINED]\n"
    assert not (site / ".rhe" / "approval.json").exists()
    for words in ("scores counted in 1000 bins", "What never leaves", "CT images", "With: b"):
        assert words in refused.stdout

    approved = rhe("approve", site, answer="y\n")
    assert approved.returncode == 0
    plan = load_handout(invitation, Invitation).study_plan()
    assert json.loads((site / ".rhe" / "approval.json").read_text())["plan_hash"] == plan.digest()


def test_a_release_is_shown_and_needs_the_sites_consent_in_writing(tmp_path):
    invitation = invite(tmp_path / "co", "true")
    willing = make_site(tmp_path / "willing" / "a", "a", 1)
    unwilling = make_site(tmp_path / "unwilling" / "a", "a", 1, release=False)
    for site, code in ((willing, 0), (unwilling, 17)):
        rhe("init", site, "--invitation", invitation)
        done = rhe("approve", site, "--yes")
        assert done.returncode == code, done.stderr
        assert "RELEASE" in done.stdout
    assert "model_release" in done.stderr


@pytest.mark.parametrize("command", [("start", "--same-user"), ("engine",)])
def test_nothing_starts_without_approval(site, invitation, command):
    done = rhe(*command, site)
    assert done.returncode == 11
    assert "has not joined" in done.stderr
    rhe("init", site, "--invitation", invitation)
    done = rhe(*command, site)
    assert done.returncode == 17
    assert "is not approved" in done.stderr
    rhe("approve", site, "--yes")
    path = site / ".rhe" / "approval.json"
    path.write_text(path.read_text().replace('"plan_hash": "', '"plan_hash": "0')[:-1])
    done = rhe(*command, site)
    assert done.returncode == 11
    assert "approve the plan again" in done.stderr
    path.write_text(json.dumps({"plan_hash": "0" * 64, "approved_at": "2026-01-01T00:00:00Z"}))
    done = rhe(*command, site)
    assert done.returncode == 10
    assert "rhe-client approve" in done.stderr


def test_an_exchanged_invitation_is_refused_by_its_approval(site, invitation, tmp_path):
    rhe("init", site, "--invitation", invitation)
    rhe("approve", site, "--yes")
    other = invite(tmp_path / "other", "true")
    (site / ".rhe" / "study.invitation").write_bytes(other.read_bytes())
    done = rhe("start", site, "--same-user")
    assert done.returncode == 10
    assert "was approved" in done.stderr


def test_one_user_for_engine_and_link_must_be_said(site, invitation):
    rhe("init", site, "--same-user", "--invitation", invitation)
    assert rhe("approve", site, "--yes").stdout.endswith(f"then: rhe-client start {site} --same-user\n")
    done = rhe("start", site)
    assert done.returncode == 11
    assert "whoever takes over the link" in done.stderr
    assert "--same-user" in done.stderr


def test_a_state_elsewhere_is_in_the_commands_that_come_next(site, invitation, tmp_path):
    state = tmp_path / "state of a"
    joined = rhe("init", site, "--same-user", "--invitation", invitation, "--state", state)
    approved = rhe("approve", site, "--yes", "--state", state)
    assert joined.stdout.endswith(f"then: rhe-client approve {site} --state '{state}'\n")
    assert approved.stdout.endswith(f"then: rhe-client start {site} --state '{state}' --same-user\n")


def test_a_folder_in_order_passes_the_check(site):
    done = rhe("check", site)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith("a: 6 patients, 6 usable; 0 refused, 0 look at this, 0 for information\n")


def test_every_finding_is_listed_and_scans_only_when_asked(site):
    rows = read_rows(site)
    rows[1]["baseline_ct"] = "images/absent.nii.gz"
    write_table(site, rows)
    broken = site / "images" / "a-003_ct.nii.gz"
    broken.write_bytes(broken.read_bytes()[:200])
    done = rhe("check", site)
    assert done.returncode == 11
    assert "row 3" in done.stdout
    assert "row 5" in done.stdout
    assert done.stdout.endswith("6 patients, 4 usable; 2 refused, 0 look at this, 0 for information\n")
    quick = rhe("check", site, "--no-pixels")
    assert quick.stdout.endswith(
        "1 refused, 0 look at this, 0 for information; scans and masks were not read\n"
    )


def test_a_check_knows_the_plan_that_is_given_or_was_joined(site, invitation):
    """2 of 6 patients expand: a training site's three parts cannot all have one, which is no finding."""
    plan = invitation.parent.parent / "study.toml"
    given = rhe("check", site, "--plan", plan)
    assert given.returncode == 0
    assert "the part validation has no patient with expansion" in given.stdout
    assert given.stdout.endswith(
        "6 patients, 6 usable for the study 'A study'; 0 refused, 0 look at this, 1 for information\n"
    )
    rhe("init", site, "--invitation", invitation, "--state", site / "elsewhere")
    assert rhe("check", site).returncode == 0
    joined = rhe("check", site, "--state", site / "elsewhere")
    assert (joined.returncode, joined.stdout) == (0, given.stdout)


def test_a_check_of_a_table_alone_says_what_it_takes_it_for(tmp_path):
    site = table_only_hospital(tmp_path / "a", "a", 30)
    done = rhe("check", site)
    assert done.returncode == 0, done.stdout
    assert "taken for a site without images" in done.stdout
    assert done.stdout.endswith("30 patients, 30 usable; 0 refused, 0 look at this, 1 for information\n")


def test_a_table_alone_is_prepared(tmp_path):
    site, plan = table_only_hospital(tmp_path / "a", "a", 30), tmp_path / "study.toml"
    before, after = PLAN.format(release="false").split("[[models]]")
    score = '[[models]]\nkind = "scores"\nname = "A"\ncolumn = "score_a"\n'
    plan.write_text(before + score + "[federation]" + after.split("[federation]")[1])
    done = rhe("prepare", site, "--plan", plan)
    assert done.returncode == 0, done.stderr
    assert "30 patients, 30 usable" in done.stdout


def test_an_invalid_table_is_listed_whole(site):
    rows = read_rows(site)
    rows[0]["age"], rows[2]["sbp_mmhg"] = "660", "x"
    write_table(site, rows)
    done = rhe("check", site)
    assert done.returncode == 11
    assert len(re.findall(r"row [24]", done.stdout)) == 2


def test_a_folder_without_settings_is_told(tmp_path):
    done = rhe("check", tmp_path)
    assert done.returncode == 11
    assert "site.toml" in done.stdout


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_a_folder_whose_name_is_no_text_is_named_all_the_same(tmp_path, form):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()

    done = rhe("check", folder, *form)

    assert (done.returncode, done.stderr) == (11, "")
    assert r"caf\udce9/site.toml: no such file" in done.stdout.replace("\\\\", "\\")


def test_preparing_leaves_a_cache_and_a_page(invitation, tmp_path):
    site = make_site(tmp_path / "a", "a", 9)
    plan = invitation.parent.parent / "study.toml"
    broken = site / "images" / "a-003_ct.nii.gz"
    broken.write_bytes(broken.read_bytes()[:200])
    done = rhe("prepare", site, "--plan", plan, "--state", tmp_path / "state")
    assert done.returncode == 0, done.stderr
    assert "9 patients, 8 usable" in done.stdout
    assert "a: 8 patients prepared, 1 refused and left out" in done.stdout
    page = Path(done.stdout.splitlines()[-1])
    assert page == tmp_path / "state" / "quality.html"
    assert page.stat().st_size > 1000
    assert not (site / ".rhe").exists()


def test_a_plan_that_the_policy_forbids_is_not_prepared(site, invitation, tmp_path):
    settings = site / "site.toml"
    settings.write_text(f'{settings.read_text().rstrip()}\nphases = ["cohort"]\n')
    plan = invitation.parent.parent / "study.toml"

    checked = rhe("check", site, "--plan", plan, "--no-pixels")
    done = rhe("prepare", site, "--plan", plan, "--state", tmp_path / "state")

    assert (checked.returncode, done.returncode) == (11, 12)
    for said in (checked.stdout, done.stdout):
        assert "site a takes no part in them" in said
    assert not (tmp_path / "state" / "cache").exists()


def test_settings_that_cannot_be_read_are_on_the_page_too(site, invitation, tmp_path):
    (site / "site.toml").write_text('name = "a"\ntable = cohort.csv\n')
    plan = invitation.parent.parent / "study.toml"
    done = rhe("prepare", site, "--plan", plan, "--state", tmp_path / "state")
    assert (done.returncode, done.stderr) == (11, "")
    assert "'table = cohort.csv'" in done.stdout
    page = Path(done.stdout.splitlines()[-1])
    assert "table = cohort.csv" in page.read_text()


def test_an_impossible_plan_is_told_with_its_line(site, tmp_path):
    plan = tmp_path / "study.toml"
    plan.write_text(PLAN.format(release="false").replace("seed = 1", "sed = 1"))
    done = rhe("prepare", site, "--plan", plan)
    assert done.returncode == 10
    assert f"{plan}:3: sed: unknown key" in done.stderr
