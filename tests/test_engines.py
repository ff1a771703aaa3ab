"""Engines as users bring them: pools, hooks, options, URIs, rights that are just enough, drivers that will not do."""

from __future__ import annotations

import contextlib
import gc
import logging
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy
from sqlalchemy import event
from sqlalchemy.pool import AssertionPool, NullPool, QueuePool, SingletonThreadPool, StaticPool

from dbmigrate import (
    ConfigurationError,
    LedgerError,
    MemorySource,
    MigrationFailed,
    Migrator,
    NotCurrent,
    python_migration,
    sql_migration,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Database


def _note(connection: sqlalchemy.Connection) -> None:
    connection.execute(sqlalchemy.text("INSERT INTO a VALUES (2)"))


FIRST = sql_migration("1", "a", "CREATE TABLE a (x INTEGER)", "DROP TABLE a")
SOURCE = MemorySource(
    [FIRST, sql_migration("2", "b", "INSERT INTO a VALUES (1)", "DELETE FROM a"), python_migration("3", "c", _note)]
)
MORE = MemorySource([*SOURCE.migrations, sql_migration("4", "d", "CREATE TABLE d (x INTEGER)")])


def migrate(engine: sqlalchemy.Engine, *, inside: bool = True) -> None:
    """Take an engine through every verb that matters, and look at what is there through the engine itself."""
    migrator = Migrator(engine, SOURCE)
    with pytest.raises(NotCurrent):
        migrator.verify()
    assert len(migrator.apply(migrator.plan("1")).outcomes) == 1
    assert len(migrator.upgrade().outcomes) == 2
    migrator.verify()
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT x FROM a ORDER BY x")).all() == [(1,), (2,)]
    if inside:
        with engine.begin() as connection:
            Migrator(connection, SOURCE).verify()


# -- pools and options

_OPTIONS: dict[str, dict[str, Any]] = {
    "one connection": {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0, "pool_timeout": 1},
    "static": {"poolclass": StaticPool},
    "one a thread": {"poolclass": SingletonThreadPool},
    "asserting": {"poolclass": AssertionPool},
    "no pool": {"poolclass": NullPool},
    "no reset": {"poolclass": QueuePool, "pool_size": 1, "pool_reset_on_return": None},
    "reset by commit": {"poolclass": QueuePool, "pool_size": 1, "pool_reset_on_return": "commit"},
    "ping": {"pool_pre_ping": True},
    "future": {"future": True, "echo": True, "hide_parameters": True},
    "autocommit": {"isolation_level": "AUTOCOMMIT"},
    "serializable": {"isolation_level": "SERIALIZABLE"},
    "options": {"execution_options": {"isolation_level": "SERIALIZABLE", "schema_translate_map": {None: "elsewhere"}}},
    "autocommit by option": {"execution_options": {"isolation_level": "AUTOCOMMIT"}},
    "cursors on the server": {"execution_options": {"stream_results": True}},
}


@pytest.mark.parametrize("options", _OPTIONS.values(), ids=_OPTIONS)
def test_engines_as_they_come(database: Database, options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """Whatever its pool and options, an engine is migrated, and is the application's as before."""
    caplog.set_level(logging.CRITICAL)  # echo is for the terminal
    engine = database.engine(**options)

    no_transaction, no_savepoint = "AUTOCOMMIT" in str(options), "stream_results" in str(options)
    migrate(engine, inside=not (no_transaction or no_savepoint))

    assert database.leftovers() == []
    if isinstance(engine.pool, QueuePool):
        assert engine.pool.checkedout() == 0


def test_an_engine_with_options_of_its_own(database: Database) -> None:
    """What execution_options() returns is an engine too, and shares its pool with the first."""
    engine = database.engine(pool_size=1, max_overflow=0, pool_timeout=1)

    migrate(engine.execution_options(isolation_level="SERIALIZABLE", schema_translate_map={None: "elsewhere"}))

    Migrator(engine, SOURCE).verify()


@pytest.mark.parametrize("pool", [SingletonThreadPool, StaticPool, QueuePool])
def test_engines_in_memory(pool: type[sqlalchemy.Pool]) -> None:
    """A database in memory lives on in its one connection."""
    more: dict[str, Any] = {"pool_size": 1, "max_overflow": 0} if pool is QueuePool else {}
    engine = sqlalchemy.create_engine("sqlite://", poolclass=pool, **more)

    migrate(engine)

    engine.dispose()


@pytest.mark.parametrize(
    "uri",
    [
        "file::memory:?cache=shared&uri=true",
        "file:dbmigrate1?mode=memory&cache=shared&uri=true",
        "file:/dbmigrate2?vfs=memdb&uri=true",
    ],
)
def test_a_uri_in_memory(uri: str) -> None:
    """It is migrated by engine; by URL it would end with the call, and is refused."""
    engine = sqlalchemy.create_engine(f"sqlite:///{uri}", poolclass=QueuePool)

    migrate(engine)

    engine.dispose()
    with pytest.raises(ConfigurationError, match="would vanish"):
        Migrator(f"sqlite:///{uri}")


def test_a_creator_knows_better_than_the_url(sqlite: Database) -> None:
    """The URL of an engine with creator= says nothing: the connection is asked."""
    options: dict[str, Any] = {"poolclass": QueuePool, "creator": lambda: sqlite3.connect(sqlite.name)}
    engine = sqlalchemy.create_engine("sqlite://", **options)

    migrate(engine)

    assert "a" in sqlite.tables()
    engine.dispose()


def test_a_creator_of_a_server(postgresql: Database) -> None:
    """Likewise, with a server."""
    import psycopg

    assert postgresql.server is not None
    info: dict[str, Any] = {
        "host": str(postgresql.server.socket),
        "port": postgresql.server.port,
        "dbname": postgresql.name,
    }
    info["user"] = postgresql.url.username
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(**info))

    migrate(engine)

    engine.dispose()


def test_do_connect(sqlite: Database) -> None:
    """An engine whose hook makes its connections."""
    engine = sqlalchemy.create_engine("sqlite://", poolclass=NullPool)
    event.listen(engine, "do_connect", lambda *_: sqlite3.connect(f"file:{sqlite.name}", uri=True))

    migrate(engine)

    assert "a" in sqlite.tables()


@pytest.mark.parametrize("pool", [AssertionPool, QueuePool])
def test_an_exhausted_pool_is_a_clear_error(sqlite: Database, pool: type[sqlalchemy.Pool]) -> None:
    """Whoever has all connections checked out reads that, and nothing hangs."""
    more: dict[str, Any] = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 0.1} if pool is QueuePool else {}
    engine = sqlite.engine(poolclass=pool, **more)
    migrate(engine)

    reason = r"cannot connect to .*(QueuePool limit of size 1|already checked out)"
    with engine.connect(), pytest.raises(ConfigurationError, match=reason):
        Migrator(engine, SOURCE).status()

    Migrator(engine, SOURCE).verify()


