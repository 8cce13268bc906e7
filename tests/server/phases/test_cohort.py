"""Table 1 over sites in this process: its columns, what may be shown, and what would tell a hidden number."""

import numpy as np
import pytest
from scipy import stats
from sites.exchange import NearExchange, analyses_of
from sites.patients import a_case, cases_with
from sites.plans import plan_of

from common.errors import ProtocolError
from common.messages.catalogue import Operation
from common.plan.described_columns import table_columns
from common.plan.matrix import TABLE_PARTS
from common.plan.variables import DESCRIBED
from common.stats.differencing import TOO_CLOSE
from server.phases.cohort import describe_cohorts
from server.results.cohort import record_cohort

NAMES = [variable.name for variable in DESCRIBED]
TWO = {"a": "train", "b": "train"}


@pytest.fixture
def exchange(tmp_path):
    def make(roles, cases, **changes):
        plan = plan_of(roles, **{"profile": "standard", "phases": ["cohort"], **changes})
        sites = {name: analyses_of(plan, name, own, tmp_path / name) for name, own in cases.items()}
        return NearExchange(plan, sites)

    return make


def patients(part, negatives, positives, yes=(0, 0)):
    """So many without and with expansion; of each class the first `yes` have subarachnoid hemorrhage."""
    return tuple(
        a_case(f"{part}-{grows}-{n}", grows=grows, part=part, age=60.0, sah=float(n < yes[grows]))
        for grows, size in enumerate((negatives, positives))
        for n in range(size)
    )


def written(column):
    return f"{column.site or ''}:{column.part}={'+'.join(column.sites)}:{column.taken}"


def rows(described, name):
    """By column: the variable's row."""
    return {written(one.column).split("=")[0]: one.rows[NAMES.index(name)] for one in described}


def reasons(described, name):
    def of(row):
        return (row.tabulation if hasattr(row, "tabulation") else row.groups[0]).status.reason

    return {column: of(row) for column, row in rows(described, name).items()}


@pytest.mark.parametrize(
    ("roles", "columns"),
    [
        (TWO, ":training=a+b:training :internal=a+b:test a:whole=a:whole b:whole=b:whole :whole=a+b:whole"),
        (
            {"a": "train", "b": "external"},
            (
                ":training=a:training :internal=a:test :external=b:test a:whole=a:whole b:whole=b:whole "
                ":whole=a+b:whole"
            ),
        ),
        (
            {"b": "external", "a": "external"},
            ":external=a+b:test a:whole=a:whole b:whole=b:whole :whole=a+b:whole",
        ),
        ({"a": "train"}, ":training=a:training :internal=a:test a:whole=a:whole"),
    ],
)
def test_the_paper_s_cohorts_then_centres_then_all(roles, columns):
    assert [written(column) for column in table_columns(plan_of(roles))] == columns.split()


def test_numbers_of_several_sites_are_those_of_all_their_patients(exchange):
    ages = {"a": [50, 60, 70, 80], "b": [40, 90]}
    cases = {
        site: [a_case(f"{n}", part="train", age=float(age), sex="male") for n, age in enumerate(own)]
        for site, own in ages.items()
    }

    found = describe_cohorts(exchange(TWO, cases, profile="simulation"))

    of_age = rows(found, "age")
    pooled = [age for own in ages.values() for age in own]
    for column, own in ((":training", pooled), (":whole", pooled), ("a:whole", ages["a"])):
        group = of_age[column].groups[0]
        assert (group.n_used, group.mean) == (len(own), pytest.approx(np.mean(own), rel=1e-12))
        assert group.sd == pytest.approx(np.std(own, ddof=1), rel=1e-12)
    # Rows are levels, columns are without and with expansion
    assert rows(found, "sex")[":training"].tabulation.counts == ((6, 0), (0, 0))
    assert rows(found, "age")[":internal"].groups[0].status.reason == "no patients"


def test_two_rounds_and_no_third(exchange):
    line = exchange(TWO, {site: patients("train", 30, 20) for site in TWO})
    describe_cohorts(line)

    assert line.rounds == 2
    assert [operation for operation, *_ in line.asked] == [Operation.GUARD] * 2 + [Operation.COHORT] * 2


# What may be asked


def asked_of(line, name="age"):
    """Site and part of every question after the variable."""
    (asked,) = {id(p["asked"]): p["asked"] for o, _, p in line.asked if o is Operation.COHORT}.values()
    sites = line.plan.site_names
    return {
        f"{site}:{part}"
        for place, site in enumerate(sites)
        for number, part in enumerate(TABLE_PARTS)
        if asked[place, number, NAMES.index(name)]
    }


