"""What the link has on disk: its key, the only authority that it trusts, the coordinator's address."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from common.errors import SiteError
from common.runtime.settings_file import Section
from common.runtime.storage import write_atomically


class LinkSettings(Section):
    """What the link has to know of its study."""

    site: str
    """Name of the site, for messages."""
    study: str
    """Name of the study, for messages."""
    address: str
    """HOST:PORT of the coordinator, as the invitation says."""
    largest_message: int = Field(gt=0)
    """Bytes of the largest message, either way, that the plan can need."""
    engine_uid: int | None = Field(default=None, ge=0)
    """User number of the engine, the only one to whom the link speaks at the socket; None: the link's own."""
    state: str = ""
    """The engine's folder, where the engine is another user: root starts no link for another."""


SETTINGS_FILE = "link.json"
"""File of a link's settings in its folder."""


@dataclass(frozen=True)
class LinkFolder:
    """The link's folder; it holds nothing of the engine's.

    Attributes
    ----------
    root : Path
        Only the link's user may enter.
    """

    root: Path

    @property
    def node_key(self) -> Path:
        """File of the private key with which the site's node signs in to the coordinator."""
        return self.root / "node.key"

    @property
    def authority(self) -> Path:
        """File of the only certificate authority that the link trusts."""
        return self.root / "authority.crt"

    @property
    def log(self) -> Path:
        """File of the link's output."""
        return self.root / "logs" / "link.log"

    def save(self, settings: LinkSettings) -> None:
        """Keep the settings.

        Raises
        ------
        StorageError
            If they cannot be written.
        """
        write_atomically(self._settings_file, settings.model_dump_json(indent=1).encode(), private=True)

    def load(self) -> LinkSettings:
        """The settings that were kept.

        Raises
        ------
        SiteError
            If there are none, or they are damaged.
        """
        try:
            return LinkSettings.model_validate_json(self._settings_file.read_bytes())
        except (OSError, ValidationError) as failure:
            raise SiteError(
                f"{self._settings_file}: the link's settings cannot be read ({type(failure).__name__}) -> "
                "rhe-client init the site again"
            ) from None

    @property
    def _settings_file(self) -> Path:
        return self.root / SETTINGS_FILE
