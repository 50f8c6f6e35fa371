"""Which listed snapshots count for retention, by their manifests (docs/decisions/0037).

Whether the bytes of a snapshot are whole is another question: see `core.archive`.

A listing only claims. What a manifest says is held against name, listed size and time, against
the key of the cluster's agents where they have one, and against the other manifests.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from raft_snapshot_agent.core.history.guard import is_trusted
from raft_snapshot_agent.core.history.retention import Plan
from raft_snapshot_agent.core.snapshots.naming import Naming, ParsedName, newest_first, parse
from raft_snapshot_agent.core.snapshots.notes import moment
from raft_snapshot_agent.core.snapshots.signing import SigningKeys
from raft_snapshot_agent.core.snapshots.snapshot import Manifest, Stored

AHEAD = timedelta(minutes=10)
"""As far may the clock that a snapshot was named by be ahead of ours."""
_SLOT = timedelta(days=1)
"""So much later may another try of a slot be."""
_BYTES, _LETTERS = 8, 11
"""Of a fingerprint: long enough that nobody finds a name that has the one of another."""
_MOST_KNOWN = 20_000
"""Names that a manifest tells of: with more it would be longer than one that is read."""

_LONGEST_KNOWN = 4 * _MOST_KNOWN * _LETTERS
"""Letters that copies may let it grow to; a manifest is read up to 1 MiB."""

_MORE, _DIGITS = "+", 12
"""What stands before the number of the others, and how long that is not. It is no letter of a
fingerprint; versions that do not know it take it for a name that nothing has."""

_DISAGREES = "name, size, index or time differ from its manifest: does not count for retention"
_NO_MANIFEST = "its manifest is not valid: does not count for retention"
_WRONG = "the signature of its manifest is wrong: does not count for retention"
_UNSIGNED = "unsigned: does not count for retention"


@dataclass(frozen=True, slots=True)
class Unread:
    """A manifest that may not be read, or of which nobody knows what it says."""


Told = Manifest | Unread | None
"""What came of reading a manifest; nothing: it is none."""


@dataclass(frozen=True, slots=True)
class Judge:
    """Says what a snapshot counts for, from what was read."""

    naming: Naming | None
    """How snapshots are named; nothing where one name is for all of them."""
    keys: SigningKeys | None = None
    accepted: frozenset[str] | None = None
    """Fingerprints of the unsigned ones from before there was a key; nothing: all of them are."""

    def is_signed(self, stored: Stored, told: Told) -> bool:
        """Return whether the agents' key vouches for a snapshot."""
        if self.keys is None or not isinstance(told, Manifest):
            return False
        return self._agrees(stored, told) and self.keys.has_signed(told)

    def judge_stored(self, stored: Stored, told: Told) -> Stored:
        """Enter what one snapshot counts for, from what lies beside it."""
        if not stored.verified:
            return self._without_key(stored)
        if isinstance(told, Unread):
            return self._without_key(replace(stored, unproved=True))
        if told is None:
            return replace(stored, doubt=_NO_MANIFEST)
        if not self._agrees(stored, told):
            return replace(stored, doubt=_DISAGREES)
        if self.is_signed(stored, told):
            return replace(stored, signed=True)
        if self.keys is not None and told.signature:
            return replace(stored, doubt=_WRONG)
        return self._without_key(replace(stored, unproved=self.keys is not None))

    def _agrees(self, stored: Stored, told: Manifest) -> bool:
        parsed = None if self.naming is None else parse(stored.name, self.naming)
        return is_trusted(told, stored, parsed) or _tried_again(told, stored, parsed)

    def _without_key(self, stored: Stored) -> Stored:
        if self.keys is None or self.accepted is None:
            return stored
        return (
            stored
            if fingerprint(stored.name) in self.accepted
            else replace(stored, doubt=_UNSIGNED)
        )


