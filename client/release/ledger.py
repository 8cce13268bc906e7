"""The site's log: one line for each answer, on the disk before the answer leaves, and the protocol's lines.

It contains no patient, value or key; it contains the SHA-256 of what left, so that the hospital can prove
later what that was. Each line names the SHA-256 of the line before (`common.runtime.chained_file`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError

from client.membership.site import SiteSettings
from common.errors import PolicyError, SiteError, StorageError
from common.runtime.chained_file import START, ChainedFile, ChainedLine, list_chain
from common.runtime.settings_file import Section
from common.runtime.storage import make_private_folder, write_atomically

Sort = Literal["statistics", "model update", "model", "pictures", "description", "refusal", "protocol"]


class Departure(Section):
    """What an answer was, without its numbers."""

    plan_hash: str = Field(pattern=r"^([0-9a-f]{64})?$")
    """SHA-256 of the study's plan; empty if the message could not be read."""
    phase: str
    """The question, e.g. "evaluate" or "guard cohort"."""
    what: Sort
    """What kind of content the answer has."""
    subject: str = ""
    """Name of the model and its arm, where the question is about one."""
    round: int = Field(default=0, ge=0)
    """Number of the training round; 0 outside a training."""
    numbers: int = Field(ge=0)
    """How many numbers left."""
    size: int = Field(ge=0)
    """How many bytes left."""
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the bytes that left; of a masked answer, of its header, which has that of its words."""
    summed_with: tuple[str, ...] = ()
    """Names of the other sites in the sum; none if the answer is shown as this site's own."""
    hidden: bool = False
    """Whether it left masked, so that only the sum can be read."""
    code: str = "OK"
    """The reason of a refusal; "OK" otherwise."""
    questions: int = Field(default=0, ge=0)
    """How many questions of the study the site had admitted then."""
    times: int = Field(default=1, ge=1)
    """How many such answers without a number left since their last line; the line describes the last one."""


class LedgerLine(Section):
    """A line of the ledger: of what left, or of what the protocol that hides sums did."""

    number: int = Field(ge=1)
    """Number of the line, from 1."""
    time: datetime
    """When the line was written, UTC."""
    departure: Departure | None = None
    """What left; None in a line of the protocol."""
    protocol: dict[str, Any] | None = None
    """Event, phase and round, and the coordinator's signed request; None in a line of what left."""
    previous: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the line before; zeros in the first."""


class LedgerHead(Section):
    """How far a ledger had come: whoever keeps it notices that lines were cut off, or the chain made anew."""

    number: int = Field(ge=0)
    """Number of the last line."""
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the last line."""

    def __str__(self) -> str:
        """As it is written down: ``12:3f…``, the number and 64 hexadecimal digits."""
        return f"{self.number}:{self.digest}"

    @classmethod
    def parse(cls, text: str) -> LedgerHead:
        """The head that somebody wrote down.

        Raises
        ------
        SiteError
            If it is not one.
        """
        number, _, digest = text.strip().partition(":")
        try:
            return cls.model_validate({"number": int(number), "digest": digest.lower()})
        except ValueError:
            raise SiteError(
                f"{text!r} is no head of a ledger -> give what `rhe-client audit --head` printed: a number, "
                "a colon, 64 hexadecimal digits"
            ) from None


