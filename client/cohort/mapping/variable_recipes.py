"""What a heading must speak of for each variable, and of what it must not."""

from __future__ import annotations

from collections.abc import Mapping

RECIPES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "patient": (("identifier",), ("hospital_number",), ("serial", "person")),
    "sex": (("sex", "person?"),),
    "age": (("age", "onset?", "person?"),),
    "alcohol": (("alcohol", "use?"),),
    "smoking": (("smoking", "use?"),),
    "diabetes": (("diabetes", "mellitus?"),),
    "hypertension": (("hypertension", "arterial?"),),
    "onset_to_ct_h": (("onset", "ct", "interval?"), ("onset", "first_ct", "interval?")),
    "sbp_mmhg": (("systolic", "pressure?"),),
    "dbp_mmhg": (("diastolic", "pressure?"),),
    "inr": (("inr",),),
    "antithrombotic": (("antiplatelet", "medication?"),),
    "anticoagulation": (("anticoagulation", "medication?"),),
    "ich_volume_ml": (
        ("ich", "volume", "hematoma?", "hemorrhage?"),
        ("hematoma", "volume"),
        ("hemorrhage", "volume"),
    ),
    "ivh_volume_ml": (("ivh", "volume", "hemorrhage?", "hematoma?"), ("hiv_of_romance", "volume")),
    "location": (("location", "hemorrhage?", "ich?", "hematoma?"),),
    "ivh": (("ivh", "hemorrhage?", "extension?", "ich?"),),
    "sah": (("sah", "hemorrhage?", "extension?"),),
    "irregular_shape": (("irregular", "shape?"),),
    "satellite_sign": (("satellite",),),
    "island_sign": (("island",),),
    "black_hole_sign": (("black_hole",),),
    "blend_sign": (("blend",),),
    "fluid_level": (("fluid", "level?"),),
    "swirl_sign": (("swirl",),),
    "hypodensity": (("hypodensity", "hematoma?", "density?"),),
    "heterogeneous_density": (("heterogeneous", "density?", "hematoma?"),),
    "recurrent_ich": (
        ("recurrent", "ich?", "hemorrhage?"),
        ("before", "ich", "hemorrhage?", "past?"),
        ("past", "ich", "hemorrhage?"),
    ),
    "warfarin": (("warfarin", "medication?"),),
    "ct_to_followup_h": (
        ("ct", "followup", "interval", "first_ct?"),
        ("first_ct", "second_ct", "interval?"),
        ("followup", "interval"),
        ("between", "ct", "interval?"),
    ),
    "primary_ivh": (("primary", "ivh", "hemorrhage?"),),
    "prior_surgery": (("surgery", "before", "ct", "first_ct?", "past?"),),
    "artefacts": (("artefact", "obvious?"),),
    "baseline_ct": (("ct", "path"),),
    "baseline_mask": (("mask", "path?", "ct?"),),
    "followup_ct": (("followup", "ct", "path"),),
    "followup_mask": (("followup", "mask", "path?", "ct?"),),
    "followup_ich_volume_ml": (
        ("followup", "ich", "volume", "hematoma?", "hemorrhage?"),
        ("followup", "hematoma", "volume"),
        ("followup", "hemorrhage", "volume"),
    ),
    "followup_ivh_volume_ml": (
        ("followup", "ivh", "volume", "hemorrhage?", "hematoma?"),
        ("followup", "hiv_of_romance", "volume"),
    ),
}
"""What a heading must speak of for each variable; a concept with "?" may be there, and explains its words."""

OPPOSED: Mapping[str, frozenset[str]] = {
    "ich_volume_ml": frozenset({"ivh", "growth", "sah", "hiv_of_romance"}),
    "followup_ich_volume_ml": frozenset({"ivh", "growth", "sah", "hiv_of_romance"}),
    "ct_to_followup_h": frozenset({"onset", "surgery"}),
    "ivh_volume_ml": frozenset({"growth"}),
    "followup_ivh_volume_ml": frozenset({"growth"}),
    "ivh": frozenset({"volume", "primary", "before", "past", "recurrent"}),
    "sah": frozenset({"volume", "location", "before", "past", "recurrent"}),
    "recurrent_ich": frozenset({"volume"}),
    "location": frozenset({"volume", "surgery", "place"}),
    "antithrombotic": frozenset({"undone"}),
    "anticoagulation": frozenset({"warfarin", "undone"}),
    "warfarin": frozenset({"undone"}),
    "heterogeneous_density": frozenset({"kind_of"}),
    "hypodensity": frozenset({"heterogeneous"}),
    "onset_to_ct_h": frozenset({"second_ct"}),
    "diabetes": frozenset({"treated", "age"}),
    "hypertension": frozenset({"treated", "age"}),
    "satellite_sign": frozenset({"place"}),
    "age": frozenset({"hypertension", "diabetes", "smoking", "alcohol"}),
}
"""What speaks of something else, although the recipe fits."""

NOT_AT_BASELINE = ("followup", "other_time", "other_person", "growth", "negated")
"""What no heading of a baseline variable speaks of."""
