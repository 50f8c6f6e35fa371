"""Logs runs, and lasting conditions when they start, once an hour, and when they end."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from raft_snapshot_agent.core.advice import acknowledge
from raft_snapshot_agent.core.alarms.conditions import LoggedConditions, News, State, kind_of
from raft_snapshot_agent.core.state.report import Delivery, Outcome, Report
from raft_snapshot_agent.errors import AgentError, LeaseFree, LeaseHeld, NotLeader, Unconfirmed
from raft_snapshot_agent.observe.log_events import LogEvent
from raft_snapshot_agent.observe.logs import Level, Log

_SKIPS = "Not running on leader node, skipping."
"""The original agent's exact sentence, because operators search for it."""


@dataclass(frozen=True, slots=True)
class ConditionKey:
    """What tells conditions apart: their event, and the storage or other thing at fault."""

    event: LogEvent
    storage: str = ""
    """Name of the storage; empty if it is not about one storage."""
    about: str = ""
    """Which one, if several things that are no storages have such conditions."""


class Journal:
    """The log of one cluster: its runs, and the conditions that last beyond them.

    It remains the same under every configuration, so that what lasts is not logged anew.
    """

    def __init__(self, log: Log, *, cluster: str = "", seed: bool = False) -> None:
        """Start without history.

        Arguments:
            log: Receives the lines.
            cluster: Its name, for commands to paste; empty if it is the only one.
            seed: Behave like the original agent, whose skips are counted by its log lines:
                write one for each skip.
        """
        self.log = log
        self._cluster = cluster
        self._seed = seed
        self._conditions: LoggedConditions[ConditionKey] = LoggedConditions()
        self._works: bool | None = None
        """Whether this agent took, or tried to take, the last snapshot."""

    def adopt(self, log: Log, *, seed: bool) -> None:
        """Use the log of a new configuration; conditions that last are not logged anew.

        Arguments:
            log: Receives the lines.
            seed: As at the beginning.
        """
        self.log, self._seed = log, seed

    def tell(
        self,
        event: LogEvent,
        texts: Iterable[str],
        now: datetime,
        level: Level = "warning",
        *,
        storage: str = "",
        about: str = "",
        together: bool = False,
        log: Log | None = None,
        **fields: object,
    ) -> bool:
        """Log a lasting condition when it begins, hourly, and when it ends; return whether it did.

        Arguments:
            event: Its event.
            texts: All that is wrong in this respect; empty: it has ended.
            now: The present time.
            level: How severe it is.
            storage: Name of the storage that it is about.
            about: What it is about, if this is no storage and there are several.
            together: Whether another text is the same condition, which has not ended.
            log: Receives the lines; by default that of the cluster.
            fields: Other fields of the line.
        """
        key, log = ConditionKey(event, storage, about), log or self.log
        said, more = _by_kind(texts)
        self._conditions, news = self._conditions.observe(key, said, now, together=together)
        for one in news:
            if one.state is State.ENDS:
                _log_end(log, key, one)
                continue
            alike = more.get(kind_of(one.text), 0)
            own = {**fields, **({"more_like_it": alike} if alike else {})}
            lasted = _measure(one) if one.state is State.LASTS else {}
            getattr(log, level)(one.text, fact=event, **own, **lasted)
        return bool(news)

    def end(self, event: LogEvent, now: datetime, *, storage: str = "", **fields: str) -> None:
        """Log that a condition has ended, if there was one.

        Arguments:
            event: Its event.
            now: The present time.
            storage: Name of the storage that it is about.
            fields: Other fields of the line, such as a `reason` other than the cure.
        """
        self._end(ConditionKey(event, storage), now, **fields)

    def drop(self, is_watched: Callable[[ConditionKey], bool], now: datetime) -> None:
        """Log the end of conditions that a new configuration does not watch any more.

        Arguments:
            is_watched: Returns whether a condition is still watched.
            now: The present time.
        """
        for key in self._conditions.list_places():
            if not is_watched(key):
                self._end(key, now, reason="no longer configured")

    def _end(self, key: ConditionKey, now: datetime, **fields: str) -> None:
        self._conditions, news = self._conditions.observe(key, {}, now)
        for one in news:
            _log_end(self.log, key, one, **fields)

    def report(self, report: Report) -> bool:
        """Log the report of a run; return whether anything in it was new."""
        log: Log = self.log.bind(run=report.run_id) if report.run_id else self.log
        if report.outcome is Outcome.STOPPED:
            log.info(
                "Stopped while a snapshot was under way; it is dropped.",
                fact=LogEvent.SNAPSHOT_DROPPED,
            )
            return True
        now = report.started_at
        told = self._log_turn(report, log)
        failed = report.error is not None and report.outcome is not Outcome.SKIPPED
        said = [f"Snapshot failed: {report.error}"] if failed else []
        if not report.leaves_open:
            event = LogEvent.SNAPSHOT_FAILED
            told |= self.tell(event, said, now, "error", together=True, log=log)
        if report.node:
            passed = [f"Skipped a node: {warning}" for warning in report.warnings]
            self.tell(LogEvent.NODE_PASSED_OVER, passed, now, log=log)
            doubts = [str(report.doubt)] if report.doubt else []
            self.tell(LogEvent.TURN_DOUBTED, doubts, now, log=log)
        for delivery in report.deliveries:
            told |= self._log_delivery(report, delivery, log)
        return told

    def _log_turn(self, report: Report, log: Log) -> bool:
        """Log whether this agent or another takes the snapshots."""
        now = report.started_at
        if report.outcome is not Outcome.SKIPPED:
            if report.node and self._works is not True:
                self._works = True
                # The line below says that it has ended.
                key = ConditionKey(LogEvent.STANDING_BY)
                self._conditions, _ = self._conditions.observe(key, {}, now)
                log.info(
                    "This agent takes the snapshots now.",
                    fact=LogEvent.TURN_TAKEN,
                    node=report.node,
                )
                return True
            return False
        if self._works and isinstance(report.error, NotLeader):
            log.info(
                "This agent no longer takes the snapshots: the node here does not lead.",
                fact=LogEvent.TURN_LEFT,
            )
        self._works = False
        text, reason = _choose_skip(report.error), str(report.error)
        if self._seed:
            log.info(text, fact=LogEvent.STANDING_BY, reason=reason)
            return True
        return self.tell(
            LogEvent.STANDING_BY, [text], now, "info", together=True, log=log, reason=reason
        )

    def _log_delivery(self, report: Report, delivery: Delivery, log: Log) -> bool:
        name, now = delivery.storage, report.started_at
        tell = partial(self.tell, storage=name, log=log)
        level: Level = "error" if delivery.required else "warning"
        why = [_why_not_stored(delivery)] if delivery.error else []
        told = tell(LogEvent.SNAPSHOT_NOT_STORED, why, now, level, together=True)
        if delivery.error is None:
            self._log_stored(report, delivery, log)
        _log_deleted(delivery, log)
        if delivery.error is not None:
            return told
        warnings = [f"{name}: {_add_count(warning, delivery)}" for warning in delivery.warnings]
        tell(LogEvent.STORAGE_WARNING, warnings, now)
        alarm = _alarm(delivery, self._cluster)
        tell(LogEvent.RETENTION_SUSPENDED, alarm, now, "error", together=True)
        return True

    def _log_stored(self, report: Report, delivery: Delivery, log: Log) -> None:
        # Also the original agent's sentence, which has `aws` for every S3 store.
        what = delivery.kind if self._seed else delivery.storage
        snapshot = report.snapshot
        log.info(
            f"Successfully created {what} snapshot to {delivery.location}",
            fact=LogEvent.SNAPSHOT_STORED,
            index=snapshot.meta.index if snapshot else None,
            bytes=snapshot.size if snapshot else None,
            seconds=round(delivery.seconds, 2),
        )


def _log_deleted(delivery: Delivery, log: Log) -> None:
    for name in delivery.deleted:
        log.info(
            f"Deleted old snapshot {name}",
            fact=LogEvent.SNAPSHOT_DELETED,
            storage=delivery.storage,
        )


def _log_end(log: Log, key: ConditionKey, news: News, **fields: str) -> None:
    text, of = f"Resolved: {news.text}", key.event.value
    log.info(text, fact=LogEvent.RESOLVED, of=of, **_measure(news), **fields)


def _measure(news: News) -> dict[str, object]:
    """Return since when a condition lasts, and how often it was seen."""
    return {"since": f"{news.since:%Y-%m-%dT%H:%M:%SZ}", "times": news.times}


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
    count = delivery.undeleted.get(warning)
    return warning if count is None else f"{warning} (snapshots: {count})"


def _alarm(delivery: Delivery, cluster: str) -> list[str]:
    if not delivery.alarm:
        return []
    mend = acknowledge(cluster)
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
