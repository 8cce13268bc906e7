"""What is wrong with a settings file, in words: each fault with its line, its key and a remedy."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from common.plain_text import find_similar
from common.runtime.name_patterns import SPELLINGS
from common.runtime.setting_lines import KeyPath, find_line

if TYPE_CHECKING:
    from pydantic import ValidationError

    from common.runtime.setting_keys import Table

TAG = "kind="
"""Prefix of a union's tag, which pydantic puts into a violation's location although no file has it."""
TAG_ERROR = "kind"
"""The error's type where an element of a list has a tag that its union does not know."""

_UNKNOWN_KEY = ("extra_forbidden", "unexpected_keyword_argument")
"""pydantic's error types for an unknown key, in a model and in a dataclass."""

_WORDS = {
    "missing": "is missing -> add it",
    "missing_argument": "is missing -> add it",
    "string_type": "must be text -> write it in quotes",
    "string_too_short": "must not be empty -> write what it is",
    "string_too_long": "has more than {max_length} characters -> shorten it",
    "int_type": "must be a whole number -> write it without quotes",
    "int_parsing": "must be a whole number -> write it without quotes",
    "int_from_float": "must be a whole number -> round it",
    "float_type": "must be a number -> write it without quotes",
    "float_parsing": "must be a number -> write it without quotes, with a point for decimals",
    "finite_number": "must be a finite number -> correct it",
    "bool_type": "must be true or false -> write it without quotes",
    "bool_parsing": "must be true or false -> write it without quotes",
    "greater_than": "must be above {gt} -> correct it",
    "greater_than_equal": "must be at least {ge} -> correct it",
    "less_than": "must be below {lt} -> correct it",
    "less_than_equal": "must be at most {le} -> correct it",
    "too_short": "has too few entries: at least {min_length} -> add some",
    "too_long": "has too many entries: at most {max_length} -> remove some",
    "model_type": "must be a table -> write it in brackets as a heading, and its keys below",
    "model_attributes_type": "must be a table -> write it in brackets as a heading, and its keys below",
    "dataclass_type": "must be a table -> write it in brackets as a heading, and its keys below",
    "dict_type": "must be a table -> write it in brackets as a heading, and its keys below",
}
"""pydantic's error types in the words of somebody who writes the file."""

_CHOICE = " -> choose among "
_WORD = re.compile(r"[\w.+-]+")
_QUOTED = re.compile(r"'([^']*)'")
_SENTENCE = re.compile(r"(?<!e[.]g)(?<!i[.]e)(?<! al)[.] (?=[A-Z])")
_SHOWN_MEANING = 200


def describe_faults(
    text: str, given: Mapping[str, Any], model: Table, failure: ValidationError
) -> Iterator[str]:
    """One line for each fault of a file: its line's number, its key, what is wrong, what to do.

    Parameters
    ----------
    text : str
        The file.
    given : Mapping
        The same, parsed.
    model : type
        What validates the file.
    failure : ValidationError
        What it found.
    """
    faults = [
        (find_line(text, _drop_tags(problem["loc"])), message, dict(problem))
        for problem in failure.errors()
        if not _is_consequence(dict(problem))
        for message in _say(model, dict(problem)).split("\n")
    ]
    for line, message, problem in sorted(faults, key=lambda fault: fault[0]):
        yield f"{line}: {_describe_fault(given, model, message, problem)}"


def _is_consequence(problem: Mapping[str, Any]) -> bool:
    """Whether pydantic reports a list as too short only because it refused the list's elements."""
    return problem["type"] == "too_short" and bool(problem["input"])


def _describe_fault(given: Mapping[str, Any], model: Table, message: str, problem: Mapping[str, Any]) -> str:
    from common.runtime.setting_keys import find_key

    location = _drop_tags(problem["loc"])
    name = ".".join(str(part) for part in location) or "the whole file"
    value, key = problem.get("input"), find_key(model, problem["loc"])
    notes = [
        f"of {owner!r}" if (owner := _find_owner(given, location)) else "",
        f"found {value!r}" if isinstance(value, str | int | float | bool) else "",
        f"{key.name} is: {_shorten(key.meaning)}" if key and key.meaning else "",
    ]
    said = "; ".join(note for note in notes if note)
    return f"{name}: {message}" + (f" ({said})" if said else "")


