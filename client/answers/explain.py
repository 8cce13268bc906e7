"""Attention maps over the original CT slice (the paper's Fig. 5), drawn and kept at the site."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.progress import Progress

from client.answers.attention_drawing import explain_decision, slice_scan
from client.answers.attention_maps import keep_maps
from client.answers.samples import TEST, SiteSamples
from client.answers.score_store import ScoreStore
from client.answers.trainer import Trainer
from client.cohort.cases import PreparedCase
from client.cohort.prepare import prepare_site
from client.cohort.reading_options import options_of
from client.cohort.scans import labels_of_masks
from client.membership.site import SiteSettings
from common.cards.card_file import CARD_KEY, load_card
from common.errors import ModelError
from common.imaging.masks.mask import read_mask
from common.imaging.reader import read_scan
from common.messages.headers import Caption
from common.models.checkpoint import load
from common.plan.mapped_cohorts import averages_maps
from common.plan.study import StudyPlan
from common.runtime.csv_file import format_csv
from common.runtime.storage import write_atomically
from common.seeds import generator
from common.training.device import pick_device
from common.training.loop import score

_HEADINGS = ["picture", "score", "outcome", "called_positive"]


@dataclass(frozen=True)
class Drawing:
    """One patient's attention over the CT.

    Attributes
    ----------
    caption : Caption
        Outcome and score; nothing that names the patient.
    png : bytes
        The picture's file.
    """

    caption: Caption
    png: bytes


def explain_site(
    folder: Path, study: tuple[StudyPlan, int], model_file: Path, state: Path, progress: Progress
) -> Path:
    """The folder with the attention maps of a model over this site's patients.

    Parameters
    ----------
    folder : Path
        The site's.
    study : (StudyPlan, int)
        Of the study that trained the model; the seed with which the site draws among its patients in it.
    model_file : Path
        A model of that study, as the coordinator or this site keeps it.
    state : Path
        The site's state; gets `attention/MODEL/ARM`.
    progress : Progress
        Shows the patients that are prepared.

    Raises
    ------
    ModelError
        If the file is damaged, or of another study.
    """
    (plan, own_seed), checkpoint = study, load(model_file)
    names = [checkpoint.metadata.get(key) for key in ("plan", "model")]
    if names[0] != plan.digest() or names[1] is None:
        raise ModelError(
            f"{model_file}: is no model of plan {plan.digest()[:12]} but of {str(names[0])[:12]} "
            "-> give the plan that trained it"
        )
    prepared = prepare_site(folder, plan, state / "cache", progress, own_seed)
    device = pick_device(prepared.settings.device)
    place = prepared.settings.name
    trainer = Trainer(plan, plan.network(names[1]), place, device, own_seed=own_seed)
    trainer.load(checkpoint.weights)
    drawn = state / "attention" / names[1] / checkpoint.metadata.get("arm", "local")
    carded = CARD_KEY in checkpoint.metadata
    threshold = load_card(model_file).card.operating_point if carded else None
    draw_attention(trainer, SiteSamples(prepared), drawn, threshold)
    return drawn


def explain_model(trainer: Trainer, samples: SiteSamples, state: Path, arm: str) -> tuple[Drawing, ...]:
    """The maps that are drawn of a study's network in an arm; where the plan averages maps, all are kept.

    Parameters
    ----------
    trainer : Trainer
        With the weights loaded.
    samples : SiteSamples
        The site's patients.
    state : Path
        The site's state.
    arm : str
        Name of the arm.
    """
    plan, model = trainer.plan, trainer.model.name
    if averages_maps(plan):
        keep_maps(trainer, samples, ScoreStore(state / "scores", plan.digest()), arm)
    return draw_attention(trainer, samples, state / "attention" / model / arm)


def draw_attention(
    trainer: Trainer, samples: SiteSamples, folder: Path, threshold: float | None = None
) -> tuple[Drawing, ...]:
    """Maps of some of the site's test patients, half of them with expansion; also written to the folder.

    Each explains the decision that the model takes for the patient.

    Parameters
    ----------
    trainer : Trainer
        With the weights loaded.
    samples : SiteSamples
        The site's patients.
    folder : Path
        One PNG a patient, named by the row of the cohort table, and `captions.csv`.
    threshold : float, optional
        A score of at least this is a decision for the outcome; the plan's by default.
    """
    point = trainer.plan.evaluation.threshold if threshold is None else threshold
    drawings, lines = [], [_HEADINGS]
    for case in _choose(trainer, samples):
        drawing = _draw(trainer, case, samples.prepared.settings, point)
        name = f"row-{case.patient.row}.png"
        write_atomically(folder / name, drawing.png)
        drawings.append(drawing)
        lines.append(_caption_line(name, drawing.caption))
    write_atomically(folder / "captions.csv", format_csv(lines).encode())
    return tuple(drawings)


def _caption_line(name: str, caption: Caption) -> list[str]:
    """What the picture shows, in words that would hide pixels if they stood in it."""
    said = [str(int(flag)) for flag in (caption.outcome, bool(caption.positive))]
    return [name, repr(caption.score), *said]


def _choose(trainer: Trainer, samples: SiteSamples) -> list[PreparedCase]:
    """Test patients drawn by lot, not by score, so that the pictures are no selection of successes."""
    random = generator(trainer.seed, trainer.place, "explanation")
    wanted = trainer.plan.explanation.per_site
    chosen: list[PreparedCase] = []
    for positive, number in ((True, (wanted + 1) // 2), (False, wanted // 2)):
        cases = [case for case in samples.cases_of_part(TEST) if case.positive == positive]
        chosen += [cases[index] for index in sorted(random.permutation(len(cases))[:number])]
    return chosen


def _draw(trainer: Trainer, case: PreparedCase, settings: SiteSettings, threshold: float) -> Drawing:
    if case.patient.baseline_ct is None or case.patient.baseline_mask is None:
        raise ValueError("a prepared case has a CT and a mask")
    plan, shape = trainer.plan, trainer.model.shape
    image = np.load(case.inputs[shape])
    batch = trainer.make_batch(image)
    probability = float(score(trainer.network, batch, trainer.device, plan.threads)[0])
    scan = read_scan(case.patient.baseline_ct, options_of(plan, settings))
    mask = read_mask(case.patient.baseline_mask, scan, labels_of_masks(settings))
    view = slice_scan(scan, mask, plan.preprocessing, shape)
    positive = probability >= threshold
    caption = Caption(outcome=case.positive, score=probability, positive=positive)
    picture = explain_decision(trainer.network, image, view, positive=positive, noun=plan.cohort.outcome.noun)
    return Drawing(caption, picture)
