"""rhe's TOML files: unknown keys are refused; all violations are reported at once, each with its line."""

from __future__ import annotations

import errno
import json
import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from common.runtime.regular_file import open_regular

if TYPE_CHECKING:
    from pathlib import Path

    from common.errors import RheError

KeyPath: TypeAlias = tuple[str | int, ...]
"""Where a setting is in a file: keys of tables and indices in arrays, from the outside in."""

BYTE_ORDER_MARK = "\ufeff"
"""What some editors write in front of UTF-8 text; TOML has none."""

TAG = "kind="
"""Prefix of a union's tag, which pydantic puts into a violation's location although no file has it."""


_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
"""pydantic's error types for an unknown key, in a model and in a dataclass."""

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,39}$"
COLUMN_PATTERN = r"^[A-Za-z][A-Za-z0-9_]{0,59}$"
DEVICE_PATTERN = r"^(auto|cpu|mps|cuda(:[0-9]{1,2})?)$"

_SPELLINGS = {
    NAME_PATTERN: (
        "is no name -> a letter or digit first, then letters, digits, '.', '+' and '-': no blanks, no more "
        "than 40 characters"
    ),
    COLUMN_PATTERN: (
        "is no column's name -> a letter first, then letters, digits and '_': no more than 60 characters"
    ),
    DEVICE_PATTERN: 'is no device -> write "auto", "cpu", "mps", "cuda" or "cuda:1"',
}
_PLACE = re.compile(r" \(at line (\d+), column \d+\)$")
_TWICE = ("overwrite", "twice", "mutate")
"""In tomllib's messages on a key or table that a file gives again."""
_SHOWN = 80

LARGEST_TEXT = 1_000_000
"""Bytes of a settings file or a plan; 500 sites and 100 models need a tenth."""
_MOST_PARTS = 32
"""Parts of a dotted key: tomllib's time grows with the square of their number, and no setting has five."""
_PART = r"(?:[A-Za-z0-9_-]++|\"[^\"\n]*+\"|'[^'\n]*+')"
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{_MOST_PARTS}}}")


class Section(BaseModel):
    """A table of a TOML file: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


Settings = TypeVar("Settings", bound=Section)


def parse_toml(text: str) -> dict[str, Any]:
    """The keys of a TOML document.

    Raises
    ------
    TOMLDecodeError
        If it is none, longer than `LARGEST_TEXT`, or nested without end.
    """
    if len(text) > LARGEST_TEXT:
        raise tomllib.TOMLDecodeError(f"longer than {LARGEST_TEXT:,} characters")
    long_key = _LONG_KEY.search(text)
    if long_key:
        line = text.count("\n", 0, long_key.start()) + 1
        raise tomllib.TOMLDecodeError(f"a key of more than {_MOST_PARTS} parts (at line {line}, column 1)")
    try:
        return tomllib.loads(text.removeprefix(BYTE_ORDER_MARK))
    except RecursionError:
        raise tomllib.TOMLDecodeError("nested too deeply") from None


def read_settings_text(path: Path) -> str:
    """The text of a settings file; no more of it is read than such a file can have.

    Raises
    ------
    OSError
        If it is not there, no regular file, too large, or cannot be read.
    UnicodeDecodeError
        If it is not UTF-8.
    """
    with open_regular(path) as stream:
        content = stream.read(LARGEST_TEXT + 1)
    if len(content) > LARGEST_TEXT:
        raise OSError(errno.EFBIG, f"it has more than {LARGEST_TEXT:,} bytes")
    return content.decode("utf-8-sig")


def load_settings(path: Path, model: type[Settings], error: type[RheError]) -> Settings:
    """The file's settings, validated.

    Raises
    ------
    RheError
        Of the given class, if the file is missing, is not TOML, or violates the model: one line a violation.
    """
    try:
        text = read_settings_text(path)
        return model.model_validate(parse_toml(text))
    except FileNotFoundError:
        raise error(f"{path}: no such file -> check the path; deploy/plans has examples") from None
    except UnicodeDecodeError:
        raise error(f"{path}: is not UTF-8 text -> give a TOML file, saved as UTF-8") from None
    except OSError as failure:
        raise error(f"{path}: cannot be read ({failure.strerror}) -> correct path or permissions") from None
    except tomllib.TOMLDecodeError as failure:
        raise error(f"{path}{_describe_no_toml(text, str(failure))}") from None
    except ValidationError as failure:
        problems = [dict(problem) for problem in failure.errors()]
        lines = [f"{path}:{_describe(text, problem)}" for problem in problems if not _is_consequence(problem)]
        raise error("\n".join(lines)) from None


def _describe_no_toml(text: str, reason: str) -> str:
    """Where the text stops to be TOML, what is written there, and what to write."""
    remedy = (
        "write each key and each table once"
        if any(word in reason for word in _TWICE)
        else "text stands in quotes, true and false do not"
    )
    place = _PLACE.search(reason)
    lines = text.split("\n")
    if place is None or int(place[1]) > len(lines):
        return f": not valid TOML: {reason} -> {remedy}"
    line = lines[int(place[1]) - 1].strip()[:_SHOWN]
    return f":{place[1]}: not valid TOML: {line!r}: {reason} -> {remedy}"


def _is_consequence(problem: dict[str, object]) -> bool:
    """Whether pydantic reports a list as too short only because it refused the list's elements."""
    return problem["type"] == "too_short" and bool(problem["input"])


def _describe(text: str, problem: dict[str, object]) -> str:
    place = problem["loc"]
    if not isinstance(place, tuple):
        raise TypeError(f"pydantic gave no location: {problem}")
    location = tuple(part for part in place if not str(part).startswith(TAG))
    name = ".".join(str(part) for part in location) or "the whole file"
    message = str(problem["msg"]).removeprefix("Value error, ")
    if problem["type"] in _UNKNOWN_KEY:
        message = "unknown key -> remove it or correct its spelling"
    value = problem.get("input")
    plain = isinstance(value, str | int | float | bool)
    if problem["type"] == "tuple_type":
        example = f"{location[-1]} = [{json.dumps(value, ensure_ascii=False)}]" if plain else "[1, 2]"
        message = f"must be a list -> write it in brackets, as {example}"
    context = problem.get("ctx")
    if problem["type"] == "string_pattern_mismatch" and isinstance(context, dict):
        message = _SPELLINGS.get(str(context["pattern"]), message)
    shown = f" (found {value!r})" if plain else ""
    return f"{_line_of(text, location)}: {name}: {message}{shown}"


def _line_of(text: str, location: KeyPath) -> int:
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
