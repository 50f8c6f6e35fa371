"""What a drill proves, held against a server that answers from a table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.x509 import load_pem_x509_certificate

from raft_snapshot_agent.config.drill import (
    CanarySettings,
    DrillSettings,
    IssuerSettings,
    UnsealSettings,
)
from raft_snapshot_agent.errors import ConfigError, DrillFailed
from raft_snapshot_agent.restore.canaries import prove
from raft_snapshot_agent.restore.issuers import prove_issuer
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.servers.answers import NodeAnswer

NOW = datetime.now(UTC)
VALUE = "the very value"
OTHER = "something else"


class Table:
    """A server that knows some paths, and nothing else."""

    def __init__(self, **more: Any) -> None:
        kv2 = {"path": "secret/", "type": "kv", "options": {"version": "2"}}
        kv1 = {"path": "old/", "type": "kv", "options": None}
        self.answers: dict[str, Any] = {
            "sys/mounts": {"secret/": {}, "sys/": {}},
            "sys/auth": {"token/": {}},
            "sys/policies/acl": {"keys": ["root", "default"]},
            "sys/internal/ui/mounts/secret/app": kv2,
            "sys/internal/ui/mounts/secret/gone": kv2,
            "sys/internal/ui/mounts/old/app": kv1,
            "secret/data/app": {"data": {"a": VALUE, "n": 5}, "metadata": {}},
            "secret/data/gone": {"data": None, "metadata": {}},
            "old/app": {"a": VALUE},
            "sys/policies/acl/ops": {"policy": VALUE},
            **more,
        }

    def ask(self, method: str, path: str, body: Any = None, query: Any = None) -> NodeAnswer:
        if method == "POST":
            return self.log_in(path, body)
        assert method == "GET"
        if path not in self.answers:
            return NodeAnswer(404, {"errors": []})
        return NodeAnswer(200, {"data": self.answers[path]})

    def log_in(self, path: str, body: Any) -> NodeAnswer:
        known = {
            "auth/userpass/login/ann e": {"password": VALUE},
            "auth/approle/login": {"role_id": "web", "secret_id": VALUE},
        }
        if known.get(path) != body:
            return NodeAnswer(400, {"errors": ["invalid username or password"]})
        return NodeAnswer(200, {"auth": {"client_token": "hvs.of-the-copy"}})


def proved(*canaries: CanarySettings, server: Table | None = None) -> list[str]:
    keys = UnsealSettings(keys=(Secret("key"),))
    return [*prove(server or Table(), DrillSettings(unseal=keys, canaries=canaries), NOW)]


def canary(path: str = "secret/app", field: str = "a", **way: Any) -> CanarySettings:
    return CanarySettings(path=path, field=field, **way)


@pytest.mark.parametrize("path", ["secret/app", "old/app"])
def test_each_way_to_compare_holds(path: str) -> None:
    digest = hashlib.sha256(VALUE.encode()).hexdigest()
    found = proved(
        canary(path, sha256=digest),
        canary(path, matches="the .* value"),
        canary(path, equals_secret=Secret(VALUE)),
    )
    assert found == ["mounts: 2", "logins: 1", "policies: 2", "canaries read: 3"]


def test_a_policy_and_a_number_can_be_canaries() -> None:
    assert proved(canary("sys/policies/acl/ops", "policy", matches=VALUE))
    assert proved(canary(field="n", matches="5"))


@pytest.mark.parametrize(
    ("bad", "noted"),
    [
        (canary(sha256="0" * 64), "canary 2 of 2 is different"),
        (canary(matches="the very"), "canary 2 of 2 is different"),
        (canary(equals_secret=Secret(OTHER)), "canary 2 of 2 is different"),
        (canary(field="b", matches=".*"), "canary 2 of 2 has no such field"),
        (canary("secret/gone", matches=".*"), "canary 2 of 2 is missing"),
        (canary("nowhere/app", matches=".*"), "canary 2 of 2 is missing"),
    ],
    ids=str,
)
def test_a_canary_that_is_not_as_it_was_fails_the_drill(bad: CanarySettings, noted: str) -> None:
    with pytest.raises(DrillFailed) as caught:
        proved(canary(matches=".*"), bad)

    error = caught.value
    assert error.noted == noted
    assert bad.path in error.message  # for the operator; whoever reads the storage learns no path
    assert bad.path not in error.noted
    assert VALUE not in str(error)
    assert OTHER not in str(error)


def test_a_copy_that_shows_no_mounts_fails() -> None:
    server = Table()
    del server.answers["sys/mounts"]
    with pytest.raises(DrillFailed, match="does not show its mounts"):
        proved(server=server)


@pytest.fixture
def root() -> trustme.CA:
    return trustme.CA()


def pem(authority: trustme.CA) -> str:
    return authority.cert_pem.bytes().decode()


def ends_at(folder: Path, authority: trustme.CA) -> IssuerSettings:
    file = folder / "root.pem"
    file.write_text(pem(authority))
    return IssuerSettings(mount="pki", root=file)


def issuing(*chain: trustme.CA) -> Table:
    return Table(**{"pki/issuer/default": {"ca_chain": [pem(one) for one in chain]}})


def test_a_chain_leads_to_its_root_over_several_links(root: trustme.CA, tmp_path: Path) -> None:
    middle = root.create_child_ca()
    low = middle.create_child_ca()

    prove_issuer(issuing(low, middle, root), ends_at(tmp_path, root), NOW)
    prove_issuer(issuing(low, middle), ends_at(tmp_path, root), NOW)
    prove_issuer(issuing(root), ends_at(tmp_path, root), NOW)


def broken(root: trustme.CA) -> Iterator[Table]:
    middle = root.create_child_ca()
    yield issuing(middle.create_child_ca())  # a link is missing
    yield issuing(trustme.CA())
    yield issuing(trustme.CA(), root)  # the root only lies beside it
    yield issuing()
    yield Table()


def test_a_chain_that_ends_elsewhere_fails(root: trustme.CA, tmp_path: Path) -> None:
    for server in broken(root):
        with pytest.raises(DrillFailed):
            prove_issuer(server, ends_at(tmp_path, root), NOW)


def test_an_issuer_that_is_over_fails(root: trustme.CA, tmp_path: Path) -> None:
    over = load_pem_x509_certificate(root.cert_pem.bytes()).not_valid_after_utc
    with pytest.raises(DrillFailed, match="not valid any more"):
        prove_issuer(issuing(root), ends_at(tmp_path, root), over + timedelta(days=1))


def test_a_root_that_is_none_is_told(tmp_path: Path, root: trustme.CA) -> None:
    wanted = ends_at(tmp_path, root)
    wanted.root.write_text("nothing")
    with pytest.raises(ConfigError, match=r"root\.pem holds no certificate"):
        prove_issuer(issuing(root), wanted, NOW)


# Somebody who can log in.


def logged_in(**login: Any) -> list[str]:
    document = {"unseal": {"keys": ["key"]}, "login": login}
    return [*prove(Table(), DrillSettings.model_validate(document), NOW)]


@pytest.mark.parametrize(
    "login",
    [
        {"method": "userpass", "username": "ann e", "password": VALUE},
        {"method": "approle", "role_id": "web", "secret_id": VALUE},
    ],
)
def test_who_can_log_in_to_the_cluster_can_log_in_to_the_copy(login: dict[str, str]) -> None:
    assert logged_in(**login)[-1] == f"login by {login['method']}"


def test_who_cannot_is_told_and_no_password_is() -> None:
    with pytest.raises(DrillFailed) as caught:
        logged_in(method="userpass", username="ann e", password=OTHER)

    assert caught.value.noted == "the login by userpass was refused"
    assert "invalid username or password" in str(caught.value)
    assert OTHER not in str(caught.value)
