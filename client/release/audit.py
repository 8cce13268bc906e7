"""The ledger as tables that a data protection officer can read, 80 columns wide."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from rich import box
from rich.console import Console
from rich.filesize import decimal
from rich.table import Table

from client.membership.membership import Membership
from client.release.ledger import Departure, Ledger, LedgerHead, LedgerLine
from client.release.phase_words import explain_phases
from client.release.verification import VerifiedLog, verify_log
from common.errors import ProtocolError
from common.hiding.phases import phase_of
from common.plan.study import StudyPlan
from common.secagg.site.files import HISTORY_FILE

Shown: TypeAlias = Literal["tables", "lines", "head", "nothing", "json"]
"""Tables of the answers; words or JSON for each line; the last line's number and SHA-256; or its check."""

_WIDTH = 80
"""Columns of a table: that of a terminal which nobody has made wider, and of a page."""
_OWN, _SUM = "shown as this hospital's own", "nothing but the sum can be read, with"


def show_log(
    member: Membership,
    what: Shown,
    since: str | None,
    say: Callable[[object], None],
) -> None:
    """Show the site's log, once all of it is checked, and say how many lines were.

    Parameters
    ----------
    member : Membership
    what : Shown
        What is shown of it.
    since : str, optional
        The head that somebody wrote down; earlier lines are checked and not shown.
    say : callable
        Shows one line.

    Raises
    ------
    StorageError
        With the first line that was altered, or what is missing.
    SiteError
        If `since` is no head.
    """
    ledger, history = Ledger(member.ledger), member.protocol_files / HISTORY_FILE
    earlier = None if since is None else LedgerHead.parse(since)
    log = verify_log(ledger, history, earlier)
    if what == "head":
        say(log.head)
        return
    shown = [line for line in log.lines if earlier is None or line.number > earlier.number]
    if what == "json":
        say(write_log_json(shown, log))
        return
    if what == "tables":
        plan = member.invitation.study_plan() if member.has_joined else None
        for table in make_audit_tables(shown, plan):
            Console(width=_WIDTH).print(table)
    if what == "lines":
        for text in describe_lines(shown):
            say(text)
    for text in _describe_check(ledger, history, log, earlier):
        say(text)


def write_log_json(lines: Iterable[LedgerLine], log: VerifiedLog) -> str:
    """One JSON object: the checked log's head and number of lines, and each line that is shown."""
    told = [line.model_dump(mode="json") for line in lines]
    return json.dumps({"head": str(log.head), "checked_lines": len(log.lines), "lines": told}, indent=2)


def _describe_check(
    ledger: Ledger, history: Path, log: VerifiedLog, earlier: LedgerHead | None
) -> Iterator[str]:
    if not log.lines:
        yield f"{ledger.path}: nothing has left this hospital yet"
        return
    yield f"{ledger.path}: {len(log.lines):,} lines, every one follows from the one before it"
    if log.history_lines:
        yield f"{history}: {log.history_lines:,} lines, as the ledger tells of them"
    if earlier is not None:
        yield f"{len(log.lines) - earlier.number:,} lines since line {earlier.number}, which is as it was"
    yield f"head: {log.head}"


@dataclass(frozen=True)
class _Answer:
    """One answer as a row tells of it.

    Attributes
    ----------
    line : LedgerLine
        Of the ledger.
    departure : Departure
        What left.
    phase : str
        The question, or what sums are for.
    subject : str
        Name of the model and its arm; empty without one.
    round : int
        Number of the training round; 0 outside a training.
    """

    line: LedgerLine
    departure: Departure
    phase: str
    subject: str
    round: int

    @property
    def is_masked(self) -> bool:
        """Whether numbers left that only a sum shows."""
        return self.departure.hidden and self.departure.numbers > 0

    @property
    def row_key(self) -> tuple[object, ...]:
        """What answers have in common that share a row."""
        departure = self.departure
        reading = departure.summed_with if self.is_masked else departure.numbers > 0
        return self.phase, self.subject, departure.what, departure.code, reading


def make_audit_tables(lines: Sequence[LedgerLine], plan: StudyPlan | None = None) -> Iterator[Table]:
    """One table for each study, with a row for each phase, model and kind of answer.

    Parameters
    ----------
    lines : sequence of LedgerLine
        Those of the protocol among them tell the rounds of trainings.
    plan : StudyPlan, optional
        Gives the protocol's phases the names of models and arms.
    """
    answers = list(_list_answers(lines, plan))
    for study in dict.fromkeys(answer.departure.plan_hash for answer in answers):
        yield _make_table(study, [answer for answer in answers if answer.departure.plan_hash == study])


