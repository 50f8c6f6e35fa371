"""A signal ends the demo also if it comes while Python would lose the exception."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

_SCRIPT = """
import os, sys, time, weakref
from raft_snapshot_agent.cli.demo import end_on_signals

class Finalized:
    def __del__(self):
        if self.how == "__del__":
            os.kill(os.getpid(), int(sys.argv[1]))

end_on_signals()
one = Finalized()
one.how = sys.argv[2]
if one.how == "weakref":
    weakref.finalize(one, os.kill, os.getpid(), int(sys.argv[1]))
try:
    if one.how == "nothing":
        os.kill(os.getpid(), int(sys.argv[1]))
    del one
    time.sleep(20)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.parametrize("how", ["nothing", "weakref", "__del__"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_not_lost_in_a_finalizer(number: signal.Signals, how: str) -> None:
    command = [sys.executable, "-c", _SCRIPT, str(int(number)), how]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (128 + number, "")


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("try: os.kill(os.getpid(), 1)\nfinally: os.kill(os.getpid(), 1); sys.exit(7)", 7),
        ("os.kill(os.getpid(), 1); sys.exit(5)", 129),
        ("signal.signal(1, signal.SIG_IGN); end_on_signals(); os.kill(os.getpid(), 1)", 0),
    ],
    ids=["twice", "once", "nohup"],
)
def test_a_closed_terminal_ends_it_once_and_not_under_nohup(script: str, code: int) -> None:
    begin = "import os, signal, sys\nfrom raft_snapshot_agent.cli.demo import end_on_signals\n"
    begin += "" if "SIG_IGN" in script else "end_on_signals()\n"
    command = [sys.executable, "-c", begin + script]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (ended.returncode, ended.stderr) == (code, "")
