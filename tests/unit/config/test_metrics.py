"""`metrics`: once for all clusters, and every mistake in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from raft_snapshot_agent.config.check import check
from raft_snapshot_agent.config.load import load_all
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.show import shown_fleet
from raft_snapshot_agent.errors import ConfigError


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ("{}", "metrics: is empty"),
        ("{instance: a}", "metrics: give textfile or pushgateway, or both"),
        ("{textfile: raft.prom}", "metrics.textfile: must be an absolute path that ends in .prom"),
        ("{textfile: /a/raft.txt}", "metrics.textfile: must be an absolute path that ends in .prom"),
        ("{pushgateway: gateway:9091}", "metrics.pushgateway: must be a URL with its scheme"),
        ("{pushgateway: 'http://u:secretword@h:9091'}", "metrics.pushgateway: must be scheme, host, port"),
        ("{pushgateway: 'http://h:99999'}", "metrics.pushgateway: is not a URL"),
        ("{pushgateway: 'http://h:9091', username: a}", "metrics: username and password must be given together"),
        ("{textfile: /a.prom, username: a, password: b}", "metrics: username and password are for a pushgateway"),
        ("{pushgateway: 'http://h:9091', username: a, password: b}", "metrics: http://h:9091 is not encrypted"),
        ("{pushgateway: 'http://h:9091', instance: ' '}", "metrics.instance: is empty"),
        ('{pushgateway: "http://h:9091", instance: "a\\nb"}', "metrics.instance: must be one line"),
        ("{push_gateway: 'http://h:9091'}", "metrics.push_gateway: unknown key (did you mean 'pushgateway'?)"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line(
    load_text: Callable[..., Loaded], metrics: str, words: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_text("c.yaml", f"storages: [{{type: local, path: /x}}]\nmetrics: {metrics}\n")
    assert words in caught.value.lines[0]
    assert "secretword" not in str(caught.value)


def test_it_stands_once_for_all_clusters(tmp_path: Path) -> None:
    file = tmp_path / "agent.yaml"
    file.write_text(
        "metrics: {textfile: /a/raft.prom}\n"
        "storages: [{type: local, path: /srv}]\n"
        "clusters: {a: {vault: {address: 'http://a:1'}}, b: {vault: {address: 'http://b:1'}}}\n"
    )
    fleet = load_all(file, {})
    for name, loaded in fleet.clusters.items():
        assert loaded.config.metrics is not None
        assert loaded.config.metrics.textfile == Path("/a/raft.prom")
        assert loaded.name == name
        assert loaded.siblings == {"a", "b"}
    shown = shown_fleet(fleet)
    assert shown["metrics"]["textfile"] == "/a/raft.prom"
    assert "metrics" not in shown["clusters"]["a"]

    file.write_text(file.read_text().replace("{a: {", "{a: {metrics: {textfile: /b.prom}, "))
    with pytest.raises(ConfigError, match="belongs at the top of the file, for all clusters"):
        load_all(file, {})


def test_a_folder_that_is_not_there_is_told_by_the_check_and_costs_no_run(
    load_text: Callable[..., Loaded], tmp_path: Path
) -> None:
    storage = f"{{type: local, path: {tmp_path}}}"
    text = f"storages: [{storage}]\nmetrics: {{textfile: {tmp_path}/none/raft.prom}}\n"
    config = load_text("c.yaml", text + f"spool: {tmp_path}\n").config
    environ = {"VAULT_TOKEN": "a-token"}
    with pytest.raises(ConfigError) as caught:
        check(config, environ)
    told = [line for line in caught.value.lines if "textfile" in line]
    assert told == [
        (
            f"metrics.textfile: there is no folder {tmp_path}/none (give a file in the folder of"
            " node_exporter's --collector.textfile.directory)"
        )
    ]
    (tmp_path / "none").mkdir()
    with pytest.raises(ConfigError) as caught:  # of the login alone
        check(config, {})
    assert "textfile" not in str(caught.value)
