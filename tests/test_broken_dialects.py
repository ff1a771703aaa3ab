"""The contract of a dialect finds what is wrong: each of these fails the test that is named beside it."""

# ruff: noqa: ARG002 - to overlook what one is given is what is wrong with most of them

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from dbmigrate import MigrationError
from dbmigrate.dialects.base import Dialect, rows, send
from dbmigrate.dialects.mysql import MySQL
from dbmigrate.dialects.postgresql import PostgreSQL
from dbmigrate.dialects.sqlite import SQLite
from dbmigrate.dialects.sqlite_grammar import SQLITE
from dbmigrate.scanner import BACKSLASHED, DOUBLE, STANDARD, Grammar
from dbmigrate.testing import DialectContract, check
from tests.test_broken import promises

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import sqlalchemy
    from sqlalchemy import Connection
    from sqlalchemy.exc import DBAPIError

    from dbmigrate.catalogue import Object
    from tests.conftest import Database


class Unlocked(PostgreSQL):
    """Everybody has the lock."""

    def try_lock(self, connection: Connection, key: str) -> bool:
        """Say so."""
        return True


class Greedy(PostgreSQL):
    """The lock is never given back."""

    def unlock(self, connection: Connection, key: str) -> None:
        """Do nothing."""


class Unaware(PostgreSQL):
    """Whoever has the lock does not know it."""

    def has_lock(self, connection: Connection, key: str) -> bool:
        """Deny it."""
        return False


class Patient(MySQL):
    """Who does not get the lock waits for it."""

    def lock_sql(self, key: str) -> str:
        """Wait."""
        return f"GET_LOCK('{key}', 11) <=> 1"


class RowLock(MySQL):
    """A row in a table is the lock, and stays behind a kill."""

    def try_lock(self, connection: Connection, key: str) -> bool:
        """Insert it."""
        send(connection, "CREATE TABLE IF NOT EXISTS row_lock (name VARCHAR(99) PRIMARY KEY)")
        found = send(connection, f"INSERT IGNORE INTO row_lock VALUES ('{key}')")
        return found.rowcount == 1

    def unlock(self, connection: Connection, key: str) -> None:
        """Delete it."""
        send(connection, f"DELETE FROM row_lock WHERE name = '{key}'")


class Deferred(SQLite):
    """BEGIN keeps nobody out."""

    begin_sql = "BEGIN"


class Fleeting(PostgreSQL):
    """The lock ends with what is next."""

    def lock_sql(self, key: str) -> str:
        """Take that of the transaction."""
        return super().lock_sql(key).replace("_lock(", "_xact_lock(")


class OneForAll(PostgreSQL):
    """All ledgers have one lock."""

    def lock_key(self, home: str | None, table: str) -> str:
        """Return it."""
        return "0" * 16


#: Not ids: one may be had by two, one behind the other.
_NUMBERS = count()


class OnePerProcess(PostgreSQL):
    """Nobody else has the same lock for a ledger."""

    def lock_key(self, home: str | None, table: str) -> str:
        """Take in what is one's own."""
        return super().lock_key(home, f"{table}{next(_NUMBERS)}")


class Manual(MySQL):
    """A session is in a transaction all the time."""

    def autocommit(self, connection: Connection) -> None:
        """Switch it off."""
        send(connection, "SET SESSION autocommit = 0")


class NoBegin(PostgreSQL):
    """Nothing is begun."""

    def begin(self, connection: Connection) -> bool:
        """Pretend."""
        return True


class NoCommit(PostgreSQL):
    """What is committed is taken back."""

    commit_sql = "ROLLBACK"


class NoRollback(PostgreSQL):
    """What is taken back is committed."""

    rollback_sql = ("COMMIT",)


class Half(PostgreSQL):
    """A rollback leaves a transaction open."""

    rollback_sql = ("ROLLBACK", "BEGIN")


class Optimist(MySQL):
    """DDL is said to roll back."""

    transactional_ddl = True


class Pessimist(PostgreSQL):
    """DDL is said to commit."""

    transactional_ddl = False


class Blind(SQLite):
    """A transaction is never open."""

    def in_transaction(self, connection: Connection) -> bool:
        """Deny it."""
        return False


class Careless(PostgreSQL):
    """Quotes in names are not doubled."""

    def quoted(self, name: str) -> str:
        """Put quotes around."""
        return f'"{name}"'


class Lowering(SQLite):
    """Names lose their capitals."""

    def quoted(self, name: str) -> str:
        """Lower them."""
        return super().quoted(name.lower())


