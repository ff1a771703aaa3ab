"""PostgreSQL behind PgBouncer, where a connection is no session: the lock still keeps others out."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import ExitStack, nullcontext, suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.pool import NullPool

from dbmigrate import (
    ConfigurationError,
    MemorySource,
    MigrationError,
    MigrationFailed,
    MigrationInProgress,
    Migrator,
    Retrying,
    StalePlan,
    StatementFinished,
    StepFinished,
    sql_migration,
)
from dbmigrate.testing.kit import Kit
from examples.json_ledger.json_ledger import JsonLedger
from tests.faults.pooler import pooler
from tests.processes import race, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from multiprocessing.context import ForkServerProcess
    from pathlib import Path

    from tests.conftest import Database

    Pooler = Callable[..., AbstractContextManager[sqlalchemy.URL]]

pytestmark = [pytest.mark.kinds("postgresql")]

ROWS = [
    sql_migration(str(n), "row", f"INSERT INTO seen VALUES ({n})", f"DELETE FROM seen WHERE n = {n}") for n in (1, 2, 3)
]
OUTSIDE = sql_migration(
    "4",
    "index",
    "-- no-transaction\nINSERT INTO seen VALUES (4);\nCREATE INDEX CONCURRENTLY seen_n ON seen (n);\n"
    "INSERT INTO seen VALUES (5);",
)
#: What the server says of whoever has the migration lock over a pooler.
KEEPER = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database "
KEEPER += "WHERE datname = current_database()) AND mode = 'ExclusiveLock'"


@pytest.fixture
def database(database: Database) -> Database:
    """A database with a table in which a second run would show."""
    database.execute("CREATE TABLE seen (n INTEGER)")
    return database


@pytest.fixture
def behind(database: Database, request: pytest.FixtureRequest) -> Iterator[Callable[..., sqlalchemy.URL]]:
    """What starts a pooler in front of the database and gives its URL."""
    with ExitStack() as stack:
        is_required = bool(request.config.getoption("--require-servers"))

        def start(size: int = 3, **more: Any) -> sqlalchemy.URL:
            return stack.enter_context(pooler(database, size, required=is_required, **more))

        yield start


def _rows(database: Database) -> list[int]:
    return [n for (n,) in database.query("SELECT n FROM seen ORDER BY n")]


@pytest.mark.every_driver
@pytest.mark.parametrize("mode", ["transaction", "session"])
@pytest.mark.fault("eight start at once behind PgBouncer")
def test_eight_racers(database: Database, tmp_path: Path, behind: Callable[..., sqlalchemy.URL], mode: str) -> None:
    """Each migration is applied by one, CREATE INDEX CONCURRENTLY included, and nobody fails."""
    for n in range(1, 6):
        (tmp_path / f"{n}_row.sql").write_text(f"INSERT INTO seen VALUES ({n});\n")
    (tmp_path / "6_index.sql").write_text("-- no-transaction\nCREATE INDEX CONCURRENTLY seen_n ON seen (n);\n")
    (tmp_path / "7_row.sql").write_text("INSERT INTO seen VALUES (7);\n")

    if database.driver == "pg8000":
        pytest.skip("refused behind a pooler")
    url = behind(20 if mode == "session" else 10, mode=mode)
    answers = race(8, url, tmp_path)

    assert [a.error for a in answers if a.error] == []
    assert sorted(v for a in answers for v in a.applied) == ["1", "2", "3", "4", "5", "6", "7"]
    assert _rows(database) == [1, 2, 3, 4, 5, 7]


@pytest.mark.every_driver
def test_a_driver_that_cannot_is_refused(database: Database, behind: Callable[..., sqlalchemy.URL]) -> None:
    """What reaches two sessions when it is meant for one."""
    if database.driver != "pg8000":
        pytest.skip("can")
    with pytest.raises(ConfigurationError, match="pg8000 sends a statement and its values apart"):
        Migrator(behind(), MemorySource(ROWS)).upgrade()
    assert _rows(database) == []


@pytest.mark.fault("direct and pooled migrators at once")
def test_direct_and_pooled(database: Database, behind: Callable[..., sqlalchemy.URL]) -> None:
    """They know of each other: it is the same lock."""
    direct = Migrator(database.url, MemorySource(ROWS), acquire_timeout=0.2)
    errors = list[str]()

    def see(event: object) -> None:
        if isinstance(event, StatementFinished):
            with pytest.raises(Exception, match=r"made no progress for 0\.2 s: process") as caught:
                direct.upgrade()
            errors.append(type(caught.value).__name__)

    Migrator(behind(), MemorySource(ROWS), on_event=see).upgrade()
    assert errors == ["MigrationInProgress"] * 3
    assert _rows(database) == [1, 2, 3]


@pytest.mark.every_driver
@pytest.mark.fault("the pooler has one connection to the server")
def test_one_connection_is_too_few(database: Database, behind: Callable[..., sqlalchemy.URL]) -> None:
    """That is said, after acquire_timeout, and nothing was run."""
    if database.driver == "pg8000":
        pytest.skip("refused behind a pooler")
    migrator = Migrator(behind(1), MemorySource(ROWS), acquire_timeout=0.5)
    with pytest.raises(ConfigurationError, match="pool_size be at least 2"):
        migrator.upgrade()
    assert database.tables() == ["seen"]


@pytest.mark.fault("all connections of the pooler are busy")
def test_a_busy_pooler(database: Database, behind: Callable[..., sqlalchemy.URL]) -> None:
    """Who finds none for the lock gives up after acquire_timeout; nothing was run."""
    url = behind(2)
    direct = Migrator(database.url, MemorySource(ROWS))
    direct.upgrade("1")
    migrator = Migrator(url, MemorySource(ROWS), acquire_timeout=0.5)
    with psycopg.connect(_plain(url)) as busy:
        busy.execute("SELECT 1")  # it keeps a connection to the server until its transaction ends
        with pytest.raises(ConfigurationError, match=r"it had none for 0\.5 s"):
            migrator.upgrade()
    assert _rows(database) == [1]
    assert len(migrator.upgrade().outcomes) == 2


@pytest.mark.fault("the pooler has one connection, and gives up first")
def test_a_pooler_that_gives_up_first(database: Database, behind: Callable[..., sqlalchemy.URL]) -> None:
    """Its own limit of waiting ends in the same words."""
    migrator = Migrator(behind(1, more="query_wait_timeout = 1"), MemorySource(ROWS))
    with pytest.raises(ConfigurationError, match=r"query_wait_timeout.*pool_size be at least 2"):
        migrator.upgrade()
    assert database.tables() == ["seen"]


@pytest.mark.parametrize("call", ["upgrade", "downgrade"])
@pytest.mark.fault("the connection that holds the lock is lost between two steps")
def test_the_lock_is_lost(database: Database, behind: Callable[..., sqlalchemy.URL], call: str) -> None:
    """It is noticed before the next step: upgrade() takes it again and goes on, downgrade() says that it is stale."""
    url, source = behind(), MemorySource(ROWS)
    if call == "downgrade":
        Migrator(url, source).upgrade()
    lost = list[int]()

    def see(event: object) -> None:
        if isinstance(event, StepFinished) and not lost:
            lost.extend(pid for (pid,) in database.query(KEEPER))
            database.query(f"SELECT pg_terminate_backend({lost[0]}, 5000)")

    migrator = Migrator(url, source, on_event=see)
    if call == "upgrade":
        assert len(migrator.upgrade().outcomes) == 3
        assert _rows(database) == [1, 2, 3]
    else:
        with pytest.raises(StalePlan, match="had the migration lock was lost: 1 of the steps ran"):
            migrator.downgrade(to="base")
        assert _rows(database) == [1, 2]
    assert len(lost) == 1


@pytest.mark.fault("the connection that holds the lock is lost inside a step outside a transaction")
def test_the_lock_is_lost_between_statements(database: Database, behind: Callable[..., sqlalchemy.URL]) -> None:
    """The next statement is not sent; the step stays unfinished, and is gone on with."""
    url, source = behind(), MemorySource([OUTSIDE])

    def see(event: object) -> None:
        if isinstance(event, StatementFinished) and event.ordinal == 2:
            ((pid,),) = database.query(KEEPER)
            database.query(f"SELECT pg_terminate_backend({pid}, 5000)")

    with pytest.raises(MigrationFailed, match=r"lock was lost(.|\n)*stays unfinished, and nothing more of it was sent"):
        Migrator(url, source, on_event=see).upgrade()
    assert _rows(database) == [4]
    Migrator(url, source).resume()
    assert _rows(database) == [4, 5]
    Migrator(database.url, source).verify()


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
@pytest.mark.fault("a default isolation that keeps snapshots, behind PgBouncer")
def test_the_keeper_has_no_snapshot(database: Database, behind: Callable[..., sqlalchemy.URL], level: str) -> None:
    """CREATE INDEX CONCURRENTLY would wait for one for ever."""
    database.execute(f"ALTER DATABASE {database.name} SET default_transaction_isolation = '{level}'")
    try:
        Migrator(behind(), MemorySource([*ROWS, OUTSIDE])).upgrade()
    finally:
        database.execute(f"ALTER DATABASE {database.name} RESET default_transaction_isolation")
    assert _rows(database) == [1, 2, 3, 4, 5]


@pytest.mark.fault("the connection that holds the lock is lost between two statements")
def test_the_lock_is_lost_inside_a_transaction(database: Database, behind: Callable[..., sqlalchemy.URL]) -> None:
    """The next statement is not sent; the step is rolled back, and runs again under the lock."""
    source = MemorySource([sql_migration("1", "a", "INSERT INTO seen VALUES (1);\nINSERT INTO seen VALUES (2);")])
    sent = list[int]()

    def see(event: object) -> None:
        if isinstance(event, StatementFinished):
            sent.append(event.ordinal)
            if len(sent) == 1:
                ((pid,),) = database.query(KEEPER)
                database.query(f"SELECT pg_terminate_backend({pid}, 5000)")

    Migrator(behind(), source, on_event=see).upgrade()
    assert sent == [1, 1, 2]
    assert _rows(database) == [1, 2]


@pytest.mark.fault("kill -9 during CREATE INDEX CONCURRENTLY behind PgBouncer")
def test_killed_while_the_statement_goes_on(database: Database, behind: Callable[..., sqlalchemy.URL]) -> None:
    """The session of a pooler outlives the migrator: resume() waits until the statement has ended, and settles it."""
    url, source = behind(5), MemorySource([OUTSIDE])
    with database.connect(autocommit=False) as reader:
        reader.execute("LOCK TABLE seen IN ROW EXCLUSIVE MODE")  # which CREATE INDEX CONCURRENTLY waits for
        _kill_waiting(database, started(url, source), "CREATE INDEX")
        impatient = Migrator(url, source, acquire_timeout=0.3)
        for call in (impatient.resume, impatient.upgrade, lambda: impatient.resolve("4", applied=False, reason="x")):
            with pytest.raises(MigrationInProgress, match=r"made no progress for 0\.3 s: a session at work on 4_index"):
                call()
        reader.rollback()
    Migrator(url, source).resume()
    assert _rows(database) == [4, 5]
    Migrator(database.url, source).verify()


def _kill_waiting(database: Database, process: ForkServerProcess, statement: str) -> None:
    """Kill a process as soon as the statement that it sent waits for others."""
    query = f"SELECT count(*) FROM pg_stat_activity WHERE query LIKE '{statement}%' AND wait_event_type = 'Lock'"
    deadline = time.monotonic() + 30
    while database.query(query) == [(0,)]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()


@pytest.mark.fault("kill -9 of a direct run, and of its resume() behind PgBouncer")
def test_resumed_behind_a_pooler_and_killed(database: Database, behind: Callable[..., sqlalchemy.URL]) -> None:
    """Whose session began the step says nothing of who is at it now: resume() waits, and no longer than it may."""
    url, source = behind(5), MemorySource([OUTSIDE])
    with database.connect(autocommit=False) as reader:
        reader.execute("LOCK TABLE seen IN ROW EXCLUSIVE MODE")
        _kill_waiting(database, started(database.url, source), "CREATE INDEX")
        database.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%'")
    database.execute("DROP INDEX seen_n")  # which is INVALID
    with database.connect(autocommit=False) as reader:
        reader.execute("LOCK TABLE seen IN ROW EXCLUSIVE MODE")
        _kill_waiting(database, started(url, source, "resume"), "CREATE INDEX")
        with pytest.raises(MigrationInProgress, match="a session at work on 4_index"):
            Migrator(url, source, acquire_timeout=0.3).resume()
    Migrator(url, source).resume()
    assert _rows(database) == [4, 5]


@pytest.mark.fault("kill -9 behind PgBouncer, with a ledger that has no journal")
def test_without_a_journal_it_is_waited_for_too(
    database: Database, behind: Callable[..., sqlalchemy.URL], tmp_path: Path
) -> None:
    """Any statement of the step may be the one that is still running."""
    url, ledger = behind(5), JsonLedger(tmp_path / "ledger")
    source = MemorySource([sql_migration("1", "row", "-- no-transaction\nINSERT INTO seen VALUES (1)")])
    with database.connect(autocommit=False) as blocker:
        blocker.execute("LOCK TABLE seen IN EXCLUSIVE MODE")
        _kill_waiting(database, started(url, source, ledger=ledger), "INSERT INTO seen")
        with pytest.raises(MigrationInProgress, match="a session at work on 1_row"):
            Migrator(url, source, ledger=ledger, acquire_timeout=0.3).resolve("1", applied=False, reason="killed")


@pytest.mark.parametrize("call", ["upgrade", "downgrade"])
@pytest.mark.fault("the connection is cut while COMMIT is at work behind PgBouncer")
def test_cut_while_commit_is_at_work(database: Database, behind: Callable[..., sqlalchemy.URL], call: str) -> None:
    """The lock is had again only when that COMMIT has ended; the step is not sent again, and is reported."""
    database.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN PERFORM pg_sleep(1); RETURN NULL; END$$",
        "CREATE CONSTRAINT TRIGGER slow AFTER INSERT OR DELETE ON seen DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
        "EXECUTE FUNCTION slow()",
    )
    source = MemorySource(ROWS[:1])
    if call == "downgrade":
        Migrator(database.url, source).upgrade()
    engine, sent = sqlalchemy.create_engine(behind(5), poolclass=NullPool), list[str]()

    def cut(connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(("INSERT INTO seen", "DELETE FROM seen")):
            sent.append(statement)
        elif statement == "COMMIT" and sent and len(cutters) == 0:
            end = socket.socket(fileno=os.dup(connection.connection.dbapi_connection.fileno()))
            cutters.append(threading.Timer(0.3, _shut, [end]))
            cutters[0].start()

    cutters = list[threading.Timer]()
    event.listen(engine, "before_cursor_execute", cut)
    report = getattr(Migrator(engine, source), call)()

    assert len(report.outcomes) == len(sent) == len(cutters) == 1
    assert _rows(database) == ([1] if call == "upgrade" else [])
    Migrator(engine, source).status()
    engine.dispose()


def _shut(end: socket.socket) -> None:
    with end:
        end.shutdown(socket.SHUT_RDWR)


@pytest.mark.fault("a waiter's session is ended behind PgBouncer")
def test_a_waiter_loses_its_session(database: Database, behind: Callable[..., sqlalchemy.URL]) -> None:
    """What comes out is an error of ours, as anywhere."""
    url, source = behind(8), MemorySource(ROWS)
    failed = list[BaseException]()

    def end(_waiting: object) -> None:
        with suppress(psycopg.Error):
            database.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database() AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
            )

    def wait() -> None:
        try:
            Migrator(url, source, on_event=end).upgrade()
        except BaseException as error:  # noqa: BLE001 - whatever comes out is looked at below
            failed.append(error)

    def hold(event: object) -> None:
        if isinstance(event, StatementFinished) and not waiters:
            waiters.append(threading.Thread(target=wait))
            waiters[0].start()
            waiters[0].join(3)

    waiters = list[threading.Thread]()
    Migrator(url, source, on_event=hold).upgrade()
    waiters[0].join()

    assert all(isinstance(error, MigrationError) for error in failed), failed
    assert _rows(database) == [1, 2, 3]


def test_a_pool_without_a_second_connection(database: Database, behind: Callable[..., sqlalchemy.URL]) -> None:
    """The application has taken the last one of the engine's pool."""
    engine = sqlalchemy.create_engine(behind(3), pool_size=1, max_overflow=0, pool_timeout=0.2)
    taken = list[Any]()
    event.listen(engine, "detach", lambda *_: taken.append(engine.raw_connection()))
    with pytest.raises(ConfigurationError, match=r"behind a pooler a second connection is needed: .*QueuePool"):
        Migrator(engine, MemorySource(ROWS)).upgrade()
    for connection in taken:
        connection.close()
    engine.dispose()


