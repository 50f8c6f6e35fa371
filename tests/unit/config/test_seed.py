"""The original agent's `snapshot.json` works as it stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from raft_snapshot_agent.config.check import check
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.core.schedules.schedule import Every
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.storage.local.local import LocalSettings
from raft_snapshot_agent.storage.s3.s3 import S3Settings
from raft_snapshot_agent.vault.auth.approle import AppRoleAuth
from raft_snapshot_agent.vault.auth.kubernetes import KubernetesAuth

LoadText = Callable[..., Loaded]
Refusal = Callable[..., str]

EXAMPLE = """\
{
  "addr":"http://vaul-addr:8200",
  "retain":72,
  "frequency":"3600s",
  "role_id":"<vault app role id>",
  "secret_id":"<vault app secret id",
  "vault_auth_method":"",
  "vault_auth_role":"",
  "vault_auth_path":"",
  "aws_storage":{
    "access_key_id":"<s3 access id>",
    "secret_access_key":"<s3 acess key>",
    "s3_region":"<s3 region>",
    "s3_bucket":"<s3 bucket",
    "s3_endpoint":"<s3 endpoint>",
    "s3_force_path_style":true
  }
}
"""
FILLED = (
    EXAMPLE.replace("<vault app role id>", "role")
    .replace("<vault app secret id", "hunter22")
    .replace("<s3 access id>", "AK")
    .replace("<s3 acess key>", "SK")
    .replace("<s3 region>", "eu-central-1")
    .replace("<s3 bucket", "vault-backups")
    .replace("<s3 endpoint>", "minio.example.org:9000")
)
S3 = {"s3_bucket": "b"}


def s3(loaded: Loaded) -> S3Settings:
    (storage,) = loaded.config.storages
    assert isinstance(storage, S3Settings)
    return storage


def test_the_example_works_once_it_is_filled_in(load_text: LoadText) -> None:
    loaded = load_text("snapshot.json", FILLED)
    config, storage = loaded.config, s3(loaded)
    assert (loaded.dialect, loaded.notes) == ("seed", ())
    assert (config.naming, config.run_on) == ("seed", "leader")
    assert config.vault.addresses == ("http://vaul-addr:8200",)
    assert config.schedule.open().schedule == Every(timedelta(hours=1))
    assert config.retention is not None
    assert config.retention.last == 72
    assert isinstance(config.vault.auth, AppRoleAuth)
    assert config.vault.auth.login().path == "auth/approle/login"
    assert config.vault.auth.login().body == {"role_id": "role", "secret_id": "hunter22"}
    assert storage.retention == config.retention
    assert (storage.bucket, storage.prefix, storage.region) == ("vault-backups", "raft_snapshots/", "eu-central-1")  # fmt: skip
    assert (storage.endpoint, storage.path_style) == ("https://minio.example.org:9000", True)
    assert storage.access_key_id is not None
    assert storage.access_key_id.resolve() == "AK"


def test_the_examples_placeholders_are_refused(load_text: Callable[..., Loaded]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("snapshot.json", EXAMPLE)
    assert len(caught.value.lines) == 7
    assert caught.value.lines[0].endswith(
        "snapshot.json:5:3: role_id: this is the example's placeholder:"
        " write your own value, or leave it out"
    )


def test_every_key_of_the_original_is_known(seed: Callable[..., Loaded]) -> None:
    loaded = seed(
        retain=0,
        frequency="30s",
        role_id="r",
        secret_id="s",
        approle="own",
        k8s_auth_role="",
        k8s_auth_path=None,
        vault_auth_method="approle",
        vault_auth_role="",
        vault_auth_path="",
        local_storage={"path": "/backups"},
        aws_storage={
            "access_key_id": "",
            "secret_access_key": "",
            "s3_endpoint": "",
            "s3_force_path_style": False,
            "s3_region": "",
            "s3_bucket": "b",
            "s3_key_prefix": "deep/er",
            "s3_server_side_encryption": True,
            "s3_static_snapshot_name": "latest",
        },
        google_storage={"bucket": ""},
        azure_storage={"account_name": "", "account_key": "", "container_name": ""},
    )
    config = loaded.config
    local, aws = config.storages
    assert config.retention is not None
    assert config.retention.keeps_all
    assert isinstance(config.vault.auth, AppRoleAuth)
    assert config.vault.auth.mount == "own"
    assert isinstance(local, LocalSettings)
    assert local.path == Path("/backups")
    assert isinstance(aws, S3Settings)
    assert (aws.prefix, aws.static_name, aws.server_side_encryption) == ("deep/er/", "latest.snap", "AES256")  # fmt: skip
    assert (aws.retention, aws.access_key_id, aws.region, aws.endpoint) == (None, None, "us-east-1", None)  # fmt: skip


def test_keys_are_found_in_any_case(load_text: LoadText) -> None:
    text = '{"ADDR": "http://v", "Retain": 3, "AWS_Storage": {"S3_Bucket": "b"}}'
    loaded = load_text("snapshot.json", text)
    assert s3(loaded).retention == loaded.config.retention
    assert loaded.position(("storages", 0, "bucket")).endswith(":1:51: aws_storage.s3_bucket")


def test_a_key_twice_in_different_case_is_refused(refusal: Refusal) -> None:
    line = refusal("snapshot.json", '{"addr": "http://v", "Addr": "http://w"}')
    assert line.startswith("snapshot.json:1:22: Addr: given twice in different case")


def test_without_retain_and_frequency_all_is_kept_every_hour(seed: Callable[..., Loaded]) -> None:
    config = seed(frequency="").config
    assert config.retention is None
    assert config.schedule.open().schedule == Every(timedelta(hours=1))


@pytest.mark.parametrize("method", ["k8s", "kubernetes"])
@pytest.mark.parametrize("names", ["k8s_auth", "vault_auth"])
def test_kubernetes_works_under_the_codes_names_and_the_documented_ones(
    seed: Callable[..., Loaded], method: str, names: str
) -> None:
    keys = {"vault_auth_method": method, f"{names}_role": "r", f"{names}_path": "k"}
    auth = seed(**keys).config.vault.auth
    assert isinstance(auth, KubernetesAuth)
    assert (auth.role.resolve(), auth.mount) == ("r", "k")


def test_the_usual_mount_of_kubernetes(seed: Callable[..., Loaded]) -> None:
    auth = seed(vault_auth_method="k8s", k8s_auth_role="r", vault_auth_path="").config.vault.auth
    assert isinstance(auth, KubernetesAuth)
    assert auth.mount == "kubernetes"


def test_without_a_login_the_environments_token_is_used(seed: Callable[..., Loaded]) -> None:
    assert seed().config.vault.auth is None
    auth = seed({"VAULT_TOKEN": "t"}).config.vault.auth
    assert auth is not None
    assert auth.login() == "t"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({}, ":1:1: role_id: no login is configured"),
        (
            {"vault_auth_method": "k8s", "k8s_auth_role": "r"},
            ":1:27: vault_auth_method: cannot read the secret in /var/run/secrets/",
        ),
        (
            {"vault_auth_method": "k8s", "k8s_auth_role": "r", "role_id": "left over"},
            ":1:27: vault_auth_method: cannot read the secret in /var/run/secrets/",
        ),
    ],
)
def test_a_login_that_is_missing_is_told_at_a_key_of_the_file(
    seed: Callable[..., Loaded], tmp_path: Path, keys: dict[str, str], said: str
) -> None:
    loaded = seed(**keys)
    with pytest.raises(ConfigError) as caught:
        check(loaded.config, {"TMPDIR": str(tmp_path)}, loaded.position)
    assert said in str(caught.value)


def test_secrets_may_be_references(seed: Callable[..., Loaded], tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from-file\n")
    auth = seed(role_id="r", secret_id=f"file://{tmp_path}/secret").config.vault.auth
    assert isinstance(auth, AppRoleAuth)
    assert auth.login().body["secret_id"] == "from-file"


def test_without_addr_the_environment_says_where(load_text: LoadText) -> None:
    loaded = load_text("snapshot.json", '{"retain": 3}', {"VAULT_ADDR": "http://env:8200"})
    assert loaded.config.vault.addresses == ("http://env:8200",)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"retian": 3}, "1:27: retian: unknown key (did you mean 'retain'?)"),
        ({"aws_storage": {"bucket": "b"}}, "1:43: aws_storage.bucket: unknown key (did you mean 's3_bucket'?)"),
        ({"local_storage": {"folder": "/x"}}, "1:45: local_storage.folder: unknown key (did you mean 'path'?)"),
        ({"retain": -1}, "1:27: retain: must be 0 or more"),
        ({"retain": "5"}, "1:27: retain: must be a whole number, not text"),
        ({"frequency": "0s"}, "1:27: frequency: must be longer than zero (write it like 30s, 1h30m, 7d)"),
        ({"frequency": "-1h"}, "1:27: frequency: '-1h' is negative (write it like 30s, 1h30m, 7d)"),
        ({"frequency": "1x"}, "1:27: frequency: '1x' is not a duration such as 30s, 1h30m or 7d"),
        ({"frequency": 60}, "1:27: frequency: write a duration with its unit, such as 30s or 1h30m"),
        ({"addr": "v:8200"}, "1:2: addr: 'v:8200' is not an address: write it with its scheme, such as https://v:8200"),
        ({"role_id": 5}, "1:27: role_id: must be text, not a number (put it in quotes)"),
        ({"secret_id": "hunter22"}, "1:1: role_id: required key is missing"),
        ({"vault_auth_method": "k8s"}, "1:1: k8s_auth_role: required key is missing"),
        ({"vault_auth_method": "aws"}, "1:27: vault_auth_method: unknown value 'aws' (one of approle, k8s, kubernetes)"),
        ({"local_storage": "/x"}, "1:27: local_storage: must be a mapping of keys, not text"),
        ({"local_storage": {"path": "x"}}, "1:45: local_storage.path: must be an absolute path, such as /var/backups/vault"),
        ({"aws_storage": {**S3, "access_key_id": "hunter22"}}, "1:27: aws_storage: access_key_id and secret_access_key must be given together"),
        ({"aws_storage": {**S3, "s3_force_path_style": "yes"}}, "1:61: aws_storage.s3_force_path_style: must be true or false, not text"),
        ({"storages": []}, "1:2: addr: this key is the original agent's, but storages at line 1 is this agent's (write all keys in one style; what the original's cannot say has a variable, such as VAULT_CACERT)"),
    ],
)  # fmt: skip
def test_a_wrong_key_or_value_is_named_in_the_files_own_words(
    refuse_seed: Refusal, keys: dict[str, Any], expected: str
) -> None:
    assert refuse_seed(**keys) == f"snapshot.json:{expected}"


def test_tls_is_verified_and_the_way_back_is_told(seed: Callable[..., Loaded]) -> None:
    (note,) = seed(addr="https://v:8200").notes
    assert "certificates are verified" in note
    assert "VAULT_SKIP_VERIFY=true" in note
    back = seed({"VAULT_SKIP_VERIFY": "true"}, addr="https://v:8200")
    assert back.config.vault.tls.skip_verify
    assert back.notes == ()


def test_the_dialect_is_told_by_the_keys_whatever_the_file_is_called(load_text: LoadText) -> None:
    assert load_text("c.yaml", "addr: http://v:8200\nretain: 3\n").dialect == "seed"
    assert load_text("snapshot.json", '{"vault": {"address": "http://v:8200"}}').dialect == "agent"
