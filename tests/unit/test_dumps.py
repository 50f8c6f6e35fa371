"""What holds secrets leaves no core, and no neighbour of the same user reads its memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

COMMAND = """
import ctypes, resource, sys
from raft_snapshot_agent.__main__ import main
try:
    main()
except SystemExit:
    pass
print("cores", resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))
"""


def test_whoever_reads_the_configuration_leaves_no_core(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("vault: {auth: {method: token, token: hvs.x}}\n")
    argv = [sys.executable, "-c", COMMAND, "config", "show", "--config", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "cores (0, 0) 0"
