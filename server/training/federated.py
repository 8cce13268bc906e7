"""Federated averaging, round by round, with a checkpoint after every aggregation.

References
----------
McMahan et al. (2017), Communication-efficient learning of deep networks from decentralized data, Algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from common.errors import ExchangeError, ModelError, NonFiniteError, ResumeError
from common.hiding.next_weights import derive_frozen, follow_mean, make_stepper
from common.hiding.rounds import VALIDATION_GRID, start_seed, weight_of
from common.messages.catalogue import Operation
from common.messages.groups import groups_of
from common.models.checkpoint import Checkpoint, load, save
from common.models.layout import Layout
from common.plan.study import Arm, CnnModel, StudyPlan
from common.program.names import name_training
from common.program.trainings import number_round
from common.runtime.array_digest import digest_array, freeze_array
from common.runtime.settings_file import Section
from common.stats.contract import Summary, are_finite
from common.stats.minima import SIMULATION, Minima, minima_of
from common.stats.roc import finish_roc
from common.training.server_optimiser import PseudoGradientStep
from common.types import FlatWeights
from server.exchange import Exchange
from server.round_end import HiddenRound
from server.run import name_checkpoint
from server.training.best_weights import BestWeights
from server.training.early_end import EarlyEnd, find_early_end


class Round(Section):
    """One line of the federated learning curve."""

    number: int
    """Number of the round, from 1."""
    loss: float
    """Mean training loss over the patients who trained in the round, in its last local epoch."""
    validation_auc: float | None
    """AUC of the weights after the round, on the pooled validation splits; None without both classes."""
    released: bool = False
    """Whether the validation AUC rests on enough patients to be shown."""
    contributors: tuple[str, ...] | None = None
    """Sites of the arm whose patients trained in the round; None where that was not recorded."""
    answered: tuple[str, ...] | None = None
    """Sites of the arm whose answer is in the round's sum: their validation patients judged the round before;
    None where that was not recorded."""


_Curve = TypeAdapter(tuple[Round, ...])


@dataclass(frozen=True)
class TrainingState:
    """Where a federated training stands after a whole number of rounds.

    Attributes
    ----------
    weights : float32 vector
        The global model.
    best : float32 vector
        The global model of the round with the best validation AUC so far.
    chosen : int
        Number of that round; 0 before any round was judged.
    best_auc : float
        Its validation AUC; -1 before any round was judged.
    curve : tuple of Round
        One entry for each aggregated round. A round's validation AUC comes with the next message, so the last
        entry may lack it.
    """

    weights: FlatWeights
    best: FlatWeights
    chosen: int = 0
    best_auc: float = -1.0
    curve: tuple[Round, ...] = ()

    @property
    def rounds(self) -> int:
        """How many rounds have been aggregated."""
        return len(self.curve)


@dataclass
class FederatedTraining:
    """The training of one model by the sites of one arm.

    Attributes
    ----------
    exchange : Exchange
        The connection to the sites.
    model : CnnModel
        The network to train.
    arm : Arm
        Whose patients train it.
    layout : Layout
        Names, shapes and kinds of the arrays in the model's flat weights.
    folder : Path
        Folder of all checkpoints; the model's and arm's names give the file.
    report : callable
        Called with the number of rounds after each aggregation.
    patients : mapping of str to int
        Training patients of each site of the arm, as the sites stated them when they prepared.
    """

    exchange: Exchange
    model: CnnModel
    arm: Arm
    layout: Layout
    folder: Path
    report: Callable[[int], None]
    patients: Mapping[str, int]

    def run(self, initial: FlatWeights) -> TrainingState:
        """The state after the last round, continued from the last checkpoint if there is one.

        The last is the plan's, or where its `early_stopping` ends the training: the round that was trained
        while the sums came that say so.

        Each round is one message: the sites judge the global weights on their validation splits, then train
        from them. A round's validation is known one message later; one more message judges the last round.

        Parameters
        ----------
        initial : float32 vector
            The weights with which training starts.

        Raises
        ------
        ExchangeError
            If a site fails or does not answer; a later run continues from the last aggregation.
        NonFiniteError
            If the global weights became NaN or infinite.
        ResumeError
            If the checkpoint belongs to another plan.
        """
        stepper = make_stepper(self.exchange.plan, self.layout)
        state = self._load(stepper) or TrainingState(initial, initial)
        plan, watch, name = self.exchange.plan, self.exchange.watch, (self.model.name, self.arm.name)
        watch.see_training(*name, plan.federation.rounds, state.curve)
        while state.rounds < plan.federation.rounds and find_end(plan, state.curve) is None:
            state = self._conduct_round(state, stepper)
            self.report(state.rounds)
            watch.see_round(*name, state.curve)
        if self.exchange.hidden is not None:
            self.exchange.hidden.settle(self.model, self.arm)
        if state.curve[-1].validation_auc is None:
            sums = self._validate(state)
            state = judge_round(state, sums, self._minima)
            self._save(state, stepper)
        return state

    def _conduct_round(self, state: TrainingState, stepper: PseudoGradientStep | None) -> TrainingState:
        """The state after one more round; neither its sums nor the weights before are held any longer."""
        plan = self.exchange.plan
        sums, hidden = self._train_round(state)
        state = self._aggregate(judge_round(state, sums, self._minima), sums, stepper, hidden)
        if hidden is not None:
            # Before the checkpoint: a resumed study asks for the same round and reads it from the disk
            # Where the weight is of each round, the sum that comes back says it
            told = 0 if plan.privacy.weights == "per-round" else int(sums.counts["patients"])
            hidden.close(state.weights, told)
        self._save(state, stepper)
        if hidden is not None:
            hidden.forget()
        return state

    def _train_round(self, state: TrainingState) -> tuple[Summary, HiddenRound | None]:
        """The next round's sums; where they are hidden also the round, which has the update's."""
        exchange, arm, number = self.exchange, self.arm, state.rounds + 1
        context = self._describe_step(Operation.TRAIN, number)
        if exchange.hidden is None or len(arm.sites) == 1:
            return exchange.gather(Operation.TRAIN, None, state.weights, **context).of(arm.sites), None
        question = exchange.sign_question(Operation.TRAIN, None, None, **context)
        training = self.model, arm, self.layout
        opened, hidden = exchange.hidden.train(training, number, state.weights, question)
        patients = {"patients": np.array(self._ask_weight(number))}
        return Summary({**patients, **opened.counts}, opened.reals), hidden

    def _ask_weight(self, number: int) -> int:
        """Total weight of all the arm's sites, summed once, before a site can be missing from a round."""
        plan, context = self.exchange.plan, {"arm": self.arm.name, **self._place(Operation.WEIGHT)}
        if plan.privacy.weights == "equal" and number > 1 and not self._was_weighed(context):
            # The training began when nobody asked; in its middle the sites answer this no more
            return sum(weight_of(plan, self.patients[site]) for site in self.arm.sites)
        answer = self.exchange.gather(Operation.WEIGHT, None, None, **context).of(self.arm.sites)
        return int(answer.counts["patients"])

    def _was_weighed(self, context: Mapping[str, object]) -> bool:
        exchange = self.exchange
        groups = groups_of(exchange.plan, Operation.WEIGHT, "", self.arm.name)
        question = exchange.sign_question(Operation.WEIGHT, None, None, **context)
        return exchange.hidden is not None and exchange.hidden.has_opened(groups, question)

    def _validate(self, state: TrainingState) -> Summary:
        context = self._describe_step(Operation.VALIDATE, state.rounds)
        return self.exchange.gather(Operation.VALIDATE, None, state.weights, **context).of(self.arm.sites)

    def _describe_step(self, operation: Operation, number: int) -> dict[str, object]:
        about = {"model": self.model.name, "arm": self.arm.name, "round": number}
        return {**about, **self._place(operation, number)}

    def _place(self, operation: Operation, number: int = 0) -> dict[str, object]:
        """Where a question stands in the training's procedure."""
        step = number_round(self.exchange.plan, self.model, self.arm, operation, number)
        return {"procedure": name_training(self.model, self.arm), "step": step}

    def _aggregate(
        self,
        state: TrainingState,
        sums: Summary,
        stepper: PseudoGradientStep | None,
        hidden: HiddenRound | None,
    ) -> TrainingState:
        members = self.arm.sites if hidden is None else hidden.members
        line = self._describe_round(state.rounds + 1, float(sums.reals["loss"]), members)
        patients = int(sums.counts["patients"])
        if hidden is None:
            moved = self._follow_clear(state.weights, sums.updates["delta"], patients, stepper)
        else:
            training = self.exchange.plan, self.layout, stepper
            moved = derive_frozen(training, hidden.words, patients, state.weights)
        if not are_finite(moved):
            raise NonFiniteError(
                f"{self.model.name}, {self.arm.name}, round {line.number}: the sites' mean weights are NaN "
                "or infinite -> lower the learning rate"
            )
        return replace(state, weights=moved, curve=(*state.curve, line))

    def _follow_clear(
        self, weights: FlatWeights, delta: FlatWeights, patients: int, stepper: PseudoGradientStep | None
    ) -> FlatWeights:
        """The next global weights from the sum of what the sites sent in the clear.

        Raises
        ------
        ExchangeError
            If it is of another network.
        """
        if delta.shape != weights.shape:
            text = f"{self.model.name}, {self.arm.name}: the sites' update has {delta.size} values, not"
            raise ExchangeError(f"{text} {weights.size} -> see that all run the same version of rhe")
        with np.errstate(over="ignore", invalid="ignore"):
            moved = follow_mean(weights, delta, patients, None if stepper is None else stepper.apply)
        # The rounding of a great fall may have made a running variance negative
        for entry in self.layout.entries:
            if entry.is_variance:
                part = moved[self.layout.slices[entry.name]]
                np.maximum(part, 0, out=part)
        return freeze_array(moved)

    def _describe_round(self, number: int, loss: float, members: Sequence[str]) -> Round:
        """The round's line of the learning curve.

        Parameters
        ----------
        number : int
            The round's, from 1.
        loss : float
            Sum of the members' losses, each times the site's weight.
        members : sequence of str
            Sites in the round's sum, among them some that may only add zeros.

        Raises
        ------
        ExchangeError
            If no site of the arm has enough patients to train.
        """
        answered = tuple(site for site in self.arm.sites if site in members)
        weights = {site: weight_of(self.exchange.plan, self.patients[site]) for site in answered}
        if not any(weights.values()):
            raise ExchangeError(
                f"{self.model.name}, {self.arm.name}, round {number}: no site has enough training patients "
                "-> see the sites' flow charts"
            )
        return Round(
            number=number,
            # By the weight of those who are in the sum: a site that rests has no loss in it
            loss=loss / sum(weights.values()),
            validation_auc=None,
            contributors=tuple(site for site, weight in weights.items() if weight),
            answered=answered,
        )

    @property
    def _minima(self) -> Minima:
        return minima_of(self.exchange.plan.profile)

    @property
    def _file(self) -> Path:
        return name_checkpoint(self.folder, self.model, self.arm)

    def _save(self, state: TrainingState, stepper: PseudoGradientStep | None) -> None:
        memory = {} if stepper is None else {f"optimiser/{k}": v for k, v in stepper.state().items()}
        metadata = {
            "plan": self.exchange.plan.digest(),
            "chosen": str(state.chosen),
            "best_auc": state.best_auc.hex(),
            "curve": _Curve.dump_json(state.curve).decode(),
            "best": digest_array(state.weights)
            if state.best is state.weights
            else self._best.keep(state.best),
        }
        save(self._file, Checkpoint(state.weights, self.layout, metadata, memory))
        self._best.written = digest_array(state.weights)
        self._best.drop_others(metadata["best"])

    @cached_property
    def _best(self) -> BestWeights:
        return BestWeights(self._file, self.layout)

    def _load(self, stepper: PseudoGradientStep | None) -> TrainingState | None:
        if not self._file.exists():
            return None
        checkpoint = load(self._file, self.layout)
        if checkpoint.metadata["plan"] != self.exchange.plan.digest():
            raise ResumeError(f"{self._file} belongs to another plan -> choose another --out")
        if "best" not in checkpoint.metadata:
            raise ResumeError(f"{self._file} is of an earlier release of rhe -> finish the study with that")
        if stepper is not None:
            start = "optimiser/"
            memory = {k.removeprefix(start): v for k, v in checkpoint.extras.items() if k.startswith(start)}
            stepper.restore(memory)
        self._best.written, best = digest_array(checkpoint.weights), checkpoint.metadata["best"]
        return TrainingState(
            checkpoint.weights,
            checkpoint.weights if best == self._best.written else self._best.read(best),
            int(checkpoint.metadata["chosen"]),
            float.fromhex(checkpoint.metadata["best_auc"]),
            _Curve.validate_json(checkpoint.metadata["curve"]),
        )


