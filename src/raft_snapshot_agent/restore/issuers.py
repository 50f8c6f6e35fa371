"""Check that an issuer of certificates in a restored copy leads to a known root."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from raft_snapshot_agent.config.drill import IssuerSettings
from raft_snapshot_agent.errors import DrillFailed, ServerError
from raft_snapshot_agent.restore.living_copy import Server, require_data

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


def prove_issuer(server: Server, issuer: IssuerSettings, now: datetime) -> None:
    """Follow the chain of a mount's default issuer to the root.

    Raises:
        DrillFailed: It does not lead there, or one of its certificates has expired.
        ConfigError: The root cannot be read, or the extra is missing.
    """
    roots = issuer.read_roots()
    path = f"{issuer.mount}/issuer/default"
    at = f"the issuer of {issuer.mount}"
    try:
        told = require_data(server.ask("GET", path), path).get("ca_chain")
        chain = _certificates("".join(map(str, told)) if isinstance(told, list) else "")
    except (ServerError, ValueError) as error:
        raise DrillFailed(f"{at} cannot be read: {error}", noted="an issuer is missing") from error
    if not _leads(chain, roots):
        raise DrillFailed(
            f"{at} does not lead to {issuer.root}", noted="an issuer does not lead to its root"
        )
    if any(not one.not_valid_before_utc <= now <= one.not_valid_after_utc for one in chain):
        raise DrillFailed(f"{at} is not valid any more", noted="an issuer is not valid any more")


def _certificates(pem: str) -> list[Certificate]:
    from cryptography.x509 import load_pem_x509_certificates

    return load_pem_x509_certificates(pem.encode())


def _leads(chain: list[Certificate], roots: list[Certificate]) -> bool:
    """Follow the chain from the issuer until a root is reached."""
    if not chain:
        return False
    walked, rest = chain[0], chain[1:]
    while walked not in roots:
        if any(_has_issued(walked, root) for root in roots):
            return True
        above = next((one for one in rest if _has_issued(walked, one)), None)
        if above is None:
            return False
        rest.remove(above)
        walked = above
    return True


def _has_issued(certificate: Certificate, issuer: Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
