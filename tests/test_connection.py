"""A Connection of the caller's: migrations inside a transaction that is not ours to end."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.pool import StaticPool

from dbmigrate import (
    ConfigurationError,
    Event,
    MemorySource,
    MigrationFailed,
    MigrationInProgress,
    Migrator,
    NotCurrent,
    SourceError,
    StalePlan,
    python_migration,
    sql_migration,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Database

pytestmark = pytest.mark.every_driver

# On MariaDB tables must be there before, for only DML rolls back with a transaction.
TABLES = "CREATE TABLE a (x INTEGER)", "CREATE TABLE mine (x INTEGER)"
DML = MemorySource(
    [
        sql_migration("1", "a", "INSERT INTO a VALUES (1); INSERT INTO a VALUES (2)", "DELETE FROM a WHERE x < 3"),
        sql_migration("2", "b", "INSERT INTO a VALUES (3)", "DELETE FROM a WHERE x = 3"),
    ]
)
DDL = MemorySource(
    [
        sql_migration("1", "a", "CREATE TABLE b (x INTEGER); INSERT INTO b VALUES (1)", "DROP TABLE b"),
        sql_migration("2", "b", "ALTER TABLE b ADD COLUMN y INTEGER", "ALTER TABLE b DROP COLUMN y"),
    ]
)


def prepared(database: Database, *, ledger: bool = True) -> sqlalchemy.Engine:
    """Return an engine of a database with tables, and with an empty ledger."""
    database.execute(*TABLES)
    engine = database.engine()
    if ledger:
        Migrator(engine, MemorySource([sql_migration("0", "zero", "DELETE FROM a")])).upgrade()
        database.execute("DELETE FROM dbmigrate_ledger")
    return engine


def insert(connection: sqlalchemy.Connection) -> None:
    """Do the caller's own work."""
    connection.execute(sqlalchemy.text("INSERT INTO mine VALUES (7)"))


def state(database: Database) -> tuple[list[int], list[int], int]:
    """Return what migrations and caller wrote, and how many records there are."""
    rows: list[Any] = [database.query(f"SELECT x FROM {table} ORDER BY x") for table in ("a", "mine")]
    count = database.query("SELECT count(*) FROM dbmigrate_ledger")[0][0]
    return [x for (x,) in rows[0]], [x for (x,) in rows[1]], count


def test_the_callers_commit_keeps_everything(database: Database) -> None:
    """Nothing is committed before the caller does, and then all of it is."""
    engine = prepared(database)

    with engine.begin() as connection:
        report = Migrator(connection, DML).upgrade()
        insert(connection)
        assert not Migrator(connection, DML).upgrade()
        assert Migrator(connection, DML).status().is_current
        if database.kind != "sqlite":  # whose writer would be in the way
            assert state(database) == ([], [], 0)

    assert [str(outcome.step) for outcome in report.outcomes] == ["1_a up", "2_b up"]
    assert state(database) == ([1, 2, 3], [7], 2)
    Migrator(engine, DML).verify()


def test_the_callers_rollback_takes_everything_back(database: Database) -> None:
    """Ledger rows as well."""
    engine = prepared(database)

    with engine.connect() as connection, connection.begin() as transaction:
        insert(connection)
        Migrator(connection, DML).upgrade()
        transaction.rollback()

    assert state(database) == ([], [], 0)


@pytest.mark.parametrize("ledger", [True, False])
@pytest.mark.kinds("sqlite", "postgresql")
def test_ddl_and_the_ledger_itself_are_rolled_back(database: Database, *, ledger: bool) -> None:
    """Where DDL is transactional, tables go with the caller's rollback; so does a ledger that was created in it."""
    engine = prepared(database, ledger=ledger)
    before = database.dump()

    with engine.connect() as connection, connection.begin() as transaction:
        Migrator(connection, DDL).upgrade()
        assert connection.execute(sqlalchemy.text("SELECT x, y FROM b")).all() == [(1, None)]
        transaction.rollback()

    assert database.dump() == before
    with engine.begin() as connection:
        Migrator(connection, DDL).upgrade()
    Migrator(engine, DDL).verify()


def test_autobegin_is_a_transaction(database: Database) -> None:
    """What SQLAlchemy begins with the first statement will do; commit is the caller's."""
    engine = prepared(database)

    with engine.connect() as connection:
        insert(connection)
        Migrator(connection, DML).upgrade()
        connection.commit()
        assert state(database) == ([1, 2, 3], [7], 2)
        connection.execute(sqlalchemy.text("SELECT 1"))
        Migrator(connection, DML).downgrade(to="base")
        connection.rollback()

    assert state(database) == ([1, 2, 3], [7], 2)


