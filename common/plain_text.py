"""Text that may not be Unicode: names of files are bytes, and JSON can spell half a character."""

from __future__ import annotations


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
