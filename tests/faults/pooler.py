"""PgBouncer in front of a server, for as long as a test needs it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import servers

if TYPE_CHECKING:
    from collections.abc import Generator

    import sqlalchemy

    from tests.conftest import Database

_INI = """
[databases]
* = host={socket} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
pool_mode = {mode}
default_pool_size = {size}
{more}
"""


@contextmanager
def pooler(
    database: Database, size: int, *, mode: str = "transaction", more: str = "", required: bool = False
) -> Generator[sqlalchemy.URL]:
    """Give the URL of a database through a pooler that has so many connections to its server."""
    program, server = servers.find_client("pooler"), database.server
    assert server is not None
    if program is None:
        (pytest.fail if required else pytest.skip)("there is no PgBouncer here")
    owner, listen = server.directory.stat(), _free_port()
    folder = Path(tempfile.mkdtemp(dir=server.directory))
    process = None
    as_owner: dict[str, Any] = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
    as_owner = as_owner if os.geteuid() == 0 else {}
    try:
        (folder / "users").write_text(f'"{servers.USER}" ""\n')
        ini = _INI.format(
            socket=server.socket, port=server.port, listen=listen, folder=folder, mode=mode, size=size, more=more
        )
        (folder / "ini").write_text(ini)
        for path in (folder, *folder.iterdir()):
            os.chown(path, owner.st_uid, owner.st_gid)
        # It ends when the pipe closes, also if this process is killed.
        process = subprocess.Popen(
            ["sh", "-c", f"{program} -q {folder}/ini & read -r _; kill -9 $!"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **as_owner,
        )
        _await(listen)
        yield database.url_for(database.driver, tcp=True).set(port=listen)
    finally:
        if process is not None and process.stdin is not None:
            process.stdin.close()
            process.wait()
        shutil.rmtree(folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise AssertionError("the pooler did not start")
