"""Limits the time of each call to a lease store."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

import anyio

from raft_snapshot_agent.core.leases.lease import LeaseStore, Versioned
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import StorageUnavailable

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Timely:
    """Lease store with a time limit per call, because a late answer is useless for a lease."""

    lease_store: LeaseStore
    seconds: float

    @property
    def location(self) -> str:
        return self.lease_store.location

    async def read(self) -> Versioned | None:
        return await self._in_time(self.lease_store.read())

    async def write(self, record: Record, expected: str | None) -> str | None:
        return await self._in_time(self.lease_store.write(record, expected))

    async def close(self) -> None:
        await self._in_time(self.lease_store.close())

    async def _in_time(self, call: Awaitable[_T]) -> _T:
        try:
            with anyio.fail_after(self.seconds):
                return await call
        except TimeoutError as error:
            raise StorageUnavailable(
                f"the lease in {self.location}: no answer within {self.seconds:g} s"
            ) from error