def test_a_savepoint_of_the_callers(database: Database) -> None:
    """Inside begin_nested() the caller can take the migrations back, and keep what was before."""
    engine = prepared(database)

    with engine.begin() as connection:
        insert(connection)
        with connection.begin_nested() as savepoint:
            Migrator(connection, DML).upgrade()
            savepoint.rollback()
        assert not Migrator(connection, DML).status().applied
        with connection.begin_nested():
            Migrator(connection, DML).upgrade(to="1")

    assert state(database) == ([1, 2], [7], 1)


def test_a_failed_migration_leaves_the_callers_transaction_usable(database: Database) -> None:
    """Only the step is rolled back, to its savepoint; the caller may go on, and commit what was before."""
    engine = prepared(database)
    bad = MemorySource(
        [*DML.migrations, sql_migration("3", "c", "INSERT INTO a VALUES (4); INSERT INTO nope VALUES (1)")]
    )

    with engine.begin() as connection:
        insert(connection)
        with pytest.raises(MigrationFailed, match="3_c up: statement 2 failed") as caught:
            Migrator(connection, bad).upgrade()
        insert(connection)

    assert caught.value.rolled_back
    assert len(caught.value.report.outcomes) == 2
    assert state(database) == ([1, 2, 3], [7, 7], 2)


def test_all_in_one_savepoint(database: Database) -> None:
    """transaction='all' is one savepoint: a failure takes back every step of the call."""
    engine = prepared(database)
    bad = MemorySource([*DML.migrations, sql_migration("3", "c", "INSERT INTO nope VALUES (1)")])

    with engine.begin() as connection:
        insert(connection)
        with pytest.raises(MigrationFailed):
            Migrator(connection, bad, transaction="all").upgrade()

    assert state(database) == ([], [7], 0)


def test_every_verb_works_inside(database: Database) -> None:
    """Plan, apply, downgrade, baseline and verify stay inside the transaction as well."""
    engine = prepared(database)

    with engine.begin() as connection:
        migrator = Migrator(connection, DML)
        with pytest.raises(NotCurrent):
            migrator.verify()
        migrator.apply(migrator.plan(to="1"))
        migrator.upgrade()
        migrator.verify()
        migrator.downgrade(steps=2)
    assert state(database) == ([], [], 4)

    database.execute("DELETE FROM dbmigrate_ledger")
    with engine.begin() as connection:
        Migrator(connection, DML).baseline("1", reason="it was there")
    assert state(database)[2] == 1


def test_nothing_is_reconfigured(database: Database) -> None:
    """The connection is neither closed nor detached, and keeps its settings and its locks."""
    engine = prepared(database)
    with engine.connect() as connection:
        raw = connection.connection.dbapi_connection
        with connection.begin():
            Migrator(connection, DML).upgrade()
        assert not connection.closed
        assert connection.connection.dbapi_connection is raw
        assert not connection.in_transaction()
        if database.kind == "postgresql":
            locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
            assert connection.execute(sqlalchemy.text(locks)).scalar_one() == 0
    assert database.leftovers() == []


_SOURCES = {
    "VACUUM": sql_migration("3", "c", "-- no-transaction\nVACUUM"),
    "CONCURRENTLY": sql_migration("3", "c", "-- no-transaction\nCREATE INDEX CONCURRENTLY i ON a (x)"),
    "foreign keys": sql_migration("3", "c", "-- dbmigrate: foreign-keys=off\nDELETE FROM a"),
    "DDL": sql_migration("3", "c", "CREATE TABLE c (x INTEGER)"),
    "SET": sql_migration("3", "c", "SET search_path = public; DELETE FROM a"),
    "user variable": sql_migration("3", "c", "SET @x = 1"),
    "temporary table": sql_migration("3", "c", "CREATE TEMPORARY TABLE t (x INTEGER)"),
}


@pytest.mark.parametrize(
    ("kind", "what", "reason"),
    [
        ("sqlite", "foreign keys", "3_c up cannot run inside the transaction of a Connection: pass its Engine"),
        ("sqlite", "temporary table", "would stay with the Connection"),
        ("postgresql", "CONCURRENTLY", "3_c up cannot run inside the transaction of a Connection: pass its Engine"),
        ("postgresql", "VACUUM", "3_c up cannot run inside the transaction of a Connection: pass its Engine"),
        ("postgresql", "SET", "would stay with the Connection"),
        ("postgresql", "temporary table", "would stay with the Connection"),
        ("mariadb", "DDL", "3_c up cannot run inside the transaction of a Connection: pass its Engine"),
        ("mariadb", "user variable", "would stay with the Connection"),
    ],
)
def test_steps_that_are_refused(request: pytest.FixtureRequest, kind: str, what: str, reason: str) -> None:
    """What cannot roll back with the transaction, or would change the session, is refused before anything runs."""
    database: Database = request.getfixturevalue(kind)
    engine = prepared(database)

    with engine.begin() as connection, pytest.raises(ConfigurationError, match=reason):
        Migrator(connection, MemorySource([*DML.migrations, _SOURCES[what]])).upgrade()

    assert state(database) == ([], [], 0)


