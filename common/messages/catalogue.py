"""Every question that a site may be asked, declared once: what it carries, who is added, what it demands.

Sites and coordinator read the same declarations: which fields of a request are empty, over which sites an
answer is added (so that no request can ask for a sum that was not approved), which sums come back, which
minima and which registry of released cohorts hold. What a site computes is bound to them in
`client.answers.statistics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from common.errors import ProtocolError
from common.plan.described_columns import table_columns
from common.plan.mapped_cohorts import OUTCOMES, list_mapped_cohorts
from common.plan.matrix import PARTS, TABLE_PARTS, Part, TablePart, cohorts_of
from common.plan.study import EARLIER, StudyPlan
from common.stats.guard import Demand, Purpose


class Operation(StrEnum):
    """Every question that a coordinator can ask; an engine refuses any other."""

    DESCRIBE = "describe"
    PREPARE = "prepare"
    GUARD = "guard"
    AGREEMENT = "agreement"
    READING_MEANS = "reading-means"
    READING_SUMS = "reading-sums"
    COHORT = "cohort"
    SETUP = "setup"
    NEWTON = "newton"
    MAGNITUDES = "magnitudes"
    SCALING = "scaling"
    PRESCREEN = "prescreen"
    GRAM = "gram"
    PATH = "path"
    RIDGE = "ridge"
    HELD_OUT = "held-out"
    TRAIN = "train"
    VALIDATE = "validate"
    TRAIN_LOCAL = "train-local"
    RELEASE = "release"
    SCORE = "score"
    GRID = "grid"
    EVALUATE = "evaluate"
    CALIBRATE = "calibrate"
    COMPARE = "compare"
    WEIGHT = "weight"
    EXPLAIN = "explain"
    ATTENTION = "attention"


HeaderField: TypeAlias = Literal[
    "model", "arm", "round", "regressions", "has_weights", "parameters", "endorsements"
]
"""What a request may carry beside its question and stage."""
SitesOfParts: TypeAlias = tuple[tuple[str, ...], tuple[str, ...]]
"""Sites, and the prefixes of the arrays that are added over them; without a prefix, all arrays."""
AddedOver: TypeAlias = Callable[[StudyPlan, str], Iterable[SitesOfParts]]
"""Over which sites which parts of an answer are added, of a plan and an arm's name (or an empty one)."""
CohortName: TypeAlias = Part | TablePart | Literal["read again"]
"""A part of a site's cohort, or patients who were read repeatedly."""
READ_AGAIN: Final[tuple[CohortName, ...]] = ("read again",)
"""In place of parts of a site's cohort: patients who were read repeatedly."""
LAST_STAGE: Final = "end"
"""Of the description that is asked when nothing more is: so a site in the clear hears of the study's end."""


def _add_over_everybody(plan: StudyPlan, _: str) -> Iterable[SitesOfParts]:
    yield plan.site_names, ()


def _add_over_arm(plan: StudyPlan, arm: str) -> Iterable[SitesOfParts]:
    """The sites on whose patients something is fitted: the arm's, by default all that train.

    A model of an earlier study is fitted nowhere here, and scores everywhere.
    """
    if arm == EARLIER:
        yield plan.site_names, ()
        return
    yield plan.arm(arm).sites if arm else plan.training_sites, ()


def _add_over_readers(plan: StudyPlan, arm: str) -> Iterable[SitesOfParts]:
    """The arm's sites; where readers differ between sites, their readings are not added."""
    for sites, parts in _add_over_arm(plan, arm):
        yield from ((sites, parts),) if plan.agreement.same_readers else (((site,), parts) for site in sites)


def _add_nowhere(plan: StudyPlan, _: str) -> Iterable[SitesOfParts]:
    """Each site's own."""
    yield from (((site,), ("flow", "parts")) for site in plan.site_names)


def _add_over_columns(plan: StudyPlan, _: str) -> Iterable[SitesOfParts]:
    """The columns of Table 1."""
    yield from ((column.sites, (column.taken,)) for column in table_columns(plan))


