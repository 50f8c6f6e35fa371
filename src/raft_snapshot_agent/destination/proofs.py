"""What listing and manifests of one place prove: reads them for the one judge, `core.proof`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field

from raft_snapshot_agent.core.flood import Witness
from raft_snapshot_agent.core.naming import Naming, newest_first
from raft_snapshot_agent.core.proof import (
    Judge,
    Told,
    Unread,
    fingerprint,
    read_known,
    without_copies,
    write_known,
)
from raft_snapshot_agent.core.retention import Plan
from raft_snapshot_agent.core.signing import SigningKeys
from raft_snapshot_agent.core.snapshot import Manifest, Stored
from raft_snapshot_agent.destination import verification
from raft_snapshot_agent.errors import LoginRefused, StorageError, StorageUnavailable
from raft_snapshot_agent.storage.base import Storage

_REMEMBERED = 50_000
"""Manifests that are kept in memory at most, a few hundred bytes each."""


@dataclass(frozen=True, slots=True)
class Proofs:
    """Reads manifests, each once in the life of a process, and judges snapshots by them."""

    storage: Storage
    naming: Naming | None
    keys: SigningKeys | None = None
    told: dict[tuple[str, int, int], Manifest] = field(default_factory=dict)

    async def read(self, stored: Stored) -> Told:
        """Read the manifest of a snapshot.

        Raises:
            LoginRefused: Nothing can be read.
            StorageUnavailable: Another try may help.
        """
        key = (stored.name, stored.size, stored.manifest_size)
        if not stored.verified:
            return None
        if key in self.told:
            return self.told[key]
        told = await self._read(stored.name)
        if isinstance(told, Manifest):  # what was damaged may have been so on the way
            if len(self.told) >= _REMEMBERED:
                self.told.clear()
            self.told[key] = told
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
        """
        judge = Judge(self.naming, self.keys)
        if self.keys is None:
            return judge
        accepted: frozenset[str] | None = None
        for one in newest_first(listed):
            told = await self.read(one)
            if judge.is_signed(one, told) and isinstance(told, Manifest):
                accepted = read_known(told)
                if accepted is not None:
                    break
                accepted = frozenset()
        return Judge(self.naming, self.keys, accepted)

    async def worth(self, judge: Judge, listed: Iterable[Stored]) -> tuple[Stored, ...]:
        """Say what snapshots count for, each on its own and beside the others."""
        told = {one.name: await self.read(one) for one in listed}
        return without_copies((judge.judge_stored(one, told[one.name]) for one in listed), told)

    async def settled(
        self, listed: Sequence[Stored], planned: Callable[[Sequence[Stored]], Plan]
    ) -> Plan:
        """Plan by names, prove those that others are to go for, and plan again until that holds.

        Nothing is read where nothing would go.

        Arguments:
            listed: As the storage lists them.
            planned: Makes the plan.
        """
        plan = planned(listed)
        if not plan.delete:
            return plan
        judge = await self.judge(listed)
        proven: dict[str, Stored] = {}
        while True:
            wanted = {*plan.delete, *(one for one in plan.keep if one.counts)}
            names = {one.name for one in wanted} | {*proven}
            asked = [one for one in listed if one.name in names]
            if names == {*proven}:
                return plan
            proven = {one.name: one for one in await self.worth(judge, asked)}
            plan = planned([proven.get(one.name, one) for one in listed])
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
        there = [fingerprint(one.name) for one in listed]
        return write_known([one for one in there if accepted is None or one in accepted])

    async def witnesses(self, listed: Sequence[Stored], most: int) -> list[Witness]:
        """Read what the newest snapshots say of those that were there before them.

        Arguments:
            listed: Newest first.
            most: How many are read.
        """
        found: list[Witness] = []
        async for one, manifest in self.credible(listed):
            known = read_known(manifest)
            if known is not None:
                found.append(Witness(one, manifest, known))
            if len(found) == most:
                break
        return found

    async def credible(self, listed: Sequence[Stored]) -> AsyncIterator[tuple[Stored, Manifest]]:
        """Read manifests in this order, and pass over those that are damaged, or that lie."""
        judge = await self.judge(listed)
        for one in (one for one in listed if one.verified):
            told = await self.read(one)
            if isinstance(told, Manifest) and not judge.judge_stored(one, told).doubt:
                yield one, told
