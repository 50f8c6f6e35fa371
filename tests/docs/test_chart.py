"""The Helm chart: what it makes of values is what the program, Kubernetes and Vault expect."""

from __future__ import annotations

import json
import re
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.docs.chart import (
    CHART,
    RELEASE,
    ROOT,
    SCHEMA,
    VALUES,
    Rendered,
    pack,
    render,
    schema_text,
    validate,
)
from tests.docs.chart_cases import BASE, CASES, MORE, merged
from tests.docs.image import DOCKERFILE, stages
from tests.shipping import needs_helm
from tests.unit.cli.commands import COMMANDS

from raft_snapshot_agent.errors import ConfigError, PartialFailure, RetentionSuspended

IMAGE = stages(DOCKERFILE.read_text())[-1]
VERSIONS = ["1.28", "1.32", "1.37"]
"""The oldest and the newest whose schemas there are, and one between."""
MINE = "monitoring.coreos.com/v1"
CONFIG_FOLDER = "/etc/raft-snapshot-agent"


@pytest.fixture(scope="module")
def rendered() -> dict[str, Rendered]:
    """What was rendered so far."""
    return {}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, rendered: dict[str, Rendered]) -> Rendered:
    """Each of the sets of values, rendered."""
    if request.param not in rendered:
        rendered[request.param] = render(CASES[request.param])
    return rendered[request.param]


def test_the_schema_is_that_of_the_program_and_of_the_values() -> None:
    assert SCHEMA.read_text() == schema_text(), "write it: python -m tests.docs.chart"


def test_the_chart_is_of_this_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert {chart["version"], chart["appVersion"]} == {project["version"]}


def test_rules_and_dashboard_have_one_source() -> None:
    links = {one.name: one.resolve() for one in (CHART / "files").iterdir() if one.is_symlink()}

    assert links == {
        "alerts.yaml": ROOT / "contrib" / "prometheus" / "alerts.yaml",
        "dashboard.json": ROOT / "contrib" / "grafana" / "dashboard.json",
    }


def test_every_group_of_values_is_explained() -> None:
    groups = (CHART / "values.yaml").read_text().split("\n\n")

    assert [one for one in groups if "#" not in one] == []


def test_the_notes_and_templates_use_commands_that_exist() -> None:
    for one in (CHART / "templates").iterdir():
        for command in re.findall(r"-- raft-snapshot-agent ([a-z]+)", one.read_text()):
            assert command in COMMANDS, one.name


@pytest.mark.soak
@needs_helm
def test_helm_accepts_the_values_and_kubernetes_what_is_made(case: Rendered) -> None:
    assert case.error == ""
    assert case.lint == []
    core = [one for one in case.objects if one["apiVersion"] != MINE]
    assert validate(core, VERSIONS) == ""


@pytest.mark.soak
@needs_helm
def test_the_pod_has_what_the_image_and_the_program_need(case: Rendered) -> None:
    container, pod = case.container, case.pod
    command, *options = container["args"]
    mounts = {one["name"]: one for one in container["volumeMounts"]}
    folders = {one["mountPath"] for one in mounts.values() if not one.get("readOnly")}

    known = {option for one in COMMANDS[command].params for option in one.opts}
    assert {*options} <= known | {"--debug"}
    assert {*IMAGE.lists["VOLUME"]} <= folders
    assert folders - {*IMAGE.lists["VOLUME"]} <= {VALUES["persistence"]["mountPath"]}
    assert mounts["config"]["mountPath"] == CONFIG_FOLDER
    assert "subPath" not in mounts["config"]
    assert mounts.keys() == {one["name"] for one in pod["volumes"]}
    # The restricted Pod Security Standard.
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"{pod['securityContext']['runAsUser']}:65532" == IMAGE.user
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.soak
@needs_helm
def test_rules_and_dashboard_are_those_that_everybody_uses() -> None:
    case = render(
        merged(BASE, {"prometheusRule": {"enabled": True}, "dashboard": {"enabled": True}})
    )
    rules = yaml.safe_load((ROOT / "contrib" / "prometheus" / "alerts.yaml").read_text())
    dashboard = json.loads((ROOT / "contrib" / "grafana" / "dashboard.json").read_text())

    assert case.one("PrometheusRule")["spec"] == rules
    (text,) = case.one("ConfigMap", "-dashboard")["data"].values()
    assert json.loads(text) == dashboard


