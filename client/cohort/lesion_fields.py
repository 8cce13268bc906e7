"""Where each network's input lies about a patient's lesion: kept with the scan where maps are averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from client.cohort.cases import PreparedCase, read_array
from common.imaging.lesion_cells import LesionField, locate_fields
from common.imaging.masks.mask import Mask
from common.imaging.recipe import InputShape, Recipe
from common.imaging.scan import Scan
from common.types import Reals


def make_fields(scan: Scan, mask: Mask, recipe: Recipe, shapes: Sequence[InputShape]) -> dict[str, Reals]:
    """The field of each shape by its name in the cache; raises as `locate_fields`."""
    fields = locate_fields(scan, mask, recipe, shapes)
    return {name_field(shape): field.pack() for shape, field in fields.items()}


def read_field(case: PreparedCase, shape: InputShape) -> LesionField:
    """The field of a network's input that was kept with the patient's scan.

    Raises
    ------
    StorageError
        If the cache was damaged since it was checked.
    ValueError
        If nothing was kept.
    """
    path = None if case.entry is None else case.entry.paths.get(name_field(shape))
    if path is None:
        raise ValueError(f"no field of {shape} was kept")
    return LesionField.unpack(np.asarray(read_array(path), dtype=np.float64))


def name_field(shape: InputShape) -> str:
    """The name of a field in its cache entry."""
    return f"{shape.dimensions}d-{shape.size}-cells"
