"""Results files of version 1, as written until November 2026, read as version 2.

Version 2 has one record of comparisons for each score of the reference model, where version 1 had one for
each cohort; what else is new in it has a default that says "not recorded".
"""

from __future__ import annotations

from typing import Any

ResultsDocument = dict[str, Any]


def upgrade(document: ResultsDocument) -> ResultsDocument:
    """The content of a file of version 1 as that of version 2; of any other version unchanged.

    Parameters
    ----------
    document : dict
        Parsed JSON; not changed.
    """
    if document.get("schema_version") != 1:
        return document
    comparisons = [table for cohort in document.get("comparisons", []) for table in _split_cohort(cohort)]
    notes = [*document.get("notes", []), _NOTE]
    return document | {"schema_version": 2, "comparisons": comparisons, "notes": notes}


_NOTE = (
    "These results are of version 1 of the file, and what the page says of methods is of version 2. In "
    "version 1 two models were compared on the patients who have the scores of all models of the cohort; "
    "limits and P-values were of scores in a thousand bins, only the AUC had a bound; intervals of a mean "
    "over centres could be narrower than with known variances; odds ratios by Firth's method had Wald's "
    "intervals."
)


def _split_cohort(cohort: ResultsDocument) -> list[ResultsDocument]:
    """The comparisons of one cohort, by the reference model's score.

    Every pair was compared on the patients with all scores. The omnibus test was of all scores of the cohort;
    it belongs to a table only if that has them all.
    """
    pairs = cohort.get("pairs", [])
    references = dict.fromkeys((pair["first_model"], pair["first_arm"]) for pair in pairs)
    of_all = len(references) == 1 and cohort.get("degrees_of_freedom") == len(pairs)
    return [
        cohort
        | ({} if of_all else _WITHOUT_TEST)
        | {
            "pairs": [
                pair | {"used": cohort.get("used"), "missing": cohort.get("missing")}
                for pair in pairs
                if (pair["first_model"], pair["first_arm"]) == reference
            ]
        }
        for reference in references
    ]


_WITHOUT_TEST: ResultsDocument = {
    "chi_squared": None,
    "degrees_of_freedom": None,
    "p_value": None,
    "standing": {"kind": "undefined", "reason": "in a file of version 1 the test was of other models, too"},
}