def describe_lines(lines: Iterable[LedgerLine]) -> Iterator[str]:
    """Each line of the ledger in words: its number, when, what, how much, and the digest of what left."""
    for line in lines:
        departure = line.departure
        when = f"{line.number} {line.time:%Y-%m-%d %H:%M:%S}"
        if departure is None:
            fields = line.protocol or {}
            told = [
                str(fields[name]) for name in ("event", "phase", "round", "reason", "code") if name in fields
            ]
            yield f"{when} protocol: {' '.join(told)}"
            continue
        what = departure.what if departure.code == "OK" else f"{departure.what} {departure.code}"
        times = f" ({departure.times} times)" if departure.times > 1 else ""
        asked = " ".join(part for part in (departure.phase, departure.subject) if part)
        yield (
            f"{when} {asked}: {what}{times}, "
            f"{departure.numbers:,} numbers, {departure.size:,} bytes, {_describe_reading(departure)}, "
            f"sha256 {departure.digest}"
        )


def _list_answers(lines: Sequence[LedgerLine], plan: StudyPlan | None) -> Iterator[_Answer]:
    """The answers; the protocol's line just before a masked one tells its round."""
    told: Mapping[str, object] = {}
    for line in lines:
        departure = line.departure
        if departure is None:
            told = line.protocol or {}
            continue
        phase, subject = _name_phase(departure, plan)
        number = departure.round
        if not number and departure.hidden and told.get("phase") == departure.phase and subject:
            number = int(str(told.get("round", 0)))
        yield _Answer(line, departure, phase, subject, number)


def _name_phase(departure: Departure, plan: StudyPlan | None) -> tuple[str, str]:
    """The phase and the subject in the plan's own words, as far as it is known."""
    if plan is None or departure.plan_hash != plan.digest() or not departure.hidden:
        return departure.phase, departure.subject
    try:
        hidden = phase_of(plan, departure.phase)
    except ProtocolError:
        return departure.phase, departure.subject
    if hidden.model is None or hidden.arm is None:
        return "sums' keys", departure.subject
    return "training", f"{hidden.model.name} {hidden.arm.name}"


def _make_table(study: str, answers: Sequence[_Answer]) -> Table:
    days = [f"{answer.line.time:%Y-%m-%d}" for answer in (answers[0], answers[-1])]
    period = days[0] if days[0] == days[1] else f"{days[0]} to {days[1]}"
    sums = list(dict.fromkeys(answer.departure.summed_with for answer in answers if answer.is_masked))
    table = Table(
        title=f"Plan {study[:12] or 'unknown'}, {period}",
        caption="\n".join(_explain(answers, sums)),
        title_justify="left",
        caption_justify="left",
        width=_WIDTH,
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.add_column("phase and model", ratio=5)
    table.add_column("what", ratio=3)
    for name in ("rounds", "answers", "numbers", "bytes"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("as", no_wrap=True)
    rows: dict[tuple[object, ...], list[_Answer]] = {}
    for answer in answers:
        rows.setdefault(answer.row_key, []).append(answer)
    for row in rows.values():
        table.add_row(*_make_row(row, sums))
    return table


def _make_row(answers: Sequence[_Answer], sums: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    first = answers[0]
    departure = first.departure
    return (
        " ".join(part for part in (first.phase, first.subject) if part),
        departure.what if departure.code == "OK" else f"{departure.what} {departure.code}",
        _describe_rounds(sorted({answer.round for answer in answers if answer.round})),
        f"{sum(answer.departure.times for answer in answers):,}",
        _shorten(sum(answer.departure.numbers for answer in answers)),
        decimal(sum(answer.departure.size for answer in answers)),
        _name_reading(first, sums),
    )


def _name_reading(answer: _Answer, sums: Sequence[tuple[str, ...]]) -> str:
    if not answer.departure.numbers:
        return ""
    return f"sum {sums.index(answer.departure.summed_with) + 1}" if answer.is_masked else "own"


def _explain(answers: Sequence[_Answer], sums: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """What the last column's words mean, and what the phases ask."""
    if any(answer.departure.numbers and not answer.is_masked for answer in answers):
        yield f"own: {_OWN}"
    for number, sites in enumerate(sums, start=1):
        yield f"sum {number}: masked; {_SUM} {', '.join(sites)}"
    yield from explain_phases(answer.phase for answer in answers)


def _describe_rounds(rounds: Sequence[int]) -> str:
    """``1-20``, or with how many are missing between them: ``1-20 (-2)``."""
    if not rounds:
        return ""
    if len(rounds) == 1:
        return str(rounds[0])
    missing = rounds[-1] - rounds[0] + 1 - len(rounds)
    return f"{rounds[0]}-{rounds[-1]}" + (f" (-{missing})" if missing else "")


def _shorten(number: int) -> str:
    """``1,234`` or ``42.5 M``."""
    return f"{number:,}" if number < 1_000_000 else f"{number / 1_000_000:,.1f} M"


def _describe_reading(departure: Departure) -> str:
    if not departure.numbers:
        return "no number left"
    return f"{_SUM} {', '.join(departure.summed_with)}" if departure.hidden else _OWN