def test_a_connection_without_a_transaction_is_refused(database: Database) -> None:
    """Nobody would commit."""
    engine = prepared(database)

    with engine.connect() as connection:
        for call in (Migrator(connection, DML).upgrade, Migrator(connection, DML).status):
            with pytest.raises(ConfigurationError, match="not in a transaction"):
                call()
        assert not connection.in_transaction()

    assert state(database) == ([], [], 0)


def _option(engine: sqlalchemy.Engine) -> sqlalchemy.Connection:
    return engine.connect().execution_options(isolation_level="AUTOCOMMIT")


def _engine_option(engine: sqlalchemy.Engine) -> sqlalchemy.Connection:
    return engine.execution_options(isolation_level="AUTOCOMMIT").connect()


@pytest.mark.parametrize("connect", [_option, _engine_option])
def test_autocommit_is_refused(
    database: Database, connect: Callable[[sqlalchemy.Engine], sqlalchemy.Connection]
) -> None:
    """Every statement would commit by itself, whatever SQLAlchemy calls a transaction."""
    engine = prepared(database)
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        if "AUTOCOMMIT" not in engine.dialect.get_isolation_level_values(raw):
            pytest.skip("this SQLAlchemy cannot set AUTOCOMMIT over this driver")

    autocommit = pytest.raises(ConfigurationError, match="not in AUTOCOMMIT")
    with connect(engine) as connection, connection.begin(), autocommit:
        Migrator(connection, DML).upgrade()

    assert state(database) == ([], [], 0)


@pytest.mark.parametrize("verb", ["upgrade", "status"])
def test_cursors_on_the_server(database: Database, verb: str) -> None:
    """With stream_results every statement wants a cursor there, which on PostgreSQL only a SELECT can have."""
    engine = prepared(database)

    with engine.connect().execution_options(stream_results=True) as connection, connection.begin():
        with pytest.raises(ConfigurationError, match="stream_results"):
            getattr(Migrator(connection, DML), verb)()
        Migrator(connection.execution_options(stream_results=False), DML).upgrade()

    assert state(database) == ([1, 2, 3], [], 2)


def test_limits_are_refused(database: Database) -> None:
    """They would stay with the connection."""
    engine = prepared(database)

    said = "this database has no lock_timeout" if database.kind == "sqlite" else "lock_timeout would stay"
    with engine.begin() as connection, pytest.raises(ConfigurationError, match=said):
        Migrator(connection, DML, lock_timeout=5).upgrade()

    assert state(database) == ([], [], 0)


def test_mariadb_needs_its_ledger_before(mariadb: Database) -> None:
    """To create it would commit the caller's transaction."""
    engine = prepared(mariadb, ledger=False)

    with engine.connect() as connection, connection.begin() as transaction:
        insert(connection)
        with pytest.raises(ConfigurationError, match="creating one would commit"):
            Migrator(connection, DML).upgrade()
        transaction.rollback()

    assert mariadb.tables() == ["a", "mine"]
    assert mariadb.query("SELECT count(*) FROM mine") == [(0,)]


def test_another_migrator_is_not_waited_for(database: Database) -> None:
    """To wait would hold the caller's locks: the lock is tried once."""
    engine = prepared(database)
    url = database.url
    if database.kind == "sqlite":
        url = url.update_query_dict({"timeout": "0.1"})
    other = sqlalchemy.create_engine(url)
    tried: list[str] = []

    def meddle(_event: object) -> None:
        if tried:
            return
        tried.append("once")
        with other.begin() as connection, pytest.raises(MigrationInProgress) as caught:
            Migrator(connection, DML, acquire_timeout=1000).upgrade()
        tried.append(str(caught.value))

    Migrator(engine, DML, on_event=meddle).upgrade()

    other.dispose()
    assert "another migrator is at work" in tried[1]
    assert state(database) == ([1, 2, 3], [], 2)


