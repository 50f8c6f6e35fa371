"""Deletes that a storage refused, and when each may be tried again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

_AGAIN = timedelta(days=1)


@dataclass(slots=True)
class Refusals:
    """The refused deletes of one storage, kept while the agent runs."""

    _refused: dict[str, tuple[datetime, str]] = field(default_factory=dict)

    def note(self, name: str, why: str, now: datetime) -> None:
        """Record a refusal; drop old ones."""
        recent = {one: old for one, old in self._refused.items() if abs(now - old[0]) < 2 * _AGAIN}
        self._refused = {**recent, name: (now, why)}

    def is_due(self, name: str, now: datetime) -> bool:
        """Return whether a delete may be tried: it was not refused within the last day."""
        refused = self._refused.get(name)
        return refused is None or abs(now - refused[0]) >= _AGAIN

    def why(self, name: str) -> str:
        return self._refused[name][1]

    def among(self, names: Iterable[str]) -> dict[str, str]:
        """Return which of these were refused at the last attempt, and why."""
        return {name: self._refused[name][1] for name in names if name in self._refused}
