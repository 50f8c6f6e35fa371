"""The line of a Nagios plugin, made without a library, so that a broken one can be told, too."""

from __future__ import annotations

_TITLE = "RAFT SNAPSHOTS"


def format_plugin_line(state: str, told: str) -> str:
    """Return the line for a state, such as `UNKNOWN`, without characters that have a meaning."""
    printable = "".join(one if one.isprintable() else " " for one in told)
    return f"{_TITLE} {state} - {' '.join(printable.replace('|', '/').split())}"
