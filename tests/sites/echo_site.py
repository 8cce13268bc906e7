"""A site that answers every question with one number, and a plan of two of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from common.messages.catalogue import Operation
from common.messages.headers import ReplyHeader
from common.messages.protocol import Reply, Request, decode_request, encode_reply
from common.plan.study import StudyPlan
from common.stats.contract import Summary

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PLAN = StudyPlan.model_validate(
    {
        "name": "A study",
        "seed": 7,
        "two_site_ack": True,
        "sites": [{"name": "b", "role": "train"}, {"name": "a", "role": "train"}],
        "models": [{"name": "m", "family": "resnet18"}],
    }
)


def site(
    name: str, value: int = 0, code: str = "OK", seen: list[tuple[str, Request]] | None = None
) -> Callable[[bytes], bytes]:
    def answer(message: bytes) -> bytes:
        request = decode_request(message, KEY.public_key())
        if seen is not None:
            seen.append((name, request))
        refused = request.header.operation is not Operation.DESCRIBE
        header = ReplyHeader(site=name, code=code if refused else "OK")
        return bytes(encode_reply(Reply(header, Summary({"n": np.array(value)})).name_request(message)))

    return answer
