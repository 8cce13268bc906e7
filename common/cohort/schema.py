"""The columns of a cohort table: every variable of the paper's Table 1, and what else a study needs.

The order is the paper's. `docs/cohort-table.md` is made from this file by `common.cohort.dictionary`.

References
----------
Ning et al. (2025), Scientific Reports, Table 1 and Fig. 3 (definitions of the NCCT markers).
Wang et al. (2015), Stroke 46:376-381 (BRAIN score).
"""

from __future__ import annotations

from functools import lru_cache

from common.cohort.repeated_readings import MARKERS, find_reading, variables_of_readings
from common.cohort.variable import Range, Variable, VariableGroup, VariableKind

__all__ = [
    "BY_NAME",
    "TABLE_ONE",
    "VARIABLES",
    "Range",
    "Variable",
    "VariableGroup",
    "VariableKind",
    "find_variable",
]


def _flag(name: str, group: VariableGroup, label: str, meaning: str, *, required: bool = True) -> Variable:
    return Variable(name, "binary", group, label, meaning, required)


def _file(name: str, label: str, meaning: str, *, required: bool) -> Variable:
    return Variable(name, "path", "files", label, meaning, required)


def _volume(name: str, group: VariableGroup, label: str, where: str) -> Variable:
    meaning = f"{where}; measured on the mask where blank"
    possible = Range(0, 400)
    return Variable(name, "continuous", group, label, meaning, required=False, unit="ml", possible=possible)


