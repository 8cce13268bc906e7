"""What a hospital's people see and keep of its log: `audit`, `abort` and `burn` as a user types them."""

from __future__ import annotations

import json
import re
import shutil
import threading
from pathlib import Path

import pytest
from secagg.attacker import Attacker
from secagg.world import START, World
from sites.commands import run_command

from client.link.upkeep import keep_tidy, sweep_site
from client.membership.membership import Membership
from client.release.ledger import Departure, Ledger
from common.secagg.site.files import SiteFiles

LINE = {"plan_hash": "a" * 64, "phase": "evaluate", "what": "statistics", "size": 9, "digest": "0" * 64}


def rhe(*arguments, answer=""):
    return run_command("rhe-client", *arguments, answer=answer)


@pytest.fixture
def site(tmp_path) -> Path:
    """A site that has sent three answers, and has a round open whose vectors are uploaded."""
    return make_site_with_log(tmp_path, START)


def make_site_with_log(tmp_path, now):
    folder = tmp_path / "a"
    state = folder / ".rhe"
    state.mkdir(parents=True)
    ledger, world = Ledger(state / "ledger"), World(tmp_path / "world", 3)
    world.now = now
    world.files = lambda number: SiteFiles(world.state(number), audit=ledger if number == 1 else None)
    Attacker(world).join().contribute()
    for number in (1, 2, 3):
        ledger.record(Departure(numbers=number, **LINE))
    shutil.copytree(world.state(1), state / "sa1")
    shutil.copy(world.state(1).with_name("secagg.witness"), state / "sa1.witness")
    return folder


def ledger_of(site):
    return Ledger(site / ".rhe" / "ledger")


def cut_off(path, number):
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:number]))


def test_the_whole_log_is_verified(site):
    found = rhe("audit", site, "--verify")

    assert found.returncode == 0, found.stderr
    count = len(ledger_of(site).read_log())
    assert f"ledger.jsonl: {count} lines, every one follows from the one before it" in found.stdout
    assert re.search(r"sa1/ledger: \d+ lines, as the ledger tells of them", found.stdout)
    assert f"head: {count}:{ledger_of(site).read_head().digest}" in found.stdout


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: cut_off(state / "sa1" / "ledger", 0),
        lambda state: (state / "sa1" / "ledger").unlink(),
        lambda state: shutil.rmtree(state / "sa1"),
        lambda state: (state / "sa1" / "ledger").write_bytes(
            (state / "sa1" / "ledger").read_bytes().replace(b'"begun"', b'"ended"')
        ),
        lambda state: cut_off(state / "ledger" / "ledger.jsonl", 2),
        lambda state: shutil.rmtree(state / "ledger"),
    ],
    ids=["history emptied", "history gone", "protocol gone", "history altered", "ledger cut", "ledger gone"],
)
def test_what_is_missing_of_it_is_an_error(site, damage):
    damage(site / ".rhe")

    found = rhe("audit", site, "--verify")

    assert found.returncode == 21
    assert "follows from the one before it" not in found.stdout
    assert "backup" in found.stderr


def test_a_ledger_that_was_removed_with_its_head_is_missed_by_the_history(site):
    state = site / ".rhe"
    shutil.rmtree(state / "ledger")
    (state / "ledger.head").unlink()
    files = SiteFiles(state / "sa1")
    files.burn()

    found = rhe("audit", site)

    assert found.returncode == 21
    assert "was the ledger removed" in found.stderr


def test_a_mistyped_path_is_an_error_and_makes_nothing(site, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for command in ("audit", "burn", "abort"):
        for arguments in (
            (tmp_path / "typo",),
            (other,),
            (site, "--state", tmp_path / "typo"),
            (site, "--state", other),
        ):
            found = rhe(command, *arguments)
            assert found.returncode == 11, (command, arguments, found)
            assert "->" in found.stderr
            assert found.stdout == ""
    for command in ("prepare", "explain", "approve", "check"):
        model = ("--model", tmp_path / "m") if command == "explain" else ()
        found = rhe(command, tmp_path / "typo", *model)
        assert found.returncode == 11, (command, found)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "world", "other"}
    assert not list(other.iterdir())


def test_a_state_that_is_a_link_is_refused(site, tmp_path):
    (site / ".rhe").rename(tmp_path / "elsewhere")
    (site / ".rhe").symlink_to(tmp_path / "elsewhere")

    for command in ("audit", "burn", "prepare", "approve"):
        found = rhe(command, site)
        assert found.returncode == 11
        assert f"--state {tmp_path / 'elsewhere'}" in found.stderr
    assert rhe("audit", site, "--state", tmp_path / "elsewhere").returncode == 0


