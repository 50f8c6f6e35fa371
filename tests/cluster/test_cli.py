"""The commands, as an operator types them, against real servers and storages."""

from __future__ import annotations

import json
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cluster.command import AGENT, Ending, Terminal, call, environment, untouched
from tests.faults.site import PREFIX, Site, proved
from tests.lying import LyingProxy, halve

from raft_snapshot_agent.core.snapshots.naming import manifest_name
from raft_snapshot_agent.core.snapshots.snapshot import Sidecar
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS


def at(site: Site, *arguments: str | Path, stdin: bytes | None = None) -> Ending:
    """Run a command at a site; no secret is in what it writes."""
    ended = call(*arguments, "--config", site.configuration(), stdin=stdin)
    said = ended.data.decode(errors="replace") + ended.talk
    assert [secret for secret in site._secrets() if secret in said] == []
    return ended


def working_site(
    folder: Path, seaweed: SeaweedFS, approle: AppRole, cluster: OpenBaoCluster
) -> Site:
    bucket = f"test-{secrets.token_hex(6)}"
    seaweed.create_bucket(bucket)
    site = Site(folder, seaweed, bucket, approle)
    site.vault["address"] = cluster.leader().address
    return site


@pytest.fixture
def site(
    tmp_path: Path, seaweed: SeaweedFS, approle: AppRole, bao: OpenBaoCluster
) -> Iterator[Site]:
    """An agent's place, to be changed at will."""
    with working_site(tmp_path, seaweed, approle, bao) as site:
        yield site


@pytest.fixture(scope="module")
def kept(
    tmp_path_factory: pytest.TempPathFactory,
    seaweed: SeaweedFS,
    approle: AppRole,
    bao: OpenBaoCluster,
) -> Iterator[Site]:
    """A place with one snapshot in both storages, for tests that change nothing."""
    with working_site(tmp_path_factory.mktemp("kept"), seaweed, approle, bao) as site:
        assert at(site, "save").code == 0
        yield site


@pytest.fixture(scope="module")
def name(kept: Site) -> str:
    """The snapshot that `kept` holds twice."""
    (local,), (remote,) = kept.names()
    assert local == remote
    return local


def without_bucket(site: Site) -> None:
    site.s3["bucket"] = "no-such-bucket"


# save


def test_save_stores_in_every_storage_and_says_where(site: Site) -> None:
    ended = at(site, "save")

    assert ended.code == 0
    assert ended.data == b""
    (local,), (remote,) = site.names()
    assert local == remote
    first, second = ended.talk.splitlines()
    assert first.startswith(f"Saved and verified: {site.folder / local} (index ")
    assert second.startswith(f"Saved and verified: s3://{site.bucket}/{PREFIX}{remote} (index ")
    assert manifest_name(local) in site.files()
    assert manifest_name(remote) in site.objects()
    assert site.leftovers() == []


def test_save_can_be_told_one_storage(site: Site) -> None:
    assert at(site, "save", "--storage", "local").code == 0

    local, remote = site.names()
    assert len(local) == 1
    assert remote == []


def test_save_into_a_file_needs_the_environment_only(bao: OpenBaoCluster, tmp_path: Path) -> None:
    target = tmp_path / "here" / "vault.snap"
    target.parent.mkdir()
    env = {"VAULT_ADDR": bao.leader().address, "VAULT_TOKEN": bao.root_token}

    ended = call("save", "vault.snap", env=env, cwd=target.parent)

    assert ended.code == 0
    assert ended.data == b""
    assert ended.talk.startswith(f"Saved and verified: {target} (index ")
    assert [*target.parent.iterdir()] == [target]
    assert target.stat().st_mode & 0o777 == 0o600
    assert call("verify", target).code == 0


def test_save_into_a_file_leaves_the_storages_alone(site: Site) -> None:
    target = site.root / "once.snap"

    assert at(site, "save", target).code == 0

    assert call("verify", target).code == 0
    assert site.names() == ([], [])


