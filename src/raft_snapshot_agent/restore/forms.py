"""Which data is written back, and where: what a server does not take as it shows it is refused."""

from __future__ import annotations

from raft_snapshot_agent.errors import ConfigError
from raft_snapshot_agent.restore.living_copy import Place
from raft_snapshot_agent.restore.policies import read_policy_type

_OF_ENGINES = {"role": "a role", "roles": "a role", "oidc/role": "a role"}
_OF_LOGINS = {
    "role": "a role",
    "roles": "a role",
    "users": "a user",
    "groups": "a group",
    "certs": "a certificate",
    "map/teams": "a team",
    "map/users": "a user",
}
"""What is below these paths of a mount. A `config` is not shown with its passwords and tokens."""


def describe_form(place: Place) -> str:
    """Return what is written at a path, in the words of an operator; empty: nothing is."""
    if place.kind == "kv":
        return "a secret of KV"
    if policy := read_policy_type(place):
        return f"a policy of type {policy}"
    is_login = "/auth/" in f"/{place.mount}"
    folder = place.rest.rpartition("/")[0]
    what = (_OF_LOGINS if is_login else _OF_ENGINES).get(folder)
    return f"{what} of the {'login' if is_login else 'engine'} {place.kind}" if what else ""


def check_writable(place: Place) -> None:
    """Refuse paths that cannot be written back as read.

    Raises:
        ConfigError: It is of another kind.
    """
    if not describe_form(place):
        raise ConfigError(
            f"{place.path} is not written back: what a server shows of it is not what it takes",
            hint="--output FILE writes it down; KV, policies and roles are written back",
        )


def check_same_form(source: Place, target: Place) -> None:
    """Refuse a target that takes something else: a server ignores fields that it does not know.

    Raises:
        ConfigError: It is of another form than the source, or nothing like it is written back.
    """
    check_writable(source)
    read, taken = describe_form(source), describe_form(target)
    if read != taken:
        raise ConfigError(
            f"{source.path} is {read} in the snapshot, and {target.path} takes"
            f" {taken or 'something else'}",
            hint="give the path of one like it with --to, or write it down with --output FILE",
        )
