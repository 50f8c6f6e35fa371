"""What is said of an address that does not answer with a status."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
import trustme
from tests.unit.web.serving import issue, serve

from raft_snapshot_agent.cli.status_source import TOKEN, Document, ask_url
from raft_snapshot_agent.errors import AgentError, Unreachable


@pytest.fixture(autouse=True)
def _no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN, raising=False)


async def ask(url: str) -> Document:
    return await anyio.to_thread.run_sync(ask_url, url)


async def test_a_refusal_is_told_in_the_words_of_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    look_up = socket.getaddrinfo

    def find(host: str, *rest: Any, **more: Any) -> Any:
        return look_up("127.0.0.1" if host.endswith(".example") else host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", find)
    async with serve() as web:
        with pytest.raises(AgentError, match=r"421: this agent is not known .*web\.hosts"):
            await ask(f"http://vault-1.example:{web.port}")
        with pytest.raises(AgentError, match="404: nothing is there"):
            await ask(f"http://127.0.0.1:{web.port}/below")


async def test_a_certificate_of_another_authority_is_refused_until_that_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = trustme.CA()
    async with serve(tls=issue(authority, tmp_path)) as web:
        address = f"https://localhost:{web.port}"
        with pytest.raises(Unreachable, match=r"certificate verify failed.*set SSL_CERT_FILE"):
            await ask(address)
        authority.cert_pem.write_to_path(tmp_path / "ca.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
        assert (await ask(address))["clusters"]
