"""A database and its dialect, and sessions on it as a Migrator has them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, sleep

import sqlalchemy
from sqlalchemy.engine import Connection, Engine

from dbmigrate.dialects import Dialect
from dbmigrate.dialects.base import scalar, send
from dbmigrate.ledger import TableLedger
from dbmigrate.migrator import Migrator
from dbmigrate.source import Source
from dbmigrate.testing.bench import ROWS, Bench
from dbmigrate.testing.checks import require

#: Seconds in which a server must notice that a session has ended, and in which a limit of one second must be kept.
PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """An engine for a database, and the dialect that is to know it."""

    engine: Engine
    dialect: Dialect

    @property
    def key(self) -> str:
        """The lock of some ledger."""
        return self.dialect.lock_key("contract", "contract_ledger")

    @contextmanager
    def session(self) -> Generator[Connection]:
        """Give a session as a Migrator has it; it is closed at the end."""
        with self.engine.connect() as connection:
            if self.dialect.is_disposable(connection):
                connection.detach()
            with self.dialect.session(connection, 1.0):
                yield connection

    def lock(self, connection: Connection) -> bool:
        """Take the lock that keeps other migrators out, whatever that is; return whether it was had."""
        if self.dialect.begin_is_the_lock:
            return self.dialect.begin(connection)
        return self.dialect.try_lock(connection, self.key)

    def unlock(self, connection: Connection) -> None:
        """Give it back."""
        if self.dialect.begin_is_the_lock:
            self.dialect.rollback(connection)
        else:
            self.dialect.unlock(connection, self.key)

    def begin(self, connection: Connection) -> None:
        """Begin a transaction."""
        require(soon(lambda: self.dialect.begin(connection)), "begin() said that the database is busy, and it is not")

    def insert(self, connection: Connection) -> None:
        """Insert a row, so that it shows what becomes of it."""
        send(connection, f"INSERT INTO {ROWS} VALUES (1)")

    def rows(self) -> int:
        """Return how many rows are committed."""
        with self.engine.connect() as connection:
            return int(scalar(connection, f"SELECT count(*) FROM {ROWS}"))

    def has(self, table: str) -> bool:
        """Tell whether there is a table of exactly that name."""
        return table in sqlalchemy.inspect(self.engine).get_table_names()

    def bench(self) -> Bench:
        """Return what a ledger is used with."""
        return Bench(self.engine, TableLedger(dialect=self.dialect), self.dialect)

    def migrator(self, source: Source) -> Migrator:
        """Return a Migrator over the database."""
        return Migrator(self.engine, source, dialect=self.dialect, acquire_timeout=30.0)


def soon(condition: Callable[[], bool]) -> bool:
    """Tell whether something comes to be true, before patience ends."""
    until = monotonic() + PATIENCE
    while not condition():
        if monotonic() > until:
            return False
        sleep(0.02)
    return True
