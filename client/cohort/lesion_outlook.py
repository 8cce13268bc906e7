"""What a study will not be able to make of a lesion, said by a check, which makes nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from common.errors import ScanError
from common.imaging.masks.mask import Mask
from common.imaging.scan import Scan
from common.plan.study import StudyPlan


@dataclass(frozen=True)
class LesionOutlook:
    """What is known of a lesion before anything is computed of it.

    Attributes
    ----------
    no_features : str
        Why it will have no radiomics; empty if it will, or none are asked for.
    components : int
        Its unconnected parts; 0 where no radiomics are extracted.
    touches_border : bool
        Whether it reaches an end of the scan.
    no_suggestion : str
        Why no marker will be suggested; empty if they will, or none are asked for.
    """

    no_features: str = ""
    components: int = 0
    touches_border: bool = False
    no_suggestion: str = ""


Outlooks: TypeAlias = Mapping[tuple[Path, Path], LesionOutlook]
"""Of each lesion that was read, by the paths of CT and mask."""


def foresee_lesion(plan: StudyPlan, scan: Scan, mask: Mask) -> LesionOutlook:
    """What the study will not be able to make of this lesion."""
    features = _foresee_features(plan, scan, mask) if plan.extracts_features else LesionOutlook()
    if "agreement" not in plan.phases:
        return features
    # scipy takes half a second to import
    from common.radiomics.hematoma import require_brain

    reason = _find_refusal(lambda: require_brain(scan, mask))
    return LesionOutlook(features.no_features, features.components, features.touches_border, reason)


def _foresee_features(plan: StudyPlan, scan: Scan, mask: Mask) -> LesionOutlook:
    from common.plan.extraction import extraction_of
    from common.radiomics.extract import judge_lesion

    try:
        volume = judge_lesion(scan, mask, extraction_of(plan))
    except ScanError as refusal:
        return LesionOutlook(no_features=str(refusal))
    return LesionOutlook("", volume.components, volume.touches_border)


def _find_refusal(judge: Callable[[], object]) -> str:
    try:
        judge()
    except ScanError as refusal:
        return str(refusal)
    return ""
