"""The only place where streams of random numbers are derived, from (study seed, site, purpose)."""

from __future__ import annotations

import hashlib
import hmac

import numpy as np


def derive_seed(study_seed: int, *path: str | int) -> int:
    """A 63-bit seed for one purpose, independent of the seeds of all other paths.

    Parameters
    ----------
    study_seed : int
        The plan's seed.
    *path : str or int
        Purpose of the stream, from the general to the particular: site, purpose, round, ...

    Examples
    --------
    >>> derive_seed(1, "center1", "split") == derive_seed(1, "center1", "split")
    True
    >>> derive_seed(1, "a", "bc") == derive_seed(1, "ab", "c")
    False
    """
    parts = [str(study_seed), *(f"{type(part).__name__}:{part}" for part in path)]
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def mix_secret(study_seed: int, secret: bytes) -> int:
    """The study's seed with a site's secret mixed in, 192 bits: nobody else can derive what is drawn with it.

    Parameters
    ----------
    study_seed : int
        The plan's seed.
    secret : bytes
        Known to the site alone.

    Examples
    --------
    >>> mix_secret(1, b"a") == mix_secret(1, b"a"), mix_secret(1, b"a") == mix_secret(1, b"b")
    (True, False)
    """
    digest = hmac.digest(secret, f"rhe/own-seed/{study_seed}".encode(), "sha256")
    return int.from_bytes(digest[:24], "big")


def generator(study_seed: int, *path: str | int) -> np.random.Generator:
    """A NumPy generator (PCG64) seeded by `derive_seed`."""
    return np.random.default_rng(derive_seed(study_seed, *path))
