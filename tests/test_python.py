"""Migrations in Python: files and functions."""

from __future__ import annotations

import inspect
import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from dbmigrate import (
    Edited,
    HistoryError,
    LedgerConflict,
    MemorySource,
    MigrationFailed,
    Migrator,
    SourceError,
    TargetError,
    python_migration,
    sql_migration,
)
from tests.processes import run_until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Database

pytestmark = pytest.mark.every_driver

TABLE = sql_migration("1", "table", "CREATE TABLE t (x INTEGER PRIMARY KEY, y VARCHAR(20))", "DROP TABLE t")

BACKFILL = '''\
"""Fill in what is missing."""

from __future__ import annotations

from sqlalchemy import Integer, String, insert, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Row(Base):
    __tablename__ = "t"
    x: Mapped[int] = mapped_column(primary_key=True)
    y: Mapped[str] = mapped_column(String(20))


def upgrade(connection):
    connection.execute(insert(Row.__table__), [{"x": 1, "y": "core"}])
    with Session(connection) as session:
        session.add(Row(x=2, y="orm"))
        session.flush()
        assert session.scalars(select(Row.y).order_by(Row.x)).all() == ["core", "orm"]
        session.commit()


def downgrade(connection):
    with Session(connection) as session:
        session.execute(Row.__table__.delete())
        session.commit()
'''


def folder(tmp_path: Path, **files: str) -> Path:
    """Write a folder of migrations: the table, and Python files."""
    migrations = tmp_path / "migrations"
    migrations.mkdir()
    (migrations / "1_table.up.sql").write_text("CREATE TABLE t (x INTEGER PRIMARY KEY, y VARCHAR(20))")
    (migrations / "1_table.down.sql").write_text("DROP TABLE t")
    for name, content in files.items():
        (migrations / f"{name}.py").write_text(dedent(content))
    return migrations


def rows(database: Database) -> list[Any]:
    """Return what is in the table."""
    return [tuple(row) for row in database.query("SELECT x, y FROM t ORDER BY x")]


def test_core_and_orm(database: Database, tmp_path: Path) -> None:
    """A file goes up and down, with Core and ORM, and the ledger knows its checksum."""
    migrator = Migrator(database.url, folder(tmp_path, **{"2_backfill": BACKFILL}))

    report = migrator.upgrade()

    assert [str(outcome.step) for outcome in report.outcomes] == ["1_table up", "2_backfill up"]
    assert rows(database) == [(1, "core"), (2, "orm")]
    migrator.verify()
    assert report.outcomes[1].record.checksum == migrator.source.load()[1].up.checksum
    migrator.downgrade()
    assert rows(database) == []
    migrator.downgrade()
    assert database.tables() == [name for name in database.tables() if name.startswith("dbmigrate")]


def test_a_file_without_downgrade_has_no_way_back(sqlite: Database, tmp_path: Path) -> None:
    """As an SQL file without its down script."""
    migrator = Migrator(sqlite.url, folder(tmp_path, **{"2_a": "def upgrade(connection): pass"}))
    migrator.upgrade()

    with pytest.raises(TargetError, match="2_a"):
        migrator.downgrade()


@pytest.mark.parametrize(
    "text",
    ['"""Write\ndef downgrade(connection)\nsome day."""\n', "NOTE = '''\ndef downgrade(connection): pass\n'''\n"],
    ids=["docstring", "string"],
)
def test_a_way_back_that_is_only_a_text_is_none(sqlite: Database, tmp_path: Path, text: str) -> None:
    """The file is parsed when it is to go back, and before the first step does."""
    source = folder(
        tmp_path,
        **{
            "2_a": f"{text}def upgrade(connection): pass",
            "3_b": "def upgrade(connection): pass\ndef\tdowngrade(connection): pass",
        },
    )
    migrator = Migrator(sqlite.url, source)
    migrator.upgrade()

    with pytest.raises(SourceError, match=r"2_a\.py: there is no def downgrade\(connection\) in it"):
        migrator.downgrade(to="1")

    assert migrator.status().is_current
    assert len(migrator.downgrade().outcomes) == 1


