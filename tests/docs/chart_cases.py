"""Sets of values for the Helm chart: those of its page, and some that use all the rest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from textwrap import dedent
from typing import Any

import yaml
from tests.docs.chart import ROOT

PAGE = (ROOT / "docs" / "kubernetes.md").read_text()


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Put values over others, as Helm does."""
    both = {key: merged(base[key], over[key]) for key in base.keys() & over.keys()
            if isinstance(base[key], dict) and isinstance(over[key], dict)}  # fmt: skip
    return {**base, **over, **both}


def documented() -> dict[str, dict[str, Any]]:
    """Return the values of the page by where they are: each block over the first one."""
    found = [
        (PAGE.count("\n", 0, one.start()), yaml.safe_load(dedent(one[1])))
        for one in re.finditer(r"^ *```yaml\n(.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE)
    ]
    base = found[0][1]
    return {f"line {line}": merged(base, values) for line, values in found}


BASE = next(iter(documented().values()))
MANY = {
    "vault": {"auth": {"method": "approle", "role_id": "r", "secret_id": "env://SECRET"}},
    "lease": {"type": "kubernetes", "namespace": "leases", "name": "backup"},
    "storages": [{"type": "local", "path": "/var/backups/vault"}],
    "clusters": {
        "Prod.EU": {"vault": {"address": "https://eu.example.com"}},
        "dev": {
            "vault": {"address": "https://dev.example.com"},
            "lease": {"type": "kubernetes", "name": "dev"},
        },
    },
}
MORE: dict[str, Any] = {
    "image": {"repository": "example.com/agent", "digest": "sha256:" + "0" * 64},
    "imagePullSecrets": [{"name": "pull"}],
    "fullnameOverride": "backups",
    "existingSecret": "mine",
    "replicas": 1,
    "config": {"web": {"tls": {"cert": "/etc/web/tls.crt", "key": "/etc/web/tls.key"}}},
    "spool": {"volume": {"emptyDir": {"sizeLimit": "1Gi", "medium": "Memory"}}},
    "persistence": {"enabled": True, "existingClaim": "claim"},
    "serviceMonitor": {"enabled": True, "tlsConfig": {"insecureSkipVerify": True}},
    "networkPolicy": {"enabled": True, "egress": [{"ports": [{"port": 8200}]}]},
    "extraArgs": ["--debug"],
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"}],
    "extraEnvFrom": [{"secretRef": {"name": "environment"}}],
    "extraObjects": [
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "more"}},
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: '{{ .Release.Name }}'}}",
    ],
    "labels": {"team": "platform"},
    "annotations": {"example.com/a": "b"},
    "podAnnotations": {"example.com/a": "b"},
    "nodeSelector": {"kubernetes.io/os": "linux"},
    "tolerations": [{"operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
    "priorityClassName": "high",
    "hostAliases": [{"ip": "192.0.2.1", "hostnames": ["vault"]}],
    "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
}
CASES = {
    **documented(),
    "many clusters": {**BASE, "config": MANY, "persistence": {"enabled": True}},
    "everything else": MORE,
}