def test_a_file_that_is_written_again_has_no_manifest_of_another(site: Site) -> None:
    target, beside = site.root / "x.snap", site.root / manifest_name("x.snap")
    assert at(site, "save", "--storage", "local").code == 0
    (name,) = (one for one in site.names()[0] if not one.endswith(".json"))

    commands: list[list[str | Path]] = [["save", target], ["fetch", "bare.snap", "-o", target]]
    for again in commands:
        target.unlink(missing_ok=True)
        assert at(site, "fetch", name, "-o", target).code == 0
        (site.folder / "bare.snap").write_bytes((site.folder / name).read_bytes())
        refused = at(site, *again)
        assert (refused.code, "x.snap exists already (give --force" in refused.error) == (1, True)
        target.unlink()
        refused = at(site, *again)
        assert (refused.code, f"{beside} exists already (give" in refused.error) == (1, True)
        assert at(site, *again, "--force").code == 0

        assert not beside.exists()
        assert call("verify", target).code == 0


def test_a_file_with_the_name_of_a_manifest_is_left_alone(site: Site) -> None:
    assert at(site, "save", "--storage", "local").code == 0
    mine = site.root / "mine.json"
    mine.write_text('{"mine": true}')

    for command in ("save {}", "fetch --latest -o {}", "fetch --force --latest -o {}"):
        refused = at(site, *command.format(site.root / "mine").split())
        assert refused.code == 1
        assert f"{mine} exists already, and is not the manifest of a snapshot" in refused.error
    assert mine.read_text() == '{"mine": true}'
    assert not (site.root / "mine").exists()


def test_save_into_a_pipe_writes_the_snapshot_and_nothing_else(site: Site) -> None:
    ended = at(site, "save", "-")

    assert ended.code == 0
    assert ended.talk.startswith("Saved and verified: standard output (index ")
    assert call("inspect", "-", stdin=ended.data).code == 0
    assert site.names() == ([], [])
    assert site.leftovers() == []


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("missing/vault.snap", "No such file or directory"),
        ("snapshots", "it is a folder"),
        ("/dev/null/vault.snap", "Not a directory"),
    ],
)
def test_save_into_a_file_that_cannot_be_is_refused_before_anything(
    site: Site, target: str, why: str
) -> None:
    with untouched() as address:
        site.vault["address"] = f"http://{address}"
        ended = at(site, "save", site.root / target)

    assert ended.code == 1
    assert f"cannot write {site.root / target}: {why} (" in ended.error


def test_save_to_a_terminal_is_refused_before_anything(site: Site) -> None:
    with untouched() as address:
        site.vault["address"] = f"http://{address}"
        with Terminal("save", "-", "-c", site.configuration()) as terminal:
            assert terminal.ended() == 1

    assert "not for a terminal (redirect it: save - > FILE)" in terminal.shown


def test_save_with_one_storage_failing_is_partial(site: Site) -> None:
    without_bucket(site)

    ended = at(site, "save")

    assert ended.code == 3
    good, bad = ended.talk.splitlines()
    assert good.startswith(f"Saved and verified: {site.folder}/")
    assert bad.startswith("error: s3: ")
    assert "no-such-bucket" in bad
    assert len(site.files()) == 2


def test_save_with_every_storage_failing_is_remote(site: Site) -> None:
    without_bucket(site)

    ended = at(site, "save", "--storage", "s3")

    assert ended.code == 2
    assert ended.error.startswith("error: s3: ")


def test_save_of_a_broken_snapshot_stores_nothing(site: Site) -> None:
    with LyingProxy(site.vault["address"]) as server:
        server.snapshot = halve()
        server.override("/v1/sys/leader", 200, leads(server))
        site.vault["address"] = server.address
        ended = at(site, "save")

    assert ended.code == 4
    assert "the snapshot is broken" in ended.error
    assert site.names() == ([], [])
    assert site.leftovers() == []


