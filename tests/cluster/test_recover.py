"""Single secrets from a snapshot: what is read, what is written back, and what is refused."""

from __future__ import annotations

import io
import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import urllib3
from tests.choosing import choose_newest
from tests.cluster.command import Ending, call
from tests.cluster.test_drill import Ground
from tests.stores.memory import MemoryStorage

from raft_snapshot_agent.cli.choosing import parse_time
from raft_snapshot_agent.cli.options import Format
from raft_snapshot_agent.cli.recover_file import write_down
from raft_snapshot_agent.cli.recover_words import describe_step
from raft_snapshot_agent.cli.recovering import (
    RecoverWish,
    Source,
    Step,
    recover,
    split_names,
    write_each,
)
from raft_snapshot_agent.config.loaded import Loaded
from raft_snapshot_agent.config.model import Config
from raft_snapshot_agent.destination.destination import Destination
from raft_snapshot_agent.errors import (
    AgentError,
    ConfigError,
    Denied,
    NothingThere,
    PartialFailure,
    ServerError,
    SnapshotNotFound,
)
from raft_snapshot_agent.restore.browse import list_all_below, list_below
from raft_snapshot_agent.restore.field_changes import compare_fields, differs
from raft_snapshot_agent.restore.forms import check_same_form, check_writable
from raft_snapshot_agent.restore.living_copy import LivingCopy, Place
from raft_snapshot_agent.restore.recovery import (
    Live,
    Present,
    build_body,
    list_not_taken,
    read_present,
    recover_data,
    select_data,
    write,
)
from raft_snapshot_agent.restore.roles import check_role, describe_missing
from raft_snapshot_agent.servers.openbao import OpenBaoCluster, prepare_agent
from raft_snapshot_agent.servers.process import until
from raft_snapshot_agent.storage.base import BytesSource
from raft_snapshot_agent.vault.client import Node
from raft_snapshot_agent.vault.settings import VaultSettings


@pytest.fixture
def copy(bao: OpenBaoCluster) -> LivingCopy:
    """What is asked is the same for a copy and for the server itself, which is here at once."""
    return LivingCopy(bao.leader(), bao.root_token)


@pytest.fixture
def live(bao: OpenBaoCluster) -> Live:
    return seen(bao, bao.root_token)


def seen(bao: OpenBaoCluster, token: str) -> Live:
    address = bao.leader().address
    return Live(Node(address, VaultSettings(address=address)), token)


@pytest.fixture
def kv1(bao: OpenBaoCluster) -> str:
    return mounted(bao, "1")


@pytest.fixture
def kv2(bao: OpenBaoCluster) -> str:
    return mounted(bao, "2")


def mounted(bao: OpenBaoCluster, version: str, name: str = "") -> str:
    name = name or f"kv{version}-{secrets.token_hex(3)}"
    bao.api("POST", f"sys/mounts/{name}", {"type": "kv", "options": {"version": version}})
    lists = f"{name}/metadata?list=true" if version == "2" else f"{name}?list=true"
    node = bao.leader()  # a new engine of version 2 refuses everything for a moment
    until(lambda: node.request("GET", lists, token=bao.root_token).status == 404, name, within=90)
    return name


def put(bao: OpenBaoCluster, path: str, *each: Mapping[str, Any]) -> None:
    """Write versions of a secret of KV version 2."""
    mount, _, rest = path.partition("/")
    for data in each:
        bao.api("POST", f"{mount}/data/{rest}", {"data": dict(data)})


def token_with(bao: OpenBaoCluster, policy: str) -> str:
    name = f"p-{secrets.token_hex(3)}"
    bao.api("PUT", f"sys/policies/acl/{name}", {"policy": policy})
    made: str = bao.api("POST", "auth/token/create", {"policies": [name]})["auth"]["client_token"]
    return made


# What a snapshot holds.


def test_every_version_is_read_and_the_newest_is_meant(
    bao: OpenBaoCluster, copy: LivingCopy, kv2: str
) -> None:
    put(bao, f"{kv2}/a/b", {"v": 1}, {"v": 2}, {"v": 3}, {"v": 4})
    bao.api("POST", f"{kv2}/delete/a/b", {"versions": [4]})
    bao.api("POST", f"{kv2}/destroy/a/b", {"versions": [2]})

    found = recover_data(copy, f"{kv2}/a/b")

    assert (found.data, found.version) == ({"v": 3}, 3)
    assert found.passed_over == 4
    assert found.document["versions"] == {"1": {"v": 1}, "3": {"v": 3}, "4": {"v": 4}}
    assert found.document["metadata"]["current_version"] == 4
    assert recover_data(copy, f"{kv2}/a/b", 1).data == {"v": 1}
    with pytest.raises(NothingThere, match=r"version 2 of .* is not kept \(there are: 1, 3, 4\)"):
        recover_data(copy, f"{kv2}/a/b", 2)


