"""Restore a snapshot into a throw-away server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from anyio import CancelScope, create_task_group, sleep_forever
from anyio.lowlevel import checkpoint_if_cancelled

from raft_snapshot_agent.core.release import is_older
from raft_snapshot_agent.core.snapshots.snapshot import Manifest
from raft_snapshot_agent.errors import AgentError, ConfigError, DrillFailed, ServerError, SpoolError
from raft_snapshot_agent.restore.following import send_and_follow
from raft_snapshot_agent.restore.kms import blaming_kms, start_by_kms
from raft_snapshot_agent.secret import Secret
from raft_snapshot_agent.servers.answers import Initialised
from raft_snapshot_agent.servers.key_tokens import clear_the_way
from raft_snapshot_agent.servers.node import OpenBaoNode
from raft_snapshot_agent.servers.private import KmsSeal, private_node
from raft_snapshot_agent.servers.programs import find_server_program
from raft_snapshot_agent.servers.throw_away import throw_away_folder
from raft_snapshot_agent.threads import in_thread
from raft_snapshot_agent.vault.auth.token import TokenAuth
from raft_snapshot_agent.vault.leader import Cluster
from raft_snapshot_agent.vault.settings import VaultSettings

_NO_SPACE = ("no space left", "disk quota exceeded", "file too large")
"""Errors of the operating system for a full disk, as servers repeat them."""
_OTHER_SEAL = "cannot seal migrate"


@dataclass(frozen=True, slots=True)
class ServerChoice:
    """The server for a drill."""

    program: Path | None = None
    """`None`: the installed OpenBao."""
    at_least: str = ""
    """The minimum version: a server cannot read data of a newer one."""
    must_be_isolated: bool = True
    """False for test data, on hosts that cannot isolate the server."""
    seal: KmsSeal | None = None
    """The seal that unseals it; by default unseal keys."""


def choose_server(
    manifest: Manifest | None,
    configured: Path | None,
    *,
    is_unsealed: bool,
    seal: KmsSeal | None = None,
) -> ServerChoice:
    """Choose the server for a snapshot.

    Arguments:
        manifest: The snapshot's manifest.
        configured: The program to use in any case.
        is_unsealed: Whether it will be unsealed: a sealed server can do no harm.
        seal: The seal that unseals it; by default unseal keys.

    Raises:
        ConfigError: No server is installed.
    """
    product, version = (manifest.product, manifest.version) if manifest else ("", "")
    program = find_server_program(product, configured)
    return ServerChoice(program, version, must_be_isolated=is_unsealed, seal=seal)


@asynccontextmanager
async def lend_folder(parent: Path) -> AsyncIterator[Path]:
    """Create a folder for a throw-away server, as `throw_away_folder` does.

    Raises:
        SpoolError: It cannot be created.
    """
    lent = throw_away_folder(parent)
    try:
        folder = await in_thread(lent.__enter__)
    except OSError as error:
        raise SpoolError(
            f"no folder for the drill's server in {parent}: {error.strerror}",
            hint="set spool or TMPDIR to a folder that the agent's user may write to",
        ) from error
    try:
        yield folder
    finally:
        with CancelScope(shield=True):
            await in_thread(lambda: lent.__exit__(None, None, None))


@asynccontextmanager
async def restored(
    snapshot: Path,
    unseal_keys: Sequence[str],
    folder: Path,
    *,
    choice: ServerChoice | None = None,
    must_be_isolated: bool = True,
    started: Callable[[str], None] = lambda _: None,
) -> AsyncIterator[OpenBaoNode]:
    """Restore a snapshot into a new server, which runs until the context ends.

    The server then has the real secrets, tokens and leases. It is reachable only through a private
    socket, and has no network from its first start on: it must not revoke leases of production.

    Arguments:
        snapshot: A verified snapshot.
        unseal_keys: Enough key shares of its cluster; empty: the server stays sealed. With a KMS
            seal: recovery keys, or none.
        folder: An empty private folder for the server's data.
        choice: The server.
        must_be_isolated: Without `choice`: whether the server must be isolated.
        started: Called with the server's product and version when it answers.

    Raises:
        ConfigError: It cannot be isolated on this host, or the server is too old.
        DrillFailed: The server did not accept the snapshot, or the keys do not unseal it.
        ServerError: It did not start.
        SpoolError: The disk is full.
    """
    choice = choice or ServerChoice(must_be_isolated=must_be_isolated)
    node = await in_thread(
        lambda: private_node(
            "drill", folder, must_be_isolated=choice.must_be_isolated, program=choice.program
        )
    )
    ways_out = choice.seal.relay(folder) if choice.seal else nullcontext()

    async def begin() -> None:
        with _disk_watched(node, folder):
            await in_thread(node.start)
            started(await in_thread(lambda: _require_version(node, choice.at_least)))
            if choice.seal is None:
                await _bring_to_life(node, snapshot, unseal_keys)
            else:
                await _have_kms_unseal(node, choice.seal, snapshot, unseal_keys)

    with ways_out:
        try:
            await _retire_if_cancelled(node, begin)
            yield node
        finally:
            with CancelScope(shield=True):
                await in_thread(node.discard)


async def _retire_if_cancelled(node: OpenBaoNode, work: Callable[[], Awaitable[None]]) -> None:
    """End the server on cancellation, so that threads waiting for it end, too."""
    failure: Exception | None = None
    done = False

    async def watch() -> None:
        try:
            await sleep_forever()
        finally:
            if not done:
                with CancelScope(shield=True):
                    await in_thread(node.discard)

    async with create_task_group() as tasks:
        tasks.start_soon(watch)
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - the group would wrap it
            failure = error
        done = True
        tasks.cancel_scope.cancel()
    await checkpoint_if_cancelled()  # then the failure is a result of the cancellation
    if failure is not None:
        raise failure


async def _bring_to_life(node: OpenBaoNode, snapshot: Path, unseal_keys: Sequence[str]) -> None:
    own_keys = (await _replace_state(node, snapshot)).unseal_keys
    # After a forced restore the server keeps the old shares in memory until a restart.
    await in_thread(node.stop)
    if await in_thread(lambda: _start_with_another_seal(node)):
        if unseal_keys:
            raise ConfigError(
                "the server accepted the snapshot, but its cluster is unsealed by a KMS or another"
                " seal, which the isolated copy cannot use",
                hint="set drill.unseal.seal; or remove drill.unseal.keys: then the drill only"
                " proves that a server accepts the snapshot",
            )
        return
    if not unseal_keys:
        await in_thread(lambda: _require_replaced(node, own_keys))
        return
    await in_thread(node.stop)
    await in_thread(lambda: clear_the_way(node, unseal_keys))
    await in_thread(node.start)
    await in_thread(lambda: _open(node, unseal_keys))


def _start_with_another_seal(node: OpenBaoNode) -> bool:
    """Start it; return whether it ended because its data needs another seal.

    Source: `core.migrateSeal` of Vault and OpenBao.
    """
    try:
        node.start()
    except ServerError:
        if _OTHER_SEAL not in node.process.last_words(20):
            raise
        return True
    return False


def _require_version(node: OpenBaoNode, least: str) -> str:
    told = node.seal_status()
    product, version = "openbao" if "commit_date" in told else "vault", str(told["version"])
    if is_older(version, least):
        raise ConfigError(
            f"the drill's server is version {version}, and the snapshot was taken from {least}:"
            " a server reads nothing that a newer one wrote",
            hint=f"install {least} or newer, or name one with drill.server or --server",
        )
    return f"{product} {version}"


async def _replace_state(node: OpenBaoNode, snapshot: Path) -> Initialised:
    """Restore with force; return unseal keys and token of the previous data."""
    made = await in_thread(lambda: node.init(1, 1))
    await in_thread(lambda: node.unseal(made.unseal_keys))
    await in_thread(node.wait_active)
    auth = TokenAuth(method="token", token=Secret(made.root_token))
    cluster = Cluster(VaultSettings(address=node.address, auth=auth), "anywhere")
    leader = await in_thread(cluster.find_leader)
    try:
        back = await send_and_follow(cluster, leader, snapshot, force=True)
    except ServerError as error:
        raise DrillFailed(
            f"the server did not take the snapshot: {error.message}",
            noted="the server did not take it",
        ) from error
    if back is not None:
        raise DrillFailed("the drill server took the snapshot but did not seal itself")
    return made


async def _have_kms_unseal(
    node: OpenBaoNode, seal: KmsSeal, snapshot: Path, recovery_keys: Sequence[str]
) -> None:
    """Restore a snapshot of a cluster with a KMS seal; the copy uses the same KMS.

    It begins with a key of its own: with the KMS it would be unsealed as soon as it is restored.
    """
    made = await _replace_state(node, snapshot)
    await in_thread(node.stop)
    await in_thread(lambda: seal.install(node))
    with blaming_kms(node):
        if recovery_keys:
            await in_thread(lambda: clear_the_way(node, recovery_keys))
        await in_thread(lambda: start_by_kms(node))
    answer = await in_thread(
        lambda: node.request("GET", "auth/token/lookup-self", token=made.root_token)
    )
    if answer.status == 200:
        raise DrillFailed("the server took the snapshot, but holds what it held before")


def _require_replaced(node: OpenBaoNode, own_keys: Sequence[str]) -> None:
    """Prove that the server's data was replaced: its initial keys do not unseal it."""
    try:
        node.unseal(own_keys)
    except ServerError:
        return
    if not node.seal_status()["sealed"]:
        raise DrillFailed("the server took the snapshot, but holds what it held before")


def _open(node: OpenBaoNode, unseal_keys: Sequence[str]) -> None:
    try:
        node.unseal(unseal_keys)
        node.wait_active()
    except ServerError as error:
        raise DrillFailed(
            f"the keys open it, but it does not become active: {node.process.last_words()}",
            noted="the keys open it, but it does not become active",
        ) from error


@contextmanager
def _disk_watched(node: OpenBaoNode, folder: Path) -> Iterator[None]:
    """Distinguish a full disk from a refused snapshot."""
    try:
        yield
    except AgentError as error:
        said = f"{error.message} {node.process.last_words(20)}".lower()
        if not any(words in said for words in _NO_SPACE):
            raise
        raise SpoolError(
            f"no space for the drill's server in {folder.parent}",
            hint="it takes three times the snapshot; free some, or set spool or TMPDIR to a larger"
            " disk",
        ) from error
