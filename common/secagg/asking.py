"""What the server's rounds and sessions are to whoever carries their messages."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from common.secagg.coordinator import Coordinator
from common.secagg.errors import SecAggError
from common.secagg.messages import SignedJoin
from common.secagg.wire import Bytes


class Asking(ABC):
    """Something that asks sites, and at each of its stages waits for some of them."""

    def __init__(self, coordinator: Coordinator) -> None:
        self._coordinator = coordinator
        self._heard: set[str] = set()

    @property
    def members(self) -> tuple[str, ...]:
        """The set of the latest attempt; empty while sites join."""
        return self._coordinator.names(signed.join.site for signed in self._joins())

    def requests(self) -> dict[str, bytes]:
        """What to send to each site that has not answered at this stage."""
        missing = self.missing()
        return dict.fromkeys(missing, self._message()) if missing else {}

    def missing(self) -> tuple[str, ...]:
        """Sites that have not answered at this stage."""
        return tuple(name for name in self._expected() if name not in self._heard)

    def receive(self, site: str, message: Bytes) -> None:
        """Takes a site's answer; one that was taken before is left aside.

        Raises
        ------
        SiteRefusedError
            If it is a refusal.
        SecAggError
            S_CONTEXT if no answer of the site is expected, or it is of another round or set; S_SIG; S_STALE
            if it is of another attempt or iteration; S_PAYLOAD if its words are not those that it signed;
            S_SHAPE if they are not those of its vectors.
        ProtocolError
            If it is malformed.
        """
        if site not in self._expected():
            raise SecAggError(f"no answer of site {site} is expected", code="S_CONTEXT")
        if site not in self._heard:
            self._take(site, message)
            self._heard.add(site)

    def _check_complete(self) -> None:
        if self.missing():
            raise SecAggError(f"not answered: {', '.join(self.missing())}", code="E_SET_INCOMPLETE")

    @abstractmethod
    def _joins(self) -> Sequence[SignedJoin]:
        """Of the set's members."""

    @abstractmethod
    def _expected(self) -> tuple[str, ...]:
        """Sites whose answer is wanted at this stage."""

    @abstractmethod
    def _message(self) -> bytes:
        """What every one of them is sent."""

    @abstractmethod
    def _take(self, site: str, message: Bytes) -> None:
        """Checks an answer and makes it count."""
