"""Reads the seal of a restored copy: the stanza, and the files and secrets that it needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raft_snapshot_agent.config.drill import UnsealSettings
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.servers.private import KmsSeal
from raft_snapshot_agent.servers.relay import Reachable
from raft_snapshot_agent.small_file import LARGEST_BUNDLE, read_text, require_small_file

_STANZA = re.compile(r'^\s*\{?\s*"?seal"?[\s:{"]', re.MULTILINE)
_SECRET = re.compile(
    r'(?i)\w*(?:secret|token|password|pin\b|key|credential)\w*"?\s*[=:]\s*"([^"\n]+)"?'
)


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


def _reachable(text: str) -> Reachable:
    host, _, port = text.rpartition(":")
    return Reachable(host, int(port))


@contextmanager
def _telling(path: Path, key: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint=f"look at {key}") from error
