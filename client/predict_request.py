"""What `rhe-client predict` was asked: which model, for whom; and its answer as a table and a CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from client.new_patient import NewPatient, new_patient, with_values
from client.predict import Declined, Prediction, Predictor
from client.scans import mask_labels
from client.site import load_site
from common.card import Content, ModelCard, NetworkContent
from common.card_file import CardedModel, load_card
from common.cohort.columns import Wanted
from common.cohort.patient import Patient
from common.cohort.table import read_table
from common.errors import CohortError, Finding, ModelError, RheError, SiteError
from common.storage import write_atomically
from common.study import load_plan

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

RESEARCH_USE = "For research use only: not a medical device, not for decisions about patients."


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
        Whom of the table or folder.
    values : tuple of str
        ``name=value`` of one patient.
    plan : Path or None
        Refuses a model of any other plan.
    """

    model: Path
    folder: Path | None = None
    ct: Path | None = None
    mask: Path | None = None
    table: Path | None = None
    patient: str | None = None
    values: tuple[str, ...] = ()
    plan: Path | None = None


@dataclass(frozen=True)
class Answer:
    """What a model says of everybody who was asked about."""

    card: ModelCard
    outcomes: tuple[Prediction | Declined, ...]

    @property
    def failure(self) -> RheError | None:
        """Why the first patient without a risk has none."""
        return next((one.failure for one in self.outcomes if isinstance(one, Declined)), None)


def answer(request: PredictRequest, progress: Progress) -> Answer:
    """The model's risks.

    Raises
    ------
    ModelError
        If the file is no model, was altered, or belongs to another plan or version.
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
    predictor, patients = _of_folder(request, carded) if request.folder else _of_one(request, carded)
    task = progress.add_task("predicting", total=len(patients))
    return Answer(carded.card, predictor.predict(patients, lambda: progress.advance(task)))


def _of_folder(request: PredictRequest, carded: CardedModel) -> tuple[Predictor, list[NewPatient]]:
    if request.folder is None or request.ct or request.mask or request.table or request.values:
        raise SiteError(
            "--folder takes everything from the site folder -> leave out --ct, --mask, --table, --set"
        )
    settings = load_site(request.folder)
    images = True if _looks_at_images(carded.card.content) else None
    table = read_table(
        request.folder / settings.table, root=request.folder, wanted=Wanted(images=images, complete=False)
    )
    chosen = table.patients if request.patient is None else (_chosen(table.path, table.patients, request),)
    patients = [new_patient(one, f"{table.path.name}, row {one.row}") for one in chosen]
    return Predictor(carded, mask_labels(settings), settings.device), patients


def _looks_at_images(content: Content) -> bool:
    return isinstance(content, NetworkContent) or content.radiomics is not None


def _of_one(request: PredictRequest, carded: CardedModel) -> tuple[Predictor, list[NewPatient]]:
    if not (request.ct or request.mask or request.table or request.values):
        raise SiteError("nobody to predict for -> give --ct and --mask, --table or --set, or --folder")
    if request.table is None:
        patient = Patient(request.patient or "patient", 0, request.ct, request.mask, None, None, {})
        return Predictor(carded), [with_values(new_patient(patient), request.values)]
    table = read_table(request.table, wanted=Wanted(images=False, complete=False))
    row = _chosen(request.table, table.patients, request)
    ct, mask = request.ct or row.baseline_ct, request.mask or row.baseline_mask
    patient = Patient(row.identifier, row.row, ct, mask, None, None, row.values)
    source = f"{request.table.name}, row {row.row}"
    return Predictor(carded), [with_values(new_patient(patient, source), request.values)]


def _chosen(table: Path, patients: Sequence[Patient], request: PredictRequest) -> Patient:
    found = [one for one in patients if request.patient in {None, one.identifier}]
    if len(found) == 1:
        return found[0]
    what = f"has no patient {request.patient!r}" if not found else f"has {len(found)} patients"
    raise CohortError((Finding(table.name, what, "give --patient with one of its identifiers"),))


def as_table(found: Answer) -> Table:
    """For the terminal: one line a patient."""
    from rich.table import Table

    card = found.card
    title = (
        f"{card.model}, {card.arm}: risk of {card.outcome.endpoint}, positive from {card.operating_point:g}"
    )
    lines = Table("patient", "risk", "decision", "inputs", "notes", title=title)
    for one in found.outcomes:
        if isinstance(one, Declined):
            lines.add_row(one.identifier, "", "refused", "", str(one.failure))
        else:
            inputs = "\n".join(f"{entry.name} = {entry.value} ({entry.source})" for entry in one.inputs)
            lines.add_row(one.identifier, f"{one.risk:.4f}", _decision(one), inputs, "\n".join(one.notes))
    return lines


def write_csv(found: Answer, path: Path) -> None:
    """Writes one row a patient; risks with every digit.

    Raises
    ------
    StorageError
        If the file cannot be written.
    """
    done = [one for one in found.outcomes if isinstance(one, Prediction)]
    names = list(dict.fromkeys(entry.name for one in done for entry in one.inputs))
    sources = [f"{name} (source)" for name in names]
    headings = ["patient", "model", "arm", "plan", "risk", "operating_point", "decision", "notes"]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*headings, *names, *sources], lineterminator="\n")
    writer.writeheader()
    for one in found.outcomes:
        writer.writerow(_row(found.card, one))
    write_atomically(path, text.getvalue().encode(), private=True)


def _row(card: ModelCard, one: Prediction | Declined) -> dict[str, str]:
    row = {"patient": one.identifier, "model": card.model, "arm": card.arm, "plan": card.plan_hash}
    row["operating_point"] = repr(card.operating_point)
    if isinstance(one, Declined):
        return row | {"decision": "refused", "notes": str(one.failure)}
    row |= {"risk": repr(one.risk), "decision": _decision(one), "notes": "; ".join(one.notes)}
    row |= {entry.name: entry.value for entry in one.inputs}
    return row | {f"{entry.name} (source)": entry.source for entry in one.inputs}


def _decision(one: Prediction) -> str:
    return "positive" if one.positive else "negative"
