"""Whole databases: created, looked for, dropped."""

from __future__ import annotations

import multiprocessing
import os
import socket
import sqlite3
import subprocess
import sys
import time
import traceback
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from sqlalchemy import URL, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dbmigrate import ConfigurationError, MemorySource, MigrationError, Migrator, sql_migration
from dbmigrate import database as managed
from dbmigrate.dialects import mysql
from dbmigrate.dialects.mysql import MySQL
from dbmigrate.dialects.postgresql import DIALECT, PostgreSQL
from tests.processes import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Database

pytestmark = pytest.mark.every_driver

SOURCE = MemorySource([sql_migration("1", "a", "CREATE TABLE a (x INTEGER)")])
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.preloaded"])

servers_only = pytest.mark.kinds("postgresql", "mariadb")
sqlite_only = pytest.mark.kinds("sqlite")
postgresql_only = pytest.mark.kinds("postgresql")
mariadb_only = pytest.mark.kinds("mariadb")


def quoted(database: Database, name: str) -> str:
    """Return a name as the server wants it."""
    mark = '"' if database.kind == "postgresql" else "`"
    return mark + name.replace(mark, mark * 2) + mark


def is_there(database: Database, url: URL) -> bool:
    """Ask the server, or the file system, past the library."""
    name = str(url.database)
    if database.kind == "sqlite":
        return os.path.exists(name)  # noqa: PTH110
    table, column = {
        "postgresql": ("pg_database", "datname"),
        "mariadb": ("information_schema.schemata", "schema_name"),
    }[database.kind]
    return bool(database.query(f"SELECT 1 FROM {table} WHERE {column} = %s", name))


@pytest.fixture
def named(database: Database) -> Iterator[Callable[[str], URL]]:
    """Give the URL of a database that is not there, by the end of its name; it is dropped at the end."""
    given: list[URL] = []

    def name(ending: str = "_own") -> URL:
        given.append(database.url.set(database=database.name + ending))
        return given[-1]

    yield name
    for url in given if database.server else ():
        force = " WITH (FORCE)" if database.kind == "postgresql" else ""
        database.execute(f"DROP DATABASE IF EXISTS {quoted(database, str(url.database))}{force}")


@pytest.fixture
def url(named: Callable[[str], URL]) -> URL:
    """The URL of a database that is not there."""
    return named("_own")


@pytest.fixture
def stranger(database: Database, url: URL) -> Iterator[URL]:
    """The same as a user who may connect, and nothing else."""
    name = f"{database.name}_nobody"
    made = f"CREATE ROLE {name} LOGIN" if database.kind == "postgresql" else f"CREATE USER {name}"
    gone = f"DROP ROLE {name}" if database.kind == "postgresql" else f"DROP USER {name}"
    database.execute(made)
    try:
        yield url.set(username=name)
    finally:
        database.execute(gone)


# -- what they do


def test_there_and_gone(database: Database, url: URL) -> None:
    """Each call says what it did, also the second time; and in between there is an empty database that works."""
    assert not managed.exists(url)
    assert not managed.drop(url)
    assert not is_there(database, url)

    assert managed.create(url)
    assert is_there(database, url)
    assert managed.exists(url)
    Migrator(url, SOURCE).upgrade()
    assert not managed.create(url)
    assert Migrator(url, SOURCE).status().is_current  # what was there is as it was

    assert managed.drop(url)
    assert not is_there(database, url)
    assert not managed.exists(url)
    assert not managed.drop(url)
    assert managed.create(url)
    assert not Migrator(url, SOURCE).status().applied


def test_a_url_as_text(url: URL) -> None:
    """It need not be a value."""
    text = url.render_as_string(hide_password=False)

    assert managed.create(text)
    assert managed.exists(text)
    assert managed.drop(text)


