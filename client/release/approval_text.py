"""The text that says in plain words what leaves the hospital under a plan, for the person who approves it."""

from __future__ import annotations

from collections.abc import Iterator

from client.membership.site import SiteSettings
from common.hiding.noise import site_privacy, warn_of_delta
from common.hiding.rounds import parts_of, starts_alike
from common.plan.leaving import STAYING, describe_card, describe_hiding, list_leaving
from common.plan.repeated_trainings import list_first_networks
from common.plan.study import StudyPlan
from common.secagg.crypto.keys import decode_public_key, fingerprint
from common.secagg.wire.roster import Roster, Waiver


def describe_plan(plan: StudyPlan, settings: SiteSettings) -> str:
    """The text that is shown before approval.

    Parameters
    ----------
    plan : StudyPlan
    settings : SiteSettings
        The site that is asked.
    """
    site = plan.site(settings.name)
    partners = _list_partners(plan, site.name)
    leaving = list_leaving(plan, site.name, synthetic=settings.synthetic)
    paragraphs = [
        f"Study: {plan.name}\nPlan: {plan.digest()}",
        f"You are: {site.title} ({_ROLES[site.role]})\nWith: {partners}",
        "\n".join(["What leaves this hospital:", *(f"  - {item}" for item in leaving)]),
        "\n".join(["What never leaves it:", *(f"  - {item}" for item in STAYING)]),
    ]
    paragraphs.append(describe_hiding(plan))
    if plan.privacy.noise is not None and "training" in plan.phases and site.role == "train":
        paragraphs += _describe_noise(plan)
    if "training" in plan.phases and site.role == "train":
        paragraphs += _describe_first_weights(plan)
        paragraphs += _describe_repeats(plan)
    for model in plan.cards:
        paragraphs.append(
            f"{model.title} comes here as a file from the coordinator, to score this hospital's patients: it "
            f"is {describe_card(plan, model)}. No other file is taken. It stays in this site's state, and so "
            "do the scores; nothing is trained with it. The plan does not say what the file computes: one "
            "that was made for it could tell the outcome of a patient whose values somebody knows. Have it "
            "shown to you, and compare its SHA-256, unless you know the study that it comes from."
        )
    if plan.arms.design == "leave-one-centre-out":
        paragraphs.append(
            "Each centre is left out in turn. From the sums with and without a centre, anybody who sees both "
            "can compute by subtraction what that centre contributed to a table or regression. The plan "
            "asks for this."
        )
        paragraphs += _describe_shared_start(plan)
    if len(plan.sites) == 2:
        paragraphs.append(
            "With two sites, each can compute the other's sums by subtracting its own from the total. "
            "The plan states that both sites know this."
        )
    return "\n\n".join(paragraphs)


def _list_partners(plan: StudyPlan, name: str) -> str:
    others = sorted((site.name, site.title) for site in plan.sites if site.name != name)
    return ", ".join(title for _, title in others) or "nobody else"


def _describe_first_weights(plan: StudyPlan) -> Iterator[str]:
    """Who decides from which weights networks start; nothing where the plan's seed does."""
    given = [model for model in plan.networks if model.initialisation == "imagenet"]
    chosen = [model.title for model in given if model.has_chosen_weights]
    if chosen:
        yield (
            f"FIRST WEIGHTS of {', '.join(chosen)}: the coordinator's choice. The plan says that they are "
            "ImageNet's, but gives no digest of them: this hospital trains from whatever the coordinator "
            "sends first, and weights that somebody made for the purpose can make updates tell more of "
            "single patients. Ask for a plan with first_weights (rhe-server plan first-weights)."
        )
    for model in given:
        if model.first_weights is not None:
            yield (
                f"First weights of {model.title}: this hospital trains from no others than those of SHA-256 "
                f"{model.first_weights}."
            )


def _describe_repeats(plan: StudyPlan) -> Iterator[str]:
    """Which networks are trained several times, and what more leaves for it."""
    repeated = [model for model in list_first_networks(plan.models) if model.repeats > 1]
    if repeated:
        times = ", ".join(f"{model.title} {model.repeats} times" for model in repeated)
        yield (
            f"SEVERAL TRAININGS OF ONE NETWORK: {times} in each arm, on the same patients, each from a seed "
            "of its own. Each takes this hospital's computer as long as the first, and what leaves for the "
            "first (above) leaves for each of them: weights of that many networks can hold more traces of "
            "patients than those of one. The report shows how far their AUCs spread, and nothing else of "
            "them."
        )


