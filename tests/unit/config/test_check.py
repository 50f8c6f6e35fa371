from __future__ import annotations

import importlib.util
import json
import os
import sys
import zoneinfo
from collections.abc import Callable
from pathlib import Path

import pytest
import trustme

from raft_snapshot_agent.config.check import check, check_to_run
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.servers.programs import find_bundled_program

LoadText = Callable[..., Loaded]
Problem = Callable[..., str]

TOKEN = "vault: {auth: {method: token, token: t}}\n"


@pytest.fixture
def problem(load_text: LoadText, tmp_path: Path) -> Problem:
    """The one line that a configuration fails its check with."""

    def fail(text: str, name: str = "c.yaml", environ: dict[str, str] | None = None) -> str:
        loaded = load_text(name, text)
        with pytest.raises(ConfigError) as caught:
            check(loaded.config, environ or {"TMPDIR": str(tmp_path)}, loaded.position)
        line = str(caught.value)
        assert "\n" not in line
        return line.replace(f"{tmp_path}/", "")

    return fail


def test_a_sound_configuration_passes_and_leaves_nothing_behind(
    load_text: LoadText, tmp_path: Path
) -> None:
    authority = trustme.CA()
    pair = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    pair.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    pair.private_key_pem.write_to_path(tmp_path / "key.pem")
    (tmp_path / "token").write_text("hvs.token\n")
    (tmp_path / "spool").mkdir()
    (cas := tmp_path / "cas").mkdir()
    authority.cert_pem.write_to_path(cas / "ca.pem")
    text = f"""
        vault:
          auth: {{method: token, token: 'file://{tmp_path}/token'}}
          tls: {{ca_file: {tmp_path}/ca.pem, ca_path: {cas}, client_cert: {tmp_path}/cert.pem,
                client_key: {tmp_path}/key.pem}}
        schedule: {{cron: "@daily", timezone: Europe/Berlin}}
        spool: {tmp_path}/spool
        storages:
          - {{type: local, path: {tmp_path}/kept}}
          - {{type: s3, bucket: b}}
    """
    loaded = load_text("c.yaml", text)
    check(loaded.config, {}, loaded.position)
    assert list((tmp_path / "spool").iterdir()) == []
    assert not (tmp_path / "kept").exists()
    assert check_to_run(loaded.config, {}, loaded.position) == {}
    assert list((tmp_path / "kept").iterdir()) == []


def test_without_a_login_nothing_works(problem: Problem) -> None:
    assert problem("run_on: leader\n").startswith("c.yaml:1:1: vault.auth: no login is configured")


@pytest.mark.parametrize("below", ["occupied", "occupied/deeper"])
def test_a_storage_folder_that_cannot_be_written(
    problem: Problem, tmp_path: Path, below: str
) -> None:
    (tmp_path / "occupied").touch()
    text = f"{TOKEN}storages:\n  - type: local\n    path: {tmp_path}/{below}\n"
    line = problem(text)
    assert line.startswith("c.yaml:4:5: storages[0].path: ")
    assert "cannot be written" in line


def test_a_seeds_folder_is_named_in_the_files_own_words(problem: Problem, tmp_path: Path) -> None:
    (tmp_path / "occupied").touch()
    text = f'{{"addr": "http://v", "role_id": "r",\n"local_storage": {{"path": "{tmp_path}/occupied"}}}}'
    line = problem(text, "snapshot.json")
    assert line.startswith("snapshot.json:2:19: local_storage.path: ")


