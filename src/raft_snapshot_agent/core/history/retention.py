"""Decides which snapshots a storage keeps, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import dropwhile
from typing import ClassVar

from raft_snapshot_agent.core.duration import format_duration
from raft_snapshot_agent.core.history.periods import PERIODS, newest_of_each
from raft_snapshot_agent.core.snapshots.naming import newest_first
from raft_snapshot_agent.core.snapshots.snapshot import AHEAD, MISDESCRIBED, NOT_COUNTED, Stored

_DAY = timedelta(days=1)

NEWEST, _NEWEST_VERIFIED = "newest", "newest verified"
_FUTURE = f"dated in the future{NOT_COUNTED}"
_MISMATCH = f"{MISDESCRIBED}{NOT_COUNTED}"
_COPIED = "stays while a copy of it does"
_HELD, _SAFETY, _MIN_KEEP = "held", "safety snapshot", "kept: min_keep"
_POSTPONED, _NO_RULES = ("no rule keeps it; deleted at one of the next runs",), ("no rule is set",)
_PROTECTED = {NEWEST, _NEWEST_VERIFIED}

Reasons = dict[str, tuple[str, ...]]  # why snapshots are kept, by name


@dataclass(frozen=True, slots=True)
class Retention:
    """Retention rules: a snapshot is kept if any rule keeps it, as with `restic forget`.

    `last` keeps the n newest; `hourly` to `yearly` keep the newest snapshot of each of the n
    newest periods that have one (weeks are ISO weeks); `within` keeps snapshots younger than that,
    counted from the newest snapshot. Zero is the same as a missing rule, and without any rule
    everything is kept (as with the original agent's `retain: 0`). Unlike restic, unused numbers are
    not filled with the oldest snapshot, and the hour that occurs twice in autumn counts as two.

    `min_keep` is not a rule: it protects the n newest whole snapshots from the rules.
    `max_space` removes the oldest of the kept snapshots until the rest fits.
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
    """Most deletions per prune; a prune that would delete more deletes nothing."""
    keep_broken: timedelta = timedelta(days=30)
    """How long a broken snapshot is kept before it is read again and deleted."""

    def __post_init__(self) -> None:
        """Refuse numbers below zero.

        Raises:
            ValueError: The message names the rule.
        """
        for rule in ("last", *PERIODS, "min_keep", "max_space", "max_deletes"):
            if (getattr(self, rule) or 0) < 0:
                raise ValueError(f"{rule} must not be negative")
        for age in ("within", "keep_broken"):
            if (getattr(self, age) or timedelta(0)) < timedelta(0):
                raise ValueError(f"{age} must not be negative")

    @property
    def keeps_all(self) -> bool:
        """Whether no rule ever deletes anything."""
        return not (self.has_rules or self.max_space)

    @property
    def has_rules(self) -> bool:
        """Whether any rule is set."""
        return bool(self.last or self.within or any(count for _, count in self.periods))

    @property
    def periods(self) -> tuple[tuple[str, int], ...]:
        """The rules that count periods, with their numbers."""
        return tuple((rule, getattr(self, rule) or 0) for rule in PERIODS)


@dataclass(frozen=True, slots=True)
class Plan:
    """What retention will do in one storage."""

    keep: Mapping[Stored, tuple[str, ...]]
    """Kept snapshots, newest first, each with its reasons."""
    delete: tuple[Stored, ...]
    """Snapshots to delete, oldest first, so that an interrupted prune loses least."""
    crowded_out: frozenset[Stored] = frozenset()
    """Deleted snapshots that a rule would keep without `max_space`."""
    review: tuple[Stored, ...] = ()
    """Kept broken snapshots, which are deleted if another reading confirms that."""
    withheld: tuple[Stored, ...] = ()
    """Kept snapshots that would be deleted without `refused`."""
    refused: str = ""
    """Why nothing is deleted although the rules require it."""
    postponed: tuple[Stored, ...] = ()
    """Kept snapshots that will be deleted in one of the next runs."""


def plan(
    stored: Iterable[Stored],
    policy: Retention,
    now: datetime,
    zone: tzinfo = UTC,
    forbidden: str = "",
    *,
    ignore_keep_broken: bool = False,
    most: int | None = None,
) -> Plan:
    """Plan which snapshots are kept and which are deleted.

    The newest snapshot, the newest verified one and held ones are always kept. Verified snapshots
    fulfil the rules as if there were no others, so one without a manifest never replaces one with a
    manifest. Neither does a safety snapshot replace any other. Broken snapshots, those that do not
    match their manifest or are in doubt, and those dated in the future fulfil no rule. Of these
    only broken ones are deleted: after `keep_broken`, if a newer snapshot counts, and another
    reading confirms that they are broken.

    Arguments:
        stored: One storage's snapshots, in any order.
        policy: The rules.
        now: The present time.
        zone: Time zone of days, weeks, months and years.
        forbidden: Why nothing may be deleted now; empty if deleting is allowed.
        ignore_keep_broken: Whether to delete broken ones before `keep_broken` has passed.
        most: Most deletions in one run, oldest first.
    """
    listed = newest_first({one.name: one for one in stored}.values())
    reasons = _reasons(listed, policy, now, zone)
    crowded = _crowded_out(listed, reasons, policy, now)
    delete = tuple(one for one in reversed(listed) if one.name not in reasons or one in crowded)
    review = tuple(reversed([*_due(listed, policy, now, ignore_keep_broken=ignore_keep_broken)]))
    refused = _explain_refusal(len(delete) + len(review), policy, forbidden)
    if refused:
        others = dict.fromkeys((one.name for one in delete), ("nothing is deleted",))
        return Plan(_select_kept(listed, reasons | others), (), withheld=delete, refused=refused)
    delete, postponed = (delete, ()) if most is None else (delete[:most], delete[most:])
    for one in delete:
        reasons.pop(one.name, None)
    later = dict.fromkeys((one.name for one in postponed), _POSTPONED)
    return Plan(_select_kept(listed, reasons | later), delete, crowded, review, postponed=postponed)


def _select_kept(listed: Sequence[Stored], reasons: Reasons) -> dict[Stored, tuple[str, ...]]:
    return {one: reasons[one.name] for one in listed if one.name in reasons}


def _explain_refusal(deletes: int, policy: Retention, forbidden: str) -> str:
    if forbidden or policy.max_deletes is None or deletes <= policy.max_deletes:
        return forbidden
    return f"would delete {deletes} snapshots, more than max_deletes {policy.max_deletes}"


def _due(
    listed: Sequence[Stored], policy: Retention, now: datetime, *, ignore_keep_broken: bool
) -> Iterator[Stored]:
    """List the broken snapshots to read again, and to delete if they are still broken."""
    older = dropwhile(lambda one: not (one.is_counted and one.taken_at <= now + AHEAD), listed)
    for one in older:
        if not one.broken or one.held:
            continue
        if ignore_keep_broken or (
            not policy.keeps_all and (one.broken_since is None or _is_over(one, policy, now))
        ):
            yield one


def _is_over(one: Stored, policy: Retention, now: datetime) -> bool:
    return one.broken_since is not None and one.broken_since <= now - policy.keep_broken


def _reasons(listed: Sequence[Stored], policy: Retention, now: datetime, zone: tzinfo) -> Reasons:
    """Return the reasons why snapshots are kept; those to delete have no entry."""
    counting = [one for one in listed if one.is_counted]
    ordinary = [one for one in counting if not one.safety]
    reasons = _reasons_of(ordinary, policy, now, zone)
    if len(ordinary) < len(counting):
        # Beside the others, so that no safety snapshot takes the place of one that is wanted.
        for name, why in _reasons_of(counting, policy, now, zone).items():
            reasons.setdefault(name, (_SAFETY, *why))
    for one in listed:
        if aside := (*_aside(one, now),):
            reasons[one.name] = (*reasons.get(one.name, ()), *aside)
    for one in (*_least(ordinary, policy, now), *_least(counting, policy, now)):
        reasons.setdefault(one.name, (_MIN_KEEP,))
    return reasons


def _least(counting: Iterable[Stored], policy: Retention, now: datetime) -> Iterator[Stored]:
    """Yield the `min_keep` newest, and the newest verified ones."""
    present = [one for one in counting if one.taken_at <= now + AHEAD]
    yield from present[: policy.min_keep]
    yield from [one for one in present if one.proved][: policy.min_keep]


def _reasons_of(
    counting: Sequence[Stored], policy: Retention, now: datetime, zone: tzinfo
) -> Reasons:
    """Return the reasons of rules and protections, as if these snapshots were all."""
    if policy.keeps_all:
        return dict.fromkeys((one.name for one in counting), _NO_RULES)
    reasons: Reasons = {}
    present = [one for one in counting if one.taken_at <= now + AHEAD]
    proved = [one for one in present if one.proved]
    for one, why in (*_protect(counting, present), *_apply_rules(present, policy, now, zone)):
        reasons[one.name] = (*reasons.get(one.name, ()), why)
    for one, why in _apply_rules(proved, policy, now, zone):
        reasons.setdefault(one.name, (f"of the verified: {why}",))
    return reasons


def _aside(one: Stored, now: datetime) -> Iterator[str]:
    """Yield why an object is kept to which no rule applies."""
    if one.held:
        yield _HELD
    if one.is_duplicated:
        yield _COPIED
    if one.mismatched:
        yield _MISMATCH
    elif one.size == 0:
        yield f"empty{NOT_COUNTED}"
    elif one.condemned:
        yield one.describe_condemned(now, "marked as broken")
    elif one.taken_at > now + AHEAD:
        yield _FUTURE
    elif one.doubt:
        yield one.doubt


def _protect(counting: Sequence[Stored], present: Sequence[Stored]) -> Iterator[tuple[Stored, str]]:
    """Protect the newest snapshots; ones dated in the future only if there are no others."""
    for one in (present or counting)[:1]:
        yield one, NEWEST
    if verified := next((one for one in (*present, *counting) if one.proved), None):
        yield verified, _NEWEST_VERIFIED


def _crowded_out(
    listed: Sequence[Stored], reasons: Reasons, policy: Retention, now: datetime
) -> frozenset[Stored]:
    """Return the oldest snapshots that must be deleted to stay within `max_space`.

    Snapshots dated in the future go first, then safety snapshots, then those without a manifest,
    then the oldest. Ones kept only because they are held do not count for space; otherwise anyone
    who can write notes could displace good snapshots.
    """
    if not policy.max_space:
        return frozenset()
    kept = [
        one for one in listed if one.is_counted and {*reasons.get(one.name, ())} - {_HELD, _COPIED}
    ]
    ordinary = [one for one in kept if not one.safety]
    safe = {*_least(ordinary, policy, now), *_least(kept, policy, now)}
    safe |= {one for one in kept if _PROTECTED & {*reasons[one.name]}}
    used, crowded = 0, set[Stored]()
    ahead = [one for one in kept if one.taken_at > now + AHEAD]
    safety = [one for one in kept if one.safety and one not in ahead]
    present = [one for one in ordinary if one.taken_at <= now + AHEAD]
    proved = [one for one in present if one.proved]
    unproved = [one for one in present if not one.proved]
    for group in (proved, unproved, safety, ahead):
        used += sum(one.size for one in group if one in safe)
        for one in (one for one in group if one not in safe):
            used += one.size
            if used > policy.max_space and not (one.held or one.is_duplicated):
                crowded.add(one)
    return frozenset(crowded)


def _apply_rules(
    present: Sequence[Stored], policy: Retention, now: datetime, zone: tzinfo
) -> Iterator[tuple[Stored, str]]:
    if not policy.has_rules:
        yield from ((one, _NO_RULES[0]) for one in present)
    last = policy.last or 0
    for number, one in enumerate(present[:last], start=1):
        yield one, f"last {number} of {last}"
    for rule, count in policy.periods:
        for period, one in newest_of_each(present, rule, count, zone):
            yield one, f"{rule} {period}"
    if policy.within and present:
        # Not counted from now, or a storage without new snapshots would become empty.
        reference = min(now, present[0].taken_at)
        within = policy.within
        spoken = format_duration(within) if within % _DAY else f"{within // _DAY}d"
        for one in present:
            if reference - one.taken_at < within:
                yield one, f"within {spoken}"
