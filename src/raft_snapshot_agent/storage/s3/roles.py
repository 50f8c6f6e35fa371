"""Temporary keys of AWS roles: of a web identity, of a container, of an instance (`instance.py`).

The agent's own connections are used, so that its proxies, time-outs and limits apply.

Sources: `AssumeRoleWithWebIdentity` of the STS API; "Container credential provider" of the SDKs'
guide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.error_text import read_document
from raft_snapshot_agent.errors import (
    ConfigError,
    LoginRefused,
    StorageUnavailable,
    reason_of,
)
from raft_snapshot_agent.network.clear_text import issuer
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.small_file import read_text
from raft_snapshot_agent.storage.http.xml_parts import local_name, parts
from raft_snapshot_agent.storage.objectstore.aws_profile import AwsCredentials, sts
from raft_snapshot_agent.storage.objectstore.connection import environment
from raft_snapshot_agent.storage.s3.instance import ask_keys

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from raft_snapshot_agent.storage.http.http import Http

TASK_ENDPOINT = "http://169.254.170.2"
_RENEWED = timedelta(minutes=5)
"""How long before expiry keys are renewed; platforms have new ones by then."""
_LIFETIME = timedelta(hours=1)
_IDENTITY = "AWS_WEB_IDENTITY_TOKEN_FILE"
_FULL_URI = "AWS_CONTAINER_CREDENTIALS_FULL_URI"
_HINT = "check the role, whom it trusts, and the AWS_* variables that lead to it"


@dataclass(frozen=True, slots=True)
class _Temporary:
    keys: AwsCredentials
    until: datetime


class RoleKeys:
    """The keys of this host's role, renewed before they expire; thread-safe."""

    def __init__(self, http: Http, region: str) -> None:
        """Store the arguments; no I/O.

        Arguments:
            http: HTTP client of the bucket.
            region: Region of the bucket and of the STS endpoint.
        """
        self._http = http
        self._region = region
        self._lock = Lock()
        self._held: _Temporary | None = None

    def __call__(self, doing: str) -> AwsCredentials:
        """Return keys that are valid for at least some minutes.

        Raises:
            LoginRefused: There are no keys, or the role is refused.
            StorageUnavailable: The service that issues them did not answer.
        """
        with self._lock:
            if self._held is None or self._held.until - _RENEWED <= datetime.now(UTC):
                self._held = self._asked(doing)
            return self._held.keys

    def _asked(self, doing: str) -> _Temporary:
        try:
            if environment(_IDENTITY) and environment("AWS_ROLE_ARN"):
                return self._of_identity(f"{doing}: no keys for the role")
            if environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", _FULL_URI):
                return self._of_container(f"{doing}: no keys for the role")
            return _read(doing, ask_keys(doing), _from_json)
        except ConfigError as error:
            raise LoginRefused(f"{doing}: {error.message}", hint=error.hint) from error

    def _of_identity(self, doing: str) -> _Temporary:
        form = {
            "Action": "AssumeRoleWithWebIdentity",
            "Version": "2011-06-15",
            "RoleArn": environment("AWS_ROLE_ARN") or "",
            "RoleSessionName": environment("AWS_ROLE_SESSION_NAME") or "raft-snapshot-agent",
            "WebIdentityToken": _token(_IDENTITY),
            "DurationSeconds": str(int(_LIFETIME.total_seconds())),
        }
        headers = {"content-type": "application/x-www-form-urlencoded"}
        url, body = f"{sts(self._region).rstrip('/')}/", urlencode(form).encode()
        answer = self._ask(doing, "POST", url, headers, body)
        return _read(doing, answer.data, _from_xml)

    def _of_container(self, doing: str) -> _Temporary:
        headers = {}
        if relative := environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
            url = TASK_ENDPOINT + relative
        else:
            url = issuer(_FULL_URI, "")
        if environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            headers["authorization"] = _token("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        elif token := environment("AWS_CONTAINER_AUTHORIZATION_TOKEN"):
            headers["authorization"] = token
        return _read(doing, self._ask(doing, "GET", url, headers).data, _from_json)

    def _ask(
        self,
        doing: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes | None = None,
    ) -> BaseHTTPResponse:
        try:
            answer = self._http.ask(doing, method, url, headers, body)
        except StorageUnavailable as error:
            # A failure of a proxy is not one of the role.
            hint = error.hint if "proxy" in error.message.lower() else _HINT
            raise StorageUnavailable(error.message, hint=hint) from None
        if answer.status == 200:
            return answer
        told = read_document(answer.data.decode(errors="replace")).with_status(answer.status)
        if answer.status // 100 == 4:
            raise LoginRefused(f"{doing}: refused ({told})", hint=_HINT)
        raise StorageUnavailable(f"{doing}: the answer was {told}", hint=_HINT)


def _token(variable: str) -> str:
    """Read the file named by a variable.

    Raises:
        ConfigError: It cannot be read.
    """
    path = environment(variable) or ""
    try:
        token = read_text(Path(path)).strip()
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}, which {variable} names: {reason_of(error)}",
            hint=f"check the file, or remove {variable} from the environment",
        ) from None
    remember(token)
    return token


def _read(doing: str, document: bytes, found: Callable[[bytes], Mapping[str, str]]) -> _Temporary:
    try:
        said = found(document)
        until = datetime.fromisoformat(said["Expiration"])
        keys = AwsCredentials(
            str(said["AccessKeyId"]), str(said["SecretAccessKey"]), str(said["Token"])
        )
        return _Temporary(keys, until if until.tzinfo else until.replace(tzinfo=UTC))
    except (KeyError, TypeError, ValueError):
        raise StorageUnavailable(f"{doing}: the answer holds no keys", hint=_HINT) from None


def _from_json(document: bytes) -> Mapping[str, str]:
    said = read_json(document)
    if not isinstance(said, dict):
        raise TypeError("no object")
    return said


def _from_xml(document: bytes) -> Mapping[str, str]:
    (found,) = parts(document, {"Credentials"})
    said = {local_name(child): child.text or "" for child in found}
    return {**said, "Token": said["SessionToken"]}
