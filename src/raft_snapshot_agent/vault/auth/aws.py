"""Log in as an AWS principal or as an EC2 instance.

Source: https://developer.hashicorp.com/vault/api-docs/auth/aws#login; for the instance,
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-identity-documents.html
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from pathlib import Path
from typing import Any, ClassVar, Literal

from raft_snapshot_agent.errors import ConfigError, reason_of
from raft_snapshot_agent.fields import Settings, require_extra
from raft_snapshot_agent.network.library import decide_for_botocore
from raft_snapshot_agent.network.metadata import find_ec2_metadata
from raft_snapshot_agent.redaction import remember
from raft_snapshot_agent.secret import Plain, Secret
from raft_snapshot_agent.small_file import LARGEST_BUNDLE, read_text
from raft_snapshot_agent.vault.auth.base import Login, Mount, login_path
from raft_snapshot_agent.vault.auth.cloud_identity import CloudIdentity

_QUESTION = "Action=GetCallerIdentity&Version=2011-06-15"
_FORM = "application/x-www-form-urlencoded; charset=utf-8"
_SERVER_ID = "X-Vault-AWS-IAM-Server-ID"
_FILES = {
    "AWS_CONFIG_FILE": "~/.aws/config",
    "AWS_SHARED_CREDENTIALS_FILE": "~/.aws/credentials",
    "AWS_WEB_IDENTITY_TOKEN_FILE": None,
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": None,
    "AWS_CA_BUNDLE": None,
}
"""Files that botocore reads itself, by the variables that name them."""
_INSTANCE = CloudIdentity(
    "the EC2 metadata service",
    "type ec2 is for EC2 instances with IMDSv2; in a container its hop limit must be 2",
)

_nonces: dict[str, str] = {}
"""The nonces that were drawn, by mount, which knows one for each instance, whatever its role.

They belong to the process: the server refuses another one, and a reload reads the settings anew.
"""


class AwsAuth(Settings):
    """Login with a signed STS request, or with the identity of an EC2 instance."""

    advice: ClassVar = (
        "check role, mount, region and server_id_header; for type ec2 also the nonce of the"
        " first login"
    )
    counted: ClassVar = False

    method: Literal["aws"]
    mount: Mount = "aws"
    role: Plain
    type: Literal["iam", "ec2"] = "iam"
    region: Plain | None = None
    """Region of the STS endpoint; by default the global endpoint."""
    server_id_header: Plain | None = None
    """Value of the signed header `X-Vault-AWS-IAM-Server-ID`, if the mount requires it."""
    nonce: Secret | None = None
    """For `ec2`: nonce, the same at each login of this instance, also after a restart."""
    signature: Literal["pkcs7", "rsa2048", "identity"] = "pkcs7"
    """For `ec2`: signature type of the instance's identity document."""

    def check(self) -> None:
        if self.type == "iam":
            require_extra("aws-auth", "method aws with type iam", "botocore")

    def login(self) -> Login:
        self.check()
        proof = self._signed_question() if self.type == "iam" else self._instance()
        return Login(login_path(self.mount), {"role": self.role.resolve(), **proof})

    def _signed_question(self) -> dict[str, str]:
        region = None if self.region is None else self.region.resolve()
        url = _sts(region)
        headers = {"Content-Type": _FORM, "Host": url.split("/")[2]}
        if self.server_id_header is not None:
            headers[_SERVER_ID] = self.server_id_header.resolve()
        signed = _sign(url, headers, region or "us-east-1")
        return {
            "iam_http_request_method": "POST",
            "iam_request_url": _b64(url),
            "iam_request_body": _b64(_QUESTION),
            "iam_request_headers": _b64(json.dumps({key: [signed[key]] for key in signed})),
        }

    def _instance(self) -> dict[str, str]:
        nonce = _find_nonce(self.mount) if self.nonce is None else self.nonce.resolve()
        if self.signature != "identity":
            return {"pkcs7": "".join(_identity(self.signature).split()), "nonce": nonce}
        signature = "".join(_identity("signature").split())
        return {"identity": _b64(_identity("document")), "signature": signature, "nonce": nonce}


def _find_nonce(mount: str) -> str:
    """Return the nonce that this process has drawn for a mount."""
    return _nonces.setdefault(mount.strip("/"), secrets.token_hex(16))


def _sts(region: str | None) -> str:
    if region is None:
        return "https://sts.amazonaws.com/"
    china = ".cn" if region.startswith("cn-") else ""
    return f"https://sts.{region}.amazonaws.com{china}/"


def _sign(url: str, headers: dict[str, str], region: str) -> dict[str, str]:
    """Sign with the credentials that the SDK finds."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.exceptions import BotoCoreError
    from botocore.session import get_session

    decide_for_botocore()
    _look_at_files()
    try:
        found: Any = get_session().get_credentials()
        frozen = None if found is None else found.get_frozen_credentials()
    except BotoCoreError as error:
        raise ConfigError(
            f"vault.auth: the AWS credentials cannot be used: {error}",
            hint="check AWS_PROFILE and the files it names",
        ) from error
    if frozen is None:
        raise ConfigError(
            "vault.auth: there are no AWS credentials to sign the login with",
            hint="give this host a role, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        )
    request = AWSRequest(method="POST", url=url, data=_QUESTION, headers=headers)
    SigV4Auth(frozen, "sts", region).add_auth(request)
    return dict(request.headers.items())


def _look_at_files() -> None:
    """Check the files that the library will read, and register their tokens as secrets.

    Raises:
        ConfigError: One cannot be read or is invalid.
    """
    for variable, usual in _FILES.items():
        named = os.environ.get(variable) or usual
        if named is None or not os.access(path := Path(named).expanduser(), os.F_OK):
            continue
        try:
            text = read_text(path, LARGEST_BUNDLE)
        except OSError as error:
            raise ConfigError(
                f"vault.auth: cannot read {path}, which AWS credentials are taken from: "
                f"{reason_of(error)}",
                hint=f"correct it, or name another in {variable}",
            ) from error
        if variable.endswith("_TOKEN_FILE"):
            remember(text.strip())


def _identity(what: str) -> str:
    root = f"{find_ec2_metadata()}/latest"
    lasting = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    token = _INSTANCE.ask("PUT", f"{root}/api/token", lasting)
    shown = {"X-aws-ec2-metadata-token": token}
    return _INSTANCE.ask("GET", f"{root}/dynamic/instance-identity/{what}", shown)


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
