"""The start that the daemon and `run --once` share: what is wrong, and what is logged of it."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

from raft_snapshot_agent.config.check import check_to_run, find_notifier_faults
from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.core.enumeration import enumerate_names
from raft_snapshot_agent.errors import ConfigError, all_faults
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Log, configure
from raft_snapshot_agent.service import assembly

Faults = Mapping[str, ConfigError]
"""The configuration error of each faulty storage."""


def find_faults(
    fleet: LoadedFleet,
    *,
    required: Collection[str],
    made: set[Path] | None = None,
) -> dict[str, Faults | ConfigError]:
    """Check of each cluster what can be checked without contacting servers or storages.

    Arguments:
        fleet: The clusters.
        required: Names of the clusters that must be valid; of the others, one must be.
        made: Folders of storages that were there before and are not created again, to which
            those of these clusters are added.

    Returns:
        By cluster, the errors of some of its storages, or of the whole cluster.

    Raises:
        ConfigError: No cluster is valid, or a required one is not.
    """
    found: dict[str, Faults | ConfigError] = {}
    for name, loaded in fleet.clusters.items():
        try:
            assembly.destinations(loaded.config)
            found[name] = check_to_run(loaded.config, os.environ, loaded.position, made)
        except ConfigError as error:
            found[name] = error
    errors = {name: one for name, one in found.items() if isinstance(one, ConfigError)}
    if len(errors) == len(found) or not errors.keys().isdisjoint(required):
        raise all_faults([one for error in errors.values() for one in error.each])
    return found


def log_disabled(fault: ConfigError, log: Log) -> None:
    """Log why a cluster is disabled."""
    for line in fault.lines:
        log.error(
            f"This cluster is disabled, its configuration is invalid: {line}",
            fact=LogEvent.CLUSTER_DISABLED,
        )


def log_notifier_faults(fleet: LoadedFleet, log: Log) -> None:
    """Log configuration errors of notifiers; snapshots are taken nevertheless."""
    if notifiers := fleet.first.config.notify:
        faults = find_notifier_faults(fleet.first.config, fleet.first.position, fleet.clusters)
        for fault in faults:
            log.error(
                f"A notifier is disabled, its configuration is invalid: {fault}",
                fact=LogEvent.NOTIFIER_INVALID,
            )
        names = ", ".join(str(one.name) for one in notifiers)
        log.info(f"Notifiers: {names}", fact=LogEvent.NOTIFIERS)


def bind_cluster(log: Log, cluster: str) -> Log:
    """Return a log that adds the cluster's name to each line."""
    bound: Log = log.bind(cluster=cluster) if cluster else log
    return bound


def open_log(fleet: LoadedFleet, *, debug: bool) -> Log:
    """Set up the log, and log which configuration was loaded.

    Arguments:
        fleet: The clusters.
        debug: Whether to log all requests, whatever the configuration says.
    """
    settings = fleet.first.config.log
    log = configure(settings.format, "debug" if debug else settings.level)
    log.info(f"Configuration: {fleet.first.source}", fact=LogEvent.CONFIGURATION_LOADED)
    for warning, names in fleet.warnings.items():
        one = names[0] if len(names) == 1 else ""
        several = f" (clusters: {enumerate_names(names)})" if len(names) > 1 else ""
        bind_cluster(log, one).warning(warning + several, fact=LogEvent.CONFIGURATION_WARNING)
    for note in fleet.notes:
        log.info(note, fact=LogEvent.CONFIGURATION_NOTE)
    return log
