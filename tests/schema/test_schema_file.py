"""The file that a Migrator keeps: written by each run that did something, whole or not at all."""

from __future__ import annotations

import os
import stat
import threading
from typing import TYPE_CHECKING, Any

import pytest

from dbmigrate import (
    ConfigurationError,
    MemorySource,
    MigrationError,
    MigrationFailed,
    Migrator,
    StepFinished,
    sql_migration,
)
from dbmigrate.schema import code, diff, script, snapshot
from dbmigrate.schema.file import described_now

if TYPE_CHECKING:
    from pathlib import Path

    from dbmigrate import Event
    from tests.conftest import Database

pytestmark = pytest.mark.default_driver

_SOURCE = MemorySource(
    [
        sql_migration("1", "a", "CREATE TABLE a (x INTEGER)", "DROP TABLE a"),
        sql_migration("2", "b", "CREATE TABLE b (x INTEGER)", "DROP TABLE b"),
    ]
)


def given(database: Database) -> tuple[str, str]:
    """What the database gives now: as Python, and as SQL."""
    with database.engine().connect() as connection:
        return code(connection), script(snapshot(connection))


def test_every_run_writes_it(database: Database, tmp_path: Path) -> None:
    """Up, down, again, and by a plan; in both forms."""
    python, sql = tmp_path / "schema.py", tmp_path / "schema.sql"
    migrator, other = (Migrator(database.url, _SOURCE, schema_file=path) for path in (python, sql))

    def both() -> tuple[str, str]:
        return python.read_text(), sql.read_text()

    migrator.upgrade("1")
    other.upgrade()
    assert python.read_text() != given(database)[0]
    assert sql.read_text() == given(database)[1]
    migrator.downgrade()
    assert python.read_text() == given(database)[0]
    other.apply(other.plan())
    assert sql.read_text() == given(database)[1]
    migrator.redo()
    assert both() == given(database)
    migrator.goto("base")
    other.upgrade()
    migrator.redo()
    assert both() == given(database)
    assert "b: Table" in python.read_text()
    assert "ledger" not in "".join(both())


def test_it_stays_where_nothing_differs(sqlite: Database, tmp_path: Path) -> None:
    """Neither with nothing to do nor with nothing to say is it touched; its mode is kept, and a link stays one."""
    path, link = tmp_path / "schema.py", tmp_path / "link.py"
    Migrator(sqlite.url, _SOURCE, schema_file=path).upgrade()
    os.utime(path, (1, 1))
    path.chmod(0o640)
    link.symlink_to(path)
    more = MemorySource([*_SOURCE.load(), sql_migration("3", "row", "INSERT INTO a VALUES (1)", "DELETE FROM a")])

    Migrator(sqlite.url, _SOURCE, schema_file=link).upgrade()
    Migrator(sqlite.url, more, schema_file=link).upgrade()
    assert path.stat().st_mtime == 1
    Migrator(sqlite.url, more, schema_file=link).goto("1")

    assert path.stat().st_mtime != 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert link.is_symlink()
    assert sorted(entry.name for entry in tmp_path.iterdir() if "schema" in entry.name) == ["schema.py"]


def test_a_run_that_fails_half_way_writes_it(database: Database, tmp_path: Path) -> None:
    """What is committed is in it; a run that did nothing leaves it alone."""
    path = tmp_path / "schema.py"
    bad = MemorySource(
        [*_SOURCE.load(), sql_migration("3", "bad", "CREATE TABLE c (x INTEGER); SELECT * FROM nowhere")]
    )
    migrator = Migrator(database.url, bad, schema_file=path)

    with pytest.raises(MigrationFailed) as failure:
        migrator.upgrade()

    assert len(failure.value.report.outcomes) == 2
    assert path.read_text() == given(database)[0]
    assert "b: Table" in path.read_text()
    path.unlink()
    with pytest.raises(MigrationError):
        migrator.upgrade()
    assert not path.exists()


