"""The lying servers lie as they say, and are honest otherwise."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import obstore
import pytest
import urllib3
from obstore.exceptions import BaseError
from obstore.store import S3Store
from tests.lying import (
    CuttingTcpProxy,
    LyingProxy,
    Request,
    S3Faults,
    bitflip_state,
    cut_after,
    empty,
    halve,
    hang,
    json_body,
    redirect,
    stale,
    stall_after,
    status,
    times,
    trailing,
    trickle,
    truncate,
    without_sealed,
)

from raft_snapshot_agent.servers.openbao import AppRole, OpenBaoCluster
from raft_snapshot_agent.servers.seaweedfs import SeaweedFS

SNAPSHOT = "/v1/sys/storage/raft/snapshot"
MEMBERS = ["meta.json", "state.bin", "SHA256SUMS", "SHA256SUMS.sealed"]


@dataclass(frozen=True, slots=True)
class Client:
    """Asks through the proxy with a token that may do everything."""

    address: str
    token: str

    def get(self, path: str = SNAPSHOT, **options: object) -> urllib3.BaseHTTPResponse:
        with urllib3.PoolManager() as pool:
            return pool.request(
                "GET",
                self.address + path,
                headers={"X-Vault-Token": self.token},
                retries=False,
                redirect=False,
                **options,  # type: ignore[arg-type]
            )

    @contextmanager
    def opened(self, timeout: float) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(urlsplit(self.address).netloc, timeout=timeout)
        with closing(connection):
            connection.request("GET", SNAPSHOT, headers={"X-Vault-Token": self.token})
            with connection.getresponse() as answer:
                yield answer


@pytest.fixture
def proxy(bao: OpenBaoCluster) -> Iterator[LyingProxy]:
    with LyingProxy(bao.leader().address) as lying:
        yield lying


@pytest.fixture
def client(bao: OpenBaoCluster, proxy: LyingProxy) -> Client:
    return Client(proxy.address, bao.root_token)


def members(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(archive))) as tar:
        return {entry.name: (tar.extractfile(entry) or io.BytesIO()).read() for entry in tar}


def sums_hold(parts: dict[str, bytes]) -> bool:
    lines = [line.split() for line in parts["SHA256SUMS"].decode().splitlines()]
    return all(hashlib.sha256(parts[name]).hexdigest() == digest for digest, name in lines)


def test_honest_proxy_passes_a_whole_snapshot_with_the_servers_own_headers(client: Client) -> None:
    answer = client.get()
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "application/gzip"
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert "Content-Length" not in answer.headers
    parts = members(answer.data)
    assert list(parts) == MEMBERS
    assert sums_hold(parts)


def test_logins_and_refusals_pass_through(
    proxy: LyingProxy, bao: OpenBaoCluster, approle: AppRole
) -> None:
    body = {"role_id": approle.role_id, "secret_id": approle.secret_id}
    with urllib3.PoolManager() as pool:
        login = pool.request("POST", f"{proxy.address}/v1/auth/approle/login", json=body)
        head = pool.request("HEAD", f"{proxy.address}/v1/sys/health")
    assert login.status == 200
    token = login.json()["auth"]["client_token"]
    assert Client(proxy.address, token).get().status == 200
    assert Client(proxy.address, token).get("/v1/sys/mounts").status == 403
    assert (head.status, head.data) == (200, b"")
    asked = [(request.method, request.path) for request in proxy.requests]
    assert asked[:2] == [("POST", "/v1/auth/approle/login"), ("HEAD", "/v1/sys/health")]
    assert proxy.snapshot_requests[0].headers["X-Vault-Token"] == token


def test_lies_leave_the_servers_refusal_alone(proxy: LyingProxy) -> None:
    for lie in (empty(), halve(), cut_after(5), trickle(1)):
        proxy.snapshot = lie
        answer = Client(proxy.address, "no token").get()
        assert (answer.status, answer.json()["errors"]) == (403, ["permission denied"])


def test_empty_is_a_well_formed_nothing(proxy: LyingProxy, client: Client) -> None:
    proxy.snapshot = empty()
    assert (client.get().status, client.get().data) == (200, b"")


def test_truncated_and_halved_archives_end_well_formed(proxy: LyingProxy, client: Client) -> None:
    for lie in (truncate(9), halve()):
        proxy.snapshot = lie
        answer = client.get()
        assert answer.status == 200
        with pytest.raises(EOFError):
            gzip.decompress(answer.data)


def test_without_sealed_keeps_everything_else(proxy: LyingProxy, client: Client) -> None:
    proxy.snapshot = without_sealed()
    parts = members(client.get().data)
    assert list(parts) == MEMBERS[:3]
    assert sums_hold(parts)


def test_bitflip_changes_one_bit_of_the_state_only(proxy: LyingProxy, client: Client) -> None:
    proxy.snapshot = bitflip_state()
    parts = members(client.get().data)
    assert list(parts) == MEMBERS
    assert not sums_hold(parts)
    assert len(parts["state.bin"]) == json.loads(parts["meta.json"])["Size"]
    middle = len(parts["state.bin"]) // 2
    repaired = bytearray(parts["state.bin"])
    repaired[middle] ^= 1
    assert sums_hold(parts | {"state.bin": bytes(repaired)})


def test_trailing_bytes_follow_a_whole_archive(proxy: LyingProxy, client: Client) -> None:
    proxy.snapshot = trailing(b"tail")
    data = client.get().data
    assert data.endswith(b"tail")
    assert list(members(data.removesuffix(b"tail"))) == MEMBERS


def test_other_bodies_stand_in_for_the_archive(proxy: LyingProxy, client: Client) -> None:
    proxy.snapshot = json_body({"errors": []})
    assert client.get().json() == {"errors": []}
    older = client.get(f"{SNAPSHOT}?older").data
    proxy.snapshot = stale(older)
    assert client.get().data == older


def test_status_answers_for_the_server(proxy: LyingProxy, client: Client) -> None:
    proxy.snapshot = status(503, {"errors": ["Vault is sealed"]})
    answer = client.get()
    assert (answer.status, answer.json()) == (503, {"errors": ["Vault is sealed"]})


def test_redirect_names_the_same_path_elsewhere(proxy: LyingProxy, client: Client) -> None:
    proxy.snapshot = redirect("https://leader.example:8200")
    answer = client.get()
    assert (answer.status, answer.data) == (307, b"")
    assert answer.headers["Location"] == f"https://leader.example:8200{SNAPSHOT}"


def test_cut_ends_the_stream_without_its_final_chunk(proxy: LyingProxy, client: Client) -> None:
    proxy.snapshot = cut_after(1000)
    with client.opened(timeout=30) as answer, pytest.raises(http.client.IncompleteRead) as told:
        answer.read()
    assert len(told.value.partial) == 1000


def test_stall_is_silent_until_the_proxy_stops(proxy: LyingProxy, client: Client) -> None:
    proxy.snapshot = stall_after(1000)
    with client.opened(timeout=0.5) as answer:
        assert len(answer.read(1000)) == 1000
        with pytest.raises(TimeoutError):
            answer.read(1)

    with client.opened(timeout=30) as answer:
        answer.read(1000)
        proxy.stop()
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            answer.read(1)


def test_trickle_sends_bytes_one_by_one(proxy: LyingProxy, client: Client) -> None:
    proxy.snapshot = trickle(0.001)
    with client.opened(timeout=30) as answer:
        first = [answer.read1(100) for _ in range(20)]
    assert [len(piece) for piece in first] == [1] * 20
    assert b"".join(first).startswith(b"\x1f\x8b")


def test_times_limits_a_lie_to_the_first_requests(proxy: LyingProxy, client: Client) -> None:
    proxy.snapshot = times(2, empty())
    lengths = [len(client.get().data) for _ in range(4)]
    assert lengths[:2] == [0, 0]
    assert all(lengths[2:])


def test_other_paths_can_be_overridden_for_a_while(proxy: LyingProxy, client: Client) -> None:
    proxy.override("/v1/sys/leader", 200, {"is_self": False}, times=1)
    assert client.get("/v1/sys/leader").json() == {"is_self": False}
    assert client.get("/v1/sys/leader").json()["is_self"] is True

    proxy.behave("/v1/sys/health", hang)
    with pytest.raises(urllib3.exceptions.ReadTimeoutError):
        client.get("/v1/sys/health", timeout=0.2)


def test_tcp_proxy_cuts_stalls_refuses_and_recovers(bao: OpenBaoCluster) -> None:
    upstream = urlsplit(bao.leader().address)
    assert upstream.hostname
    assert upstream.port
    with CuttingTcpProxy(upstream.hostname, upstream.port) as line:
        client = Client(line.address, bao.root_token)
        whole = len(client.get().data)

        line.limit_bytes = 2000
        with pytest.raises(urllib3.exceptions.ProtocolError):
            client.get()
        line.restore()
        assert len(client.get().data) >= whole

        line.stall()
        with pytest.raises(urllib3.exceptions.ReadTimeoutError):
            client.get(timeout=0.2)
        line.restore()
        assert client.get().status == 200

        line.refuse()
        with pytest.raises(urllib3.exceptions.NewConnectionError):
            client.get()
        line.restore()
        assert client.get().status == 200


def s3(endpoint: str, bucket: str, keys: SeaweedFS, timeout: str = "30s") -> S3Store:
    return S3Store(
        bucket,
        endpoint=endpoint,
        region=keys.region,
        access_key_id=keys.access_key_id,
        secret_access_key=keys.secret_access_key,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True, "timeout": timeout},
        retry_config={"max_retries": 0},
    )


def test_s3_faults_fail_and_hang_chosen_requests_only(seaweed: SeaweedFS, bucket: str) -> None:
    with S3Faults(seaweed.endpoint) as faults:
        store = s3(faults.address, bucket, seaweed)
        obstore.put(store, "before", bytes(12_000_000), use_multipart=True)
        assert bytes(obstore.get(store, "before").bytes()) == bytes(12_000_000)

        faults.fail(lambda request: request.method == "PUT", 503, times=1)
        with pytest.raises(BaseError, match="503"):
            obstore.put(store, "x", b"x")
        obstore.put(store, "x", b"x")

        faults.fail(_starts_multipart, 500)
        for _ in range(2):
            with pytest.raises(BaseError, match="500"):
                obstore.put(store, "y", bytes(12_000_000), use_multipart=True)
        assert any(_starts_multipart(request) for request in faults.requests)

        faults.heal()
        faults.hang(lambda request: request.path.endswith("/slow"))
        with pytest.raises(BaseError, match=r"timed? ?out"):
            obstore.put(s3(faults.address, bucket, seaweed, "200ms"), "slow", b"x")
        obstore.put(store, "after", b"x")
        names = {entry["path"] for entry in store.list().collect()}
        assert names == {"before", "x", "after"}


def test_tcp_proxy_cuts_an_upload(seaweed: SeaweedFS, bucket: str) -> None:
    upstream = urlsplit(seaweed.endpoint)
    assert upstream.hostname
    assert upstream.port
    with CuttingTcpProxy(upstream.hostname, upstream.port) as line:
        store = s3(line.address, bucket, seaweed)
        obstore.put(store, "x", b"x")
        line.limit_bytes = 300_000
        with pytest.raises(BaseError):
            obstore.put(store, "y", bytes(3_000_000), use_multipart=False)
        line.restore()
        assert [entry["path"] for entry in store.list().collect()] == ["x"]


def _starts_multipart(request: Request) -> bool:
    return request.method == "POST" and "uploads" in request.query
