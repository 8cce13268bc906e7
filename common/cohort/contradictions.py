"""Values of one patient that cannot all be true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from common.cohort.cells import VariableValue
from common.errors import Finding

PatientValues: TypeAlias = Mapping[str, VariableValue]
"""One patient's values by the variable's name; blank cells are absent."""


@dataclass(frozen=True)
class Rule:
    """Two values that exclude each other; a blank cell contradicts nothing.

    Attributes
    ----------
    columns : tuple of 2 str
        The two variables.
    violated : callable
        Takes the two values in the order of `columns`; True if they contradict each other.
    what : str
        Why they cannot both be true.
    remedy : str
        What to check.
    """

    columns: tuple[str, str]
    violated: Callable[[float, float], bool]
    what: str
    remedy: str


_RULES = (
    Rule(
        ("ivh", "ivh_volume_ml"),
        lambda ivh, volume_ml: ivh == 0 and volume_ml > 0,
        "no IVH, but a volume of it",
        "correct one of the two",
    ),
    Rule(
        ("ivh", "ivh_volume_ml"),
        lambda ivh, volume_ml: ivh == 1 and volume_ml == 0,
        "IVH without volume",
        "correct one of the two, or leave the volume blank so that the mask is measured",
    ),
    Rule(
        ("primary_ivh", "ivh"),
        lambda primary, ivh: primary == 1 and ivh == 0,
        "a primary IVH without IVH",
        "correct one of the two",
    ),
    Rule(
        ("primary_ivh", "ich_volume_ml"),
        lambda primary, volume_ml: primary == 1 and volume_ml > 0,
        "a primary IVH is confined to the ventricles, so there is no ICH volume",
        "correct one of the two",
    ),
    Rule(
        ("primary_ivh", "ich_volume_ml"),
        lambda primary, volume_ml: primary == 0 and volume_ml == 0,
        "an intracerebral hemorrhage without volume",
        "write the volume, or leave it blank so that the mask is measured",
    ),
    Rule(
        ("sbp_mmhg", "dbp_mmhg"),
        lambda systolic, diastolic: diastolic >= systolic,
        "the diastolic pressure is not below the systolic",
        "were the two swapped?",
    ),
    Rule(
        ("warfarin", "anticoagulation"),
        lambda warfarin, anticoagulation: warfarin == 1 and anticoagulation == 0,
        "warfarin is an anticoagulant",
        "correct one of the two",
    ),
)


_BOTH_OR_NEITHER = (("followup_ich_volume_ml", "followup_ivh_volume_ml"),)


def find_contradictions(values: PatientValues) -> list[Finding]:
    """Every contradiction among one patient's values, with the columns concerned."""
    findings = [
        Finding(
            _name_columns(rule.columns), f"{_quote_values(rule.columns, values)}: {rule.what}", rule.remedy
        )
        for rule in _RULES
        if _is_violated(rule, values)
    ]
    findings += [
        Finding(
            _name_columns(pair),
            f"{_quote_values(pair, values)}, the other is blank: the outcome needs both",
            "write both (0 where there is none), or leave both blank so that the mask is measured",
        )
        for pair in _BOTH_OR_NEITHER
        if (pair[0] in values) != (pair[1] in values)
    ]
    return findings


def _is_violated(rule: Rule, values: PatientValues) -> bool:
    first, second = (values.get(name) for name in rule.columns)
    return isinstance(first, float) and isinstance(second, float) and rule.violated(first, second)


def _name_columns(columns: tuple[str, str]) -> str:
    return "columns " + " and ".join(repr(name) for name in columns)


def _quote_values(columns: tuple[str, str], values: PatientValues) -> str:
    return ", ".join(
        f"{name} = {value:g}" for name in columns if isinstance(value := values.get(name), float)
    )
