"""Two users of a site: each owns its own folder, and neither is reached by the other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from sites.handmade import make_site
from sites.passable import make_passable_folder

from client.membership.link_folder import LinkFolder
from client.membership.membership import MEETING_PLACE, Membership, join_study
from client.membership.site_users import LinkSide, SiteUsers, choose_users, refuse_open_files
from client.membership.vouching import refuse_unvouched_link
from common.errors import SiteError
from common.messages.enrolment import SiteCard, load_handout
from common.plan.message_size import largest_message
from common.runtime.accounts import Account, account_of, act_as
from server.provision.office import OfficeSettings, create_office

PLAN = """
name = "A study"
seed = 1
profile = "simulation"
[[sites]]
name = "a"
role = "train"
[[models]]
name = "m"
family = "resnet10-narrow"
"""
ENGINE, LINK = account_of(4242), account_of(4243)
TWO = SiteUsers(ENGINE, LINK)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files for two users")


@pytest.fixture
def tmp_path():
    with make_passable_folder() as folder:
        yield folder


@pytest.fixture
def invitation(tmp_path) -> Path:
    (tmp_path / "study.toml").write_text(PLAN)
    settings = OfficeSettings(host="localhost", port=1)
    return create_office(tmp_path / "office", tmp_path / "study.toml", settings).invitation


@pytest.fixture
def site(tmp_path) -> Path:
    """A folder of the engine's, through which others pass but in which they read nothing."""
    folder = make_site(tmp_path / "a", "a", 1)
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, ENGINE.uid, ENGINE.gid)
            path.chmod(0o711 if path.is_dir() else 0o600)
    return folder


def owners(folder: Path) -> set[int]:
    return {path.lstat().st_uid for path in (folder, *folder.rglob("*"))}


def test_one_user_keeps_both_folders_side_by_side(tmp_path, invitation):
    site = make_site(tmp_path / "b", "a", 1)
    member = join_study(site, site / ".rhe", invitation)
    assert member.link == LinkFolder(site / ".rhe-link")
    assert not member.users.are_two
    assert member.socket == (site / ".rhe" / "run" / "engine.sock").resolve()
    settings = member.link.load()
    assert settings.engine_uid is None
    assert settings.largest_message == largest_message(member.invitation.study_plan())
    assert (settings.site, settings.address) == ("a", "localhost:1")


def test_the_engines_folder_holds_no_key_of_the_links(tmp_path, invitation):
    site = make_site(tmp_path / "b", "a", 1)
    member = join_study(site, site / ".rhe", invitation)
    assert {path.name for path in member.link.root.iterdir()} == {"node.key", "authority.crt", "link.json"}
    assert not [path for path in member.state.rglob("*") if path.name in {"node.key", "authority.crt"}]
    assert member.link.root.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o077 == 0 for path in member.link.root.iterdir())


@as_root
def test_each_of_two_users_owns_its_folder_alone(site, invitation):
    member = join_study(site, site / ".rhe", invitation, users=TWO)
    assert owners(member.state) == {ENGINE.uid}
    assert owners(member.link.root) == {LINK.uid}
    assert member.users == TWO
    assert member.link.load().engine_uid == ENGINE.uid
    assert member.socket.parent.parent == MEETING_PLACE
    for user, closed in ((LINK, member.state), (ENGINE, member.link.root)):
        with act_as(user), pytest.raises(PermissionError):
            list(closed.iterdir())


@as_root
def test_init_writes_what_a_start_by_root_asks_for(site, invitation):
    member = join_study(site, site / ".rhe", invitation, users=TWO)
    refuse_unvouched_link(member.users, member.state, member.link.root)


@as_root
def test_what_the_state_says_of_the_link_makes_root_make_no_folder(site, tmp_path, invitation):
    """The engine's user writes there; the next init, as root, would make the folder for the link's user."""
    join_study(site, site / ".rhe", invitation, users=TWO)
    with act_as(ENGINE):
        LinkSide(uid=LINK.uid, folder=str(tmp_path / "planted")).save(site / ".rhe")
    with pytest.raises(SiteError, match="--link-state"):
        join_study(site, site / ".rhe", invitation, users=TWO)
    assert not (tmp_path / "planted").exists()


@as_root
def test_a_link_folder_that_its_user_cannot_reach_is_refused(site, tmp_path, invitation):
    site.chmod(0o700)
    with pytest.raises(SiteError, match="--link-state"):
        join_study(site, site / ".rhe", invitation, users=TWO)
    member = join_study(site, site / ".rhe", invitation, tmp_path / "link", TWO)
    assert member.link.root == tmp_path / "link"
    with act_as(ENGINE):
        assert Membership(site, site / ".rhe").link.root == tmp_path / "link"


