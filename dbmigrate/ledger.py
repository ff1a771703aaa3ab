"""The append-only record, in the database, of what happened; and the journal of non-transactional steps.

Rows are inserted, never updated or deleted. The primary key of the next `seq` is the fence that makes "exactly once"
true, even where locks do not work.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, ClassVar, Protocol

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from dbmigrate.dialects import Dialect, dialect_for
from dbmigrate.dialects.base import beside_places, send
from dbmigrate.errors import ConfigurationError, LedgerConflict, LedgerError, MigrationError
from dbmigrate.model import JournalEntry, Record
from dbmigrate.plan import History, fold

#: PostgreSQL cuts longer names silently; the journal's name is eight longer than the ledger's.
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,54}")
#: The columns; the last of each is written only.
_COLUMNS = tuple(column.name for column in fields(Record))
_JOURNAL = (*(column.name for column in fields(JournalEntry)), "at")
_TIMES = slice(_COLUMNS.index("started_at"), _COLUMNS.index("finished_at") + 1)


class LedgerBusyError(LedgerError):
    """The ledger cannot be read just now: somebody is writing to the database. Handled inside, by waiting."""


class Ledger(Protocol):
    """The port through which the record of what happened is kept.

    To write one:

    1. `read` returns all records in order of `seq`, and none where there is no ledger yet; an error in an open
       transaction would spoil it, so ask first whether there is a table. One that keeps only what is applied now makes
       up its records (action `up`, seq rising in order of application, no `chain`).
    2. `create` makes it, and does nothing where it is. Where somebody else is just doing so it may raise
       LedgerConflict, and is called again.
    3. `append` claims `record.seq`, which is above all that `read` returns, or raises LedgerConflict: a unique key, or
       a file that can be made only once. That is the fence behind "exactly once".
    4. What it cannot keep it refuses with a LedgerError, and nothing runs. It needs `up`, `down` and `baseline`;
       `begin_up`, `begin_down`, `resolve_applied` and `resolve_unapplied` for steps that are no transaction, `accept`
       for edits. Besides `seq`, `version` and `action` every field may be lost: it is None then, and a name "".
    5. None of them commits or rolls back: the transaction that is open on the connection is not theirs. A Migrator
       opens it by a statement, over a connection in autocommit, so `connection.in_transaction()` tells nothing.
    6. If it is not in the migrated database, say `transactional = False`: the begin of each step is then recorded
       before it, and its end behind its transaction, so it must keep both.
    7. Be a value, as a frozen dataclass is: it is used from any thread.
    8. Run `dbmigrate.testing.LedgerContract` over it. `examples/own_table_ledger` and `examples/json_ledger` are whole
       ones.

    There is no journal but in a TableLedger, so an interrupted step can only be resolved whole.
    """

    def read(self, connection: Connection) -> Sequence[Record]:
        """Return all records in order of `seq`; none where there is no ledger yet. Never writes."""
        ...

    def create(self, connection: Connection) -> None:
        """Make the ledger if it does not exist; safe when several do so at once."""
        ...

    def append(self, connection: Connection, record: Record) -> None:
        """Claim the record's seq, in the transaction that is open, or raise LedgerConflict. Does not commit."""
        ...