class Escaping(SQLite):
    """A backslash is taken for an escape where it is none."""

    grammar = Grammar(strings=(BACKSLASHED,), names=SQLITE.names, quotes=SQLITE.quotes, body=SQLITE.body)


class Literal(MySQL):
    """A backslash is taken for none where it is one."""

    grammar = Grammar(strings=(STANDARD,), names=MySQL.grammar.names, quotes=MySQL.grammar.quotes)


class Unquoted(MySQL):
    """A semicolon in backticks ends a statement."""

    grammar = Grammar(strings=MySQL.grammar.strings, names=(DOUBLE,))


class ByDay(PostgreSQL):
    """Times are cut."""

    time_type = "DATE"


class ByMillisecond(MySQL):
    """Times are rounded."""

    time_type = "DATETIME(3)"


class Brief(MySQL):
    """Texts are too long for it."""

    text_type = "TEXT"


class Nameless(PostgreSQL):
    """All sessions are called the same."""

    def session_id(self, connection: Connection) -> str | None:
        """Return the name."""
        return "1@1"


class Immortal(PostgreSQL):
    """All sessions live for ever."""

    def is_alive(self, connection: Connection, session: str) -> bool:
        """Say so."""
        return True


class Dead(MySQL):
    """No session is alive."""

    def is_alive(self, connection: Connection, session: str) -> bool:
        """Say so."""
        return False


class AllMissing(PostgreSQL):
    """Every error is a missing table."""

    def is_missing_table(self, error: DBAPIError) -> bool:
        """Say so."""
        return True


class NoConflict(SQLite):
    """No error is a key that is taken."""

    def is_conflict(self, error: DBAPIError) -> bool:
        """Say so."""
        return False


class Hopeful(MySQL):
    """Everything will be well the next time."""

    def is_transient(self, error: DBAPIError) -> bool:
        """Say so."""
        return True


class Silent(SQLite):
    """Errors say nothing."""

    def message(self, error: DBAPIError) -> str:
        """Return nothing."""
        return ""


class Endless(PostgreSQL):
    """A limit is not set."""

    def limit(self, connection: Connection, name: str, seconds: float) -> Sequence[str]:
        """Send nothing."""
        return ()


class Hopeless(MySQL):
    """What another one's lock made fail is not tried again."""

    def is_transient(self, error: DBAPIError) -> bool:
        """Say so."""
        return False


class NoCatalogue(SQLite):
    """There is never anything."""

    def catalogue(self, connection: Connection) -> Iterable[Object]:
        """Give nothing."""
        return ()


class NoColumns(SQLite):
    """Tables have no columns."""

    def catalogue(self, connection: Connection) -> Iterable[Object]:
        """Leave them out."""
        return (item for item in super().catalogue(connection) if item.kind != "column")


class Counting(SQLite):
    """The catalogue tells of what is gone."""

    def catalogue(self, connection: Connection) -> Iterable[Object]:
        """Take its version for a thing."""
        from dbmigrate.catalogue import made

        yield from super().catalogue(connection)
        yield made("extension", "version", {"number": rows(connection, "PRAGMA schema_version")[0][0]})


class NoFamily(SQLite):
    """Nobody knows whose catalogue it is."""

    family = ""


class Elsewhere(PostgreSQL):
    """The ledger is said to be where it is not found."""

    def home(self, connection: Connection, table: str) -> str | None:
        """Name a schema that is not there."""
        return "nowhere"


class Swallowing(SQLite):
    """A step that failed is committed."""

    rollback_sql = ("COMMIT",)

    def rollback(self, connection: Connection) -> str | None:
        """Commit what is open."""
        raw: Any = connection.connection.dbapi_connection
        if raw.in_transaction:
            send(connection, "COMMIT")
        return None


class Racing(SQLite):
    """Who comes second fails."""

    def begin(self, connection: Connection) -> bool:
        """Do not say that it is busy."""
        send(connection, "PRAGMA busy_timeout = 0")
        send(connection, self.begin_sql)
        time.sleep(0.05)
        return True


