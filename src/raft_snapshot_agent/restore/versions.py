"""The versions of a secret of KV version 2 in a restored copy, also deleted ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from raft_snapshot_agent.errors import NothingThere, ServerError
from raft_snapshot_agent.restore.living_copy import Place, Server, read_data, require_data

_SETTINGS = ("custom_metadata", "max_versions", "cas_required", "delete_version_after")
_DEFAULTS: tuple[Any, ...] = (None, 0, "0s", {})


@dataclass(frozen=True, slots=True)
class Versions:
    """Every version whose data is stored, by number in ascending order."""

    data: Mapping[int, Mapping[str, Any]] = field(repr=False)
    """Also of deleted versions, but not of destroyed ones, which have none."""
    deleted: Sequence[int]
    metadata: Mapping[str, Any] = field(repr=False)

    def choose(self, path: str, wanted: int) -> int:
        """Return the wanted version; 0: the newest that is not deleted.

        Raises:
            NothingThere: There is no such version.
        """
        told = f"there are: {', '.join(map(str, self.data))}"
        told = told if self.data else "none of its versions is kept"
        if wanted:
            if wanted not in self.data:
                raise NothingThere(f"version {wanted} of {path} is not kept ({told})")
            return wanted
        living = [number for number in self.data if number not in self.deleted]
        if living:
            return living[-1]
        if self.deleted:
            raise NothingThere(
                f"every version of {path} is deleted ({told})",
                hint=f"--version {self.deleted[-1]} takes the newest one",
            )
        raise NothingThere(f"any version of {path} is not kept ({told})")


def describe_lost(metadata: Mapping[str, Any], others: int) -> str:
    """Describe what of a secret that does not exist any more is not written; empty: nothing.

    Arguments:
        metadata: Its metadata in the snapshot.
        others: Number of its further versions there.
    """
    lost = [f"{others} other version{'s' if others > 1 else ''}"] if others else []
    lost += [name for name in _SETTINGS if metadata.get(name) not in _DEFAULTS]
    return ", ".join(lost)


def read_versions(copy: Server, place: Place) -> Versions:
    """Read every version, after deleted ones are undeleted in the copy, which is thrown away.

    Raises:
        NothingThere: There is no such secret.
        ServerError: It cannot be read.
    """
    path = place.below("metadata")
    answer = copy.ask("GET", path)
    if answer.status == 404:
        raise NothingThere(f"there is nothing at {place.path}")
    metadata = require_data(answer, path)
    about = {int(number): told for number, told in (metadata.get("versions") or {}).items()}
    kept = [number for number in sorted(about) if not about[number].get("destroyed")]
    living = _read_each(copy, place, kept)
    deleted = [number for number in kept if number not in living]
    if deleted:
        _undelete(copy, place, deleted)
    data = living | _read_each(copy, place, deleted)
    return Versions(dict(sorted(data.items())), [one for one in deleted if one in data], metadata)


def _read_each(copy: Server, place: Place, numbers: Sequence[int]) -> dict[int, Mapping[str, Any]]:
    found: dict[int, Mapping[str, Any]] = {}
    for number in numbers:
        with suppress(NothingThere):
            found[number] = read_data(copy, place, number)
    return found


def _undelete(copy: Server, place: Place, numbers: Sequence[int]) -> None:
    path = place.below("undelete")
    answer = copy.ask("POST", path, {"versions": [*numbers]})
    if answer.status // 100 != 2:
        raise ServerError(f"{path} answered {answer.status}: {answer.errors}")
