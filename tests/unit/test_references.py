from __future__ import annotations

import pytest

from raft_snapshot_agent.references import require_sound


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("file:/etc/token", "did you mean 'file:///etc/token'?"),
        ("File:///etc/token", "did you mean 'file:///etc/token'?"),
        ("FILE:///etc/token", "did you mean 'file:///etc/token'?"),
        (" file:///etc/token", "did you mean 'file:///etc/token'?"),
        ("'file:///etc/token'", "did you mean 'file:///etc/token'?"),
        ("file//etc/token", "did you mean 'file:///etc/token'?"),
        ("files:///etc/token", "did you mean 'file:///etc/token'?"),
        ("flie:///etc/token", "did you mean 'file:///etc/token'?"),
        ("env:TOKEN", "did you mean 'env://TOKEN'?"),
        ("env:/TOKEN", "did you mean 'env://TOKEN'?"),
        ("ENV://TOKEN", "did you mean 'env://TOKEN'?"),
        ("evn://TOKEN", "did you mean 'env://TOKEN'?"),
        ("credentials://token", "did you mean 'credential://token'?"),
        ("credental://token", "did you mean 'credential://token'?"),
        ("${TOKEN}", "did you mean 'env://TOKEN'?"),
        ("$TOKEN", "did you mean 'env://NAME'?"),
        ("${TOKEN:-none}", "template"),
        ("{{ token }}", "template"),
        ("$(cat /etc/token)", "template"),
        ("<token>", "placeholder"),
        ("vault://secret/token", "no references with vault://"),
    ],
)
def test_what_is_surely_a_mistyped_reference(text: str, meant: str) -> None:
    with pytest.raises(ValueError, match="with env:// or file://") as caught:
        require_sound(text)
    assert meant in str(caught.value)


@pytest.mark.parametrize("text", ["file:hunter2", "env:hunter2", "cred:hunter2", "$HUNTER2"])
def test_what_may_be_a_secret_after_all_is_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match="did you mean") as caught:
        require_sound(text)
    assert "hunter2" not in str(caught.value).lower()


@pytest.mark.parametrize(
    "text",
    [
        "file:///etc/token",
        "env://token",
        "credential://token",
        "$ecret",
        "$2y$10$abcdefghijklmnopqrstuv",
        "<a|b>",
        "filename",
        "file-password",
        "environment",
        "env/token",
        "https://hooks.example.org/services/T0/B0",
        "http://user:password@proxy.example.org:3128",
        "ilert://token",
        "line://token",
        "mailto://user:password@example.org",
        "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
        "AccountName=a;AccountKey=b;EndpointSuffix=core.windows.net",
    ],
)
def test_real_secrets_and_references_pass(text: str) -> None:
    require_sound(text)
