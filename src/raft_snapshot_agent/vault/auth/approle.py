"""Log in with an AppRole.

Source: https://developer.hashicorp.com/vault/api-docs/auth/approle#login-with-approle
"""

from __future__ import annotations

import re
from typing import ClassVar, Literal, Self

from pydantic import ValidationInfo, field_validator, model_validator

from raft_snapshot_agent.errors import Denied, ServerError
from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.redaction import redact
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.vault.answers import Answer
from raft_snapshot_agent.vault.auth.base import Ask, Login, Mount, login_path

_MOST = 10_000
"""Most secret IDs kept: each new wrapping token adds one as long as the process runs."""
_unwrapped: dict[str, str] = {}
"""The secret IDs by their wrapping tokens, the last used at the end.

They belong to the process: a wrapping token works once, and a reload reads the settings anew.
"""


class AppRoleAuth(Settings):
    """Login with role ID and secret ID; a role without `bind_secret_id` needs no secret ID."""

    advice: ClassVar = (
        "check role_id, secret_id and mount; a secret ID may have expired or be used up"
    )
    counted: ClassVar = True

    method: Literal["approle"]
    mount: Mount = "approle"
    secret_id: Secret | None = None
    role_id: Secret
    """Like a user name, unless it is the only credential."""
    wrapped: bool = False
    """Whether `secret_id` is a wrapping token, which is unwrapped once."""

    @field_validator("role_id")
    @classmethod
    def _name_the_role(cls, role_id: Secret, info: ValidationInfo) -> Secret:
        return role_id if info.data.get("secret_id") is None else role_id.as_name()

    @model_validator(mode="after")
    def _something_to_unwrap(self) -> Self:
        if self.wrapped and self.secret_id is None:
            raise ValueError("wrapped goes with secret_id")
        return self

    def prepare(self, ask: Ask) -> None:
        """Unwrap the secret ID, unless it is already unwrapped."""
        if not self.wrapped or self.secret_id is None:
            return
        wrapping = self.secret_id.resolve()
        if wrapping not in _unwrapped:
            keep_unwrapped(wrapping, unwrapped_secret_id(ask, wrapping, self.mount.strip("/")))

    def inspect(self, ask: Ask) -> None:
        """Check, without using it up, that the wrapping token is valid and from this mount.

        Raises:
            Denied: It is not.
            ServerError: The server gave no valid answer.
        """
        if self.wrapped and self.secret_id is not None:
            _look_up(ask, self.secret_id.resolve(), self.mount.strip("/"))

    def login(self) -> Login:
        body = {"role_id": self.role_id.resolve()}
        if self.secret_id is not None:
            body["secret_id"] = self._find_secret_id(self.secret_id.resolve())
        return Login(login_path(self.mount), body)

    def _find_secret_id(self, given: str) -> str:
        if not self.wrapped or given not in _unwrapped:
            return given
        keep_unwrapped(given, secret_id := _unwrapped[given])
        return secret_id


def keep_unwrapped(wrapping: str, secret_id: str) -> None:
    """Keep a secret ID until the process ends, or thousands of others were used since."""
    _unwrapped.pop(wrapping, None)
    _unwrapped[wrapping] = secret_id
    if len(_unwrapped) > _MOST:
        del _unwrapped[next(iter(_unwrapped))]


def unwrapped_secret_id(ask: Ask, wrapping: str, mount: str) -> str:
    """Unwrap a secret ID, after checking that the mount wrapped it.

    Source: https://developer.hashicorp.com/vault/docs/concepts/response-wrapping

    Raises:
        Denied: The wrapping token is used, expired or from another mount.
        ServerError: The server gave no valid answer.
    """
    _look_up(ask, wrapping, mount)
    inside = _good(ask("POST", "sys/wrapping/unwrap", token=wrapping), "unwrapped")
    secret_id = str((inside.body.get("data") or {}).get("secret_id") or "")
    if not secret_id:
        raise Denied("the wrapping token in secret_id had no secret ID", hint="make a new one")
    return secret_id


def _look_up(ask: Ask, wrapping: str, mount: str) -> None:
    known = _good(ask("POST", "sys/wrapping/lookup", body={"token": wrapping}), "looked up")
    made_at = str((known.body.get("data") or {}).get("creation_path") or "")
    if not re.fullmatch(rf"auth/{re.escape(mount)}/role/[^/]+/secret-id", made_at):
        raise Denied(
            f"the wrapping token in secret_id was made by {redact(made_at) or 'nobody known'},"
            f" not by auth/{mount}/role/.../secret-id",
            hint="somebody may have planted it: it was not unwrapped; find out who",
        )


def _good(answer: Answer, what: str) -> Answer:
    if answer.status == 200:
        return answer
    said = answer.told
    if answer.status in (400, 403, 404):
        raise Denied(
            f"the wrapping token in secret_id cannot be {what} ({said})",
            hint="likely it has expired or was used: if not by this agent before a restart,"
            " somebody else may have the secret ID: destroy that, and give a new one",
        )
    raise ServerError(
        f"the wrapping token in secret_id cannot be {what} ({said})",
        hint="check the server's log",
    )