@pytest.mark.parametrize("pool", [SingletonThreadPool, StaticPool])
def test_a_transaction_over_a_shared_connection_is_not_lost_silently(pool: type[sqlalchemy.Pool]) -> None:
    """To begin our own would roll back what the caller has not committed."""
    engine = sqlalchemy.create_engine("sqlite://", poolclass=pool)

    with contextlib.suppress(ConfigurationError), engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE mine (x)"))
        connection.execute(sqlalchemy.text("INSERT INTO mine VALUES (1)"))
        for call in (Migrator(engine, SOURCE).status, Migrator(engine, SOURCE).upgrade):
            with pytest.raises(ConfigurationError, match="is in a transaction already") as caught:
                call()
            if pool is StaticPool:  # which rolled back when ours was returned
                raise caught.value
        assert connection.execute(sqlalchemy.text("SELECT count(*) FROM mine")).scalar_one() == 1
        Migrator(connection, SOURCE).upgrade()

    engine.dispose()


# -- hooks


def _set_by(kind: str) -> str:
    return {"sqlite": "PRAGMA recursive_triggers = ON", "postgresql": "SET search_path = tenant"}.get(
        kind, "SET SESSION sql_mode = 'STRICT_ALL_TABLES'"
    )


@pytest.mark.parametrize("hook", ["connect", "checkout", "begin"])
def test_hooks_that_set_up_a_session(database: Database, hook: str) -> None:
    """What a hook sets is in force while migrations run, and where the ledger is looked for."""
    statement = _set_by(database.kind)
    if database.kind == "postgresql":
        database.execute("CREATE SCHEMA tenant")
    engine = database.engine()

    def set_up(raw: Any, *_: object) -> None:
        cursor = raw.cursor()
        cursor.execute(statement)
        cursor.close()
        if database.kind != "sqlite":
            raw.commit()

    def begin(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql(statement)

    event.listen(engine, hook, begin if hook == "begin" else set_up)

    migrate(engine)

    if database.kind == "postgresql":
        assert set(database.tables()) == {"tenant.a", "tenant.dbmigrate_ledger", "tenant.dbmigrate_ledger_journal"}


def test_a_hook_that_does_not_commit_is_named(postgresql: Database) -> None:
    """The first rollback would undo what it set, and another schema would be migrated."""
    postgresql.execute("CREATE SCHEMA tenant")
    engine = postgresql.engine(poolclass=NullPool)
    event.listen(engine, "connect", lambda raw, _: raw.execute("SET search_path = tenant"))

    for call in (Migrator(engine, SOURCE).status, Migrator(engine, SOURCE).upgrade):
        with pytest.raises(ConfigurationError, match="If a hook of yours opened it, end it there"):
            call()

    assert postgresql.tables() == []


@pytest.mark.parametrize("verb", ["upgrade", "baseline"])
def test_a_search_path_for_one_transaction_is_named(postgresql: Database, verb: str) -> None:
    """Ours are others: the tenant would be looked at, and `public` be migrated."""
    postgresql.execute("CREATE SCHEMA tenant")
    engine = postgresql.engine()
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("SET LOCAL search_path = tenant"))
    migrator = Migrator(engine, SOURCE)

    said = r"schema tenant for one transaction only, and public would be migrated.* SET LOCAL\. Nothing was run"
    with pytest.raises(ConfigurationError, match=said):
        migrator.upgrade() if verb == "upgrade" else migrator.baseline("1", reason="it was there")

    assert postgresql.tables() == []


