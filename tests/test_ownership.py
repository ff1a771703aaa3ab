"""The ownership rule: what is the caller's comes back as it was, on every path."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.pool import NullPool, QueuePool, StaticPool

from dbmigrate import (
    ConfigurationError,
    LedgerError,
    MemorySource,
    MigrationError,
    MigrationFailed,
    MigrationInProgress,
    Migrator,
    StalePlan,
    StatementFinished,
    Waiting,
    python_migration,
    sql_migration,
)
from dbmigrate.dialects.sqlite import _RESTORED
from tests.processes import interrupted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from dbmigrate import Event
    from tests.conftest import Database

pytestmark = pytest.mark.every_driver

GOOD = MemorySource([sql_migration("1", "a", "CREATE TABLE a (x INTEGER)"), sql_migration("2", "b", "DROP TABLE a")])
BAD = MemorySource([sql_migration("1", "a", "CREATE TABLE a (x INTEGER)"), sql_migration("2", "b", "DROP TABLE nope")])


def _interrupt(event: Event) -> None:
    if isinstance(event, StatementFinished):
        raise KeyboardInterrupt


_PATHS: dict[str, Callable[[sqlalchemy.Engine], None]] = {}


def _path(run: Callable[[sqlalchemy.Engine], None]) -> Callable[[sqlalchemy.Engine], None]:
    _PATHS[run.__name__] = run
    return run


@_path
def success(engine: sqlalchemy.Engine) -> None:
    """Upgrade with something pending, then with nothing."""
    Migrator(engine, GOOD).upgrade()
    Migrator(engine, GOOD).upgrade()


@_path
def failure(engine: sqlalchemy.Engine) -> None:
    """Upgrade with a statement that fails."""
    with pytest.raises(MigrationFailed):
        Migrator(engine, BAD).upgrade()


@_path
def interrupt(engine: sqlalchemy.Engine) -> None:
    """Upgrade, and Ctrl-C in the middle of a step."""
    with pytest.raises(KeyboardInterrupt):
        Migrator(engine, GOOD, on_event=_interrupt).upgrade()


def _session(connection: sqlalchemy.Connection) -> list[Any]:
    """Return what a connection's user can see of its state."""
    raw: Any = connection.connection.driver_connection
    if connection.dialect.name == "sqlite":
        state = [raw.isolation_level, raw.in_transaction]
        return state + [raw.execute(f"PRAGMA {p}").fetchone() for p in _RESTORED]
    if connection.dialect.name == "postgresql":
        names = ("search_path", "lock_timeout", "statement_timeout", "role", "transaction_isolation")
        settings = [connection.exec_driver_sql(f"SELECT current_setting('{name}')").scalar() for name in names]
        return [
            raw.autocommit,
            *settings,
            connection.exec_driver_sql(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
            ).scalar(),
        ]
    names = ("autocommit", "lock_wait_timeout", "sql_mode", "foreign_key_checks", "max_statement_time")
    return [connection.exec_driver_sql(f"SELECT @@{name}").scalar() for name in names]


@pytest.mark.parametrize("path", _PATHS)
@pytest.mark.parametrize("options", [{"pool_size": 1, "max_overflow": 0}, {"isolation_level": "AUTOCOMMIT"}], ids=str)
def test_a_pool_is_as_it_was(database: Database, path: str, options: dict[str, Any]) -> None:
    """After success, failure and KeyboardInterrupt the pool hands out sessions in their original state."""
    engine = database.engine(poolclass=QueuePool, **options)
    if options.get("isolation_level", "") not in ["", *engine.dialect.get_isolation_level_values(None)]:  # type: ignore[arg-type]
        pytest.skip(f"this SQLAlchemy cannot do that over {database.driver}")
    with engine.connect() as connection:
        before = _session(connection)

    _PATHS[path](engine)

    assert isinstance(engine.pool, QueuePool)
    assert engine.pool.checkedout() == 0
    with engine.connect() as connection:
        assert _session(connection) == before
        connection.execute(sqlalchemy.text("SELECT 1"))
    assert database.leftovers() == []


