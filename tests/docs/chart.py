"""The Helm chart: its schema of values, and Helm, where it is installed.

`.venv/bin/python -m tests.docs.chart` writes the schema anew.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.shipping import PYTHON

from raft_snapshot_agent.config.show import schema as describe_configuration

ROOT = Path(__file__).parents[2]
CHART = ROOT / "contrib" / "helm" / "raft-snapshot-agent"
SCHEMA = CHART / "values.schema.json"
VALUES: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())
_KINDS = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
_CHOICES = {
    ("mode",): ["deployment", "cronjob"],
    ("image", "pullPolicy"): ["Always", "IfNotPresent", "Never"],
    ("service", "type"): ["ClusterIP", "NodePort", "LoadBalancer"],
}
_LEAST = {("replicas",): 0, ("vaultToken", "expirationSeconds"): 600}
# Whatever Kubernetes accepts there.
_FREE = {
    *("resources", "podSecurityContext", "securityContext", "livenessProbe", "readinessProbe"),
    *("labels", "annotations", "tokenSecret", "tlsConfig", "volume"),
}
_HELM = """
import json, sys
from helm_python.chart import Chart, lint
asked = json.load(sys.stdin)
report = lint(asked["chart"], asked["values"], strict=True)
told = {"lint": [one["error"] for one in report["messages"] if one["severity"] > 1]}
try:
    told["files"] = Chart.load(asked["chart"]).render(
        asked["values"], name=asked["name"], namespace=asked["namespace"]
    )
except Exception as error:
    told["error"] = str(error)
json.dump(told, sys.stdout)
"""
_PACK = """
import json, sys
from helm_python.chart import package
asked = json.load(sys.stdin)
print(package(asked["chart"], destination=asked["folder"]))
"""
_VALIDATE = """
import json, sys, kubernetes_validate
asked = json.load(sys.stdin)
for version in asked["versions"]:
    for one in asked["objects"]:
        kubernetes_validate.validate(one, version, strict=True)
"""
RELEASE, NAMESPACE = "backup", "vault"


@dataclass(frozen=True, slots=True)
class Rendered:
    """What Helm makes of the chart."""

    objects: list[dict[str, Any]]
    notes: str
    lint: list[str]
    error: str

    def one(self, kind: str, suffix: str = "") -> dict[str, Any]:
        """Return the only object of a kind, or of those the one whose name ends so."""
        (found,) = (
            one
            for one in self.objects
            if one["kind"] == kind and one["metadata"]["name"].endswith(suffix)
        )
        return found

    @property
    def kinds(self) -> set[str]:
        return {one["kind"] for one in self.objects}

    @property
    def pod(self) -> dict[str, Any]:
        """Return the spec of the pod."""
        if "CronJob" in self.kinds:
            spec: dict[str, Any] = self.one("CronJob")["spec"]["jobTemplate"]["spec"]
        else:
            spec = self.one("Deployment")["spec"]
        found: dict[str, Any] = spec["template"]["spec"]
        return found

    @property
    def container(self) -> dict[str, Any]:
        (found,) = self.pod["containers"]
        return dict(found)


def _in_tools(program: str, asked: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, "-c", program],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def render(values: dict[str, Any]) -> Rendered:
    """Lint the chart, and render it as a release."""
    asked = {"chart": str(CHART), "values": values, "name": RELEASE, "namespace": NAMESPACE}
    done = _in_tools(_HELM, asked)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    files: dict[str, str] = told.get("files", {})
    notes = "".join(text for name, text in files.items() if name.endswith("NOTES.txt"))
    manifests = [text for name, text in sorted(files.items()) if name.endswith(".yaml")]
    objects = [one for text in manifests for one in yaml.safe_load_all(text) if one]
    return Rendered(objects, notes, told["lint"], told.get("error", ""))


def pack(folder: Path) -> Path:
    """Pack the chart as `helm package` does."""
    done = _in_tools(_PACK, {"chart": str(CHART), "folder": str(folder)})
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.strip())


def validate(objects: list[dict[str, Any]], versions: list[str]) -> str:
    """Return what Kubernetes' own schemas say against objects; empty: nothing."""
    done = _in_tools(_VALIDATE, {"objects": objects, "versions": versions})
    return "" if done.returncode == 0 else done.stderr


def describe_values() -> dict[str, Any]:
    """Return the schema of the values: of `config` the agent's own, else what the defaults are."""
    config = _by_type(describe_configuration())
    definitions = config.pop("$defs")
    config.pop("$schema")
    described = _describe((), VALUES)
    described["properties"] |= {"config": config, "global": {"type": "object"}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **described,
        "$defs": definitions,
    }


def _describe(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    said: dict[str, Any] = {"type": _KINDS[type(value)]}
    if path in _CHOICES:
        said = {"enum": _CHOICES[path]}
    if path in _LEAST:
        said["minimum"] = _LEAST[path]
    if isinstance(value, dict) and value and path[-1:] != ("config",) and not _FREE & {*path}:
        said["additionalProperties"] = False
        said["properties"] = {key: _describe((*path, key), one) for key, one in value.items()}
    return said


def _by_type(schema: Any) -> Any:
    """Let the type of a part choose its schema, so that an error is of that one, in one line."""
    if isinstance(schema, list):
        return [_by_type(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    known = schema.get("discriminator")
    if isinstance(known, dict) and "mapping" in known:
        key = known["propertyName"]
        return {
            "type": "object",
            "required": [key],
            "properties": {key: {"enum": [*known["mapping"]]}},
            "allOf": [
                {"if": {"properties": {key: {"const": one}}}, "then": {"$ref": reference}}
                for one, reference in known["mapping"].items()
            ],
        }
    return {key: _by_type(one) for key, one in schema.items()}


def schema_text() -> str:
    """Return the file's text."""
    return json.dumps(describe_values(), indent=1) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text())
