"""Flower's small dependencies without threads of their own: a request changes threads once, not six times.

FastAPI hands every plain function that a route depends on to another thread and waits for it, also one that
reads one attribute: half of what a SuperLink computes for a small request. Those named here never wait, so
they answer where the request is; the route's own work stays in a thread. What each does stays Flower's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import TYPE_CHECKING, Any

from server.process.whole_answers import WHOLE

if TYPE_CHECKING:
    from fastapi import FastAPI
    from fastapi.dependencies.models import Dependant


def answer_without_threads(app: FastAPI) -> None:
    """Let the small dependencies of a study's routes answer where the request is.

    Parameters
    ----------
    app : FastAPI
        Flower's, before it serves.
    """
    from fastapi.routing import iter_route_contexts
    from flwr.supercore.dependencies.runtime import get_runtime_handlers, get_runtime_state, get_task
    from flwr.supercore.dependencies.version import VersionDependency
    from flwr.supercore.protobuf.translation import get_protobuf_request
    from flwr.superlink.dependencies.linkstate import get_linkstate

    small = (get_protobuf_request, get_linkstate, get_runtime_state, get_runtime_handlers, get_task)
    at_once: dict[Callable[..., Any], Callable[..., Awaitable[Any]]] = {}
    for context in iter_route_contexts(app.routes):
        if context.path in WHOLE:
            for dependant in _walk(context.dependant):
                call = dependant.call
                if call is not None and (call in small or isinstance(call, VersionDependency)):
                    # One for each: FastAPI asks a dependency once a request, whoever depends on it
                    dependant.call = at_once.setdefault(call, _answer_at_once(call))
                    for kept in ("cache_key", "is_coroutine_callable"):
                        vars(dependant).pop(kept, None)


def look_first_at_rounds(app: FastAPI) -> None:
    """Let an app look for a study's routes before all others: FastAPI tries one after the other, twice.

    Parameters
    ----------
    app : FastAPI
        Flower's, before it serves. No two of its routes have one path, so their order decides nothing.
    """
    from fastapi.routing import iter_route_contexts

    app.router.routes.sort(
        key=lambda route: all(one.path not in WHOLE for one in iter_route_contexts([route]))
    )


def _walk(dependant: Dependant) -> Iterator[Dependant]:
    """All that something depends on."""
    for inner in dependant.dependencies:
        yield inner
        yield from _walk(inner)


def _answer_at_once(call: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """The same function for the event loop."""

    async def answer(**values: Any) -> Any:
        return call(**values)

    return answer
