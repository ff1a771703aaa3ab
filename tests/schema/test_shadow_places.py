"""Where a shadow database is: one that is made and dropped, or one that is given, empty, and emptied again."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import pytest
import sqlalchemy as sa

from dbmigrate import ConfigurationError, MemorySource, Migrator, sql_migration
from dbmigrate import database as databases
from dbmigrate.dialects import dialect_for
from dbmigrate.dialects.postgresql_empty import empty
from dbmigrate.schema import snapshot
from dbmigrate.shadow import drift, replay
from dbmigrate.shadow.place import MARK
from tests.schema import postgresql_history
from tests.schema.test_postgresql import make_roles
from tests.terminal import Program, Running
from tests.test_cli import put

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from dbmigrate.schema import Snapshot
    from tests.conftest import Database

pytestmark = [pytest.mark.default_driver, pytest.mark.kinds("postgresql", "mariadb")]

USERS: Final = sql_migration("1", "users", "CREATE TABLE users (id INT PRIMARY KEY)", "DROP TABLE users")
SEEN: Final = sql_migration("2", "seen", "CREATE VIEW seen AS SELECT id FROM users", "DROP VIEW seen")


@pytest.fixture
def given(database: Database) -> Iterator[sa.URL]:
    """An empty database, as somebody has made it who may."""
    url = database.url.set(database=f"{database.name}_given")
    databases.create(url)
    yield url
    databases.drop(url, force=True)


@contextmanager
def _connected(url: sa.URL) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url, poolclass=sa.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection


def _snapshot(url: sa.URL) -> Snapshot:
    with _connected(url) as connection:
        return snapshot(connection, ledger=None)


def _names(database: Database) -> list[str]:
    """The databases on the server that this test may have made."""
    sql = "SELECT datname FROM pg_database" if database.kind == "postgresql" else "SHOW DATABASES"
    return sorted(name for (name,) in database.query(sql) if name.startswith(f"{database.name}_"))


def test_a_given_database_is_emptied(database: Database, given: sa.URL) -> None:
    """And serves again, for each call, also one that needs several shadows, or fails."""
    migrator = Migrator(database.url, MemorySource([USERS, SEEN]))
    migrator.upgrade()
    before = _snapshot(given)
    for _ in range(2):
        assert drift(migrator, shadow_url=given) == ()
        assert _snapshot(given) == before
    bad = sql_migration("3", "bad", "CREATE TABLE a (x INT)", "SELECT 1")
    found = replay(Migrator(database.url, MemorySource([USERS, bad, SEEN])), shadow_url=given)
    assert [bool(done.trouble) for done in found] == [False, True, False]
    assert _snapshot(given) == before
    with pytest.raises(RuntimeError, match="mine"):
        drift(migrator, shadow_url=given, prepare=_failing)
    assert _snapshot(given) == before


def test_every_kind_of_object_goes(postgresql: Database) -> None:
    """Objects, rights, comments: what is left is what a new database has; the mark goes last."""
    make_roles(postgresql)
    [(version,)] = postgresql.query("SELECT current_setting('server_version_num')::int / 10000")
    extensions = {name for (name,) in postgresql.query("SELECT name FROM pg_available_extensions")}
    before = _snapshot(postgresql.url)
    postgresql.execute(
        f"CREATE SCHEMA {MARK}",
        *postgresql_history.history(version, extensions),
        "CREATE FUNCTION stop() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION $$no$$; END'",
        "CREATE EVENT TRIGGER stop ON sql_drop EXECUTE FUNCTION stop()",
        "SELECT lo_create(0)",
        "REVOKE ALL ON SCHEMA public FROM PUBLIC",
        "GRANT CREATE ON SCHEMA public TO dbmigrate_reader",
    )
    with _connected(postgresql.url) as connection:
        empty(connection, MARK)
    assert _snapshot(postgresql.url) == before


def _failing(connection: sa.Connection) -> None:
    connection.execute(sa.text("CREATE TABLE half (x INT)"))
    connection.commit()
    raise RuntimeError("mine")


def test_a_user_who_may_not_create_databases(database: Database, given: sa.URL) -> None:
    """Has one that was made for it."""
    migrator = Migrator(database.url, MemorySource([USERS, SEEN]))
    migrator.upgrade()
    name = f"{database.name}_poor"
    if database.kind == "postgresql":
        database.execute(
            f"CREATE ROLE {name} LOGIN",
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}",
            f"ALTER DATABASE {given.database} OWNER TO {name}",
        )
    else:
        database.execute(
            f"CREATE USER {name}",
            f"GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON {database.name}.* TO {name}",
            f"GRANT ALL ON {given.database}.* TO {name}",
        )
    try:
        poor = Migrator(database.url.set(username=name), MemorySource([USERS, SEEN]))
        with pytest.raises(ConfigurationError, match=f"{database.name}_shadow_"):
            drift(poor)
        found = drift(poor, shadow_url=given.set(username=name), exclude=["*users", "*seen"])
        assert found == ()
        assert [done.trouble for done in replay(poor, shadow_url=given.set(username=name))] == ["", ""]
        assert _snapshot(given).objects == _snapshot(given.set(username=name)).objects
    finally:
        databases.drop(given, force=True)
        if database.kind == "postgresql":
            database.execute(f"DROP OWNED BY {name}", f"DROP ROLE {name}")
        else:
            database.execute(f"DROP USER {name}")


def test_what_is_not_empty_is_not_touched(database: Database, given: sa.URL) -> None:
    """Whatever is in it; nor is the database itself, though it were empty."""
    migrator = Migrator(database.url, MemorySource([]))
    with pytest.raises(ConfigurationError, match="was not touched: it is the database itself"):
        replay(Migrator(database.url, MemorySource([USERS])), shadow_url=database.url)
    with _connected(given) as connection:
        connection.exec_driver_sql("CREATE TABLE dbmigrate_ledger (x INT)")
    with pytest.raises(ConfigurationError, match=r"is not empty, and was not touched(.|\n)*dbmigrate_ledger"):
        drift(migrator, shadow_url=given)
    assert "dbmigrate_ledger" in str(_snapshot(given))


def test_the_database_is_known_by_another_address(database: Database) -> None:
    """It is empty, and so could be taken for a shadow; also by one who was killed when it was."""
    other = database.url_for(database.driver, tcp=True)
    assert other != database.url
    migrator = Migrator(database.url, MemorySource([USERS]))
    with pytest.raises(ConfigurationError, match="was not touched: it is the database itself"):
        replay(migrator, shadow_url=other)
    assert _snapshot(database.url).objects == _snapshot(other).objects


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE SCHEMA keep",
        "SELECT lo_create(0)",
        "CREATE TEXT SEARCH PARSER mine (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = "
        "prsd_lextype)",
        "CREATE OPERATOR FAMILY mine USING btree",
        "ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC",
    ],
)
def test_only_what_has_nothing_to_lose_is_empty(postgresql: Database, sql: str) -> None:
    """Also what no snapshot tells of."""
    other = postgresql.another()
    other.execute(sql)
    with pytest.raises(ConfigurationError, match="is not empty, and was not touched"):
        replay(Migrator(postgresql.url, MemorySource([USERS])), shadow_url=other.url)


def test_another_kind_of_database_is_no_shadow(database: Database, tmp_path: Path) -> None:
    """That is said before anything is made there."""
    with pytest.raises(ConfigurationError, match="a database of another kind"):
        replay(Migrator(database.url, MemorySource([USERS])), shadow_url=f"sqlite:///{tmp_path}/x.db")
    assert list(tmp_path.iterdir()) == []


def test_what_comes_with_the_server_is_no_shadow(database: Database) -> None:
    """All databases are made of it, or all sessions begin there."""
    name = "template1" if database.kind == "postgresql" else "mysql"
    with pytest.raises(ConfigurationError, match="comes with the server"):
        replay(Migrator(database.url, MemorySource([USERS])), shadow_url=database.url.set(database=name))


@pytest.mark.kinds("mariadb")
def test_what_a_user_does_not_see_stays(database: Database, given: sa.URL) -> None:
    """A procedure and an event of somebody else's, in a database that looks empty."""
    name = f"{database.name}_few"
    with _connected(given) as connection:
        connection.exec_driver_sql("CREATE PROCEDURE p() SELECT 1")
        connection.exec_driver_sql("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO SELECT 1")
    before = _snapshot(given)
    rights = "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES"
    database.execute(
        f"CREATE USER {name}",
        f"GRANT {rights} ON {database.name}.* TO {name}",
        f"GRANT {rights} ON {given.database}.* TO {name}",
    )
    try:
        migrator = Migrator(database.url.set(username=name), MemorySource([USERS]))
        assert len(replay(migrator, shadow_url=given.set(username=name))) == 1
        assert _snapshot(given) == before
    finally:
        database.execute(f"DROP USER {name}")


