"""Where a site's folder and state are, as a command names them; a mistyped path is told and makes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from client.membership.membership import Membership
from client.membership.site import SITE_FILE
from client.membership.state_folder import STATE
from common.errors import SiteError, StorageError
from common.runtime.accounts import account_of, become


def place_state(folder: Path, state: Path | None) -> Path:
    """The state's folder, which need not exist yet.

    Raises
    ------
    SiteError
        If there is no such site folder, or the state is a link to another place.
    """
    if not folder.is_dir():
        raise SiteError(f"{folder}: no such folder -> give the folder that holds {SITE_FILE}")
    chosen = (state or folder / STATE).absolute()
    if chosen.is_symlink():
        # Whoever may replace it would choose whose files root, and the engine, write
        raise SiteError(
            f"{chosen}: is a link, which whoever may write in {chosen.parent} can turn elsewhere -> name the "
            f"folder itself: --state {chosen.resolve()}"
        )
    return chosen


@contextmanager
def suggest_state(state: Path | None) -> Iterator[None]:
    """Name the option that puts the state elsewhere, where its folder cannot be written and nobody chose it.

    Raises
    ------
    StorageError
        As the block raised it, with the option.
    """
    try:
        yield
    except StorageError as failure:
        if state is not None:
            raise
        raise StorageError(f"{failure}; or keep keys, cache and logs elsewhere: --state DIR") from None


def find_state(folder: Path, state: Path | None) -> Path:
    """The state's folder; root goes on as its owner, for good, so that the engine can read what is made.

    Raises
    ------
    SiteError
        As `place_state`.
    """
    chosen = place_state(folder, state)
    if os.geteuid() == 0 and chosen.is_dir():
        become(account_of(chosen.stat().st_uid))
    return chosen


def place_member(folder: Path, state: Path | None, link_state: Path | None = None) -> Membership:
    """The site's membership, whether it has joined a study or not; raises as `place_state`."""
    chosen = None if link_state is None else link_state.absolute()
    return Membership(folder.resolve(), place_state(folder, state), chosen)


def find_member(folder: Path, state: Path | None) -> Membership:
    """Like `place_member`; root goes on as the state's owner."""
    return place_member(folder, find_state(folder, state))


def find_kept_member(folder: Path, state: Path | None) -> Membership:
    """Like `find_member`, for what a site has kept of a study: nothing is made where there is nothing.

    Raises
    ------
    SiteError
        If there is no state, or nothing of a study in it.
    """
    member = find_member(folder, state)
    if not member.state.is_dir():
        raise SiteError(
            f"{member.state}: no such folder -> has this site joined a study? If its state is elsewhere, "
            "name it with --state"
        )
    if not (member.has_joined or member.ledger.is_dir() or member.protocol_files.is_dir()):
        raise SiteError(
            f"{member.state}: holds nothing of a study -> give the folder of a site that has joined one, or "
            "its --state"
        )
    return member
