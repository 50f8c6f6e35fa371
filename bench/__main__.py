"""Measure the agent against the official command line and the usual cron script.

`make bench` runs 16 MiB, 256 MiB and 1 GiB of random data, takes about an hour and needs 60 GiB of
disk; `python -m bench 16 4096` runs the sizes it is given, in MiB.
"""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import growth
from bench.daemon import Daemon
from bench.measure import Cost, Series, in_turn, ratio
from bench.servers import Bench
from raft_snapshot_agent.servers.openbao import fill

SIZES = (16, 256, 1024)
ROUNDS = 5
IDLE_SECONDS = 20
_TLS = " over TLS"
_HEAD = "| what | wall s | CPU s | peak MiB |\n|---|---:|---:|---:|"


def main() -> None:
    sizes = sorted(int(size) for size in sys.argv[1:]) or list(SIZES)
    when = time.strftime("%Y-%m-%d")
    print(f"{when}, {os.cpu_count()} processors, Python {platform.python_version()},", end=" ")
    print(f"medians of {ROUNDS} rounds in turn, after one that does not count")
    with (
        tempfile.TemporaryDirectory(dir="/var/tmp", prefix="bench-") as name,
        Bench.start(Path(name)) as bench,
        Bench.over_tls(Path(name) / "tls") as tls,
    ):
        _start_up(bench)
        held = 0
        for size in sizes:
            for one in (bench, tls):
                fill(one.bao, (size - held) << 20)
            held = size
            _size(bench, tls, size)
        _idle(bench)
        growth.main(Path(name), growth.SNAPSHOTS, growth.CLUSTERS)


def _size(bench: Bench, tls: Bench, size: int) -> None:
    save, official = in_turn(ROUNDS, _to_a_file(bench), bench.clean)
    tls_save, tls_official = in_turn(ROUNDS, _to_a_file(tls, _TLS), tls.clean)
    both, asked, script, upload, passes = _to_both(bench, _bare(bench))
    tls_both, tls_asked, tls_script = _to_both(tls, {}, _TLS)
    in_clear, over_tls = [both, asked, script, upload, passes], [tls_both, tls_asked, tls_script]
    _table(f"{size} MiB", [save, official, tls_save, tls_official, *in_clear, *over_tls])
    per_gib = both.median("cpu") * 1024 / size
    print(f"\n- save : official command line = {ratio(save, official):.2f}")
    print(f"- save : official command line{_TLS} = {ratio(tls_save, tls_official):.2f}")
    print(f"- local + S3 : cron script = {ratio(both, script):.2f}")
    print(f"- local + S3 : cron script{_TLS} = {ratio(tls_both, tls_script):.2f}")
    print(f"- daemon, local + S3 : cron script = {ratio(asked, script):.2f}")
    print(f"- daemon, local + S3 : cron script{_TLS} = {ratio(tls_asked, tls_script):.2f}")
    print(f"- local + S3 : bare upload = {ratio(both, upload):.2f}")
    print(f"- daemon, local + S3: CPU {ratio(asked, passes, 'cpu'):.2f} of three SHA-256 passes")
    print(f"- local + S3: {per_gib:.2f} CPU seconds per GiB", flush=True)


def _to_both(bench: Bench, others: Mapping[str, Callable[[], Cost]], how: str = "") -> list[Series]:
    """Store in a folder and in a bucket in several ways, and do other things, in turn."""
    script = (
        "$BAO operator raft snapshot save cron.snap; sync cron.snap;"
        " $PYTHON -m bench.upload boto3 cron.snap cron"
    )
    with Daemon.start(bench) as daemon:
        contenders = {
            f"save to local and S3{how}": lambda: bench.agent("save", "-c", "agent.json"),
            f"SIGUSR1 to a daemon with local and S3{how}": daemon.ask,
            f"bao save; sync; boto3 upload{how}": lambda: bench.shell(script),
        }
        return in_turn(ROUNDS, {**contenders, **others}, bench.clean)


def _bare(bench: Bench) -> dict[str, Callable[[], Cost]]:
    """What is the least: to upload a finished file, and to hash it as often as the agent does."""
    bench.shell("$BAO operator raft snapshot save finished")
    upload = (sys.executable, "-m", "bench.upload", "obstore", "finished", "bare")
    return {
        "obstore upload of a finished file": lambda: bench.run(*upload),
        "openssl: SHA-256 of the file, three times": lambda: bench.shell(
            "openssl dgst -sha256 finished finished finished"
        ),
    }


def _to_a_file(bench: Bench, how: str = "") -> dict[str, Callable[[], Cost]]:
    return {
        f"save FILE (verified, fsynced){how}": lambda: bench.agent("save", "ours.snap"),
        f"bao raft snapshot save; sync{how}": lambda: bench.shell(
            "$BAO operator raft snapshot save theirs.snap; sync theirs.snap"
        ),
    }


def _start_up(bench: Bench) -> None:
    bare = in_turn(
        ROUNDS,
        {
            "--help": lambda: bench.agent("--help"),
            "save FILE of a tiny snapshot": lambda: bench.agent("save", "tiny.snap"),
            "bao raft snapshot save; sync": lambda: bench.shell(
                "$BAO operator raft snapshot save tiny2.snap; sync tiny2.snap"
            ),
            "run --once to local and S3, tiny": lambda: bench.agent(
                "run", "--once", "-c", "agent.json"
            ),
            "python -c pass": lambda: bench.run(sys.executable, "-c", "pass"),
        },
        bench.clean,
    )
    _table("Start-up", bare)


def _idle(bench: Bench) -> None:
    """Watch a daemon that has taken its first snapshot and waits for the next."""
    with Daemon.start(bench) as daemon:
        used, resident = daemon.idle(IDLE_SECONDS), daemon.resident()
    print(f"\n## Idle daemon\n\n- {resident:.0f} MiB resident after a snapshot of the last size")
    print(f"- {used:.2%} of a core over {IDLE_SECONDS} s")


def _table(title: str, series: list[Series]) -> None:
    print(f"\n## {title}\n\n{_HEAD}")
    for one in series:
        figures = (one.median("wall"), one.median("cpu"), one.median("peak"))
        print("| {} | {:.2f} | {:.2f} | {:.0f} |".format(one.name, *figures))


if __name__ == "__main__":
    main()