# -- rights


def test_a_file_that_is_only_read(sqlite: Database) -> None:
    """With mode=ro everything that reads works, by URL and by engine; what writes fails, and leaves nothing."""
    Migrator(sqlite.url, SOURCE).upgrade()
    before = sqlite.dump()
    url = f"sqlite:///file:{sqlite.name}?mode=ro&uri=true"
    engine = sqlalchemy.create_engine(url)

    for database in (url, engine):
        Migrator(database, SOURCE).verify()
        assert not Migrator(database, SOURCE).upgrade()
        assert len(Migrator(database, MORE).plan().steps) == 1
        assert Migrator(database, MORE).status().pending[0].name == "d"
        with pytest.raises(MigrationFailed, match="readonly database") as caught:
            Migrator(database, MORE).upgrade()
        assert caught.value.rolled_back

    engine.dispose()
    assert sqlite.dump() == before


@pytest.mark.parametrize("form", ["file:{}", "file://{}", "file://localhost{}", "file:{}?mode=rwc", "file:{}?mode=ro"])
def test_a_file_uri_is_not_created_by_looking(tmp_path: Path, form: str) -> None:
    """Whatever way it is written: looking finds nothing there, and leaves it so."""
    path = tmp_path / "it's 100%.db"
    quoted = str(path).replace("%", "%25").replace(" ", "%20")
    url = sqlalchemy.URL.create("sqlite", database=form.format(quoted), query={"uri": "true"})
    migrator = Migrator(url, SOURCE)

    assert len(migrator.status().pending) == len(migrator.plan().steps) == 3
    with pytest.raises(NotCurrent):
        migrator.verify()
    assert not path.exists()

    if "ro" in form:
        with pytest.raises(ConfigurationError, match="cannot connect"):
            migrator.upgrade()
        assert not path.exists()
    else:
        assert len(migrator.upgrade().outcomes) == 3
        assert path.exists()
        migrator.verify()


@pytest.fixture
def reader(database: Database) -> Iterator[tuple[Database, sqlalchemy.URL]]:
    """A database and the URL of a user who may read the ledger, and nothing else."""
    Migrator(database.url, SOURCE).upgrade()
    name = f"{database.name}_reader"
    if database.kind == "postgresql":
        user = f'"{name}"'
        database.execute(f"CREATE ROLE {user} LOGIN", f"GRANT SELECT ON dbmigrate_ledger TO {user}")
        drop = [f"DROP OWNED BY {user}", f"DROP ROLE {user}"]
    else:
        user = f"`{name}`@`%`"
        database.execute(f"CREATE USER {user}", f"GRANT SELECT ON dbmigrate_ledger TO {user}")
        drop = [f"DROP USER {user}"]
    try:
        yield database, database.url.set(username=name)
    finally:
        database.execute(*drop)


