"""Check that the lease record can be read, and show who holds it."""

from __future__ import annotations

import anyio

from raft_snapshot_agent.doctor.results import (
    CheckContext,
    CheckResult,
    failure,
    skipped,
    success,
    warning,
)
from raft_snapshot_agent.errors import ConfigError, NotThereYet, StorageUnavailable
from raft_snapshot_agent.lease.opening import holder

_READ_WITHIN = 30.0


async def lease(context: CheckContext) -> list[CheckResult]:
    """Read the lease record, if configured; commands run by hand do not need it."""
    settings = context.config.lease
    if settings is None:
        return []
    try:
        with anyio.fail_after(_READ_WITHIN):
            return [success("lease", await holder(settings, context.config.storages))]
    except ConfigError as error:
        advice = f"{error.hint}; commands by hand need no lease"
        return [warning("lease", f"the agent cannot run here: {error.message}", advice)]
    except NotThereYet as error:
        return [skipped("lease", f"{error.message}; {error.hint}")]
    except TimeoutError:
        why = f"the lease's record was not read within {_READ_WITHIN:g} s"
        return [failure("lease", StorageUnavailable(why, hint="check the storage that keeps it"))]