def _add_over_cohorts(plan: StudyPlan, _: str) -> Iterable[SitesOfParts]:
    """Each cohort's scores and comparisons, and each arm's training scores."""
    for index, cohort in enumerate(cohorts_of(plan)):
        yield cohort.sites, (cohort.part, f"paired/{index}", f"calibrated/{index}")
    if plan.evaluation.operating_point == "youden":
        yield from ((arm.sites, ("train",)) for arm in plan.all_arms())


def _add_over_mapped(plan: StudyPlan, _: str) -> Iterable[SitesOfParts]:
    """Each cohort whose attention maps are averaged, by outcome."""
    yield from ((cohort.sites, OUTCOMES) for cohort in list_mapped_cohorts(plan))


def _steer_by_all(_: str) -> bool:
    return True


def _steer_by_none(_: str) -> bool:
    return False


def _steer_by_histograms(array_name: str) -> bool:
    """Of an evaluation, what places the scores that are compared, and from what their calibration begins."""
    if array_name.startswith("paired/"):
        return True
    part, _, rest = array_name.partition("/")
    kind, _, name = rest.partition("/")[2].partition("/")
    begins = name in {"patients", "events", "missing", "logits"}
    return part in PARTS and (kind == "roc" or (kind == "calibration" and begins))


@dataclass(frozen=True)
class Spared:
    """Why a question demands no minimum of patients.

    Attributes
    ----------
    reason : str
        What protects patients instead.

    Raises
    ------
    ValueError
        If there is no reason.
    """

    reason: str

    def __post_init__(self) -> None:
        if not self.reason:
            raise ValueError("a question is spared the minima for a reason")


@dataclass(frozen=True)
class Question:
    """One question, at one of its stages.

    Attributes
    ----------
    operation : Operation
        The question.
    carries : tuple of str
        Fields of the request that it uses; any other is empty: what nobody reads could say anything.
    demand : Purpose or Spared
        The minima that patients behind each number must reach, or why there are none.
    added_over : callable
        Over which sites its answers are added; where they are not, whose patients it is about.
    is_sum : bool
        Whether answers are added over sites.
    stage : str
        Its stage; of a guard round, that of the questions which it precedes.
    guard : str
        Stage of the guard round in which its patients are counted before; empty if there is none.
    cohorts : tuple of str
        Parts of a site's cohort that it can be about, in the order in which they take precedence, or
        `READ_AGAIN`: the site remembers whose numbers were released.
    steers : callable
        Whether an array of its answer, by its name, steers later questions: its sum then comes back to the
        sites that are in it, and to no others.
    of_asked_cohorts : bool
        Whether sums of those cohorts alone come back of which something was asked.
    chosen : tuple of str
        Parameters that the coordinator may add to those of the program, because a site cannot derive them: by
        their names, or by how the names of a family begin, with its number or up to its "/".
    products : bool
        Whether its reals are sums of products of standardised values, which may travel in fewer bytes.

    Raises
    ------
    ValueError
        If its patients are to be counted or remembered, and nothing is demanded of them.
    """

    operation: Operation
    carries: tuple[HeaderField, ...]
    demand: Purpose | Spared
    added_over: AddedOver = _add_over_arm
    is_sum: bool = True
    stage: str = ""
    guard: str = ""
    cohorts: tuple[CohortName, ...] = ()
    steers: Callable[[str], bool] = _steer_by_none
    of_asked_cohorts: bool = False
    chosen: tuple[str, ...] = ()
    products: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.demand, Spared) and (self.guard or self.cohorts):
            raise ValueError(f"{self.operation}: its patients are counted, but nothing is demanded of them")
        if not isinstance(self.demand, Spared) and not (self.is_sum and self.cohorts):
            raise ValueError(f"{self.operation}: what is demanded of patients is of a sum, and is registered")

    @property
    def is_statistic(self) -> bool:
        """Whether it has minima and a registry, as every sum over patients but those of a training."""
        return bool(self.cohorts)

    @property
    def steers_in_all_groups(self) -> bool:
        """Whether arrays of every group steer; if not, none do, or those of the cohorts that were asked."""
        return self.steers is not _steer_by_none and not self.of_asked_cohorts

    def leaves_choice_of(self, parameter: str) -> bool:
        """Whether the coordinator may add a parameter of this name; what nobody reads could say anything."""
        families = tuple(start for start in self.chosen if not start.isidentifier())
        return parameter in self.chosen or parameter.startswith(families)

    def make_demand(self, columns: int = 0, *, one_site: bool = False) -> Demand:
        """What one of its analyses demands, with so many columns of covariates, of one site or of a sum.

        Raises
        ------
        TypeError
            If it is spared the minima.
        """
        if isinstance(self.demand, Spared):
            raise TypeError(f"{self.operation} demands nothing: {self.demand.reason}")
        return Demand(self.demand, columns, one_site)


