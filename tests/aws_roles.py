"""Where temporary keys of an AWS role come from: STS, a container's agent, an instance's IMDS."""

from __future__ import annotations

import json
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl

import trustme
from tests.http_proxy import Behaviour, Exchange, HttpProxy, Request, status

ROLE_ARN = "arn:aws:iam::123456789012:role/backup"
IDENTITY = "eyJhbGciOi.a-web-identity.token"
POD_TOKEN = "a-pod-identity-token"
POD_PATH = "/v1/credentials"
TASK_PATH = "/v2/credentials/7a5c0e2d"
_IMDS_TOKEN = "AQAEALyZ-an-imds-token"
_PROFILE = "/latest/meta-data/iam/security-credentials/"
_STS = (
    '<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
    "<AssumeRoleWithWebIdentityResult>"
    "<SubjectFromWebIdentityToken>system:serviceaccount:vault:agent</SubjectFromWebIdentityToken>"
    "<Audience>sts.amazonaws.com</Audience>"
    "<AssumedRoleUser><Arn>arn:aws:sts::123456789012:assumed-role/backup/agent</Arn>"
    "<AssumedRoleId>AROACLKWSDQRAOEXAMPLE:agent</AssumedRoleId></AssumedRoleUser>"
    "<Credentials><SessionToken>{Token}</SessionToken>"
    "<SecretAccessKey>{SecretAccessKey}</SecretAccessKey>"
    "<Expiration>{Expiration}</Expiration><AccessKeyId>{AccessKeyId}</AccessKeyId></Credentials>"
    "<Provider>oidc.eks.example.com</Provider>"
    "</AssumeRoleWithWebIdentityResult>"
    "<ResponseMetadata><RequestId>ad4156e9-bce1-11e2-82e6-6b6efEXAMPLE</RequestId>"
    "</ResponseMetadata></AssumeRoleWithWebIdentityResponse>"
)


class Roles:
    """Hands out keys that are new each time, to whoever asks as AWS' documentation says.

    Sources: `AssumeRoleWithWebIdentity` of the STS API; "Container credential provider" of the
    SDKs' guide; "Retrieve security credentials from instance metadata" of the EC2 guide.
    """

    def __init__(self, lifetime: timedelta = timedelta(hours=1)) -> None:
        self.lifetime = lifetime
        self.handed_out = 0
        self.forms: list[dict[str, str]] = []
        self.answer: Behaviour | None = None
        """What everybody gets in place of keys."""
        self._proxy = HttpProxy("http://127.0.0.1:1", self._choose)
        self.address = self._proxy.address

    @property
    def requests(self) -> list[Request]:
        return self._proxy.requests

    def over_tls(self, ca_file: Path) -> str:
        """Speak TLS from now on, with a certificate of the CA in that file; tell the address."""
        authority = trustme.CA()
        authority.cert_pem.write_to_path(ca_file)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        self._proxy.socket = context.wrap_socket(self._proxy.socket, server_side=True)
        return self.address.replace("http:", "https:")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End it, once or again."""
        if not self._proxy.stopped.is_set():
            self._proxy.stop()

    def _choose(self, request: Request) -> Behaviour:
        if self.answer is not None:
            return self.answer
        token = request.headers["X-aws-ec2-metadata-token"]
        match request.method, request.path:
            case "POST", "/":
                return self._assume
            case "GET", path if path == POD_PATH:
                known = request.headers["Authorization"] == POD_TOKEN
                return self._keys if known else status(401, {"message": "not authorized"})
            case "GET", path if path == TASK_PATH:
                return self._keys
            case "PUT", "/latest/api/token":
                return status(200, _IMDS_TOKEN.encode())
            case "GET", path if path.startswith(_PROFILE) and token == _IMDS_TOKEN:
                return self._keys if path.endswith("/backup") else status(200, b"backup")
            case _:
                return status(401)

    def _assume(self, exchange: Exchange) -> None:
        target = exchange.request.target.partition("?")[2]
        form = dict(parse_qsl(exchange.body().decode() or target))
        self.forms.append(form)
        if form.get("WebIdentityToken") != IDENTITY:
            said = (
                b"<ErrorResponse><Error><Type>Sender</Type><Code>InvalidIdentityToken</Code>"
                b"<Message>Couldn't retrieve verification key</Message></Error></ErrorResponse>"
            )
            status(400, said)(exchange)
            return
        status(200, _STS.format(**self._fresh()).encode())(exchange)

    def _keys(self, exchange: Exchange) -> None:
        said = {"Code": "Success", "Type": "AWS-HMAC", "RoleArn": ROLE_ARN, **self._fresh()}
        status(200, json.dumps(said).encode())(exchange)

    def _fresh(self) -> dict[str, str]:
        self.handed_out += 1
        return {
            "AccessKeyId": f"ASIATEMPORARY{self.handed_out:03}",
            "SecretAccessKey": f"temporary-secret-{self.handed_out:03}",
            "Token": f"temporary-token-{self.handed_out:03}",
            "Expiration": f"{datetime.now(UTC) + self.lifetime:%Y-%m-%dT%H:%M:%SZ}",
            "LastUpdated": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        }
