"""The login methods: each is a module, registered here with one line."""

from __future__ import annotations

from typing import Annotated

from raft_snapshot_agent.registry import Registry
from raft_snapshot_agent.vault.auth.base import Auth

LOGINS = Registry(
    "method",
    __name__,
    {
        "approle": "approle:AppRoleAuth",
        "aws": "aws:AwsAuth",
        "azure": "azure:AzureAuth",
        "cert": "cert:CertAuth",
        "cf": "cf:CfAuth",
        "gcp": "gcp:GcpAuth",
        "jwt": "jwt:JwtAuth",
        "kubernetes": "kubernetes:KubernetesAuth",
        "ldap": "ldap:LdapAuth",
        "none": "none:NoAuth",
        "radius": "radius:RadiusAuth",
        "token": "token:TokenAuth",
        "userpass": "userpass:UserpassAuth",
    },
)
"""Settings class by `method`; each is imported when it is configured."""
AnyAuth = Annotated[Auth, LOGINS]
