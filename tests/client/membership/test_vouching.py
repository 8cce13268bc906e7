"""Root runs a link only as the user and from the folder that themselves name the engine: both must agree."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from sites.passable import make_passable_folder

from client.membership.link_folder import LinkFolder, LinkSettings
from client.membership.site_users import SiteUsers
from client.membership.vouching import UnvouchedLinkError, refuse_unvouched_link
from common.runtime.accounts import account_of, act_as

ENGINE, LINK, VICTIM = account_of(4242), account_of(4243), account_of(4244)
TWO = SiteUsers(ENGINE, LINK)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become two users")


@pytest.fixture
def tmp_path():
    with make_passable_folder() as folder:
        yield folder


@pytest.fixture
def state(tmp_path) -> Path:
    return tmp_path / "site" / ".rhe"


def make_link(folder: Path, state: Path | None = None, engine_uid: int = ENGINE.uid) -> Path:
    folder.mkdir(mode=0o700)
    os.chown(folder, LINK.uid, LINK.gid)
    told = LinkSettings(
        site="a", study="s", address="h:1", largest_message=1, engine_uid=engine_uid, state=str(state or "")
    )
    with act_as(LINK):
        LinkFolder(folder).save(told)
    return folder


def test_a_link_that_names_this_engine_and_this_state_is_taken(tmp_path, state):
    refuse_unvouched_link(TWO, state, make_link(tmp_path / "link", state))


def test_one_user_has_nothing_to_vouch_for(tmp_path, state):
    refuse_unvouched_link(SiteUsers(ENGINE, ENGINE), state, tmp_path / "nowhere")


def as_another_user(link: Path) -> SiteUsers:
    return SiteUsers(ENGINE, VICTIM)


def as_a_user_of_the_system(link: Path) -> SiteUsers:
    for path in (link, *link.iterdir()):
        os.chown(path, 1, 1)
    return SiteUsers(ENGINE, account_of(1))


def as_root(link: Path) -> SiteUsers:
    for path in (link, *link.iterdir()):
        os.chown(path, 0, 0)
    return SiteUsers(ENGINE, account_of(0))


def through_a_planted_link(link: Path) -> SiteUsers:
    link.rename(link.with_name("moved"))
    link.symlink_to(link.with_name("moved"))
    return TWO


def in_a_folder_that_others_enter(link: Path) -> SiteUsers:
    link.chmod(0o750)
    return TWO


def in_a_folder_of_the_engines(link: Path) -> SiteUsers:
    shutil.copytree(link, link.with_name("copy"))
    shutil.rmtree(link)
    link.with_name("copy").rename(link)
    for path in (link, *link.iterdir()):
        os.chown(path, ENGINE.uid, ENGINE.gid)
    link.chmod(0o755)
    return TWO


def with_settings_of_another(link: Path) -> SiteUsers:
    os.chown(link / "link.json", ENGINE.uid, ENGINE.gid)
    (link / "link.json").chmod(0o644)
    return TWO


def with_settings_elsewhere(link: Path) -> SiteUsers:
    (link / "link.json").rename(link / "other.json")
    (link / "link.json").symlink_to("other.json")
    return TWO


def with_a_pipe_for_settings(link: Path) -> SiteUsers:
    (link / "link.json").unlink()
    os.mkfifo(link / "link.json", 0o600)
    os.chown(link / "link.json", LINK.uid, LINK.gid)
    return TWO


def without_settings(link: Path) -> SiteUsers:
    (link / "link.json").unlink()
    return TWO


@pytest.mark.parametrize(
    "plant",
    [
        as_another_user,
        as_a_user_of_the_system,
        as_root,
        through_a_planted_link,
        in_a_folder_that_others_enter,
        in_a_folder_of_the_engines,
        with_settings_of_another,
        with_settings_elsewhere,
        with_a_pipe_for_settings,
        without_settings,
    ],
)
def test_what_the_link_did_not_say_itself_is_refused(tmp_path, state, plant):
    link = make_link(tmp_path / "link", state)
    users = plant(link)
    with pytest.raises(UnvouchedLinkError, match="nothing was started"):
        refuse_unvouched_link(users, state, link)


def test_the_link_of_another_site_or_engine_is_refused(tmp_path, state):
    for number, (other, uid) in enumerate([(tmp_path / "b" / ".rhe", ENGINE.uid), (state, VICTIM.uid)]):
        link = make_link(tmp_path / str(number), other, uid)
        with pytest.raises(UnvouchedLinkError, match="is not for"):
            refuse_unvouched_link(TWO, state, link)


def test_a_link_of_an_older_release_is_told_to_join_again(tmp_path, state):
    link = make_link(tmp_path / "link")
    with pytest.raises(UnvouchedLinkError, match="init again"):
        refuse_unvouched_link(TWO, state, link)
