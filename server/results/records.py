"""What every record of the results file is made of."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import ConfigDict, Field

from common.runtime.settings_file import Section
from common.stats.estimate import suppressed

Count: TypeAlias = Annotated[int, Field(ge=0)]
"""A number of patients, of centres or of features."""

STAYED = suppressed("the model stayed at its centre")
"""Status of a model of the table that was trained at one centre and not released."""


class Record(Section):
    """A part of the results: frozen, no unknown key, no number that is not finite.

    The same holds for the dataclasses of `common.stats` that a record contains.
    """

    model_config = ConfigDict(allow_inf_nan=False, revalidate_instances="always")
