"""Test the permissions in a storage with a small object."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Collection, Sequence
from dataclasses import dataclass, field

import anyio

from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.doctor.results import (
    CheckContext,
    CheckResult,
    failure,
    skipped,
    success,
    warning,
)
from raft_snapshot_agent.errors import (
    AgentError,
    LoginRefused,
    NotThereYet,
    StorageDenied,
    StorageError,
    StorageUnavailable,
)
from raft_snapshot_agent.lease.proof import prove
from raft_snapshot_agent.observe.failures import as_failure
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.storage.base import BytesSource

_CHECK = "probe"
_STEP_WITHIN = 60.0
_CLEAN_WITHIN = 15.0
"""Maximum seconds to delete the object in any case."""
_UNLISTED = {
    "local": "check path and prefix",
    "sftp": "check path and prefix",
    "swift": "check container, storage_url and prefix",
    "webdav": "check url and prefix, and what answers in front of the server",
}
_UNLISTED_IN_BUCKET = "check that endpoint holds no bucket, and that prefix is right"
_NEEDED = "grant these permissions: retention, list, verify and restore need them"


@dataclass(slots=True)
class Trial:
    """The test of one storage with one small object."""

    destination: Destination
    name: str = field(default_factory=lambda: f"raft-snapshot-agent-probe-x{secrets.token_hex(6)}")
    """Not a possible name of a snapshot."""
    content: bytes = field(default_factory=lambda: secrets.token_hex(32).encode())
    done: list[str] = field(default_factory=list)
    """What succeeded."""
    failed: dict[str, AgentError] = field(default_factory=dict)
    """What failed, and why."""
    others: Sequence[Destination] = ()
    """Storages that must be other places."""
    same: list[str] = field(default_factory=list)
    """Names of those that turned out to be this one, by another address."""

    async def run(self) -> None:
        """Write, read and list the object; then delete it in any case."""
        try:
            if await self._try("write", self._write()):
                self.same += [one.name for one in self.others if await self._is_in(one)]
                await self._try("read back", self._read())
                await self._try("list", self._list())
        finally:
            with anyio.CancelScope(shield=True):
                await self._try("delete", self._delete(), _CLEAN_WITHIN)

    @property
    def left(self) -> str:
        """Where the object may have been left; empty if it was deleted."""
        if "delete" not in self.failed or self._is_not_stored:
            return ""
        return self.destination.storage.location(self.name)

    @property
    def _is_not_stored(self) -> bool:
        """Whether the write was refused, or never could arrive: the same lasting cause stops both.

        Such a cause is a bucket that does not exist, or an unknown host key.
        """
        write, delete = self.failed.get("write"), self.failed.get("delete")
        if write is None or isinstance(write, StorageUnavailable):
            return False
        same = delete is not None and write.hint != "" and write.hint == delete.hint
        return isinstance(write, StorageDenied) or same

    async def _try(self, what: str, doing: Awaitable[None], within: float = _STEP_WITHIN) -> bool:
        try:
            with anyio.fail_after(within):
                await doing
        except TimeoutError:
            self.failed[what] = StorageUnavailable(f"no answer within {within:g} s")
        except Exception as error:  # noqa: BLE001 - each is what this storage may not do
            self.failed[what] = as_failure(error)
        else:
            self.done.append(what)
        return what in self.done

    async def _write(self) -> None:
        stored = await self.destination.storage.put(self.name, BytesSource(self.content))
        if stored != len(self.content):
            raise StorageError(f"it holds {stored} of {len(self.content)} bytes")

    async def _read(self) -> None:
        if await self._read_from(self.destination) != self.content:
            raise StorageError("the data read differs from the data written")

    async def _read_from(self, destination: Destination) -> bytes:
        return b"".join([piece async for piece in destination.storage.read(self.name)])

    async def _is_in(self, other: Destination) -> bool:
        """Return whether the object is found in another storage, too."""
        try:
            with anyio.fail_after(_CLEAN_WITHIN):
                return await self._read_from(other) == self.content
        except Exception:  # noqa: BLE001 - its own trial tells what is wrong there
            return False

    async def _list(self) -> None:
        sizes = {entry.name: entry.size for entry in await self.destination.storage.entries()}
        if sizes.get(self.name) != len(self.content):
            hint = _UNLISTED.get(self.destination.storage.kind, _UNLISTED_IN_BUCKET)
            raise StorageError("what was just written is not in the list", hint=hint)

    async def _delete(self) -> None:
        await self.destination.storage.delete(self.name)
        if "list" in self.done:
            names = {entry.name for entry in await self.destination.storage.entries()}
            if self.name in names:
                raise StorageError("what was deleted is still in the list")


async def report_untried(context: CheckContext) -> list[CheckResult]:
    """Report that writing was not tested."""
    if not context.destinations:
        return []
    return [skipped(_CHECK, "doctor --probe tests whether the storages accept writes")]


async def probe(context: CheckContext) -> list[CheckResult]:
    """Test in every storage what the agent does there, and clean up."""
    if not context.destinations:
        return [skipped(_CHECK, "no storage is configured")]
    found = []
    untried = _list_untried(context)
    for number, destination in enumerate(context.destinations):
        if destination.name in untried:
            found.append(skipped(_CHECK, f"{destination.name}: {untried[destination.name]}"))
        else:
            found += await _try_destination(number, destination, context)
    return [*found, *await _lease(context, untried)]


def _list_untried(context: CheckContext) -> dict[str, str]:
    """List the storages whose listing has just told what would stop a write, too, and why.

    Nothing is written where nothing can arrive, so nothing has to be looked for afterwards.
    """
    told = {}
    for holding in context.holdings:
        match holding.error:
            case NotThereYet() as error:
                told[holding.storage] = f"not tried: {error.message}"
            case StorageUnavailable():
                told[holding.storage] = "not tried, as it could not be listed just before"
    return told


async def _try_destination(
    number: int, destination: Destination, context: CheckContext
) -> list[CheckResult]:
    # One with a static name may be in one place with others.
    dated = [one for one in context.destinations[number + 1 :] if one.static_name is None]
    trial = Trial(destination, others=dated if destination.static_name is None else ())
    try:
        await trial.run()
    except anyio.get_cancelled_exc_class():
        if trial.left:
            context.tell(f"{_describe_leftover(trial)}: delete it by hand")
        raise
    return [*judge(trial), *_report_same(trial), *_report_leftovers(trial)]


def judge(trial: Trial) -> list[CheckResult]:
    """Report what a storage allows, and whether missing permissions are needed."""
    name, may = trial.destination.name, ", ".join(trial.done)
    broken = {what: error for what, error in trial.failed.items() if not _is_right(what, error)}
    if "write" in broken:
        broken = {"write": broken["write"]}  # the other failures do not matter then
    missing = trial.failed.keys() - broken.keys()
    if broken:
        return [_cannot(name, what, error) for what, error in broken.items()]
    if not missing:
        return [success(_CHECK, f"{name}: permitted: {may}")]
    refused = ", ".join(one for one in trial.failed if one in missing)
    told = f"{name}: permitted: {may}; not permitted: {refused}"
    if not trial.destination.prunes:
        return [success(_CHECK, f"{told}; with prune: false that is enough")]
    return [warning(_CHECK, told, f"{_NEEDED}; or set prune: false if the agent must not delete")]


def _is_right(what: str, error: AgentError) -> bool:
    """Return whether only an optional permission is missing."""
    denied = isinstance(error, StorageDenied) and not isinstance(error, LoginRefused)
    return denied and what != "write"


def _cannot(name: str, what: str, error: AgentError) -> CheckResult:
    told = StorageError(f"{name} cannot {what}: {error.message}", hint=error.hint)
    return failure(_CHECK, told)


def _report_same(trial: Trial) -> list[CheckResult]:
    if not trial.same:
        return []
    told = f"{trial.destination.name} is the same place as {', '.join(trial.same)}"
    why = "each deletes what the retention of the other keeps: give each its own path or prefix"
    return [failure(_CHECK, StorageError(told, hint=why))]


def _report_leftovers(trial: Trial) -> list[CheckResult]:
    if not trial.left:
        return []
    return [warning(_CHECK, _describe_leftover(trial), "delete it by hand")]


def _describe_leftover(trial: Trial) -> str:
    maybe = "was left behind" if "write" in trial.done else "was possibly left behind"
    return f"{trial.left} {maybe}: it could not be deleted"


async def _lease(context: CheckContext, untried: Collection[str]) -> list[CheckResult]:
    """Test whether the lease's storage supports conditional writes."""
    settings = context.config.lease
    if settings is None or settings.storage_name is None:
        return []
    name = settings.storage_name
    if name in untried:
        return [skipped(_CHECK, f"lease: not tried in {name} either")]
    kept = [one for one in context.config.storages if one.name == name]
    return [await _check_kept(storage, settings.name) for storage in kept]


async def _check_kept(storage: AnyStorage, record: str) -> CheckResult:
    try:
        await prove(storage.lease_store(record), str(storage.name))
    except AgentError as error:
        return failure(_CHECK, error)
    what = "refuses what a lease needs refused (conditional writes)"
    return success(_CHECK, f"{storage.name} {what}")
