"""The report page: one HTML file that needs nothing else, offline."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from common.storage import write_atomically
from server.report import words
from server.report.figures import Picture, TimedCurve, loss_picture, roc_picture, validation_picture
from server.report.glossary import GLOSSARY
from server.report.headline import findings, headline
from server.report.palette import ArmStyle, arm_styles, auc_tint
from server.report.views import (
    CohortView,
    ModelView,
    cohort_lines,
    cohort_sites,
    fair_cohorts,
    model_views,
    printed_cells,
)
from server.results import PartOfCohort, Results, Study

_HERE = Path(__file__).parent
_FILTERS = (
    words.number,
    words.count,
    words.classes,
    words.interval,
    words.estimate,
    words.absence,
    words.described,
    words.p_value,
    words.data_volume,
    words.duration,
    words.clock,
    words.join_words,
)


@dataclass(frozen=True)
class RocPanel:
    """One cohort's curves.

    Attributes
    ----------
    cohort : CohortView
    picture : Picture or None
        None where no curve may be shown.
    """

    cohort: CohortView
    picture: Picture | None


@dataclass(frozen=True)
class LearningPanels:
    """One model's learning curves.

    Attributes
    ----------
    loss : Picture
    validation : Picture or None
        None where no AUC was measured or may be shown.
    """

    loss: Picture
    validation: Picture | None


def write_report(results: Results, path: Path) -> None:
    """Writes the page, whole or not at all; the same results give the same bytes.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written.
    """
    write_atomically(path, render(results).encode())


def render(results: Results) -> str:
    """The page as text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({word.__name__: word for word in _FILTERS}, tint=auc_tint)
    environment.globals.update(words=words, glossary=GLOSSARY)
    styles = arm_styles(results)
    models = model_views(results)
    found = {model.name: findings(model) for model in models}
    return environment.get_template("page.html").render(
        css=_without_markup((_HERE / "page.css").read_text(encoding="utf-8")),
        results=results,
        study=results.study,
        event=words.positive_label(results.study),
        no_event=words.negative_label(results.study),
        styles=styles,
        models=models,
        findings=found,
        headline=headline(found[models[0].name]) if models else (),
        learning={model.name: _learning(model, results.study, styles) for model in models},
        rocs={model.name: _rocs(model, styles) for model in models},
        fair={model.name: fair_cohorts(model) for model in models},
        printed={model.name: printed_cells(model) for model in models},
        parts=_parts_by_site(results),
        cohort_sites=cohort_sites(results),
        cohort_lines=cohort_lines(results),
        all_synthetic=all(site.synthetic for site in results.sites),
        plan=json.dumps(results.study.plan, indent=2, sort_keys=True, ensure_ascii=False),
    )


def _without_markup(css: str) -> str:
    """The style sheet as the page's own text: quotes in it must not be escaped.

    Raises
    ------
    ValueError
        If it could end the element that it stands in.
    """
    from markupsafe import Markup

    if "<" in css:
        raise ValueError("page.css must not contain '<'")
    return Markup(css)  # noqa: S704 - our own file, checked above


def _learning(model: ModelView, study: Study, styles: Mapping[str, ArmStyle]) -> LearningPanels | None:
    curves = [
        TimedCurve(curve, study.local_epochs if curve.kind == "federated" else 1)
        for curve in model.curves
        if curve.points
    ]
    if not curves:
        return None
    validated = any(point.validation_auc is not None for timed in curves for point in timed.curve.points)
    alt = f"of {model.name} by epoch, one line for each of {len(curves)} arms"
    return LearningPanels(
        loss=loss_picture(curves, styles, f"Training loss {alt}"),
        validation=validation_picture(curves, styles, f"Validation AUC {alt}") if validated else None,
    )


def _rocs(model: ModelView, styles: Mapping[str, ArmStyle]) -> tuple[RocPanel, ...]:
    panels = []
    for cohort in fair_cohorts(model):
        drawn = [cell for cell in cohort.cells if cell.roc]
        areas = "; ".join(f"{styles[cell.arm].label} {words.estimate(cell.auc)}" for cell in drawn)
        alt = f"ROC curves of {model.name}, {cohort.sites}, {cohort.part}. AUC: {areas}"
        panels.append(RocPanel(cohort, roc_picture(drawn, styles, alt) if drawn else None))
    return tuple(panels)


def _parts_by_site(results: Results) -> Mapping[str, tuple[PartOfCohort, ...]]:
    return {
        site.name: tuple(part for part in results.parts if part.site == site.name) for site in results.sites
    }
