"""What a plan's federated trainings reveal about a site, given the noise on its updates.

Only the models' updates have noise: tables, validation and evaluation are exact sums. The noise protects
whether a site took part, not a patient.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from common.plan.sections import Privacy
from common.plan.study import Arm, StudyPlan
from common.plan.update_noise import PartNoise, UpdatePart, honest_sites, part_noise, round_rho
from common.secagg.crypto.privacy import epsilon


@dataclass(frozen=True)
class SitePrivacy:
    """What all trainings of a study together reveal about the site for which they reveal most.

    Attributes
    ----------
    releases : int
        Number of rounds, over all trainings of that site.
    delta : float
        Probability with which the epsilons need not hold.
    outside : float
        Epsilon towards the coordinator, the tolerated colluders and everybody who receives the models.
    among_sites : float
        Epsilon towards one other site, which knows the noise that it added itself.
    """

    releases: int
    delta: float
    outside: float
    among_sites: float


def noise_of(plan: StudyPlan, part: UpdatePart) -> PartNoise | None:
    """The noise on a part of an update; None where the plan asks for none."""
    return part_noise(plan.privacy, len(plan.sites), plan.noise_multiplier, part)


def warn_of_delta(privacy: Privacy, sites: int) -> str | None:
    """A warning if delta is above one over the patients whom the plan lets train; None if it is not.

    Parameters
    ----------
    privacy : Privacy
        The plan's section, which declares the largest number of a site.
    sites : int
        Sites that train.
    """
    patients = privacy.largest_site * sites
    if privacy.noise is None or privacy.noise.delta * patients <= 1:
        return None
    return (
        f"WARNING: privacy.noise.delta = {privacy.noise.delta:g} is above one over the patients: up to "
        f"{patients} train by this plan (privacy.largest_site = {privacy.largest_site}). So large a delta "
        "would permit that one of them is shown whole -> a smaller delta, or the sites' true largest number"
    )


def site_privacy(plan: StudyPlan, trained: Iterable[tuple[Arm, dict[UpdatePart, int]]]) -> SitePrivacy | None:
    """The largest privacy loss of a site by trainings of several sites; None without noise or such trainings.

    Parameters
    ----------
    plan : StudyPlan
    trained : iterable of (Arm, sizes)
        Every training, with the number of elements of each part of its update.
    """
    if plan.privacy.noise is None:
        return None
    delta, rounds = plan.privacy.noise.delta, plan.federation.rounds
    together = [(arm, sizes) for arm, sizes in trained if arm.kind == "federated" and len(arm.sites) > 1]
    privacy, multiplier, number = plan.privacy, plan.noise_multiplier, len(plan.sites)
    honest = honest_sites(privacy, number)
    costs = []
    for site in plan.training_sites:
        joined = [sizes for arm, sizes in together if site in arm.sites]
        outside, among = (
            rounds * sum(round_rho(privacy, number, multiplier, sizes, noisy) for sizes in joined)
            for noisy in (honest, honest - 1)
        )
        costs.append(SitePrivacy(rounds * len(joined), delta, epsilon(outside, delta), epsilon(among, delta)))
    highest = max(costs, key=lambda cost: cost.outside)
    return highest if highest.releases else None
