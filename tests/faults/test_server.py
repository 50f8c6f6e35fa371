"""The server refuses, hangs, redirects or dies: the run fails in one line and the next one works."""

from __future__ import annotations

import http.client
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from tests.conftest import StartBao
from tests.faults.conftest import Filled
from tests.faults.site import Site
from tests.lying import (
    SNAPSHOT_PATH,
    Behaviour,
    Exchange,
    LyingProxy,
    hang,
    pass_through,
    redirect,
    stall_after,
    status,
    times,
    trickle,
)

from raft_snapshot_agent.servers.openbao import (
    AppRole,
    OpenBaoCluster,
    fill,
    prepare_agent,
)
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

LEADER_PATH = "/v1/sys/leader"
LOGIN_PATH = "/v1/auth/approle/login"
QUOTA = {"errors": ['request path "sys/storage/raft/snapshot": rate limit quota exceeded']}
SEALED = {"errors": ["Vault is sealed"]}
MISFORTUNE = {"errors": ["internal error"]}


@pytest.mark.parametrize("path", [SNAPSHOT_PATH, LOGIN_PATH, LEADER_PATH])
@pytest.mark.parametrize(
    ("code", "document", "words"),
    [
        (500, MISFORTUNE, "with 500: internal error"),
        (503, SEALED, "is sealed (503: Vault is sealed) (unseal it"),
        (429, QUOTA, "rate limit quota exceeded"),
        (502, {}, "with 502"),
    ],
)
def test_refusal(
    site: Site, server: LyingProxy, path: str, code: int, document: object, words: str
) -> None:
    refusal = status(code, document)
    server.behave(path, refusal)
    server.snapshot = refusal if path == SNAPSHOT_PATH else pass_through
    site.fails(2, words)
    assert len([request for request in server.requests if request.path == path]) == 1
    server.behave(path, pass_through)
    server.snapshot = pass_through
    site.succeeds()


def test_page_of_a_proxy_is_shown_on_one_line(site: Site, server: LyingProxy) -> None:
    server.snapshot = status(503, b"<html>\n<body>\nupstream down\n</body></html>\n")
    site.fails(2, "with 503: upstream down (likely the server, or a proxy")
    server.behave(LEADER_PATH, status(200, b"<html>Welcome</html>"))
    site.fails(2, "does not answer sys/leader as Vault or OpenBao do")


@pytest.mark.parametrize("sent", [0, 10_000])
def test_silence(site: Site, server: LyingProxy, sent: int) -> None:
    server.snapshot = stall_after(sent)
    with patch.dict(site.vault, stall_timeout="1s"):
        site.fails(2, f"went silent for 1 s after {sent} bytes")
    server.snapshot = pass_through
    site.succeeds()


@pytest.mark.parametrize("path", [SNAPSHOT_PATH, LOGIN_PATH, LEADER_PATH])
def test_no_answer_at_all(site: Site, server: LyingProxy, path: str) -> None:
    server.behave(path, hang)
    server.snapshot = hang if path == SNAPSHOT_PATH else pass_through
    with patch.dict(site.vault, stall_timeout="1s", timeout="1s"):
        site.fails(2, "it did not answer in time")
    server.behave(path, pass_through)
    server.snapshot = pass_through
    site.succeeds()


@pytest.mark.parametrize("framed", [True, False])
def test_trickle(site: Site, server: LyingProxy, framed: bool) -> None:
    server.snapshot = trickle(0.1) if framed else _trickle_unframed
    with patch.dict(site.vault, snapshot_timeout="2s", stall_timeout="5s"):
        site.fails(2, "the snapshot took longer than 2 s")
    server.snapshot = pass_through
    site.succeeds()


def test_redirect_inside_the_cluster_is_followed(
    site: Site, server: LyingProxy, bao: OpenBaoCluster
) -> None:
    server.snapshot = redirect(bao.leader().address)
    site.succeeds()


def test_redirect_elsewhere_is_not_followed(
    site: Site, server: LyingProxy, bao: OpenBaoCluster
) -> None:
    with LyingProxy(bao.leader().address) as elsewhere:
        server.snapshot = redirect(elsewhere.address)
        site.fails(2, f"redirects to {elsewhere.address}{SNAPSHOT_PATH}")
        assert elsewhere.requests == []
    server.snapshot = pass_through
    site.succeeds()


