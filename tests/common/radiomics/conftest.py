from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="session")
def ball() -> np.ndarray:
    """A lesion of 7 x 11 x 9 voxels."""
    z, y, x = np.mgrid[-3:4, -5:6, -4:5]
    return (z / 3.4) ** 2 + (y / 5.4) ** 2 + (x / 4.4) ** 2 <= 1
