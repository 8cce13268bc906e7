"""JSON from the other end of the line: small, flat, and never a reason to fail."""

from __future__ import annotations

import json
from typing import Any

_NESTED = 50
"""Brackets that may open; rhe and Flower open four, and Python's parser fails at a thousand."""


def read_small_object(content: bytes, most: int) -> dict[str, Any]:
    """The JSON object in some bytes; an empty one if they hold none, or anything unusual.

    Parameters
    ----------
    content : bytes
        What somebody sent.
    most : int
        Bytes that it may have; more are not looked at.
    """
    if len(content) > most or content.count(b"[") + content.count(b"{") > _NESTED:
        return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