def test_functions_in_memory(database: Database) -> None:
    """A decorator makes a migration of a function; it has no checksum, and is no finding."""

    @python_migration("2", "fill", down=lambda connection: connection.execute(text("DELETE FROM t")))
    def fill(connection: sqlalchemy.Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (:x, 'ab')"), [{"x": 1}, {"x": 2}])

    migrator = Migrator(database.url, MemorySource([TABLE, fill]))
    report = migrator.upgrade()

    assert rows(database) == [(1, "ab"), (2, "ab")]
    assert report.outcomes[1].record.checksum is None
    assert migrator.status().findings == ()
    migrator.downgrade()
    assert rows(database) == []


@pytest.mark.kinds("sqlite", "postgresql")
def test_an_error_points_into_the_file_and_rolls_back(database: Database, tmp_path: Path) -> None:
    """File, line and source line of the migration itself, not of the library it called."""
    source = folder(
        tmp_path,
        **{
            "2_bad": """\
            from sqlalchemy import text

            def fill(connection):
                connection.execute(text("INSERT INTO nope VALUES (1)"))

            def upgrade(connection):
                connection.execute(text("INSERT INTO t VALUES (1, 'a')"))
                fill(connection)
            """
        },
    )

    with pytest.raises(MigrationFailed) as caught:
        Migrator(database.url, source).upgrade()

    assert (caught.value.line, caught.value.statement, caught.value.rolled_back) == (4, None, True)
    assert f"{source / '2_bad.py'}:4: 2_bad up: failed: " in str(caught.value)
    assert 'connection.execute(text("INSERT INTO nope VALUES (1)"))' in str(caught.value)
    assert "nope" in str(caught.value).split("failed: ")[1].split("\n")[0]
    assert rows(database) == []


def test_an_error_of_a_function_points_to_where_it_was_written(sqlite: Database) -> None:
    """Also a ZeroDivisionError, by name."""

    @python_migration("2", "bad")
    def bad(_connection: sqlalchemy.Connection) -> None:
        raise ZeroDivisionError(1)

    with pytest.raises(MigrationFailed, match="ZeroDivisionError: 1") as caught:
        Migrator(sqlite.url, MemorySource([TABLE, bad])).upgrade()

    line = inspect.getsourcelines(test_an_error_of_a_function_points_to_where_it_was_written)[1] + 5
    assert f"{__file__}:{line}: 2_bad up" in str(caught.value)


def test_module_code_runs_only_with_its_step(sqlite: Database, tmp_path: Path) -> None:
    """Neither status nor plan nor the check before a run executes a file; an applied one never runs again."""
    mark = tmp_path / "ran"
    source = folder(
        tmp_path,
        **{
            "2_a": f"""\
            with open({str(mark)!r}, "a") as file:
                file.write("ran ")

            def upgrade(connection): pass
            """
        },
    )
    migrator = Migrator(sqlite.url, source)

    migrator.status()
    migrator.plan()
    migrator.upgrade("1")
    assert not mark.exists()
    migrator.upgrade()
    migrator.upgrade()
    migrator.status()
    assert mark.read_text() == "ran "


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("def upgrade(connection:\n    pass\n", "2_a.py:1: not Python: "),
        ("x = 1\n", "2_a.py: there is no def upgrade(connection) in it"),
        ("\nasync def upgrade(connection): pass\n", "2_a.py:2: upgrade must be a plain function, not async"),
        ("transaction = 1 - 1\ndef upgrade(connection): pass\n", "2_a.py:1: say transaction = True or False"),
        ("x = '\0'\n", "NUL byte"),
    ],
)
def test_defects_are_refused_before_anything_runs(sqlite: Database, tmp_path: Path, content: str, problem: str) -> None:
    """Also those of a later file, before the first one runs."""
    source = folder(tmp_path)
    (source / "2_a.py").write_text(content)

    with pytest.raises(SourceError) as caught:
        Migrator(sqlite.url, source).upgrade()

    assert problem in str(caught.value)
    assert not sqlite.tables()


def test_an_async_downgrade_is_refused_when_it_is_to_run(sqlite: Database, tmp_path: Path) -> None:
    """Its own line is named."""
    content = "def upgrade(connection): pass\nasync def downgrade(connection): pass\n"
    migrator = Migrator(sqlite.url, folder(tmp_path, **{"2_a": content}))
    migrator.upgrade()

    with pytest.raises(SourceError, match=r"2_a\.py:2: downgrade must be a plain function"):
        migrator.downgrade()