CHANGES = [
    "SET search_path = pg_catalog",
    "SET lock_timeout = 4711",
    "SET ROLE pg_monitor",
    "SET SESSION AUTHORIZATION pg_monitor",
    "CREATE TEMP TABLE t (x int)",
    "PREPARE p AS SELECT 1",
    "LISTEN c",
    "SELECT pg_advisory_lock(4711)",
    "SELECT set_config('work_mem', '4711kB', false)",
    "DO $$BEGIN SET work_mem = '4711kB'; END$$",
    "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
    "INSERT INTO seen SELECT 1 FROM pg_advisory_lock(4711)",
    "CREATE TABLE made AS SELECT 1 AS x FROM pg_advisory_lock_shared(4711)",
    "EXPLAIN ANALYZE SELECT pg_try_advisory_lock(4711)",
]
#: What a session is like, for comparison with one that is fresh.
LOOK = [
    "SELECT current_setting('search_path'), current_setting('lock_timeout'), current_setting('work_mem')",
    "SELECT current_user, session_user",
    "SELECT count(*) FROM pg_class WHERE relpersistence = 't'",
    "SELECT count(*) FROM pg_prepared_statements",
    "SELECT count(*) FROM pg_listening_channels()",
    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    "SELECT count(*) FROM pg_cursors WHERE is_holdable",
]


