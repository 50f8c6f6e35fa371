"""Addresses of the metadata services of clouds, which the SDKs' variables may change."""

from __future__ import annotations

import os

from raft_snapshot_agent.network.clear_text import issuer

_EC2 = "http://169.254.169.254"
_EC2_IPV6 = "http://[fd00:ec2::254]"
_EC2_VARIABLES = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_METADATA_ENDPOINT")
"""The SDKs' variable with the address of the service, and the one of other tools."""
_GOOGLE_VARIABLES = ("GCE_METADATA_HOST", "GCE_METADATA_ROOT")


def find_ec2_metadata() -> str:
    """Return the address of EC2's service, without a slash at the end.

    Raises:
        ConfigError: Others could read the keys on the way from there.
    """
    mode = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").strip().lower()
    variable = next((name for name in _EC2_VARIABLES if os.environ.get(name)), _EC2_VARIABLES[0])
    return issuer(variable, _EC2_IPV6 if mode == "ipv6" else _EC2).rstrip("/")


def find_google_metadata() -> str:
    """Return the address of Google's service, without a slash at the end."""
    named = (os.environ.get(name, "").strip() for name in _GOOGLE_VARIABLES)
    return f"http://{next(filter(None, named), 'metadata.google.internal')}"
