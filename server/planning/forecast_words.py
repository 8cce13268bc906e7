"""A forecast in plain words, for a terminal of 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from common.plan.matrix import SPLITS, Part, TablePart
from common.plan.models import CardModel, CnnModel, ScoresModel
from common.plan.study import EARLIER
from common.stats.differencing import TOO_CLOSE
from common.stats.estimate import Status
from server.planning.forecast import EXPECTED_AUCS, Forecast
from server.planning.withheld_results import ForecastResult, ForecastTopic, is_open_ended
from server.report.words import format_data_volume, format_duration, join_words

_WIDTH = 80
_PARTS: dict[Part | TablePart, str] = {
    "train": "training patients",
    "validation": "validation patients",
    "test": "test patients",
    "training": "training and validation patients",
    "whole": "all patients",
}
_TOO_CLOSE_HERE = (
    "too few patients more or less than in a cohort that this study shows before it, so that the two "
    "together would tell of those few"
)
"""In a study that has not begun nothing is released yet: it is its own earlier cohort that is too close."""
_RULE_OF_THUMB = 10
"""Events a coefficient below which a regression is often called overfitted (Peduzzi et al. 1996)."""


def describe_forecast(forecast: Forecast) -> Iterator[str]:
    """The lines of a forecast."""
    event = forecast.plan.cohort.outcome.event
    yield from _wrap(f"Forecast of {forecast.plan.name}")
    yield from _wrap(
        "It assumes that every patient is included and has every value, and that each site's patients are "
        "divided by the plan. Missing values and rare signs can only withhold more."
    )
    yield from _describe_patients(forecast, event)
    yield from _describe_withheld(forecast.withheld, forecast.plan.profile)
    yield from _describe_intervals(forecast, event)
    yield from _describe_folds(forecast)
    yield from _describe_events(forecast)
    yield from _describe_rounds(forecast)
    yield from _describe_costs(forecast)
    yield from _describe_privacy(forecast)


def _wrap(text: str, indent: str = "") -> list[str]:
    # A command's name is never divided at its hyphen
    return textwrap.wrap(
        text, _WIDTH, initial_indent=indent, subsequent_indent=" " * len(indent), break_on_hyphens=False
    )


def _head(title: str, explanation: str) -> Iterator[str]:
    yield ""
    yield from _wrap(f"{title}. {explanation}")


def _align(rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Rows as columns; the first is flush left, others flush right."""
    table = list(rows)
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    first = max(20, min(widths[0], _WIDTH - 4 - sum(width + 2 for width in widths[1:])))
    for name, *cells in table:
        *above, last = textwrap.wrap(name, first, subsequent_indent="  ") or [""]
        yield from (f"  {line}" for line in above)
        texts = (cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield f"  {last.ljust(first)}  {'  '.join(texts)}".rstrip()


def _describe_patients(forecast: Forecast, event: str) -> Iterator[str]:
    yield from _head("Patients", f"With {event} / without it, in each part of each site.")
    rows: list[tuple[str, ...]] = [("", *SPLITS, "all")]
    for site, expected in forecast.patients.items():
        counts = [expected.count(part) for part in (*SPLITS, "whole")]
        rows.append((site, *(f"{positive} / {negative}" for negative, positive in counts)))
    yield from _align(rows)


def describe_withheld(results: Sequence[ForecastResult]) -> Iterator[str]:
    """What is withheld, a line for each kind of result and reason; a model that is not made is told once."""
    failed = [result for result in results if result.topic == "model"]
    unmade = {(result.model, result.arm) for result in failed}
    groups: dict[tuple[ForecastTopic, Status], list[ForecastResult]] = {}
    for result in results:
        if result.topic != "judgement" or (result.model, result.arm) not in unmade:
            groups.setdefault((result.topic, result.status), []).append(result)
    for (topic, status), members in groups.items():
        absent = "" if status.kind == "suppressed" else " (so there is none)"
        yield f"{_list_members(topic, members)}: {_name_reason(status)}{absent}"


def _name_reason(status: Status) -> str:
    return status.reason.replace(TOO_CLOSE, _TOO_CLOSE_HERE)


def _list_members(topic: ForecastTopic, members: list[ForecastResult]) -> str:
    names = list(dict.fromkeys(_name(member) for member in members))
    cohorts = "; ".join(dict.fromkeys(_name_cohort(member) for member in members))
    return {
        "description": f"Table 1 of {cohorts}",
        "regression": f"Table 2, {len(names)} of its regressions on {cohorts} ({', '.join(names)})",
        "model": f"The models {'; '.join(names)} are not made, and judged nowhere",
        "judgement": f"AUC, calibration and comparisons of every model on {cohorts}",
    }[topic]


def _name_cohort(result: ForecastResult) -> str:
    return f"{_PARTS[result.part]} of {join_words(result.sites)}"


def _name(result: ForecastResult) -> str:
    has_arms = result.arm not in {"", "given", EARLIER}
    return f"{result.model}, {result.arm}" if has_arms else result.model


def _describe_withheld(withheld: tuple[ForecastResult, ...], profile: str) -> Iterator[str]:
    if not withheld:
        yield from _head("Withheld", f'Nothing: the patients reach every minimum of the profile "{profile}".')
        return
    yield from _head("Withheld", f'What too few patients stand behind, by the profile "{profile}".')
    for line in describe_withheld(withheld):
        yield from _wrap(line, "  - ")
    if profile == "standard":
        yield from _wrap(
            "More patients reach the minima, or fewer questions in phases; of too few more or less, a larger "
            "part of the site's patients in that cohort, or none. If rhe-simulate made every site, write "
            'profile = "simulation" into the plan: minima of 1, which no site with patients takes part in.'
        )


def _describe_intervals(forecast: Forecast, event: str) -> Iterator[str]:
    if not forecast.intervals:
        return
    yield from _head(
        "Precision",
        "The 95 % interval around an AUC, and its width, by Hanley and McNeil (1982), on patients who did "
        f"not train at least one of the models, with {event} / without it. Half the width is how far the "
        "result can easily be from the truth.",
    )
    rows: list[tuple[str, ...]] = [("", "patients", *(f"if the AUC is {auc:g}" for auc in EXPECTED_AUCS))]
    for expected in forecast.intervals:
        limits = (
            "no interval"
            if interval is None
            else f"{interval.low:.2f} to {interval.high:.2f} ({interval.high - interval.low:.2f})"
            for interval in expected.intervals
        )
        whom = f"{_PARTS[expected.part]} of {join_words(expected.sites)}"
        rows.append((whom, f"{expected.positive} / {expected.negative}", *limits))
    yield from _align(rows)


def _describe_folds(forecast: Forecast) -> Iterator[str]:
    if not forecast.folds:
        return
    yield from _head("Folds", "Parts of the training patients in a cross-validation over sites.")
    for folds in forecast.folds:
        choice = folds.choice
        text = f"{choice.number} of {choice.planned} planned" + (f": {choice.why}" if choice.why else "")
        text = text if choice.status.ok else f"none: {choice.status.reason}"
        features = f"; {folds.features} random features" if folds.features else ""
        yield from _wrap(f"{folds.what} on {join_words(folds.sites)}: {text}{features}", "  - ")


def _describe_events(forecast: Forecast) -> Iterator[str]:
    models = {model.name: model for model in forecast.plan.models}
    rows: list[tuple[str, ...]] = []
    for result in forecast.results:
        model = models.get(result.model)
        if result.topic != "model" or model is None or isinstance(model, CnnModel | ScoresModel | CardModel):
            continue
        events, more = min(result.negative, result.positive), " and more" if is_open_ended(model) else ""
        each = f"{events / result.columns:.1f}" if result.columns else "open"
        each = f"at most {each}" if more and result.columns else each
        rows.append((_name(result), f"{events}", f"{result.columns}{more}", each))
    if rows:
        yield from _head(
            "Events a covariate",
            "Training patients of the rarer outcome for each column of a model; below "
            f"{_RULE_OF_THUMB}, coefficients are uncertain and risks too extreme (Peduzzi 1996).",
        )
        yield from _align([("", "events", "columns", "each"), *rows])


def _describe_rounds(forecast: Forecast) -> Iterator[str]:
    yield from _head(
        "Rounds of messages",
        "Each waits for the slowest site. How many a loop takes depends on the patients: at least, usually, "
        "and at most by the program's limits.",
    )
    rounds = forecast.rounds
    rows = [(phase, str(n.fewest), str(n.usual), str(n.most)) for phase, n in rounds.items()]
    sums = (sum(getattr(n, name) for n in rounds.values()) for name in ("fewest", "usual", "most"))
    yield from _align(
        [("", "at least", "usually", "at most"), *rows, ("together", *(str(number) for number in sums))]
    )


def _describe_costs(forecast: Forecast) -> Iterator[str]:
    yield from _head(
        "Bytes",
        "The networks' weights, and the large sums of the table at most; the time on a line of --mbit.",
    )
    rows: list[tuple[str, ...]] = [("", "to the site", "from the site", "on its line")]
    for site, cost in forecast.costs.items():
        line = "not known" if cost.line_minutes is None else format_duration(60 * cost.line_minutes)
        rows.append((site, format_data_volume(cost.received), format_data_volume(cost.sent), line))
    yield from _align(rows)
    disk = forecast.disk
    yield from _wrap(
        f"Disk here: about {format_data_volume(disk.total)}, of it models "
        f"{format_data_volume(disk.models)}; the rest is needed for --resume alone."
    )
    if forecast.training_minutes is None:
        yield from _wrap(
            "Training time: not known -> --minutes SITE=MINUTES, what one network takes there in one round "
            f"of {forecast.plan.federation.local_epochs} epochs. To measure it, on a computer like the "
            "site's: rhe-simulate centres --plan PLAN, with --patients N for each site, then rhe-simulate "
            "run with a copy of the plan that has rounds = 1 in [federation]; the minutes of the phase "
            "training, which its report tells, divided by networks and arms, are about those of a round."
        )
    elif forecast.training_minutes:
        yield from _wrap(
            f"Training time: about {format_duration(60 * forecast.training_minutes)}; a round takes as long "
            "as at its slowest site, and networks train one after the other."
        )


def _describe_privacy(forecast: Forecast) -> Iterator[str]:
    if forecast.privacy is None:
        yield from _head(
            "Privacy", "No noise is planned, so there is no epsilon; minima and masks protect patients."
        )
        return
    privacy = forecast.privacy
    yield from _head(
        "Privacy",
        f"Epsilon {privacy.outside:.3g} at delta {privacy.delta:g} after {privacy.releases} noisy rounds "
        f"({privacy.among_sites:.3g} towards another site): the smaller, the less the models tell whether a "
        "site took part. It says nothing of tables and evaluation, which are exact.",
    )


def write_forecast(forecast: Forecast) -> dict[str, Any]:
    """The forecast as one JSON object."""
    return {
        "plan": forecast.plan.digest(),
        "name": forecast.plan.name,
        "patients": {
            site: dict(zip(SPLITS, expected.counted.tolist(), strict=True))
            for site, expected in forecast.patients.items()
        },
        "results": [asdict(result) for result in forecast.results],
        "folds": [
            {
                "what": folds.what,
                "sites": folds.sites,
                "planned": folds.choice.planned,
                "number": folds.choice.number,
                "why": folds.choice.why or folds.choice.status.reason,
                "features": folds.features,
            }
            for folds in forecast.folds
        ],
        "intervals": [asdict(expected) for expected in forecast.intervals],
        "expected_aucs": EXPECTED_AUCS,
        "rounds": {phase: asdict(number) for phase, number in forecast.rounds.items()},
        "sites": {site: asdict(cost) for site, cost in forecast.costs.items()},
        "training_minutes": forecast.training_minutes,
        "disk": asdict(forecast.disk),
        "privacy": None if forecast.privacy is None else asdict(forecast.privacy),
    }
