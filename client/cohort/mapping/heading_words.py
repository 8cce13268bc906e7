"""What a heading speaks of: its concepts, its unit, and how much of it nothing explains."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from client.cohort.mapping.code_words import UNIT_WORDS
from client.cohort.mapping.concept_words import CONCEPTS

_CAMEL = re.compile(r"(?<=[a-zäöüéè]{3})(?=[A-ZÄÖÜ])")
_BRACKETS = re.compile(r"[(\[{]([^)\]}]*)[)\]}]")
_TAIL = re.compile(r"(?:,|\bin\b|_|\s)\s*([^\s,_()\[\]]+)\s*$")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")
_INFLECTION = 4
_TIMES, _SHORT_UNIT = frozenset({"minutes", "hours", "days"}), 2
"""Units that a heading may begin with: "hours from onset to CT"."""
_LONGEST_SHORT = 7
"""Letters of an abbreviation; a longer one is a word."""


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
    if not unit and tail and len(tail[1]) > 1 and (named := find_unit(tail[1])) is not None:
        unit, kept = named, kept.strip()[: tail.start()]
    if not unit and tail and tail[1] == "h" and (named := find_unit("h")):
        unit, kept = named, kept.strip()[: tail.start()]
    simple = simplify_text(kept)
    words = (UNIT_WORDS.get(token, "") for token in simple.split() if len(token) > _SHORT_UNIT)
    return Heading(simple, unit or next((word for word in words if word in _TIMES), ""))


def find_unit(text: str) -> str | None:
    """The unit that a text names and nothing else; None if it is none."""
    plain = unicodedata.normalize("NFKC", text).casefold().replace(" ", "").replace("μ", "u").strip(".")
    return UNIT_WORDS.get(plain)


@lru_cache(maxsize=8192)
def simplify_text(raw: str) -> str:
    """Small letters without accents, words and numbers apart."""
    text = _CAMEL.sub(" ", unicodedata.normalize("NFKC", raw)).casefold().replace("ß", "ss")
    plain = "".join(c for c in unicodedata.normalize("NFD", text) if not "\u0300" <= c <= "\u036f")
    plain = unicodedata.normalize("NFC", plain)
    return " ".join(re.sub(r"[^\w+]|_", " ", plain).split())


@lru_cache(maxsize=4096)
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
    return sum(covered[index] for index in counted) / len(counted) if counted else 0.0


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
