"""Settings of a folder on an SSH server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from raft_snapshot_agent.network.address import is_host
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.storage.settings import StorageAddress, StorageSettings

_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}")


def _fingerprint(text: str) -> str:
    if not _FINGERPRINT.fullmatch(text):
        raise ValueError("must be a fingerprint as ssh-keygen -l shows it: SHA256: and 43 letters")
    return text


def _host(host: str) -> str:
    if not is_host(host):
        raise ValueError("must be a bare name or address; user, port and path have their own keys")
    return host


def _path(path: str) -> str:
    if not path or not path.isprintable():
        raise ValueError("must be a folder on the server")
    return path.rstrip("/") + "/"


class SftpOptions(StorageSettings):
    """Settings of one folder: address, login and host keys."""

    type: Literal["sftp"]
    host: Annotated[str, AfterValidator(_host)]
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    username: str
    password: Secret | None = None
    private_key_file: Path | None = None
    """Private key in OpenSSH's format or PEM."""
    private_key_passphrase: Secret | None = None
    known_hosts_file: Path | None = None
    """Trusted host keys; by default `~/.ssh/known_hosts`."""
    host_key: Annotated[str, AfterValidator(_fingerprint)] | None = None
    """Fingerprint of the server's host key, instead of `known_hosts_file`."""
    path: Annotated[str, AfterValidator(_path)]
    """Existing folder; without a leading slash it is relative to the home directory."""

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if self.password is None and self.private_key_file is None:
            raise ValueError("set password or private_key_file")
        if self.private_key_passphrase is not None and self.private_key_file is None:
            raise ValueError("private_key_passphrase needs private_key_file")
        if self.host_key is not None and self.known_hosts_file is not None:
            raise ValueError("give either host_key or known_hosts_file")
        return self

    def locate(self) -> StorageAddress:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return StorageAddress(f"sftp://{host}:{self.port}", (), self.folder)

    @property
    def folder(self) -> str:
        """The folder of the snapshots, including the prefix, with a slash at the end."""
        return self.path + self.prefix

    @property
    def url(self) -> str:
        """The folder as an operator would write it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == 22 else f":{self.port}"
        return f"sftp://{self.username}@{host}{port}/{self.folder.lstrip('/')}"
