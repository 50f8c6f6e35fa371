"""Keeps the lease record in a Kubernetes Lease object.

What kubectl shows is in the fields that leader elections use; the record itself is in an
annotation. The API server accepts a write only with the object's present version.

Source: the API reference of coordination.k8s.io/v1 and "Resource Versions" in Kubernetes'
API concepts.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from raft_snapshot_agent.core.leases.lease import Versioned
from raft_snapshot_agent.core.leases.lease_record import Record, moment
from raft_snapshot_agent.errors import (
    ConfigError,
    LoginRefused,
    StorageDenied,
    StorageUnavailable,
)
from raft_snapshot_agent.lease.kubeconfig import configuration
from raft_snapshot_agent.lease.kubernetes_bounds import bound
from raft_snapshot_agent.network.failures import Trouble, explain_not_accepted, refused_by_proxy
from raft_snapshot_agent.network.proxies import Proxy, route
from raft_snapshot_agent.network.trust import TlsOptions, accept_partial_chains, context
from raft_snapshot_agent.redaction import one_line
from raft_snapshot_agent.threads import in_thread

if TYPE_CHECKING:
    from httpx2 import AsyncHTTPTransport, Request, Response
    from lightkube import AsyncClient
    from lightkube.config.kubeconfig import SingleConfig
    from lightkube.core.exceptions import ApiError
    from lightkube.models.meta_v1 import ObjectMeta
    from lightkube.resources.coordination_v1 import Lease

_RECORD = "raft-snapshot-agent/record"
_REACHED = "check that the API server can be reached from here"
_LOGIN = (
    "likely it has expired, or belongs to another cluster: check the service account or KUBECONFIG"
)
_LONGEST = 200
"""Characters of the API server's text in a message."""
_MOST_TRANSITIONS = (1 << 31) - 1
"""The field is an int32."""
_RIGHTS = "let the service account get, create and update leases of coordination.k8s.io there"


class KubernetesLeaseStore:
    """Compare-and-swap on the resource version of a Lease."""

    def __init__(self, name: str, namespace: str | None) -> None:
        """Store the names; no I/O.

        Arguments:
            name: Name of the Lease.
            namespace: By default the pod's, or that of the kubeconfig's context.
        """
        self._name = name
        self._namespace = namespace
        self._client: AsyncClient | None = None
        self._server = ""
        """The API server's address, once it is known."""
        self._seen: ObjectMeta | None = None
        """The Lease as last received, so that labels and owners set by others are kept."""

    @property
    def location(self) -> str:
        return f"kubernetes:{f'{self._namespace}/' if self._namespace else ''}{self._name}"

    async def read(self) -> Versioned | None:
        from lightkube.resources.coordination_v1 import Lease

        async with self._connect("read") as client:
            with _expecting(404) as failed:
                lease = await client.get(Lease, self._name)
            return None if failed else self._read_record(lease)

    async def write(self, record: Record, expected: str | None) -> str | None:
        async with self._connect("write") as client:
            lease = self._lease(record, expected)
            if expected is None:
                with _expecting(409) as failed:
                    lease = await client.create(lease)
            else:
                with _expecting(404, 409) as failed:
                    lease = await client.replace(lease)
            return None if failed else self._read_record(lease).version

    async def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with anyio.CancelScope(shield=True):
                await client.close()

    @contextlib.asynccontextmanager
    async def _connect(self, doing: str) -> AsyncIterator[AsyncClient]:
        """Reuse the connection until an error; then reload the credentials."""
        with self._map_errors(doing):
            try:
                if self._client is None:
                    self._client = await in_thread(self._open_client)
                yield self._client
            except BaseException:
                await self.close()
                raise

    def _open_client(self) -> AsyncClient:
        from lightkube import AsyncClient

        config = configuration()
        self._server = config.cluster.server
        transport = _transport(config, route(self._server))
        client = AsyncClient(config, namespace=self._namespace, lazy=False, transport=transport)
        self._namespace = client.namespace
        return client

    def _read_record(self, lease: Lease) -> Versioned:
        self._seen = about = lease.metadata
        text = ((about and about.annotations) or {}).get(_RECORD, "")
        version = about.resourceVersion if about else None
        return Versioned(Record.from_json(text.encode()), version or "")

    def _lease(self, record: Record, expected: str | None) -> Lease:
        from lightkube.models.coordination_v1 import LeaseSpec
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.coordination_v1 import Lease

        now = _with_fraction(datetime.now(UTC))
        seen = self._seen if self._seen and self._seen.resourceVersion == expected else None
        about = ObjectMeta(
            name=self._name,
            namespace=self._namespace,
            resourceVersion=expected,
            labels=seen.labels if seen else None,
            ownerReferences=seen.ownerReferences if seen else None,
            annotations={**((seen and seen.annotations) or {}), _RECORD: record.to_json().decode()},
        )
        spec = LeaseSpec(
            holderIdentity=record.holder or None,
            leaseDurationSeconds=math.ceil(record.seconds),
            acquireTime=_taken_at(record, now),
            renewTime=now,
            leaseTransitions=min(record.term, _MOST_TRANSITIONS),
        )
        return Lease(metadata=about, spec=spec)

    @contextlib.contextmanager
    def _map_errors(self, doing: str) -> Iterator[None]:
        import httpx2
        from lightkube.core.exceptions import ApiError
        from lightkube.core.exceptions import ConfigError as Unconfigured

        what = f"cannot {doing} the lease record {self.location}"
        try:
            yield
        except ApiError as error:
            raise _refusal_error(what, error) from error
        except (ConfigError, Unconfigured) as error:
            raise StorageDenied(f"{what}: {error}") from error
        except (httpx2.HTTPError, OSError, ValueError, LookupError) as error:
            raise self._unreachable_error(what, error) from error

    def _unreachable_error(self, what: str, error: Exception) -> StorageUnavailable:
        proxy = route(self._server)
        why, hint = one_line(str(error) or type(error).__name__, _LONGEST), _REACHED
        if proxy is not None:
            what = f"{what} through {proxy}"
            if trouble := _proxy_trouble(error, proxy, self._server):
                why, hint = trouble.why, trouble.hint
        return StorageUnavailable(f"{what}: {why}", hint=hint)


