"""Federated averaging, round by round, with a checkpoint after every aggregation.

References
----------
McMahan et al. (2017), Communication-efficient learning of deep networks from decentralized data, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from common.errors import ModelError, ResumeError
from common.headers import Operation
from common.models.checkpoint import Checkpoint, load, save
from common.models.layout import TRAINED, Layout
from common.rounds import from_hidden, start_seed
from common.settings import Section
from common.stats.contract import Summary
from common.stats.minima import SIMULATION, Minima, minima_of
from common.stats.roc import finish_roc
from common.study import Arm, CnnModel, StudyPlan
from common.training.server_optimiser import PseudoGradientStep
from common.types import FlatWeights
from server.exchange import Exchange
from server.hidden import HiddenRound


class Round(Section):
    """One line of the federated learning curve."""

    number: int
    """From 1."""
    loss: float
    """Mean training loss over all patients of the arm, in the round's last local epoch."""
    validation_auc: float | None
    """Of the weights after the round, on the pooled validation splits; None without both classes."""
    released: bool = False
    """Whether enough patients stand behind the validation AUC to show it."""


_Curve = TypeAdapter(tuple[Round, ...])


@dataclass(frozen=True)
class Progressed:
    """Where a federated training stands after a whole number of rounds.

    Attributes
    ----------
    weights : float32 vector
        The global model.
    best : float32 vector
        The global model of the round with the best validation AUC so far.
    chosen : int
        That round; 0 before any was judged.
    best_auc : float
        Its validation AUC; -1 before any was judged.
    curve : tuple of Round
        A finished round's validation AUC comes with the next message, so the last may lack it.
    """

    weights: FlatWeights
    best: FlatWeights
    chosen: int = 0
    best_auc: float = -1.0
    curve: tuple[Round, ...] = ()

    @property
    def rounds(self) -> int:
        """How many rounds are aggregated."""
        return len(self.curve)


@dataclass
class FederatedTraining:
    """The training of one model by the sites of one arm.

    Attributes
    ----------
    exchange : Exchange
    model : CnnModel
    arm : Arm
    layout : Layout
        Of the model's weights.
    folder : Path
        Where checkpoints are kept.
    report : callable
        Called with the number of every aggregated round.
    """

    exchange: Exchange
    model: CnnModel
    arm: Arm
    layout: Layout
    folder: Path
    report: Callable[[int], None]

    def run(self, initial: FlatWeights) -> Progressed:
        """The trained model, continued from the last checkpoint if there is one.

        Each round is one message: the sites judge the weights that come on their validation splits, then
        train from them. A round's validation is known one message later; a last message judges the final one.

        Raises
        ------
        ExchangeError
            If a site fails or stays away; a later run continues from the last aggregation.
        """
        stepper = self._stepper()
        state = self._restore(stepper) or Progressed(initial, initial)
        plan = self.exchange.plan
        while state.rounds < plan.federation.rounds:
            sums, hidden = self._trained(state)
            state = judged(state, sums, self._minima)
            state = self._aggregated(state, sums, stepper)
            if hidden is not None:
                # Before the checkpoint: a resumed study asks for the same round, and has it on its disk
                hidden.close(state.weights)
            self._keep(state, stepper)
            if hidden is not None:
                hidden.forget()
            self.report(state.rounds)
        if self.exchange.hidden is not None:
            self.exchange.hidden.settle(self.model, self.arm)
        if state.curve[-1].validation_auc is None:
            sums = self._validated(state)
            state = judged(state, sums, self._minima)
            self._keep(state, stepper)
        return state

    def _trained(self, state: Progressed) -> tuple[Summary, HiddenRound | None]:
        """The next round's sums, and the round where it is hidden and has to be closed."""
        exchange, arm, plan, number = self.exchange, self.arm, self.exchange.plan, state.rounds + 1
        context = {"model": self.model.name, "arm": arm.name, "round": number}
        if exchange.hidden is None or len(arm.sites) == 1:
            return exchange.gather(Operation.TRAIN, None, state.weights, **context).of(arm.sites), None
        question = exchange.signed(Operation.TRAIN, None, None, **context)
        training = self.model, arm, self.layout
        opened, hidden = exchange.hidden.train(training, number, state.weights, question)
        return from_hidden(plan, self.layout, opened, self._weight()), hidden

    def _weight(self) -> int:
        """Of all the arm's sites: told once, before any set of sites can change."""
        if self.exchange.plan.privacy.weights == "equal":
            return len(self.arm.sites)
        told = self.exchange.sum(Operation.WEIGHT, self.arm.sites, arm=self.arm.name)
        return int(told.counts["patients"])

    def _validated(self, state: Progressed) -> Summary:
        context = {"model": self.model.name, "arm": self.arm.name, "round": state.rounds}
        return self.exchange.gather(Operation.VALIDATE, None, state.weights, **context).of(self.arm.sites)

    def _aggregated(self, state: Progressed, sums: Summary, stepper: PseudoGradientStep | None) -> Progressed:
        patients = int(sums.counts["patients"])
        mean_update = sums.updates["delta"] / np.float32(patients)
        moved = state.weights + mean_update if stepper is None else stepper.apply(state.weights, mean_update)
        if self.exchange.plan.privacy.noise is not None:
            # Noise may have carried a running variance below zero
            np.maximum(moved, 0, out=moved, where=self.layout.variances)
        line = Round(number=state.rounds + 1, loss=float(sums.reals["loss"]) / patients, validation_auc=None)
        return replace(state, weights=moved, curve=(*state.curve, line))

    @property
    def _minima(self) -> Minima:
        return minima_of(self.exchange.plan.profile)

    def _stepper(self) -> PseudoGradientStep | None:
        federation = self.exchange.plan.federation
        if federation.server_optimiser == "none":
            return None
        trained = self.layout.mask(TRAINED)
        return PseudoGradientStep(federation.server_optimiser, federation.server_learning_rate, trained)

    @property
    def _file(self) -> Path:
        return self.folder / self.model.name / f"{self.arm.name}.safetensors"

    def _keep(self, state: Progressed, stepper: PseudoGradientStep | None) -> None:
        memory = {} if stepper is None else {f"optimiser/{k}": v for k, v in stepper.state().items()}
        metadata = {
            "plan": self.exchange.plan.digest(),
            "chosen": str(state.chosen),
            "best_auc": state.best_auc.hex(),
            "curve": _Curve.dump_json(state.curve).decode(),
        }
        save(self._file, Checkpoint(state.weights, self.layout, metadata, {"best": state.best, **memory}))

    def _restore(self, stepper: PseudoGradientStep | None) -> Progressed | None:
        if not self._file.exists():
            return None
        kept = load(self._file, self.layout)
        if kept.metadata["plan"] != self.exchange.plan.digest():
            raise ResumeError(f"{self._file} belongs to another plan -> choose another --out")
        if stepper is not None:
            start = "optimiser/"
            stepper.restore({k.removeprefix(start): v for k, v in kept.extras.items() if k.startswith(start)})
        return Progressed(
            kept.weights,
            kept.extras["best"].astype(np.float32),
            int(kept.metadata["chosen"]),
            float.fromhex(kept.metadata["best_auc"]),
            _Curve.validate_json(kept.metadata["curve"]),
        )


