"""An SSH server on loopback that offers SFTP: prints its port and its key's fingerprint.

Arguments: the file of its key, one of keys that may log in, a user's name and password.
"""

from __future__ import annotations

import asyncio
import os
import sys

import asyncssh


class Server(asyncssh.SSHServer):
    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return [username, password] == sys.argv[3:]


async def main() -> None:
    key, authorized = sys.argv[1:3]
    os.umask(0o077)
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=Server,
        server_host_keys=[key],
        authorized_client_keys=authorized,
        sftp_factory=True,
        allow_scp=False,
    )
    fingerprint = asyncssh.read_private_key(key).get_fingerprint()
    print(server.get_port(), fingerprint, flush=True)
    await server.wait_closed()


asyncio.run(main())
