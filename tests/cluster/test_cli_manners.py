"""How every command behaves: streams, exit codes, signals, secrets, help."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.command import AGENT, SEED, Terminal, call, environment, untouched
from tests.lying import LyingProxy, stall_after
from tests.processes.command import Command

from raft_snapshot_agent import __version__
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.process import until

COMMANDS = (
    (),
    ("run",),
    ("save",),
    ("list",),
    ("inspect",),
    ("verify",),
    ("fetch",),
    ("prune",),
    ("restore",),
    ("demo",),
    ("config",),
    ("config", "check"),
    ("config", "show"),
    ("config", "schema"),
)
ESCAPE = "\x1b["


@pytest.fixture
def document(bao: OpenBaoCluster, approle: AppRole, tmp_path: Path) -> dict[str, Any]:
    """What the agent of `bao` is told, storing on this disk only."""
    for name in ("spool", "snapshots"):
        (tmp_path / name).mkdir()
    auth = {"method": "approle", "role_id": approle.role_id, "secret_id": approle.secret_id}
    return {
        "vault": {"address": bao.leader().address, "auth": auth},
        "spool": str(tmp_path / "spool"),
        "storages": [{"type": "local", "path": str(tmp_path / "snapshots")}],
    }


@pytest.fixture
def file(document: dict[str, Any], tmp_path: Path) -> Path:
    return written(document, tmp_path / "agent.json")


@pytest.fixture
def listed(file: Path, tmp_path: Path) -> Path:
    """A configuration whose storage lists one snapshot."""
    (tmp_path / "snapshots" / "raft-snapshot-20261123T153000Z-i4711.snap").write_bytes(b"x")
    return file


@pytest.fixture
def stalling(bao: OpenBaoCluster, document: dict[str, Any]) -> Iterator[LyingProxy]:
    """A server that begins to send a snapshot and never ends."""
    with LyingProxy(bao.leader().address) as server:
        server.snapshot = stall_after(1000)
        leads = {"ha_enabled": True, "is_self": True, "leader_address": server.address}
        server.override("/v1/sys/leader", 200, leads)
        document["vault"]["address"] = server.address
        yield server


def written(document: dict[str, Any], file: Path) -> Path:
    file.write_text(json.dumps(document, indent=2))
    return file


# The configuration.


def test_the_configuration_may_stand_before_or_behind_the_command_or_in_the_environment(
    file: Path, tmp_path: Path
) -> None:
    other = written({"storages": [{"type": "local", "path": "/other"}]}, tmp_path / "other.json")
    ours = call("config", "show", "--config", file).document
    assert ours["storages"][0]["path"] == str(tmp_path / "snapshots")

    variable = {"RAFT_SNAPSHOT_AGENT_CONFIG": str(file)}
    for ended in (
        call("config", "show", "-c", file, env={"RAFT_SNAPSHOT_AGENT_CONFIG": str(other)}),
        call("--config", file, "config", "show"),
        call("-c", file, "config", "show"),
        call("-c", other, "config", "show", "-c", file),
        call("config", "show", env=variable),
    ):
        assert ended.code == 0
        assert ended.document == ours


def test_config_check_says_what_it_found_and_contacts_nobody(
    document: dict[str, Any], tmp_path: Path
) -> None:
    with untouched() as address:
        document["vault"]["address"] = f"http://{address}"
        ended = call("config", "check", "-c", written(document, tmp_path / "agent.json"))

    assert (ended.code, ended.data) == (0, b"")
    assert ended.talk == (
        f"{tmp_path / 'agent.json'}: the configuration is valid (storages: local)\n"
    )


def test_config_check_warns_of_a_file_without_storages(tmp_path: Path) -> None:
    file = written({"vault": {"auth": {"method": "token", "token": "t"}}}, tmp_path / "a.json")
    ended = call("config", "check", "-c", file)
    assert ended.code == 0
    assert "warning: " in ended.talk
    assert "no storage is configured: run does not start" in ended.talk


def test_config_show_hides_every_secret(document: dict[str, Any], tmp_path: Path) -> None:
    keys = {"access_key_id": "AKIDEXAMPLE0000", "secret_access_key": "tiptoptopsecret"}
    s3 = {"type": "s3", "bucket": "vault-backups", "region": "eu-central-1", **keys}
    document["storages"].append(s3)
    document["vault"]["auth"]["secret_id"] = "env://SECRET_ID"

    shown = call("config", "show", "-c", written(document, tmp_path / "agent.json"))

    assert shown.code == 0
    assert shown.document["storages"][1]["secret_access_key"] == "[hidden]"
    assert shown.document["vault"]["auth"]["secret_id"] == "env://SECRET_ID"
    for secret in (*keys.values(), document["vault"]["auth"]["role_id"]):
        assert secret not in shown.text + shown.talk


def test_config_schema_is_a_json_schema_with_a_default_for_no_secret() -> None:
    schema = call("config", "schema")

    assert schema.code == 0
    assert schema.talk == ""
    assert {"vault", "storages", "schedule"} <= schema.document["properties"].keys()


# Errors.


def test_a_traceback_is_shown_to_those_who_ask(tmp_path: Path) -> None:
    empty = tmp_path / "empty.snap"
    empty.touch()

    plain = call("inspect", empty)
    before, behind = call("--debug", "inspect", empty), call("inspect", empty, "--debug")

    assert [one.code for one in (plain, before, behind)] == [4, 4, 4]
    assert "Traceback" not in plain.talk
    for one in (before, behind):
        assert "Traceback (most recent call last)" in one.talk
        assert one.talk.splitlines()[-1] == plain.error.rstrip("\n")


def test_neither_an_error_nor_a_traceback_holds_a_secret() -> None:
    token = "hvs.CAESIJ0123456789abcdefghij"

    plain, traced = call("list", "-c", token), call("--debug", "list", "-c", token)

    assert plain.code == traced.code == 1
    assert "cannot read the configuration [" in plain.error
    assert "Traceback" in traced.talk
    for ended in (plain, traced):
        assert token not in ended.talk


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lst"], "Did you mean 'list'?"),
        (["list", "--formt", "json"], "--format"),
        (["list", "--format", "xml"], "'xml' is not one of 'table', 'json'"),
        (["inspect", "a", "b"], "extra argument"),
        (["config", "chek"], "Did you mean 'check'"),
    ],
)
def test_a_mistyped_command_is_one_line_that_helps(arguments: list[str], words: str) -> None:
    ended = call(*arguments)

    assert ended.code == 1
    assert words in ended.error
    assert ended.error.endswith("(see --help)\n")
    assert ended.data == b""


@pytest.mark.parametrize("arguments", [["a", "b"], ["--config"]])
def test_a_mistyped_seed_command_shows_its_usage(arguments: list[str]) -> None:
    ended = call(*arguments, program=SEED)

    assert ended.code == 1
    assert "Usage: vault_raft_snapshot_agent [CONFIG]" in ended.error


def test_the_seed_command_reads_its_own_place_by_default() -> None:
    ended = call(program=SEED)

    assert ended.code == 1
    assert "cannot read the configuration /etc/vault.d/snapshot.json" in ended.error


# Help.


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help(command: tuple[str, ...]) -> None:
    ended = call(*command, "--help")

    assert ended.code == 0
    assert ended.talk == ""
    usage, _, what, *_ = ended.text.splitlines()
    assert usage.startswith(" ".join(["Usage: raft-snapshot-agent", *command, "[OPTIONS]"]))
    assert what.strip()
    assert "[[" not in usage
    assert max(map(len, ended.text.splitlines())) <= 80


def test_the_version_and_the_seed_commands_help_are_data() -> None:
    version, usage = call("--version"), call("--help", program=SEED)

    assert (version.code, version.text) == (0, f"raft-snapshot-agent {__version__}\n")
    assert (usage.code, usage.text) == (0, "Usage: vault_raft_snapshot_agent [CONFIG]\n")


# Terminals and pipes.


def test_a_terminal_gets_bold_headings_unless_it_wants_no_colour(listed: Path) -> None:
    bold, *plain = (
        shown_in(listed, env) for env in ({"NO_COLOR": ""}, {"NO_COLOR": "1"}, {"TERM": "dumb"})
    )
    assert ESCAPE in bold
    for shown in plain:
        assert ESCAPE not in shown
        assert "raft-snapshot-20261123T153000Z-i4711.snap" in shown


def shown_in(listed: Path, env: dict[str, str]) -> str:
    with Terminal("list", "-c", listed, env={"TERM": "xterm", **env}) as terminal:
        assert terminal.ended() == 0
        return terminal.shown


def test_a_pipe_gets_neither_colour_nor_line_breaks(listed: Path) -> None:
    ended = call("list", "-c", listed, env={"COLUMNS": "20", "TERM": "xterm-256color"})

    assert ESCAPE not in ended.text
    assert len(ended.text.splitlines()) == 2


@pytest.mark.parametrize("arguments", [["list"], ["config", "show"], ["config", "schema"], []])
def test_a_reader_who_has_seen_enough_is_no_error(listed: Path, arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    options = ["-c", str(listed)] if arguments in (["list"], ["config", "show"]) else []
    with Command(
        [*(arguments or ["--help"]), *options], stdout=write, env=environment()
    ) as command:
        os.close(write)
        _, talk = command.communicate(timeout=90)

    told = f"configuration: {listed}\n" if arguments == ["config", "show"] else ""
    assert talk.decode() == told
    assert command.returncode == 1


def test_a_full_disk_behind_standard_output_is_told(listed: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        for arguments in (["list", "-c", str(listed)], ["config", "schema"]):
            with Command(arguments, stdout=full.fileno(), env=environment()) as command:
                _, talk = command.communicate(timeout=90)
            assert command.returncode == 1
            assert talk == b"error: cannot write to standard output: No space left on device\n"


def test_nowhere_to_write_is_no_defect(listed: Path) -> None:
    for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
        script = f'exec "$@" {closed}'
        done = subprocess.run(
            ["/bin/sh", "-c", script, "sh", *AGENT, "list", "-c", str(listed)],
            capture_output=True,
            env=environment(),
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, b"")


def test_what_is_said_to_a_closed_stream_goes_into_no_other_file(tmp_path: Path) -> None:
    """A file that is opened later must not get the number of the stream that was closed."""
    script = """
