"""`recover` and `browse`: single secrets of a snapshot."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from raft_snapshot_agent.cli import output
from raft_snapshot_agent.cli.choosing import choose_reader, open_storages, parse_wanted
from raft_snapshot_agent.cli.operator import by_hand
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.question import ask
from raft_snapshot_agent.cli.recover_file import write_down
from raft_snapshot_agent.cli.recover_login import choose_login, find_live
from raft_snapshot_agent.cli.recover_words import describe_step, list_changes
from raft_snapshot_agent.cli.target import writable_folder
from raft_snapshot_agent.cli.waiting import wait_for
from raft_snapshot_agent.config.check import check_drill
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.model import spool_folder
from raft_snapshot_agent.errors import AgentError, ConfigError, PartialFailure, ServerError
from raft_snapshot_agent.restore import recovery
from raft_snapshot_agent.restore.browse import list_all_below, list_below
from raft_snapshot_agent.restore.field_changes import differs
from raft_snapshot_agent.restore.forms import check_same_form, check_writable
from raft_snapshot_agent.restore.living_copy import LivingCopy, bring_to_life, require_keys
from raft_snapshot_agent.restore.reader import SnapshotReader
from raft_snapshot_agent.restore.recovery import Live, Present, Recovered
from raft_snapshot_agent.restore.roles import check_role
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.visit import visit_cluster

_Choose = Callable[[], Awaitable[SnapshotReader]]
"""Chooses the snapshot."""


@dataclass(frozen=True, slots=True)
class Source:
    """The snapshot from which secrets are read."""

    snapshot: str | None = None
    """A name, a file or `-`; empty: the newest verified snapshot."""
    at: str | None = None
    storage: str | None = None


@dataclass(frozen=True, slots=True)
class RecoverWish:
    """The secrets to recover, and the options of `recover`."""

    paths: tuple[str, ...]
    to: str | None = None
    field: str | None = None
    version: int = 0
    output: Path | None = None
    show: bool = False
    dry_run: bool = False
    yes: bool = False
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One secret to write: its present and its new value."""

    now: Present
    data: Mapping[str, Any] = field(repr=False)


def split_names(
    names: Sequence[str], *, latest: bool, at: str | None
) -> tuple[str | None, list[str]]:
    """Split positional arguments into the snapshot, unless an option names it, and the paths.

    Raises:
        ConfigError: No snapshot is named.
    """
    if latest or at is not None:
        return None, [*names]
    if not names:
        raise ConfigError("which snapshot?", hint="give its name, or --latest")
    return names[0], [*names[1:]]


def browse(loaded: Loaded, chosen: Source, prefix: str, *, recursive: bool, layout: Format) -> int:
    """List the paths below a prefix of a snapshot; return the exit code.

    Raises:
        PartialFailure: Only a part of them could be listed.
    """
    loaded = by_hand(loaded, os.environ)
    _check_copy(loaded)
    choose = _plan_choice(loaded, chosen)
    gaps: list[str] = []
    below = prefix.strip("/")
    many = partial(list_all_below, tell=gaps.append) if recursive else list_below

    async def work() -> list[str]:
        async with _alive(loaded, choose) as copy:
            return await in_thread(lambda: [*many(copy, below)])

    names = wait_for(work)
    if layout is Format.JSON:
        output.data(names)
    else:
        for name in names:
            output.text(name)
    for gap in gaps:
        output.talk(f"warning: {gap}")
    if gaps:
        raise PartialFailure("the list is not complete", hint="see the warnings above")
    if not names:
        output.talk(f"nothing exists below {prefix or 'that'} in the snapshot")
    return 0


def recover(loaded: Loaded, chosen: Source, wish: RecoverWish, layout: Format) -> int:
    """Write single secrets of a snapshot back; return the exit code.

    Raises:
        PartialFailure: One was not written, and others were.
        AgentError: One is not in the snapshot, or may not be written; none was written then.
    """
    _check(wish)
    loaded = by_hand(loaded, os.environ)
    _check_copy(loaded)
    choose = _plan_choice(loaded, chosen, is_asked=not wish.yes)

    async def work() -> int:
        if wish.output is not None:
            found = await _read_all(loaded, choose, wish)
            await in_thread(partial(write_down, wish.output, found))
            return 0
        vault, login = choose_login(loaded.config.vault)
        async with visit_cluster(vault, "anywhere", output.warn) as cluster:
            live = await in_thread(partial(find_live, cluster, login), abandon=True)
            await _write_back(loaded, choose, wish, live, layout)
        return 0

    return wait_for(work)


def _plan_choice(loaded: Loaded, chosen: Source, *, is_asked: bool = True) -> _Choose:
    stored = chosen.storage is not None
    wanted = parse_wanted(chosen.snapshot, lambda: loaded, chosen.at, stored=stored)
    destinations = open_storages(lambda: loaded, chosen.storage, wanted)
    return partial(choose_reader, destinations, wanted, is_asked=is_asked)


