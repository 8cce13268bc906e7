"""The variance that an AUC will have, before there is a single score: for planning alone."""

from __future__ import annotations


def hanley_mcneil_variance(auc: float, negatives: int, positives: int) -> float:
    """The variance of an AUC from so many patients, if scores of each outcome are negative exponential.

    Parameters
    ----------
    auc : float
        The true AUC, between 0 and 1.
    negatives, positives : int
        Patients of each outcome, at least 1.

    Raises
    ------
    ValueError
        If the AUC lies outside 0 to 1, or an outcome has no patient.

    References
    ----------
    Hanley JA, McNeil BJ. Radiology 1982;143:29-36, equations 1 and 2.

    Examples
    --------
    >>> round(hanley_mcneil_variance(0.8, 50, 50) ** 0.5, 4)
    0.0445
    """
    if not 0 <= auc <= 1:
        raise ValueError(f"an AUC lies between 0 and 1, not at {auc}")
    if min(negatives, positives) < 1:
        raise ValueError(f"an AUC needs patients of both outcomes, not {negatives} and {positives}")
    one_negative = auc / (2 - auc)
    one_positive = 2 * auc**2 / (1 + auc)
    spread = auc * (1 - auc)
    spread += (positives - 1) * (one_negative - auc**2) + (negatives - 1) * (one_positive - auc**2)
    return spread / (negatives * positives)
