import pytest

from client.membership.environment import read_versions
from server.phases.versions import RULES, find_conflicts, list_differences
from server.results.provenance import read_own_versions

OURS = {
    "python": "3.11.9",
    "rhe": "0.2.0",
    "torch": "2.13.0+cpu",
    "numpy": "2.4.6",
    "monai": "1.6.1",
    "scipy": "1.17.1",
    "SimpleITK": "2.5.7",
    "flwr": "1.41.0",
}


def conflicts(**theirs):
    return list(find_conflicts(OURS, {"a": OURS, "b": OURS | theirs}))


@pytest.mark.parametrize(
    ("package", "version"),
    [("rhe", "0.2.1"), ("torch", "2.13.1+cpu"), ("torch", "2.12.0"), ("numpy", "2.5.0"), ("monai", "1.7.0")],
)
def test_what_both_sides_must_derive_alike_is_refused_with_both_versions(package, version):
    (found,) = conflicts(**{package: version})

    assert found.startswith(f"b has {package} {version}, the coordinator has {OURS[package]}: ")


@pytest.mark.parametrize(
    ("package", "version"),
    [
        ("torch", "2.13.0+cu126"),
        ("numpy", "2.4.7"),
        ("monai", "1.6.2"),
        ("scipy", "1.16.0"),
        ("SimpleITK", "2.4.0"),
        ("flwr", "1.42.0"),
        ("python", "3.11.2"),
    ],
)
def test_what_changes_last_bits_alone_is_said(package, version):
    assert conflicts(**{package: version}) == []

    (found,) = list_differences(OURS, {"a": OURS, "b": OURS | {package: version}})

    assert found.startswith(f"{package}: {OURS[package]} at the coordinator, a; {version} at b. ")


def test_equal_versions_are_no_difference():
    assert conflicts() == []
    assert list_differences(OURS, {"a": OURS, "b": OURS}) == ()


def test_a_site_that_hides_a_version_that_must_agree_is_refused():
    stated = {name: version for name, version in OURS.items() if name not in {"numpy", "scipy"}}

    (found,) = find_conflicts(OURS, {"b": stated})

    assert found.startswith("b does not state its version of numpy, the coordinator has 2.4.6")


def test_every_package_with_a_rule_is_stated_on_both_sides():
    assert set(read_versions()) == set(read_own_versions()) == set(RULES)
    assert all(rule.must or rule.may for rule in RULES.values())
