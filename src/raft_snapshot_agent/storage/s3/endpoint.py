"""Endpoints of S3 stores: Amazon's by region, and checks of others."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

_OF_BUCKETS = re.compile(r"(?:.*\.)?s3[.-]")
"""Start of the names of Amazon's hosts of buckets; they have others, such as those of instances."""


def amazon_endpoint(region: str) -> str:
    """Return the endpoint of Amazon S3 in a region."""
    return f"https://s3.{region}.amazonaws.com" + (".cn" if region.startswith("cn-") else "")


def is_amazon(host: str | None) -> bool:
    """Return whether a host is Amazon's."""
    return host is not None and host.endswith((".amazonaws.com", ".amazonaws.com.cn"))


def unify_amazon(endpoint: str) -> str:
    """Return one endpoint for all by which the same bucket of Amazon's can be reached.

    They differ by region and kind, but a bucket's name is unique in all regions of a partition.

    Source: "General purpose bucket naming rules" of the S3 guide.
    """
    host = urlsplit(endpoint).hostname or ""
    if not (is_amazon(host) and _OF_BUCKETS.match(host)):
        return endpoint
    if host.endswith(".cn"):
        return amazon_endpoint("cn-north-1")
    return amazon_endpoint("us-gov-west-1" if "us-gov-" in host else "us-east-1")


def refuse_bucket_in(endpoint: str, bucket: str, path_style: bool | None) -> None:
    """Refuse an endpoint that contains the bucket, which would give keys below `bucket/bucket/`.

    A store whose host name really begins so can be used with an explicit `path_style: true`.

    Raises:
        ValueError: It does; the text has the correct endpoint.
    """
    url = urlsplit(endpoint)
    whole = url.netloc.lower()
    host = whole.removeprefix(f"{bucket.lower()}.")
    amazon = is_amazon(url.hostname)
    if host == whole or (path_style and not amazon):
        return
    if amazon and not whole.startswith(f"{bucket.lower()}.s3"):
        return
    otherwise = "" if amazon else "; if that is the store's own name, set path_style: true"
    raise ValueError(
        f"the endpoint {endpoint} holds the bucket, which is added to it anyway:"
        f" write {url.scheme}://{host}{otherwise}"
    )
