"""The results with every site and model named as people write them, for the page and its printed tables.

Messages, files and CSV columns carry plain names, "Klinikum-Koeln"; a reader sees "Klinikum Köln".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

from server.results.file import Results, SiteSummary
from server.results.provenance import SiteProvenance
from server.results.records import Record

_SITES = {"site", "sites", "cohort_sites", "training_sites", "contributors", "seen_sites"}
_MODELS = {"model", "first_model", "second_model", "reference_model", "reference_equals", "trained_as"}
_ARMS = {"arm", "first_arm", "second_arm"}
_TEXTS = {"notes", "differences", "reason", "fold_reason"}
_COVARIATES = {"variable", "covariates", "entered", "label"}
_WITHOUT = "-without-"
_SCORE, _LOGIT = "score:", " (logit of the score)"


@dataclass(frozen=True)
class WrittenNames:
    """How a plan's sites and models are written.

    Attributes
    ----------
    sites, models : mapping of str to str
        By the plain name, those that people write otherwise.
    """

    sites: Mapping[str, str]
    models: Mapping[str, str]

    def __bool__(self) -> bool:
        return bool(self.sites or self.models)

    def name_arm(self, arm: str) -> str:
        """The arm's name, with the centre that it leaves out as people write it."""
        head, middle, left = arm.partition(_WITHOUT)
        return f"{head}{middle}{self.sites.get(left, left)}"

    def name_covariate(self, covariate: str) -> str:
        """A covariate's name or label; of one that is a model's score, with the model's written name."""
        for start, end in ((_SCORE, ""), ("", _LOGIT)):
            model = covariate.removeprefix(start).removesuffix(end)
            if model != covariate:
                return f"{start}{self.models.get(model, model)}{end}"
        return covariate

    def write_text(self, text: str) -> str:
        """The text with every plain name in it as people write it."""
        written = {**self.models, **self.sites}
        longest = sorted(map(re.escape, written), key=len, reverse=True)
        pattern = rf"(?<![\w+-])(?:{'|'.join(longest)})(?![\w+-])"
        return re.sub(pattern, lambda found: written[found.group()], text)


def find_written_names(plan: Mapping[str, Any]) -> WrittenNames:
    """The written names of a plan's sites and models, as far as they differ from the plain ones."""
    sites, models = (
        {one["name"]: one["label"] for one in plan.get(section) or () if one.get("label")}
        for section in ("sites", "models")
    )
    return WrittenNames(sites, models)


def write_names(results: Results) -> Results:
    """The results with each site, model and arm by its written name; the same ones if all names are plain."""
    names = find_written_names(results.study.plan)
    if not names:
        return results
    written: Results = _rewrite(results, names)
    plan = _rewrite_plan(results.study.plan, names)
    return written.model_copy(update={"study": written.study.model_copy(update={"plan": plan})})


def _rewrite(record: Any, names: WrittenNames) -> Any:
    """The record, or the statistic in it, with its names written; anything else as it is."""
    if isinstance(record, tuple):
        return tuple(_rewrite(one, names) for one in record)
    if isinstance(record, Record):
        values = dict(record)
    elif is_dataclass(record) and not isinstance(record, type):
        values = {field.name: getattr(record, field.name) for field in fields(record) if field.init}
    else:
        return record
    changed = {
        name: found
        for name, value in values.items()
        if (found := _rewrite_field(record, name, value, names)) is not value and found != value
    }
    if not changed:
        return record
    return record.model_copy(update=changed) if isinstance(record, Record) else replace(record, **changed)


def _rewrite_field(record: object, name: str, value: Any, names: WrittenNames) -> Any:
    change = _choose_change(record, name, names)
    if change is None:
        return _rewrite(value, names)
    if isinstance(value, str):
        return change(value)
    if isinstance(value, tuple) and all(isinstance(one, str) for one in value):
        return tuple(map(change, value))
    return _rewrite(value, names)


def _choose_change(record: object, name: str, names: WrittenNames) -> Callable[[str], str] | None:
    """What becomes of the texts of this field; None where they are no names."""
    if name in _SITES or (name == "name" and isinstance(record, SiteSummary | SiteProvenance)):
        return lambda site: names.sites.get(site, site)
    if name in _MODELS:
        return lambda model: names.models.get(model, model)
    if name in _ARMS:
        return names.name_arm
    if name in _COVARIATES:
        return names.name_covariate
    return names.write_text if name in _TEXTS else None


def _rewrite_plan(plan: Mapping[str, Any], names: WrittenNames) -> dict[str, Any]:
    """The plan as the page looks models up in it: by their written names."""
    sites = [one | {"name": names.sites.get(one["name"], one["name"])} for one in plan.get("sites") or ()]
    models = [_rewrite_model(model, names) for model in plan.get("models") or ()]
    return {**plan, "models": models, "sites": sites}


def _rewrite_model(model: Mapping[str, Any], names: WrittenNames) -> dict[str, Any]:
    covariates = [names.name_covariate(str(name)) for name in model.get("covariates") or ()]
    written = {"name": names.models.get(model["name"], model["name"])}
    return {**model, **written} | ({"covariates": covariates} if covariates else {})
