"""How a site's CTs are read: what the study and the site chose."""

from __future__ import annotations

from client.membership.site import SiteSettings
from common.imaging.options import ReadingOptions
from common.plan.study import StudyPlan


def options_of(plan: StudyPlan | None, settings: SiteSettings) -> ReadingOptions:
    """How the CTs of a site are read for a study, or outside of one."""
    return ReadingOptions(
        series=settings.series, missing_slices=plan.scans.missing_slices if plan else "refuse"
    )
