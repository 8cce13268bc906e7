"""A site's prepared patients as tensors, by model and part of the cohort."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from client.cohort.cases import PreparedCase, PreparedSite, stack_inputs
from common.errors import SmallNumberError
from common.imaging.recipe import InputShape
from common.plan.study import CnnModel

if TYPE_CHECKING:
    from common.training.dataset import Samples

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
    _shape: InputShape | None = None
    _parts: dict[str, Samples] = field(default_factory=dict)

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

        if model.shape != self._shape:
            self._shape, self._parts = model.shape, {}
        if part not in self._parts:
            cases = self.cases_of_part(part)
            if not cases:
                raise SmallNumberError(f"no patient is in the part {part!r} of this site's cohort")
            positives = np.array([case.positive for case in cases])
            samples = Samples.of(stack_inputs(cases, model.shape), positives)
            self._parts[part] = move_if_fits(samples, pick_device(self.prepared.settings.device))
        return self._parts[part]


def join_samples(samples: list[Samples]) -> Samples:
    """The patients of several sites one after the other; exists for simulations, where data may meet."""
    import torch

    from common.training.dataset import Samples

    return Samples(torch.cat([part.images for part in samples]), torch.cat([part.labels for part in samples]))
