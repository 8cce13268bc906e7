"""The one way to write a message's fields as bytes, so that two parties sign and hash the same.

Canonical JSON: keys sorted, no spaces, ASCII, no floats (their text differs between programs).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NoReturn, TypeAlias

from pydantic import BaseModel

from common.errors import ProtocolError

Json: TypeAlias = bool | int | str | list["Json"] | dict[str, "Json"] | None
"""What a canonical document is made of; pydantic models are made from it."""


def canonical(model: Mapping[str, object] | BaseModel) -> bytes:
    """The document as canonical JSON.

    Raises
    ------
    TypeError
        If it contains a float, or anything else that is not null, boolean, integer, text, list or mapping.

    Examples
    --------
    >>> canonical({"round": 2, "attempt": 0})
    b'{"attempt":0,"round":2}'
    """
    fields = model.model_dump(mode="json") if isinstance(model, BaseModel) else model
    return _written(_plain(fields))


def parse(data: bytes, limit: int) -> dict[str, Json]:
    """The fields of a canonical document of at most `limit` bytes.

    Raises
    ------
    ProtocolError
        If it is longer, is not JSON, is not an object, contains a float or a key twice, or is not what
        `canonical` would write: a second spelling would have a second hash and a second signature.
    """
    if len(data) > limit:
        raise ProtocolError(f"a header of {len(data)} bytes, at most {limit} are read")
    try:
        fields = json.loads(data.decode("ascii"), parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ProtocolError("a header is not canonical JSON") from None
    # A key that stood twice is once in the fields, so these bytes are shorter than what came
    if not isinstance(fields, dict) or _written(fields) != data:
        raise ProtocolError("a header is not a canonical JSON object")
    return fields


def _written(fields: Json) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _plain(value: object) -> Json:
    """The same value of JSON's own types."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Mapping):
        return {_key(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    raise TypeError(f"a {type(value).__name__} has no canonical form")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a {type(key).__name__} as a key has no canonical form")
    return key


def _refuse(_text: str) -> NoReturn:
    raise ValueError("not an integer")
