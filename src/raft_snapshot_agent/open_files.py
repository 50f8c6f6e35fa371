"""Let this process open as many files and connections as the host permits."""

from __future__ import annotations

import resource
from contextlib import suppress


def raise_open_files_limit() -> None:
    """Raise the limit of open files to the hard limit.

    The soft limit is usually 1,024, for programs that use select(2), which this one does not.

    Source: systemd.exec(5), `LimitNOFILE=`.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # some containers forbid it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
