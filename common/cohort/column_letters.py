"""How a spreadsheet names its columns."""

from __future__ import annotations


def column_letter(index: int) -> str:
    """The letters by which a spreadsheet names the column of this index (from 0).

    Examples
    --------
    >>> column_letter(0), column_letter(27)
    ('A', 'AB')
    """
    letters = ""
    number = index + 1
    while number:
        number, remainder = divmod(number - 1, 26)
        letters = chr(ord("A") + remainder) + letters
    return letters
