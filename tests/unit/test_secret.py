from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import Settings
from raft_snapshot_agent.redaction import HIDDEN, redact
from raft_snapshot_agent.secret import Secret

ALNUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
URL_SAFE = ALNUM + "-_"
TOKENS = st.one_of(
    st.text(URL_SAFE, min_size=24, max_size=120).map("hvs.".__add__),
    st.text(URL_SAFE, min_size=24, max_size=200).map("hvb.".__add__),
    st.text(URL_SAFE, min_size=24, max_size=120).map("hvr.".__add__),
    st.text(ALNUM, min_size=24, max_size=24).map("s.".__add__),
    st.text(ALNUM, min_size=24, max_size=24).map(lambda body: f"s.{body}.tEn4n"),
    st.text(URL_SAFE, min_size=80, max_size=200).map("b.".__add__),
    st.text(ALNUM, min_size=24, max_size=24).map("r.".__add__),
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=16).map("AKIA".__add__),
    st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", min_size=16, max_size=16).map("ASIA".__add__),
)


class Example(Settings):
    password: Secret
    other: Secret | None = None


def test_a_secret_given_as_it_is_resolves_to_itself() -> None:
    assert Secret("hunter2").resolve() == "hunter2"


def test_a_variable_is_looked_up_at_each_use(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = Secret("env://RAFT_TEST_SECRET")

    monkeypatch.setenv("RAFT_TEST_SECRET", "first")
    assert secret.resolve() == "first"
    monkeypatch.setenv("RAFT_TEST_SECRET", "second\n")
    assert secret.resolve() == "second"


def test_a_file_is_read_at_each_use_without_its_last_newline(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    secret = Secret(f"file://{path}")

    path.write_text("first\n")
    assert secret.resolve() == "first"
    path.write_text("second")
    assert secret.resolve() == "second"


def test_a_byte_order_mark_is_no_part_of_a_secret(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"\xef\xbb\xbfhunter2\r\n")
    assert Secret(f"file://{path}").resolve() == "hunter2"


def test_a_credential_lies_in_systemds_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "role").write_text("hunter2\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))

    assert Secret("credential://role").resolve() == "hunter2"


@pytest.mark.parametrize("folder", [None, ""])
def test_a_credential_needs_systemds_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str | None
) -> None:
    (tmp_path / "role").write_text("hunter2")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    if folder is not None:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", folder)

    with pytest.raises(
        ConfigError, match=r"CREDENTIALS_DIRECTORY is not set \(add LoadCredential="
    ):
        Secret("credential://role").resolve()


@pytest.mark.parametrize("value", [None, "", " \n"])
def test_a_missing_or_empty_variable_is_named(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAFT_TEST_SECRET", raising=False)
    if value is not None:
        monkeypatch.setenv("RAFT_TEST_SECRET", value)

    with pytest.raises(
        ConfigError, match="environment variable RAFT_TEST_SECRET is missing or empty"
    ):
        Secret("env://RAFT_TEST_SECRET").resolve()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file or directory"),
        (b"\n", "is missing or empty"),
        (b"\xff\xfe", "not text"),
    ],
)
def test_a_file_that_holds_no_secret_is_named(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigError, match=reason) as raised:
        Secret(f"file://{path}").resolve()
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("reference", ["env://A", "file:///run/a", "credential://a"])
def test_a_reference_may_be_shown(reference: str) -> None:
    assert Secret(reference).reference == reference
    assert repr(Secret(reference)) == f"Secret('{reference}')"


@pytest.mark.parametrize("text", ["hunter2", "https://hunter2", "env:hunter2"])
def test_a_secret_given_as_it_is_is_never_shown(text: str) -> None:
    secret = Secret(text)

    shown = [secret.reference, str(secret), repr(secret), f"{secret}", repr([secret])]
    assert not any("hunter2" in one for one in shown)


def test_secrets_compare_by_what_was_given() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2


def test_settings_read_secrets_and_write_references() -> None:
    example = Example.model_validate(
        {"password": "hunter2", "other": "file:///run/a"},
    )

    assert example.password.resolve() == "hunter2"
    assert example.model_dump(mode="json") == {"password": HIDDEN, "other": "file:///run/a"}
    assert "hunter2" not in repr(example) + example.model_dump_json()
    assert Example(password=Secret("a")).password == Secret("a")
    assert Example.model_validate_json('{"password": "a"}').password == Secret("a")


def test_the_schema_says_a_secret_is_text() -> None:
    assert Example.model_json_schema()["properties"]["password"]["type"] == "string"


@pytest.mark.parametrize("value", [98_765_432, None, ["98765432"]])
def test_a_secret_that_is_no_text_is_one_error_at_its_place(value: Any) -> None:
    with pytest.raises(ValidationError) as raised:
        Example.model_validate({"password": value})

    (error,) = raised.value.errors()
    assert error["loc"] == ("password",)
    assert "98765432" not in str(raised.value)


@given(
    token=TOKENS,
    before=st.sampled_from(["", "token ", "X-Vault-Token: ", '{"token":"', "TOKEN=", "my_"]),
    after=st.sampled_from(["", " was refused", '"}', ", retrying", "\n"]),
)
def test_nothing_of_a_token_is_left(token: str, before: str, after: str) -> None:
    assert redact(before + token + after) == before + HIDDEN + after


@given(claims=st.binary(min_size=8, max_size=200), signature=st.text(URL_SAFE, max_size=80))
def test_nothing_of_a_jwt_is_left(claims: bytes, signature: str) -> None:
    head = base64.urlsafe_b64encode(b'{"alg":"RS256"}').rstrip(b"=").decode()
    body = base64.urlsafe_b64encode(claims).rstrip(b"=").decode()

    assert redact(f"jwt {head}.{body}.{signature} refused") == f"jwt {HIDDEN} refused"


@given(user=st.text(ALNUM, min_size=1, max_size=10), password=st.text(ALNUM + "@:!$", max_size=20))
def test_nothing_of_a_password_in_a_url_is_left(user: str, password: str) -> None:
    text = redact(f"cannot reach http://{user}:{password}@proxy:3128/path: refused")

    assert text == f"cannot reach http://{HIDDEN}@proxy:3128/path: refused"


@pytest.mark.parametrize(
    "text",
    [
        "stored raft-snapshot-20261123T153000Z-i4711-0a1b2c.snap in s3://vault-backups/prod/",
        "cannot reach https://vault.example.com:8200/v1/sys/health: refused",
        "https://vault-s.example.com and https://s.example.com, mail to ops@example.com",
        "cluster 3f9c6f0e-2a53-7d0f-6a25-dc6e5ad0a1f5, node hvs",
    ],
)
def test_plain_words_are_left_alone(text: str) -> None:
    assert redact(text) == text