def test_a_head_that_was_written_down_tells_of_a_log_made_anew(site, tmp_path):
    head = rhe("audit", site, "--head").stdout.strip()
    ledger_of(site).record(Departure(numbers=7, **LINE))

    after = rhe("audit", site, "--since", head, "--lines")
    assert after.returncode == 0, after.stderr
    count = int(head.partition(":")[0])
    assert re.match(rf"{count + 1} .* 7 numbers", after.stdout)
    assert f"1 lines since line {count}, which is as it was" in after.stdout

    shutil.rmtree(site / ".rhe")
    ledger = ledger_of(site)
    for number in range(count - 1):
        ledger.record(Departure(numbers=number, **LINE))
    assert rhe("audit", site, "--verify").returncode == 0
    shorter = rhe("audit", site, "--since", head)
    ledger.record(Departure(numbers=1, **LINE))
    other = rhe("audit", site, "--since", head)
    assert (shorter.returncode, other.returncode) == (21, 21)
    assert f"line {count} is gone" in shorter.stderr
    assert f"line {count} is another" in other.stderr
    assert rhe("audit", site, "--since", "12:xy").returncode == 11


def test_a_program_reads_the_log_as_json(site):
    told = json.loads(rhe("audit", site, "--json").stdout)

    assert told["head"] == rhe("audit", site, "--head").stdout.strip()
    assert told["checked_lines"] == len(told["lines"]) > 3
    assert [line["departure"]["numbers"] for line in told["lines"] if line["departure"]] == [1, 2, 3]


def test_a_site_that_has_sent_nothing_is_told_so(site):
    shutil.rmtree(site / ".rhe" / "sa1")
    shutil.rmtree(site / ".rhe" / "ledger")
    (site / ".rhe" / "ledger.head").unlink()
    (site / ".rhe" / "ledger").mkdir()

    found = rhe("audit", site, "--verify")

    assert found.returncode == 0
    assert "nothing has left this hospital yet" in found.stdout
    assert "follows" not in found.stdout


def open_folders(site):
    return [path for path in (site / ".rhe" / "sa1").iterdir() if path.is_dir()]


def test_an_operator_aborts_what_is_open_and_the_log_says_so(site):
    kept = rhe("abort", site, answer="n\n")
    assert kept.returncode == 25
    assert open_folders(site)
    nothing = rhe("abort", site, "--phase", "no such", "--yes")
    assert (nothing.returncode, "nothing is open in phase no such  [E_NO_STATE]" in nothing.stderr) == (
        22,
        True,
    )

    done = rhe("abort", site, answer="y\n")

    assert done.returncode == 0, done.stderr
    assert "E_ABORTED" in done.stdout
    assert not open_folders(site)
    last = ledger_of(site).read_log()[-1].protocol
    assert (last["event"], last["reason"]) == ("ERASE", "aborted")
    assert rhe("audit", site, "--verify").returncode == 0
    assert rhe("abort", site, "--yes").returncode == 22


def test_a_program_reads_what_was_aborted_and_nothing_else(site):
    folders = {path.name for path in open_folders(site)}
    kept = rhe("abort", site, "--json", answer="n\n")
    assert (kept.returncode, kept.stdout) == (25, "")
    assert "cannot be had again" in kept.stderr

    done = rhe("abort", site, "--json", answer="y\n")

    assert done.returncode == 0, done.stderr
    erased = json.loads(done.stdout)["erased"]
    assert {entry["folder"] for entry in erased} == folders
    assert {(entry["mode"], entry["round"]) for entry in erased} == {("round", 1)}
    assert all(len(entry["hdr"]) == 64 and entry["deadline"] > 1e9 for entry in erased)
    assert not open_folders(site)


def test_a_study_that_died_a_week_ago_has_left_neither_key_nor_vector(site):
    """Swept at the engine's start, without a message, a plan or a roster."""
    member = Membership(site, site / ".rhe")
    sweep_site(member, ledger_of(site), lambda: START + 3600)
    assert {path.name for path in open_folders(site)[0].iterdir()} >= {"state", "encoded.0"}

    sweep_site(member, ledger_of(site), lambda: START + 7 * 86_400)

    assert not open_folders(site)
    last = ledger_of(site).read_log()[-1].protocol
    assert (last["event"], last["reason"], last["time"]) == ("ERASE", "deadline", START + 7 * 86_400)
    assert rhe("audit", site, "--verify").returncode == 0


def test_an_engine_that_may_not_start_sweeps_first(tmp_path):
    site = make_site_with_log(tmp_path, 1_700_000_000)
    assert open_folders(site)

    found = rhe("engine", site)

    assert found.returncode == 11
    assert "has not joined a study" in found.stderr
    assert not open_folders(site)


def test_a_damaged_log_and_a_damaged_history_keep_no_key(site, caplog):
    (site / ".rhe" / "ledger" / "ledger.jsonl").write_bytes(b"{}\n")
    cut_off(site / ".rhe" / "sa1" / "ledger", 0)

    sweep_site(Membership(site, site / ".rhe"), ledger_of(site), lambda: START + 7 * 86_400)

    assert not open_folders(site)
    assert "code=E_STORAGE" in caplog.text


def test_the_engine_tidies_up_on_its_own_and_never_during_a_question():
    seen, came = [], threading.Event()

    def tidy():
        seen.append("tidied")
        came.set()

    def answer(message):
        seen.append("begin")
        came.clear()
        assert not came.wait(0.05)
        seen.append("end")
        return message

    with keep_tidy(answer, tidy, 0.005) as ask:
        assert came.wait(60.0)
        assert ask(b"question") == b"question"
        came.clear()
        assert came.wait(60.0)

    assert seen[seen.index("begin") + 1] == "end"
