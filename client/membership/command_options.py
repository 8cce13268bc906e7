"""Arguments and options that several commands of a site share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

SiteFolder: TypeAlias = Annotated[Path, typer.Argument(help="The site's folder, which holds site.toml.")]
"""Where a site's settings lie."""
StateFolder: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Where keys, cache and logs are kept; by default .rhe in the site's folder."),
]
"""Where the engine keeps what is its own."""
LinkState: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Where the link keeps its key and log; by default .rhe-link beside .rhe, or as chosen at init."
    ),
]
"""Where the link keeps what is its own."""
AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")]
"""Whether a program reads what is printed."""