@dataclass(frozen=True, slots=True)
class TableLedger:
    """A ledger in a table, and the journal in a second table beside it."""

    table: str = "dbmigrate_ledger"
    #: None: where the connection finds it or would create it; resolved once, before the first write.
    schema: str | None = None
    #: None: by the connection.
    dialect: Dialect | None = None
    #: Its rows commit with the step that they are about.
    transactional: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not _IDENTIFIER.fullmatch(self.table):
            raise ConfigurationError(
                f"{self.table!r} cannot be the name of a ledger: at most 55 letters, digits and _, and no digit first"
            )

    def at(self, schema: str | None, dialect: Dialect) -> TableLedger:
        """Return this ledger, with the schema and dialect settled."""
        return replace(self, schema=self.schema or schema or dialect.default_home, dialect=dialect)

    def read(self, connection: Connection, *, brief: bool = False) -> Sequence[Record]:
        """Return all records in order of seq; none where the table does not exist. Never writes.

        `brief`: only the columns that the chain protects, which is all that planning needs.

        Raises LedgerError if there is a table of that name that is not a ledger, or that may not be read.
        """
        columns = _COLUMNS[: _TIMES.start] if brief else _COLUMNS[:-1]
        rows = self._select(connection, f"SELECT {', '.join(columns)} FROM {self._name(connection)} ORDER BY seq")
        if brief:
            return [Record(*row) for row in rows]
        return [Record(*row[: _TIMES.start], *map(_moment, row[_TIMES]), *row[_TIMES.stop :]) for row in rows]

    def create(self, connection: Connection) -> None:
        """Create ledger and journal if they do not exist. Raises LedgerConflict if somebody else is just doing so."""
        for sql in self.definitions(self._dialect(connection)):
            self._write(connection, sql)

    def definitions(self, dialect: Dialect) -> Sequence[str]:
        """Return the statements that `create` sends."""
        words, times, options = dialect.text_type, dialect.time_type, dialect.table_options
        ledger = (
            f"CREATE TABLE IF NOT EXISTS {self.name(dialect)} (seq BIGINT NOT NULL PRIMARY KEY, "
            "version VARCHAR(255) NOT NULL, name VARCHAR(255) NOT NULL, action VARCHAR(32) NOT NULL, "
            "checksum VARCHAR(96), fingerprint VARCHAR(96), down_checksum VARCHAR(96), chain VARCHAR(96) NOT NULL, "
            f"started_at {times} NOT NULL, finished_at {times}, applied_by VARCHAR(255), session VARCHAR(255), "
            f"tool VARCHAR(64), reason {words}, down_sql {words}){options}"
        )
        journal = (
            f"CREATE TABLE IF NOT EXISTS {self.name(dialect, '_journal')} (seq BIGINT NOT NULL, "
            "entry BIGINT NOT NULL, ordinal BIGINT NOT NULL, statement_hash VARCHAR(96) NOT NULL, "
            f"state VARCHAR(16) NOT NULL, error {words}, catalogue {words}, at {times} NOT NULL, "
            f"PRIMARY KEY (seq, entry)){options}"
        )
        return (ledger, journal)

    def append(self, connection: Connection, record: Record) -> None:
        """Insert a record, without committing. Raises LedgerConflict if its seq is taken."""
        values = [getattr(record, name) for name in _COLUMNS]
        self._write(connection, self._insert(connection, "", _COLUMNS, 1), values)

    def head(self, connection: Connection) -> int:
        """Return the last seq, 0 if there is none or no table."""
        found = self._select(connection, f"SELECT max(seq) FROM {self._name(connection)}")
        return int(found[0][0] or 0) if found else 0

    def exists(self, connection: Connection) -> bool:
        """Tell whether there is such a table."""
        return bool(self._select(connection, f"SELECT count(*) FROM {self._name(connection)}"))

    def progress(self, connection: Connection) -> tuple[int, int] | None:
        """Return what changes whenever a migrator gets on: the last seq and the number of its journal entries.

        None while it cannot be told.
        """
        try:
            seq, table = self.head(connection), self._name(connection, "_journal")
            found = self._select(connection, f"SELECT count(*) FROM {table} WHERE seq = {seq}")
            return seq, int(found[0][0]) if found else 0
        except LedgerError:
            if connection.invalidated:
                raise  # or whoever waits would ask again, over a connection that is gone
            return None

    def behind(self, connection: Connection, record: Record) -> History | Record:  # noqa: ARG002
        """Return what the next record must follow, now that this one is appended."""
        return record

    def journal(self, connection: Connection, seq: int) -> Sequence[JournalEntry]:
        """Return what is known of the statements of the step that record `seq` began, in order."""
        columns, table = ", ".join(_JOURNAL[:-1]), self._name(connection, "_journal")
        sql = f"SELECT {columns} FROM {table} WHERE seq = {int(seq)} ORDER BY entry"
        return [JournalEntry(*row) for row in self._select(connection, sql)]

    def note(self, connection: Connection, entries: Sequence[JournalEntry]) -> None:
        """Insert journal entries, without committing. Raises LedgerConflict if one is taken."""
        if entries:
            now = datetime.now(UTC)
            values = [value for e in entries for value in (*(getattr(e, name) for name in _JOURNAL[:-1]), now)]
            self._write(connection, self._insert(connection, "_journal", _JOURNAL, len(entries)), values)

    def _insert(self, connection: Connection, suffix: str, columns: Sequence[str], rows: int) -> str:
        """Return an INSERT of some rows, in the driver's own parameter style; SQLAlchemy's would cost as much again."""
        style, name = connection.dialect.paramstyle, self._name(connection, suffix)
        if style in ("format", "pyformat"):
            name = beside_places(connection, name)
        return f"INSERT INTO {name} {_values(style, columns, rows)}"

    def _select(self, connection: Connection, sql: str) -> Sequence[Sequence[Any]]:
        """Run a SELECT of ours; a missing table has no rows, and does not spoil the transaction that we began."""
        ours = not connection.in_transaction()
        try:
            with self._dialect(connection).sparing(connection):
                return send(connection, sql).fetchall()
        except DBAPIError as error:
            if ours and not connection.invalidated:
                connection.rollback()
            dialect = self._dialect(connection)
            if dialect.is_missing_table(error):
                return ()
            if dialect.is_transient(error):
                raise LedgerBusyError(
                    f"the ledger {self.table} cannot be read just now: {dialect.message(error)}"
                ) from error
            advice = dialect.hint(error) or "If it belongs to something else, choose another name with ledger="
            raise LedgerError(
                f"the table {self.table} cannot be read as a ledger of dbmigrate: {dialect.message(error)}. {advice}; "
                "nothing was run"
            ) from error

    def _write(self, connection: Connection, sql: str, values: Sequence[object] = ()) -> None:
        plain = tuple(self._time(connection, v) if isinstance(v, datetime) else v for v in values)
        try:
            connection.exec_driver_sql(sql, plain) if plain else send(connection, sql)
        except DBAPIError as error:
            dialect = self._dialect(connection)
            said = dialect.message(error)
            if dialect.is_conflict(error):
                raise LedgerConflict(f"the ledger {self.table} moved: {said}") from error
            raise LedgerError(
                f"the ledger {self.table} cannot be written: {said}. {dialect.hint(error) or 'See that it can be'}, "
                "and call again; nothing stays of the step that was to be recorded"
            ) from error

    def _dialect(self, connection: Connection) -> Dialect:
        return self.dialect or dialect_for(connection.engine.url)

    def _time(self, connection: Connection, moment: datetime) -> object:
        """Return UTC without saying so, as the columns hold it in every database."""
        naive = moment.astimezone(UTC).replace(tzinfo=None)
        return naive if self._dialect(connection).native_times else naive.isoformat(" ", "microseconds")

    def name(self, dialect: Dialect, suffix: str = "") -> str:
        """Return the name of the table, or of the one beside it, quoted and with its schema."""
        return ".".join(dialect.quoted(part) for part in (self.schema, self.table + suffix) if part is not None)

    def _name(self, connection: Connection, suffix: str = "") -> str:
        return self.name(self._dialect(connection), suffix)


