"""What a way to log in is: a path and a body, made anew for each login."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, runtime_checkable

from raft_snapshot_agent.vault.answers import Answer


@dataclass(frozen=True, slots=True)
class Login:
    """One `POST /v1/auth/<mount>/login` request; its body is never shown."""

    path: str
    body: dict[str, Any] = field(repr=False)


def login_path(mount: str) -> str:
    """Return the login path of a method by its mount."""
    return f"auth/{mount.strip('/')}/login"


class Auth(Protocol):
    """A way to get a token."""

    advice: ClassVar[str]
    """What to check where the server refuses the login."""
    counted: ClassVar[bool]
    """Whether the server counts refused logins and locks out who has too many."""

    @property
    def method(self) -> str: ...

    def login(self) -> Login | str:
        """Make the login request, or return a token that needs none.

        Raises:
            ConfigError: A secret it needs is missing.
            ServerError: Who vouches for this host does not answer.
        """


class Ask(Protocol):
    """Asks the server something."""

    def __call__(
        self, method: str, path: str, *, body: Mapping[str, Any] | None = None, token: str = ""
    ) -> Answer: ...


@runtime_checkable
class Prepared(Protocol):
    """A way to log in that asks the server for something before it can."""

    def prepare(self, ask: Ask) -> None:
        """Ask for what the next login takes, if that is not known yet.

        Raises:
            ConfigError: A secret it needs is missing.
            ServerError: The server refused.
        """
