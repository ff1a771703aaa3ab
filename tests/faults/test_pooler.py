"""PostgreSQL behind PgBouncer, where a connection is no session: the lock still keeps others out."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from dbmigrate import (
    ConfigurationError,
    MemorySource,
    MigrationFailed,
    MigrationInProgress,
    Migrator,
    StalePlan,
    StatementFinished,
    StepFinished,
    sql_migration,
)
from tests.faults.pooler import pooler
from tests.processes import race, started

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    import sqlalchemy

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
KEEPER += "WHERE datname = current_database())"


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
        reader.execute("SELECT 1")
        reader.execute("LOCK TABLE seen IN ROW EXCLUSIVE MODE")  # which CREATE INDEX CONCURRENTLY waits for
        process = started(url, source)
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX CONC%' AND wait_event = 'virtualxid'"
        )
        deadline = time.monotonic() + 30
        while database.query(query) == [(0,)]:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        impatient = Migrator(url, source, acquire_timeout=0.3)
        for call in (impatient.resume, impatient.upgrade, lambda: impatient.resolve("4", applied=False, reason="x")):
            with pytest.raises(MigrationInProgress, match=r"made no progress for 0\.3 s: a session at work on 4_index"):
                call()
        reader.rollback()
    Migrator(url, source).resume()
    assert _rows(database) == [4, 5]
    Migrator(database.url, source).verify()


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
    Migrator(url, MemorySource([sql_migration("1", "a", sql), *ROWS[1:]])).upgrade()

    with psycopg.connect(_plain(url)) as one, psycopg.connect(_plain(url)) as two:  # all there are
        for connection in (one, two):
            connection.prepare_threshold = None
            assert [connection.execute(query.encode()).fetchall() for query in LOOK] == expected
    assert _rows(database) == [2, 3]


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
