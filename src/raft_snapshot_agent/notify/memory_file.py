"""Stores what was sent and what is still to be sent in a small file, across restarts.

A daemon and `run --once` may share the file, so each writer takes a lock and keeps the entries that
another process has added.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from raft_snapshot_agent.core.alarms.alert_events import AlertEvent
from raft_snapshot_agent.core.alarms.alerts import Alert, AlertKey
from raft_snapshot_agent.core.alarms.merge import merge_memories
from raft_snapshot_agent.core.alarms.notices import MOST_RECORDS, AlertRecord, NoticeMemory, RunNote
from raft_snapshot_agent.core.foreign_json import read_json
from raft_snapshot_agent.errors import NotificationError, SpoolError, reason_of
from raft_snapshot_agent.flock import locked
from raft_snapshot_agent.notify.message import shorten
from raft_snapshot_agent.private_folder import make_private_folder
from raft_snapshot_agent.small_file import read_file

_VERSION = 1
_LARGEST = 16 << 20
_OURS = 0o600
_WAIT = 10.0
"""Seconds to wait for another process that holds the lock; a write takes milliseconds."""


class MemoryFile:
    """The file of one configuration, readable only by the agent's user."""

    def __init__(self, folder: Path, source: str) -> None:
        """Choose the file's path; no I/O.

        Arguments:
            folder: Parent folder; a private subfolder is used if others may write there.
            source: Path of the configuration, which distinguishes agents on the same host.
        """
        self._folder = folder
        self._name = f"raft-snapshot-notify-{sha256(source.encode()).hexdigest()[:12]}.json"

    def merge(self, base: Mapping[str, NoticeMemory], memories: Mapping[str, NoticeMemory]) -> None:
        """Write the changed entries; a process killed while writing leaves the old file.

        Arguments:
            base: The memories as last read or written.
            memories: The present memories, by notifier.

        Raises:
            NotificationError: The file cannot be written.
        """
        try:
            folder = make_private_folder(self._folder)
            with locked((folder / self._name).with_suffix(".lock"), _WAIT):
                self._write(merge_memories(base, memories, self.read() or base))
        except (OSError, SpoolError) as error:
            raise NotificationError(
                f"cannot keep in {self._folder} what was told: {reason_of(error)}",
                hint="a restart will tell it again; make room there, or set spool or TMPDIR",
            ) from error

    def read(self) -> dict[str, NoticeMemory]:
        """Return the memory of each notifier; ignore a damaged file or one of another user."""
        try:
            path = make_private_folder(self._folder) / self._name
            text = read_file(path, _LARGEST, follow=False, check=_require_own)
        except (OSError, SpoolError):
            return {}
        try:
            document = read_json(text)
            if document["version"] != _VERSION:
                return {}
            return {name: _memory(one) for name, one in document["notifiers"].items()}
        except (ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _write(self, memories: Mapping[str, NoticeMemory]) -> None:
        told = {name: _describe_memory(one) for name, one in memories.items()}
        text = json.dumps({"version": _VERSION, "notifiers": told}).encode()
        _replace(make_private_folder(self._folder) / self._name, text)


def _require_own(descriptor: int) -> None:
    if os.fstat(descriptor).st_uid != os.geteuid():
        raise PermissionError


def _replace(path: Path, text: bytes) -> None:
    # A temporary file left by a killed process is overwritten, not appended to.
    fresh = path.with_suffix(".new")
    with suppress(FileNotFoundError):
        fresh.unlink()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(fresh, flags, _OURS)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        fresh.replace(path)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise


def _describe_memory(memory: NoticeMemory) -> dict[str, Any]:
    return {
        "records": [_describe_record(one) for one in memory.records.values()],
        "sent": {event.value: at.isoformat() for event, at in memory.sent.items()},
        "runs": [_describe_run(one) for one in memory.runs],
        "begun": dict(memory.begun),
        "ended": dict(memory.ended),
    }


def _describe_record(record: AlertRecord) -> dict[str, Any]:
    alert = record.alert
    return {
        "event": alert.event.value,
        "cluster": alert.cluster,
        "storage": alert.storage,
        "text": shorten(alert.text),
        "since": alert.since.isoformat(),
        "critical": alert.critical,
        "patience": alert.patience.total_seconds(),
        "seen": record.seen.isoformat(),
        "told": _time(record.told),
        "ended": _time(record.ended),
    }


def _describe_run(run: RunNote) -> dict[str, Any]:
    return {
        "event": run.event.value,
        "cluster": run.cluster,
        "run_id": run.run_id,
        "at": run.at.isoformat(),
        "text": shorten(run.text),
        "index": run.index,
        "size": run.size,
        "seconds": run.seconds,
    }


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _memory(document: Mapping[str, Any]) -> NoticeMemory:
    records: dict[AlertKey, AlertRecord] = {}
    for one in document["records"][:MOST_RECORDS]:
        record = _record(one)
        records[record.alert.key] = record
    sent = {AlertEvent(event): _moment(at) for event, at in document["sent"].items()}
    runs = tuple(_run(one) for one in document["runs"][:MOST_RECORDS])
    begun, ended = (
        {str(name): str(run) for name, run in document[key].items()} for key in ("begun", "ended")
    )
    return NoticeMemory(records, sent, runs, begun, ended)


def _record(one: Mapping[str, Any]) -> AlertRecord:
    alert = Alert(
        AlertEvent(one["event"]),
        str(one["cluster"]),
        str(one["storage"]),
        str(one["text"]),
        _moment(one["since"]),
        critical=bool(one["critical"]),
        patience=timedelta(seconds=float(one["patience"])),
    )
    told, ended = one["told"], one["ended"]
    return AlertRecord(
        alert,
        _moment(one["seen"]),
        None if told is None else _moment(told),
        None if ended is None else _moment(ended),
    )


def _run(one: Mapping[str, Any]) -> RunNote:
    index, size = one["index"], one["size"]
    return RunNote(
        AlertEvent(one["event"]),
        str(one["cluster"]),
        str(one["run_id"]),
        _moment(one["at"]),
        str(one["text"]),
        None if index is None else int(index),
        None if size is None else int(size),
        float(one["seconds"]),
    )


def _moment(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("a time without its zone")
    return at
