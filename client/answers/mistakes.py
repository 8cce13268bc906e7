"""Which of this hospital's patients a model got wrong, for its own eyes: a table that stays here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from rich.progress import Progress

from client.answers.score_store import ScoreStore
from client.cohort.cases import PreparedCase
from client.cohort.prepare import prepare_site
from common.cards.card import ModelCard
from common.cards.card_file import load_card
from common.errors import ModelError, ProtocolError
from common.plain_text import escape_surrogates
from common.plan.study import StudyPlan
from common.runtime.csv_file import format_csv
from common.runtime.storage import write_atomically
from common.types import Reals

CallVerdict: TypeAlias = Literal["missed", "false alarm", "right", "no score"]

_ORDER: tuple[CallVerdict, ...] = ("missed", "false alarm", "right", "no score")
_HEADINGS = ("patient", "row", "part", "outcome", "risk", "called_positive_from", "verdict")


@dataclass(frozen=True)
class JudgedPatient:
    """One patient and what the model made of him or her.

    Attributes
    ----------
    case : PreparedCase
        The patient.
    risk : float
        The model's score as the study's evaluation used it; NaN where there is none.
    verdict : CallVerdict
        Missed: has the outcome and is called negative. False alarm: the reverse.
    """

    case: PreparedCase
    risk: float
    verdict: CallVerdict

    @property
    def distance(self) -> float:
        """Of the risk to the outcome's wrong end, so that the most mistaken is the least; 0 without one."""
        if np.isnan(self.risk):
            return 0.0
        return self.risk if self.case.positive else 1 - self.risk


def write_mistakes(
    folder: Path, study: tuple[StudyPlan, int], model_file: Path, state: Path, progress: Progress
) -> str:
    """A table of all patients by what the model made of them; where it lies, and how many, in words.

    Parameters
    ----------
    folder : Path
        The site's.
    study : (StudyPlan, int)
        The study that trained the model; the seed with which the site draws among its patients in it.
    model_file : Path
        A model of that study, with its card.
    state : Path
        The site's state; gets `mistakes/MODEL-ARM.csv`.
    progress : Progress
        Shows the patients that are prepared.

    Raises
    ------
    ModelError
        If the file is no model, is of another study, or has not scored this site's patients.
    """
    plan, own_seed = study
    card = load_card(model_file).card
    if card.plan_hash != plan.digest():
        raise ModelError(
            f"{model_file}: is no model of plan {plan.digest()[:12]} but of {card.plan_hash[:12]} "
            "-> give the plan that trained it, or use rhe-client predict"
        )
    cases = prepare_site(folder, plan, state / "cache", progress, own_seed).cases
    try:
        risks = ScoreStore(state / "scores", plan.digest()).find(card.model, card.arm, cases)
    except ProtocolError as failure:
        raise ModelError(
            f"{model_file}: has not scored the patients of {folder} as they are now ({failure}) "
            "-> use rhe-client predict --folder"
        ) from None
    path = state / "mistakes" / f"{card.model}-{card.arm}.csv"
    judged = judge_patients(cases, risks, card.operating_point)
    text = format_csv(list_rows(judged, card))
    write_atomically(path, escape_surrogates(text).encode(), private=True)
    return f"{path}\n{describe_mistakes(judged, card)}"


def judge_patients(
    cases: Sequence[PreparedCase], risks: Reals, threshold: float
) -> tuple[JudgedPatient, ...]:
    """Missed patients first, then false alarms, each with the most mistaken risk first; then the others."""
    judged = (
        JudgedPatient(case, risk, _judge(case, risk, threshold))
        for case, risk in zip(cases, risks.tolist(), strict=True)
    )
    return tuple(
        sorted(judged, key=lambda one: (_ORDER.index(one.verdict), one.distance, one.case.patient.row))
    )


def _judge(case: PreparedCase, risk: float, threshold: float) -> CallVerdict:
    if np.isnan(risk):
        return "no score"
    if (risk >= threshold) == case.positive:
        return "right"
    return "missed" if case.positive else "false alarm"


def list_rows(judged: Sequence[JudgedPatient], card: ModelCard) -> list[list[str]]:
    """The table's rows: who, what happened, what the model said, and the patient's own values."""
    names = list(dict.fromkeys(name for one in judged for name in one.case.patient.values))
    volumes = any(one.case.baseline is not None for one in judged)
    headings = [*_HEADINGS, *(("baseline_ich_ml", "baseline_ivh_ml") if volumes else ())]
    return [[*headings, *names], *(_make_row(one, card, names, volumes=volumes) for one in judged)]


def _make_row(one: JudgedPatient, card: ModelCard, names: Sequence[str], *, volumes: bool) -> list[str]:
    case, patient = one.case, one.case.patient
    risk = "" if np.isnan(one.risk) else repr(one.risk)
    row = [patient.identifier, str(patient.row), case.part, str(int(case.positive)), risk]
    row += [repr(card.operating_point), one.verdict]
    if volumes:
        measured = case.baseline
        row += ["", ""] if measured is None else [f"{measured.ich_ml:.2f}", f"{measured.ivh_ml:.2f}"]
    return [*row, *("" if (value := patient.value(name)) is None else str(value) for name in names)]


def describe_mistakes(judged: Sequence[JudgedPatient], card: ModelCard) -> str:
    """How many patients of each part were missed or falsely alarmed; those who trained the model apart."""
    lines = [f"{card.model}, {card.arm}, called positive from {card.operating_point:g}:"]
    for part in ("train", "validation", "test"):
        here = [one for one in judged if one.case.part == part]
        if here:
            found = Counter(one.verdict for one in here)
            ill = sum(one.case.positive for one in here)
            lines.append(
                f"  {part}: {found['missed']} missed of {ill} with {card.outcome.noun}, "
                f"{found['false alarm']} false alarms of {len(here) - ill} without, {found['no score']} "
                "without a score"
            )
    lines.append("The table names patients: it stays at this hospital, and nothing of it is sent.")
    return "\n".join(lines)