def test_a_site_with_too_few_is_not_asked_and_the_other_one_is(exchange):
    """The paper's design: 8 are tested at the training site. All of it less training is the 8."""
    cases = {"a": patients("train", 30, 20) + patients("test", 5, 3), "b": patients("test", 30, 20)}
    line = exchange({"a": "train", "b": "external"}, cases)

    found = reasons(describe_cohorts(line), "age")

    assert asked_of(line) == {"a:training", "b:test", "b:whole"}
    assert {column for column, reason in found.items() if not reason} == {":training", ":external"}
    assert found[":internal"] == TOO_CLOSE


@pytest.mark.parametrize(
    ("negatives", "positives", "reason"),
    [
        (4, 5, "a site has too few patients for it"),
        (5, 5, ""),
        (0, 0, "fewer than 2 sites with patients"),
    ],
)
def test_of_two_sites_each_must_have_enough(exchange, negatives, positives, reason):
    cases = {
        "a": patients("train", 30, 20),
        "b": patients("train", negatives, positives) + patients("test", 30, 30),
    }
    line = exchange(TWO, cases)

    assert reasons(describe_cohorts(line), "age")[":training"] == reason
    assert ("a:training" in asked_of(line)) is ("b:training" in asked_of(line)) is (not reason)


@pytest.mark.parametrize(
    ("sizes", "reason"),
    [
        ((20, 20, 4), ""),  # few at one of three sites stand in the sum
        ((20, 20, 0), "fewer than 3 sites with patients"),
        ((3, 3, 3), "fewer than 10 patients"),
    ],
)
def test_of_three_sites_the_sum_must_have_enough(exchange, sizes, reason):
    cases = {
        site: patients("train", size, size) if sum(sizes) > 9 else patients("train", size, 0)
        for site, size in zip("abc", sizes, strict=True)
    }
    line = exchange(dict.fromkeys("abc", "train"), cases, two_site_ack=False)

    assert reasons(describe_cohorts(line), "age")[":training"] == reason


@pytest.mark.parametrize(("size", "shown"), [(19, False), (20, True)])
def test_a_centre_alone_needs_twenty(exchange, size, shown):
    cases = {"a": patients("train", 40, 40), "b": patients("train", size - 10, 10)}

    found = rows(describe_cohorts(exchange(TWO, cases)), "age")

    assert (found["b:whole"].groups[1].mean is not None) is shown


def test_a_cohort_too_near_to_one_released_is_not_asked_of_the_site_that_objects(exchange):
    first = {site: patients("train", 30, 20) for site in TWO}
    describe_cohorts(exchange(TWO, first))
    line = exchange(TWO, {"a": first["a"][:-1], "b": first["b"]})

    found = reasons(describe_cohorts(line), "age")

    assert asked_of(line) == {"b:whole"}
    assert "already released" in found[":training"]
    assert all(found[column] for column in ("a:whole", "b:whole", ":whole"))


def test_an_unasked_shape_is_refused_by_a_site(exchange):
    line = exchange(TWO, {site: patients("train", 30, 20) for site in TWO})
    asked = np.ones((len(TABLE_PARTS), len(DESCRIBED)), dtype=bool)

    with pytest.raises(ProtocolError, match="asked"):
        line.summaries(Operation.COHORT, ["a"], {"asked": asked})


# What would tell a hidden number


def shown(described, name="sah"):
    return {
        column for column, row in rows(described, name).items() if row.tabulation.counts[1][1] is not None
    }


def test_a_number_hidden_in_a_cohort_closes_centres_and_whole_of_its_variable_alone(exchange):
    """Three of the training cohort's patients with expansion have the sign: less the internal cohort's..."""
    cases = {
        "a": patients("train", 40, 30, yes=(10, 3)) + patients("test", 40, 30, yes=(10, 10)),
        "b": patients("train", 40, 30, yes=(10, 0)) + patients("test", 40, 30, yes=(10, 10)),
    }

    found = describe_cohorts(exchange(TWO, cases))

    assert shown(found) == {":internal"}
    told = reasons(found, "sah")
    assert "could be worked out" in told["a:whole"]
    assert told["a:whole"] == told["b:whole"] == told[":whole"]
    assert not any(reasons(found, "age").values())


def test_a_number_hidden_at_a_centre_closes_the_other_centres(exchange):
    cases = {
        "a": patients("train", 40, 30, yes=(10, 2)) + patients("test", 40, 30, yes=(10, 0)),
        "b": patients("train", 40, 30, yes=(10, 10)) + patients("test", 40, 30, yes=(10, 10)),
    }

    found = describe_cohorts(exchange(TWO, cases))

    assert shown(found) == {":training", ":internal", ":whole"}
    assert "could be worked out" in reasons(found, "sah")["b:whole"]


