"""The hospital's commands."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from client.cohort.cli import map_table, new_site
from client.link.cli import start
from client.membership.cli import app as site_commands
from client.membership.command_options import AsJson, LinkState, SiteFolder, StateFolder
from client.predict.cli import mistakes, predict
from client.watch.cli import print_site_status
from common.runtime.terminal import Terminal, insist_on_consent

app = Terminal(
    "rhe-client",
    "Take part in a federated study of hematoma expansion: check the data, approve the plan, connect.",
    "nothing is half-written; run the same command again and it goes on",
)

app.add_typer(site_commands, name="site")


@app.command()
def init(
    folder: SiteFolder,
    invitation: Annotated[Path, typer.Option(help="The file that the coordinator sent.")],
    state: StateFolder = None,
    link_state: LinkState = None,
    engine_user: Annotated[
        str | None, typer.Option(help="User of the engine, as root; by default rhe-engine if it exists.")
    ] = None,
    link_user: Annotated[
        str | None, typer.Option(help="User of the link, as root; by default rhe-link if it exists.")
    ] = None,
    same_user: Annotated[bool, typer.Option("--same-user", help="Keep both folders as this user.")] = False,
) -> None:
    """Join a study: make this site's key and the card to send back."""
    from client.membership.membership import join_study
    from client.membership.places import place_state, suggest_state
    from client.membership.site_users import choose_users
    from common.runtime.accounts import act_as

    users = choose_users(engine_user, link_user, same_user=same_user)
    chosen = None if link_state is None else link_state.absolute()
    with suggest_state(state):
        member = join_study(folder, place_state(folder, state), invitation, chosen, users)
    from common.messages.enrolment import SiteCard, load_handout

    with act_as(users.engine):
        print(f"the invitation's fingerprint, to compare on the phone: {member.invitation.fingerprint()}")
        card = load_handout(member.card, SiteCard)
        hides_sums = member.invitation.study_plan().hides_sums
        print(f"send {member.card} to the coordinator")
    print(f"the card's fingerprint, to compare on the phone: {card.fingerprint()}")
    if users.are_two:
        print(f"engine: user {users.engine.name}, {member.state}")
        print(f"link: user {users.link.name}, {member.link.root}")
    command = _write_command("approve", folder, state)
    if hides_sums:
        print(f"then, once the coordinator has handed out study.roster: {command} --roster study.roster")
    else:
        print(f"then: {command}")


@app.command()
def approve(
    folder: SiteFolder,
    roster: Annotated[
        Path | None, typer.Option(help="The roster that the study's authority signed; needed once.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Approve without being asked.")] = False,
    state: StateFolder = None,
) -> None:
    """Show in plain words what leaves this hospital under the plan, and ask for approval."""
    from client.membership.places import find_member
    from client.membership.roster import approve_plan, read_offered_roster
    from client.release.approval_text import describe_plan, describe_roster
    from client.release.ledger import Ledger

    member = find_member(folder, state)
    plan = member.invitation.study_plan()
    # A site that cannot start is told before it approves
    same_user = "" if member.users.are_two else " --same-user"
    offered = read_offered_roster(member, roster)
    print(describe_plan(plan, member.settings))
    if offered is not None:
        print(describe_roster(offered[0], member.invitation.signer))
    if not yes:
        insist_on_consent("\nDo you approve this plan?")
    has_begun = Ledger(member.ledger).count_questions(plan.digest()) > 0
    approve_plan(member, roster, has_begun=has_begun)
    print(f"\napproved: {plan.digest()[:12]}; then: {_write_command('start', folder, state)}{same_user}")


def _write_command(name: str, folder: Path, state: Path | None) -> str:
    """A command for the same site, to be typed next."""
    words = ["rhe-client", name, str(folder), *(() if state is None else ("--state", str(state)))]
    return shlex.join(words)


app.command()(start)
app.command("status")(print_site_status)


