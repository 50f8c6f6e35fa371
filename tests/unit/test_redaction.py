"""What was used as a secret is shown nowhere, in whatever form a library repeats it."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from raft_snapshot_agent import redaction
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.address import ProxyAddress
from raft_snapshot_agent.redaction import HIDDEN, one_line, redact, remember
from raft_snapshot_agent.secret import Plain, Secret, header_value
from raft_snapshot_agent.storage.objectstore.aws_profile import AwsCredentials
from raft_snapshot_agent.storage.objectstore.connection import environment
from raft_snapshot_agent.vault.answers import Answer
from raft_snapshot_agent.vault.token import parse_token

NASTY = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), min_size=8, max_size=40
)


def known(secret: str) -> None:
    redaction._KNOWN = redaction._Known()
    remember(secret)


@given(NASTY, st.text(max_size=4), st.text(max_size=4))
@example('pass"word\\2', "", "")
@example("päss wörd!*&|%@", "u:", "")
def test_every_form_is_hidden(secret: str, before: str, after: str) -> None:
    known(secret)
    raw = secret.encode()
    around = f"{before}{secret}{after}".encode()
    forms = [
        secret,
        repr(secret),
        repr(raw),
        json.dumps(secret),
        json.dumps(secret, ensure_ascii=False),
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
    ]
    for form in forms:
        assert form.strip("b'\"") not in redact(f"cannot use {form}: refused").replace(HIDDEN, "\n")
    coded = base64.b64encode(around).decode()
    head, hidden, tail = redact(f"Authorization: Basic {coded}").partition(HIDDEN)
    outside = len(around) - len(secret.encode())
    assert hidden
    assert len(head.partition("Basic ")[2]) + len(tail) <= outside * 4 / 3 + 10  # two bytes a side


def test_each_line_of_a_longer_one_is_hidden() -> None:
    known("first-line\nsecond-line\n\nabc")
    assert redact("cannot parse 'second-line'") == f"cannot parse '{HIDDEN}'"
    assert redact("abc") == "abc"


@pytest.mark.parametrize("short", ["", "a", "vault", "admin"])
def test_parts_of_words_are_no_secrets(short: str) -> None:
    known(short)
    assert redact("cannot reach vault as admin, says a") == "cannot reach vault as admin, says a"


@pytest.mark.parametrize("word", ["snapshot", "Leader", "SNAPSHOT"])
def test_a_secret_that_is_a_word_is_hidden_as_a_word(word: str) -> None:
    known(word)
    texts = (f"raft-{word}-agent", f"next_{word}", f"{word}s", f"un{word}")
    assert [redact(text) for text in texts] == [*texts]
    for text in (f"invalid password {word}", f"'{word}'", f"admin:{word}", f"password={word}&a"):
        assert redact(text) == text.replace(word, HIDDEN)


@pytest.mark.parametrize("secret", ["hunter2", "correct horse", "tr0ub4dor", "abcdefghijklm"])
def test_a_secret_that_is_no_word_is_hidden_anywhere(secret: str) -> None:
    known(secret)
    assert redact(f"next_{secret}s") == f"next_{HIDDEN}s"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sftp://backup@host:22/srv/x", "sftp://backup@host:22/srv/x"),
        ("sftp://backup@[::1]:22/a@b:c", "sftp://backup@[::1]:22/a@b:c"),
        ("sftp://backup:pw@host/x", "sftp://[hidden]@host/x"),
        ("sftp://:p@w@host/x", "sftp://[hidden]@host/x"),
        ("https://token@host/x", "https://[hidden]@host/x"),
        ("https://user:pw@host/x", "https://[hidden]@host/x"),
    ],
)
def test_what_is_before_a_host_is_hidden_but_a_user_of_ssh(url: str, shown: str) -> None:
    assert redact(f"cannot list {url}: refused") == f"cannot list {shown}: refused"


def test_rotation_does_not_fill_the_memory() -> None:
    redaction._KNOWN = redaction._Known()
    for number in range(2 * redaction._MOST):
        remember(f"secret-{number:06}")
    assert len(redaction._KNOWN._secrets) == redaction._MOST
    assert redact(f"secret-{2 * redaction._MOST - 1:06}") == HIDDEN


def test_what_a_server_repeats_is_hidden_before_it_is_cut() -> None:
    known("correct horse\tbattery")
    assert one_line("you sent correct horse\tbattery", 200) == f"you sent {HIDDEN}"


def test_whatever_is_resolved_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("from-a-file\n")
    monkeypatch.setenv("SECRET_HERE", "from-a-variable")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    for text in ("as-it-is", "env://SECRET_HERE", f"file://{tmp_path}/file", "credential://file"):
        assert redact(f"bad {Secret(text).resolve()}") == f"bad {HIDDEN}"
    assert redact(f"bad {Plain('role-name').resolve()}") == "bad role-name"
    ProxyAddress("http://user:pass%2Fword@proxy:3128").resolve()
    assert redact("bad pass/word at proxy:3128") == f"bad {HIDDEN} at proxy:3128"


def test_what_comes_by_other_ways_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "of-the-client")
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    environment("AZURE_CLIENT_SECRET"), environment("AWS_REGION")
    AwsCredentials("AKID", "secret-access-key", "session-token")
    parse_token(Answer(200, {"auth": {"client_token": "custom-token"}}), 0.0)
    text = "of-the-client secret-access-key session-token custom-token eu-central-1"
    assert redact(text) == f"{HIDDEN} {HIDDEN} {HIDDEN} {HIDDEN} eu-central-1"


# What is no secret of one line.


@pytest.mark.parametrize(
    "text", ["hunter2\nhunter3", "hunter2\r\nhunter3", "hunter2\x00", "a\x7fb"]
)
def test_a_secret_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "password").write_bytes(text.encode())
    for secret in (Secret(f"file://{tmp_path}/password"), Secret(text)):
        with pytest.raises(ConfigError) as caught:
            secret.resolve()
        assert "hunter" not in f"{caught.value}{caught.value.__context__!r}"
        assert ("password" in str(caught.value)) == secret.is_reference


def test_a_line_break_at_the_end_is_none() -> None:
    assert Secret("hunter2\n").resolve() == "hunter2"


def test_a_variable_in_another_encoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ODD", b"p\xe4ssword".decode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        Secret("env://ODD").resolve()
    assert str(caught.value) == (
        "the secret in environment variable ODD is not text in UTF-8 (set it to text, or use "
        "file://)"
    )


def test_an_endless_file_is_not_read_to_its_end() -> None:
    with pytest.raises(ConfigError, match="expected a regular file, but it is a device"):
        Secret("file:///dev/zero").resolve()


def test_patterns_of_earlier_secrets_are_not_kept() -> None:
    for number in range(30):
        remember(f"many-secrets-{number}")
        redact("a text")
    kept = [key for key in re._cache if "many" in str(key)]  # type: ignore[attr-defined]
    assert len(kept) <= 1


def test_a_credential_is_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(ConfigError, match="is not a valid credential name"):
        Secret("credential://../secret").resolve()


@pytest.mark.parametrize("value", ["a\nb", "a\r\n b", "a\x00b", "a\udce4b"])
def test_a_header_says_its_name_and_not_its_value(value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        header_value(value, "vault.namespace")
    assert str(caught.value).startswith(
        "vault.namespace holds a character that is not allowed in an HTTP"
    )
    assert value not in str(caught.value)


def test_a_header_goes_out_as_utf_8() -> None:
    assert header_value("ä", "x").encode("latin-1") == "ä".encode()


@pytest.mark.parametrize("word", ["eyJaaaaaaaa-", "sftp://a:", "a:", "://a", "bearer ", "'", "x"])
def test_text_of_any_length_becomes_a_line(word: str) -> None:
    """Not in a time that grows with the square of its length, which would be hours."""
    assert len(one_line(f"sftp://{word * 200_000}", 300)) <= 300


def test_a_user_of_sftp_is_told_and_a_password_hidden() -> None:
    assert redact("sftp://me@host sftp://me:a:b:c@host") == "sftp://me@host sftp://[hidden]@host"
