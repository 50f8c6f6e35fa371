"""Rules that lock each other are refused, or told; docs/decisions/0035 lists them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from raft_snapshot_agent.config.check import check
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.errors import ConfigError

LoadText = Callable[..., Loaded]
LOGIN = "vault: {auth: {method: token, token: t}}\n"
S3 = "type: s3, bucket: b"
DAV = "{type: webdav, url: 'https://h/x'"
SFTP = "{type: sftp, host: h, username: u, password: p, path: /x"


def loaded(load_text: LoadText, text: str) -> Loaded:
    return load_text("c.yaml", LOGIN + text)


def without_column(line: str) -> str:
    return re.sub(r"^\S+/c.yaml:(\d+):\d+", r"\1", line)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"storages: [{{{S3}}}, {{{S3}, name: two}}]", "2: storages[1]: stores in the same place as s3"),
        (f"storages: [{{{S3}, prefix: a}}, {{{S3}, prefix: /a/, name: two}}]", "2: storages[1]: stores in the same place"),
        ("storages: [{type: local, path: HERE/x}, {type: local, path: HERE/y/../x}]", "2: storages[1]: stores in the same place as local"),
        (f"storages: [{{{S3}, static_name: x}}, {{{S3}, name: two, static_name: x}}]", "2: storages[1]: stores in the same place"),
        (f"storages: [{{{S3}, static_name: raft-snapshot-guard.json}}]", "2: storages[0].static_name: is the name of the file of the guard"),
        (f"storages: [{{{S3}, static_name: x.json}}]\nlease: {{type: storage, storage: s3, name: x}}", "2: storages[0].static_name: is the name of the lease"),
        (f"storages: [{{{S3}}}]\nlease: {{type: storage, storage: s3, name: raft-snapshot-guard}}", "3: lease.name: is the name of another file"),
        (f"storages: [{{{S3}}}]\nlease: {{type: storage, storage: s3, name: raft-snapshot-guard.json}}", "3: lease.name: is the name of another file"),
        (f"storages: [{{{S3}}}]\nlease: {{type: storage, storage: s3, name: raft-snapshot-restored}}", "3: lease.name: is the name of another file"),
        (f"storages: [{{{S3}, static_name: raft-snapshot-restored.json}}]", "2: storages[0].static_name: is the name of the note of a restore"),
        (f"storages: [{{{S3}, static_name: raft-snapshot-guard}}]", "2: storages[0].static_name: is the name of the file of the guard"),
        (f"storages: [{{{S3}}}, {{{S3}, name: two, static_name: raft_snapshot-1795795000000000000.snap}}]", "2: storages[1].static_name: looks like the name of a snapshot with its time"),
        (f"storages: [{{{S3}}}, {{{S3}, name: two, static_name: raft_snapshot-1795795000000000000.snap.json}}]", "2: storages[1].static_name: looks like the name of a snapshot with its time"),
        (f"storages: [{{{S3}, static_name: x}}, {{{S3}, name: two, static_name: x.json}}]", "2: storages[1].static_name: is the name of a file beside x of s3"),
        (f"storages: [{{{S3}, static_name: x.hold}}, {{{S3}, name: two, static_name: x}}]", "2: storages[1].static_name: is the name of a file beside x.hold of s3"),
        ("storages: [{type: local, path: HERE, prefix: a/b}, {type: local, path: HERE, static_name: a}]", "2: storages[1].static_name: is the name of a folder in which local stores"),
        (f"storages: [{DAV}, static_name: vault}}, {DAV}, prefix: vault}}]", "2: storages[0].static_name: is the name of a folder in which webdav-2 stores"),
        (f"storages: [{SFTP}, static_name: vault}}, {SFTP}, prefix: vault.json}}]", "2: storages[0].static_name: is the name of a folder in which sftp-2 stores"),
        (f"storages: [{{{S3}, prune: false, retention: {{last: 3}}}}]", "2: storages[0].retention: nothing is deleted here, because prune is false"),
        (f"retention: {{last: 3, max_deletes: 0}}\nstorages: [{{{S3}}}]", "2: retention.max_deletes: lets nothing be deleted"),
        (f"storages: [{{{S3}, retention: {{max_space: 1GB, max_deletes: 0}}}}]", "2: storages[0].retention.max_deletes: lets nothing"),
        (f"schedule: {{every: 1h, jitter: 1h}}\nstorages: [{{{S3}}}]", "2: schedule.jitter: a snapshot may be delayed past the next one, with one every 1h (make it shorter than 1h)"),
        (f"schedule: {{cron: '0 9,10 * * *', jitter: 2h}}\nstorages: [{{{S3}}}]", "2: schedule.jitter: a snapshot may be delayed past the next one, with one at 0 9,10 * * *"),
        (f"storages: [{{{S3}, schedule: {{every: 10s, jitter: 20s}}}}]", "2: storages[0].schedule.jitter: "),
        (f"schedule: {{every: 1ms}}\nstorages: [{{{S3}}}]", "2: schedule.every: is shorter than a snapshot takes (write 1s or more)"),
        (f"schedule: {{every: 10s}}\nname_layout: {{prefix: v-, timestamp: 2006-01-02T15-04}}\nstorages: [{{{S3}}}]", "3: name_layout.timestamp: two snapshots of s3 would get the same name, with one every 10s"),
        (f"naming: seed\nname_layout: {{prefix: v-}}\nstorages: [{{{S3}}}]", "2: naming: name_layout says how snapshots are named"),
    ],
)  # fmt: skip
def test_rules_that_lock_each_other_are_refused(
    load_text: LoadText, tmp_path: Path, text: str, expected: str
) -> None:
    made = loaded(load_text, text.replace("HERE", str(tmp_path)))
    with pytest.raises(ConfigError) as caught:
        check(made.config, {"TMPDIR": str(tmp_path)}, made.position)
    (line,) = caught.value.lines
    assert without_column(line).startswith(expected)
    assert line.endswith(")")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"storages: [{{{S3}, required: false}}]", "2: storages: no storage is required"),
        (f"retention: {{max_deletes: 5}}\nstorages: [{{{S3}}}]", "2: retention.max_deletes: has no effect"),
        (f"storages: [{{{S3}, retention: {{min_keep: 5}}}}]", "2: storages[0].retention.min_keep: has no effect"),
        (f"schedule: {{every: 10s}}\nstorages: [{{{S3}, timeout: 10s}}]", "3: storages[0].timeout: while the storage hangs"),
        (f"schedule: {{every: 1m}}\nstorages: [{{{S3}, bandwidth: 1KiB}}]", "3: storages[0].bandwidth: only 61440 bytes can be sent"),
        (f"schedule: {{every: 20s}}\nstorages: [{{{S3}}}]\nlease: {{type: storage, storage: s3}}", "4: lease.duration: another agent takes over"),
        (f"storages: [{{{S3}, prune: false}}]\nlease: {{type: storage, storage: s3}}", "2: storages[0].prune: the lease is read and replaced here"),
    ],
)  # fmt: skip
def test_what_works_but_may_not_be_meant_is_a_warning(
    load_text: LoadText, tmp_path: Path, text: str, expected: str
) -> None:
    made = loaded(load_text, text)
    check(made.config, {"TMPDIR": str(tmp_path)}, made.position)
    (line,) = made.warnings
    assert without_column(line).startswith(expected)


@pytest.mark.parametrize(
    "text",
    [
        f"storages: [{{{S3}}}, {{{S3}, name: latest, static_name: latest.snap}}]",
        f"storages: [{{{S3}, prefix: vault}}, {{{S3}, prefix: vault-prod, name: two}}]",
        "storages: [{type: local, path: HERE/x}, {type: local, path: HERE/x, prefix: a}]",
        f"storages: [{{{S3}, prefix: a}}, {{{S3}, name: latest, static_name: a}}]",  # a bucket has no folders
        f"storages: [{DAV}, prefix: vault}}, {DAV}, prefix: vault, name: latest, static_name: vault}}]",
        f"storages: [{{{S3}, static_name: x}}, {{{S3}, name: two, prefix: a, static_name: x.json}}]",
        f"retention: {{last: 3}}\nstorages: [{{{S3}, prune: false}}]",
        f"retention: {{last: 3}}\nstorages: [{{{S3}, static_name: x}}]",
        f"schedule: {{every: 1h}}\nname_layout: {{prefix: v-, timestamp: 2006-01-02T15-04}}\nstorages: [{{{S3}}}]",
        f"schedule: {{cron: '0 0 29 2 *', jitter: 24h}}\nstorages: [{{{S3}}}]",
        f"schedule: {{every: 1h, jitter: 59m}}\nstorages: [{{{S3}}}]\nlease: {{type: storage, storage: s3}}\nrun_on: anywhere",
    ],
)
def test_what_goes_together_is_left_alone(load_text: LoadText, tmp_path: Path, text: str) -> None:
    made = loaded(load_text, text.replace("HERE", str(tmp_path)))
    check(made.config, {"TMPDIR": str(tmp_path)}, made.position)
    assert made.warnings == ()


def test_a_folder_by_another_name_is_the_same_folder(load_text: LoadText, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    local = "{type: local, path: "
    made = loaded(load_text, f"storages: [{local}{tmp_path}/x}}, {local}{tmp_path}/link/x}}]")
    with pytest.raises(ConfigError, match=r"storages\[1\]: stores in the same place as local"):
        check(made.config, {"TMPDIR": str(tmp_path)}, made.position)


def test_an_endpoint_of_the_environment_is_no_other_place(
    load_text: LoadText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two retentions in one place: the shorter deletes what the longer is to keep."""
    text = (
        f"storages: [{{{S3}, name: env, retention: {{last: 1}}}},"
        f" {{{S3}, name: written, endpoint: 'http://127.0.0.1:9', retention: {{last: 50}}}}]"
    )
    made = loaded(load_text, text)
    check(made.config, {"TMPDIR": str(tmp_path)}, made.position)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:9")
    with pytest.raises(ConfigError, match=r"storages\[1\]: stores in the same place as env"):
        check(made.config, {"TMPDIR": str(tmp_path)}, made.position)