def test_what_another_user_left_is_no_obstacle(postgresql: Database) -> None:
    """Who may not drop it leaves it to those who may."""
    name = f"{postgresql.name}_other"
    left = postgresql.url.set(database=f"{postgresql.name}_shadow_0123abcd0123abcd")
    databases.create(left)
    postgresql.execute(f"CREATE ROLE {name} LOGIN CREATEDB")
    try:
        migrator = Migrator(postgresql.url.set(username=name), MemorySource([USERS]))
        assert len(replay(migrator)) == 1
        assert databases.exists(left)
    finally:
        databases.drop(left, force=True)
        postgresql.execute(f"DROP ROLE {name}")


def test_nobody_elses_sessions_are_ended(mariadb: Database) -> None:
    """Names that differ in case are two databases."""
    other = mariadb.url.set(database=f"{mariadb.name}_Other")
    databases.create(other)
    engine = mariadb.engine()
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")
            shadow = other.set(database=f"{mariadb.name}_oTHER")
            assert replay(Migrator(other, MemorySource([USERS])), shadow_url=shadow.set(database=f"{mariadb.name}_X"))
            with _connected(other) as its:
                dialect_for(other).end_sessions(its, str(shadow.database))
                dialect_for(other).end_sessions(its, mariadb.name.upper())
            connection.exec_driver_sql("SELECT 1")
    finally:
        databases.drop(other)


