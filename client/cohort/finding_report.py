"""What was found at a site, as people and programs read it: by level, equal remarks said once, or as JSON.

Every command shows findings by this module alone. It names patients: the report stays at the site.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, ValidationError

from client.cohort.completeness import ColumnLine, describe_columns
from common.cohort.eligibility import Exclusion, Flow
from common.cohort.patient import Patient
from common.cohort.row_names import name_rows
from common.cohort.schema import BY_NAME
from common.errors import Finding, Level, StorageError
from common.imaging.scan import IDENTITY_REMARK
from common.plain_text import escape_surrogates
from common.runtime.settings_file import Section
from common.runtime.storage import write_atomically

_ALIKE = 3
"""More remarks than this that differ in numbers alone are shown as one."""
_ROWS_SHOWN = 8
_VALUES_SHOWN = 5
"""Values of a column, refused for one reason, that are named each on a line of its own."""
_COLUMN = re.compile(r"column '[^']*' \(.*\)$")
_QUOTED = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_COLUMNS_SHOWN = 8
_EXCLUDED_SHOWN = 3
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True)
class ReportSubject:
    """What a report is about.

    Attributes
    ----------
    site : str
        The site's name.
    table : str
        Its table's file.
    usable : int
        How many patients can be studied.
    flow : Flow or None
        Who is eligible; None where the table cannot be read.
    rows : tuple of Patient
        The table's, to name the patients of findings on rows.
    scans_read : bool
        Whether scans and masks were decoded, where there are any.
    uncounted : str
        Why nobody of the table could be counted or used; empty where the patients are.
    """

    site: str
    table: str
    usable: int = 0
    flow: Flow | None = None
    rows: tuple[Patient, ...] = ()
    scans_read: bool = True
    uncounted: str = ""


class ReportedFinding(Section):
    """One finding, with the row and the patient that it is about."""

    level: Level
    """What follows from it."""
    where: str
    """File, row and column, or patient."""
    row: int | None
    """Row of the table, as a spreadsheet shows it; none where it is about no single row."""
    patient: str | None
    """The patient's identifier in the table; none where it is about nobody, or the row has none."""
    what: str
    """What was found, with the value."""
    remedy: str
    """What to do, if anything."""

    def __str__(self) -> str:
        """One line, as of the finding itself."""
        return str(Finding(self.where, self.what, self.remedy))


class ExcludedRow(Section):
    """A patient whom a criterion leaves out."""

    row: int
    """Row of the table, as a spreadsheet shows it."""
    patient: str
    """The identifier in the table."""
    value: float | str
    """The cell that excludes the patient, in the column's unit; 1 of a yes or no; a level."""


class ExclusionLine(Section):
    """One criterion of the study, and how many patients it leaves out."""

    criterion: str
    """As the flow chart prints it."""
    patients: int
    """How many patients it is the first to exclude."""
    column: str
    """The column that decides."""
    rows: tuple[ExcludedRow, ...]
    """These patients, in the table's order."""

    @property
    def shown(self) -> str:
        """The number, the criterion and the first rows with what stands there, on one line."""
        first = (_describe_row(self.column, row) for row in self.rows[:_EXCLUDED_SHOWN])
        more = ", …" if len(self.rows) > _EXCLUDED_SHOWN else ""
        return f"{self.patients} by {self.criterion} ({', '.join(first)}{more})"


def _describe_row(column: str, excluded: ExcludedRow) -> str:
    if isinstance(excluded.value, str):
        return f"row {excluded.row}: {excluded.value}"
    # Criteria of a binary column say themselves which of its values excludes
    known = BY_NAME.get(column)
    value = "" if known is not None and known.kind == "binary" else f": {excluded.value:g}"
    return f"row {excluded.row}{value}"


class FlowLines(Section):
    """Who is studied, and who is not."""

    exclusions: tuple[ExclusionLine, ...]
    """One for each criterion, in order."""
    rejected: int
    """Rows of the table that cannot be read."""
    undecided: int
    """Patients whose eligibility the table leaves open."""
    eligible: int
    """Patients whom no criterion excludes."""


