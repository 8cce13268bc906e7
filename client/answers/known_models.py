"""Which models a site scores with: what it holds itself, or what all who know the model have signed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

from client.membership.party import HidingParty
from common.errors import NotThePlanError
from common.messages.catalogue import Operation
from common.messages.endorsement import Endorsement, ModelStatement, digest_content
from common.messages.headers import ReplyHeader, RequestHeader
from common.messages.protocol import Reply, Request
from common.plan.study import EARLIER, Arm, StudyPlan
from common.program.scorings import BY_TRAINERS
from common.secagg.wire.roster import Roster, read_roster
from common.types import FlatWeights

IsOwn = Callable[[Request], bool]
"""Whether a model that came is what the site holds itself; False where it missed the end of the training, and
cannot know it. Raises where the site holds another."""

_USES = frozenset({Operation.SCORE, Operation.EXPLAIN})
"""Questions with which a model may come that was made before."""


def brings_model(request: Request) -> bool:
    """Whether a model came with the question that other sites know, or this one knows itself.

    Of a model of an earlier study the plan has the digest: nobody need sign it.
    """
    header, has_content = request.header, request.weights is not None or bool(request.parameters)
    return header.operation in _USES and has_content and header.arm != EARLIER


@dataclass(frozen=True)
class OwnModels:
    """The models that a site holds itself.

    Attributes
    ----------
    plan : StudyPlan
        As the site approved it.
    insist_trained : callable
        Raises where a local model that came is not the one that was trained here alone.
    knows : callable
        Whether a round of their training gave a network's weights; False where its end was missed.
    """

    plan: StudyPlan
    insist_trained: Callable[[Request], None]
    knows: Callable[[RequestHeader, FlatWeights], bool]

    def hold(self, request: Request) -> bool:
        """Whether the model that came is one of them; False where the end of its training was missed here.

        Coefficients that were fitted over several sites are judged by the program, before.

        Raises
        ------
        RheError
            If this site holds another.
        """
        kind = self.plan.arm(request.header.arm).kind
        if kind == "local":
            self.insist_trained(request)
        if kind != "federated" or request.weights is None:
            # A pooled model is a simulation's, made where all patients are in one place
            return True
        return self.knows(request.header, request.weights)


@dataclass(frozen=True)
class ModelJudge:
    """Judges the models that one site is asked to use.

    Attributes
    ----------
    plan : StudyPlan
        As the site approved it.
    site : str
        Its name.
    party : HidingParty
        Its key and the roster.
    is_own : callable
        Whether a model of an arm of this site is what it holds itself.
    """

    plan: StudyPlan
    site: str
    party: HidingParty
    is_own: IsOwn

    def answer(self, request: Request, compute: Callable[[Request], Reply]) -> Reply:
        """The answer to a question with a model, and what the site says of it; what it missed is not used.

        Raises
        ------
        RheError
            As `judge`, and if the answer cannot be computed.
        """
        endorsement = self.judge(request)
        is_missed = endorsement is not None and endorsement.missed
        reply = Reply(ReplyHeader(site=self.site)) if is_missed else compute(request)
        return replace(reply, header=reply.header.model_copy(update={"endorsement": endorsement}))

    def judge(self, request: Request) -> Endorsement | None:
        """What the site says of a model that came: that it is its own, or that it missed it.

        Returns
        -------
        Endorsement or None
            None where the others have signed it, and this site can say nothing.

        Raises
        ------
        NotThePlanError
            If the model is not what this site holds, or one who knows it has not signed it.
        PlanError
            If the plan has no such arm.
        """
        header = request.header
        arm = self.plan.arm(header.arm)
        content = digest_content(request.weights, request.parameters, header.regressions, header.round)
        statement = ModelStatement(
            plan=self.plan.digest(),
            roster=self._roster.digest,
            model=header.model,
            arm=header.arm,
            content=content,
        )
        is_of_arm = self.site in arm.sites
        if is_of_arm and header.operation is Operation.SCORE and header.step > BY_TRAINERS:
            self._insist_missed(request)
        elif is_of_arm and self.is_own(request):
            return statement.sign(self.party.identity.key, self.site)
        elif is_of_arm and not header.endorsements:
            return statement.sign(self.party.identity.key, self.site, missed=True)
        self._insist_signed(arm, statement, header.endorsements)
        return None

    def _insist_missed(self, request: Request) -> None:
        """Refuse to score once more with a model of an arm of this site, unless it missed the training's end.

        Raises
        ------
        NotThePlanError
            If it knows the model.
        """
        if self.is_own(request):
            header = request.header
            raise NotThePlanError(
                f"{header.model}, {header.arm}: this site knows the model, and was asked first"
            )

    @cached_property
    def _roster(self) -> Roster:
        return read_roster(self.party.roster, self.party.authority)

    def _insist_signed(
        self, arm: Arm, statement: ModelStatement, endorsements: tuple[Endorsement, ...]
    ) -> None:
        """Refuse a model that not every other site of its arm has signed.

        Those who missed the end of the training say so; as many as a sum must have know it.

        Raises
        ------
        NotThePlanError
            If one has not, or too many missed it.
        """
        said = {
            endorsement.site: endorsement
            for endorsement in endorsements
            if statement.is_signed_in(endorsement, self._find_key(endorsement.site))
        }
        silent = [site for site in arm.sites if site not in said and site != self.site]
        about = f"{statement.model}, {statement.arm}"
        if silent:
            raise NotThePlanError(f"{about}: {', '.join(silent)} did not sign this model")
        knowing = [site for site in arm.sites if site in said and not said[site].missed]
        if len(knowing) < min(self._roster.minimum, len(arm.sites)):
            raise NotThePlanError(f"{about}: known to {', '.join(knowing) or 'nobody'} alone")

    def _find_key(self, site: str) -> bytes:
        return bytes.fromhex(self._roster.find_by_name(site).key)