def judged(state: Progressed, sums: Summary, minima: Minima) -> Progressed:
    """The state once the validation of its last round is known; equal AUCs go to the later round.

    Without validation patients of both classes the last round is the chosen one. The choice itself shows no
    number, so that it may rest on few patients; the curve's AUC is released only above the plan's minima.
    """
    if not state.curve:
        return state
    validation = sums.part("validation")
    auc = finish_roc(validation, minima=SIMULATION).auc
    released = finish_roc(validation, minima=minima).auc is not None
    last = state.curve[-1].model_copy(update={"validation_auc": auc, "released": released})
    state = replace(state, curve=(*state.curve[:-1], last))
    if auc is None or auc >= state.best_auc:
        best_auc = state.best_auc if auc is None else auc
        return replace(state, best=state.weights, chosen=state.rounds, best_auc=best_auc)
    return state


def initial_weights(
    plan: StudyPlan, model: CnnModel, arm: Arm, pretrained: Path | None
) -> tuple[FlatWeights, Layout]:
    """The weights with which a model starts in an arm, and their layout.

    Parameters
    ----------
    plan : StudyPlan
    model : CnnModel
    arm : Arm
    pretrained : Path or None
        A file of torchvision's, or a folder with it, where the plan asks for ImageNet weights.

    Raises
    ------
    ModelError
        If ImageNet weights are asked for and not given, or the file is not the published one.
    """
    from common.models.pretrained import load_pretrained
    from common.models.weights import flatten
    from common.models.zoo import build

    spec = model.network(plan.preprocessing)
    network = build(spec, start_seed(plan, model, arm))
    if model.initialisation == "imagenet":
        if pretrained is None:
            raise ModelError(
                f"{model.name} starts from ImageNet weights -> give torchvision's {spec.family} file or its "
                "folder with --pretrained"
            )
        load_pretrained(network, spec, pretrained)
    return flatten(network), Layout.of(network)
