"""An emulation of Amazon S3 with what other stores lack: versions, locks, KMS, storage classes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import boto3
from moto.server import ThreadedMotoServer


@dataclass
class MotoStore:
    """A running emulation; it believes every signature."""

    endpoint: str
    region: str = "us-east-1"
    access_key_id: str = "AKIAMOTOMOTOMOTOMOTO"
    secret_access_key: str = "moto-secret-moto-secret-moto-secret-moto"

    @classmethod
    @contextmanager
    def start(cls) -> Iterator[Self]:
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        try:
            host, port = server.get_host_and_port()
            yield cls(f"http://{host}:{port}")
        finally:
            server.stop()

    @cached_property
    def client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name=self.region,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
        )

    def create_bucket(self, name: str) -> None:
        self.client.create_bucket(Bucket=name)
