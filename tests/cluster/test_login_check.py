"""A login that would fail is told while the token it once gave still lives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from tests.cluster.command import AGENT, environment
from tests.cluster.recording import LOGIN, REVOCATION, Clock, Server, recorded

from raft_snapshot_agent.errors import ConfigError, Denied, ServerError
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.process import ServerProcess, until
from raft_snapshot_agent.service.login import try_login
from raft_snapshot_agent.vault.auth.approle import AppRoleAuth, keep_unwrapped
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.leader import Cluster
from raft_snapshot_agent.vault.session import Session
from raft_snapshot_agent.vault.settings import VaultSettings

HOUR = 3600.0


@pytest.fixture
def server(bao: OpenBaoCluster, approle: AppRole) -> Iterator[Server]:
    with recorded(bao) as server:
        yield server


@pytest.fixture
def clock() -> Clock:
    return Clock()


def begun(server: Server, clock: Clock, auth: AppRoleAuth | TokenAuth | None = None) -> Session:
    session = Session(auth or server.role(), clock=clock)
    session.token(server.node)
    server.asked()
    return session


def destroy(server: Server, session: Session) -> str:
    """Take the secret ID away; return the role's path."""
    assert isinstance(session._auth, AppRoleAuth)
    assert session._auth.secret_id
    for name in server.bao.api("LIST", "auth/approle/role")["data"]["keys"]:
        path = f"auth/approle/role/{name}"
        role_id = server.bao.api("GET", f"{path}/role-id")["data"]["role_id"]
        if role_id == session._auth.role_id.resolve():
            secret_id = session._auth.secret_id.resolve()
            server.bao.api("POST", f"{path}/secret-id/destroy", {"secret_id": secret_id})
            return path
    raise AssertionError("no such role")


def test_a_login_is_tried_once_an_hour_and_leaves_no_token(server: Server, clock: Clock) -> None:
    session = begun(server, clock)
    token, living = session.token(server.node), server.tokens()
    clock.now += HOUR - 1
    assert not session.try_login(server.node, HOUR)
    assert server.asked() == []
    clock.now += 1
    assert session.try_login(server.node, HOUR)
    assert server.asked() == [LOGIN, REVOCATION]
    assert not session.try_login(server.node, HOUR)
    assert server.tokens() <= living
    assert session.token(server.node) == token


def test_a_secret_that_was_destroyed_is_told_and_the_token_goes_on(
    server: Server, clock: Clock
) -> None:
    session = begun(server, clock)
    destroy(server, session)
    clock.now += HOUR
    with pytest.raises(Denied, match="invalid role or secret ID"):
        session.try_login(server.node, HOUR)
    assert session.with_token(server.node, server.snapshot)
    assert server.asked().count(LOGIN) == 1
    assert not session.try_login(server.node, HOUR)
    clock.now += HOUR
    with pytest.raises(Denied):
        session.try_login(server.node, HOUR)


def test_it_is_told_when_it_works_again(server: Server, clock: Clock) -> None:
    session = begun(server, clock)
    path = destroy(server, session)
    assert isinstance(session._auth, AppRoleAuth)
    assert session._auth.secret_id
    settings = VaultSettings(address=server.node.address)
    cluster = Cluster(settings, "leader")
    cluster.session = session

    async def after_an_hour() -> list[str] | None:
        clock.now += HOUR
        return await try_login(cluster)

    async def work() -> None:
        for _ in range(2):
            said = await after_an_hour()
            assert said
            assert said[0].startswith("A new login would fail: login with approle")
        secret_id = session._auth.secret_id.resolve()  # type: ignore[union-attr]
        server.bao.api("POST", f"{path}/custom-secret-id", {"secret_id": secret_id})
        assert await after_an_hour() == []
        assert await try_login(cluster) is None

    anyio.run(work)


def refused(server: Server, clock: Clock) -> Session:
    session = begun(server, clock)
    destroy(server, session)
    clock.now += HOUR
    with pytest.raises(Denied):
        session.try_login(server.node, HOUR)
    server.asked()
    return session


def successor(before: Session, clock: Clock, auth: AppRoleAuth | TokenAuth | None) -> Session:
    session = Session(auth, clock=clock)
    session.inherit(before)
    return session


