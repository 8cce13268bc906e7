"""The command `rhe-client predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from client.membership.command_options import SiteFolder, StateFolder


def predict(
    model: Annotated[Path, typer.Argument(help="A model of a finished study (.safetensors or .json).")],
    folder: Annotated[Path | None, typer.Option(help="A site folder: every patient of its table.")] = None,
    ct: Annotated[Path | None, typer.Option(help="One patient's CT.")] = None,
    mask: Annotated[Path | None, typer.Option(help="Its segmentation: 1 is ICH, 2 is IVH.")] = None,
    table: Annotated[Path | None, typer.Option(help="A table with the patient's covariates.")] = None,
    patient: Annotated[str | None, typer.Option(help="Which patient of the table or the folder.")] = None,
    values: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of a covariate, feature or score:NETWORK.")
    ] = None,
    plan: Annotated[Path | None, typer.Option(help="Refuse a model of any other study plan.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write a CSV file.")] = None,
    overlay: Annotated[
        Path | None, typer.Option(help="A folder for a network's attention map of each patient (PNG).")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Compute a model's risk of expansion for one patient, or for every patient of a folder."""
    import json

    from rich.console import Console

    from client.predict.request import (
        RESEARCH_USE,
        PredictRequest,
        describe_predictions,
        make_risk_table,
        predict_patients,
        write_csv,
    )
    from client.predict.worth import list_worth
    from common.runtime.terminal import make_progress_bar

    request = PredictRequest(
        model, folder, ct, mask, table, patient, tuple(values or ()), plan, overlays=overlay
    )
    with make_progress_bar() as progress:
        predictions = predict_patients(request, progress)
    if out:
        write_csv(predictions, out)
    if len(predictions.outcomes) == 1 and predictions.failure:
        raise predictions.failure
    if as_json:
        print(json.dumps(describe_predictions(predictions), indent=2))
    else:
        Console().print(make_risk_table(predictions))
        for line in list_worth(predictions.card):
            print(line)
        print(RESEARCH_USE)
    if predictions.failure:
        raise typer.Exit(predictions.failure.exit_code)


def mistakes(
    folder: SiteFolder,
    model: Annotated[Path, typer.Option(help="A model of the study (.safetensors or .json).")],
    plan: Annotated[
        Path | None, typer.Option(help="The study plan; by default the one that was joined.")
    ] = None,
    state: StateFolder = None,
) -> None:
    """Write which of this site's patients a model missed or falsely alarmed; the table stays here."""
    from client.answers.mistakes import write_mistakes
    from client.membership.own_secret import read_own_seed
    from client.membership.places import find_member
    from common.plan.study import load_plan
    from common.runtime.storage import make_private_folder
    from common.runtime.terminal import make_progress_bar

    member = find_member(folder, state)
    study = load_plan(plan) if plan else member.invitation.study_plan()
    root = make_private_folder(member.state)
    with make_progress_bar() as progress:
        print(write_mistakes(folder, (study, read_own_seed(member, study)), model, root, progress))
