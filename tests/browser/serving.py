"""A server of statuses in a thread of its own: the browser's driver waits in this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from anyio.from_thread import start_blocking_portal
from tests.unit.web.serving import Served, serve

from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus


class Site:
    """What is served, and how to change it."""

    def __init__(self, served: Served, call: Callable[..., Any]) -> None:
        self._served = served
        self._call = call
        self.address = f"http://127.0.0.1:{served.port}/"

    def change(self, cluster: str, change: Callable[[ClusterStatus], ClusterStatus]) -> None:
        self._call(self._served.board.change, cluster, change)


@contextmanager
def site(status: AgentStatus) -> Iterator[Site]:
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(serve(status)) as served,
    ):
        yield Site(served, portal.call)