@pytest.mark.kinds("mariadb")
def test_resume_writes_it(database: Database, tmp_path: Path) -> None:
    """It ends a step too."""
    path = tmp_path / "schema.py"
    half = [sql_migration("1", "two", "CREATE TABLE a (x INTEGER);\nCREATE TABLE b (x NOTHING)")]
    with pytest.raises(MigrationFailed):
        Migrator(database.url, MemorySource(half), schema_file=path).upgrade()
    assert not path.exists()
    whole = [sql_migration("1", "two", "CREATE TABLE a (x INTEGER);\nCREATE TABLE b (x INTEGER)")]

    report = Migrator(database.url, MemorySource(whole), schema_file=path).resume()

    assert len(report.outcomes) == 1
    assert path.read_text() == given(database)[0]


def test_steps_stay_where_it_cannot_be_written(database: Database, tmp_path: Path) -> None:
    """The error says so, with what ran; where another error came first, a note on that does."""
    path = tmp_path / "schema.py"
    path.mkdir()
    migrator = Migrator(database.url, _SOURCE, schema_file=path)

    with pytest.raises(
        MigrationError, match=r"2 steps of this call are committed; then the schema file .* could not"
    ) as e:
        migrator.upgrade()

    assert type(e.value) is MigrationError
    report: Any = vars(e.value)["report"]
    assert [outcome.step.migration.version for outcome in report.outcomes] == ["1", "2"]
    assert isinstance(e.value.__cause__, IsADirectoryError)
    assert len(migrator.status().applied) == 2
    assert migrator.upgrade().outcomes == ()

    def angry(event: Event) -> None:
        assert not isinstance(event, StepFinished)

    with pytest.raises(MigrationFailed, match="then on_event failed") as failure:
        Migrator(database.url, _SOURCE, schema_file=path, on_event=angry).downgrade()
    assert "1 step of this call is committed; then the schema file" in failure.value.__notes__[-1]


def test_a_call_with_nothing_to_run_writes_a_file_that_is_missing(database: Database, tmp_path: Path) -> None:
    """And leaves one that is there alone: then it is one query, as without a file."""
    path = tmp_path / "schema.py"
    Migrator(database.url, _SOURCE).upgrade()
    migrator = Migrator(database.url, _SOURCE, schema_file=path)

    assert migrator.upgrade().outcomes == ()
    assert path.read_text() == given(database)[0]
    path.write_text("mine")
    assert migrator.upgrade().outcomes == ()
    assert path.read_text() == "mine"
    path.unlink()
    path.symlink_to(tmp_path / "else.py")
    migrator.apply(migrator.plan())
    assert (tmp_path / "else.py").read_text() == given(database)[0]


def test_there_must_be_a_folder_for_it(database: Database, tmp_path: Path) -> None:
    """That is known before anything runs."""
    migrator = Migrator(database.url, _SOURCE, schema_file=tmp_path / "missing" / "schema.py")

    with pytest.raises(
        ConfigurationError, match=r"there is no folder .*missing for the schema file .*\. Nothing was run"
    ):
        migrator.upgrade()

    assert migrator.status().applied == ()
    (tmp_path / "missing").mkdir()
    assert len(migrator.upgrade().outcomes) == 2


def test_a_missing_file_that_cannot_be_written(
    sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing was to run, it says so."""
    Migrator(sqlite.url, _SOURCE).upgrade()

    def fail(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(MigrationError, match=r"^nothing was to run; then the schema file .* could not be written"):
        Migrator(sqlite.url, _SOURCE, schema_file=tmp_path / "schema.py").upgrade()


def test_a_crash_leaves_the_one_or_the_other(sqlite: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written beside it takes its place at once, or is taken away."""
    path = tmp_path / "schema.py"
    path.write_text("before")

    def fail(*_: object) -> None:
        raise OSError("no")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(MigrationError, match="could not be written, and is as it was: OSError: no"):
        Migrator(sqlite.url, _SOURCE, schema_file=path).upgrade()

    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir() if "schema" in entry.name] == ["schema.py"]


