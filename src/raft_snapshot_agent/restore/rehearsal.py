"""A whole drill: read, verify, restore, unseal, check, store the result, clean up."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from raft_snapshot_agent.config.drill import DrillSettings
from raft_snapshot_agent.config.drill_seal import read_seal
from raft_snapshot_agent.core.snapshots.drill_note import DrillNote
from raft_snapshot_agent.core.snapshots.notes import one_line
from raft_snapshot_agent.destination.drill_notes import remember_drill
from raft_snapshot_agent.errors import AgentError, DrillFailed, VerificationError
from raft_snapshot_agent.restore.canaries import prove
from raft_snapshot_agent.restore.copies import Tell, ignore
from raft_snapshot_agent.restore.drill import choose_server, lend_folder, restored
from raft_snapshot_agent.restore.fetching import Fetched, fetch_copy
from raft_snapshot_agent.restore.living_copy import LivingCopy
from raft_snapshot_agent.restore.reader import SnapshotReader, StoredReader
from raft_snapshot_agent.servers.key_tokens import make_root_token
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.threads import in_thread

Visit = Callable[["DrillOutcome", OpenBaoNode], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class DrillOutcome:
    """The result of a drill."""

    note: DrillNote
    error: VerificationError | None = None
    """Why it failed."""
    trouble: str = ""
    """Why the note could not be stored beside the snapshot."""
    label: str = ""
    """Where the snapshot was read."""

    @property
    def line(self) -> str:
        """The result on one line; of a failure more than the note, which others can read."""
        if self.error is None:
            return self.note.line
        return f"The drill of {self.note.snapshot} failed: {self.error}"


@dataclass(slots=True)
class _Progress:
    """The progress of a drill, for its note, also if it fails."""

    at: datetime
    """When it began."""
    began: float = field(default_factory=time.monotonic)
    sha256: str = ""
    server: str = ""
    proved: list[str] = field(default_factory=list)

    def started(self, server: str) -> None:
        self.server = server

    def note(self, name: str, error: VerificationError | None) -> DrillNote:
        reason = error.noted if isinstance(error, DrillFailed) else error and error.message
        return DrillNote(
            snapshot=name,
            passed=error is None,
            at=f"{self.at:%Y-%m-%dT%H:%M:%SZ}",
            seconds=round(time.monotonic() - self.began, 1),
            sha256=self.sha256,
            server=one_line(self.server),
            proved=one_line(", ".join(self.proved)),
            reason=one_line(reason or ""),
        )


async def rehearse(
    reader: SnapshotReader,
    settings: DrillSettings,
    spool: Path,
    now: datetime,
    visit: Visit | None = None,
    *,
    must_be_isolated: bool = True,
    tell: Tell = ignore,
) -> DrillOutcome:
    """Restore a snapshot into a throw-away server, check it, and store the result beside it.

    The server is always removed completely.

    Arguments:
        reader: The snapshot.
        settings: The unseal keys, and the checks.
        spool: The folder for the copy and the server.
        now: The present time.
        visit: Called while the server is still running, after all checks.
        must_be_isolated: False for test data, on hosts that cannot isolate the server.
        tell: Called with a warning for each copy that cannot be used.

    Returns:
        The outcome, with the error if it failed.

    Raises:
        AgentError: The drill could not be run, so nothing is known about the snapshot.
    """
    keys = await in_thread(lambda: [key.resolve() for key in settings.unseal.keys])
    seal = await in_thread(lambda: read_seal(settings.unseal))
    for issuer in settings.issuers:  # before a restore that may take an hour
        await in_thread(issuer.read_roots)
    progress = _Progress(now)
    try:
        async with fetch_copy(reader, spool, tell=tell) as got, lend_folder(spool) as folder:
            reader = got.reader
            progress.sha256 = got.snapshot.sha256
            is_unsealed = bool(keys or seal) and must_be_isolated
            choice = choose_server(
                got.manifest, settings.server, is_unsealed=is_unsealed, seal=seal
            )
            async with restored(
                got.spool.path, keys, folder, choice=choice, started=progress.started
            ) as node:
                await in_thread(lambda: _prove(node, keys, settings, got, progress))
                outcome = await _noted(reader, progress, None)
                if visit is not None:
                    await visit(outcome, node)
                return outcome
    except VerificationError as error:
        return await _noted(reader, progress, error)


def _prove(
    node: OpenBaoNode,
    keys: Sequence[str],
    settings: DrillSettings,
    got: Fetched,
    progress: _Progress,
) -> None:
    progress.proved.append(f"restored at index {got.snapshot.meta.index}")
    if not keys and settings.unseal.seal is None:
        progress.proved.append("sealed, for no key is given")
        return
    progress.proved.append("active")
    if not keys:
        return
    copy = LivingCopy(node, make_root_token(node, keys))
    progress.proved.extend(prove(copy, settings, progress.at))


async def _noted(
    reader: SnapshotReader, progress: _Progress, error: VerificationError | None
) -> DrillOutcome:
    note = progress.note(reader.name, error)
    if not isinstance(reader, StoredReader):
        return DrillOutcome(note, error, label=reader.label)
    try:
        await remember_drill(reader.destination, note)
    except AgentError as trouble:
        return DrillOutcome(note, error, str(trouble), reader.label)
    return DrillOutcome(note, error, label=reader.label)
