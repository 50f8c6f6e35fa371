"""The token against a real server: gained once, kept alive, replaced, and ended."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import anyio
import pytest
from tests.cluster.recording import LOGIN, RENEWAL, REVOCATION, SNAPSHOT, Clock, Server, recorded

from raft_snapshot_agent.errors import Denied
from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.vault.session import Session
from raft_snapshot_agent.vault.settings import VaultSettings
from raft_snapshot_agent.vault.visit import visit_cluster


@pytest.fixture
def server(bao: OpenBaoCluster, approle: AppRole) -> Iterator[Server]:
    with recorded(bao) as server:
        yield server


def test_one_login_serves_many_requests(server: Server) -> None:
    session = Session(server.role())
    for _ in range(3):
        assert session.with_token(server.node, server.snapshot)
    assert session.logins == 1
    assert server.asked() == [LOGIN, SNAPSHOT, SNAPSHOT, SNAPSHOT]


def test_a_short_lived_token_is_renewed_and_replaced_before_it_ends(server: Server) -> None:
    session = Session(server.role(token_ttl="3s", token_max_ttl="8s"))
    deadline = time.monotonic() + 60
    asked: list[str] = []
    # Until the second token was renewed too.
    while RENEWAL not in asked[_last(asked, LOGIN) :] or session.logins < 2:
        assert time.monotonic() < deadline
        assert session.with_token(server.node, server.snapshot)
        asked += server.asked()
        time.sleep(0.1)
    assert session.logins <= 4
    assert asked.count(LOGIN) == session.logins
    assert 3 <= asked.count(RENEWAL) <= 12


def test_a_token_is_renewed_when_two_thirds_of_its_life_are_over(server: Server) -> None:
    clock = Clock()
    session = Session(server.role(token_ttl="90s"), clock=clock)
    assert session.seconds_to_renewal() == float("inf")
    first = session.token(server.node)
    assert session.seconds_to_renewal() == 60
    clock.now += 59.9
    session.keep(server.node)
    assert session.token(server.node) == first
    assert server.asked() == [LOGIN]

    clock.now += 0.1
    session.keep(server.node)
    assert server.asked() == [RENEWAL]
    assert session.seconds_to_renewal() == 60
    clock.now += 60
    assert session.token(server.node) == first
    assert server.asked() == [RENEWAL]
    assert session.logins == 1


def test_a_token_near_its_maximum_is_replaced(server: Server) -> None:
    clock = Clock()
    session = Session(server.role(token_ttl="90s", token_max_ttl="90s"), clock=clock)
    # For the server no time has passed: it grants 90 s again, once; then we pretend it capped.
    first = session.token(server.node)
    capped = {"auth": {"client_token": first, "lease_duration": 45, "renewable": True}}
    server.proxy.override("/v1/auth/token/renew-self", 200, capped)
    clock.now += 60
    assert session.token(server.node) != first
    assert server.asked() == [LOGIN, RENEWAL, LOGIN]


def test_between_snapshots_a_token_is_renewed_but_never_gained(server: Server) -> None:
    clock = Clock()
    session = Session(server.role(token_ttl="90s"), clock=clock)
    session.keep(server.node)
    assert server.asked() == []
    token = session.token(server.node)
    server.revoke(token)
    clock.now += 60
    session.keep(server.node)
    session.keep(server.node)
    assert server.asked() == [LOGIN, RENEWAL]
    assert session.with_token(server.node, server.snapshot)
    assert server.asked() == [LOGIN, SNAPSHOT]


def test_a_renewal_without_an_answer_is_tried_again_and_costs_no_login(server: Server) -> None:
    clock = Clock()
    session = Session(server.role(token_ttl="90s"), clock=clock)
    first = session.token(server.node)
    server.proxy.override("/v1/auth/token/renew-self", 502, {}, times=2)
    clock.now += 60
    session.keep(server.node)
    assert session.seconds_to_renewal() == 15
    assert session.token(server.node) == first
    clock.now += 15
    assert session.token(server.node) == first
    assert session.seconds_to_renewal() == 7.5
    clock.now += 7.5
    session.keep(server.node)
    assert session.seconds_to_renewal() == 60
    assert server.asked() == [LOGIN, RENEWAL, RENEWAL, RENEWAL]


def test_a_token_that_has_ended_is_replaced_without_asking_for_more(server: Server) -> None:
    clock = Clock()
    session = Session(server.role(token_ttl="90s"), clock=clock)
    session.token(server.node)
    clock.now += 90
    session.token(server.node)
    clock.now += 90
    session.keep(server.node)
    session.revoke(server.node)
    assert server.asked() == [LOGIN, LOGIN]


def test_a_token_revoked_on_the_server_is_replaced_by_one_login(server: Server) -> None:
    session = Session(server.role())
    server.revoke(session.token(server.node))
    assert session.with_token(server.node, server.snapshot)
    assert session.logins == 2
    assert server.asked() == [LOGIN, SNAPSHOT, REVOCATION, LOGIN, SNAPSHOT]


def test_the_token_ends_with_the_session(server: Server) -> None:
    session = Session(server.role())
    session.revoke(server.node)
    assert server.asked() == []
    token = session.token(server.node)
    session.revoke(server.node)
    session.revoke(server.node)
    assert server.asked() == [LOGIN, REVOCATION]
    with pytest.raises(Denied):
        server.snapshot(token)
    assert session.with_token(server.node, server.snapshot)


@pytest.mark.parametrize(
    "role", [{"token_no_default_policy": True}, {"token_bound_cidrs": ["10.9.8.0/24"]}], ids=str
)
def test_a_token_that_may_not_be_revoked_is_told(server: Server, role: dict[str, Any]) -> None:
    session = Session(server.role(**role))
    session.token(server.node)
    session.revoke(server.node)
    assert session.unrevoked is not None
    assert "does not let the agent revoke its own token (403: " in session.unrevoked.message
    assert 'path "auth/token/revoke-self" { capabilities = ["update"] }' in session.unrevoked.hint
    assert "token_bound_cidrs" in session.unrevoked.hint


def test_a_token_that_worked_but_may_not_be_revoked_is_told(server: Server) -> None:
    session = Session(server.role(token_no_default_policy=True))
    assert session.with_token(server.node, server.snapshot)
    session.revoke(server.node)
    assert len(session.left_behind) == 1


def test_a_token_that_somebody_revoked_is_not_left_behind(server: Server) -> None:
    session = Session(server.role())
    assert session.with_token(server.node, server.snapshot)
    server.revoke(session.token(server.node))
    session.revoke(server.node)
    assert session.left_behind == []


def test_a_token_that_neither_works_nor_ends_is_not_replaced_each_time(server: Server) -> None:
    clock = Clock()
    session = Session(server.role(token_bound_cidrs=["10.9.8.0/24"]), clock=clock)
    before = server.tokens()
    for _ in range(5):
        with pytest.raises(Denied):
            session.with_token(server.node, server.snapshot)
    assert len(server.tokens() - before) == 2
    clock.now += 300
    with pytest.raises(Denied):
        session.with_token(server.node, server.snapshot)
    assert session.logins == 3  # the role may have been corrected


def test_a_policy_that_is_corrected_helps_the_token_that_was_left(server: Server) -> None:
    name = f"late-{secrets.token_hex(4)}"
    session = Session(server.role(token_policies=[name], token_no_default_policy=True))
    for _ in range(2):
        with pytest.raises(Denied):
            session.with_token(server.node, server.snapshot)
    rule = 'path "sys/storage/raft/snapshot" { capabilities = ["read"] }'
    server.bao.api("PUT", f"sys/policies/acl/{name}", {"policy": rule})
    assert session.with_token(server.node, server.snapshot)


def test_once_a_token_is_revoked_nothing_is_told(server: Server) -> None:
    session = Session(server.role(token_no_default_policy=True))
    session.token(server.node)
    session.revoke(server.node)
    assert session.left_behind
    session.token(server.node)
    server.proxy.override("/v1/auth/token/revoke-self", 204, {})
    session.revoke(server.node)
    assert session.left_behind == []


def test_whoever_visits_a_cluster_leaves_no_token_or_is_told(server: Server) -> None:
    told: list[str] = []
    before = server.tokens()

    async def visit(**role: Any) -> None:
        settings = VaultSettings(address=server.node.address, auth=server.role(**role))
        async with visit_cluster(settings, "anywhere", told.append) as cluster:
            cluster.session.token(server.node)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        anyio.run(visit)
    assert server.tokens() <= before
    assert told == []
    with pytest.raises(ZeroDivisionError):
        anyio.run(partial(visit, token_no_default_policy=True))
    (line,) = told
    assert "does not let the agent revoke its own token" in line


def test_threads_share_one_login(server: Server) -> None:
    session = Session(server.role())
    assert _all_at_once(lambda: session.token(server.node)) == {session.token(server.node)}
    assert session.logins == 1
    server.revoke(session.token(server.node))
    assert _all_at_once(lambda: session.with_token(server.node, server.snapshot)) == {True}
    assert session.logins == 2


def _last(asked: list[str], what: str) -> int:
    return max((index for index, one in enumerate(asked) if one == what), default=0)


def _all_at_once(work: Callable[[], Any], threads: int = 8) -> set[Any]:
    start = threading.Barrier(threads)

    def run() -> Any:
        start.wait()
        return work()

    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(run) for _ in range(threads)]
        return {one.result() for one in running}