def test_a_deleted_version_is_taken_if_it_is_named(
    bao: OpenBaoCluster, copy: LivingCopy, kv2: str
) -> None:
    put(bao, f"{kv2}/a", {"v": 1}, {"v": 2})
    bao.api("POST", f"{kv2}/delete/a", {"versions": [1, 2]})

    with pytest.raises(NothingThere, match=r"every version of .* is deleted .* in the snap") as why:
        recover_data(copy, f"{kv2}/a")
    assert why.value.hint == "--version 2 takes the newest one"
    bao.api("POST", f"{kv2}/delete/a", {"versions": [1, 2]})
    found = recover_data(copy, f"{kv2}/a", 2)

    assert (found.data, found.version, found.passed_over) == ({"v": 2}, 2, 0)


def test_policies_roles_and_namespaces_are_read(bao: OpenBaoCluster, copy: LivingCopy) -> None:
    prepare_agent(bao)
    assert "snapshot" in recover_data(copy, "sys/policies/acl/snapshot").data["policy"]
    assert recover_data(copy, "auth/approle/role/snapshot").data["token_policies"] == ["snapshot"]
    team = f"team-{secrets.token_hex(3)}"
    bao.api("POST", f"sys/namespaces/{team}", {})
    bao.api("POST", f"{team}/sys/mounts/kv", {"type": "kv", "options": {"version": "2"}})
    node = bao.leader()  # a new engine of version 2 refuses everything for a moment
    lists = ("LIST", f"{team}/kv/metadata", None, bao.root_token)
    until(lambda: node.request(*lists).status == 404, "the engine", within=90)
    bao.api("POST", f"{team}/kv/data/a", {"data": {"b": "c"}})
    assert recover_data(copy, f"{team}/kv/a").data == {"b": "c"}
    assert f"{team}/kv/" in list_below(copy, team)
    assert f"{team}/" in list_below(copy, "")


ODD_NAMES = ("a b#%", "q?version=1", "semi;colon", "blank ", "two..dots", "folder//b", "\u00e4&=+")


def test_a_name_with_signs_is_a_name(
    bao: OpenBaoCluster, copy: LivingCopy, live: Live, kv1: str
) -> None:
    for name in ODD_NAMES:
        before_the_sign = f"{kv1}/{name.partition('?')[0]}"
        write(live, read_present(live, before_the_sign), {"x": "of another"})
        write(live, read_present(live, f"{kv1}/{name}"), {"x": name})
        found = recover_data(copy, f"{kv1}/{name}")
        assert (found.place.path, found.data) == (f"{kv1}/{name}", {"x": name})
        assert read_present(live, f"{kv1}/{name}").data == {"x": name}
    assert recover_data(copy, f"{kv1}/q").data == {"x": "of another"}
    assert {f"{kv1}/{name}" for name in ODD_NAMES} <= {*list_all_below(copy, kv1)}
    with pytest.raises(ServerError, match="relative paths not supported"):
        recover_data(copy, f"{kv1}/folder/../q")


def test_what_is_not_there_is_told_with_what_is_near(
    bao: OpenBaoCluster, copy: LivingCopy, kv2: str
) -> None:
    put(bao, f"{kv2}/app/database", {"a": 1})
    put(bao, f"{kv2}/app/cache", {"a": 1})
    for path, near in (
        (f"{kv2}/app/databse", f"{kv2}/app/database"),
        (f"{kv2}/ap/cache", f"{kv2}/app/"),
        (f"{kv2}x/app/cache", f"{kv2}/"),
    ):
        with pytest.raises(NothingThere, match="in the snapshot") as caught:
            recover_data(copy, path)
        assert near in caught.value.hint


def test_what_is_listed_and_cannot_be_read_there_is_told(
    bao: OpenBaoCluster, copy: LivingCopy, kv2: str
) -> None:
    put(bao, f"{kv2}/a", {"x": 1})
    bao.api("POST", f"{kv2}/destroy/a", {"versions": [1]})
    with pytest.raises(NothingThere, match=r"any version of .* is not kept") as caught:
        recover_data(copy, f"{kv2}/a")
    assert caught.value.hint == "it is listed there, but nothing can be read at this path"


def test_names_are_listed_at_any_depth(bao: OpenBaoCluster, copy: LivingCopy, kv2: str) -> None:
    put(bao, f"{kv2}/a", {"x": 1})
    put(bao, f"{kv2}/b/c/d", {"x": 1})

    assert list_below(copy, kv2) == [f"{kv2}/a", f"{kv2}/b/"]
    assert {*list_all_below(copy, kv2)} == {f"{kv2}/a", f"{kv2}/b/c/d"}
    assert {f"{kv2}/", "auth/token/", "sys/policies/acl/"} <= {*list_below(copy, "")}
    assert "sys/policies/acl/default" in list_below(copy, "sys/policies/acl")


