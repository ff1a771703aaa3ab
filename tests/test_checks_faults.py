"""The checks for migrations of one's own: what is safe passes, what is not is caught, and nothing else is touched."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import pytest
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.pool import NullPool

from dbmigrate import (
    ConfigurationError,
    MemorySource,
    MigrationFailed,
    Migrator,
    SourceError,
    TargetError,
    python_migration,
    sql_migration,
)
from dbmigrate import database as databases
from dbmigrate.dialects import dialect_for
from dbmigrate.testing import check_crash_safe, check_race_safe, faults
from examples.json_ledger.json_ledger import JsonLedger
from examples.own_table_ledger.own_table_ledger import OwnTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbmigrate import Record
    from tests.conftest import Database

CREATE: Final = "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(20))"
USERS: Final = sql_migration("1", "users", f"{CREATE}; INSERT INTO users VALUES (1, 'a%b')", "DROP TABLE users")
ADD: Final = "INSERT INTO users VALUES (2, 'b')"
OUT: Final = "-- no-transaction\n"
#: What is no transaction, by the kind of database; on MariaDB all DDL is.
OUTSIDE: Final = {
    "sqlite": ("PRAGMA journal_mode = WAL; UPDATE users SET name = 'b'; VACUUM", "PRAGMA journal_mode = DELETE"),
    "postgresql": ("CREATE INDEX CONCURRENTLY users_name ON users (name)", "DROP INDEX CONCURRENTLY users_name"),
    "mariadb": ("CREATE INDEX users_name ON users (name)", "DROP INDEX users_name ON users"),
}
LONG: Final = {
    "sqlite": "CREATE TABLE a AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    "postgresql": "SELECT pg_sleep(600)",
}


@pytest.fixture
def url(database: Database) -> Iterator[sqlalchemy.URL]:
    """The URL of a database that does not exist, and does not exist behind the test either."""
    yield from _absent(database)


@pytest.fixture
def postgresql_url(postgresql: Database) -> Iterator[sqlalchemy.URL]:
    """The same, on PostgreSQL only."""
    yield from _absent(postgresql)


@pytest.fixture
def mariadb_url(mariadb: Database) -> Iterator[sqlalchemy.URL]:
    """The same, on MariaDB only."""
    yield from _absent(mariadb)


@pytest.fixture
def sqlite_url(sqlite: Database) -> Iterator[sqlalchemy.URL]:
    """The same, on SQLite only."""
    yield from _absent(sqlite)


def _absent(database: Database) -> Iterator[sqlalchemy.URL]:
    url = database.url.set(database=f"{database.name}_x 100%/'é" if database.server else f"{database.name} 100%'é")
    yield url
    assert not databases.drop(url, force=True), "it was not dropped"


# -- migrations, as users write them


def insert(connection: sqlalchemy.Connection) -> None:
    """Insert a row."""
    connection.execute(text("INSERT INTO users VALUES (2, 'x')"))


def mark(url: sqlalchemy.URL) -> Path:
    """Return the name of a file beside a database, for what functions do elsewhere."""
    return Path(f"{url.database}-mark")


def insert_and_mark(connection: sqlalchemy.Connection) -> None:
    """Insert two rows, and make a file in between."""
    insert(connection)
    mark(connection.engine.url).touch(exist_ok=False)
    connection.execute(text("INSERT INTO users VALUES (3, 'x')"))


def insert_differently(connection: sqlalchemy.Connection) -> None:
    """Insert one row the first time, and two the second time."""
    insert(connection)
    if mark(connection.engine.url).exists():
        connection.execute(text("INSERT INTO users VALUES (3, 'x')"))
    mark(connection.engine.url).touch()


def create_elsewhere(connection: sqlalchemy.Connection) -> None:
    """Create a table over a connection of its own, which commits by itself."""
    with connection.engine.begin() as other:
        other.execute(text("CREATE TABLE elsewhere (x INTEGER)"))


def insert_elsewhere(connection: sqlalchemy.Connection) -> None:
    """Insert a row over a connection of its own, so a second run is one row too many."""
    with connection.engine.begin() as other:
        other.execute(text("INSERT INTO users SELECT max(id) + 1, 'x' FROM users"))


def die(connection: sqlalchemy.Connection) -> None:
    """End the process without a word."""
    os._exit(7)


class InMemory:
    """A ledger that forgets with its process."""

    records: ClassVar[list[Record]] = []

    def read(self, connection: sqlalchemy.Connection) -> Sequence[Record]:  # noqa: ARG002
        """Return what this process knows."""
        return list(self.records)

    def create(self, connection: sqlalchemy.Connection) -> None:
        """Do nothing."""

    def append(self, connection: sqlalchemy.Connection, record: Record) -> None:  # noqa: ARG002
        """Remember."""
        self.records.append(record)


class Committing(OwnTable):
    """A ledger that commits its row by itself, ahead of the step."""

    def append(self, connection: sqlalchemy.Connection, record: Record) -> None:
        """Use a connection of its own."""
        with connection.engine.begin() as other:
            super().append(other, record)


# -- kills


def test_safe_migrations_pass(database: Database, url: sqlalchemy.URL) -> None:
    """Both ways, in a transaction and outside; whatever is in doubt is settled."""
    up, down = OUTSIDE[database.kind]
    outside = sql_migration("2", "outside", f"{OUT}{up}", f"{OUT}{down}")
    since = "1" if database.server else None  # a database on a server takes a while to create

    crashes = check_crash_safe(Migrator(url, MemorySource([USERS, outside])), since=since)

    assert crashes.kills > 30
    assert crashes.settled > 0 or database.kind == "sqlite"
    assert crashes.asked == ()


def test_only_what_is_new(sqlite_url: sqlalchemy.URL) -> None:
    """What stands before it need not have a way back."""
    source = MemorySource([sql_migration("1", "users", CREATE), sql_migration("2", "more", ADD, "DELETE FROM users")])
    migrator = Migrator(sqlite_url, source)

    crashes = check_crash_safe(migrator, since="1")

    assert 30 < crashes.kills < 50  # both ways
    with pytest.raises(TargetError, match="there is no migration with version '3'"):
        check_crash_safe(migrator, since="3")


def test_a_function_is_killed_between_its_statements(sqlite_url: sqlalchemy.URL) -> None:
    """They are rolled back, and what it did elsewhere is not."""
    source = MemorySource([USERS, python_migration("2", "rows", insert_and_mark)])

    with pytest.raises(
        AssertionError, match=r"before INSERT INTO users VALUES \(3, 'x'\); the restart failed:(.|\n)*-mark"
    ):
        check_crash_safe(Migrator(sqlite_url, source), prepare=partial(mark(sqlite_url).unlink, missing_ok=True))


def test_a_function_outside_a_transaction_is_asked_about(sqlite_url: sqlalchemy.URL) -> None:
    """Nobody can tell how far it came; whatever else is in doubt is settled."""
    source = MemorySource([USERS, python_migration("2", "rows", insert, transaction=False)])

    assert check_crash_safe(Migrator(sqlite_url, source), since="1").asked == ("2_rows up: 2_rows.up",)


def test_a_statement_that_leaves_no_trace_is_asked_about(mariadb_url: sqlalchemy.URL, tmp_path: Path) -> None:
    """It is named with its file and line."""
    (tmp_path / "1_users.sql").write_text(CREATE)
    (tmp_path / "2_empty.sql").write_text("-- all of them\nTRUNCATE users;\n")

    crashes = check_crash_safe(Migrator(mariadb_url, tmp_path), since="1")

    assert crashes.asked == (f"2_empty up: {tmp_path}/2_empty.sql:2: TRUNCATE users",)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (create_elsewhere, r"the restart failed: MigrationFailed: (.|\n)*relation \"elsewhere\" already exists"),
        (
            insert_elsewhere,
            r"something else(.|\n)*missing: rows in public.users: 2\n- not expected: rows in public.users: 3",
        ),
    ],
)
def test_a_function_with_a_transaction_of_its_own_is_caught(
    postgresql_url: sqlalchemy.URL, function: Any, reason: str
) -> None:
    """What it committed stays when its step is killed, and happens again; the first such boundary is named."""
    source = MemorySource([USERS, python_migration("2", "elsewhere", function)])

    with pytest.raises(AssertionError, match=reason) as caught:
        check_crash_safe(Migrator(postgresql_url, source), since="1")

    assert re.match(r"upgrade\(\) was killed at boundary \d+, before RELEASE SAVEPOINT", str(caught.value))


def test_a_ledger_that_commits_by_itself_is_caught(postgresql_url: sqlalchemy.URL) -> None:
    """It says that a step is applied which was rolled back."""
    source = MemorySource([sql_migration("0", "users", "SELECT 1"), sql_migration("1", "users", CREATE)])

    with pytest.raises(AssertionError, match=r"before SELECT(.|\n)*- missing: column public.users"):
        check_crash_safe(Migrator(postgresql_url, source, ledger=Committing()), since="0")


def test_a_ledger_that_forgets_is_caught(sqlite_url: sqlalchemy.URL) -> None:
    """Each process finds an empty one, and the table in its way."""
    source = MemorySource([sql_migration("1", "users", CREATE)])

    with pytest.raises(AssertionError, match=r"behind COMMIT; (.|\n)*table users already exists"):
        check_crash_safe(Migrator(sqlite_url, source, ledger=InMemory()))


def test_a_ledger_outside_the_database(sqlite_url: sqlalchemy.URL, tmp_path: Path) -> None:
    """It has to be emptied for each turn; then a person is asked about each step that was under way."""
    migrator = Migrator(
        sqlite_url, MemorySource([sql_migration("1", "users", CREATE)]), ledger=JsonLedger(tmp_path / "ledger")
    )

    with pytest.raises(ConfigurationError, match="the ledger has records: it is somewhere else"):
        check_crash_safe(migrator)
    crashes = check_crash_safe(migrator, prepare=partial(shutil.rmtree, tmp_path / "ledger", ignore_errors=True))

    assert crashes.asked == ("1_users up: how far it came is not known",)


def test_what_migrations_expect_to_find(sqlite_url: sqlalchemy.URL) -> None:
    """It is put into each new database."""

    def prepare() -> None:
        with closing(sqlite3.connect(str(sqlite_url.database))) as connection:
            connection.execute("CREATE TABLE old (x)")

    source = MemorySource([sql_migration("1", "old", "ALTER TABLE old ADD COLUMN y")])

    assert len(check_race_safe(Migrator(sqlite_url, source), 2, prepare=prepare)) == 2
    with pytest.raises(MigrationFailed, match="no such table: old"):
        check_crash_safe(Migrator(sqlite_url, source))


# -- what is compared

CHANGES: Final = {
    "sqlite": (
        *("ALTER TABLE a ADD COLUMN z INTEGER", "CREATE INDEX i ON a (x)", "CREATE UNIQUE INDEX u ON a (z)"),
        *("CREATE VIEW w AS SELECT x FROM a", "DROP VIEW v", "CREATE VIEW v AS SELECT x, 1 FROM a"),
        *("DROP INDEX i", "CREATE INDEX i ON a (x) WHERE x > 1", "INSERT INTO a VALUES (1, 2)", "DELETE FROM a"),
        "CREATE TRIGGER t AFTER DELETE ON a BEGIN SELECT 1;END",
        *("CREATE TABLE b (x INTEGER REFERENCES a)", "DROP TABLE b", "CREATE TABLE b (x INTEGER CHECK (x > 1))"),
    ),
    "postgresql": (
        *(
            "ALTER TABLE a ADD COLUMN z INTEGER",
            "ALTER TABLE a ALTER z SET DEFAULT 1",
            "ALTER TABLE a ALTER z SET NOT NULL",
        ),
        *("ALTER TABLE a ALTER z TYPE BIGINT", "CREATE INDEX i ON a (x)", "ALTER TABLE a ADD UNIQUE (z)"),
        *(
            "ALTER TABLE a ADD CHECK (z > 1)",
            "CREATE TABLE b (x INTEGER)",
            "ALTER TABLE b ADD FOREIGN KEY (x) REFERENCES a",
        ),
        *(
            "CREATE VIEW w AS SELECT x FROM a",
            "CREATE OR REPLACE VIEW w AS SELECT x FROM b",
            "INSERT INTO a VALUES (1, 2)",
        ),
        *("CREATE MATERIALIZED VIEW m AS SELECT x FROM a", "CREATE SCHEMA s; CREATE TABLE s.a (x INTEGER)"),
        *("INSERT INTO s.a VALUES (1)", "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'"),
    ),
    "mariadb": (
        *("ALTER TABLE a ADD COLUMN z INTEGER", "ALTER TABLE a ALTER z SET DEFAULT 1", "ALTER TABLE a MODIFY z BIGINT"),
        *("CREATE INDEX i ON a (x)", "ALTER TABLE a ADD UNIQUE (z)", "ALTER TABLE a ADD CHECK (z > 1)"),
        *(
            "CREATE TABLE b (x INTEGER)",
            "ALTER TABLE b ADD FOREIGN KEY (x) REFERENCES a (x)",
            "INSERT INTO a VALUES (1, 2)",
        ),
        *("CREATE VIEW w AS SELECT x FROM a", "CREATE OR REPLACE VIEW w AS SELECT x FROM b"),
        *("CREATE PROCEDURE p() SELECT 1", "CREATE TRIGGER t AFTER DELETE ON a FOR EACH ROW SET @x = 1"),
    ),
}


def test_every_change_of_the_schema_shows(database: Database) -> None:
    """And nothing else does: twice the same is the same."""
    turns = faults._Turns(database.engine(poolclass=NullPool), None, dialect_for(database.url), None)
    database.execute("CREATE TABLE a (x INTEGER PRIMARY KEY)", "CREATE VIEW v AS SELECT x FROM a")
    states = [sorted(turns.state([]))]
    for change in CHANGES[database.kind]:
        database.execute(*change.split("; "))
        states.append(sorted(turns.state([])))
        assert states[-1] == sorted(turns.state([]))
        assert states[-1] != states[-2], change


# -- races


def test_safe_migrations_pass_a_race(database: Database, url: sqlalchemy.URL) -> None:
    """Each is applied by one of eight, and all return a report."""
    up, _ = OUTSIDE[database.kind]
    source = MemorySource([USERS, sql_migration("2", "outside", f"{OUT}{up}")])

    reports = check_race_safe(Migrator(url, source))

    assert len(reports) == 8
    assert sorted(str(outcome.step) for report in reports for outcome in report.outcomes) == [
        "1_users up",
        "2_outside up",
    ]


@pytest.mark.parametrize(
    ("create", "reason"),
    [
        ("CREATE TABLE", r"process \d of 3 failed: MigrationFailed: (.|\n)*table users already exists"),
        ("CREATE TABLE IF NOT EXISTS", r"applied by more than one of 3 processes: 1_users up \(3 times\)"),
    ],
)
def test_a_ledger_that_forgets_is_caught_in_a_race(sqlite_url: sqlalchemy.URL, create: str, reason: str) -> None:
    """Each process applies what another one has applied."""
    source = MemorySource([sql_migration("1", "users", f"{create} users (id INTEGER)")])

    with pytest.raises(AssertionError, match=reason):
        check_race_safe(Migrator(sqlite_url, source, ledger=InMemory()), 3)


def test_another_end_of_a_race_is_caught(sqlite_url: sqlalchemy.URL) -> None:
    """What is left is another number of rows."""
    source = MemorySource([USERS, python_migration("2", "rows", insert_differently)])

    with pytest.raises(AssertionError, match=r"a race of 2 processes left(.|\n)*missing: rows in users"):
        check_race_safe(Migrator(sqlite_url, source), 2)


# -- the database


def test_a_database_that_exists_is_refused(database: Database) -> None:
    """Also an empty one, for nobody can tell whether it stays so; nothing is touched."""
    for statements in ((), ("CREATE TABLE mine (x INTEGER)", "INSERT INTO mine VALUES (1)")):
        databases.create(database.url)
        database.execute(*statements)
        before = database.dump()
        for check in (check_crash_safe, check_race_safe):
            with pytest.raises(ConfigurationError, match="there is a database of that name, and it was not touched"):
                check(Migrator(database.url, MemorySource([USERS])))
            assert before == database.dump()


def test_an_engine_or_a_connection_is_refused(sqlite: Database) -> None:
    """Other processes cannot use it."""
    engine = sqlite.engine()
    with pytest.raises(ConfigurationError, match="give the Migrator a URL, not an Engine"):
        check_crash_safe(Migrator(engine, MemorySource([USERS])))
    assert not Path(sqlite.name).exists()
    with engine.begin() as connection, pytest.raises(ConfigurationError, match="a URL, not a Connection"):
        check_race_safe(Migrator(connection, MemorySource([USERS])))


def test_what_other_processes_cannot_have_is_refused(sqlite_url: sqlalchemy.URL) -> None:
    """Functions inside of functions, and sources with problems: before there is a database."""
    for source, kind, reason in (
        (MemorySource([python_migration("1", "a", lambda _: None)]), ConfigurationError, "it cannot be pickled"),
        (MemorySource([sql_migration("1", "a", "SELECT 'x")]), SourceError, "not closed|unterminated|never"),
    ):
        with pytest.raises(kind, match=reason):
            check_crash_safe(Migrator(sqlite_url, source))
        assert not databases.exists(sqlite_url)


def test_nobody_may_create_it(postgresql: Database) -> None:
    """That is said, and not more than that."""
    postgresql.execute("CREATE ROLE dbmigrate_nobody LOGIN")
    try:
        url = postgresql.url.set(username="dbmigrate_nobody", database="dbmigrate_test_nobody")
        with pytest.raises(ConfigurationError, match="cannot be created: permission denied to create database"):
            check_crash_safe(Migrator(url, MemorySource([USERS])))
    finally:
        postgresql.execute("DROP ROLE dbmigrate_nobody")


def test_an_undisturbed_run_that_fails(url: sqlalchemy.URL) -> None:
    """Its error comes out; the fixture sees that the database is dropped."""
    source = MemorySource([USERS, sql_migration("2", "b", "INSERT INTO nowhere VALUES (1)")])

    for check in (check_crash_safe, check_race_safe):
        with pytest.raises(MigrationFailed, match="nowhere"):
            check(Migrator(url, source))


def test_a_process_that_dies_of_something_else(sqlite_url: sqlalchemy.URL) -> None:
    """It is said how."""
    source = MemorySource([USERS, python_migration("2", "die", die)])

    with pytest.raises(RuntimeError, match="the process ended with 7 in the middle of the call"):
        check_crash_safe(Migrator(sqlite_url, source))


@pytest.mark.parametrize("turn", [1, 2])
def test_ctrl_c_between_calls(sqlite_url: sqlalchemy.URL, turn: int) -> None:
    """The database is dropped, whenever it comes."""
    turns = iter(range(1, 10))

    def prepare() -> None:
        if next(turns) == turn:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_crash_safe(Migrator(sqlite_url, MemorySource([USERS])), prepare=prepare)


@pytest.mark.kinds("sqlite", "postgresql")
def test_ctrl_c_in_a_call(database: Database, url: sqlalchemy.URL) -> None:
    """A migration that runs for long is ended with its process, and the database is dropped."""
    source = MemorySource([sql_migration("1", "long", LONG[database.kind])])
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    try:
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            check_crash_safe(Migrator(url, source))
        assert time.monotonic() - began < 20
    finally:
        timer.cancel()
        signal.signal(signal.SIGINT, handler)


def test_a_script_without_a_guard_is_told(tmp_path: Path) -> None:
    """The process imports the script, which would begin the check once more."""
    (tmp_path / "check.py").write_text(
        "from dbmigrate import Migrator\n"
        "from dbmigrate.testing import check_crash_safe\n"
        "check_crash_safe(Migrator('sqlite:///x.db', '.'))\n"
    )
    done = subprocess.run([sys.executable, "check.py"], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert 'the call must stand below if __name__ == "__main__":' in done.stderr.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["check.py"]
