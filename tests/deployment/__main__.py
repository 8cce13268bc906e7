"""`make deployment`: a study on hosts of its own, and every attack on it: ``python -m tests.deployment``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.deployment import (
    certificates,
    engine_socket,
    identities,
    link_user,
    neighbours,
    planted_links,
    redirections,
    shipped_code,
    superlink_paths,
)
from tests.deployment.before import open_before
from tests.deployment.federation import Federation
from tests.deployment.hosts import LOGS
from tests.deployment.now import open_federation
from tests.deployment.stage import find_hindrances, list_visible, provide_nginx, work_apart
from tests.deployment.table import Attack, Row, format_row, format_title, summarize, try_attack
from tests.deployment.whole_study import (
    PLAN,
    compare_results,
    derive_identities,
    make_data,
    run_study,
    start_simulation,
)

CODE = Path(__file__).resolve().parents[2]

ATTACKS: tuple[Attack, ...] = (
    *superlink_paths.ATTACKS,
    *shipped_code.ATTACKS,
    *link_user.ATTACKS,
    *engine_socket.ATTACKS,
    *certificates.ATTACKS,
    *redirections.ATTACKS,
    *identities.ATTACKS,
    *neighbours.ATTACKS,
    *planted_links.ATTACKS,
)

_LONG = (
    engine_socket.start_slow_sender,
    certificates.start_pretenders,
    redirections.start_redirection,
)
"""What takes long, and is begun before the first attack."""


def main() -> int:
    """0 if the study ran, and every attack was refused or could not be tried for want of a tool."""
    parser = argparse.ArgumentParser(prog="python -m tests.deployment", description=__doc__)
    parser.add_argument(
        "--before", type=Path, help="Checkout of commit 9a7d608 with its .venv: see the attacks succeed."
    )
    parser.add_argument("--only", default="", help="Try only attacks with this word in their title.")
    options = parser.parse_args()
    attacks = [attack for attack in ATTACKS if options.only in attack.title]
    print(provide_nginx(), end="", flush=True)
    hindrances = find_hindrances()
    if hindrances:
        print("a whole study on three hosts, two users a site, nginx between: NOT RUN")
        for attack in attacks:
            print(format_row(Row(attack, "NOT RUN", "")))
        return _conclude([], hindrances, len(attacks))
    return work_apart(lambda: _work(attacks, options.before))


def _work(attacks: Sequence[Attack], before: Path | None) -> int:
    begun = time.monotonic()
    folder = LOGS.parent / "study"
    data = make_data(folder)
    if before is not None:
        federation = open_before(before.resolve(), list_visible(CODE, before), PLAN, data)
    else:
        federation = _run_whole_study(folder, data)
    print(f"({time.monotonic() - begun:.0f} s)\n\n{format_title()}", flush=True)
    for begin in _LONG:
        try:
            begin(federation)
        except Exception as failure:  # noqa: BLE001 - its attacks will say that they were not run
            print(f"cannot begin: {failure}")
    rows = []
    for attack in attacks:
        rows.append(try_attack(attack, federation))
        print(format_row(rows[-1]), flush=True)
    print(f"\n({time.monotonic() - begun:.0f} s)")
    if any(row.state not in ("refused", "SUCCEEDED") for row in rows):
        _show_logs(federation)
    return _conclude(rows, [], len(attacks))


def _run_whole_study(folder: Path, data: dict[str, Path]) -> Federation:
    plan, simulated = folder / "study.toml", folder / "simulated"
    plan.write_text(PLAN)
    simulation = start_simulation(str(CODE / ".venv" / "bin" / "rhe-simulate"), plan, data, simulated)
    try:
        federation = open_federation(CODE, list_visible(CODE), PLAN, data, derive_identities(plan))
    except Exception:
        _show_files()
        raise
    try:
        run_study(federation)
    except Exception:
        _show_logs(federation)
        raise
    if simulation.wait(120):
        raise RuntimeError(f"the simulation failed: {simulated.with_suffix('.log').read_text()}")
    comparison = compare_results(federation, simulated)
    print(f"a whole study on three hosts, two users a site, nginx between: {comparison.how}", flush=True)
    if comparison.succeeded:
        raise RuntimeError("the study over three hosts has other results than the simulation in one process")
    return federation


def _conclude(rows: Sequence[Row], hindrances: Sequence[str], planned: int) -> int:
    said, status = summarize(rows, hindrances, planned)
    print(said)
    return status


def _show_logs(federation: Federation) -> None:
    for process in (federation.server, *(site.process for site in federation.sites.values())):
        if process is not None:
            print(f"--- {process.name}\n{process.read()[-2000:]}")


def _show_files() -> None:
    for path in sorted(LOGS.iterdir()):
        text = path.read_text(errors="replace").strip()
        if text:
            print(f"--- {path.name}\n{text[-1500:]}")


if __name__ == "__main__":
    sys.exit(main())
