"""What every record of the results file is made of."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Annotated, TypeAlias

from pydantic import ConfigDict, Field, field_validator

from common.runtime.settings_file import Section
from common.stats.estimate import NOT_FILED, suppressed

Count: TypeAlias = Annotated[int, Field(ge=0)]
"""A number of patients, of centres or of features."""

STAYED = suppressed("the model stayed at its centre")
"""Status of a model of the table that was trained at one centre and not released."""


class Record(Section):
    """A part of the results: frozen, no unknown key, no number that is not finite.

    The same holds for the dataclasses of `common.stats` that a record contains.
    """

    model_config = ConfigDict(allow_inf_nan=False, revalidate_instances="always")

    @field_validator("*")
    @classmethod
    def _leave_unfiled_out(cls, value: object) -> object:
        """A statistic's result as the file holds it: the record says once how many patients it rests on."""
        if not is_dataclass(value) or isinstance(value, type):
            return value
        return replace(value, **{field.name: None for field in fields(value) if field.metadata == NOT_FILED})