def without_copies(stored: Iterable[Stored], told: Mapping[str, Told]) -> tuple[Stored, ...]:
    """Keep one snapshot for each archive: the one whose manifest is oldest.

    That one stays while there are copies: without it the next one would count. A signature is
    proof enough: nobody else can describe an archive anew. What is of another size is no copy.
    """
    first: dict[tuple[str, int], Stored] = {}
    judged: dict[str, Stored] = {}
    listed = newest_first(stored)
    for one in reversed(listed):
        manifest = told.get(one.name)
        judged[one.name] = one
        if one.signed or not one.counts or not isinstance(manifest, Manifest):
            continue
        original = first.setdefault((manifest.sha256, one.size), one)
        if manifest.sha256 and original is not one:
            judged[one.name] = replace(
                one, doubt=f"a copy of {original.name}: does not count for retention"
            )
            judged[original.name] = replace(original, copied=True)
    return tuple(judged[one.name] for one in listed)


def relied_on(
    listed: Sequence[Stored], planned: Plan, proven: Mapping[str, Stored]
) -> list[Stored]:
    """List those that have to be proved before a plan is carried out, in the same order.

    These are what goes, what fills a rule, and whatever may be the original of one of them: of
    the same size, and not read yet. What is left for later runs is relied on by nobody.

    Arguments:
        listed: All there are.
        planned: What is to be done.
        proven: Those that were proved already, by name.
    """
    later = {one.name for one in planned.left}
    names = {one.name for one in planned.delete} | proven.keys()
    names.update(one.name for one in planned.keep if one.counts and one.name not in later)
    # Nobody but the agents can describe again what is signed.
    sizes = {one.size for one in proven.values() if one.verified and one.counts and not one.signed}
    return [
        one
        for one in listed
        if one.name in names or (one.verified and one.counts and one.size in sizes)
    ]


def _tried_again(told: Manifest, stored: Stored, parsed: ParsedName | None) -> bool:
    """Return whether a later try of the slot may have replaced what had that name.

    The rules go by the name: nobody gains by a manifest that tells a later time.
    """
    taken_at = moment(told.taken_at)
    if parsed is None or taken_at is None or told.index < (parsed.index or 0):
        return False
    same = (told.snapshot, told.size) == (stored.name, stored.size)
    return same and timedelta(minutes=1) <= taken_at - parsed.taken_at < _SLOT


def fingerprint(name: str) -> str:
    """Return a short text that stands for a name."""
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).digest()[:_BYTES]
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Known:
    """What a manifest tells of the snapshots that were there before its own."""

    fingerprints: frozenset[str]
    more: int = 0
    """How many older ones lay there, which it does not name: it would be too long."""


def write_known(names: Sequence[str]) -> str:
    """Write down which snapshots are there, newest first, and how many more there are."""
    told = "".join(fingerprint(name) for name in names[:_MOST_KNOWN])
    more = len(names) - _MOST_KNOWN
    return f".{told}{_MORE}{more}" if more > 0 else f".{told}"


def tells(manifest: Manifest) -> bool:
    """Return whether a manifest tells of the snapshots that were there before."""
    return manifest.known.startswith(".")


def read_known(manifest: Manifest) -> Known | None:
    """Read which snapshots were there; nothing where a manifest does not tell."""
    if not tells(manifest):
        return None
    text, _, more = manifest.known[1:].partition(_MORE)
    count = int(more) if more.isascii() and more.isdecimal() and len(more) < _DIGITS else 0
    fingerprints = (text[at : at + _LETTERS] for at in range(0, len(text), _LETTERS))
    return Known(frozenset(fingerprints), count)


def extend_known(manifest: Manifest, marks: Sequence[str], more: int = 0) -> str:
    """Let what a manifest tells of others tell of some more.

    Arguments:
        manifest: One that tells of others.
        marks: Fingerprints; those for which there is no room are counted.
        more: How many are only counted, beside those that are already.
    """
    text = manifest.known.partition(_MORE)[0]
    room = max(0, _LONGEST_KNOWN - len(text)) // _LETTERS
    known = read_known(manifest)
    count = (known.more if known else 0) + more + max(0, len(marks) - room)
    told = text + "".join(marks[:room])
    return f"{told}{_MORE}{count}" if count else told
