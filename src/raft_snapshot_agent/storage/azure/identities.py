"""Requests tokens for an identity: of an app, a workload, an instance or the CLI.

The agent's own connections are used, so that its proxies, time-outs and limits apply.

Sources: "OAuth 2.0 client credentials flow" of Microsoft Entra; "How to use managed identities on
an Azure VM" and "... for App Service"; `az account get-access-token`.
"""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote, urlencode

from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.error_text import read_document
from raft_snapshot_agent.errors import (
    ConfigError,
    LoginRefused,
    StorageError,
    StorageUnavailable,
    reason_of,
)
from raft_snapshot_agent.host_limits import find_limit, starting_program
from raft_snapshot_agent.network.deadline import current
from raft_snapshot_agent.redaction import one_line, remember
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.small_file import read_text
from raft_snapshot_agent.storage.http.metadata import MetadataService, briefly
from raft_snapshot_agent.storage.http.patience import note_pause

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

    from raft_snapshot_agent.storage.http.http import Http

AUTHORITY = "https://login.microsoftonline.com"
INSTANCE = "http://169.254.169.254/metadata/identity/oauth2/token"
LOGIN_HINT = (
    "set account_key, sas_token, connection_string or client_id, or give the instance "
    "a managed identity"
)
_RESOURCE = "https://storage.azure.com"
_SCOPE = f"{_RESOURCE}/.default"
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TAG = Path("/sys/class/dmi/id/chassis_asset_tag")
_AZURES_TAG = "7783-7084-3265-9085-8269-3286-77"
"""Chassis asset tag of every Azure machine. Source: cloud-init's data source for Azure."""
_MOST_OF_CLI = 64 << 10
_MOST_SAID = 200


@dataclass(frozen=True, slots=True)
class AzureToken:
    """A token for requests to the store."""

    text: str = field(repr=False)
    seconds: float
    """Lifetime in seconds, from when it was received."""

    @classmethod
    def read(cls, doing: str, source: str, document: bytes) -> AzureToken:
        """Parse the answer, whose expiry has one of several forms.

        Raises:
            LoginRefused: It contains no token.
        """
        try:
            text, seconds = _token_in(read_json(document))
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError):
            raise LoginRefused(f"{doing}: {source} gave no token", hint=LOGIN_HINT) from None
        remember(text)
        return cls(text, seconds)


def _token_in(said: Mapping[str, object]) -> tuple[str, float]:
    text = said.get("access_token") or said["accessToken"]
    if not isinstance(text, str):
        raise TypeError("no text")
    if (seconds := said.get("expires_in")) is not None:
        left = float(str(seconds))
    else:  # App Service and the CLI have the time of expiry; an old CLI only in local time
        left = float(str(said.get("expires_on", time.time()))) - time.time()
    if not math.isfinite(left):
        raise ValueError("it never ends")
    return text, left


class TokenSource(Protocol):
    """Requests tokens; equal sources get tokens of the same identity."""

    def get(self, http: Http, doing: str) -> AzureToken:
        """Request a token.

        Arguments:
            http: Makes the request.
            doing: Start of the error message.

        Raises:
            LoginRefused: The identity does not exist or is refused.
            StorageUnavailable: The token service did not answer.
        """


@dataclass(frozen=True, slots=True)
class ServicePrincipal:
    """An app registered with Entra, with its secret."""

    authority: str
    tenant: str
    client: str
    secret: str = field(repr=False)

    def get(self, http: Http, doing: str) -> AzureToken:
        return _exchange(http, doing, self, {"client_secret": self.secret})


@dataclass(frozen=True, slots=True)
class WorkloadIdentity:
    """A pod with a federated token in a file."""

    authority: str
    tenant: str
    client: str
    file: str

    def get(self, http: Http, doing: str) -> AzureToken:
        try:
            assertion = Secret(f"file://{Path(self.file).absolute()}").resolve()
        except ConfigError as error:
            why = f"cannot use the federated token file: {error.message}"
            hint = "check AZURE_FEDERATED_TOKEN_FILE, or remove it from the environment"
            raise LoginRefused(f"{doing}: {why}", hint=hint) from None
        form = {"client_assertion_type": _ASSERTION, "client_assertion": assertion}
        return _exchange(http, doing, self, form)