_FACTS = Spared("the answer is about the site's software, hardware and policy, and no patient")
_APPROVED = Spared("each hospital's flow chart is shown as its people approved it, with what they see there")
_OF_SITES = Spared("a site takes part with the patients of its policy; the sum hides what it adds")
_AT_THE_SITE = Spared("what is made of patients stays at the site")
_RELEASED = Spared("plan and site declare the release; the fit had the minima of one")
_SIMULATED = Spared("pictures leave simulated sites alone")

_TRAINS: Final[tuple[HeaderField, ...]] = ("model", "arm", "round", "has_weights")
_MACHINE: Final[tuple[HeaderField, ...]] = ("model", "arm", "regressions", "parameters")
_GRIDS: Final = ("edges", "sizes", "values")
_COEFFICIENTS_OF_MACHINES: Final = ("gammas", "left_out", "coefficients")


def _precede(
    first: Question, *later: Question, carries: tuple[HeaderField, ...] | None = None
) -> Iterable[Question]:
    """A guard round, and the questions that it precedes; in it their patients are counted, nothing else.

    It is added over the sites of the last, and carries what the first does, without parameters.
    """
    context = tuple(name for name in first.carries if name != "parameters") if carries is None else carries
    last = (first, *later)[-1]
    yield replace(
        first,
        operation=Operation.GUARD,
        stage=first.guard,
        carries=context,
        added_over=last.added_over,
        steers=_steer_by_all,
        of_asked_cohorts=False,
        chosen=("scored", "reference"),
        products=False,
    )
    yield from (first, *later)


def _list_of_training() -> Iterable[Question]:
    yield Question(Operation.DESCRIBE, (), _FACTS, is_sum=False)
    yield Question(Operation.DESCRIBE, (), _FACTS, stage=LAST_STAGE, is_sum=False)
    yield Question(Operation.PREPARE, (), _APPROVED, _add_nowhere)
    yield Question(Operation.WEIGHT, ("arm",), _OF_SITES, steers=_steer_by_all)
    yield Question(Operation.TRAIN, _TRAINS, _OF_SITES)
    yield Question(Operation.VALIDATE, _TRAINS, _OF_SITES)
    yield Question(Operation.TRAIN_LOCAL, ("model", "arm", "has_weights"), _AT_THE_SITE, is_sum=False)
    yield Question(Operation.RELEASE, ("model", "arm"), _RELEASED, is_sum=False)
    yield Question(
        Operation.SCORE,
        ("model", "arm", "round", "regressions", "has_weights", "parameters", "endorsements"),
        _AT_THE_SITE,
        is_sum=False,
        chosen=("coefficients", "estimated", "columns", "mean", "sd", "folds", *_COEFFICIENTS_OF_MACHINES),
    )
    # A model that does not exist scores nobody
    yield Question(Operation.SCORE, ("model", "arm"), _AT_THE_SITE, stage="untrained", is_sum=False)
    yield Question(
        Operation.EXPLAIN, ("model", "arm", "round", "has_weights", "endorsements"), _SIMULATED, is_sum=False
    )


