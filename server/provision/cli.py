"""The authority's commands: it signs who takes part, and sees no site's numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.runtime.terminal import Terminal, insist_on_consent

app = Terminal(
    "rhe-authority",
    "Sign who takes part in a study, on a machine that is not the coordinator's.",
    "nothing is half-written; run the same command again",
)

AuthorityFolder = Annotated[Path, typer.Argument(help="The authority's folder, which holds its key.")]


@app.command("init")
def init_authority(folder: AuthorityFolder) -> None:
    """Make the authority's key."""
    from server.provision.signing import create_signing_authority

    authority = create_signing_authority(folder)
    print(f"hand {authority.public_file} to the coordinator: rhe-server init ... --authority authority.pub")
    print(f"its fingerprint, which every site compares on the phone: {authority.fingerprint}")


@app.command("sign")
def sign_proposal(
    folder: AuthorityFolder,
    proposal: Annotated[Path, typer.Argument(help="What the coordinator asks to be signed.")],
    out: Annotated[Path | None, typer.Option(help="The signed roster; by default in the folder.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without being asked.")] = False,
) -> None:
    """Show who takes part in which plan, and sign it."""
    from common.messages.enrolment import Proposal, load_handout
    from server.provision.signing import Authority

    authority = Authority(folder)
    authority.insist_on_key()
    asked = load_handout(proposal, Proposal)
    roster = asked.roster()
    print(f"the proposal's fingerprint, to compare on the phone: {asked.fingerprint()}")
    print(f"plan {roster.plan[:12]}, roster {roster.version}; a sum needs {roster.minimum} sites of:")
    for member in roster.sites:
        print(f"  {member.name}: {member.fingerprint}")
    if not yes:
        insist_on_consent("\nDid every site read you this fingerprint of its own card?")
    path = out or folder / "study.roster"
    authority.sign(asked, path)
    print(f"hand {path} to the coordinator: rhe-server roster FOLDER --signed {path.name}")
    print(f"the roster's fingerprint, which every site compares on the phone: {roster.fingerprint}")


@app.command("waive")
def consent_to_waiver(
    folder: AuthorityFolder,
    roster: Annotated[Path, typer.Option(help="The roster that this authority signed.")],
    site: Annotated[
        list[str], typer.Option(help="A site that may be absent, or that was restored from a backup.")
    ],
    phase: Annotated[
        str | None,
        typer.Option(help="The phase whose sums it may be absent from, as the coordinator's error names it."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The signed waiver; by default in the folder.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without being asked.")] = False,
) -> None:
    """Consent to what the release rules forbid: a sum without a site, or a site that came from a backup."""
    import time

    from common.errors import SiteError
    from common.runtime.name_patterns import read_name
    from server.provision.signing import Authority, Consent

    site = [read_name("--site", name, SiteError) for name in site]
    authority, names = Authority(folder), ", ".join(site)
    waiver = authority.draw_waiver(roster, Consent(tuple(site), phase, time.time_ns() // 1000))
    if phase is None:
        print(
            f"{names} was restored from a backup: it no longer knows all that it has answered, "
            "so it could answer the same question twice"
        )
    else:
        print(f"{names} may be missing from the sums of {phase}: differences to earlier sums reveal its part")
    if not yes:
        insist_on_consent("\nDo you consent?")
    path = out or folder / "study.waiver"
    authority.waive(waiver, path)
    print(f"hand {path} to the coordinator and every site: rhe-server waive, rhe-client waive")


if __name__ == "__main__":
    app()
