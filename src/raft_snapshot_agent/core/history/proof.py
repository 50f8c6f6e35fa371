"""Decides which listed snapshots count for retention, by their manifests (docs/decisions/0037).

Whether the bytes of a snapshot are whole is another question: see `core.snapshot_file.archive`.

A listing can be forged. So a manifest is compared with name, listed size and time, verified with
the key of the cluster's agents if they have one, and compared with the other manifests.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from raft_snapshot_agent.core.history.retention import Plan
from raft_snapshot_agent.core.snapshots.naming import Naming, ParsedName, newest_first, parse
from raft_snapshot_agent.core.snapshots.notes import moment
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import NOT_COUNTED, SAFETY, Manifest, Stored

_SLOT = timedelta(days=1)
"""How much later a retry of a slot may be."""
_BYTES, _LETTERS = 8, 11
"""Length of a fingerprint: long enough that no second name with the same one can be found."""
_MOST_KNOWN = 20_000
"""Most fingerprints in a manifest; with more it would exceed the size that is read."""

_LONGEST_KNOWN = 4 * _MOST_KNOWN * _LETTERS
"""Most characters to which copies may extend it; a manifest is read up to 1 MiB."""

_MORE, _DIGITS = "+", 12
"""Prefix of the number of unnamed snapshots. It never occurs in a fingerprint; versions without
support for it take it for the fingerprint of an unknown name."""

_DISAGREES = f"name, size, index or time differ from its manifest{NOT_COUNTED}"
_NO_MANIFEST = f"its manifest is not valid{NOT_COUNTED}"
_WRONG = f"the signature of its manifest is wrong{NOT_COUNTED}"
_UNSIGNED = f"unsigned{NOT_COUNTED}"


@dataclass(frozen=True, slots=True)
class Unread:
    """A manifest that could not be read."""


Told = Manifest | Unread | None
"""Result of reading a manifest; `None` if it is invalid."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Decides whether a snapshot counts, from its manifest."""

    naming: Naming | None
    """Format of snapshot names; `None` with a static name."""
    keys: SigningKeys | None = None
    accepted: frozenset[str] | None = None
    """Fingerprints of unsigned snapshots from before there was a key; `None`: all unsigned ones."""

    def is_signed(self, stored: Stored, told: Told) -> bool:
        """Return whether the manifest is signed with the agents' key."""
        if self.keys is None or not isinstance(told, Manifest):
            return False
        return self._agrees(stored, told) and self.keys.has_signed(told)

    def judge_stored(self, stored: Stored, told: Told) -> Stored:
        """Return the snapshot with the result, from the files beside it."""
        if not stored.verified:
            return self._without_key(stored)
        if isinstance(told, Unread):
            return self._without_key(replace(stored, unproved=True))
        if told is None:
            return replace(stored, unproved=True, doubt=_NO_MANIFEST)
        if not self._agrees(stored, told):
            return replace(stored, unproved=True, doubt=_DISAGREES)
        if told.purpose == SAFETY and self._may_tell(told):
            stored = replace(stored, safety=True)
        if self.is_signed(stored, told):
            return replace(stored, signed=True)
        if self.keys is not None and told.signature:
            return replace(stored, doubt=_WRONG)
        return self._without_key(replace(stored, unproved=self.keys is not None))

    def _may_tell(self, told: Manifest) -> bool:
        """Return whether its purpose is by whom the rest of it is by."""
        return self.keys is None or not told.signature or self.keys.has_signed_purpose(told)

    def _agrees(self, stored: Stored, told: Manifest) -> bool:
        naming = self.naming
        parsed = None if naming is None else parse(stored.name, naming, has_manifest=True)
        return is_trusted(told, stored, parsed) or _tried_again(told, stored, parsed)

    def _without_key(self, stored: Stored) -> Stored:
        if self.keys is None or self.accepted is None:
            return stored
        return (
            stored
            if fingerprint(stored.name) in self.accepted
            else replace(stored, doubt=_UNSIGNED)
        )


def is_contradicted(stored: Stored) -> bool:
    """Return whether a judged snapshot is not what its manifest describes, as far as is known."""
    return not stored.broken and (stored.mismatched or stored.doubt in {_DISAGREES, _NO_MANIFEST})