@pytest.mark.parametrize("path", _PATHS)
def test_an_engine_in_memory_is_restored(path: str) -> None:
    """An in-memory SQLite survives, with the driver's transaction mode and settings as they were."""
    engine = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool)
    event.listen(engine, "connect", _set_up)
    with engine.connect() as connection:
        connection.exec_driver_sql("CREATE TABLE mine (x)")
        connection.commit()
        before = _session(connection)

    _PATHS[path](engine)

    with engine.connect() as connection:
        assert _session(connection) == before
        assert connection.exec_driver_sql("SELECT count(*) FROM mine").scalar() == 0
    engine.dispose()


# These are refused in a transaction, or leave the ledger read-only.
@pytest.mark.parametrize("name", sorted(set(_RESTORED) - {"foreign_keys", "query_only", "synchronous"}))
def test_a_pragma_does_not_reach_the_next_migration(name: str) -> None:
    """Nor the application's own session, in memory too, where the connection cannot be replaced."""
    engine = sqlalchemy.create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        before = _session(connection)
        (value,) = connection.exec_driver_sql(f"PRAGMA {name}").one()
    other = {"locking_mode": "EXCLUSIVE"}.get(name, 77 if value not in (0, 1, 2) else 1 - min(int(value), 1))
    seen: list[Any] = []

    @python_migration("2", "b")
    def look(connection: sqlalchemy.Connection) -> None:
        seen.append(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one())

    Migrator(engine, MemorySource([sql_migration("1", "a", f"PRAGMA {name} = {other}"), look])).upgrade()

    with engine.connect() as connection:
        assert _session(connection) == before
    if name != "busy_timeout":  # it is ours meanwhile
        assert seen == [value]
    engine.dispose()


def _set_up(raw: sqlite3.Connection, _: object) -> None:
    raw.execute("PRAGMA foreign_keys=ON")
    raw.execute("PRAGMA recursive_triggers=ON")


def test_an_engine_with_begin_hooks_works(sqlite: Database) -> None:
    """The recipe that makes SQLAlchemy emit BEGIN itself is no obstacle, and stays in force."""
    engine = sqlite.engine()
    event.listen(engine, "connect", lambda raw, _: setattr(raw, "isolation_level", None))
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))

    success(engine)

    with engine.connect() as connection:
        raw: Any = connection.connection.driver_connection
        assert raw.isolation_level is None


def test_a_failure_on_sqlite_leaves_no_trace_in_any_driver_mode(sqlite: Database) -> None:
    """DDL rolls back whatever the driver's own transaction mode is."""
    modes: list[dict[str, Any]] = [{}, {"isolation_level": None}, {"isolation_level": "IMMEDIATE"}]
    if hasattr(sqlite3, "LEGACY_TRANSACTION_CONTROL"):
        modes += [{"autocommit": True}, {"autocommit": False}]
    for mode in modes:
        other = sqlite.another()
        failure(other.engine(connect_args=mode))
        assert other.tables() == ["a", "dbmigrate_ledger", "dbmigrate_ledger_journal"]


def test_a_url_leaves_no_connection_behind(database: Database) -> None:
    """With a URL the engine and its connections are gone after each call."""
    Migrator(database.url, GOOD).upgrade()
    Migrator(database.url, GOOD).status()

    if database.kind == "postgresql":
        sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        deadline = time.monotonic() + 5  # a server needs a moment to notice
        while database.query(sql) != [(0,)]:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_nothing_pending_is_one_select(database: Database) -> None:
    """With nothing pending upgrade() sends exactly one SELECT of ours, over one connection."""
    engine = database.engine()
    Migrator(engine, GOOD).upgrade()
    sent: list[str] = []
    with engine.connect():
        pass
    event.listen(engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2]))

    Migrator(engine, GOOD).upgrade()

    assert len(sent) == 1
    assert sent[0].startswith("SELECT seq, version")


def test_a_missing_sqlite_file_is_not_created_by_looking(tmp_path: Path) -> None:
    """status(), plan() and a failing check do not create the file."""
    path = tmp_path / "new.db"
    m = Migrator(f"sqlite:///{path}", GOOD)

    m.status()
    m.plan()

    assert not path.exists()


