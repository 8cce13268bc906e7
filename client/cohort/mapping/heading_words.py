"""What a heading speaks of: its concepts, its unit, and how much of it nothing explains."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from client.cohort.mapping.code_words import UNIT_WORDS
from client.cohort.mapping.concept_words import CONCEPTS

_CAMEL = re.compile(r"(?<=[a-zäöüéè]{3})(?=[A-ZÄÖÜ])")
_BRACKETS = re.compile(r"[(\[{]([^)\]}]*)[)\]}]")
_TAIL = re.compile(r"(?:,|\bin\b|_|\s)\s*([^\s,_()\[\]]+)\s*$")
_NUMBERED = re.compile(r"[0-9][\s_-]*[^\W\d]+$")
"""A number before the last word: "SBP 24 h" is a time, no unit."""
_POINT_IN_TIME = re.compile(
    r"(?<![0-9a-z])[0-9]+ ?(?:h|hrs?|hours?|horas?|stunden|std|ore|heures?|uren|uur|min|mins|minut\w*"
    r"|d|days?|tage?n?|jours?|dias?|giorni|dagen"
    r"|w|wks?|weeks?|wochen?|semaines?|semanas?|settimane"
    r"|mo|months?|monate?n?|mois|mes|meses|mesi|maanden"
    r"|y|yrs?|years?|anos?|ans?|anni|jahre?n?|jaar)(?![a-z])"
    r"|(?<![a-z])(?:hour|hora|stunde|heure|day|dia|tag|jour|week|month|year) ?[0-9]+"
    r"|[0-9]+ ?(?:時間|小时|分後|分钟后|日|天|週|周|か月|ヶ月|个月|月|年)"
)
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_INFLECTION = 4
_TIMES, _SHORT_UNIT = frozenset({"minutes", "hours", "days"}), 2
"""Units that a heading may begin with: "hours from onset to CT"."""
_LONGEST_SHORT = 7
"""Letters of an abbreviation; a longer one is a word."""
_PIECES = re.compile(r"[a-z]{4,16}")
_PAIRS_OF_LETTERS = frozenset({"ct", "bp", "fu", "bl", "hx", "yn", "to"})
_NO_PIECES = frozenset(
    """
    neutral serial kind_of use medication mellitus level interval age undone treated place negated person
    between past arterial extension obvious path identifier other_person
    """.split()  # noqa: SIM905 - a list of words is read as one
)
"""Concepts whose words are parts of too many others: "package" is no age."""
_PREFIXES = frozenset({"pre", "adm", "base", "init", "first"})
_UNEXPLAINED, _MOSTLY = 0.79, 0.8
"""What a heading is worth with a word that nothing explains; the share of its letters that explains one."""
_WORD = re.compile("[a-z0-9+]{2,}")
_DENIED = re.compile("(?:no|non|nao|nein)(?: |$)")
_WEIGHTS = ((re.compile("[\u3400-\u9fff]"), 2), (re.compile("[0-9]"), 4))
"""What a Chinese character or a number that nothing explains counts, in letters."""


@dataclass(frozen=True)
class Heading:
    """A heading as it is compared.

    Attributes
    ----------
    text : str
        In small letters without accents, words apart, without its unit.
    unit : str
        As site.toml names it; empty if the heading states none.
    """

    text: str
    unit: str


@lru_cache(maxsize=8192)
def parse_heading(raw: str) -> Heading:
    """The heading's words and its unit."""
    text = unicodedata.normalize("NFKC", raw.replace("³", "3").replace("²", "2"))
    unit, kept = "", text
    for match in _BRACKETS.finditer(text):
        if (named := find_unit(match[1])) is not None:
            unit, kept = named, kept.replace(match[0], " ")
    tail = _TAIL.search(kept.strip())
    if not unit and tail and (len(tail[1]) > 1 or tail[1] == "h") and not _NUMBERED.search(kept.strip()):
        named = find_unit(tail[1])
        unit, kept = ("", kept) if named is None else (named, kept.strip()[: tail.start()])
    simple = " ".join(map(split_abbreviations, simplify_text(kept).split()))
    words = (UNIT_WORDS.get(token, "") for token in simple.split() if len(token) > _SHORT_UNIT)
    if not unit and not states_time(simple):
        unit = next((word for word in words if word in _TIMES), "")
    return Heading(simple, unit)


