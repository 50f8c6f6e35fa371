"""Tell references to secrets from the secrets themselves, and from mistyped references."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path

SCHEMES = ("env://", "file://", "credential://")
_FORMS = {"env": "env://NAME", "file": "file:///PATH", "credential": "credential://NAME"}
_SPELT = {
    **dict.fromkeys(("env", "envs", "environment"), "env"),
    **dict.fromkeys(("file", "files"), "file"),
    **dict.fromkeys(("credential", "credentials", "cred", "creds"), "credential"),
}
"""Words that are read as a scheme of ours also without `://`."""
_BEGUN = re.compile(rf"({'|'.join(_SPELT)})\s*(:\s*/*|/{{2,}})(.*)", re.IGNORECASE | re.DOTALL)
_LIKE_URL = re.compile(r"([a-z][a-z0-9+.-]*)(://+)(.*)", re.IGNORECASE | re.DOTALL)
_NEAR = 0.8
"""Similarity of two words with a letter too many or too few; no scheme in use is as similar."""
_OF_OTHERS = {"vault", "bao", "openbao", "op", "ssm", "sops", "secret", "secrets"}
"""Schemes of references in other programs."""
_VARIABLE = re.compile(r"\$\{(\w+)\}|\$[A-Z_][A-Z0-9_]*")
_TEMPLATE = re.compile(r"\$\{.+\}|\$\(.+\)|\{\{.+\}\}", re.DOTALL)
_PLACEHOLDER = re.compile(r"<[A-Za-z][\w .-]*>")
_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")


def require_sound(text: str) -> None:
    """Refuse what is surely meant as a reference, but is not one.

    It would be used as the secret itself, which others can guess. The message shows only what
    cannot be a secret.

    Raises:
        ValueError: The message says what was probably meant.
    """
    path = text.removeprefix("file://")
    if path != text and not Path(path).is_absolute():
        raise ValueError("must be an absolute path, such as file:///etc/raft-snapshot-agent/token")
    if not text.startswith(SCHEMES) and (what := _find_mistake(text.strip(" \t\r\n'\""))):
        raise ValueError(f"{what} (a secret that looks like this is given with env:// or file://)")


def _find_mistake(text: str) -> str:
    if _PLACEHOLDER.fullmatch(text):
        return "this is a placeholder: write your own value"
    if found := _VARIABLE.fullmatch(text):
        return f"variables are not expanded: did you mean 'env://{found[1] or 'NAME'}'?"
    if _TEMPLATE.fullmatch(text):
        return "this is a template that nothing filled in: write the value, or env://NAME"
    found = _BEGUN.fullmatch(text) or _LIKE_URL.fullmatch(text)
    if found is None:
        return ""
    if found[1].lower() in _OF_OTHERS:
        return f"there are no references with {found[1]}://: write {', '.join(_FORMS.values())}"
    kind = _find_kind(found[1].lower())
    if kind is None:
        return ""
    return f"a mistyped reference: did you mean {_correct(kind, found[2], found[3])!r}?"


def _find_kind(word: str) -> str | None:
    exchanged = (kind for kind in _FORMS if sorted(kind) == sorted(word))
    near = get_close_matches(word, _FORMS, 1, _NEAR)
    return _SPELT.get(word) or next(exchanged, None) or next(iter(near), None)


def _correct(kind: str, separator: str, rest: str) -> str:
    """Return the reference that was meant, or its form where the rest may be a secret."""
    rest = rest.strip()
    is_path = kind == "file" and "/" in separator
    is_name = kind == "credential" and "//" in separator
    if rest and (is_path or is_name or (kind == "env" and _NAME.fullmatch(rest))):
        return f"{kind}://{'/' if is_path else ''}{rest}"
    return _FORMS[kind]
