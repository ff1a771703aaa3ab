"""PostgreSQL behind a pooler: each transaction may run in another session of the server than the one before.

The lock is that of a transaction, which stays open on a second connection, and is looked for before each transaction
of the first. Settings last for one transaction, and what a script makes of its session is undone in the same one.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from dbmigrate.dialects.base import Dialect, rows, send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy.engine import Connection

#: What undoes all that a script can do to its session, and may be said inside a transaction (compare DISCARD ALL).
_RESET = (
    "CLOSE ALL",
    "SET SESSION AUTHORIZATION DEFAULT",
    "RESET ALL",
    "UNLISTEN *",
    "SELECT pg_catalog.pg_advisory_unlock_all()",
    "DISCARD TEMP",
    "DISCARD SEQUENCES",
)


class _Pooled(Dialect):
    has_session = False

    def autocommit(self, connection: Connection) -> None:
        super().autocommit(connection)
        raw: Any = connection.connection.dbapi_connection
        if hasattr(raw, "prepare_threshold"):
            raw.prepare_threshold = None  # psycopg: a prepared statement would stay in somebody else's session

    def behind(self, connection: Connection) -> Dialect:
        self.autocommit(connection)
        return self

    def limit(self, connection: Connection, name: str, seconds: float) -> Sequence[str]:
        return [sql.replace("SET ", "SET LOCAL ", 1) for sql in super().limit(connection, name, seconds)]

    def session_id(self, connection: Connection) -> str | None:  # noqa: ARG002
        return None  # that of the pooler lives on

    def try_lock(self, connection: Connection, key: str) -> bool:
        version = connection.dialect.server_version_info or ()
        send(connection, "BEGIN ISOLATION LEVEL READ COMMITTED")  # any other would keep a snapshot between statements
        send(connection, "SET LOCAL idle_in_transaction_session_timeout = 0")
        if version >= (17,):
            send(connection, "SET LOCAL transaction_timeout = 0")
        if super().try_lock(connection, key):
            return True
        send(connection, "ROLLBACK")
        return False

    def unlock(self, connection: Connection, key: str) -> None:  # noqa: ARG002
        send(connection, "ROLLBACK")

    def reset(self, connection: Connection) -> None:
        for sql in _RESET:
            send(connection, sql)
        for (name,) in rows(connection, "SELECT name FROM pg_catalog.pg_prepared_statements WHERE from_sql"):
            send(connection, f"DEALLOCATE {self.quoted(name)}")


def pooled(dialect: Dialect) -> Dialect:
    """Return what a dialect is like behind a pooler."""
    twin = copy(dialect)
    twin.__class__ = type(f"Pooled{type(dialect).__name__}", (_Pooled, type(dialect)), {})
    return twin
