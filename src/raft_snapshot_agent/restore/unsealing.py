"""Unseal nodes after a restore with given keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from raft_snapshot_agent.core.snapshot_file.clear_parts import Seal
from raft_snapshot_agent.errors import ConfigError, ServerError
from raft_snapshot_agent.restore.members import Condition, MemberState
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.vault.client import Node

_REFERENCES = "give env://NAME, file:///PATH or credential://NAME"
_OLD_KEY = "invalid key size"
"""The error of a server that still expects the key shares from before the restore."""


def read_keys(references: Sequence[str]) -> tuple[str, ...]:
    """Resolve unseal keys.

    Raises:
        ConfigError: One is not a reference, or cannot be resolved.
    """
    return tuple(dict.fromkeys(_reference(text).resolve() for text in references))


def _reference(text: str) -> Secret:
    secret = Secret(text)
    if not secret.is_reference:
        raise ConfigError(
            "--unseal-key is not a reference, and other users of this host may have read it",
            hint=_REFERENCES,
        )
    path = text.removeprefix("file://")
    if path != text and not Path(path).is_absolute():
        raise ConfigError(f"--unseal-key {text}: the path is not absolute", hint=_REFERENCES)
    return secret


def require_enough(keys: Sequence[str], seal: Seal | None) -> None:
    """Check that the given keys can unseal the restored cluster.

    Raises:
        ConfigError: They cannot.
    """
    if not keys or seal is None:
        return
    if not seal.is_shared:
        raise ConfigError(
            f"the snapshot's cluster is unsealed by {seal.kind}, not by unseal keys",
            hint="leave --unseal-key out: the servers need the same seal in their configuration",
        )
    if len(keys) < seal.threshold:
        raise ConfigError(
            f"{seal.threshold} of {seal.shares} unseal keys open the snapshot's cluster, and"
            f" {len(keys)} given",
            hint="add --unseal-key, each with another of them",
        )


@dataclass(slots=True)
class Unsealer:
    """Sends the keys to each sealed node once."""

    keys: Sequence[str] = field(repr=False)
    seal: Seal | None
    """The seal of the snapshot's cluster."""
    failures: dict[str, str] = field(default_factory=dict)
    """Why a node is still sealed, by address."""
    opened: set[str] = field(default_factory=set)
    waiting: set[str] = field(default_factory=set)
    """Nodes that must be restarted first."""

    def offer(self, node: Node, state: MemberState) -> bool:
        """Unseal a sealed node; return whether it is unsealed now."""
        if state.condition is not Condition.SEALED or node.address in self.failures:
            return False
        if not self._fits(state):
            self.waiting.add(node.address)
            return False
        said = ""
        for key in self.keys:
            is_sealed, said = _give(node, key)
            if not is_sealed:
                self.opened.add(node.address)
                self.waiting.discard(node.address)
                return True
            if said:
                break
        _forget(node)
        if _OLD_KEY in said:
            self.waiting.add(node.address)
        else:
            self.failures[node.address] = said or "the unseal keys are too few"
        return False

    def _fits(self, state: MemberState) -> bool:
        """Return whether the running server expects key shares of the snapshot's cluster.

        After a forced restore it keeps its old seal and share numbers until it is restarted.
        """
        if self.seal is None or not self.seal.is_shared:
            return self.seal is None
        now = state.identity
        if now.seal not in {"", self.seal.kind}:
            return False
        return (now.shares, now.threshold) == (self.seal.shares, self.seal.threshold)


def _give(node: Node, key: str) -> tuple[bool, str]:
    """Send one key; return whether the node is still sealed, and the error."""
    try:
        answer = node.call("PUT", "sys/unseal", body={"key": key})
    except ServerError as error:
        return True, error.message
    if answer.status == 200 and isinstance(answer.body, Mapping):
        return answer.body.get("sealed") is not False, ""
    return True, f"the unseal keys do not open it: {answer.told}"


def _forget(node: Node) -> None:
    """Reset the unseal progress, or the sent keys would spoil the next attempt."""
    try:
        node.call("PUT", "sys/unseal", body={"reset": True})
    except ServerError:
        return