def _describe_shared_start(plan: StudyPlan) -> Iterator[str]:
    """What arms tell that leave a centre out and begin with the same weights."""
    alike = [model.title for model in plan.networks if starts_alike(plan, model)]
    if alike:
        yield (
            f"ALL ARMS BEGIN WITH THE SAME WEIGHTS ({', '.join(alike)}, from ImageNet). WHOEVER SEES THE "
            "SUMS OF THE FIRST ROUNDS OF ALL ARMS, AS THE COORDINATOR DOES, CAN NEARLY COMPUTE BY "
            "SUBTRACTION THE MEANS AND VARIANCES OF THE NETWORK'S FEATURES OVER THIS HOSPITAL'S TRAINING "
            "PATIENTS. Each arm has a head of its own, and this hospital draws otherwise in each, so that "
            "little follows of its change of weights. The plan states that all hospitals know this "
            "(arms.shared_start_ack)."
        )


def _describe_noise(plan: StudyPlan) -> Iterator[str]:
    """What the noise on model updates protects at a hospital that trains, and what it does not."""
    # Slow, and needed only where there is noise
    from common.models.layout import Layout
    from common.models.zoo import build

    trained = [
        (arm, parts_of(plan, Layout.of(build(model.network(plan.preprocessing)))))
        for model in plan.networks
        for arm in plan.all_arms()
    ]
    privacy = site_privacy(plan, trained)
    if privacy is None:
        return
    yield (
        "Noise is added to model updates. Whether this hospital took part at all is then (epsilon, delta)-"
        f"differentially private: over all {privacy.releases} rounds epsilon = {privacy.outside:.3g} at "
        f"delta = {privacy.delta:g} towards the coordinator and whoever gets the models, epsilon = "
        f"{privacy.among_sites:.3g} towards another hospital, which knows the noise that it added. The "
        "guarantee is stated for the hospital as a whole, not for one patient; numbers of patients, "
        "validation, tables and metrics are exact sums without noise. A small epsilon such as 1 protects; "
        "one above 10 hardly does." + _describe_size(plan)
    )
    warning = warn_of_delta(plan.privacy, len(plan.training_sites))
    if warning is not None:
        yield warning


def _describe_size(plan: StudyPlan) -> str:
    """The noise that follows where the plan gives epsilon in its place."""
    noise, multiplier = plan.privacy.noise, plan.noise_multiplier
    if noise is None or noise.epsilon is None or multiplier is None:
        return ""
    return (
        f" The plan's target is epsilon = {noise.epsilon:g} towards the coordinator; what follows from it is "
        f"noise of {multiplier:g} times the largest change of a hospital."
    )


def describe_roster(roster: Roster, signer: str) -> str:
    """Who takes part, with the fingerprints that people compare by telephone.

    Parameters
    ----------
    roster : Roster
        The roster to be approved.
    signer : str
        The authority's raw key, hexadecimal.
    """
    lines = [
        f"\nRoster {roster.version}, to compare on the phone or on paper: {roster.fingerprint}",
        f"  signed by the authority {fingerprint(decode_public_key(signer))}",
        *(f"  {member.name}: {member.fingerprint}" for member in roster.sites),
        f"  Only sums of at least {roster.minimum} of these {len(roster.sites)} sites are opened.",
    ]
    return "\n".join(lines)


def describe_waiver(waiver: Waiver, roster: Roster) -> str:
    """What a waiver permits that the release rules forbid, and what follows from that.

    Parameters
    ----------
    waiver : Waiver
        The authority's.
    roster : Roster
        Of whose sites it speaks.
    """
    names = {member.id: member.name for member in roster.sites}
    if waiver.kind == "absent":
        absent = ", ".join(names.get(number, str(number)) for number in waiver.absent)
        return (
            f"The authority permits sums of {waiver.phase} without {absent}. Whoever sees such a sum and one "
            f"with {absent} can compute by subtraction what {absent} contributed."
        )
    if waiver.kind == "restored":
        name = names.get(waiver.site, str(waiver.site))
        return (
            f"The authority permits that {name} goes on, which was restored from a backup, or stopped "
            "because it found a sum false. After a backup it no longer knows all that it has answered, so it "
            "could answer the same question twice."
        )
    return "The authority permits that a statistic which was released once is released once more."


_ROLES = {"train": "its patients train and test models", "external": "its patients only test models"}
