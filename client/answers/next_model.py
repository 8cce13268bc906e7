"""The next global model at a site that trains: derived from the proved sum, as the coordinator does."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from common.hiding.next_weights import derive_weights, make_stepper, read_patients
from common.hiding.phases import phase_of
from common.hiding.rounds import largest_weight
from common.models.layout import Layout
from common.plan.study import Arm, CnnModel, StudyPlan
from common.secagg.codes import SecAggError
from common.secagg.site.rules import OpenedRound
from common.secagg.wire.frames import Bytes
from common.training.server_optimiser import PseudoGradientStep


def know_no_weight(_arm: Arm) -> int | None:
    """No weight: the coordinator's is taken if it is possible and stays the same."""
    return None


@dataclass(frozen=True)
class ModelDeriver:
    """Derives a training's next model.

    Attributes
    ----------
    plan : StudyPlan
        The approved plan.
    layout : callable
        Gives the layout of a network's weights.
    weight_of : callable
        Gives the proved weight of all sites of an arm; None if it is not known.
    """

    plan: StudyPlan
    layout: Callable[[CnnModel], Layout]
    weight_of: Callable[[Arm], int | None] = know_no_weight

    def __call__(self, opened: OpenedRound, write: Callable[[Bytes], None], /) -> bytes:
        """Write the next weights, and return the memory of the server's optimiser.

        Raises
        ------
        SecAggError
            E_NOT_THE_PLAN if the coordinator divides the sum by a weight that is not the sites';
            E_STATE_CORRUPT if the optimiser's memory of the round before is gone.
        ModelError
            If the optimiser's memory is not of this network.
        ValueError
            If the round is of no training.
        """
        phase = phase_of(self.plan, opened.request.phase)
        if phase.model is None or phase.arm is None:
            raise ValueError(f"{opened.request.phase} trains no model")
        layout = self.layout(phase.model)
        patients = self._find_patients(opened, layout, phase.arm)
        stepper = make_stepper(self.plan, layout)
        if stepper is not None:
            stepper.restore(_read_memory(opened))
        before = np.frombuffer(opened.model, dtype="<f4")
        for piece in derive_weights((self.plan, layout, stepper), opened.sums, patients, before):
            write(np.ascontiguousarray(piece, dtype="<f4").data.cast("B"))
        return b"" if stepper is None else _dump(stepper)

    def _find_patients(self, opened: OpenedRound, layout: Layout, arm: Arm) -> int:
        """The weight of all sites by which the sum is divided.

        Raises
        ------
        SecAggError
            E_NOT_THE_PLAN if the coordinator's cannot be it.
        """
        if self.plan.privacy.weights == "per-round":
            patients, told = read_patients(self.plan, layout, opened.sums), opened.weight or None
        else:
            patients, told = opened.weight, opened.earlier_weight
        known = self.weight_of(arm)
        if self.plan.privacy.weights == "equal" and known is None and told is None:
            # Rounds of a training that began when nobody asked go on with the weight of the first
            raise SecAggError("the number of sites that train was not proved", code="E_NOT_THE_PLAN")
        is_possible = 0 < patients <= len(arm.sites) * largest_weight(self.plan)
        if not is_possible or told not in {None, patients} or known not in {None, patients}:
            raise SecAggError(
                "a round's sum is divided by a weight that is not the sites'", code="E_NOT_THE_PLAN"
            )
        return patients


def _dump(stepper: PseudoGradientStep) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **stepper.state())
    return buffer.getvalue()


def _read_memory(opened: OpenedRound) -> dict[str, NDArray[np.float32]]:
    """The optimiser's state; nothing before the first round.

    Raises
    ------
    SecAggError
        E_STATE_CORRUPT if it is gone: without it, an honest coordinator would look like a false one.
    """
    if not opened.memory:
        if opened.request.round > 1:
            raise SecAggError("what the optimiser kept of the last round is gone", code="E_STATE_CORRUPT")
        return {}
    with np.load(io.BytesIO(opened.memory), allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}
