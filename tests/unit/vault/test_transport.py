"""Every way to a server, and what is said where there is none."""

from __future__ import annotations

import os
import pty
import shutil
import socket
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from tests.unit.vault.conftest import SERVER_NAME, Listeners

from raft_snapshot_agent.errors import ConfigError, NotListening, ServerError, Unreachable
from raft_snapshot_agent.servers.process import LOOPBACK, free_ports, release_ports
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.settings import VaultSettings


def node(address: str, **tls: Any) -> Node:
    return Node(address, VaultSettings.model_validate({"tls": tls}))


def impatient(address: str) -> Node:
    return Node(address, VaultSettings(timeout=timedelta(seconds=0.2)))


def reached(one: Node) -> bool:
    try:
        return one.identity().product == "openbao"
    finally:
        one.close()


def failure(one: Node, kind: type[Unreachable] = Unreachable) -> str:
    """Return the line that says why the server cannot be reached."""
    try:
        with pytest.raises(Unreachable) as raised:
            one.identity()
    finally:
        one.close()
    assert type(raised.value) is kind
    line = str(raised.value)
    assert line.isprintable()
    assert line.startswith(f"cannot reach {one.address}: ")
    assert "_ssl.c" not in line
    assert "Pool" not in line
    return line


@pytest.fixture
def port() -> Iterator[int]:
    """A port where nobody listens."""
    (free,) = ports = free_ports(1)
    yield free
    release_ports(ports)


@pytest.mark.parametrize("way", ["plain", "ipv6", "unix"])
def test_a_server_is_reached_without_tls(listeners: Listeners, way: str) -> None:
    assert reached(node(getattr(listeners, way)))


def test_a_server_is_reached_with_the_authority_in_a_file(listeners: Listeners) -> None:
    assert reached(node(listeners.tls, ca_file=listeners.ca_file))
    assert reached(node(listeners.tls.replace("127.0.0.1", "localhost"), ca_file=listeners.ca_file))


def test_a_server_is_reached_with_the_authority_in_a_folder(
    listeners: Listeners, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "another.crt")
    shutil.copy(listeners.ca_file, tmp_path / "ours.crt")
    (tmp_path / "a folder").mkdir()
    assert reached(node(listeners.tls, ca_path=tmp_path))


def test_a_server_is_reached_under_the_name_in_its_certificate(listeners: Listeners) -> None:
    assert reached(node(listeners.foreign, ca_file=listeners.ca_file, server_name=SERVER_NAME))


def test_a_server_is_reached_with_a_client_certificate(
    listeners: Listeners, tmp_path: Path
) -> None:
    pair = _client_pair(listeners.authority, tmp_path)
    assert reached(node(listeners.mutual, ca_file=listeners.ca_file, **pair))


def test_a_server_that_wants_a_client_certificate_says_so(
    listeners: Listeners, tmp_path: Path
) -> None:
    said = failure(node(listeners.mutual, ca_file=listeners.ca_file))
    assert "it wants a client certificate (set vault.tls.client_cert and" in said
    foreign = _client_pair(trustme.CA(), tmp_path)
    said = failure(node(listeners.mutual, ca_file=listeners.ca_file, **foreign))
    assert "it refuses our client certificate (set vault.tls.client_cert and" in said


def test_without_verification_any_certificate_will_do_silently(listeners: Listeners) -> None:
    with warnings.catch_warnings(record=True) as shown:
        assert reached(node(listeners.foreign, skip_verify=True))
    assert not shown


def test_certificates_are_verified_unless_told_otherwise(
    listeners: Listeners, tmp_path: Path
) -> None:
    untrusted = "its certificate is not trusted: unable to get local issuer certificate"
    said = failure(node(listeners.tls))
    assert (
        f"{untrusted} (set vault.tls.ca_file or VAULT_CACERT to the authority that signed it)"
        in said
    )
    trustme.CA().cert_pem.write_to_path(tmp_path / "another.pem")
    assert untrusted in failure(node(listeners.tls, ca_file=tmp_path / "another.pem"))
    assert untrusted in failure(node(listeners.tls, ca_path=tmp_path))


def test_a_wrong_name_is_told(listeners: Listeners) -> None:
    trusted = {"ca_file": listeners.ca_file}
    hint = "(set vault.tls.server_name to a name it is valid for)"
    said = failure(node(listeners.foreign, **trusted))
    assert f"certificate is not valid for '127.0.0.1' {hint}" in said
    said = failure(node(listeners.tls, **trusted, server_name="other.internal"))
    assert f"certificate is not valid for 'other.internal' {hint}" in said


def test_https_to_a_plain_port(listeners: Listeners) -> None:
    said = failure(node(listeners.plain.replace("http:", "https:")))
    assert "it speaks plain HTTP (write the address with http:// or" in said


def test_http_to_a_tls_port(listeners: Listeners) -> None:
    plain = node(listeners.tls.replace("https:", "http:"))
    with pytest.raises(ServerError, match=r"HTTPS server\. \(write the address with https://\)"):
        plain.leader_status()


def test_a_refused_connection(port: int) -> None:
    for host in ("127.0.0.1", "[::1]"):
        said = failure(node(f"http://{host}:{port}"), NotListening)
        assert "connection refused (check that the server runs and the address is" in said


