"""What a dialect must know, and the cautious default.

Laws: a dialect is a value without state; every method gets the connection as an argument; it answers and does what it
is told, and decides nothing about migrations. While a session is open the driver is in autocommit, so that BEGIN and
COMMIT are statements like any other and a waiter holds no transaction.
"""

from __future__ import annotations

from contextlib import contextmanager, nullcontext, suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from dbmigrate.errors import ConfigurationError
from dbmigrate.scanner import DOUBLE, STANDARD, Grammar
from dbmigrate.script import PLAIN, Traits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sqlalchemy import CursorResult
    from sqlalchemy.engine import URL, Connection

    from dbmigrate.catalogue import Object, Snapshot
    from dbmigrate.dialects.client import Client
    from dbmigrate.dialects.evidence import Effect, Seen
    from dbmigrate.scanner import Statement


class StepError(Exception):
    """What a step fails with besides the errors of the database: a rule of ours that it broke."""


class EndedError(StepError):
    """A function ended the transaction of its step: what it did before may be committed."""


AS_WRITTEN = {"no_parameters": True, "stream_results": False}
#: What to do where the server denies something.
NO_RIGHT = "This user has no right to that: GRANT it, or name another user in the URL"
#: Drivers that do not read %% as %: pg8000 not in quotes, mysql-connector nowhere.
_PERCENT_AS_IT_IS = ("pg8000", "mysqlconnector")


def send(connection: Connection, sql: str) -> CursorResult[Any]:
    """Send SQL as it is written, and have all of the answer, whatever the engine does otherwise.

    Without `no_parameters` drivers read `%` in it: psycopg turns 'a%b' into something else and reports nothing.
    """
    return connection.exec_driver_sql(sql, execution_options=AS_WRITTEN)


def send_unless(connection: Connection, sql: str, is_why: Callable[[DBAPIError], bool]) -> bool:
    """Send SQL as it is written. False: it failed, and the error is one that tells why it need not, or cannot yet."""
    try:
        send(connection, sql)
    except DBAPIError as error:
        if is_why(error):
            return False
        raise
    return True


def beside_places(connection: Connection, name: str) -> str:
    """Return a name as it must be written in SQL that has %s as the place of a value.

    SQLAlchemy's preparers know it too, but mysql-connector gets the wrong one for MariaDB before SQLAlchemy 2.1.
    """
    return name if connection.dialect.driver in _PERCENT_AS_IT_IS else name.replace("%", "%%")


def scalar(connection: Connection, sql: str) -> Any:  # noqa: ANN401 - a value of the database
    """Send SQL as it is written, and return the one value that it answers with."""
    return send(connection, sql).scalar_one()


def rows(connection: Connection, sql: str) -> list[tuple[Any, ...]]:
    """Send SQL as it is written, and return its rows."""
    return [tuple(row) for row in send(connection, sql)]


