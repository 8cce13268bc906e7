"""What the engine plugs into the protocol: what the plan allows, and what the site computes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from cryptography.hazmat.primitives import hashes, hmac

from common.secagg.encoding import Values
from common.secagg.masks import Suite
from common.secagg.messages import Iterate, Mode, RoundRequest
from common.secagg.vectors import Vector

if TYPE_CHECKING:
    from common.secagg.history import History

Clock: TypeAlias = Callable[[], int]
"""Unix time in seconds."""


def wall_clock() -> int:
    """Unix time in whole seconds."""
    return int(time.time())


@dataclass(frozen=True)
class PhaseRules:
    """What an approved plan, and the site, say of one phase.

    Attributes
    ----------
    mode : "round" or "session"
    vectors : tuple of Vector
        Of every round; a session's vectors are what the site computes.
    rounds : int
        The greatest number of a round or session.
    max_attempts : int
    max_age_s : int
        A request's deadline is at most this far ahead.
    maximum_releases : int, optional
        Sums of this phase that the site takes part in.
    site_minimum : int
        Patients that a site must have.
    largest_weight : int, optional
        Patients above which a site's weight is refused (n_cap).
    clip_fraction : float
        Share of a model delta's elements that may be clipped.
    norm_bound : float, optional
        Of a model delta's Euclidean norm.
    suite : Suite
        Cipher of the masks.
    """

    mode: Mode
    vectors: tuple[Vector, ...] = ()
    rounds: int = 1
    max_attempts: int = 3
    max_age_s: int = 86_400
    maximum_releases: int | None = None
    site_minimum: int = 0
    largest_weight: int | None = None
    clip_fraction: float = 0.0
    norm_bound: float | None = None
    suite: Suite = "aes-256-ctr"


class Policy(Protocol):
    """Plan knowledge; a refusal raises an `RheError`, of which only the code leaves."""

    def rules(self, phase: str) -> PhaseRules:
        """What holds in the phase; refuses one that the plan does not have (E_CONTEXT)."""

    def check(self, request: RoundRequest, history: History) -> None:
        """Refuses what only the engine can judge, such as a model that the plan does not list."""


@dataclass(frozen=True)
class Part:
    """One vector of a site's contribution.

    Attributes
    ----------
    vector : Vector
    values : array
    alpha : float
        The site's weight of a model delta.
    definition : str
        SHA-256 of what a static statistic is, of which the study has one release; empty if it is none.
    variance : float
        Of the site's share of the noise, in squared integer units (noise.py); 0 for none.
    """

    vector: Vector
    values: Values
    alpha: float = 1.0
    definition: str = ""
    variance: float = 0.0


@dataclass(frozen=True)
class Computed:
    """What a site computed; the number of patients never leaves.

    Attributes
    ----------
    parts : tuple of Part
    patients : int, optional
        How many the numbers are of, where a minimum or a largest weight holds.
    """

    parts: tuple[Part, ...]
    patients: int | None = None


class Compute(Protocol):
    """The engine's computation."""

    def __call__(self, request: RoundRequest, question: Iterate | None, payload: memoryview, /) -> Computed:
        """The site's vectors.

        Parameters
        ----------
        request : RoundRequest
            Of the round, or of the session.
        question : Iterate, optional
            The iteration, in a session.
        payload : memoryview
            Model and configuration of a round; what is broadcast in an iteration.
        """


class Randomness(Protocol):
    """Where secrets come from."""

    def __call__(self, size: int, purpose: str, /) -> bytes:
        """So many bytes, for a purpose that is named once."""


def system_randomness(size: int, _purpose: str) -> bytes:
    """From the operating system, whatever for."""
    return os.urandom(size)


@dataclass(frozen=True)
class SimulatedRandomness:
    """Secrets derived from a seed, so that a simulated study has the same bits twice: never with patients.

    Attributes
    ----------
    seed : bytes
    """

    seed: bytes = field(repr=False)

    def __call__(self, size: int, purpose: str) -> bytes:
        """HMAC-SHA256 in counter mode; one purpose has one stream."""
        blocks = (self._block(f"{number}/{purpose}") for number in range(-(-size // 32)))
        return b"".join(blocks)[:size]

    def _block(self, text: str) -> bytes:
        mac = hmac.HMAC(self.seed, hashes.SHA256())
        mac.update(b"SA1/simulated/" + text.encode())
        return mac.finalize()
