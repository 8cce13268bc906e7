"""The tree of errors: every failure that a user can cause has a class, an exit code and a message.

What a class says of itself first is its meaning in the table of exit codes (deploy/README.md). A message says
what is wrong, where, which value, and what to do. Only the error's `code` may reach another site; the text
stays where it was raised, because it may name a file or a patient.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from common.plain_text import escape_surrogates


class Level(StrEnum):
    """What follows from a finding; the worst comes first."""

    REFUSED = "refused"
    """The site, the patient or the reading cannot be used."""
    LOOK = "look at this"
    """It is used, and probably wrong: a person has to look at it."""
    KNOW = "for information"
    """It is used rightly; what was done about it is said."""


@dataclass(frozen=True)
class Finding:
    """One remark on a site's data: where, what, which value, and what to do.

    Attributes
    ----------
    where : str
        File, row and column, or patient; stays at the site.
    what : str
        The violation with the offending value.
    remedy : str
        What the reader should do.
    level : Level
        What follows from it.
    """

    where: str
    what: str
    remedy: str = ""
    level: Level = Level.REFUSED

    def __post_init__(self) -> None:
        # A file's name can hold bytes that are no text; a finding is printed and written as JSON
        for name in ("where", "what", "remedy"):
            object.__setattr__(self, name, escape_surrogates(getattr(self, name)))

    def __str__(self) -> str:
        """One line for a terminal."""
        return f"{self.where}: {self.what}" + (f" -> {self.remedy}" if self.remedy else "")


class RheError(Exception):
    """A failure without a kind of its own; of `paper-tables`: a published number is not reproduced."""

    exit_code: ClassVar[int] = 1
    """Exit code of the process."""
    code: ClassVar[str] = "E_FAILED"
    """All of the error that may leave a site."""


class PlanError(RheError):
    """The study plan is invalid, contradictory, or not the one that was approved."""

    exit_code = 10
    code = "E_PLAN"


class SiteError(RheError):
    """The site's own settings or folder cannot be used; of `check`: something is refused."""

    exit_code = 11
    code = "E_SITE"


class CohortError(RheError):
    """The cohort table or the site's patients are refused, with every finding."""

    exit_code = 12
    code = "E_COHORT"

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        self.findings = findings
        super().__init__("\n".join(str(finding) for finding in findings))

    def __reduce__(self) -> tuple[type[CohortError], tuple[tuple[Finding, ...]]]:
        # From one process to another it goes with its findings, not with their text
        return type(self), (self.findings,)


class ScanError(RheError):
    """A CT or a mask is refused, with the reason."""

    exit_code = 13
    code = "E_SCAN"


class ModelError(RheError):
    """A model file or a network's input is invalid."""

    exit_code = 14
    code = "E_MODEL"


class NonFiniteError(RheError):
    """A loss, weight or statistic is no finite number; nothing is averaged with it."""

    exit_code = 15
    code = "E_NONFINITE"


class SmallNumberError(RheError):
    """Too few patients for the question, or its coefficients single patients out."""

    exit_code = 16
    code = "E_SMALL_N"


class NotThePlanError(RheError):
    """The coordinator asks what does not follow from the approved plan."""

    exit_code = 24
    code = "E_NOT_THE_PLAN"


class UnknownSumError(NotThePlanError):
    """A step of the study's program follows from a sum that is not known here."""


class PolicyError(RheError):
    """The site's policy does not allow the request."""

    exit_code = 17
    code = "E_POLICY"


class ProtocolError(RheError):
    """A message is malformed, forged or out of context."""

    exit_code = 18
    code = "E_CONTEXT"


class ExchangeError(RheError):
    """A site did not answer in time, or answered with an error's code."""

    exit_code = 19
    code = "E_EXCHANGE"


class ResumeError(RheError):
    """The output folder belongs to another plan, or is damaged."""

    exit_code = 20
    code = "E_RESUME"


class StorageError(RheError):
    """The disk is full, or a file cannot be written or read."""

    exit_code = 21
    code = "E_STORAGE"


class DeclinedError(RheError):
    """A question such as `approve`'s was answered with no; nothing was changed."""

    exit_code = 25
    code = "E_DECLINED"


class MemoryShortageError(RheError):
    """The memory of the computer or of its accelerator does not suffice."""

    exit_code = 23
    code = "E_MEMORY"