def read_curve(folder: Path, model: CnnModel, arm: Arm) -> tuple[Round, ...]:
    """The rounds of a federated training that were aggregated, by the checkpoint in the folder of all."""
    path = name_checkpoint(folder, model, arm)
    return _Curve.validate_json(load(path).metadata["curve"]) if path.exists() else ()


def find_end(plan: StudyPlan, curve: Sequence[Round]) -> EarlyEnd | None:
    """Why a training ends, or ended, before the plan's last round; None if it does not."""
    return find_early_end(plan.federation, ((line.number, line.validation_auc) for line in curve))


def judge_round(state: TrainingState, sums: Summary, minima: Minima) -> TrainingState:
    """The state once the validation of its last round is known; of equal AUCs the later round is chosen.

    Without validation patients of both classes the last round is chosen. The choice itself shows no number,
    so it may rest on few patients; the curve's AUC is released only above the plan's minima.

    Parameters
    ----------
    state : TrainingState
        After the round that is judged.
    sums : Summary
        Its part "validation" holds the histograms of the round's scores.
    minima : Minima
        Of the plan's profile, for the AUC that is shown.
    """
    if not state.curve:
        return state
    validation = sums.part("validation")
    auc = finish_roc(validation, VALIDATION_GRID, minima=SIMULATION).auc.value
    released = finish_roc(validation, VALIDATION_GRID, minima=minima).auc.standing.ok
    last = state.curve[-1].model_copy(update={"validation_auc": auc, "released": released})
    state = replace(state, curve=(*state.curve[:-1], last))
    if auc is None or auc >= state.best_auc:
        best_auc = state.best_auc if auc is None else auc
        return replace(state, best=state.weights, chosen=state.rounds, best_auc=best_auc)
    return state


