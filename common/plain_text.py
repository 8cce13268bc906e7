"""Text that people write: names of files may be no Unicode, JSON can spell half a character, words err."""

from __future__ import annotations

from collections.abc import Iterable


def is_unicode(text: str) -> bool:
    """Whether the text can be written as UTF-8: it holds no lone surrogate."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def escape_surrogates(text: str) -> str:
    r"""The text with lone surrogates spelt out, so that every terminal and file can hold it.

    Examples
    --------
    >>> escape_surrogates("scan-\udcff.dcm")
    'scan-\\udcff.dcm'
    """
    return text if text.isascii() else text.encode(errors="backslashreplace").decode()


def find_similar(word: str, known: Iterable[str]) -> str | None:
    """The known word that somebody who wrote `word` probably meant; None if none is near.

    Examples
    --------
    >>> find_similar("Ruonds", ["rounds", "local_epochs"])
    'rounds'
    """
    from difflib import get_close_matches

    by_folded = {name.casefold(): name for name in reversed(tuple(known))}
    near = get_close_matches(word.casefold(), by_folded, n=1, cutoff=_NEAR)
    return by_folded[near[0]] if near else None


_NEAR = 0.65
"""Least share of letters in common (Ratcliff and Obershelp) of a word and what it was meant to be."""