@app.command(hidden=True)
def engine(
    folder: SiteFolder,
    state: StateFolder = None,
    socket: Annotated[Path | None, typer.Option(help="Where the engine listens.")] = None,
) -> None:
    """Answer requests at the site's socket; `start` or a service runs this as the engine's user."""
    import signal
    from contextlib import suppress

    from rich.progress import Progress

    from client.link.service import listen, wait_forever
    from client.link.upkeep import keep_tidy, sweep_site
    from client.membership.places import find_member
    from client.release.ledger import Ledger
    from common.errors import StorageError
    from common.plan.message_size import largest_message
    from common.runtime.accounts import close_to_others

    close_to_others()
    # Every file is written completely or not at all, so the engine need not finish a training before it ends.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    member = find_member(folder, state)
    # First of all: what a study left is erased also where the site may answer no more
    sweep_site(member, Ledger(member.ledger))
    plan, users = member.read_approved_plan(), member.users
    from client.engine import open_engine
    from client.membership.own_secret import read_own_seed
    from client.membership.roster import make_hiding_party
    from client.watch.site_watch import SiteSources

    opened = open_engine(
        folder, plan, member.invitation.coordinator_key(), member.state, Progress(disable=True)
    )
    opened.party, opened.own_seed = make_hiding_party(member), read_own_seed(member, plan)
    opened.users = "two users" if users.are_two else "one user"
    with suppress(StorageError):  # each answer would say so
        opened.ledger.check()
    sources = SiteSources(member.state, opened.progress, opened.ledger.count_kinds, plan.federation.rounds)
    with (
        keep_tidy(opened.handle, lambda: sweep_site(member, opened.ledger)) as answer,
        listen(answer, socket or member.socket, largest_message(plan), users.link),
        opened.watch.keep(opened.settings.name, (plan.name, plan.digest()), sources),
    ):
        opened.watch.end_on_signals()
        wait_forever()


@app.command(hidden=True)
def link(
    link_folder: Annotated[Path, typer.Argument(help="The link's folder, which `init` made.")],
    engine: Annotated[Path, typer.Option(help="The socket where the engine listens.")],
    address: Annotated[str | None, typer.Option(help="HOST:PORT, if not the invitation's.")] = None,
) -> None:
    """Carry messages between coordinator and engine; `start` or a service runs this as the link's user."""
    import logging
    from datetime import UTC, datetime

    from client.link.carry import keep_link
    from client.link.connection import EngineWait, open_socket_link
    from client.link.credentials import open_door
    from client.link.session_file import SessionFile
    from client.membership.link_folder import LinkFolder
    from common.runtime.accounts import close_to_others

    def say(line: str) -> None:
        try:
            print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {line}", flush=True)
        except BrokenPipeError:  # whoever kept the log is gone; the site answers on
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        except OSError:  # the disk is full
            pass

    close_to_others()
    for library in ("httpx", "flwr"):  # a line for each call; colour codes
        logging.getLogger(library).setLevel(logging.CRITICAL)
    folder = LinkFolder(link_folder.absolute())
    settings, door = folder.load(), open_door(folder, address)
    wait = EngineWait()
    socket = open_socket_link(
        str(engine), settings.largest_message, engine_uid=settings.engine_uid, wait=wait
    )
    keep_link(door, SessionFile(folder.root / "session"), socket, say, wait)


