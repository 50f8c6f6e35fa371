"""Hosts of their own on one network, made of network namespaces, that a test can cut off."""

from __future__ import annotations

import secrets
import subprocess
from contextlib import ExitStack
from typing import Self

from raft_snapshot_agent.errors import AgentError
from raft_snapshot_agent.servers.node_options import NodeHost
from raft_snapshot_agent.servers.process import program


class NoNamespacesError(Exception):
    """This machine lets the test make none."""


class Hosts:
    """A bridge with hosts on it; the test itself is on the network, at `gateway`."""

    def __init__(self, count: int) -> None:
        self._mark = f"rsa{secrets.token_hex(3)}"
        self._network = f"10.213.{1 + secrets.randbelow(250)}"
        self._numbers = range(count)
        self._made = ExitStack()
        self.gateway = f"{self._network}.1"
        self.hosts = [
            NodeHost(f"{self._network}.{11 + number}", self._enter(number))
            for number in self._numbers
        ]

    def cut(self, number: int) -> None:
        """Pull a host's cable."""
        _ip("link", "set", self._name(number), "down")

    def mend(self, number: int) -> None:
        """Plug it in again."""
        _ip("link", "set", self._name(number), "up")

    def __enter__(self) -> Self:
        """Make them.

        Raises:
            NoNamespacesError: This machine does not let us.
        """
        try:
            self._build()
        except (subprocess.CalledProcessError, OSError, AgentError) as error:
            self._made.close()
            said = getattr(error, "stderr", None) or error
            raise NoNamespacesError(f"no network namespaces here: {said}") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._made.close()

    def _build(self) -> None:
        _ip("link", "add", self._mark, "type", "bridge")
        self._made.callback(_ip, "link", "del", self._mark)
        _ip("addr", "add", f"{self.gateway}/24", "dev", self._mark)
        _ip("link", "set", self._mark, "up")
        for number, host in zip(self._numbers, self.hosts, strict=True):
            name = self._name(number)
            _ip("netns", "add", name)
            self._made.callback(_ip, "netns", "del", name)
            _ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", name)
            self._made.callback(_ip, "link", "del", name)
            _ip("link", "set", name, "master", self._mark, "up")
            _ip("-n", name, "addr", "add", f"{host.address}/24", "dev", "eth0")
            for device in ("lo", "eth0"):
                _ip("-n", name, "link", "set", device, "up")

    def _name(self, number: int) -> str:
        return f"{self._mark}-{number}"

    def _enter(self, number: int) -> tuple[str, ...]:
        return ("nsenter", f"--net=/run/netns/{self._name(number)}", "--")


def _ip(*words: str) -> None:
    subprocess.run([program("ip"), *words], check=True, capture_output=True, text=True)
