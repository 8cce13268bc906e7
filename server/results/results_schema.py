"""docs/results.schema.json: what a results file may hold, generated from the records."""

from __future__ import annotations

from common.runtime.setting_schema import write_schema
from server.results.file import Results


def write_results_schema() -> str:
    """The JSON Schema of results.json, with what each key means."""
    return write_schema(Results, "Results of a study of rhe")
