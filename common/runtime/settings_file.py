"""rhe's TOML files: unknown keys are refused; all violations are reported at once, each with its line."""

from __future__ import annotations

import codecs
import errno
import re
import tomllib
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from common.runtime.name_patterns import COLUMN_PATTERN, DEVICE_PATTERN, NAME_PATTERN
from common.runtime.regular_file import open_regular
from common.runtime.setting_faults import TAG, TAG_ERROR, describe_faults
from common.runtime.setting_lines import describe_no_toml

if TYPE_CHECKING:
    from pathlib import Path

    from common.errors import RheError

__all__ = [
    "COLUMN_PATTERN",
    "DEVICE_PATTERN",
    "NAME_PATTERN",
    "TAG",
    "TAG_ERROR",
    "Section",
    "load_settings",
    "parse_toml",
    "read_settings_text",
]

BYTE_ORDER_MARK = "\ufeff"
"""What some editors write in front of UTF-8 text; TOML has none."""

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
"""How text begins that some editors save as "Unicode"."""

LARGEST_TEXT = 1_000_000
"""Bytes of a settings file or a plan; 500 sites and 100 models need a tenth."""
_MOST_PARTS = 32
"""Parts of a dotted key: tomllib's time grows with the square of their number, and no setting has five."""
_PART = r"(?:[A-Za-z0-9_-]++|\"[^\"\n]*+\"|'[^'\n]*+')"
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{_MOST_PARTS}}}")


class Section(BaseModel):
    """A table of a TOML file: frozen, and without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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
        if not text.strip():
            raise error(f"{path}: is empty -> begin with an example, as deploy/plans has them")
        given = parse_toml(text)
        return model.model_validate(given)
    except FileNotFoundError:
        raise error(f"{path}: no such file -> check the path; deploy/plans has examples") from None
    except UnicodeDecodeError as failure:
        found = " (this is UTF-16)" if failure.object.startswith(_UTF_16) else ""
        raise error(f"{path}: is not UTF-8 text -> give a TOML file, saved as UTF-8{found}") from None
    except OSError as failure:
        raise error(f"{path}: cannot be read ({failure.strerror}) -> correct path or permissions") from None
    except tomllib.TOMLDecodeError as failure:
        raise error(f"{path}{describe_no_toml(text, str(failure))}") from None
    except ValidationError as failure:
        raise error(
            "\n".join(f"{path}:{fault}" for fault in describe_faults(text, given, model, failure))
        ) from None
