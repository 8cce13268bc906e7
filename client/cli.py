"""The hospital's commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from common.runtime.terminal import Terminal

if TYPE_CHECKING:
    from client.membership.membership import Membership

app = Terminal(
    "rhe-client",
    "Take part in a federated study of hematoma expansion: check the data, approve the plan, connect.",
    "nothing is half-written; run the same command again and it goes on",
)

SiteFolder = Annotated[Path, typer.Argument(help="The site's folder, which holds site.toml.")]
StateFolder = Annotated[
    Path | None,
    typer.Option(help="Where keys, cache and logs are kept; by default .rhe in the site's folder."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object with every finding, and nothing else.")
]


@app.command()
def init(
    folder: SiteFolder,
    invitation: Annotated[Path, typer.Option(help="The file that the coordinator sent.")],
    state: StateFolder = None,
) -> None:
    """Join a study: make this site's key and the card to send back."""
    from client.membership.membership import join_study

    member = join_study(folder, _choose_state(folder, state), invitation)
    from common.messages.enrolment import SiteCard, load_handout

    print(f"the invitation's fingerprint, to compare on the phone: {member.invitation.fingerprint()}")
    print(f"send {member.card} to the coordinator")
    print(f"its fingerprint, to compare on the phone: {load_handout(member.card, SiteCard).fingerprint()}")
    print(f"then: rhe-client approve {folder}")


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
    from client.membership.roster import approve_plan, read_offered_roster
    from client.release.approval_text import describe_plan, describe_roster

    member = _find_member(folder, state)
    plan = member.invitation.study_plan()
    offered = read_offered_roster(member, roster)
    print(describe_plan(plan, member.settings))
    if offered is not None:
        print(describe_roster(offered[0], member.invitation.signer))
    if not yes:
        typer.confirm("\nDo you approve this plan?", abort=True)
    approve_plan(member, roster)
    print(f"\napproved: {plan.digest()[:12]}; then: rhe-client start {folder}")


@app.command()
def start(
    folder: SiteFolder,
    state: StateFolder = None,
    address: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of the coordinator, if it is not the invitation's (e.g. a proxy)."),
    ] = None,
) -> None:
    """Connect to the study and answer its requests, until Ctrl-C."""
    from client.link.supervise import keep_site

    keep_site(_find_member(folder, state), address, lambda line: print(line, flush=True))


@app.command(hidden=True)
def engine(folder: SiteFolder, state: StateFolder = None) -> None:
    """Answer requests at the site's socket; `start` runs this."""
    import signal

    from rich.progress import Progress

    from client.link.service import listen, wait_forever

    # Every file is written completely or not at all, so the engine need not finish a training before it ends.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    member = _find_member(folder, state)
    plan = member.read_approved_plan()
    from client.engine import open_engine
    from client.membership.roster import make_hiding_party

    opened = open_engine(
        folder, plan, member.invitation.coordinator_key(), member.state, Progress(disable=True)
    )
    opened.party = make_hiding_party(member)
    with listen(opened.handle, member.socket):
        wait_forever()


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
    from common.errors import SiteError
    from common.plan.study import load_plan
    from common.runtime.terminal import make_progress_bar

    study, member = load_plan(plan) if plan else None, _find_member(folder, state)
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
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
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
    from client.membership.salvage import salvage_site
    from common.errors import CohortError, SiteError
    from common.plan.study import load_plan
    from common.runtime.storage import make_private_folder
    from common.runtime.terminal import make_progress_bar

    root = make_private_folder(_choose_state(folder, state))
    study = load_plan(plan) if plan else _find_member(folder, state).invitation.study_plan()
    refusal: CohortError | SiteError | None = None
    try:
        refuse_breaches(folder, study)
        with make_progress_bar() as progress:
            prepared = prepare_site(folder, study, root / "cache", progress)
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


def _choose_state(folder: Path, state: Path | None) -> Path:
    from client.membership.membership import STATE

    return state or folder / STATE


def _find_member(folder: Path, state: Path | None) -> Membership:
    from client.membership.membership import Membership

    return Membership(folder.resolve(), _choose_state(folder, state).resolve())


