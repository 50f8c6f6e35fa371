"""Tracks lasting conditions, which are reported at their start, once an hour and at their end."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Generic, TypeVar

from raft_snapshot_agent.core.ages import is_within

AGAIN_AFTER = timedelta(hours=1)
_KINDS = 10
"""Most kinds that are distinguished per condition; all further ones count as one."""
_QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")
_VARIABLE = re.compile(r"[\d/.@_=\[\]]")
"""What a word has that is a variable part: a number, time, path, address or snapshot name."""


class State(Enum):
    """What to report about a condition."""

    BEGINS = auto()
    LASTS = auto()
    ENDS = auto()


@dataclass(frozen=True, slots=True)
class News:
    """One report of a condition."""

    state: State
    text: str
    """The latest text of the condition."""
    since: datetime
    times: int


@dataclass(frozen=True, slots=True)
class _Lasting:
    text: str
    since: datetime
    told: datetime
    times: int = 1

    def news(self, state: State) -> News:
        return News(state, self.text, self.since, self.times)


Where = TypeVar("Where", bound=Hashable)


@dataclass(frozen=True, slots=True)
class LoggedConditions(Generic[Where]):
    """The present conditions, by place and kind."""

    lasting: Mapping[tuple[Where, str], _Lasting] = field(default_factory=dict)

    def observe(
        self, where: Where, texts: Mapping[str, str], now: datetime, *, together: bool = False
    ) -> tuple[LoggedConditions[Where], list[News]]:
        """Update the conditions of one place; return the new state and what to report.

        Arguments:
            where: The place, such as a storage.
            texts: Present conditions there by kind; all others have ended.
            now: The present time.
            together: Treat all kinds as one condition, which ends when none is left: a connection
                that is refused and then times out is one condition, of two kinds.
        """
        lasting, news = dict(self.lasting), list[News]()
        for key in self._list_ended(where, texts, together=together):
            news.append(lasting.pop(key).news(State.ENDS))
        for kind, text in texts.items():
            key = (where, kind if self._has_room(where, kind) else "")
            lasting[key], told = _observe_one(lasting.get(key), text, now)
            news += told
        return LoggedConditions(lasting), news

    def list_places(self) -> list[Where]:
        """List the places with conditions."""
        return list(dict.fromkeys(where for where, _ in self.lasting))

    def _list_ended(
        self, where: Where, texts: Mapping[str, str], *, together: bool
    ) -> list[tuple[Where, str]]:
        here = [key for key in self.lasting if key[0] == where]
        return [key for key in here if not texts or not (together or key[1] in texts)]

    def _has_room(self, where: Where, kind: str) -> bool:
        here = {key[1] for key in self.lasting if key[0] == where}
        return kind in here or len(here) < _KINDS


def _observe_one(before: _Lasting | None, text: str, now: datetime) -> tuple[_Lasting, list[News]]:
    if before is None:
        begun = _Lasting(text, now, now)
        return begun, [begun.news(State.BEGINS)]
    lasting = replace(before, text=text, times=before.times + 1)
    if is_within(before.told, AGAIN_AFTER, now):
        return lasting, []
    return replace(lasting, told=now), [lasting.news(State.LASTS)]


def kind_of(text: str) -> str:
    """Return a text without its variable parts: names, numbers, times."""
    words = _QUOTED.sub("#", text).split()
    return " ".join("#" if _VARIABLE.search(word) else word for word in words)
