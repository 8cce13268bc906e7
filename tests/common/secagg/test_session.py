from secagg_world import World, check_sums

from common.secagg.conduct import finish, open_session, run_step


def test_session_opens_every_iteration(tmp_path):
    world = World(tmp_path, 3)
    server = world.session()
    open_session(server, world.exchange)

    for step in range(4):
        check_sums(run_step(server, world.exchange, bytes(step)), [1, 2, 3], factor=1 + step)

    server.close()
    assert finish(server, world.exchange)


def test_session_answers_the_same_parameters_from_the_disk(tmp_path):
    world = World(tmp_path, 3)
    server = world.session()
    open_session(server, world.exchange)
    first = run_step(server, world.exchange, b"x")

    again = run_step(world.session(), world.exchange_without(*world.names), b"x")

    assert all((first[name] == again[name]).all() for name in first)
