"""The Helm chart in use: the program takes what it renders, and uses the rights that it gives."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest
import trustme
from tests.cluster.command import call, environment
from tests.docs.chart import NAMESPACE, Rendered, render
from tests.docs.chart_cases import BASE, CASES, PAGE, merged
from tests.docs.reviews import ACCOUNT, Reviews, account_token
from tests.kube import Kube
from tests.processes.command import Command
from tests.shipping import needs_helm

from raft_snapshot_agent.config.load import load_all
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.process import free_ports, program, release_ports, until

pytestmark = [pytest.mark.soak, needs_helm]


WRITTEN = [name for name, values in CASES.items() if not values.get("existingSecret")]


@pytest.mark.parametrize("values", WRITTEN, ids=str)
def test_the_rendered_configuration_is_one(values: str, kube: Kube, tmp_path: Path) -> None:
    case = render(CASES[values])
    file = configuration(case, tmp_path)

    done = call("config", "check", "-c", file, env=variables(kube))

    assert done.code == 0, done.talk + done.text


def configuration(case: Rendered, folder: Path) -> Path:
    """Write the Secret's file, with all that it names below `folder`."""
    file = folder / "config.yaml"
    document = json.loads(case.one("Secret")["stringData"]["config.yaml"])
    file.write_text(json.dumps(_moved(document, folder)))
    return file


def _moved(value: Any, folder: Path) -> Any:
    match value:
        case dict():
            return {key: _moved(one, folder) for key, one in value.items()}
        case list():
            return [_moved(one, folder) for one in value]
        case str() if found := re.fullmatch(r"(file://)?/(.+)", value):
            there = folder / found[2]
            there.parent.mkdir(parents=True, exist_ok=True)
            if there.suffix == ".crt":
                trustme.CA().cert_pem.write_to_path(str(there))
            elif found[1]:
                there.write_text("a-token-of-thirty-characters..")
            return f"{found[1] or ''}{there}"
        case _:
            return value


def variables(kube: Kube) -> dict[str, str]:
    """What a pod has in its environment."""
    return {
        "KUBECONFIG": str(kube.kubeconfig()),
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "key",
        "SECRET": "secret",
    }


def test_the_rights_are_of_the_leases_that_the_program_uses(tmp_path: Path, kube: Kube) -> None:
    case = render(CASES["many clusters"])
    file = configuration(case, tmp_path)
    fleet = load_all(file, variables(kube))
    used: dict[str, set[str]] = {}
    for one in fleet.clusters.values():
        namespace, name = one.config.lease.identity  # type: ignore[union-attr, misc]
        used.setdefault(namespace or NAMESPACE, set()).add(name)

    roles = [one for one in case.objects if one["kind"] == "Role"]
    assert used == {
        one["metadata"]["namespace"]: set(one["rules"][0]["resourceNames"]) for one in roles
    }
    assert case.pod["automountServiceAccountToken"] is True


@contextmanager
def site(
    bao: OpenBaoCluster, approle: AppRole, folder: Path, more: Mapping[str, Any]
) -> Iterator[tuple[Rendered, Path]]:
    """Render the chart for a real server and a folder; yield it with its configuration."""
    (folder / "etc").mkdir()
    (folder / "etc" / "secret").write_text(approle.secret_id)
    auth = {
        "method": "approle",
        "role_id": approle.role_id,
        "secret_id": f"file://{folder}/etc/secret",
    }
    config = {
        "vault": {"address": bao.leader().address, "auth": auth},
        "storages": [{"type": "local", "path": str(folder / "backups")}],
        "spool": str(folder / "spool"),
    }
    base = {"image": {"repository": "example.com/agent"}, "config": config}
    case = render(merged(base, more))
    assert case.error == ""
    file = folder / "config.yaml"
    file.write_text(case.one("Secret")["stringData"]["config.yaml"])
    yield case, file


def test_the_rights_are_exactly_what_a_lease_calls(
    bao: OpenBaoCluster, approle: AppRole, kube: Kube, tmp_path: Path
) -> None:
    lease = {"config": {"lease": {"type": "kubernetes"}}}
    with site(bao, approle, tmp_path, lease) as (case, file):
        done = call("run", "--once", "-c", file, env={"KUBECONFIG": str(kube.kubeconfig())})

    assert done.code == 0, done.talk
    named, anyhow = case.one("Role")["rules"]
    assert {*named["verbs"], *anyhow["verbs"]} == {*kube.requests}
    assert named["resourceNames"] == [*kube.leases]
    assert anyhow["verbs"] == ["create"]
    assert case.one("Role")["metadata"]["namespace"] == NAMESPACE


