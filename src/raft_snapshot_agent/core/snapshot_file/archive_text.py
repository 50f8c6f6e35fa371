"""Parses the small texts inside an archive: the list of hashes and PAX headers."""

from __future__ import annotations

import re

from raft_snapshot_agent.errors import VerificationError

SUMS = "SHA256SUMS"
PAX = "its PAX header"
_PAX_LENGTH = re.compile(rb"([0-9]{1,7}) ")
_PAX_REFUSED = (b"path", b"linkpath")
"""Records that would replace the name or type in the member's header."""
_AGAIN = "do not rely on it; if fresh ones break too, check the server's log and its seal"


def read_sums(text: bytes) -> list[tuple[str, str]]:
    """Return name and digest of each line `<hex digest>  <name>`, as sha256sum writes them."""
    lines = text.decode("utf-8", "replace").splitlines()
    pairs = (line.split(maxsplit=1) for line in lines if line.strip())
    try:
        return [(name, digest.lower()) for digest, name in pairs]
    except ValueError as error:
        raise broken(f"{SUMS} cannot be read") from error


def pax_size(records: bytes) -> int | None:
    r"""Return the size in PAX records, which Go writes for members over 8 GiB.

    Source: IEEE Std 1003.1, pax, "pax Extended Header": `<length> <key>=<value>\n`.
    """
    size: int | None = None
    position = 0
    while position < len(records):
        length = _PAX_LENGTH.match(records, position)
        end = position + int(length[1]) if length else 0
        if length is None or not length.end() < end <= len(records):
            raise broken(f"{PAX} is damaged")
        key, _, value = records[length.end() : end - 1].partition(b"=")
        if key == b"size":
            size = _decimal(value)
        elif key in _PAX_REFUSED:
            raise broken(f"{PAX} sets {key.decode()}")
        position = end
    return size


def _decimal(text: bytes) -> int:
    if not text.isdigit() or len(text) > 19:
        raise broken(f"{PAX} is damaged")
    return int(text)


def broken(why: str) -> VerificationError:
    """Return the error for a broken archive."""
    return VerificationError(f"the snapshot is broken: {why}", hint=_AGAIN)
