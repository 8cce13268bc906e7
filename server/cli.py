"""The coordinator's commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from common.runtime.terminal import OutFile, Terminal
from server.planning.cli import app as plan_commands

app = Terminal(
    "rhe-server",
    "Coordinate a federated study of hematoma expansion: invite hospitals, run the study, read the report.",
    "checkpoints are complete; start again, and go on with rhe-server run … --resume",
)

app.add_typer(plan_commands, name="plan")

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
    from common.plan.study import load_plan

    load_plan(plan)  # a fault of the plan is told before slow libraries are loaded
    from common.messages.enrolment import Invitation, load_handout
    from common.secagg.crypto.keys import decode_public_key, fingerprint
    from server.provision.office import OfficeSettings, create_office
    from server.provision.signing import read_public_key

    signer = read_public_key(authority) if authority else ""
    office = create_office(folder, plan, OfficeSettings(host=host, port=port), signer)
    invitation = load_handout(office.invitation, Invitation)
    print(f"plan {office.plan.digest()[:12]}: {office.plan.name}")
    unknown = [model.name for model in office.plan.networks if model.has_chosen_weights]
    if unknown:
        print(
            f"no hospital can check the first weights of {', '.join(unknown)}: put into the plan what "
            "rhe-server plan first-weights prints"
        )
    if signer:
        print(
            f"the authority's fingerprint, to compare on the phone: {fingerprint(decode_public_key(signer))}"
        )
    print(f"hand {office.invitation} to {', '.join(office.plan.site_names)}")
    print(f"the invitation's fingerprint, to compare on the phone: {invitation.fingerprint()}")


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
        print(f"the proposal's fingerprint, to compare on the phone: {proposal.fingerprint()}")
        return
    installed = install_roster(office, signed)
    print(
        f"roster {installed.version} of {len(installed.sites)} sites; a sum needs {installed.minimum} of them"
    )
    print(f"hand {office.roster_file} to every site: rhe-client approve FOLDER --roster study.roster")
    print(f"the roster's fingerprint, to compare on the phone: {installed.fingerprint}")


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
    gateway: Annotated[
        str,
        typer.Option(
            help="What hospitals reach: nginx (started here), external (your own proxy on this machine), "
            "or loopback (nobody but this machine)."
        ),
    ] = "nginx",
    client_authority: Annotated[
        Path | None,
        typer.Option(help="nginx: admit only hospitals with a certificate of this authority (PEM)."),
    ] = None,
) -> None:
    """Run the SuperLink and the gateway that hospitals connect to, until Ctrl-C."""
    from functools import partial

    from server.gateway.modes import choose_mode, open_gateway
    from server.process.supervise import keep_superlink
    from server.provision.office import open_office

    mode = choose_mode(gateway)
    office = open_office(folder)
    keep_superlink(
        office.at_port(port) if port else office,
        lambda line: print(line, flush=True),
        partial(open_gateway, mode=mode, client_authority=client_authority),
        on_loopback=mode.on_loopback,
    )


@app.command("gateway")
def print_gateway(
    folder: StudyFolder,
    listen: Annotated[str, typer.Option(help="PORT or ADDRESS:PORT that hospitals reach.")] = "443",
    client_certificates: Annotated[
        bool,
        typer.Option("--client-certificates", help="Admit only hospitals with a certificate of clients.crt."),
    ] = False,
) -> None:
    """Print the configuration of your own nginx, for start --gateway external."""
    from server.gateway.nginx_configuration import write_external_configuration
    from server.provision.office import open_office

    text = write_external_configuration(
        open_office(folder), listen, with_client_certificates=client_certificates
    )
    print(text, end="")


@app.command("superlink", hidden=True)
def serve_flower(
    folder: StudyFolder,
    port: Annotated[int, typer.Option(min=1, max=65535)],
    on_loopback: Annotated[bool, typer.Option("--on-loopback")] = False,
) -> None:
    """Serve Flower's SuperLink on the folder's sockets; `start` runs this."""
    from server.process.superlink_service import serve_superlink
    from server.provision.office import open_office

    serve_superlink(open_office(folder).at_port(port), on_loopback=on_loopback)


@app.command("run")
def run_study(
    folder: StudyFolder,
    out: Annotated[Path, typer.Option(help="Folder for checkpoints, results.json and report.html.")],
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted study.")] = False,
    pretrained: Annotated[
        Path | None,
        typer.Option(help="Folder with torchvision's ImageNet files, if the plan uses them."),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(min=0, help="Hours to wait for a site that is away; 0 ends the run at once."),
    ] = 12.0,
    stall: Annotated[
        float | None,
        typer.Option(min=1, help="Seconds an engine may show no progress; by default the plan's timeout_s."),
    ] = None,
    cards: Annotated[
        Path | None, typer.Option(help="Folder with the files of earlier models, if the plan names any.")
    ] = None,
    watch: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port of 127.0.0.1 for a page to watch; 0: any free one."),
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="File (.prom) for Prometheus' node_exporter, written every 15 s.")
    ] = None,
) -> None:
    """Run the study to its end on the hospitals that are connected."""
    from server.process.order import Order, perform_order
    from server.provision.office import open_office
    from server.watch.study_views import Views

    views = Views(watch, metrics)
    perform_order(
        open_office(folder), Order(out.resolve(), resume, pretrained, wait * 3600, stall, cards, views)
    )
    from server.report.closing_words import describe_ending
    from server.results.file import load_results

    for line in (*describe_ending(load_results(out / "results.json"), out), ""):
        print(line)
    print(out / "results.json")
    print(out / "report.html")


@app.command("status")
def print_status(
    run: Annotated[Path, typer.Argument(help="A study's --out folder, or one above it.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Say where a study stands: its phase, round, sites and time left, or when and how it ended."""
    from server.watch.study_status import find_status

    status = find_status(run)
    print(status.write_json() if as_json else "\n".join(status.write_lines()))


