"""What is suggested for a wrong key or value is what was meant, or nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from raft_snapshot_agent.config import suggestions
from raft_snapshot_agent.config.clusters import Fleet
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.config.web import WebSettings
from raft_snapshot_agent.notify import NOTIFIERS
from raft_snapshot_agent.storage import STORAGES
from raft_snapshot_agent.vault.auth import LOGINS

Refusal = Callable[..., str]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("vault: {tls: {ca_cert: /x}}", "did you mean 'ca_file'?"),
        ("vault: {tls: {caCert: /x}}", "did you mean 'ca_file'?"),
        ("vault: {tls: {cert_file: /x}}", "did you mean 'client_cert'?"),
        ("vault: {tls: {key_file: /x}}", "did you mean 'client_key'?"),
        ("vault: {tls: {insecure: true}}", "did you mean 'skip_verify'?"),
        ("vault: {insecure: true}", "did you mean 'vault.tls.skip_verify'?"),
        ("vault: {url: 'https://h'}", "did you mean 'address'?"),
        ("vault: {auth: {method: k8s}}", "did you mean 'kubernetes'?"),
        ("vault: {auth: {method: google}}", "did you mean 'gcp'?"),
        ("schedule: {interval: 1h}", "did you mean 'every'?"),
        ("interval: 1h", "did you mean 'schedule.every' or 'scrub.every'?"),
        ("retention: {count: 3}", "did you mean 'last'?"),
        ("storages: [{type: aws}]", "did you mean 's3'?"),
        ("storages: [{type: google}]", "did you mean 'gcs'?"),
        ("storages: [{type: file}]", "did you mean 'local'?"),
        ("storages: [{type: minio}]", "did you mean 's3'?"),
        ("storages: [{type: azure, container: ccc, account: a}]", "did you mean 'account_name'?"),
        ("web: {port: 8299}", "did you mean 'listen'?"),
        ("web: {tls: {key: /k, cert_file: /x}}", "did you mean 'cert'?"),
        ("targets: {}", "did you mean 'storages'?"),
    ],
)
def test_other_programs_words_are_known(refusal: Refusal, text: str, hint: str) -> None:
    assert refusal("c.yaml", text).endswith(f"({hint})")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("vault: {tls: {verify: false}}", "(there is 'skip_verify', which is the opposite)"),
        (
            "storages: [{type: s3, bucket: b, use_ssl: true}]",
            "(there is 'allow_http', which is the opposite)",
        ),
    ],
)
def test_the_opposite_is_called_so(refusal: Refusal, text: str, hint: str) -> None:
    assert refusal("c.yaml", text).endswith(hint)


@pytest.mark.parametrize("key", ["swift_storage", "ftp_storage"])
def test_names_that_share_only_a_common_part_are_not_alike(refusal: Refusal, key: str) -> None:
    line = refusal("snapshot.json", f'{{"addr": "http://v", "{key}": {{"x": 1}}}}')
    assert f"{key}: unknown key (one of addr, retain, " in line


def test_only_what_can_be_written_is_suggested() -> None:
    schemas = [model.model_json_schema() for model in (Config, Fleet, WebSettings)]
    parts = [part for one in schemas for part in (one, *one["$defs"].values())]
    keys = {key for part in parts for key in part.get("properties", {})}
    values = {*STORAGES, *LOGINS, *NOTIFIERS}
    assert {*suggestions._KEYS, *suggestions._OPPOSITES} <= keys
    assert {*suggestions._VALUES} <= values
    for words in suggestions._OPPOSITES.values():
        assert not any(suggestions.synonyms(word) for word in words.split())