def _say(model: Table, problem: Mapping[str, Any]) -> str:
    """What is wrong and what to do; of several contradictions, each on a line of its own."""
    kind, context = str(problem["type"]), problem.get("ctx") or {}
    if kind in _UNKNOWN_KEY:
        return f"unknown key -> {_place_key(model, problem['loc'])}"
    if kind in {TAG_ERROR, "literal_error"}:
        return _say_choice(problem)
    if kind == "tuple_type":
        return _say_list(_drop_tags(problem["loc"]), problem.get("input"))
    if kind == "string_pattern_mismatch" and str(context["pattern"]) in SPELLINGS:
        return SPELLINGS[str(context["pattern"])]
    if kind in _WORDS:
        return _WORDS[kind].format(**context)
    lines = str(problem["msg"]).removeprefix("Value error, ").split("\n")
    return "\n".join(_suggest_choice(line) for line in lines)


def _place_key(model: Table, location: KeyPath) -> str:
    """What to do about a key that its table does not have: where it belongs, or how it is spelt."""
    from common.runtime.setting_keys import find_tables_at, list_keys, walk_tables

    name = str(location[-1])
    here = [key.name for table in find_tables_at(model, location[:-1]) for key in list_keys(table)]
    homes = [
        _name_table(path, tag)
        for path, tag, table in walk_tables(model)
        if name in {key.name for key in list_keys(table)}
    ]
    if homes:
        return f"it belongs {' or '.join(dict.fromkeys(homes))}"
    similar = find_similar(name, here)
    if similar:
        return f'did you mean "{similar}"?'
    afar = {key.name: (path, tag) for path, tag, table in walk_tables(model) for key in list_keys(table)}
    similar = find_similar(name, afar)
    if similar:
        return f'did you mean "{similar}", which belongs {_name_table(*afar[similar])}?'
    return f"remove it or correct its spelling; here are known: {', '.join(dict.fromkeys(here))}"


def _name_table(path: str, tag: str) -> str:
    """Where in a file the keys of a table are written."""
    if not path:
        return "at the top of the file, above the first [table]"
    heading = f"below [[{path.removesuffix('[]')}]]" if path.endswith("[]") else f"below [{path}]"
    kind = f' with kind = "{tag.removeprefix(TAG)}"' if tag else ""
    return heading.replace("[].", ".") + kind


def _say_choice(problem: Mapping[str, Any]) -> str:
    """What a value may be, of a closed set; pydantic writes it as "'a', 'b' or 'c'"."""
    if problem["type"] == TAG_ERROR:
        return _say_kind(str(problem["msg"]), problem.get("input"))
    expected, value = str(problem["ctx"]["expected"]), problem.get("input")
    names = _QUOTED.findall(expected)
    if not names:
        return f"must be {expected} -> choose one"
    similar = find_similar(value, names) if isinstance(value, str) else None
    remedy = f'did you mean "{similar}"?' if similar else "choose one, in quotes"
    return f"must be {_QUOTED.sub(_requote, expected)} -> {remedy}"


def _say_kind(message: str, table: object) -> str:
    """What the kind of a list's element may be, which tells its other keys."""
    written = table.get("kind") if isinstance(table, Mapping) else None
    if not isinstance(written, str):
        return message
    similar = find_similar(written, re.findall(r'"([^"]*)"', message))
    remedy = f'did you mean "{similar}"?' if similar else "choose one, in quotes"
    return f'{message}, not "{written}" -> {remedy}'


def _requote(match: re.Match[str]) -> str:
    return f'"{match[1]}"'


def _say_list(location: KeyPath, value: object) -> str:
    plain = isinstance(value, str | int | float | bool)
    example = f"{location[-1]} = [{json.dumps(value, ensure_ascii=False)}]" if plain else "[1, 2]"
    return f"must be a list -> write it in brackets, as {example}"


def _suggest_choice(message: str) -> str:
    """The message with the name that was probably meant, where it says which names there are."""
    what, choice, names = message.partition(_CHOICE)
    if not choice:
        return message
    known = [name.strip(" \"'") for name in names.split(",")]
    near = [find_similar(word, known) for word in _WORD.findall(what) if word not in known]
    meant = list(dict.fromkeys(name for name in near if name))
    return f'{what} -> did you mean "{", ".join(meant)}"? Choose among {names}' if meant else message


def _find_owner(given: Mapping[str, Any], location: KeyPath) -> str:
    """The name of the innermost list's element in which a fault is, e.g. of a model; empty if it has none."""
    owner, here = "", given
    for part in location if location and isinstance(location[-1], int) else location[:-1]:
        try:
            here = here[part]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(part, int) and isinstance(here, dict):
            owner = str(here.get("name", ""))
    return owner


def _drop_tags(location: KeyPath) -> KeyPath:
    return tuple(part for part in location if not str(part).startswith(TAG))


def _shorten(meaning: str) -> str:
    """The first sentence of a meaning."""
    first = _SENTENCE.split(meaning)[0].rstrip(".")
    return first if len(first) <= _SHOWN_MEANING else f"{first[:_SHOWN_MEANING].rsplit(' ', 1)[0]} …"