def test_new_credentials_are_tested_before_they_are_needed(server: Server, clock: Clock) -> None:
    before = refused(server, clock)
    session = successor(before, clock, server.role())
    living = server.tokens()
    assert session.try_login(server.node, HOUR)
    assert server.asked() == [LOGIN, REVOCATION]
    assert server.tokens() <= living
    assert not session.doubted
    assert not session.try_login(server.node, HOUR)
    assert not successor(session, clock, server.role()).try_login(server.node, HOUR)


def test_a_cluster_that_was_not_asked_yet_tests_its_login(server: Server, clock: Clock) -> None:
    settings = VaultSettings(address=server.node.address, auth=server.role())
    cluster = Cluster(settings, "leader")
    assert not cluster.is_login_check_due
    cluster.session.inherit(refused(server, clock))
    assert anyio.run(try_login, cluster) == []
    assert anyio.run(try_login, cluster) is None
    never = Cluster(settings.model_copy(update={"login_check": timedelta(0)}), "leader")
    never.session.inherit(refused(server, clock))
    assert not never.is_login_check_due


def test_what_was_refused_is_not_sent_again_after_a_reload(server: Server, clock: Clock) -> None:
    before = refused(server, clock)
    assert isinstance(before._auth, AppRoleAuth)
    session = successor(before, clock, before._auth)
    with pytest.raises(Denied, match="invalid role or secret ID"):
        session.try_login(server.node, HOUR)
    assert LOGIN not in server.asked()
    assert session.doubted


def test_a_token_that_replaces_a_login_is_not_revoked(server: Server, clock: Clock) -> None:
    before = refused(server, clock)
    session = successor(before, clock, TokenAuth(method="token", token=Secret("hvs.theirs")))
    assert session.try_login(server.node, HOUR)
    assert server.asked() == []
    assert not session.doubted


def test_a_secret_that_is_gone_from_this_host_is_told(
    server: Server, clock: Clock, tmp_path: Path
) -> None:
    auth = server.role()
    file = tmp_path / "secret_id"
    assert auth.secret_id
    file.write_text(auth.secret_id.resolve())
    session = begun(server, clock, auth.model_copy(update={"secret_id": Secret(f"file://{file}")}))
    file.unlink()
    clock.now += HOUR
    with pytest.raises(ConfigError):
        session.try_login(server.node, HOUR)
    file.write_text(auth.secret_id.resolve())
    session.revoke(server.node)
    session.token(server.node)
    assert session.try_login(server.node, HOUR), "as it is over, it is told at once"


def test_a_server_that_is_away_says_nothing_of_the_login(server: Server, clock: Clock) -> None:
    session = begun(server, clock)
    clock.now += HOUR
    away = Node("http://127.0.0.1:1", VaultSettings())
    assert not session.try_login(away, HOUR)
    clock.now += 299
    assert not session.try_login(server.node, HOUR)
    assert server.asked() == []
    clock.now += 1
    assert session.try_login(server.node, HOUR)


@pytest.mark.parametrize(
    ("status", "told"), [(307, ""), (500, "local node not active"), (429, "too many requests")]
)
def test_nor_does_a_node_in_an_election(
    server: Server, clock: Clock, status: int, told: str
) -> None:
    session = begun(server, clock)
    server.proxy.override("/v1/auth/approle/login", status, {"errors": [told]}, times=1)
    clock.now += HOUR
    assert not session.try_login(server.node, HOUR)
    assert server.asked() == [LOGIN]
    clock.now += 300
    assert session.try_login(server.node, HOUR)


def test_a_login_that_fails_again_and_again_is_told(server: Server, clock: Clock) -> None:
    session = begun(server, clock)
    broken = {"errors": ["error during LDAP bind"]}
    server.proxy.override("/v1/auth/approle/login", 500, broken, times=4)
    clock.now += HOUR
    for _ in range(2):
        assert not session.try_login(server.node, HOUR)
        clock.now += 300
    for _ in range(2):
        with pytest.raises(ServerError, match="error during LDAP bind"):
            session.try_login(server.node, HOUR)
        clock.now += 300
    assert session.try_login(server.node, HOUR)
    server.proxy.override("/v1/auth/approle/login", 500, broken, times=1)
    clock.now += HOUR
    assert not session.try_login(server.node, HOUR)