@pytest.mark.parametrize("sql", CHANGES)
@pytest.mark.fault("a script changes a session that is a pooler's")
def test_nothing_stays_in_the_session(database: Database, behind: Callable[..., sqlalchemy.URL], sql: str) -> None:
    """What a script makes of its session is undone in its transaction: the next to have it is a stranger."""
    url = behind(2, more="server_reset_query =")
    with psycopg.connect(_plain(database.url_for("psycopg", tcp=True)), autocommit=True) as fresh:
        expected = [fresh.execute(query.encode()).fetchall() for query in LOOK]
    for broken in (f"{sql}; SELECT 1/0", sql):
        with nullcontext() if broken == sql else pytest.raises(MigrationFailed, match="division by zero"):
            Migrator(url, MemorySource([sql_migration("1", "a", broken), *ROWS[1:]])).upgrade()

    with psycopg.connect(_plain(url)) as one, psycopg.connect(_plain(url)) as two:  # all there are
        for connection in (one, two):
            connection.prepare_threshold = None
            assert [connection.execute(query.encode()).fetchall() for query in LOOK] == expected
    assert _rows(database)[-2:] == [2, 3]


def test_a_step_that_is_tried_again_finds_its_session_as_it_was(
    database: Database, behind: Callable[..., sqlalchemy.URL]
) -> None:
    """What it prepared before it failed is not there any more."""
    step = sql_migration("1", "a", "PREPARE p AS SELECT 1;\nALTER TABLE seen ADD m int;")
    tries = list[int]()
    with database.connect(autocommit=False) as reader:
        reader.execute("SELECT * FROM seen")

        def see(event: object) -> None:
            if isinstance(event, Retrying):
                tries.append(event.tries)
                reader.rollback()

        Migrator(behind(2), MemorySource([step]), lock_timeout=0.2, on_event=see).upgrade()
    assert tries == [1]
    assert database.query("SELECT m FROM seen") == []


