"""PostgreSQL behind a pooler: each transaction may run in another session of the server than the one before.

The lock is that of a transaction, which stays open on a second connection, and is looked for before each transaction
of the first. That may still be committed when the second one is gone: so each transaction shares another lock, without
which nobody has the first. Settings last for one transaction, and what a script makes of its session is undone in the
same one, or together with its rollback.
"""

from __future__ import annotations

from copy import copy
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from dbmigrate.dialects.base import Dialect, rows, scalar, send

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
#: What a session has that was set in it, and not by us: names and values, those first that others depend on.
_SETTINGS = """
SELECT name, pg_catalog.current_setting(name) FROM (VALUES ('session_authorization'), ('role')) AS v (name)
UNION ALL
SELECT name, setting FROM pg_catalog.pg_settings
WHERE source = 'session' AND context IN ('user', 'superuser') AND name NOT LIKE 'transaction%' AND name <> 'seed'"""
_DEALLOCATE = """
DO $$DECLARE p record; BEGIN
FOR p IN SELECT name FROM pg_catalog.pg_prepared_statements WHERE from_sql LOOP
EXECUTE pg_catalog.format('DEALLOCATE %I', p.name); END LOOP; END$$"""


class _Pooled(Dialect):
    has_session = False
    #: One message, for the pooler gives what comes next to another session: what a rollback leaves goes with it.
    rollback_sql = (f"ROLLBACK; SELECT pg_catalog.pg_advisory_unlock_all(); {_DEALLOCATE}",)

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
        if super().try_lock(connection, key) and self._is_done(connection, key):
            return True
        send(connection, "ROLLBACK")
        return False

    def _is_done(self, connection: Connection, key: str) -> bool:
        """Tell whether no transaction goes on that was begun under the lock; what it shares is not kept from it."""
        send(connection, "SAVEPOINT dbmigrate_probe")
        found = bool(scalar(connection, f"SELECT {self.lock_sql(_shared(key))}"))
        send(connection, "ROLLBACK TO SAVEPOINT dbmigrate_probe")
        return found

    def share(self, key: str) -> Sequence[str]:
        sql = str(self.lock_sql(_shared(key))).replace("pg_try_advisory_xact_lock", "pg_advisory_xact_lock_shared")
        return (f"SELECT {sql}",)

    def unlock(self, connection: Connection, key: str) -> None:  # noqa: ARG002
        send(connection, "ROLLBACK")

    def kept(self, connection: Connection) -> Sequence[tuple[str, str]]:
        return [(name, value) for name, value in rows(connection, _SETTINGS)]

    def reset(self, connection: Connection, kept: Sequence[tuple[str, str]]) -> None:
        for sql in _RESET:
            send(connection, sql)
        send(connection, _DEALLOCATE)
        for name, value in kept:
            if value != scalar(connection, f"SELECT pg_catalog.current_setting('{name}')"):
                found = {"name": name, "value": value}
                connection.execute(text("SELECT pg_catalog.set_config(:name, :value, false)"), found)


def _shared(key: str) -> str:
    return f"{int(key, 16) ^ 1:016x}"


def pooled(dialect: Dialect) -> Dialect:
    """Return what a dialect is like behind a pooler."""
    twin = copy(dialect)
    twin.__class__ = type(f"Pooled{type(dialect).__name__}", (_Pooled, type(dialect)), {})
    return twin
