"""Random Fourier features: inner products of the map approximate the Gaussian kernel.

References
----------
Rahimi A, Recht B. Random features for large-scale kernel machines. NIPS 2007;20, Algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from common.types import Reals


@dataclass(frozen=True)
class FourierMap:
    """One draw of the map; the same seed gives the same map.

    Attributes
    ----------
    frequencies : float array, shape (features, columns)
        Standard normal; the kernel's width scales them.
    phases : float array, shape (features,)
        Uniform on [0, 2 pi).
    """

    frequencies: Reals
    phases: Reals

    def features(self, z: Reals, gamma: float) -> Reals:
        """Features of z-scores, shape (n, features): their products approximate exp(-gamma |x - y|^2).

        The error falls as the square root of the number of features rises.

        Parameters
        ----------
        z : float array, shape (n, columns)
        gamma : float
            Above 0.
        """
        angle = np.sqrt(2 * gamma) * (z @ self.frequencies.T) + self.phases
        return np.asarray(np.sqrt(2 / len(self.phases)) * np.cos(angle))


def draw_map(random: np.random.Generator, features: int, columns: int) -> FourierMap:
    """A random map; from the same stream, fewer features are the first of more.

    Raises
    ------
    ValueError
        If there is no feature or no column.
    """
    if features < 1 or columns < 1:
        raise ValueError(f"{features} features of {columns} columns: both must be at least 1")
    drawn = [(random.standard_normal(columns), 2 * np.pi * random.random()) for _ in range(features)]
    return FourierMap(
        np.array([frequency for frequency, _ in drawn]), np.array([phase for _, phase in drawn])
    )
