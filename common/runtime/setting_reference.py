"""The reference of a settings file: every key with its values, default, meaning and source, as Markdown."""

from __future__ import annotations

import json
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from common.runtime.name_patterns import SPELLINGS
from common.runtime.setting_keys import REQUIRED, SettingKey, Table, describe_table, list_keys, walk_tables

_KINDS = {int: "whole number", float: "number", bool: "true or false", str: "text"}
_BOUNDS = {
    "ge": "at least {}",
    "gt": "above {}",
    "le": "at most {}",
    "lt": "below {}",
    "min_length": "{} or more",
    "max_length": "up to {}",
}
_WIDTH = 60


def write_reference(model: Table, title: str, introduction: str, sources: Mapping[str, str]) -> str:
    """The whole page.

    Parameters
    ----------
    model : type
        What validates the file.
    title, introduction : str
        The page's heading, and the paragraph below it.
    sources : Mapping
        Where a default or a method comes from, by the key's path, e.g. "federation.rounds"; of a key that is
        not there, nothing is said.
    """
    lines = [f"# {title}", "", introduction]
    for path, tag, table in walk_tables(model):
        lines += ["", f"## {_write_heading(path, tag)}", "", describe_table(table), ""]
        lines += ["| key | values | default | meaning | source |", "| --- | --- | --- | --- | --- |"]
        lines += [_write_row(path, key, sources) for key in list_keys(table)]
    return "\n".join(lines) + "\n"


def name_key(path: str, name: str) -> str:
    """The path by which a source names a key: the same in every kind of model."""
    return f"{path}.{name}".lstrip(".")


def _write_heading(path: str, tag: str) -> str:
    if not path:
        return "At the top of the file"
    outer = path.removesuffix("[]").replace("[].", ".")
    heading = f"`[[{outer}]]`" if path.endswith("[]") else f"`[{outer}]`"
    key, _, kind = tag.partition("=")
    return f'{heading} with `{key} = "{kind}"`' if tag else heading


def _write_row(path: str, key: SettingKey, sources: Mapping[str, str]) -> str:
    name = name_key(path, key.name)
    cells = (
        f"`{key.name}`",
        describe_values(key),
        _write_default(key),
        key.meaning,
        sources.get(name, ""),
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def describe_values(key: SettingKey) -> str:
    """What a key may hold, in words."""
    if key.tables:
        return "tables, see below" if key.is_list else "table, see below"
    return ", ".join(_describe(key.annotation))


def _describe(annotation: Any) -> Iterator[str]:
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        yield from _describe(parts[0])
        yield from _describe_bounds(parts[1:])
    elif origin is Literal:
        yield " or ".join(f"`{_write_value(value)}`" for value in parts)
    elif origin is tuple:
        inner = [part for part in parts if part is not Ellipsis]
        fixed = f"{len(parts)} in a list" if Ellipsis not in parts else "a list"
        yield f"{fixed}: {', '.join(_describe(inner[0]))}" if inner else "a list"
    elif origin is dict:
        yield f"table of NAME = {', '.join(_describe(parts[1]))}"
    elif parts:
        known = [part for part in parts if part is not type(None)]
        yield " or ".join(", ".join(_describe(part)) for part in known)
    else:
        yield _KINDS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _describe_bounds(demands: tuple[Any, ...]) -> Iterator[str]:
    for demand in demands:
        if isinstance(demand, FieldInfo):
            yield from _describe_bounds(tuple(demand.metadata))
            continue
        spelling = SPELLINGS.get(getattr(demand, "pattern", None) or "", "").partition(" -> ")[2]
        if spelling:
            yield spelling
        for name, words in _BOUNDS.items():
            bound = getattr(demand, name, None)
            if bound is not None:
                yield words.format(f"{bound:,}" if isinstance(bound, int) else f"{bound:g}")


def _write_default(key: SettingKey) -> str:
    if key.default is REQUIRED:
        return "**required**"
    if key.default is None:
        return "none"
    if key.tables and not key.is_list:
        return "its defaults"
    text = f"`{_write_value(key.default)}`"
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 3].rsplit(',', 1)[0]}, …`"


def _write_value(value: Any) -> str:
    """A value as TOML writes it."""
    if isinstance(value, BaseModel):
        told = value.model_dump(mode="json", exclude_defaults=True)
        return f"{{ {', '.join(f'{name} = {json.dumps(item)}' for name, item in told.items())} }}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(_write_value(item) for item in value)}]"
    if isinstance(value, float):
        return f"{value:.12g}" if value != int(value) or abs(value) > 1e12 else f"{value:.1f}"
    return json.dumps(value, ensure_ascii=False)
