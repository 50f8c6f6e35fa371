"""Log in with an Azure identity: that of a workload, of an app, or of this machine.

Source: https://developer.hashicorp.com/vault/api-docs/auth/azure#login and, for the tokens,
https://learn.microsoft.com/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
"""

from __future__ import annotations

import os
from typing import Any, ClassVar, Literal
from urllib.parse import urlencode

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.network.clear_text import issuer
from raft_snapshot_agent.secret import Plain, Secret
from raft_snapshot_agent.vault.auth.base import Login, Mount, login_path
from raft_snapshot_agent.vault.auth.cloud_identity import CloudIdentity

_MACHINE = CloudIdentity(
    "the Azure metadata service",
    "this must be an Azure machine with a managed identity, and resource one that exists",
)
_APP = CloudIdentity(
    "the app's identity endpoint", "give the app a managed identity, and check resource"
)
_ISSUER = CloudIdentity(
    "Microsoft Entra",
    "check AZURE_TENANT_ID, AZURE_CLIENT_ID, the federated credential and resource",
)
_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_NAMES = {
    "subscription_id": "subscriptionId",
    "resource_group_name": "resourceGroupName",
    "vm_name": "name",
    "vmss_name": "vmScaleSetName",
}


class AzureAuth(Settings):
    """Login with a token for the resource configured at the mount."""

    advice: ClassVar = "check role, mount, resource, and what the role is bound to"
    counted: ClassVar = False

    method: Literal["azure"]
    mount: Mount = "azure"
    role: Plain
    resource: Plain

    def login(self) -> Login:
        body = {"role": self.role.resolve(), **_proof(self.resource.resolve())}
        return Login(login_path(self.mount), body)


def _proof(resource: str) -> dict[str, str]:
    """Return a token from the first available source, in the order of Azure's clients."""
    if os.environ.get("AZURE_FEDERATED_TOKEN_FILE"):
        return {"jwt": _workload(resource)}
    if os.environ.get("IDENTITY_ENDPOINT") and os.environ.get("IDENTITY_HEADER"):
        return {"jwt": _app(resource)}
    return {"jwt": _machine(resource), **_place()}


def _workload(resource: str) -> str:
    authority = issuer("AZURE_AUTHORITY_HOST", "https://login.microsoftonline.com")
    assertion = Secret(f"file://{os.environ['AZURE_FEDERATED_TOKEN_FILE']}").resolve()
    form = {
        "grant_type": "client_credentials",
        "client_id": _variable("AZURE_CLIENT_ID"),
        "client_assertion_type": _ASSERTION,
        "client_assertion": assertion,
        "scope": f"{resource}/.default",
    }
    url = f"{authority.rstrip('/')}/{_variable('AZURE_TENANT_ID')}/oauth2/v2.0/token"
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = _ISSUER.ask_json("POST", url, headers, urlencode(form).encode())
    return _ISSUER.require_text(answer, "access_token")


def _app(resource: str) -> str:
    query = urlencode({"api-version": "2019-08-01", "resource": resource, **_chosen()})
    url = f"{os.environ['IDENTITY_ENDPOINT']}?{query}"
    headers = {"X-IDENTITY-HEADER": os.environ["IDENTITY_HEADER"]}
    return _APP.require_text(_APP.ask_json("GET", url, headers), "access_token")


def _machine(resource: str) -> str:
    query = urlencode({"api-version": "2018-02-01", "resource": resource, **_chosen()})
    answer = _metadata(f"identity/oauth2/token?{query}")
    return _MACHINE.require_text(answer, "access_token")


def _place() -> dict[str, str]:
    """Return the identifiers of this machine, to which roles may be bound."""
    compute = _metadata("instance?api-version=2021-05-01").get("compute")
    known = compute if isinstance(compute, dict) else {}
    return {key: str(known[theirs]) for key, theirs in _NAMES.items() if known.get(theirs)}


def _metadata(path: str) -> dict[str, Any]:
    service = os.environ.get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or "http://169.254.169.254"
    url = f"{service.rstrip('/')}/metadata/{path}"
    return _MACHINE.ask_json("GET", url, {"Metadata": "true"})


def _chosen() -> dict[str, str]:
    """Return the parameter that selects an identity, if the environment names one."""
    client = os.environ.get("AZURE_CLIENT_ID")
    return {"client_id": client} if client else {}


def _variable(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise ConfigError(
            f"vault.auth: AZURE_FEDERATED_TOKEN_FILE is set, but {name} is missing or empty",
            hint="the workload identity webhook sets all of them: look at the pod's labels",
        )
    return value