def test_a_database_that_is_not_there_is_a_clear_error(tmp_path: Path, postgresql: Database) -> None:
    """What cannot be connected to is named, without its password."""
    nowhere = Migrator(f"sqlite:///{tmp_path}/no/such/folder.db", GOOD)
    for call in (nowhere.upgrade, nowhere.status):
        with pytest.raises(ConfigurationError, match=r"there is no folder .*/no/such for the database"):
            call()
    (tmp_path / "text.db").write_text("no database at all, but a text that is long enough to be read as a page" * 9)
    with pytest.raises(LedgerError, match="The file is no SQLite database"):
        Migrator(f"sqlite:///{tmp_path}/text.db", GOOD).status()
    url = postgresql.url.set(database="no_such_database", password="s3cret")  # noqa: S106 - none
    with pytest.raises(ConfigurationError) as caught:
        Migrator(url, GOOD).upgrade()
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="no driver"):
        Migrator("postgresql+nosuchdriver://x/y", GOOD).upgrade()


# -- locks


def _hold(database: Database) -> tuple[threading.Thread, threading.Event, threading.Event]:
    """Let another migrator hold the lock, inside a step, until it is told to go on."""
    inside, go_on = threading.Event(), threading.Event()

    def wait(event: Event) -> None:
        if isinstance(event, StatementFinished):
            inside.set()
            go_on.wait(30)

    migrator = Migrator(database.url, GOOD, on_event=wait)
    thread = threading.Thread(target=migrator.upgrade)
    thread.start()
    inside.wait(30)
    return thread, inside, go_on


def test_waiting_ends_at_the_acquire_timeout(database: Database) -> None:
    """Without progress the wait ends after acquire_timeout, and the error names the holder where it can be told."""
    thread, _, go_on = _hold(database)
    events: list[Event] = []
    try:
        with pytest.raises(MigrationInProgress) as caught:
            Migrator(database.url, GOOD, acquire_timeout=0.3, on_event=events.append).upgrade()
    finally:
        go_on.set()
        thread.join()
    assert [type(e) for e in events[:1]] == [Waiting]
    if database.kind != "sqlite":
        assert caught.value.holder
        assert caught.value.holder in str(caught.value)
    assert Migrator(database.url, GOOD).status().is_current


@pytest.mark.kinds("postgresql", "mariadb")
def test_a_waiter_that_is_cut_off_says_so(database: Database) -> None:
    """When the server ends the session of a waiter, that is the error that comes out."""
    second, end = {
        "postgresql": (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
            "ORDER BY backend_start LIMIT 1 OFFSET 1",
            "SELECT pg_terminate_backend({})",
        ),
        "mariadb": (
            "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id() "
            "ORDER BY id LIMIT 1 OFFSET 1",
            "KILL {}",
        ),
    }[database.kind]
    thread, _, go_on = _hold(database)

    def cut_off(event: Event) -> None:
        if isinstance(event, Waiting):
            ((session,),) = database.query(second)
            database.execute(end.format(session))

    try:
        with pytest.raises(MigrationError, match="the database failed between steps"):
            Migrator(database.url, GOOD, on_event=cut_off).upgrade()
    finally:
        go_on.set()
        thread.join()
    assert Migrator(database.url, GOOD).status().is_current


@pytest.mark.kinds("postgresql", "mariadb")
def test_a_waiter_holds_no_transaction(database: Database) -> None:
    """While it polls, a waiter is idle and has no snapshot that could stand in the holder's way."""
    check = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND (backend_xmin IS NOT NULL OR state LIKE 'idle in%') AND pid <> pg_backend_pid() "
        "AND query NOT LIKE 'CREATE TABLE a%'",
        "mariadb": "SELECT count(*) FROM information_schema.innodb_trx JOIN information_schema.processlist "
        "ON id = trx_mysql_thread_id WHERE db = DATABASE()",
    }[database.kind]
    thread, _, go_on = _hold(database)
    waiting = threading.Event()
    waiter = Migrator(database.url, GOOD, on_event=lambda e: waiting.set() if isinstance(e, Waiting) else None)
    second = threading.Thread(target=waiter.upgrade)
    second.start()
    waiting.wait(30)
    try:
        found = []
        for _ in range(8):
            time.sleep(0.15)  # MariaDB renews what it shows only when nobody looked for a while
            found.append(database.query(check))
    finally:
        go_on.set()
        thread.join()
        second.join()
    assert found.count([(0,)]) >= 6  # a poll itself may be caught in the act


