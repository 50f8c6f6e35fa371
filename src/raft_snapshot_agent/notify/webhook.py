"""A webhook, which gets the document; it is signed if there is a secret.

Source of the signature: the Standard Webhooks specification, for which there are libraries in many
languages; `webhook-signature` is over `<webhook-id>.<webhook-timestamp>.<body>`.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from collections.abc import Collection
from typing import Literal

from raft_snapshot_agent.core.notices import Notice
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.notify.message import encode
from raft_snapshot_agent.notify.post import post, resolve_url
from raft_snapshot_agent.notify.settings import HttpNotifierSettings
from raft_snapshot_agent.secret import Secret

_PREFIX = "whsec_"
_SHORTEST = 16
"""Least bytes of a secret; with fewer, a signature proves little."""


class WebhookSettings(HttpNotifierSettings):
    """Any HTTP service that accepts JSON."""

    type: Literal["webhook"]
    secret: Secret | None = None
    """Key for signatures: text, or `whsec_` followed by base64."""
    token: Secret | None = None
    """Sent as `Authorization: Bearer`."""

    def open(self) -> Webhook:
        return Webhook(self)

    def check(self, clusters: Collection[str]) -> None:  # noqa: ARG002 - any will do
        resolve_url(self)
        if self.secret is not None:
            signing_key(self.secret.resolve())


class Webhook:
    """Sends the document by HTTP POST."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings

    def send(self, notice: Notice) -> str:
        settings, body = self._settings, encode(notice)
        headers = {"content-type": "application/json", "webhook-id": notice.id}
        if settings.token is not None:
            headers["authorization"] = f"Bearer {settings.token.resolve()}"
        if settings.secret is not None:
            headers |= signature(settings.secret.resolve(), notice.id, int(time.time()), body)
        return post(settings, resolve_url(settings), body, headers)


def signature(secret: str, message: str, at: int, body: bytes) -> dict[str, str]:
    """Return the headers that sign a message and its time.

    Arguments:
        secret: Key shared with the receiver.
        message: The message's ID.
        at: Seconds since 1970.
        body: Body of the request.
    """
    signed = f"{message}.{at}.".encode() + body
    proof = base64.b64encode(hmac.digest(signing_key(secret), signed, "sha256")).decode()
    return {"webhook-timestamp": str(at), "webhook-signature": f"v1,{proof}"}


def signing_key(secret: str) -> bytes:
    """Return the bytes of a secret.

    Raises:
        ConfigError: The secret is too short, or not base64 after `whsec_`.
    """
    key = secret.encode()
    if secret.startswith(_PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except binascii.Error:
            raise ConfigError(
                "secret is no base64 after whsec_", hint="take that off if it is plain text"
            ) from None
    if len(key) < _SHORTEST:
        raise ConfigError(
            f"secret must have at least {_SHORTEST} bytes, this one has {len(key)}",
            hint="make one: openssl rand -base64 32",
        )
    return key
