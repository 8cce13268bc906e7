"""The authority's commands: it names who takes part, and sees no number of anybody."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.terminal import Terminal

app = Terminal(
    "rhe-authority",
    "Sign who takes part in a study, on a machine that is not the coordinator's.",
    "nothing is half-written; run the same command again",
)

Folder = Annotated[Path, typer.Argument(help="The authority's folder, which holds its key.")]


@app.command()
def init(folder: Folder) -> None:
    """Make the authority's key."""
    from server.provision.signing import found_authority

    authority = found_authority(folder)
    print(f"hand {authority.public_file} to the coordinator: rhe-server init ... --authority authority.pub")
    print(f"its fingerprint, which every site compares on the phone: {authority.fingerprint}")


@app.command()
def sign(
    folder: Folder,
    proposal: Annotated[Path, typer.Argument(help="What the coordinator asks to be signed.")],
    out: Annotated[Path | None, typer.Option(help="The signed roster; by default in the folder.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without being asked.")] = False,
) -> None:
    """Show who takes part and in which plan, and sign it."""
    from common.enrolment import Proposal, load_handout
    from common.secagg.keys import fingerprint, public_bytes
    from server.provision.signing import Authority

    asked = load_handout(proposal, Proposal)
    roster = asked.roster()
    print(f"the proposal's fingerprint, to compare on the phone: {asked.fingerprint()}")
    print(f"plan {roster.plan[:12]}, roster {roster.version}; a sum needs {roster.minimum} sites of:")
    for member in roster.sites:
        print(f"  {member.name}: {fingerprint(public_bytes(member.key))}")
    if not yes:
        typer.confirm("\nDid every site read you the fingerprint of its own card so?", abort=True)
    path = out or folder / "study.roster"
    Authority(folder).sign(asked, path)
    print(f"hand {path} to the coordinator: rhe-server roster FOLDER --signed {path.name}")
    print(f"the roster's fingerprint, which every site compares on the phone: {roster.fingerprint}")


@app.command()
def waive(
    folder: Folder,
    roster: Annotated[Path, typer.Option(help="The roster that this authority signed.")],
    site: Annotated[list[str], typer.Option(help="Who may be absent, or who was restored from a backup.")],
    phase: Annotated[
        str | None, typer.Option(help="Of whose sums it may be absent, as the coordinator's error names it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The signed waiver; by default in the folder.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without being asked.")] = False,
) -> None:
    """Consent to what the release rules forbid: a sum without a site, or a site that came from a backup."""
    import time

    from server.provision.signing import Authority, Consent

    who = ", ".join(site)
    if phase is None:
        print(f"{who} was restored from a backup: what it had told and forgotten could be told again")
    else:
        print(f"{who} may be missing from the sums of {phase}: the difference to earlier sums isolates it")
    if not yes:
        typer.confirm("\nDo you consent?", abort=True)
    path = out or folder / "study.waiver"
    Authority(folder).waive(roster, Consent(tuple(site), phase, time.time_ns() // 1000), path)
    print(f"hand {path} to the coordinator and every site: rhe-server waive, rhe-client waive")


if __name__ == "__main__":
    app()
