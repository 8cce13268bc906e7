"""The weights of a training's best round so far: a file of their own, so that no round writes a model twice.

They were the last round's when they were found best, so the file is mostly a second name of that checkpoint.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from common.errors import ModelError
from common.models.checkpoint import Checkpoint, load, save
from common.models.layout import Layout
from common.runtime.array_digest import digest_array
from common.types import FlatWeights


@dataclass
class BestWeights:
    """Where they lie.

    Attributes
    ----------
    checkpoint : Path
        The file of the last round.
    layout : Layout
        Of the weights.
    written : str
        SHA-256 of the weights in the file of the last round; empty if this process has not seen it.
    """

    checkpoint: Path
    layout: Layout
    written: str = ""

    def keep(self, weights: FlatWeights) -> str:
        """Keep the weights before the last round's file is replaced; return their SHA-256.

        Raises
        ------
        StorageError
            If they cannot be written.
        """
        digest = digest_array(weights)
        path = self._name_file(digest)
        if path.exists():
            return digest
        if self.written != digest or not self._link(path):
            save(path, Checkpoint(weights, self.layout))
        return digest

    def read(self, digest: str) -> FlatWeights:
        """The weights of this SHA-256.

        Raises
        ------
        ModelError
            If they are others.
        StorageError
            If they are gone.
        """
        path = self._name_file(digest)
        weights = load(path, self.layout).weights
        if digest_array(weights) != digest:
            raise ModelError(
                f"{path} holds other weights -> restore it, or remove {self.checkpoint} to train anew"
            )
        return weights

    def drop_others(self, digest: str) -> None:
        """Erase the files of what was best before."""
        for path in self.checkpoint.parent.glob(f"{self.checkpoint.stem}.best-*.safetensors"):
            if path != self._name_file(digest):
                path.unlink()

    def _link(self, path: Path) -> bool:
        """Whether the last round's file has a second name now; some file systems know none."""
        try:
            os.link(self.checkpoint, path)
        except OSError:
            return False
        return True

    def _name_file(self, digest: str) -> Path:
        return self.checkpoint.with_name(f"{self.checkpoint.stem}.best-{digest[:16]}.safetensors")
