"""Which key or value of this agent a wrong one probably means.

Words that other programs use come first, from tables: the most similar word may be another
thing (`ca_cert` is like `client_cert`), or the opposite (`verify` is like `skip_verify`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches
from itertools import takewhile

_KEYS = {
    "access_key_id": "access_key aws_access_key_id key_id",
    "account_name": "account storage_account",
    "address": "addr url uri server host endpoint",
    "bucket": "bucket_name s3_bucket",
    "ca_file": "ca ca_cert ca_cert_file ca_bundle ca_pem certificate_authority root_ca",
    "ca_path": "ca_dir ca_folder",
    "cert": "cert_file certificate certificate_file",
    "client_cert": "cert cert_file certificate client_certificate client_cert_file",
    "client_key": "key key_file private_key client_key_file",
    "container": "container_name bucket",
    "cron": "expression crontab",
    "daily": "days keep_daily",
    "endpoint": "url uri addr address host",
    "every": "interval frequency period",
    "host": "server address addr hostname",
    "hourly": "hours keep_hourly",
    "key": "key_file private_key",
    "kms_key_id": "kms_key sse_kms_key_id",
    "kms_key_name": "kms_key",
    "last": "count copies keep keep_last number retain",
    "listen": "address addr bind bind_address host listen_address port",
    "monthly": "months keep_monthly",
    "mount": "auth_path mount_path mount_point path",
    "nodes": "addresses addrs hosts servers urls",
    "notify": "alerts notifications notifiers",
    "password": "pass passwd",
    "path": "dir directory folder location",
    "path_style": "force_path_style s3_force_path_style use_path_style",
    "prefix": "key_prefix path_prefix dir directory folder path",
    "private_key_file": "identity_file key_file private_key ssh_key",
    "secret_access_key": "aws_secret_access_key secret secret_key",
    "secret_id": "secret",
    "server_name": "sni tls_server_name",
    "server_side_encryption": "encryption sse use_server_side_encryption",
    "service_account_file": "credentials credentials_file key_file service_account_key",
    "skip_verify": "insecure insecure_skip_verify no_verify skip_ssl_verify skip_tls_verify",
    "spool": "temp_dir tmp_dir",
    "storages": "backends destinations storage targets",
    "timezone": "location time_zone tz zone",
    "url": "addr address endpoint host uri",
    "username": "login user",
    "weekly": "weeks keep_weekly",
    "within": "age keep_within max_age",
    "yearly": "years keep_yearly",
}
"""Other programs' names for each key; the same name may mean several, in different places."""
_OPPOSITES = {
    "allow_http": "https ssl tls use_https use_ssl use_tls",
    "path_style": "virtual_host virtual_hosted virtual_host_style",
    "skip_verify": "ssl_verify tls_verify verify verify_ssl verify_tls",
}
"""Names of the opposite of each key."""
_VALUES = {
    "apprise": "discord email mail opsgenie pagerduty slack smtp teams telegram",
    "aws": "amazon ec2 iam",
    "azure": "azblob azure_blob azurerm blob",
    "cert": "tls",
    "gcp": "gce google",
    "gcs": "gcp google google_gcs gs",
    "jwt": "oidc",
    "kubernetes": "k8s",
    "local": "dir disk file filesystem folder fs nfs",
    "s3": "amazon aws aws_s3 b2 ceph minio r2 wasabi",
    "sftp": "scp ssh",
    "swift": "openstack",
    "userpass": "password",
    "webdav": "dav nextcloud owncloud",
}
"""Other programs' names for each value."""
MISTYPED = 0.8
"""Similarity of a word with a letter too many or too few."""


def synonyms(word: str) -> list[str]:
    """List the keys that other programs call so, wherever they are."""
    return _KEY_OF.get(_fold(word), [])


def opposite(word: str, known: Collection[str]) -> str:
    """Return the known key that means the opposite; empty if there is none."""
    return _first(_OPPOSITE_OF.get(_fold(word), []), known)


def suggest_key(word: str, known: Collection[str], least: float = 0) -> str:
    """Return the known key that is probably meant; empty if none is.

    Arguments:
        word: What was written.
        known: The keys that can be written there.
        least: Least similarity of a key of which this is no other name.
    """
    names = _KEY_OF.get(_fold(word), [])
    return _first(names, known) or nearest(word, known, MISTYPED if names else least)


def suggest_value(word: str, known: Collection[str]) -> str:
    """Return the known value that is probably meant; empty if none is."""
    return _first(_VALUE_OF.get(_fold(word), []), known) or nearest(word, known)


def nearest(word: str, known: Iterable[str], least: float = 0) -> str:
    """Return the known word that is most similar, at least by this ratio; empty if none is."""
    cutoff = max(least, 0.6 if len(word) > 2 else 0.5)
    found = get_close_matches(word, list(known), 5, cutoff)
    return next((one for one in found if _differ_in_letters(word, one)), "")


def _differ_in_letters(word: str, known: str) -> bool:
    """Return whether the parts in which two names differ are similar: not `swift_` and `aws_`."""
    own, other = _without_common_start(word.split("_"), known.split("_"))
    own, other = _without_common_start(own[::-1], other[::-1])
    return not (own and other) or bool(get_close_matches("_".join(own), ["_".join(other)], 1, 0.5))


def _without_common_start(one: list[str], other: list[str]) -> tuple[list[str], list[str]]:
    same = len(list(takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))
    return one[same:], other[same:]


def _first(wanted: Iterable[str], known: Collection[str]) -> str:
    return next((one for one in wanted if one in known), "")


def _fold(word: str) -> str:
    return word.lower().replace("_", "").replace("-", "")


def _invert(table: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for ours, theirs in table.items():
        for word in theirs.split():
            found.setdefault(_fold(word), []).append(ours)
    return found


_KEY_OF, _OPPOSITE_OF, _VALUE_OF = map(_invert, (_KEYS, _OPPOSITES, _VALUES))