def test_a_spool_that_cannot_be_written(problem: Problem, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = problem(f"{TOKEN}spool: {tmp_path}/file/spool\n")
    assert line.startswith(
        "c.yaml:2:1: spool: the spool's folder file/spool cannot be written: Not a directory"
    )
    assert "(set spool or TMPDIR to a folder" in line


def test_a_spool_from_the_environment_is_tried_too(problem: Problem) -> None:
    line = problem(TOKEN, environ={"CACHE_DIRECTORY": "/dev/null"})
    assert "spool: the spool's folder /dev/null cannot be written: Not a directory" in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vault: {auth: {method: token, token: 'env://NO_SUCH'}}", "1:31: vault.auth.token: the secret in environment variable NO_SUCH is missing"),
        ("vault: {auth: {method: token, token: 'file:///no/such'}}", "1:31: vault.auth.token: cannot read the secret in /no/such: No such file"),
        ("vault: {auth: {method: token, token: 'credential://x'}}", "1:31: vault.auth.token: credential:// is used, but"),
        (TOKEN + "storages: [{type: s3, bucket: b, access_key_id: a, secret_access_key: 'env://NO_SUCH'}]", "2:52: storages[0].secret_access_key: the secret in"),
    ],
)  # fmt: skip
def test_a_secret_that_is_not_there(problem: Problem, text: str, expected: str) -> None:
    assert problem(text).startswith(f"c.yaml:{expected}")


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        ("ca_file: /no/such", "ca_file: cannot read /no/such: No such file or directory (check"),
        ("ca_file: /dev/null", "ca_file: /dev/null cannot be used: "),
        ("ca_path: /no/such", "ca_path: cannot read /no/such: No such file or directory (check"),
        ("ca_path: /dev/null", "ca_path: cannot read /dev/null: Not a directory (check"),
        ("ca_path: /", "ca_path: cannot read /"),
        ("client_cert: /no/such, client_key: /no/such", "client_cert: cannot read /no/such"),
        ("client_cert: /dev/null, client_key: /dev/null", "client_cert: /dev/null cannot be used"),
    ],
)
def test_certificates_that_cannot_be_used(problem: Problem, tls: str, expected: str) -> None:
    text = f"vault: {{auth: {{method: token, token: t}}, tls: {{{tls}}}}}\n"
    assert problem(text).startswith(f"c.yaml:1:48: vault.tls.{expected}")


def test_a_folder_of_authorities_is_read(problem: Problem, tmp_path: Path) -> None:
    (folder := tmp_path / "cas").mkdir()
    text = f"vault: {{auth: {{method: token, token: t}}, tls: {{ca_path: {folder}}}}}\n"
    assert "vault.tls.ca_path: there is no certificate in cas" in problem(text)
    (folder / "README").write_text("no certificate\n")
    assert "vault.tls.ca_path: cas/README cannot be used: " in problem(text)