DIALECTS: dict[type[Dialect], tuple[str, ...]] = {
    Unlocked: ("test_the_lock_keeps_others_out",),
    Greedy: ("test_the_lock_keeps_others_out",),
    Unaware: ("test_the_lock_keeps_others_out",),
    Patient: ("test_the_lock_keeps_others_out",),
    Deferred: ("test_the_lock_keeps_others_out",),
    RowLock: ("test_the_lock_ends_with_its_session",),
    Fleeting: ("test_the_lock_outlives_transactions",),
    OneForAll: ("test_each_ledger_has_a_lock_of_its_own",),
    OnePerProcess: ("test_each_ledger_has_a_lock_of_its_own",),
    Manual: ("test_each_statement_commits_by_itself",),
    NoBegin: ("test_commit_commits", "test_rollback_rolls_back", "test_transactional_ddl_is_the_truth"),
    NoCommit: ("test_commit_commits",),
    NoRollback: ("test_rollback_rolls_back", "test_transactional_ddl_is_the_truth"),
    Half: ("test_rollback_rolls_back",),
    Optimist: ("test_transactional_ddl_is_the_truth",),
    Pessimist: ("test_transactional_ddl_is_the_truth",),
    Blind: ("test_in_transaction_is_true_while_it_is_open",),
    Careless: ("test_names_are_quoted",),
    Lowering: ("test_names_are_quoted",),
    Escaping: ("test_statements_are_cut_as_the_server_reads_them",),
    Literal: ("test_statements_are_cut_as_the_server_reads_them",),
    Unquoted: ("test_statements_are_cut_as_the_server_reads_them",),
    ByDay: ("test_times_and_texts_come_back",),
    ByMillisecond: ("test_times_and_texts_come_back",),
    Brief: ("test_times_and_texts_come_back",),
    Nameless: ("test_sessions_are_told_apart",),
    Immortal: ("test_sessions_are_told_apart",),
    Dead: ("test_sessions_are_told_apart",),
    AllMissing: ("test_errors_are_told_apart",),
    NoConflict: ("test_errors_are_told_apart",),
    Hopeful: ("test_errors_are_told_apart",),
    Silent: ("test_errors_are_told_apart",),
    Endless: ("test_a_lock_timeout_is_kept",),
    Hopeless: ("test_a_lock_timeout_is_kept",),
    NoCatalogue: ("test_the_catalogue_tells_of_changes",),
    NoColumns: ("test_the_catalogue_tells_of_changes",),
    Counting: ("test_the_catalogue_tells_of_changes",),
    NoFamily: ("test_the_catalogue_tells_of_changes",),
    Elsewhere: ("test_a_migrator_uses_it",),
    Swallowing: ("test_a_migrator_uses_it",),
    Racing: ("test_migrators_at_once",),
}


class Over(DialectContract):
    """The contract of a dialect, over one that is given."""

    def __init__(self, dialect: Callable[[], Dialect], engine: Callable[[], sqlalchemy.Engine]) -> None:
        """Take what its methods return."""
        self._dialect, self._engine = dialect, engine

    def make(self) -> Dialect:
        """Return a new one."""
        return self._dialect()

    def engine(self) -> sqlalchemy.Engine:
        """Return an engine."""
        return self._engine()


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, names in DIALECTS.items() for name in names],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_a_broken_dialect_is_caught(request: pytest.FixtureRequest, kind: type[Dialect], name: str) -> None:
    """By a message of the contract, or of the Migrator that uses it."""
    fixture = "sqlite" if issubclass(kind, SQLite) else "mariadb" if issubclass(kind, MySQL) else "postgresql"
    database: Database = request.getfixturevalue(fixture)

    with pytest.raises((AssertionError, MigrationError), match=r"\w+ \w+"):
        getattr(Over(kind, database.engine), name)()


def test_every_promise_of_a_dialect_is_broken_once() -> None:
    """The table above leaves no test out."""
    assert {name for names in DIALECTS.values() for name in names} == promises(DialectContract)


def test_what_must_be_overridden_says_so() -> None:
    """A contract that was not filled in passes nothing."""
    with pytest.raises(ExceptionGroup) as caught:
        check(DialectContract)
    assert len(caught.value.exceptions) == len(promises(DialectContract))
    assert "override engine()" in str(caught.value.exceptions[0])


def test_what_there_is_nothing_to_test_with_is_skipped(sqlite: Database) -> None:
    """SQLite has no sessions, no limits, and no lock but BEGIN; each skip has its reason."""
    engines = (sqlite.another().engine() for _ in range(100))

    checked = check(lambda: Over(SQLite, lambda: next(engines)))

    assert {name for name, _ in checked.skipped} == {
        "test_a_lock_timeout_is_kept",
        "test_each_ledger_has_a_lock_of_its_own",
        "test_sessions_are_told_apart",
        "test_the_lock_outlives_transactions",
    }
    assert {*checked.passed} | {name for name, _ in checked.skipped} == promises(DialectContract)
