"""Reads listing and manifests of one storage, for `core.proof` to judge what counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
    read_known,
    relied_on,
    tells,
    without_copies,
    write_known,
)
from raft_snapshot_agent.core.history.retention import Plan
from raft_snapshot_agent.core.snapshots.naming import Naming
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Stored
from raft_snapshot_agent.destination import verification
from raft_snapshot_agent.destination.remembered import Remembered
from raft_snapshot_agent.errors import LoginRefused, StorageError, StorageUnavailable
from raft_snapshot_agent.storage.base import Storage
from raft_snapshot_agent.threads import beside_loop

_AT_ONCE = 8
"""Manifests that are read side by side: it is the way to a storage that takes the time."""
_AHEAD = 32
"""Manifests that are read before anybody knows that they are needed."""
_SILENT = 500
"""Manifests in a row that say nothing of others, before it is asked whether that is so many."""
Explained = Callable[[int, datetime], bool]


def _never(_count: int, _since: datetime) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Proofs:
    """Reads manifests, each once in the life of a process, and judges snapshots by them."""

    storage: Storage
    naming: Naming | None
    keys: SigningKeys | None = None
    told: Remembered = field(default_factory=Remembered)

    async def read(self, stored: Stored, *, whole: bool = True) -> Told:
        """Read the manifest of a snapshot.

        Arguments:
            stored: The snapshot.
            whole: Whether what it tells of others is wanted, and what its signature covers.

        Raises:
            LoginRefused: Nothing can be read.
            StorageUnavailable: Another try may help.
        """
        if not stored.verified:
            return None
        if (remembered := self.told.recall(stored, whole=whole)) is not None:
            return remembered
        told = await self._read(stored.name)
        if isinstance(told, Manifest):  # what was damaged may have been so on the way
            if told.snapshot != stored.name:
                return told  # of another: nothing that is worth its room
            self.told.note(stored, told)
        return told

    async def _read(self, name: str) -> Told:
        try:
            return await verification.manifest(self.storage, name)
        except (LoginRefused, StorageUnavailable):
            raise
        except StorageError:
            return Unread()  # nobody knows, and nobody ever may: no reason to stop all

    async def judge(self, listed: Sequence[Stored]) -> Judge:
        """Find out which unsigned snapshots are from before there was a key.

        The newest signed manifest tells. Where there is none yet, all that lie there are; where
        none of them tells, no unsigned one counts.

        Arguments:
            listed: Newest first.
        """
        judge = Judge(self.naming, self.keys)
        if self.keys is None:
            return judge
        accepted: frozenset[str] | None = None
        for one in listed:
            told = await self.read(one)
            if judge.is_signed(one, told) and isinstance(told, Manifest):
                known = read_known(told)
                accepted = frozenset() if known is None else known.fingerprints
                if known is not None:
                    break
        return Judge(self.naming, self.keys, accepted)

    async def worth(self, judge: Judge, listed: Sequence[Stored]) -> tuple[Stored, ...]:
        """Say what snapshots count for, each on its own and beside the others."""
        told = await self._read_all(listed, whole=self.keys is not None)

        def judged() -> tuple[Stored, ...]:
            return without_copies((judge.judge_stored(one, told[one.name]) for one in listed), told)

        return await beside_loop(judged, len(listed))

    async def _read_all(self, listed: Sequence[Stored], *, whole: bool) -> dict[str, Told]:
        """Read manifests, some at once."""
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
        """Plan by names, prove those that others are to go for, and plan again until that holds.

        Nothing is read where nothing would go. Of those that are left for later runs only those
        are read that may be what one of the others is a copy of.

        Arguments:
            listed: As the storage lists them, newest first.
            planned: Makes the plan.
        """
        many = len(listed)
        plan = await beside_loop(partial(planned, listed), many)
        if not plan.delete:
            return plan
        judge = await self.judge(listed)
        proven: dict[str, Stored] = {}
        while True:
            asked = await beside_loop(partial(relied_on, listed, plan, proven), many)
            if len(asked) == len(proven):
                self.told.keep_only({one.name for one in listed}, many)
                return plan
            proven = {one.name: one for one in await self.worth(judge, asked)}

            def again(proven: Mapping[str, Stored] = proven) -> Plan:
                return planned([proven.get(one.name, one) for one in listed])

            plan = await beside_loop(again, many)
            if not plan.delete:
                return plan

    async def current(self, listed: Sequence[Stored]) -> tuple[Stored, ...]:
        """Judge the newest, back to the first that is signed: its time can be believed.

        Arguments:
            listed: Newest first.
        """
        judge = await self.judge(listed)
        judged: list[Stored] = []
        for one in listed:
            judged.append(judge.judge_stored(one, await self.read(one)))
            if judged[-1].signed and judged[-1].counts:
                break
        return (*judged, *listed[len(judged) :])

    async def known(self, listed: Sequence[Stored]) -> str:
        """Write down what the next manifest is to tell of those that lie there.

        Without a key: all of them. With one: the unsigned ones that still count.
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
        """Read what the newest snapshots say of those that were there before them.

        Arguments:
            listed: Newest first.
            most: How many are read.
            explained: Tells whether so many, back to some time, may be there that say nothing;
                then none of those before them is looked for.
        """
        found: list[Witness] = []
        silent = 0
        async for one, manifest in self.credible(listed):
            if tells(manifest):
                found.append(Witness(one, manifest))
            else:
                silent += 1
            enough = silent >= _SILENT and not found and explained(silent, one.taken_at)
            if enough or len(found) == most:
                break
        return found

    async def credible(self, listed: Sequence[Stored]) -> AsyncIterator[tuple[Stored, Manifest]]:
        """Read manifests in this order, and pass over those that are damaged, or that lie."""
        judge = await self.judge(listed)
        verified = (one for one in listed if one.verified)
        batch = 1
        while some := [*islice(verified, batch)]:
            told = await self._read_all(some, whole=True)
            for one in some:
                manifest = told[one.name]
                if isinstance(manifest, Manifest) and not judge.judge_stored(one, manifest).doubt:
                    yield one, manifest
            batch = min(batch + 1, _AHEAD)
