"""What `rhe-client predict` was asked: which model, for whom; and the risks as a table and a CSV file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client.cohort.reading_options import options_of
from client.cohort.scans import labels_of_masks
from client.membership.site import load_site
from client.predict.new_patient import NewPatient, add_values, make_new_patient
from client.predict.overlays import refuse_table_models, write_overlays
from client.predict.predictor import Declined, Prediction, Predictor
from client.predict.worth import describe_worth, format_risk, list_worth
from common.cards.card import Content, ModelCard, NetworkContent, own_variables_of
from common.cards.card_file import CardedModel, load_card
from common.cards.contributors import PARTIAL
from common.cohort.columns import WantedColumns
from common.cohort.patient import Patient
from common.cohort.spelling import compare_identifier
from common.cohort.table import CohortTable, read_table
from common.cohort.variable import Variable
from common.errors import CohortError, Finding, Level, ModelError, RheError, SiteError
from common.plain_text import escape_surrogates
from common.plan.study import load_plan
from common.runtime.csv_file import format_csv
from common.runtime.storage import write_atomically

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

RESEARCH_USE = "For research use only: not a medical device, not for decisions about patients."

LOOK_HEADING = Level.LOOK.replace(" ", "_")
"""Column of a CSV file with what a person must look at before the risk is believed."""


@dataclass(frozen=True)
class PredictRequest:
    """What a user asked for.

    Attributes
    ----------
    model : Path
        A model's file.
    folder : Path or None
        A site folder: every patient of its table.
    ct, mask : Path or None
        Of one patient.
    table : Path or None
        With one patient's values.
    patient : str or None
        Which patient of the table or the folder.
    values : tuple of str
        ``name=value`` of one patient.
    plan : Path or None
        Refuses a model of any other plan.
    site : Path or None
        A site folder that tells how the masks of one patient are labelled, where `folder` is not given.
    overlays : Path or None
        A folder that gets each patient's attention map.
    """

    model: Path
    folder: Path | None = None
    ct: Path | None = None
    mask: Path | None = None
    table: Path | None = None
    patient: str | None = None
    values: tuple[str, ...] = ()
    plan: Path | None = None
    site: Path | None = None
    overlays: Path | None = None


@dataclass(frozen=True)
class ModelPredictions:
    """What a model predicts for the patients of a request.

    Attributes
    ----------
    card : ModelCard
        Of the model.
    outcomes : tuple of Prediction or Declined
        In the order of the patients; rows of a table that cannot be used are the last.
    """

    card: ModelCard
    outcomes: tuple[Prediction | Declined, ...]

    @property
    def failure(self) -> RheError | None:
        """Why the first patient without a risk has none."""
        return next((outcome.failure for outcome in self.outcomes if isinstance(outcome, Declined)), None)


def predict_patients(request: PredictRequest, progress: Progress) -> ModelPredictions:
    """The model's risks for the patients of a request.

    Raises
    ------
    ModelError
        If the file is no model, was altered, or belongs to another plan or version; if attention maps are
        asked of a model without images.
    SiteError
        If the request contradicts itself, or the folder is unusable.
    CohortError
        If a table or value violates the schema.
    """
    carded = load_card(request.model)
    if request.plan is not None:
        digest = load_plan(request.plan).digest()
        if carded.card.plan_hash != digest:
            raise ModelError(
                f"{request.model}: is a model of plan {carded.card.plan_hash[:12]}, not of {digest[:12]} "
                "-> give the plan that trained it"
            )
    if request.overlays is not None:
        refuse_table_models(carded.card)
    if request.folder:
        predictor, patients, declined = _read_folder(request, carded)
    else:
        (predictor, patients), declined = _read_one_patient(request, carded), []
    task = progress.add_task("predicting", total=len(patients))
    outcomes = predictor.predict(patients, lambda: progress.advance(task))
    if request.overlays is not None:
        write_overlays(predictor, patients, outcomes, request.overlays)
    return ModelPredictions(carded.card, (*outcomes, *declined))


def explain_patient(request: PredictRequest, state: Path, progress: Progress) -> tuple[str, ...]:
    """The attention map's folder and the risk of one patient, whose site is not prepared for it.

    Parameters
    ----------
    request : PredictRequest
        Names one patient.
    state : Path
        The site's state; gets `attention/FOLDER/FILE`, as the model's file and its folder are called.

    Raises
    ------
    ModelError
        If the file is no network of a study, was altered, or belongs to another plan or version.
    SiteError
        If the folder is unusable.
    CohortError
        If the table has no such patient.
    RheError
        Why the patient has no map.
    """
    drawn = state / "attention" / request.model.absolute().parent.name / request.model.stem
    predictions = predict_patients(replace(request, overlays=drawn), progress)
    if predictions.failure:
        raise predictions.failure
    risks = tuple(
        f"{outcome.identifier}: risk {format_risk(outcome.risk)}, {_decide(outcome)}"
        for outcome in predictions.outcomes
        if isinstance(outcome, Prediction)
    )
    return (str(drawn), *risks, *list_worth(predictions.card), RESEARCH_USE)


def _read_folder(
    request: PredictRequest, carded: CardedModel
) -> tuple[Predictor, list[NewPatient], list[Declined]]:
    """The predictor, the patients whom the request names, and rows of the table that cannot be used.

    Raises
    ------
    SiteError
        If the request contradicts itself, or site.toml is unusable.
    """
    if request.folder is None or request.ct or request.mask or request.table or request.values:
        raise SiteError(
            "--folder takes everything from the site folder -> leave out --ct, --mask, --table, --set"
        )
    settings = load_site(request.folder)
    images = True if _needs_images(carded.card.content) else None
    table = read_table(
        settings.locate_table(request.folder),
        root=request.folder,
        wanted=WantedColumns(images=images, complete=False, own=_list_own(carded)),
        mapping=settings.mapping,
    )
    everybody = request.patient is None
    chosen = table.patients if everybody else (_choose_row(table, request),)
    declined = [
        Declined(row.identifier or f"row {row.row}", CohortError(row.findings))
        for row in (table.rejected if everybody else ())
    ]
    patients = [
        _add_doubts(
            make_new_patient(patient, f"{table.path.name}, row {patient.row}", carded.card.population), table
        )
        for patient in chosen
    ]
    options = options_of(None, settings)
    return Predictor(carded, labels_of_masks(settings), settings.device, options), patients, declined


def _list_own(carded: CardedModel) -> tuple[Variable, ...]:
    """The variables that the model's plan declared and that the model takes."""
    content = carded.card.content
    return () if isinstance(content, NetworkContent) else tuple(own_variables_of(content).values())


