"""What a check says of lesions of which a study cannot compute everything, in a preparation's words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from client.cohort.lesion_outlook import LesionOutlook, Outlooks
from client.cohort.lost_readings import LostReading, describe_lost_reading
from client.cohort.radiomics import UNNAMED_FILES, note_lesion, note_no_features
from client.cohort.refusals import locate_patient
from common.cohort.patient import Patient
from common.cohort.repeated_readings import Reading
from common.errors import Finding
from common.plan.study import StudyPlan


def note_outlooks(
    plan: StudyPlan, table: str, patients: Sequence[Patient], outlooks: Outlooks
) -> Iterator[Finding]:
    """What a preparation will say of the patients' own lesions."""
    for patient in patients:
        where, outlook = locate_patient(table, patient), _find_outlook(outlooks, patient)
        if plan.extracts_features and outlook is None:
            yield note_no_features(where, UNNAMED_FILES)
        if outlook is None:
            continue
        if outlook.no_features:
            yield note_no_features(where, outlook.no_features)
        yield from note_lesion(where, outlook.components, touches_border=outlook.touches_border)
        if outlook.no_suggestion:
            # Imported here because what it needs takes a second to import
            from client.cohort.suggestions import note_no_suggestion

            yield note_no_suggestion(where, outlook.no_suggestion)


def find_featureless_readings(
    plan: StudyPlan,
    table: str,
    patients: Sequence[Patient],
    repeated: Mapping[str, Mapping[Reading, object]],
    outlooks: Outlooks,
) -> Iterator[LostReading]:
    """Further masks, of those that can be used otherwise, of which no features can be extracted."""
    for patient in patients:
        for reading in repeated.get(patient.identifier, {}):
            ct, mask = patient.baseline_ct, patient.repeated_masks[reading]
            outlook = None if ct is None else outlooks.get((ct, mask))
            if reading in plan.feature_readings and outlook is not None and outlook.no_features:
                yield describe_lost_reading(table, patient, reading, outlook.no_features)


def _find_outlook(outlooks: Outlooks, patient: Patient) -> LesionOutlook | None:
    ct, mask = patient.baseline_ct, patient.baseline_mask
    return None if ct is None or mask is None else outlooks.get((ct, mask))
