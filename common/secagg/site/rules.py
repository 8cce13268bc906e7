"""What the engine gives to the protocol: what the plan allows, and what the site computes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

from cryptography.hazmat.primitives import hashes, hmac

from common.secagg.crypto.encoding import SiteValues
from common.secagg.crypto.masks import Suite
from common.secagg.crypto.rings import Vector, Words
from common.secagg.wire.frames import Bytes
from common.secagg.wire.messages import Iterate, Mode, RoundRequest

if TYPE_CHECKING:
    from common.secagg.site.history import History

Clock: TypeAlias = Callable[[], int]
"""Unix time in seconds."""


def wall_clock() -> int:
    """Unix time in whole seconds."""
    return int(time.time())


@dataclass(frozen=True)
class PhaseRules:
    """What an approved plan and the site say about one phase.

    Attributes
    ----------
    mode : "round" or "session"
        What the phase consists of.
    vectors : tuple of Vector
        What every round sums; empty for sessions, whose vectors are what the site computes.
    rounds : int
        The greatest number of a round or session.
    max_attempts : int
        How many attempts a round may have.
    max_age_s : int
        A request's deadline may be at most so many seconds ahead.
    maximum_releases : int, optional
        In how many sums of this phase the site takes part; no limit if None.
    site_minimum : int
        How many patients a site must have.
    largest_weight : int, optional
        A site with more patients than this is refused (n_cap); no limit if None.
    clip_fraction : float
        Share of a model delta's elements that may be clipped, from 0 to 1.
    norm_bound : float, optional
        Greatest Euclidean norm of a model delta, in the elements' own unit; no limit if None.
    suite : Suite
        Cipher of the masks.
    returned : tuple of str
        Names of a round's vectors whose sums come back to this site, which derives the result from them.
    needs_model : bool
        Whether the site computes from a round's model; not if it only adds zeros.
    required : frozenset of int
        Numbers of the sites without which no set is summed: without them the others' zeros hide nothing.
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
    returned: tuple[str, ...] = ()
    needs_model: bool = True
    required: frozenset[int] = frozenset()


class ProtocolPolicy(Protocol):
    """What the protocol has to know about the plan; if it refuses, only the code of its `RheError` leaves."""

    def rules_of(self, phase: str) -> PhaseRules:
        """The rules of the phase; refuses a phase that the plan does not have."""

    def check(self, request: RoundRequest, history: History) -> None:
        """Refuse what only the engine can judge, such as a model that the plan does not list."""


@dataclass(frozen=True)
class ComputedVector:
    """One vector of a site's contribution.

    Attributes
    ----------
    vector : Vector
        Its shape and ring.
    values : array of the vector's shape, or flat
        float32 or float64 for model deltas and reals, integers for counts.
    alpha : float
        The site's weight in (0, 1]; 1 except for model deltas.
    definition : str
        SHA-256 of the definition of a static statistic, which is released once in a study; otherwise empty.
    variance : float
        Variance of the site's share of the noise, in squared integer units; 0 for no noise.
    returns : bool
        Whether the vector's sum comes back to this site, in an iteration of a session.
    """

    vector: Vector
    values: SiteValues
    alpha: float = 1.0
    definition: str = ""
    variance: float = 0.0
    returns: bool = False


@dataclass(frozen=True)
class Computed:
    """What a site computed; the number of patients never leaves.

    Attributes
    ----------
    parts : tuple of ComputedVector
        The vectors in the order of the plan.
    patients : int, optional
        How many patients the numbers are of; needed where a minimum or a largest weight holds.
    note : str
        What the engine needs to read the sums that come back; kept with the answer, printable ASCII.
    """

    parts: tuple[ComputedVector, ...]
    patients: int | None = None
    note: str = ""


class Compute(Protocol):
    """The engine's computation."""

    def __call__(self, request: RoundRequest, question: Iterate | None, payload: memoryview, /) -> Computed:
        """The site's vectors.

        Parameters
        ----------
        request : RoundRequest
            M1's header of the round or session.
        question : Iterate, optional
            The iteration in a session; None in a round.
        payload : memoryview
            Model and configuration of a round; the broadcast parameters of an iteration.
        """


@dataclass(frozen=True)
class OpenedRound:
    """What a round came to, proved to this site.

    Attributes
    ----------
    request : RoundRequest
        M1's header.
    sums : mapping of str to Words
        The opened words of each vector that comes back, by its name, with the canary.
    weight : int
        Total weight of the sites as the coordinator says; 0 if the sums say it themselves.
    earlier_weight : int or None
        What it said in an earlier round of this phase; None in the first.
    model : memoryview
        From which the round started.
    memory : bytes
        What an optimiser kept with this model; empty if nothing.
    """

    request: RoundRequest
    sums: Mapping[str, Words]
    weight: int
    earlier_weight: int | None
    model: memoryview
    memory: bytes


class Derive(Protocol):
    """The engine's part in making a round's sums the next model."""

    def __call__(self, opened: OpenedRound, write: Callable[[Bytes], None], /) -> bytes:
        """Write the next model piece by piece, and return what an optimiser keeps with it.

        It refuses a weight that is not the sites'.
        """


class Randomness(Protocol):
    """Where secrets come from."""

    def __call__(self, size: int, purpose: str, /) -> bytes:
        """`size` secret bytes; each purpose is used once."""


def system_randomness(size: int, _purpose: str) -> bytes:
    """Random bytes from the operating system, whatever the purpose."""
    return os.urandom(size)


@dataclass(frozen=True)
class SimulatedRandomness:
    """Secrets derived from a seed, so that a simulated study can be repeated bit by bit: never for patients.

    Attributes
    ----------
    seed : bytes
        Key of the HMAC.
    """

    seed: bytes = field(repr=False)

    def __call__(self, size: int, purpose: str) -> bytes:
        """`size` bytes of HMAC-SHA256 in counter mode; each purpose has its own stream."""
        blocks = (self._block(f"{number}/{purpose}") for number in range(-(-size // 32)))
        return b"".join(blocks)[:size]

    def _block(self, text: str) -> bytes:
        mac = hmac.HMAC(self.seed, hashes.SHA256())
        mac.update(b"SA1/simulated/" + text.encode())
        return mac.finalize()
