"""What the sites of a simulated study found in their own data, read where each engine left it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from client.cohort.finding_report import SiteReport, load_report
from client.cohort.site_files import FINDINGS, PAGE, remove_site_files


def load_site_reports(out: Path) -> Iterator[tuple[SiteReport, Path]]:
    """Each site's report and page, sorted by the sites' names; a site that left none is not there.

    Raises
    ------
    StorageError
        If a report cannot be read.
    """
    for state in sorted((out / "sites").glob("*")):
        report = load_report(state / FINDINGS)
        if report is not None:
            yield report, state / PAGE


def remove_site_reports(out: Path) -> None:
    """Remove what an earlier run left, so that nobody takes it for this one's."""
    for state in (out / "sites").glob("*"):
        remove_site_files(state)