def test_however_long_an_election_lasts_nothing_is_told(server: Server, clock: Clock) -> None:
    session = begun(server, clock)
    nobody = {"ha_enabled": True, "is_self": False, "leader_address": ""}
    server.proxy.override("/v1/sys/leader", 200, nobody)
    server.proxy.override("/v1/auth/approle/login", 500, {"errors": ["local node not active"]})
    clock.now += HOUR
    for _ in range(5):
        assert not session.try_login(server.node, HOUR)
        clock.now += 300


def test_a_client_certificate_that_has_expired_is_told_at_once(
    server: Server, clock: Clock
) -> None:
    session = begun(server, clock)
    told = "failed to verify client's certificate: x509: certificate has expired"
    server.proxy.override("/v1/auth/approle/login", 500, {"errors": [told]}, times=1)
    clock.now += HOUR
    with pytest.raises(Denied, match="certificate has expired"):
        session.try_login(server.node, HOUR)


def test_what_is_told_is_the_same_while_the_login_is_paused(server: Server, clock: Clock) -> None:
    session = begun(server, clock)
    destroy(server, session)
    said = set()
    for _ in range(5):
        clock.now += 20
        with pytest.raises(Denied) as raised:
            session.try_login(server.node, 20)
        said.add(str(raised.value))
    assert server.asked().count(LOGIN) == 2
    assert len(said) == 1


def test_a_login_of_its_own_ends_the_doubt_at_once(server: Server, clock: Clock) -> None:
    session = begun(server, clock)
    path = destroy(server, session)
    clock.now += HOUR
    with pytest.raises(Denied):
        session.try_login(server.node, HOUR)
    assert isinstance(session._auth, AppRoleAuth)
    assert session._auth.secret_id
    secret_id = session._auth.secret_id.resolve()
    server.bao.api("POST", f"{path}/custom-secret-id", {"secret_id": secret_id})
    clock.now += 120
    session.revoke(server.node)
    session.token(server.node)
    assert session.try_login(server.node, HOUR)
    assert not session.try_login(server.node, HOUR)


def test_what_a_login_would_use_up_is_not_tried(server: Server, clock: Clock) -> None:
    wrapped = server.role().model_copy(update={"wrapped": True})
    assert wrapped.secret_id
    secret_id = wrapped.secret_id.resolve()
    keep_unwrapped(secret_id, secret_id)
    given = TokenAuth(method="token", token=Secret(server.bao.root_token))
    for auth in (wrapped, given):
        session = begun(server, clock, auth)
        clock.now += 10 * HOUR
        assert not session.try_login(server.node, HOUR)
    session = begun(server, clock)
    clock.now += 10 * HOUR
    assert not session.try_login(server.node, 0)
    assert not Session(server.role(), clock=clock).try_login(server.node, HOUR)
    assert server.asked() == []


def test_a_daemon_whose_role_was_deleted_says_so_and_stores_on(
    server: Server, tmp_path: Path
) -> None:
    auth = server.role()
    assert auth.secret_id
    ids = {"role_id": auth.role_id.resolve(), "secret_id": auth.secret_id.resolve()}
    store = tmp_path / "store"
    store.mkdir()
    config = {
        "vault": {
            "address": server.node.address,
            "auth": {"method": "approle", **ids},
            "login_check": "1s",
        },
        "spool": str(tmp_path),
        "schedule": {"every": "1s"},
        "storages": [{"type": "local", "path": str(store)}],
    }
    file = tmp_path / "config.json"
    file.write_text(json.dumps(config))
    log = tmp_path / "log"
    agent = ServerProcess("agent", [*AGENT, "run", "-c", str(file)], log, environment())
    agent.start()
    try:
        until(lambda: any(store.glob("*.snap")), "a snapshot is stored", within=60.0)
        for name in server.bao.api("LIST", "auth/approle/role")["data"]["keys"]:
            role_id = server.bao.api("GET", f"auth/approle/role/{name}/role-id")["data"]["role_id"]
            if role_id == ids["role_id"]:
                server.bao.api("DELETE", f"auth/approle/role/{name}")
        told = "A new login would fail: login with approle"
        until(lambda: told in log.read_text(), "the daemon tells", within=60.0)
        before = len(list(store.glob("*.snap")))
        until(lambda: len(list(store.glob("*.snap"))) > before, "it stores on", within=60.0)
    finally:
        agent.kill()
