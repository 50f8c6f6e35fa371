from __future__ import annotations

import pytest

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.network.metadata import find_ec2_metadata, find_google_metadata


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "http://169.254.169.254"),
        ({"AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "IPv6"}, "http://[fd00:ec2::254]"),
        ({"AWS_METADATA_ENDPOINT": "http://127.0.0.1:2/"}, "http://127.0.0.1:2"),
        (
            {
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1/",
                "AWS_METADATA_ENDPOINT": "http://127.0.0.1:2",
                "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE": "ipv6",
            },
            "http://127.0.0.1:1",
        ),
    ],
)
def test_the_address_of_ec2s_service_is_that_of_the_sdks(
    variables: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert find_ec2_metadata() == address


def test_no_keys_of_an_instance_come_from_elsewhere_in_clear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://metadata.example.org")
    with pytest.raises(ConfigError, match="AWS_EC2_METADATA_SERVICE_ENDPOINT is http://metadata"):
        find_ec2_metadata()


@pytest.mark.parametrize(
    ("variables", "address"),
    [
        ({}, "http://metadata.google.internal"),
        ({"GCE_METADATA_ROOT": "127.0.0.1:2"}, "http://127.0.0.1:2"),
        (
            {"GCE_METADATA_HOST": "127.0.0.1:1\n", "GCE_METADATA_ROOT": "127.0.0.1:2"},
            "http://127.0.0.1:1",
        ),
    ],
)
def test_the_address_of_googles_service_is_that_of_the_sdks(
    variables: dict[str, str], address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert find_google_metadata() == address
