"""What is written back as it is read, and what may stand in its place."""

from __future__ import annotations

import pytest

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.restore.forms import check_same_form, check_writable
from raft_snapshot_agent.restore.living_copy import Place
from raft_snapshot_agent.restore.policies import drop_server_fields

SECRET = Place("kv/a", "kv/", "kv")
APPROLE = Place("auth/approle/role/web", "auth/approle/", "approle")


@pytest.mark.parametrize(
    ("path", "mount", "kind"),
    [
        ("kv/config", "kv/", "kv"),
        ("sys/policies/acl/a/b", "sys/", "system"),
        ("team/sys/policies/password/a", "team/sys/", "system"),
        ("auth/approle/role/web", "auth/approle/", "approle"),
        ("team/auth/a/b/role/web", "team/auth/a/b/", "jwt"),
        ("auth/token/roles/ci", "auth/token/", "token"),
        ("auth/userpass/users/bob", "auth/userpass/", "userpass"),
        ("auth/ldap/groups/ops", "auth/ldap/", "ldap"),
        ("auth/github/map/teams/ops", "auth/github/", "github"),
        ("auth/cert/certs/web", "auth/cert/", "cert"),
        ("database/roles/ro", "database/", "database"),
        ("identity/oidc/role/web", "identity/", "identity"),
    ],
)
def test_secrets_policies_and_roles_are_written_back(path: str, mount: str, kind: str) -> None:
    check_writable(Place(path, mount, kind))


@pytest.mark.parametrize(
    ("path", "mount", "kind"),
    [
        ("auth/kubernetes/config", "auth/kubernetes/", "kubernetes"),
        ("auth/roles/config", "auth/roles/", "jwt"),
        ("auth/aws/config/client", "auth/aws/", "aws"),
        ("auth/users/x", "auth/users/", "ldap"),
        ("auth/approle/role/users/role-id", "auth/approle/", "approle"),
        ("auth/approle/role/web/secret-id", "auth/approle/", "approle"),
        ("database/config/roles", "database/", "database"),
        ("roles/config", "roles/", "rabbitmq"),
        ("transit/keys/role", "transit/", "transit"),
        ("engine/users/bob", "engine/", "database"),
        ("sys/mounts/a/tune", "sys/", "system"),
    ],
)
def test_what_is_shown_without_its_passwords_is_not(path: str, mount: str, kind: str) -> None:
    with pytest.raises(ConfigError, match=f"{path} is not written back"):
        check_writable(Place(path, mount, kind))


@pytest.mark.parametrize(
    ("source", "target", "words"),
    [
        (SECRET, APPROLE, "kv/a is a secret of KV in the snapshot, and .* takes a role of the log"),
        (APPROLE, SECRET, "takes a secret of KV"),
        (APPROLE, Place("auth/jwt/role/web", "auth/jwt/", "jwt"), "takes a role of the login jwt"),
        (
            Place("kubernetes/roles/a", "kubernetes/", "kubernetes"),
            Place("auth/kubernetes/role/a", "auth/kubernetes/", "kubernetes"),
            "a role of the engine kubernetes in the snapshot, and .* the login kubernetes",
        ),
        (
            Place("sys/policies/acl/a", "sys/", "system"),
            Place("sys/policies/password/a", "sys/", "system"),
            "takes a policy of type password",
        ),
        (Place("sys/mounts/a/tune", "sys/", "system"), SECRET, "is not written back"),
    ],
)
def test_a_target_of_another_form_is_refused(source: Place, target: Place, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        check_same_form(source, target)


def test_a_target_of_the_same_form_elsewhere_is_taken() -> None:
    check_same_form(SECRET, Place("other/b", "other/", "kv", 2))
    check_same_form(APPROLE, Place("auth/other/role/b", "auth/other/", "approle"))


def test_a_secret_whose_path_is_like_that_of_a_policy_is_a_secret() -> None:
    place = Place("kv/sys/policies/acl/a", "kv/", "kv")
    data = {"name": "a", "version": 1}
    assert drop_server_fields(place, data) == data
    check_same_form(place, SECRET)
