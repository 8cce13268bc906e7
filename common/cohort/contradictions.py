"""Values of one patient that cannot all be true."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from common.cohort.cells import Value
from common.errors import Finding

Values = Mapping[str, Value]


@dataclass(frozen=True)
class Rule:
    """Two values that exclude each other; a blank cell contradicts nothing.

    Attributes
    ----------
    columns : tuple of str
        Both variables.
    violated : callable
        Whether the two values, in that order, contradict each other.
    what : str
        Why.
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


def contradictions(values: Values) -> list[Finding]:
    """What cannot be true of one patient, with the columns concerned."""
    findings = [
        Finding(_where(rule.columns), f"{_shown(rule.columns, values)}: {rule.what}", rule.remedy)
        for rule in _RULES
        if _violates(rule, values)
    ]
    findings += [
        Finding(
            _where(pair),
            f"{_shown(pair, values)}, the other is blank: the outcome needs both",
            "write both (0 where there is none), or leave both blank so that the mask is measured",
        )
        for pair in _BOTH_OR_NEITHER
        if (pair[0] in values) != (pair[1] in values)
    ]
    return findings


def _violates(rule: Rule, values: Values) -> bool:
    first, second = (values.get(name) for name in rule.columns)
    return isinstance(first, float) and isinstance(second, float) and rule.violated(first, second)


def _where(columns: tuple[str, str]) -> str:
    return "columns " + " and ".join(repr(name) for name in columns)


def _shown(columns: tuple[str, str], values: Values) -> str:
    return ", ".join(
        f"{name} = {value:g}" for name in columns if isinstance(value := values.get(name), float)
    )