def _needs_images(content: Content) -> bool:
    return isinstance(content, NetworkContent) or content.radiomics is not None


def _read_one_patient(request: PredictRequest, carded: CardedModel) -> tuple[Predictor, list[NewPatient]]:
    if not (request.ct or request.mask or request.table or request.values):
        raise SiteError("nobody to predict for -> give --ct and --mask, --table or --set, or --folder")
    own, criteria, predictor = _list_own(carded), carded.card.population, _open_predictor(request, carded)
    declared = {variable.name: variable for variable in own}
    if request.table is None:
        patient = Patient(
            request.patient or "patient", 0, request.ct, request.mask, None, None, {}, own=declared
        )
        return predictor, [add_values(make_new_patient(patient, "", criteria), request.values)]
    table = read_table(request.table, wanted=WantedColumns(images=False, complete=False, own=own))
    row = _choose_row(table, request)
    ct, mask = request.ct or row.baseline_ct, request.mask or row.baseline_mask
    patient = Patient(row.identifier, row.row, ct, mask, None, None, row.values, own=declared)
    source = f"{request.table.name}, row {row.row}"
    case = add_values(make_new_patient(patient, source, criteria), request.values)
    return predictor, [_add_doubts(case, table)]


def _open_predictor(request: PredictRequest, carded: CardedModel) -> Predictor:
    """The predictor for one patient, by the site's choices where a site is named."""
    if request.site is None:
        return Predictor(carded)
    settings = load_site(request.site)
    return Predictor(carded, labels_of_masks(settings), settings.device, options_of(None, settings))


def _add_doubts(case: NewPatient, table: CohortTable) -> NewPatient:
    """The patient with what a person must look at in the table, such as a column in another unit."""
    return replace(case, doubts=(*case.doubts, *(str(note) for note in table.notes)))


