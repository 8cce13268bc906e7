"""Whether the link that a site's state names is that site's: root asks before it runs anything as that user.

The engine's user can write what its state says of the link, and so could name any user and any folder. So the
folder must be that user's own, closed to all others, and must itself name this engine and this state.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pydantic import ValidationError

from client.membership.link_folder import SETTINGS_FILE, LinkSettings
from client.membership.site_users import SiteUsers
from common.errors import SiteError
from common.runtime.accounts import Account, act_as

_FIRST_SERVICE_UID = 100
"""Users of lower numbers belong to the system itself, wherever Linux gives them out."""
_LONGEST = 2**16
_NEVER_WAIT = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK


class UnvouchedLinkError(SiteError):
    """The link that a site's state names is not that site's."""

    def __init__(self, folder: Path, what: str) -> None:
        super().__init__(
            f"{folder}: {what}; nothing was started as that user -> was the site's state altered? If not, "
            "rhe-client init again with the same invitation: the keys stay as they are"
        )


def refuse_unvouched_link(users: SiteUsers, state: Path, folder: Path) -> None:
    """Refuse, as root, to run a link that does not name the engine and its state as they name the link.

    Parameters
    ----------
    users : SiteUsers
        As the state names them.
    state : Path
        The engine's folder.
    folder : Path
        The link's, as the state names it.

    Raises
    ------
    UnvouchedLinkError
        With what does not fit.
    """
    if not users.are_two or os.geteuid():
        return
    link = users.link
    if link.uid < _FIRST_SERVICE_UID:
        raise UnvouchedLinkError(
            folder, f"the link would run as user {link.name}, which belongs to the system"
        )
    with act_as(link):
        settings = _read_settings(folder, link)
    if settings.engine_uid != users.engine.uid:
        raise UnvouchedLinkError(folder, f"this link is not for an engine of user {users.engine.name}")
    if settings.state != str(state.resolve()):
        raise UnvouchedLinkError(folder, f"this link is not for {state}")


def _read_settings(folder: Path, link: Account) -> LinkSettings:
    """What the link's folder says; folder and file stay the same ones from the check to the reading.

    Raises
    ------
    UnvouchedLinkError
        If folder or file are not the link's alone.
    """
    try:
        place = os.open(folder, _NEVER_WAIT | os.O_DIRECTORY)
        try:
            if not _is_own(place, link, stat.S_IFDIR):
                raise UnvouchedLinkError(folder, f"it is not {link.name}'s alone (mode 0700)")
            with os.fdopen(os.open(SETTINGS_FILE, _NEVER_WAIT, dir_fd=place), "rb") as file:
                if not _is_own(file.fileno(), link, stat.S_IFREG):
                    raise UnvouchedLinkError(
                        folder, f"{SETTINGS_FILE} is not {link.name}'s alone (mode 0600)"
                    )
                return LinkSettings.model_validate_json(file.read(_LONGEST))
        finally:
            os.close(place)
    except (OSError, ValidationError) as failure:
        what = failure.strerror if isinstance(failure, OSError) else type(failure).__name__
        raise UnvouchedLinkError(folder, f"user {link.name} keeps no link there ({what})") from None


def _is_own(handle: int, link: Account, kind: int) -> bool:
    status = os.fstat(handle)
    return stat.S_IFMT(status.st_mode) == kind and status.st_uid == link.uid and not status.st_mode & 0o077
