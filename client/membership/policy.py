"""What this hospital lets be asked of it, whatever a plan says: stricter than the plan, never weaker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from client.membership.site import SITE_FILE, SiteSettings, check_profile, check_release, is_synthetic
from common.errors import Finding, PolicyError, SiteError
from common.hiding.phases import phase_of
from common.messages.groups import list_summed_sets
from common.messages.headers import StatedPolicy
from common.plan.study import StudyPlan
from common.secagg.wire.roster import Roster, Waiver


def check_plan(settings: SiteSettings, folder: Path, plan: StudyPlan) -> None:
    """Refuse a plan that asks for more than the site's policy allows.

    Raises
    ------
    PolicyError
        With the setting that forbids it, and what to change.
    SiteError
        If there is a simulator's marker that cannot be read.
    """
    check_profile(settings, folder, plan)
    check_release(settings, plan)
    _check_phases(settings, plan)
    _check_hiding(settings, plan)
    refuse_bare_sums(settings, folder, plan)


def find_breaches(settings: SiteSettings, folder: Path, plan: StudyPlan) -> Iterator[Finding]:
    """Every reason for which `check_plan` refuses the plan, not the first alone.

    Of a site that the plan does not have, nothing is said of its own model.
    """
    named = settings.name in plan.site_names
    checks: tuple[Callable[[], None], ...] = (
        lambda: check_profile(settings, folder, plan),
        lambda: check_release(settings, plan) if named else None,
        lambda: _check_phases(settings, plan),
        lambda: _check_hiding(settings, plan),
        lambda: refuse_bare_sums(settings, folder, plan),
    )
    for check in checks:
        try:
            check()
        except (PolicyError, SiteError) as refusal:
            what, _, remedy = str(refusal).partition(" -> ")
            yield Finding(SITE_FILE, what, remedy)


def refuse_bare_sums(settings: SiteSettings, folder: Path, plan: StudyPlan) -> None:
    """Refuse a study of several sites that shows each one's own numbers, unless all patients are simulated.

    Raises
    ------
    PolicyError
        If the site has patients.
    SiteError
        If there is a simulator's marker that cannot be read.
    """
    if len(plan.sites) == 1 or plan.hides_sums or is_synthetic(settings, folder):
        return
    raise PolicyError(
        f"the plan says privacy.secure = false, site {settings.name} has patients -> set it to true in the "
        "plan; only simulated sites show their own numbers in a study of several sites"
    )


def check_roster_policy(settings: SiteSettings, plan: StudyPlan, roster: Roster) -> None:
    """Refuse a roster under which a training round's sum may have fewer sites than the policy asks for.

    Statistics are sums over all sites of their group; a training round goes on without silent sites, down to
    the roster's minimum.

    Raises
    ------
    PolicyError
        With both numbers, and what to change.
    """
    trains = plan.networks and any(arm.kind == "federated" for arm in plan.all_arms())
    if trains and roster.minimum < settings.policy.min_sites:
        raise PolicyError(
            f"the roster opens sums of {roster.minimum} sites, site {settings.name} asks for "
            f"{settings.policy.min_sites} -> a larger privacy.colluders in the plan raises the roster's "
            "minimum; or change policy.min_sites in site.toml"
        )


def check_waiver_policy(settings: SiteSettings, plan: StudyPlan, waiver: Waiver) -> None:
    """Refuse a waiver that leaves fewer sites in a phase's sums than the policy asks for.

    Raises
    ------
    PolicyError
        With both numbers, and what to change.
    ProtocolError
        If the plan has no such phase.
    """
    if waiver.kind != "absent":
        return
    absent = {name for name in plan.site_names if plan.number_of(name) in waiver.absent}
    phase = phase_of(plan, waiver.phase)
    trained = phase.sites if phase.arm is None else phase.arm.sites
    left = len(set(trained) - absent)
    if left < settings.policy.min_sites:
        raise PolicyError(
            f"the waiver leaves {left} sites in the sums of {waiver.phase}, site {settings.name} asks for "
            f"{settings.policy.min_sites} -> decline the waiver, or change policy.min_sites in site.toml"
        )


def state_policy(settings: SiteSettings) -> StatedPolicy:
    """The site's own minimums, as everybody may read them."""
    policy = settings.policy
    return StatedPolicy(
        min_patients=settings.min_patients,
        min_per_class=settings.min_per_class,
        min_sites=policy.min_sites,
        answers_per_day=policy.answers_per_day,
        phases=policy.phases,
    )


def _check_phases(settings: SiteSettings, plan: StudyPlan) -> None:
    allowed = settings.policy.phases
    beyond = [] if allowed is None else [phase for phase in plan.phases if phase not in allowed]
    if beyond:
        raise PolicyError(
            f"the plan has the phases {', '.join(beyond)}, site {settings.name} takes no part in them -> "
            "leave them out of the plan, or name them under policy.phases in site.toml"
        )


def _check_hiding(settings: SiteSettings, plan: StudyPlan) -> None:
    """Fails closed: a site that insists on masks takes part in nothing that has none.

    Raises
    ------
    PolicyError
        If the plan hides no sums, or opens sums of fewer sites than the policy asks for.
    """
    policy = settings.policy
    if policy.hidden_sums and len(plan.sites) > 1 and not plan.hides_sums:
        raise PolicyError(
            f"the plan says privacy.secure = false, site {settings.name} shows its numbers to nobody -> "
            "change the plan, or policy.hidden_sums in site.toml"
        )
    fewest = min((len(sites) for sites in list_summed_sets(plan, settings.name)), default=len(plan.sites))
    if plan.hides_sums and fewest < policy.min_sites:
        raise PolicyError(
            f"the plan opens sums of {fewest} sites, site {settings.name} asks for {policy.min_sites} -> "
            "change the plan, or policy.min_sites in site.toml"
        )