def make_initial_weights(
    plan: StudyPlan, model: CnnModel, arm: Arm, pretrained: Path | None
) -> tuple[FlatWeights, Layout]:
    """The weights with which a model starts in an arm, and their layout.

    Parameters
    ----------
    plan : StudyPlan
        Its seed determines random weights.
    model : CnnModel
        The network.
    arm : Arm
        All arms start alike, except those of a leave-one-centre-out design.
    pretrained : Path or None
        A file of torchvision's, or a folder with it, where the plan asks for ImageNet weights.

    Raises
    ------
    ModelError
        If the plan asks for ImageNet weights and they are not given, or the file is not the published one.
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
    weights = flatten(network)
    if model.first_weights not in {None, hash_weights(weights)}:
        raise ModelError(
            f"{model.name}: the weights in {pretrained} are not those of the plan's first_weights "
            f"({str(model.first_weights)[:12]}...) -> give the file from which the plan was made"
        )
    return weights, Layout.of(network)


def hash_weights(weights: FlatWeights) -> str:
    """SHA-256 of a network's flat weights, as every site computes it."""
    return digest_array(weights)


def list_first_weights(plan: StudyPlan, pretrained: Path) -> dict[str, str]:
    """SHA-256 of the first weights of each network that starts from ImageNet, by the network's name.

    Parameters
    ----------
    plan : StudyPlan
        Its seed determines the head, which ImageNet does not have.
    pretrained : Path
        A file of torchvision's, or a folder with it.
    """
    arm = plan.all_arms()[0]
    return {
        model.name: hash_weights(
            make_initial_weights(plan, model.model_copy(update={"first_weights": None}), arm, pretrained)[0]
        )
        for model in plan.networks
        if model.initialisation == "imagenet"
    }