def find_unit(text: str) -> str | None:
    """The unit that a text names and nothing else; None if it is none."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace(" ", "").replace("μ", "u").strip(".")
    return UNIT_WORDS.get(plain)


@lru_cache(maxsize=4096)
def split_abbreviations(token: str) -> str:
    """A word of abbreviations that are written together, apart: "ichvol" is "ich vol"."""
    if not _PIECES.fullmatch(token) or _is_known(token):
        return token
    return next((" ".join(pieces) for pieces in _cut(token, _list_pieces()) if len(pieces) > 1), token)


def _cut(token: str, known: frozenset[str]) -> Iterator[list[str]]:
    """The ways to cut a word into known ones, those with long pieces first."""
    if not token:
        yield []
    for end in range(len(token), 1, -1):
        if token[:end] in known:
            yield from ([token[:end], *rest] for rest in _cut(token[end:], known))


def _is_known(token: str) -> bool:
    """Whether one word of the vocabulary is all of it."""
    return any((0, len(token)) in find_spans(concept, token) for concept in CONCEPTS)


@lru_cache(maxsize=1)
def _list_pieces() -> frozenset[str]:
    words = {
        word.strip("=~*") for concept in CONCEPTS.keys() - _NO_PIECES for word in CONCEPTS[concept].split()
    }
    long = {word for word in words if re.fullmatch("[a-z]{3,}", word)}
    return frozenset(long) | _PAIRS_OF_LETTERS | _PREFIXES


@lru_cache(maxsize=8192)
def simplify_text(raw: str) -> str:
    """Small letters without accents, words and numbers apart."""
    text = _CAMEL.sub(" ", unicodedata.normalize("NFKC", raw)).casefold().replace("ß", "ss")
    plain = "".join(c for c in unicodedata.normalize("NFD", text) if not "\u0300" <= c <= "\u036f")
    plain = unicodedata.normalize("NFC", plain)
    return " ".join(re.sub(r"[^\w+]|_", " ", plain).split())


@lru_cache(maxsize=16384)
def find_spans(concept: str, text: str) -> tuple[tuple[int, int], ...]:
    """Where a simplified text speaks of a concept."""
    return tuple(match.span() for match in _compile(CONCEPTS[concept]).finditer(text))


@lru_cache(maxsize=512)
def _compile(words: str) -> re.Pattern[str]:
    patterns = sorted({_make_pattern(word) for word in words.split()}, key=len, reverse=True)
    return re.compile("|".join(patterns))


def _make_pattern(word: str) -> str:
    alone, inside = word.startswith("="), word.startswith("~")
    parts = [re.escape(simplify_text(part)) for part in word.strip("=~*").split("_") if part]
    core = " ?".join(parts)
    if _WIDE.search(word):
        return core
    if alone and core.isdigit():
        return rf"(?<![0-9]){core}(?![0-9a-z])"
    if alone:
        return rf"(?<![a-z]){core}(?![a-z])"
    if word.endswith("*"):
        return rf"(?<![a-z]){core}[a-z]*"
    ending = rf"(?:[a-z]{{1,{_INFLECTION}}}(?![a-z]))?"
    if inside or word.endswith("~"):
        return core + ending
    return rf"(?<![a-z]){core}(?:[a-z]{{0,{_INFLECTION}}}(?![a-z]))"


def match_words(words: str, text: str) -> bool:
    """Whether a text has one of the words, in the vocabulary's notation."""
    return _compile(words).search(text) is not None


def speaks_of(text: str, concepts: Iterable[str]) -> bool:
    """Whether a simplified text speaks of one of the concepts."""
    return any(find_spans(concept, text) for concept in concepts)


def measure_cover(text: str, concepts: Iterable[str]) -> float:
    """The share of a text's letters and digits that concepts and neutral words explain; 0 of no text."""
    covered = [False] * len(text)
    for concept in (*concepts, "neutral"):
        for first, end in find_spans(concept, text):
            covered[first:end] = [True] * (end - first)
    counted = [index for index, character in enumerate(text) if character != " "]
    explained = sum(covered[index] for index in counted)
    missing = sum(_weigh(text[index]) for index in counted if not covered[index])
    share = explained / (explained + missing) if counted else 0.0
    whole = all(
        sum(covered[first:end]) >= _MOSTLY * (end - first)
        for first, end in (match.span() for match in _WORD.finditer(text))
    )
    return share if whole else min(share, _UNEXPLAINED)


def _weigh(character: str) -> int:
    return next((weight for pattern, weight in _WEIGHTS if pattern.match(character)), 1)


def states_time(text: str) -> bool:
    """Whether a simplified text names a point in time by its number: 24 h, day 7, 3 months."""
    return _POINT_IN_TIME.search(text) is not None


def is_denial(text: str) -> bool:
    """Whether a heading begins with a no, and says the contrary of the variable."""
    return _DENIED.match(text) is not None


def fit_recipe(text: str, recipe: Iterable[str]) -> float:
    """How well a heading fits: the share that the recipe explains; 0 without a concept that it needs."""
    needed = [concept for concept in recipe if not concept.endswith("?")]
    if not all(find_spans(concept, text) for concept in needed):
        return 0.0
    return measure_cover(text, [concept.removesuffix("?") for concept in recipe])


@lru_cache(maxsize=4096)
def expand_abbreviations(text: str) -> str:
    """The text with abbreviations written out, where one word alone of the vocabulary begins so."""
    return " ".join(map(_expand, text.split()))


@lru_cache(maxsize=4096)
def _expand(token: str) -> str:
    if not re.fullmatch(rf"[a-z]{{3,{_LONGEST_SHORT}}}", token) or speaks_of(token, CONCEPTS):
        return token
    meant = {
        concept for concept, words in _list_long_words().items() if any(w.startswith(token) for w in words)
    }
    if len(meant) != 1:
        return token
    words = _list_long_words()[next(iter(meant))]
    return next(word for word in words if word.startswith(token))


@lru_cache(maxsize=1)
def _list_long_words() -> dict[str, tuple[str, ...]]:
    """Of each concept the words that somebody may abbreviate."""
    words = {concept: (word.strip("=~*") for word in text.split()) for concept, text in CONCEPTS.items()}
    return {
        concept: tuple(word for word in listed if re.fullmatch(r"[a-z]{5,}", word))
        for concept, listed in words.items()
    }


def choose_level(levels: Mapping[str, str], text: str) -> str | None:
    """The one level that a code's text names; None if it names none, or several."""
    named = [level for level, words in levels.items() if match_words(words, text)]
    return named[0] if len(named) == 1 else None