@pytest.mark.parametrize("made", ["search_path", "role"])
@pytest.mark.parametrize("call", ["all", "redo"])
def test_what_a_hook_set_is_there_for_all_steps(
    database: Database, behind: Callable[..., sqlalchemy.URL], made: str, call: str
) -> None:
    """Of one transaction, behind a step whose session is reset: the schema and the role that it connected with."""
    database.execute("CREATE SCHEMA tenant", "GRANT ALL ON SCHEMA tenant, public TO pg_monitor")
    engine = sqlalchemy.create_engine(behind(5, mode="session"))

    def hook(raw: Any, _record: object) -> None:
        raw.autocommit = True
        raw.execute("SET search_path TO tenant" if made == "search_path" else "SET ROLE pg_monitor")
        raw.autocommit = False

    event.listen(engine, "connect", hook)
    steps = [sql_migration("1", "a", "SELECT 1", "SELECT 1")]
    steps += [sql_migration("2", "b", "CREATE TABLE t (x int)", "DROP TABLE t")]
    Migrator(engine, MemorySource(steps), transaction="all" if call == "all" else "each").upgrade()
    if call == "redo":
        Migrator(engine, MemorySource(steps)).redo(2)
    engine.dispose()

    found = database.query("SELECT schemaname, tableowner FROM pg_tables WHERE tablename = 't'")
    assert found == ([("tenant", "dbmigrate")] if made == "search_path" else [("public", "pg_monitor")])