@app.command()
def check(
    folder: SiteFolder,
    pixels: Annotated[bool, typer.Option(help="Decode every scan and mask too.")] = True,
    plan: Annotated[
        Path | None,
        typer.Option(help="The study plan; by default the one that was joined, if any."),
    ] = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """List what is refused, what to look at and what to know; exit code 0 if nothing is refused."""
    from client.cohort.check import check_site
    from client.cohort.finding_report import list_lines, list_table_lines
    from client.membership.places import find_member
    from common.errors import SiteError
    from common.plan.study import load_plan
    from common.runtime.terminal import make_progress_bar

    study, member = load_plan(plan) if plan else None, find_member(folder, state)
    if study is None and member.has_joined:
        study = member.invitation.study_plan()
    with make_progress_bar() as progress:
        checkup = check_site(folder, progress, pixels=pixels, plan=study)
    report = checkup.report(study.name if study else None)
    if as_json:
        print(report.model_dump_json(indent=2))
    else:
        for line in (*list_lines(report), *list_table_lines(report), report.summary):
            print(line)
    if report.has_refusals:
        raise typer.Exit(SiteError.exit_code)


@app.command("series")
def list_folder_series(
    folder: Annotated[Path, typer.Argument(help="A folder of DICOM files, of one patient or many.")],
    as_json: AsJson = False,
) -> None:
    """List every DICOM series below a folder, and the path that names it in the cohort table."""
    from rich.console import Console

    from client.cohort.series_listing import list_cells, list_series, make_series_table
    from common.runtime.terminal import make_progress_bar

    with make_progress_bar() as progress:
        listing = list_series(folder, progress)
    if as_json:
        print(listing.model_dump_json(indent=2))
        return
    Console().print(make_series_table(listing))
    for line in list_cells(listing):
        print(line)
    for reason, files in listing.left_out.items():
        print(f"{files} file(s) left out: {reason}")


@app.command()
def prepare(
    folder: SiteFolder,
    plan: Annotated[
        Path | None, typer.Option(help="The study plan; by default the one that was joined.")
    ] = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Preprocess every scan into the cache and write the page on the data's quality.

    Refused patients are left out; exit code 0 if the site can take part all the same.
    """
    from client.cohort.finding_report import list_lines
    from client.cohort.prepare import prepare_site, refuse_breaches
    from client.cohort.site_files import write_refusals, write_site_files
    from client.membership.own_secret import read_own_seed
    from client.membership.places import find_member, find_state, suggest_state
    from client.membership.salvage import salvage_site
    from common.errors import CohortError, SiteError
    from common.plan.study import load_plan
    from common.runtime.storage import make_private_folder
    from common.runtime.terminal import make_progress_bar

    with suggest_state(state):
        root = make_private_folder(find_state(folder, state))
    member = find_member(folder, state)
    study = load_plan(plan) if plan else member.invitation.study_plan()
    refusal: CohortError | SiteError | None = None
    try:
        refuse_breaches(folder, study)
        with make_progress_bar() as progress:
            prepared = prepare_site(folder, study, root / "cache", progress, read_own_seed(member, study))
        report = write_site_files(prepared, study.name, root)
    except CohortError as failure:
        refusal, report = failure, write_refusals(failure.findings, folder, study.name, root)
    except SiteError as failure:
        findings = salvage_site(folder).findings
        refusal, report = failure, write_refusals(findings, folder, study.name, root)
    if as_json:
        print(report.model_dump_json(indent=2))
    else:
        for line in (*list_lines(report), report.summary, report.outcome, root / "quality.html"):
            print(line)
    if refusal is not None:
        raise typer.Exit(refusal.exit_code)


@app.command()
def waive(
    folder: SiteFolder,
    waiver: Annotated[Path, typer.Argument(help="The waiver that the study's authority signed.")],
    yes: Annotated[bool, typer.Option("--yes", help="Approve without being asked.")] = False,
    state: StateFolder = None,
) -> None:
    """Approve the authority's waiver, which permits sums without a site, or a site's return from a backup."""
    from client.membership.places import find_kept_member
    from client.membership.roster import read_offered_waiver, take_waiver
    from client.release.approval_text import describe_waiver
    from client.release.ledger import Ledger

    member = find_kept_member(folder, state)
    offered, roster, message = read_offered_waiver(member, waiver)
    print(describe_waiver(offered, roster))
    if not yes:
        insist_on_consent("\nThis site will answer what its release rules forbid. Do you approve?")
    take_waiver(member, message, Ledger(member.ledger))
    print(f"{waiver} is in force at this site")


@app.command()
def burn(folder: SiteFolder, state: StateFolder = None) -> None:
    """After a restore from a backup: erase this site's open rounds; a waiver is needed to go on."""
    from client.link.upkeep import open_protocol
    from client.membership.places import find_kept_member

    open_protocol(find_kept_member(folder, state)).burn()
    print(f"open rounds are erased; ask the authority for a waiver, then: rhe-client waive {folder} FILE")


@app.command()
def abort(
    folder: SiteFolder,
    phase: Annotated[str | None, typer.Option(help="Only this phase; by default all that is open.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Abort without being asked.")] = False,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """End the sums that are open at this site: keys and vectors are erased, the coordinator is told so."""
    from client.link.upkeep import open_protocol
    from client.membership.places import find_kept_member
    from common.secagg.site.erasure import erase_open, list_open, write_erased
    from common.secagg.site.rules import wall_clock

    files = open_protocol(find_kept_member(folder, state))
    opened = list_open(files, phase)
    for one in () if as_json else opened:
        print(one)
    if opened and not yes:
        insist_on_consent("This site's part of them cannot be had again. Do you abort?", aside=as_json)
    erased = erase_open(files, wall_clock, phase)
    if as_json:
        print(write_erased(erased))
        return
    for ended in erased:
        print(f"erased: {ended}")
    print("the coordinator is told E_ABORTED when it asks next; to take no part any more, end `start`")


@app.command()
def audit(
    folder: SiteFolder,
    verify: Annotated[bool, typer.Option("--verify", help="Only check that no line was altered.")] = False,
    lines: Annotated[bool, typer.Option("--lines", help="Show each line, not a table of them.")] = False,
    head: Annotated[
        bool, typer.Option("--head", help="Only check, and print the last line's number and SHA-256 to keep.")
    ] = False,
    since: Annotated[
        str | None, typer.Option(metavar="HEAD", help="Check that the log goes on from a head kept before.")
    ] = None,
    state: StateFolder = None,
    as_json: AsJson = False,
) -> None:
    """Show what has left this hospital: in which phase, how much, and with whom it was summed."""
    from client.membership.places import find_kept_member
    from client.release.audit import Shown, show_log

    chosen: tuple[tuple[bool, Shown], ...] = (
        (as_json, "json"),
        (head, "head"),
        (verify, "nothing"),
        (lines, "lines"),
    )
    what: Shown = next((shown for is_chosen, shown in chosen if is_chosen), "tables")
    show_log(find_kept_member(folder, state), what, since, print)


@app.command()
def explain(
    folder: SiteFolder,
    model: Annotated[Path, typer.Option(help="A model of the study (.safetensors).")],
    plan: Annotated[
        Path | None, typer.Option(help="The study plan; by default the one that was joined.")
    ] = None,
    patient: Annotated[str | None, typer.Option(help="Only this patient of the table.")] = None,
    ct: Annotated[Path | None, typer.Option(help="One patient's CT, who need not be in the table.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Its segmentation, labelled as the site's masks.")] = None,
    state: StateFolder = None,
) -> None:
    """Draw what a model looks at (Grad-CAM) over this site's CT slices; the pictures stay here."""
    from client.answers.explain import explain_site
    from client.membership.own_secret import read_own_seed
    from client.membership.places import find_member, find_state, suggest_state
    from client.predict.request import PredictRequest, explain_patient
    from common.plan.study import load_plan
    from common.runtime.storage import make_private_folder
    from common.runtime.terminal import make_progress_bar

    with suggest_state(state):
        root = make_private_folder(find_state(folder, state))
    if patient or ct or mask:
        in_table = None if ct or mask else folder
        who = PredictRequest(model, in_table, ct, mask, patient=patient, plan=plan, site=folder)
        with make_progress_bar() as progress:
            print("\n".join(explain_patient(who, root, progress)))
        return
    member = find_member(folder, state)
    study = load_plan(plan) if plan else member.invitation.study_plan()
    seed = read_own_seed(member, study)
    with make_progress_bar() as progress:
        print(explain_site(folder, (study, seed), model, root, progress))


app.command()(predict)
app.command()(mistakes)
app.command("new")(new_site)
app.command("map")(map_table)


if __name__ == "__main__":
    app()
