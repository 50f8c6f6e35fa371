"""`restore`: checks, takes a safety snapshot, asks, restores, and waits for every node."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import anyio

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.choosing import choose_reader, open_storages, parse_wanted
from raft_snapshot_agent.cli.doctor import doctor
from raft_snapshot_agent.cli.operator import by_hand
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.progress import show_progress
from raft_snapshot_agent.cli.question import ask
from raft_snapshot_agent.cli.restore_words import describe_end, describe_plan, describe_undo
from raft_snapshot_agent.cli.target import make_absolute
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.check import check_to_run
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.model import spool_folder
from raft_snapshot_agent.core.duration import parse_duration
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import AgentError, ConfigError
from raft_snapshot_agent.restore.aftermath import Aftermath, follow_members
from raft_snapshot_agent.restore.fetching import Fetched, fetch_copy
from raft_snapshot_agent.restore.following import follow_leader
from raft_snapshot_agent.restore.members import Condition
from raft_snapshot_agent.restore.noting import RestoreNotes, describe_restored
from raft_snapshot_agent.restore.reader import SnapshotReader, StoredReader
from raft_snapshot_agent.restore.safety import OpenAgent, SafetySnapshot, take_safety_snapshot
from raft_snapshot_agent.restore.sending import Upload, send
from raft_snapshot_agent.restore.target import Target, look_at_target, require_fit, require_right
from raft_snapshot_agent.restore.unsealing import Unsealer, read_keys, require_enough
from raft_snapshot_agent.service import assembly
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.transfer.spool import Spool
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.environment import environment_token
from raft_snapshot_agent.vault.leader import Cluster, Leader
from raft_snapshot_agent.vault.settings import VaultSettings
from raft_snapshot_agent.vault.visit import visit_cluster

_TIDY_WITHIN = 30.0
_SHORTER = 120.0
"""Seconds to check whether a restore succeeded whose answer was lost."""
_PERHAPS = "the snapshot was sent, so the cluster may be restored: check what it holds, run doctor"
_RESTORED = "the cluster is restored, but not every node was waited for: run doctor"


@dataclass(frozen=True, slots=True)
class RestoreWish:
    """The snapshot to restore, and the options of `restore`."""

    snapshot: str | None = None
    """A name, a file or `-`; empty: the newest verified snapshot."""
    at: str | None = None
    storage: str | None = None
    yes: bool = False
    force: bool = False
    safety: bool = True
    unseal_keys: tuple[str, ...] = ()
    """References to unseal keys."""
    wait: float = 300.0
    cluster: str | None = None


def read_patience(text: str) -> float:
    """Parse how long to wait, in seconds.

    Raises:
        ConfigError: It is not a duration.
    """
    try:
        return parse_duration(text).total_seconds()
    except ValueError as error:
        raise ConfigError(f"--wait: {error}", hint="such as 90s or 15m") from error


def restore_snapshot(loaded: Loaded, wish: RestoreWish) -> int:
    """Restore a snapshot into the configured cluster; return the exit code.

    Raises:
        PartialFailure: It was restored, but not every node came back.
        AgentError: It was not restored.
    """
    if not (wish.yes or output.is_terminal(sys.stdin)):
        raise ConfigError("no terminal to confirm the restore at", hint="give --yes")
    keys = read_keys(wish.unseal_keys)
    loaded = by_hand(loaded, os.environ)
    everywhere = (
        assembly.destinations(loaded.config, cluster=loaded.name) if loaded.config.storages else ()
    )
    restoring = _Restoring(loaded, wish, keys, everywhere)
    try:
        after = wait_for(restoring.run)
    except Exception as error:
        if not isinstance(error, AgentError):
            output.talk(f"interrupted: {restoring.reached}")
        raise
    if after.is_served:
        output.talk("Checks with the agent's own login:")
        output.try_to_print(lambda: doctor(loaded, Format.TABLE))
    after.require_all_well()
    return 0


@dataclass(slots=True)
class _Restoring:
    """One restore, from the choice of the snapshot to the last node."""

    loaded: Loaded
    wish: RestoreWish
    keys: tuple[str, ...] = field(repr=False)
    everywhere: Sequence[Destination]
    """All storages, for the safety snapshot and the note of the restore."""
    reached: str = "nothing was changed"
    """What is known about the cluster, if this is interrupted."""

    async def run(self) -> Aftermath:
        reader = await self._choose()
        config = self.loaded.config
        config = config.model_copy(update={"vault": _by_operator(config.vault), "storages": ()})
        check_to_run(config, os.environ, self.loaded.position)
        async with _fetch(reader, spool_folder(config, os.environ)) as got:
            reader = got.reader
            proof = await reader.describe_proof()
            output.talk(f"Verified: {reader.label} is whole. Proof: {proof}.")
            async with visit_cluster(config.vault, config.run_on, output.warn) as cluster:
                target = await look_at_target(cluster, config.vault)
                with closing(target.members):
                    return await self._replace(cluster, target, got)

    async def _replace(self, cluster: Cluster, target: Target, got: Fetched) -> Aftermath:
        """Replace the target's data after all checks, and follow its nodes."""
        require_fit(target, got, force=self.wish.force)
        require_enough(self.keys, got.clear.seal)
        safety = await self._take_safety(cluster, target) if self.wish.safety else None
        taken = await self._ask_and_send(cluster, target, got, safety)
        try:
            back = await follow_leader(
                cluster,
                target.leader,
                force=self.wish.force,
                taken=taken,
                patience=self.wish.wait if taken else min(_SHORTER, self.wish.wait),
            )
            after = await self._follow(target, got, back)
            for line in describe_end(got, back, after, force=self.wish.force):
                output.talk(line)
        finally:  # needed most if the restore failed
            self._tell_undo(safety)
        return after

    def _tell_undo(self, safety: SafetySnapshot | None) -> None:
        if safety is not None:
            where = self.loaded.path, self.wish.cluster
            output.talk(describe_undo(safety, *where, force=self.wish.force))

    async def _choose(self) -> SnapshotReader:
        wish = self.wish
        loaded, stored = self.loaded, wish.storage is not None
        wanted = parse_wanted(wish.snapshot, lambda: loaded, wish.at, stored=stored)
        destinations = open_storages(lambda: loaded, wish.storage, wanted)
        return await choose_reader(destinations, wanted, is_asked=not wish.yes)

    async def _take_safety(self, cluster: Cluster, target: Target) -> SafetySnapshot:
        """Store the present data, with the operator's token or else with the agent's login.

        Raises:
            AgentError: That failed, or the token may not restore.
        """
        check = partial(require_right, cluster, target.leader, force=self.wish.force)
        await in_thread(check, abandon=True)
        config = self.loaded.config
        logins = [_by_operator(config.vault)]
        if config.vault.auth is not None and config.vault.auth != logins[0].auth:
            logins.append(config.vault)

        def open_agent(vault: VaultSettings) -> OpenAgent:
            mine = config.model_copy(update={"vault": vault})
            return partial(assembly.agent, mine, by_hand=True)

        output.talk("Taking a safety snapshot of what is there now ...")
        safety = await take_safety_snapshot(
            map(open_agent, logins),
            self.everywhere,
            target.leader.identity.cluster_id,
            make_absolute(Path()),
        )
        for warning in safety.warnings:
            output.warn(f"safety snapshot: {warning}")
        return safety

    async def _ask_and_send(
        self, cluster: Cluster, target: Target, got: Fetched, safety: SafetySnapshot | None
    ) -> bool:
        """Send the snapshot after a confirmation; undo all preparations if nothing was changed.

        Returns:
            Whether the server confirmed the restore.
        """
        notes = RestoreNotes(self.everywhere)
        with Upload.open(got.spool.path) as upload:
            try:
                for line in describe_plan(got, target, safety, force=self.wish.force):
                    output.talk(line)
                if not self.wish.yes:
                    await _ask(target.name)
                _warn(await notes.leave(describe_restored(got, datetime.now(UTC))))
                async with show_progress(lambda: upload.sent, "restoring", upload.size):
                    force, seals = self.wish.force, target.find_seals(got)
                    taken = await send(cluster, target.leader, upload, force=force, seals=seals)
                _warn(await notes.keep(describe_restored(got, datetime.now(UTC))))
            except BaseException as error:
                may_be_restored = upload.is_whole and not isinstance(error, AgentError)
                if may_be_restored:
                    self.reached = _PERHAPS
                    self._tell_undo(safety)
                with anyio.CancelScope(shield=True), anyio.move_on_after(_TIDY_WITHIN):
                    if may_be_restored:
                        _warn(await notes.keep(describe_restored(got, datetime.now(UTC))))
                    else:
                        _warn(await notes.take_back())
                        await _release(safety)
                raise
        self.reached = _RESTORED if taken else _PERHAPS
        return taken

    async def _follow(self, target: Target, got: Fetched, back: Leader | None) -> Aftermath:
        """Follow the nodes that answered before the restore."""
        absent = {Condition.SILENT, Condition.EMPTY}
        members = [one.address for one in target.states if one.condition not in absent]
        target.members.keep(members)
        unsealer = Unsealer(self.keys, got.clear.seal) if self.keys else None
        seals = target.find_seals(got)
        return await follow_members(
            target.members, back, seals, unsealer, self.wish.wait, output.talk
        )


