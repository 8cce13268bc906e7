"""The report page: one HTML file that needs nothing else, offline."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from common.storage import write_atomically
from server.report import words
from server.report.characteristics import characteristics
from server.report.comparing import comparisons
from server.report.curves import curves
from server.report.glossary import GLOSSARY
from server.report.headline import summary
from server.report.learning import training
from server.report.matrix import matrices
from server.report.palette import auc_tint
from server.report.performance import performance
from server.report.predictors import predictors
from server.report.reproducibility import reproducibility
from server.report.risks import calibration, decision
from server.report.selections import selections
from server.report.subgroups import heterogeneity, subgroups
from server.report.subject import Subject, subject_of
from server.report.views import CohortView, fair_cohorts
from server.results import PartOfCohort, Results

if TYPE_CHECKING:
    import jinja2

_HERE = Path(__file__).parent / "templates"
_FILTERS = (
    words.number,
    words.count,
    words.classes,
    words.interval,
    words.estimate,
    words.absence,
    words.p_value,
    words.data_volume,
    words.duration,
    words.clock,
    words.join_words,
)


@dataclass(frozen=True)
class Chapter:
    """One part of the page; its template has its name.

    Attributes
    ----------
    name : str
    title : str
        In the contents.
    view : callable
        What its template shows; something empty if the study has nothing to say in it.
    """

    name: str
    title: str
    view: Callable[[Subject], object]


def _patients(subject: Subject) -> Mapping[str, tuple[PartOfCohort, ...]]:
    results = subject.results
    return {
        site.name: tuple(part for part in results.parts if part.site == site.name) for site in results.sites
    }


def _confusion(subject: Subject) -> tuple[CohortView, ...]:
    return fair_cohorts(subject.models[0]) if subject.models else ()


def _if_judged(view: Callable[[Subject], object]) -> Callable[[Subject], object]:
    return lambda subject: view(subject) if subject.results.evaluation else None


def _attention(subject: Subject) -> object:
    """Only networks have attention."""
    return subject.results.training


def _always(subject: Subject) -> object:
    return subject


CHAPTERS = (
    Chapter("summary", "Findings", summary),
    Chapter("patients", "Patients", _patients),
    Chapter("characteristics", "Table 1: characteristics", characteristics),
    Chapter("predictors", "Table 2: predictors", predictors),
    Chapter("reproducibility", "Reproducibility", reproducibility),
    Chapter("selections", "Radiomics features", selections),
    Chapter("training", "Training", training),
    Chapter("matrix", "Evaluation matrix", matrices),
    Chapter("roc", "ROC curves", _if_judged(curves)),
    Chapter("confusion", "Confusion matrices", _if_judged(_confusion)),
    Chapter("performance", "Table 3: performance", _if_judged(performance)),
    Chapter("comparisons", "Comparisons", comparisons),
    Chapter("calibration", "Calibration", calibration),
    Chapter("decision", "Decision curves", decision),
    Chapter("subgroups", "Subgroups", subgroups),
    Chapter("centres", "Differences between centres", heterogeneity),
    Chapter("attention", "Attention maps", _attention),
    Chapter("run", "What was run", _always),
    Chapter("glossary", "Glossary", _always),
)


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
    subject = subject_of(results)
    views = {chapter.name: chapter.view(subject) for chapter in CHAPTERS}
    return (
        _environment()
        .get_template("page.html")
        .render(
            css=_without_markup((_HERE / "page.css").read_text(encoding="utf-8")),
            chapters=[chapter for chapter in CHAPTERS if views[chapter.name]],
            views=views,
            subject=subject,
            results=results,
            study=results.study,
            event=subject.event,
            no_event=subject.no_event,
            styles=subject.arm_styles,
            model_styles=subject.model_styles,
            models=subject.models,
            all_synthetic=all(site.synthetic for site in results.sites),
            plan=json.dumps(results.study.plan, indent=2, sort_keys=True, ensure_ascii=False),
        )
    )


def _environment() -> jinja2.Environment:
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
    return environment


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
