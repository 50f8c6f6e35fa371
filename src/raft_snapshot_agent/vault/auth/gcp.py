"""Log in as a Google Cloud instance or service account.

Source: https://developer.hashicorp.com/vault/api-docs/auth/gcp#login and
https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/signJwt
"""

from __future__ import annotations

import json
import time
from typing import ClassVar, Literal
from urllib.parse import quote, urlencode

from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.network.metadata import find_google_metadata
from raft_snapshot_agent.secret import Plain
from raft_snapshot_agent.vault.auth.base import Login, Mount, login_path
from raft_snapshot_agent.vault.auth.cloud_identity import CloudIdentity

_HOST = CloudIdentity(
    "Google's metadata server",
    "this must run on Google Cloud, with a service account; check vault.auth.service_account",
)
_SIGNER = CloudIdentity(
    "Google's IAM",
    "the host's account needs roles/iam.serviceAccountTokenCreator on the account that signs",
)
_SIGN = "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts"
_LASTING = 600
"""Seconds; roles accept at most 15 minutes by default."""


class GcpAuth(Settings):
    """Login with the instance's identity token, or a JWT signed by a service account."""

    advice: ClassVar = "check role, mount, type and the accounts the role is bound to"
    counted: ClassVar = False

    method: Literal["gcp"]
    mount: Mount = "gcp"
    role: Plain
    type: Literal["gce", "iam"] = "gce"
    service_account: Plain | None = None
    """Service account; by default that of the host."""

    def login(self) -> Login:
        role = self.role.resolve()
        account = None if self.service_account is None else self.service_account.resolve()
        jwt = _identity(role, account) if self.type == "gce" else _sign(role, account)
        return Login(login_path(self.mount), {"role": role, "jwt": jwt})


def _identity(role: str, account: str | None) -> str:
    query = urlencode({"audience": f"http://vault/{role}", "format": "full"})
    return _metadata(f"{quote(account or 'default')}/identity?{query}")


def _sign(role: str, account: str | None) -> str:
    signer = account or _metadata("default/email")
    access = _HOST.require_text(_HOST.ask_json("GET", *_address("default/token")), "access_token")
    claims = {"sub": signer, "aud": f"vault/{role}", "exp": int(time.time()) + _LASTING}
    headers = {"Authorization": f"Bearer {access}", "Content-Type": "application/json"}
    body = json.dumps({"payload": json.dumps(claims)}).encode()
    answer = _SIGNER.ask_json("POST", f"{_SIGN}/{quote(signer)}:signJwt", headers, body)
    return _SIGNER.require_text(answer, "signedJwt")


def _metadata(path: str) -> str:
    return _HOST.ask("GET", *_address(path))


def _address(path: str) -> tuple[str, dict[str, str]]:
    """Return the URL at the metadata server, and its required header."""
    url = f"{find_google_metadata()}/computeMetadata/v1/instance/service-accounts/{path}"
    return url, {"Metadata-Flavor": "Google"}
