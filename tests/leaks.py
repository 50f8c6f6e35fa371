"""Every secret the suite comes by, and everything that is written where it must not be.

Secrets are collected where they come from: references that are resolved, what servers hand out.
Texts are collected where an operator would read them: errors, and what commands write. After each
test none of the one may be in any of the other.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.network.address import ProxyAddress, SecretUrl, secret_parts
from raft_snapshot_agent.secret import Plain, Secret
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.vault.answers import Answer

_HANDED_OUT = {"client_token", "secret_id", "token", "root_token", "keys_base64", "nonce"}
_SHORTEST = 12
"""Shorter ones are words of the tests, such as `first` or `hunter2`."""


@dataclass
class Watch:
    """What was secret so far, and what the present test made readable."""

    secrets: set[str] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)

    def learn(self, secret: str) -> None:
        """Note that this must not be seen."""
        if len(secret) >= _SHORTEST:
            self.secrets.add(secret)

    def read(self, text: str) -> None:
        """Note that an operator, or whoever gets at the logs, can read this."""
        self.texts.append(text)

    def leaks(self) -> list[str]:
        """Return the texts that show a secret, and forget all texts."""
        texts, self.texts = self.texts, []
        return [text for text in texts if any(secret in text for secret in self.secrets)]


WATCH = Watch()


def install() -> None:
    """Collect from now on."""
    _after(Secret, "resolve", _resolved)
    _after(OpenBaoNode, "request", lambda _, answer: _learn(answer.document))
    _after(AgentError, "__init__", lambda error, _: WATCH.read(str(error)))
    read = Answer.read

    def noted(status: int, text: bytes, location: str = "") -> Answer:
        answer = read(status, text, location)
        _learn(answer.body)
        return answer

    Answer.read = staticmethod(noted)  # type: ignore[method-assign]


def _resolved(secret: Secret, value: str) -> None:
    if isinstance(secret, ProxyAddress):
        value = value.rpartition("@")[0].rpartition(":")[2]  # the address itself is shown
    if isinstance(secret, SecretUrl):
        for part in secret_parts(value):
            WATCH.learn(part)
    elif not isinstance(secret, Plain):
        WATCH.learn(value)


def _learn(document: Any) -> None:
    for secret in _handed_out(document):
        WATCH.learn(secret)


def _handed_out(value: Any, key: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _handed_out(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _handed_out(inner, key)
    elif isinstance(value, str) and key in _HANDED_OUT:
        yield value


def _after(owner: type, name: str, note: Callable[[Any, Any], None]) -> None:
    """Let `note` see each object and what its method returned."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def noted(self: Any, *given: Any, **named: Any) -> Any:
        result = method(self, *given, **named)
        note(self, result)
        return result

    setattr(owner, name, noted)