def test_limits_hold_for_all_steps_of_a_transaction(database: Database, behind: Callable[..., sqlalchemy.URL]) -> None:
    """Also behind one whose session is reset."""
    steps = [sql_migration("1", "a", "SELECT 1"), sql_migration("2", "b", "SELECT pg_sleep(9)")]
    with pytest.raises(MigrationFailed, match="statement timeout"):
        Migrator(behind(2), MemorySource(steps), statement_timeout=0.2, transaction="all").upgrade()


def _plain(url: sqlalchemy.URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.mark.parametrize("sql", [CHANGES[0], CHANGES[4], CHANGES[8], CHANGES[9]])
def test_outside_a_transaction_nothing_may_change_it(
    database: Database, behind: Callable[..., sqlalchemy.URL], sql: str
) -> None:
    """There it could not be undone in the same session, so it is refused before anything runs."""
    outside = sql_migration("4", "b", f"-- no-transaction\n{sql};\nVACUUM seen;")
    with pytest.raises(ConfigurationError, match="what 4_b up makes of the session would stay"):
        Migrator(behind(), MemorySource([*ROWS, outside])).upgrade()
    assert _rows(database) == []


@pytest.mark.fault("a lock timeout behind PgBouncer")
def test_limits_are_those_of_a_transaction(database: Database, behind: Callable[..., sqlalchemy.URL]) -> None:
    """They hold, and are gone with it."""
    url = behind(2, more="server_reset_query =")
    alter = sql_migration("1", "a", "ALTER TABLE seen ADD m int")
    with database.connect(autocommit=False) as reader:
        reader.execute("SELECT * FROM seen")
        with pytest.raises(MigrationFailed, match="lock timeout"):
            Migrator(url, MemorySource([alter]), lock_timeout=0.2, retries=0).upgrade()
        reader.rollback()
    with pytest.raises(MigrationFailed, match="statement timeout"):
        Migrator(url, MemorySource([sql_migration("1", "a", "SELECT pg_sleep(9)")]), statement_timeout=0.2).upgrade()
    with psycopg.connect(_plain(url)) as one, psycopg.connect(_plain(url)) as two:
        for connection in (one, two):
            assert connection.execute("SHOW lock_timeout").fetchall() == [("0",)]
            assert connection.execute("SHOW statement_timeout").fetchall() == [("0",)]


def test_many_steps_over_one_connection(database: Database, behind: Callable[..., sqlalchemy.URL]) -> None:
    """Nothing is prepared by the driver, which would do so when it has sent the same a few times."""
    many = [sql_migration(str(n), "row", f"INSERT INTO seen VALUES ({n})") for n in range(1, 31)]
    Migrator(behind(4), MemorySource(many)).upgrade()
    assert len(_rows(database)) == 30


@pytest.mark.usefixtures("kit_alone")
def test_databases_for_tests_are_refused(
    database: Database, tmp_path: Path, behind: Callable[..., sqlalchemy.URL]
) -> None:
    """What says that their run lives is a lock of its session."""
    kit = Kit(tmp_path, "a run")

    with pytest.raises(ConfigurationError, match="a pooler: give the Migrator for tests the URL of the server itself"):
        kit.fresh(Migrator(behind(), MemorySource(ROWS)))

    kit.close()
    assert database.query("SELECT datname FROM pg_database WHERE datname LIKE 'dbmigrate\\_kit\\_%'") == []
