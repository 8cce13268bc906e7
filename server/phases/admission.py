"""Phase: every site of the plan says who it is; software that cannot work together is refused."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from common.errors import ExchangeError
from common.messages.headers import SiteFacts
from common.messages.protocol import Reply
from server.exchange import Exchange
from server.phases.versions import find_conflicts, list_differences

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Admission:
    """Who takes part.

    Attributes
    ----------
    facts : mapping of str to SiteFacts
        By site, what it stated about its software and hardware.
    differences : tuple of str
        Versions of packages that are not the same everywhere, in words.
    """

    facts: Mapping[str, SiteFacts]
    differences: tuple[str, ...]


def admit_sites(exchange: Exchange, patience_s: float, versions: Mapping[str, str]) -> Admission:
    """What every site states about itself, once all are connected and their software fits.

    Parameters
    ----------
    exchange : Exchange
        The connection to the sites.
    patience_s : float
        How long to wait for sites that are not connected, seconds.
    versions : mapping of str to str
        The coordinator's own versions by package.

    Raises
    ------
    ExchangeError
        If a site does not connect or refuses the plan, or has a version with which it cannot take part.
    """
    facts = {site: _facts_of(reply) for site, reply in exchange.enrol(patience_s).items()}
    stated = {site: of_site.versions for site, of_site in facts.items()}
    _refuse_conflicts(versions, stated)

    def admit_again(site: str, reply: Reply) -> None:
        # It may have been installed anew while it was away
        _refuse_conflicts(versions, {site: _facts_of(reply).versions})

    exchange.on_return = admit_again
    differences = list_differences(versions, stated)
    for line in differences:
        _log.warning("versions differ: %s", line)
    return Admission(facts, differences)


def _refuse_conflicts(versions: Mapping[str, str], stated: Mapping[str, Mapping[str, str]]) -> None:
    """Refuse sites whose software cannot work with the coordinator's.

    Raises
    ------
    ExchangeError
        With every such version.
    """
    conflicts = list(find_conflicts(versions, stated))
    if conflicts:
        raise ExchangeError(
            f"{'; '.join(conflicts)} -> install the coordinator's versions at these sites, or theirs at the "
            "coordinator, and run the study again with --resume"
        )


def _facts_of(reply: Reply) -> SiteFacts:
    if reply.header.facts is None:
        raise ValueError("a site described itself without facts")
    return reply.header.facts