import sys
from raft_snapshot_agent import __main__ as program
def work():
    sys.stdout.write(f"{sys.stderr.fileno()}\\n")
    with open(sys.argv[1], "w"):
        sys.stderr.write("a line of the log\\n")
    raise SystemExit(0)
program._end_at_once(work)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "file")]
    shell = ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *command]
    done = subprocess.run(shell, stdout=subprocess.PIPE, check=True, env=environment())
    assert (tmp_path / "file").read_text() == ""
    assert done.stdout == b"2\n"


@pytest.mark.parametrize(
    ("arguments", "closed", "said"),
    [
        (["fetch", "--latest", "-o", "-"], (1,), "cannot write to standard output: it is closed"),
        (["save", "-"], (1,), "cannot write to standard output: it is closed"),
        (["inspect", "-"], (0,), "cannot read standard input: it is closed"),
        (["diff", "-", "-"], (0,), "standard input"),
        (["restore", "-"], (0,), ""),
        (["recover", "--latest", "a/b"], (0,), ""),
        (["fetch", "--latest", "-o", "-"], (1, 2, 0), ""),
        (["inspect", "-"], (0, 2), ""),
    ],
)
def test_a_closed_stream_is_told_in_one_line(
    listed: Path, arguments: list[str], closed: tuple[int, ...], said: str
) -> None:
    code, written, talk = with_closed(closed, *arguments, "-c", str(listed))
    assert code == 1, (written, talk)
    assert written == b""
    assert len(talk.splitlines()) == (0 if 2 in closed else 1)
    assert said in talk.decode()
    assert b"a bug" not in talk


