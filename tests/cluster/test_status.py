"""`status`: of a daemon that runs, and of the storages where none does."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml
from tests.cluster.command import Ending, call
from tests.faults.site import AGENT as AGENT_NAME
from tests.faults.site import Running, Site

from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS
from raft_snapshot_agent.service.runtime_folder import (
    make_runtime_folder,
    remove_dead_sockets,
    socket_name,
)


@pytest.fixture
def site(
    tmp_path: Path, seaweed: SeaweedFS, bucket: str, approle: AppRole, bao: OpenBaoCluster
) -> Iterator[Site]:
    with Site(tmp_path, seaweed, bucket, approle) as site:
        site.vault["address"] = bao.leader().address
        yield site


def ask(*options: str, site: Site) -> Ending:
    """Ask with the file as it lies there: to write it anew would be a reload."""
    return call("status", *options, "-c", str(site.root / "agent.yaml"))


def test_a_running_daemon_says_how_things_stand(site: Site) -> None:
    with site.command("run") as daemon:
        well = ("All is well: the daemon ", "is backed up by this agent")
        until(lambda: all(map(ask(site=site).text.count, well)), "it is stored", within=60)
        ending = ask("-v", site=site)
        assert ending.code == 0, ending.text
        assert "All is well: the daemon (version " in ending.text
        assert "is backed up by this agent, from http" in ending.text
        assert "the next is due in" in ending.text
        told = json.loads(ask("--format", "json", site=site).text)
        (cluster,) = told["clusters"]
        assert cluster["role"] == "works"
        assert [one["stored"] for one in cluster["storages"]] == [1, 1]
        assert [one["outcome"] for one in cluster["runs"]] == ["ok"]
        daemon.process.send_signal(signal.SIGTERM)
        assert daemon.ended().code == 0
    ending = ask(site=site)
    assert ending.code == 0, ending.text
    assert "All is well: from the storages, as no daemon" in ending.text


def test_without_a_daemon_nobody_is_told_to_wait_for_a_snapshot(site: Site) -> None:
    site.configuration()
    ending = ask(site=site)
    assert ending.code == 2
    assert "Failing: from the storages, as no daemon" in ending.text
    assert "wait" not in ending.text


def test_a_refused_configuration_is_told_by_the_daemon_that_still_runs(site: Site) -> None:
    file = site.root / "agent.yaml"
    with site.command("run") as daemon:
        daemon.says("Successfully created", within=60)
        file.write_text("vault: {adress: 'http://127.0.0.1:9'}\n")
        daemon.process.send_signal(signal.SIGHUP)
        daemon.says("The new configuration is refused")
        until(lambda: "is refused: " in ask(site=site).text, "it is told", within=60)
        ending = ask(site=site)
    assert ending.code == 6
    assert "attention  -  the new configuration is refused: " in ending.text
    assert "adress" in ending.text
    # Without the daemon the file is all there is to go by.
    assert "adress" in ask(site=site).error


def test_one_of_several_clusters_and_one_that_is_disabled(site: Site, tmp_path: Path) -> None:
    site.configuration()
    file = site.root / "agent.yaml"
    document = yaml.safe_load(file.read_text())
    broken = {"vault": {"address": "http://127.0.0.1:9", "tls": {"ca_file": str(tmp_path / "no")}}}
    storages = [{"type": "local", "path": str(site.folder), "name": "folder"}]
    document = {
        "spool": document["spool"],
        "storages": storages,
        "clusters": {"prod": {"vault": document["vault"]}, "test": broken},
    }
    file.write_text(yaml.safe_dump(document))
    with Running(tmp_path, [AGENT_NAME, "run", "-c", str(file)]) as daemon:
        daemon.says("Successfully created", within=60)
        well = ("All is well: ", "prod is backed up by this agent")

        def is_stored() -> bool:
            return all(map(ask("--cluster", "prod", site=site).text.count, well))

        until(is_stored, "it is stored", within=60)
        test = ask("--cluster", "test", site=site)
        both = ask(site=site)
        none = ask("--cluster", "pord", site=site)
    assert (test.code, both.code) == (2, 2)
    assert "no snapshots are taken, the configuration is invalid: " in test.text
    assert "\ntest is disabled, its configuration is invalid\n" in test.text
    assert "prod" not in test.text
    assert "prod is backed up by this agent" in both.text
    assert "no cluster is called 'pord' (there are: prod, test)" in none.error


def test_what_fails_is_told_with_what_to_do(site: Site) -> None:
    site.vault["address"] = "http://127.0.0.1:9"
    with site.command("run") as daemon:
        daemon.says("Snapshot failed")
        until(lambda: "Failing: " in ask(site=site).text, "it is known", within=60)
        ending = ask(site=site)
    assert ending.code == 2
    assert "no snapshot could be taken: cannot reach http://127.0.0.1:9" in ending.text
    assert "-> find the cause: raft-snapshot-agent doctor" in ending.text
    assert len(ask("-q", site=site).text.splitlines()) == 1


@pytest.fixture
def answering() -> Iterator[tuple[str, list[bytes]]]:
    """A server that answers what it is told to."""
    answers: list[bytes] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answers[-1])

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", answers
        server.shutdown()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[" * 100_000,
        b'{"clusters": 1}',
        b'{"clusters": [{}], "problems": []}',
        b'{"clusters": [], "problems": 5}',
        b'{"clusters": [], "problems": [{"severity": []}], "summary": "\\u001b[2J"}',
    ],
)
def test_an_address_that_answers_anything_else_is_told_in_one_line(
    answering: tuple[str, list[bytes]], answer: bytes
) -> None:
    address, answers = answering
    answers.append(answer)
    done = call("status", "--url", address)
    assert done.code == 1
    assert "a bug" not in done.talk
    assert len(done.talk.splitlines()) == 1


def test_addresses_that_are_none() -> None:
    for url in ("127.0.0.1:8299", "ftp://a", "http://user:secret@a"):
        done = call("status", "--url", url)
        assert done.code == 1
        assert "--url: not the address of an agent" in done.talk
        assert "secret" not in done.talk
    done = call("status", "--url", "http://127.0.0.1:9")
    assert done.code == 2
    assert "cannot ask http://127.0.0.1:9/api/v1/status: connection refused" in done.talk


def test_a_daemon_is_found_by_any_path_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, link = tmp_path / "folder", tmp_path / "link"
    folder.mkdir()
    link.symlink_to(folder)
    (folder / "1.yaml").touch()
    (folder / "agent.yaml").symlink_to("1.yaml")
    monkeypatch.chdir(link)
    named = [Path("agent.yaml"), folder / "agent.yaml", link / "agent.yaml"]
    names = {socket_name(path) for path in named}
    (folder / "2.yaml").touch()
    (folder / "agent.yaml").unlink()
    (folder / "agent.yaml").symlink_to("2.yaml")  # as Kubernetes does
    assert {socket_name(path) for path in named} == names
    assert len(names) == 1


def test_sockets_of_the_dead_go_and_those_of_the_living_stay(tmp_path: Path) -> None:
    folder = make_runtime_folder({"RUNTIME_DIRECTORY": str(tmp_path)})
    assert folder == tmp_path
    dead, living = folder / socket_name(None), folder / socket_name(Path("/a"))
    with socket.socket(socket.AF_UNIX) as gone, socket.socket(socket.AF_UNIX) as there:
        gone.bind(str(dead))
        there.bind(str(living))
        there.listen()
        gone.close()
        remove_dead_sockets(folder)
        assert dead.exists(), "it is young"
        for path in (dead, living):
            os.utime(path, (0, 0))
        remove_dead_sockets(folder)
        assert [*folder.iterdir()] == [living]


def test_a_folder_that_others_may_write_to_is_none(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError):
        make_runtime_folder({"RUNTIME_DIRECTORY": str(tmp_path)})