def test_what_is_listed_is_found_on_every_level_above_it(
    bao: OpenBaoCluster, copy: LivingCopy
) -> None:
    odd, team, keys = (f"{word}-{secrets.token_hex(3)}" for word in ("odd", "team", "keys"))
    bao.api("POST", f"sys/mounts/{odd}/deep/kv", {"type": "kv"})
    bao.api("POST", f"sys/mounts/{keys}", {"type": "transit"})
    bao.api("POST", f"{keys}/keys/k", {})
    bao.api("POST", f"sys/namespaces/{team}", {})
    bao.api("POST", f"{team}/sys/mounts/{odd}/kv", {"type": "kv"})
    prepare_agent(bao)

    for above, below in (
        (odd, f"{odd}/deep/kv/"),
        (f"{odd}/deep", f"{odd}/deep/kv/"),
        ("auth", "auth/approle/"),
        ("auth/approle", "auth/approle/role/"),
        (keys, f"{keys}/keys/"),
        ("sys/policies", "sys/policies/acl/"),
        ("identity", "identity/entity/"),
        ("identity/entity", "identity/entity/name/"),
        (f"{team}/{odd}", f"{team}/{odd}/kv/"),
        (f"{team}/auth", f"{team}/auth/token/"),
    ):
        assert below in list_below(copy, above)
    everything = {*list_all_below(copy, "")}
    assert {"auth/approle/role/snapshot", f"{keys}/keys/k"} <= everything
    assert not [one for one in everything if "/accessors/" in one]
    assert list_below(copy, "nowhere") == list_below(copy, f"{team}/nowhere") == []


def test_what_cannot_be_listed_is_told(bao: OpenBaoCluster, kv1: str) -> None:
    bao.api("POST", f"{kv1}/b/c", {"x": "y"})
    bao.api("POST", f"{kv1}/d", {"x": "y"})
    token = token_with(bao, f'path "{kv1}/" {{ capabilities = ["list"] }}')
    part, gaps = LivingCopy(bao.leader(), token), list[str]()

    assert [*list_all_below(part, kv1, gaps.append)] == [f"{kv1}/d"]

    (gap,) = gaps
    assert gap.startswith(f"{kv1}/b/ cannot be listed: {kv1}/b/ answered 403")
    with pytest.raises(ServerError, match=f"{kv1}/b/ answered 403: .*permission denied"):
        list_below(part, f"{kv1}/b")


# What is written back.


def test_one_version_comes_back_where_checks_are_required(
    bao: OpenBaoCluster, copy: LivingCopy, live: Live, kv2: str
) -> None:
    bao.api("POST", f"{kv2}/config", {"cas_required": True})
    for number in range(3):
        body = {"data": {"v": number}, "options": {"cas": number}}
        bao.api("POST", f"{kv2}/data/a", body)
    found = recover_data(copy, f"{kv2}/a", 1)

    now = read_present(live, f"{kv2}/a")
    assert write(live, now, select_data(found, now, None)) == f"{kv2}/a (version 4)"

    assert read_present(live, f"{kv2}/a").data == {"v": 0}
    with pytest.raises(ServerError, match="it was changed meanwhile"):
        write(live, now, {"v": 9})
    assert read_present(live, f"{kv2}/a").data == {"v": 0}


def test_one_that_was_deleted_or_never_was_is_written(
    bao: OpenBaoCluster, live: Live, kv2: str
) -> None:
    put(bao, f"{kv2}/a", {"v": 1}, {"v": 2})
    bao.api("DELETE", f"{kv2}/data/a")

    gone, never = read_present(live, f"{kv2}/a"), read_present(live, f"{kv2}/new")

    assert (gone.data, gone.version, never.data, never.version) == (None, 2, None, 0)
    assert write(live, gone, {"v": 1}).endswith("(version 3)")
    assert write(live, never, {"v": 1}).endswith("(version 1)")


DIGITS = '{"deep": [0.12345678901234567890123], "f": 123456789012345678901234567890.5}'


def test_every_digit_of_a_number_comes_back(
    copy: LivingCopy, live: Live, bao: OpenBaoCluster, kv1: str, tmp_path: Path
) -> None:
    """KV version 2 keeps fewer itself."""
    path, headers = f"{kv1}/a", {"X-Vault-Token": bao.root_token}
    url = f"{bao.leader().address}/v1/{path}"
    assert urllib3.request("POST", url, body=DIGITS, headers=headers).status == 204
    found = recover_data(copy, path)
    write(live, read_present(live, path), json.loads(DIGITS))

    now = read_present(live, path)
    assert differs(now.data, found.data)
    write(live, now, select_data(found, now, None))
    write_down(tmp_path / "out", [found])

    told = urllib3.request("GET", url, headers=headers).data.decode()
    for digits in re.findall(r"[0-9]+\.[0-9]+", DIGITS):
        assert digits in told
        assert digits in (tmp_path / "out").read_text()