def test_calls_wait_for_a_given_database(database: Database, given: sa.URL, tmp_path: Path) -> None:
    """One after the other; none of them ends another one's session."""
    put(tmp_path, v1_users="CREATE TABLE users (id INT)", v2_slow=_slow(database).replace("60", "1"))
    programs = [Program(tmp_path, variables={"DATABASE_URL": _text(database.url)}) for _ in range(3)]
    started = [program.start("validate", "--replay", "--shadow-url", _text(given)) for program in programs]
    done = [running.finish() for running in started]
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 3


def test_two_calls_do_not_share_one(database: Database, given: sa.URL) -> None:
    """The second one is told, and the first one goes on."""
    migrator = Migrator(database.url, MemorySource([USERS]))
    refused = list[str]()

    def call_again(_: sa.Connection) -> None:
        with pytest.raises(ConfigurationError) as caught:
            replay(migrator, shadow_url=given)
        refused.append(str(caught.value))

    assert [done.trouble for done in replay(migrator, shadow_url=given, prepare=call_again)] == [""]
    assert ["the shadow of another call, which has not ended" in text for text in refused] == [True]


def test_a_shadow_of_a_killed_call_is_removed(database: Database, tmp_path: Path) -> None:
    """By the next call that makes one; those of calls that have not ended are left to them."""
    before = _names(database)
    put(tmp_path, v1_slow=_slow(database))
    with _running(tmp_path, database.url), _running(tmp_path, database.url):
        _wait_for(lambda: len(_names(database)) == len(before) + 2)
        _wait_for(lambda: all(_is_marked(database, name) for name in set(_names(database)) - {*before}))
        assert replay(Migrator(database.url, MemorySource([USERS])))[0].trouble == ""
        assert len(_names(database)) == len(before) + 2
    _wait_for(lambda: _swept(database) == before)


def test_one_that_was_killed_before_it_said_so_is_removed(database: Database) -> None:
    """It is empty, has the name of a shadow, and nobody the lock; what only has such a name is left alone."""
    before = _names(database)
    names = [f"{database.name}_shadow_{digits}" for digits in ("0123abcd0123abcd", "4567abcd4567abcd", "20261129")]
    for name in names:
        databases.create(database.url.set(database=name))
    with _connected(database.url.set(database=names[1])) as connection:
        connection.exec_driver_sql("CREATE TABLE theirs (x INT)")
    assert _swept(database) == sorted([*before, *names[1:]])
    for name in names[1:]:
        databases.drop(database.url.set(database=name), force=True)


def test_a_given_one_of_a_killed_call_is_emptied(database: Database, given: sa.URL, tmp_path: Path) -> None:
    """It has the mark of a shadow, and nobody the lock."""
    put(tmp_path, v1_one="CREATE TABLE left_over (x INT)", v2_slow=_slow(database))
    with _running(tmp_path, database.url, "--shadow-url", _text(given)):
        _wait_for(lambda: "left_over" in str(_snapshot(given)))
    assert MARK in str(_snapshot(given))
    _wait_for(lambda: _is_free(database, given))
    assert MARK not in str(_snapshot(given))


def test_any_name_is_short_enough(database: Database) -> None:
    """Also one of as many bytes as a server takes, in letters that have several."""
    url = database.url.set(database=f"{database.name}_" + "ü" * ((62 - len(database.name)) // 2))
    databases.create(url)
    try:
        assert [done.trouble for done in replay(Migrator(url, MemorySource([USERS])))] == [""]
    finally:
        databases.drop(url, force=True)


def _text(url: sa.URL) -> str:
    return url.render_as_string(hide_password=False)


def _slow(database: Database) -> str:
    return "SELECT pg_sleep(60)" if database.kind == "postgresql" else "DO SLEEP(60)"


@contextmanager
def _running(folder: Path, url: sa.URL, *options: str) -> Iterator[Running]:
    program = Program(folder, variables={"DATABASE_URL": _text(url)})
    running = program.start("validate", "--replay", *options)
    try:
        yield running
    finally:
        running.signal(signal.SIGKILL)
        running.finish()


def _wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.1)


def _is_marked(database: Database, name: str) -> bool:
    return MARK in str(_snapshot(database.url.set(database=name)))


def _swept(database: Database) -> list[str]:
    """What is left when a call has swept: the server needs a moment to see that a process has died."""
    replay(Migrator(database.url, MemorySource([USERS])))
    return _names(database)


def _is_free(database: Database, given: sa.URL) -> bool:
    try:
        replay(Migrator(database.url, MemorySource([USERS])), shadow_url=given)
    except ConfigurationError as error:
        assert "has not ended" in str(error)
        return False
    return True