def test_verify_tells_a_closed_stream_in_its_table(listed: Path) -> None:
    code, written, talk = with_closed((0,), "verify", "-", "-c", str(listed))
    assert code == 1
    assert b"cannot read standard input: it is closed" in written
    assert b"a bug" not in written + talk


def with_closed(closed: tuple[int, ...], *arguments: str) -> tuple[int, bytes, bytes]:
    """Run a command that some of the standard files are closed for from the start."""
    command = Command(arguments, env=environment(), stdin=subprocess.PIPE, closed=closed)
    with command:
        written, talk = command.communicate(timeout=90)
        return command.wait(), written, talk


# Signals and secrets.


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_save_and_leaves_nothing(
    stalling: LyingProxy, file: Path, tmp_path: Path, number: int, code: int
) -> None:
    with Command(["save", "-c", file], env=environment()) as process:
        until(lambda: stalling.snapshot_requests, "the snapshot is asked for", within=90)
        process.send_signal(number)
        _, talk = process.communicate(timeout=30)

    assert process.returncode == code
    assert b"Traceback" not in talk
    assert [*(tmp_path / "spool").iterdir()] == []
    assert [*(tmp_path / "snapshots").iterdir()] == []


@pytest.mark.parametrize("command", ["inspect", "fetch"])
def test_a_signal_ends_the_wait_for_a_slow_pipe(command: str, tmp_path: Path) -> None:
    read, write = os.pipe()
    os.write(write, b"\x1f\x8b")
    options = ["-o", str(tmp_path / "copy")] if command == "fetch" else []
    with Command([command, "-", *options], stdin=read, env=environment()) as process:
        until(lambda: catches(process, signal.SIGINT), "the command is at work", within=90)
        process.send_signal(signal.SIGINT)
        _, talk = process.communicate(timeout=30)
    os.close(read)
    os.close(write)

    assert (process.returncode, talk) == (130, b"")
    assert [*tmp_path.iterdir()] == []


