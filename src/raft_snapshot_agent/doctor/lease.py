"""The lease: whether its record can be read, and who holds it."""

from __future__ import annotations

import anyio

from raft_snapshot_agent.core.lease import Register
from raft_snapshot_agent.doctor.findings import Finding, Patient, failure, success
from raft_snapshot_agent.errors import StorageUnavailable

_READ_WITHIN = 30.0


async def lease(patient: Patient) -> list[Finding]:
    """Read the lease's record, where one is configured."""
    settings = patient.config.lease
    if settings is None:
        return []
    register = settings.register(patient.config.storages)
    settings.check()
    try:
        with anyio.fail_after(_READ_WITHIN):
            return await _read(register)
    except TimeoutError:
        why = f"the lease in {register.location} is not told within {_READ_WITHIN:g} s"
        return [failure("lease", StorageUnavailable(why, hint="check what keeps it"))]
    finally:
        await register.close()


async def _read(register: Register) -> list[Finding]:
    found = await register.read()
    where = f"the lease in {register.location}"
    if found is None:
        return [success("lease", f"{where} was never taken")]
    if found.record.free:
        return [success("lease", f"{where} is free: its last holder gave it back")]
    return [
        success("lease", f"{where} is held by {found.record.holder} (term {found.record.term})")
    ]
