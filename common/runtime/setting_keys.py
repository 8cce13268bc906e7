"""Every key that a settings file may have, with its meaning: read off the models that validate the file."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from types import UnionType
from typing import Any, TypeAlias

from pydantic import BaseModel, Tag
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

Table: TypeAlias = type[Any]
"""What validates one table of a file: a `Section`, or a frozen dataclass that refuses unknown keys."""

REQUIRED = PydanticUndefined
"""The default of a key that a file must give."""

_ATTRIBUTE = re.compile(r"^(\w+(?:, \w+)*) : .+$")
"""A line of a numpydoc section that begins an attribute or several."""


@dataclass(frozen=True)
class SettingKey:
    """One key of one table.

    Attributes
    ----------
    name : str
        As it is written in the file.
    annotation : object
        Its type, with what pydantic demands of it.
    default : object
        Its value where the file has none; `REQUIRED` if the file must give it.
    meaning : str
        What it says, in plain words; empty if nobody has written it.
    """

    name: str
    annotation: Any
    default: Any
    meaning: str

    @property
    def tables(self) -> tuple[tuple[str, Table], ...]:
        """The tables that the key holds, each with its tag where there are several kinds; none of a value."""
        return tuple(_find_tables(self.annotation, ""))

    @property
    def is_list(self) -> bool:
        """Whether the key holds any number of values or tables."""
        return _is_list(self.annotation)


def list_keys(table: Table) -> tuple[SettingKey, ...]:
    """The keys of one table, in the order of its model."""
    if issubclass(table, BaseModel):
        written = read_docstrings(table)
        return tuple(
            SettingKey(name, _join_annotation(field), _read_default(field), written.get(name, ""))
            for name, field in table.model_fields.items()
        )
    meanings = read_attributes(table)
    hints = typing.get_type_hints(table, include_extras=True)
    return tuple(
        SettingKey(field.name, hints[field.name], _read_field(field), meanings.get(field.name, ""))
        for field in dataclasses.fields(table)
    )


def describe_table(table: Table) -> str:
    """The first paragraph of what a table's model says of itself."""
    return _join_lines((inspect.getdoc(table) or "").split("\n\n")[0])


def find_tables_at(model: Table, location: tuple[str | int, ...]) -> tuple[Table, ...]:
    """The tables that a place in a file may be; a tag in the place tells one of several kinds.

    Parameters
    ----------
    model : type
        What validates the whole file.
    location : tuple
        Keys and indices from the outside in, and pydantic's tags of unions.
    """
    tables: list[tuple[str, Table]] = [("", model)]
    for part in location:
        if isinstance(part, int):
            continue
        tagged = [(tag, table) for tag, table in tables if tag and tag == part]
        keys = [key for _, table in tables for key in list_keys(table) if key.name == part]
        tables = tagged or [pair for key in keys for pair in key.tables]
    return tuple(dict.fromkeys(table for _, table in tables))


def find_key(model: Table, location: tuple[str | int, ...]) -> SettingKey | None:
    """The key at a place in a file; None if there is none, or if the place is an element of a list."""
    if not location or isinstance(location[-1], int):
        return find_key(model, location[:-1]) if location else None
    for table in find_tables_at(model, location[:-1]):
        for key in list_keys(table):
            if key.name == location[-1]:
                return key
    return None


def walk_tables(model: Table, path: str = "") -> Iterator[tuple[str, str, Table]]:
    """Every table of a file, the outermost first: its path, its tag among several kinds, and its model.

    A table that stands in a list has a path that ends with ``[]``.
    """
    if not path:
        yield "", "", model
    for key in list_keys(model):
        inner = f"{path}.{key.name}".lstrip(".") + ("[]" if key.is_list and key.tables else "")
        for tag, table in key.tables:
            yield inner, tag, table
            yield from walk_tables(table, inner)


@cache
def read_docstrings(table: type[BaseModel]) -> dict[str, str]:
    """What is written below each attribute of a model and of those that it inherits from, in one line.

    Read off the source when somebody asks: pydantic would do so for every model whenever a command starts.
    """
    meanings: dict[str, str] = {}
    for model in reversed(table.__mro__):
        if issubclass(model, BaseModel) and model is not BaseModel:
            meanings |= _read_below(inspect.getsource(model))
    return meanings


def _read_below(source: str) -> dict[str, str]:
    """The text below each annotated attribute of one class."""
    (written,) = ast.parse(textwrap.dedent(source)).body
    meanings = {}
    for before, below in pairwise(typing.cast("ast.ClassDef", written).body):
        match before, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                meanings[name] = _join_lines(text)
    return meanings


def read_attributes(table: Table) -> dict[str, str]:
    """The meaning of each attribute in a docstring's numpydoc section "Attributes"."""
    section = (inspect.getdoc(table) or "").partition("Attributes\n----------\n")[2].split("\n\n")[0]
    meanings: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        begun = _ATTRIBUTE.match(line)
        if begun:
            names = begun[1].split(", ")
        for name in names if not begun else ():
            meanings[name] = f"{meanings.get(name, '')} {line.strip()}".strip()
    return meanings


def _find_tables(annotation: Any, tag: str) -> Iterator[tuple[str, Table]]:
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *rest = typing.get_args(annotation)
        tags = [part.tag for part in rest if isinstance(part, Tag)]
        yield from _find_tables(inner, tags[0] if tags else tag)
    elif isinstance(annotation, type) and _is_table(annotation):
        yield tag, annotation
    else:
        for part in typing.get_args(annotation):
            yield from _find_tables(part, tag)


def _is_table(kind: type[Any]) -> bool:
    return issubclass(kind, BaseModel) or dataclasses.is_dataclass(kind)


def _is_list(annotation: Any) -> bool:
    origin = typing.get_origin(annotation)
    if origin in {typing.Annotated, typing.Union, UnionType}:
        return any(_is_list(part) for part in typing.get_args(annotation))
    return origin in {tuple, list}


def _join_annotation(field: FieldInfo) -> Any:
    """The annotation with the demands that pydantic took out of it."""
    annotation: Any = field.annotation
    for demand in field.metadata:
        annotation = typing.Annotated[annotation, demand]
    return annotation


def _read_default(field: FieldInfo) -> Any:
    return field.get_default(call_default_factory=True, validated_data={})


def _read_field(field: dataclasses.Field[Any]) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return REQUIRED if field.default_factory is dataclasses.MISSING else field.default_factory()


def _join_lines(text: str) -> str:
    return " ".join(text.split())