@lru_cache(maxsize=64)
def _values(style: str, columns: Sequence[str], rows: int) -> str:
    """Return what follows the name in an INSERT, with the places for values in a parameter style."""
    mark = "%s" if style in ("format", "pyformat") else "?" if style == "qmark" else "${}"
    row = f"({', '.join([mark] * len(columns))})"
    marks = ", ".join([row] * rows).format(*range(1, rows * len(columns) + 1))
    return f"({', '.join(columns)}) VALUES {marks}"


def _moment(value: datetime | str | None) -> datetime | None:
    value = datetime.fromisoformat(value) if isinstance(value, str) else value
    return value and value.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PlainLedger:
    """What somebody else's ledger lacks: it keeps records, and no journal."""

    port: Ledger
    #: Says in the lock's name which ledger of the database it is.
    table: str
    schema: str | None = None

    @property
    def transactional(self) -> bool:
        """Its records commit with the step that they are about."""
        return bool(getattr(self.port, "transactional", True))

    def at(self, schema: str | None, dialect: Dialect) -> PlainLedger:
        """Return this ledger, with the schema settled that its lock is for."""
        return replace(self, schema=schema or dialect.default_home)

    def read(self, connection: Connection, *, brief: bool = False) -> Sequence[Record]:  # noqa: ARG002
        """Return all records."""
        with _ours("cannot be read"):
            return tuple(self.port.read(connection))

    def create(self, connection: Connection) -> None:
        """Make the ledger if it does not exist."""
        with _ours("cannot be created"):
            self.port.create(connection)

    def append(self, connection: Connection, record: Record) -> None:
        """Claim the record's seq, or raise LedgerConflict."""
        with _ours(f"cannot keep the record {record.action} of {record}"):
            self.port.append(connection, record)

    def head(self, connection: Connection) -> int:
        """Return the last seq, 0 if there is none."""
        records = self.read(connection)
        return records[-1].seq if records else 0

    def exists(self, connection: Connection) -> bool:  # noqa: ARG002
        """Take it for granted where it must not be created, in a transaction of the caller's on MariaDB."""
        return True

    def progress(self, connection: Connection) -> tuple[int, int] | None:
        """Return what changes whenever a migrator gets on."""
        return self.head(connection), 0

    def behind(self, connection: Connection, record: Record) -> History | Record:  # noqa: ARG002
        """Read again: a ledger that keeps only what is applied now has another seq than the record."""
        return fold(self.read(connection))

    def journal(self, connection: Connection, seq: int) -> None:
        """Return that there is none."""


@contextmanager
def _ours(what: str) -> Generator[None]:
    try:
        yield
    except MigrationError:
        raise
    except Exception as error:
        raise LedgerError(f"the ledger {what}: {type(error).__name__}: {error}") from error
