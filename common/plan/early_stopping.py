"""When a federated training ends before the plan's last round."""

from __future__ import annotations

from pydantic import Field

from common.runtime.settings_file import Section


class EarlyStopping(Section):
    """When a federated training ends early: once rounds no longer raise the pooled validation AUC.

    A round's AUC is known one message later, so the training has one more round by then. That round is
    judged, too; of all rounds the one with the best AUC is kept, as without early stopping.
    """

    patience: int = Field(ge=1)
    """So many judged rounds, one after the other, may bring no gain; the training ends with them (Prechelt
    1998). A model of one place trains all its epochs and keeps the best."""
    minimum_gain: float = Field(default=0.0, ge=0, lt=1)
    """By more than this the AUC has to rise above that of the last round that gained."""


def find_earliest_end(stopping: EarlyStopping) -> int:
    """The number of the round with which a training ends at the earliest.

    One round sets the mark, those of the patience do not pass it, one more is trained until that is known.
    """
    return 1 + stopping.patience + 1
