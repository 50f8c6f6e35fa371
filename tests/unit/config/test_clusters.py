from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import pytest

from raft_snapshot_agent.config.clusters import Fleet
from raft_snapshot_agent.config.load import load, load_all
from raft_snapshot_agent.config.loaded import LoadedFleet
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.config.show import schema, shown_fleet
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.lease.in_kubernetes import KubernetesLease

WriteFile = Callable[[str], Path]

TWO = """
    vault: {namespace: admin, timeout: 5s, tls: {ca_file: /ca.pem, server_name: vault}}
    schedule: {every: 4h}
    retention: {last: 7}
    guard: {max_shrink: 25%}
    log: {format: json}
    concurrency: 2
    spread: 100ms
    storages:
      - {type: s3, bucket: b, prefix: all}
      - {type: local, path: /srv/vault}
    clusters:
      berlin:
        vault: {address: 'https://berlin:8200', tls: {server_name: berlin}}
      paris:
        vault: {nodes: ['https://p1:8200', 'https://p2:8200'], auth: {method: token, token: x}}
        run_on: anywhere
        schedule: {cron: '@daily'}
        storages: [{type: local, path: /srv/paris}]
"""


@pytest.fixture
def write(tmp_path: Path) -> WriteFile:
    def write(text: str) -> Path:
        path = tmp_path / "agent.yaml"
        path.write_text(dedent(text))
        return path

    return write


def refused(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_all(path, {})
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}:")


@pytest.fixture
def two(write: WriteFile) -> LoadedFleet:
    return load_all(write(TWO), {"VAULT_TOKEN": "from the environment"})


def test_each_cluster_is_a_little_behind_the_one_before_it(two: LoadedFleet) -> None:
    timings = [one.timing for one in two.clusters.values()]

    assert [one.phase for one in timings] == [timedelta(0), timedelta(milliseconds=100)]
    assert two.one("paris").timing.phase == timedelta(milliseconds=100)
    assert [str(one.schedule) for one in timings] == ["every 4h", "at @daily"]


def test_what_clusters_know_of_each_other_is_kept_once(two: LoadedFleet) -> None:
    berlin, paris = two.clusters.values()

    assert berlin.siblings is paris.siblings  # else it grows with the square of their number
    assert berlin.siblings == {"berlin", "paris"}


def test_what_clusters_have_in_common_is_kept_once(two: LoadedFleet) -> None:
    berlin, paris = (one.config for one in two.clusters.values())

    # They have no keys of these of their own; else thousands would each take a copy.
    assert paris.guard is berlin.guard
    assert paris.retention is berlin.retention
    assert (paris.schedule, paris.run_on) != (berlin.schedule, berlin.run_on)


def test_the_top_of_the_file_holds_the_defaults(two: LoadedFleet) -> None:
    berlin, paris = (two.clusters[name].config for name in ("berlin", "paris"))
    assert two.concurrency == 2
    assert (two.spread, two.only("paris").spread) == (timedelta(milliseconds=100),) * 2
    assert {one.config.log.format for one in two.clusters.values()} == {"json"}
    for config in (berlin, paris):
        assert config.vault.namespace == "admin"
        assert config.vault.timeout.total_seconds() == 5
        assert config.guard.max_shrink == 0.25
        assert str(config.vault.tls.ca_file) == "/ca.pem"
        assert config.vault.auth is not None
    assert (str(berlin.schedule), str(paris.schedule)) == ("every 4h", "at @daily")
    assert (berlin.run_on, paris.run_on) == ("leader", "anywhere")


def test_vault_tls_and_guard_are_changed_in_part_and_all_else_whole(two: LoadedFleet) -> None:
    berlin, paris = (two.clusters[name].config for name in ("berlin", "paris"))
    assert berlin.vault.addresses == ("https://berlin:8200",)
    assert paris.vault.addresses == ("https://p1:8200", "https://p2:8200")
    assert (berlin.vault.tls.server_name, paris.vault.tls.server_name) == ("berlin", "vault")
    assert [one.retention and one.retention.last for one in paris.storages] == [7]


def test_in_a_common_storage_each_cluster_has_a_folder_of_its_own(two: LoadedFleet) -> None:
    berlin, paris = (two.clusters[name].config for name in ("berlin", "paris"))
    assert [one.prefix for one in berlin.storages] == ["all/berlin/", "berlin/"]
    assert [one.prefix for one in paris.storages] == [""]


