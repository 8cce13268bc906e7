"""What people name in a plan: how a name is written, and what files and messages carry."""

from __future__ import annotations

from typing import Annotated, Any, Self

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from common.runtime.name_patterns import LONGEST_WRITTEN, derive_name, tidy_name
from common.runtime.settings_file import NAME_PATTERN, Section

Name = Annotated[
    str,
    BeforeValidator(lambda written: derive_name(written) if isinstance(written, str) else written),
    Field(pattern=NAME_PATTERN),
    WithJsonSchema({"type": "string", "minLength": 1, "maxLength": LONGEST_WRITTEN}),
]
"""Letters, digits, dot, plus and hyphen, safe in files, messages and pages; derived from what is written."""


class NamedSection(Section):
    """What people name: a site or a model."""

    name: Name
    """The name, e.g. "Vendor X"; files and messages carry "Vendor-X", which is derived from it."""
    label: str = Field(default="", max_length=LONGEST_WRITTEN)
    """Filled in with `name` as it was written, where that is not plain; nobody need write it."""

    @model_validator(mode="before")
    @classmethod
    def _keep_written(cls, given: Any) -> Any:
        """What is given, with the name as it was written where another was derived from it."""
        name = given.get("name") if isinstance(given, dict) else None
        if not isinstance(name, str):
            return given
        try:
            return given if derive_name(name) == name else {"label": tidy_name(name)} | given
        except ValueError:  # which the field itself tells
            return given

    @model_validator(mode="after")
    def _check_label(self) -> Self:
        # Who approves a plan reads the label: it may not say another name than messages carry
        if self.label and (derive_name(self.label) != self.name or tidy_name(self.label) != self.label):
            raise ValueError(f"label {self.label!r} is not how {self.name!r} is written -> remove it")
        return self

    @model_serializer(mode="wrap")
    def _leave_out_unset(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """The settings without a label, digest or repeats that are not given: such plans keep their hash."""
        unset = {"label", "first_weights", "repeats", "repeat_of", "first_weights_of_repeats"}
        says_nothing: tuple[object, ...] = (None, "", 1, [], ())
        return {
            name: value
            for name, value in write(self).items()
            if name not in unset or value not in says_nothing
        }

    @property
    def title(self) -> str:
        """The name as people write it."""
        return self.label or self.name


def name_repeat(title: str, number: int) -> str:
    """What the further training of this number is called, from 2; the first has the network's own name."""
    return f"{title} (seed {number})"
