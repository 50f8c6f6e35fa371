"""`drill`: restores a snapshot into a throw-away server and checks its content."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.choosing import choose_reader, open_storages, parse_wanted
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.target import make_absolute
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.check import check_drill
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.model import Config, spool_folder
from raft_snapshot_agent.errors import NoConfiguration
from raft_snapshot_agent.restore.choice import InFile, Wanted
from raft_snapshot_agent.restore.rehearsal import DrillOutcome, rehearse
from raft_snapshot_agent.servers.node import OpenBaoNode


@dataclass(frozen=True, slots=True)
class DrillWish:
    """The arguments of `drill`."""

    snapshot: str | None
    """A name, a file or `-`; empty: the newest verified snapshot."""
    storage: str | None = None
    server: Path | None = None
    keep: bool = False


def drill(load: Callable[[], Loaded], wish: DrillWish, layout: Format) -> int:
    """Run a drill and print its result; return the exit code.

    Raises:
        DrillFailed: The drill failed.
    """
    wanted = parse_wanted(wish.snapshot, load, stored=wish.storage is not None)
    loaded = _load_cluster(load, wanted)
    config = loaded.config
    settings = config.drill
    if wish.server is not None:
        settings = settings.model_copy(update={"server": make_absolute(wish.server)})
    check_drill(settings, loaded.position)
    destinations = open_storages(lambda: loaded, wish.storage, wanted)

    async def stay(outcome: DrillOutcome, node: OpenBaoNode) -> None:
        if wish.keep or settings.keep:
            _show(outcome, layout)
            output.talk(f"The server runs until Ctrl-C: BAO_ADDR={node.address}")
            await anyio.sleep_forever()

    async def work() -> DrillOutcome:
        reader = await choose_reader(destinations, wanted)
        spool, now = spool_folder(config, os.environ), datetime.now(UTC)
        return await rehearse(reader, settings, spool, now, stay, tell=output.warn)

    outcome = wait_for(work)
    _show(outcome, layout)
    if outcome.trouble:
        output.warn(f"the result could not be stored beside the snapshot: {outcome.trouble}")
    if outcome.error is not None:
        raise outcome.error
    output.talk(f"{outcome.line} ({outcome.note.seconds} s, {outcome.note.server})")
    return 0


def _load_cluster(load: Callable[[], Loaded], wanted: Wanted) -> Loaded:
    """Load the configuration, which is optional for a file, as unseal keys are."""
    try:
        return load()
    except NoConfiguration:
        if not isinstance(wanted, InFile):
            raise
        return Loaded(Config())


def _show(outcome: DrillOutcome, layout: Format) -> None:
    told: dict[str, Any] = asdict(outcome.note)
    del told["signature"]
    told["snapshot"] = outcome.label
    if layout is Format.TABLE:
        told["passed"] = "yes" if outcome.note.passed else "no"
        told = {key: value for key, value in told.items() if value != ""}
    output.facts(told, layout)
