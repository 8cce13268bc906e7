"""The commands `rhe-client map` and `rhe-client new`: a hospital's own table becomes a site folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PlanFile = Annotated[
    Path | None, typer.Option("--plan", help="The study plan, whose own variables are looked for too.")
]
DictionaryFile = Annotated[
    Path | None, typer.Option("--dictionary", help="REDCap's data dictionary (CSV) of the export.")
]


def map_table(
    table: Annotated[
        Path, typer.Argument(help="The hospital's own table (.csv or .xlsx), or its site's folder.")
    ],
    dictionary: DictionaryFile = None,
    plan: PlanFile = None,
    write: Annotated[
        bool, typer.Option("--write", help="Write it into site.toml beside the table without being asked.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Write it in the place of the mapping that site.toml has.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Propose how a table with headings, codes and units of its own is read; it stays at this hospital."""
    import shlex
    import sys

    from rich.console import Console

    from client.cohort.mapping.proposal import propose_mapping
    from client.cohort.mapping.proposal_table import (
        list_proposal_lines,
        make_proposal_table,
        report_proposal,
    )
    from client.cohort.new_site import list_variables, write_mapping
    from client.membership.site import find_site_file, load_site
    from common.plan.study import load_plan

    if table.is_dir():
        table = load_site(table).locate_table(table)
    proposal = propose_mapping(table, list_variables(load_plan(plan) if plan else None), dictionary)
    site_file = find_site_file(table)
    if as_json:
        print(report_proposal(proposal).model_dump_json(indent=2))
    else:
        Console().print(make_proposal_table(proposal))
        for line in list_proposal_lines(proposal):
            print(line)
    asks = not as_json and site_file is not None and sys.stdin.isatty() and sys.stdout.isatty()
    if write or replace or (asks and typer.confirm(f"\nWrite it into {site_file}?")):
        target = site_file or table.parent / "site.toml"
        write_mapping(target, proposal, replace=replace)
        if not as_json:
            folder = shlex.quote(str(target.parent))
            print(f"written into {target}; look through it, then: rhe-client check {folder}")
    elif not as_json:
        hint = "rhe-client new FOLDER --from" if site_file is None else "rhe-client map --write"
        print(f"nothing was written; {hint} {shlex.quote(str(table))} writes it")


def new_site(
    folder: Annotated[Path, typer.Argument(help="The folder to be made.")],
    source: Annotated[
        Path | None,
        typer.Option("--from", help="The hospital's own table: it is copied, and a mapping proposed."),
    ] = None,
    dictionary: DictionaryFile = None,
    plan: PlanFile = None,
    name: Annotated[str, typer.Option(help="The site's name, as in the plan; by default the folder's.")] = "",
    as_csv: Annotated[bool, typer.Option("--csv", help="An empty CSV instead of a workbook.")] = False,
    images: Annotated[bool, typer.Option(help="Columns for CTs and masks, where no plan says it.")] = True,
) -> None:
    """Make a site folder: site.toml, and a table to fill in or the hospital's own with a proposed mapping."""
    import shlex

    from rich.console import Console

    from client.cohort.mapping.proposal_table import list_proposal_lines, make_proposal_table
    from client.cohort.new_site import NewSite, make_site
    from common.plan.study import load_plan

    study = load_plan(plan) if plan else None
    proposal = make_site(NewSite(folder, name, source, dictionary, study, as_csv, images))
    if proposal is None:
        print(f"{folder} is made; fill in {folder / ('patients.csv' if as_csv else 'patients.xlsx')}")
    else:
        Console().print(make_proposal_table(proposal))
        for line in list_proposal_lines(proposal):
            print(line)
        print(f"{folder} is made; look through [mapping] in {folder / 'site.toml'}")
    print(f"then: rhe-client check {shlex.quote(str(folder))}")
