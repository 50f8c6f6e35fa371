"""Logs runs, and lasting conditions when they start, once an hour, and when they end."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from datetime import datetime

from raft_snapshot_agent.core.alarms.conditions import Conditions, State, kind_of
from raft_snapshot_agent.core.snapshots.notes import CHECK_FIRST
from raft_snapshot_agent.core.state.report import Delivery, Outcome, Report
from raft_snapshot_agent.errors import AgentError, LeaseFree, LeaseHeld, NotLeader, Unconfirmed
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Level, Log

_SKIPS = "Not running on leader node, skipping."
"""The original agent's exact sentence, because operators search for it."""

_OF_STORAGES = {
    "put": LogEvent.SNAPSHOT_NOT_STORED,
    "warning": LogEvent.STORAGE_WARNING,
    "alarm": LogEvent.RETENTION_SUSPENDED,
}
"""The conditions of each storage, by place."""


class Journal:
    """The log of one cluster's runs."""

    def __init__(self, log: Log, *, seed: bool = False) -> None:
        """Start without history.

        Arguments:
            log: Receives the lines.
            seed: Behave like the original agent, whose skips are counted by its log lines:
                write one for each skip.
        """
        self.log = log
        self._seed = seed
        self._conditions = Conditions()
        self._works: bool | None = None
        """Whether this agent took, or tried to take, the last snapshot."""

    def adopt(self, log: Log, *, seed: bool) -> None:
        """Use the log of a new configuration; conditions that last are not logged anew.

        Arguments:
            log: Receives the lines.
            seed: As at the beginning.
        """
        self.log, self._seed = log, seed

    def report(self, report: Report) -> bool:
        """Log the report of a run; return whether anything in it was new."""
        log: Log = self.log.bind(run=report.run_id) if report.run_id else self.log
        if report.outcome is Outcome.STOPPED:
            log.info(
                "Stopped while a snapshot was under way; it is dropped.",
                fact=LogEvent.SNAPSHOT_DROPPED,
            )
            return True
        before, self.log = self.log, log
        try:
            return self._report(report)
        finally:
            self.log = before

    def arrived(self, storage: str, now: datetime) -> None:
        """Log that a storage no longer fails, as it shows the snapshot after all."""
        self._tell((storage, "put"), [], now, "error", LogEvent.SNAPSHOT_NOT_STORED)

    def drop(self, storage: str, now: datetime) -> None:
        """Log that the conditions of a storage have ended, as it is no longer configured."""
        for place, fact in _OF_STORAGES.items():
            self._tell((storage, place), [], now, "error", fact)

    def served_by_another(self, now: datetime) -> None:
        """Log that a failure has ended, as another agent stored the snapshot."""
        self._tell("run", [], now, "error", LogEvent.SNAPSHOT_FAILED)

    def trouble(
        self,
        fact: LogEvent,
        where: Hashable,
        texts: Iterable[str],
        now: datetime,
        level: Level = "warning",
        *,
        together: bool = False,
    ) -> None:
        """Log a lasting condition at some place; without texts, log that it has ended.

        Arguments:
            fact: Its event.
            where: The place.
            texts: What is wrong there.
            now: The present time.
            level: How severe it is.
            together: Whether another text there is the same condition, which has not ended.
        """
        self._tell(where, texts, now, level, fact, together=together)

    def _report(self, report: Report) -> bool:
        now = report.started_at
        told = self._turn(report)
        failed = report.error is not None and report.outcome is not Outcome.SKIPPED
        said = [f"Snapshot failed: {report.error}"] if failed else []
        if not report.leaves_open:
            told |= self._tell("run", said, now, "error", LogEvent.SNAPSHOT_FAILED, together=True)
        if report.node:
            passed = [f"Skipped a node: {warning}" for warning in report.warnings]
            self._tell("nodes", passed, now, "warning", LogEvent.NODE_PASSED_OVER)
            doubts = [str(report.doubt)] if report.doubt else []
            self._tell("doubt", doubts, now, "warning", LogEvent.TURN_DOUBTED)
        for delivery in report.deliveries:
            told |= self._log_delivery(report, delivery, now)
        return told

    def _turn(self, report: Report) -> bool:
        """Log whether this agent or another takes the snapshots."""
        if report.outcome is not Outcome.SKIPPED:
            if report.node and self._works is not True:
                self._works = True
                self._conditions, _ = self._conditions.observe("turn", {}, report.started_at)
                self.log.info(
                    "This agent takes the snapshots now.",
                    fact=LogEvent.TURN_TAKEN,
                    node=report.node,
                )
                return True
            return False
        if self._works and isinstance(report.error, NotLeader):
            self.log.info(
                "This agent no longer takes the snapshots: the node here does not lead.",
                fact=LogEvent.TURN_LEFT,
            )
        self._works = False
        text = _choose_skip(report.error)
        if self._seed:
            self.log.info(text, fact=LogEvent.STANDING_BY, reason=str(report.error))
            return True
        return self._tell(
            "turn",
            [text],
            report.started_at,
            "info",
            LogEvent.STANDING_BY,
            together=True,
            reason=str(report.error),
        )

    def _log_delivery(self, report: Report, delivery: Delivery, now: datetime) -> bool:
        name = delivery.storage
        level: Level = "error" if delivery.required else "warning"
        why = [_why_not_stored(delivery)] if delivery.error else []
        told = self._tell(
            (name, "put"), why, now, level, LogEvent.SNAPSHOT_NOT_STORED, together=True
        )
        if delivery.error is None:
            self._log_stored(report, delivery)
        self._log_deleted(delivery)
        if delivery.error is not None:
            return told
        warnings = [f"{name}: {_add_count(warning, delivery)}" for warning in delivery.warnings]
        self._tell((name, "warning"), warnings, now, "warning", LogEvent.STORAGE_WARNING)
        self._tell(
            (name, "alarm"),
            _alarm(delivery),
            now,
            "error",
            LogEvent.RETENTION_SUSPENDED,
            together=True,
        )
        return True

    def _log_stored(self, report: Report, delivery: Delivery) -> None:
        # Also the original agent's sentence, which has `aws` for every S3 store.
        what = delivery.kind if self._seed else delivery.storage
        snapshot = report.snapshot
        self.log.info(
            f"Successfully created {what} snapshot to {delivery.location}",
            fact=LogEvent.SNAPSHOT_STORED,
            index=snapshot.meta.index if snapshot else None,
            bytes=snapshot.size if snapshot else None,
            seconds=round(delivery.seconds, 2),
        )

    def _log_deleted(self, delivery: Delivery) -> None:
        for name in delivery.deleted:
            self.log.info(
                f"Deleted old snapshot {name}",
                fact=LogEvent.SNAPSHOT_DELETED,
                storage=delivery.storage,
            )

    def _tell(
        self,
        where: Hashable,
        said: Iterable[str],
        now: datetime,
        level: Level,
        fact: LogEvent,
        *,
        together: bool = False,
        **facts: object,
    ) -> bool:
        texts, more = _by_kind(said)
        self._conditions, news = self._conditions.observe(where, texts, now, together=together)
        write = getattr(self.log, level)
        for one in news:
            lasted = {"since": f"{one.since:%Y-%m-%dT%H:%M:%SZ}", "times": one.times}
            if one.state is State.ENDS:
                self.log.info(
                    f"Resolved: {one.text}", fact=LogEvent.RESOLVED, of=fact.value, **lasted
                )
                continue
            alike = more.get(kind_of(one.text), 0)
            fields = {**facts, **({"more_like_it": alike} if alike else {})}
            write(one.text, fact=fact, **fields, **(lasted if one.state is State.LASTS else {}))
        return bool(news)