def test_save_without_a_server_is_remote(site: Site) -> None:
    with untouched() as address:
        pass
    site.vault["address"] = f"http://{address}"

    ended = at(site, "save")

    assert ended.code == 2
    assert f"cannot reach http://{address}" in ended.error


def leads(server: LyingProxy) -> dict[str, object]:
    """What a leader says that is known under the proxy's address alone."""
    return {"ha_enabled": True, "is_self": True, "leader_address": server.address}


# list


def test_save_shows_how_far_it_is_to_who_watches(site: Site) -> None:
    with Terminal("save", "-c", site.configuration()) as terminal:
        assert terminal.ended() == 0
        assert "receiving" in terminal.shown
        assert "Saved and verified: " in terminal.shown

    assert "receiving" not in at(site, "save").talk


def test_list_shows_every_storage(kept: Site, name: str) -> None:
    ended = at(kept, "list")

    assert ended.code == 0
    assert ended.talk == ""
    heading, *rows = ended.text.splitlines()
    columns = ["STORAGE", "NAME", "TAKEN", "AGE", "SIZE", "INDEX", "STATE", "READ", "DRILL"]
    assert heading.split() == columns
    assert [row.split()[:2] for row in rows] == [["local", name], ["s3", name]]
    assert {row.split()[-3] for row in rows} == {"verified"}


def test_list_as_json_tells_where_everything_lies(kept: Site, name: str) -> None:
    local, remote = at(kept, "list", "--format", "json").document

    assert local["location"] == str(kept.folder / name)
    assert remote["location"] == f"s3://{kept.bucket}/{PREFIX}{name}"
    snapshot = kept.stored()[0][name]
    for one in (local, remote):
        assert one["name"] == name
        assert (one["size"], one["index"]) == (snapshot.size, snapshot.meta.index)
        assert one["state"] == "verified"


def test_list_can_be_told_one_storage(kept: Site) -> None:
    rows = at(kept, "list", "--storage", "s3", "--format", "json").document

    assert [row["storage"] for row in rows] == ["s3"]


def test_list_with_one_storage_down_lists_the_rest(site: Site) -> None:
    at(site, "save", "--storage", "local")
    without_bucket(site)

    ended = at(site, "list")

    assert ended.code == 3
    assert ended.error.startswith("error: s3: ")
    assert [row.split()[0] for row in ended.text.splitlines()[1:]] == ["local"]


def test_list_with_nothing_stored_says_so(site: Site) -> None:
    ended = at(site, "list")

    assert (ended.code, ended.data) == (0, b""), ended.talk
    assert ended.talk == "no snapshot is stored yet\n"
    assert at(site, "list", "--format", "json").document == []


def test_list_does_not_invent_the_time_of_a_static_name(site: Site) -> None:
    site.local["static_name"] = "vault.snap"
    (site.folder / "vault.snap").write_bytes(b"x")

    table = at(site, "list", "--storage", "local")
    (row,) = at(site, "list", "--storage", "local", "--format", "json").document

    assert table.text.split()[9:] == [
        *("local", "vault.snap", "-", "-", "1", "B", "-", "unverified", "-", "-")
    ]
    assert row["taken_at"] is None
    assert at(site, "save", "--storage", "local").code == 0
    (row,) = at(site, "list", "--storage", "local", "--format", "json").document
    assert row["taken_at"] is not None
    assert row["state"] == "verified"


# inspect


def test_inspect_tells_what_a_stored_snapshot_says_of_itself(kept: Site, name: str) -> None:
    told = at(kept, "inspect", name, "--format", "json").document

    snapshot = kept.stored()[0][name]
    assert told["snapshot"] == str(kept.folder / name)
    assert told["state"] == "whole"
    assert (told["index"], told["term"]) == (snapshot.meta.index, snapshot.meta.term)
    assert told["sha256"] == snapshot.sha256
    assert told["server"].startswith("openbao ")
    assert told["node"] == kept.vault["address"]
    assert told["raft_nodes"] == "bao0"