def test_a_cluster_with_nodes_takes_no_address_from_the_defaults(write: WriteFile) -> None:
    path = write(
        "{vault: {address: 'http://a:1'}, clusters: {x: {vault: {nodes: ['http://b:1']}}}}"
    )
    assert load(path, {}).config.vault.addresses == ("http://b:1",)


def test_a_command_for_one_cluster_wants_its_name(two: LoadedFleet) -> None:
    assert two.one("paris").config.run_on == "anywhere"
    assert list(two.only("paris").clusters) == ["paris"]
    assert list(two.only(None).clusters) == ["berlin", "paris"]
    for name, words in ((None, "choose one with --cluster"), ("Paris", "no cluster is called")):
        with pytest.raises(ConfigError, match=words) as caught:
            two.one(name)
        assert caught.value.hint == "there are: berlin, paris"


def test_a_file_of_one_cluster_wants_no_name(write: WriteFile) -> None:
    path = write("vault: {address: 'http://a:1'}")
    assert load(path, {}).config.vault.addresses == ("http://a:1",)
    with pytest.raises(ConfigError) as caught:
        load(path, {}, "berlin")
    assert caught.value.hint == "the configuration names no clusters"


LONG = "a" * 101


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("cluster: {a: {}}", "1:1: cluster: unknown key (did you mean 'clusters'?)"),
        (
            "{concurency: 2, clusters: {a: {}}}",
            "1:2: concurency: unknown key (did you mean 'concurrency'?)",
        ),
        ("clusters: {}", "1:1: clusters: is empty (give it a value, or leave it out)"),
        ("clusters: [a]", "1:1: clusters: must be a mapping of keys, not a list"),
        ("clusters: {a: 1}", "1:12: clusters.a: must be a mapping of keys, not a number"),
        ("clusters: {a/b: {}}", "1:12: clusters.a/b: a cluster's name has letters, digits"),
        (f"clusters: {{{LONG}: {{}}}}", f"1:12: clusters.{LONG[:50]}"),
        ("clusters: {a: {log: {}}}", "1:16: clusters.a.log: belongs at the top of the file"),
        ("clusters: {a: {clusters: {}}}", "1:16: clusters.a.clusters: belongs at the top"),
        ("{clusters: {a: {}}, concurrency: 0}", "1:21: concurrency: must be 1 or more"),
        (
            "clusters: {a: {vault: {adress: 'http://a:1'}}}",
            "1:24: clusters.a.vault.adress: unknown key (did you mean 'address'?)",
        ),
        (
            "{vault: {tls: {ca_fil: /x}}, clusters: {a: {vault: {address: 'http://a:1'}}}}",
            "1:16: vault.tls.ca_fil: unknown key (did you mean 'ca_file'?)",
        ),
        (
            "{storages: [{type: local}], clusters: {a: {}}}",
            "1:13: storages[0].path: required key is missing",
        ),
        (
            "{storages: [{type: s3, bucket: b}], clusters: {a: {storages: [{type: local}]}}}",
            "1:63: clusters.a.storages[0].path: required key is missing",
        ),
        (
            "{storages: [{type: s3, bucket: b}], lease: {type: storage, storage: x}, clusters: {a: {}}}",
            "1:60: lease.storage: no storage is called 'x'; there are: s3",
        ),
    ],
)
def test_what_is_wrong_is_told_where_it_stands(write: WriteFile, text: str, says: str) -> None:
    assert refused(write(text)).startswith(says)


