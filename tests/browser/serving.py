"""A server of statuses in a thread of its own: the browser's driver waits in this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any
from urllib.request import urlopen

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


@contextmanager
def below(address: str, path: str, passes: Callable[[str], bool] = lambda _: True) -> Iterator[str]:
    """Serve a site below a path of a proxy, and nothing else there; return the address.

    Arguments:
        address: The site's.
        path: With a slash at both ends.
        passes: Whether what is at an address is passed on now; else the proxy hangs.
    """
    ends = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if not self.path.startswith(path):
                self.send_error(404)
                return
            with (
                suppress(HTTPException, OSError),
                urlopen(address + self.path[len(path) :]) as answer,
            ):
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.end_headers()
                while piece := answer.read1():
                    if not passes(self.path):
                        ends.wait()
                        return
                    self.wfile.write(piece)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{path}"
    finally:
        ends.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
