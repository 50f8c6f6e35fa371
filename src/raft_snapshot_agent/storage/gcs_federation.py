"""Google credentials that somebody else's token is exchanged for."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raft_snapshot_agent.errors import ConfigError

if TYPE_CHECKING:
    from obstore.auth.google import GoogleCredentialProvider

_SCOPES = ["https://www.googleapis.com/auth/devstorage.read_write"]


def federated(path: Path, document: dict[str, Any]) -> GoogleCredentialProvider:
    """Make a source of tokens from what a file of credentials says.

    Raises:
        ConfigError: Google's library is not installed, or does not understand the file.
    """
    try:
        from google.auth.exceptions import GoogleAuthError
        from obstore.auth.google import GoogleCredentialProvider
    except ImportError:
        kind = document["type"]
        raise ConfigError(
            f"the Google credentials in {path} are of the kind {kind}, which needs google-auth",
            hint="pip install 'raft-snapshot-agent[gcs-federation]'",
        ) from None
    try:
        return GoogleCredentialProvider(_credentials(document))
    except (GoogleAuthError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"cannot use the Google credentials in {path}: {error}", hint="create them anew"
        ) from error


def _credentials(document: dict[str, Any]) -> Any:
    """Choose as Google's library does, whose own chooser asks for the project, too.

    Source: `google.auth.default`.
    """
    match document["type"]:
        case "impersonated_service_account":
            kind = _module("impersonated_credentials").Credentials
            return kind.from_impersonated_service_account_info(document, scopes=_SCOPES)
        case "external_account_authorized_user":
            kind = _module("external_account_authorized_user").Credentials
            return kind.from_info(document)
        case "external_account":
            kind = _module(_external(document["credential_source"])).Credentials
            return kind.from_info(document, scopes=_SCOPES)
        case unknown:
            raise ValueError(f"{unknown} is no kind of credentials")


def _external(source: dict[str, Any]) -> str:
    if str(source.get("environment_id", "")).startswith("aws"):
        return "aws"
    return "pluggable" if "executable" in source else "identity_pool"


def _module(name: str) -> Any:
    return importlib.import_module(f"google.auth.{name}")
