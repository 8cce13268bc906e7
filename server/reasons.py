"""What an error code from a site means, what can be done about it, and whether the study goes on."""

from __future__ import annotations

from common.errors import ExchangeError
from common.stats.estimate import Status, undefined

_REASONS = {
    "E_PLAN": "the site approved another plan -> compare the hashes that `rhe-client approve` shows",
    "E_SITE": "the site's folder is unusable -> run `rhe-client check` there",
    "E_COHORT": "the site's table is faulty, or too few patients of an outcome are left "
    "-> run `rhe-client check` there",
    "E_SCAN": "no scan of the site could be used -> run `rhe-client check` there",
    "E_MODEL": "the site could not use the model's weights",
    "E_MEMORY": "the memory of the site's computer or accelerator does not suffice for the model -> free it "
    "there, or plan smaller batches",
    "E_NONFINITE": "training or weights became NaN or infinite -> lower the learning rate",
    "E_SMALL_N": "the site has too few patients for what was asked",
    "E_NOT_THE_PLAN": "the question does not follow from the plan and the study's sums -> see that all run "
    "the same version of rhe, then go on with --resume; the log of the site's engine says what it expected",
    "E_SUM_PROOF": "the sum that the site was told is not what the sites sent: it stopped, keeps the message "
    "as evidence, and the log of its engine says why -> stop the study, and find out with the site and the "
    "authority who altered it; only a waiver of the authority lets the site go on",
    "E_POLICY": "the site's policy does not allow it -> agree with the site, then change plan or site.toml",
    "E_CONTEXT": "the site refused the message as malformed, forged or out of context",
    "E_STORAGE": "the site's disk is full or cannot be written -> free space there, then go on with --resume",
    "E_INTERNAL": "an unexpected error at the site -> its engine's log has the text",
    "E_ALREADY_RELEASED": "the site has answered this before -> go on with --resume in the study's own "
    "folder; a new study needs a plan of its own",
    "E_ROUND_OLD": "the site is at a later round than this folder -> go on with --resume in the study's own "
    "folder; if that is lost, or to start anew: a plan with another name, approved anew",
    "E_SET_CHANGE": "the sum without a missing site would isolate it -> wait until all sites are back, or "
    "let the authority sign a waiver",
    "E_SET_INCOMPLETE": "a site has not answered -> see that it is running, then go on with --resume",
    "E_MIN": "too few sites are connected to hide a sum -> see that they are running, then --resume",
    "E_BUSY": "the site is answering another message, or has another session open -> try again",
    "E_EXPIRED": "clocks differ, or the question is too old -> set the clocks, then --resume",
    "E_STATE_CORRUPT": "the site's protocol files are damaged -> see the log of its engine",
    "E_NO_STATE": "the site has forgotten the open round -> run the study again with --resume",
    "E_ABORTED": "people at the site have ended this sum (rhe-client abort) -> ask them why; it cannot be "
    "had again: go on under a plan with another name",
    "E_RESTORED": "the site's state came from a backup -> it needs a waiver of the authority to go on",
    "E_CLIP": "training moved weights further than the plan allows -> lower the learning rate, or raise "
    "privacy.clip, or privacy.clip_buffers where the plan sets it",
    "E_NORM": "training moved weights further than privacy.norm_bound, or a number is too large to be hidden "
    "-> lower the learning rate, or see the log of the site's engine",
    "E_WEIGHT": "the site has more training patients than privacy.largest_site -> raise it in the plan",
    "S_SHAPE": "sites add different arrays -> see that all run the same version of rhe",
    "S_CANARY": "the masks do not cancel -> see that all sites approved the same plan and roster",
    "S_SIG": "an answer was not signed by the site -> see that nobody else answers in its name",
}


_ABSENCES = {
    "E_NOT_CONNECTED": (
        "node not connected",
        "see that `rhe-client start` runs there and says that it is connected",
    ),
    "E_NO_ENGINE": (
        "its engine is not running",
        "see the log of `rhe-client start` there",
    ),
    "E_STALLED": (
        "its engine makes no progress",
        "see the log of the engine there, and start the site again",
    ),
}
"""Why a site that takes part cannot answer now, and what to do about it."""

_NO_ANSWERS = {
    **_ABSENCES,
    "E_ENGINE": (
        "its engine ended again and again over this question",
        "see the log of the engine there: often its memory does not suffice",
    ),
    "E_LOST": (
        "its answer was lost again and again on the way",
        "see the log of `rhe-client start` there, and that of the gateway",
    ),
    "E_CONTEXT": (
        "its link takes nothing of this run",
        "see the log of the link there; install the same rhe at both ends",
    ),
    "E_SITE": (
        "its link cannot ask its engine",
        "see the log of `rhe-client start` there",
    ),
}


COSTS_ONE_MODEL = frozenset({"E_CLIP", "E_MEMORY", "E_MODEL", "E_NONFINITE", "E_NORM", "E_SMALL_N"})
"""Codes that tell of the model that is trained or scores, not of the site or the plan: without it the study
goes on."""


class SiteFailureError(ExchangeError):
    """Sites answered with error codes; the message names every one of them.

    Attributes
    ----------
    site : str
        The first site's name.
    failure : str
        Its error code; not named `code`, which is that of this error itself.
    others : tuple of SiteFailureError
        What further sites answered to the same question.
    """

    def __init__(
        self, site: str, question: str, failure: str, others: tuple[SiteFailureError, ...] = ()
    ) -> None:
        told = (f"{site}: {question} failed with {failure}: {reason_of(failure)}", *map(str, others))
        super().__init__("; ".join(told))
        self.site = site
        self.failure = failure
        self.others = others

    @property
    def costs_one_model(self) -> bool:
        """Whether the study goes on without the model that was asked about."""
        return self.failure in COSTS_ONE_MODEL and all(other.costs_one_model for other in self.others)

    @property
    def standing(self) -> Status:
        """Why there is no model, for results and report."""
        failures = (self, *self.others)
        told = (
            f"{one.failure} at {one.site}: {reason_of(one.failure).partition(' -> ')[0]}" for one in failures
        )
        return undefined("; ".join(told))


def reason_of(code: str) -> str:
    """The meaning of an error code in words; the site's own text never leaves the site."""
    return _REASONS.get(code, "an error that this coordinator does not know")


def explain_missing(code: str) -> tuple[str, str]:
    """Why a site that takes part cannot answer now, and what to do about it, in words."""
    return _ABSENCES[code]


def explain_no_answer(site: str, code: str, since: str = "") -> str:
    """Why the answer of a site did not come, and what to do about it, as one sentence.

    Parameters
    ----------
    site : str
        Its name.
    code : str
        What its link or Flower says of the question.
    since : str
        Since when the study waits for the site, such as "since 14:03"; empty if it does not.
    """
    unknown = (f"its link gave no answer ({code})", "see the log of `rhe-client start` there")
    reason, remedy = _NO_ANSWERS.get(code, unknown)
    told = f"{reason}, {since}" if since else reason
    return f"{site}: {told} -> {remedy}; then run the study again with --resume"
