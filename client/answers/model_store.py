"""Models that stay at their site: the one trained here alone, and the site's own BatchNorm of each round."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from common.cards.card import ModelCard
from common.cards.card_file import CARD_KEY, serialise_card
from common.messages.headers import Epoch
from common.models.checkpoint import Checkpoint, load, save
from common.models.layout import Layout
from common.types import FlatWeights

_Curve = TypeAdapter(tuple[Epoch, ...])


@dataclass(frozen=True)
class StoredModel:
    """A local model and how it came about.

    Attributes
    ----------
    weights : float32 array, shape (weights,)
        Of the chosen epoch.
    layout : Layout
        What each element is.
    curve : tuple of Epoch
        Its learning curve.
    chosen : int
        Epoch of the weights.
    """

    weights: FlatWeights
    layout: Layout
    curve: tuple[Epoch, ...]
    chosen: int


@dataclass(frozen=True)
class ModelStore:
    """A folder of checkpoints of one plan; those of another plan are not found.

    Attributes
    ----------
    folder : Path
        Where the checkpoints lie.
    plan_hash : str
        Part of every path, so that a changed plan trains anew.
    """

    folder: Path
    plan_hash: str

    def keep(self, model: str, stored: StoredModel, card: ModelCard) -> None:
        """Saves the local model with its card, atomically."""
        metadata = {
            "model": model,
            "plan": self.plan_hash,
            "curve": _Curve.dump_json(stored.curve).decode(),
            "chosen": str(stored.chosen),
            CARD_KEY: serialise_card(card),
        }
        save(self._path(model, "local"), Checkpoint(stored.weights, stored.layout, metadata))

    def find(self, model: str) -> StoredModel | None:
        """The local model, or None if it has not been trained under this plan.

        Raises
        ------
        ModelError
            If the file was altered or truncated.
        """
        path = self._path(model, "local")
        if not path.exists():
            return None
        checkpoint = load(path)
        curve = _Curve.validate_json(checkpoint.metadata["curve"])
        return StoredModel(checkpoint.weights, checkpoint.layout, curve, int(checkpoint.metadata["chosen"]))

    def keep_round(self, model: str, arm: str, number: int, weights: FlatWeights, layout: Layout) -> None:
        """Saves the site's weights after a round: its BatchNorm belongs to that round alone."""
        save(
            self._path(model, f"{arm}-round-{number}"), Checkpoint(weights, layout, {"plan": self.plan_hash})
        )

    def find_round(self, model: str, arm: str, number: int) -> FlatWeights | None:
        """The site's weights after a round, or None if it did not train in it."""
        path = self._path(model, f"{arm}-round-{number}")
        return load(path).weights if path.exists() else None

    def folder_of(self, model: str) -> Path:
        """Where all files of a model lie."""
        return self.folder / self.plan_hash[:16] / model

    def _path(self, model: str, name: str) -> Path:
        return self.folder_of(model) / f"{name}.safetensors"
