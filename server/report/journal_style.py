"""How a journal wants P-values: an option of the exported tables; the page keeps the paper's form."""

from __future__ import annotations

from enum import StrEnum

from server.report.words import ALPHA, DASH, format_p_value

_MOST = 17
"""Digits that tell any two floats below 1 apart."""


class JournalStyle(StrEnum):
    """A journal's form."""

    PAPER = "paper"
    """Three digits and no zero before the point, as in Ning 2025: .312, < .001."""
    AMA = "ama"
    """The AMA Manual of Style (11th edition, 19.5): .31, .049, .003, <.001, >.99."""


def format_p_in(style: JournalStyle, value: float | None) -> str:
    """The P-value in the journal's form, or a dash.

    Examples
    --------
    >>> [format_p_in(JournalStyle.AMA, value) for value in (0.0004, 0.0031, 0.0312, 0.0491, 0.3119, 0.999)]
    ['<.001', '.003', '.03', '.049', '.31', '>.99']
    """
    if value is None:
        return DASH
    if style is JournalStyle.PAPER:
        return format_p_value(value)
    if value < 0.001:
        return "<.001"
    if value > 0.99:
        return ">.99"
    return f"{value:.{_count_digits(value)}f}".removeprefix("0")


def _count_digits(value: float) -> int:
    """Two digits; three below .01; more where so few would put it on the other side of .05."""
    fewest = 3 if value < 0.01 else 2
    stays = (digits for digits in range(fewest, _MOST) if (round(value, digits) < ALPHA) is (value < ALPHA))
    return next(stays, _MOST)
