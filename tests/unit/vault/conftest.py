from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import trustme

from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.node_options import NodeOptions, TlsFiles
from raft_snapshot_agent.servers.process import free_ports, release_ports

SERVER_NAME = "bao.internal"
"""In the server's certificate, but in no DNS."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """A real server, not initialised, that can be spoken to in every way."""

    tls: str
    mutual: str
    """Wants a client certificate."""
    foreign: str
    """Its certificate is for `SERVER_NAME` alone."""
    plain: str
    ipv6: str
    unix: str
    authority: trustme.CA
    ca_file: Path


@pytest.fixture(scope="session")
def listeners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listeners]:
    folder = tmp_path_factory.mktemp("listeners")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    local = _issued(authority, folder / "local", "127.0.0.1", "localhost", SERVER_NAME)
    elsewhere = _issued(authority, folder / "elsewhere", SERVER_NAME)
    tls = TlsFiles(local[0], local[1], folder / "ca.pem")
    node = OpenBaoNode("bao", folder / "bao", NodeOptions(tls=tls))
    ports = free_ports(8)
    mutual = {
        "tls_require_and_verify_client_cert": True,
        "tls_client_ca_file": str(folder / "ca.pem"),
    }
    socket = folder / "api.sock"
    wanted = [
        _tcp(f"127.0.0.1:{node.ports[0]}", node.ports[1], local),
        _tcp(f"127.0.0.1:{ports[0]}", ports[1], local, **mutual),
        _tcp(f"127.0.0.1:{ports[2]}", ports[3], elsewhere),
        _tcp(f"127.0.0.1:{ports[4]}", ports[5]),
        _tcp(f"[::1]:{ports[6]}", ports[7]),
        {"unix": {"address": str(socket), "tls_disable": True}},
    ]
    node.options = NodeOptions(tls=tls, server={"listener": wanted})
    try:
        node.start()
        yield Listeners(
            tls=node.address,
            mutual=f"https://127.0.0.1:{ports[0]}",
            foreign=f"https://127.0.0.1:{ports[2]}",
            plain=f"http://127.0.0.1:{ports[4]}",
            ipv6=f"http://[::1]:{ports[6]}",
            unix=f"unix://{socket}",
            authority=authority,
            ca_file=folder / "ca.pem",
        )
    finally:
        node.discard()
        release_ports(ports)


def _issued(authority: trustme.CA, folder: Path, *names: str) -> tuple[Path, Path]:
    folder.mkdir()
    issued = authority.issue_cert(*names)
    issued.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    return folder / "cert.pem", folder / "key.pem"


def _tcp(
    address: str, cluster_port: int, files: tuple[Path, Path] | None = None, **more: Any
) -> dict[str, Any]:
    certificate = (
        {"tls_cert_file": str(files[0]), "tls_key_file": str(files[1])}
        if files
        else {"tls_disable": True}
    )
    cluster = f"127.0.0.1:{cluster_port}"
    return {"tcp": {"address": address, "cluster_address": cluster, **certificate, **more}}