def _exchange(
    http: Http, doing: str, who: ServicePrincipal | WorkloadIdentity, proof: Mapping[str, str]
) -> AzureToken:
    url = f"{who.authority.rstrip('/')}/{quote(who.tenant, safe='')}/oauth2/v2.0/token"
    form = {
        "client_id": who.client,
        "scope": _SCOPE,
        "grant_type": "client_credentials",
        **proof,
    }
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = http.ask(doing, "POST", url, headers, urlencode(form).encode())
    return _given(doing, "Microsoft Entra", answer)


@dataclass(frozen=True, slots=True)
class ManagedIdentity:
    """The managed identity of the instance, or a selected one of several."""

    endpoint: str
    client: str | None = None
    header: str | None = field(default=None, repr=False)
    """Value of the header that App Service requires."""

    def get(self, http: Http, doing: str) -> AzureToken:
        asked = {"api-version": "2019-08-01", "resource": _RESOURCE}
        if self.client:
            asked["client_id"] = self.client
        headers = {"metadata": "true"}
        if self.header:
            headers["x-identity-header"] = self.header
        url = f"{self.endpoint}?{urlencode(asked)}"
        ask = partial(briefly(http).ask, doing, "GET", url, headers)
        try:
            answer = _SERVICE.ask(doing, self.endpoint, ask)
        except StorageUnavailable as error:
            if _on_azure() or "proxy" in error.message.lower():
                raise
            raise _without_credentials(doing, error) from None
        return _given(doing, "the instance's identity service", answer)


def _without_credentials(doing: str, error: StorageError) -> LoginRefused:
    why = error.message.removeprefix(f"{doing}: ")
    return LoginRefused(f"{doing}: there are no credentials ({why})", hint=LOGIN_HINT)


@dataclass(frozen=True, slots=True)
class AzureCli:
    """The user who is logged in with the Azure CLI on this host."""

    seconds: float
    """Time limit."""

    def get(self, _http: Http, doing: str) -> AzureToken:
        deadline = current()
        seconds = self.seconds if deadline is None else min(self.seconds, deadline.left)
        asked = ("account", "get-access-token", "--output", "json", "--scope", _SCOPE)
        try:
            with starting_program():
                done = subprocess.run(
                    ["az", *asked],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=seconds,
                    check=False,
                )
        except subprocess.TimeoutExpired:
            raise StorageUnavailable(
                f"{doing}: az does not answer", hint="try it by hand"
            ) from None
        except OSError as error:
            why = f"{doing}: cannot run az, the Azure CLI: {reason_of(error)}"
            if find_limit(error):
                raise StorageUnavailable(why) from None
            hint = "install it, or remove AZURE_USE_AZURE_CLI from the environment"
            raise LoginRefused(why, hint=hint) from None
        if done.returncode:
            said = one_line(done.stderr[:_MOST_OF_CLI].decode(errors="replace"), _MOST_SAID)
            why = f"{doing}: az gave no token ({said or f'exit code {done.returncode}'})"
            raise LoginRefused(why, hint="try: az login")
        return AzureToken.read(doing, "az", done.stdout[:_MOST_OF_CLI])


def _given(doing: str, source: str, answer: BaseHTTPResponse) -> AzureToken:
    if answer.status == 200:
        return AzureToken.read(doing, source, answer.data)
    told = read_document(answer.data.decode(errors="replace")).with_status(answer.status)
    if answer.status in {408, 410, 429} or answer.status // 100 == 5:
        why = f"{doing}: {source} gives no token now ({told})"
        error = StorageUnavailable(why, hint="it may be temporary; check its status")
        raise note_pause(error, answer)
    raise LoginRefused(f"{doing}: the login was refused ({told})", hint=LOGIN_HINT)


def _on_azure() -> bool:
    try:
        return read_text(_TAG).strip() == _AZURES_TAG
    except OSError:
        return False


_SERVICE = MetadataService(_on_azure)
