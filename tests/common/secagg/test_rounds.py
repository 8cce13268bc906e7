import numpy as np
import pytest
from secagg.world import ROUNDS, World, check_sums, code_of

from common.secagg.codes import SecAggError
from common.secagg.coordinator.drive import finish, run_round
from common.secagg.coordinator.gathering import SiteRefusedError
from common.secagg.coordinator.round import Stage, give_up
from common.secagg.crypto.rings import Ring
from common.secagg.site.rules import Computed, ComputedVector


@pytest.mark.parametrize(("sites", "colluders"), [(2, 0), (3, 1), (5, 1)])
def test_round_opens_the_sum_of_all(tmp_path, sites, colluders):
    world = World(tmp_path, sites, colluders)
    server = world.round()

    check_sums(run_round(server, world.exchange), list(world.identities))

    server.close()
    assert finish(server, world.exchange)


def test_round_goes_on_without_a_site_that_does_not_join(tmp_path):
    world = World(tmp_path, 3)

    check_sums(run_round(world.round(), world.exchange_without("centre2")), [1, 3])


def test_round_goes_on_without_a_site_that_joins_and_is_lost(tmp_path):
    world = World(tmp_path, 3)
    server = world.round()
    for name, answer in world.exchange(server.make_requests()).items():
        server.receive(name, answer)
    server.proceed()

    check_sums(run_round(server, world.exchange_without("centre2")), [1, 3])


def test_a_round_waits_for_a_site_without_which_there_is_no_sum(tmp_path):
    """Wherever it is lost: the round stays where it was, and goes on once the site is back."""
    world = World(tmp_path, 3)
    server = world.round(required=frozenset({2}))
    with pytest.raises(SecAggError, match="not in the sum: centre2") as refusal:
        run_round(server, world.exchange_without("centre2"))
    assert (refusal.value.code, server.stage) == ("E_SET_INCOMPLETE", Stage.JOINING)
    for name, answer in world.exchange(server.make_requests()).items():
        server.receive(name, answer)
    server.proceed()
    with pytest.raises(SecAggError, match="not in the sum: centre2"):
        run_round(server, world.exchange_without("centre2"))
    assert server.stage is Stage.COLLECTING

    check_sums(run_round(server, world.exchange), [1, 2, 3])


def refuse_by_clip(world, site):
    """The site's change of the weights is far out of bounds; its other vectors are not."""
    plain = world.machine(site).compute

    def compute(*arguments):
        return Computed(
            tuple(
                ComputedVector(part.vector, np.asarray(part.values) + np.float32(1e6))
                if part.vector.ring is Ring.UPDATES
                else part
                for part in plain(*arguments).parts
            )
        )

    world.compute[site] = compute


def has_begun(world, site, number):
    begun = world.files(site)
    with begun.lock():
        last = begun.history.find_begun(ROUNDS)
        return last is not None and last.round == number


def test_a_round_that_a_site_refuses_is_given_up_and_leaves_nothing_anywhere(tmp_path):
    world = World(tmp_path, 3)
    world.release_round()
    server = world.round(2, model=b"next")
    refuse_by_clip(world, 2)
    with pytest.raises(SiteRefusedError, match="centre2 refused: E_CLIP"):
        run_round(server, world.exchange)
    folder = tmp_path / "server" / next(p.name for p in (tmp_path / "server").iterdir() if p.name[0] == "2")

    close = give_up(world.coordinator, folder)
    answers = world.exchange(dict.fromkeys(world.names, close))

    assert {name: code_of(answer) for name, answer in answers.items()} == {
        "centre1": "OK",
        "centre2": "E_NO_STATE",
        "centre3": "OK",
    }
    for site in world.identities:
        with world.files(site).lock():
            assert world.files(site).read_all() == []
        kept = [path.name for path in world.state(site).rglob("*") if path.is_file()]
        assert not any("words" in name or name == "state" for name in kept)
    assert [has_begun(world, site, 2) for site in (1, 2, 3)] == [True, False, True]
    # It may be sent again, also by a coordinator that was killed meanwhile
    assert give_up(world.coordinator, folder) == close
    again = world.exchange(dict.fromkeys(("centre1", "centre3"), close))
    assert {code_of(answer) for answer in again.values()} == {"OK"}
    assert give_up(world.coordinator, tmp_path / "nowhere") is None
    world.compute.clear()
    check_sums(run_round(world.round(3, model=b"third"), world.exchange), [1, 2, 3])


@pytest.mark.parametrize("stage", [Stage.COLLECTING, Stage.REVEALING])
def test_a_round_that_was_given_up_can_be_opened_by_nobody(tmp_path, stage):
    """Even of a coordinator that has all masked vectors: the sites have forgotten their seeds."""
    world = World(tmp_path, 3)
    server = world.round()
    for name, answer in world.exchange(server.make_requests()).items():
        server.receive(name, answer)
    server.proceed()
    if stage is Stage.REVEALING:
        for name, answer in world.exchange(server.make_requests()).items():
            server.receive(name, answer)
        server.proceed()
    later = server.make_requests()
    (folder,) = (tmp_path / "server").iterdir()

    close = give_up(world.coordinator, folder)
    world.exchange(dict.fromkeys(world.names, close))

    assert {code_of(answer) for answer in world.exchange(later).values()} == {"E_NO_STATE"}
