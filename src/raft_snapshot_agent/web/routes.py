"""One table of the API's addresses, for serving and for describing them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from raft_snapshot_agent import __version__


@dataclass(frozen=True, slots=True)
class Address:
    """One address: its purpose and its responses."""

    path: str
    name: str
    """Name of the function that serves it."""
    summary: str
    answers: Mapping[int, str]
    parameters: Mapping[str, str] = field(default_factory=dict)
    """Parameters of the query, by name."""
    method: str = "GET"
    kind: str = "application/json"
    public: bool = False
    """Whether it needs no token, as it only tells whether the agent works."""


_SNAPSHOT_AUTO = "/v1/sys/storage/raft/snapshot-auto/status/{name}"
ADDRESSES = (
    Address("/", "page", "The page",
            {200: "How things stand", 404: "No cluster has that name"},
            {"q": "part of a cluster's name", "cluster": "one of them",
             "from": "a run to compare", "to": "the other"}, kind="text/html"),
    Address("/style.css", "asset", "Part of the page", {200: "It"}, kind="text/css"),
    Address("/live.js", "asset", "Part of the page", {200: "It"}, kind="text/javascript"),
    Address("/healthz", "health", "Whether every loop goes on",
            {200: "It does", 503: "One hangs; restart the agent"}, kind="text/plain", public=True),
    Address("/readyz", "readiness", "Whether every cluster's loop has begun",
            {200: "It has", 503: "One has not"}, kind="text/plain", public=True),
    Address("/metrics", "metrics", "For Prometheus", {200: "Text or OpenMetrics"},
            kind="text/plain"),
    Address("/api/v1/status", "status", "How things stand", {200: "The same as `status`"}),
    Address(_SNAPSHOT_AUTO, "vault_status", "The same in the words of Vault Enterprise",
            {200: "One cluster's", 404: "No cluster has that name"}),
    Address("/api/v1/snapshots", "snapshots", "What is stored",
            {200: "As listed last, newest first", 400: "A number or parameter is wrong",
             404: "No cluster or storage has that name"},
            {"cluster": "its name", "storage": "its name", "offset": "where to begin",
             "limit": "how many at most"}),
    Address("/api/v1/events", "events", "Sends an event after each change",
            {200: "Server-sent events"}, kind="text/event-stream"),
    Address("/api/v1/openapi.json", "openapi", "This description", {200: "OpenAPI 3.1"}),
    Address("/api/v1/snapshot", "take_snapshot", "Takes a snapshot now",
            {202: "It is taken next", 400: "A parameter is unknown",
             403: "web.allow_snapshot is off", 404: "No cluster has that name",
             409: "Its configuration is invalid"},
            {"cluster": "which one; without it all"}, method="POST"),
)  # fmt: skip


def describe_api() -> dict[str, Any]:
    """Return the OpenAPI document."""
    paths: dict[str, dict[str, Any]] = {}
    for one in ADDRESSES:
        paths.setdefault(one.path, {})[one.method.lower()] = _describe(one)
    bearer = {"type": "http", "scheme": "bearer", "description": "web.token"}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Raft Snapshot Agent", "version": __version__},
        "paths": paths,
        "components": {"securitySchemes": {"bearer": bearer}},
    }


def _describe(one: Address) -> dict[str, Any]:
    inside = [part[1:-1] for part in one.path.split("/") if part.startswith("{")]
    text = {"type": "string"}
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": text} for name in inside
    ] + [
        {"name": name, "in": "query", "description": what, "schema": text}
        for name, what in one.parameters.items()
    ]
    said: dict[str, Any] = {
        "operationId": one.name + one.path.replace("/", "_") if one.name == "asset" else one.name,
        "summary": one.summary,
        "security": [] if one.public else [{"bearer": []}],
        "responses": {
            str(code): {"description": what} | ({"content": {one.kind: {}}} if code == 200 else {})
            for code, what in one.answers.items()
        },
    }
    return said | ({"parameters": parameters} if parameters else {})