@app.command()
def waive(
    folder: SiteFolder,
    waiver: Annotated[Path, typer.Argument(help="The waiver that the study's authority signed.")],
    yes: Annotated[bool, typer.Option("--yes", help="Approve without being asked.")] = False,
    state: StateFolder = None,
) -> None:
    """Approve the authority's waiver, which permits sums without a site, or a site's return from a backup."""
    from client.membership.roster import take_waiver

    if not yes:
        typer.confirm("This site will answer what its release rules forbid. Do you approve?", abort=True)
    take_waiver(_find_member(folder, state), waiver)
    print(f"{waiver} is in force at this site")


@app.command()
def burn(folder: SiteFolder, state: StateFolder = None) -> None:
    """After a restore from a backup: erase this site's open rounds; a waiver is needed to go on."""
    from common.secagg.site.files import SiteFiles

    SiteFiles(_find_member(folder, state).protocol_files).burn()
    print(f"open rounds are erased; ask the authority for a waiver, then: rhe-client waive {folder} FILE")


@app.command()
def audit(
    folder: SiteFolder,
    verify: Annotated[bool, typer.Option("--verify", help="Only check that no line was altered.")] = False,
    state: StateFolder = None,
) -> None:
    """Show what has left this hospital: when, in which phase, how much, and with whom it was summed."""
    from rich.console import Console

    from client.release.audit import make_audit_tables
    from client.release.ledger import Ledger

    ledger = Ledger(_choose_state(folder, state) / "ledger")
    lines = ledger.read_lines()
    if not verify:
        for table in make_audit_tables(lines):
            Console().print(table)
    print(f"{ledger.path}: {len(lines)} lines, every one follows from the one before it")


@app.command()
def explain(
    folder: SiteFolder,
    model: Annotated[Path, typer.Option(help="A model of the study (.safetensors).")],
    plan: Annotated[
        Path | None, typer.Option(help="The study plan; by default the one that was joined.")
    ] = None,
    state: StateFolder = None,
) -> None:
    """Draw what a model looks at (Grad-CAM) over this site's CT slices; the pictures stay here."""
    from client.answers.explain import explain_site
    from common.plan.study import load_plan
    from common.runtime.storage import make_private_folder
    from common.runtime.terminal import make_progress_bar

    root = make_private_folder(_choose_state(folder, state))
    study = load_plan(plan) if plan else _find_member(folder, state).invitation.study_plan()
    with make_progress_bar() as progress:
        print(explain_site(folder, study, model, root, progress))


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A model of a finished study (.safetensors or .json).")],
    folder: Annotated[Path | None, typer.Option(help="A site folder: every patient of its table.")] = None,
    ct: Annotated[Path | None, typer.Option(help="One patient's CT.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Its segmentation: 1 is ICH, 2 is IVH.")] = None,
    table: Annotated[Path | None, typer.Option(help="A table with the patient's covariates.")] = None,
    patient: Annotated[str | None, typer.Option(help="Which patient of the table or the folder.")] = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of a covariate, feature or score:NETWORK.")
    ] = None,
    plan: Annotated[Path | None, typer.Option(help="Refuse a model of any other study plan.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write a CSV file.")] = None,
) -> None:
    """Compute a model's risk of expansion for one patient, or for every patient of a folder."""
    from rich.console import Console

    from client.predict.request import (
        RESEARCH_USE,
        PredictRequest,
        make_risk_table,
        predict_patients,
        write_csv,
    )
    from common.runtime.terminal import make_progress_bar

    request = PredictRequest(model, folder, ct, mask, table, patient, tuple(values or ()), plan)
    with make_progress_bar() as progress:
        predictions = predict_patients(request, progress)
    if out:
        write_csv(predictions, out)
    if len(predictions.outcomes) == 1 and predictions.failure:
        raise predictions.failure
    Console().print(make_risk_table(predictions))
    print(RESEARCH_USE)
    if predictions.failure:
        raise typer.Exit(predictions.failure.exit_code)


if __name__ == "__main__":
    app()
