"""A site's two users: the engine's owns patients' files and keys, the link's owns neither."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from common.errors import SiteError
from common.runtime.accounts import Account, account_of, act_as, find_account, has_account
from common.runtime.settings_file import Section
from common.runtime.storage import make_private_folder, write_atomically

ENGINE_USER, LINK_USER = "rhe-engine", "rhe-link"
"""Names of the two users, where a site is made as root and names no others."""


class LinkSide(Section):
    """What the engine knows of the link: who it is and where it keeps its files."""

    uid: int = Field(ge=0)
    """User number; nobody else may ask the engine."""
    folder: str
    """The link's folder."""

    @classmethod
    def load(cls, state: Path) -> LinkSide | None:
        """What was kept in a site's state; None where nothing was.

        Raises
        ------
        SiteError
            If the file is damaged.
        """
        try:
            return cls.model_validate_json(_side_file(state).read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as failure:
            raise SiteError(
                f"{_side_file(state)} cannot be read ({type(failure).__name__}) -> rhe-client init the "
                "site again"
            ) from None

    def save(self, state: Path) -> None:
        """Keep it in the site's state."""
        write_atomically(_side_file(state), self.model_dump_json(indent=1).encode(), private=True)


@dataclass(frozen=True)
class SiteUsers:
    """As whom engine and link of one site run.

    Attributes
    ----------
    engine : Account
        Owner of the state; reads patients' files and has no network.
    link : Account
        Owner of the link's folder; has the network and reads no patient's file.
    """

    engine: Account
    link: Account

    @property
    def are_two(self) -> bool:
        """Whether the link is another user than the engine."""
        return self.engine.uid != self.link.uid


def choose_users(engine: str | None, link: str | None, *, same_user: bool = False) -> SiteUsers:
    """The users for whom a site is made.

    Parameters
    ----------
    engine, link : str or None
        Names that were given; by default `ENGINE_USER` and `LINK_USER` where root makes the site and these
        users exist, else this process' own.
    same_user : bool
        Whether both shall be this process' own.

    Raises
    ------
    SiteError
        If a user does not exist, or this process may not make files for it.
    """
    own = account_of(os.geteuid())
    if same_user and (engine or link):
        raise SiteError("--same-user contradicts --engine-user and --link-user -> give one or the other")
    if (engine is None) != (link is None):
        raise SiteError("one user was named -> give both --engine-user and --link-user, or neither")
    if engine is not None and link is not None:
        users = SiteUsers(find_account(engine), find_account(link))
        if own.uid and (users.are_two or users.engine.uid != own.uid):
            raise SiteError(f"user {own.name} cannot make files for others -> run rhe-client init as root")
        return users
    if own.uid or same_user or not (has_account(ENGINE_USER) and has_account(LINK_USER)):
        return SiteUsers(own, own)
    return SiteUsers(find_account(ENGINE_USER), find_account(LINK_USER))


def make_folder_for(path: Path, account: Account, option: str) -> Path:
    """A private folder of this user's; it is made if there is none.

    Parameters
    ----------
    path : Path
    account : Account
        Whose it is to be.
    option : str
        Of the command line, that chooses another folder.

    Raises
    ------
    SiteError
        If the folder is somebody else's, or its user cannot reach it.
    StorageError
        If it cannot be made.
    """
    if not path.exists() and not path.is_symlink():
        make_private_folder(path)
        if not account.is_this_process:
            os.chown(path, account.uid, account.gid, follow_symlinks=False)
    status = path.lstat()
    if status.st_uid != account.uid:
        raise SiteError(
            f"{path} belongs to user {account_of(status.st_uid).name}, not to {account.name} -> give it to "
            f"{account.name} (chown -R {account.name}: {path}), or choose another folder with {option}"
        )
    refuse_closed_folder(path, account, f"choose another with {option}")
    with act_as(account):
        return make_private_folder(path)


def refuse_closed_folder(path: Path, account: Account, remedy: str) -> None:
    """Refuse a folder that its user cannot reach.

    Raises
    ------
    SiteError
        With this remedy.
    """
    with act_as(account):
        if os.access(path, os.R_OK | os.X_OK, effective_ids=True):
            return
    raise SiteError(f"{path}: user {account.name} cannot enter it, or no folder above it -> {remedy}")


def refuse_open_files(users: SiteUsers, paths: tuple[Path, ...]) -> None:
    """Refuse a site whose files the link's user can read: then two users protect nothing.

    Raises
    ------
    SiteError
        With the first file or folder that the link can read.
    """
    if not users.are_two or os.geteuid():
        return
    with act_as(users.link):
        readable = [path for path in paths if os.access(path, os.R_OK, effective_ids=True)]
    if readable:
        raise SiteError(
            f"{readable[0]}: the link's user {users.link.name} can read it -> take the right from others: "
            f"chmod -R o-rwx {readable[0]} (and from {users.link.name}'s groups)"
        )


def _side_file(state: Path) -> Path:
    return state / "link-side.json"
