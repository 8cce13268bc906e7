"""How the reference model came to be it, in words."""

from __future__ import annotations

from server.report.subject import Subject
from server.report.words import format_number, format_pair, join_words
from server.results.file import ValidationResult


def describe_reference(subject: Subject) -> str:
    """How the reference model came to be it; an empty string if there is none."""
    study, name = subject.results.study, subject.reference_title
    if not name:
        return ""
    if study.reference_origin == "plan":
        return f"{name} is the reference: the plan names it."
    if study.reference_origin == "first model":
        return f"{name} is the reference: no network was validated, and it is the plan's first model."
    if study.reference_origin is None:
        return (
            f"{name} is the reference, named in the plan or chosen by validation AUC, never by a test cohort."
        )
    if study.validated and len({network.model for network in study.validated}) == 1:
        return (
            f"{name} is the reference: it is the only network that was validated.{_list_validated(subject)}"
        )
    return (
        f"{name} is the reference: its validation AUC is the highest of the networks{_name_equals(subject)}."
        f"{_list_validated(subject)} No test cohort took part in the choice."
    )


def _name_equals(subject: Subject) -> str:
    study = subject.results.study
    if not study.reference_equals:
        return ""
    others = join_words([subject.find_title(name) for name in study.reference_equals])
    return f", as high as that of {others}, of which it is the first in the alphabet"


def _list_validated(subject: Subject) -> str:
    """The validation AUCs with the patients behind them; an empty string where they were not recorded."""
    validated = subject.results.study.validated
    if not validated:
        return ""
    texts = [_describe_result(subject, network) for network in validated]
    patients = f"{subject.event} / {subject.no_event}"
    return f" Validation AUCs, of scores in bins ({patients}): {', '.join(texts)}."


def _describe_result(subject: Subject, network: ValidationResult) -> str:
    auc = "withheld" if network.auc is None else format_number(network.auc)
    patients = format_pair(network.positive, network.negative)
    return f"{subject.find_title(network.model)} {auc} ({patients})"
