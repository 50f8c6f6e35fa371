"""Compare this host's clock with those of the server and of the stores."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from raft_snapshot_agent.doctor.results import CheckContext, CheckResult, skipped, success, warning
from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.storage.http.answers import http_date
from raft_snapshot_agent.storage.http.http import Http
from raft_snapshot_agent.storage.s3.s3 import S3Settings, bucket_of
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.client import Node

_CHECK = "clock"
_APART = timedelta(seconds=30)
"""Larger differences are reported, as names, schedules and logins depend on the clocks."""
_PATIENCE = timedelta(seconds=5)
_ADDRESSES = ("url", "endpoint", "auth_url")
"""The keys with a store's address."""


async def clocks(context: CheckContext) -> list[CheckResult]:
    """Compare the clocks; skip stores that do not report their time."""
    found = [await in_thread(partial(_server, context.node), abandon=True)]
    silent = {one.storage for one in context.holdings if one.error is not None}
    for storage in context.config.storages:
        if storage.name not in silent:
            found += await in_thread(partial(_store, storage), abandon=True)
    return found


def _server(node: Node | None) -> CheckResult:
    if node is None:
        return skipped(_CHECK, "no node answers, so its clock was not checked")
    told = node.call("GET", "sys/health").body.get("server_time_utc")
    if not isinstance(told, int):
        return skipped(_CHECK, f"{node.address} does not report its time")
    return _compare(node.address, datetime.fromtimestamp(told, UTC))


def _store(storage: AnyStorage) -> list[CheckResult]:
    told = None
    with suppress(AgentError, ValueError):
        told = _date(storage)
    return [] if told is None else [_compare(f"{storage.name}", told)]


def _date(storage: AnyStorage) -> datetime | None:
    """Send a request without credentials to a store: every answer has a date."""
    url = _address(storage)
    if url is None:
        return None
    ca_file: Path | None = getattr(storage, "ca_file", None)
    trust = TlsOptions(ca_file, skip_verify=getattr(storage, "skip_verify", False))
    http = Http(_PATIENCE, trust, getattr(storage, "proxy", None))
    answer = http.ask("cannot ask for the time", "HEAD", url, {})
    return http_date(answer.headers.get("date"))


def _address(storage: AnyStorage) -> str | None:
    if isinstance(storage, S3Settings):
        return bucket_of(storage).endpoint
    return next((url for key in _ADDRESSES if (url := getattr(storage, key, None))), None)


def _compare(whose: str, told: datetime) -> CheckResult:
    apart = datetime.now(UTC) - told
    if abs(apart) <= _APART:
        return success(_CHECK, f"this host and {whose} agree on the time")
    by, way = (
        f"{abs(apart).total_seconds():.0f} s",
        "ahead of" if apart > timedelta(0) else "behind",
    )
    message = f"this host's clock is {by} {way} that of {whose}"
    return warning(
        _CHECK, message, "synchronise both with NTP: names, schedules and logins depend on them"
    )