def test_two_transactions_of_callers(postgresql: Database) -> None:
    """The lock ends with the transaction, so the second caller finds the first one's work or the way free."""
    engine = prepared(postgresql)

    with engine.connect() as first, engine.connect() as second:
        with first.begin() as transaction:
            Migrator(first, DML).upgrade()
            with second.begin(), pytest.raises(MigrationInProgress):
                Migrator(second, DML).upgrade()
            transaction.rollback()
        with second.begin():
            assert len(Migrator(second, DML).upgrade().outcomes) == 2
        with first.begin():
            assert not Migrator(first, DML).upgrade()


def test_sqlite_in_the_legacy_mode_of_its_driver(sqlite: Database) -> None:
    """The driver begins before DML only, so DDL would commit at once: the missing BEGIN is sent."""
    engine = sqlite.engine()

    with engine.connect() as connection, connection.begin() as transaction:
        Migrator(connection, DDL).upgrade()
        assert connection.connection.dbapi_connection.in_transaction  # type: ignore[union-attr]
        transaction.rollback()
    assert sqlite.tables() == []

    with engine.begin() as connection:
        Migrator(connection, DDL).upgrade()
    assert sqlite.tables() == ["b", "dbmigrate_ledger", "dbmigrate_ledger_journal"]


def test_sqlite_with_the_begin_of_an_event(sqlite: Database) -> None:
    """SQLAlchemy's own recipe: the driver never begins, and a hook sends BEGIN."""
    engine = sqlite.engine()

    @event.listens_for(engine, "connect")
    def _(raw: Any, _record: object) -> None:
        raw.isolation_level = None

    @event.listens_for(engine, "begin")
    def _(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN")

    with engine.connect() as connection, connection.begin() as transaction:
        Migrator(connection, DDL).upgrade()
        transaction.rollback()
    assert sqlite.tables() == []
    with engine.begin() as connection:
        Migrator(connection, DDL).upgrade()
    Migrator(engine, DDL).verify()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="sqlite3 has autocommit= since Python 3.12")
def test_sqlite_with_autocommit_false(sqlite: Database) -> None:
    """The driver always has a transaction open."""
    engine = sqlite.engine(connect_args={"autocommit": False})

    with engine.connect() as connection, connection.begin() as transaction:
        Migrator(connection, DDL).upgrade()
        transaction.rollback()
    assert sqlite.tables() == []
    with engine.begin() as connection:
        Migrator(connection, DDL).upgrade()
    Migrator(sqlite.engine(), DDL).verify()


def test_sqlite_in_memory() -> None:
    """The database of one connection."""
    engine = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool)

    with engine.begin() as connection:
        Migrator(connection, DDL).upgrade()

    Migrator(engine, DDL).verify()
    engine.dispose()


def test_a_statement_that_ends_the_callers_transaction(sqlite: Database) -> None:
    """INSERT OR ROLLBACK ends all of it; nothing is run on in what would be autocommit then."""
    engine = prepared(sqlite)
    sqlite.execute("CREATE UNIQUE INDEX i ON a (x)")
    bad = MemorySource([*DML.migrations, sql_migration("3", "c", "INSERT OR ROLLBACK INTO a VALUES (1)")])

    with engine.connect() as connection, connection.begin() as transaction:
        insert(connection)
        with pytest.raises(MigrationFailed, match="ended the transaction of the Connection"):
            Migrator(connection, bad).upgrade()
        assert not connection.connection.dbapi_connection.in_transaction  # type: ignore[union-attr]
        transaction.rollback()

    assert state(sqlite) == ([], [], 0)


def test_a_missing_file_is_a_matter_of_the_caller(tmp_path: Path) -> None:
    """A Connection has created its file already."""
    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'new.db'}")

    with engine.begin() as connection:
        assert len(Migrator(connection, DDL).upgrade().outcomes) == 2
    engine.dispose()


def test_a_deferred_transaction_meets_a_writer(sqlite: Database) -> None:
    """The caller's BEGIN took no lock, somebody else writes: that is an error at once, and not the migration's."""
    engine = prepared(sqlite)
    impatient = sqlalchemy.create_engine(sqlite.url.update_query_dict({"timeout": "0.2"}))
    event.listen(impatient, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))

    with engine.connect() as writer, writer.begin():
        insert(writer)
        begun = time.monotonic()
        with impatient.begin() as connection:
            connection.exec_driver_sql("SELECT * FROM mine")
            with pytest.raises(MigrationInProgress, match="roll your transaction back"):
                Migrator(connection, DML).upgrade()
        assert time.monotonic() - begun < 5

    impatient.dispose()
    assert state(sqlite) == ([], [7], 0)


def _touch_nothing(_: sqlalchemy.Connection) -> None:
    raise AssertionError