def test_a_mount_that_was_made_again_in_another_version_gets_it(
    copy: LivingCopy, live: Live, bao: OpenBaoCluster, kv1: str, kv2: str
) -> None:
    put(bao, f"{kv2}/a", {"v": "x"})
    found = recover_data(copy, f"{kv2}/a")

    now = read_present(live, f"{kv1}/a")
    write(live, now, select_data(found, now, None))

    assert bao.api("GET", f"{kv1}/a")["data"] == {"v": "x"}


def test_a_mount_that_was_made_again_since_gets_it_as_its_first(
    copy: LivingCopy, live: Live, bao: OpenBaoCluster, kv2: str
) -> None:
    put(bao, f"{kv2}/a", {"v": "x"}, {"v": "y"})
    found = recover_data(copy, f"{kv2}/a", 1)
    bao.api("DELETE", f"sys/mounts/{kv2}")
    with pytest.raises(Denied, match="nothing is mounted there now"):
        read_present(live, f"{kv2}/a")
    mounted(bao, "2", kv2)

    now = read_present(live, f"{kv2}/a")

    assert (now.data, now.version) == (None, 0)
    assert write(live, now, select_data(found, now, None)) == f"{kv2}/a (version 1)"
    assert bao.api("GET", f"{kv2}/data/a")["data"]["data"] == {"v": "x"}


def test_one_field_comes_back_beside_the_others(
    copy: LivingCopy, live: Live, bao: OpenBaoCluster, kv1: str
) -> None:
    bao.api("POST", f"{kv1}/then", {"a": "old", "b": "old"})
    bao.api("POST", f"{kv1}/now", {"a": "new", "b": "new", "c": "new"})
    found, now = recover_data(copy, f"{kv1}/then"), read_present(live, f"{kv1}/now")

    write(live, now, select_data(found, now, "a"))

    assert bao.api("GET", f"{kv1}/now")["data"] == {"a": "old", "b": "new", "c": "new"}
    with pytest.raises(ConfigError, match="has no field z in the snapshot"):
        select_data(found, now, "z")


@pytest.mark.usefixtures("approle")
def test_a_role_comes_back_with_the_id_that_its_users_have(
    copy: LivingCopy, live: Live, bao: OpenBaoCluster
) -> None:
    role = f"auth/approle/role/r-{secrets.token_hex(3)}"
    bao.api("POST", role, {"token_policies": ["default"], "token_ttl": "17m"})
    role_id = bao.api("GET", f"{role}/role-id")["data"]
    found = recover_data(copy, role)
    bao.api("DELETE", role)

    now = read_present(live, role)
    write(live, now, select_data(found, now, None))

    assert bao.api("GET", f"{role}/role-id")["data"] == role_id
    changes = compare_fields(read_present(live, role).data, found.data)
    assert [one.change for one in changes if one.name == "role_id"] == ["same"]
    assert "secret IDs do not come back: issue new ones" in describe_missing(found.place)


@pytest.mark.usefixtures("approle")
def test_roles_that_still_exist_become_what_they_were(
    copy: LivingCopy, live: Live, bao: OpenBaoCluster
) -> None:
    """Also in fields that a server shows only where they are set."""
    cidrs = {"token_bound_cidrs": ["127.0.0.1/32"]}
    for role, was, since in (
        (
            f"auth/approle/role/r-{secrets.token_hex(3)}",
            {"token_policies": ["default"], "secret_id_num_uses": 3},
            {"token_policies": ["admin"], "secret_id_bound_cidrs": ["127.0.0.1/32"], **cidrs},
        ),
        (
            f"auth/token/roles/r-{secrets.token_hex(3)}",
            {"allowed_policies": ["default"], "token_period": "1h"},
            {"allowed_policies": ["admin"], "token_num_uses": 3, **cidrs},
        ),
    ):
        bao.api("POST", role, was)
        found = recover_data(copy, role)
        bao.api("POST", role, since)

        now = read_present(live, role)
        write(live, now, select_data(found, now, None))

        assert list_not_taken(live, now.place, found.data) == []
        again = recover_data(copy, role).data
        assert {name: value or None for name, value in again.items()} == {
            name: value or None for name, value in found.data.items()
        }


