"""The report page: one HTML file that needs no other file and no network."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.runtime.storage import write_atomically
from server.report import words
from server.report.attention_pictures import embed_overlay
from server.report.auc_words import describe_usual_interval, format_auc, list_remarks
from server.report.centre_forests import SCALES, place_mark
from server.report.centre_tables import build_centres
from server.report.characteristics import build_characteristics
from server.report.comparing import build_comparisons
from server.report.curves import build_curves
from server.report.glossary import list_terms
from server.report.headline import build_summary
from server.report.learning import build_training
from server.report.matrix_table import build_matrices
from server.report.mean_maps import build_attention
from server.report.palette import tint_auc
from server.report.performance import build_performance
from server.report.regression_tables import build_predictors
from server.report.reproducibility import build_reproducibility
from server.report.risks import build_calibration, build_decision_panels
from server.report.seeds_chapter import build_seeds
from server.report.selections import build_selections
from server.report.subgroup_tables import build_subgroup_plots
from server.report.subject import Subject, subject_of
from server.report.verdicts import VERDICT_RULES
from server.report.views import CohortView, ModelView, find_fair_cohorts
from server.report.written_names import find_written_names
from server.results.cohort import PartOfCohort
from server.results.file import Results

if TYPE_CHECKING:
    import jinja2

_HERE = Path(__file__).parent / "templates"
_FILTERS = {
    "number": words.format_number,
    "count": words.format_count,
    "classes": words.format_classes,
    "interval": words.format_interval,
    "risk": words.format_probability,
    "has_digit": words.has_digit,
    "remarks": list_remarks,
    "auc": format_auc,
    "interval_method": describe_usual_interval,
    "absence": words.explain_absence,
    "p_value": words.format_p_value,
    "data_volume": words.format_data_volume,
    "duration": words.format_duration,
    "clock": words.format_moment,
    "join_words": words.join_words,
    "tint": tint_auc,
    "embed": embed_overlay,
    "place": place_mark,
}
"""The filters that templates apply to values, by their name there."""


@dataclass(frozen=True)
class Chapter:
    """One chapter of the page.

    Attributes
    ----------
    name : str
        Name of its template and of its anchor.
    title : str
        Title in the table of contents.
    view : callable
        Builds from the Subject what the template shows; an empty or None result omits the chapter.
    """

    name: str
    title: str
    view: Callable[[Subject], object]


def _list_parts(subject: Subject) -> Mapping[str, tuple[PartOfCohort, ...]]:
    results = subject.results
    return {
        site.name: tuple(part for part in results.parts if part.site == site.name) for site in results.sites
    }


def _list_fair_cohorts(subject: Subject) -> tuple[tuple[ModelView, tuple[CohortView, ...]], ...]:
    """Each model with the cohorts that did not train it."""
    found = ((model, find_fair_cohorts(model)) for model in subject.models)
    return tuple((model, cohorts) for model, cohorts in found if cohorts)


def _require_evaluation(view: Callable[[Subject], object]) -> Callable[[Subject], object]:
    return lambda subject: view(subject) if subject.results.evaluation else None


def _show_always(subject: Subject) -> object:
    return subject


CHAPTERS = (
    Chapter("summary", "Findings", build_summary),
    Chapter("patients", "Patients", _list_parts),
    Chapter("characteristics", "Table 1: characteristics", build_characteristics),
    Chapter("predictors", "Table 2: predictors", build_predictors),
    Chapter("reproducibility", "Reproducibility", build_reproducibility),
    Chapter("selections", "Radiomics features", build_selections),
    Chapter("training", "Training", build_training),
    Chapter("matrix", "Evaluation matrix", build_matrices),
    Chapter("roc", "ROC curves", _require_evaluation(build_curves)),
    Chapter("confusion", "Confusion matrices", _require_evaluation(_list_fair_cohorts)),
    Chapter("performance", "Table 3: performance", _require_evaluation(build_performance)),
    Chapter("comparisons", "Comparisons", build_comparisons),
    Chapter("seeds", "Seeds", build_seeds),
    Chapter("calibration", "Calibration", build_calibration),
    Chapter("decision", "Decision curves", build_decision_panels),
    Chapter("subgroups", "Subgroups", build_subgroup_plots),
    Chapter("centres", "Differences between centres", build_centres),
    Chapter("attention", "Attention maps", build_attention),
    Chapter("run", "What was run", _show_always),
    Chapter("glossary", "Glossary", _show_always),
)


def write_report(results: Results, path: Path) -> None:
    """Write the page completely or not at all; the same results give the same bytes.

    Raises
    ------
    StorageError
        If the disk is full or the folder cannot be written.
    """
    write_atomically(path, render_page(results).encode(), private=False)


def render_page(results: Results) -> str:
    """The page as HTML text."""
    subject = subject_of(results)
    views = {chapter.name: chapter.view(subject) for chapter in CHAPTERS}
    return (
        _build_environment()
        .get_template("page.html")
        .render(
            css=_mark_as_safe((_HERE / "page.css").read_text(encoding="utf-8")),
            chapters=[chapter for chapter in CHAPTERS if views[chapter.name]],
            views=views,
            subject=subject,
            results=subject.results,
            study=subject.results.study,
            event=subject.event,
            glossary=list_terms(subject.results.study),
            no_event=subject.no_event,
            styles=subject.arm_styles,
            model_styles=subject.model_styles,
            models=subject.models,
            all_synthetic=all(site.synthetic for site in results.sites),
            written_names=list_written_names(results.study.plan),
            plan=json.dumps(results.study.plan, indent=2, sort_keys=True, ensure_ascii=False),
        )
    )


def list_written_names(plan: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The sites and models that files name otherwise than people do: the files' name, and theirs."""
    names = find_written_names(plan)
    return [*names.sites.items(), *names.models.items()]


@cache
def _build_environment() -> jinja2.Environment:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    environment.globals.update(words=words, rules=VERDICT_RULES, scales=SCALES)
    return environment


def _mark_as_safe(css: str) -> str:
    """The style sheet, marked as safe so that its quotes are not escaped.

    Raises
    ------
    ValueError
        If it contains "<", which could end the style element.
    """
    from markupsafe import Markup

    if "<" in css:
        raise ValueError("page.css must not contain '<'")
    return Markup(css)  # noqa: S704 - our own file, checked above
