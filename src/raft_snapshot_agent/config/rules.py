"""Settings that contradict each other; docs/decisions/0035 lists all checks.

Most checks concern storages and are skipped if none is configured.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from raft_snapshot_agent.config.identity import find_folders_in_the_way, locate
from raft_snapshot_agent.config.keys import KeyPath
from raft_snapshot_agent.config.model import Config, naming_of
from raft_snapshot_agent.core.duration import format_duration
from raft_snapshot_agent.core.schedules.schedule import upcoming
from raft_snapshot_agent.core.snapshots.naming import list_names, parse, snapshot_name
from raft_snapshot_agent.core.snapshots.notes import GUARD_NAME, RESTORED_NAME, SCRUB_NAME
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import RetentionPolicy
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.vault.exposure import exposure, is_readable

RuleConflict = tuple[KeyPath, str, str]
"""The key, the fault, and the fix."""

_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_SLOTS = 40
"""Times of a schedule that are examined."""
_SHORTEST = timedelta(seconds=1)
_RARELY = timedelta(minutes=1)
_LITTLE = 16 << 20
"""Bytes; most snapshots are larger."""


def contradictions(config: Config) -> Iterator[RuleConflict]:
    """List settings that cannot work."""
    yield from _clear_text(config, allowed=False)
    yield from _no_certificate(config)
    if not config.storages:
        return
    yield from _names(config)
    yield from _lease_record(config)
    yield from _same_place(config)
    for index, storage in enumerate(config.storages):
        yield from _schedule(config, index, storage)
        yield from _deletes(config, index, storage)


def cautions(config: Config) -> Iterator[RuleConflict]:
    """List settings that work, but may not be intended."""
    yield from _clear_text(config, allowed=True)
    yield from _certificate_unsent(config)
    if config.storages and not any(one.required for one in config.storages):
        what = "no storage is required: a run is good as long as one of them got the snapshot"
        yield ("storages",), what, "leave required out for those you rely on"
    for index, storage in enumerate(config.storages):
        yield from _idle_retention(config, index, storage)
        yield from _slow(config, index, storage)
        if config.scrub is not None and not storage.prune:
            what = (
                "nothing is read back here, because prune is false: the credentials may only write"
            )
            yield ("storages", index, "prune"), what, "run scrub where reading is allowed"
    yield from _slow_lease(config)
    often = config.vault.login_check
    if timedelta(0) < often < _RARELY:
        what = f"the agent logs in every {format_duration(often)}, only to see whether it could"
        yield ("vault", "login_check"), what, f"write {format_duration(_RARELY)} or more, or 0s"


def _clear_text(config: Config, *, allowed: bool) -> Iterator[RuleConflict]:
    """Find the servers to which token and snapshot would be sent without TLS."""
    vault = config.vault
    for index, address in enumerate(vault.addresses):
        path: KeyPath = ("vault", "nodes", index) if vault.nodes else ("vault", "address")
        with suppress(ConfigError):  # an invalid proxy is reported elsewhere
            if vault.allow_http is allowed and is_readable(address, vault):
                fault = exposure(address)
                yield path, fault.message, "use https://" if allowed else fault.hint


def _no_certificate(config: Config) -> Iterator[RuleConflict]:
    """Find a login by certificate without one, at a server with TLS."""
    vault = config.vault
    with_tls = any(address.startswith("https:") for address in vault.addresses)
    if _logs_in_by_certificate(config) and with_tls and vault.tls.client_cert is None:
        what = "method cert logs in with a client certificate, and none is set"
        yield ("vault", "auth"), what, "set vault.tls.client_cert and vault.tls.client_key"


def _certificate_unsent(config: Config) -> Iterator[RuleConflict]:
    """Find a login by certificate where none is sent."""
    clear = [one for one in config.vault.addresses if not one.startswith("https:")]
    if _logs_in_by_certificate(config) and clear:
        what = f"method cert sends no certificate to {clear[0]}, which is without TLS"
        mend = "write https://, unless a proxy there has a certificate of its own"
        yield ("vault", "auth"), what, mend


def _logs_in_by_certificate(config: Config) -> bool:
    return config.vault.auth is not None and config.vault.auth.method == "cert"


def _names(config: Config) -> Iterator[RuleConflict]:
    if config.name_layout is None:
        return
    if "naming" in config.model_fields_set:
        yield ("naming",), "name_layout says how snapshots are named", "leave one of the two out"
    naming = naming_of(config)
    for index, storage in enumerate(config.storages):
        slots = _slots(config, storage)
        names = {naming.name(naming.run(slot, "000000"), 0) for slot in slots}
        if storage.static_name is None and len(names) < len(slots):
            what = f"two snapshots of {_name_storage(index, storage)} would get the same name"
            mend = "include the seconds in it, or take snapshots less often"
            yield ("name_layout", "timestamp"), f"{what}, {_when(config, storage)}", mend
            return


def _lease_record(config: Config) -> Iterator[RuleConflict]:
    """Find a lease record or a static snapshot that would overwrite another file."""
    lease = config.lease if config.lease and config.lease.storage_name else None
    taken = {GUARD_NAME: "the file of the guard", RESTORED_NAME: "the note of a restore"}
    taken[SCRUB_NAME] = "the note of what was read back"
    if lease is not None:
        names = {lease.name, f"{lease.name}.json"}
        if names & taken.keys() or parse(lease.name, naming_of(config)):
            yield ("lease", "name"), "is the name of another file of the agent's", "choose another"
        taken |= dict.fromkeys(names, "the lease")
    for index, storage in enumerate(config.storages):
        if (static := storage.static_name) is None:
            continue
        path = ("storages", index, "static_name")
        what = next((taken[name] for name in list_names(static) if name in taken), None)
        if what == "the lease" and (lease is None or lease.storage_name != storage.name):
            what = None
        if what is not None:
            yield path, f"is the name of {what} in this storage", "choose another"


def _same_place(config: Config) -> Iterator[RuleConflict]:
    """Find storages with a common folder in which files of both would have the same name."""
    known: dict[object, tuple[str, str | None]] = {}
    placed = [(storage, locate(storage)) for storage in config.storages]
    pruned = [place for storage, place in placed if storage.static_name is None]
    for index, (storage, place) in enumerate(placed):
        # A snapshot with a static name may be in one folder with those named by time.
        static = storage.static_name
        files = (None,) if static is None else list_names(static)
        own = _name_storage(index, storage), static
        others = [known.setdefault((place, file), own) for file in files]
        other, others_name = next((one for one in others if one != own), own)
        if other != own[0] and static == others_name:
            why = f"stores in the same place as {other}"
            yield ("storages", index), why, "give each its own path, bucket or prefix"
        elif other != own[0]:
            why = f"is the name of a file beside {others_name} of {other}, in the same place"
            yield ("storages", index, "static_name"), why, "choose another"
        if static and place in pruned and parse(snapshot_name(static), naming_of(config)):
            why = "looks like the name of a snapshot with its time, and would be pruned as one"
            yield ("storages", index, "static_name"), why, "choose another"
    for index, other_index in find_folders_in_the_way(enumerate(config.storages)):
        other = _name_storage(other_index, config.storages[other_index])
        why = f"is the name of a folder in which {other} stores"
        yield ("storages", index, "static_name"), why, "choose another"


def _schedule(config: Config, index: int, storage: AnyStorage) -> Iterator[RuleConflict]:
    own = ("storages", index, "schedule") if storage.schedule else ("schedule",)
    schedule, gap = storage.schedule or config.schedule, _gap(config, storage)
    if gap is None:
        return
    if gap < _SHORTEST:
        yield (*own, "every"), "is shorter than a snapshot takes", "write 1s or more"
    elif schedule.jitter >= gap:
        what = f"a snapshot may be delayed past the next one, {_when(config, storage)}"
        yield (*own, "jitter"), what, f"make it shorter than {format_duration(gap)}"


def _deletes(config: Config, index: int, storage: AnyStorage) -> Iterator[RuleConflict]:
    policy = storage.retention or RetentionPolicy()
    path = _retention_path(config, index, storage)
    if not storage.prune and path[0] == "storages" and not policy.keeps_all:
        mend = "leave out retention, or prune: false"
        yield path, "nothing is deleted here, because prune is false", mend
    elif storage.prune and policy.max_deletes == 0 and not policy.keeps_all:
        mend = "write 1 or more, or leave the rules out"
        yield (*path, "max_deletes"), "lets nothing be deleted, whatever the rules say", mend


def _idle_retention(config: Config, index: int, storage: AnyStorage) -> Iterator[RuleConflict]:
    policy = storage.retention
    if policy is None or not policy.keeps_all:
        return
    path = _retention_path(config, index, storage)
    for key, idle in (("max_deletes", policy.max_deletes), ("min_keep", policy.min_keep > 1)):
        if idle:
            what = "has no effect: no rule deletes anything"
            yield (*path, key), what, "add a rule such as last: 24"


def _slow(config: Config, index: int, storage: AnyStorage) -> Iterator[RuleConflict]:
    gap = _gap(config, storage)
    if gap is None:
        return
    path: KeyPath = ("storages", index)
    if "timeout" in storage.model_fields_set and storage.timeout >= gap:
        what = f"while the storage hangs, snapshots are missed, {_when(config, storage)}"
        yield (*path, "timeout"), what, f"make it shorter than {format_duration(gap)}"
    if storage.bandwidth is not None and storage.bandwidth * gap.total_seconds() < _LITTLE:
        sent = int(storage.bandwidth * gap.total_seconds())
        what = f"only {sent} bytes can be sent until the next is due, {_when(config, storage)}"
        yield (*path, "bandwidth"), what, "raise it, or take snapshots less often"


def _slow_lease(config: Config) -> Iterator[RuleConflict]:
    lease = config.lease
    gaps = [gap for one in config.storages if (gap := _gap(config, one)) is not None]
    if lease is None or not gaps:
        return
    if 2 * lease.duration > min(gaps):
        what = "another agent takes over only after snapshots were missed"
        mend = f"make it {format_duration(min(gaps) / 2)} or less, or take snapshots less often"
        yield ("lease", "duration"), what, mend
    for index, storage in enumerate(config.storages):
        if storage.name == lease.storage_name and not storage.prune:
            what = "the lease is read and replaced here, and not only written"
            yield ("storages", index, "prune"), what, "keep the lease in another storage"


def _retention_path(config: Config, index: int, storage: AnyStorage) -> KeyPath:
    """Return the path of its retention: its own, or the common one that it inherits."""
    inherited = storage.retention is config.retention
    return ("retention",) if inherited else ("storages", index, "retention")


def _gap(config: Config, storage: AnyStorage) -> timedelta | None:
    """Return the shortest time between two snapshots; `None` if it is not known."""
    slots = _slots(config, storage)
    return min((later - earlier for earlier, later in pairwise(slots)), default=None)


def _slots(config: Config, storage: AnyStorage) -> list[datetime]:
    try:
        timing = (storage.schedule or config.schedule).open()
    except ConfigError:
        return []  # an invalid time zone is reported elsewhere
    return upcoming(timing.schedule, _SOME_DAY, _SLOTS)


def _when(config: Config, storage: AnyStorage) -> str:
    return f"with one {storage.schedule or config.schedule}"


def _name_storage(index: int, storage: AnyStorage) -> str:
    return storage.name or f"storages[{index}]"