def test_logins_that_nobody_needs_are_warned_of(load_text: LoadText) -> None:
    vault = "vault: {auth: {method: token, token: t}, login_check: "
    for every, number in (("1s", 1), ("59s", 1), ("1m", 0), ("0s", 0)):
        made = load_text("c.yaml", f"{vault}{every}}}\nstorages: [{{{S3}}}]")
        assert len(made.warnings) == number
        assert all("vault.login_check: the agent logs in every" in one for one in made.warnings)


def test_a_login_by_certificate_needs_one(load_text: LoadText, tmp_path: Path) -> None:
    def made(address: str) -> Loaded:
        return load_text("c.yaml", f"vault: {{address: '{address}', auth: {{method: cert}}}}\n")

    secure = made("https://vault.example.com")
    with pytest.raises(ConfigError) as caught:
        check(secure.config, {"TMPDIR": str(tmp_path)}, secure.position)
    assert "vault.auth: method cert logs in with a client certificate, and none" in str(
        caught.value
    )
    clear = made("http://127.0.0.1:8200")
    check(clear.config, {"TMPDIR": str(tmp_path)}, clear.position)
    (line,) = clear.warnings
    assert "vault.auth: method cert sends no certificate to http://127.0.0.1:8200" in line


@pytest.mark.parametrize("name", ["a\\nb", "a\\x1b[2Jb", "a\\u2028b"])
def test_a_storage_has_a_name_of_one_line(load_text: LoadText, name: str) -> None:
    text = f'storages: [{{{S3}, name: "{name}"}}]'
    with pytest.raises(ConfigError, match=r"storages\[0\]\.name: .*character"):
        loaded(load_text, text)
