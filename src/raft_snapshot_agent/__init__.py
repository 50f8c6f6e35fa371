"""Periodic, verified snapshots of the Raft storage of HashiCorp Vault and OpenBao."""

from __future__ import annotations

__version__ = "0.1.0"
