"""What a site keeps for its own eyes after a preparation: the page on its data, and the findings as JSON."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from client.cohort.cases import PreparedSite
from client.cohort.finding_report import ReportSubject, SiteReport, list_lines, make_report
from client.cohort.quality import write_quality_page, write_refusal_page
from client.membership.salvage import UNNAMED, salvage_site
from common.errors import Finding

_log = logging.getLogger(__name__)

PAGE, FINDINGS = "quality.html", "findings.json"
"""Names of both files in the site's state folder."""


def write_site_files(prepared: PreparedSite, study: str, state: Path) -> SiteReport:
    """Write page and findings into the state folder; returns the report.

    Raises
    ------
    StorageError
        If a file cannot be written, or the cache was damaged.
    """
    report = prepared.report(study)
    write_quality_page(prepared, state / PAGE, study)
    report.save(state / FINDINGS)
    return report


def write_refusals(findings: Sequence[Finding], folder: Path, study: str, state: Path) -> SiteReport:
    """As `write_site_files`, of a site that cannot take part.

    Raises
    ------
    StorageError
        If a file cannot be written.
    """
    settings = salvage_site(folder).settings
    name, table = (UNNAMED, "") if settings is None else (settings.name, settings.table)
    report = make_report(ReportSubject(name, table), findings, study)
    write_refusal_page(report, state / PAGE)
    report.save(state / FINDINGS)
    return report


def remove_site_files(state: Path) -> None:
    """Remove what an earlier preparation left, so that nobody takes it for this one's."""
    for name in (PAGE, FINDINGS):
        (state / name).unlink(missing_ok=True)


def log_report(report: SiteReport) -> None:
    """Write the findings into the site's log."""
    for line in list_lines(report):
        _log.info("%s", line)
    _log.info("%s", report.summary)