_OLD = {
    "insert": sql_migration("1", "a", "INSERT INTO a VALUES (1)", "DELETE FROM a"),
    "create": sql_migration("1", "a", "CREATE TABLE b (x INTEGER)", "DROP TABLE b"),
    "function": python_migration("1", "a", _touch_nothing),
}


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
@pytest.mark.parametrize("what", ["insert", "create", "function"])
@pytest.mark.parametrize("ledger", [True, False])
def test_a_snapshot_that_is_older_than_somebody_elses_upgrade(
    database: Database, level: str, what: str, *, ledger: bool
) -> None:
    """The ledger reads as it was before: whoever meets that is told so, and nothing is run."""
    if database.kind != "postgresql" and (level == "SERIALIZABLE" or (database.kind == "mariadb" and what != "insert")):
        pytest.skip("reading takes locks there, or such a step is refused")
    engine = prepared(database, ledger=ledger)
    if database.kind == "sqlite":
        level = "SERIALIZABLE"  # which it always is
        database.execute("PRAGMA journal_mode = WAL")
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    source, events = MemorySource([_OLD[what]]), list[Event]()
    other = sqlalchemy.create_engine(database.url)

    with engine.connect().execution_options(isolation_level=level) as connection, connection.begin():
        connection.exec_driver_sql("SELECT * FROM mine").all()
        up = python_migration("1", "a", lambda _: None) if what == "function" else _OLD[what]
        Migrator(other, MemorySource([up])).upgrade()
        with pytest.raises(MigrationInProgress, match="roll your transaction back, and call again"):
            Migrator(connection, source, on_event=events.append).upgrade()

    other.dispose()
    assert events == []
    assert state(database)[2] == 1
    with engine.begin() as connection:
        Migrator(connection, source).verify()


@pytest.mark.kinds("postgresql", "mariadb")
@pytest.mark.parametrize("call", ["baseline", "accept"])
def test_a_persons_word_over_an_old_snapshot(database: Database, call: str) -> None:
    """It is not recorded, and who was faster is said as ever."""
    engine = prepared(database)
    other = sqlalchemy.create_engine(database.url)
    edited = MemorySource([sql_migration("1", "a", "INSERT INTO mine VALUES (11)"), *list(DML.load())[1:]])
    if call == "accept":
        Migrator(other, DML).upgrade(to="1")

    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
        connection.exec_driver_sql("SELECT * FROM mine").all()
        Migrator(other, DML).upgrade()
        with pytest.raises(MigrationInProgress, match="roll your transaction back, and call again"):
            getattr(Migrator(connection, edited), call)("1", reason="x")

    other.dispose()
    assert {record.action for record in Migrator(database.url, DML).history()} == {"up"}


@pytest.mark.kinds("postgresql", "mariadb")
def test_an_old_snapshot_does_not_go_back(database: Database) -> None:
    """What looks like the last step there is none: the plan is stale, and no down script runs."""
    engine = prepared(database)
    other = sqlalchemy.create_engine(database.url)
    Migrator(other, DML).upgrade(to="1")

    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection, connection.begin():
        assert not Migrator(connection, DML).status().is_current
        Migrator(other, DML).upgrade()
        with pytest.raises(StalePlan, match="Roll your transaction back"):
            Migrator(connection, DML).downgrade()

    other.dispose()
    assert state(database) == ([1, 2, 3], [], 2)


@pytest.mark.parametrize("statement", ["SAVEPOINT dbmigrate_step", "RELEASE SAVEPOINT dbmigrate_step"])
def test_our_savepoints_are_not_the_scripts(database: Database, statement: str) -> None:
    """To end ours would end the step in the middle; savepoints of other names are fine."""
    engine = prepared(database)
    bad = MemorySource([sql_migration("1", "a", f"INSERT INTO a VALUES (1); {statement}")])
    good = "SAVEPOINT mine; INSERT INTO a VALUES (1); ROLLBACK TO SAVEPOINT mine; INSERT INTO a VALUES (2)"

    with engine.begin() as connection:
        with pytest.raises(SourceError, match="dbmigrate's own"):
            Migrator(connection, bad).upgrade()
        Migrator(connection, MemorySource([sql_migration("1", "a", good)])).upgrade()

    assert state(database) == ([2], [], 1)


def test_a_copy_of_a_migrator(sqlite: Database) -> None:
    """With other settings, over the same connection."""
    engine = prepared(sqlite)

    with engine.begin() as connection:
        copy = replace(Migrator(connection, DML), acquire_timeout=1.0)
        copy.upgrade()

    assert state(sqlite)[0] == [1, 2, 3]
