"""A record within reach of the test, and a clock that it turns."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from raft_snapshot_agent.core.leases.lease import Versioned
from raft_snapshot_agent.core.leases.lease_record import Record


class Shelf:
    """Keeps one record, and notes how often it is written."""

    location = "the shelf"

    def __init__(self) -> None:
        self.found: Versioned | None = None
        self.writes = 0

    @property
    def record(self) -> Record:
        assert self.found is not None
        return self.found.record

    def put(self, record: Record) -> None:
        """Write as somebody does who asks nobody."""
        version = "0" if self.found is None else self.found.version
        self.found = Versioned(record, str(int(version) + 1))

    def forge(self, **fields: Any) -> None:
        """Change some fields of the record."""
        self.put(replace(self.record, **fields))

    async def read(self) -> Versioned | None:
        return self.found

    async def write(self, record: Record, expected: str | None) -> str | None:
        if expected != (self.found and self.found.version):
            return None
        self.writes += 1
        self.put(record)
        return self.found.version if self.found else None

    async def close(self) -> None: ...


class Hours:
    """Seconds, which pass when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now
