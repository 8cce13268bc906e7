import pytest
from secagg.world import World, check_sums

from common.secagg.coordinator.drive import finish, run_round


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
