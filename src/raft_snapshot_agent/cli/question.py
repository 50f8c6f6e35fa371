"""Ask the operator at the terminal."""

from __future__ import annotations

import sys

import anyio

from raft_snapshot_agent.cli import output


async def ask(question: str) -> str:
    """Print a question to standard error; return the answer of standard input."""
    sys.stderr.write(output.one_line(question))
    sys.stderr.flush()
    try:
        await anyio.wait_readable(sys.stdin)  # a blocking read could not be interrupted by Ctrl-C
    except BaseException:
        output.talk("")  # what is said of the interruption begins on a line of its own
        raise
    return sys.stdin.readline().strip()