_ONCE: tuple[Variable, ...] = (
    Variable(
        "patient", "text", "identity", "Patient", "The site's own pseudonym of the patient; never leaves it"
    ),
    _file("baseline_ct", "Baseline CT", "Admission noncontrast CT: a file or a DICOM folder", required=True),
    _file("baseline_mask", "Baseline mask", "Its segmentation with labels for ICH and IVH", required=True),
    _file(
        "followup_ct",
        "Follow-up CT",
        "Follow-up CT; not needed where follow-up volumes are given",
        required=False,
    ),
    _file("followup_mask", "Follow-up mask", "Segmentation of the follow-up CT", required=False),
    Variable(
        "sex",
        "categorical",
        "clinical",
        "Sex",
        "Sex in the record; the paper counts men",
        levels=("male", "female"),
    ),
    Variable("age", "continuous", "clinical", "Age", "Age at admission", unit="year", possible=Range(0, 120)),
    _flag("alcohol", "clinical", "Alcohol consumption", "History of alcohol consumption"),
    _flag("smoking", "clinical", "Smoking", "History of smoking"),
    _flag("diabetes", "clinical", "Diabetes mellitus", "History of diabetes mellitus"),
    _flag("hypertension", "clinical", "Hypertension", "History of hypertension"),
    Variable(
        "onset_to_ct_h",
        "continuous",
        "clinical",
        "Onset to baseline CT time interval",
        "From the onset of symptoms, or from when last seen well, to the baseline CT",
        unit="hour",
        possible=Range(0, 2160),
    ),
    Variable(
        "sbp_mmhg",
        "continuous",
        "clinical",
        "Admission SBP",
        "Systolic blood pressure at admission",
        unit="mm Hg",
        possible=Range(40, 350),
    ),
    Variable(
        "dbp_mmhg",
        "continuous",
        "clinical",
        "Admission DBP",
        "Diastolic blood pressure at admission",
        unit="mm Hg",
        possible=Range(20, 250),
    ),
    Variable(
        "inr",
        "continuous",
        "clinical",
        "INR",
        "International normalized ratio at admission",
        possible=Range(0.5, 20),
    ),
    _flag("antithrombotic", "clinical", "Antithrombotic", "Antithrombotic treatment before the hemorrhage"),
    _flag(
        "anticoagulation", "clinical", "Anticoagulation", "Anticoagulation treatment before the hemorrhage"
    ),
    _volume("ich_volume_ml", "radiologic", "ICH volume", "Intracerebral hemorrhage on the baseline CT"),
    _volume("ivh_volume_ml", "radiologic", "IVH volume", "Intraventricular hemorrhage on the baseline CT"),
    Variable(
        "location",
        "categorical",
        "radiologic",
        "Location",
        "Where the ICH lies",
        levels=("lobar", "deep", "infratentorial"),
    ),
    _flag("ivh", "radiologic", "IVH", "Intraventricular hemorrhage on the baseline CT"),
    _flag("sah", "radiologic", "SAH", "Subarachnoid hemorrhage on the baseline CT"),
    _flag(
        "irregular_shape",
        "radiologic",
        "Irregular shape",
        "At least 2 irregular foci on the margin of the largest axial slice (Barras scale III or more)",
    ),
    _flag(
        "satellite_sign",
        "radiologic",
        "Satellite sign",
        "A small hematoma of at most 10 mm, 1 to 20 mm away from the main one",
    ),
    _flag(
        "island_sign",
        "radiologic",
        "Island sign",
        "At least 3 small hematomas all separate from the main one, or at least 4 that may connect with it",
    ),
    _flag(
        "black_hole_sign",
        "radiologic",
        "Black hole sign",
        "Encapsulated hypoattenuation, more than 28 HU darker, not connected with the brain",
    ),
    _flag(
        "blend_sign",
        "radiologic",
        "Blend sign",
        "Hypoattenuation beside hyperattenuation, more than 18 HU apart, with a clear margin",
    ),
    _flag(
        "fluid_level",
        "radiologic",
        "Fluid level",
        "Hypoattenuation above hyperattenuation, a straight line between",
    ),
    _flag(
        "swirl_sign",
        "radiologic",
        "Swirl sign",
        "Hypo- or isoattenuation within the hematoma, encapsulated or not",
    ),
    _flag(
        "hypodensity",
        "radiologic",
        "Hypodensity",
        "Any hypodense region strictly encapsulated within the hematoma, whatever its density",
    ),
    _flag(
        "heterogeneous_density",
        "radiologic",
        "Heterogeneous density",
        "At least 3 foci of low attenuation within the largest hematoma (Barras scale III or more)",
    ),
    _flag(
        "recurrent_ich", "BRAIN score", "Recurrent ICH", "An earlier intracerebral hemorrhage", required=False
    ),
    _flag("warfarin", "BRAIN score", "Warfarin", "Anticoagulated with warfarin at onset", required=False),
    Variable(
        "ct_to_followup_h",
        "continuous",
        "eligibility",
        "Baseline to follow-up CT time interval",
        "From the baseline CT to the follow-up CT",
        unit="hour",
        possible=Range(0, 8760),
    ),
    _flag("primary_ivh", "eligibility", "Primary IVH", "Hemorrhage confined to the ventricles"),
    _flag(
        "prior_surgery",
        "eligibility",
        "Previous surgical treatment",
        "External ventricular drain or craniotomy before the CT",
    ),
    _flag("artefacts", "eligibility", "Obvious artifacts", "Obvious artifacts on the CT images"),
    _volume(
        "followup_ich_volume_ml",
        "follow-up",
        "Follow-up ICH volume",
        "Intracerebral hemorrhage on the follow-up CT",
    ),
    _volume(
        "followup_ivh_volume_ml",
        "follow-up",
        "Follow-up IVH volume",
        "Intraventricular hemorrhage on the follow-up CT",
    ),
    Variable(
        "split",
        "categorical",
        "study",
        "Part of the cohort",
        "A division made beforehand, used at a training site instead of the plan's random one",
        required=False,
        levels=("train", "validation", "test"),
    ),
)

VARIABLES: tuple[Variable, ...] = (*_ONCE, *variables_of_readings(v for v in _ONCE if v.name in MARKERS))
"""Every column, in the order of the table."""

TABLE_ONE: tuple[Variable, ...] = tuple(v for v in VARIABLES if v.group in {"clinical", "radiologic"})
"""The baseline features of the paper's Table 1, in its order."""

BY_NAME: dict[str, Variable] = {variable.name: variable for variable in VARIABLES}
"""Every column by its heading."""


@lru_cache(maxsize=1024)
def find_variable(heading: str) -> Variable | None:
    """The column of this heading, also of a third reader's or a later session's; None if there is none."""
    found = None if heading in BY_NAME else find_reading(heading)
    if found is None:
        return BY_NAME.get(heading)
    markers = (BY_NAME[name] for name in MARKERS)
    return next(one for one in variables_of_readings(markers, (found[1],)) if one.name == heading)