def without_duplicates(stored: Iterable[Stored], told: Mapping[str, Told]) -> tuple[Stored, ...]:
    """Let only one snapshot per archive count: the one with the oldest manifest.

    It is kept while there are copies, because otherwise the next copy would count. Signed ones are
    never copies, because only agents can sign. Snapshots of different size are not copies.
    """
    first: dict[tuple[str, int], Stored] = {}
    judged: dict[str, Stored] = {}
    listed = newest_first(stored)
    for one in reversed(listed):
        manifest = told.get(one.name)
        judged[one.name] = one
        if one.signed or not one.is_counted or not isinstance(manifest, Manifest):
            continue
        original = first.setdefault((manifest.sha256, one.size), one)
        if manifest.sha256 and original is not one:
            judged[one.name] = replace(one, doubt=f"a copy of {original.name}{NOT_COUNTED}")
            judged[original.name] = replace(original, is_duplicated=True)
    return tuple(judged[one.name] for one in listed)


def list_needed(
    listed: Sequence[Stored], planned: Plan, proven: Mapping[str, Stored]
) -> list[Stored]:
    """List the snapshots whose manifests must be read before a plan is carried out, in order.

    These are the ones to delete, the ones that fulfil a rule, and possible originals of those: of
    the same size, and not read yet. Deletions left for later runs are not included.

    Arguments:
        listed: All snapshots.
        planned: The plan.
        proven: Those already read, by name.
    """
    later = {one.name for one in planned.postponed}
    names = {one.name for one in planned.delete} | proven.keys()
    names.update(one.name for one in planned.keep if one.is_counted and one.name not in later)
    # Only agents can sign, so a signed snapshot is never a copy.
    sizes = {
        one.size for one in proven.values() if one.verified and one.is_counted and not one.signed
    }
    return [
        one
        for one in listed
        if one.name in names or (one.verified and one.is_counted and one.size in sizes)
    ]


def is_trusted(manifest: Manifest, stored: Stored, parsed: ParsedName | None) -> bool:
    """Return whether a manifest matches the name and the listed size of its snapshot."""
    if (manifest.snapshot, manifest.size) != (stored.name, stored.size):
        return False
    if parsed is None:
        return True
    taken_at = moment(manifest.taken_at)
    if taken_at is None or abs(taken_at - parsed.taken_at) >= timedelta(minutes=1):
        return False
    return parsed.index in (None, manifest.index)


def _tried_again(told: Manifest, stored: Stored, parsed: ParsedName | None) -> bool:
    """Return whether a later attempt of the slot may have replaced the snapshot of that name.

    Retention uses the time in the name, so a manifest with a later time gives no advantage.
    """
    taken_at = moment(told.taken_at)
    if parsed is None or taken_at is None or told.index < (parsed.index or 0):
        return False
    same = (told.snapshot, told.size) == (stored.name, stored.size)
    return same and timedelta(0) <= taken_at - parsed.taken_at < _SLOT


def fingerprint(name: str) -> str:
    """Return a short hash of a name."""
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).digest()[:_BYTES]
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Known:
    """The list of earlier snapshots in a manifest."""

    fingerprints: frozenset[str]
    more: int = 0
    """Number of older snapshots that are only counted, to limit its length."""


def write_known(names: Sequence[str]) -> str:
    """Return the list for a manifest: names, newest first, then the number of further ones."""
    told = "".join(fingerprint(name) for name in names[:_MOST_KNOWN])
    more = len(names) - _MOST_KNOWN
    return f".{told}{_MORE}{more}" if more > 0 else f".{told}"


def tells(manifest: Manifest) -> bool:
    """Return whether a manifest contains a list of earlier snapshots."""
    return manifest.known.startswith(".")


def read_known(manifest: Manifest) -> Known | None:
    """Parse the list of earlier snapshots; `None` if the manifest has none."""
    if not tells(manifest):
        return None
    text, _, more = manifest.known[1:].partition(_MORE)
    count = int(more) if more.isascii() and more.isdecimal() and len(more) < _DIGITS else 0
    fingerprints = (text[at : at + _LETTERS] for at in range(0, len(text), _LETTERS))
    return Known(frozenset(fingerprints), count)


def extend_known(manifest: Manifest, marks: Sequence[str], more: int = 0) -> str:
    """Return the list of earlier snapshots in a manifest, extended by others.

    Arguments:
        manifest: A manifest with such a list.
        marks: Fingerprints to add; those that do not fit are only counted.
        more: Number of further snapshots to count.
    """
    text = manifest.known.partition(_MORE)[0]
    room = max(0, _LONGEST_KNOWN - len(text)) // _LETTERS
    known = read_known(manifest)
    count = (known.more if known else 0) + more + max(0, len(marks) - room)
    told = text + "".join(marks[:room])
    return f"{told}{_MORE}{count}" if count else told
