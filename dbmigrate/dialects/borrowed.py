"""A connection of the caller's: the same database, seen from inside a transaction that is not ours to end.

Each migration runs in a savepoint; nothing is committed, rolled back further than that, closed or reconfigured. Whoever
finds another migrator at work gives up at once: to wait would hold the caller's own locks.
"""

from __future__ import annotations

from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING

from dbmigrate.dialects.base import Dialect
from dbmigrate.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy.engine import Connection


class _Borrowed(Dialect):
    waits = False
    begin_sql = "SAVEPOINT dbmigrate_step"
    commit_sql = "RELEASE SAVEPOINT dbmigrate_step"
    rollback_sql = ("ROLLBACK TO SAVEPOINT dbmigrate_step", "RELEASE SAVEPOINT dbmigrate_step")

    def is_disposable(self, connection: Connection) -> bool:  # noqa: ARG002
        return False

    def behind(self, connection: Connection) -> Dialect:  # noqa: ARG002
        return self  # a pooler leaves a transaction where it is

    @contextmanager
    def session(self, connection: Connection, wait: float) -> Generator[None]:  # noqa: ARG002
        yield

    def autocommits(self, connection: Connection) -> bool:
        # what a function is given stands in a transaction that was begun by a statement (python.py)
        return not getattr(connection, "is_inside", False) and super().autocommits(connection)

    def sparing(self, connection: Connection) -> AbstractContextManager[object]:
        return connection.begin_nested()

    def limit(self, connection: Connection, name: str, seconds: float) -> Sequence[str]:  # noqa: ARG002
        raise ConfigurationError(f"{name} would stay with the Connection, which is yours: set it there")


def borrowed(dialect: Dialect) -> Dialect:
    """Return what a dialect is like over a connection of the caller's."""
    twin = copy(dialect)
    twin.__class__ = type(f"Borrowed{type(dialect).__name__}", (_Borrowed, type(dialect)), {"own": dialect})
    return twin
