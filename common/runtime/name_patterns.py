"""How names are spelt in settings files, and what is said of one that is spelt otherwise.

People name a site or a model as they speak of it ("Klinikum Köln"); files, messages and certificates carry a
name that is derived from it ("Klinikum-Koeln").
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from common.errors import RheError

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9.+-]{0,39}$"
COLUMN_PATTERN = r"^[A-Za-z][A-Za-z0-9_]{0,59}$"
DEVICE_PATTERN = r"^(auto|cpu|mps|cuda(:[0-9]{1,2})?)$"

SPELLINGS = {
    NAME_PATTERN: (
        "is no name -> a letter or digit first, then letters of any language, digits, blanks and "
        "any of . + - _ ( ) & ' , up to 60 characters"
    ),
    COLUMN_PATTERN: (
        "is no column's name -> a letter first, then letters, digits and '_': no more than 60 characters"
    ),
    DEVICE_PATTERN: 'is no device -> write "auto", "cpu", "mps", "cuda" or "cuda:1"',
}
"""What is wrong with a value that does not match a pattern, and how to write it."""

LONGEST_WRITTEN = 60
"""Characters of a name as people write it."""
_LONGEST, _DIGITS = 40, 8
"""Characters of a derived name, and of the digest in one that letters alone do not tell apart."""
_BESIDE_LETTERS = frozenset(" .+-_()&',")
_GERMAN_AND_NORDIC = str.maketrans(
    {letter: f"{plain}e" for letter, plain in zip("äöüÄÖÜ", "aouAOU", strict=True)}
    | {"ß": "ss"}
    | {"æ": "ae", "Æ": "Ae", "ø": "oe", "Ø": "Oe", "å": "aa", "Å": "Aa", "ł": "l", "Ł": "L"}
)


def derive_name(written: str) -> str:
    """The name that files and messages carry, of a site or a model that people call so.

    A name that is plain already is its own. Umlauts and accents are spelt out; what has other letters gets a
    digest in their place, so that names in such letters differ if people write them differently.

    Raises
    ------
    ValueError
        If it is no name.

    Examples
    --------
    >>> derive_name("Klinikum Köln")
    'Klinikum-Koeln'
    """
    if re.fullmatch(NAME_PATTERN, written):
        return written
    text = tidy_name(written)
    plain = unicodedata.normalize("NFKD", text.translate(_GERMAN_AND_NORDIC))
    is_told = all(letter.isascii() or unicodedata.combining(letter) for letter in plain)
    kept = re.sub(r"[^A-Za-z0-9.+]+", "-", "".join(filter(str.isascii, plain))).strip("-.+")
    if is_told and len(kept) <= _LONGEST:
        return kept
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
    return f"{kept[: _LONGEST - _DIGITS - 1].strip('-.+') or 'name'}-{digest}"


def read_name(option: str, written: str, error: type[RheError]) -> str:
    """The name that somebody gave on the command line, derived as `derive_name` does.

    Raises
    ------
    RheError
        Of the given class, if it is no name.
    """
    try:
        return derive_name(written)
    except ValueError as failure:
        raise error(f"{option} {written!r}: {failure}") from None


def tidy_name(written: str) -> str:
    """A name as people write it, in Unicode's composed form, with single blanks.

    Raises
    ------
    ValueError
        If it is no name.
    """
    text = re.sub(" +", " ", unicodedata.normalize("NFC", written)).strip(" ")
    allowed = all(letter in _BESIDE_LETTERS or unicodedata.category(letter)[0] in "LMN" for letter in text)
    if not (text[:1].isalnum() and allowed and len(text) <= LONGEST_WRITTEN):
        raise ValueError(SPELLINGS[NAME_PATTERN])
    return text
