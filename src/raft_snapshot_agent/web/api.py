"""Answer requests, only from the present status."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from functools import partial

import anyio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from raft_snapshot_agent.core.state.status import AgentStatus
from raft_snapshot_agent.metrics.exposition import Exposer
from raft_snapshot_agent.observe.board import StatusBoard
from raft_snapshot_agent.observe.json_text import write_json
from raft_snapshot_agent.observe.renderer import Renderer
from raft_snapshot_agent.observe.status_document import document
from raft_snapshot_agent.web.gate import LARGEST_BODY, Refusal
from raft_snapshot_agent.web.page.cluster_view import PageQuery
from raft_snapshot_agent.web.page.render import ASSETS, read_asset, render_page
from raft_snapshot_agent.web.probes import Probe, probe_health, probe_readiness
from raft_snapshot_agent.web.routes import ADDRESSES, describe_api
from raft_snapshot_agent.web.stored import MOST, USUAL, Question, find_missing, list_snapshots
from raft_snapshot_agent.web.vault_words import describe_in_vaults_words, find_cluster

TakeNow = Callable[[str | None], bool]
"""Requests a snapshot of a cluster, or of all; returns whether the cluster exists."""
_SPACING = 2.0
"""Minimum seconds between two events, as each makes a page reload."""
_LONGEST_WORD = 200
_PULSE = 15.0
"""Maximum seconds between two events, as displayed ages grow."""


class Api:
    """Serves what `routes` lists."""

    def __init__(self, board: StatusBoard, take_now: TakeNow | None) -> None:
        """Prepare.

        Arguments:
            board: The status to serve.
            take_now: Requests a snapshot; `None`: not allowed.
        """
        self._renderer = Renderer(board)
        self._exposer = Exposer()
        self._board = board
        self._take_now = take_now

    def app(self) -> Starlette:
        """Build the application."""
        routes = [
            Route(one.path, getattr(self, one.name), methods=[one.method]) for one in ADDRESSES
        ]
        return Starlette(routes=routes, exception_handlers={404: _unknown, 405: _unknown})

    async def health(self, _: Request) -> Response:
        """Answer `/healthz`."""
        return _answer_probe(probe_health(self._board.read()))

    async def readiness(self, _: Request) -> Response:
        """Answer `/readyz`."""
        return _answer_probe(probe_readiness(self._board.read()))

    async def page(self, request: Request) -> Response:
        """Answer `/`."""
        query = request.query_params
        q, before, after = (query.get(name, "")[:_LONGEST_WORD] for name in ("q", "from", "to"))
        asked = PageQuery(q, query.get("cluster"), before, after)
        made = await self._renderer.render(asked, lambda status: render_page(status, asked))
        there = asked.cluster is None or _has(self._board.read(), asked.cluster)
        return Response(made, 200 if there else 404, media_type="text/html")

    async def asset(self, request: Request) -> Response:
        """Answer with a file of the page."""
        name = request.url.path.removeprefix("/")
        return Response(read_asset(name), media_type=ASSETS[name])

    async def metrics(self, request: Request) -> Response:
        """Answer `/metrics`."""
        accept = request.headers.get("accept", "")
        make = partial(self._exposer.render, accept=accept)
        kind, content = await self._renderer.render(("metrics", accept), make)
        return Response(content, headers={"content-type": kind})

    async def status(self, _: Request) -> Response:
        """Answer `/api/v1/status`."""
        text = await self._renderer.render("status", lambda status: write_json(document(status)))
        return Response(text, media_type="application/json")

    async def vault_status(self, request: Request) -> Response:
        """Answer in the format of Vault Enterprise."""
        name = request.path_params["name"]
        cluster = find_cluster(self._board.read(), name)
        if cluster is None:
            return JSONResponse({"errors": ["no cluster has that name"]}, 404)
        told = write_json({"data": describe_in_vaults_words(cluster)})
        return Response(told, media_type="application/json")

    async def snapshots(self, request: Request) -> Response:
        """Answer `/api/v1/snapshots`."""
        asked = _read_question(request)
        if isinstance(asked, Refusal):
            return asked.answer()
        if missing := find_missing(self._board.read(), asked):
            return Refusal(404, missing).answer()

        def make(status: AgentStatus) -> bytes:
            return write_json(list_snapshots(status, asked))

        return Response(await self._renderer.render(asked, make), media_type="application/json")

    async def events(self, _: Request) -> Response:
        """Answer `/api/v1/events` until the client disconnects."""
        # nginx would hold events back until its buffer is full
        unbuffered = {"x-accel-buffering": "no"}
        return StreamingResponse(self._tell_changes(), 200, unbuffered, "text/event-stream")

    async def openapi(self, _: Request) -> Response:
        """Answer `/api/v1/openapi.json`."""
        return JSONResponse(describe_api())

    async def take_snapshot(self, request: Request) -> Response:
        """Take a snapshot if that is allowed."""
        if self._take_now is None:
            hint = "set web.allow_snapshot and web.token"
            return Refusal(403, "taking snapshots from here is not allowed", hint).answer()
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > LARGEST_BODY:
                return Refusal(413, f"a body has at most {LARGEST_BODY} bytes").answer()
        if wrong := _find_unknown(request, "take_snapshot"):
            return wrong.answer()
        asked = request.query_params.get("cluster")
        if not self._take_now(asked):
            return _explain_refusal(self._board.read(), asked).answer()
        return JSONResponse({"accepted": True}, 202)

    async def _tell_changes(self) -> AsyncIterator[str]:
        version = self._board.version
        yield "retry: 5000\n\n"
        while True:
            yield f"id: {version}\nevent: status\ndata: {json.dumps({'version': version})}\n\n"
            await anyio.sleep(_SPACING)
            with anyio.move_on_after(_PULSE):
                version = await self._board.wait_for_change(version)


def _has(status: AgentStatus, cluster: str) -> bool:
    return any(one.name == cluster for one in status.clusters)


def _explain_refusal(status: AgentStatus, asked: str | None) -> Refusal:
    """Explain why no snapshot is taken of a cluster, or of any."""
    for one in status.clusters:
        if one.disabled and asked in (None, one.name):
            what = f"cluster {one.name} is disabled, its configuration is invalid: {one.disabled}"
            return Refusal(409, what, "find every fault: raft-snapshot-agent config check")
    return Refusal(404, "no cluster has that name")


def _answer_probe(probe: Probe) -> Response:
    return PlainTextResponse("\n".join((probe.words, *probe.wrong, "")), probe.code)


def _find_unknown(request: Request, name: str) -> Refusal | None:
    """Refuse parameters that an address does not have: of a misspelt one, all would be meant."""
    (known,) = (one.parameters for one in ADDRESSES if one.name == name)
    if request.query_params.keys() <= known.keys():
        return None
    # Not repeated in the answer: whatever is in a query may be a secret.
    return Refusal(400, "a parameter is unknown", f"there are: {', '.join(known)}")


def _read_question(request: Request) -> Question | Refusal:
    if wrong := _find_unknown(request, "snapshots"):
        return wrong
    asked = request.query_params
    numbers = {name: asked.get(name, str(usual)) for name, usual in _NUMBERS.items()}
    for name, text in numbers.items():
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            return Refusal(400, f"{name} must be a number")
    limit = max(1, min(int(numbers["limit"]), MOST))
    return Question(asked.get("cluster"), asked.get("storage"), int(numbers["offset"]), limit)


_NUMBERS = {"offset": 0, "limit": USUAL}


async def _unknown(_: Request, error: Exception) -> Response:
    code = getattr(error, "status_code", 404)
    what = "nothing is there" if code == 404 else "that method does nothing here"
    return Refusal(code, what, "see /api/v1/openapi.json").answer()
