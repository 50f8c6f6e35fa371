"""Where a server can be closed in, and what can be run beside it there."""

from __future__ import annotations

from pathlib import Path

import pytest

from raft_snapshot_agent.servers.private import isolation


@pytest.fixture
def closed_in(tmp_path: Path) -> Path:
    """Return a folder in which a server can be closed in."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    found = isolation(folder)
    if not found.works:  # what the agent does there is tried at the end of test_private_server
        pytest.skip(f"no namespaces here: {found.why}")
    return folder


@pytest.fixture
def system_python() -> str:
    """Return a Python that a closed-in program can see; the test's own may lie elsewhere."""
    python = Path("/usr/bin/python3")
    if not python.exists():  # elsewhere nothing runs in there but the server itself
        pytest.skip("needs a Python of the system")
    return str(python)
