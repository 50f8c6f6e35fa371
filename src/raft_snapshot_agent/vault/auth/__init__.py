"""The ways to log in, one line each."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from raft_snapshot_agent.vault.auth.approle import AppRoleAuth
from raft_snapshot_agent.vault.auth.aws import AwsAuth
from raft_snapshot_agent.vault.auth.azure import AzureAuth
from raft_snapshot_agent.vault.auth.cert import CertAuth
from raft_snapshot_agent.vault.auth.cf import CfAuth
from raft_snapshot_agent.vault.auth.gcp import GcpAuth
from raft_snapshot_agent.vault.auth.jwt import JwtAuth
from raft_snapshot_agent.vault.auth.kubernetes import KubernetesAuth
from raft_snapshot_agent.vault.auth.ldap import LdapAuth
from raft_snapshot_agent.vault.auth.none import NoAuth
from raft_snapshot_agent.vault.auth.radius import RadiusAuth
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.auth.userpass import UserpassAuth

AnyAuth = Annotated[
    AppRoleAuth
    | AwsAuth
    | AzureAuth
    | CertAuth
    | CfAuth
    | GcpAuth
    | JwtAuth
    | KubernetesAuth
    | LdapAuth
    | NoAuth
    | RadiusAuth
    | TokenAuth
    | UserpassAuth,
    Field(discriminator="method"),
]

__all__ = [
    "AnyAuth",
    "AppRoleAuth",
    "AwsAuth",
    "AzureAuth",
    "CertAuth",
    "CfAuth",
    "GcpAuth",
    "JwtAuth",
    "KubernetesAuth",
    "LdapAuth",
    "NoAuth",
    "RadiusAuth",
    "TokenAuth",
    "UserpassAuth",
]
