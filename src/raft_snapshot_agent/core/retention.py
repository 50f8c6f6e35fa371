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

    def __post_init__(self) -> None:
        """Refuse numbers below zero.

        Raises:
            ValueError: The message names the rule.
        """
        for rule in ("last", *_PERIODS, "min_keep"):
            if (getattr(self, rule) or 0) < 0:
                raise ValueError(f"{rule} must not be negative")
        if self.within is not None and self.within < timedelta(0):
            raise ValueError("within must not be negative")

    @property
    def keeps_all(self) -> bool:
        """Whether no rule is set."""
        return not (self.last or self.within or any(count for _, count in self.periods))

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
    refused: str = ""
    """Why nothing is deleted although the policy says so."""


def plan(
    stored: Iterable[Stored],
    policy: Retention,
    now: datetime,
    zone: tzinfo = UTC,
    max_deletes: int | None = None,
) -> Plan:
    """Decide what stays.

    The newest whole snapshot, the newest verified one and the newest whole one that is not dated
    in the future stay whatever the policy says. Broken ones fulfil no rule; they go once
    something whole is newer.

    Arguments:
        stored: One storage's snapshots, in any order.
        policy: The rules.
        now: The present time.
        zone: Where days, weeks, months and years begin.
        max_deletes: A plan that would delete more deletes nothing instead.
    """
    listed = newest_first(dict.fromkeys(stored))
    reasons = _reasons(listed, policy, now, zone)
    delete = tuple(one for one in reversed(listed) if not reasons[one])
    refused = ""
    if max_deletes is not None and len(delete) > max_deletes:
        refused = f"would delete {len(delete)} snapshots, more than max_deletes {max_deletes}"
        reasons.update({one: ["kept: max_deletes"] for one in delete})
        delete = ()
    return Plan({one: tuple(why) for one, why in reasons.items() if why}, delete, refused)


def _reasons(
    listed: Sequence[Stored], policy: Retention, now: datetime, zone: tzinfo
) -> dict[Stored, list[str]]:
    if policy.keeps_all:
        return {one: ["no rule is set"] for one in listed}
    reasons: dict[Stored, list[str]] = {one: [] for one in listed}
    whole = [one for one in listed if not one.broken]
    for one, why in (*_guarded(whole, now), *_ruled(whole, policy, now, zone)):
        reasons[one].append(why)
    for one in whole[: policy.min_keep]:
        reasons[one] = reasons[one] or ["kept: min_keep"]
    for one in listed:
        if one.broken and not (whole and whole[0].taken_at > one.taken_at):
            reasons[one].append("broken, but nothing whole is newer")
    return reasons


def _guarded(whole: Sequence[Stored], now: datetime) -> Iterator[tuple[Stored, str]]:
    if not whole:
        return
    yield whole[0], "newest"
    if verified := next((one for one in whole if one.verified), None):
        yield verified, "newest verified"
    # Otherwise one snapshot from the future would push out every new one as soon as it is taken.
    present = next((one for one in whole if one.taken_at <= now), None)
    if present and present is not whole[0]:
        yield present, "newest that is not from the future"


def _ruled(
    whole: Sequence[Stored], policy: Retention, now: datetime, zone: tzinfo
) -> Iterator[tuple[Stored, str]]:
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
