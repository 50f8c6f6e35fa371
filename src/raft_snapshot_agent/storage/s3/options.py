"""What S3 keeps beside an object's bytes, and which of it not every store knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raft_snapshot_agent.storage.s3.s3 import S3Settings

_NOT_EVERYWHERE = (
    "storage_class",
    "tags",
    "server_side_encryption",
    "sse_customer_key",
    "checksum",
)


def checked_tags(tags: dict[str, str]) -> dict[str, str]:
    """Hold tags against the rules of Amazon S3, "Categorizing your storage using tags"."""
    if len(tags) > 10:
        raise ValueError("an object has at most ten tags")
    for key, value in tags.items():
        if not (0 < len(key) <= 128 and len(value) <= 256):
            raise ValueError("a tag's key has 1 to 128 characters, its value at most 256")
        if not all(one.isalnum() or one in " +-=._:/@" for one in key + value):
            raise ValueError("a tag takes letters, digits, spaces and + - = . _ : / @")
    return tags


def what_to_leave_out(settings: S3Settings) -> str:
    """Return what to try where a store does not know how to do something."""
    if given := [key for key in _NOT_EVERYWHERE if getattr(settings, key)]:
        return f"likely an option this store does not know: try without {', '.join(given)}"
    return "look at what this store supports"
