"""The one way to write a document as bytes, so that two parties sign and hash the same bytes.

Canonical JSON: keys sorted, no spaces, ASCII, no floats (their text differs between programs).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NoReturn, TypeAlias

from pydantic import BaseModel

from common.errors import ProtocolError

Json: TypeAlias = bool | int | str | list["Json"] | dict[str, "Json"] | None
"""A value in a canonical document."""


def encode_canonical(model: Mapping[str, object] | BaseModel) -> bytes:
    """The document as canonical JSON.

    Raises
    ------
    TypeError
        If it contains a float, or anything else but null, booleans, integers, texts, lists and mappings.

    Examples
    --------
    >>> canonical({"round": 2, "attempt": 0})
    b'{"attempt":0,"round":2}'
    """
    fields = model.model_dump(mode="json") if isinstance(model, BaseModel) else model
    return _write_json(_make_plain(fields))


def parse_canonical(data: bytes, limit: int) -> dict[str, Json]:
    """The fields of a canonical document.

    Raises
    ------
    ProtocolError
        If it is longer than `limit` bytes, is not a JSON object, contains a float or a key twice, or is not
        what `encode_canonical` would write: a second spelling would have another hash and signature.
    """
    if len(data) > limit:
        raise ProtocolError(f"a header of {len(data)} bytes, at most {limit} are read")
    try:
        fields = json.loads(data.decode("ascii"), parse_float=_refuse, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ProtocolError("a header is not canonical JSON") from None
    # A key that occurs twice is only once among the fields, so these bytes are shorter than the data
    if not isinstance(fields, dict) or _write_json(fields) != data:
        raise ProtocolError("a header is not a canonical JSON object")
    return fields


def _write_json(fields: Json) -> bytes:
    return json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")


def _make_plain(value: object) -> Json:
    """The same value, made of JSON's own types only.

    Raises
    ------
    TypeError
        If a value has no canonical form.
    """
    if value is None or isinstance(value, (str, int)):
        return value
    if isinstance(value, (list, tuple)):
        return [_make_plain(entry) for entry in value]
    # A dictionary is told at once, any other mapping only by a search
    if isinstance(value, (dict, Mapping)):
        return {_check_key(key): _make_plain(entry) for key, entry in value.items()}
    raise TypeError(f"a {type(value).__name__} has no canonical form")


def _check_key(key: object) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a {type(key).__name__} as a key has no canonical form")
    return key


def _refuse(_text: str) -> NoReturn:
    raise ValueError("not an integer")
