"""Render the page, escaped and without secrets."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from raft_snapshot_agent.core.state.status import AgentStatus
from raft_snapshot_agent.redaction import redact
from raft_snapshot_agent.web.page.cluster_view import ALL, PageQuery
from raft_snapshot_agent.web.page.view import view_page

ASSETS = {"style.css": "text/css", "live.js": "text/javascript"}


def render_page(status: AgentStatus, asked: PageQuery = ALL) -> bytes:
    """Return the page in HTML.

    Arguments:
        status: How things stand.
        asked: What the reader wants to see.
    """
    _redact.cache_clear()  # not cached: more secrets may be known now
    return _environment().get_template("page.html").render(page=view_page(status, asked)).encode()


@cache
def read_asset(name: str) -> bytes:
    """Return a file that the page needs."""
    return files("raft_snapshot_agent.web.page").joinpath("assets", name).read_bytes()


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("raft_snapshot_agent.web.page", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
        auto_reload=False,
    )
    made.globals["page_link"] = _link
    return made


def _link(cluster: str) -> str:
    """Return the address of one cluster's page; one that has no name has the whole.

    It is relative, as a proxy may serve the page below a path of its own.
    """
    return f"./?{urlencode({'cluster': cluster})}" if cluster else "./"


def _finalize(value: Any) -> Any:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return _redact(value)


@lru_cache(20_000)
def _redact(text: str) -> str:
    return redact(text)
