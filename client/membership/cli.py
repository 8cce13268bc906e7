"""The commands of `rhe-client site`: what a site's settings may be."""

from __future__ import annotations

import typer

from common.runtime.terminal import OutFile

app = typer.Typer(
    no_args_is_help=True,
    suggest_commands=False,
    help="Write the reference of site.toml, or a JSON Schema for editors.",
)


@app.command("reference")
def print_site_reference(out: OutFile = None) -> None:
    """Write every key of site.toml with its values, default and meaning, as Markdown."""
    from client.membership.site_documents import write_site_reference
    from common.runtime.terminal import print_document

    print_document(write_site_reference(), out)


@app.command("schema")
def print_site_schema(out: OutFile = None) -> None:
    """Write the JSON Schema of site.toml, with which editors complete keys and mark faults."""
    from client.membership.site_documents import write_site_schema
    from common.runtime.terminal import print_document

    print_document(write_site_schema(), out)
