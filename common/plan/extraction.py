"""How a study extracts radiomics features: the same at its sites and for a new patient."""

from __future__ import annotations

import hashlib

from common.imaging import preprocess
from common.plan.study import StudyPlan
from common.radiomics.batch import EXTRACTION_ALGORITHM
from common.radiomics.settings import PARAMETERS, PYRADIOMICS, ExtractionSettings


def extraction_of(plan: StudyPlan) -> ExtractionSettings:
    """The settings that lead from CT and mask to the volume that PyRadiomics receives."""
    x, y, z = plan.preprocessing.spacing_mm
    return ExtractionSettings(voi=plan.radiomics.voi, spacing_mm=(x, y, z))


def feature_version() -> str:
    """A version of everything else that decides the features: equal versions give equal numbers."""
    parameters = hashlib.sha256(PARAMETERS.read_bytes()).hexdigest()
    return (
        f"PyRadiomics {PYRADIOMICS}, parameters {parameters[:12]}, extraction {EXTRACTION_ALGORITHM}, "
        f"resampling {preprocess.PREPROCESSING_ALGORITHM}"
    )
