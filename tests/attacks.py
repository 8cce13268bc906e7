"""The attacks that secure aggregation and a site's door withstand, one by one: ``python -m tests.attacks``.

Each runs as one or more tests named after its number; the table is for people who decide whether to join.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType

import pytest

ATTACKS = {
    1: ("another attempt after the seeds were revealed", "E_ALREADY_RELEASED"),
    2: ("same input, later round, smaller set", "E_ALREADY_RELEASED"),
    3: ("same model, new seed, a site 'dropped'", "E_SET_CHANGE"),
    4: ("open attempt 0 after attempt 1", "E_WRONG_ATTEMPT"),
    5: ("late upload and laggard's seed, less the retry's sum", "noise, canary not 0"),
    6: ("two sets in one attempt", "E_EQUIVOCATION"),
    7: ("different sets shown to different sites", "E_CONTEXT"),
    8: ("set below the minimum; colluders in two sets", "E_MIN"),
    9: ("reveal with a contribution missing or forged", "E_SET_INCOMPLETE, E_CONTRIB_SIG"),
    10: ("session key swapped; own key replaced", "E_JOIN_SIG, E_SELF_KEY"),
    11: ("invented or duplicated site", "E_UNKNOWN_SITE, E_DUP_SITE"),
    12: ("low-order point as session key", "E_BAD_POINT"),
    13: ("JOIN of another round or study", "E_CONTEXT"),
    14: ("roster: wrong signer, old, own key, lower minimum", "E_ROSTER_SIG and others"),
    15: ("different model for each site", "E_CONTEXT"),
    16: ("model differs from its hash", "E_INPUT_HASH"),
    17: ("altered vector, scale or plan", "E_VECTOR, E_CONTEXT"),
    18: ("request that the coordinator did not sign", "E_COORD_SIG"),
    19: ("old round, expired deadline, too many attempts", "E_ROUND_OLD, E_EXPIRED, E_ATTEMPTS"),
    20: ("static statistic under new query, round or alias", "E_ALREADY_RELEASED"),
    21: ("third set, although no site saw both others", "E_SET_CHANGE"),
    22: ("NaN, norm, clipping; every site at its bound", "E_NONFINITE, E_NORM, E_CLIP; exact"),
    23: ("killed at every point, site or server", "identical bytes, right sum"),
    24: ("two processes, same message", "one result or E_BUSY"),
    25: ("kept vector altered; state deleted", "E_STATE_CORRUPT; E_NO_STATE"),
    26: ("upload altered; seed wrong or missing", "S_PAYLOAD; S_CANARY"),
    27: ("replay of every message", "identical bytes"),
    28: ("search of disk and messages for secrets; modes", "none; 0600 and 0700"),
    29: ("audit line edited, removed, moved", "chain check fails"),
    30: ("set changes by one with frozen weights", "site's number not computable"),
    31: ("exception text with a patient's path", "code only"),
    32: ("old state restored from a backup", "refused until burnt and waived"),
    33: ("session: other parameters for each site", "masks do not cancel"),
    34: ("session: same iteration, other bytes", "E_ALREADY_RELEASED"),
    35: ("session: skipped or old iteration", "E_CONTEXT"),
    36: ("two parallel sessions of one phase", "E_BUSY"),
    37: ("smaller set at the same parameters, late upload", "E_SET_CHANGE"),
    38: ("session: killed between disk and answer", "identical bytes"),
    39: ("transcript: a member left out or twice", "E_SUM_PROOF"),
    40: ("transcript: a forged number, also with its digest", "E_SUM_PROOF"),
    41: ("transcript: a forged signature", "E_SUM_PROOF"),
    42: ("transcript: of another step or session", "E_SUM_PROOF, E_CONTEXT"),
    43: ("false sum of a round: alone, scaled, divided, old, mixed", "E_SUM_PROOF; nothing more is answered"),
    44: ("transcript: of others' group, or a vector withheld", "E_SUM_PROOF"),
    45: ("transcript: a colluding site's own answer", "changes its own alone"),
    46: ("transcript: sites that were asked different things", "E_SUM_PROOF"),
    47: ("crafted coefficients of Newton and calibration", "E_NOT_THE_PLAN"),
    48: ("a machine's: steep, or more than permitted", "E_SMALL_N, E_NOT_THE_PLAN"),
    49: ("every hidden question bare", "E_POLICY"),
    50: ("TRAIN ... WEIGHT in the arm of one site", "E_NOT_THE_PLAN, E_CONTEXT"),
    51: ("scores by crafted coefficients or machine, unsigned", "E_NOT_THE_PLAN"),
    52: ("a stale signed SCORE", "same scores; E_NOT_THE_PLAN"),
    53: ("the cohort changed by one to nine patients", "E_SMALL_N, E_CONTEXT"),
    54: ("products of 851 features without the plan's waiver", "E_SMALL_N"),
    55: ("six patients where two sites know each other's", "E_NOT_THE_PLAN; zeros"),
    56: ("three test patients among three hospitals", "zeros, bare and in the sum"),
    57: ("a roster that opens at three, a policy of five", "E_POLICY"),
    58: ("a false sum before each kind of question", "E_SUM_PROOF"),
    59: ("a member that poisons to steer", "E_SMALL_N"),
    61: ("a guard that leaves out too little; other means", "E_NOT_THE_PLAN"),
    62: ("two different choices after one guard", "E_NOT_THE_PLAN"),
    63: ("a question skipped, repeated, reordered", "E_NOT_THE_PLAN, E_CONTEXT; same bytes"),
    64: ("a question of another study under the same key", "E_PLAN"),
    65: ("a damaged, truncated, deleted ledger", "E_STORAGE; nothing leaves"),
    66: ("a session that died, a week later", "E_EXPIRED; no key on the disk"),
    67: ("transcripts taken out on the way to a site", "E_NOT_THE_PLAN; answered once they come"),
    68: ("a fit's last sums withheld, an empty SCORE", "the site goes on, also after a restart"),
}
"""What is tried, and what must come of it."""

_NAME = re.compile(r"test_attack_(\d\d)_")


class Collector:
    """Notes of each attack how its tests went."""

    def __init__(self) -> None:
        self.outcomes: dict[int, list[str]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = _NAME.search(report.nodeid)
        if found and (report.when == "call" or report.outcome != "passed"):
            self.outcomes[int(found.group(1))].append(report.outcome)


def main() -> int:
    """The number of attacks that succeeded, or were not tried."""
    collector = Collector()
    tests = Path(__file__).parent
    files = sorted(str(path) for path in (tests / "common" / "secagg").glob("test_attacks*.py"))
    further = [tests / "common" / "secagg" / "test_transcripts.py"]
    further += sorted((tests / "client" / "door").glob("test_attacks*.py"))
    further += [tests / "client" / "door" / "test_side_by_side.py"]
    pytest.main(["-q", "--no-header", "-p", "no:randomly", *files, *map(str, further)], plugins=[collector])
    print("\nThe same once more through Flower's messages and the engine, but for those that kill processes:")
    files = [path for path in files if "faults" not in path]
    through = Collector()
    pytest.main(["-q", "--no-header", "-p", "no:randomly", *files], plugins=[through, _plugin()])
    for number, outcomes in through.outcomes.items():
        collector.outcomes[number] += outcomes
    held = 0
    print(f"\n{'':2}  {'attack':56}{'expected':40}{'tests':>5}  result")
    for number, (attack, expected) in ATTACKS.items():
        outcomes = collector.outcomes[number]
        holds = bool(outcomes) and set(outcomes) == {"passed"}
        held += holds
        result = "withstood" if holds else "FAILED" if outcomes else "NOT TRIED"
        print(f"{number:2}  {attack:56}{expected:40}{len(outcomes):5}  {result}")
    print(f"{held}/{len(ATTACKS)}")
    return len(ATTACKS) - held


def _plugin() -> ModuleType:
    sys.path.insert(0, str(Path(__file__).parent))
    return importlib.import_module("secagg.engines")


if __name__ == "__main__":
    sys.exit(main())
