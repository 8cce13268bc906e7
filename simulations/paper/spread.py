"""A cohort divided between two sites such that neither site alone gives the result of both together.

One site gets few of the patients without expansion and most of those with it, and every level of a variable
is likelier at one of the two. If a site's own p-value or odds ratio prints like that of both together, the
division is drawn again.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.stats.tests import compare_categorical
from common.types import Counts, Flags, Reals

_SHARES = (0.25, 0.75)
"""Shares of the patients without and with expansion that the first site gets."""
_PULL = 2.5
"""Standard deviation of the logarithm of a level's odds of being at the first site."""
_ATTEMPTS = 2000


@dataclass(frozen=True)
class Division:
    """How many patients each site has.

    Attributes
    ----------
    first, second : tuple of int
        Patients without and with expansion at the first and at the second site.
    """

    first: tuple[int, int]
    second: tuple[int, int]


def divide(negatives: int, positives: int) -> Division:
    """Sizes of the two sites, for these numbers of patients without and with expansion."""
    first = (round(_SHARES[0] * negatives), round(_SHARES[1] * positives))
    return Division(first, (negatives - first[0], positives - first[1]))


def divide_levels(table: Counts, division: Division, random: np.random.Generator) -> tuple[Counts, Counts]:
    """How many patients of each level and outcome are at the first and at the second site.

    Parameters
    ----------
    table : int array, shape (levels, 2)
        Patients without and with expansion.

    Returns
    -------
    tuple of int arrays, shape (levels, 2)

    Raises
    ------
    ValueError
        If no division was found in which neither site reveals the result of both.
    """
    for _ in range(_ATTEMPTS):
        pull = np.exp(_PULL * random.standard_normal(len(table)))
        first = np.stack(
            [_draw_levels(table[:, group], division.first[group], pull, random) for group in (0, 1)], axis=1
        )
        if not any(reveals_pooled(site, table) for site in (first, table - first)):
            return first, table - first
    raise ValueError(f"no division of {table.tolist()} hides it from both sites")


def reveals_pooled(site: Counts, pooled: Counts) -> bool:
    """Whether a site's own p-value, or one of its odds ratios, prints like that of both sites together."""
    return _format_p(site) == _format_p(pooled) or bool((_round_ratios(site) == _round_ratios(pooled)).any())


def draw_leaning_keys(first: Flags, lean: float, random: np.random.Generator) -> Reals:
    """Keys that order the patients such that those of the first site tend to come early.

    Parameters
    ----------
    first : bool array, shape (n,)
        Whether a patient is at the first site.
    lean : float
        How much earlier they come, in standard deviations.

    Returns
    -------
    float array, shape (n,)
    """
    return random.standard_normal(first.size) - lean * first


def _draw_levels(counts: Counts, size: int, pull: Reals, random: np.random.Generator) -> Counts:
    """How many of each level are among `size` patients drawn by weight (Efraimidis and Spirakis 2006)."""
    levels = np.repeat(np.arange(counts.size), counts)
    keys = np.log(random.random(levels.size)) / pull[levels]
    return np.bincount(levels[np.argsort(keys)[::-1][:size]], minlength=counts.size)


def _format_p(table: Counts) -> str:
    p = compare_categorical(table).p
    if p is None:
        return "none"
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _round_ratios(table: Counts) -> Reals:
    """Odds ratio of each level against the first, to three decimals; NaN, equal to nothing, if undefined."""
    (negative, positive), others = table[0], table[1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.round(others[:, 1] * negative / (others[:, 0] * positive), 3)
    return np.where(np.isfinite(ratios) & (ratios > 0), ratios, np.nan)
