"""A site's prepared patients as tensors, by model and part of the cohort."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from client.prepare import PreparedCase, PreparedSite, stack
from common.errors import SmallNumberError
from common.imaging.recipe import InputShape
from common.study import CnnModel

if TYPE_CHECKING:
    import torch

    from common.training.dataset import Samples

TRAINING = "train"
VALIDATION = "validation"
TEST = "test"
PARTS = (TRAINING, VALIDATION, TEST)
"""Of a cohort; an external centre has only tests."""


@dataclass
class SiteSamples:
    """Inputs and outcomes of one site, read from the cache once per input shape.

    Attributes
    ----------
    prepared : PreparedSite
        From `client.prepare`.
    device : torch.device
        Where they are kept if they fit there, so that a round moves no image.
    """

    prepared: PreparedSite
    device: torch.device
    _shape: InputShape | None = None
    _parts: dict[str, Samples] = field(default_factory=dict)

    def cases(self, part: str) -> tuple[PreparedCase, ...]:
        """The patients of a part, sorted by identifier."""
        return tuple(case for case in self.prepared.cases if case.part == part)

    def of(self, model: CnnModel, part: str) -> Samples:
        """Inputs as the model takes them, and outcomes, in the order of `cases`.

        Raises
        ------
        SmallNumberError
            If the part has no patient.
        """
        from common.training.dataset import Samples
        from common.training.device import resident

        if model.shape != self._shape:
            self._shape, self._parts = model.shape, {}
        if part not in self._parts:
            cases = self.cases(part)
            if not cases:
                raise SmallNumberError(f"no patient is in the part {part!r} of this site's cohort")
            positives = np.array([case.positive for case in cases])
            self._parts[part] = resident(Samples.of(stack(cases, model.shape), positives), self.device)
        return self._parts[part]


def pool(samples: list[Samples]) -> Samples:
    """The patients of several sites one after the other; exists for simulations, where data may meet."""
    import torch

    from common.training.dataset import Samples

    return Samples(torch.cat([one.images for one in samples]), torch.cat([one.labels for one in samples]))
