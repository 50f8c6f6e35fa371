"""Secrets with which something is wrong, wherever one can be given: none is shown, whatever comes.

Server and stores are parrots: they refuse everything, and repeat in their refusal what was sent.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from raft_snapshot_agent.cli.app import app
from raft_snapshot_agent.errors import AgentError

CORE = "hunter2Xq7Vt9Zk3"
"""What must not be seen of a secret, in whatever form the rest of it is."""
NASTY: dict[str, bytes] = {
    "plain": CORE.encode(),
    "line break within": f"abcdef\n{CORE}".encode(),
    "carriage return within": f"{CORE}\r\nX-Header: {CORE}".encode(),
    "NUL": f"{CORE}\0{CORE}".encode(),
    "escape sequence": f"\x1b[31m{CORE}\x1b[0m".encode(),
    "not UTF-8": f"{CORE}\xff\xfe".encode("latin-1"),
    "long": (CORE * 1000).encode(),
    "as long as it may be": (CORE * (32 << 10))[: 32 << 10].encode(),
    "too long": (CORE * 5000).encode(),
    "direction override": f"{CORE}\N{RIGHT-TO-LEFT OVERRIDE}{CORE}".encode(),
    "zero width": f"{CORE}\N{ZERO WIDTH SPACE}\N{ZERO WIDTH NO-BREAK SPACE}".encode(),
    "line separator": f"{CORE}\N{LINE SEPARATOR}{CORE}".encode(),
    "of YAML": f"!{CORE}: [*{CORE}, &x {{%{CORE}".encode(),
    "percent signs": f"%s%({CORE})s%n%{CORE}%00%0A%zz".encode(),
    "braces": f"{{0.{CORE}}}{{{CORE}!r}}".encode(),
    "markup": f"[bold]{CORE}[/bold][/{CORE}]".encode(),
    "an address": f"https://{CORE}:{CORE}@example.org/?sig={CORE}&AccountKey={CORE};x=".encode(),
    "not of this script": f"пароль{CORE}\N{SNOWMAN}".encode(),
    "quotes": f"'\"\\{CORE}\\\"'".encode(),
}

FEW = ("not UTF-8",)
"""What is tried in all storages each time: they take their time to refuse."""
SOAK = (pytest.mark.soak,)
PROOFS = (
    "authorization",
    "x-auth-token",
    "x-vault-token",
    "x-amz-security-token",
    "x-amz-server-side-encryption-customer-key",
)
PUBLIC: dict[str, dict[str, Any]] = {
    "/v1/sys/leader": {"ha_enabled": True, "is_self": True, "raft_committed_index": 1},
    "/v1/sys/seal-status": {"sealed": False, "initialized": True, "storage_type": "raft"},
}


@pytest.fixture(scope="module")
def parrot() -> Iterator[str]:
    """Refuse, and repeat all that was sent."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = self.headers.get("content-length", "0")
            body = self.rfile.read(int(length)).decode("latin-1") if length.isdecimal() else ""
            headers = {name.lower(): value for name, value in self.headers.items()}
            first = [headers.pop(name) for name in PROOFS if name in headers]  # all is cut off
            said = " ".join(("no:", *first, body, self.path, *headers.values()))
            told = json.dumps({"errors": [said], "error": {"message": said, "code": said}})
            status = 403
            if self.path in PUBLIC:  # else no login would be tried
                status, told = 200, json.dumps(PUBLIC[self.path])
            self.close_connection = True
            self.send_response(status)
            self.send_header("content-length", str(len(told)))
            self.send_header("x-ms-error-code", "".join(filter(str.isalnum, said))[:500])
            self.end_headers()
            self.wfile.write(told.encode())

        do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PROPFIND = do_MKCOL = answer  # noqa: N815

        def handle(self) -> None:
            with suppress(ConnectionError):  # of who does not read on
                super().handle()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def storages(url: str, secret: str, google: Path) -> list[dict[str, Any]]:
    """Every storage with a secret, once for each secret that it takes."""
    port = int(url.rpartition(":")[2])
    s3 = {"type": "s3", "bucket": "backups", "region": "r", "endpoint": url, "path_style": True}
    azure = {
        "type": "azure",
        "container": "backups",
        "endpoint": f"{url}/a",
        "account_name": "backups",
    }
    swift = {"type": "swift", "container": "backups", "auth_url": f"{url}/v3"}
    user = {
        "username": "u",
        "project_name": "p",
        "user_domain_name": "d",
        "project_domain_name": "d",
    }
    keys = {"access_key_id": "k", "secret_access_key": "0123456789"}
    sftp = {"type": "sftp", "host": "127.0.0.1", "port": port, "username": "u", "path": "/x"}
    dav = {"type": "webdav", "url": f"{url}/dav"}
    every: list[dict[str, Any]] = [
        s3 | keys | {"secret_access_key": secret},
        s3 | keys | {"access_key_id": secret},
        s3 | keys | {"session_token": secret},
        s3 | keys | {"sse_customer_key": secret},
        azure | {"account_key": secret},
        azure | {"sas_token": secret},
        {"type": "azure", "container": "backups", "connection_string": secret},
        swift | user | {"password": secret},
        {"type": "swift", "container": "backups", "storage_url": f"{url}/a", "auth_token": secret},
        sftp | {"password": secret},
        dav | {"username": "u", "password": secret},
        dav | {"token": secret},
        {
            "type": "gcs",
            "bucket": "backups",
            "endpoint": url,
            "service_account_file": str(google),
        },
    ]
    common = {"timeout": "2s"}
    return [one | common | {"name": f"s{number}"} for number, one in enumerate(every)]