class SiteReport(Section):
    """What was found at one site."""

    site: str
    """Its name."""
    study: str | None
    """The study for which it was judged, if any."""
    screened: int
    """Rows of the table."""
    usable: int
    """Patients who can be studied."""
    levels: dict[Level, int]
    """How many findings there are of each level."""
    flow: FlowLines | None
    """Who is eligible; none where the table cannot be read."""
    columns: tuple[ColumnLine, ...]
    """Columns of the table, over the eligible patients."""
    findings: tuple[ReportedFinding, ...] = Field(default=())
    """Every one, the worst first."""
    scans_read: bool = True
    """Whether scans and masks were decoded, where there are any."""
    uncounted: str = ""
    """Why nobody of the table could be counted or used, with its rows; empty where the patients are."""

    @property
    def has_refusals(self) -> bool:
        """Whether anything cannot be used."""
        return self.levels[Level.REFUSED] > 0

    @property
    def summary(self) -> str:
        """One line: the study, the patients, how many findings of each level, and what was not read."""
        study = f" for the study {self.study!r}" if self.study else ""
        patients = self.uncounted or f"{self.screened} patients, {self.usable} usable"
        unread = "" if self.scans_read else "; scans and masks were not read"
        return f"{self.site}: {patients}{study}; {describe_counts(self.levels)}{unread}"

    @property
    def outcome(self) -> str:
        """One line on a preparation: who is prepared, and who had to be left out."""
        flow = self.flow
        if flow is None:
            return f"{self.site}: nothing prepared"
        refused = flow.rejected + flow.undecided + flow.eligible - self.usable
        return f"{self.site}: {self.usable} patients prepared, {refused} refused and left out"

    def save(self, path: Path) -> None:
        """Write it as JSON.

        Raises
        ------
        StorageError
            If the file cannot be written.
        """
        write_atomically(path, self.model_dump_json(indent=2).encode(), private=True)


def make_report(subject: ReportSubject, findings: Iterable[Finding], study: str | None = None) -> SiteReport:
    """The report on a site.

    Parameters
    ----------
    subject : ReportSubject
        The site, and who its patients are.
    findings : iterable of Finding
        In any order; one that is given twice counts once.
    study : str, optional
        The study for which it was judged.
    """
    ranked, flow = rank_findings(findings), subject.flow
    names = {patient.row: patient.identifier for patient in subject.rows}
    return SiteReport(
        site=escape_surrogates(subject.site),
        study=study,
        screened=flow.screened if flow else 0,
        usable=subject.usable,
        levels=count_levels(ranked),
        flow=_describe_flow(flow) if flow else None,
        columns=describe_columns(flow.included) if flow else (),
        scans_read=subject.scans_read,
        uncounted=subject.uncounted,
        findings=tuple(_report(finding, subject.table, names) for finding in ranked),
    )


def load_report(path: Path) -> SiteReport | None:
    """The report that was saved; None if there is none.

    Raises
    ------
    StorageError
        If the file cannot be read, or is no report.
    """
    try:
        return SiteReport.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as failure:
        raise StorageError(f"{path}: cannot be read ({failure}) -> run again, it is made anew") from None


