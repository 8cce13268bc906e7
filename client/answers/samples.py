"""A site's prepared patients as tensors, by model and part of the cohort."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from client.cohort.cases import PreparedCase, PreparedSite, stack_inputs
from common.errors import SmallNumberError
from common.imaging.recipe import InputShape
from common.plan.study import CnnModel

if TYPE_CHECKING:
    from common.training.dataset import Samples

_MOST_BYTES = 512 * 2**20
"""Inputs of several shapes that are kept beside each other: trainings of small networks take turns."""
TRAINING = "train"
VALIDATION = "validation"
TEST = "test"


@dataclass
class SiteSamples:
    """Inputs and outcomes of one site, read from the cache once per input shape.

    Attributes
    ----------
    prepared : PreparedSite
        The patients, as `client.cohort.prepare` gives them.
    """

    prepared: PreparedSite
    _parts: dict[tuple[InputShape, str], Samples] = field(default_factory=dict)

    def cases_of_part(self, part: str) -> tuple[PreparedCase, ...]:
        """The patients of a part, sorted by identifier."""
        return tuple(case for case in self.prepared.cases if case.part == part)

    def of(self, model: CnnModel, part: str) -> Samples:
        """Inputs as the model takes them, and outcomes, in the order of `cases_of_part`.

        They are on the site's device if they fit there, so that a round moves none.

        Raises
        ------
        SmallNumberError
            If the part has no patient.
        """
        from common.training.dataset import Samples
        from common.training.device import move_if_fits, pick_device

        key = (model.shape, part)
        if key not in self._parts:
            cases = self.cases_of_part(part)
            if not cases:
                raise SmallNumberError(f"no patient is in the part {part!r} of this site's cohort")
            if _count_bytes(self._parts) > _MOST_BYTES:
                # Of one shape alone they may be more: trainings of large inputs do not take turns
                self._parts = {known: kept for known, kept in self._parts.items() if known[0] == model.shape}
            positives = np.array([case.positive for case in cases])
            samples = Samples.of(stack_inputs(cases, model.shape), positives)
            self._parts[key] = move_if_fits(samples, pick_device(self.prepared.settings.device))
        return self._parts[key]


def _count_bytes(parts: Mapping[tuple[InputShape, str], Samples]) -> int:
    return sum(kept.images.numel() * kept.images.element_size() for kept in parts.values())
