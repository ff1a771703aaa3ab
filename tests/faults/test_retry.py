"""Others at work in the database: a step that they keep from its lock gives way, and is tried again."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from dbmigrate import (
    HistoryError,
    MemorySource,
    MigrationFailed,
    Migrator,
    Retrying,
    StatementFinished,
    python_migration,
    sql_migration,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import sqlalchemy

    from dbmigrate import Event
    from tests.conftest import Database

pytestmark = [pytest.mark.every_driver, pytest.mark.kinds("postgresql", "mariadb")]

ALTER = sql_migration("1", "alter", "ALTER TABLE a ADD y INTEGER", "ALTER TABLE a DROP COLUMN y")
#: On MariaDB its first statement stays when the second has to wait; on PostgreSQL both begin anew.
MIXED = sql_migration(
    "1", "mixed", "INSERT INTO seen VALUES (1);\nALTER TABLE a ADD y INTEGER;\nINSERT INTO seen VALUES (2);"
)


@pytest.fixture
def database(database: Database) -> Database:
    """A database with a table that others read, and one in which a second run would show."""
    database.execute("CREATE TABLE a (x INTEGER)", "INSERT INTO a VALUES (1)", "CREATE TABLE seen (k INTEGER)")
    return database


@contextmanager
def reading(database: Database) -> Generator[Callable[[], None]]:
    """Have a transaction that has read a table, which is all it takes; give what ends it."""
    with database.connect(autocommit=False) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SELECT * FROM a")
        cursor.fetchall()
        yield connection.rollback


def _impatient(database: Database) -> float:
    return 0.2 if database.kind == "postgresql" else 1


def _columns(database: Database) -> int:
    schema = "DATABASE()" if database.kind == "mariadb" else "current_schema()"
    where = f"WHERE table_name = 'a' AND table_schema = {schema}"
    ((count,),) = database.query(f"SELECT count(*) FROM information_schema.columns {where}")
    return int(count)


def _seen(database: Database) -> list[int]:
    return [k for (k,) in database.query("SELECT k FROM seen ORDER BY k")]


@pytest.mark.fault("a reader keeps a step from its lock for longer than lock_timeout")
@pytest.mark.parametrize("migration", [ALTER, MIXED], ids=["alter", "mixed"])
def test_a_step_waits_its_turn(database: Database, migration: Any) -> None:
    """It is tried again until the reader has gone, says so each time with who that is, and runs once."""
    events = list[Retrying]()
    with reading(database) as end:

        def see(event: Event) -> None:
            if isinstance(event, Retrying):
                events.append(event)
                if event.tries == 2:
                    end()

        migrator = Migrator(database.url, MemorySource([migration]), lock_timeout=_impatient(database), on_event=see)
        report = migrator.upgrade()

    assert [str(outcome.step) for outcome in report.outcomes] == [f"1_{migration.name} up"]
    assert [(e.tries, e.most) for e in events] == [(1, 11), (2, 11)]
    assert all(0 < e.pause < 1 and ("lock timeout" in e.error or "1205" in e.error) for e in events)
    assert [len(e.blockers) for e in events] == [1, 1]
    assert ("idle in transaction" if database.kind == "postgresql" else "Sleep") in events[0].blockers[0]
    assert _columns(database) == 2
    assert _seen(database) == ([1, 2] if migration is MIXED else [])
    migrator.verify()


@pytest.mark.fault("a reader keeps a step from its lock for longer than lock_timeout")
def test_a_downgrade_waits_its_turn_too(database: Database) -> None:
    """It goes back once."""
    source = MemorySource([sql_migration("0", "first", "SELECT 1", "SELECT 1"), ALTER])
    Migrator(database.url, source).upgrade()
    with reading(database) as end:
        on_event = lambda event: end() if isinstance(event, Retrying) else None  # noqa: E731
        report = Migrator(database.url, source, lock_timeout=_impatient(database), on_event=on_event).downgrade()
    assert [str(outcome.step) for outcome in report.outcomes] == ["1_alter down"]
    assert _columns(database) == 1
    assert [str(entry) for entry in Migrator(database.url, source).status().applied] == ["applied    0_first"]


@pytest.mark.fault("a reader keeps a step from its lock until no try is left")
@pytest.mark.parametrize("budget", [{"retries": 1}, {"retry_timeout": 0.0}], ids=["retries", "retry_timeout"])
def test_the_budget_is_kept(database: Database, budget: dict[str, Any]) -> None:
    """Then the step fails, and the error says how often it was tried and who was in the way."""
    tries = 2 if "retries" in budget else 1
    options: dict[str, Any] = {"lock_timeout": _impatient(database), **budget}
    with reading(database), pytest.raises(MigrationFailed) as caught:
        Migrator(database.url, MemorySource([ALTER]), **options).upgrade()

    assert caught.value.rolled_back
    if database.kind == "postgresql":
        assert f"after {tries} attempt" in str(caught.value)
        assert "in its way: process" in str(caught.value)
    assert _columns(database) == 1
    Migrator(database.url, MemorySource([ALTER])).upgrade()
    assert _columns(database) == 2


@pytest.mark.default_driver
@pytest.mark.fault("a reader keeps a step from its lock for longer than lock_timeout")
def test_the_migration_lock_is_free_meanwhile(database: Database) -> None:
    """Between two tries another migrator may do it: then it was done."""
    if database.kind == "mariadb":
        pytest.skip("a step outside a transaction keeps the lock until it ends")
    with reading(database) as end:

        def see(event: Event) -> None:
            if isinstance(event, Retrying):
                end()
                assert len(Migrator(database.url, MemorySource([ALTER])).upgrade().outcomes) == 1

        report = Migrator(database.url, MemorySource([ALTER]), lock_timeout=0.2, on_event=see).upgrade()
    assert report.outcomes == ()
    assert _columns(database) == 2


@pytest.mark.fault("a deadlock with another transaction")
def test_a_deadlock(database: Database) -> None:
    """The victim is tried again."""
    database.execute("CREATE TABLE b (x INTEGER)", "INSERT INTO b VALUES (1)")
    if database.kind == "mariadb":
        database.execute(*["INSERT INTO b SELECT x FROM b"] * 6)  # who has changed less is the victim
    step = sql_migration("1", "both", "UPDATE a SET x = x + 1;\nUPDATE b SET x = x + 1;\nINSERT INTO seen VALUES (1);")
    with database.connect(autocommit=False) as other, closing(other.cursor()) as cursor:
        if database.kind == "postgresql":
            cursor.execute("SET deadlock_timeout = '60s'")  # who looks first is the victim
        cursor.execute("UPDATE b SET x = x + 1")
        thread: list[threading.Thread] = []
        events = list[Retrying]()

        def finish() -> None:
            cursor.execute("UPDATE a SET x = x + 10")
            other.commit()

        def see(event: Event) -> None:
            if isinstance(event, StatementFinished) and event.ordinal == 1 and not thread:
                thread.append(threading.Thread(target=finish))
                thread[0].start()
                _until_blocked(database)
            if isinstance(event, Retrying):
                events.append(event)
                thread[0].join()

        Migrator(database.url, MemorySource([step]), lock_timeout=30, on_event=see).upgrade()
    assert [e.tries for e in events] == [1]
    assert database.query("SELECT x FROM a") == [(12,)]
    assert _seen(database) == [1]


@pytest.mark.kinds("mariadb")
@pytest.mark.fault("a deadlock outside a transaction")
def test_a_deadlock_outside_a_transaction(database: Database) -> None:
    """A statement that the server gave up is failed, and sent again: what is recorded is what the database holds."""
    database.execute("CREATE TABLE b (x INTEGER)", "INSERT INTO b VALUES (1)", *["INSERT INTO b SELECT x FROM b"] * 6)
    both = "UPDATE a, (SELECT 1) AS one SET a.x = a.x + 1;\nUPDATE a JOIN b SET a.x = 5, b.x = 5;"
    sql = f"INSERT INTO seen VALUES (1);\nCREATE TABLE c (x INT);\n{both}\nINSERT INTO seen VALUES (2);"
    with database.connect(autocommit=False) as other, closing(other.cursor()) as cursor:
        cursor.execute("UPDATE b SET x = x + 1")
        thread, events = list[threading.Thread](), list[Retrying]()

        def finish() -> None:
            _until_blocked(database)
            cursor.execute("UPDATE a SET x = x + 10")
            other.commit()

        def see(event: Event) -> None:
            if isinstance(event, StatementFinished) and event.ordinal == 3 and not thread:
                thread.append(threading.Thread(target=finish))
                thread[0].start()
            if isinstance(event, Retrying):
                events.append(event)
                thread[0].join()

        m = Migrator(database.url, MemorySource([sql_migration("1", "both", sql)]), lock_timeout=30, on_event=see)
        m.upgrade()
    assert [("1213" in e.error, e.tries) for e in events] == [(True, 1)]
    assert database.query("SELECT x FROM a") == [(5,)]
    assert _seen(database) == [1, 2]
    m.verify()


@pytest.mark.default_driver
@pytest.mark.fault("a statement finds a row locked when it runs, and again when its step is resumed")
def test_a_statement_that_failed_before_waits_its_turn_in_resume(database: Database) -> None:
    """What the journal has of it from the first call is no obstacle to the tries of the second."""
    sql = "-- dbmigrate: no-transaction\nCREATE TABLE c (x INT);\nUPDATE a SET x = x + 1;"
    source = MemorySource([sql_migration("1", "outside", sql)])
    with database.connect(autocommit=False) as other, closing(other.cursor()) as cursor:
        cursor.execute("UPDATE a SET x = 10")
        with pytest.raises(MigrationFailed, match="statement 2"):
            Migrator(database.url, source, lock_timeout=_impatient(database), retries=0).upgrade()
        events = list[Retrying]()

        def see(event: Event) -> None:
            if isinstance(event, Retrying):
                events.append(event)
                if len(events) == 2:
                    other.commit()

        m = Migrator(database.url, source, lock_timeout=_impatient(database), on_event=see)
        m.resume()
    assert len(events) == 2
    assert database.query("SELECT x FROM a") == [(11,)]
    m.verify()


@pytest.mark.kinds("mariadb")
@pytest.mark.fault("a statement that fails when it has had a part of its effect")
def test_half_of_a_drop(database: Database) -> None:
    """DROP TABLE a, missing: `a` is gone though the server says 1051, and it is not said that nothing was done."""
    source = MemorySource([sql_migration("1", "drop", "INSERT INTO seen VALUES (1);\nDROP TABLE a, missing;")])
    m = Migrator(database.url, source)
    with pytest.raises(MigrationFailed, match="1051") as caught:
        m.upgrade()
    assert not caught.value.rolled_back
    assert database.tables()[:1] == ["dbmigrate_ledger"]
    with pytest.raises(HistoryError, match=r"resolve\(.*statement=2"):
        m.resume()
    m.resolve("1", statement=2, applied=True, reason="a is gone, and there was no other")
    m.resume()
    m.verify()
    assert _seen(database) == [1]


def _until_blocked(database: Database) -> None:
    """Wait until somebody waits for a row."""
    query = {
        "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND datname = current_database()",
        "mariadb": "SELECT count(*) FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT'",
    }[database.kind]
    with database.connect() as look, closing(look.cursor()) as cursor:
        for _ in range(600):
            cursor.execute(query)
            if cursor.fetchone()[0]:
                return
            threading.Event().wait(0.15)
    raise AssertionError("nobody waits")


@pytest.mark.kinds("postgresql")
@pytest.mark.fault("a transaction that cannot be put in an order")
def test_a_serialization_failure(database: Database) -> None:
    """It is tried again."""
    sql = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;\nSELECT x FROM a;\nUPDATE a SET x = x * 10;"
    meddled, events = list[bool](), list[Retrying]()

    def see(event: Event) -> None:
        if isinstance(event, StatementFinished) and event.ordinal == 2 and not meddled:
            meddled.append(True)
            database.execute("UPDATE a SET x = 2")
        if isinstance(event, Retrying):
            events.append(event)

    Migrator(database.url, MemorySource([sql_migration("1", "a", sql)]), on_event=see).upgrade()
    assert len(events) == 1
    assert "40001" in events[0].error
    assert database.query("SELECT x FROM a") == [(20,)]


@pytest.mark.default_driver
@pytest.mark.fault("a reader keeps a step in Python from its lock")
def test_python_is_not_tried_again(database: Database) -> None:
    """A function may have done more than SQL."""
    calls = list[int]()

    def up(connection: sqlalchemy.Connection) -> None:
        calls.append(1)
        connection.exec_driver_sql("ALTER TABLE a ADD y INTEGER")

    source = MemorySource([python_migration("1", "python", up)])
    with reading(database), pytest.raises(MigrationFailed):
        Migrator(database.url, source, lock_timeout=_impatient(database)).upgrade()
    assert calls == [1]


@pytest.mark.kinds("postgresql")
@pytest.mark.fault("a reader keeps a step from its lock that did something outside of the database")
def test_what_does_not_roll_back_is_not_tried_again(database: Database) -> None:
    """A program that a statement has run would run once more."""
    assert database.server is not None
    file = database.server.directory / f"{database.name}_rows"
    file.unlink(missing_ok=True)
    copy = f"COPY (SELECT 1) TO PROGRAM 'cat >> {file}'"
    source = MemorySource([sql_migration("1", "out", f"{copy};\nALTER TABLE a ADD y int;")])
    with reading(database), pytest.raises(MigrationFailed, match="lock timeout"):
        Migrator(database.url, source, lock_timeout=0.1).upgrade()
    assert file.read_text() == "1\n"

    database.execute("CREATE SEQUENCE s")
    source = MemorySource([sql_migration("1", "out", "SELECT setval('s', nextval('s') + 99); ALTER TABLE a ADD y int")])
    with reading(database), pytest.raises(MigrationFailed, match="lock timeout"):
        Migrator(database.url, source, lock_timeout=0.1).upgrade()
    assert database.query("SELECT last_value FROM s") == [(100,)]


@pytest.mark.parametrize("way", ["all", "apply", "goto", "redo"])
@pytest.mark.default_driver
@pytest.mark.fault("a reader keeps a step from its lock for longer than lock_timeout")
def test_every_call_waits_its_turn(database: Database, way: str) -> None:
    """Whatever the call, each step runs once."""
    rows = sql_migration("0", "rows", "INSERT INTO seen VALUES (0)", "DELETE FROM seen")
    source = MemorySource([rows, ALTER])
    if way == "redo":
        Migrator(database.url, source).upgrade()
    with reading(database) as end:
        on_event = lambda event: end() if isinstance(event, Retrying) else None  # noqa: E731
        transaction: Any = "all" if way == "all" and database.kind == "postgresql" else "each"
        options: dict[str, Any] = {"lock_timeout": _impatient(database), "transaction": transaction}
        m = Migrator(database.url, source, on_event=on_event, **options)
        if way == "apply":
            report = m.apply(m.plan())
        else:
            report = m.goto("1") if way == "goto" else m.redo() if way == "redo" else m.upgrade()
    ran = ["1_alter down", "1_alter up"] if way == "redo" else ["0_rows up", "1_alter up"]
    assert [str(outcome.step) for outcome in report.outcomes] == ran
    assert _columns(database) == 2
    assert _seen(database) == [0]
    m.verify()


@pytest.mark.default_driver
@pytest.mark.fault("a reader keeps a step from its lock, and on_event raises")
def test_on_event_may_end_it(database: Database) -> None:
    """What it raises when a step is to be tried again comes out, and nothing more was run."""

    class EnoughError(Exception):
        """Raised by the application."""

    def see(event: Event) -> None:
        if isinstance(event, Retrying):
            raise EnoughError

    with reading(database), pytest.raises((EnoughError, MigrationFailed)) as caught:
        Migrator(database.url, MemorySource([MIXED]), lock_timeout=_impatient(database), on_event=see).upgrade()
    assert type(caught.value) is (EnoughError if database.kind == "postgresql" else MigrationFailed)
    assert _columns(database) == 1
    again = Migrator(database.url, MemorySource([MIXED]))
    (again.upgrade if database.kind == "postgresql" else again.resume)()
    assert _seen(database) == [1, 2]
    again.verify()


@pytest.mark.kinds("postgresql")
@pytest.mark.fault("a reader that CREATE INDEX CONCURRENTLY waits for, longer than lock_timeout")
def test_what_is_done_concurrently_is_patient(database: Database) -> None:
    """Nobody waits behind it, and giving up would leave an INVALID index."""
    sql = "-- no-transaction\nSET search_path = public;\nCREATE INDEX CONCURRENTLY i ON a (x);\nSELECT 1;"
    m = Migrator(database.url, MemorySource([sql_migration("1", "index", sql)]), lock_timeout=0.1)
    with database.connect(autocommit=False) as writer, closing(writer.cursor()) as cursor:
        cursor.execute("UPDATE a SET x = 2")
        thread = threading.Thread(target=m.upgrade)
        thread.start()
        _until_blocked(database)
        threading.Event().wait(0.3)
        writer.commit()
        thread.join()
    assert database.query("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == [(0,)]
    m.verify()


@pytest.mark.kinds("postgresql")
@pytest.mark.fault("a writer that the DROP INDEX CONCURRENTLY of resume() waits for, longer than lock_timeout")
def test_what_resume_removes_concurrently_is_patient_too(database: Database) -> None:
    """The INVALID index goes, and the new one comes, when the writer has ended."""
    sql = "-- no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY i ON a (x)"
    m = Migrator(database.url, MemorySource([sql_migration("1", "index", sql)]), lock_timeout=0.1)
    database.execute("INSERT INTO a VALUES (7)", "INSERT INTO a VALUES (7)")
    with pytest.raises(MigrationFailed):
        m.upgrade()
    database.execute("DELETE FROM a")
    with database.connect(autocommit=False) as writer, closing(writer.cursor()) as cursor:
        cursor.execute("INSERT INTO a VALUES (8)")
        thread = threading.Thread(target=m.resume)
        thread.start()
        _until_blocked(database)
        threading.Event().wait(0.3)
        writer.commit()
        thread.join()
    m.verify()


@pytest.mark.kinds("postgresql")
@pytest.mark.fault("somebody else runs the step meanwhile, and the next one is in the way as well")
def test_each_step_has_tries_of_its_own(database: Database) -> None:
    """Those of a step that somebody else ran in the pause are not counted for the next one."""
    steps = [sql_migration(str(n), "add", f"ALTER TABLE {name} ADD y int") for n, name in ((1, "a"), (2, "seen"))]
    tried = list[tuple[str, int]]()
    with reading(database) as end, database.connect(autocommit=False) as other, closing(other.cursor()) as cursor:
        cursor.execute("SELECT * FROM seen")

        def see(event: object) -> None:
            if isinstance(event, Retrying):
                tried.append((event.step.migration.version, event.tries))
                if event.step.migration.version == "1":
                    end()
                    Migrator(database.url, MemorySource(steps)).upgrade("1")
                else:
                    other.rollback()

        Migrator(database.url, MemorySource(steps), lock_timeout=0.1, retries=1, on_event=see).upgrade()
    assert tried == [("1", 1), ("2", 1)]


@pytest.mark.kinds("mariadb")
@pytest.mark.default_driver
@pytest.mark.fault("a reader keeps a statement from its lock that may get half-way")
def test_what_may_have_a_part_of_its_effect_is_not_sent_again(database: Database) -> None:
    """DROP TABLE of two; the catalogue says that nothing was done, so the step is closed."""
    source = MemorySource([sql_migration("1", "drop", "DROP TABLE seen, a")])
    with reading(database), pytest.raises(MigrationFailed, match="No statement of the step took effect"):
        Migrator(database.url, source, lock_timeout=1).upgrade()
    assert database.tables()[:1] == ["a"]
    Migrator(database.url, source).upgrade()
