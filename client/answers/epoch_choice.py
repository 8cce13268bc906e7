"""Which epoch of a local training is kept: the one with the best validation AUC."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from pydantic import TypeAdapter

from client.answers.epoch_file import EpochNote
from common.hiding.rounds import VALIDATION_GRID
from common.messages.headers import Epoch
from common.stats.contract import Summary
from common.stats.minima import SIMULATION, Minima
from common.stats.roc import finish_roc
from common.types import FlatWeights

_Curve = TypeAdapter(tuple[Epoch, ...])


@dataclass
class EpochChoice:
    """The best epoch so far, and the learning curve.

    Without validation patients of both classes the last epoch is kept; equal AUCs go to the later epoch. The
    choice may rest on few patients; the curve's AUC leaves the site only above the plan's minimums.

    Attributes
    ----------
    weights : float32 vector
        Of the chosen epoch; at first those with which training starts.
    chosen : int
        Its number; 0 before the first was judged.
    best_auc : float
        Its validation AUC; -1 before any was known.
    curve : list of Epoch
        Every epoch that was judged.
    """

    weights: FlatWeights
    chosen: int = 0
    best_auc: float = -1.0
    curve: list[Epoch] = field(default_factory=list)

    def judge(
        self, epoch: tuple[int, float], sums: Summary, minima: Minima, weights: Callable[[], FlatWeights]
    ) -> None:
        """Judge an epoch.

        Parameters
        ----------
        epoch : (int, float)
            Its number and mean loss.
        sums : Summary
            Histograms of its scores of the validation patients.
        minima : Minima
            Of the plan's profile, for the AUC that is shown.
        weights : callable
            Gives its weights.
        """
        number, loss = epoch
        auc = finish_roc(sums, VALIDATION_GRID, minima=SIMULATION).auc.value
        shown = finish_roc(sums, VALIDATION_GRID, minima=minima).auc.value
        self.curve.append(Epoch(number=number, loss=loss, validation_auc=shown))
        if auc is None or auc >= self.best_auc:
            self.best_auc = self.best_auc if auc is None else auc
            self.weights, self.chosen = weights(), number

    def write_note(self) -> EpochNote:
        """What has to be remembered if the engine dies."""
        curve = _Curve.dump_json(tuple(self.curve)).decode()
        text = json.dumps({"chosen": self.chosen, "best_auc": self.best_auc.hex(), "curve": curve})
        return EpochNote(text, {"best": self.weights})

    def read_note(self, note: EpochNote) -> None:
        """Remember what was noted before the engine died."""
        told = json.loads(note.text)
        self.chosen, self.best_auc = int(told["chosen"]), float.fromhex(told["best_auc"])
        self.curve = list(_Curve.validate_json(told["curve"]))
        self.weights = np.array(note.arrays["best"], dtype=np.float32)
