"""A history of good snapshots, each a whole archive of its own; and what an intruder makes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.unit.core.archives import archive, members, meta

from raft_snapshot_agent.core.snapshot_file.archive import ArchiveVerifier
from raft_snapshot_agent.core.snapshots.naming import manifest_name, parse

DAYS = 8
_INDEX = 10
"""Of the oldest; a cluster that was just made is far beyond it."""


@dataclass(frozen=True, slots=True)
class Forged:
    """A snapshot made by hand: whole, and by itself not to be told from a real one."""

    name: str
    archive: bytes
    manifest: bytes

    @property
    def files(self) -> dict[str, bytes]:
        return {self.name: self.archive, manifest_name(self.name): self.manifest}


def forged(moment: datetime, index: int, cluster_id: str, **claims: Any) -> Forged:
    """Make a whole snapshot with a manifest that describes it, but for `claims`."""
    state = f"the state at {index}".encode() * 40
    content = archive(members(meta(Index=index, Term=1, Size=len(state)), state))
    name = f"raft-snapshot-{moment:%Y%m%dT%H%M%SZ}-i{index}-{index:06x}.snap"
    manifest = {
        "snapshot": name,
        "taken_at": f"{moment:%Y-%m-%dT%H:%M:%SZ}",
        "index": index,
        "term": 1,
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "duration": 0.1,
        "cluster_id": cluster_id,
        "cluster_name": "vault-cluster",
        "product": "openbao",
        "version": "2.7.2",
        "node": "http://127.0.0.1:8200",
        "agent_version": "0.1.0",
        "encryption": "none",
        "format": 1,
        "clock": "",
        "began": 0.0,
        "ended": 0.0,
        "leading_since": "",
        "history": "",
    }
    return Forged(name, content, json.dumps(manifest | claims, indent=2).encode())


def history(cluster_id: str, days: int = DAYS) -> dict[str, bytes]:
    """Make one good snapshot for each of the last days, the oldest first."""
    today = datetime.now(UTC).replace(hour=3, minute=0, second=0, microsecond=0)
    files: dict[str, bytes] = {}
    for number in range(days):
        moment = today - timedelta(days=days - number)
        files |= forged(moment, _INDEX + number, cluster_id).files
    return files


def whole(files: Mapping[str, bytes]) -> set[str]:
    """Name what lies under a snapshot's name, each proved whole."""
    names = {name for name in files if parse(name)}
    for name in names:
        verifier = ArchiveVerifier()
        verifier.feed(files[name])
        verifier.finish()
    return names


def lost(before: Mapping[str, bytes], now: Mapping[str, bytes]) -> set[str]:
    """Name the good snapshots that are not there any more, to the letter."""
    return {name for name in before if name.endswith(".snap") and now.get(name) != before[name]}
