"""The commands of `rhe-server plan`: a plan alone, before there is an office."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common.runtime.terminal import OutFile

app = typer.Typer(
    no_args_is_help=True,
    suggest_commands=False,
    help="Check, explain and forecast a plan; write the reference of its keys, or a JSON Schema.",
)


@app.command("check")
def check_plan_file(
    plan: Annotated[Path, typer.Argument(help="The study plan (TOML).")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Say what is wrong with a plan, everything at once; or in plain words what it will do."""
    import json

    from common.errors import PlanError
    from common.plan.study import load_plan
    from server.planning.plan_words import REMEDIES, explain_plan, list_next_steps, report_check

    try:
        study = load_plan(plan)
    except PlanError as failure:
        if not as_json:
            raise PlanError(f"{failure}\n{REMEDIES}") from None
        print(json.dumps(report_check(str(plan), None, tuple(str(failure).splitlines())), indent=2))
        raise typer.Exit(failure.exit_code) from None
    if as_json:
        print(json.dumps(report_check(str(plan), study, ()), indent=2, ensure_ascii=False))
        return
    print(f"{plan}: the plan is valid\n")
    for line in (*explain_plan(study), "", *list_next_steps(str(plan))):
        print(line)


@app.command("forecast")
def forecast_plan_file(
    plan: Annotated[Path, typer.Argument(help="The study plan (TOML).")],
    patients: Annotated[
        list[str],
        typer.Option(help="SITE=WITH/ALL of each site, e.g. center1=118/271: with the outcome, and all."),
    ],
    more_patients: Annotated[
        list[str] | None, typer.Argument(metavar="[SITE=WITH/ALL]...", help="Further sites of --patients.")
    ] = None,
    minutes: Annotated[
        list[str] | None,
        typer.Option(help="SITE=MINUTES that one network trains there in one round; once for each site."),
    ] = None,
    mbit: Annotated[
        list[str] | None, typer.Option(help="SITE=MBIT/S of its line; once for each site.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Say what a study of so many patients will be able to show, and what it will cost."""
    import json

    from common.plan.study import load_plan

    study = load_plan(plan)
    from server.planning.expected_patients import expect_patients
    from server.planning.forecast import forecast_study
    from server.planning.forecast_words import describe_forecast, write_forecast
    from server.planning.study_costs import read_site_numbers

    forecast = forecast_study(
        study,
        expect_patients(study, (*patients, *(more_patients or ()))),
        read_site_numbers(study, "--minutes", minutes or ()),
        read_site_numbers(study, "--mbit", mbit or ()),
    )
    if as_json:
        print(json.dumps(write_forecast(forecast), indent=2, ensure_ascii=False))
        return
    for line in describe_forecast(forecast):
        print(line)


@app.command("first-weights")
def print_first_weights(
    plan: Annotated[Path, typer.Argument(help="The study plan (TOML).")],
    pretrained: Annotated[Path, typer.Option(help="Folder with torchvision's ImageNet files.")],
) -> None:
    """Print the line for each network from ImageNet by which hospitals check its first weights."""
    import json

    from common.plan.repeated_trainings import list_first_networks, list_trainings_of
    from common.plan.study import load_plan
    from server.training.federated import list_first_weights

    study = load_plan(plan)
    digests = list_first_weights(study, pretrained)
    if not digests:
        print(f"{plan}: no network starts from ImageNet; hospitals derive random weights themselves")
    for name in (model.name for model in list_first_networks(study.models) if model.name in digests):
        first, *others = (digests[training] for training in list_trainings_of(study.models, name))
        print(f'{name}: first_weights = "{first}"')
        if others:
            print(f"{name}: first_weights_of_repeats = {json.dumps(others)}")


@app.command("card")
def print_card_section(
    model: Annotated[Path, typer.Argument(help="A model file of an earlier study (.safetensors or .json).")],
    plan: Annotated[
        Path | None, typer.Option(help="Also check that this plan, which has the section, fits the model.")
    ] = None,
) -> None:
    """Print the section with which a plan names a model that exists, to be validated as it is."""
    from common.cards.card_in_plan import describe_in_plan
    from server.planning.card_section import check_cards_of, write_section

    section = describe_in_plan(model)
    print(write_section(section))
    if plan is not None:
        from common.plan.study import load_plan

        print(check_cards_of(load_plan(plan), section, model))


@app.command("reference")
def print_plan_reference(out: OutFile = None) -> None:
    """Write every key of a plan with its values, default, meaning and source, as Markdown."""
    from common.runtime.terminal import print_document
    from server.planning.plan_documents import write_plan_reference

    print_document(write_plan_reference(), out)


@app.command("schema")
def print_plan_schema(out: OutFile = None) -> None:
    """Write the JSON Schema of a plan, with which editors complete keys and mark faults."""
    from common.runtime.terminal import print_document
    from server.planning.plan_documents import write_plan_schema

    print_document(write_plan_schema(), out)
