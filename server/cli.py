"""The coordinator's commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.runtime.terminal import Terminal

app = Terminal(
    "rhe-server",
    "Coordinate a federated study of hematoma expansion: invite hospitals, run the study, read the report.",
    "checkpoints are complete; start again, and go on with rhe-server run … --resume",
)

StudyFolder = Annotated[Path, typer.Argument(help="The coordinator's folder for this study.")]


@app.command("init")
def init_office(
    folder: StudyFolder,
    plan: Annotated[Path, typer.Option(help="The study plan that everybody agreed on.")],
    host: Annotated[str, typer.Option(help="Name or address at which hospitals reach this machine.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the SuperLink.")] = 8443,
    authority: Annotated[
        Path | None,
        typer.Option(help="Public key (authority.pub) of the authority that signs the roster."),
    ] = None,
) -> None:
    """Make keys, certificates and the invitation for hospitals."""
    from common.messages.enrolment import Invitation, load_handout
    from server.provision.office import OfficeSettings, create_office
    from server.provision.signing import read_public_key

    signer = read_public_key(authority) if authority else ""
    office = create_office(folder, plan, OfficeSettings(host=host, port=port), signer)
    invitation = load_handout(office.invitation, Invitation)
    print(f"plan {office.plan.digest()[:12]}: {office.plan.name}")
    print(f"hand {office.invitation} to {', '.join(office.plan.site_names)}")
    print(f"its fingerprint, to compare on the phone: {invitation.fingerprint()}")


@app.command("enrol")
def enrol_site(
    folder: StudyFolder,
    card: Annotated[Path, typer.Argument(help="The site card that a hospital sent back.")],
) -> None:
    """Enrol a hospital with the card that it sent back."""
    from common.messages.enrolment import SiteCard, load_handout
    from server.provision.office import open_office

    office = open_office(folder)
    site = load_handout(card, SiteCard)
    print(f"{site.name}: the card's fingerprint, to compare on the phone: {site.fingerprint()}")
    office.enrol(site)
    missing = sorted(set(office.plan.site_names) - office.enrolled)
    print(
        f"{site.name} is enrolled"
        + (f"; still missing: {', '.join(missing)}" if missing else "; all sites are")
    )


@app.command("roster")
def propose_or_install_roster(
    folder: StudyFolder,
    out: Annotated[Path | None, typer.Option(help="The proposal; by default in the folder.")] = None,
    signed: Annotated[Path | None, typer.Option(help="Store the roster that the authority signed.")] = None,
) -> None:
    """Write the proposal for the authority to sign, or store the roster that it signed."""
    from server.provision.office import open_office
    from server.provision.rosters import install_roster, propose_roster

    office = open_office(folder)
    if signed is None:
        path = out or folder / "study.proposal"
        proposal = propose_roster(office, path)
        print(f"hand {path} to the authority: rhe-authority sign FOLDER {path.name}")
        print(f"its fingerprint, to compare on the phone: {proposal.fingerprint()}")
        return
    installed = install_roster(office, signed)
    print(
        f"roster {installed.version} of {len(installed.sites)} sites; a sum needs {installed.minimum} of them"
    )
    print(f"hand {office.roster_file} to every site: rhe-client approve FOLDER --roster study.roster")
    print(f"its fingerprint, to compare on the phone: {installed.fingerprint}")


@app.command("waive")
def accept_waiver(
    folder: StudyFolder,
    waiver: Annotated[Path, typer.Argument(help="The waiver that the study's authority signed.")],
) -> None:
    """Store the authority's waiver; every site has to approve it too."""
    from server.provision.office import open_office
    from server.provision.rosters import install_waiver

    install_waiver(open_office(folder), waiver)
    print(f"stored; hand {waiver} to every site: rhe-client waive FOLDER {waiver.name}")


@app.command("start")
def serve_hospitals(
    folder: StudyFolder,
    port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port from now on; hospitals then need start --address."),
    ] = None,
) -> None:
    """Run the SuperLink that hospitals connect to, until Ctrl-C."""
    from server.process.supervise import keep_superlink
    from server.provision.office import open_office

    office = open_office(folder)
    keep_superlink(office.change_port(port) if port else office, lambda line: print(line, flush=True))


@app.command("run")
def run_ordered_study(
    folder: StudyFolder,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, results.json and report.html.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted study.")] = False,
    pretrained: Annotated[
        Path | None,
        typer.Option(help="Folder with torchvision's ImageNet files, if the plan uses them."),
    ] = None,
    patience: Annotated[float, typer.Option(min=1, help="Seconds to wait for sites to connect.")] = 180.0,
) -> None:
    """Run the study to its end on the hospitals that are connected."""
    from server.process.job import Order
    from server.process.supervise import run_on_superlink
    from server.provision.office import open_office

    order = Order(
        out=out.resolve(),
        resume=resume,
        pretrained=pretrained.resolve() if pretrained else None,
        patience_s=patience,
    )
    run_on_superlink(open_office(folder), order, lambda line: print(line, flush=True)).raise_if_failed()
    print(out / "results.json")
    print(out / "report.html")


@app.command("report")
def write_report_page(
    results: Annotated[Path, typer.Argument(help="A study's results.json.")],
    out: Annotated[
        Path | None, typer.Option(help="The page; by default report.html beside the results.")
    ] = None,
) -> None:
    """Write the report page of a study's results, and its tables as CSV files beside it."""
    from server.report import write_report, write_tables
    from server.results.file import load_results

    page = out or results.with_name("report.html")
    study = load_results(results)
    write_report(study, page)
    write_tables(study, page.with_name("tables"))
    print(page)


if __name__ == "__main__":
    app()