def test_redirect_in_a_circle_ends(site: Site, server: LyingProxy) -> None:
    server.snapshot = redirect(server.address)
    site.fails(2, "redirects to")
    assert len(server.snapshot_requests) < 6
    server.snapshot = pass_through
    site.succeeds()


def test_killed_in_the_middle(
    start_bao: StartBao, tmp_path: Path, seaweed: SeaweedFS, bucket: str
) -> None:
    cluster = start_bao()
    node = cluster.leader()
    fill(cluster, 20_000_000)
    with (
        Site(tmp_path, seaweed, bucket, prepare_agent(cluster)) as site,
        LyingProxy(node.address) as server,
    ):
        site.behind(server)
        server.snapshot = in_the_middle(node.kill)
        site.fails(2, "was cut off after")
        server.snapshot = pass_through
        site.fails(2, "cannot reach")
        node.start()
        site.fails(2, "is sealed (503: Vault is sealed) (unseal it")
        node.unseal(cluster.unseal_keys)
        node.wait_active()
        site.succeeds()


def test_token_revoked_before_the_snapshot_is_replaced(
    site: Site, server: LyingProxy, bao: OpenBaoCluster
) -> None:
    server.snapshot = times(1, _with_a_revoked_token(bao))
    site.succeeds()
    assert len(server.snapshot_requests) == 2


def test_token_of_somebody_else_that_was_revoked_is_refused(
    site: Site, server: LyingProxy, bao: OpenBaoCluster
) -> None:
    site.vault["auth"] = {"method": "token", "token": _new_token(bao)}
    server.snapshot = _with_a_revoked_token(bao)
    site.fails(2, "permission denied")
    assert len(server.snapshot_requests) == 1
    site.vault["auth"]["token"] = _new_token(bao)
    server.snapshot = pass_through
    site.succeeds()


def test_token_revoked_in_the_middle_does_no_harm(
    big_site: Site, big_server: LyingProxy, filled: Filled
) -> None:
    def revoke() -> None:
        token = big_server.snapshot_requests[-1].headers["X-Vault-Token"]
        filled.cluster.api("POST", "auth/token/revoke", {"token": token})

    big_server.snapshot = in_the_middle(revoke)
    big_site.succeeds()


def test_wrong_secret_id_is_tried_once(site: Site, server: LyingProxy, approle: AppRole) -> None:
    right, site.vault["auth"]["secret_id"] = approle.secret_id, approle.role_id
    ending = site.fails(2, "login with approle at")
    assert "check role_id, secret_id and mount" in ending.said
    assert len([request for request in server.requests if request.path == LOGIN_PATH]) == 1
    site.vault["auth"]["secret_id"] = right
    site.succeeds()


def in_the_middle(event: Callable[[], object]) -> Behaviour:
    """Let something happen while the server is still sending."""

    def behave(exchange: Exchange) -> None:
        response = exchange.forward()
        exchange.begin(response.status, response.getheaders())
        exchange.send(response.read(200_000))
        event()
        try:
            while block := response.read1(1 << 16):
                exchange.send(block)
        except http.client.HTTPException:
            return exchange.cut()
        if not response.isclosed():
            return exchange.cut()
        return exchange.finish()

    return behave


def _trickle_unframed(exchange: Exchange) -> None:
    archive = exchange.forward().read()
    exchange.begin(200, [("Connection", "close")])
    for value in archive:
        exchange.send(bytes([value]))
        if not exchange.pause(0.1):
            break
    exchange.cut()


def _with_a_revoked_token(bao: OpenBaoCluster) -> Behaviour:
    def behave(exchange: Exchange) -> None:
        token = exchange.request.headers["X-Vault-Token"]
        bao.api("POST", "auth/token/revoke", {"token": token})
        pass_through(exchange)

    return behave


def _new_token(bao: OpenBaoCluster) -> str:
    answer = bao.api("POST", "auth/token/create", {"policies": ["snapshot"]})
    return str(answer["auth"]["client_token"])