def _list_of_patients() -> Iterable[Question]:
    table = Question(
        Operation.COHORT,
        ("parameters",),
        "description",
        _add_over_columns,
        guard="cohort",
        cohorts=TABLE_PARTS,
    )
    yield from _precede(table)
    readings = Question(
        Operation.AGREEMENT,
        ("parameters",),
        "agreement",
        _add_over_everybody,
        guard="agreement",
        cohorts=READ_AGAIN,
    )
    yield from _precede(readings)
    means = Question(
        Operation.READING_MEANS,
        ("arm", "parameters"),
        "agreement",
        guard="reproducibility",
        cohorts=READ_AGAIN,
        steers=_steer_by_all,
    )
    sums = replace(
        means, operation=Operation.READING_SUMS, added_over=_add_over_readers, steers=_steer_by_none
    )
    yield from _precede(means, sums)


def _list_of_fits() -> Iterable[Question]:
    setup = Question(
        Operation.SETUP,
        ("arm", "regressions", "parameters"),
        "regression",
        guard="regression",
        cohorts=("training",),
        steers=_steer_by_all,
    )
    yield from _precede(setup, replace(setup, operation=Operation.NEWTON, carries=("arm", "parameters")))
    scaling = replace(setup, operation=Operation.SCALING, carries=("arm", "parameters"), guard="selection")
    prescreen = replace(scaling, operation=Operation.PRESCREEN, steers=_steer_by_none)
    gram = replace(prescreen, operation=Operation.GRAM, chosen=("chosen",), products=True)
    path = replace(gram, operation=Operation.PATH, chosen=("chosen", "coefficients", "working", "running"))
    magnitudes = replace(scaling, operation=Operation.MAGNITUDES, carries=("arm",))
    yield from _precede(magnitudes, scaling, prescreen, gram, path)
    ridge = Question(
        Operation.RIDGE,
        _MACHINE,
        "ridge",
        guard="svm",
        cohorts=("training",),
        chosen=_COEFFICIENTS_OF_MACHINES,
        products=True,
    )
    yield from _precede(ridge, replace(ridge, operation=Operation.HELD_OUT, products=False))


def _list_of_scores() -> Iterable[Question]:
    evaluate = Question(
        Operation.EVALUATE,
        ("parameters",),
        "discrimination",
        _add_over_cohorts,
        guard="evaluation",
        cohorts=PARTS,
        steers=_steer_by_histograms,
        chosen=_GRIDS,
    )
    counted = replace(evaluate, operation=Operation.GRID, steers=_steer_by_none, chosen=("scorers", *_GRIDS))
    calibrate = replace(
        evaluate,
        operation=Operation.CALIBRATE,
        steers=_steer_by_all,
        of_asked_cohorts=True,
        # Of cohorts of other sites; those of this site are in the step
        chosen=tuple("0123456789"),
    )
    compare = replace(counted, operation=Operation.COMPARE, chosen=("cohort/", "paired/"))
    yield from _precede(evaluate, counted, calibrate, compare, carries=("parameters",))
    # In which thresholds are chosen
    yield replace(evaluate, stage="operating point")
    maps = Question(
        Operation.ATTENTION,
        ("parameters",),
        "description",
        _add_over_mapped,
        guard="attention",
        cohorts=("test", "whole"),
    )
    yield from _precede(maps)


QUESTIONS: Final[Mapping[tuple[Operation, str], Question]] = {
    (question.operation, question.stage): question
    for question in (*_list_of_training(), *_list_of_patients(), *_list_of_fits(), *_list_of_scores())
}
"""Every question, by operation and stage."""


def find_question(operation: Operation, stage: str = "") -> Question:
    """The question of an operation at a stage.

    Raises
    ------
    ProtocolError
        If there is none.
    """
    if (operation, stage) not in QUESTIONS:
        if operation is Operation.GUARD:
            raise ProtocolError(f"a guard round for no known stage: {stage!r}")
        raise ProtocolError(f"{operation} was asked for the stage {stage!r}, which it does not have")
    return QUESTIONS[operation, stage]