def test_async_functions_and_generators_in_memory(sqlite: Database) -> None:
    """A coroutine that nobody awaits has done nothing, nor has a generator."""

    async def later(_connection: sqlalchemy.Connection) -> None: ...

    def lazily(connection: sqlalchemy.Connection) -> Any:
        yield connection.execute(text("INSERT INTO t VALUES (1, 'a')"))

    with pytest.raises(SourceError, match="not async"):
        Migrator(sqlite.url, MemorySource([TABLE, python_migration("2", "a", later)])).upgrade()
    with pytest.raises(MigrationFailed, match="returned a generator"):
        Migrator(sqlite.url, MemorySource([TABLE, python_migration("2", "a", lazily)])).upgrade()


def test_an_error_while_importing_fails_the_step(sqlite: Database, tmp_path: Path) -> None:
    """With its line, and what ran before stays."""
    source = folder(tmp_path, **{"2_a": "import nothing_of_that_name\n\ndef upgrade(connection): pass\n"})

    with pytest.raises(MigrationFailed, match=r"2_a\.py:1: 2_a up: failed: ModuleNotFoundError") as caught:
        Migrator(sqlite.url, source).upgrade()

    assert len(caught.value.report.outcomes) == 1


def test_an_edited_file_is_a_finding(sqlite: Database, tmp_path: Path) -> None:
    """There is no fingerprint of Python: a comment is an edit too."""
    source = folder(tmp_path, **{"2_a": "def upgrade(connection): pass\n"})
    migrator = Migrator(sqlite.url, source)
    migrator.upgrade()

    (source / "2_a.py").write_text("def upgrade(connection): pass  # really\n")

    assert [type(finding) for finding in migrator.status().findings] == [Edited]


def _swallow(connection: sqlalchemy.Connection) -> None:
    connection.execute(text("INSERT INTO t VALUES (1, 'a')"))
    with suppress(IntegrityError):
        connection.execute(text("INSERT INTO t VALUES (1, 'b')"))


def _swallow_and_go_on(connection: sqlalchemy.Connection) -> None:
    with suppress(SQLAlchemyError):
        connection.execute(text("SELECT * FROM nope"))
    with suppress(SQLAlchemyError):
        connection.execute(text("INSERT INTO t VALUES (1, 'b')"))


def _swallow_in_a_session(connection: sqlalchemy.Connection) -> None:
    session = Session(connection)
    try:
        session.execute(text("SELECT * FROM nope"))
    except SQLAlchemyError:
        session.rollback()


def _swallow_at_fetch(connection: sqlalchemy.Connection) -> None:
    """The second row fails where rows are read one by one; in other databases the statement does."""
    numbers = "SELECT 1 AS x UNION ALL SELECT -9223372036854775808"
    if connection.dialect.name != "sqlite":
        numbers = "SELECT 1 AS x UNION ALL SELECT 1 FROM nope"
    with suppress(SQLAlchemyError):
        for _ in connection.execute(text(f"SELECT abs(x) FROM ({numbers}) AS n")):
            connection.execute(text("INSERT INTO t VALUES (1, 'a')"))


@pytest.mark.parametrize("function", [_swallow, _swallow_and_go_on, _swallow_in_a_session, _swallow_at_fetch])
def test_a_swallowed_error_is_no_success(database: Database, function: Any) -> None:
    """A function that hides the error of a statement fails; where DDL is transactional nothing of it is left."""
    migrator = Migrator(database.url, MemorySource([TABLE, python_migration("2", "a", function)]))

    with pytest.raises(MigrationFailed, match=r"it caught the error of a statement|commit|rollback"):
        migrator.upgrade()

    assert rows(database) == []
    assert not any(entry.version == "2" and entry.state == "applied" for entry in migrator.status().entries)


@pytest.mark.default_driver
@pytest.mark.kinds("sqlite", "postgresql")
def test_what_happens_over_another_connection_is_not_seen(database: Database) -> None:
    """An error there is the function's own to handle, whether of an engine's connection or of the driver's."""

    @python_migration("1", "else")
    def elsewhere(connection: sqlalchemy.Connection) -> None:
        with suppress(SQLAlchemyError), connection.engine.connect() as other:
            other.execute(text("SELECT * FROM nowhere"))
        raw: Any = connection.connection.dbapi_connection
        raw.cursor().execute("SAVEPOINT mine")
        with suppress(Exception):
            raw.cursor().execute("SELECT * FROM nowhere")
        raw.cursor().execute("ROLLBACK TO mine")

    assert len(Migrator(database.url, MemorySource([elsewhere])).upgrade().outcomes) == 1


