"""Reads the original agent's `snapshot.json`.

Source: the original's `config.go`, which Go's `encoding/json` fills: keys in any case, and
missing is the same as empty; and its README, which has other names for two keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

from pydantic import AfterValidator

from raft_snapshot_agent.config.document import Document
from raft_snapshot_agent.config.keys import KeyPath, Mark, Origin
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.config.validation import validate
from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.fields import Count, PositiveDuration, Settings
from raft_snapshot_agent.vault.settings import checked_address

_PLACEHOLDER = re.compile(r"<[a-z0-9 ]+>?")
_DECIDING = {
    "local_storage": "path",
    "aws_storage": "s3_bucket",
    "google_storage": "bucket",
    "azure_storage": "container_name",
}
_PREFIX = "raft_snapshots"


def _own(text: str) -> str:
    if _PLACEHOLDER.fullmatch(text):
        raise ValueError("this is the example's placeholder: write your own value, or leave it out")
    return text


Text = Annotated[str, AfterValidator(_own)]


class SeedLocal(Settings):
    """`local_storage`."""

    path: Text | None = None


class SeedAws(Settings):
    """`aws_storage`."""

    access_key_id: Text | None = None
    secret_access_key: Text | None = None
    s3_endpoint: Text | None = None
    s3_force_path_style: bool = False
    s3_region: Text | None = None
    s3_bucket: Text | None = None
    s3_key_prefix: Text = _PREFIX
    s3_server_side_encryption: bool = False
    s3_static_snapshot_name: Text | None = None


class SeedGoogle(Settings):
    """`google_storage`."""

    bucket: Text | None = None


class SeedAzure(Settings):
    """`azure_storage`."""

    account_name: Text | None = None
    account_key: Text | None = None
    container_name: Text | None = None


class SeedFile(Settings):
    """Every key of `snapshot.json`."""

    addr: Annotated[Text, AfterValidator(checked_address)] | None = None
    retain: Count = 0
    frequency: PositiveDuration | None = None
    role_id: Text | None = None
    secret_id: Text | None = None
    approle: Text = "approle"
    vault_auth_method: Literal["approle", "k8s", "kubernetes"] = "approle"
    vault_auth_role: Text | None = None
    vault_auth_path: Text | None = None
    k8s_auth_role: Text | None = None
    k8s_auth_path: Text | None = None
    local_storage: SeedLocal = SeedLocal()
    aws_storage: SeedAws = SeedAws()
    google_storage: SeedGoogle = SeedGoogle()
    azure_storage: SeedAzure = SeedAzure()


@dataclass(frozen=True, slots=True)
class Translation:
    """The original's configuration with this agent's keys."""

    config: Config
    document: Document
    """The file, with keys in lower case and without empty values."""
    origin: Origin
    """Returns the path in the file of a key of this agent."""
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Draft:
    """The configuration of this agent as plain values, while it is filled."""

    said: Mapping[str, Any]
    value: dict[str, Any] = field(default_factory=dict)
    origins: dict[KeyPath, KeyPath] = field(default_factory=dict)

    def put(self, ours: KeyPath, value: Any, *origin: str) -> None:
        """Set a key of this agent, unless the value is `None`."""
        self.origins[ours] = origin
        if value is None:
            return
        inner: Any = self.value
        for key in ours[:-1]:
            inner = inner.setdefault(key, {}) if isinstance(key, str) else inner[key]
        inner[ours[-1]] = value

    def origin(self, path: KeyPath) -> KeyPath:
        """Return the path in the file of a key of this agent, or of the nearest one around it."""
        around = path
        while around and around not in self.origins:
            around = around[:-1]
        return self.origins.get(around, path)

    def first(self, *keys: str) -> tuple[Any, str]:
        """Return the value of the first of these keys that has one, and that key."""
        key = next((key for key in keys if key in self.said), keys[0])
        return self.said.get(key), key

    def storage(self, section: str, kind: str) -> int:
        """Add a storage; return its number."""
        storages = self.value.setdefault("storages", [])
        storages.append({"type": kind})
        self.origins["storages", len(storages) - 1] = (section,)
        return len(storages) - 1


def translate(document: Document, environ: Mapping[str, str]) -> Translation:
    """Read the original's configuration.

    Raises:
        ConfigError: A key is unknown, or a value invalid.
    """
    value, marks = _fold_keys(document, document.value, ()), _folded_marks(document)
    folded = replace(document, value=value, marks=marks)
    validate(SeedFile, folded.value, folded, allow_empty=True)
    draft = _Draft(folded.value)
    draft.value["naming"] = "seed"
    draft.value["vault"] = {"allow_http": True}  # like the original; a warning says so
    for key, ours in (("addr", "vault.address"), ("retain", "retention.last")):
        draft.put(tuple(ours.split(".")), folded.value.get(key), key)
    draft.put(("schedule", "every"), folded.value.get("frequency"), "frequency")
    _login(draft)
    _local(draft)
    _aws(draft, environ)
    _google(draft)
    _azure(draft)
    config = validate(Config, draft.value, folded, draft.origin, allow_empty=True)
    return Translation(config, folded, draft.origin, (*_ignored(folded), *_unseen(folded)))


def _login(draft: _Draft) -> None:
    auth = ("vault", "auth")
    draft.origins[auth] = (draft.first("role_id", "vault_auth_method")[1],)
    if draft.said.get("vault_auth_method") in ("k8s", "kubernetes"):
        draft.origins[auth] = ("vault_auth_method",)  # a role_id beside it is not used
        draft.put((*auth, "method"), "kubernetes", "vault_auth_method")
        for ours, what in (("role", "role"), ("mount", "path")):
            value, key = draft.first(f"k8s_auth_{what}", f"vault_auth_{what}")
            draft.put((*auth, ours), value, key)
    elif draft.said.keys() & {"role_id", "secret_id", "approle"}:
        draft.put((*auth, "method"), "approle", "role_id")
        for ours, key in (("role_id",) * 2, ("secret_id",) * 2, ("mount", "approle")):
            draft.put((*auth, ours), draft.said.get(key), key)


def _local(draft: _Draft) -> None:
    path = draft.said.get("local_storage", {}).get("path")
    if path is not None:
        number = draft.storage("local_storage", "local")
        draft.put(("storages", number, "path"), path, "local_storage", "path")


def _aws(draft: _Draft, environ: Mapping[str, str]) -> None:
    said = draft.said.get("aws_storage", {})
    if "s3_bucket" not in said:
        return
    number = draft.storage("aws_storage", "s3")
    endpoint, name = _with_scheme(said.get("s3_endpoint")), said.get("s3_static_snapshot_name")
    has_region = bool(environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION"))
    for ours, key, value in (
        ("bucket", "s3_bucket", said["s3_bucket"]),
        ("prefix", "s3_key_prefix", said.get("s3_key_prefix", _PREFIX)),
        ("region", "s3_region", said.get("s3_region", None if has_region else "us-east-1")),
        ("endpoint", "s3_endpoint", endpoint),
        ("allow_http", "s3_endpoint", True if (endpoint or "").startswith("http://") else None),
        ("path_style", "s3_force_path_style", said.get("s3_force_path_style", False)),
        ("server_side_encryption", "s3_server_side_encryption", _aes256(said)),
        ("static_name", "s3_static_snapshot_name", name and f"{name}.snap"),
        *_credentials(said, environ),
    ):
        draft.put(("storages", number, ours), value, "aws_storage", key)


def _aes256(said: Mapping[str, Any]) -> str | None:
    return "AES256" if said.get("s3_server_side_encryption") else None


def _with_scheme(endpoint: str | None) -> str | None:
    return endpoint if endpoint is None or "://" in endpoint else f"https://{endpoint}"


def _credentials(
    said: Mapping[str, Any], environ: Mapping[str, str]
) -> list[tuple[str, str, str | None]]:
    """Take missing credentials from the environment, unless the file has none at all.

    Without any, the storage searches more sources: sessions, roles, instances. It does not know
    SECRET_ACCESS_KEY, however, which the original's README recommends.
    """
    standard, own = "AWS_SECRET_ACCESS_KEY", "SECRET_ACCESS_KEY"
    secret = own if environ.get(own) and not environ.get(standard) else standard
    here = said.keys() & {"access_key_id", "secret_access_key"}
    if not here and (secret == standard or not environ.get("AWS_ACCESS_KEY_ID")):
        return []
    names = {"access_key_id": "AWS_ACCESS_KEY_ID", "secret_access_key": secret}
    if not here:
        names["session_token"] = "AWS_SESSION_TOKEN"  # noqa: S105 - a variable's name
    return [
        (key, key, said.get(key, f"env://{name}" if environ.get(name) else None))
        for key, name in names.items()
    ]


def _google(draft: _Draft) -> None:
    bucket = draft.said.get("google_storage", {}).get("bucket")
    if bucket is not None:
        number = draft.storage("google_storage", "gcs")
        draft.put(("storages", number, "bucket"), bucket, "google_storage", "bucket")


def _azure(draft: _Draft) -> None:
    said = draft.said.get("azure_storage", {})
    if "container_name" not in said:
        return
    number = draft.storage("azure_storage", "azure")
    for ours, key in (
        ("container", "container_name"),
        ("account_name", "account_name"),
        ("account_key", "account_key"),
    ):
        draft.put(("storages", number, ours), said.get(key), "azure_storage", key)


def _ignored(document: Document) -> list[str]:
    return [
        f"{document.place((section,))} has no {key} and is ignored, as the original agent did"
        for section, key in _DECIDING.items()
        if document.value.get(section) and key not in document.value[section]
    ]


def _unseen(document: Document) -> list[str]:
    written = document.value.get("aws_storage", {}).get("s3_key_prefix", "")
    prefix = "/".join(filter(None, written.split("/")))
    what = f"the original's snapshots at {written}/ are not listed: move them to {prefix}/"
    place = document.place(("aws_storage", "s3_key_prefix"))
    return [] if written == prefix else [f"{place}: {what}"]


def _fold_keys(document: Document, value: Any, path: KeyPath) -> Any:
    """Convert keys to lower case, and leave out null and empty text."""
    if not isinstance(value, dict):
        return value
    folded: dict[str, Any] = {}
    for key, child in value.items():
        if child is None or child == "":
            continue
        if key.lower() in folded:
            place = document.place((*path, key))
            raise ConfigError(f"{place}: given twice in different case", hint="keep one of them")
        folded[key.lower()] = _fold_keys(document, child, (*path, key))
    return folded


def _folded_marks(document: Document) -> dict[KeyPath, Mark]:
    return {
        tuple(key.lower() if isinstance(key, str) else key for key in path): mark
        for path, mark in document.marks.items()
    }
