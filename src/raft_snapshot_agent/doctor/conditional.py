"""Whether a storage writes only where nobody wrote meanwhile, tried on a record of its own."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio

from raft_snapshot_agent.core.lease import Record, Register
from raft_snapshot_agent.errors import AgentError, StorageError, StorageUnavailable
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.storage.local import LocalSettings
from raft_snapshot_agent.threads import in_thread

_WITHIN = 60.0
_CLEAN_WITHIN = 15.0
_HINT = "a lease there keeps nobody from working twice: keep it in another storage"


async def prove_kept(storage: AnyStorage, tell: Callable[[str], None]) -> None:
    """Prove that a storage can keep a lease, and remove what that took.

    Arguments:
        storage: Where the lease is to lie.
        tell: Is told what could not be removed.

    Raises:
        AgentError: It cannot; the message says what it did.
    """
    name = f"raft-snapshot-agent-probe-x{secrets.token_hex(6)}"
    register = storage.register(name)
    try:
        with anyio.fail_after(_WITHIN):
            await prove(register)
    except TimeoutError as error:
        why = f"{register.location} was not written within {_WITHIN:g} s"
        raise StorageUnavailable(why, hint="check the storage") from error
    finally:
        with anyio.CancelScope(shield=True):
            await _clean(storage, register, name, tell)


async def prove(register: Register) -> None:
    """Prove it on an empty register, which holds a record then.

    Raises:
        StorageError: Something that must be refused was accepted, or the other way round.
    """
    first = await register.write(_record(1), None)
    _insist(register, "refuses to create what is not there", first is not None)
    again = await register.write(_record(2), None)
    _insist(register, "creates a second time what is there", again is None)
    second = await register.write(_record(3), first)
    _insist(register, "refuses a write with the present version", second is not None)
    late = await register.write(_record(4), first)
    _insist(register, "accepts a write with an old version", late is None)
    found = await register.read()
    kept = found is not None and found.record == _record(3)
    _insist(register, "does not give back what was written last", kept)


def _record(beat: int) -> Record:
    return Record("doctor", 1, beat, 15.0)


def _insist(register: Register, otherwise: str, held: bool) -> None:
    if not held:
        told = f"{register.location} cannot keep a lease: the store {otherwise}"
        raise StorageError(told, hint=_HINT)


async def _clean(
    storage: AnyStorage, register: Register, name: str, tell: Callable[[str], None]
) -> None:
    try:
        with anyio.fail_after(_CLEAN_WITHIN):
            await register.close()
            if isinstance(storage, LocalSettings):
                remove = partial(shutil.rmtree, Path(register.location), ignore_errors=True)
                await in_thread(remove, abandon=True)
            else:
                await storage.open().delete(f"{name}.json")
    except (AgentError, TimeoutError) as error:
        tell(f"{register.location} could not be removed: {error or 'no answer'}; delete it by hand")
