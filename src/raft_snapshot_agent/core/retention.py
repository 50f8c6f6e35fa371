"""Which snapshots a storage keeps, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import ClassVar

from raft_snapshot_agent.core.duration import format_duration
from raft_snapshot_agent.core.naming import newest_first
from raft_snapshot_agent.core.snapshot import Stored

_DAY = timedelta(days=1)

_NEWEST, _NEWEST_VERIFIED = "newest", "newest verified"
_NEWEST_PRESENT = "newest that is not from the future"
_HELD, _MIN_KEEP = "held", "kept: min_keep"
_PROTECTED = {_NEWEST, _NEWEST_VERIFIED, _NEWEST_PRESENT, _HELD}

# An hour is told by its distance from UTC too: it comes twice when daylight saving time ends.
_PERIODS = {
    "hourly": "%Y-%m-%d %H:00 %z",
    "daily": "%Y-%m-%d",
    "weekly": "%G-W%V",
    "monthly": "%Y-%m",
    "yearly": "%Y",
}


@dataclass(frozen=True, slots=True)
class Retention:
    """What to keep: what any rule asks for, as `restic forget` reads its own.

    `last` keeps the n newest; `hourly` to `yearly` keep the newest snapshot of each of the n
    newest periods that have one (weeks are ISO weeks); `within` keeps what is younger than that,
    counted from the newest snapshot. Zero means the same as leaving a rule out, and without any
    rule everything is kept: a policy that asks for nothing never deletes everything (the
    original agent's `retain: 0` keeps all, too). Unlike restic, no unused number is filled with
    the oldest one, and the hour that comes twice in autumn is two.

    `min_keep` is no rule of its own: it protects the n newest whole snapshots from the rules.
    `max_space` takes the oldest away from what the rules keep until the rest has room.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    last: int | None = None
    hourly: int | None = None
    daily: int | None = None
    weekly: int | None = None
    monthly: int | None = None
    yearly: int | None = None
    within: timedelta | None = None
    min_keep: int = 1
    max_space: int | None = None
    """Bytes."""
    max_deletes: int | None = None
    """A prune that would delete more deletes nothing instead."""

    def __post_init__(self) -> None:
        """Refuse numbers below zero.

        Raises:
            ValueError: The message names the rule.
        """
        for rule in ("last", *_PERIODS, "min_keep", "max_space", "max_deletes"):
            if (getattr(self, rule) or 0) < 0:
                raise ValueError(f"{rule} must not be negative")
        if self.within is not None and self.within < timedelta(0):
            raise ValueError("within must not be negative")

    @property
    def keeps_all(self) -> bool:
        """Whether nothing is ever deleted."""
        return not (self.has_rules or self.max_space)

    @property
    def has_rules(self) -> bool:
        """Whether any rule is set."""
        return bool(self.last or self.within or any(count for _, count in self.periods))

    @property
    def periods(self) -> tuple[tuple[str, int], ...]:
        """Every rule that counts periods, with its number."""
        return tuple((rule, getattr(self, rule) or 0) for rule in _PERIODS)


@dataclass(frozen=True, slots=True)
class Plan:
    """What retention would do to one storage."""

    keep: Mapping[Stored, tuple[str, ...]]
    """Newest first, each with the reasons why it stays."""
    delete: tuple[Stored, ...]
    """Oldest first, so that a prune that is cut off has lost the least."""
    crowded_out: frozenset[Stored] = frozenset()
    """Those of them that a rule would keep, if there were room."""
    refused: str = ""
    """Why nothing is deleted although the policy says so."""


def plan(
    stored: Iterable[Stored],
    policy: Retention,
    now: datetime,
    zone: tzinfo = UTC,
    forbidden: str = "",
) -> Plan:
    """Decide what stays.

    The newest whole snapshot, the newest verified one, the newest whole one that is not dated
    in the future and those an operator holds stay whatever the policy says. Broken ones fulfil
    no rule; they go once something whole is newer.

    Arguments:
        stored: One storage's snapshots, in any order.
        policy: The rules.
        now: The present time.
        zone: Where days, weeks, months and years begin.
        forbidden: Why nothing may be deleted now, if so.
    """
    listed = newest_first(dict.fromkeys(stored))
    reasons = _reasons(listed, policy, now, zone)
    crowded_out = _crowded_out(reasons, policy)
    delete = tuple(one for one in reversed(listed) if not reasons[one] or one in crowded_out)
    if refused := _refused(len(delete), policy, forbidden):
        reasons.update({one: ["nothing is deleted"] for one in delete})
        return Plan({one: tuple(why) for one, why in reasons.items()}, (), refused=refused)
    kept = {one: tuple(why) for one, why in reasons.items() if one not in {*delete}}
    return Plan(kept, delete, crowded_out)


def _refused(deletes: int, policy: Retention, forbidden: str) -> str:
    if forbidden or policy.max_deletes is None or deletes <= policy.max_deletes:
        return forbidden
    return f"would delete {deletes} snapshots, more than max_deletes {policy.max_deletes}"


def _reasons(
    listed: Sequence[Stored], policy: Retention, now: datetime, zone: tzinfo
) -> dict[Stored, list[str]]:
    if policy.keeps_all:
        return {one: ["no rule is set"] for one in listed}
    reasons: dict[Stored, list[str]] = {one: [] for one in listed}
    whole = [one for one in listed if not one.broken]
    for one, why in (*_guarded(whole, now), *_ruled(whole, policy, now, zone)):
        reasons[one].append(why)
    for one in listed:
        if one.held:
            reasons[one].append(_HELD)
    for one in whole[: policy.min_keep]:
        reasons[one] = reasons[one] or [_MIN_KEEP]
    for one in listed:
        if one.broken and not (whole and whole[0].taken_at > one.taken_at):
            reasons[one].append("broken, but nothing whole is newer")
    return reasons


def _guarded(whole: Sequence[Stored], now: datetime) -> Iterator[tuple[Stored, str]]:
    if not whole:
        return
    yield whole[0], _NEWEST
    if verified := next((one for one in whole if one.verified), None):
        yield verified, _NEWEST_VERIFIED
    # Otherwise one snapshot from the future would push out every new one as soon as it is taken.
    present = next((one for one in whole if one.taken_at <= now), None)
    if present and present is not whole[0]:
        yield present, _NEWEST_PRESENT


def _crowded_out(reasons: Mapping[Stored, Sequence[str]], policy: Retention) -> frozenset[Stored]:
    """Find what has to go, oldest first, for the rest to have room."""
    if not policy.max_space:
        return frozenset()
    kept = [one for one, why in reasons.items() if why]
    whole = [one for one in kept if not one.broken]
    safe = {*whole[: policy.min_keep], *(one for one in kept if _PROTECTED & {*reasons[one]})}
    used = sum(one.size for one in safe)
    crowded: list[Stored] = []
    for one in (one for one in kept if one not in safe):
        used += one.size
        if used > policy.max_space:
            crowded.append(one)
    return frozenset(crowded)


def _ruled(
    whole: Sequence[Stored], policy: Retention, now: datetime, zone: tzinfo
) -> Iterator[tuple[Stored, str]]:
    if not policy.has_rules:
        yield from ((one, "no rule is set") for one in whole)
    last = policy.last or 0
    for number, one in enumerate(whole[:last], start=1):
        yield one, f"last {number} of {last}"
    for rule, count in policy.periods:
        for period, one in _newest_of_each(whole, _PERIODS[rule], count, zone):
            yield one, f"{rule} {period}"
    if policy.within and whole:
        # From now on only if the newest is from the future; else an old storage would run empty.
        reference = min(now, whole[0].taken_at)
        for one in whole:
            if reference - one.taken_at < policy.within:
                yield one, f"within {_spoken(policy.within)}"


def _newest_of_each(
    whole: Sequence[Stored], layout: str, count: int, zone: tzinfo
) -> Iterator[tuple[str, Stored]]:
    seen: set[str] = set()
    for one in whole:
        if len(seen) >= count:
            return
        period = one.taken_at.astimezone(zone).strftime(layout)
        if period not in seen:
            seen.add(period)
            yield period, one


def _spoken(duration: timedelta) -> str:
    return format_duration(duration) if duration % _DAY else f"{duration // _DAY}d"
