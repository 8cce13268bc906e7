"""The numbers of a mask's voxels as the site's labels: rounded where a program scaled them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from common.errors import Finding, Level, ScanError
from common.imaging.masks.labels import ICH, IVH, NEITHER, MaskLabels
from common.types import Labels

_ROUNDED = 0.01
"""Labels this near to a whole number are that number: files keep a slope of 1.0000001 or of 1/255."""

_NOTED = 1e-6
_MANY = 8
"""A mask has few labels; more numbers between 0 and 1 are probabilities, more and negative ones an image."""


def translate_values(
    path: Path, stored: NDArray[Any], labels: MaskLabels
) -> tuple[Labels, tuple[Finding, ...]]:
    """1 for ICH, 2 for IVH, 0 for everything else, and a note if the labels were rounded.

    Raises
    ------
    ScanError
        If a value is none of the site's labels.
    """
    values = _list_values(stored)
    whole, notes = _round(path, values)
    known = (0, *labels.ich, *labels.ivh, *labels.ignored)
    unknown = [value for value in whole.tolist() if value not in known]
    if unknown:
        raise ScanError(_explain(path, unknown, whole, labels))
    meaning = np.where(np.isin(whole, labels.ich), ICH, np.where(np.isin(whole, labels.ivh), IVH, NEITHER))
    return meaning.astype(np.uint8)[_find_places(stored, values)], notes


def _list_values(stored: NDArray[Any]) -> NDArray[Any]:
    """The different values in rising order."""
    if stored.dtype != np.uint8:
        return np.unique(stored)
    return np.flatnonzero(np.bincount(stored.ravel())).astype(np.uint8)


def _find_places(stored: NDArray[Any], values: NDArray[Any]) -> NDArray[np.intp]:
    """The place of each stored number among the different values."""
    if stored.dtype != np.uint8:
        return np.asarray(np.searchsorted(values, stored))
    places = np.zeros(256, dtype=np.intp)
    places[values] = np.arange(len(values))
    return np.asarray(places[stored])


def _round(path: Path, values: NDArray[Any]) -> tuple[NDArray[Any], tuple[Finding, ...]]:
    """The values, those near a whole number as that number."""
    if values.dtype.kind != "f":
        return values, ()
    # Infinity is no label, and what is said of it is not a warning
    with np.errstate(invalid="ignore"):
        whole = np.where(np.abs(values - np.rint(values)) <= _ROUNDED, np.rint(values), values)
        farthest = np.abs(whole - values).max(initial=0.0, where=np.isfinite(values))
    if farthest <= _NOTED:
        return whole, ()
    what = (
        f"labels are no whole numbers (up to {farthest:.2g} away), as programs that scale values write them"
    )
    return whole, (Finding(str(path), what, "nothing to do: rounded", Level.KNOW),)


def _explain(path: Path, unknown: list[float], values: NDArray[Any], labels: MaskLabels) -> str:
    between = [value for value in unknown if 0 < value < 1]
    if len(between) == len(unknown) and values.max() <= 1 and len(values) > _MANY:
        return (
            f"{path}: values from {min(unknown):.2g} to {values.max():.2g}: a probability map, not labels -> "
            "save it as labels (0 and the label; e.g. probability of at least 0.5)"
        )
    shown = ", ".join(f"{value:.15g}" if value == np.rint(value) else f"{value:g}" for value in unknown[:5])
    lowest = min(unknown)
    if lowest < 0 and values.dtype == np.int8:
        return (
            f"{path}: unknown label(s) {shown}: stored as signed numbers of 8 bits, in which "
            f"{256 + lowest:g} became {lowest:g} -> save the mask as unsigned (uint8)"
        )
    if lowest < 0 and len(values) > _MANY:
        return (
            f"{path}: {len(values)} different values from {lowest:g} to {values.max():g}: an image, not "
            "labels -> name the segmentation's file, not the CT's"
        )
    if lowest < 0:
        return f"{path}: unknown label(s) {shown}: labels are 0 and above -> correct the mask"
    # site.toml can name nothing but whole numbers from 1
    remedy = (
        "name them in site.toml under [mask] (ich, ivh or ignored), or correct the mask"
        if all(np.isfinite(value) and value >= 1 and value == int(value) for value in unknown)
        else "save the mask as labels (whole numbers from 0)"
    )
    known = f"known are ICH {list(labels.ich)}, IVH {list(labels.ivh)}"
    return f"{path}: unknown label(s) {shown}; {known} -> {remedy}"
