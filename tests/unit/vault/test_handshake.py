"""What is said of a TLS handshake that fails: whose certificate it is about, and what to try."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
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
from tests.unit.vault.conftest import Listeners
from tests.unit.vault.test_transport import failure, node

from raft_snapshot_agent.config.named_files import check_pair
from raft_snapshot_agent.config.web import WebTls
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.servers.process import LOOPBACK
from raft_snapshot_agent.vault.settings import TlsSettings
from raft_snapshot_agent.vault.transport_errors import _explain_untrusted

DAY = timedelta(days=1)
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return tmp_path / "ca.pem"


def serving(authority: trustme.CA, **issued: Any) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(LOOPBACK, **issued).configure_cert(made)
    return made


def pair(authority: trustme.CA, folder: Path, **issued: Any) -> dict[str, Path]:
    made = authority.issue_cert("agent.internal", **issued)
    made.cert_chain_pems[0].write_to_path(folder / "client.pem")
    made.private_key_pem.write_to_path(folder / "client-key.pem")
    return {"client_cert": folder / "client.pem", "client_key": folder / "client-key.pem"}


@contextmanager
def listening(context: ssl.SSLContext) -> Iterator[str]:
    """Stand as a server that only shakes hands."""
    with socket.create_server((LOOPBACK, 0)) as server:

        def greet() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client, suppress(OSError), context.wrap_socket(client, server_side=True):
                        pass

        thread = threading.Thread(target=greet, daemon=True)
        thread.start()
        try:
            yield f"https://{LOOPBACK}:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_a_certificate_of_tomorrow_is_a_matter_of_the_clock(
    authority: trustme.CA, ca_file: Path
) -> None:
    early = serving(authority, not_before=NOW + DAY, not_after=NOW + 2 * DAY)
    with listening(early) as address:
        said = failure(node(address, ca_file=ca_file))
    assert "its certificate is not trusted: certificate is not yet valid (correct the clock" in said


def test_a_key_that_is_too_weak_is_replaced() -> None:
    _, hint = _explain_untrusted("EE certificate key too weak", named=True)
    assert hint == "replace it on the server by one with a stronger key and signature"


def test_a_client_certificate_that_has_expired_is_ours(
    listeners: Listeners, tmp_path: Path
) -> None:
    ours = pair(listeners.authority, tmp_path, not_before=NOW - 2 * DAY, not_after=NOW - DAY)
    said = failure(node(listeners.mutual, ca_file=listeners.ca_file, **ours))
    assert "it refuses our client certificate: it has expired (renew vault.tls.client_cert" in said


def test_a_client_certificate_that_is_missing_is_likely_before_tls_13(
    authority: trustme.CA, ca_file: Path
) -> None:
    wanting = serving(authority)
    wanting.verify_mode, wanting.maximum_version = ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2
    authority.configure_trust(wanting)
    with listening(wanting) as address:
        said = failure(node(address, ca_file=ca_file))
    assert (
        "it refuses the TLS handshake (likely it wants a client certificate (vault.tls.client_cert)"
        in said
    )


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_an_old_version_of_tls_is_named(authority: trustme.CA, ca_file: Path) -> None:
    old = serving(authority)
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with listening(old) as address:
        said = failure(node(address, ca_file=ca_file))
    assert "it speaks only a version of TLS before 1.2 (allow TLS 1.2 or 1.3" in said


def encrypt(key: Path) -> None:
    plain = load_pem_private_key(key.read_bytes(), None)
    locked = BestAvailableEncryption(b"hunter2")
    key.write_bytes(plain.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))


def test_which_file_of_a_pair_is_wrong_is_told(authority: trustme.CA, tmp_path: Path) -> None:
    files = pair(authority, tmp_path)
    certificate, key = files["client_cert"], files["client_key"]
    good = certificate.read_text(), key.read_text()

    def said() -> str:
        with pytest.raises(ConfigError) as checked:
            check_pair(TlsSettings(client_cert=certificate, client_key=key))
        with pytest.raises(ConfigError, match="cannot use") as used:
            node("https://a", client_cert=certificate, client_key=key)
        with pytest.raises(ConfigError) as served:
            WebTls(cert=certificate, key=key).open()
        assert str(served.value) == str(checked.value)
        assert used.value.hint == checked.value.hint
        return str(checked.value)

    encrypt(key)
    locked = f"{key} cannot be used: it is encrypted, and nobody is asked for its password"
    assert said() == f"{locked} (give it decrypted)"
    authority.issue_cert("b").private_key_pem.write_to_path(key)
    assert (
        said()
        == f"{key} cannot be used: it is not the key of {certificate} (give the key that was made for it)"
    )
    key.write_text(good[0])
    assert said() == f"{key} cannot be used: it holds no private key (it must be in PEM)"
    key.write_text(good[1])
    certificate.write_text(good[1])
    assert said() == f"{certificate} cannot be used: it holds no certificate (it must be in PEM)"
    certificate.write_text(good[0].replace("M", "A"))
    assert "both must be in PEM" in said()


def test_an_authority_that_becomes_junk_is_named_alone(
    authority: trustme.CA, tmp_path: Path
) -> None:
    junk = tmp_path / "junk.pem"
    junk.write_text("junk")
    with pytest.raises(ConfigError) as used:
        node("https://a", ca_file=junk, **pair(authority, tmp_path))
    why = "it holds no certificate (it must be in PEM)"
    assert str(used.value) == f"vault.tls: cannot use {junk}: {why}"
