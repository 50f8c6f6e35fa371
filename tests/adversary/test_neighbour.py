"""A local user lays what he can; the agent uses, follows, waits for and trusts none of it."""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.adversary.agent import Bench, Worker
from tests.adversary.s3 import Store, answer
from tests.adversary.tricks import anything

NOBODY = 65534
FILE = "raft-snapshot-agent.yaml"
# Both users are needed: whoever runs the tests as himself has no second one.
root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


def evil(address: str) -> str:
    storage = {"type": "local", "path": "/var/backups/vault"}
    return json.dumps({"vault": {"address": address}, "run_on": "anywhere", "storages": [storage]})


def owned_by_another(path: Path, text: str) -> None:
    path.write_text(text)
    os.chown(path, NOBODY, NOBODY)


def linked_to_another(path: Path, text: str) -> None:
    target = path.with_name("other")
    owned_by_another(target, text)
    path.symlink_to(target)


def link_of_another(path: Path, text: str) -> None:
    target = path.with_name("other")
    target.write_text(text)
    path.symlink_to(target)
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def in_a_folder_of_anothers(path: Path, text: str) -> None:
    path.write_text(text)
    os.chown(path.parent, NOBODY, NOBODY)


def writable(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o666)


def writable_by_its_group(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o664)
    if os.geteuid() == 0:
        os.chown(path, 0, NOBODY)


def in_a_writable_folder(path: Path, text: str) -> None:
    path.write_text(text)
    path.parent.chmod(0o777)


def pipe(path: Path, _: str) -> None:
    os.mkfifo(path)


def endless(path: Path, _: str) -> None:
    path.symlink_to("/dev/zero")


def folder(path: Path, _: str) -> None:
    path.mkdir()


def huge(path: Path, _: str) -> None:
    with path.open("wb") as file:
        file.truncate(4 << 30)
    os.chown(path, NOBODY, NOBODY)


def loop(path: Path, _: str) -> None:
    path.symlink_to(path)


LAID: list[Callable[[Path, str], None]] = [
    *(writable, writable_by_its_group, in_a_writable_folder),
    *(pipe, endless, folder, loop),
]
BY_ANOTHER = [owned_by_another, linked_to_another, link_of_another, in_a_folder_of_anothers, huge]


@pytest.mark.parametrize("lay", [*LAID, *(pytest.param(one, marks=root) for one in BY_ANOTHER)])
def test_a_configuration_that_lies_about_is_not_used(
    lay: Callable[[Path, str], None], worker: Worker, tmp_path: Path
) -> None:
    where = tmp_path / "about"
    where.mkdir()
    with Store() as elsewhere:
        elsewhere.rules = [(anything, lambda exchange: answer(exchange, 200, b"{}"))]
        lay(where / FILE, evil(elsewhere.address))

        ended = worker.run("run", "--once", folder=where).holds()

        assert elsewhere.requests == []
    assert ended.code == 1, ended.said
    assert FILE in ended.said
    assert len(ended.said.splitlines()) == 1


def planted_pipe(path: Path) -> None:
    os.mkfifo(path)


def planted_link(path: Path) -> None:
    path.symlink_to(path.parent.parent / "precious")


def planted_folder(path: Path) -> None:
    path.mkdir()


def planted_file(path: Path) -> None:
    path.write_bytes(b"x")


def planted_socket(path: Path) -> None:
    one = socket.socket(socket.AF_UNIX)
    one.bind(os.path.relpath(path))
    one.close()


PLANTS = [planted_pipe, planted_link, planted_folder, planted_file, planted_socket]


@pytest.mark.parametrize("mode", [0o700, 0o777, 0o1777])
def test_a_spool_is_not_led_astray(
    mode: int, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    precious, spool = bench.root / "precious", bench.root / "spool"
    precious.write_bytes(b"precious")
    precious.chmod(0o644)
    spool.mkdir()
    monkeypatch.chdir(bench.root)
    for number, plant in enumerate(PLANTS):
        plant(spool / f"raft-snapshot-agent-{number:06x}.spool")
        plant(spool / f".raft-snapshot-agent-{number:06x}")
    spool.chmod(mode)

    outcome = bench.run()

    assert precious.read_bytes() == b"precious"
    assert stat.S_IMODE(precious.stat().st_mode) == 0o644
    if mode == 0o777:  # everybody could swap whatever the agent makes there
        assert (outcome.code, "chmod +t" in outcome.said) == (1, True), outcome.said
        return
    assert outcome.code == 0, outcome.said
    assert len(list(bench.honest.glob("*.snap"))) == 1


@pytest.mark.parametrize("name", ["spool", "honest"])
def test_a_folder_that_was_swapped_for_a_link_is_left_as_it_is(name: str, bench: Bench) -> None:
    target = bench.root / "of-somebody-else"
    target.mkdir(mode=0o755)
    target.chmod(0o755)
    where = bench.root / name
    if where.exists():
        where.rmdir()
    where.symlink_to(target)

    bench.run()

    assert stat.S_IMODE(target.stat().st_mode) == 0o755


def test_what_the_agent_makes_is_its_users_alone_whatever_the_umask(bench: Bench) -> None:
    bench.honest.rmdir()
    before, bench.worker = os.umask(0), Worker(bench.root)
    try:
        ended = bench.run()
    finally:
        os.umask(before)
        bench.worker.stop()
    assert ended.code == 0, ended.said
    made = [bench.honest, *bench.honest.iterdir(), bench.root / "spool"]
    assert [one for one in made if one.stat().st_mode & 0o077] == []
