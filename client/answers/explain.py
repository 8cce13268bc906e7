"""Attention maps over the original CT slice (the paper's Fig. 5), drawn and kept at the site."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from rich.progress import Progress

from client.answers.samples import TEST, SiteSamples
from client.answers.trainer import Trainer
from client.cohort.cases import PreparedCase
from client.cohort.prepare import prepare_site
from client.cohort.reading_options import options_of
from client.cohort.scans import labels_of_masks
from client.membership.site import SiteSettings
from common.errors import ModelError
from common.imaging.grid import Box, Grid
from common.imaging.masks.mask import read_mask
from common.imaging.preprocess import locate_crops
from common.imaging.reader import read_scan
from common.imaging.recipe import InputShape, Recipe
from common.imaging.resample import resample
from common.imaging.window import window
from common.messages.headers import Caption
from common.models.checkpoint import load
from common.models.gradcam import attention
from common.plan.study import StudyPlan
from common.runtime.storage import write_atomically
from common.seeds import generator
from common.training.device import pick_device
from common.training.loop import score
from common.types import Pixels

_STRONGEST = 0.55
"""Opacity where attention is 1: the CT must remain readable below."""


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


@dataclass(frozen=True)
class _Slice:
    """The CT slice with the largest lesion, and what of it the network sees.

    Attributes
    ----------
    pixels : float32 array, shape (y, x)
        In [0, 1].
    extent : tuple of 4 floats
        Left, right, bottom, top of the network's input, in pixels of the slice.
    plane : float
        Where the slice lies in the input along z, in [0, 1).
    """

    pixels: Pixels
    extent: tuple[float, float, float, float]
    plane: float


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
    draw_attention(trainer, SiteSamples(prepared, device), drawn)
    return drawn


def draw_attention(trainer: Trainer, samples: SiteSamples, folder: Path) -> tuple[Drawing, ...]:
    """Maps of some of the site's test patients, half of them with expansion; also written to the folder.

    Parameters
    ----------
    trainer : Trainer
        With the weights loaded.
    samples : SiteSamples
        The site's patients.
    folder : Path
        One PNG a patient, named by the row of the cohort table.
    """
    drawings = []
    for case in _choose(trainer, samples):
        drawing = _draw(trainer, case, samples.prepared.settings)
        write_atomically(folder / f"row-{case.patient.row}.png", drawing.png)
        drawings.append(drawing)
    return tuple(drawings)


def _choose(trainer: Trainer, samples: SiteSamples) -> list[PreparedCase]:
    """Test patients drawn by lot, not by score, so that the pictures are no selection of successes."""
    random = generator(trainer.seed, trainer.place, "explanation")
    wanted = trainer.plan.explanation.per_site
    chosen: list[PreparedCase] = []
    for positive, number in ((True, (wanted + 1) // 2), (False, wanted // 2)):
        cases = [case for case in samples.cases_of_part(TEST) if case.positive == positive]
        chosen += [cases[index] for index in sorted(random.permutation(len(cases))[:number])]
    return chosen


def _draw(trainer: Trainer, case: PreparedCase, settings: SiteSettings) -> Drawing:
    shape = trainer.model.shape
    image = np.load(case.inputs[shape])
    heat = attention(trainer.network, image)
    batch = trainer.make_batch(image)
    probability = float(score(trainer.network, batch, trainer.device, trainer.plan.threads)[0])
    view = _slice_of(case, settings, trainer.plan, shape)
    if heat.ndim == 3:
        heat = heat[min(int(view.plane * len(heat)), len(heat) - 1)]
    caption = Caption(outcome=case.positive, score=probability)
    return Drawing(caption, _draw_picture(view, heat, trainer.model.name, caption))


def _slice_of(case: PreparedCase, settings: SiteSettings, plan: StudyPlan, shape: InputShape) -> _Slice:
    if case.patient.baseline_ct is None or case.patient.baseline_mask is None:
        raise ValueError("a prepared case has a CT and a mask")
    scan, recipe = read_scan(case.patient.baseline_ct, options_of(plan, settings)), plan.preprocessing
    mask = read_mask(case.patient.baseline_mask, scan, labels_of_masks(settings))
    grid = Grid(scan.geometry, recipe.spacing_mm)
    crops = locate_crops(mask, grid, recipe)
    plane = crops.rectangle.start[0]
    _, rows, columns = grid.shape
    slice_box = Box((plane, 0, 0), (1, rows, columns))
    pixels = window(resample(scan.voxels, grid, slice_box, recipe.interpolation), recipe)[0]
    box = crops.of(shape.dimensions, 1)
    depth = (plane - box.start[0] + 0.5) / box.count[0]
    return _Slice(pixels, _find_extent(box, recipe, shape), depth)


def _find_extent(box: Box, recipe: Recipe, shape: InputShape) -> tuple[float, float, float, float]:
    """Left, right, bottom and top of what the network sees, in pixels of the slice."""
    sides = []
    for axis, spacing_mm in ((2, recipe.spacing_mm[0]), (1, recipe.spacing_mm[1])):
        count = float(box.count[axis])
        centre = box.start[axis] + count / 2 - 0.5
        if recipe.scaling == "physical":
            count = shape.size * recipe.physical_mm_per_pixel / spacing_mm
        sides.append((centre - count / 2, centre + count / 2))
    (left, right), (top, bottom) = sides
    return left, right, bottom, top


def _draw_picture(view: _Slice, heat: Pixels, model: str, caption: Caption) -> bytes:
    figure = Figure(figsize=(6.4, 3.5), dpi=110, layout="constrained", facecolor="black")
    FigureCanvasAgg(figure)
    plain, overlaid = figure.subplots(1, 2)
    rows, columns = view.pixels.shape
    for axes in (plain, overlaid):
        axes.imshow(view.pixels, cmap="gray", vmin=0, vmax=1, interpolation="bilinear")
        axes.set_axis_off()
    left, right, bottom, top = view.extent
    plain.plot([left, right, right, left, left], [top, top, bottom, bottom, top], color="#ffd24a", lw=0.9)
    overlaid.imshow(
        heat,
        cmap="jet",
        alpha=heat * _STRONGEST,
        extent=view.extent,
        interpolation="bilinear",
        vmin=0,
        vmax=1,
    )
    for axes in (plain, overlaid):
        axes.set_xlim(-0.5, columns - 0.5)
        axes.set_ylim(rows - 0.5, -0.5)
    outcome = "expansion" if caption.outcome else "no expansion"
    figure.suptitle(f"{model}: {outcome}, score {caption.score:.2f}", color="white", fontsize=9)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