async def test_what_a_server_does_not_take_of_a_role_is_told(
    live: Live, bao: OpenBaoCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    role = f"auth/token/roles/r-{secrets.token_hex(3)}"
    bao.api("POST", role, {"allowed_policies": ["default"]})
    now = read_present(live, role)
    data = {**(now.data or {}), "token_num_uses": 3}

    await write_each([Step(now, data)], live)
    await write_each([Step(now, data | {"of_a_later_server": "x"})], live)

    *written, warning = capsys.readouterr().err.splitlines()
    assert written == [f"Written: {role}"] * 2
    assert warning == (
        f"warning: {role}: the server took not all of it, and shows other values of"
        " of_a_later_server"
    )


@pytest.mark.usefixtures("approle")
def test_a_role_beside_the_one_that_exists_has_an_id_of_its_own(
    copy: LivingCopy, live: Live, bao: OpenBaoCluster
) -> None:
    role = f"auth/approle/role/r-{secrets.token_hex(3)}"
    bao.api("POST", role, {"token_policies": ["default"], "token_ttl": "17m"})
    found = recover_data(copy, role)

    for _ in ("it is new", "it exists"):
        now = read_present(live, f"{role}-old")
        write(live, now, select_data(found, now, None))

    beside = recover_data(copy, f"{role}-old").data
    assert beside["token_ttl"] == 17 * 60
    assert beside["role_id"] != found.data["role_id"] == recover_data(copy, role).data["role_id"]
    assert f"{role}-old: its role ID is its own" in "\n".join(describe_step(found, now))
    assert "is its own" not in "\n".join(describe_step(found, read_present(live, role)))
    bao.api("DELETE", role)
    now = read_present(live, f"{role}-old")
    write(live, now, select_data(found, now, "role_id"))
    assert recover_data(copy, f"{role}-old").data["role_id"] == found.data["role_id"]


@pytest.mark.usefixtures("approle")
def test_what_a_server_changes_in_no_role_is_refused_before(
    copy: LivingCopy, live: Live, bao: OpenBaoCluster
) -> None:
    role = f"auth/approle/role/r-{secrets.token_hex(3)}"
    bao.api("POST", role, {"token_policies": ["default"], "local_secret_ids": True})
    found = recover_data(copy, role)
    bao.api("DELETE", role)
    bao.api("POST", role, {"token_policies": ["admin"]})

    now = read_present(live, role)
    with pytest.raises(ConfigError, match=f"{role} has another local_secret_ids in the snapshot"):
        build_body(now, select_data(found, now, None))
    write(live, now, select_data(found, now, "token_policies"))

    assert recover_data(copy, role).data["token_policies"] == ["default"]


def test_a_user_without_a_password_is_refused_before(live: Live, bao: OpenBaoCluster) -> None:
    mount = f"users-{secrets.token_hex(3)}"
    bao.api("POST", f"sys/auth/{mount}", {"type": "userpass"})
    user = f"auth/{mount}/users/bob"

    gone = read_present(live, user)
    with pytest.raises(ConfigError, match=f"{user} does not exist now") as caught:
        check_role(gone.place, gone.data)
    assert "create it with a new password" in caught.value.hint
    bao.api("POST", user, {"password": "of a new time", "token_policies": ["admin"]})
    now = read_present(live, user)
    check_role(now.place, now.data)
    write(live, now, {"token_policies": ["default"]})

    assert bao.api("GET", user)["data"]["token_policies"] == ["default"]
    login = f"auth/{mount}/login/bob"
    assert bao.api("POST", login, {"password": "of a new time"})["auth"]["client_token"]


@pytest.mark.parametrize(
    ("kind", "path", "words"),
    [
        ("kv", "secret/a", ""),
        ("system", "sys/policies/acl/a", ""),
        ("userpass", "auth/userpass/users/a", "its password stays the one that it has now; tokens"),
        ("database", "database/roles/a", "tokens and leases that were issued"),
    ],
)
def test_what_does_not_come_back_with_a_path_is_told(kind: str, path: str, words: str) -> None:
    said = describe_missing(Place(path, "", kind))
    assert said == "" if not words else said.startswith(f"{path}: {words}")


@pytest.mark.usefixtures("approle")
def test_a_policy_and_a_role_come_back(copy: LivingCopy, live: Live, bao: OpenBaoCluster) -> None:
    policy, role = "sys/policies/acl/comes-back", "auth/approle/role/comes-back"
    bao.api("PUT", policy, {"policy": 'path "secret/*" { capabilities = ["read"] }'})
    bao.api("POST", role, {"token_policies": ["comes-back"], "token_ttl": "17m"})
    for path in (policy, role):
        found = recover_data(copy, path)
        check_writable(found.place)
        bao.api("DELETE", path)
        now = read_present(live, path)
        assert now.data is None
        write(live, now, select_data(found, now, None))
        again = recover_data(copy, path).data
        assert {key: one or None for key, one in again.items()} == {
            key: one or None for key, one in found.data.items()
        }


def test_a_policy_comes_back_with_all_that_it_was_set_to(
    copy: LivingCopy, live: Live, bao: OpenBaoCluster
) -> None:
    path = f"sys/policies/acl/temporary/{secrets.token_hex(3)}"
    text = 'path "secret/*" { capabilities = ["read"] }'
    allowed = {"allow_wildcards_in_identity_templates": True}
    body = {"policy": text, "ttl": "1h", "cas_required": True, "cas": -1, **allowed}
    bao.api("PUT", path, body)
    told = bao.api("GET", path)["data"]
    found = recover_data(copy, path)
    bao.api("PUT", path, {"policy": f"{text} # new", "cas_required": True, "cas": 1})

    now = read_present(live, path)
    check_writable(now.place)
    changes = {one.name for one in compare_fields(now.data, found.data) if one.change != "same"}
    write(live, now, select_data(found, now, None))

    assert changes == {"policy", "expiration", "allow_wildcards_in_identity_templates"}
    again = bao.api("GET", path)["data"]
    assert again == {**told, "version": 3, "modified": again["modified"]}
    with pytest.raises(ServerError, match="it was changed meanwhile"):
        write(live, now, found.data)
    bao.api("DELETE", path)
    write(live, read_present(live, path), found.data)
    assert bao.api("GET", path)["data"]["expiration"] == told["expiration"]


def test_what_a_secret_loses_with_its_metadata_is_told(
    bao: OpenBaoCluster, copy: LivingCopy, live: Live, kv2: str
) -> None:
    path = f"{kv2}/a"
    put(bao, path, {"v": 1}, {"v": 2}, {"v": 3})
    bao.api("POST", f"{kv2}/metadata/a", {"custom_metadata": {"owner": "x"}, "max_versions": 9})
    found = recover_data(copy, path)
    (first,) = describe_step(found, read_present(live, path))
    assert first == f"{path} from {path} version 3 of the snapshot"
    bao.api("DELETE", f"{kv2}/metadata/a")

    _, lost = describe_step(found, read_present(live, path))

    assert lost == (
        f"{path}: not written back: 2 other versions, custom_metadata, max_versions; --output FILE"
        " writes all of it down"
    )


def test_what_a_server_does_not_take_as_it_shows_it_is_not_written(
    copy: LivingCopy, bao: OpenBaoCluster
) -> None:
    mount = f"k8s-{secrets.token_hex(3)}"
    bao.api("POST", f"sys/auth/{mount}", {"type": "kubernetes"})
    login = {"kubernetes_host": "https://192.0.2.1", "token_reviewer_jwt": "a.b.c"}
    bao.api("POST", f"auth/{mount}/config", login | {"kubernetes_ca_cert": "x"})
    assert "token_reviewer_jwt" not in recover_data(copy, f"auth/{mount}/config").data

    for path in ("sys/mounts/secret/tune", f"auth/{mount}/config"):
        with pytest.raises(ConfigError, match=f"{path} is not written back"):
            check_writable(recover_data(copy, path).place)


@pytest.mark.usefixtures("approle")
def test_what_the_target_takes_is_what_was_read(
    copy: LivingCopy, live: Live, bao: OpenBaoCluster, kv1: str, kv2: str
) -> None:
    role, keys = "auth/approle/role/of-another-form", f"keys-{secrets.token_hex(3)}"
    bao.api("POST", role, {"token_policies": ["default"]})
    bao.api("POST", f"sys/mounts/{keys}", {"type": "transit"})
    bao.api("POST", f"{kv1}/a", {"x": "y"})
    secret, read_role = recover_data(copy, f"{kv1}/a").place, recover_data(copy, role).place

    check_same_form(secret, read_present(live, f"{kv2}/a").place)
    check_same_form(read_role, read_present(live, f"{role}-2").place)
    for source, target in ((secret, role), (read_role, f"{kv1}/b"), (secret, f"{keys}/keys/k")):
        place = read_present(live, target).place
        with pytest.raises(ConfigError, match=f"{target} takes "):
            check_same_form(source, place)


def test_a_difference_has_a_word_and_no_value() -> None:
    found = compare_fields({"a": "1", "b": "2", "c": "3"}, {"b": "2", "c": "4", "d": "5"})

    assert [(one.name, one.change) for one in found] == [
        ("a", "removed"),
        ("b", "same"),
        ("c", "changed"),
        ("d", "added"),
    ]
    assert "4" not in repr(found)


@pytest.mark.parametrize(
    ("now", "then"), [(True, 1), (1, 1.0), ([0], [False]), (None, ""), ({"a": 1}, {"a": True})]
)
def test_what_differs_in_json_differs(now: Any, then: Any) -> None:
    (change,) = compare_fields({"a": now}, {"a": then})
    assert change.change == "changed"
    assert differs({"a": now}, {"a": then})
    assert not differs({"a": now, "b": then}, {"b": then, "a": now})
    assert differs(None, {})


async def test_one_that_a_server_refuses_among_others_tells_what_was_written(
    copy: LivingCopy, live: Live, bao: OpenBaoCluster, kv1: str
) -> None:
    """This engine shows the field as an object, and takes it as a text."""
    queues = f"queues-{secrets.token_hex(3)}"
    bao.api("POST", f"sys/mounts/{queues}", {"type": "rabbitmq"})
    role, first, last = f"{queues}/roles/r", f"{kv1}/first", f"{kv1}/last"
    rights = {"/": {"configure": "", "write": "", "read": ".*"}}
    bao.api("POST", role, {"vhosts": json.dumps(rights)})
    data = recover_data(copy, role).data
    bao.api("POST", last, {"x": "present"})
    by_path = {first: {"x": "was"}, role: data, last: {"x": "was"}}
    steps = [Step(read_present(live, path), data) for path, data in by_path.items()]

    with pytest.raises(PartialFailure, match=f"{role} was not written: 400: ") as caught:
        await write_each(steps, live)

    assert caught.value.message.endswith(f"; written: {first}; not tried: {last}")
    assert "--output FILE writes it down" in caught.value.hint
    assert bao.api("GET", first)["data"] == {"x": "was"}
    assert bao.api("GET", last)["data"] == {"x": "present"}
    with pytest.raises(ServerError, match=f"{role} was not written: 400: "):
        await write_each(steps[1:], live)


# Rights.


def test_the_right_that_is_missing_is_named(bao: OpenBaoCluster, kv2: str) -> None:
    put(bao, f"{kv2}/a", {"v": 1})
    reader = f'path "{kv2}/data/*" {{ capabilities = ["read"] }}'
    blind = f'path "{kv2}/data/*" {{ capabilities = ["update"] }}'

    with pytest.raises(Denied) as caught:
        read_present(seen(bao, token_with(bao, blind)), f"{kv2}/a")
    assert f'"read" on {kv2}/data/a' in caught.value.hint

    weak = seen(bao, token_with(bao, reader))
    for path, right in ((f"{kv2}/a", "update"), (f"{kv2}/new", "create")):
        with pytest.raises(Denied) as caught:
            write(weak, read_present(weak, path), {"v": 2})
        assert f'"{right}" on {path.replace("/", "/data/", 1)}' in caught.value.hint

    with pytest.raises(Denied, match=r"the token is not valid there, or may do nothing \("):
        read_present(seen(bao, "s.nobodys"), f"{kv2}/a")
    with pytest.raises(Denied, match="nothing is mounted there now, or the token"):
        read_present(seen(bao, token_with(bao, 'path "x" { capabilities = ["read"] }')), f"{kv2}/a")


def test_nothing_of_what_is_read_is_in_a_repr(
    copy: LivingCopy, bao: OpenBaoCluster, kv1: str
) -> None:
    bao.api("POST", f"{kv1}/a", {"x": "a very secret value"})
    found = recover_data(copy, f"{kv1}/a")

    assert "very secret" not in repr(found) + repr(Present(found.place, found.data))
    assert bao.root_token not in repr(copy)


# The commands.


def test_a_secret_comes_back_from_a_snapshot_and_nothing_else_changes(
    bao: OpenBaoCluster, closed_in: Path, tmp_path: Path, kv2: str
) -> None:
    put(bao, f"{kv2}/app", {"password": "it was this"}, {"password": "then this"})
    put(bao, f"{kv2}/other", {"password": "stays"})
    put(bao, f"{kv2}/same", {"password": "stays"})
    ground = Ground(bao, tmp_path / "agent", prepare_agent(bao))
    ground.drill = {"unseal": {"keys": list(bao.unseal_keys)}}
    assert ground.call("save").code == 0
    put(bao, f"{kv2}/app", {"password": "overwritten"}, {"password": "and again"})
    put(bao, f"{kv2}/other", {"password": "changed since"})

    paths = f"{kv2}/app", f"{kv2}/same"
    ended = command(ground, "recover", "--latest", *paths, "--version", "1", "--yes")

    assert ended.code == 0, ended.talk
    *rows, _, _, same = ended.text.split()
    assert rows == ["PATH", "FIELD", "CHANGE", f"{kv2}/app", "password", "changed"]
    assert same == "same"
    assert bao.api("GET", f"{kv2}/metadata/same")["data"]["current_version"] == 1
    assert f"Written: {kv2}/app (version 5)" in ended.talk
    denied = command(ground, "recover", "--latest", f"{kv2}/app", "--yes", token="s.nobodys")
    assert denied.code == 2
    assert denied.talk.startswith("error: the token in VAULT_TOKEN is not valid there")
    for value in ("it was this", "then this", "and again"):
        assert value not in ended.talk
    assert bao.api("GET", f"{kv2}/data/app")["data"]["data"] == {"password": "it was this"}
    assert bao.api("GET", f"{kv2}/data/other")["data"]["data"] == {"password": "changed since"}


def command(ground: Ground, *arguments: str | Path, token: str = "") -> Ending:
    """Run it as an operator who has a token of their own."""
    ground.call("config", "check")  # writes the configuration
    ended = call(
        *arguments,
        "-c",
        ground.folder / "agent.json",
        env={"VAULT_TOKEN": token or ground.cluster.root_token},
    )
    assert [*ground.spool.iterdir()] == []
    return ended


@pytest.mark.soak
def test_it_is_written_down_for_one_reader_or_shown_or_browsed(
    bao: OpenBaoCluster, closed_in: Path, tmp_path: Path, kv2: str
) -> None:
    put(bao, f"{kv2}/app", {"password": "it was this"}, {"password": "then this"})
    ground = Ground(bao, tmp_path / "agent", prepare_agent(bao))
    ground.drill = {"unseal": {"keys": list(bao.unseal_keys)}}
    assert ground.call("save").code == 0
    put(bao, f"{kv2}/app", {"password": "overwritten"})

    file = tmp_path / "out.json"
    ended = command(ground, "recover", "--latest", f"{kv2}/app", "--output", file)
    assert ended.code == 0, ended.talk
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_text())["versions"]["1"] == {"password": "it was this"}

    shown = command(ground, "recover", "--latest", f"{kv2}/app", "--dry-run", "--show")
    assert "overwritten" in shown.text
    assert "then this" in shown.text
    assert bao.api("GET", f"{kv2}/data/app")["data"]["data"] == {"password": "overwritten"}

    names = command(ground, "browse", "--at", "2999-01-01T00:00:00Z", kv2)
    assert names.text == f"{kv2}/app\n"


