from __future__ import annotations

import json

import pytest
from tests.holes import HOLES

from raft_snapshot_agent.errors import Denied, Sealed, ServerError
from raft_snapshot_agent.vault.answers import Answer, Redirected, refusal

TOKEN = "hvs.CAESIJ1pOMGtQgbwLhRmCXKV8tdTnNoKhm0K"
SNAPSHOT = "sys/storage/raft/snapshot"


def answer(status: int, *errors: str) -> Answer:
    return Answer.read(status, json.dumps({"errors": errors}).encode())


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        (b'{"errors":["permission denied"]}', "permission denied"),
        (b'{"errors":["a","b"]}', "a; b"),
        (b'{"errors":["1 error occurred:\\n\\t* permission denied\\n\\n"]}', "permission denied"),
        (b"Client sent an HTTP request to an HTTPS server.\n", "Client sent an HTTP request"),
        (b"<html>\n<h1>502 Bad\n</h1><script>x()</script>", "502 Bad"),
        (b'{"message":"Forbidden"}', "Forbidden"),
        (b'{"error":"no upstream"}', "no upstream"),
        (b"\x1b[31mred\x1b[0m\r\nnext", "[31mred [0m next"),
        (b'{"errors":[]}', ""),
        (b'{"errors":"no list"}', ""),
        (b"[]", ""),
        (b'"text"', ""),
        (b"", ""),
        (b" \n", ""),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"[" * 100_000, "[[["),
    ],
)
def test_what_a_server_complains_of(text: bytes, errors: str) -> None:
    said = Answer.read(500, text).errors
    assert said.startswith(errors)
    assert bool(said) is bool(errors)
    assert len(said) <= 300
    assert "\n" not in said


def test_a_complaint_that_repeats_a_secret_is_redacted() -> None:
    said = answer(500, f"bad token {TOKEN} from https://me:hunter2@vault").errors
    assert TOKEN not in said
    assert "hunter2" not in said
    assert len(answer(500, "long " * 1000).errors) == 300


@pytest.mark.parametrize(
    ("status", "errors", "kind", "hint"),
    [
        (403, "permission denied", Denied, f"likely the token needs read on {SNAPSHOT}"),
        (503, "Vault is sealed", Sealed, "unseal it, then the agent goes on"),
        (503, "no active Vault instance found", ServerError, "look at their logs"),
        (400, "operation unavailable in namespaces", ServerError, "root namespace only"),
        (400, "raft storage is not in use", ServerError, "integrated (raft) storage"),
        (404, "unsupported path", ServerError, "integrated (raft) storage"),
        (404, "", ServerError, "likely the address points to something before"),
        (429, "rate limit quota exceeded", ServerError, "the agent tries again later"),
        (500, "nothing new to snapshot", ServerError, "the node has just started"),
        (500, "", ServerError, "check the server's log"),
        (308, "", ServerError, "write the address it redirects to"),
    ],
)
def test_a_refusal_says_who_what_why_and_what_to_try(
    status: int, errors: str, kind: type[ServerError], hint: str
) -> None:
    error = refusal(answer(status, errors) if errors else answer(status), "https://a", SNAPSHOT)
    assert type(error) is kind
    assert hint in error.hint
    if kind is Sealed:
        assert error.message == f"https://a is sealed (503: {errors})"
    else:
        assert error.message.startswith(f"https://a answers {SNAPSHOT} with {status}")
        assert error.message.endswith(errors or str(status))


@pytest.mark.parametrize(
    ("path", "errors", "hint"),
    [
        (SNAPSHOT, "permission denied", "likely"),
        (SNAPSHOT, "2 errors occurred: permission denied, invalid token", "has expired"),
        ("sys/leader", "Access denied by policy", "likely a proxy or firewall"),
    ],
)
def test_a_refusal_blames_rights_only_where_they_are_needed(
    path: str, errors: str, hint: str
) -> None:
    error = refusal(answer(403, errors), "https://a", path)
    assert errors in error.message
    assert hint in error.hint


@pytest.mark.parametrize("body", [b"", b"{}", b'{"errors":[""]}', b'{"errors":[null]}', b"<html>"])
@pytest.mark.parametrize("status", [301, 400, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("path", [SNAPSHOT, "sys/leader"])
def test_no_message_has_a_hole(body: bytes, status: int, path: str) -> None:
    error = refusal(Answer.read(status, body), "https://a", path)
    assert error.hint
    assert not HOLES.search(str(error)), str(error)


def test_a_dr_secondary_is_told_as_such() -> None:
    error = refusal(
        answer(400, "path disabled in replication DR secondary mode"), "https://a", SNAPSHOT
    )
    assert error.message.startswith("https://a belongs to a DR secondary, which gives no snapshots")
    assert "path disabled" in error.message
    assert "for the primary cluster" in error.hint


@pytest.mark.parametrize(
    ("location", "hint"),
    [
        ("https://me:hunter2@active:8200/v1/sys/leader?a=b", "to: https://[hidden]@active:8200"),
        ("https://b/vault/v1/sys/leader", "write the address it redirects to: https://b/vault"),
        (
            "https://sso.example.com/login?next=/v1/sys/leader",
            "answers: it redirects to https://sso",
        ),
        ("https://sso.example.com/v1/login#x", "it redirects to https://sso.example.com/v1/login"),
        ("https://sso.example.com/", "likely something before the server answers: it redirects"),
        ("/vault/v1/sys/leader", "likely something before the server answers: it redirects to /v"),
        ("/login?next=x", "likely something before the server answers: it redirects to /login"),
        ("", "write the address it redirects to"),
    ],
)
def test_the_address_of_a_redirect_is_told(location: str, hint: str) -> None:
    error = refusal(Answer.read(307, b"", location), "https://a", "sys/leader")
    assert hint in error.hint
    assert "hunter2" not in error.hint


def test_a_redirect_is_told_with_its_target_but_no_password() -> None:
    error = Redirected("https://a", "https://me:hunter2@b/v1/x")
    assert str(error).startswith("https://a redirects to https://[hidden]@b/v1/x (")
    assert error.location == "https://me:hunter2@b/v1/x"
    assert "redirects to nowhere" in str(Redirected("https://a", ""))