@pytest.mark.parametrize(
    "ending",
    [
        "_UPPER",
        " with spaces ,;",
        "_\"double\" 'single' `back`",
        "_100% %s %(x)s :x ?",
        "_größe_大",
        "_back\\slash",
        "--x",
    ],
)
def test_odd_names(database: Database, named: Callable[[str], URL], ending: str) -> None:
    """The name that is created is the one that a driver then connects to; and no other is dropped."""
    url, other = named(ending), named(ending.lower() + "x")

    assert managed.create(url)
    assert is_there(database, url)
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE a (x INTEGER)")
    assert managed.exists(url)
    assert not managed.exists(other)
    managed.create(other)
    assert managed.drop(url)
    assert not is_there(database, url)
    assert is_there(database, other)


def test_an_engine_is_read_for_its_url(database: Database, url: URL) -> None:
    """No connection is taken from it."""
    engine = sqlalchemy.create_engine(url)
    opened: list[object] = []
    event.listen(engine, "do_connect", lambda *_: opened.append(_))

    assert managed.create(engine)
    assert managed.exists(engine)
    assert managed.drop(engine)

    assert opened == []
    assert not is_there(database, url)


def call(barrier: Any, answers: Any, name: str, url: str) -> None:
    """Call one of the functions at the same instant as others."""
    try:
        barrier.wait(PATIENCE)
        answers.put(getattr(managed, name)(url))
    except BaseException:  # noqa: BLE001 - whatever it is, the test wants to read it
        answers.put(traceback.format_exc())


def at_once(target: Callable[..., None], *arguments: str, count: int = 8) -> list[Any]:
    """Let processes begin at the same instant, and return what they answer."""
    barrier, answers = _CONTEXT.Barrier(count), _CONTEXT.Queue()
    runners = [_CONTEXT.Process(target=target, args=(barrier, answers, *arguments)) for _ in range(count)]
    for runner in runners:
        runner.start()
    try:
        return [answers.get(timeout=PATIENCE) for _ in runners]
    finally:
        for runner in runners:
            runner.join(10)
            runner.kill()


@pytest.mark.parametrize("call_name", ["create", "drop"])
def test_eight_processes_at_once(database: Database, url: URL, call_name: str) -> None:
    """One of them does it, and nobody fails; with other drivers than the default fewer, for the database decides."""
    count = 8 if database.is_default else 3
    if call_name == "drop":
        managed.create(url)
    found = at_once(call, call_name, url.render_as_string(hide_password=False), count=count)

    assert sorted(found, key=str) == [False] * (count - 1) + [True]
    assert is_there(database, url) == (call_name == "create")


# -- what is refused


