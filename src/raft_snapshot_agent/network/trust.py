"""Loads the trusted certificates and the client certificate of TLS connections."""

from __future__ import annotations

import errno
import os
import ssl
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from pathlib import Path

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.small_file import LARGEST_BUNDLE, read_text, require_small_file

Versions = tuple[tuple[Path, int, int, int], ...]
"""Path, time of change, size and inode of files."""
_MOST_FILES = 5000
"""Maximum files of a folder of certificates; systems have some hundreds."""

_NO_CERTIFICATE = {"NO_CERTIFICATE_OR_CRL_FOUND", "NO_START_LINE"}
"""OpenSSL's reasons for a file without any."""


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """TLS options of a connection."""

    ca_file: Path | None = None
    """PEM file of root, intermediate or server certificates to trust."""
    skip_verify: bool = False
    """Trust anybody."""
    ca_path: Path | None = None
    """Folder of such files."""
    system: bool = True
    """Whether the system's certificates are also trusted."""
    client_cert: Path | None = None
    client_key: Path | None = None

    def of_proxy(self) -> TlsOptions:
        """Return the options for a TLS proxy: these certificates and the system's."""
        return replace(self, system=True, client_cert=None, client_key=None)


def context(trust: TlsOptions) -> ssl.SSLContext:
    """Return the SSL context for these options; equal options share one.

    Raises:
        ConfigError: A file cannot be read or is invalid.
    """
    versions = file_versions(trust)
    try:
        return _load_context(trust, versions)
    except (OSError, ssl.SSLError) as error:
        raise _unusable(trust, error) from error


def file_versions(trust: TlsOptions) -> Versions:
    """Return the version of every file that these options load, as certificates are renewed.

    Raises:
        ConfigError: A file cannot be read.
    """
    try:
        files = (
            _systems_file(),
            trust.ca_file,
            trust.client_cert,
            trust.client_key,
            *list_files(trust.ca_path),
        )
        states = ((file, file.stat()) for file in files if file is not None)
        return tuple((file, one.st_mtime_ns, one.st_size, one.st_ino) for file, one in states)
    except OSError as error:
        raise _unusable(trust, error) from error


def _unusable(trust: TlsOptions, error: OSError) -> ConfigError:
    given = (trust.ca_file, trust.ca_path, trust.client_cert, trust.client_key)
    named = error.filename or ", ".join(str(file) for file in given if file)
    why = str(error.strerror or error).partition(" (_ssl")[0]
    hint = "give readable PEM files that belong together"
    if isinstance(error, UnusableFile):
        hint = error.hint
    return ConfigError(f"cannot use {named}: {why}", hint=hint)


class UnusableFile(OSError):
    """A file that can be read, but not used as a certificate or key."""

    def __init__(self, file: Path, why: str, hint: str) -> None:
        super().__init__(errno.EINVAL, why, str(file))
        self.hint = hint


def load_authorities(into: ssl.SSLContext, file: Path) -> None:
    """Trust the certificates in a file.

    Raises:
        OSError: It cannot be read.
        UnusableFile: It is invalid, or contains no certificate.
    """
    require_small_file(file, LARGEST_BUNDLE)
    try:
        into.load_verify_locations(file)
    except ssl.SSLError as error:
        why = error.reason or str(error)
        if why in _NO_CERTIFICATE:
            why = "it holds no certificate"
        raise UnusableFile(file, why, "it must be in PEM") from error


def load_pair(into: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Load a client certificate; its key may be in a separate file.

    Raises:
        OSError: One cannot be read.
        UnusableFile: One is not what it should be, or they do not belong together.
    """
    for file in (certificate, key):
        if file is not None:
            require_small_file(file)
    # Without a password, an encrypted key would make OpenSSL ask for one on the terminal.
    try:
        into.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:
        raise _explain_pair(certificate, key or certificate, error.reason or str(error)) from error


def _explain_pair(certificate: Path, key: Path, reason: str) -> UnusableFile:
    """Return which of the two files cannot be used, which OpenSSL does not tell."""
    if reason == "KEY_VALUES_MISMATCH":
        return UnusableFile(
            key, f"it is not the key of {certificate}", "give the key that was made for it"
        )
    if "-----BEGIN " not in (text := read_text(certificate)) or "CERTIFICATE-----" not in text:
        return UnusableFile(certificate, "it holds no certificate", "it must be in PEM")
    if "ENCRYPTED" in (text := read_text(key)):
        return UnusableFile(
            key, "it is encrypted, and nobody is asked for its password", "give it decrypted"
        )
    if "PRIVATE KEY-----" not in text:
        return UnusableFile(key, "it holds no private key", "it must be in PEM")
    return UnusableFile(key, f"it and {certificate}: {reason}", "both must be in PEM")


def accept_partial_chains(made: ssl.SSLContext) -> ssl.SSLContext:
    """Accept any trusted certificate as the end of a chain, as Go does.

    By default OpenSSL requires a chain up to a root. The stricter rules of Python 3.13, such as key
    identifiers in every certificate, are switched off.
    """
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    made.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return made


@lru_cache(maxsize=32)
def _load_context(trust: TlsOptions, _: Versions) -> ssl.SSLContext:
    """Load the certificates; the versions are only a cache key."""
    system = trust.system or not (trust.ca_file or trust.ca_path)
    if system and (usual := _systems_file()) is not None:
        require_small_file(usual, LARGEST_BUNDLE)
    made = accept_partial_chains(
        ssl.create_default_context() if system else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )
    # OpenSSL finds only files named by hashes; the official clients read all files.
    for file in (trust.ca_file, *list_files(trust.ca_path)):
        if file is not None:
            load_authorities(made, file)
    if trust.client_cert is not None:
        load_pair(made, trust.client_cert, trust.client_key)
    if trust.skip_verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def _systems_file() -> Path | None:
    """Return OpenSSL's default file of certificates, if it exists."""
    paths = ssl.get_default_verify_paths()
    usual = Path(os.environ.get(paths.openssl_cafile_env) or paths.openssl_cafile)
    return usual if usual.exists() else None


def list_files(folder: Path | None) -> list[Path]:
    """List the files of a folder and its subfolders, which the official clients read, too.

    Raises:
        OSError: It cannot be listed, or has too many files to be a folder of certificates.
    """
    if folder is None:
        return []
    walk = os.walk(folder, onerror=_raise)
    found = (Path(where, name) for where, _, names in walk for name in names)
    files = [*islice((file for file in found if file.is_file()), _MOST_FILES + 1)]
    if len(files) > _MOST_FILES:
        why = f"more than {_MOST_FILES} files, hardly all of them certificates"
        raise OSError(errno.E2BIG, why, str(folder))
    return sorted(files)


def _raise(error: OSError) -> None:
    raise error