class Dialect:
    """What differs between database systems."""

    #: What the databases are called whose catalogues can be compared.
    family = ""
    #: There are schemas in a database.
    has_schemas = False
    #: A database is a file of its own.
    is_file = False
    grammar: Grammar = Grammar(strings=(STANDARD,), names=(DOUBLE,))
    #: CREATE and ALTER roll back with the transaction around them.
    transactional_ddl = True
    #: BEGIN alone keeps other migrators out; then there is no lock besides it.
    begin_is_the_lock = False
    #: Whoever finds another migrator at work waits. False: the connection is the caller's (see borrowed.py).
    waits = True
    #: A connection is a session of the server. False: each transaction may have another (see pooled.py).
    has_session = True
    begin_sql = "BEGIN"
    commit_sql = "COMMIT"
    rollback_sql: tuple[str, ...] = ("ROLLBACK",)
    #: The directive foreign-keys=off means something.
    switches_foreign_keys = False
    #: The schema that the ledger is in, where no connection need be asked.
    default_home: str | None = None
    #: Column types of the ledger and journal, and what stands behind CREATE TABLE (...).
    text_type = "TEXT"
    time_type = "TIMESTAMP"
    #: The driver takes and gives datetime; otherwise it is ISO text.
    native_times = True
    table_options = ""
    #: Those of `lock_timeout` and `statement_timeout` that it has.
    limits: frozenset[str] = frozenset()
    #: What quotes a name.
    quote = '"'
    #: The client program that plans are printed for, if there is one.
    client: Client | None = None

    @property
    def own(self) -> Dialect:
        """What it is like over a connection of our own (see borrowed.py)."""
        return self

    def quoted(self, name: str) -> str:
        """Return a name as an identifier, for SQL that is sent as it is written."""
        return self.quote + name.replace(self.quote, self.quote * 2) + self.quote

    def traits(self, statement: Statement) -> Traits:  # noqa: ARG002
        """Return what a statement does to its transaction and session, judged by its text alone."""
        return PLAIN

    def catalogue(self, connection: Connection) -> Iterable[Object]:  # noqa: ARG002
        """Give everything in the database that migrations can create, as its catalogue has it (see schema/)."""
        raise ConfigurationError("dbmigrate cannot read the catalogue of this database: its dialect does not say how")

    def as_meant(self, objects: Iterable[Object]) -> Iterable[Object]:
        """Return objects in one spelling of types and defaults, where the catalogue has them as they were written."""
        return objects

    def as_named(self, before: Iterable[Object], after: Iterable[Object]) -> Iterable[Object]:  # noqa: ARG002
        """Return what was before by the names that it has after, as far as it is the same and nobody chose them."""
        return before

    def selected(self, taken: Snapshot, is_wanted: Callable[[Object], bool]) -> Snapshot:
        """Return what is wanted of a snapshot, and what that needs where its script would not run without."""
        from dbmigrate.catalogue import sorted_snapshot  # noqa: PLC0415 - only where schemas are compared

        return sorted_snapshot(taken.dialect, filter(is_wanted, taken))

    def make_room(self, objects: Iterable[Object]) -> Iterable[str]:
        """Return the statements that drop what SQLAlchemy's models can have, as far as it stands for itself."""
        return [f"DROP TABLE {self.quoted(item.name)}" for item in objects if item.kind == "table"]

    def lasting(self, item: Object) -> Object:
        """Return an object without what depends on when it was made."""
        return item

    def alike(self, expected: Iterable[Object], found: Iterable[Object]) -> tuple[Iterable[Object], Iterable[Object]]:
        """Return what migrations make and what is in a database, without what differs though nobody changed it."""
        return map(self.lasting, expected), map(self.lasting, found)

    def for_shadow(self, text: str, live: str, others: Collection[str]) -> str:  # noqa: ARG002
        """Return a script that does in a shadow database what it does in the database `live`, and nothing outside.

        `others` are the other databases on the server. Lines stay where they are. Raises ValueError if that cannot be.
        """
        return text

    def elsewhere(self, text: str, others: Collection[str]) -> str:  # noqa: ARG002
        """Return the name of another database as a script has it where it would write there, as far as its text tells.

        `others` are those on the server, in lower case. "": it names none.
        """
        return ""

    def is_same(self, connection: Connection, one: str, other: str) -> bool:  # noqa: ARG002
        """Tell whether two names are those of one database."""
        return one == other

    def leave(self, new: Connection) -> None:
        """Take away what a shadow database would leave behind on its server."""

    def imitate(self, live: Connection, new: Connection, scripts: Sequence[str]) -> Sequence[str]:  # noqa: ARG002
        """Make a new database like another in what no migration makes: its defaults, and what `scripts` expect.

        Both connections are in autocommit. Returns the statements that each session in the new one must begin with.
        """
        return ()

    def exists(self, url: URL) -> bool:  # noqa: ARG002
        """Tell whether there is a database to read; connecting must not be what creates it."""
        return True

    def beside(self, url: URL, folder: Path) -> URL:  # noqa: ARG002
        """Return a URL whose relative path, if it has one, counts from a folder."""
        return url

    def vanishes(self, url: URL) -> bool:  # noqa: ARG002
        """Tell whether the database would end with the engine that is made for one call."""
        return False

    def manage(self, url: URL) -> tuple[str, Sequence[URL]]:
        """Return the database that a URL names, and what to connect to instead so that it can be created or dropped.

        The first that can be reached serves. Raises ConfigurationError where the name cannot be meant.
        """
        raise ConfigurationError(f"dbmigrate cannot create or drop databases of {url.get_backend_name()}: do it there")

    def is_system(self, name: str) -> bool:  # noqa: ARG002
        """Tell a database that comes with the server, and is never dropped."""
        return False

    def has_database(self, connection: Connection, name: str) -> bool:
        """Tell whether there is such a database."""
        raise NotImplementedError

    def create_database(self, connection: Connection, name: str) -> bool:
        """Create a database. False: there is one."""
        raise NotImplementedError

    def drop_database(self, connection: Connection, name: str, *, force: bool) -> bool:
        """Drop a database, with `force` even where others are at work in it. False: there is none."""
        raise NotImplementedError

    def list_databases(self, connection: Connection, prefix: str) -> Sequence[str]:  # noqa: ARG002
        """Return the names that begin so, of all databases that this user may see; none where there is no list."""
        return ()

    def contents(self, connection: Connection, last: str) -> Sequence[str]:
        """Say what `empty_database` would remove besides `last`."""
        return [str(item) for item in self.catalogue(connection) if item.name != last]

    def empty_database(self, connection: Connection, name: str, last: str) -> None:  # noqa: ARG002
        """Remove everything from the database that a connection is in, as far as its user may; `last` goes last.

        Raises ConfigurationError where that cannot be done, and has done nothing then.
        """
        raise ConfigurationError(f"dbmigrate cannot empty the database {name!r}: name one that does not exist")

    def stay(self, connection: Connection) -> None:
        """Keep the server from ending a session that says nothing for long."""

    def end_sessions(self, connection: Connection, name: str) -> None:
        """End whoever is at work in a database, as far as this user may, but for this connection."""

    def copy_database(self, connection: Connection, source: str, target: str) -> bool:
        """Create a database with all that is in another one. False: there is one of that name."""
        raise NotImplementedError

    def restore_database(self, connection: Connection, source: str, target: str) -> None:
        """Make a database what another one is, whatever is in it and whoever is at work in it."""
        while not self.copy_database(connection, source, target):
            self.drop_database(connection, target, force=True)

    def is_refusal(self, error: DBAPIError) -> bool:  # noqa: ARG002
        """Tell whether the server refused to create or drop a database, and has changed nothing."""
        return False

    def is_disposable(self, connection: Connection) -> bool:  # noqa: ARG002
        """Tell whether the database outlives this connection, so that it can be closed instead of reused."""
        return True

    def is_shared(self, connection: Connection) -> bool:  # noqa: ARG002
        """Tell whether a connection that a pool just gave is in a transaction of somebody else's."""
        return False

    def check(self, connection: Connection) -> None:
        """Raise ConfigurationError where scripts would not mean over this connection what they mean here."""

    def autocommits(self, connection: Connection) -> bool:
        """Tell whether every statement over a connection of the caller's would commit by itself."""
        raw: Any = connection.connection.dbapi_connection
        return (raw.get_autocommit() if hasattr(raw, "get_autocommit") else getattr(raw, "autocommit", False)) is True

    def join(self, connection: Connection) -> bool:  # noqa: ARG002
        """Send a BEGIN that the driver of a caller's connection has put off. False: the database is busy."""
        return True

    def behind(self, connection: Connection) -> Dialect:  # noqa: ARG002
        """Return what the database is like over this connection, which may lead through a pooler."""
        return self

    @contextmanager
    def session(
        self,
        connection: Connection,
        wait: float,  # noqa: ARG002
    ) -> Generator[None]:
        """Put the session into autocommit. It is closed at the end, or, where it cannot be, restored on every path.

        `wait` is how long (seconds) the caller is ready to wait for another migrator.
        """
        raw: Any = connection.connection.dbapi_connection
        try:
            self.autocommit(connection)
            yield
        finally:
            if connection.invalidated:
                # SQLAlchemy only forgets what is no longer in a pool, and the server would keep the session, and with
                # it the lock, for as long as a traceback keeps the connection. Most are closed already, and say so.
                with suppress(connection.dialect.loaded_dbapi.Error):
                    raw.close()

    def autocommit(self, connection: Connection) -> None:
        """Have every statement commit by itself, until the connection is closed."""
        # Not as an execution option: the pool would undo that on a connection which is not this one any more.
        connection.dialect.set_isolation_level(connection.connection.dbapi_connection, "AUTOCOMMIT")  # type: ignore[arg-type]

    def limit(self, connection: Connection, name: str, seconds: float) -> Sequence[str]:
        """Return the statements that set one of the `limits` for this session."""
        raise NotImplementedError

    def settings(self, connection: Connection) -> Sequence[str]:  # noqa: ARG002
        """Return the statements that make scripts mean in any session what they mean over this connection."""
        return ()

    def home(self, connection: Connection, table: str) -> str | None:
        """Return the schema that an unqualified ledger is in, or will be created in."""
        raise NotImplementedError

    def lock_key(self, home: str | None, table: str) -> str:
        """Return the name of the lock for a ledger, the same in every process."""
        return sha256(f"dbmigrate\x1f{home or ''}\x1f{table}".encode()).hexdigest()

    def lock_sql(self, key: str) -> str | None:  # noqa: ARG002
        """Return the condition that takes the migration lock if it is free. None: BEGIN is the lock."""
        return None

    def try_lock(self, connection: Connection, key: str) -> bool:
        """Take the migration lock for this session if it is free. Never wait: a waiter can deadlock with its holder.

        Where the connection is the caller's, take it for the transaction, if there is such a lock.
        """
        return bool(scalar(connection, f"SELECT {self.lock_sql(key)}"))

    def unlock(self, connection: Connection, key: str) -> None:
        """Give the lock back."""
        raise NotImplementedError

    def has_lock(self, connection: Connection, key: str) -> bool:  # noqa: ARG002
        """Tell whether that connection still has the lock that it took."""
        return True

    def share(self, key: str) -> Sequence[str]:  # noqa: ARG002
        """Return what a transaction begins with, so that the lock is not had by anyone else before it has ended."""
        return ()

    def kept(self, connection: Connection) -> Sequence[tuple[str, str]]:  # noqa: ARG002
        """Return the settings that a session has when a transaction begins: where there are no sessions."""
        return ()

    def reset(self, connection: Connection, kept: Sequence[tuple[str, str]]) -> None:
        """Undo what a script made of its session, inside its transaction: where there are no sessions."""
        raise NotImplementedError

    def lock_beside(self, connection: Connection) -> AbstractContextManager[Callable[[], bool]]:
        """Give what tries to take a lock beside the database; it is given back at the end.

        For where BEGIN is the lock, and the ledger is not in the database: between two transactions nothing else keeps
        others out.
        """
        raise NotImplementedError

    def holder(self, connection: Connection, key: str) -> str | None:  # noqa: ARG002
        """Describe the session that holds the lock, where the database tells."""
        return None

    def session_id(self, connection: Connection) -> str | None:  # noqa: ARG002
        """Return what tells this session from all others, earlier ones included."""
        return None

    def is_alive(self, connection: Connection, session: str) -> bool:  # noqa: ARG002
        """Tell whether the session of that id may still be running something."""
        return False

    def is_running(self, connection: Connection, sql: Sequence[str]) -> bool:  # noqa: ARG002
        """Tell whether another session is at one of these statements, where it may outlive who sent it unnoticed."""
        return False

    def begin(self, connection: Connection) -> bool:
        """Open a transaction. False: the database is busy with another migrator; try again later."""
        send(connection, self.begin_sql)
        return True

    def commit(self, connection: Connection) -> bool:
        """Commit. False: the database is busy, the transaction is still open; try again later.

        PostgreSQL answers COMMIT of a failed transaction with a rollback and no error. It does not come to that: the
        ledger's row is the last statement before, and fails in such a transaction.
        """
        send(connection, self.commit_sql)
        return True

    def rollback(self, connection: Connection) -> str | None:
        """Roll back what is open, if anything is. Return a warning if something could not be rolled back."""
        for sql in self.rollback_sql:
            send(connection, sql)
        return None

    def drain(self, cursor: Any) -> None:  # noqa: ANN401 - the driver's
        """Read what a statement answers to its end: an error may stand behind the first rows, or results."""
        while cursor.description is not None and cursor.fetchmany(1000):
            pass

    def in_transaction(self, connection: Connection) -> bool:  # noqa: ARG002
        """Tell whether the transaction is still open; asked after every statement, so it must not ask the server."""
        return True

    def foreign_keys_off(self, connection: Connection) -> AbstractContextManager[Callable[[], None]]:
        """Switch foreign keys off around a transaction; what is entered checks them, and raises, before COMMIT."""
        raise NotImplementedError

    def sparing(self, connection: Connection) -> AbstractContextManager[object]:  # noqa: ARG002
        """Keep an error in what is inside from spoiling the transaction around it."""
        return nullcontext()

    def is_missing_table(self, error: DBAPIError) -> bool:
        """Tell whether an error says that a table does not exist."""
        raise NotImplementedError

    def is_conflict(self, error: DBAPIError) -> bool:
        """Tell whether a write to the ledger failed because another migrator was there first."""
        raise NotImplementedError

    def is_spoiled(self, error: DBAPIError) -> bool:  # noqa: ARG002
        """Tell whether a savepoint cannot be released because the transaction failed, and is still there."""
        return False

    def is_transient(self, error: DBAPIError) -> bool:  # noqa: ARG002
        """Tell whether a transaction failed only because of another one, and may be tried again."""
        return False

    def reaches_out(self, statement: Statement) -> bool:  # noqa: ARG002
        """Tell whether a statement may do something that does not roll back, by what it names."""
        return False

    def blockers(self, connection: Connection, sql: str) -> Sequence[str]:  # noqa: ARG002
        """Describe the sessions that have locks on what a statement names, where the database tells."""
        return ()

    def patience(self, statement: Statement, seconds: float) -> tuple[str, ...]:  # noqa: ARG002
        """Return what lifts a lock timeout of so many seconds for a statement that nobody waits behind, and sets it."""
        return ()

    def had_no_effect(self, error: DBAPIError) -> bool:  # noqa: ARG002
        """Tell whether the server refused a statement before it did anything, however far such a one may get."""
        return False

    def effect(self, statement: Statement) -> Effect | None:  # noqa: ARG002
        """Say what a statement does to the catalogue. None: nothing there could tell for certain whether it ran."""
        return None

    def look(self, connection: Connection, effect: Effect) -> Seen | None:  # noqa: ARG002
        """Return what the catalogue says of what an effect is about. None: this user may not see it."""
        return {}

    def leftovers(self, effect: Effect, before: Seen, now: Seen) -> Sequence[str]:  # noqa: ARG002
        """Return the statements that remove what a statement left behind when it did not come to its end."""
        return ()

    def objection(self, effect: Effect, seen: Seen) -> str | None:  # noqa: ARG002
        """Say why a statement must not run where the catalogue says this, if so."""
        return None

    def message(self, error: DBAPIError) -> str:
        """Return what the database said, without the statement."""
        return str(error.orig).strip()

    def hint(self, error: DBAPIError) -> str | None:  # noqa: ARG002
        """Return what to do about an error of a migration's statement, where more can be said than the server does."""
        return None

    def locate(self, error: DBAPIError, statement: Statement) -> int | None:  # noqa: ARG002
        """Return the offset in the statement that the server points to, if it does."""
        return None