def test_inspect_takes_the_newest_of_all_storages(kept: Site, name: str) -> None:
    for arguments in (["--latest"], []):
        told = at(kept, "inspect", *arguments)
        assert told.code == 0
        assert f"{name}\n" in told.text


def test_inspect_of_a_file_or_a_pipe_needs_no_configuration(kept: Site, name: str) -> None:
    file = kept.folder / name

    beside = call("inspect", file)
    relative = call("inspect", name, cwd=kept.folder)
    piped = call("inspect", "-", stdin=file.read_bytes())

    assert [one.code for one in (beside, relative, piped)] == [0, 0, 0]
    assert "cluster_id" in beside.text
    assert "cluster_id" in relative.text
    assert "cluster_id" not in piped.text
    assert "snapshot    standard input\n" in piped.text


def test_inspect_of_a_broken_file_names_it(kept: Site, name: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.snap"
    broken.write_bytes((kept.folder / name).read_bytes()[:-9])

    for ended in (call("inspect", broken), call("fetch", broken, "-o", tmp_path / "copy")):
        assert ended.code == 4
        assert f"error: {broken}: the snapshot is broken" in ended.error
        assert ended.data == b""
    assert [*tmp_path.iterdir()] == [broken]


def test_what_is_not_there_is_named(kept: Site, tmp_path: Path) -> None:
    unknown, missing = at(kept, "inspect", "nobody.snap"), call("inspect", tmp_path / "no.snap")

    assert (unknown.code, missing.code) == (2, 1)
    assert "no snapshot is called nobody.snap" in unknown.error
    assert f"cannot read {tmp_path / 'no.snap'}: No such file" in missing.error


# verify


def test_verify_proves_names_files_pipes_and_the_newest(kept: Site, name: str) -> None:
    content = (kept.folder / name).read_bytes()
    for ended in (
        at(kept, "verify", name),
        at(kept, "verify", "--latest"),
        call("verify", kept.folder / name),
        call("verify", "-", stdin=content),
    ):
        assert ended.code == 0
        heading, row = ended.text.splitlines()
        assert heading.split() == ["STATE", "SNAPSHOT", "DETAIL"]
        assert row.startswith("whole")


def test_verify_all_finds_the_one_that_broke(site: Site) -> None:
    at(site, "save")
    at(site, "save")
    broken = site.keys()[0]
    content = bytearray(site.objects()[broken.removeprefix(PREFIX)])
    content[len(content) // 2] ^= 1
    site.client.put_object(Bucket=site.bucket, Key=broken, Body=bytes(content))

    ended = at(site, "verify", "--all", "--format", "json")

    assert ended.code == 4
    verdicts = {row["snapshot"]: row["state"] for row in ended.document}
    assert len(verdicts) == 4
    assert [one for one, state in verdicts.items() if state == "broken"] == [
        f"s3://{site.bucket}/{broken}"
    ]
    assert set(verdicts.values()) == {"whole", "broken"}


def test_verify_notices_a_snapshot_that_was_replaced(site: Site) -> None:
    at(site, "save", "--storage", "local")
    at(site, "save", "--storage", "local")
    first, second = site.names()[0]
    shutil.copyfile(site.folder / second, site.folder / first)

    ended = at(site, "verify", first)

    assert ended.code == 4
    assert "not the snapshot its manifest describes" in ended.text


def test_verify_notices_a_snapshot_under_another_name(site: Site) -> None:
    at(site, "save", "--storage", "local")
    (name,) = site.names()[0]
    other = name.replace("raft-snapshot-20", "raft-snapshot-21")  # in a hundred years
    for suffix in ("", Sidecar.MANIFEST):
        shutil.copyfile(site.folder / f"{name}{suffix}", site.folder / f"{other}{suffix}")

    for words in (["--all", "--storage", "local"], [other]):
        ended = at(site, "verify", *words)
        assert ended.code == 4
        (row,) = (row for row in ended.text.splitlines() if other in row)
        assert row.startswith("mismatch")
        assert "name, size, index or time differ from its manifest" in row
    (row,) = (row for row in at(site, "list").text.splitlines() if other in row)
    assert re.search(r" in 36\d{3}d", row)


def test_verify_all_goes_on_past_a_storage_that_is_down(site: Site) -> None:
    at(site, "save", "--storage", "local")
    without_bucket(site)

    ended = at(site, "verify", "--all", "--format", "json")

    assert ended.code == 3
    assert [row["state"] for row in ended.document] == ["whole", "unreadable"]
    assert ended.document[1]["snapshot"] == "s3"


# fetch


def test_fetch_copies_into_a_file_or_a_folder(kept: Site, name: str, tmp_path: Path) -> None:
    for place in ("file", "folder", "copy"):
        (tmp_path / place).mkdir()
    original = (kept.folder / name).read_bytes()
    beside = (kept.folder / manifest_name(name)).read_bytes()

    assert at(kept, "fetch", name, "-o", tmp_path / "file" / "x").code == 0
    assert at(kept, "fetch", "--latest", "--output", tmp_path / "folder").code == 0
    assert call("fetch", kept.folder / name, cwd=tmp_path / "copy").code == 0

    for place, called in (("file", "x"), ("folder", name), ("copy", name)):
        held = {path.name: path.read_bytes() for path in (tmp_path / place).iterdir()}
        assert held == {called: original, manifest_name(called): beside}


def test_fetch_to_standard_output_leaves_no_file(kept: Site, name: str, tmp_path: Path) -> None:
    original = (kept.folder / name).read_bytes()
    for wanted in (name, kept.folder / name):
        taken = call("fetch", wanted, "-o", "-", "-c", kept.configuration(), cwd=tmp_path)
        assert (taken.code, taken.data) == (0, original)
    assert not (tmp_path / "-").exists()
    (tmp_path / name).write_bytes(original[:-1])
    cut = call("fetch", tmp_path / name, "-o", "-")
    assert (cut.code, cut.data) == (4, b"")
    assert kept.leftovers() == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("restore one.snap --latest --yes", "NAME and --latest cannot be combined"),
        ("inspect one.snap --latest", "NAME and --latest cannot be combined"),
        ("fetch one.snap --latest", "NAME and --latest cannot be combined"),
        ("fetch -o - --force", "--force does nothing without FILE"),
        ("verify one.snap --all", "NAME and --all cannot be combined"),
        ("verify --latest --all", "--latest and --all cannot be combined"),
        ("prune --acknowledge --broken", "--acknowledge and --broken cannot be combined"),
        ("save one.snap --storage local", "FILE and --storage cannot be combined"),
        ("save --force", "--force does nothing without FILE"),
        ("save - --force", "--force does nothing without FILE"),
        ("run --require-leader", "--require-leader does nothing without --once"),
    ],
)
def test_no_option_is_passed_over_in_silence(arguments: str, words: str) -> None:
    refused = call(*arguments.split())
    assert (refused.code, refused.data) == (1, b"")
    assert refused.error.startswith(f"error: {words} (")


