"""Whose software fits is asked of every site, and again of one that was away."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from common.errors import ExchangeError
from common.messages.headers import ReplyHeader, SiteFacts
from common.messages.protocol import Reply
from server.phases.admission import admit_sites
from server.phases.versions import RULES

OWN = dict.fromkeys(RULES, "1.0")


def said_by(site, rhe):
    facts = SiteFacts(synthetic=True, device="cpu: any", versions=OWN | {"rhe": rhe})
    return Reply(ReplyHeader(site=site, facts=facts))


def test_a_site_that_comes_back_with_another_release_is_refused():
    exchange = SimpleNamespace(enrol=lambda _: {"a": said_by("a", "1.0")}, on_return=None)
    admit_sites(exchange, 0, OWN)

    exchange.on_return("a", said_by("a", "1.0"))
    with pytest.raises(ExchangeError, match=r"a.*1\.1.* -> install the coordinator's versions"):
        exchange.on_return("a", said_by("a", "1.1"))