@pytest.mark.parametrize(
    ("storage", "expected"),
    [
        ("type: gcs, bucket: bbb, service_account_file: /nope", "cannot use the Google credentials in /nope: No such file"),
        ("type: gcs, bucket: bbb, service_account_file: {0}/odd", "cannot use the Google credentials in odd: it is not JSON"),
        ("type: gcs, bucket: bbb, service_account_file: {0}/key", "cannot use the Google credentials in key: it holds no private key"),
        ("type: s3, bucket: b, profile: nosuch", "there is no AWS profile 'nosuch'"),
        ("type: s3, bucket: b, sse_customer_key: abc", "sse_customer_key is not 32 bytes in base64"),
        ("type: sftp, host: h, username: u, path: /p, private_key_file: {0}/odd", "cannot use the private key in odd"),
    ],
)  # fmt: skip
def test_files_and_keys_of_a_storage(
    problem: Problem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    storage: str,
    expected: str,
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    (tmp_path / "odd").write_text("something else\n")
    key = {"type": "service_account", "client_email": "a", "private_key": "b"}
    (tmp_path / "key").write_text(json.dumps(key))
    text = f"{TOKEN}storages: [{{{storage.format(tmp_path)}}}]\n"
    assert problem(text).startswith(f"c.yaml:2:12: storages[0]: {expected}")


def test_a_storages_own_authority_is_tried_too(problem: Problem) -> None:
    text = f"{TOKEN}storages: [{{type: s3, bucket: b, ca_file: /dev/null}}]\n"
    assert problem(text).startswith("c.yaml:2:34: storages[0].ca_file: ")


def test_a_drills_server_that_is_no_program(problem: Problem, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no program")
    text.chmod(0o755)
    said = problem(f"{TOKEN}drill: {{server: {text}}}\n")
    assert said.startswith("c.yaml:2:9: drill.server: no server for the drill: text is no program")


def test_a_drills_server_that_is_a_script_of_another_folder(
    problem: Problem, tmp_path: Path
) -> None:
    """As pip installs one for OpenBao: isolated, it finds no interpreter."""
    script, interpreter = tmp_path / "bao", tmp_path / "python"
    interpreter.symlink_to("/usr/bin/env")
    script.write_text(f"#!{interpreter} -I\nimport sys\n")
    script.chmod(0o755)
    said = problem(f"{TOKEN}drill: {{server: {script}}}\n")
    assert said.startswith(
        "c.yaml:2:9: drill.server: no server for the drill: bao is a script, and"
    )
    assert "its interpreter python is not below /usr" in said
    assert f"(name the program that it starts, such as {find_bundled_program()})" in said


@pytest.mark.parametrize("line", ["#!/bin/sh", "#! /usr/bin/env bao"])
def test_a_drills_server_that_is_a_script_of_the_system(
    load_text: LoadText, tmp_path: Path, line: str
) -> None:
    script = tmp_path / "bao"
    script.write_text(f"{line}\n")
    script.chmod(0o755)
    loaded = load_text("c.yaml", f"{TOKEN}drill: {{server: {script}}}\n")
    check(loaded.config, {"TMPDIR": str(tmp_path)}, loaded.position)


def test_the_keys_of_a_mapping_are_not_those_of_settings(
    load_text: LoadText, tmp_path: Path
) -> None:
    tags = "{timezone: nowhere, seal: none, team: ''}"
    loaded = load_text("c.yaml", f"{TOKEN}storages: [{{type: s3, bucket: b, tags: {tags}}}]\n")
    check(loaded.config, {"TMPDIR": str(tmp_path)}, loaded.position)


def test_an_unknown_time_zone(problem: Problem) -> None:
    line = problem(f"{TOKEN}schedule:\n  cron: '@daily'\n  timezone: Europe/Berln\n")
    assert line == (
        "c.yaml:4:3: schedule.timezone: unknown time zone 'Europe/Berln'"
        " (did you mean 'Europe/Berlin'?)"
    )


def test_a_host_without_time_zones(problem: Problem, monkeypatch: pytest.MonkeyPatch) -> None:
    zoneinfo.reset_tzpath(to=[])
    monkeypatch.setitem(sys.modules, "tzdata", None)
    zoneinfo.ZoneInfo.clear_cache()
    try:
        line = problem(f"{TOKEN}schedule: {{cron: '@daily', timezone: Europe/Berlin}}\n")
    finally:
        zoneinfo.reset_tzpath()
    assert line == (
        "c.yaml:2:28: schedule.timezone: time zone 'Europe/Berlin' is unknown: this host has no"
        " time zone database (install tzdata, or use UTC)"
    )


def test_without_a_file_the_key_alone_is_the_place(load_text: LoadText) -> None:
    loaded = load_text("c.yaml", f"{TOKEN}spool: /dev/null/such\n")
    with pytest.raises(ConfigError, match=r"^spool: the spool's folder /dev/null/such"):
        check(loaded.config, {})


def test_a_storage_without_its_extra_is_told_with_its_place(
    problem: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    sftp = "{type: sftp, host: h, username: u, password: p, path: /backups}"
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert problem(f"{TOKEN}storages:\n  - {{type: s3, bucket: b}}\n  - {sftp}\n") == (
        "c.yaml:4:5: storages[1]: type sftp needs the extra sftp "
        "(pip install 'raft-snapshot-agent[sftp]')"
    )


_POOL = "storages: [{type: gcs, bucket: bbb, service_account_file: FOLDER/pool.json}]"


@pytest.mark.parametrize(
    ("package", "text", "place", "what", "extra"),
    [
        ("botocore", "vault: {auth: {method: aws, role: r}}", "vault.auth", "type iam", "aws-auth"),
        ("cryptography", "vault: {auth: {method: cf, role: r}}", "vault.auth", "cf", "cf-auth"),
        ("google", TOKEN + _POOL, "storages[0]", "FOLDER/pool.json", "gcs-federation"),
    ],
)
def test_whatever_needs_an_extra_says_so_before_it_is_used(
    problem: Problem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    text: str,
    place: str,
    what: str,
    extra: str,
) -> None:
    (tmp_path / "pool.json").write_text('{"type": "external_account"}')
    for name in {package, *(one for one in sys.modules if one.split(".")[0] == package)}:
        monkeypatch.setitem(sys.modules, name, None)
    line = problem(text.replace("FOLDER", str(tmp_path)))
    assert f": {place}: " in line
    wanted = f"pip install 'raft-snapshot-agent[{extra}]'"
    assert line.endswith(f"{what.removeprefix('FOLDER/')} needs the extra {extra} ({wanted})")


@pytest.mark.parametrize(
    "text",
    [
        f"{TOKEN}spool: FOLDER",
        f"{TOKEN}spool: FOLDER\nclusters: {{a: {{}}}}",
        '{"addr": "https://v:8200", "role_id": "r", "secret_id": "s"}',
    ],
)
@pytest.mark.parametrize("variable", ["VAULT_CACERT", "BAO_CAPATH"])
def test_a_file_that_a_variable_names_is_told_with_the_variable(
    load_text: LoadText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, "/no/such")
    loaded = load_text("c.yaml", text.replace("FOLDER", str(tmp_path)), os.environ)
    with pytest.raises(ConfigError) as caught:
        check(loaded.config, {"TMPDIR": str(tmp_path)}, loaded.position)
    assert str(caught.value).startswith(f"{variable}: cannot read /no/such: No such file")


def test_a_file_that_the_configuration_names_is_told_with_its_place(
    load_text: LoadText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_CACERT", "/nor/this")
    text = f"{TOKEN[:-2]}, tls: {{ca_file: /no/such}}}}\n"
    loaded = load_text("c.yaml", text, os.environ)
    with pytest.raises(ConfigError, match=r"c.yaml:1:\d+: vault.tls.ca_file: cannot read /no/such"):
        check(loaded.config, {"TMPDIR": str(tmp_path)}, loaded.position)


def test_an_aws_instance_needs_no_extra(
    load_text: LoadText, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = load_text("c.yaml", "vault: {auth: {method: aws, role: r, type: ec2}}")
    monkeypatch.setitem(sys.modules, "botocore", None)
    check(loaded.config, {"TMPDIR": str(tmp_path)}, loaded.position)


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ('{"type": "authorized_user"}', "there is no 'client_id'"),
        ('{"type": "external_account"}', "there is no 'credential_source'"),
        ('{"type": "web"}', "web is no kind of credentials"),
    ],
)
def test_google_credentials_of_every_kind_are_read(
    problem: Problem,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    document: str,
    told: str,
) -> None:
    (tmp_path / "google.json").write_text(document)
    if '"web"' in document:  # without the library, too
        for name in ["google", *(one for one in sys.modules if one.startswith("google."))]:
            monkeypatch.setitem(sys.modules, name, None)
    storage = f"{{type: gcs, bucket: bbb, service_account_file: {tmp_path}/google.json}}"
    assert told in problem(f"{TOKEN}storages: [{storage}]\n")


def test_everything_that_is_wrong_is_told_at_once(load_text: LoadText, tmp_path: Path) -> None:
    text = f"""
        vault:
          auth: {{method: approle, role_id: 'env://NO_SUCH', secret_id: 'env://NOR_THIS'}}
          tls: {{ca_file: /no/such}}
        spool: /dev/null/spool
        storages:
          - {{type: local, path: /dev/null/a}}
          - {{type: local, path: {tmp_path}/b}}
          - {{type: local, path: {tmp_path}/b, name: again}}
          - {{type: s3, bucket: b, access_key_id: 'env://NO_KEY', secret_access_key: s}}
    """
    loaded = load_text("c.yaml", text)
    with pytest.raises(ConfigError) as caught:
        check(loaded.config, {}, loaded.position)
    keys = [line.rpartition("/c.yaml:")[2].split(": ")[1] for line in caught.value.lines]
    assert sorted(keys) == [
        "spool",
        "storages[0].path",
        "storages[2]",
        "storages[3].access_key_id",
        "vault.auth.role_id",
        "vault.auth.secret_id",
        "vault.tls.ca_file",
    ]


def test_missing_folders_are_made_to_run_and_not_to_check(
    load_text: LoadText, tmp_path: Path
) -> None:
    path, spool = tmp_path / "a" / "b", tmp_path / "c" / "spool"
    text = f"{TOKEN}spool: {spool}\nstorages: [{{type: local, path: {path}, mode: '0640'}}]\n"
    loaded = load_text("c.yaml", text)
    before = tmp_path.stat().st_mtime_ns
    check(loaded.config, {}, loaded.position)
    assert {one.name for one in tmp_path.iterdir()} == {"c.yaml"}
    assert tmp_path.stat().st_mtime_ns == before
    assert check_to_run(loaded.config, {}, loaded.position) == {}
    assert path.stat().st_mode & 0o777 == 0o750
    assert spool.stat().st_mode & 0o777 == 0o700


def test_a_disk_that_is_not_mounted_yet_refuses_no_start(
    load_text: LoadText, tmp_path: Path
) -> None:
    """It may be mounted later, and each run tries it again."""
    away = f"{{type: local, path: {tmp_path}/disk, require_mount: true}}"
    wrong = "{type: local, name: b, path: /dev/null/x}"
    text = f"{TOKEN}spool: {tmp_path}/spool\nstorages: [{away}]\n"
    loaded = load_text("c.yaml", text)
    with pytest.raises(ConfigError, match="nothing is mounted at"):
        check(loaded.config, {}, loaded.position)
    for storages in (away, f"{away}, {wrong}"):
        loaded = load_text("c.yaml", text.replace(away, storages))
        faults = check_to_run(loaded.config, {}, loaded.position)
        assert "nothing is mounted at" in str(faults["local"])
    assert not (tmp_path / "disk").exists()
    loaded = load_text("c.yaml", text.replace(away, wrong))
    with pytest.raises(ConfigError, match="Not a directory"):
        check_to_run(loaded.config, {}, loaded.position)


NOBODY = 65534


# What is refused is a folder of somebody else's: an ordinary user cannot make one.
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("existing", [True, False])
def test_a_folder_of_another_user_is_refused(
    load_text: LoadText, tmp_path: Path, existing: bool
) -> None:
    (folder := tmp_path / "kept").mkdir(mode=0o755)
    for one in [tmp_path, *tmp_path.parents]:
        if one != Path("/") and one != Path("/tmp"):
            one.chmod(0o755)
    text = f"{TOKEN}spool: /tmp\nstorages: [{{type: local, path: {folder}{'' if existing else '/new'}}}]\n"
    loaded = load_text("c.yaml", text)
    check(loaded.config, {}, loaded.position)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(ConfigError, match="cannot be written: Permission denied"):
            check(loaded.config, {}, loaded.position)
    finally:
        os.seteuid(0)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("where", ["vault", "storages[0]"])
def test_a_reference_to_a_proxy_is_followed(
    problem: Problem, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setenv("PROXY", "proxy.example:3128")
    vault = "proxy: env://PROXY, " if where == "vault" else ""
    storage = "proxy: env://PROXY, " if where != "vault" else ""
    text = (
        f"vault: {{{vault}auth: {{method: token, token: t}}}}\n"
        f"storages: [{{{storage}type: webdav, url: 'https://a.example'}}]"
    )
    assert f"{where}.proxy: 'proxy.example:3128' is not the URL of a proxy" in problem(text)


def test_proxy_variables_that_cannot_be_used_are_told(problem: Problem, tmp_path: Path) -> None:
    environ = {"TMPDIR": str(tmp_path), "https_proxy": "socks5://me:hunter2@proxy.example:1080"}
    said = problem(TOKEN, environ=environ)
    assert said.startswith("https_proxy: ")
    assert "SOCKS" in said
    assert "hunter2" not in said