def test_fetch_of_a_pipe_needs_a_name(kept: Site, name: str, tmp_path: Path) -> None:
    content = (kept.folder / name).read_bytes()

    refused = call("fetch", "-", stdin=content, cwd=tmp_path)
    taken = call("fetch", "-", "-o", "named", stdin=content, cwd=tmp_path)

    assert (refused.code, taken.code) == (1, 0)
    assert "(add: -o FILE)" in refused.error
    assert [path.name for path in tmp_path.iterdir()] == ["named"]


# prune


def test_prune_says_it_first_and_then_does_it(site: Site) -> None:
    for _ in range(3):
        at(site, "save")
    before = site.names()
    site.more = {"retention": {"last": 1}}

    dry = at(site, "prune", "--dry-run")

    assert dry.code == 0
    assert site.names() == before
    heading, *rows = dry.text.splitlines()
    assert heading.split() == ["STORAGE", "ACTION", "NAME", "WHY"]
    assert len(rows) == 6
    assert sum("newest, newest verified, last 1 of 1" in row for row in rows) == 2
    assert sum("no rule keeps it" in row for row in rows) == 4
    assert dry.talk.splitlines() == [
        "local: 1 kept, 2 would be deleted",
        "s3: 1 kept, 2 would be deleted",
    ]

    done = at(site, "prune")

    assert done.code == 0
    assert done.text == dry.text
    assert done.talk.splitlines() == ["local: 1 kept, 2 deleted", "s3: 1 kept, 2 deleted"]
    assert site.names() == ([before[0][-1]], [before[1][-1]])
    assert len(site.files()) == len(site.objects()) == 2