@contextmanager
def running(file: Path) -> Iterator[Command]:
    """Run an agent, which does not outlive a failure."""
    with Command(["run", "-c", file], env=environment()) as agent:
        try:
            yield agent
        finally:
            if agent.poll() is None:
                agent.kill()


def test_the_probes_and_the_service_are_answered(
    bao: OpenBaoCluster, approle: AppRole, tmp_path: Path
) -> None:
    (port,) = free_ports(1)
    token = tmp_path / "token"
    token.write_text("a-token-of-the-page-that-nobody-guesses")
    web = {"listen": f"0.0.0.0:{port}", "token": f"file://{token}"}
    monitor = {"enabled": True, "tokenSecret": {"name": "web", "key": "token"}}
    more = {"config": {"web": web}, "serviceMonitor": monitor}
    try:
        with (
            site(bao, approle, tmp_path, more) as (case, file),
            running(file) as agent,
        ):
            named = {one["name"]: one["containerPort"] for one in case.container["ports"]}
            for probe in ("readinessProbe", "livenessProbe"):
                asked = case.container[probe]["httpGet"]
                address = f"{asked['scheme'].lower()}://127.0.0.1:{named[asked['port']]}"
                until(lambda: answer(address + asked["path"]) == 200, probe, within=60)  # noqa: B023
            assert (
                answer(f"{address}{case.one('ServiceMonitor')['spec']['endpoints'][0]['path']}")
                == 401
            )
            agent.send_signal(signal.SIGTERM)
            assert agent.wait(60) == 0
    finally:
        release_ports([port])
    assert case.one("Service")["spec"]["ports"][0]["targetPort"] in named


def answer(url: str) -> int:
    """Return the status of an answer; 0: there is none."""
    try:
        with urlopen(url, timeout=30) as found:
            return int(found.status)
    except HTTPError as error:
        with error:
            return error.code
    except (URLError, OSError):
        return 0


def test_the_pages_login_and_values_take_a_snapshot(
    start_bao: Callable[..., OpenBaoCluster], tmp_path: Path
) -> None:
    bao, token, tools = start_bao(), account_token(), tmp_path / "tools"
    tools.mkdir()
    (tools / "vault").symlink_to(program("bao"))
    with Reviews() as reviews:
        (setup,) = re.findall(
            r"^ *```sh\n( *vault policy.*?)^ *```", PAGE, re.DOTALL | re.MULTILINE
        )
        trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        outside_a_pod = f"{reviews.address} kubernetes_ca_cert=@{tmp_path}/ca.pem disable_local_ca_jwt=true token_reviewer_jwt={token}"
        done = subprocess.run(
            ["sh", "-euc", dedent(setup).replace("https://kubernetes.default.svc", outside_a_pod)],
            env={
                "PATH": f"{tools}:/usr/bin:/bin",
                "HOME": str(tmp_path),
                "VAULT_ADDR": bao.leader().address,
                "VAULT_TOKEN": bao.root_token,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        case = render(BASE)
        assert case.pod["serviceAccountName"].endswith(ACCOUNT)  # the page's release has its name
        (projected,) = (one["projected"] for one in case.pod["volumes"] if "projected" in one)
        assert projected["sources"][0]["serviceAccountToken"]["audience"] == "vault"
        document = json.loads(case.one("Secret")["stringData"]["config.yaml"])
        auth = document["vault"]["auth"]
        document["vault"] = {"address": bao.leader().address, "auth": auth}
        document["storages"] = [{"type": "local", "path": "/backups"}]
        file = tmp_path / "config.yaml"
        file.write_text(json.dumps(_moved(document, tmp_path)))
        (tmp_path / "var/run/secrets/vault/token").write_text(token)

        taken = call("run", "--once", "-c", file)

    assert taken.code == 0, taken.talk
    assert len([*(tmp_path / "backups").glob("*.snap")]) == 1
    assert reviews.asked[0]["token"] == token
    assert reviews.asked[0]["audiences"] == ["vault"]