async def _write_back(
    loaded: Loaded, choose: _Choose, wish: RecoverWish, live: Live, layout: Format
) -> None:
    """Read the secrets from the snapshot, and write them to the cluster after a confirmation."""
    for path in wish.paths:  # before the copy, which takes a while
        await in_thread(partial(_look, live, path, wish))
    found = await _read_all(loaded, choose, wish)
    steps = [await in_thread(partial(_step, live, one, wish)) for one in found]
    _show(found, steps, wish, layout)
    steps = [step for step in steps if differs(step.now.data, step.data)]
    if wish.dry_run or not await _confirm(steps, wish):
        return
    await write_each(steps, live)


async def write_each(steps: Sequence[Step], live: Live) -> None:
    """Write one secret after the other, until one fails.

    Raises:
        PartialFailure: One was not written, and others were.
    """
    paths = [step.now.place.path for step in steps]
    for number, step in enumerate(steps):
        try:
            written = await in_thread(partial(recovery.write, live, step.now, step.data))
        except AgentError as error:
            if not number:
                raise
            told = f"{error.message}; written: {', '.join(paths[:number])}"
            left = paths[number + 1 :]
            told += f"; not tried: {', '.join(left)}" if left else ""
            raise PartialFailure(told, hint=error.hint) from error
        output.talk(f"Written: {written}")
        with suppress(ServerError):  # it is written, and the next one is to be
            await _warn_of_rest(live, step)


async def _warn_of_rest(live: Live, step: Step) -> None:
    place = step.now.place
    names = await in_thread(partial(recovery.list_not_taken, live, place, step.data))
    if names:
        output.warn(
            f"{place.path}: the server took not all of it, and shows other values of"
            f" {', '.join(names)}"
        )


def _check(wish: RecoverWish) -> None:
    """Check the options before the server is started.

    Raises:
        ConfigError: An option is missing, or two cannot be combined.
    """
    if not wish.paths:
        raise ConfigError("which secret?", hint="give its path, as bao kv get takes it")
    if wish.to is not None and len(wish.paths) > 1:
        raise ConfigError("--to is for one path", hint="recover the others separately")
    if wish.output is not None:
        writable_folder(wish.output, overwrite=wish.overwrite)
    elif not (wish.yes or wish.dry_run or output.is_terminal(sys.stdin)):
        raise ConfigError(
            "cannot ask for confirmation without a terminal", hint="give --yes, or --dry-run"
        )


def _check_copy(loaded: Loaded) -> None:
    """Check the settings of the server that secrets are read from.

    Raises:
        ConfigError: They do not do.
    """
    require_keys(loaded.config.drill)
    check_drill(loaded.config.drill, loaded.position)


async def _read_all(loaded: Loaded, choose: _Choose, wish: RecoverWish) -> list[Recovered]:
    async with _alive(loaded, choose) as copy:
        found = [await in_thread(partial(_read, copy, path, wish)) for path in wish.paths]
    for one in found:
        if one.passed_over:
            output.talk(
                f"{one.place.path}: version {one.passed_over} is deleted in the snapshot; taking"
                f" version {one.version} (--version {one.passed_over} takes the deleted one)"
            )
    return found


@asynccontextmanager
async def _alive(loaded: Loaded, choose: _Choose) -> AsyncIterator[LivingCopy]:
    settings = loaded.config.drill
    reader = await choose()
    output.talk(f"Bringing {reader.label} in an isolated throw-away server ...")
    spool = spool_folder(loaded.config, os.environ)
    async with bring_to_life(reader, settings, spool, output.warn) as copy:
        yield copy


def _read(copy: LivingCopy, path: str, wish: RecoverWish) -> Recovered:
    return recovery.recover_data(copy, path.strip("/"), wish.version)


def _look(live: Live, path: str, wish: RecoverWish) -> Present:
    """Read what is there now, and refuse a path that nothing can be written to."""
    now = recovery.read_present(live, (wish.to or path).strip("/"))
    check_writable(now.place)
    check_role(now.place, now.data)
    return now


def _step(live: Live, found: Recovered, wish: RecoverWish) -> Step:
    now = _look(live, found.place.path, wish)
    check_same_form(found.place, now.place)
    step = Step(now, recovery.select_data(found, now, wish.field))
    recovery.build_body(step.now, step.data)  # refuses before anything is written
    return step


def _show(
    found: Sequence[Recovered], steps: Sequence[Step], wish: RecoverWish, layout: Format
) -> None:
    """Show the difference between the present and the new data; values only with --show."""
    rows: list[dict[str, str]] = []
    for one, step in zip(found, steps, strict=True):
        for line in describe_step(one, step.now):
            output.talk(line)
        rows.extend(list_changes(step.now, step.data, show=wish.show))
    output.table(rows, layout)


async def _confirm(steps: Sequence[Step], wish: RecoverWish) -> bool:
    """Ask for confirmation.

    Raises:
        ConfigError: The answer was not yes.
    """
    if not steps:
        output.talk("nothing differs: nothing is written")
        return False
    if wish.yes:
        return True
    paths = ", ".join(step.now.place.path for step in steps)
    if await ask(f"Type yes to write {paths}: ") != "yes":
        raise ConfigError("not written", hint="nothing was changed")
    return True