@pytest.mark.parametrize(
    ("words", "wish"),
    [
        ("cannot ask for confirmation without a terminal", RecoverWish(("secret/a",))),
        ("which secret?", RecoverWish((), dry_run=True)),
        ("--to is for one path", RecoverWish(("a/b", "c/d"), to="e/f", yes=True)),
        ("cannot write", RecoverWish(("a/b",), output=Path("/nowhere/out"))),
        ("without the keys that open it", RecoverWish(("a/b",), yes=True)),
    ],
    ids=str,
)
def test_what_cannot_end_well_starts_no_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, wish: RecoverWish
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    snapshot = tmp_path / "a.snap"
    snapshot.write_text("none")
    loaded = Loaded(Config(spool=tmp_path))
    with pytest.raises(ConfigError, match=words):
        recover(loaded, Source(str(snapshot)), wish, Format.TABLE)


def test_what_is_refused_leaves_no_token(
    bao: OpenBaoCluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    role = prepare_agent(bao)
    ids = {"role_id": role.role_id, "secret_id": role.secret_id}
    vault = {"address": bao.leader().address, "auth": {"method": "approle", **ids}}
    drill = {"unseal": {"keys": ["k"]}}
    loaded = Loaded(Config.model_validate({"vault": vault, "drill": drill, "spool": tmp_path}))
    snapshot = tmp_path / "a.snap"
    snapshot.write_text("none")
    before = {*bao.api("LIST", "auth/token/accessors")["data"]["keys"]}

    with pytest.raises(AgentError, match="may do nothing there"):
        recover(loaded, Source(str(snapshot)), RecoverWish(("secret/a",), yes=True), Format.TABLE)

    assert {*bao.api("LIST", "auth/token/accessors")["data"]["keys"]} <= before
    assert capsys.readouterr().err == ""


def test_the_snapshot_is_named_or_chosen() -> None:
    assert split_names(["a.snap", "b/c"], latest=False, at=None) == ("a.snap", ["b/c"])
    assert split_names(["b/c"], latest=True, at=None) == (None, ["b/c"])
    with pytest.raises(ConfigError, match="which snapshot"):
        split_names([], latest=False, at=None)


async def test_the_newest_of_a_time_is_chosen() -> None:
    storage = MemoryStorage()
    names = [f"raft-snapshot-2026112{day}T120000Z-i{day}-0a1b2c.snap" for day in (1, 2, 3)]
    for name in names:
        await storage.put(name, BytesSource(b"abc"))
    places = (Destination("s3", storage),)

    for when, chosen in (
        ("2026-11-22T12:00:00Z", 1),
        ("2026-11-23", 1),
        ("2026-11-23T15:00+02:00", 2),
    ):
        assert (await choose_newest(places, parse_time(when))).stored.name == names[chosen]
    with pytest.raises(SnapshotNotFound, match="no snapshot was taken at 2026-11-20T00:00:00Z"):
        await choose_newest(places, parse_time("2026-11-20"))
    with pytest.raises(ConfigError, match="is not a time"):
        parse_time("yesterday")
