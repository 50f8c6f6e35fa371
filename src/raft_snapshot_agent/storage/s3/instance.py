"""Requests the keys of an EC2 instance's role from the metadata service of the instance.

On most hosts without keys nobody answers there, so the wait is short, and is not repeated soon.

Sources: "Retrieve security credentials from instance metadata" of the EC2 guide; "IMDS credential
provider" of the SDKs' guide.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import timedelta
from threading import Lock

from raft_snapshot_agent.error_text import read_document
from raft_snapshot_agent.errors import LoginRefused, StorageError
from raft_snapshot_agent.network.clear_text import issuer
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.storage.http.http import Http
from raft_snapshot_agent.storage.objectstore.connection import environment

_ENDPOINT = "http://169.254.169.254"
_ENDPOINT_IPV6 = "http://[fd00:ec2::254]"
_VARIABLES = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_METADATA_ENDPOINT")
"""The SDKs' variable with the address of the service, and the one of other tools."""
_DISABLED = "AWS_EC2_METADATA_DISABLED"
_DOING = "instance metadata service"
_PATIENCE = timedelta(seconds=2)
"""The service is on this host and answers within milliseconds."""
_MEMORY = 20.0
"""Seconds in which a service that gave no keys is not asked again: the rest of most runs."""
_HINT = (
    "give the instance a role (in a container: raise the hop limit to 2), or set access_key_id and"
    " secret_access_key, or their AWS_* variables"
)


class InstanceMetadata:
    """The metadata service of this host, which may not exist; thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._failed: tuple[str, float, str] = ("", 0.0, "")
        """Address, time and reason of the last failure."""

    def ask_keys(self, doing: str) -> bytes:
        """Return the document with the keys of the instance's role.

        Raises:
            LoginRefused: There are none.
            ConfigError: The address in the environment is refused.
        """
        doing = f"{doing}: there are no credentials"
        if (environment(_DISABLED) or "").lower() == "true":
            why = f"{doing}, and {_DISABLED} forbids to ask the instance metadata service"
            raise LoginRefused(why, hint=_HINT)
        address = find_address()
        with self._lock:
            known, since, why = self._failed
            if known != address or self._clock() - since > _MEMORY:
                try:
                    return _ask_all(address)
                except (StorageError, ValueError) as error:
                    why = error.message if isinstance(error, StorageError) else f"{_DOING}: no text"
                    self._failed = address, self._clock(), why
        raise LoginRefused(f"{doing}: {why}", hint=_HINT)


def find_address() -> str:
    """Return the address of the service, from the environment or the usual one.

    Raises:
        ConfigError: Others could read the keys on the way from there.
    """
    ipv6 = (environment("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE") or "").lower() == "ipv6"
    variable = next((name for name in _VARIABLES if os.environ.get(name)), _VARIABLES[0])
    return issuer(variable, _ENDPOINT_IPV6 if ipv6 else _ENDPOINT).rstrip("/")


def _ask_all(address: str) -> bytes:
    http = Http(_PATIENCE, TlsOptions())
    lasting = {"x-aws-ec2-metadata-token-ttl-seconds": "600"}
    token = _ask(http, "PUT", f"{address}/latest/api/token", lasting).decode()
    shown = {"x-aws-ec2-metadata-token": token}
    profile = f"{address}/latest/meta-data/iam/security-credentials/"
    name = _ask(http, "GET", profile, shown).decode().split("\n")[0]
    return _ask(http, "GET", profile + name, shown)


def _ask(http: Http, method: str, url: str, headers: dict[str, str]) -> bytes:
    answer = http.ask(_DOING, method, url, headers)
    if answer.status == 200:
        return answer.data
    told = read_document(answer.data.decode(errors="replace")).with_status(answer.status)
    raise StorageError(f"{_DOING}: the answer was {told}")
