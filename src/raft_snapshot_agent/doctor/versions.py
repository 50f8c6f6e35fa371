"""Check for buckets that keep old versions of deleted objects."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from raft_snapshot_agent.doctor.results import (
    CheckContext,
    CheckResult,
    failure,
    skipped,
    success,
    warning,
)
from raft_snapshot_agent.errors import ConfigError, StorageError
from raft_snapshot_agent.storage.s3.s3 import S3Settings
from raft_snapshot_agent.threads import in_thread

_CHECK = "versions"
_ADVICE = (
    "add a lifecycle rule to the bucket that expires noncurrent versions"
    " (NoncurrentVersionExpiration), or what is pruned goes on costing room"
)


async def versions(context: CheckContext) -> list[CheckResult]:
    """Warn of versioned buckets without a rule that expires old versions."""
    silent = {one.storage for one in context.holdings if one.error is not None}
    asked = (one for one in context.config.storages if isinstance(one, S3Settings))
    return [await _ask_versions(one, silent) for one in asked if _deletes(one)]


async def _ask_versions(settings: S3Settings, silent: Collection[str]) -> CheckResult:
    if settings.name in silent:
        return skipped(_CHECK, f"{settings.name} could not be listed, so it was not asked further")
    return await in_thread(partial(_versions, settings), abandon=True)


def _deletes(settings: S3Settings) -> bool:
    """Return whether the agent deletes or replaces anything there."""
    retention = settings.retention
    prunes = settings.prune and retention is not None and not retention.keeps_all
    return prunes or settings.static_name is not None


def _versions(settings: S3Settings) -> CheckResult:
    from raft_snapshot_agent.storage.s3.s3 import connect
    from raft_snapshot_agent.storage.s3.versions import versioning

    name = settings.name or settings.type
    try:
        found = versioning(connect(settings), settings.prefix)
    except (ConfigError, StorageError) as error:
        return failure(_CHECK, StorageError(f"{name}: {error.message}", hint=error.hint))
    if found is None:
        return skipped(_CHECK, f"{name} does not report whether it keeps old versions")
    if not found.kept:
        return success(_CHECK, f"{name} keeps no old versions")
    if found.ends:
        return success(_CHECK, f"{name} keeps old versions, and a lifecycle rule removes them")
    return warning(_CHECK, f"{name} keeps every old version for ever", _ADVICE)
