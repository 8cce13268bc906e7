"""Whether all that a site wrote of what left is as it was written: ledger, head, and the protocol's history.

Ledger and history are two files, because the protocol decides by its own at every message, and a backup of
its folder contains it. Each line of the protocol in the ledger says how far the history had come: so neither
can be altered or cut off without the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.release.ledger import Ledger, LedgerHead, LedgerLine
from common.errors import StorageError
from common.runtime.chained_file import ChainedFile


@dataclass(frozen=True)
class VerifiedLog:
    """A site's log, every line of which follows from the one before it.

    Attributes
    ----------
    lines : tuple of LedgerLine
        The ledger's.
    head : LedgerHead
        The last of them, for somebody to write down.
    history_lines : int
        Number of lines of the protocol's history.
    """

    lines: tuple[LedgerLine, ...]
    head: LedgerHead
    history_lines: int


def verify_log(ledger: Ledger, history: Path, since: LedgerHead | None = None) -> VerifiedLog:
    """The log, once all of it is checked.

    Parameters
    ----------
    ledger : Ledger
    history : Path
        The protocol's file of what was released; there is none where a plan hides no sum.
    since : LedgerHead, optional
        The head of an earlier day, as somebody wrote it down.

    Raises
    ------
    StorageError
        With the first line that was altered, or what is missing.
    """
    lines = ledger.read_log()
    if since is not None:
        ledger.compare(since)
    chain = ChainedFile(history)
    chain.refresh()
    _compare_history(lines, chain, ledger.path)
    return VerifiedLog(lines, ledger.read_head(), chain.count)


def _compare_history(lines: Sequence[LedgerLine], history: ChainedFile, path: Path) -> None:
    """Refuse a history that is another than the ledger's lines tell.

    Raises
    ------
    StorageError
        With the ledger's line.
    """
    told = [line for line in _list_since_burned(lines) if line.protocol and "history" in line.protocol]
    for line in told:
        extent = (line.protocol or {})["history"]
        number, digest = extent["lines"], extent["head"]
        if history.count < number or history.digest_of(number) != digest:
            raise StorageError(
                f"{history.path}: is not what line {line.number} of {path} tells of its first {number} lines "
                "-> compare both with a backup; if it came from a backup: rhe-client burn"
            )
    # A process may have died between one line of the history and the ledger's
    if not told and history.count > 1:
        raise StorageError(
            f"{path}: tells nothing of the {history.count} lines of {history.path} -> was the ledger "
            "removed? Restore it from a backup"
        )


def _list_since_burned(lines: Sequence[LedgerLine]) -> Sequence[LedgerLine]:
    """The lines since the operator's last `burn`: after a restore the history goes on from there."""
    burned = [place for place, line in enumerate(lines) if (line.protocol or {}).get("event") == "BURNED"]
    return lines[burned[-1] :] if burned else lines