def test_nothing_hidden_closes_nothing(exchange):
    cases = {site: patients("train", 40, 30, yes=(10, 10)) + patients("test", 40, 30) for site in TWO}

    assert len(shown(describe_cohorts(exchange(TWO, cases)))) == 5


def test_quantiles_are_those_of_the_profile(exchange):
    cases = {"a": (*cases_with(["train"], 3, 3, age=60.0), a_case("x", age=70.0))}
    kinds = {
        profile: rows(describe_cohorts(exchange({"a": "train"}, cases, profile=profile)), "age")["a:whole"]
        for profile in ("simulation", "replication")
    }

    assert kinds["simulation"].groups[0].method.endswith("type 7")
    assert kinds["replication"].groups[0].method.endswith("type 6")
    # 60 60 60 70: type 7 interpolates at 2.25 of 0 to 3, type 6 at 2.75
    assert [kind.groups[0].third_quartile.value for kind in kinds.values()] == [62.5, 67.5]


# Means or medians


def aged(part, ages):
    """Every age once without and once with expansion."""
    return tuple(
        a_case(f"{part}-{grows}-{n}", grows=bool(grows), part=part, age=float(age))
        for grows in (0, 1)
        for n, age in enumerate(ages)
    )


BELL = stats.norm.ppf((np.arange(60) + 0.5) / 60) * 10 + 60
SKEWED = 40 + stats.expon.ppf((np.arange(30) + 0.5) / 30) * 12


def kinds(described, name="Age"):
    """By column: whether it prints means, and on whom that was chosen."""
    return {
        f"{row.site or ''}:{row.part}": (row.negative.mean is not None, row.chosen_on)
        for row in record_cohort(described)
        if row.label == name
    }


@pytest.mark.parametrize(
    ("bell", "skewed", "means"), [(BELL, SKEWED, True), (BELL, 15 + SKEWED * 1.3, False)]
)
def test_a_variable_prints_means_in_all_columns_or_in_none(exchange, bell, skewed, means):
    """The trained are bell-shaped, the tested skewed: means stood in one column and medians in the next."""
    cases = {"a": aged("train", bell.round()), "b": aged("test", skewed.round())}

    found = kinds(describe_cohorts(exchange(TWO, cases, profile="simulation")))

    assert set(found.values()) == {(means, "all patients together")}
    assert len(found) == 5


def test_where_all_together_may_not_be_described_every_column_shown_decides(exchange):
    """A third site has none: a sum over all needs three."""
    cases = {"a": aged("train", BELL.round()), "b": aged("train", SKEWED.round()), "c": ()}
    line = exchange(dict.fromkeys("abc", "train"), cases, two_site_ack=False)

    found = describe_cohorts(line)

    assert rows(found, "age")[":whole"].groups[0].status.kind == "suppressed"
    assert kinds(found)["a:whole"] == kinds(found)["b:whole"] == (False, "every column shown")


def test_a_replication_chooses_column_by_column_as_the_paper_did(exchange):
    cases = {"a": aged("train", BELL.round()), "b": aged("test", SKEWED.round())}

    found = kinds(describe_cohorts(exchange(TWO, cases, profile="replication")))

    assert found[":training"] == (True, "each column by itself")
    assert found[":internal"] == (False, "each column by itself")


def test_a_test_that_the_plan_names_is_nobody_s_choice(exchange):
    plan = {"cohort": {"tests": {"age": "mann-whitney"}}}
    line = exchange(TWO, {"a": aged("train", BELL.round()), "b": ()}, profile="simulation", **plan)

    assert kinds(describe_cohorts(line))[":training"] == (False, "")


def test_ranked_variables_print_medians_though_their_p_is_withheld(exchange):
    """Few missing values withhold the test; the column then printed a mean beside the others' medians."""
    ages = SKEWED.round()
    missing = (*aged("train", ages)[:-1], a_case("x", grows=True, part="train", age=None))
    line = exchange(TWO, {"a": missing, "b": tuple(aged("train", ages))})

    found = {
        f"{row.site or ''}:{row.part}": row
        for row in record_cohort(describe_cohorts(line))
        if row.label == "Age"
    }

    assert found[":training"].p_value is None
    assert found[":training"].positive.median is not None
    assert found[":training"].positive.mean is None


def test_the_step_to_which_values_were_rounded_is_recorded_of_continuous_variables_alone(exchange):
    cases = {"a": aged("train", SKEWED.round()), "b": ()}

    steps = {row.label: row.resolution for row in record_cohort(describe_cohorts(exchange(TWO, cases)))}

    assert (steps["Age"], steps["ICH volume"], steps["SAH"]) == (1, 0.01, None)
