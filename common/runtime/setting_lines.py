"""On which line of a settings file a key is written, and where its text stops to be TOML."""

from __future__ import annotations

import re
from typing import TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""Where a setting is in a file: keys of tables and indices in arrays, from the outside in."""

_PLACE = re.compile(r" \(at line (\d+), column \d+\)$")
_TWICE = ("overwrite", "twice", "mutate")
"""In tomllib's messages on a key or table that a file gives again."""
_MORE_BEHIND = "Expected newline or end of document"
"""In tomllib's message on what stands behind a value."""
_CURLY = "\u201c\u201d\u201e\u00ab\u00bb\u2018\u2019"
_SHOWN = 80


def describe_no_toml(text: str, reason: str) -> str:
    """Where the text stops to be TOML, what is written there, and what to write."""
    place = _PLACE.search(reason)
    lines = text.split("\n")
    if place is None or int(place[1]) > len(lines):
        return f": not valid TOML: {reason} -> {_choose_remedy(text, '', reason)}"
    line = lines[int(place[1]) - 1].strip()
    remedy = _choose_remedy(text, line, reason)
    return f":{place[1]}: not valid TOML: {line[:_SHOWN]!r}: {reason} -> {remedy}"


def _choose_remedy(text: str, line: str, reason: str) -> str:
    if any(word in reason for word in _TWICE):
        name = line.strip("[] ")
        is_list = not line.startswith("[[") and f"[[{name}]]" in text
        return f"[[{name}]] begins another one" if name and is_list else "write each key and each table once"
    if any(quote in line for quote in _CURLY):
        return 'write straight quotes, "; these are curly, as a word processor makes them'
    if _MORE_BEHIND in reason:
        return "nothing stands behind a value: one setting a line, decimals with a point"
    return "text stands in quotes, true and false do not"


def find_line(text: str, location: KeyPath) -> int:
    """The line, from 1, on which the deepest existing part of `location` is written."""
    best, depth = 1, 0
    table: KeyPath = ()
    seen: dict[str, int] = {}
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if line.startswith("[["):
            name = line.strip("[] ")
            seen[name] = seen.get(name, -1) + 1
            table = (*name.split("."), seen[name])
            path = table
        elif line.startswith("["):
            table = _add_indices(line.split("#")[0].strip("[] ").split("."), seen)
            path = table
        elif "=" in line and not line.startswith("#"):
            path = (*table, line.split("=")[0].strip().strip('"'))
        else:
            continue
        matched = path == location[: len(path)]
        if matched and len(path) > depth:
            best, depth = number, len(path)
    return best


def _add_indices(keys: list[str], seen: dict[str, int]) -> KeyPath:
    """The path of a table inside an array's last element, e.g. ``[models.training]`` of the third model."""
    path: KeyPath = ()
    for depth, key in enumerate(keys, start=1):
        name = ".".join(keys[:depth])
        path = (*path, key, seen[name]) if name in seen else (*path, key)
    return path
