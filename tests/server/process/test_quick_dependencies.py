"""Flower's small dependencies answer where the request is: the same answers, by Flower's own functions."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from types import SimpleNamespace

import httpx
import pytest
from fastapi.routing import iter_route_contexts
from flwr.proto.fleet_pb2 import PullMessagesRequest
from flwr.proto.node_pb2 import NodeInfo
from flwr.proto.runtime_pb2 import GetNodesRequest, GetNodesResponse, PullAppMessagesRequest
from flwr.supercore.constant import FLWR_IN_MEMORY_DB_NAME
from flwr.supercore.dependencies import runtime
from flwr.supercore.dependencies.version import VersionDependency
from flwr.supercore.protobuf.constants import PROTOBUF_MEDIA_TYPE
from flwr.superlink.main import create_app

from server.process.quick_dependencies import answer_without_threads, look_first_at_rounds
from server.process.whole_answers import WHOLE

NODES, MESSAGES, PULL = "/v1/runtime/get-nodes", "/v1/runtime/pull-messages", "/v1/fleet/pull-messages"


def ask(app, path, body=b"", **headers):
    """Status and body of the answer."""

    async def post():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://superlink") as client:
            told = {"content-type": PROTOBUF_MEDIA_TYPE, **headers}
            told = {name.replace("_", "-"): value for name, value in told.items()}
            return await client.post(path, content=body, headers=told)

    answer = asyncio.run(post())
    return answer.status_code, answer.content


@pytest.fixture
def make_flower(monkeypatch):
    """Flower's own app, as it is or quick."""
    monkeypatch.setenv("FLWR_DATABASE", FLWR_IN_MEMORY_DB_NAME)

    def make(*, quick):
        app = create_app()
        if quick:
            look_first_at_rounds(app)
            answer_without_threads(app)
        return app

    return make


@pytest.mark.parametrize(
    ("path", "body", "headers"),
    [
        (NODES, GetNodesRequest().SerializeToString(), {"flwr_task_token": "no such"}),
        (NODES, GetNodesRequest().SerializeToString(), {}),
        (NODES, b"\xff", {}),
        (NODES, b"", {"content_type": "text/plain"}),
        (NODES, b"", {"flwr_package_name": "flwr", "flwr_package_version": "0.1.0"}),
        (MESSAGES, PullAppMessagesRequest(message_ids=["a"]).SerializeToString(), {"flwr_task_token": "a"}),
        (PULL, PullMessagesRequest().SerializeToString(), {}),
        ("/v1/runtime/nothing", b"", {}),
    ],
)
def test_answers_are_flowers_own(make_flower, path, body, headers):
    before, after = (ask(make_flower(quick=quick), path, body, **headers) for quick in (False, True))

    assert after == before
    assert after[0] in {200, 400, 401, 403, 404, 409, 412, 415, 422}


def test_every_dependency_of_a_studys_routes_answers_at_once(make_flower):
    """One that Flower adds is seen here; as a thread's it makes a request a third longer."""
    app = make_flower(quick=True)
    routes = {one.path: one.dependant for one in iter_route_contexts(app.routes) if one.path in WHOLE}

    def walk(dependant):
        for inner in dependant.dependencies:
            yield inner
            yield from walk(inner)

    assert routes.keys() == WHOLE
    for dependant in routes.values():
        found = list(walk(dependant))
        assert len(found) >= 3
        assert all(inner.is_coroutine_callable for inner in found), [inner.call for inner in found]
        assert all(inner.cache_key[0] is inner.call for inner in found)


def test_other_routes_are_left_as_they_are(make_flower):
    app = make_flower(quick=True)
    routes = [
        one for one in iter_route_contexts(app.routes) if one.path not in WHOLE and "/runtime/" in one.path
    ]
    calls = [inner.call for one in routes for inner in one.dependant.dependencies]

    assert runtime.get_runtime_state in calls
    assert any(isinstance(call, VersionDependency) for call in calls)


def test_a_studys_routes_are_looked_at_first(make_flower):
    paths = [one.path for one in iter_route_contexts(make_flower(quick=True).routes)]

    assert sorted(paths) == sorted(one.path for one in iter_route_contexts(make_flower(quick=False).routes))
    assert all(path.startswith(("/v1/fleet/", "/v1/runtime/")) for path in paths[: len(WHOLE)])
    assert max(paths.index(path) for path in WHOLE) < min(
        index for index, path in enumerate(paths) if path.startswith("/v1/control/")
    )


def test_small_dependencies_answer_in_the_requests_thread_once_and_the_work_in_another(make_flower):
    app, asked = make_flower(quick=True), Counter()

    class State:
        def get_task_by_token(self, token):
            asked["token", threading.get_ident()] += 1
            return SimpleNamespace(task_id=1, run_id=7) if token == "right" else None

        def get_nodes(self, run_id):
            asked["work", threading.get_ident()] += 1
            return {run_id}

        def get_node_info(self, node_ids):
            return [NodeInfo(node_id=node_id) for node_id in node_ids]

    def find_state():
        asked["state", threading.get_ident()] += 1
        return State()

    app.state.runtime_state_factory = SimpleNamespace(state=find_state)

    status, body = ask(app, NODES, flwr_task_token="right")

    assert (status, [node.node_id for node in GetNodesResponse.FromString(body).nodes]) == (200, [7])
    own = threading.get_ident()
    assert (asked.pop(("state", own)), asked.pop(("token", own))) == (1, 1)
    [(what, other)] = asked
    assert (what, other != own) == ("work", True)
    assert ask(app, NODES, flwr_task_token="wrong")[0] == 401