def _proxy_trouble(error: Exception, proxy: Proxy, server: str) -> Trouble | None:
    import httpx2

    if isinstance(error, httpx2.ProxyError):  # its text has the proxy's answer
        code, _, words = str(error).partition(" ")
        return refused_by_proxy(int(code), words, proxy, server) if code.isdecimal() else None
    if isinstance(error, httpx2.ConnectError) and "SSL" not in str(error):
        return explain_not_accepted(error, proxy)
    return None


def _transport(config: SingleConfig, proxy: Proxy | None) -> AsyncHTTPTransport:
    """Use the agent's proxy and TLS rules, not the library's reading of the environment."""
    import httpx2
    from lightkube.config.client_adapter import verify_cluster
    from lightkube.config.models import User

    trusted = verify_cluster(
        config.cluster, config.user or User(), config.abs_file, trust_env=False
    )
    if not config.cluster.insecure:
        accept_partial_chains(trusted)

    class Bounded(httpx2.AsyncHTTPTransport):
        async def handle_async_request(self, request: Request) -> Response:
            request.headers["accept-encoding"] = "identity"
            return bound(await super().handle_async_request(request))

    if proxy is None:
        return Bounded(verify=trusted, trust_env=False)

    class Proxied(Bounded):
        async def handle_async_request(self, request: Request) -> Response:
            response = await super().handle_async_request(request)
            if response.status_code == 407:  # plain HTTP, without a tunnel
                raise httpx2.ProxyError(f"407 {response.reason_phrase}")
            return response

    tls = context(TlsOptions()) if proxy.scheme == "https" else None
    way = httpx2.Proxy(proxy.url, ssl_context=tls)
    return Proxied(verify=trusted, trust_env=False, proxy=way)


@contextlib.contextmanager
def _expecting(*codes: int) -> Iterator[list[int]]:
    """Note an expected refusal, such as "not found", instead of raising it."""
    from lightkube.core.exceptions import ApiError

    noted: list[int] = []
    try:
        yield noted
    except ApiError as error:
        if error.status.code not in codes:
            raise
        noted.append(error.status.code)


def _refusal_error(what: str, error: ApiError) -> StorageDenied | StorageUnavailable:
    said = one_line(f"{error.status.code} {error.status.message or ''}", _LONGEST)
    match error.status.code:
        case 403:
            return StorageDenied(f"{what}: {said}", hint=_RIGHTS)
        case 401:
            return LoginRefused(f"{what}: the token is refused ({said})", hint=_LOGIN)
        case 400 | 404 | 422:
            return StorageDenied(f"{what}: {said}", hint="check lease.namespace and lease.name")
        case _:
            return StorageUnavailable(f"{what}: {said}", hint="look at the API server")


def _taken_at(record: Record, now: datetime) -> datetime:
    return _with_fraction(moment(record.taken_at) or now)


def _with_fraction(moment: datetime) -> datetime:
    """Ensure a fraction of a second: the API server refuses a time without one."""
    return moment if moment.microsecond else moment.replace(microsecond=1)