LOGINS: list[tuple[str, dict[str, Any]]] = [
    ("secret_id", {"method": "approle", "role_id": "r"}),
    ("role_id", {"method": "approle", "secret_id": "0123456789"}),
    ("token", {"method": "token"}),
    ("jwt", {"method": "jwt", "role": "r"}),
    ("jwt", {"method": "kubernetes", "role": "r"}),
    ("password", {"method": "userpass", "username": "u"}),
    ("password", {"method": "ldap", "username": "u"}),
    ("password", {"method": "radius", "username": "u"}),
]


def said(*arguments: object) -> str:
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        try:
            app([str(one) for one in arguments], standalone_mode=False)
        except AgentError as error:
            out.write(str(error))
    return out.getvalue()


def given(secret: bytes, way: str, tmp_path: Path) -> str:
    """Give it in the file itself, or in one of its own."""
    if way == "inline":
        return secret.decode("utf-8", "replace")
    path = tmp_path / "secret"
    path.write_bytes(secret)
    return f"file://{path}"


def write(tmp_path: Path, document: dict[str, Any]) -> Path:
    path = tmp_path / "agent.json"
    path.write_text(json.dumps(document | {"spool": str(tmp_path)}))
    path.chmod(0o600)
    return path


def assert_hidden(text: str) -> None:
    assert CORE not in text, text[max(0, text.index(CORE) - 300) :][:600]


def pairs(of: list[Any]) -> list[Any]:
    """Give each secret to one of them in turn, and to the others where there is time."""
    return [
        pytest.param(nasty, one, marks=() if number % len(of) == at else SOAK)
        for number, nasty in enumerate(NASTY)
        for at, one in enumerate(of)
    ]


@pytest.mark.parametrize(
    ("nasty", "way"),
    [
        pytest.param(one, ("inline", "file")[number % 2], marks=() if one in FEW else SOAK)
        for number, one in enumerate(NASTY)
    ],
)
def test_no_storage_shows_a_secret(nasty: str, way: str, parrot: str, tmp_path: Path) -> None:
    secret = given(NASTY[nasty], way, tmp_path)
    google = tmp_path / "google.json"
    key = {"client_id": "c", "client_secret": "x", "refresh_token": CORE, "token_uri": parrot}
    google.write_text(json.dumps({"type": "authorized_user"} | key))
    config = {"vault": {"address": parrot, "auth": {"method": "token", "token": "0123456789"}}}
    path = write(tmp_path, config | {"storages": storages(parrot, secret, google)})

    for command in (("doctor",), ("list",), ("config", "show")):
        text = said(*command, "-c", path)
        asked = text.count(parrot.rpartition(":")[2]) > 5
        assert command[0] != "doctor" or asked or text.startswith(f"{path}:"), text
        assert_hidden(text)


@pytest.mark.parametrize(("nasty", "key"), pairs([*range(len(LOGINS))]))
def test_no_login_shows_a_secret(nasty: str, key: int, parrot: str, tmp_path: Path) -> None:
    name, settings = LOGINS[key]
    way = ("inline", "file")[(key + len(nasty)) % 2]
    auth = settings | {name: given(NASTY[nasty], way, tmp_path)}
    storage = {"type": "local", "path": str(tmp_path)}
    path = write(tmp_path, {"vault": {"address": parrot, "auth": auth}, "storages": [storage]})

    for command in (("run", "--once"), ("doctor",)):
        assert_hidden(said(*command, "-c", path))
