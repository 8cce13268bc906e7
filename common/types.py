"""Array types that several packages share; shapes are given where a function uses them."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Counts: TypeAlias = NDArray[np.int64]
"""Exact integers: contingency tables, histograms, numbers of patients."""

Reals: TypeAlias = NDArray[np.float64]
"""Real-valued sums, always float64."""

Flags: TypeAlias = NDArray[np.bool_]
"""True or False per patient, voxel or weight."""

Pixels: TypeAlias = NDArray[np.float32]
"""Image intensities, axes (z, y, x) or (y, x) or (channel, ...); in HU, or in [0, 1] once windowed."""

Labels: TypeAlias = NDArray[np.uint8]
"""A mask on the grid of its scan, axes (z, y, x)."""

FlatWeights: TypeAlias = NDArray[np.float32]
"""A model's whole state as one vector; `common.models.weights.Layout` says which element is what."""
