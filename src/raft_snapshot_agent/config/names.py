"""What parts of a configuration are called that give no name themselves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pydantic_core import PydanticCustomError


class Nameable(Protocol):
    """What may have a name, and has a type to derive one from."""

    @property
    def name(self) -> str | None: ...

    @property
    def type(self) -> str: ...


def derive_names(things: Sequence[Nameable], what: str) -> list[str]:
    """Return the name of each: its own, else its type, with a number where that is taken.

    Raises:
        PydanticCustomError: Two have the same.
    """
    given = [one.name for one in things]
    for index, name in enumerate(given):
        if name is not None and name in given[:index]:
            raise misplaced_error(f"another {what} is called {name!r} already", index, "name")
    names: list[str] = []
    for one in things:
        names.append(one.name or _free(one.type, {*given, *names}))
    return names


def misplaced_error(what: str, *at: str | int) -> PydanticCustomError:
    """Make an error that `faults` shows at a place further down than pydantic would."""
    return PydanticCustomError("misplaced", "{what}", {"what": what, "at": at})


def _free(name: str, taken: set[str | None]) -> str:
    numbered = (f"{name}-{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(one for one in numbered if one not in taken)
