"""What rounds and sessions of the server have in common for whoever carries their messages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from common.secagg.codes import SecAggError
from common.secagg.coordinator.gathering import Coordinator
from common.secagg.wire.frames import Bytes
from common.secagg.wire.messages import SignedJoin


class Asking(ABC):
    """A round or session: at each of its stages it asks some sites and waits for their answers."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._heard: set[str] = set()

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the sites in the set of the latest attempt; empty while sites join."""
        return self._coordinator.names(signed.join.site for signed in self._list_joins())

    def make_requests(self) -> dict[str, bytes]:
        """The message for each site that has not answered at this stage, by the site's name."""
        missing = self.list_missing()
        return dict.fromkeys(missing, self._make_message()) if missing else {}

    def list_missing(self) -> tuple[str, ...]:
        """Names of the sites that have not answered at this stage."""
        return tuple(name for name in self._list_expected() if name not in self._heard)

    def receive(self, site: str, message: Bytes) -> None:
        """Take a site's answer; a second one at the same stage is ignored.

        Raises
        ------
        SiteRefusedError
            If it is a refusal.
        SecAggError
            S_CONTEXT if no answer of the site is expected, or it belongs to another round or set; S_SIG if
            somebody else signed it; S_STALE if it belongs to another attempt or iteration; S_PAYLOAD if its
            words are not those that were signed; S_SHAPE if they do not fit its vectors.
        ProtocolError
            If it is malformed.
        """
        if site not in self._list_expected():
            raise SecAggError(f"no answer of site {site} is expected", code="S_CONTEXT")
        if site not in self._heard:
            self._take(site, message)
            self._heard.add(site)

    def _check_complete(self) -> None:
        if self.list_missing():
            raise SecAggError(f"not answered: {', '.join(self.list_missing())}", code="E_SET_INCOMPLETE")

    @abstractmethod
    def _list_joins(self) -> Sequence[SignedJoin]:
        """The JOINs of the set's members."""

    @abstractmethod
    def _list_expected(self) -> tuple[str, ...]:
        """Names of the sites whose answer is wanted at this stage."""

    @abstractmethod
    def _make_message(self) -> bytes:
        """The message of this stage; every expected site gets the same."""

    @abstractmethod
    def _take(self, site: str, message: Bytes) -> None:
        """Check an answer and count it."""
