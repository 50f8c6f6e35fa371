"""Explains a login that gave no token."""

from __future__ import annotations

import re

from raft_snapshot_agent.errors import Denied, ServerError
from raft_snapshot_agent.vault.answers import Answer, refusal
from raft_snapshot_agent.vault.auth.base import Auth, Login

_QUOTED = re.compile(r"(['\"]).*\1", re.DOTALL)
_BAD_CERTIFICATE = "failed to verify client's certificate"
"""What the method cert answers, with status 500, for one that has expired."""


def explain_failed_login(auth: Auth, address: str, login: Login, answer: Answer) -> ServerError:
    """Return the error of a login that gave no token; `Denied` if the server refused it.

    Arguments:
        auth: The login method.
        address: Address of the server.
        login: What was sent.
        answer: The answer of the server.
    """
    what = f"login with {auth.method} at {address}"
    if answer.status == 200 and _wants_second_factor(answer):
        return Denied(
            f"{what} wants a second factor (MFA)",
            hint="exempt the agent's login from MFA on the server: nobody is there to confirm",
        )
    if answer.status == 200:
        return Denied(
            f"{what} gave no token", hint="likely vault.auth.mount is not where this method is"
        )
    refused = answer.status in (400, 403, 404) or _BAD_CERTIFICATE in answer.errors
    if not refused or answer.of_dr_secondary:
        return refusal(answer, address, login.path)
    return Denied(
        f"{what} was refused ({login.path}): {answer.told}", hint=_advise(auth, login, answer)
    )


def _advise(auth: Auth, login: Login, answer: Answer) -> str:
    if "namespace not found" in answer.errors:
        return "leave vault.namespace out, or give one that exists"
    quoted = any(_QUOTED.fullmatch(str(one)) for one in login.body.values())
    note = "; a value stands in quotes, which are sent as a part of it" if quoted else ""
    return auth.advice + note


def _wants_second_factor(answer: Answer) -> bool:
    auth = answer.body.get("auth")
    return isinstance(auth, dict) and bool(auth.get("mfa_requirement"))