def test_the_same_cluster_twice_is_refused(write: WriteFile) -> None:
    path = write("""
        clusters:
          a: {vault: {nodes: ['http://a:1', 'http://b:1']}}
          b: {vault: {address: 'http://b:1'}}
    """)
    assert refused(path).startswith(
        "4:15: clusters.b.vault.address: http://b:1 is also used by the"
    )
    path = write("{vault: {address: 'http://a:1'}, clusters: {a: {}, b: {}}}")
    assert refused(path).startswith("1:10: vault.address: http://a:1 is also used by the cluster a")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("{type: local, path: /srv/a/}", "{type: local, path: /srv, prefix: a}"),
        ("{type: s3, bucket: b, storage_class: X}", "{type: s3, bucket: b, name: other}"),
        ("{type: gcs, bucket: b}", "{type: gcs, bucket: b, required: false}"),
        (
            "{type: gcs, bucket: b}",
            "{type: gcs, bucket: b, endpoint: 'https://storage.googleapis.com'}",
        ),
        ("{type: azure, container: abc}", "{type: azure, container: abc}"),
        (
            "{type: sftp, host: h, username: u, password: p, path: /a}",
            "{type: sftp, host: h, username: w, password: p, path: /a}",
        ),
        ("{type: webdav, url: 'https://h/a'}", "{type: webdav, url: 'https://h/a'}"),
        ("{type: swift, container: c}", "{type: swift, container: c}"),
    ],
)
def test_two_clusters_never_store_in_one_place(write: WriteFile, first: str, second: str) -> None:
    path = write(
        f"""
        clusters:
          a: {{vault: {{address: 'http://a:1'}}, storages: [{first}]}}
          b: {{vault: {{address: 'http://b:1'}}, storages: [{second}]}}
        """
    )
    said = refused(path)
    assert (
        "clusters.b.storages[0]: the place of these snapshots is also used by the cluster a" in said
    )

    apart = path.read_text().replace("storages: [{type: ", "storages: [{prefix: one, type: ", 1)
    path.write_text(apart)
    if "prefix: a" not in second:
        assert list(load_all(path, {}).clusters) == ["a", "b"]


def test_a_static_name_is_no_folder_of_another_cluster(write: WriteFile) -> None:
    path = write("""
        clusters:
          a:
            vault: {address: 'http://a:1'}
            storages: [{type: webdav, url: 'https://h/x', prefix: backups/a}]
          b:
            vault: {address: 'http://b:1'}
            storages: [{type: webdav, url: 'https://h/x', static_name: backups}]
    """)
    assert refused(path).startswith(
        "8:51: clusters.b.storages[0].static_name: is the name of a folder in which the cluster a"
    )
    path.write_text(path.read_text().replace("static_name: backups", "static_name: other"))
    assert list(load_all(path, {}).clusters) == ["a", "b"]


def test_what_is_in_force_is_shown_by_cluster(two: LoadedFleet) -> None:
    shown = shown_fleet(two)
    assert list(shown) == ["log", "concurrency", "spread", "clusters"]
    assert list(shown["clusters"]) == ["berlin", "paris"]
    assert "log" not in shown["clusters"]["berlin"]
    assert shown["clusters"]["paris"]["vault"]["nodes"] == ["https://p1:8200", "https://p2:8200"]
    assert "from the environment" not in json.dumps(shown)


def test_the_schema_gives_a_cluster_every_key_but_those_of_the_whole() -> None:
    described = schema()["properties"]
    cluster = described["clusters"]["additionalProperties"]["properties"]
    assert set(cluster) == set(Config.model_fields) - set(Fleet.model_fields)
    assert set(described) == {"$schema", *Config.model_fields, *Fleet.model_fields}


def test_each_cluster_has_a_lease_of_kubernetes_of_its_own(write: WriteFile) -> None:
    path = write("""
        lease: {type: kubernetes}
        clusters:
          Berlin_1: {vault: {address: 'http://a:1'}}
          paris: {vault: {address: 'http://b:1'}, lease: {type: kubernetes, name: other}}
    """)
    leases = [one.config.lease for one in load_all(path, {}).clusters.values()]
    assert [one.name for one in leases if isinstance(one, KubernetesLease)] == [
        "raft-snapshot-lease-berlin-1",
        "other",
    ]

    path.write_text(path.read_text().replace("name: other", "name: raft-snapshot-lease-berlin-1"))
    assert "the lease raft-snapshot-lease-berlin-1 is also used by the cluster" in refused(path)


def test_the_page_is_one_for_all_clusters(write: WriteFile) -> None:
    one = load_all(write("{storages: [{type: local, path: /b}], web: {}}"), {})
    assert one.web is not None
    text = "{web: {listen: 'localhost:1'}, clusters: {a: {vault: {address: 'https://a:8200'}}}}"
    several = load_all(write(text), {})
    assert several.web is not None
    assert several.only("a").web == several.web
    assert shown_fleet(several)["web"]["listen"] == "localhost:1"
    with pytest.raises(ConfigError, match="belongs at the top of the file"):
        load_all(write("clusters: {a: {web: {}}}"), {})