def test_a_name_without_address(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    said = failure(node("https://vault.invalid:8200"))
    assert "vault.invalid has no address (check the name and DNS)" in said


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_silent_server(scheme: str, port: int) -> None:
    with socket.create_server((LOOPBACK, port)):  # connections are made, nobody answers
        said = failure(impatient(f"{scheme}://127.0.0.1:{port}"))
    assert "it did not answer in time (check the server, or raise vault.timeout)" in said


def test_a_full_server(port: int) -> None:
    """One whose queue of connections is full takes no further one."""
    with socket.create_server((LOOPBACK, port), backlog=0):
        waiting = [_knock(port) for _ in range(8)]
        said = failure(impatient(f"http://127.0.0.1:{port}"))
        for one in waiting:
            one.close()
    assert "in time (check " in said


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (b"", "closed connection without response"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "SSH-2.0-OpenSSH_9.6"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort", "is cut off or no valid HTTP"),
    ],
)
def test_a_server_that_does_not_speak_http(answer: bytes, why: str, port: int) -> None:
    with socket.create_server((LOOPBACK, port)) as server:
        thread = threading.Thread(target=_answer, args=(server, answer))
        thread.start()
        said = failure(node(f"http://127.0.0.1:{port}"))
        thread.join()
    assert why in said
    assert "(check that the server runs and speaks HTTP there)" in said


def test_a_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    said = failure(node(f"unix://{tmp_path}/no.sock"))
    assert "no such file or directory (check that the server runs" in said


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 abc\r\n",
    ],
    ids=["length", "chunks", "size", "status"],
)
def test_an_answer_that_is_cut_off_is_told_in_plain_words(answer: bytes) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        thread = threading.Thread(target=_answer, args=(server, answer))
        thread.start()
        said = failure(node(f"http://{LOOPBACK}:{server.getsockname()[1]}"))
        thread.join(60)
    assert "its answer is cut off or no valid HTTP (check that the server runs and" in said


def test_a_silent_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        assert "did not answer in time" in failure(impatient(f"unix://{path}"))


@pytest.mark.parametrize(
    "tls",
    [
        {"ca_file": "/no/such.pem"},
        {"ca_path": "/no/such"},
        {"ca_file": "/dev/null"},
        {"client_cert": "/no/such.pem", "client_key": "/no/such.pem"},
    ],
)
def test_certificate_files_that_cannot_be_used_are_a_matter_of_configuration(
    tls: dict[str, str],
) -> None:
    with pytest.raises(ConfigError) as raised:
        node("https://127.0.0.1", **tls)
    assert str(raised.value).startswith(f"vault.tls: cannot use {next(iter(tls.values()))}")
    assert raised.value.hint


def test_what_is_trusted_is_loaded_once_and_again_when_its_file_changes(
    tmp_path: Path,
) -> None:
    authority = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))

    def trust(**tls: Any) -> Any:
        return node("https://127.0.0.1", **tls)._line._pool().connection_pool_kw["ssl_context"]

    first = trust(ca_file=authority)
    assert trust(ca_file=authority) is first
    assert trust(ca_file=authority, skip_verify=True) is not first
    assert trust(ca_path=tmp_path) is not first
    trustme.CA().cert_pem.write_to_path(str(authority))
    assert trust(ca_file=authority) is not first


def test_a_client_certificate_that_was_renewed_is_shown(
    listeners: Listeners, tmp_path: Path
) -> None:
    pair = _client_pair(trustme.CA(), tmp_path)
    client = node(listeners.mutual, ca_file=listeners.ca_file, **pair)
    assert "it refuses our client certificate" in failure(client)
    _client_pair(listeners.authority, tmp_path)
    assert reached(client)
    pair["client_key"].write_text("as of a program that has written half of it")
    # To those that ask again, an error of the configuration would be the end.
    assert "vault.tls: cannot use " in failure(client)
    _client_pair(listeners.authority, tmp_path)
    assert reached(client)


def test_a_damaged_file_in_the_folder_of_authorities_is_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "damaged.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n")
    with pytest.raises(ConfigError, match=r"vault\.tls: cannot use"):
        node("https://127.0.0.1", ca_path=tmp_path)


def test_an_encrypted_key_fails_instead_of_asking_for_its_password_on_the_terminal(
    listeners: Listeners, tmp_path: Path
) -> None:
    pair = _client_pair(listeners.authority, tmp_path)
    key = load_pem_private_key(pair["client_key"].read_bytes(), None)
    locked = key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hunter2")
    )
    pair["client_key"].write_bytes(locked)
    ours, theirs = pty.openpty()
    try:
        code = [sys.executable, "-c", _ON_A_TERMINAL, *map(str, pair.values())]
        ended = subprocess.run(
            code, stdin=theirs, capture_output=True, start_new_session=True, timeout=60, check=True
        )
    finally:
        os.close(ours)
        os.close(theirs)
    assert ended.stdout.startswith(b"vault.tls: cannot use")


_ON_A_TERMINAL = """
import fcntl, sys, termios
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.settings import VaultSettings
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
try:
    tls = {"client_cert": sys.argv[1], "client_key": sys.argv[2]}
    Node("https://a", VaultSettings(tls=tls))
except ConfigError as error:
    print(error)
"""


def _client_pair(authority: trustme.CA, folder: Path) -> dict[str, Path]:
    issued = authority.issue_cert("agent.internal")
    issued.cert_chain_pems[0].write_to_path(folder / "client.pem")
    issued.private_key_pem.write_to_path(folder / "client-key.pem")
    return {"client_cert": folder / "client.pem", "client_key": folder / "client-key.pem"}


def _knock(port: int) -> socket.socket:
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((LOOPBACK, port))
    return client


def _answer(server: socket.socket, answer: bytes) -> None:
    client, _ = server.accept()
    with client:
        client.recv(4096)
        client.sendall(answer)
