"""Every wrong configuration is one line: the place, the key, what is wrong, and the mend."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.unit.config.schema_keys import document_with, keys_of

from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.show import schema
from raft_snapshot_agent.errors import ConfigError, ConfigFaults
from raft_snapshot_agent.storage import STORAGES

Refusal = Callable[..., str]
LoadText = Callable[..., Loaded]
TYPES = ", ".join(sorted(STORAGES))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("storages:\n  - type: local\n    path: /x\n  - type: local\n    pth: /y\n", "c.yaml:5:5: storages[1].pth: unknown key (did you mean 'path'?)"),
        ("vault: {tls: {dc: /x}}\n", "c.yaml:1:15: vault.tls.dc: unknown key (one of ca_file, ca_path, client_cert, client_key, server_name, skip_verify)"),
        ("retenion: {last: 1}\nrun_on: leader\n", "c.yaml:1:1: retenion: unknown key (did you mean 'retention'?)"),
        ("retention: {lst: 3}\n", "c.yaml:1:13: retention.lst: unknown key (did you mean 'last'?)"),
        ("drill: {every: 24h}\n", "c.yaml:1:9: drill.every: unknown key (did you mean 'drill.schedule.every'?)"),
        ("vault: {min_rate: 5s}\n", "c.yaml:1:9: vault.min_rate: write a size such as 500MB or 20GiB"),
        ("retention: {max_space: 5 apples}\n", "c.yaml:1:13: retention.max_space: write a size such as 500MB or 20GiB"),
        ("vault: {address: 'https://h:0'}\n", "c.yaml:1:9: vault.address: 'https://h:0' is not an address: a port is 1 to 65535"),
        ("storages: [{type: azure, container: C_X}]\n", "c.yaml:1:26: storages[0].container: must be the bare name of a container: 3 to 63 lower-case letters, digits and single dashes; folders in it belong into prefix"),
        ("storages: [{type: azure, container: ccc, account_name: a}]\n", "c.yaml:1:42: storages[0].account_name: must be the bare name of a storage account: 3 to 24 lower-case letters and digits, no host, no URL"),
        ("every: 1h\n", "c.yaml:1:1: every: unknown key (did you mean 'schedule.every' or 'scrub.every'?)"),
        ("bucket: b\n", "c.yaml:1:1: bucket: unknown key (did you mean 'storages[].bucket'?)"),
        ("vault: {role_id: r}\n", "c.yaml:1:9: vault.role_id: unknown key (did you mean 'vault.auth.role_id'?)"),
        ("storages: [{type: s4, bucket: b}]\n", "c.yaml:1:13: storages[0].type: unknown type 's4' (did you mean 's3'?)"),
        ("storages: [{type: tape}]\n", f"c.yaml:1:13: storages[0].type: unknown type 'tape' (one of {TYPES})"),
        ("storages:\n  - path: /x\n", f"c.yaml:2:5: storages[0].type: required key is missing (one of {TYPES})"),
        ("storages:\n  - type: local\n", "c.yaml:2:5: storages[0].path: required key is missing"),
        ("retention: {max_space: lots}\n", "c.yaml:1:13: retention.max_space: write a size such as 500MB or 20GiB"),
        ("retention: {max_space: -1}\n", "c.yaml:1:13: retention.max_space: write a size such as 500MB or 20GiB"),
        ("vault: {min_rate: -1MB/s}\n", "c.yaml:1:9: vault.min_rate: write a size such as 500MB or 20GiB"),
        ("storages: /x\n", "c.yaml:1:1: storages: must be a list, not text"),
        ("storages:\n", "c.yaml:1:1: storages: has no value (give it a value, or leave it out)"),
        ("storages: [/x]\n", "c.yaml:1:12: storages[0]: must be a mapping of keys, not text"),
        ("vault: https://h:8200\n", "c.yaml:1:1: vault: must be a mapping of keys, not text"),
        ("schedule:\n  every:1h\n", "c.yaml:1:1: schedule: must be a mapping of keys, not text (write a space after the colon)"),
        ("schedule: {every:1h}\n", "c.yaml:1:12: schedule: a key has no value (write a space after the colon; put it in quotes if it is a value, such as a password)"),
        ("retention: 5\n", "c.yaml:1:1: retention: must be a mapping of keys, not a number"),
        ("vault: {auth: {method: approle}}\n", "c.yaml:1:9: vault.auth.role_id: required key is missing"),
        ("vault: {auth: {method: aprole}}\n", "c.yaml:1:16: vault.auth.method: unknown method 'aprole' (did you mean 'approle'?)"),
        ("vault: {auth: {method: token, token: 5}}\n", "c.yaml:1:31: vault.auth.token: must be text, not a number (put it in quotes)"),
        ("vault: {tls: {ca_file: 5}}\n", "c.yaml:1:15: vault.tls.ca_file: must be text, not a number (put it in quotes)"),
        ("vault: {tls: {skip_verify: 'yes'}}\n", "c.yaml:1:15: vault.tls.skip_verify: must be true or false, not text"),
        ("vault: {proxy: 'proxy.example:3128'}\n", "c.yaml:1:9: vault.proxy: 'proxy.example:3128' is not the URL of a proxy, such as http://proxy.internal:3128"),
        ("vault: {proxy: 'me:hunter2@proxy.example:3128'}\n", "c.yaml:1:9: vault.proxy: '…@proxy.example:3128' is not the URL of a proxy, such as http://proxy.internal:3128"),
        ("vault: {proxy: 'socks5://proxy.example'}\n", "c.yaml:1:9: vault.proxy: 'socks5://proxy.example' is a SOCKS proxy, and only HTTP proxies can be used"),
        ("vault: {proxy: ''}\n", "c.yaml:1:9: vault.proxy: is empty (give it a value, or leave it out)"),
        ("vault: {tls: {server_name: a..b}}\n", "c.yaml:1:15: vault.tls.server_name: must be a host name or an IP address, without scheme and port"),
        ("vault: {tls: {server_name: 'https://a'}}\n", "c.yaml:1:15: vault.tls.server_name: must be a host name or an IP address, without scheme and port"),
        ("vault: {tls: {client_cert: /x}}\n", "c.yaml:1:9: vault.tls: client_cert and client_key go together (set vault.tls.client_key, or VAULT_CLIENT_KEY)"),
        ("clusters: {a: {vault: {tls: {client_key: /x}}}}\n", "c.yaml:1:24: clusters.a.vault.tls: client_cert and client_key go together (set vault.tls.client_cert, or VAULT_CLIENT_CERT)"),
        ("storages: [{type: s3, bucket: b, region: no}]\n", "c.yaml:1:34: storages[0].region: must be text, not true or false (put it in quotes)"),
        ("run_on: ledaer\n", "c.yaml:1:1: run_on: unknown value 'ledaer' (did you mean 'leader'?)"),
        ("naming: other\n", "c.yaml:1:1: naming: unknown value 'other' (one of agent, seed)"),
        ("log: {level: true}\n", "c.yaml:1:7: log.level: must be one of debug, info, warning, error, not true or false"),
        ("spool: spool\n", "c.yaml:1:1: spool: must be an absolute path, such as /var/spool/raft-snapshot-agent"),
    ],
)  # fmt: skip
def test_a_wrong_key_or_value_is_named_with_its_mend(
    refusal: Refusal, text: str, expected: str
) -> None:
    assert refusal("c.yaml", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("vault:\n  address: localhost:8200\n", "c.yaml:2:3: vault.address: 'localhost:8200' is not an address: write it with its scheme, such as https://localhost:8200"),
        ("vault: {address: 'https://a..b:8200'}\n", "c.yaml:1:9: vault.address: 'https://a..b:8200' is not an address: write one host and no spaces; several nodes are given as a list, nodes"),
        ("vault: {nodes: [https://a, b]}\n", "c.yaml:1:9: vault.nodes: 'b' is not an address: write it with its scheme, such as https://b"),
        ("vault: {address: 'https://a', nodes: ['https://b']}\n", "c.yaml:1:1: vault: give address or nodes, not both"),
    ],
)  # fmt: skip
def test_an_address_without_scheme_is_refused(refusal: Refusal, text: str, expected: str) -> None:
    assert refusal("c.yaml", text) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0s", "must be longer than zero (write it like 30s, 1h30m, 7d)"),
        ("-1h", "'-1h' is negative (write it like 30s, 1h30m, 7d)"),
        ("1x", "'1x' is not a duration such as 30s, 1h30m or 7d"),
        ("''", "is empty (give it a value, or leave it out)"),
        ("3600", "write a duration with its unit, such as 30s or 1h30m"),
        ("'1:30'", "'1:30' is not a duration such as 30s, 1h30m or 7d"),
        ("[1h]", "write a duration with its unit, such as 30s or 1h30m"),
    ],
)
def test_an_interval_that_is_none_is_refused(refusal: Refusal, value: str, expected: str) -> None:
    text = f"schedule:\n  every: {value}\n"
    assert refusal("c.yaml", text) == f"c.yaml:2:3: schedule.every: {expected}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{cron: '0 0 * *'}", "c.yaml:1:12: schedule.cron: '0 0 * *' is not a cron expression"),
        (
            "{cron: '0 25 * * *'}",
            "c.yaml:1:12: schedule.cron: '0 25 * * *' is not a cron expression",
        ),
        ("{cron: '@daily', every: 1h}", "c.yaml:1:1: schedule: give every or cron, not both"),
        ("{every: null}", "c.yaml:1:12: schedule.every: has no value"),
        ("{timezone: Europe/Berlin}", "c.yaml:1:1: schedule: timezone goes with cron"),
        ("1h", "c.yaml:1:1: schedule: must be a mapping of keys, not text"),
    ],
)
def test_a_schedule_that_is_none_is_refused(refusal: Refusal, text: str, expected: str) -> None:
    line = refusal("c.yaml", f"schedule: {text}\n")
    assert line.startswith(expected)
    assert "more" not in line


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("-1", "must be 0 or more"),
        ('"5"', "must be a whole number, not text"),
        ("1.5", "must be a whole number, not a fraction"),
        ("true", "write a number"),
        ("[5]", "must be a whole number, not a list"),
    ],
)
@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("retention: {{last: {}}}", "1:13: retention.last"),
        ("storages: [{{type: local, path: /x, retention: {{last: {}}}}}]", "1:48: storages[0].retention.last"),
    ],
)  # fmt: skip
def test_a_count_that_is_no_whole_number_is_refused(
    refusal: Refusal, text: str, key: str, value: str, expected: str
) -> None:
    assert refusal("c.yaml", text.format(value)) == f"c.yaml:{key}: {expected}"


def test_every_fault_has_a_line_of_its_own_in_the_order_of_the_file(load_text: LoadText) -> None:
    text = """storages:
  - {type: local}
  - {type: s3, bukcet: b, retention: {lst: 3}}
