"""Requests the keys of an EC2 instance's role from the metadata service of the instance.

Sources: "Retrieve security credentials from instance metadata" of the EC2 guide; "IMDS credential
provider" of the SDKs' guide.
"""

from __future__ import annotations

from datetime import timedelta

from raft_snapshot_agent.error_text import read_document
from raft_snapshot_agent.errors import LoginRefused, StorageError
from raft_snapshot_agent.network.metadata import find_ec2_metadata
from raft_snapshot_agent.network.trust import TlsOptions
from raft_snapshot_agent.storage.http.http import Http
from raft_snapshot_agent.storage.http.metadata import MetadataService
from raft_snapshot_agent.storage.objectstore.connection import environment

_DISABLED = "AWS_EC2_METADATA_DISABLED"
_NAME = "instance metadata service"
_PATIENCE = timedelta(seconds=2)
"""It has the keys and answers within milliseconds; with a hop limit of 1, never in a container."""
_HINT = (
    "give the instance a role (in a container: raise the hop limit to 2), or set access_key_id and"
    " secret_access_key, or their AWS_* variables"
)
_SERVICE = MetadataService()


def ask_keys(doing: str) -> bytes:
    """Return the document with the keys of the instance's role.

    Raises:
        LoginRefused: There are none.
        ConfigError: The address in the environment is refused.
    """
    doing = f"{doing}: there are no credentials"
    if (environment(_DISABLED) or "").lower() == "true":
        why = f"{doing}, and {_DISABLED} forbids to ask the instance metadata service"
        raise LoginRefused(why, hint=_HINT)
    doing, address = f"{doing}: {_NAME}", find_ec2_metadata()
    try:
        return _SERVICE.ask(doing, address, lambda: _ask_all(doing, address))
    except StorageError as error:
        raise LoginRefused(error.message, hint=_HINT) from None


def _ask_all(doing: str, address: str) -> bytes:
    http = Http(_PATIENCE, TlsOptions())
    lasting = {"x-aws-ec2-metadata-token-ttl-seconds": "600"}
    profile = f"{address}/latest/meta-data/iam/security-credentials/"
    try:
        token = _ask(http, doing, "PUT", f"{address}/latest/api/token", lasting).decode()
        shown = {"x-aws-ec2-metadata-token": token}
        name = _ask(http, doing, "GET", profile, shown).decode().split("\n")[0]
        return _ask(http, doing, "GET", profile + name, shown)
    except ValueError:
        raise StorageError(f"{doing}: no text") from None


def _ask(http: Http, doing: str, method: str, url: str, headers: dict[str, str]) -> bytes:
    answer = http.ask(doing, method, url, headers)
    if answer.status == 200:
        return answer.data
    told = read_document(answer.data.decode(errors="replace")).with_status(answer.status)
    raise StorageError(f"{doing}: the answer was {told}")