def rank_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each finding once: the worst level first, in a level remarks on identity last, else as given."""
    return tuple(sorted(dict.fromkeys(findings), key=_rank_finding))


def _rank_finding(finding: Finding) -> tuple[int, bool]:
    # A hospital whose files bear names is told so for every patient, which would bury all else
    return list(Level).index(finding.level), IDENTITY_REMARK in finding.what


def count_levels(findings: Iterable[Finding]) -> dict[Level, int]:
    """How many findings there are of each level, zeros included."""
    counts = Counter(finding.level for finding in findings)
    return {level: counts[level] for level in Level}


def describe_counts(levels: Mapping[Level, int]) -> str:
    """All three numbers in words: "1 refused, 0 look at this, 2 for information"."""
    return ", ".join(f"{levels[level]} {level}" for level in Level)


def list_lines(report: SiteReport) -> Iterator[str]:
    """The findings for a terminal, each with its site and level; many alike are one line."""
    for alike in group_alike(report.findings):
        first = alike[0]
        yield f"{report.site}: {first.level}: {first}{_describe_others(alike[1:])}"


def group_alike(findings: Sequence[ReportedFinding]) -> list[tuple[ReportedFinding, ...]]:
    """Findings that differ in numbers, row and patient alone, together if they are many; else each alone.

    Cells of one column with one value are always together, and so are all values of a column that are refused
    for one reason if there are many.
    """
    groups: dict[tuple[str, ...], list[ReportedFinding]] = {}
    for finding in findings:
        groups.setdefault(_key(finding), []).append(finding)
    kinds = Counter(map(_make_kind, groups))
    merged: dict[tuple[str, ...], list[ReportedFinding]] = {}
    for key, group in groups.items():
        kind = _make_kind(key)
        merged.setdefault(kind if kinds[kind] > _VALUES_SHOWN else key, []).extend(group)
    found = list[tuple[ReportedFinding, ...]]()
    for group in merged.values():
        together = len(group) > _ALIKE or _find_column(group[0])
        found += [tuple(group)] if together else [(finding,) for finding in group]
    return found


def _make_kind(key: tuple[str, ...]) -> tuple[str, ...]:
    """The key without the value, of cells of a column; else the key itself."""
    level, column, text = key
    return (level, column, _QUOTED.sub("…", text)) if column.startswith("column ") else key


def _find_column(finding: ReportedFinding) -> str:
    """The column that a finding on a cell is about; empty for any other."""
    match = _COLUMN.search(finding.where)
    return "" if finding.row is None or match is None else match[0]


def _key(finding: ReportedFinding) -> tuple[str, ...]:
    """Equal for findings that say the same of different patients."""
    text = f"{finding.what} -> {finding.remedy}"
    if finding.row is None:
        return (finding.level, finding.where, text)
    if finding.patient:
        text = re.sub(rf"(?<!\w){re.escape(finding.patient)}(?!\w)", "", text)
    return (finding.level, _find_column(finding), _NUMBER.sub("#", text))


def _describe_others(others: Sequence[ReportedFinding]) -> str:
    if not others:
        return ""
    rows = name_rows([finding.row or 0 for finding in others], _ROWS_SHOWN)
    return f" (and {len(others)} more like this, {rows}; all with --json and on the page)"


def list_table_lines(report: SiteReport) -> Iterator[str]:
    """Who is eligible and how full the columns are, for a terminal; nothing where the table was not read."""
    if report.flow is None:
        return
    excluded = [line.shown for line in report.flow.exclusions if line.patients]
    undecided = [f"{report.flow.undecided} of unknown eligibility"] if report.flow.undecided else []
    rejected = [f"{report.flow.rejected} whose rows are refused"] if report.flow.rejected else []
    left_out = ", ".join((*rejected, *excluded, *undecided)) or "nobody left out"
    yield f"{report.site}: {report.screened} in the table; {left_out}; {report.flow.eligible} eligible"
    if not report.flow.eligible:
        return
    empty = [column.name for column in report.columns if not column.filled]
    gaps = sorted((column for column in report.columns if column.filled and column.blank), key=_rank_gap)
    if empty:
        yield f"{report.site}: blank for every eligible patient: {', '.join(empty)}"
    if gaps:
        shown = ", ".join(f"{column.name} {column.blank}" for column in gaps[:_COLUMNS_SHOWN])
        more = f", and in {len(gaps) - _COLUMNS_SHOWN} more columns" if len(gaps) > _COLUMNS_SHOWN else ""
        yield f"{report.site}: blank cells of eligible patients: {shown}{more}"


def _rank_gap(column: ColumnLine) -> int:
    return -column.blank


def _describe_flow(flow: Flow) -> FlowLines:
    return FlowLines(
        exclusions=tuple(map(_describe_exclusion, flow.exclusions)),
        rejected=len(flow.rejected),
        undecided=len(flow.undecided),
        eligible=len(flow.included),
    )


def _describe_exclusion(exclusion: Exclusion) -> ExclusionLine:
    column = exclusion.criterion.variable
    values = [(patient, patient.value(column)) for patient in exclusion.patients]
    return ExclusionLine(
        criterion=exclusion.criterion.label,
        patients=len(values),
        column=column,
        rows=tuple(
            ExcludedRow(row=patient.row, patient=escape_surrogates(patient.identifier), value=value)
            for patient, value in values
            if isinstance(value, float | str)
        ),
    )


def _report(finding: Finding, table: str, names: Mapping[int, str]) -> ReportedFinding:
    row = _find_row(finding.where, table)
    return ReportedFinding(
        level=finding.level,
        where=finding.where,
        row=row,
        patient=_find_patient(finding.where) or names.get(row or 0),
        what=finding.what,
        remedy=finding.remedy,
    )


def _find_row(where: str, table: str) -> int | None:
    """The row that `where` names; 1 is the heading's."""
    for name in (table, Path(table).name):
        match = re.match(r", row (\d+)\b", where.removeprefix(name)) if where.startswith(name) else None
        if match:
            return int(match[1])
    return None


def _find_patient(where: str) -> str | None:
    """The identifier that `where` quotes, if it does."""
    match = re.search(r"patient ('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")$", where)
    return None if match is None else str(ast.literal_eval(match[1]))