@app.command("studies")
def print_studies(
    folder: Annotated[Path, typer.Argument(help="Where your studies' --out folders lie.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array, and nothing else.")] = False,
) -> None:
    """List the studies that ran: name, plan, state, when and where."""
    import json
    from dataclasses import asdict

    from server.past_studies import list_studies

    studies = list_studies(folder)
    if as_json:
        print(json.dumps([asdict(study) for study in studies], indent=2, ensure_ascii=False))
        return
    if not studies:
        print(f"{folder}: no study ran here -> name the folder above your studies' --out")
    for study in studies:
        print(f"{study.state:8}  {study.last_heard[:16].replace('T', ' ') or 'not known':16}  {study.folder}")
        print(f"{'':8}  {study.name} (plan {study.plan_hash[:12] or 'not readable'})")


@app.command("certify")
def renew_server_certificate(folder: StudyFolder) -> None:
    """Make a new server certificate, before or after the old one expires; hospitals notice nothing."""
    from server.provision.office import open_office, renew_certificate

    office = open_office(folder)
    office.insist_own()
    renew_certificate(office)
    print(f"{office.certificate} is new; a running nginx takes it within a second")


@app.command("schema")
def print_results_schema(out: OutFile = None) -> None:
    """Write the JSON Schema of results.json, with what each key means."""
    from common.runtime.terminal import print_document
    from server.results.results_schema import write_results_schema

    print_document(write_results_schema(), out)


@app.command("report")
def write_report_page(
    results: Annotated[Path, typer.Argument(help="A study's results.json.")],
    out: Annotated[
        Path | None, typer.Option(help="The page; by default report.html beside the results.")
    ] = None,
    style: Annotated[
        Literal["paper", "ama"],
        typer.Option(help="P-values of table1.csv to table3.csv: as in the paper, or by the AMA's manual."),
    ] = "paper",
) -> None:
    """Write the report page of a study's results, and its tables as CSV files beside it."""
    from server.report import write_report, write_tables
    from server.report.journal_style import JournalStyle
    from server.results.file import load_results

    page = out or results.with_name("report.html")
    study = load_results(results)
    write_report(study, page)
    write_tables(study, page.with_name("tables"), JournalStyle(style))
    print(page)


if __name__ == "__main__":
    app()
