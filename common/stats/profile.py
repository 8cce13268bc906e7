"""The profile of a study, which decides the defaults and the smallest numbers that may be released.

A module of its own, because the plan needs it and must be read without loading numpy.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

Profile: TypeAlias = Literal["standard", "replication", "simulation"]
"""standard: the specification's defaults and minima; replication: the paper's choices, minima of 1;
simulation: minima of 1, accepted only by sites that declare themselves and their data synthetic."""
