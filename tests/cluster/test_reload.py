"""The daemon under another configuration, under signals, and under systemd."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.command import call
from tests.cluster.recording import recorded
from tests.faults.site import AGENT, Running, Site
from tests.lying import LyingProxy, times

from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.process import program, until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS


@pytest.fixture
def site(
    tmp_path: Path, seaweed: SeaweedFS, bucket: str, approle: AppRole, bao: OpenBaoCluster
) -> Iterator[Site]:
    with Site(tmp_path, seaweed, bucket, approle) as site:
        site.vault["address"] = bao.leader().address
        site.more |= {"storages": [site.local], "schedule": {"every": "1h"}}
        yield site


def wait_for(site: Site, count: int) -> None:
    until(lambda: len(site.names()[0]) == count, f"{count} snapshots", within=90)


def hang_up(daemon: Running) -> None:
    daemon.process.send_signal(signal.SIGHUP)


def stop(daemon: Running) -> str:
    daemon.process.terminate()
    ending = daemon.ended()
    assert ending.code == 0, ending.said
    return ending.said


def other_folder(site: Site, name: str) -> Path:
    """Let the configuration say another folder; return it."""
    folder = site.root / name
    folder.mkdir(exist_ok=True)
    site.more["storages"] = [site.local | {"path": str(folder)}]
    site.configuration()
    return folder


def test_a_new_configuration_takes_effect_again_and_again(site: Site) -> None:
    with site.command("run") as daemon:
        daemon.says("Successfully created local snapshot")
        for number in range(1, 6):
            folder = other_folder(site, f"folder-{number}")
            hang_up(daemon)
            daemon.says(f"Successfully created local snapshot to {folder}")
        said = stop(daemon)
    assert said.count("The new configuration is in force.") == 5
    assert len(site.files()) == 2


def test_an_unwrapped_secret_id_outlives_reloads(site: Site, bao: OpenBaoCluster) -> None:
    wrapped = site.root / "wrapped"
    with recorded(bao) as server:
        secret_id = server.wrapped("auth/approle/role/snapshot/secret-id").resolve()
    wrapped.write_text(secret_id)
    site.vault["auth"] |= {"secret_id": f"file://{wrapped}", "wrapped": True}
    with site.command("run") as daemon:
        daemon.says("Successfully created local snapshot")
        hang_up(daemon)
        daemon.says("Reloaded the configuration: unchanged.")
        with (site.root / "agent.yaml").open("a") as file:
            file.write("# a comment\n")
        until(lambda: daemon.said.count("unchanged.") == 2, "nothing has changed", within=90)
        folder = other_folder(site, "another")
        hang_up(daemon)
        daemon.says(f"Successfully created local snapshot to {folder}")
        assert "failed" not in stop(daemon)


def test_a_changed_file_is_noticed_without_a_signal(site: Site) -> None:
    with site.command("run") as daemon:
        daemon.says("Successfully created local snapshot")
        folder = other_folder(site, "another")
        daemon.says(f"Successfully created local snapshot to {folder}")
        stop(daemon)


def test_a_config_map_is_swapped_by_its_link(site: Site) -> None:
    def version(name: str) -> None:
        folder = site.root / name
        folder.mkdir()
        (folder / "agent.yaml").write_text(site.configuration().read_text())
        link = site.root / "..data_tmp"
        link.symlink_to(folder)
        link.rename(site.root / "..data")

    version("..2026_1")
    mounted = site.root / "mounted.yaml"
    mounted.symlink_to(Path("..data") / "agent.yaml")
    with Running(site.root, [AGENT, "run", "-c", str(mounted)]) as daemon:
        daemon.says("Successfully created local snapshot")
        folder = other_folder(site, "another")
        version("..2026_2")
        daemon.says(f"Successfully created local snapshot to {folder}")
        assert "the daemon (version" in call("status", "-c", mounted).text
        stop(daemon)


def test_a_wrong_configuration_is_refused_with_its_line_and_the_old_one_stays(site: Site) -> None:
    site.more["schedule"] = {"every": "3s"}
    with site.command("run") as daemon:
        daemon.says("Successfully created local snapshot")
        site.more["retentoin"] = {"last": 3}
        path = site.configuration()
        hang_up(daemon)
        daemon.says("The new configuration is refused, the old one stays in force: ")
        before = len(site.files())
        until(lambda: len(site.files()) > before, "it goes on under the old one", within=90)
        said = stop(daemon)
    (refusal,) = [line for line in said.splitlines() if "is refused" in line]
    assert f"{path}:" in refusal
    assert "retentoin: unknown key (did you mean 'retention'?)" in refusal
    assert "is in force" not in said


def test_a_snapshot_under_way_ends_under_the_old_configuration(site: Site) -> None:
    def slow(exchange: object) -> None:
        exchange.pause(3)  # type: ignore[attr-defined]
        exchange.relay(exchange.forward())  # type: ignore[attr-defined]

    with LyingProxy(site.vault["address"]) as server:
        server.snapshot = times(1, slow)
        site.behind(server)
        with site.command("run") as daemon:
            until(lambda: server.snapshot_requests, "a snapshot is under way", within=90)
            folder = other_folder(site, "another")
            hang_up(daemon)
            daemon.says(f"Successfully created local snapshot to {folder}")
            said = stop(daemon)
    order = ["local snapshot to " + str(site.folder), "is in force", f"snapshot to {folder}"]
    assert [said.index(words) for words in order] == sorted(said.index(words) for words in order)


def test_a_signal_takes_a_snapshot_now(site: Site) -> None:
    with site.command("run") as daemon:
        daemon.says("Successfully created local snapshot")
        for count in (2, 3):
            daemon.process.send_signal(signal.SIGUSR1)
            wait_for(site, count)
        stop(daemon)


def test_systemd_is_told(site: Site) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(site.root / "notify"))
        systemd.settimeout(30)
        environ = {"NOTIFY_SOCKET": str(site.root / "notify"), "WATCHDOG_USEC": "600000"}
        command = [program(AGENT), "run", "-c", str(site.configuration())]
        with subprocess.Popen(
            command,
            env={"PATH": os.environ["PATH"], "HOME": str(site.root)} | environ,
            stderr=subprocess.DEVNULL,
        ) as daemon:
            heard: list[str] = []

            def hear(words: str) -> None:
                while not any(words in one for one in heard):
                    heard.append(systemd.recv(1000).decode())

            try:
                hear("READY=1\nSTATUS=Next snapshot at ")
                hear("STATUS=Last snapshot at ")
                other_folder(site, "another")
                daemon.send_signal(signal.SIGHUP)
                hear("RELOADING=1\nMONOTONIC_USEC=")
                heard = [one for one in heard if "READY" not in one]
                hear("READY=1")
                hear("WATCHDOG=1")
                daemon.terminate()
                hear("STOPPING=1")
                assert daemon.wait(20) == 0
            finally:
                daemon.kill()