def _choose_row(table: CohortTable, request: PredictRequest) -> Patient:
    """The patient whom the request names, or the only one; rows of others may be faulty.

    Raises
    ------
    CohortError
        If there is no such patient, or the row cannot be used.
    """
    wanted = None if request.patient is None else compare_identifier(request.patient)
    faulty = [row for row in table.rejected if compare_identifier(row.identifier) == wanted]
    if faulty:
        raise CohortError(tuple(finding for row in faulty for finding in row.findings))
    matches = [one for one in table.patients if wanted in {None, compare_identifier(one.identifier)}]
    if len(matches) == 1 and (request.patient is not None or not table.rejected):
        return matches[0]
    what = f"has no patient {request.patient!r}" if not matches else f"has {table.size} patients"
    raise CohortError((Finding(table.path.name, what, "give --patient with one of its identifiers"),))


def make_risk_table(predictions: ModelPredictions) -> Table:
    """The table for the terminal, one line a patient."""
    from rich.table import Table

    card = predictions.card
    mark = f" ({PARTIAL})" if card.partial else ""
    endpoint = card.outcome.event
    title = f"{card.model}, {card.arm}{mark}: risk of {endpoint}, positive from {card.operating_point:g}"
    lines = Table("patient", "risk", "decision", "inputs", "notes", title=title)
    for outcome in predictions.outcomes:
        if isinstance(outcome, Declined):
            lines.add_row(outcome.identifier, "", "refused", "", str(outcome.failure))
        else:
            inputs = "\n".join(f"{entry.name} = {entry.value} ({entry.source})" for entry in outcome.inputs)
            doubts = [f"{Level.LOOK}: {doubt}" for doubt in outcome.doubts]
            decision = f"{_decide(outcome)}, {Level.LOOK}" if doubts else _decide(outcome)
            notes = "\n".join((*doubts, *outcome.notes))
            lines.add_row(outcome.identifier, format_risk(outcome.risk), decision, inputs, notes)
    return lines


def describe_predictions(predictions: ModelPredictions) -> dict[str, Any]:
    """The answer of `predict --json`: the model, and of each patient what the table on the terminal has."""
    card = predictions.card
    return {
        "use": RESEARCH_USE,
        "model": card.model,
        "arm": card.arm,
        "outcome": card.outcome.event,
        "operating_point": card.operating_point,
        "worth": describe_worth(card),
        "patients": [_describe_outcome(outcome) for outcome in predictions.outcomes],
    }


def _describe_outcome(outcome: Prediction | Declined) -> dict[str, Any]:
    if isinstance(outcome, Declined):
        return {"patient": outcome.identifier, "decision": "refused", "notes": [str(outcome.failure)]}
    return {
        "patient": outcome.identifier,
        "risk": outcome.risk,
        "decision": _decide(outcome),
        "look_at": list(outcome.doubts),
        "notes": list(outcome.notes),
        "inputs": [
            {"name": entry.name, "value": entry.value, "source": entry.source} for entry in outcome.inputs
        ],
    }


def write_csv(predictions: ModelPredictions, path: Path) -> None:
    """Write one row a patient; risks with every digit.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    predicted = [outcome for outcome in predictions.outcomes if isinstance(outcome, Prediction)]
    names = list(dict.fromkeys(entry.name for prediction in predicted for entry in prediction.inputs))
    sources = [f"{name} (source)" for name in names]
    headings = ["patient", "model", "arm", "plan", "risk", "operating_point", "decision"]
    headings += [LOOK_HEADING, "notes"]
    columns = [*headings, *names, *sources]
    rows = [_make_row(predictions.card, outcome) for outcome in predictions.outcomes]
    text = format_csv([columns, *([row.get(column, "") for column in columns] for row in rows)])
    write_atomically(path, escape_surrogates(text).encode(), private=True)


def _make_row(card: ModelCard, outcome: Prediction | Declined) -> dict[str, str]:
    row = {"patient": outcome.identifier, "model": card.model, "arm": card.arm, "plan": card.plan_hash}
    row["operating_point"] = repr(card.operating_point)
    if isinstance(outcome, Declined):
        return row | {"decision": "refused", "notes": str(outcome.failure)}
    row |= {"risk": repr(outcome.risk), "decision": _decide(outcome), "notes": "; ".join(outcome.notes)}
    row[LOOK_HEADING] = "; ".join(outcome.doubts)
    row |= {entry.name: entry.value for entry in outcome.inputs}
    return row | {f"{entry.name} (source)": entry.source for entry in outcome.inputs}


def _decide(prediction: Prediction) -> str:
    return "positive" if prediction.positive else "negative"