def catches(process: Command, number: signal.Signals) -> bool:
    """Whether a process handles a signal by the event loop, which sets SIGTERM's too."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    mask = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(mask & (1 << (number - 1)) and mask & (1 << (signal.SIGTERM - 1)))


def test_no_process_list_shows_a_secret(
    stalling: LyingProxy, document: dict[str, Any], file: Path
) -> None:
    token = "s.0123456789abcdefghijklmn"
    with subprocess.Popen(
        [*AGENT, "save", "-c", file],
        stderr=subprocess.PIPE,
        env=environment({"VAULT_TOKEN": token}),
    ) as process:
        until(lambda: stalling.snapshot_requests, "the snapshot is asked for", within=90)
        told = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        told += Path(f"/proc/{process.pid}/comm").read_bytes()
        process.terminate()
        _, talk = process.communicate(timeout=30)

    secrets = (token, document["vault"]["auth"]["secret_id"])
    assert [one for one in secrets if one.encode() in told + talk] == []
    assert str(file).encode() in told


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("list", "--cluster", "a", "--cluster", "b"), "'--cluster': give it once"),
        (("--cluster", "a", "--cluster", "b", "list"), "'--cluster': give it once"),
        (("--cluster", "a", "list", "--cluster", "a"), "'--cluster': give it once"),
        (("--cluster", "a", "config", "show", "--cluster", "b"), "'--cluster': give it once"),
        (("fetch", "-o", ""), "'--output' / '-o': it is empty"),
        (("save", ""), "it is empty"),
        (("run", "--once", "--cluster", ""), "'--cluster': it is empty"),
        (("--cluster", "", "save"), "'--cluster': it is empty"),
        (("verify", "--all", "--storage", ""), "'--storage': it is empty"),
        (("restore", ""), "it is empty"),
        (("inspect", "a", "--depth", "9" * 20), "'--depth'"),
    ],
)
def test_what_would_mean_something_else_is_refused(arguments: tuple[str, ...], why: str) -> None:
    done = call(*arguments)
    assert done.code == 1
    assert why in done.talk


def test_what_may_be_repeated_is() -> None:
    done = call("--debug", "--debug", "check", "--storage", "a", "--storage", "b", "-c", "/none")
    assert "give it once" not in done.talk + done.data.decode()
