"""Hounsfield units as network intensities."""

from __future__ import annotations

import numpy as np

from common.imaging.recipe import Recipe
from common.types import Pixels, Reals


def window(values_hu: Reals, recipe: Recipe) -> Pixels:
    """Intensities in [0, 1]: clipped to level ± width/2, then scaled.

    Examples
    --------
    >>> window(np.array([-1000.0, 0.0, 40.0, 80.0, 300.0]), Recipe()).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    darkest = recipe.window_level_hu - recipe.window_width_hu / 2
    return ((values_hu - darkest) / recipe.window_width_hu).clip(0.0, 1.0).astype(np.float32)