run_on: x
retention: {last: no, daily: -1}
schedule: {evry: 1h}
vault:
  address:
  tls: {skip_verify: "yes"}
"""
    with pytest.raises(ConfigFaults) as caught:
        load_text("c.yaml", text)
    lines = [line.rpartition("/")[2] for line in caught.value.lines]
    assert lines == [
        "c.yaml:2:5: storages[0].path: required key is missing",
        "c.yaml:3:16: storages[1].bukcet: unknown key (did you mean 'bucket'?)",
        "c.yaml:3:39: storages[1].retention.lst: unknown key (did you mean 'last'?)",
        "c.yaml:4:1: run_on: unknown value 'x' (one of leader, anywhere)",
        "c.yaml:5:13: retention.last: write a number",
        "c.yaml:5:23: retention.daily: must be 0 or more",
        "c.yaml:6:12: schedule.evry: unknown key (did you mean 'every'?)",
        "c.yaml:8:3: vault.address: has no value (give it a value, or leave it out)",
        "c.yaml:9:9: vault.tls.skip_verify: must be true or false, not text",
    ]


EMPTY = "(give it a value, or leave it out)"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("vault: {address: ''}", "1:9: vault.address: is empty"),
        ("vault: {address: '  '}", "1:9: vault.address: is empty"),
        ("vault: {nodes: []}", "1:9: vault.nodes: is empty"),
        ("vault: {nodes: ['']}", "1:17: vault.nodes[0]: is empty"),
        ("vault: {nodes: [null]}", "1:17: vault.nodes[0]: has no value"),
        ("vault: {auth: {method: token, token: ''}}", "1:31: vault.auth.token: is empty"),
        ("vault: {auth: {method: }}", "1:16: vault.auth.method: has no value"),
        ("vault: {auth: {}}", "1:9: vault.auth: is empty"),
        ("vault: {}", "1:1: vault: is empty"),
        ("storages: []", "1:1: storages: is empty"),
        ("storages: [{type: s3, bucket: ''}]", "1:23: storages[0].bucket: is empty"),
        ("storages: [{type: s3, bucket: b, tags: {}}]", "1:34: storages[0].tags: is empty"),
        ("storages: [{type: s3, bucket: b, profile: }]", "1:34: storages[0].profile: has no value"),
        ("storages: [{}]", "1:12: storages[0]: is empty"),
        ("spool: ''", "1:1: spool: is empty"),
        ("lease: ", "1:1: lease: has no value"),
        ("schedule: {cron: ''}", "1:12: schedule.cron: is empty"),
        ("log: {level: ''}", "1:7: log.level: is empty"),
    ],
)
def test_an_empty_value_is_told_once(refusal: Refusal, text: str, key: str) -> None:
    assert refusal("c.yaml", text + "\nrun_on: leader\n") == f"c.yaml:{key} {EMPTY}"


@pytest.mark.parametrize(
    "text",
    [
        "storages: [{type: s3, bucket: b, prefix: ''}]",
        "storages: [{type: s3, bucket: b, tags: {environment: ''}}]",
        "{retention: {last: 3}, storages: [{type: s3, bucket: b, retention: {}}]}",
        "name_layout: {prefix: vault-, suffix: ''}",
        "clusters: {a: {}}",
    ],
)
def test_an_empty_value_may_mean_something(load_text: LoadText, text: str) -> None:
    assert load_text("c.yaml", text)


EMPTIES: tuple[Any, ...] = (None, "", "  ", [], {})
MEANT = {"prefix", "suffix", "retention", "web"}


NOT_OF_ONE = ("$schema", "concurrency", "spread", "clusters")


def test_no_key_of_the_schema_takes_an_empty_value_that_means_nothing(load_text: LoadText) -> None:
    described = schema()
    found = keys_of(described)
    keys = [one for one in found if one[0][0] not in NOT_OF_ONE]
    assert len(keys) > 150
    for path, around in keys:
        for empty in EMPTIES:
            if (path[-1] in MEANT and empty is not None) or path[-1] == "0":
                continue
            text = json.dumps(document_with(around, path, empty))
            with pytest.raises(ConfigError) as caught:
                load_text("c.json", text)
            assert EMPTY in str(caught.value) or "must be" in str(caught.value), (path, empty)


def test_json_and_toml_faults_have_places_too(refusal: Refusal) -> None:
    json_text = '{\n\t"log": {"level": "inof"}\n}'
    expected = "c.json:2:10: log.level: unknown value 'inof' (did you mean 'info'?)"
    assert refusal("c.json", json_text) == expected
    toml_text = (
        '[[storages]]\ntype = "local"\npath = "/x"\n\n[[storages]]\ntype = "s3"\nbukcet = "b"\n'
    )
    expected = "c.toml:7:1: storages[1].bukcet: unknown key (did you mean 'bucket'?)"
    assert refusal("c.toml", toml_text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "vault: {address: 'root:hunter22@h:8200'}\n",
        "vault: {address: 'bao://root:hunter22@h:8200'}\n",
        "vault: {address: 'https://root:hunter22@h:8200'}\n",
        "vault: {nodes: ['https://root:hunter22@h:8200', 'h']}\n",
        "storages: [{type: s3, bucket: b, endpoint: 'https://u:hunter22@h'}]\n",
        "storages: [{type: s3, bucket: b, secret_access_key: hunter22}]\n",
        "vault: {auth: {method: token, token: [hunter22]}}\n",
        "vault: {auth: {method: token, token: hunter22, x: 1}}\n",
        "vault: {auth: {method: token, token: hunter22: x}}\n",
    ],
)
def test_no_secret_is_shown(refusal: Refusal, text: str) -> None:
    assert "hunter22" not in refusal("c.yaml", text)


def test_a_token_in_a_wrong_place_is_hidden(refusal: Refusal) -> None:
    token = "hvs." + "A" * 24
    assert token not in refusal("c.yaml", f"naming: {token}\n")


def test_two_storages_cannot_share_a_name(refusal: Refusal) -> None:
    text = "storages:\n  - {type: local, path: /x, name: a}\n  - {type: local, path: /y, name: a}\n"
    expected = "c.yaml:3:29: storages[1].name: another storage is called 'a' already"
    assert refusal("c.yaml", text) == expected


def test_a_static_name_and_retention_exclude_each_other(refusal: Refusal) -> None:
    text = "storages:\n  - {type: local, path: /x, static_name: a, retention: {last: 1}}\n"
    assert refusal("c.yaml", text).startswith("c.yaml:2:45: storages[0].retention: a storage with")
