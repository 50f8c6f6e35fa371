"""Recognises the configuration of Argelbargel's vault-raft-snapshot-agent, which is not read.

Source: its README and `testdata/complete.yaml`, which had `vault.url` and `uploaders` first,
and `vault.nodes.urls` and `snapshots.storages` later. Its keys may be in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raft_snapshot_agent.config.document import Document, value_at
from raft_snapshot_agent.config.keys import KeyPath
from raft_snapshot_agent.errors import ConfigError

_SIGNS = ("snapshots", "uploaders")
"""Keys at its top that no configuration of this agent has."""
_ITS_KEYS = {*_SIGNS, "vault", "metrics"}
_ITS_OWN: Mapping[KeyPath, str] = {
    ("vault", "url"): "vault.address",
    ("vault", "nodes", "urls"): "vault.nodes",
    ("vault", "insecure"): "vault.tls.skip_verify",
    ("snapshots", "frequency"): "schedule.every",
    ("snapshots", "retain"): "retention.last",
    ("snapshots", "nameprefix"): "name_layout.prefix",
    ("snapshots", "storages"): "storages (a list)",
    ("uploaders",): "storages (a list)",
}
"""Its keys in lower case, and what they are called here."""


def refuse(document: Document) -> None:
    """Refuse a file of that agent, and say what its keys are called here.

    Raises:
        ConfigError: It is one.
    """
    sign = next((key for key in document.value if key.lower() in _SIGNS), None)
    value = _fold(document.value)
    there = [path for path in _ITS_OWN if value_at(value, path) is not None]
    if sign is None or not there or value.keys() - _ITS_KEYS:
        return
    pairs = ", ".join(f"{_ITS_OWN[path]} for {'.'.join(map(str, path))}" for path in there)
    raise ConfigError(
        f"{document.place((sign,))}: this is a file of Argelbargel's vault-raft-snapshot-agent,"
        " which has other keys",
        hint=f"write {pairs}; docs/operating.md has all of them",
    )


def _fold(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key.lower(): _fold(child) for key, child in value.items()}
