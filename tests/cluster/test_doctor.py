"""`doctor` on a real server: what it finds, what it advises, and that it changes nothing."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.cluster.command import Ending, call
from tests.cluster.recording import LOGIN, REVOCATION, Server, recorded
from tests.conftest import StartBao

from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster, prepare_agent

Doctor = Callable[..., Ending]


@pytest.fixture
def server(bao: OpenBaoCluster, approle: AppRole) -> Iterator[Server]:
    with recorded(bao) as server:
        yield server


@pytest.fixture
def doctor(server: Server, tmp_path: Path) -> Doctor:
    """Run it; what is given replaces keys of `vault`."""
    (tmp_path / "store").mkdir()

    def run(*arguments: str, env: dict[str, str] | None = None, **vault: Any) -> Ending:
        config = {
            "vault": {"address": server.proxy.address, **vault},
            "spool": str(tmp_path),
            "storages": [{"type": "local", "path": str(tmp_path / "store")}],
        }
        file = tmp_path / "config.json"
        file.write_text(json.dumps(config))
        return call("doctor", "-c", file, *arguments, env=env)

    return run


def approle_of(server: Server, **parameters: Any) -> dict[str, Any]:
    role = server.role(**parameters)
    assert role.secret_id
    ids = {"role_id": role.role_id.resolve(), "secret_id": role.secret_id.resolve()}
    return {"method": "approle", **ids}


def status(ending: Ending, check: str) -> tuple[str, str, str]:
    (found,) = [one for one in ending.document if one["check"] == check]
    return found["status"], found["message"], found["advice"]


def test_a_sound_set_up_passes_every_check_and_leaves_nothing(
    server: Server, doctor: Doctor, tmp_path: Path
) -> None:
    before = server.tokens()
    ending = doctor("--format", "json", auth=approle_of(server))
    assert (ending.code, ending.talk) == (0, "")
    assert {one["check"]: one["status"] for one in ending.document} == {
        "configuration": "success",
        "nodes": "success",
        "tls": "success",
        "clock": "success",
        "leader": "success",
        "login": "success",
        "rights": "success",
        "storages": "warning",  # nothing was stored yet
        "spool": "skipped",
        "probe": "skipped",
    }
    asked = server.asked()
    assert asked.count(LOGIN) == 1
    assert asked[-1] == REVOCATION
    assert server.tokens() <= before
    assert list((tmp_path / "store").iterdir()) == []


def test_the_worst_comes_first_with_what_to_do_below(doctor: Doctor, server: Server) -> None:
    auth = {**approle_of(server), "secret_id": "hunter2-hunter2"}
    ending = doctor(auth=auth)
    words = [line.split()[0] for line in ending.text.splitlines()]
    ranked = [word for word in words if word != "->"]
    order = ["failure", "warning", "skipped", "success"]
    assert ranked == sorted(ranked, key=order.index)
    assert words[:2] == ["failure", "->"]
    assert ending.talk == ("10 findings: 1 failed, 1 to check, 3 not checked, 5 good\n")


def test_once_a_snapshot_is_stored_all_is_good(
    server: Server, doctor: Doctor, tmp_path: Path
) -> None:
    doctor(auth=approle_of(server))  # writes the configuration
    assert call("save", "-c", tmp_path / "config.json").code == 0
    before = sorted((tmp_path / "store").iterdir())
    ending = doctor("--probe", "--format", "json", auth=approle_of(server))
    assert {one["status"] for one in ending.document} == {"success"}
    assert "holds 1 snapshot, the newest" in status(ending, "storages")[1]
    assert sorted((tmp_path / "store").iterdir()) == before


def test_a_server_clock_that_differs_is_warned_of(server: Server, doctor: Doctor) -> None:
    server.proxy.override("/v1/sys/health", 200, {"server_time_utc": 1_700_000_000})
    how, what, advice = status(doctor("--format", "json", auth=approle_of(server)), "clock")
    assert (how, "ahead of" in what, "NTP" in advice) == ("warning", True, True)


def test_a_server_at_loopback_that_announces_another_host_is_warned_of(
    server: Server, doctor: Doctor, tmp_path: Path
) -> None:
    told = {"ha_enabled": True, "is_self": True, "leader_address": "https://203.0.113.7:8200"}
    server.proxy.override("/v1/sys/leader", 200, told)
    ending = doctor("--format", "json", auth=approle_of(server))
    found = [one for one in ending.document if one["check"] == "leader"]
    assert [one["status"] for one in found] == ["success", "warning"]
    assert "announces https://203.0.113.7:8200, which is not this host" in found[1]["message"]
    assert "api_addr" in found[1]["advice"]
    once = call("run", "--once", "-c", tmp_path / "config.json")
    assert once.code == 0
    assert once.talk.count("which is not this host") == 1


def test_a_lease_in_a_storage_is_no_obstacle(
    server: Server, doctor: Doctor, tmp_path: Path
) -> None:
    doctor(auth=approle_of(server))
    file = tmp_path / "config.json"
    lease = {"type": "storage", "storage": "local"}
    file.write_text(json.dumps({**json.loads(file.read_text()), "lease": lease}))
    ending = call("doctor", "-c", file, "--format", "json")
    assert (ending.code, ending.talk) == (0, "")
    assert status(ending, "lease")[1].startswith("no agent holds the lease in ")

    (tmp_path / "store").rename(tmp_path / "unmounted")
    ending = call("doctor", "-c", file, "--format", "json")
    assert (ending.code, status(ending, "lease")[0]) == (0, "skipped")
    assert not (tmp_path / "store").exists()


def test_a_token_that_may_not_read_snapshots_fails(server: Server, doctor: Doctor) -> None:
    auth = approle_of(server, token_policies=["default"])
    ending = doctor("--format", "json", auth=auth)
    assert ending.code == 2
    how, what, advice = status(ending, "rights")
    assert (how, what) == (
        "failure",
        "the token has no read permission on sys/storage/raft/snapshot",
    )
    assert 'capabilities = ["read"]' in advice


def test_a_token_that_may_do_more_is_warned_of(server: Server, doctor: Doctor) -> None:
    root = {"method": "token", "token": server.bao.root_token}
    how, what, _ = status(doctor("--format", "json", auth=root), "rights")
    assert (how, what) == ("warning", "the token is a root token: it may do everything")

    name = f"wide-{secrets.token_hex(4)}"
    rule = 'path "sys/storage/raft/snapshot*" { capabilities = ["read", "update", "sudo"] }'
    server.bao.api("PUT", f"sys/policies/acl/{name}", {"policy": rule})
    ending = doctor("--format", "json", auth=approle_of(server, token_policies=[name]))
    assert ending.code == 0
    how, what, _ = status(ending, "rights")
    assert how == "warning"
    assert what == "the token has more permissions than read: sudo, update"


def test_a_token_that_may_not_ask_is_no_failure(server: Server, doctor: Doctor) -> None:
    auth = approle_of(server, token_no_default_policy=True)
    ending = doctor("--format", "json", auth=auth)
    how, what, _ = status(ending, "rights")
    assert (how, ending.code) == ("warning", 0)
    assert (
        "no permission to look up its own capabilities (1 error occurred: * permission denied)"
        in what
        or ("no permission to look up its own capabilities (permission denied)" in what)
    )


def test_a_token_that_may_not_revoke_itself_is_told(
    server: Server, doctor: Doctor, tmp_path: Path
) -> None:
    auth = approle_of(server, token_no_default_policy=True)
    ending = doctor("--format", "json", auth=auth)
    told = [one for one in ending.document if one["check"] == "login"]
    assert [one["status"] for one in told] == ["success", "warning"]
    assert "does not let the agent revoke its own token" in told[1]["message"]
    assert 'path "auth/token/revoke-self"' in told[1]["advice"]
    file = tmp_path / "config.json"
    for command in (("save",), ("run", "--once")):
        ending = call(*command, "-c", file)
        assert ending.code == 0
        assert ending.talk.count("does not let the agent revoke its own token") == 1


def test_a_given_token_that_is_no_longer_good_fails(server: Server, doctor: Doctor) -> None:
    ended = {"method": "token", "token": "s.hunter2hunter2hunter2hunter2"}
    ending = doctor("--format", "json", auth=ended)
    assert ending.code == 2
    how, what, advice = status(ending, "rights")
    assert (how, advice) == ("failure", "give another token")
    assert what == (
        f"{server.proxy.address} does not know the token: it has expired, or belongs to another cluster"
        " (403: permission denied)"
    )
    assert status(ending, "login")[:2] == ("skipped", "a token is given, so there is no login")


def test_a_token_that_its_role_binds_to_other_hosts_fails(server: Server, doctor: Doctor) -> None:
    auth = approle_of(server, token_bound_cidrs=["10.9.8.0/24"])
    ending = doctor("--format", "json", auth=auth)
    assert ending.code == 2
    how, what, advice = status(ending, "rights")
    assert how == "failure"
    assert "does not accept the token that it gave at the login (403: permission denied)" in what
    assert "token_bound_cidrs" in advice


def test_a_token_of_a_namespace_fails(server: Server, doctor: Doctor) -> None:
    name = f"team{secrets.token_hex(3)}"
    server.bao.api("POST", f"sys/namespaces/{name}", {})
    made = server.bao.api("POST", f"{name}/auth/token/create", {"policies": ["default"]})
    token = {"method": "token", "token": made["auth"]["client_token"]}
    ending = doctor("--format", "json", auth=token)
    assert ending.code == 2
    assert status(ending, "rights") == (
        "failure",
        "the token was made inside a namespace and cannot read snapshots",
        "make one in the root namespace",
    )


def test_a_token_of_two_uses_can_still_save(server: Server, doctor: Doctor, tmp_path: Path) -> None:
    made = {"policies": ["snapshot"], "num_uses": 2}
    token = server.bao.api("POST", "auth/token/create", made)["auth"]["client_token"]
    ending = doctor("--format", "json", auth={"method": "token", "token": token})
    told = [one["message"] for one in ending.document if one["check"] == "token"]
    assert told[0] == "the token's uses are limited, now to 1, so nothing else is tried with it"
    assert call("save", "-c", tmp_path / "config.json").code == 0


def test_a_token_whose_last_use_is_spent_fails(server: Server, doctor: Doctor) -> None:
    made = {"policies": ["snapshot"], "num_uses": 1}
    token = server.bao.api("POST", "auth/token/create", made)["auth"]["client_token"]
    ending = doctor("--format", "json", auth={"method": "token", "token": token})
    assert ending.code == 2
    assert status(ending, "token") == (
        "failure",
        "the token had one use left, which looking it up has taken: it is used up",
        "give one without a limit of its uses: each snapshot takes one",
    )


def test_a_given_token_that_nobody_renews_is_warned_of(
    server: Server, doctor: Doctor, tmp_path: Path
) -> None:
    made = {"policies": ["snapshot"], "ttl": "49h30m"}
    token = server.bao.api("POST", "auth/token/create", made)["auth"]["client_token"]
    ending = doctor("--format", "json", auth={"method": "token", "token": token})
    assert ending.code == 0
    how, what, advice = status(ending, "token")
    assert how == "warning"
    assert what == "the token ends in 2d1h, and the agent does not renew a token that is given"
    assert "approle" in advice
    file = tmp_path / "token"
    file.write_text(token)  # somebody else refreshes it
    ending = doctor("--format", "json", auth={"method": "token", "token": f"file://{file}"})
    assert "token" not in {one["check"] for one in ending.document}


def test_a_refused_login_fails_and_the_other_checks_go_on(server: Server, doctor: Doctor) -> None:
    auth = {**approle_of(server), "secret_id": "hunter2-hunter2"}
    ending = doctor("--format", "json", auth=auth)
    assert ending.code == 2
    how, what, advice = status(ending, "login")
    assert how == "failure"
    assert "invalid role or secret ID" in what
    assert "check role_id, secret_id and mount" in advice
    assert status(ending, "rights")[0] == "skipped"
    assert status(ending, "storages")[0] == "warning"
    assert "hunter2" not in ending.text


def test_a_wrapped_secret_id_is_looked_at_but_not_used_up(server: Server, doctor: Doctor) -> None:
    server.bao.api("POST", "auth/approle/role/doctor", {"token_policies": ["snapshot"]})
    role_id = server.bao.api("GET", "auth/approle/role/doctor/role-id")["data"]["role_id"]
    wrapped = server.wrapped("auth/approle/role/doctor/secret-id").resolve()
    auth = {"method": "approle", "role_id": role_id, "secret_id": wrapped, "wrapped": True}
    for _ in range(2):
        ending = doctor("--format", "json", auth=auth)
        assert status(ending, "login")[:2] == (
            "skipped",
            "the wrapping token is good; logging in would use it up",
        )
    auth["secret_id"] = server.wrapped("sys/wrapping/wrap").resolve()
    assert status(doctor("--format", "json", auth=auth), "login")[0] == "failure"


def test_a_namespace_is_warned_of(server: Server, doctor: Doctor) -> None:
    ending = doctor("--format", "json", auth=approle_of(server), namespace="team")
    how, what, advice = status(ending, "namespace")
    assert (how, advice) == ("warning", "leave vault.namespace out")
    assert "team" in what


def test_the_root_namespace_by_its_name_is_none_to_warn_of(server: Server, doctor: Doctor) -> None:
    ending = doctor("--format", "json", auth=approle_of(server), namespace="root")
    assert ending.code == 0
    assert "namespace" not in {one["check"] for one in ending.document}


def test_a_missing_folder_is_told_and_not_made(
    server: Server, doctor: Doctor, tmp_path: Path
) -> None:
    (tmp_path / "store").rmdir()
    ending = doctor("--format", "json", auth=approle_of(server))
    how, what, advice = status(ending, "storages")
    assert (ending.code, how) == (0, "skipped")  # not there yet: the start of the agent creates it
    assert what == f"local: {tmp_path / 'store'} does not exist yet"
    assert advice == "the start of the agent creates it, or mount what belongs there"
    assert not (tmp_path / "store").exists()


def test_a_node_that_is_down_or_sealed_is_told(server: Server, doctor: Doctor) -> None:
    sealed = {"errors": ["Vault is sealed"]}
    server.proxy.override("/v1/sys/leader", 503, sealed)
    ending = doctor("--format", "json", auth=approle_of(server))
    assert ending.code == 2
    assert status(ending, "nodes")[1:] == (
        f"{server.proxy.address} is sealed (503: Vault is sealed)",
        "unseal it, then the agent goes on",
    )
    assert status(ending, "login")[0] == "skipped"


@pytest.mark.parametrize("variable", ["HOME", "BAO_TOKEN_PATH"])
def test_an_operators_own_token_is_used_by_hand_only(
    server: Server, doctor: Doctor, tmp_path: Path, variable: str
) -> None:
    file = tmp_path / ".vault-token"
    file.write_text(server.bao.root_token)
    env = {variable: str(tmp_path if variable == "HOME" else file)}
    ending = doctor("--format", "json", env=env)
    assert status(ending, "rights")[0] == "warning"  # root's
    how, what, advice = status(ending, "login")
    assert (how, advice) == ("warning", "set vault.auth, or VAULT_TOKEN, for the daemon")
    assert what == f"no login is configured, so the token in {file} is used; run never uses it"
    environment = {**env, "VAULT_ADDR": server.proxy.address}
    assert call("save", tmp_path / "one.snap", env=environment).code == 0
    daemon = call("run", "--once", "-c", tmp_path / "config.json", env=env)
    assert daemon.code == 1
    assert "no login is configured" in daemon.error


def test_a_local_folder_beside_one_of_three_is_warned_of(bao3: StartBao, tmp_path: Path) -> None:
    cluster = bao3()
    role = prepare_agent(cluster)
    (tmp_path / "store").mkdir()
    auth = {"method": "approle", "role_id": role.role_id, "secret_id": role.secret_id}
    config = {
        "vault": {"address": cluster.leader().address, "auth": auth},
        "spool": str(tmp_path),
        "storages": [{"type": "local", "path": str(tmp_path / "store")}],
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    assert call("save", "-c", file).code == 0
    ending = call("doctor", "-c", file, "--format", "json")  # the snapshot tells the members
    assert status(ending, "members")[0] == "warning"
    assert "share" in status(ending, "members")[2]
    standby = next(node for node in cluster.nodes if node is not cluster.leader())
    config["vault"] = {"address": standby.address, "auth": auth}
    config["storages"] = [{"type": "local", "path": str(tmp_path / "empty")}]
    (tmp_path / "empty").mkdir()
    file.write_text(json.dumps(config))
    ending = call("doctor", "-c", file, "--format", "json")  # the standby tells its leader
    assert status(ending, "members")[0] == "warning"
    assert "this agent stands by" in status(ending, "leader")[1]


def test_a_certificate_that_nobody_showed_is_not_good(tmp_path: Path) -> None:
    vault = {"address": "https://127.0.0.1:1", "auth": {"method": "token", "token": "t"}}
    file = tmp_path / "config.json"
    (tmp_path / "store").mkdir()
    storages = [{"type": "local", "path": str(tmp_path / "store")}]
    config = {"vault": vault, "spool": str(tmp_path), "storages": storages}
    file.write_text(json.dumps(config))
    ending = call("doctor", "-c", file, "--format", "json")
    assert ending.code == 2
    for check in ("tls", "clock", "leader", "login", "rights", "spool"):
        assert status(ending, check)[0] == "skipped", check
    assert status(ending, "nodes")[0] == "failure"