def _choose_skip(why: AgentError | None) -> str:
    match why:
        case LeaseFree():
            return "This agent does not hold the lease, skipping."
        case LeaseHeld():
            return "Another agent holds the lease, skipping."
        case _:
            return _SKIPS


def _why_not_stored(delivery: Delivery) -> str:
    if isinstance(delivery.error, Unconfirmed):
        return f"Stored in {delivery.storage}, but it does not count yet: {delivery.error}"
    return f"Could not store the snapshot in {delivery.storage}: {delivery.error}"


def _add_count(warning: str, delivery: Delivery) -> str:
    count = delivery.counts.get(warning)
    return warning if count is None else f"{warning} (snapshots: {count})"


def _alarm(delivery: Delivery) -> list[str]:
    if not delivery.alarm:
        return []
    mend = f"{CHECK_FIRST}, run raft-snapshot-agent prune --acknowledge"
    return [f"Retention suspended for {delivery.storage}: {delivery.alarm}; {mend}"]


def _by_kind(said: Iterable[str]) -> tuple[dict[str, str], dict[str, int]]:
    """Return the first text of each kind, and the number of others of that kind."""
    texts: dict[str, str] = {}
    more: dict[str, int] = {}
    for text in said:
        kind = kind_of(text)
        if kind in texts:
            more[kind] = more.get(kind, 0) + 1
        texts.setdefault(kind, text)
    return texts, more
