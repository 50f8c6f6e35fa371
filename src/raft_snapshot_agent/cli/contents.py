"""`inspect` and `diff`: what snapshots contain."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.choosing import choose_reader, open_storages, parse_wanted
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.core.snapshot_file.contents import Contents, Count, Mount, shown
from raft_snapshot_agent.core.snapshot_file.difference import Change, Difference
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Snapshot
from raft_snapshot_agent.destination.drill_notes import describe_drill
from raft_snapshot_agent.errors import ConfigError, StorageError
from raft_snapshot_agent.restore.copies import read_whole_copy
from raft_snapshot_agent.restore.examine import compare_with_fallback, count_contents
from raft_snapshot_agent.restore.reader import SnapshotReader, StoredReader


def inspect(
    load: Callable[[], Loaded],
    wanted: str | None,
    storage: str | None,
    layout: Format,
    *,
    depth: int | None = None,
    prefix: str = "",
) -> int:
    """Verify a snapshot and show what it contains; return the exit code."""
    which = parse_wanted(wanted, load, stored=storage is not None)
    destinations = open_storages(load, storage, which)
    by_prefix = depth if depth is not None else prefix.count("/") + 1 if prefix else 0

    async def work() -> tuple[dict[str, Any], Contents]:
        chosen = await choose_reader(destinations, which)
        count = partial(count_contents, depth=by_prefix, prefix=prefix)
        reader, (snapshot, contents) = await read_whole_copy(chosen, count, output.warn)
        return await _describe(reader, snapshot), contents

    pairs, contents = wait_for(work)
    if not contents.is_readable:
        output.warn("its state holds no storage entries that this version can read")
        contents = Contents()
    pairs |= {"keys": contents.keys, "leases": contents.leases, "tokens": contents.tokens}
    if layout is Format.JSON:
        output.data(pairs | {"contents": _document(contents)})
        return 0
    output.facts(pairs, layout)
    for rows in (_largest(contents), _prefixes(contents) if by_prefix else _mounts(contents)):
        if rows:
            output.text("")
            output.table(rows, layout)
    return 0


def diff(
    load: Callable[[], Loaded], wanted: tuple[str, str], storage: str | None, layout: Format
) -> int:
    """Verify two snapshots and show how they differ; return the exit code."""
    if wanted == ("-", "-"):
        raise ConfigError("standard input holds one snapshot, not two", hint="name another")
    which = [parse_wanted(name, load, stored=storage is not None) for name in wanted]
    destinations = open_storages(load, storage, *which)

    async def work() -> Difference:
        before, after = [await choose_reader(destinations, one) for one in which]
        return await compare_with_fallback(before, after, output.warn)

    found = wait_for(work)
    output.table(
        [_row(mount, change) for mount, change in _sort_changes(found)], layout, _differing(found)
    )
    if layout is not Format.JSON and not any(one.differs for one in found.mounts.values()):
        output.talk("They hold the same keys with the same values.")
    return 0


async def _describe(reader: SnapshotReader, snapshot: Snapshot) -> dict[str, Any]:
    manifest = await _read_manifest(reader)
    pairs = {
        "snapshot": reader.label,
        "state": "whole",
        "index": snapshot.meta.index,
        "term": snapshot.meta.term,
        "size": snapshot.size,
        "state_size": snapshot.meta.size,
        "sha256": snapshot.sha256,
        "raft_nodes": ", ".join(snapshot.meta.servers),
        "proof": await reader.describe_proof(),
    }
    if isinstance(reader, StoredReader) and reader.stored.drilled:
        pairs["drill"] = await describe_drill(reader.destination, reader.stored)
    if manifest is None:
        return pairs
    if manifest.purpose:
        pairs["purpose"] = manifest.purpose
    return pairs | {
        "taken_at": manifest.taken_at,
        "cluster": manifest.cluster_name or manifest.cluster_id,
        "cluster_id": manifest.cluster_id,
        "server": f"{manifest.product} {manifest.version}".strip(),
        "node": manifest.node,
        "encryption": manifest.encryption,
        "agent": manifest.agent_version,
    }


async def _read_manifest(reader: SnapshotReader) -> Manifest | None:
    """Read the manifest; `None` if there is none, or it cannot be read any more."""
    try:
        return (await reader.expected()).manifest
    except StorageError as error:
        output.warn(f"its manifest cannot be read: {error}")
        return None


def _mounts(contents: Contents) -> list[dict[str, str]]:
    by_size = sorted(contents.mounts.items(), key=lambda one: -one[1].size)
    return [
        {"kind": mount.kind, "below": _label(mount, count)} | _amounts(count)
        for mount, count in by_size
    ]


def _prefixes(contents: Contents) -> list[dict[str, str]]:
    by_size = sorted(contents.prefixes.items(), key=lambda one: -one[1].size)
    return [{"prefix": shown(prefix)} | _amounts(count) for prefix, count in by_size]


def _largest(contents: Contents) -> list[dict[str, str]]:
    return [{"largest": key, "bytes": f"{size}"} for key, size in contents.largest]


def _label(mount: Mount, count: Count) -> str:
    return f"{mount.path} ({count.engine})" if count.engine else mount.path


def _amounts(count: Count) -> dict[str, str]:
    return {"keys": str(count.keys), "bytes": str(count.size)}


def _document(contents: Contents) -> dict[str, Any]:
    return {
        "keys": contents.keys,
        "bytes": contents.size,
        "leases": contents.leases,
        "tokens": contents.tokens,
        "mounts": [
            _describe_mount(mount)
            | {"engine": count.engine, "keys": count.keys, "bytes": count.size}
            for mount, count in contents.mounts.items()
        ],
        "largest": [{"key": key, "bytes": size} for key, size in contents.largest],
        "prefixes": [
            {"prefix": shown(prefix), "keys": count.keys, "bytes": count.size}
            for prefix, count in contents.prefixes.items()
        ],
    }


def _describe_mount(mount: Mount) -> dict[str, Any]:
    return {"kind": mount.kind, "path": mount.path, "namespace": mount.namespace}


def _sort_changes(found: Difference) -> list[tuple[Mount, Change]]:
    differing = [(mount, one) for mount, one in found.mounts.items() if one.differs]
    return sorted(differing, key=lambda one: (one[0].kind, one[0].path))


def _row(mount: Mount, change: Change) -> Mapping[str, str]:
    return {
        "kind": mount.kind,
        "below": mount.path,
        "added": str(change.added),
        "changed": str(change.changed),
        "removed": str(change.removed),
        "bytes": f"{change.size:+d}",
    }


def _differing(found: Difference) -> list[dict[str, Any]]:
    return [
        _describe_mount(mount)
        | {
            "added": change.added,
            "changed": change.changed,
            "removed": change.removed,
            "unchanged": change.unchanged,
            "bytes": change.size,
        }
        for mount, change in found.mounts.items()
    ]