@pytest.mark.parametrize("function", [managed.exists, managed.create, managed.drop])
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql+psycopg://h", "names no database: add /name"),
        ("mysql+pymysql://h/", "names no database"),
        ("sqlite://", "names no database"),
        ("sqlite:///:memory:", "in memory"),
        ("sqlite:///file:x?mode=memory&uri=true", "in memory"),
        ("sqlite:///file:/x?vfs=memdb&uri=true", "in memory"),
        ("sqlite:///file:x.db?mode=ro&uri=true", "mode=ro"),
        ("sqlite:///file:x.db", "without uri=true"),
        ("sqlite:///file:x.db?uri=false", "without uri=true"),
        ("sqlite+aiosqlite:///x.db", "asynchronous driver"),
        ("postgresql+asyncpg://h/x", "asynchronous driver"),
        ("postgresql+nosuchdriver://h/x", "no driver for this URL"),
        ("mssql+pyodbc://h/x", "cannot create or drop databases of mssql"),
        ("postgresql+psycopg://h/x?dbname=y", "dbname=, behind the .: write it as the path"),
        ("mysql+pymysql://h/x?db=y", "db=, behind the"),
        (URL.create("postgresql+psycopg", database="a\0b"), "NUL"),
        ("postgresql+psycopg://h/" + "ä" * 32, "longer than 63 bytes"),
        ("nonsense", "cannot be read"),
        (None, "must be a URL, an Engine or a Connection, not NoneType"),
    ],
)
@pytest.mark.kinds
def test_what_is_not_a_database(
    function: Callable[[Any], bool], url: Any, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said before anything is connected to or made."""
    monkeypatch.chdir(tmp_path)

    with pytest.raises(ConfigurationError, match=reason):
        function(url)

    assert list(tmp_path.iterdir()) == []


def test_a_connection_is_refused(database: Database) -> None:
    """It is in a transaction, which no database is created or dropped in."""
    with database.engine().begin() as connection, pytest.raises(ConfigurationError, match="in a transaction: pass the"):
        managed.drop(connection)  # type: ignore[arg-type]

    assert not managed.create(database.url) or database.kind == "sqlite"


def test_force_is_true_or_false(url: URL) -> None:
    """And nothing that only looks like it."""
    managed.create(url)

    with pytest.raises(ConfigurationError, match="force is True or False, not 'no'"):
        managed.drop(url, force="no")  # type: ignore[arg-type]

    assert managed.exists(url)


@servers_only
@pytest.mark.parametrize("force", [False, True])
def test_system_databases_are_kept(database: Database, force: bool) -> None:
    """They are there, are not created, and never dropped."""
    names = {
        "postgresql": ["postgres", "template0", "template1"],
        "mariadb": ["mysql", "information_schema", "performance_schema", "sys", "MySQL"],
    }[database.kind]
    for name in names:
        url = database.url.set(database=name)
        with pytest.raises(ConfigurationError, match=f"'{name}' comes with the server, and is not dropped"):
            managed.drop(url, force=force)
    assert managed.exists(database.url.set(database=names[0]))
    assert not managed.create(database.url.set(database=names[0]))


@postgresql_only
def test_a_template_is_kept(database: Database, url: URL) -> None:
    """The server refuses to drop it, whatever its name."""
    managed.create(url)
    name = quoted(database, str(url.database))
    database.execute(f"ALTER DATABASE {name} IS_TEMPLATE true")
    try:
        with pytest.raises(
            ConfigurationError, match=r"cannot drop a template database \(42809\)\. Nothing was changed"
        ):
            managed.drop(url)
        assert managed.exists(url)
    finally:
        database.execute(f"ALTER DATABASE {name} IS_TEMPLATE false")


@servers_only
def test_without_the_right_to(database: Database, url: URL, stranger: URL) -> None:
    """Who may not is told so, with the name and the server, and nothing is changed."""
    code = {"postgresql": "42501", "mariadb": "1044"}[database.kind]
    match = rf"'{url.database}' on \S+nobody\S* cannot be {{}}: .*{code}.*Nothing was changed: correct the cause"

    with pytest.raises(ConfigurationError, match=match.format("created")) as caught:
        managed.create(stranger)
    assert isinstance(caught.value.__cause__, DBAPIError)
    assert not is_there(database, url)

    managed.create(url)
    with pytest.raises(ConfigurationError, match=match.format("dropped")):
        managed.drop(stranger)
    assert is_there(database, url)


@mariadb_only
def test_a_server_that_does_not_tell(database: Database, url: URL, stranger: URL) -> None:
    """Who may see nothing of a database gets an error, whether it is there or not: neither would be the truth."""
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=r"cannot be looked for: Access denied .*1044"):
            managed.exists(stranger)
        managed.create(url)


@postgresql_only
def test_everybody_may_look(url: URL, stranger: URL) -> None:
    """The list of databases is open to all."""
    assert not managed.exists(stranger)
    managed.create(url)
    assert managed.exists(stranger)


@postgresql_only
def test_through_the_other_database(database: Database, url: URL, stranger: URL) -> None:
    """Who may not connect to `postgres` goes through template1; who may connect to neither is told about the last."""
    database.execute(f"ALTER ROLE {stranger.username} CREATEDB", "REVOKE CONNECT ON DATABASE postgres FROM PUBLIC")
    try:
        assert managed.create(stranger)
        assert managed.drop(stranger)
        database.execute("REVOKE CONNECT ON DATABASE template1 FROM PUBLIC")
        with pytest.raises(
            ConfigurationError, match=f"'{url.database}' cannot be created: cannot connect to .*template1"
        ):
            managed.create(stranger)
    finally:
        database.execute(*(f"GRANT CONNECT ON DATABASE {name} TO PUBLIC" for name in ("postgres", "template1")))


@servers_only
def test_a_server_that_is_down(database: Database) -> None:
    """Nothing listens there."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    url = database.url_for(database.driver, tcp=True).set(port=port)
    for function in (managed.exists, managed.create, managed.drop):
        with pytest.raises(ConfigurationError, match=rf"'{database.name}' cannot be .*cannot connect to .*:{port}"):
            function(url)


@servers_only
@pytest.mark.parametrize(
    ("what", "method", "kind", "reason"),
    [
        ("create", "create_database", MigrationError, r"not certain what was done: exists\(\) tells"),
        ("drop", "drop_database", MigrationError, r"not certain what was done: exists\(\) tells"),
        ("exists", "has_database", ConfigurationError, "Nothing was changed"),
    ],
)
def test_a_lost_session(
    database: Database, url: URL, what: str, method: str, kind: type[MigrationError], reason: str, lose: None
) -> None:
    """Who changes something is not told that nothing was changed, and no second error hides that."""
    with pytest.raises(MigrationError, match=reason) as caught:
        getattr(managed, what)(url)

    assert type(caught.value) is kind


@pytest.fixture
def lose(database: Database, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server end the session when a method of the dialect is called."""
    end = {"postgresql": "SELECT pg_terminate_backend(pg_backend_pid())", "mariadb": "KILL CONNECTION_ID()"}

    def end_session(_: object, connection: sqlalchemy.Connection, *__: object, **___: object) -> bool:
        connection.exec_driver_sql(end[database.kind])
        with suppress(IndexError):  # some drivers notice with the next statement only
            connection.exec_driver_sql("SELECT 1")
        return True

    monkeypatch.setattr(PostgreSQL if database.kind == "postgresql" else MySQL, method, end_session)


# -- who is at work in it


@postgresql_only
@pytest.mark.default_driver  # the server waits for 5 seconds
def test_sessions_keep_it_unless_forced(database: Database, url: URL) -> None:
    """They are counted; an idle one in the pool of the very engine counts too. Forced, they are ended."""
    managed.create(url)
    engine = sqlalchemy.create_engine(url)
    with engine.connect():
        pass  # it is idle in the pool

    with engine.connect(), pytest.raises(ConfigurationError, match=r"in use.*Sessions on it now: 1\..*force=True"):
        managed.drop(engine)
    assert is_there(database, url)

    assert managed.drop(engine, force=True)
    assert not is_there(database, url)
    with suppress(DBAPIError):
        engine.dispose()


@postgresql_only
def test_a_session_that_ends_is_waited_for(url: URL) -> None:
    """The server gives it a moment."""
    import threading

    managed.create(url)
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    connection = engine.connect()
    timer = threading.Timer(1.0, connection.close)
    timer.start()
    try:
        assert managed.drop(url)
    finally:
        timer.join()


@postgresql_only
@pytest.mark.default_driver
def test_force_needs_a_newer_server(url: URL) -> None:
    """Before PostgreSQL 13 it is refused, and nothing is dropped."""
    managed.create(url)
    engine = sqlalchemy.create_engine(url.set(database="postgres"), poolclass=NullPool)
    with engine.connect() as connection:
        engine.dialect.server_version_info = (12, 22)
        with pytest.raises(ConfigurationError, match="force needs PostgreSQL 13"):
            DIALECT.drop_database(connection, str(url.database), force=True)
    assert managed.exists(url)


@mariadb_only
def test_sessions_are_not_in_the_way(url: URL) -> None:
    """On MariaDB they find themselves without a database."""
    managed.create(url)
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        assert managed.drop(url)
        with pytest.raises(DBAPIError):
            connection.exec_driver_sql("CREATE TABLE a (x INTEGER)")


@mariadb_only
@pytest.mark.parametrize("force", [False, True])
def test_a_lock_is_waited_for_and_no_longer(
    database: Database, url: URL, force: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A transaction that has touched a table; with force too. Nothing of the database is gone then."""
    monkeypatch.setattr(mysql, "_DROP_WAIT", 1)
    managed.create(url)
    Migrator(url, SOURCE).upgrade()
    engine = sqlalchemy.create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT * FROM a").close()
        began = time.monotonic()
        with pytest.raises(ConfigurationError, match=r"did not give them up within 1 s .*force does not do that here"):
            managed.drop(url, force=force)
        assert 1 <= time.monotonic() - began < 10
        connection.rollback()
        assert Migrator(url, SOURCE).status().is_current
        assert managed.drop(url)


@mariadb_only
def test_a_drop_that_fails_half_way(database: Database, url: URL) -> None:
    """A file of somebody else's in its folder: the tables are gone by then, so nothing else is said."""
    managed.create(url)
    Migrator(url, SOURCE).upgrade()
    assert database.server is not None
    file = database.server.data_directory / str(url.database) / "note.txt"
    file.touch()

    with pytest.raises(MigrationError, match=r"cannot be dropped: .*1010.*not certain what was done") as caught:
        managed.drop(url)

    assert type(caught.value) is MigrationError
    assert database.query("SELECT 1 FROM information_schema.tables WHERE table_schema = %s", str(url.database)) == []
    file.unlink()
    assert managed.drop(url)


# -- SQLite


@sqlite_only
def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is meant from the working directory, as for the driver."""
    monkeypatch.chdir(tmp_path)

    assert managed.create("sqlite:///app.db")
    assert (tmp_path / "app.db").read_bytes() == b""
    assert managed.exists(f"sqlite:///{tmp_path}/app.db")
    assert managed.drop("sqlite:///../" + tmp_path.name + "/app.db")
    assert list(tmp_path.iterdir()) == []


@sqlite_only
@pytest.mark.parametrize("form", ["file:{}/a%20b.db", "file://{}/a%20b.db", "file:{}/a%20b.db?mode=rwc"])
def test_a_file_uri(tmp_path: Path, form: str) -> None:
    """The file is the one that the driver means."""
    url = URL.create("sqlite", database=form.format(tmp_path), query={"uri": "true"})

    assert not managed.exists(url)
    assert managed.create(url)
    Migrator(url, SOURCE).upgrade()
    assert [path.name for path in tmp_path.iterdir()] == ["a b.db"]
    assert managed.exists(url)
    assert managed.drop(url)
    assert list(tmp_path.iterdir()) == []


@sqlite_only
def test_a_link(tmp_path: Path) -> None:
    """What it leads to is created and dropped, and the link stays."""
    (tmp_path / "link.db").symlink_to(tmp_path / "real.db")
    url = f"sqlite:///{tmp_path}/link.db"

    assert not managed.exists(url)
    assert managed.create(url)
    assert (tmp_path / "real.db").is_file()
    assert managed.drop(url)
    assert not (tmp_path / "real.db").exists()
    assert (tmp_path / "link.db").is_symlink()


@sqlite_only
def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    """It is named, and not made."""
    url = f"sqlite:///{tmp_path}/no/where/app.db"

    with pytest.raises(ConfigurationError, match=f"its folder {tmp_path}/no/where is missing. Nothing was changed"):
        managed.create(url)

    assert not managed.exists(url)
    assert not managed.drop(url)
    assert list(tmp_path.iterdir()) == []


@sqlite_only
def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    """There is no database then, and none can be made."""
    (tmp_path / "file").touch()
    url = f"sqlite:///{tmp_path}/file/app.db"

    assert not managed.exists(url)
    assert not managed.drop(url)
    with pytest.raises(ConfigurationError, match=r"app\.db cannot be created: .*Not a directory"):
        managed.create(url)


@sqlite_only
def test_a_file_that_goes_at_the_same_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was there, so this call did not make it."""

    def touch(*_: object, **__: object) -> None:
        raise FileExistsError

    monkeypatch.setattr(Path, "touch", touch)
    assert not managed.create(f"sqlite:///{tmp_path}/app.db")


@sqlite_only
def test_a_folder_in_its_place(tmp_path: Path) -> None:
    """It is no database, and stays."""
    (tmp_path / "app.db").mkdir()

    for function in (managed.exists, managed.create, managed.drop):
        with pytest.raises(ConfigurationError, match=r"app\.db is no file"):
            function(f"sqlite:///{tmp_path}/app.db")

    assert (tmp_path / "app.db").is_dir()


@sqlite_only
@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("text", ["x", "SQLite format 4\0" + "x" * 2000, "all our customers\n" * 1000])
def test_a_file_that_is_no_database_is_kept(tmp_path: Path, text: str, force: bool) -> None:
    """Whatever its name; and with all that is beside it."""
    for name in ("app.db", "app.db-dbmigrate"):
        (tmp_path / name).write_text(text)

    assert managed.exists(f"sqlite:///{tmp_path}/app.db")
    with pytest.raises(ConfigurationError, match=r"app\.db was not removed: file is not a database"):
        managed.drop(f"sqlite:///{tmp_path}/app.db", force=force)

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(
        ["app.db", "app.db-dbmigrate"], text
    )


@sqlite_only
def test_what_is_beside_goes_too(tmp_path: Path) -> None:
    """The write-ahead log of somebody who has it open, a journal, the lock; and nothing else."""
    url = f"sqlite:///{tmp_path}/app.db"
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE a (x)")
        for ending in ("-journal", "-dbmigrate", "-other", "x"):
            (tmp_path / f"app.db{ending}").touch()
        names = {path.name for path in tmp_path.iterdir()}
        assert {"app.db-wal", "app.db-shm"} < names

        assert managed.drop(url)

        assert {path.name for path in tmp_path.iterdir()} == {"app.db-other", "app.dbx"}
    assert {path.name for path in tmp_path.iterdir()} == {"app.db-other", "app.dbx"}


@sqlite_only
@pytest.mark.parametrize("force", [False, True])
def test_a_database_that_is_called_as_the_lock_is_stays(tmp_path: Path, force: bool) -> None:
    """The lock is an empty file."""
    for name in ("app.db", "app.db-dbmigrate"):
        with closing(sqlite3.connect(tmp_path / name)) as connection:
            connection.execute("CREATE TABLE a (x)")

    assert managed.drop(f"sqlite:///{tmp_path}/app.db", force=force)

    assert [path.name for path in tmp_path.iterdir()] == ["app.db-dbmigrate"]


@sqlite_only
@pytest.mark.parametrize("mode", ["WAL", "DELETE"])
def test_a_writer_keeps_it_unless_forced(tmp_path: Path, mode: str) -> None:
    """A transaction that is open; before and behind it the file can go."""
    url = f"sqlite:///{tmp_path}/app.db"
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE a (x)")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO a VALUES (1)")
        with pytest.raises(ConfigurationError, match=r"app.db was not removed: it is locked.*force=True"):
            managed.drop(url)
        connection.execute("COMMIT")
        assert connection.execute("SELECT x FROM a").fetchall() == [(1,)]

        connection.execute("BEGIN IMMEDIATE")
        assert managed.drop(url, force=True)
    assert list(tmp_path.iterdir()) == []


@sqlite_only
def test_a_migrator_at_work_keeps_it(tmp_path: Path) -> None:
    """The one with a ledger elsewhere, which holds the lock beside the file between its transactions."""
    url = f"sqlite:///{tmp_path}/app.db"
    managed.create(url)
    with closing(sqlite3.connect(tmp_path / "app.db-dbmigrate", isolation_level=None)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConfigurationError, match=r"app\.db-dbmigrate was not removed: it is locked"):
            managed.drop(url)
        assert managed.exists(url)
        assert managed.drop(url, force=True)
    assert list(tmp_path.iterdir()) == []


_WRITE = "import sqlite3, sys; sqlite3.connect(sys.argv[1], timeout=0).execute('CREATE TABLE b (x)')"


@sqlite_only
def test_locks_of_this_process_stay(tmp_path: Path) -> None:
    """To look does not end them, as opening and closing the file would (POSIX locks are the process's)."""
    url = f"sqlite:///{tmp_path}/app.db"
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as connection:
        connection.execute("CREATE TABLE a (x)")
        connection.execute("BEGIN IMMEDIATE")
        assert managed.exists(url)
        assert not managed.create(url)
        with pytest.raises(ConfigurationError):
            managed.drop(url)
        command = [sys.executable, "-c", _WRITE, str(tmp_path / "app.db")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "database is locked" in done.stderr


@sqlite_only
def test_a_file_that_was_replaced_is_looked_at_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one waited for the lock of the first, somebody dropped it, made the second, and is at work in that."""
    url, path = f"sqlite:///{tmp_path}/app.db", tmp_path / "app.db"
    managed.create(url)
    connect, seconds = sqlite3.connect, list[sqlite3.Connection]()

    def replace(*arguments: Any, **options: Any) -> Any:
        connection = connect(*arguments, **options)
        if not seconds and "mode=rw" in arguments[0]:
            path.rename(tmp_path / "old.db")
            seconds.append(connect(path, isolation_level=None))
            seconds[0].execute("BEGIN IMMEDIATE")
        return connection

    monkeypatch.setattr(sqlite3, "connect", replace)
    with pytest.raises(ConfigurationError, match="it is locked"):
        managed.drop(url)
    assert path.exists()
    seconds[0].close()
    assert managed.drop(url)


def churn(barrier: Any, answers: Any, url: str) -> None:
    """Create and drop over and over; answer how often this process did it."""
    try:
        barrier.wait(PATIENCE)
        made = dropped = 0
        for _ in range(100):
            made += managed.create(url)
            dropped += managed.drop(url)
        answers.put((made, dropped))
    except BaseException:  # noqa: BLE001 - whatever it is, the test wants to read it
        answers.put(traceback.format_exc())


@sqlite_only
def test_many_create_and_drop(url: URL, tmp_path: Path) -> None:
    """No answer is wrong: each file that was made was dropped once, and nobody fails."""
    found = at_once(churn, url.render_as_string(hide_password=False))

    assert [answer for answer in found if isinstance(answer, str)] == []
    assert sum(made for made, _ in found) == sum(dropped for _, dropped in found) > 100
    assert list(tmp_path.iterdir()) == []


@sqlite_only
def test_a_name_that_cannot_be(tmp_path: Path) -> None:
    """The system's own error comes out as ours."""
    for function in (managed.exists, managed.create, managed.drop):
        with pytest.raises(ConfigurationError, match=r"File name too long.*Nothing was changed"):
            function(f"sqlite:///{tmp_path}/{'x' * 300}.db")


@sqlite_only
@pytest.mark.parametrize(("stuck", "kind"), [("app.db", ConfigurationError), ("app.db-wal", MigrationError)])
def test_what_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stuck: str, kind: type[MigrationError]
) -> None:
    """Where the file stays, nothing was changed; where only something beside it does, that is what is said."""
    url = f"sqlite:///{tmp_path}/app.db"
    managed.create(url)
    unlink = Path.unlink

    def refuse(self: Path, missing_ok: bool = False) -> None:
        if self.name == stuck:
            raise PermissionError(13, "Permission denied", str(self))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(kind, match=r"Permission denied") as caught:
        managed.drop(url)

    assert type(caught.value) is kind
    assert managed.exists(url) == (stuck == "app.db")