def test_an_expected_error_in_a_savepoint_is_fine(database: Database) -> None:
    """begin_nested() is how to expect one."""

    def expect(connection: sqlalchemy.Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (1, 'a')"))
        for _ in range(2):
            try:
                with connection.begin_nested():
                    connection.execute(text("INSERT INTO t VALUES (1, 'b')"))
            except IntegrityError:
                connection.execute(text("UPDATE t SET y = 'c'"))

    Migrator(database.url, MemorySource([TABLE, python_migration("2", "a", expect)])).upgrade()

    assert rows(database) == [(1, "c")]


@pytest.mark.parametrize("how", ["commit", "rollback", "swallowed", "text", "session"])
@pytest.mark.kinds("sqlite", "postgresql")
def test_the_transaction_is_not_the_functions(database: Database, how: str) -> None:
    """Neither commit() nor rollback() nor their SQL gets a half-done step recorded."""

    def end(connection: sqlalchemy.Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (1, 'a')"))
        if how == "text":
            connection.execute(text("COMMIT"))
        elif how == "session":
            session = Session(connection, join_transaction_mode="control_fully")
            session.execute(text("INSERT INTO t VALUES (2, 'a')"))
            session.commit()
        elif how == "swallowed":
            with suppress(Exception):
                connection.commit()
        else:
            getattr(connection, how)()

    migrator = Migrator(database.url, MemorySource([TABLE, python_migration("2", "a", end)]))
    with pytest.raises(MigrationFailed, match=r"commit|ended or spoiled"):
        migrator.upgrade()

    assert [entry.version for entry in migrator.status().applied] == ["1"]
    if how != "text":
        assert rows(database) == []


def test_without_a_transaction(postgresql: Database, tmp_path: Path) -> None:
    """`transaction = False` in the module: each statement commits by itself, and the step is journalled."""
    source = folder(
        tmp_path,
        **{
            "2_a": """\
            from sqlalchemy import text

            transaction = False

            def upgrade(connection):
                connection.execute(text("CREATE INDEX CONCURRENTLY i ON t (y)"))
            """
        },
    )
    migrator = Migrator(postgresql.url, source)

    assert [step.transactional for step in migrator.plan().steps] == [True, False]
    migrator.upgrade()

    migrator.verify()
    assert postgresql.query("SELECT count(*) FROM pg_indexes WHERE indexname = 'i'") == [(1,)]
    assert postgresql.query("SELECT state FROM dbmigrate_ledger_journal ORDER BY entry") == [("started",), ("done",)]


def test_a_function_without_a_transaction_on_sqlite(sqlite: Database) -> None:
    """Each statement commits by itself, so VACUUM can run."""

    @python_migration("2", "a", transaction=False)
    def clean(connection: sqlalchemy.Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (1, 'a')"))
        connection.commit()
        connection.execute(text("VACUUM"))

    Migrator(sqlite.url, MemorySource([TABLE, clean])).upgrade()

    assert rows(sqlite) == [(1, "a")]


def test_ddl_on_mariadb_is_in_doubt_after_a_failure(mariadb: Database) -> None:
    """Nobody knows how far a function came: a person says, and it runs again or is done."""
    calls: list[str] = []

    def half(connection: sqlalchemy.Connection) -> None:
        calls.append("call")
        connection.execute(text("CREATE TABLE IF NOT EXISTS u (x INTEGER)"))
        if len(calls) == 1:
            raise RuntimeError("half-way")

    migrator = Migrator(mariadb.url, MemorySource([TABLE, python_migration("2", "half", half)]))
    with pytest.raises(MigrationFailed, match="half-way") as caught:
        migrator.upgrade()

    assert not caught.value.rolled_back
    with pytest.raises(HistoryError, match="RuntimeError: half-way"):
        migrator.upgrade()
    migrator.resolve("2", statement=1, applied=False, reason="looked")
    migrator.resume()
    assert calls == ["call", "call"]
    migrator.verify()


def _fill(connection: sqlalchemy.Connection) -> None:
    connection.execute(text("INSERT INTO t VALUES (1, 'a')"))
    if connection.execute(text("SELECT count(*) FROM dies")).scalar_one():
        os.kill(os.getpid(), signal.SIGKILL)
    connection.execute(text("INSERT INTO t VALUES (2, 'b')"))


DYING = MemorySource([TABLE, python_migration("2", "fill", _fill)])


def _upgrade(engine: sqlalchemy.Engine) -> None:
    Migrator(engine, DYING).upgrade()


def test_a_process_killed_inside_a_function(database: Database) -> None:
    """What the function had written is rolled back; where DDL commits by itself, a person is asked."""
    database.execute("CREATE TABLE dies (x INTEGER)", "INSERT INTO dies VALUES (1)")
    migrator = Migrator(database.url, DYING)

    assert run_until(1_000_000, database.url, _upgrade)

    database.execute("DELETE FROM dies")
    assert rows(database) == []
    if database.kind == "mariadb":
        with pytest.raises(HistoryError, match="statement 1"):
            migrator.upgrade()
        migrator.resolve("2", statement=1, applied=False, reason="the table is empty")
        migrator.resume()
    migrator.upgrade()
    assert rows(database) == [(1, "a"), (2, "b")]
    migrator.verify()


def test_on_a_connection_of_the_callers(database: Database) -> None:
    """Inside the caller's transaction too, where DDL is transactional."""
    engine = database.engine()
    Migrator(engine, MemorySource([TABLE])).upgrade()
    source = MemorySource(
        [TABLE, python_migration("2", "a", lambda c: c.execute(text("INSERT INTO t VALUES (1, 'a')")))]
    )

    if database.kind == "mariadb":
        with engine.begin() as connection, pytest.raises(Exception, match="cannot run inside the transaction"):
            Migrator(connection, source).upgrade()
        return
    with engine.connect() as connection, connection.begin() as transaction:
        Migrator(connection, source).upgrade()
        transaction.rollback()
    assert rows(database) == []
    with engine.begin() as connection:
        Migrator(connection, source).upgrade()
    assert rows(database) == [(1, "a")]


@pytest.mark.default_driver
def test_two_threads_may_run_the_same_file(sqlite: Database, tmp_path: Path) -> None:
    """Each has a module of its own, which annotations can be looked up in until it ends."""
    source = folder(
        tmp_path,
        **{
            "2_slow": """\
            from __future__ import annotations

            import time
            from dataclasses import dataclass
            from typing import ClassVar

            from sqlalchemy import text

            def upgrade(connection):
                time.sleep(0.2 * connection.execute(text("SELECT count(*) FROM slow")).scalar_one())

                @dataclass
                class Row:
                    kind: ClassVar[str] = "row"
            """
        },
    )
    databases = [sqlite, sqlite.another()]
    for number, one in enumerate(databases):
        one.execute("CREATE TABLE slow (x INTEGER)", *["INSERT INTO slow VALUES (1)"] * (number + 1))
    with ThreadPoolExecutor() as pool:
        reports = list(pool.map(lambda one: Migrator(one.url, source).upgrade(), databases))

    assert [len(report.outcomes) for report in reports] == [2, 2]
    assert not [name for name in sys.modules if name.startswith("dbmigrate migration")]


def _with(connection: sqlalchemy.Connection) -> None:
    with connection:
        connection.execute(text("INSERT INTO t VALUES (1, 'a')"))


@pytest.mark.parametrize(
    "end",
    [_with, lambda c: c.close(), lambda c: c.detach(), lambda c: c.invalidate()],
    ids=["with", "close", "detach", "invalidate"],
)
def test_the_connection_is_not_the_functions(database: Database, end: Any) -> None:
    """To close it fails the step, and neither our connection nor the caller's is gone."""
    migrator = Migrator(database.url, MemorySource([TABLE, python_migration("2", "a", end)]))

    with pytest.raises(MigrationFailed, match="which is not its own"):
        migrator.upgrade()

    assert rows(database) == []
    assert database.leftovers() == []
    if database.kind != "mariadb":
        with database.engine().begin() as connection:
            with pytest.raises(MigrationFailed, match="which is not its own"):
                Migrator(connection, migrator.source).upgrade()
            connection.execute(text("INSERT INTO t VALUES (7, 'mine')"))
        assert rows(database) == [(7, "mine")]


def test_an_error_that_a_savepoint_survives_is_hidden(database: Database) -> None:
    """Caught inside begin_nested() without ending it, it is swallowed like any other."""

    def swallow(connection: sqlalchemy.Connection) -> None:
        with connection.begin_nested():
            for number in (1, 1, 2):
                with suppress(SQLAlchemyError):
                    connection.execute(text(f"INSERT INTO t VALUES ({number}, 'a')"))

    with pytest.raises(MigrationFailed):
        Migrator(database.url, MemorySource([TABLE, python_migration("2", "a", swallow)])).upgrade()

    assert rows(database) == []


@pytest.mark.kinds("postgresql", "mariadb")
def test_an_error_without_a_transaction_is_hidden_too(database: Database) -> None:
    """Unless rollback() is called behind it, which says that it was expected."""

    def swallow(connection: sqlalchemy.Connection) -> None:
        with suppress(SQLAlchemyError):
            connection.execute(text("SELECT * FROM nope"))

    def expect(connection: sqlalchemy.Connection) -> None:
        swallow(connection)
        connection.rollback()
        connection.execute(text("INSERT INTO t VALUES (1, 'a')"))

    steps = [TABLE, python_migration("2", "a", swallow, transaction=False)]
    with pytest.raises(MigrationFailed, match="caught the error of a statement"):
        Migrator(database.url, MemorySource(steps)).upgrade()

    other = database.another()
    Migrator(other.url, MemorySource([TABLE, python_migration("2", "a", expect, transaction=False)])).upgrade()
    assert rows(other) == [(1, "a")]


@pytest.mark.default_driver
def test_sys_exit_is_a_failure(sqlite: Database) -> None:
    """A release step that ends with status 0 would look as if it had done its work."""
    with pytest.raises(MigrationFailed, match=r"called sys.exit\(0\)"):
        Migrator(sqlite.url, MemorySource([TABLE, python_migration("2", "a", lambda _: sys.exit(0))])).upgrade()


@pytest.mark.default_driver
@pytest.mark.parametrize("line", ["transaction, y = False, 1", "if True:\n    transaction = False"])
def test_a_switch_that_cannot_be_read_is_an_error(sqlite: Database, tmp_path: Path, line: str) -> None:
    """It would be passed over without a word."""
    source = folder(tmp_path)
    (source / "2_a.py").write_text(f"{line}\n\ndef upgrade(connection): pass\n")

    with pytest.raises(MigrationFailed, match="a line of its own"):
        Migrator(sqlite.url, source).upgrade()


@pytest.mark.kinds("postgresql", "mariadb")
def test_a_connection_lost_inside_a_function(database: Database) -> None:
    """The step fails with its own error, and nothing is left open."""
    kill = "SELECT pg_terminate_backend(pg_backend_pid())" if database.kind == "postgresql" else "KILL CONNECTION_ID()"

    def lose(connection: sqlalchemy.Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (1, 'a')"))
        connection.execute(text(kill))
        connection.execute(text("SELECT 1"))

    with pytest.raises(MigrationFailed):
        Migrator(database.url, MemorySource([TABLE, python_migration("2", "a", lose)])).upgrade()

    assert rows(database) == []
    assert database.leftovers() == []


@pytest.mark.default_driver
def test_what_a_function_committed_is_not_called_rolled_back(sqlite: Database) -> None:
    """The driver's own executescript() commits first: the row may be there, and the error says so."""

    def script(connection: sqlalchemy.Connection) -> None:
        raw: Any = connection.connection.dbapi_connection
        raw.executescript("INSERT INTO t VALUES (1, 'a')")

    with pytest.raises(MigrationFailed, match="may be committed, without a record") as caught:
        Migrator(sqlite.url, MemorySource([TABLE, python_migration("2", "a", script)])).upgrade()

    assert not caught.value.rolled_back
    assert rows(sqlite) == [(1, "a")]


@pytest.mark.parametrize("statement", ["ROLLBACK", " commit ", "BEGIN", "start transaction"])
def test_transaction_control_in_sql_is_seen_before_it_is_sent(database: Database, statement: str) -> None:
    """So nothing is half committed, on MariaDB either."""

    def control(connection: sqlalchemy.Connection) -> None:
        connection.execute(text("INSERT INTO t VALUES (1, 'a')"))
        connection.execute(text(statement))

    with pytest.raises(MigrationFailed, match="commit"):
        Migrator(database.url, MemorySource([TABLE, python_migration("2", "a", control)])).upgrade()

    assert rows(database) == []


def test_what_an_orm_session_failed_with_is_shown(database: Database) -> None:
    """Not that the session rolled back because of it."""

    def flush(connection: sqlalchemy.Connection) -> None:
        class Base(DeclarativeBase):
            pass

        class Row(Base):
            __tablename__ = "t"
            x: Mapped[int] = mapped_column(primary_key=True)

        with Session(connection) as session:
            session.execute(text("INSERT INTO t VALUES (1, 'a')"))
            session.add(Row(x=1))
            session.flush()

    with pytest.raises(MigrationFailed) as caught:
        Migrator(database.url, MemorySource([TABLE, python_migration("2", "a", flush)])).upgrade()

    assert "rollback()" not in str(caught.value)
    assert isinstance(caught.value.__cause__, IntegrityError)


@pytest.mark.default_driver
def test_options_of_the_engine_reach_the_function(database: Database) -> None:
    """But those that are set on the driver's connection already are not set again."""
    engine = database.engine(execution_options={"logging_token": "x", "mine": 1})
    seen: list[object] = []

    def look(connection: sqlalchemy.Connection) -> None:
        seen.append(connection.get_execution_options().get("mine"))

    Migrator(engine, MemorySource([TABLE, python_migration("2", "a", look)])).upgrade()

    assert seen == [1]


@pytest.mark.default_driver
def test_the_errors_of_another_migrator_are_not_taken_for_our_own(database: Database) -> None:
    """A function may migrate another database; that being refused is what this step fails with."""

    def nest(_connection: sqlalchemy.Connection) -> None:
        raise LedgerConflict("of another ledger")

    with pytest.raises(MigrationFailed, match="LedgerConflict: of another ledger") as caught:
        Migrator(database.url, MemorySource([TABLE, python_migration("2", "a", nest)])).upgrade()

    assert len(caught.value.report.outcomes) == 1


INNER = MemorySource(
    [
        sql_migration("1", "a", "INSERT INTO t VALUES (1)", "DELETE FROM t WHERE x = 1"),
        sql_migration("2", "b", "INSERT INTO t VALUES (2)", "DELETE FROM t WHERE x = 2"),
    ]
)


@pytest.mark.parametrize("is_there", [True, False], ids=["ledger", "no ledger"])
def test_another_migrator_inside_a_function(database: Database, *, is_there: bool) -> None:
    """A step's Connection is one inside a transaction: another history can be migrated over it, and fails with it."""
    if database.kind == "mariadb" and not is_there:
        pytest.skip("to create a ledger would commit there")
    database.execute("CREATE TABLE t (x INTEGER)")
    if is_there:
        Migrator(database.url, INNER, ledger="other").upgrade()
        Migrator(database.url, INNER, ledger="other").downgrade(to="base")
    lost = "other" not in database.tables()

    def up(connection: sqlalchemy.Connection) -> None:
        inner = Migrator(connection, INNER, ledger="other")
        assert not inner.status().is_current
        assert len(inner.upgrade().outcomes) == 2
        inner.downgrade()
        inner.upgrade()
        inner.verify()

    def bad(connection: sqlalchemy.Connection) -> None:
        up(connection)
        raise LookupError

    with pytest.raises(MigrationFailed, match="LookupError"):
        Migrator(database.url, MemorySource([python_migration("9", "outer", bad)])).upgrade()
    assert database.query("SELECT x FROM t") == []
    assert ("other" not in database.tables()) == lost

    outer = Migrator(database.url, MemorySource([python_migration("9", "outer", up)]))
    if database.kind == "mariadb":  # where any function is in doubt after an error
        outer.resolve("9", applied=False, reason="it was rolled back")
    outer.upgrade()
    assert database.query("SELECT x FROM t ORDER BY x") == [(1,), (2,)]
    Migrator(database.url, INNER, ledger="other").verify()


def test_another_migrator_outside_a_transaction(postgresql: Database) -> None:
    """Where a function has no transaction, there is none for the other history either."""

    def up(connection: sqlalchemy.Connection) -> None:
        connection.execute(sqlalchemy.text("SELECT 1"))
        Migrator(connection, INNER, ledger="other").upgrade()

    with pytest.raises(MigrationFailed, match="this Connection is not in a transaction"):
        Migrator(postgresql.url, MemorySource([python_migration("9", "outer", up, transaction=False)])).upgrade()
