"""What a cluster holds that must come back: of every engine and login a little, 200 secrets."""

from __future__ import annotations

import base64
from typing import Any

from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.openbao import OpenBaoCluster

KV1, KV2, VERSIONS = 100, 20, 5
NAMESPACE = "team"
POLICY = 'path "sys/policies/acl/kept" { capabilities = ["read"] }'


class Treasure:
    """Secrets, keys, certificates, logins and a namespace in a cluster."""

    def __init__(self, cluster: OpenBaoCluster) -> None:
        """Write all of it."""
        self.root_token = cluster.root_token
        self._node = cluster.leader()
        self._write("sys/policies/acl/kept", {"policy": POLICY})
        self._bury_secrets()
        self._bury_keys()
        self._bury_logins()
        self._write(f"sys/namespaces/{NAMESPACE}", {})
        self._write(f"{NAMESPACE}/sys/mounts/inner", {"type": "kv"})
        self._write(f"{NAMESPACE}/inner/a", {"value": "in a namespace"})

    def missing(self, node: OpenBaoNode) -> list[str]:
        """List what a node that holds a copy of the cluster has not got."""
        self._node = node
        found = {
            **{f"old/{number}": self._has_old(number) for number in range(KV1)},
            **{f"secret/{number}": self._has_versions(number) for number in range(KV2)},
            "transit": self._decrypts(),
            "pki": self._certificate() == self._issued,
            "approle": self._logs_in("approle", self._approle),
            "userpass": self._logs_in("userpass", {"password": "p"}, "/kept"),
            "policy": self._read("sys/policies/acl/kept").get("policy") == POLICY,
            "namespace": self._read(f"{NAMESPACE}/inner/a") == {"value": "in a namespace"},
        }
        return [name for name, is_there in found.items() if not is_there]

    def _bury_secrets(self) -> None:
        self._write("sys/mounts/old", {"type": "kv", "options": {"version": "1"}})
        for number in range(KV1):
            self._write(f"old/{number}", {"value": f"v{number}"})
        for number in range(KV2):
            for version in range(1, VERSIONS + 1):
                self._write(f"secret/data/{number}", {"data": {"value": f"{number}.{version}"}})

    def _bury_keys(self) -> None:
        self._write("sys/mounts/transit", {"type": "transit"})
        self._write("transit/keys/kept", {})
        plain = base64.b64encode(b"plain").decode()
        sealed = self._write("transit/encrypt/kept", {"plaintext": plain})
        self._sealed = sealed["ciphertext"]
        self._write("sys/mounts/pki", {"type": "pki"})
        root = {"common_name": "Root", "key_type": "ec", "key_bits": 256}
        authority = "root"  # no folder of anybody's
        self._write(f"pki/{authority}/generate/internal", root)
        self._issued = self._certificate()

    def _bury_logins(self) -> None:
        self._write("sys/auth/approle", {"type": "approle"})
        self._write("auth/approle/role/kept", {"token_policies": "kept"})
        role_id = self._read("auth/approle/role/kept/role-id")["role_id"]
        secret_id = self._write("auth/approle/role/kept/secret-id", {})["secret_id"]
        self._approle = {"role_id": role_id, "secret_id": secret_id}
        self._write("sys/auth/userpass", {"type": "userpass"})
        self._write("auth/userpass/users/kept", {"password": "p", "token_policies": "kept"})

    def _has_old(self, number: int) -> bool:
        return self._read(f"old/{number}") == {"value": f"v{number}"}

    def _has_versions(self, number: int) -> bool:
        return all(
            self._read(f"secret/data/{number}?version={version}").get("data")
            == {"value": f"{number}.{version}"}
            for version in range(1, VERSIONS + 1)
        )

    def _decrypts(self) -> bool:
        told = self._write("transit/decrypt/kept", {"ciphertext": self._sealed})
        return base64.b64decode(told["plaintext"]) == b"plain"

    def _certificate(self) -> str:
        return str(self._read("pki/cert/ca")["certificate"])

    def _logs_in(self, method: str, body: dict[str, str], user: str = "") -> bool:
        answer = self._node.api("POST", f"auth/{method}/login{user}", body)
        token = answer["auth"]["client_token"]
        told = self._node.request("GET", "sys/policies/acl/kept", token=token)
        return told.status == 200

    def _write(self, path: str, body: Any) -> dict[str, Any]:
        answer = self._node.api("POST", path, body, self.root_token)
        return dict((answer or {}).get("data") or {})

    def _read(self, path: str) -> dict[str, Any]:
        answer = self._node.request("GET", path, token=self.root_token)
        return dict(answer.document["data"]) if answer.status == 200 else {}
