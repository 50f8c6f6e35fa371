"""Sources of `status`: the running daemon, its HTTP address, or the storages."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from raft_snapshot_agent import __version__
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.core.state.role import Role
from raft_snapshot_agent.core.state.status import AgentStatus, ClusterStatus
from raft_snapshot_agent.core.state.storage_status import StorageStatus
from raft_snapshot_agent.destination.holdings import look_at_all
from raft_snapshot_agent.errors import AgentError, ConfigError, Unreachable
from raft_snapshot_agent.network.failures import innermost
from raft_snapshot_agent.network.pools import open_pool
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.observe.status_document import document
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.service.runtime_folder import find_sockets, socket_name

Document = Mapping[str, Any]

_WITHIN = 10.0
_LONGEST = 64 << 20
"""Maximum bytes of a document; 5,000 clusters need about 20 MiB."""
TOKEN = "RAFT_SNAPSHOT_AGENT_TOKEN"  # noqa: S105 - its name
"""The environment variable with the token for `--url`."""


def ask_daemon(source: Path | None) -> Document | None:
    """Ask the daemon that runs with this configuration on this host; `None` if none answers.

    Arguments:
        source: The configuration file.
    """
    for path in find_sockets(os.environ, socket_name(source)):
        with suppress(OSError, ValueError), socket.socket(socket.AF_UNIX) as asking:
            asking.settimeout(_WITHIN)
            asking.connect(str(path))
            with asking.makefile("rb") as answer:
                return _read(answer.read(_LONGEST))
    return None


def ask_url(url: str) -> Document:
    """Ask a daemon over HTTP.

    Arguments:
        url: The address of its page.

    Raises:
        AgentError: It does not answer, or not as a daemon.
    """
    import urllib3

    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.netloc or "@" in parts.netloc:
        raise ConfigError(
            "--url: not the address of an agent's page",
            hint=f"write it as http://127.0.0.1:8299; a token goes into {TOKEN}",
        )
    address = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}/api/v1/status"
    token = os.environ.get(TOKEN, "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = open_pool(TlsOptions(), None).request(
            "GET",
            address,
            headers=headers,
            timeout=_WITHIN,
            retries=False,
            redirect=False,
            preload_content=False,
        )
        with answer:
            text = answer.read(_LONGEST, decode_content=False)
    except urllib3.exceptions.HTTPError as error:
        why = f"cannot ask {address}: {innermost(error)}"
        raise Unreachable(why, hint=_advise(error)) from error
    if answer.status in {401, 403}:
        raise AgentError(f"{address} asks for a token", hint=f"set {TOKEN} to `web.token`")
    try:
        return _read(text)
    except ValueError as error:
        raise _explain_answer(address, answer.status, text) from error


def ask_storages(load: Callable[[], LoadedFleet]) -> Document:
    """Derive the status from the storages alone, if no daemon answers.

    Arguments:
        load: Loads the configuration.
    """
    fleet, now = load(), datetime.now(UTC)
    shelves = [
        (cluster, destination, loaded.timing)
        for cluster, loaded in fleet.clusters.items()
        for destination in assembly.destinations(loaded.config, cluster=cluster)
    ]
    holdings = wait_for(lambda: look_at_all([(one, timing) for _, one, timing in shelves], now))
    storages: dict[str, list[StorageStatus]] = {name: [] for name in fleet.clusters}
    for (cluster, destination, timing), holding in zip(shelves, holdings, strict=True):
        spec = timing.own(destination.timing)
        described = StorageStatus(
            destination.name,
            destination.storage.kind,
            destination.required,
            location=destination.storage.location(""),
            schedule=str(spec.schedule),
            holding=holding,
        )
        storages[cluster].append(described.with_survey(holding.survey, spec, now))
    clusters = tuple(
        ClusterStatus(name, tuple(found), role=Role.UNKNOWN).recalled(now)
        for name, found in storages.items()
    )
    return document(AgentStatus(__version__, now, now, clusters, fleet.first.source))


def _advise(error: Exception) -> str:
    """Return what to try if there is no answer."""
    if any(isinstance(one, ssl.SSLCertVerificationError) for one in error.args):
        return "if its CA is not one of the system's, set SSL_CERT_FILE to the CA's PEM file"
    return "check that the daemon runs with `web`"


def _explain_answer(address: str, status: int, text: bytes) -> AgentError:
    """Explain an answer that is no status document: with the agent's own words, if it has any."""
    with suppress(ValueError, RecursionError):
        told = read_json(text)
        if isinstance(told, dict) and isinstance(told.get("error"), str):
            why = f"{address} answers {status}: {told['error']}"
            return AgentError(why, hint=str(told.get("hint", "")))
    why = f"{address} answers {status} instead of a status document"
    return AgentError(why, hint="give the address of the agent's page")


def _read(text: bytes) -> Document:
    """Parse a document.

    Raises:
        ValueError: It is not a status document.
    """
    found = read_json(text)
    if not isinstance(found, dict) or not isinstance(found.get("clusters"), list):
        raise ValueError("no status")  # noqa: TRY004 - what came is wrong, not a call
    return found
