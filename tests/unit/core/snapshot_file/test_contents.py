"""What a snapshot holds is counted by mount, and by prefix where that is asked for."""

from __future__ import annotations

import pytest

from raft_snapshot_agent.core.snapshot_file.contents import Contents, Count, Mount, Mounts
from raft_snapshot_agent.core.snapshot_file.entries import StateEntry

ONE, TWO = "0f1d4e1e-1111-2222-3333-444455556666", "9d89b4f3-b6f4-1900-45a4-69c5be54cfa3"


@pytest.mark.parametrize(
    ("key", "mount"),
    [
        (f"logical/{ONE}/app/x", Mount("secrets", f"logical/{ONE}/")),
        (f"auth/{ONE}/role/x", Mount("auth", f"auth/{ONE}/")),
        (f"audit/{ONE}/salt", Mount("audit", f"audit/{ONE}/")),
        ("sys/expire/id/auth/token/create/h1", Mount("leases", "sys/expire/")),
        ("sys/token/id/h1", Mount("tokens", "sys/token/")),
        ("sys/policy/default", Mount("policies", "sys/policy/")),
        ("sys/counters/activity/x", Mount("counters", "sys/counters/")),
        ("sys/quotas/x", Mount("sys", "sys/")),
        ("core/mounts/x", Mount("core", "core/")),
        ("core/keyring", Mount("core", "core/")),
        ("wal/logs/x", Mount("wal", "wal/")),
        ("alone", Mount("alone", "alone/")),
        ("", Mount("", "/")),
        ("namespaces", Mount("namespaces", "namespaces/")),
        (
            f"namespaces/{TWO}/logical/{ONE}/x",
            Mount("secrets", f"namespaces/{TWO}/logical/{ONE}/", TWO),
        ),
        (f"namespaces/{TWO}/sys/token/id/x", Mount("tokens", f"namespaces/{TWO}/sys/token/", TWO)),
        (f"namespaces/{TWO}/core/mounts", Mount("core", f"namespaces/{TWO}/core/", TWO)),
    ],
)
def test_a_key_belongs_to_a_mount(key: str, mount: Mount) -> None:
    assert Mounts().of(key.encode()) == mount


def counted(*keys: str, depth: int = 0, prefix: str = "") -> Contents:
    contents = Contents(depth, prefix)
    contents.add([StateEntry(key.encode(), len(key)) for key in keys])
    return contents


def test_leases_and_tokens_are_counted_in_every_namespace() -> None:
    space = f"namespaces/{ONE}/sys"
    contents = counted(
        *("sys/token/id/a", "sys/token/accessor/a", "sys/token/parent/a/b", f"{space}/token/id/b"),
        *("sys/expire/id/a", "sys/expire/irrevocable", f"{space}/expire/id/c"),
    )
    assert (contents.leases, contents.tokens, contents.keys) == (2, 2, 7)


def test_engines_are_told_by_the_form_of_their_keys() -> None:
    contents = counted(
        f"logical/{ONE}/app/versions/x",
        f"logical/{TWO}/{ONE}/versions/0a/b",
        f"logical/{ONE[::-1]}/packer/buckets/1",
    )
    engines = {mount.path.split("/")[1]: count.engine for mount, count in contents.mounts.items()}
    assert engines == {ONE: "", TWO: "kv version 2", ONE[::-1]: "identity"}


def test_prefixes_are_counted_to_a_depth_and_below_a_prefix() -> None:
    keys = ("a/b/c", "a/b/d", "a/b", "a/x/y/z", "b/c")
    assert counted(*keys, depth=2).prefixes == {
        b"a/b/": Count(2, 10),
        b"a/b": Count(1, 3),
        b"a/x/": Count(1, 7),
        b"b/c": Count(1, 3),
    }
    assert counted(*keys, depth=1, prefix="a/x").prefixes == {b"a/": Count(1, 7)}
    assert counted(*keys).prefixes == {}


def test_the_largest_are_named_largest_first() -> None:
    contents = Contents()
    contents.add([StateEntry(b"%d" % size, size) for size in (5, 900, 3, 70, 1, 800, 60, 2)])
    assert contents.largest == [("900", 900), ("800", 800), ("70", 70), ("60", 60), ("5", 5)]


def test_forged_groups_without_number_take_no_memory_without_end() -> None:
    many = 60_000
    contents = Contents(depth=2)
    contents.add(StateEntry(b"logical/%08d/x" % number, 1) for number in range(many))
    contents.add(StateEntry(b"l" * 30_000 + b"%d/x/y" % number, 1) for number in range(1500))

    others = Mount("others", "(others)")
    assert len(contents.mounts) < many
    assert contents.mounts[others].keys > 1500
    assert len(contents.prefixes) < many
    assert sum(one.keys for one in contents.mounts.values()) == contents.keys == many + 1500
    assert sum(one.keys for one in contents.prefixes.values()) == contents.keys
