"""Log in as a Cloud Foundry app.

Source: https://developer.hashicorp.com/vault/api-docs/auth/cf#login and the server's plugin, which
defines what is signed: time, certificate and role, with RSA-PSS.
"""

from __future__ import annotations

import base64
import os
from datetime import UTC, datetime
from typing import ClassVar, Literal

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import Settings, require_extra
from raft_snapshot_agent.secret import Plain, Secret
from raft_snapshot_agent.vault.auth.base import Login, Mount, login_path


class CfAuth(Settings):
    """Login with the certificate of the app instance, and a signature by its key."""

    advice: ClassVar = "check role, mount, and that this host's clock is right"
    counted: ClassVar = False

    method: Literal["cf"]
    mount: Mount = "cf"
    role: Plain

    def check(self) -> None:
        require_extra("cf-auth", "method cf", "cryptography")

    def login(self) -> Login:
        self.check()
        role, certificate = self.role.resolve(), _content("CF_INSTANCE_CERT")
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        body = {
            "role": role,
            "cf_instance_cert": certificate,
            "signing_time": now,
            "signature": _signature(f"{now}{certificate}{role}".encode()),
        }
        return Login(login_path(self.mount), body)


def _content(variable: str) -> str:
    path = os.environ.get(variable, "").strip()
    if not path:
        raise ConfigError(
            f"vault.auth: method cf needs {variable}, which is missing or empty",
            hint="Cloud Foundry sets it for every app instance",
        )
    return Secret(f"file://{path}").resolve_lines()


def _signature(message: bytes) -> str:
    key = _content("CF_INSTANCE_KEY")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        private = serialization.load_pem_private_key(key.encode(), password=None)
    except (TypeError, ValueError):
        private = None
    if not isinstance(private, rsa.RSAPrivateKey):
        raise ConfigError(
            "vault.auth: the file in CF_INSTANCE_KEY holds no RSA key",
            hint="it must be the instance's own, in PEM",
        )
    scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.MAX_LENGTH)
    signed = private.sign(message, scheme, hashes.SHA256())
    return f"v1:{base64.b64encode(signed).decode()}"
