"""A WebDAV server on loopback over a folder: prints its port.

Arguments: the folder, the user's name and password.
"""

from __future__ import annotations

import sys

from cheroot.wsgi import Server
from wsgidav.wsgidav_app import WsgiDAVApp


def main() -> None:
    folder, username, password = sys.argv[1:]
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/dav": folder},
            "http_authenticator": {"accept_digest": False, "default_to_digest": False},
            "simple_dc": {"user_mapping": {"*": {username: {"password": password}}}},
            "verbose": 0,
            "logging": {"enable": False},
        }
    )
    server = Server(("127.0.0.1", 0), app, numthreads=8, timeout=30)
    server.prepare()
    print(server.bind_addr[1], flush=True)
    server.serve()


main()
