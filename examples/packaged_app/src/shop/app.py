"""The shop itself: it says how many orders there are, at http://localhost:8000 or at the PORT of the environment."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING
from wsgiref.simple_server import make_server

from sqlalchemy import create_engine, func, select, table

from dbmigrate import Migrator, PackageSource

if TYPE_CHECKING:
    from collections.abc import Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment


def main() -> None:
    """Serve, if the database is what this release needs."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # as the first process of a container it would be ignored
    url = os.environ["DATABASE_URL"]
    Migrator(url, PackageSource("shop", "migrations")).verify()
    engine = create_engine(url)

    def shop(_: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        with engine.connect() as connection:
            count = connection.execute(select(func.count()).select_from(table("orders"))).scalar_one()
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({"orders": count}).encode()]

    with make_server("", int(os.environ.get("PORT", "8000")), shop) as server:
        # wsgiref takes an exception for an error of the request that it serves, and goes on
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
        print(f"serving at http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
