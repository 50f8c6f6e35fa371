"""Finds the API server and credentials: the pod's service account, or a kubeconfig."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from raft_snapshot_agent.errors import ConfigError, reason_of
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.small_file import LARGEST_BUNDLE, require_small_file

if TYPE_CHECKING:
    from lightkube.config.kubeconfig import SingleConfig

_IN_POD = ("token", "namespace", "ca.crt")


def configuration() -> SingleConfig:
    """Find the pod's service account, else the file in $KUBECONFIG, else ~/.kube/config.

    Raises:
        ConfigError: None of them exists, or it cannot be used.
    """
    try:
        _require_small(_usual_files())
        config = _load_kubeconfig()
        _require_small(_named_files(config))
    except Exception as error:  # noqa: BLE001 - the library trusts the file's shape
        raise ConfigError(
            f"no access to Kubernetes: {_reason(error)}",
            hint="run in a pod with a service account, or set KUBECONFIG",
        ) from None
    for secret in _secrets(config):
        remember(secret)
    return config


def _load_kubeconfig() -> SingleConfig:
    from lightkube import KubeConfig

    config = KubeConfig.from_env().get()
    if config is None:
        raise ValueError("the context names no cluster")
    return config


def _require_small(files: Iterator[Path]) -> None:
    """Limit the size of the files the library reads; the library itself reports missing ones."""
    for file in files:
        if file.exists():
            require_small_file(file, LARGEST_BUNDLE)


def _usual_files() -> Iterator[Path]:
    from lightkube.config.kubeconfig import DEFAULT_KUBECONFIG, SERVICE_ACCOUNT

    yield from (Path(SERVICE_ACCOUNT, name) for name in _IN_POD)
    yield Path(os.environ.get("KUBECONFIG", DEFAULT_KUBECONFIG)).expanduser()


def _named_files(config: SingleConfig) -> Iterator[Path]:
    user = config.user
    named = [config.cluster.certificate_auth]
    if user is not None:
        named += [user.client_cert, user.client_key, user.token_file]
    yield from (Path(config.abs_file(name)) for name in named if name)


def _secrets(config: SingleConfig) -> Iterator[str]:
    user = config.user
    if user is not None:
        yield from filter(None, (user.token, user.password, user.client_key_data))


def _reason(error: Exception) -> str:
    """Return the reason, without the parser's text, which would quote the file."""
    if isinstance(error, OSError):
        return f"{error.filename}: {reason_of(error)}" if error.filename else reason_of(error)
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"the kubeconfig is not YAML: line {mark.line + 1}, column {mark.column + 1}"
    if isinstance(error, UnicodeError):
        return "a file of it is not text in UTF-8"
    return reason_of(error)
