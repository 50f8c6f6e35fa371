"""Read listing and manifests of one storage, so that `core.history.proof` can judge what counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from itertools import islice

import anyio

from raft_snapshot_agent.core.history.flood import Witness
from raft_snapshot_agent.core.history.proof import (
    Judge,
    Told,
    Unread,
    fingerprint,
    list_needed,
    read_known,
    tells,
    without_duplicates,
    write_known,
)
from raft_snapshot_agent.core.history.retention import Plan
from raft_snapshot_agent.core.snapshots.naming import Naming
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Stored
from raft_snapshot_agent.destination.remembered import Remembered
from raft_snapshot_agent.destination.sidecars import read_manifest
from raft_snapshot_agent.errors import LoginRefused, StorageError, StorageUnavailable
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.threads import beside_loop

_AT_ONCE = 8
"""Manifests to read concurrently, as the latency of a storage dominates."""
_AHEAD = 32
"""Manifests to read in advance."""
_SILENT = 500
"""Consecutive manifests without a list of others before their number is checked."""
Explained = Callable[[int, datetime], bool]


def _never(_count: int, _since: datetime) -> bool:
    return False


@dataclass(slots=True)
class Gaps:
    """The manifests that could not be read, each asked for once."""

    errors: dict[str, StorageError] = field(default_factory=dict)
    _silent: int = 0

    def covers(self, name: str) -> bool:
        """Return whether to ask no more: for this manifest, or as the storage does not answer."""
        if self._silent >= _AT_ONCE:  # each costs all retries
            self.errors.setdefault(name, next(reversed(self.errors.values())))
        return name in self.errors

    def note(self, name: str, error: StorageError) -> None:
        """Note why a manifest could not be read."""
        self.errors[name] = error
        self._silent += isinstance(error, StorageUnavailable)


@dataclass(frozen=True, slots=True)
class Proofs:
    """Reads manifests, each once per process, and judges snapshots by them."""

    storage: Storage
    naming: Naming | None
    keys: SigningKeys | None = None
    told: Remembered = field(default_factory=Remembered)
    gaps: Gaps | None = None
    """Where to note manifests that cannot be read; `None`: it is raised that one may be later."""

    def tolerant(self, gaps: Gaps) -> Proofs:
        """Return a reader that goes on without a manifest, and notes why."""
        return replace(self, gaps=gaps)

    async def read(self, stored: Stored, *, whole: bool = True) -> Told:
        """Read the manifest of a snapshot.

        Arguments:
            stored: The snapshot.
            whole: Whether its list of other snapshots and its signed text are needed.

        Raises:
            LoginRefused: The credentials are refused.
            StorageUnavailable: A retry may succeed.
        """
        if not stored.verified:
            return None
        if (remembered := self.told.recall(stored, whole=whole)) is not None:
            return remembered
        told = await self._read(stored.name)
        if isinstance(told, Manifest):  # it may have been damaged in transfer
            if told.snapshot != stored.name:
                return told  # of another snapshot: not cached
            self.told.note(stored, told)
        return told

    async def _read(self, name: str) -> Told:
        if self.gaps is not None and self.gaps.covers(name):
            return Unread()
        try:
            return await read_manifest(self.storage, name)
        except LoginRefused:
            raise
        except StorageError as error:
            if self.gaps is not None:
                self.gaps.note(name, error)
            elif isinstance(error, StorageUnavailable):
                raise
            return Unread()  # unknown, perhaps for ever, but no reason to stop

    def is_signed(self, stored: Stored, told: Told) -> bool:
        """Return whether a manifest is signed with the agents' key, and of this snapshot."""
        return Judge(self.naming, self.keys).is_signed(stored, told)

    async def judge(self, listed: Sequence[Stored]) -> Judge:
        """Determine which unsigned snapshots were taken before a key was configured.

        The newest signed manifest lists them. Without a signed manifest all are. If no signed
        manifest lists any, no unsigned snapshot counts.

        Arguments:
            listed: Newest first.
        """
        judge = Judge(self.naming, self.keys)
        if self.keys is None:
            return judge
        accepted: frozenset[str] | None = None
        async for one, told in self._read_ahead(listed):
            if judge.is_signed(one, told) and isinstance(told, Manifest):
                known = read_known(told)
                accepted = frozenset() if known is None else known.fingerprints
                if known is not None:
                    break
        return Judge(self.naming, self.keys, accepted)

    async def worth(self, judge: Judge, listed: Sequence[Stored]) -> tuple[Stored, ...]:
        """Judge what snapshots count for, each alone and compared with the others."""
        told = await self._read_all(listed, whole=self.keys is not None)

        def judged() -> tuple[Stored, ...]:
            return without_duplicates(
                (judge.judge_stored(one, told[one.name]) for one in listed), told
            )

        return await beside_loop(judged, len(listed))

    async def _read_all(self, listed: Sequence[Stored], *, whole: bool) -> dict[str, Told]:
        """Read manifests concurrently."""
        told: dict[str, Told] = {}
        failures: list[StorageError] = []
        waiting = iter(listed)

        async def read() -> None:
            for one in waiting:
                try:
                    told[one.name] = await self.read(one, whole=whole)
                except StorageError as error:
                    failures.append(error)
                if failures:
                    return

        async with anyio.create_task_group() as tasks:
            for _ in range(min(_AT_ONCE, len(listed))):
                tasks.start_soon(read)
        if failures:
            raise failures[0]
        return told

    async def settled(
        self, listed: Sequence[Stored], planned: Callable[[Sequence[Stored]], Plan]
    ) -> Plan:
        """Plan by names, prove the snapshots to keep, and repeat until the plan is stable.

        Nothing is read if nothing would be deleted. Of the deletions left to later runs, only those
        are read of which another snapshot may be a copy.

        Arguments:
            listed: The snapshots, newest first.
            planned: Makes the plan.
        """
        many = len(listed)
        plan = await beside_loop(partial(planned, listed), many)
        if not plan.delete:
            return plan
        judge = await self.judge(listed)
        proven: dict[str, Stored] = {}
        differing: dict[str, Stored] = {}
        while True:
            asked = await beside_loop(partial(list_needed, listed, plan, proven), many)
            if len(asked) == len(proven):
                self.told.keep_only({one.name for one in listed}, many)
                return plan
            proven = {one.name: one for one in await self.worth(judge, asked)}
            now = {one.name: proven[one.name] for one in asked if proven[one.name] != one}
            if now == differing:
                continue  # the plan would be the same
            differing = now

            def again(differing: Mapping[str, Stored] = now) -> Plan:
                return planned([differing.get(one.name, one) for one in listed])

            plan = await beside_loop(again, many)
            if not plan.delete:
                return plan

    async def current(self, listed: Sequence[Stored]) -> tuple[Stored, ...]:
        """Judge the newest snapshots back to the first signed one, whose time can be trusted.

        Arguments:
            listed: Newest first.
        """
        judge = await self.judge(listed)
        judged: list[Stored] = []
        for one in listed:
            judged.append(judge.judge_stored(one, await self.read(one)))
            if judged[-1].signed and judged[-1].is_counted:
                break
        return (*judged, *listed[len(judged) :])

    async def known(self, listed: Sequence[Stored]) -> str:
        """Build the list of stored snapshots for the next manifest.

        Without a key: all. With a key: the unsigned ones that still count.
        """
        accepted = (await self.judge(listed)).accepted

        def written() -> str:
            names = [one.name for one in listed]
            if accepted is not None:
                names = [name for name in names if fingerprint(name) in accepted]
            return write_known(names)

        return await beside_loop(written, len(listed))

    async def witnesses(
        self, listed: Sequence[Stored], most: int, explained: Explained = _never
    ) -> list[Witness]:
        """Read which earlier snapshots the newest manifests list.

        A signed one lists only those from before there was a key (`known`), so it is none.

        Arguments:
            listed: Newest first.
            most: Maximum number to read.
            explained: Returns whether this number of manifests without a list is plausible since
                a time; then earlier ones are not read.
        """
        found: list[Witness] = []
        silent = 0
        async for one, manifest in self.credible(listed):
            if tells(manifest) and not manifest.signature:
                found.append(Witness(one, manifest))
            else:
                silent += 1
            enough = silent >= _SILENT and not found and explained(silent, one.taken_at)
            if enough or len(found) == most:
                break
        return found

    async def credible(
        self, listed: Sequence[Stored], *, safety: bool = True
    ) -> AsyncIterator[tuple[Stored, Manifest]]:
        """Read manifests in this order, without damaged and untrusted ones.

        Arguments:
            listed: The snapshots.
            safety: Whether those of safety snapshots are wanted, too.
        """
        judge = await self.judge(listed)
        async for one, told in self._read_ahead(listed):
            if not isinstance(told, Manifest):
                continue
            judged = judge.judge_stored(one, told)
            if not judged.doubt and (safety or not judged.safety):
                yield one, told

    async def _read_ahead(self, listed: Sequence[Stored]) -> AsyncIterator[tuple[Stored, Told]]:
        """Read the manifests there are in this order, ever more of them in advance."""
        verified = (one for one in listed if one.verified)
        batch = 1
        while some := [*islice(verified, batch)]:
            told = await self._read_all(some, whole=True)
            for one in some:
                yield one, told[one.name]
            batch = min(batch + 1, _AHEAD)
