"""Checks a server's host key, and chooses the type of key that the server shows.

A server shows one key for each connection: of the first type in the client's list that it has.
Source: RFC 4253, section 7.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncssh

from raft_snapshot_agent.errors import StorageError

_ALGORITHMS: Mapping[str, Sequence[str]] = {
    "ssh-ed25519": ("ssh-ed25519",),
    "ecdsa-sha2-nistp256": ("ecdsa-sha2-nistp256",),
    "ecdsa-sha2-nistp384": ("ecdsa-sha2-nistp384",),
    "ecdsa-sha2-nistp521": ("ecdsa-sha2-nistp521",),
    "ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"),
    "ssh-ed448": ("ssh-ed448",),
}
"""Algorithms by type of key, in the order in which `ssh` prefers them."""
_types: dict[str, str] = {}
"""Types of accepted keys by fingerprint, which never change: servers count connections that end
without a login, and refuse clients that make many."""


class HostKeyGuard(asyncssh.SSHClient):
    """Checks the host key of a server that is not in `known_hosts`."""

    def __init__(self, expected: str | None) -> None:
        """Prepare for one login.

        Arguments:
            expected: Fingerprint to accept; by default none.
        """
        self._expected = expected
        self._refused: dict[str, str] = {}
        """Fingerprints by type of key."""
        self._accepted = False

    @property
    def algorithms(self) -> list[str]:
        """The algorithms of all types of keys that the server has not shown yet."""
        left = [kind for kind in _ALGORITHMS if kind not in self._refused]
        expected = _types.get(self._expected or "")
        left.sort(key=lambda kind: kind != expected)
        return [algorithm for kind in left for algorithm in _ALGORITHMS[kind]]

    @property
    def has_only_refused(self) -> bool:
        """Whether the server has shown keys, and none that is accepted."""
        return bool(self._refused) and not self._accepted

    def may_show_another(self, tried: Sequence[str]) -> bool:
        """Return whether the server may have the expected key beside those that it has shown.

        Arguments:
            tried: The algorithms of the last connection; it showed a key of one of them.
        """
        return self._expected is not None and 0 < len(self.algorithms) < len(tried)

    def validate_host_public_key(
        self,
        _host: str,
        _addr: str,
        _port: int,
        key: asyncssh.SSHKey,
    ) -> bool:
        kind, fingerprint = key.get_algorithm(), key.get_fingerprint()
        if fingerprint == self._expected:
            _types[fingerprint] = kind
            self._accepted = True
            return True
        self._refused[kind] = fingerprint
        return False

    def refusal(self, doing: str) -> StorageError:
        """Return an error with the server's first key and how to accept it."""
        kind, offered = next(iter(self._refused.items()), ("", ""))
        shown = f"{kind} {offered}" if offered else "a certificate"
        why = "is not the one in host_key" if self._expected else "is not in the known hosts"
        accept = f"set host_key: {offered}" if offered else "set known_hosts_file"
        return StorageError(
            f"{doing}: the server's host key, {shown}, {why}",
            hint=f"if that is the fingerprint ssh-keygen -lf shows on the server, {accept}",
        )
