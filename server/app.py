"""The Flower ServerApp: it hands Flower's grid to the study."""

from __future__ import annotations

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from server.process.job import perform_job

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Perform the job that the run's configuration names."""
    perform_job(grid, str(context.run_config["job"]))
