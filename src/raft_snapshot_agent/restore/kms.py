"""Unseal a restored copy with the KMS that unseals the cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from raft_snapshot_agent.config.drill import UnsealSettings
from raft_snapshot_agent.errors import ConfigError, DrillFailed, ServerError, Unreachable
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.private import KmsSeal
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.servers.relay import Reachable
from raft_snapshot_agent.small_file import LARGEST_BUNDLE, read_text, require_small_file

_PATIENCE = 60.0
"""Maximum seconds for a KMS to unseal a server."""
_STANZA = re.compile(r'^\s*\{?\s*"?seal"?[\s:{"]', re.MULTILINE)
_SECRET = re.compile(
    r'(?i)\w*(?:secret|token|password|pin\b|key|credential)\w*"?\s*[=:]\s*"([^"\n]+)"?'
)
_NOT_OPENED = (
    "cannot seal migrate",
    "failed to decrypt keys",
    "failed to decrypt encrypted stored keys",
    "message authentication failed",
    "does not match loaded type",
)
"""Errors of servers whose data was sealed with another KMS or another KMS key, or with none."""


def read_seal(settings: UnsealSettings) -> KmsSeal | None:
    """Read the seal of the copy; `None` if unseal keys are used.

    Raises:
        ConfigError: The file with the stanza, or a file that it names, cannot be read.
    """
    if settings.seal is None:
        return None
    for path in settings.files:
        with _telling(path, "drill.unseal.files"):
            require_small_file(path, LARGEST_BUNDLE)
    return KmsSeal(
        stanza=_read_stanza(settings.seal),
        reachable=tuple(_reachable(text) for text in settings.reach),
        files=settings.files,
        environment={name: value.resolve() for name, value in settings.environment.items()},
    )


def _read_stanza(path: Path) -> bytes:
    """Read the stanza, and register its secrets for redaction, as server errors may repeat them."""
    with _telling(path, "drill.unseal.seal"):
        text = read_text(path)
    if _STANZA.search(text) is None:
        raise ConfigError(
            f"{path} has no `seal` stanza",
            hint="copy it from the servers' configuration: see drill.unseal.seal",
        )
    for found in _SECRET.finditer(text):
        remember(found[1])
    return text.encode()


@contextmanager
def blaming_kms(node: OpenBaoNode) -> Iterator[None]:
    """Tell that the KMS does not open the data of a server, if that is why it fails.

    In recovery mode the server blames the recovery keys, which it cannot compare.

    Raises:
        DrillFailed: The KMS does not open it.
    """
    node.process.hopeless = _NOT_OPENED
    try:
        yield
    except (ServerError, DrillFailed) as error:
        if not node.process.is_hopeless():
            raise
        raise _not_opened(node.process.last_words()) from error


def _not_opened(why: str) -> DrillFailed:
    return DrillFailed(
        f"the KMS does not open it: {why}",
        hint="is drill.unseal.seal that of the cluster that the snapshot was taken from?",
        noted="the KMS does not open it",
    )


def start_by_kms(node: OpenBaoNode) -> None:
    """Start a server, and wait until its KMS has unsealed it.

    Raises:
        DrillFailed: It does not become active, or its data is of a cluster with another seal.
        ServerError: It ended.
    """
    node.launch()
    try:
        until(lambda: _is_unsealed(node), f"{node.name} is unsealed", within=_PATIENCE)
    except ServerError as error:
        if not node.process.alive or node.process.is_hopeless():
            raise
        raise DrillFailed(
            f"it does not become active: {node.process.last_words()}",
            hint="where it has audit devices, give the recovery keys as drill.unseal.keys",
            noted="it does not become active",
        ) from error


def _is_unsealed(node: OpenBaoNode) -> bool:
    """Return whether it is active.

    Raises:
        DrillFailed: It waits for a migration to the seal, which it tells only who asks.
    """
    if node.is_active():
        return True
    with suppress(Unreachable):
        told = node.request("GET", "sys/seal-status", timeout=2.0).document or {}
        if told.get("migration"):
            raise _not_opened("its data has another seal")
    return False


def _reachable(text: str) -> Reachable:
    host, _, port = text.rpartition(":")
    return Reachable(host, int(port))


@contextmanager
def _telling(path: Path, key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint=f"look at {key}") from error