@asynccontextmanager
async def _fetch(reader: SnapshotReader, folder: Path) -> AsyncIterator[Fetched]:
    """Copy a snapshot to the local disk, with a progress bar."""
    spools: list[Spool] = []
    size = reader.stored.size if isinstance(reader, StoredReader) else None
    async with AsyncExitStack() as stack:
        async with show_progress(lambda: spools[-1].received if spools else 0, "reading", size):
            got = await stack.enter_async_context(
                fetch_copy(reader, folder, spools.append, output.warn)
            )
        yield got


async def _ask(name: str) -> None:
    """Ask for the cluster's name as confirmation.

    Raises:
        ConfigError: The answer was different.
    """
    if await ask(f"Type the cluster's name, {name}, to replace all it holds: ") != name:
        raise ConfigError("not restored", hint="nothing was changed")


async def _release(safety: SafetySnapshot | None) -> None:
    if safety is not None:
        await safety.release_hold()


def _warn(troubles: Iterable[str]) -> None:
    for trouble in troubles:
        output.warn(trouble)


def _by_operator(settings: VaultSettings) -> VaultSettings:
    """Prefer the operator's own token: the agent's may only read snapshots."""
    token = environment_token(os.environ)
    if token is None:
        return settings
    return settings.model_copy(update={"auth": TokenAuth(method="token", token=token)})
