"""What is shipped for monitoring systems follows the table of metrics, and the commands there are."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.prometheus import PROMTOOL, needs_promtool
from tests.unit.cli.commands import COMMANDS

from raft_snapshot_agent.metrics.metric import PREFIX
from raft_snapshot_agent.metrics.table import TABLE

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "contrib" / "prometheus" / "alerts.yaml"
DASHBOARD: dict[str, Any] = json.loads((ROOT / "contrib/grafana/dashboard.json").read_text())
METRICS = {one.name: {*one.labels, "job", "instance"} for one in TABLE}
RULES: list[dict[str, Any]] = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
USE = re.compile(rf"\b({PREFIX}\w+|process_\w+)(?:\{{([^}}]*)\}})?")
GROUPS = re.compile(r"\b(by|on|label_values)\b *\(([^(){}]*)\)")
VARIABLE = re.compile(r"label_values\((.*), (\w+)\)")


def misused(expression: str) -> list[str]:
    """What an expression asks for that the table does not have."""
    wrong, all_labels = [], {"job", "instance"}
    for name, matchers in USE.findall(expression):
        if name not in METRICS:
            wrong.append(f"there is no metric {name}")
            continue
        all_labels |= METRICS[name]
        used = {one.split("=")[0].rstrip("!").strip() for one in matchers.split(",") if one}
        wrong += [f"{name} has no label {one}" for one in used - METRICS[name]]
    for _, labels in GROUPS.findall(expression):
        used = {one.strip() for one in labels.split(",") if one.strip()}
        wrong += [f"nothing here has a label {one}" for one in used - all_labels]
    return wrong


def promtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        [str(PROMTOOL), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


def queries() -> Iterator[tuple[str, str, str]]:
    """Every query of the dashboard: its panel, the expression and the legend."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


def test_a_wrong_query_would_be_found() -> None:
    assert misused("raft_snapshot_nothing > 0")
    assert misused('raft_snapshot_state{storage="s3"}')
    assert misused("max by (storage) (raft_snapshot_state)")
    assert misused("max by (job, storage) (raft_snapshot_stored)") == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_what_there_is_and_has_its_runbook(rule: dict[str, Any]) -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    told = rule["annotations"]

    assert misused(rule["expr"]) == []
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert told.keys() == {"summary", "description", "runbook_url"}
    assert told["runbook_url"] == f"docs/alerts.md#{rule['alert'].lower()}"
    assert f"\n## {rule['alert']}\n" in page


def test_every_runbook_is_of_a_rule() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    assert {*re.findall(r"^## (\w+)$", page, re.MULTILINE)} == {one["alert"] for one in RULES}


def test_every_rule_is_seen_to_fire_and_to_resolve() -> None:
    tests = yaml.safe_load(ALERTS.with_name("alerts_test.yaml").read_text())["tests"]
    fired: dict[str, list[bool]] = {}
    for one in tests:
        for check in one["alert_rule_test"]:
            fired.setdefault(check["alertname"], []).append(bool(check["exp_alerts"]))

    assert fired.keys() == {one["alert"] for one in RULES}
    for name, seen in fired.items():
        assert any(seen), name
        assert not seen[0], name
        assert not seen[-1], name


@pytest.mark.soak
@needs_promtool
def test_promtool_accepts_the_rules() -> None:
    assert promtool("check", "rules", ALERTS) == ""
    assert promtool("test", "rules", ALERTS.with_name("alerts_test.yaml")) == ""


@needs_promtool
def test_promtool_accepts_the_scrape_of_the_page(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    (example,) = re.findall(r"^```yaml\n(scrape_configs:.*?)^```", page, re.DOTALL | re.MULTILINE)
    file = tmp_path / "prometheus.yaml"
    file.write_text(example)

    assert promtool("check", "config", "--syntax-only", file) == ""


@pytest.mark.parametrize(("title", "expression", "legend"), [*queries()])
def test_a_query_asks_for_what_there_is(title: str, expression: str, legend: str) -> None:
    assert misused(expression) == []
    shown = set(re.findall(r"\{\{(\w+)\}\}", legend))
    grouped = [labels.split(", ") for kind, labels in GROUPS.findall(expression) if kind == "by"]
    there = set().union(*(METRICS[name] for name, _ in USE.findall(expression)))
    assert shown <= (set(grouped[0]) if grouped else there), title


@needs_promtool
def test_every_query_is_promql(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$", "")}
        for number, (_, expression, _) in enumerate(queries())
    ]
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    assert promtool("check", "rules", file) == ""


def test_the_dashboard_fits_every_grafana() -> None:
    sources = [DASHBOARD["panels"], DASHBOARD["templating"]["list"][1:]]
    sources.append([one for panel in DASHBOARD["panels"] for one in panel["targets"]])

    assert DASHBOARD["uid"] is None
    assert DASHBOARD["id"] is None
    assert {one["datasource"]["uid"] for part in sources for one in part} == {"${datasource}"}
    variables = {one["name"]: one for one in DASHBOARD["templating"]["list"]}
    used = set(re.findall(r"\$(\w+)", json.dumps(DASHBOARD["panels"])))
    assert used | {"datasource"} == variables.keys()
    for name, one in variables.items():
        if name != "datasource":
            expression, label = VARIABLE.fullmatch(one["definition"]).groups()  # type: ignore[union-attr]
            assert misused(expression) == []
            assert label in METRICS[expression.partition("{")[0]]


def test_every_metric_is_on_the_dashboard_or_in_a_rule() -> None:
    """What nobody looks at need not be there; the process's and these say what others mean."""
    texts = [ALERTS.read_text(), *(expression for _, expression, _ in queries())]
    seen = {name for text in texts for name, _ in USE.findall(text)}
    by_hand = {
        f"{PREFIX}{name}"
        for name in (
            "config_last_reload_success_timestamp_seconds",
            "config_reloads_total",
            "heartbeat_timestamp_seconds",
            "in_progress",
            "last_attempt_timestamp_seconds",
            "drill_duration_seconds",
            "listed_timestamp_seconds",
            "oldest_timestamp_seconds",
            "schedule_interval_seconds",
            "state",
            "token_expiry_timestamp_seconds",
        )
    }

    assert {one for one in METRICS if one.startswith(PREFIX)} - seen == by_hand


@pytest.mark.parametrize("name", ["raft-snapshots.cfg", "raft-snapshots-icinga2.conf"])
def test_nagios_and_icinga_are_given_options_that_check_has(name: str) -> None:
    text = (ROOT / "contrib" / "nagios" / name).read_text()
    known = {option for one in COMMANDS["check"].params for option in one.opts}

    assert re.search(r'raft-snapshot-agent"?,? "?check\b', text)
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))
    assert used
    assert used <= known
