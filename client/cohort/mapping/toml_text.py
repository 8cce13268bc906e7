"""A mapping as text for site.toml, and its place there; the rest of the file stays as it is, comments too."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from client.cohort.mapping.proposal import MappingProposal, ProposedColumn
from common.cohort.sheet import CSV

_HEADER = re.compile(r"\s*\[+\s*(?P<name>[^\]\s]+)\s*\]+")
_DEFAULTS = {"sheet": "", "encoding": "utf-8", "separator": ","}


def render_mapping(proposal: MappingProposal) -> str:
    """The `[mapping]` of a proposal; what is not sure stands as a comment with its question."""
    return "\n".join((*_render_head(proposal), *_render_columns(proposal))) + "\n"


def _render_head(proposal: MappingProposal) -> Iterator[str]:
    layout = proposal.layout
    yield f"[mapping]  # how {_quote(proposal.path.name)} is read; nothing of it leaves the hospital"
    for doubt in proposal.doubts:
        yield f"# look at this: {_flatten(doubt)}"
    for key, default in _DEFAULTS.items():
        value = str(getattr(layout.options, key))
        if value != default and (key == "sheet" or proposal.path.suffix.lower() == CSV):
            yield f"{key} = {_quote(value)}"
    if layout.decimal != ".":
        yield f"decimal = {_quote(layout.decimal)}"
    if layout.options.headings_row > 1:
        yield f"headings_row = {layout.options.headings_row}"
    if layout.left_out:
        yield f"left_out = [{', '.join(map(_quote, layout.left_out))}]  # rows that are no patients"
    yield from _render_missing(proposal)
    if proposal.long is not None:
        yield ""
        yield "[mapping.long]  # several rows a patient"
        if not proposal.long.event_column:
            yield 'event_column = ""'
        yield f"baseline = {_quote(proposal.long.baseline)}"


def _render_missing(proposal: MappingProposal) -> Iterator[str]:
    files = [variable.name for variable in proposal.missing if variable.group == "files"]
    if files:
        yield f"# No column of paths for {' and '.join(files)}: without them this is a site without images."
    unnamed = [variable.name for variable in proposal.missing if variable.name not in files]
    if "patient" in unnamed:
        yield "# No column seems to hold the patients' pseudonyms: map one as `patient` below."
    names = ", ".join(_quote(name) for name in unnamed if name != "patient")
    if names:
        yield "# No column seems to hold these. Map them below; list what you do not keep without the #:"
        yield f"# not_recorded = [{names}]"


def _render_columns(proposal: MappingProposal) -> Iterator[str]:
    yield ""
    yield "[mapping.columns]"
    for column in proposal.columns:
        if column.is_sure:
            yield render_column(column)
            for doubt in column.doubts:
                yield f"# look at this: {column.variable.name}: {_flatten(doubt)}"
        else:
            doubts = f": {'; '.join(map(_flatten, column.doubts))}" if column.doubts else ""
            yield f"# not sure ({column.confidence:.2f}){doubts}"
            yield f"# {render_column(column)}"


def render_column(column: ProposedColumn) -> str:
    """One variable's line; codes of which nothing is known stand at its end, as a question."""
    parts = [f"heading = {_quote(column.heading)}"]
    if column.event:
        parts.append(f"event = {_quote(column.event)}")
    if column.unit:
        parts.append(f"unit = {_quote(column.unit)}")
    if column.values:
        pairs = (f"{_quote(code)} = {_quote(meaning)}" for code, meaning in column.values.items())
        parts.append(f"values = {{ {', '.join(pairs)} }}")
    name = column.variable.name
    if len(parts) == 1:
        return f"{name} = {_quote(column.heading)}"
    return f"{name} = {{ {', '.join(parts)} }}"


def _quote(text: str) -> str:
    # TOML's basic strings have JSON's escapes, and refuse the control character that JSON lets through
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def _flatten(text: str) -> str:
    """Text for a comment: on one line, without what TOML forbids there."""
    return "".join(character if character.isprintable() else " " for character in text)


def has_mapping(text: str) -> bool:
    """Whether a site.toml has a mapping."""
    return any(_is_mapping(line) for line in text.splitlines())


def insert_mapping(text: str, mapping: str) -> str:
    """The file with this mapping at its end, or in the place of the one that it has; nothing else changes."""
    lines = text.splitlines(keepends=True)
    kept, place, inside = list[str](), None, False
    for line in lines:
        header = _HEADER.match(line)
        if header:
            inside = _is_mapping(line)
            place = len(kept) if inside and place is None else place
        if not inside:
            kept.append(line)
    if place is None:
        body = "".join(kept)
        return f"{body}{'' if body.endswith(chr(10)) or not body else chr(10)}\n{mapping}"
    after = "".join(kept[place:])
    return "".join(kept[:place]) + mapping + (f"\n{after}" if after else "")


def _is_mapping(line: str) -> bool:
    header = _HEADER.match(line)
    return header is not None and header["name"].partition(".")[0].strip("'\"") == "mapping"
