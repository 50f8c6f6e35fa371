"""OpenStack Swift on loopback, all four of its servers in one process: prints its port.

Arguments: a folder, a user as `account:user`, its password.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import eventlet
from eventlet import wsgi
from swift.common import utils

utils.monkey_patch()

from swift.account.server import AccountController  # noqa: E402
from swift.common.http_protocol import SwiftHttpProtocol  # noqa: E402
from swift.common.middleware import (  # noqa: E402
    catch_errors,
    dlo,
    gatekeeper,
    listing_formats,
    slo,
    tempauth,
)
from swift.common.ring import RingData  # noqa: E402
from swift.container.server import ContainerController  # noqa: E402
from swift.obj.mem_server import ObjectController as InMemory  # noqa: E402
from swift.obj.server import ObjectController as OnDisk  # noqa: E402
from swift.proxy.server import Application  # noqa: E402

LOOPBACK = "127.0.0.1"


class Cache:
    """Stands for memcached, where the login middleware keeps its tokens."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def get(self, key: str, *_: Any, **__: Any) -> Any:
        return self._kept.get(key)

    def set(self, key: str, value: Any, *_: Any, **__: Any) -> None:
        self._kept[key] = value

    def delete(self, key: str, *_: Any, **__: Any) -> None:
        self._kept.pop(key, None)


def with_cache(app: Any) -> Any:
    cache = Cache()

    def called(environ: dict[str, Any], start_response: Any) -> Any:
        return app({**environ, "swift.cache": cache}, start_response)

    return called


def object_server(folder: Path) -> Any:
    """Choose the real one where the file system can hold its metadata."""
    probe = folder / "probe"
    probe.touch()
    try:
        os.setxattr(probe, "user.swift", b"1")
    except OSError:
        return InMemory
    return OnDisk


def serve(sock: Any, app: Any) -> None:
    quiet = open(os.devnull, "w")  # noqa: PTH123, SIM115 - for as long as it serves
    options = {"protocol": SwiftHttpProtocol, "minimum_chunk_size": 65536}
    eventlet.spawn(wsgi.server, sock, app, quiet, log_output=False, **options)


def ring(folder: Path, name: str, port: int) -> None:
    device = {
        "id": 0,
        "region": 1,
        "zone": 1,
        "weight": 1.0,
        "device": "disk",
        "ip": LOOPBACK,
        "port": port,
        "replication_ip": LOOPBACK,
        "replication_port": port,
    }
    RingData([[0] * 4], [device], 30).save(str(folder / f"{name}.ring.gz"))


def backend(folder: Path, conf: dict[str, str]) -> None:
    """Serve what lies below the proxy."""
    servers = {
        "account": AccountController,
        "container": ContainerController,
        "object": object_server(folder),
    }
    socks = {name: eventlet.listen((LOOPBACK, 0)) for name in servers}
    for name, sock in socks.items():
        ring(folder, name, sock.getsockname()[1])
    for name, controller in servers.items():
        serve(socks[name], controller(conf))


def main() -> None:
    folder, user, password = Path(sys.argv[1]), *sys.argv[2:]
    (folder / "disks" / "disk").mkdir(parents=True)
    (folder / "swift.conf").write_text("[swift-hash]\nswift_hash_path_suffix = tests\n")
    utils.set_swift_dir(str(folder))
    conf = {
        "devices": str(folder / "disks"),
        "swift_dir": str(folder),
        "mount_check": "false",
        "disable_fallocate": "true",
        "account_autocreate": "true",
        "allow_account_management": "true",
        "log_level": "CRITICAL",
    }
    backend(folder, conf)
    app: Any = Application(conf)
    app = slo.filter_factory(conf)(dlo.filter_factory(conf)(app))
    users = {f"user_{user.replace(':', '_')}": f"{password} .admin"}
    app = with_cache(tempauth.filter_factory(conf | users)(app))
    for outer in (listing_formats, gatekeeper, catch_errors):
        app = outer.filter_factory(conf)(app)
    proxy = eventlet.listen((LOOPBACK, 0))
    serve(proxy, app)
    print(proxy.getsockname()[1], flush=True)
    while True:
        eventlet.sleep(3600)


main()
