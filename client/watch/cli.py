"""The command `rhe-client status`: what a site is at, answered at once and without starting anything."""

from __future__ import annotations

from client.membership.command_options import AsJson, SiteFolder, StateFolder


def print_site_status(folder: SiteFolder, state: StateFolder = None, as_json: AsJson = False) -> None:
    """Say what this site is at, when the coordinator last asked, and what has left today."""
    from client.membership.state_folder import STATE
    from client.watch.site_status import find_site_status

    status = find_site_status(folder, state or folder / STATE)
    print(status.write_json() if as_json else "\n".join(status.write_lines()))