def test_an_index_is_built_concurrently_while_others_wait(postgresql: Database) -> None:
    """CREATE INDEX CONCURRENTLY does not deadlock with waiting migrators."""
    postgresql.execute("CREATE TABLE big AS SELECT i FROM generate_series(1, 200000) i")
    create = "CREATE INDEX CONCURRENTLY {} ON big (i);\n"
    text = "-- dbmigrate: no-transaction\n" + create.format("i1") + create.format("i2")
    m = Migrator(postgresql.url, MemorySource([sql_migration("1", "index", text)]))
    threads = [threading.Thread(target=m.upgrade) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert postgresql.query("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]
    assert m.status().is_current


def test_two_operators_do_not_go_back_twice(database: Database) -> None:
    """A downgrade that had to wait for another one is stale, not a second step back."""
    source = MemorySource(
        [sql_migration(str(i), "t", f"CREATE TABLE t{i} (x INTEGER)", f"DROP TABLE t{i}") for i in (1, 2, 3)]
    )
    Migrator(database.url, source).upgrade()
    inside, go_on = threading.Event(), threading.Event()

    def wait(event: Event) -> None:
        if isinstance(event, StatementFinished):
            inside.set()
            go_on.wait(30)

    first = threading.Thread(target=Migrator(database.url, source, on_event=wait).downgrade)
    first.start()
    inside.wait(30)
    errors: list[Exception] = []
    waiting = threading.Event()

    def second() -> None:
        def notice(event: Event) -> None:
            if isinstance(event, Waiting):
                waiting.set()

        try:
            Migrator(database.url, source, on_event=notice).downgrade()
        except StalePlan as error:
            errors.append(error)

    other = threading.Thread(target=second)
    other.start()
    waiting.wait(30)
    go_on.set()
    first.join()
    other.join()

    assert [type(error) for error in errors] == [StalePlan]
    states = [entry.state for entry in Migrator(database.url, source).status().entries]
    assert states == ["applied", "applied", "pending"]


_ALTER = MemorySource([sql_migration("1", "x", "ALTER TABLE a ADD y int")])


def test_limits_are_those_of_postgresql(postgresql: Database) -> None:
    """lock_timeout and statement_timeout end a statement."""
    postgresql.execute("CREATE TABLE a (x int)")
    with postgresql.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE a")
        with pytest.raises(MigrationFailed, match="lock timeout"):
            Migrator(postgresql.url, _ALTER, lock_timeout=0.1, retries=0).upgrade()
    slow = MemorySource([sql_migration("1", "x", "SELECT pg_sleep(5)")])
    with pytest.raises(MigrationFailed, match="statement timeout"):
        Migrator(postgresql.url, slow, statement_timeout=0.1).upgrade()


def test_limits_are_those_of_mariadb(mariadb: Database) -> None:
    """lock_timeout and statement_timeout end a statement."""
    mariadb.execute("CREATE TABLE a (x int)", "INSERT INTO a VALUES (1)")
    with mariadb.connect(autocommit=False) as blocker, closing(blocker.cursor()) as cursor:
        cursor.execute("SELECT * FROM a")
        with pytest.raises(MigrationFailed, match="1205"):
            Migrator(mariadb.url, _ALTER, lock_timeout=1, retries=0).upgrade()
    slow = MemorySource([sql_migration("1", "x", "SELECT sleep(5)")])
    with pytest.raises(MigrationFailed, match="1969"):
        Migrator(mariadb.url, slow, statement_timeout=0.1).upgrade()


def test_limits_of_sqlite(sqlite: Database) -> None:
    """There is none."""
    with pytest.raises(ConfigurationError, match="statement_timeout"):
        Migrator(sqlite.url, GOOD, statement_timeout=1).upgrade()


def test_null_pool_engines_work(database: Database) -> None:
    """An engine without a pool is as good as any."""
    engine = database.engine(poolclass=NullPool)
    success(engine)
    assert Migrator(engine, GOOD).status().is_current


_SLOW = {
    "sqlite": "CREATE TABLE slow AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000000) "
    "SELECT max(i) FROM n",
    "postgresql": "CREATE TABLE slow AS SELECT 1 AS x FROM pg_sleep(20)",
    "mariadb": "INSERT INTO a SELECT sleep(2.5)",
}


def test_ctrl_c_in_the_middle_of_a_statement(database: Database) -> None:
    """A real SIGINT while the server works: KeyboardInterrupt comes out, the step rolls back, the lock is free."""
    text = _SLOW[database.kind]
    if not database.is_default:  # only psycopg cancels on the server, and with some drivers the signal has to wait
        text = text.replace("20", "2")
    slow = sql_migration("2", "slow", text)
    source = MemorySource([sql_migration("1", "a", "CREATE TABLE a (x INTEGER)"), slow])

    assert interrupted(database.url, source, 0.6) == "KeyboardInterrupt"

    states = [entry.state for entry in Migrator(database.url, source).status().entries]
    assert states == ["applied", "pending"]
    assert "slow" not in database.tables()
    fixed = MemorySource(
        [sql_migration("1", "a", "CREATE TABLE a (x INTEGER)"), sql_migration("2", "slow", "DROP TABLE a")]
    )
    if database.kind != "mariadb":  # its server goes on with the statement until it ends
        assert len(Migrator(database.url, fixed).upgrade().outcomes) == 1


@pytest.mark.kinds("postgresql", "mariadb")
def test_an_interrupt_gives_the_lock_back_at_once(database: Database) -> None:
    """A connection that was given up in the middle of a statement is closed, even while its traceback is kept."""
    database.execute("CREATE TABLE a (x INTEGER)")
    source = MemorySource([sql_migration("1", "a", "INSERT INTO a VALUES (1)")])
    engine = database.engine(poolclass=NullPool)

    @event.listens_for(engine, "after_cursor_execute")
    def interrupt(*arguments: Any) -> None:
        if arguments[2].startswith("INSERT INTO a"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        Migrator(engine, source).upgrade()

    assert len(Migrator(database.url, source, acquire_timeout=1).upgrade().outcomes) == 1
    assert caught.tb is not None


def test_reading_waits_for_a_writer(sqlite: Database) -> None:
    """While another process holds an SQLite file exclusively, looking waits, and for no longer than acquire_timeout."""
    Migrator(sqlite.url, GOOD).upgrade()
    impatient = sqlite.url.update_query_dict({"timeout": "0"})
    with sqlite.connect() as writer:
        writer.execute("BEGIN EXCLUSIVE")
        with pytest.raises(MigrationInProgress, match="cannot be read just now"):
            Migrator(impatient, GOOD, acquire_timeout=0.2).upgrade()
        done: list[bool] = []
        reader = threading.Thread(target=lambda: done.append(Migrator(impatient, GOOD).status().is_current))
        reader.start()
        time.sleep(0.3)
        writer.execute("COMMIT")
        reader.join(10)
    assert done == [True]


@pytest.mark.default_driver
def test_progress_restarts_the_clock(postgresql: Database) -> None:
    """A waiter is as patient as there is something to see: every new row of the ledger restarts its clock."""
    steps = [sql_migration(str(i), "slow", f"INSERT INTO a SELECT {i} FROM pg_sleep(0.4)") for i in range(1, 8)]
    postgresql.execute("CREATE TABLE a (x int)")
    source = MemorySource(steps)
    first = threading.Thread(target=Migrator(postgresql.url, source).upgrade)
    first.start()
    time.sleep(0.3)

    Migrator(postgresql.url, source, acquire_timeout=1.5).upgrade()  # in all it waits for more than two seconds

    first.join()
    assert postgresql.query("SELECT x FROM a ORDER BY x") == [(i,) for i in range(1, 8)]
