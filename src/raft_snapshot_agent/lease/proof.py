"""Tests whether a store can keep a lease, on a separate test record.

Some stores ignore the conditions of a write, some refuse every conditional write, and some return
a replaced record for a while. Each of these lets two agents hold the lease, or none.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass, field

import anyio

from raft_snapshot_agent.core.leases.lease import ProbeLeaseStore, StoredLeaseStore, Versioned
from raft_snapshot_agent.core.leases.lease_record import Record
from raft_snapshot_agent.errors import (
    AgentError,
    StorageDenied,
    StorageError,
    StorageFull,
    StorageUnavailable,
    UnreliableStore,
)

_WITHIN = 30.0
"""Seconds for the whole proof, including the library's own retries."""
_CLEAN_WITHIN = 5.0
_AT_ONCE = 4
"""Concurrent writes, of which exactly one may succeed."""
_ELSEWHERE = "keep the lease in another storage, or as a Lease of Kubernetes (type: kubernetes)"
_OTHERWISE = (StorageUnavailable, StorageDenied, StorageFull, UnreliableStore)
"""Failures that have nothing to do with conditional writes."""


async def prove(lease_store: StoredLeaseStore, storage: str) -> None:
    """Prove that a store can keep a lease; the test record is removed afterwards.

    Arguments:
        lease_store: Store of the lease; the lease's record is neither read nor written.
        storage: Configured name of the storage.

    Raises:
        UnreliableStore: The store cannot keep a lease; the text says which test failed.
        StorageError: The proof could not be finished.
    """
    probe = lease_store.probe(secrets.token_hex(8))
    try:
        with anyio.fail_after(_WITHIN):
            if not (removable := await _removes(probe)):
                # A record that cannot be removed is reused, so that only one is ever left.
                probe = lease_store.probe(_host())
            await _Proof(probe, storage).run(removable=removable)
    except TimeoutError as error:
        raise StorageUnavailable(
            f"storage {storage} could not be proven to keep a lease: {probe.location} was not"
            f" written, read and removed within {_WITHIN:g} s",
            hint="check the connection to the storage",
        ) from error
    finally:
        with anyio.move_on_after(_CLEAN_WITHIN, shield=True):
            with suppress(AgentError):
                await probe.delete()
            await probe.close()


async def _removes(probe: ProbeLeaseStore) -> bool:
    await probe.read()  # raises general errors of the store
    try:
        await probe.delete()
    except StorageUnavailable:
        raise
    except StorageError:  # no permission, or not supported by the store
        return False
    return True


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:16]


@dataclass(slots=True)
class _Proof:
    lease_store: ProbeLeaseStore
    storage: str
    _me: str = field(default_factory=lambda: f"probe-{secrets.token_hex(8)}")
    _written: int = 0

    async def run(self, *, removable: bool) -> None:
        before = await self.lease_store.read()  # left over if it could not be removed last time
        first = await self._accepts(before, "to create a record" if before is None else "to write")
        with suppress(StorageError):
            await self.lease_store.sweep()
        await self._refuses(None, first, "a second create", "If-None-Match")
        second = await self._accepts(first, "to write a record whose version is the present one")
        if second.version == first.version:
            raise self._unfit("it gives a record that was rewritten the same version (ETag)")
        await self._refuses(first.version, second, "a write with an old version", "If-Match")
        await self._one_wins(second)
        if removable:
            await self._once_deleted(second)

    async def _once_deleted(self, last: Versioned) -> None:
        await self.lease_store.delete()
        if await self._read() is not None:
            raise self._unfit("it still returns a deleted record")
        if await self._write(last.version) is not None:
            raise self._unfit("it accepts a write to a deleted record (If-Match)")
        await self._accepts(None, "to create a deleted record again")

    async def _accepts(self, expected: Versioned | None, what: str) -> Versioned:
        written = await self._write(None if expected is None else expected.version)
        if written is None:
            raise self._unfit(f"it refuses {what}")
        await self._shows(written)
        return written

    async def _refuses(self, expected: str | None, present: Versioned, what: str, by: str) -> None:
        if await self._write(expected) is not None:
            raise self._unfit(f"it accepts {what}, ignoring the condition ({by})")
        await self._shows(present)

    async def _one_wins(self, present: Versioned) -> None:
        won: list[Versioned] = []
        failed: list[AgentError] = []

        async def compete() -> None:
            try:
                if written := await self._write(present.version):
                    won.append(written)
            except AgentError as error:
                failed.append(error)

        async with anyio.create_task_group() as tasks:
            for _ in range(_AT_ONCE):
                tasks.start_soon(compete)
        if failed:
            raise failed[0]
        if len(won) > 1:
            raise self._unfit(f"it accepts {len(won)} of several concurrent writes instead of one")

    async def _shows(self, written: Versioned) -> None:
        found = await self._read()
        if found is None or found.record != written.record:
            raise self._unfit("it does not return the record that was written last")
        if found.version != written.version:
            raise self._unfit(
                "it returns different versions (ETag) of a record on write and on read:"
                f" {written.version} and {found.version}"
            )

    async def _read(self) -> Versioned | None:
        try:
            return await self.lease_store.read()
        except _OTHERWISE:
            raise
        except StorageError as error:
            raise self._unfit(f"what it wrote cannot be read: {error.message}") from error

    async def _write(self, expected: str | None) -> Versioned | None:
        self._written += 1
        record = Record(self._me, 1, self._written, 1.0)
        try:
            version = await self.lease_store.write(record, expected)
        except _OTHERWISE:
            raise
        except StorageError as error:
            raise self._unfit(f"a conditional write fails: {error.message}") from error
        return None if version is None else Versioned(record, version)

    def _unfit(self, what: str) -> UnreliableStore:
        where = self.lease_store.location
        return UnreliableStore(
            f"storage {self.storage} cannot keep a lease: {what} (tried on {where})",
            hint=_ELSEWHERE,
        )