def test_what_is_no_text_is_replaced(sqlite: Database, tmp_path: Path) -> None:
    """It was no schema."""
    path = tmp_path / "schema.py"
    path.write_bytes(b"\xff\xfe")

    Migrator(sqlite.url, _SOURCE, schema_file=path).upgrade()

    assert path.read_text() == given(sqlite)[0]


def test_many_leave_what_is_true(database: Database, tmp_path: Path) -> None:
    """Each reads and writes under the lock, so the last one says what there is."""
    path = tmp_path / "schema.py"
    source = MemorySource([sql_migration(str(n), "t", f"CREATE TABLE t{n} (x INTEGER)") for n in range(1, 9)])
    failures = list[BaseException]()

    def run(version: str) -> None:
        try:
            Migrator(database.url, source, schema_file=path, acquire_timeout=60).upgrade(version)
        except BaseException as error:  # noqa: BLE001 - looked at below
            failures.append(error)

    threads = [threading.Thread(target=run, args=(str(n),)) for n in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert path.read_text() == given(database)[0]
    assert path.read_text().count(": Table") == 8


def test_not_in_a_transaction_of_the_callers(database: Database) -> None:
    """It may be rolled back."""
    with (
        database.engine().begin() as connection,
        pytest.raises(ConfigurationError, match="is not written in your transaction"),
    ):
        Migrator(connection, _SOURCE, schema_file="schema.py")


_NEEDED = (
    "CREATE SCHEMA app",
    "CREATE SCHEMA types",
    "CREATE SCHEMA unused",
    """CREATE TYPE types."Mood %" AS ENUM ('sad')""",
    "CREATE TYPE types.unused AS ENUM ('sad')",
    'CREATE TYPE types.pair AS (mood types."Mood %", n integer)',
    "CREATE FUNCTION types.ok(n integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT n > 0'",
    """CREATE FUNCTION types."Ok?"(n integer) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT n > 0'""",
    """CREATE DOMAIN app.few AS integer CONSTRAINT ok CHECK (types.ok(VALUE) AND types."Ok?"(VALUE))""",
    """CREATE COLLATION app.other FROM "C\"""",
    "CREATE SEQUENCE types.numbers",
    """CREATE TABLE app.t (id serial PRIMARY KEY, n app.few DEFAULT nextval('types.numbers'), moods types."Mood %"[],
        pair types.pair, x text COLLATE app.other)""",
    "CREATE TABLE app.other (x integer)",
    "CREATE TABLE a (x integer)",
)


def test_what_is_wanted_is_a_script_that_runs(postgresql: Database) -> None:
    """With the schemas, types, sequences and functions that it needs, and no more; nothing is dropped."""
    postgresql.execute(*_NEEDED)
    migrator, other = Migrator(postgresql.url), postgresql.another()

    text, plain = (described_now(migrator, sql=True, include=[name]) for name in ("app.t", "a"))

    assert "unused" not in text
    assert plain == "SET check_function_bodies = off;\n\nCREATE TABLE public.a (\n    x integer\n);\n"
    other.execute(text)
    with postgresql.engine().connect() as one, other.engine().connect() as two:
        places = [change.object.place for change in diff(snapshot(one), snapshot(two))]
    # The collation of that name is there, and the table is not.
    assert places == ["unused", "types.unused", "app.other", "app.other.x", "public.a"]
    postgresql.execute("DROP TABLE a", "DROP SCHEMA public")
    assert described_now(migrator, sql=True, include=["app.t"]) == text
    assert "DROP SCHEMA public" in described_now(migrator, sql=True)


def test_an_extension_comes_with_its_types(postgresql: Database) -> None:
    """What it has is not in a snapshot."""
    if not postgresql.query("SELECT 1 FROM pg_available_extensions WHERE name = 'citext'"):
        pytest.skip("this server has no extensions")
    postgresql.execute("CREATE SCHEMA kinds", "CREATE EXTENSION citext SCHEMA kinds", "CREATE TABLE t (x kinds.citext)")

    text = described_now(Migrator(postgresql.url), sql=True, include=["t"])

    postgresql.another().execute(text)
    assert "CREATE EXTENSION citext WITH SCHEMA kinds;" in text
