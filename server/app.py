"""The Flower ServerApp: it hands Flower's grid to the study."""

from __future__ import annotations

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from server.job import perform

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Performs the job that the run's configuration names."""
    perform(grid, str(context.run_config["job"]))
