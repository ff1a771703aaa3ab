"""Whole databases: copied, and put back as they were."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, event, text
from sqlalchemy.engine import Engine

from dbmigrate import ConfigurationError, MemorySource, Migrator, sql_migration
from dbmigrate import database as managed
from dbmigrate.dialects import dialect_for
from dbmigrate.schema import snapshot
from dbmigrate.testing.bench import at_once
from tests.schema.mysql_history import HISTORY, people

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Database

KEY = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgresql": "SERIAL PRIMARY KEY"}
SHOP = [
    sql_migration("1", "users", "CREATE TABLE users (id {key}, name VARCHAR(50), score FLOAT)"),
    sql_migration("2", "orders", "CREATE TABLE orders (id {key}, owner INTEGER REFERENCES users (id))"),
    sql_migration("3", "seed", "INSERT INTO users (name, score) VALUES ('Ada', 0.1), ('ada ', 0.1), (NULL, 1e30)"),
    sql_migration("4", "less", "DELETE FROM users WHERE name IS NULL"),
]


@pytest.fixture
def shop(database: Database) -> Database:
    """A database with migrations, rows, and a number that is ahead of its rows."""
    key = KEY.get(database.kind, "INTEGER AUTO_INCREMENT PRIMARY KEY")
    source = MemorySource([sql_migration(m.version, m.name, m.up.read().replace("{key}", key)) for m in SHOP])
    Migrator(database.url, source).upgrade()
    return database


@pytest.fixture
def to(database: Database) -> Iterator[Database]:
    """A database that is not there."""
    other = database.another()
    managed.drop(other.url)
    yield other
    managed.create(other.url)  # the suite looks into it


def told(database: Database) -> dict[str, list[str]]:
    """Everything in a database, and the numbers that its tables go on with."""
    found = database.dump()
    if database.kind == "mariadb":
        found["next"] = [
            repr(row)
            for row in database.query(
                "SELECT table_name, auto_increment FROM information_schema.tables WHERE table_schema = DATABASE() "
                "AND auto_increment IS NOT NULL AND table_type = 'BASE TABLE' ORDER BY 1"
            )
        ]
    elif database.kind == "postgresql":
        found["next"] = [
            repr((name, database.query(f"SELECT last_value, is_called FROM {name}")))
            for (name,) in database.query("SELECT oid::regclass::text FROM pg_class WHERE relkind = 'S' ORDER BY 1")
        ]
    elif "sqlite_sequence" in {name for (name,) in database.query("SELECT name FROM sqlite_schema")}:
        found["next"] = [repr(row) for row in database.query("SELECT name, seq FROM sqlite_sequence ORDER BY 1")]
    return found


def rest(database: Database) -> None:
    """End the session of those who look into it."""
    if database._look is not None:
        database._look = database._look.close()


@pytest.mark.every_driver
def test_a_copy_is_the_same(shop: Database, to: Database) -> None:
    """Schema, rows, ledger, and the numbers that its tables go on with; what was copied is as before."""
    before = told(shop)
    rest(shop)

    assert managed.copy(shop.url, to.url)

    assert told(to) == before == told(shop)
    assert managed.copy(shop.url, to.url) is False


def test_a_migrator_goes_on_with_a_copy(shop: Database, to: Database) -> None:
    """The ledger is there, and its chain is whole."""
    key = KEY.get(shop.kind, "INTEGER AUTO_INCREMENT PRIMARY KEY")
    more = [sql_migration(m.version, m.name, m.up.read().replace("{key}", key)) for m in SHOP]
    managed.copy(shop.url, to.url)

    report = Migrator(to.url, MemorySource([*more, sql_migration("5", "x", "CREATE TABLE x (y INTEGER)")])).upgrade()

    assert [str(outcome.step) for outcome in report.outcomes] == ["5_x up"]


CHANGES = {
    "a row more": ["INSERT INTO orders (id) VALUES (7)"],
    "a row less": ["DELETE FROM users WHERE name = 'Ada'"],
    "a letter": ["UPDATE users SET name = 'ADA' WHERE id = 1"],
    "a space": ["UPDATE users SET name = 'ada' WHERE id = 2"],
    "two swapped": ["UPDATE users SET name = CASE WHEN name = 'Ada' THEN 'ada ' ELSE 'Ada' END"],
    "a null": ["UPDATE users SET score = NULL WHERE id = 2"],
    "a row that came and went": ["INSERT INTO orders (owner) VALUES (1)", "DELETE FROM orders"],
    "no ledger": ["DROP TABLE dbmigrate_ledger"],
    "an entry of the ledger": ["DELETE FROM dbmigrate_ledger WHERE seq = 4"],
    "a column": ["ALTER TABLE orders ADD COLUMN note VARCHAR(9)"],
    "a table": ["CREATE TABLE stranger (x INTEGER)", "INSERT INTO stranger VALUES (1)"],
    "a view": ["CREATE VIEW v AS SELECT name FROM users"],
    "everything": ["DROP TABLE orders", "DROP TABLE users"],
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_copy_is_put_back(shop: Database, to: Database, what: str) -> None:
    """Whatever was done to it."""
    managed.copy(shop.url, to.url)
    expected = told(to)
    to.execute(*CHANGES[what])
    assert told(to) != expected

    assert managed.copy(shop.url, to.url, overwrite=True)

    assert told(to) == expected == told(shop)


def test_overwrite_makes_what_is_missing(shop: Database, to: Database) -> None:
    """It need not be there."""
    assert managed.copy(shop.url, to.url, overwrite=True)
    assert told(to) == told(shop)


@pytest.mark.every_driver
def test_who_is_at_work_in_a_copy_is_no_obstacle(shop: Database, to: Database) -> None:
    """Sessions that are idle in a transaction, with locks."""
    managed.copy(shop.url, to.url)
    expected = told(to)
    with to.engine().connect() as connection:
        connection.execute(text("UPDATE users SET name = 'x'"))
        connection.execute(text("DELETE FROM orders"))

        managed.copy(shop.url, to.url, overwrite=True)

        assert told(to) == expected
        connection.invalidate()


ROWS = (
    "INSERT INTO people (name, email, age, bits, address, token, hidden, note) VALUES"
    " (' ä 100 % :x ', 'a@b', 0, b'011', '::1', '123e4567-e89b-12d3-a456-426655440000', 3, 'back \\\\ slash 🐍'),"
    " ('', NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
    "DELETE FROM people WHERE name = ''",
    "SET foreign_key_checks = 0",
    "INSERT INTO teams VALUES (0, 4711, 'zero', NULL)",
    "SET foreign_key_checks = 1",
    "INSERT INTO memory VALUES (1, 2)",
    "INSERT INTO places VALUES (POINT(1, 2), ST_GeomFromText('POLYGON((0 0, 1 0, 1 1, 0 0))'))",
    "INSERT INTO kept (id, forgotten) VALUES (1, 2)",
    "INSERT INTO by_two VALUES (NULL, NULL), (5, 'x')",
    """INSERT INTO `Odd "names" of` (`order`, `a``b`, `per % cent`, `x(3) DESC`) VALUES (1, 2, 3, 4)""",
    "INSERT INTO counted (b) VALUES (1)",
    "SELECT NEXTVAL(plain)",
)


@pytest.fixture
def everything(mariadb: Database) -> Iterator[Database]:
    """A database with every kind of object, and rows."""
    with people(mariadb) as named:
        mariadb.execute(*map(named, HISTORY), *ROWS)
        yield mariadb


def test_all_kinds_of_objects(everything: Database) -> None:
    """Also what has no transactions, no key, a trigger, generated columns, or names the database it is in."""
    to = everything.another()

    for _ in range(2):
        managed.copy(everything.url, to.url, overwrite=True)

        assert whole(to) == whole(everything)
        to.execute("DELETE FROM teams", "INSERT INTO pages VALUES (1)", "SELECT NEXTVAL(plain)")


def whole(database: Database) -> tuple[object, ...]:
    """Everything in a database: the schema in the order of its columns, rows, what it goes on with."""
    rows = {name: lines for name, lines in told(database).items() if name}
    sequences = [database.query(f"SELECT * FROM {name}") for name in ("numbers", "plain", "down")]
    with database.engine().connect() as connection:
        return [(item, item.position) for item in snapshot(connection)], rows, sequences


@pytest.fixture
def sent() -> Iterator[list[str]]:
    """What any engine sends."""
    found: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    yield found
    event.remove(Engine, "before_cursor_execute", note)


@pytest.mark.kinds("mariadb")
def test_only_what_differs_is_put_back(shop: Database, to: Database, sent: list[str]) -> None:
    """Nothing is made again for a row; nothing is written at all where nothing was."""
    managed.copy(shop.url, to.url)
    for statements, expected in (
        ([], []),
        (["UPDATE users SET score = 7"], ["DELETE", "INSERT"]),
        (["INSERT INTO orders VALUES (1, NULL)"], ["DELETE"]),
    ):
        to.execute(*statements)
        sent.clear()
        managed.copy(shop.url, to.url, overwrite=True)
        assert [sql.split()[0] for sql in sent if re.match("TRUNCATE|DELETE|INSERT|CREATE|DROP", sql)] == expected


_VALUES = st.tuples(
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=5) | st.none(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
    st.binary(max_size=5),
    st.integers(-3, 3),
)


@given(st.lists(_VALUES, max_size=4), st.lists(_VALUES, max_size=4))
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_rows_are_put_back(mariadb: Database, before: list[Any], behind: list[Any]) -> None:
    """Whatever is in them, and whatever was in the copy; without a key, and in any order."""
    other = mariadb.url.set(database=f"{mariadb.name}_2")
    insert = "INSERT INTO things VALUES (%s, %s, %s, %s, %s)"
    mariadb.execute("DROP TABLE IF EXISTS things")
    mariadb.execute("CREATE TABLE things (t VARCHAR(9), d DOUBLE, f FLOAT, b VARBINARY(9), i INT)")
    for values in before:
        mariadb.query(insert, *values)
    managed.copy(mariadb.url, other, overwrite=True)
    mariadb.execute(f"DELETE FROM {other.database}.things")
    for values in behind:
        mariadb.query(insert.replace("things", f"{other.database}.things"), *values)

    managed.copy(mariadb.url, other, overwrite=True)

    exactly = "SELECT HEX(t), CAST(d AS CHAR), CAST(CAST(f AS DOUBLE) AS CHAR), HEX(b), i FROM {}.things"
    rows = [sorted(map(repr, mariadb.query(exactly.format(name)))) for name in (mariadb.name, other.database)]
    assert rows[0] == rows[1]
    managed.drop(other)


@pytest.mark.kinds("mariadb")
def test_triggers_do_not_fire(shop: Database, to: Database) -> None:
    """Neither when rows are copied, nor when they are put back."""
    shop.execute(
        "CREATE TRIGGER loud BEFORE INSERT ON users FOR EACH ROW SET NEW.name = UPPER(NEW.name)",
        "CREATE TRIGGER late AFTER DELETE ON orders FOR EACH ROW INSERT INTO users (name) VALUES ('deleted')",
    )
    for changes in (["INSERT INTO orders VALUES (1, 1)"], ["DELETE FROM users"], []):
        managed.copy(shop.url, to.url, overwrite=True)
        assert to.query("SELECT name FROM users") == [("Ada",), ("ada ",)]
        to.execute(*changes)


@pytest.mark.kinds("mariadb")
def test_versions_of_rows_do_not_stay(shop: Database, to: Database) -> None:
    """What a system-versioned table remembers of the last test."""
    shop.execute("CREATE TABLE kept (id INT) WITH SYSTEM VERSIONING", "INSERT INTO kept VALUES (1)")
    managed.copy(shop.url, to.url)
    to.execute("UPDATE kept SET id = 2", "UPDATE kept SET id = 1")

    managed.copy(shop.url, to.url, overwrite=True)

    assert to.query("SELECT id FROM kept FOR SYSTEM_TIME ALL") == [(1,)]


# What is refused


def test_what_cannot_be_copied_is_refused(shop: Database, to: Database) -> None:
    """And nothing is made."""
    nowhere = shop.url.set(database=f"{shop.name}_nowhere")
    elsewhere = to.url.set(host="elsewhere.example")

    for source, target, reason in (
        (nowhere, to.url, "there is no database"),
        (shop.url, shop.url, "is the database itself"),
        (shop.url, elsewhere, "differ in more than the name"),
        (shop.url, shop.url.set(database=""), "names no database|in memory"),
    ):
        with pytest.raises(ConfigurationError, match=reason):
            managed.copy(source, target)
        with pytest.raises(ConfigurationError, match=reason):
            managed.copy(source, target, overwrite=True)
    with pytest.raises(ConfigurationError, match="overwrite is True or False"):
        managed.copy(shop.url, to.url, overwrite="yes")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="to is the URL"):
        managed.copy(shop.url, to.engine())  # type: ignore[arg-type]

    assert not managed.exists(to.url)
    assert not managed.exists(nowhere)


def test_the_same_file_by_another_name_is_refused(sqlite: Database, tmp_path: Path) -> None:
    """It would be removed to make place for its own copy."""
    sqlite.execute("CREATE TABLE a (x)")
    (tmp_path / "link.db").symlink_to(sqlite.name)

    with pytest.raises(ConfigurationError, match="is the database itself"):
        managed.copy(sqlite.url, sqlite.url.set(database=str(tmp_path / "link.db")), overwrite=True)

    assert sqlite.tables() == ["a"]


def test_sessions_that_are_not_ours_to_end(mariadb: Database) -> None:
    """Somebody may see them all, and end none; that is no error."""
    user = f"{mariadb.name}_watcher"
    mariadb.execute(f"CREATE USER {user}", f"GRANT PROCESS ON *.* TO {user}")
    try:
        with mariadb.connect(), mariadb.engine().connect():
            engine = create_engine(mariadb.url.set(username=user)._replace(database=None))
            with engine.connect() as connection:
                dialect_for(mariadb.url).end_sessions(connection, mariadb.name)
            engine.dispose()
    finally:
        mariadb.execute(f"DROP USER {user}")


@pytest.mark.kinds("postgresql", "mariadb")
def test_what_comes_with_the_server_is_not_overwritten(shop: Database) -> None:
    """By whatever name."""
    for name in ("postgres", "template1") if shop.kind == "postgresql" else ("mysql", "SYS"):
        with pytest.raises(ConfigurationError, match="comes with the server"):
            managed.copy(shop.url, shop.url.set(database=name), overwrite=True)


def test_a_database_in_use_is_not_copied_on_postgresql(postgresql: Database) -> None:
    """The error says so, and there is no copy."""
    other = postgresql.another().url
    managed.drop(other)
    with postgresql.engine().connect(), pytest.raises(ConfigurationError, match=r"is in use.*End the sessions"):
        managed.copy(postgresql.url, other)
    assert not managed.exists(other)
    managed.create(other)


def test_a_failure_leaves_no_half_of_a_copy(mariadb: Database) -> None:
    """What cannot be made again is an error, and the copy is not there."""
    mariadb.execute("CREATE TABLE a (x INT)", "CREATE DEFINER = 'nobody'@'nowhere' VIEW v AS SELECT 1 AS x")
    mariadb.execute("CREATE USER limited", "GRANT ALL ON `dbmigrate_test_%`.* TO limited")
    try:
        url = mariadb.url.set(username="limited")
        other = url.set(database=f"{mariadb.name}_half")
        with pytest.raises(ConfigurationError, match="cannot be copied"):
            managed.copy(url, other)
        assert not managed.exists(other)
    finally:
        mariadb.execute("DROP USER limited")


def test_a_write_ahead_log_is_copied(sqlite: Database) -> None:
    """What is committed, not what is not; the copy has such a log as well."""
    other = sqlite.another()
    with closing(sqlite3.connect(sqlite.name, isolation_level=None)) as connection:
        for sql in ("PRAGMA journal_mode = WAL", "CREATE TABLE a (x)", "INSERT INTO a VALUES (1)", "BEGIN"):
            connection.execute(sql)
        connection.execute("INSERT INTO a VALUES (2)")
        assert managed.copy(sqlite.url, other.url)
        connection.execute("ROLLBACK")

    assert other.query("SELECT x FROM a") == [(1,)]
    assert other.query("PRAGMA journal_mode") == [("wal",)]


def test_a_file_that_is_locked_is_not_copied(sqlite: Database) -> None:
    """Nor waited for without an end; what is no database is not copied either."""
    other = sqlite.another()
    sqlite.execute("CREATE TABLE a (x)")
    with closing(sqlite3.connect(sqlite.name, isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(ConfigurationError, match="somebody is writing"):
            managed.copy(sqlite.url, other.url)
        connection.execute("ROLLBACK")
    assert not managed.exists(other.url)
    Path(sqlite.name).write_text("no database")
    with pytest.raises(ConfigurationError, match="not a database"):
        managed.copy(sqlite.url, other.url)
    assert not managed.exists(other.url)


KILLED: Final = """
import os, signal, sys
from dbmigrate import database
from dbmigrate.dialects import sqlite
sqlite._not_busy = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
database.copy(*sys.argv[1:])
"""


def test_a_copy_that_was_killed_is_none(sqlite: Database) -> None:
    """It has its name when it is whole, so that the next call makes it."""
    other = sqlite.another()
    sqlite.execute("CREATE TABLE a (x)", "INSERT INTO a VALUES (1)")

    killed = subprocess.run([sys.executable, "-c", KILLED, str(sqlite.url), str(other.url)], check=False)

    assert killed.returncode == -signal.SIGKILL
    assert not managed.exists(other.url)
    assert managed.copy(sqlite.url, other.url)
    assert other.query("SELECT x FROM a") == [(1,)]


def test_one_that_came_meanwhile_stays(sqlite: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not replaced, and is there behind a failure too."""
    other = sqlite.another()
    sqlite.execute("CREATE TABLE a (x)")
    place = dialect_for(sqlite.url).__module__ + "._not_busy"
    monkeypatch.setattr(place, lambda *_: other.execute("CREATE TABLE IF NOT EXISTS theirs (x)"))
    assert managed.copy(sqlite.url, other.url) is False
    assert other.tables() == ["theirs"]

    managed.drop(other.url)

    def fail(*_: object) -> None:
        other.execute("CREATE TABLE theirs (x)")
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(place, fail)
    with pytest.raises(ConfigurationError, match="was not copied: disk I/O error"):
        managed.copy(sqlite.url, other.url)
    assert other.tables() == ["theirs"]


def test_several_copies_at_once(shop: Database, to: Database) -> None:
    """To one name: one of them does it. To several: all do."""
    rest(shop)
    answers = at_once([lambda: managed.copy(shop.url, to.url)] * 4)
    assert sorted(map(str, answers)) == ["False", "False", "False", "True"]
    urls = [to.url.set(database=f"{to.name}_{n}") for n in range(4)]
    try:
        assert at_once([partial(managed.copy, shop.url, url) for url in urls]) == [True] * 4
    finally:
        for url in urls:
            managed.drop(url)
