"""A ledger on a database, and the means to use it as a Migrator does: in autocommit, BEGIN and COMMIT as statements."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic, sleep
from typing import Any, TypeVar

import sqlalchemy
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dbmigrate.dialects import Dialect
from dbmigrate.dialects.base import scalar, send
from dbmigrate.errors import LedgerConflict, LedgerError
from dbmigrate.ledger import Ledger
from dbmigrate.migrator import Migrator
from dbmigrate.model import VERSION, Record
from dbmigrate.plan import History, fold, linked
from dbmigrate.script import checksum
from dbmigrate.source import Source
from dbmigrate.testing.checks import named, require

_T = TypeVar("_T")

#: Seconds that anything is waited for, and the times that a ledger may say that another one was just creating it.
_PATIENCE, _TRIES = 30.0, 10
#: A table whose rows are what steps and tests do.
ROWS = "contract_rows"


@dataclass(frozen=True, slots=True)
class Bench:
    """A ledger, the database that it is for, and what that database is like."""

    engine: Engine
    ledger: Ledger
    dialect: Dialect

    @property
    def transactional(self) -> bool:
        """Its records commit with the transaction that they are appended in."""
        return bool(getattr(self.ledger, "transactional", True))

    @contextmanager
    def transaction(self, *, commit: bool = True) -> Generator[Connection]:
        """Give a connection in a transaction, which is committed at the end; rolled back where something is raised."""
        with self.engine.connect() as connection:
            if self.dialect.is_disposable(connection):
                connection.detach()
            with self.dialect.session(connection, 1.0):
                _patiently(lambda: self.dialect.begin(connection), "the database was busy")
                is_open = True
                try:
                    yield connection
                    if commit:
                        _patiently(lambda: self.dialect.commit(connection), "a reader was in the way")
                        is_open = False
                except DBAPIError as error:
                    raise AssertionError(f"the transaction cannot be used or committed: {error.orig}") from error
                finally:
                    if is_open:
                        self.dialect.rollback(connection)

    def insert(self, connection: Connection) -> None:
        """Insert a row, so that it shows what becomes of the transaction."""
        try:
            send(connection, f"INSERT INTO {ROWS} VALUES (0)")
        except DBAPIError as error:
            raise AssertionError(f"the transaction is spoiled: {error.orig}") from error

    def rows(self) -> int:
        """Return how many rows are committed."""
        with self.engine.connect() as connection:
            return int(scalar(connection, f"SELECT count(*) FROM {ROWS}"))

    def tables(self) -> list[str]:
        """Return the names of all tables."""
        with self.engine.connect() as connection:
            return sorted(sqlalchemy.inspect(connection).get_table_names())

    def create(self) -> None:
        """Create the ledger; where somebody else is just doing so, try again."""
        for attempt in range(_TRIES):
            try:
                with self.transaction() as connection:
                    self.ledger.create(connection)
            except LedgerConflict as error:
                said = f"create() said {_TRIES} times that somebody else is creating it: {error}"
                require(attempt < _TRIES - 1, said)
            except Exception as error:
                raise AssertionError(f"create() must raise LedgerConflict or nothing, not {named(error)}") from error
            else:
                return

    def records(self) -> Sequence[Record]:
        """Return all records, as far as they are in order."""
        with self.engine.connect() as connection:
            records = self.ledger.read(connection)
        seqs = [record.seq for record in records]
        rising = all(a < b for a, b in zip([0, *seqs], seqs, strict=False))
        require(rising, f"read() must return records in order of seq, each with its own, from 1: {seqs}")
        return records

    def history(self) -> History:
        """Return what the records add up to."""
        records = self.records()
        try:
            return fold(records)
        except LedgerError as error:
            raise AssertionError(f"read() must return what was appended: {error}") from error

    def expect(self, *applied: str, because: str = "") -> None:
        """Make sure that these versions are applied, in order of application."""
        found = list(self.history().applied)
        require(found == list(applied), f"{because or 'append'}: applied is {found}, not {list(applied)}")

    def next(
        self,
        action: str,
        version: str,
        before: History | Record | None = None,
        **more: Any,  # noqa: ANN401
    ) -> Record:
        """Return the record that comes next, or behind that one."""
        before = before or self.history()
        moment, text = datetime.now(UTC), f"script of {version}"
        values: dict[str, Any] = {
            "name": f"name{version}",
            "checksum": checksum(text.encode()),
            "fingerprint": checksum(text.encode()),
            "started_at": moment,
            "finished_at": None if action.startswith("begin") else moment,
            "applied_by": "somebody@somewhere",
            "tool": VERSION,
            "reason": None if action in ("up", "down") else "a test",
            "down_sql": f"DELETE FROM {ROWS}" if action == "up" else None,
        }
        return linked(before, Record(before.seq + 1, version, action=action, **values | more))

    def claim(self, connection: Connection, record: Record) -> None:
        """Append a record; whatever is wrong about that must be a LedgerError."""
        try:
            self.ledger.append(connection, record)
        except LedgerError:
            raise
        except Exception as error:
            what = f"append() of {record.action} must raise LedgerConflict or LedgerError"
            raise AssertionError(f"{what}, not {named(error)}") from error

    def commit(self, record: Record) -> None:
        """Append a record in a transaction of its own."""
        with self.transaction() as connection:
            self.claim(connection, record)

    def append(self, *what: str) -> list[Record]:
        """Append records in one transaction; "up 1" is the action `up` for version 1."""
        records: list[Record] = []
        before: History | Record = self.history()
        with self.transaction() as connection:
            for text in what:
                action, version = text.split()
                records.append(self.next(action, version, before))
                self.claim(connection, before := records[-1])
        return records

    def is_kept(self, record: Record) -> bool:
        """Append a record; return False if the ledger says that it cannot keep it."""
        try:
            self.commit(record)
        except LedgerConflict as error:
            what = f"append() of {record.action} of {record.version!r} must not raise LedgerConflict"
            raise AssertionError(f"{what}: seq {record.seq} is free. {error}") from error
        except LedgerError:
            return False
        return True

    def refuse(self, record: Record) -> None:
        """Make sure that a record whose seq is taken is refused."""
        try:
            self.commit(record)
        except LedgerConflict:
            return
        except LedgerError as error:
            raise AssertionError(f"append() of a seq that is taken must raise LedgerConflict, not {error!r}") from error
        raise AssertionError(f"append() of {record.action} with seq {record.seq}, which is taken, must be refused")

    def migrator(self, source: Source) -> Migrator:
        """Return a Migrator over the ledger."""
        return Migrator(self.engine, source, ledger=self.ledger, acquire_timeout=_PATIENCE)


def _patiently(attempt: Callable[[], bool], trouble: str) -> None:
    until = monotonic() + _PATIENCE
    while not attempt():
        require(monotonic() < until, f"{trouble} for {_PATIENCE:g} s")
        sleep(0.01)


def at_once(calls: Sequence[Callable[[], _T]]) -> list[_T | Exception]:
    """Make calls at the same instant, a thread each; return what each returns or raises."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], _T]) -> _T | Exception:
        barrier.wait(_PATIENCE)
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - who called looks at it
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))