class Ledger:
    """The file of a site's departures.

    Parameters
    ----------
    folder : Path
        Holds the lines. The head lies beside it: thus a folder that is gone, or lines cut off, are noticed.

    Attributes
    ----------
    folder : Path
        Holds the lines.
    head_file : Path
        Number and SHA-256 of the last line of what left.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.head_file = folder.with_name(f"{folder.name}.head")
        self._departures = 0
        self._answers: Counter[str] = Counter()
        self._kinds: Counter[tuple[str, str]] = Counter()
        self._chain = ChainedFile(self.path, self._notice)

    @property
    def path(self) -> Path:
        """File of the lines."""
        return self.folder / "ledger.jsonl"

    def check(self) -> None:
        """See that no line was altered and none is missing; reads them only if the file was touched.

        Raises
        ------
        StorageError
            If the ledger is damaged: nothing may leave then.
        """
        self._chain.refresh()
        head = self._read_head()
        if self._chain.count < head.number:
            raise StorageError(
                f"{self.path}: has {self._chain.count} lines, {head.number} were written -> nothing leaves "
                "before it is restored from a backup"
            )
        if self._chain.digest_of(head.number) != head.digest:
            raise StorageError(
                f"{self.path}, line {head.number}: was altered after it was written -> nothing leaves before "
                "it is restored from a backup"
            )

    def record(self, departure: Departure) -> None:
        """Append the line of an answer, before the answer leaves.

        Raises
        ------
        StorageError
            If the ledger was altered or cannot be written: nothing may leave then.
        """
        self._append({"departure": departure.model_dump(mode="json")})
        head = self.read_head()
        write_atomically(self.head_file, head.model_dump_json().encode(), private=True)

    def append(self, entry: Mapping[str, object]) -> None:
        """Append a line of the protocol that hides sums; raises as `record`."""
        self._append({"protocol": dict(entry)})

    def read_head(self) -> LedgerHead:
        """The last line's number and SHA-256, for somebody to keep; raises as `check`."""
        self._chain.refresh()
        return LedgerHead(number=self._chain.count, digest=self._chain.head)

    def compare(self, earlier: LedgerHead) -> None:
        """See that the ledger goes on from an earlier head, which somebody kept elsewhere.

        Raises
        ------
        StorageError
            If it has fewer lines, or another one at that place; also as `check`.
        """
        self.check()
        is_there = earlier.number <= self._chain.count
        if not is_there or self._chain.digest_of(earlier.number) != earlier.digest:
            what = f"is another than {earlier}" if is_there else "is gone"
            raise StorageError(
                f"{self.path}: line {earlier.number} {what} -> the ledger was made anew or cut off since "
                "that head was written down: compare it with a backup"
            )

    def count_today(self) -> int:
        """How many answers with numbers left on this day (UTC).

        Raises
        ------
        StorageError
            If the ledger is damaged.
        """
        self.check()
        return self._answers[f"{datetime.now(UTC):%Y-%m-%d}"]

    def count_kinds(self, day: str) -> dict[str, int]:
        """How many answers of each kind left on a day of UTC (ISO 8601), by the lines that were read so far.

        It reads no file: any thread may ask.
        """
        return {kind: number for (when, kind), number in self._kinds.copy().items() if when == day}

    def read_log(self) -> tuple[LedgerLine, ...]:
        """All lines, once the chain of them is checked.

        Raises
        ------
        StorageError
            Names the first line that was altered, added or removed.
        """
        self.check()
        return tuple(self._parse(line) for line in list_chain(self.path))

    def count_questions(self, plan_hash: str) -> int:
        """How many questions of a plan's study had been admitted when its last numbers left.

        Raises
        ------
        StorageError
            As `read_log`.
        """
        lines = [line.departure for line in self.read_log() if line.departure is not None]
        return max((one.questions for one in lines if one.plan_hash == plan_hash), default=0)

    def read_lines(self) -> tuple[LedgerLine, ...]:
        """The lines of what left; raises as `read_log`."""
        return tuple(line for line in self.read_log() if line.departure is not None)

    def _append(self, fields: Mapping[str, object]) -> None:
        make_private_folder(self.folder)
        self.check()
        self._chain.append({"time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}", **fields})

    def _notice(self, line: ChainedLine) -> None:
        """Count an answer.

        Raises
        ------
        ValueError
            If it is no line of a ledger.
        """
        departure, time = line.get("departure"), line.get("time")
        if not isinstance(departure or line.get("protocol"), dict):
            raise ValueError("no line of a ledger")  # noqa: TRY004 - of the file's content, not of an argument
        if departure:
            self._departures += 1
            self._answers[str(time)[:10]] += departure.get("numbers", 0) > 0
            self._kinds[str(time)[:10], str(departure.get("what", ""))] += int(departure.get("times", 1))

    def _parse(self, line: ChainedLine) -> LedgerLine:
        try:
            return LedgerLine.model_validate(line, strict=False)
        except ValidationError:
            raise StorageError(
                f"{self.path}, line {line['number']}: is no line of a ledger -> compare it with a backup"
            ) from None

    def _read_head(self) -> LedgerHead:
        try:
            return LedgerHead.model_validate_json(self.head_file.read_bytes())
        except FileNotFoundError:
            # A process may have died between the first line and the first head
            if self._departures > 1:
                raise StorageError(f"{self.head_file}: is gone -> restore it from a backup") from None
            return LedgerHead(number=0, digest=START)
        except (OSError, ValidationError):
            raise StorageError(f"{self.head_file}: is damaged -> restore it from a backup") from None


def check_quota(settings: SiteSettings, ledger: Ledger) -> None:
    """Refuse if the site has already answered as often today as its policy allows.

    Raises
    ------
    PolicyError
        If it has; days are those of UTC.
    StorageError
        If the ledger is damaged: then nothing leaves.
    """
    allowed = settings.policy.answers_per_day
    if ledger.count_today() >= allowed:
        raise PolicyError(
            f"this site has answered {allowed} times today -> go on tomorrow with --resume, or raise "
            "policy.answers_per_day in site.toml"
        )
