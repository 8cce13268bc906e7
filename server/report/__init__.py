"""The page that a radiologist reads, and its tables for a spreadsheet, from a study's results."""

from server.report.page import write_report
from server.report.tables import write_tables

__all__ = ["write_report", "write_tables"]
