"""Check what can be checked of a configuration without contacting anything."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from raft_snapshot_agent.config.keys import KeyPath, KeyPosition, format_path
from raft_snapshot_agent.config.model import Config, SigningSettings, spool_folder
from raft_snapshot_agent.config.named_files import check_pair, check_spool, check_value, make_spool
from raft_snapshot_agent.config.rules import contradictions
from raft_snapshot_agent.errors import AgentError, ConfigError, NotMounted, NotReady, all_faults
from raft_snapshot_agent.network.proxies import check_environment
from raft_snapshot_agent.storage import AnyStorage
from raft_snapshot_agent.vault.auth.base import Checked

if TYPE_CHECKING:  # what is given was loaded with it
    from raft_snapshot_agent.config.drill import DrillSettings
    from raft_snapshot_agent.config.web import WebSettings
    from raft_snapshot_agent.lease.settings import LeaseSettings


def check(
    config: Config,
    environ: Mapping[str, str],
    place: KeyPosition = format_path,
    clusters: Collection[str] = ("",),
) -> None:
    """Check everything that needs neither server nor storage, without changing anything.

    Arguments:
        config: Of one cluster.
        environ: May name the spool's folder.
        place: Says where a key stands, as `Loaded.position` does.
        clusters: The names of all.

    Raises:
        ConfigError: Lists every error, each with its key.
    """
    faults = [*_common(config, environ, place)]
    for index, storage in enumerate(config.storages):
        faults += _of_storage(index, storage, place)
    faults += _of_drill(config.drill, place)
    faults += find_notifier_faults(config, place, clusters)
    faults += _caught(("metrics", "textfile"), place, lambda: _check_textfile(config))
    if faults:
        raise all_faults(faults)


def _of_drill(settings: DrillSettings, place: KeyPosition) -> Iterator[ConfigError]:
    """List errors of drills: what the files lack, and what this host lacks for a schedule."""
    found = [*_of_values(settings, ("drill",), place)]
    yield from found
    if found or not (settings.schedule or settings.issuers or settings.unseal.seal):
        return
    from raft_snapshot_agent.config.drill_host import check_isolation, check_roots, check_server
    from raft_snapshot_agent.config.drill_seal import read_seal

    scheduled = settings.schedule is not None
    checks: tuple[tuple[KeyPath, bool, Callable[[], object]], ...] = (
        (("schedule",), scheduled, partial(check_server, settings)),
        (("issuers",), True, partial(check_roots, settings)),
        (("unseal", "seal"), True, partial(read_seal, settings.unseal)),
        (("unseal",), scheduled, partial(check_isolation, settings)),
    )
    for key, is_due, check_part in checks:
        if is_due:
            yield from _caught(("drill", *key), place, check_part)


def find_notifier_faults(
    config: Config, place: KeyPosition = format_path, clusters: Collection[str] = ("",)
) -> list[ConfigError]:
    """List errors of notifiers, which do not affect snapshots.

    Arguments:
        config: Of any cluster: all have the same.
        place: Says where a key stands.
        clusters: The names of all.
    """
    faults: list[ConfigError] = []
    for index, notifier in enumerate(config.notify):
        path: KeyPath = ("notify", index)
        found = [*_of_values(notifier, path, place)]
        faults += found or _caught(path, place, partial(notifier.check, clusters))
    return faults


def check_drill(settings: DrillSettings, place: KeyPosition = format_path) -> None:
    """Check the settings and secrets of drills, which nothing else uses.

    Raises:
        ConfigError: Lists every error, each with its key.
    """
    if faults := [*_of_values(settings, ("drill",), place)]:
        raise all_faults(faults)


def check_web(settings: WebSettings, place: KeyPosition = format_path) -> None:
    """Check the settings of the page, which do not affect snapshots.

    Raises:
        ConfigError: Lists every error, each with its key.
    """
    faults = [
        *_caught(("web",), place, settings.require_libraries),
        *_caught(("web", "token"), place, settings.read_token),
    ]
    if settings.tls is not None:
        faults += _caught(("web", "tls"), place, settings.tls.open)
    if faults:
        raise all_faults(faults)


def check_to_run(
    config: Config,
    environ: Mapping[str, str],
    place: KeyPosition = format_path,
    made: set[Path] | None = None,
) -> dict[str, ConfigError]:
    """Check, and create missing folders: the spool's and those of local storages.

    One storage that is valid, or will be when its disk is mounted, is enough: errors of the others
    must not prevent its snapshots.

    Arguments:
        config: Of one cluster.
        environ: May name the spool's folder.
        place: Says where a key stands, as `Loaded.position` does.
        made: Folders of storages that were there before, to which those of these are added. If
            one is missing now, its disk is unmounted, and a new one would be filled in its place.

    Returns:
        The errors of the other storages.

    Raises:
        ConfigError: An error concerns all storages, or no storage is valid.
    """
    faults = [*_common(config, environ, place)]
    of_storages: dict[str, ConfigError] = {}
    for index, storage in enumerate(config.storages):
        found = _of_storage(index, storage, place)
        if not found:
            found = [*_caught(("storages", index), place, partial(storage.prepare, made))]
        if found:
            of_storages[storage.name or storage.type] = all_faults(found)
    lasting = [fault for fault in of_storages.values() if not _may_pass(fault)]
    if faults or (lasting and len(lasting) == len(config.storages)):
        raise all_faults([*faults, *(one for fault in of_storages.values() for one in fault.each)])
    with _at(("spool",), place):
        make_spool(spool_folder(config, environ))
    return of_storages


def _may_pass(fault: ConfigError) -> bool:
    return all(isinstance(one, NotReady) for one in fault.each)


def _common(
    config: Config, environ: Mapping[str, str], place: KeyPosition
) -> Iterator[ConfigError]:
    """List errors outside the storages."""
    if config.vault.auth is None:
        yield ConfigError(
            f"{place(('vault', 'auth'))}: no login is configured",
            hint="set vault.auth, or BAO_TOKEN or VAULT_TOKEN in the environment",
        )
    if isinstance(config.vault.auth, Checked):
        yield from _caught(("vault", "auth"), place, config.vault.auth.check)
    for key in type(config).model_fields:
        if key not in {"storages", "drill", "notify", "web"}:
            yield from _of_values(getattr(config, key), (key,), place)
    yield from _caught(("vault", "tls", "client_cert"), place, lambda: check_pair(config.vault.tls))
    spool = spool_folder(config, environ)
    yield from _caught(("spool",), place, lambda: check_spool(spool))
    yield from _of_lease(config, place)
    if config.signing is not None:
        yield from _of_signing(config.signing, place)
    try:
        check_environment(environ)
    except ConfigError as error:
        yield error
    for path, what, mend in contradictions(config):
        yield ConfigError(f"{place(path)}: {what}", hint=mend)


def _of_storage(index: int, storage: AnyStorage, place: KeyPosition) -> list[ConfigError]:
    path: KeyPath = ("storages", index)
    key = ("path",) if storage.type == "local" else ()
    # What it checks depends on secrets and files among the values.
    faults = [*_of_values(storage, path, place)]
    return faults or [*_caught((*path, *key), place, storage.check)]


def _caught(path: KeyPath, place: KeyPosition, work: Callable[[], object]) -> Iterator[ConfigError]:
    try:
        with _at(path, place):
            work()
    except ConfigError as error:
        yield error


@contextmanager
def _at(path: KeyPath, place: KeyPosition) -> Iterator[None]:
    try:
        yield
    except AgentError as error:
        kind = NotReady if isinstance(error, NotMounted) else ConfigError
        raise kind(f"{place(path)}: {error.message}", hint=error.hint) from error


def values_of(
    value: Any, path: KeyPath = (), setting: str = ""
) -> Iterator[tuple[KeyPath, str, Any]]:
    """List every value in a configuration, with its path and the name of its setting.

    The values of a list or a mapping belong to one setting; their own keys are not names of any.
    """
    match value:
        case BaseModel():
            for name in type(value).model_fields:
                yield from values_of(getattr(value, name), (*path, name), name)
        case _ if is_dataclass(value):
            for inner in fields(value):
                yield from values_of(getattr(value, inner.name), (*path, inner.name), inner.name)
        case tuple():
            for index, item in enumerate(value):
                yield from values_of(item, (*path, index), setting)
        case dict():
            for key, item in value.items():
                yield from values_of(item, (*path, key), setting)
        case _:
            yield path, setting, value


def _of_values(value: Any, path: KeyPath, place: KeyPosition) -> Iterator[ConfigError]:
    for inner, setting, leaf in values_of(value, path, str(path[-1])):
        yield from _caught(inner, place, partial(check_value, setting, leaf))


def _of_lease(config: Config, place: KeyPosition) -> Iterator[ConfigError]:
    if config.lease is not None:
        where = ("lease", config.lease.key)
        yield from _caught(where, place, partial(_check_lease, config.lease, config.storages))


def _of_signing(signing: SigningSettings, place: KeyPosition) -> Iterator[ConfigError]:
    """Find keys that are too short; missing ones are reported as any other secret."""
    try:
        for secret in (signing.key, *signing.old_keys):
            secret.resolve()
    except ConfigError:
        return
    yield from _caught(("signing",), place, signing.open)


def _check_lease(lease: LeaseSettings, storages: Iterable[AnyStorage]) -> None:
    lease.lease_store(storages)
    lease.check()


def _check_textfile(config: Config) -> None:
    """Refuse a missing folder, of which a run would only warn."""
    file = None if config.metrics is None else config.metrics.textfile
    if file is not None and not file.parent.is_dir():
        hint = "give a file in the folder of node_exporter's --collector.textfile.directory"
        raise ConfigError(f"there is no folder {file.parent}", hint=hint)