def test_prune_with_one_storage_down_prunes_the_rest(site: Site) -> None:
    for _ in range(2):
        at(site, "save", "--storage", "local")
    site.more = {"retention": {"last": 1}}
    without_bucket(site)

    ended = at(site, "prune")

    assert ended.code == 3
    assert "error: s3: " in ended.talk
    assert len(site.names()[0]) == 1


# run --once


def test_run_once_beside_the_leader_takes_a_snapshot(site: Site) -> None:
    ended = at(site, "run", "--once", "--require-leader")

    assert ended.code == 0
    assert ended.data == b""
    (local,), (remote,) = site.names()
    assert f"Successfully created local snapshot to {site.folder / local}" in ended.talk
    bucket = f"s3://{site.bucket}/{PREFIX}"
    assert f"Successfully created s3 snapshot to {bucket}{remote}" in ended.talk


@pytest.mark.parametrize(("option", "code"), [(None, 0), ("--require-leader", 5)])
def test_run_once_beside_a_standby_leaves_the_work_to_the_leader(
    site: Site, option: str | None, code: int
) -> None:
    leader = site.vault["address"]
    with LyingProxy(leader) as standby:
        says = {"ha_enabled": True, "is_self": False, "leader_address": leader}
        standby.override("/v1/sys/leader", 200, says)
        site.vault["address"] = standby.address
        ended = at(site, "run", "--once", *([option] if option else []))

    assert ended.code == code
    assert "Not running on leader node, skipping." in ended.talk
    assert standby.snapshot_requests == []
    assert site.names() == ([], [])


# The original agent's command.


def test_the_seed_command_runs_the_daemon_with_its_own_configuration(
    bao: OpenBaoCluster, approle: AppRole, tmp_path: Path
) -> None:
    folder, spool = tmp_path / "snapshots", tmp_path / "spool"
    spool.mkdir()
    file = tmp_path / "snapshot.json"
    document = {
        "addr": bao.leader().address,
        "retain": 2,
        "frequency": "1h",
        "role_id": approle.role_id,
        "secret_id": approle.secret_id,
        "local_storage": {"path": str(folder)},
    }
    file.write_text(json.dumps(document))
    with subprocess.Popen(
        ["vault_raft_snapshot_agent", file],
        stderr=subprocess.PIPE,
        env=environment({"TMPDIR": str(spool), "PATH": f"{Path(AGENT[0]).parent}:/usr/bin"}),
        text=True,
    ) as daemon:
        assert daemon.stderr is not None
        said = ""
        while "Successfully created local snapshot to" not in said:
            said += (line := daemon.stderr.readline())
            assert line, said
        daemon.terminate()
        said += daemon.stderr.read()

    assert daemon.returncode == 0
    assert approle.secret_id not in said
    (stored,) = proved({path.name: path.read_bytes() for path in folder.iterdir()})
    assert stored.startswith("raft_snapshot-")
    assert [*spool.iterdir()] == []