@as_root
@pytest.mark.parametrize(("name", "mode"), [("site.toml", 0o644), (".", 0o755), ("table.csv", 0o604)])
def test_files_that_the_link_can_read_are_refused(site, invitation, name, mode):
    target = site / name if name != "table.csv" else next(site.glob("*.csv"))
    target.chmod(mode)
    with pytest.raises(SiteError, match="can read it"):
        join_study(site, site / ".rhe", invitation, users=TWO)


@as_root
def test_a_link_of_the_links_own_making_leads_root_nowhere(site, tmp_path, invitation):
    """The link's user plants symbolic links in its folder; the next init follows none with root's rights."""
    root = join_study(site, site / ".rhe", invitation, users=TWO).link.root
    victim = tmp_path / "victim"
    victim.write_text("root's own")
    victim.chmod(0o600)
    with act_as(LINK):
        for name in ("node.key", "link.json", "authority.crt", f".link.json.{os.getpid()}.partial"):
            (root / name).unlink(missing_ok=True)
            (root / name).symlink_to(victim)
    with pytest.raises((SiteError, PermissionError)):
        join_study(site, site / ".rhe", invitation, users=TWO)
    assert victim.read_text() == "root's own"
    assert victim.stat().st_uid == 0


@as_root
def test_a_site_that_the_engine_cannot_enter_is_refused(site, invitation):
    os.chown(site, 0, 0)
    site.chmod(0o700)
    with pytest.raises(SiteError, match="chown"):
        join_study(site, site / ".rhe", invitation, users=TWO)


@as_root
def test_a_folder_of_another_user_is_refused(site, invitation):
    (site / ".rhe").mkdir()
    with pytest.raises(SiteError, match="belongs to user root"):
        join_study(site, site / ".rhe", invitation, users=TWO)


def test_a_membership_made_before_is_refused_until_init_moves_its_key(tmp_path, invitation):
    """The node's key moves, so that the card that the coordinator has stays true."""
    site = make_site(tmp_path / "b", "a", 1)
    member = join_study(site, site / ".rhe", invitation)
    before = load_handout(member.card, SiteCard).node_key
    keys = member.state / "keys"
    keys.mkdir(exist_ok=True)
    for name in ("node.key", "authority.crt"):
        (member.link.root / name).rename(keys / name)
    (member.link.root / "link.json").unlink()
    member.link.root.rmdir()
    (member.state / "link-side.json").unlink()
    with pytest.raises(SiteError, match="init again"):
        _ = Membership(site, site / ".rhe").users
    again = join_study(site, site / ".rhe", invitation)
    assert load_handout(again.card, SiteCard).node_key == before
    assert not list(keys.glob("node.key"))
    assert again.link.load().site == "a"


def test_a_site_that_never_joined_says_so(tmp_path):
    with pytest.raises(SiteError, match="has not joined"):
        _ = Membership(tmp_path, tmp_path / ".rhe").users


@pytest.mark.parametrize(
    ("engine", "link", "same", "message"),
    [
        ("root", None, False, "both"),
        ("root", "root", True, "contradicts"),
        ("nobody-of-that-name", "root", False, "no user"),
    ],
)
def test_users_that_make_no_sense_are_refused(engine, link, same, message):
    with pytest.raises(SiteError, match=message):
        choose_users(engine, link, same_user=same)


def test_only_root_makes_files_for_others(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4244)
    with pytest.raises(SiteError, match="as root"):
        choose_users("4242", "4243")
    assert not choose_users(None, None).are_two


def test_root_takes_the_two_users_that_exist(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    accounts = {"rhe-engine": ENGINE, "rhe-link": LINK}
    monkeypatch.setattr("client.membership.site_users.has_account", accounts.__contains__)
    monkeypatch.setattr("client.membership.site_users.find_account", accounts.__getitem__)
    assert choose_users(None, None) == TWO
    assert not choose_users(None, None, same_user=True).are_two
    del accounts["rhe-link"]
    assert not choose_users(None, None).are_two


def test_one_user_has_nothing_to_close(tmp_path):
    own = account_of(os.geteuid())
    refuse_open_files(SiteUsers(own, own), (tmp_path,))


def test_a_user_who_is_not_root_acts_as_nobody_else(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 4244)
    with pytest.raises(SiteError, match="sudo"), act_as(Account("x", 4245, 4245, (4245,))):
        pass