REFUSED: dict[str, dict[str, Any]] = {
    "image.repository is missing: no image is published": {"image": {"repository": ""}},
    "replicas is 2 without config.lease: ": {"replicas": 2},
    "config.storages is missing: ": {"config": {"storages": []}},
    "serviceMonitor.tokenSecret is missing: ": {
        "serviceMonitor": {"enabled": True},
        "config": {"web": {"token": "env://TOKEN"}},
    },
    "serviceMonitor.enabled needs mode: deployment": {
        "serviceMonitor": {"enabled": True},
        "config": {"web": {"listen": "127.0.0.1:8299"}},
    },
    "at '/replicas': got string, want integer": {"replicas": "two"},
    "at '': additional properties 'replica' not allowed": {"replica": 2},
    "at '/mode': value must be one of": {"mode": "daemonset"},
    "additional properties 'adress' not allowed": {"config": {"vault": {"adress": "x"}}},
    "missing property 'bucket'": {"config": {"storages": [{"type": "s3"}]}},
}


@pytest.mark.soak
@needs_helm
@pytest.mark.parametrize("line", REFUSED)
def test_what_cannot_work_is_refused_in_one_line(line: str) -> None:
    told = render(merged(BASE, REFUSED[line])).error

    assert sum(line in one for one in told.splitlines()) == 1, told


@pytest.mark.soak
@needs_helm
def test_nothing_but_a_lease_gets_the_api_and_no_change_of_the_file_a_restart() -> None:
    first = render(BASE)
    second = render(merged(BASE, {"config": {"schedule": {"every": "2h"}}}))

    assert first.pod["automountServiceAccountToken"] is False
    assert first.one("ServiceAccount")["automountServiceAccountToken"] is False
    assert not {"Role", "RoleBinding"} & first.kinds
    assert first.one("Secret") != second.one("Secret")
    assert first.one("Deployment") == second.one("Deployment")
    assert first.one("Deployment")["spec"]["strategy"] == {"type": "Recreate"}
    assert f"deploy/{RELEASE}-raft-snapshot-agent -- raft-snapshot-agent status" in first.notes


@pytest.mark.soak
@needs_helm
def test_a_large_number_stays_one() -> None:
    text = render(merged(BASE, {"config": {"retention": {"max_deletes": 12345678}}})).one("Secret")

    assert '"max_deletes": 12345678' in text["stringData"]["config.yaml"]


@pytest.mark.soak
@needs_helm
def test_an_own_secret_is_mounted_and_none_is_written() -> None:
    case = render(MORE)

    assert "Secret" not in case.kinds
    assert case.pod["volumes"][0]["secret"]["secretName"] == MORE["existingSecret"]


@pytest.mark.soak
@needs_helm
def test_the_volume_with_snapshots_outlives_the_release() -> None:
    claim = render(CASES["many clusters"]).one("PersistentVolumeClaim")

    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


@pytest.mark.soak
@needs_helm
def test_without_the_page_there_are_no_probes_and_no_service() -> None:
    case = render(merged(BASE, {"config": {"web": None}}))

    assert case.error == ""
    assert "Service" not in case.kinds
    assert not {"ports", "livenessProbe", "readinessProbe"} & case.container.keys()


@pytest.mark.soak
@needs_helm
def test_a_probe_can_be_switched_off() -> None:
    case = render(merged(BASE, {"livenessProbe": None}))

    assert case.error == ""
    assert {"livenessProbe", "readinessProbe"} & case.container.keys() == {"readinessProbe"}


@pytest.mark.soak
@needs_helm
def test_a_job_is_not_tried_again_once_a_snapshot_is_stored() -> None:
    case = render(merged(BASE, {"mode": "cronjob"}))
    job = case.one("CronJob")["spec"]["jobTemplate"]["spec"]
    (rule,) = job["podFailurePolicy"]["rules"]

    assert case.container["args"] == ["run", "--once"]
    assert case.pod["restartPolicy"] == "Never"
    assert rule["action"] == "FailJob"
    assert rule["onExitCodes"]["containerName"] == case.container["name"]
    assert {*rule["onExitCodes"]["values"]} == {
        one.exit_code for one in (ConfigError, PartialFailure, RetentionSuspended)
    }


@pytest.mark.soak
@needs_helm
def test_the_packed_chart_has_what_the_links_lead_to(tmp_path: Path) -> None:
    with tarfile.open(pack(tmp_path)) as packed:
        names = {one.name.partition("/")[2]: one for one in packed.getmembers()}
        for link in (CHART / "files").iterdir():
            assert packed.extractfile(names[f"files/{link.name}"]).read() == link.read_bytes()  # type: ignore[union-attr]
