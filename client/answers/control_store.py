"""A site's own control variate between the rounds of a training (SCAFFOLD): it never leaves the site.

With it lie the global weights with which its round began, from which, and the next ones, the site derives the
mean of all sites' control variates: nobody tells it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import CohortError, Finding
from common.runtime.array_digest import digest_array
from common.runtime.storage import write_pieces_atomically
from common.runtime.tensor_file import cut_tensor_file, read_tensor_file
from common.secagg.codes import SecAggError
from common.training.control_variates import ControlVariates
from common.types import FlatWeights

_OWN, _BEGUN, _WEIGHT = "own", "begun", "weight"


@dataclass(frozen=True)
class ControlStore:
    """The files of one network in one arm, one for each of the last two rounds.

    A round that is asked again begins where it began before: its own file is first read by the next round.

    Attributes
    ----------
    folder : Path
        Of the network under its plan.
    arm : str
        The arm's name.
    rates : callable
        Gives the sum of the learning rates of a round's steps, by its number.
    server_rate : float
        By which the server multiplies the mean change of the weights; 1 where they follow it.
    """

    folder: Path
    arm: str
    rates: Callable[[int], float]
    server_rate: float = 1.0

    def begin(self, number: int, weights: FlatWeights, weight: int) -> ControlVariates:
        """What the site knows of gradients when a round begins.

        Parameters
        ----------
        number : int
            Of the round, from 1.
        weights : float32 vector, shape (weights,)
            With which it begins.
        weight : int
            Of the site's update, above 0.

        Raises
        ------
        SecAggError
            E_STATE_CORRUPT if what the round before left is gone, or damaged: the sites' mean of control
            variates would not be theirs without it.
        CohortError
            If the site had another weight in the round before: what the mean then is, nobody knows.
        """
        if number == 1:
            return ControlVariates.of_first_round(weights.size)
        own, begun = self._read(number - 1, weights.size, weight)
        return ControlVariates.of_round(own, (begun, weights), self.rates(number - 1) * self.server_rate)

    def skip_round(self, number: int) -> None:
        """Take no part in a round, as in none before.

        Raises
        ------
        CohortError
            If it trained in the round before.
        """
        if number == 1:
            self.drop()
        elif self._name_file(number - 1).exists():
            raise CohortError((_find_other_weight(number - 1),))

    def end(
        self, number: int, begun: tuple[FlatWeights, int], controls: ControlVariates, change: FlatWeights
    ) -> None:
        """Keep what the next round needs, and erase what no round begins with any more.

        Parameters
        ----------
        number : int
            Of the round, from 1.
        begun : (float32 vector, int)
            The weights with which the round began, and the site's weight in it.
        controls : ControlVariates
            As the round began.
        change : float32 vector, shape (weights,)
            By how much the site's steps have moved the weights.

        Raises
        ------
        StorageError
            If it cannot be written.
        """
        weights, weight = begun
        arrays = {_OWN: controls.renew(change, self.rates(number)), _BEGUN: weights}
        noted = {name: digest_array(array) for name, array in arrays.items()} | {_WEIGHT: str(weight)}
        write_pieces_atomically(self._name_file(number), cut_tensor_file(arrays, noted), private=True)
        self._drop_but({self._name_file(number - 1), self._name_file(number)})

    def drop(self) -> None:
        """Erase everything: the training is over."""
        self._drop_but(set())

    def _drop_but(self, kept: set[Path]) -> None:
        start = f"{self.arm}-control-"
        for path in set(self.folder.glob(f"{start}*.safetensors")) - kept:
            # Another arm's name may go on where this one's ends, in which a hospital's stands
            if path.stem.removeprefix(start).isdecimal():
                path.unlink(missing_ok=True)

    def _read(self, number: int, size: int, weight: int) -> tuple[FlatWeights, FlatWeights]:
        """A round's own control variate, and the weights with which it began.

        Raises
        ------
        SecAggError
            E_STATE_CORRUPT if they are gone, or damaged.
        CohortError
            If the site had another weight in it.
        """
        path = self._name_file(number)
        try:
            noted, arrays = read_tensor_file(path.read_bytes())
            own, begun = (_check(arrays[name], noted[name], size) for name in (_OWN, _BEGUN))
            earlier = int(noted[_WEIGHT])
        except (OSError, ValueError, KeyError):
            raise SecAggError(
                f"the control variate that round {number} left at this site is gone or damaged -> put its "
                "file back from a copy; without it this training cannot go on",
                code="E_STATE_CORRUPT",
            ) from None
        if earlier != weight:
            raise CohortError((_find_other_weight(number),))
        return own, begun

    def _name_file(self, number: int) -> Path:
        return self.folder / f"{self.arm}-control-{number}.safetensors"


def _find_other_weight(number: int) -> Finding:
    return Finding(
        "training",
        f"more or fewer patients of this site train than in round {number}",
        "with control variates a site keeps its weight: put table and scans back as they were, then start it "
        "again",
    )


def _check(array: NDArray[np.generic], digest: str, size: int) -> FlatWeights:
    """The array, if it is the one that was kept.

    Raises
    ------
    ValueError
        If it is another.
    """
    if array.dtype != np.float32 or array.shape != (size,) or digest_array(array) != digest:
        raise ValueError("an array was altered")
    return array.astype(np.float32, copy=False)