@pytest.mark.every_driver
@pytest.mark.kinds("postgresql", "mariadb")
def test_a_user_who_may_read_the_ledger_only(reader: tuple[Database, sqlalchemy.URL]) -> None:
    """verify, status, plan, and upgrade with nothing pending need no more; what needs more leaves nothing."""
    database, url = reader
    before = database.dump()
    migrator = Migrator(url, SOURCE)

    migrator.verify()
    assert not migrator.upgrade()
    assert migrator.status().is_current
    assert [str(step) for step in Migrator(url, MORE).plan().steps] == ["4_d up"]
    with pytest.raises(NotCurrent):
        Migrator(url, MORE).verify()
    with pytest.raises((MigrationFailed, LedgerError), match="denied"):
        Migrator(url, MORE).upgrade()

    assert database.dump() == before
    database.execute(f"REVOKE SELECT ON dbmigrate_ledger FROM {_quoted(database, url)}")
    with pytest.raises((LedgerError, ConfigurationError), match="denied"):  # MariaDB does not even let it in
        migrator.verify()


@pytest.mark.kinds("postgresql", "mariadb")
def test_a_user_who_may_not_read_the_ledger(reader: tuple[Database, sqlalchemy.URL]) -> None:
    """The advice is to grant that, and not to begin another ledger beside the one that is there."""
    database, url = reader
    user = _quoted(database, url)
    database.execute(
        f"REVOKE SELECT ON dbmigrate_ledger FROM {user}", f"GRANT SELECT ON dbmigrate_ledger_journal TO {user}"
    )

    with pytest.raises(LedgerError, match=r"denied(.|\n)*GRANT it, or name another user") as caught:
        Migrator(url, SOURCE).verify()

    assert "another name" not in str(caught.value)


def test_a_url_that_names_no_database(mariadb: Database) -> None:
    """It could be any of the server's."""
    with pytest.raises(LedgerError, match=r"No database selected(.|\n)*The URL names no database"):
        Migrator(mariadb.url._replace(database=None), SOURCE).status()


def _quoted(database: Database, url: sqlalchemy.URL) -> str:
    return f'"{url.username}"' if database.kind == "postgresql" else f"`{url.username}`@`%`"


# -- drivers


@pytest.mark.parametrize("driver", ["postgresql+asyncpg", "postgresql+psycopg_async", "sqlite+aiosqlite"])
def test_an_asynchronous_driver_is_refused(driver: str, tmp_path: Path) -> None:
    """By URL, whether it is installed or not."""
    url = f"{driver}:///{tmp_path / 'x.db'}"

    with pytest.raises(ConfigurationError, match="an asynchronous driver cannot be used here: give a URL or an Engine"):
        Migrator(url, SOURCE).upgrade()

    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited")  # the oldest SQLAlchemy does not close it
def test_an_asynchronous_engine_is_refused(postgresql: Database) -> None:
    """It is not a database; what is inside of it cannot be used where nobody awaits."""
    pytest.importorskip("greenlet")  # which SQLAlchemy wants for these
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(postgresql.url, poolclass=NullPool)
    with pytest.raises(ConfigurationError, match="not AsyncEngine: pass a URL that names another driver"):
        Migrator(engine, SOURCE)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="an asynchronous driver cannot be used here"):
        Migrator(engine.sync_engine, SOURCE).status()
    gc.collect()  # while the warning is expected


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql+pg8000://localhost/x?nonsense=1", "cannot connect to .*nonsense"),
        ("mysql+pymysql://localhost/x?nonsense=1", "cannot connect to .*nonsense"),
        ("mysql+mysqlconnector://localhost/x?nonsense=1", "cannot connect to .*nonsense"),
        ("mysql+pymysql://localhost/x?read_timeout=soon", "this URL cannot be used: .*'soon'"),
        ("sqlite:///{}?timeout=soon", "this URL cannot be used: .*'soon'"),
    ],
)
def test_options_that_nobody_knows(url: str, reason: str, tmp_path: Path) -> None:
    """Drivers and SQLAlchemy raise what they like; it comes out as an error of ours."""
    with pytest.raises(ConfigurationError, match=reason):
        Migrator(url.format(tmp_path / "x.db"), SOURCE).upgrade()
