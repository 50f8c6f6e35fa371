"""Unseal a restored copy with the KMS that unseals the cluster."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raft_snapshot_agent.config.drill import UnsealSettings
from raft_snapshot_agent.errors import ConfigError, DrillFailed, ServerError
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
_NOT_OPENED = ("cannot seal migrate", "failed to decrypt keys", "message authentication failed")
"""Errors of servers whose data was sealed with another KMS or another KMS key."""


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


def start_by_kms(node: OpenBaoNode) -> None:
    """Start a server, and wait until its KMS has unsealed it.

    Raises:
        DrillFailed: The KMS does not unseal it, or it does not become active.
    """
    node.launch()
    failure: ServerError | None = None
    try:
        until(lambda: _is_decided(node), f"{node.name} is unsealed", within=_PATIENCE)
    except ServerError as error:
        failure = error
    if _is_not_opened(node):
        raise DrillFailed(
            f"the KMS does not open it: {node.process.last_words()}",
            hint="is drill.unseal.seal that of the cluster that the snapshot was taken from?",
            noted="the KMS does not open it",
        ) from failure
    if failure is not None:
        raise DrillFailed(
            f"it does not become active: {node.process.last_words()}",
            hint="where it has audit devices, give the recovery keys as drill.unseal.keys",
            noted="it does not become active",
        ) from failure


def _is_decided(node: OpenBaoNode) -> bool:
    node.process.check()
    return node.is_leader() or _is_not_opened(node)


def _is_not_opened(node: OpenBaoNode) -> bool:
    said = node.process.last_words(20)
    return any(words in said for words in _NOT_OPENED)


def _reachable(text: str) -> Reachable:
    host, _, port = text.rpartition(":")
    return Reachable(host, int(port))


@contextmanager
def _telling(path: Path, key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint=f"look at {key}") from error
