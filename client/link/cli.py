"""The command `rhe-client start`: a site takes part, and shows what it is at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.membership.command_options import LinkState, SiteFolder, StateFolder


def start(
    folder: SiteFolder,
    state: StateFolder = None,
    link_state: LinkState = None,
    address: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of the coordinator, if it is not the invitation's (e.g. a proxy)."),
    ] = None,
    same_user: Annotated[
        bool,
        typer.Option(
            "--same-user",
            help="Run engine and link as one user: whoever takes over the link can read patients' files.",
        ),
    ] = False,
    watch: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="With --same-user: port of 127.0.0.1 for a page to watch; 0: any free one."
        ),
    ] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="File (.prom) for Prometheus' node_exporter, written every 15 s.")
    ] = None,
) -> None:
    """Connect to the study and answer its requests, until Ctrl-C; as root, as the site's two users."""
    from client.link.site_views import SiteViews, show_site
    from client.link.supervise import keep_site
    from client.membership.places import place_member

    member = place_member(folder, state, link_state)
    with show_site(SiteViews(watch, metrics, same_user=same_user)) as shown:
        keep_site(member, address, shown.say, same_user=same_user, shown=shown)
