"""Runs a program without network access: `python -I -S closed.py FOLDER PROGRAM [ARGUMENT...]`.

It runs in separate user, network, mount and IPC namespaces. It has no interface but loopback, no
abstract socket of other processes, and no file or socket but FOLDER, the program and /usr.
If FOLDER has a socket `relay.sock`, its listener sends the hosts that may be reached and the files
that may be read, and receives a listening socket for each of these hosts.
Python 3.11 has none of these calls, and `unshare` and `ip` are not on every host. No other module
of the agent is imported: this is a separate process with one thread and no secrets.

Source: the manual pages user_namespaces(7), pivot_root(2), capabilities(7) and netdevice(7).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import resource
import socket
import struct
import sys
from pathlib import Path

REFUSED = 77
"""The exit code if this host allows no such namespaces."""
NOT_EXECUTED = 126
"""The exit code if the program cannot be executed, as that of a shell."""
_NEW = 0x10000000 | 0x40000000 | 0x00020000 | 0x08000000 | 0x04000000
"""User, network, mount, IPC and UTS."""
_BIND, _REC, _PRIVATE, _REMOUNT, _RDONLY = 0x1000, 0x4000, 0x40000, 0x20, 0x1
_NOSUID, _NODEV, _DETACH = 0x2, 0x4, 0x2
_NO_NEW_PRIVS, _CAPBSET_DROP, _CAPABILITIES = 38, 24, 64
_GET_FLAGS, _SET_FLAGS, _UP = 0x8913, 0x8914, 0x1
_SET_ADDRESS, _SET_MASK = 0x8916, 0x891C
_RELAY = "relay.sock"
_STANDS_FOR = "127.77.0.{}"
"""Address, inside the namespace, of a host given by name."""
_OUTSIDE = ("192.0.2.1", 53)
"""Address reserved for documentation, so no host has it."""
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Isolate this process and replace it by the program."""
    root, program, arguments = Path(sys.argv[1]), Path(sys.argv[2]).resolve(), sys.argv[2:]
    try:
        _leave_the_host()
        _only_loopback()
        shown, hosts = _open_ways_out(root)
        _only_these_files(root, program, shown, hosts)
        _without_rights()
    except OSError as error:
        sys.stderr.write(f"no namespaces of its own: {error.strerror or error}\n")
        sys.exit(REFUSED)
    os.chdir(root)
    try:
        os.execv(program, arguments)  # noqa: S606 - no shell is wanted
    except OSError as error:
        sys.stderr.write(f"cannot execute {program}: {error.strerror or error}\n")
        sys.exit(NOT_EXECUTED)


def _leave_the_host() -> None:
    user, group = os.geteuid(), os.getegid()
    _call("unshare", _NEW)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _only_loopback() -> None:
    """Enable loopback, and prove that no packet leaves the namespace.

    Raises:
        OSError: There is another network interface.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        flags = fcntl.ioctl(probe, _GET_FLAGS, struct.pack("16sh22x", b"lo", 0))
        up = struct.unpack("16sh22x", flags)[1] | _UP
        fcntl.ioctl(probe, _SET_FLAGS, struct.pack("16sh22x", b"lo", up))
        others = [name for _, name in socket.if_nameindex() if name != "lo"]
        # Kernels add inactive tunnel interfaces to each new namespace.
        if probe.connect_ex(_OUTSIDE) != errno.ENETUNREACH:
            raise OSError(errno.EISCONN, f"the network is still there: {', '.join(others)}")


def _open_ways_out(folder: Path) -> tuple[list[str], str]:
    """Open and send a listening socket for each host that may be reached.

    Returns:
        Files that may be read, and the content of /etc/hosts.
    """
    os.chdir(folder)  # the path of a socket has 107 bytes at most
    if not Path(_RELAY).is_socket():
        return [], ""
    with socket.socket(socket.AF_UNIX) as relay:
        relay.connect(_RELAY)
        with relay.makefile() as word:
            told = [entry.split(" ", 1) for entry in word.read().split("\0") if entry]
        names: list[str] = []
        listeners = []
        for number, target in enumerate((rest for kind, rest in told if kind == "reach"), 1):
            host, _, port = target.rpartition(":")
            address = _address_of(host, number)
            if address != host:
                names.append(f"{address} {host}\n")
            listeners.append(socket.create_server((address, int(port))))
        if listeners:
            socket.send_fds(relay, [b"."], [one.fileno() for one in listeners])
    return [rest for kind, rest in told if kind == "show"], "".join(names)


def _address_of(host: str, number: int) -> str:
    """Return the address of a host inside the namespace; add it to loopback if needed."""
    try:
        packed = socket.inet_aton(host)
    except OSError:
        return _STANDS_FOR.format(number)
    if not host.startswith("127."):
        alias = f"lo:{number}".encode()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            for request, value in ((_SET_ADDRESS, packed), (_SET_MASK, b"\xff" * 4)):
                order = struct.pack("16sHH4s16x", alias, socket.AF_INET, 0, value)
                fcntl.ioctl(any_socket, request, order)
    return host


def _only_these_files(folder: Path, program: Path, shown: list[str], hosts: str) -> None:
    _mount("none", Path("/"), "", _REC | _PRIVATE)
    root = folder / "root"
    root.mkdir(exist_ok=True)
    _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "size=64m,mode=0755")
    for shared in ("/usr", "/dev/null", "/dev/urandom", "/dev/random", str(program), *shown):
        _show(Path(shared), root, read_only=not shared.startswith("/dev"))
    for link in ("bin", "lib", "lib64", "sbin"):
        if Path("/", link).is_symlink():
            (root / link).symlink_to(Path("/", link).readlink())
    _show(folder, root)
    if hosts:
        (root / "etc").mkdir(exist_ok=True)
        (root / "etc/hosts").write_text(hosts)
        (root / "etc/nsswitch.conf").write_text("hosts: files\n")
    os.chdir(root)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _DETACH)


def _show(path: Path, root: Path, *, read_only: bool = False) -> None:
    """Mount a file or folder of the host below the new root, under the same path."""
    if not path.exists():
        return
    there = root / path.relative_to("/")
    if path.is_dir():
        there.mkdir(parents=True, exist_ok=True)
    else:
        there.parent.mkdir(parents=True, exist_ok=True)
        if not there.exists():
            there.touch()
    _mount(str(path), there, "", _BIND)
    if read_only:
        kept = os.statvfs(there).f_flag & (_NOSUID | _NODEV)  # what the host locked stays
        _mount("none", there, "", _BIND | _REMOUNT | _RDONLY | kept)


def _without_rights() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for capability in range(_CAPABILITIES):
        _libc.prctl(_CAPBSET_DROP, capability, 0, 0, 0)  # those that there are
    _call("prctl", _NO_NEW_PRIVS, 1, 0, 0, 0)


def _mount(source: str, target: Path, kind: str, flags: int, data: str = "") -> None:
    options = data.encode() or None
    _call("mount", source.encode(), os.fsencode(target), kind.encode() or None, flags, options)


def _call(name: str, *arguments: int | bytes | None) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
