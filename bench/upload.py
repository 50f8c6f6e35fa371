"""The two uploads we are compared with: `python -m bench.upload boto3|obstore FILE KEY`."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def _boto3(file: str, key: str) -> None:
    import boto3

    client = boto3.client("s3", endpoint_url=os.environ["S3_ENDPOINT"])
    client.upload_file(file, os.environ["S3_BUCKET"], key)


def _obstore(file: str, key: str) -> None:
    import obstore
    from obstore.store import S3Store

    store = S3Store(
        os.environ["S3_BUCKET"],
        endpoint=os.environ["S3_ENDPOINT"],
        client_options={"allow_http": True, "timeout": "300s"},
    )
    obstore.put(store, key, Path(file), chunk_size=8 << 20, max_concurrency=4)


if __name__ == "__main__":
    {"boto3": _boto3, "obstore": _obstore}[sys.argv[1]](sys.argv[2], sys.argv[3])
