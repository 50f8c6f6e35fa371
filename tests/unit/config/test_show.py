from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import yaml

from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.show import schema, show

LoadText = Callable[..., Loaded]

TEXT = """
vault:
  auth: {method: approle, role_id: hunter22, secret_id: "env://SECRET"}
retention: {last: 24, within: 36h}
storages:
  - {type: local, path: /x}
  - {type: s3, bucket: b, access_key_id: hunter22, secret_access_key: hunter22}
"""


def test_what_is_shown_is_in_force_and_holds_no_secret(load_text: LoadText) -> None:
    values = show(load_text("c.yaml", TEXT).config)
    assert "hunter22" not in json.dumps(values)
    assert values["vault"]["address"] == "https://127.0.0.1:8200"
    assert values["vault"]["auth"]["secret_id"] == "env://SECRET"
    assert values["vault"]["auth"]["role_id"] == "[hidden]"
    assert values["vault"]["timeout"] == "10s"
    assert values["schedule"]["every"] == "1h"
    assert values["storages"][0]["name"] == "local"
    assert values["storages"][0]["retention"] == values["retention"]
    assert values["retention"] == {
        "last": 24,
        "within": "36h",
        "min_keep": 1,
        "keep_broken": "720h",
        "timezone": "UTC",
    }


def test_what_is_shown_can_be_loaded_again(load_text: LoadText) -> None:
    once = show(load_text("c.yaml", TEXT).config)
    assert show(load_text("again.yaml", yaml.safe_dump(once)).config) == once


def test_nodes_are_shown_instead_of_an_address(load_text: LoadText) -> None:
    config = load_text("c.yaml", "vault: {nodes: ['https://a', 'https://b']}\n").config
    assert show(config)["vault"]["nodes"] == ["https://a", "https://b"]
    assert "address" not in show(config)["vault"]


def test_the_schema_knows_every_key_and_our_durations() -> None:
    described = schema()
    assert described["$schema"].startswith("https://json-schema.org/")
    assert "storages" in described["properties"]
    assert described["additionalProperties"] is False
    assert described["$defs"]["VaultSettings"]["properties"]["timeout"]["default"] == "10s"
    assert "PT" not in json.dumps(described)


@pytest.mark.parametrize(
    ("document", "path", "kind"),
    [
        ({"guard": {"max_shrink": "50%"}}, ("$defs", "GuardSettings", "max_shrink"), "string"),
        ({"guard": {"max_mount_shrink": 1}}, ("$defs", "GuardSettings", "max_mount_shrink"), "number"),
        ({"storages": [{"type": "local", "path": "/x", "owner": 1000}]}, ("$defs", "LocalSettings", "owner"), "integer"),
        ({"storages": [{"type": "local", "path": "/x", "group": "root"}]}, ("$defs", "LocalSettings", "group"), "string"),
        ({"$schema": "schema.json", "run_on": "leader"}, ("$schema",), "string"),
    ],
)  # fmt: skip
def test_the_schema_takes_what_the_agent_takes(
    load_text: LoadText, document: object, path: tuple[str, ...], kind: str
) -> None:
    load_text("c.json", json.dumps(document))
    node = schema()
    *around, key = path
    for step in around:
        node = node[step]
    assert kind in node["properties"][key]["type"]


@pytest.mark.parametrize("kind", ["LocalSettings", "S3Settings", "AppRoleAuth", "KubernetesAuth"])
def test_the_schema_tells_the_kinds_apart(kind: str) -> None:
    assert schema()["$defs"][kind]["additionalProperties"] is False
