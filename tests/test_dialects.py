"""What a dialect says that a statement does to its transaction and session, judged by its text."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from dbmigrate import MemorySource, Migrator, SourceError, sql_migration
from dbmigrate.dialects import dialect_for, mysql, postgresql, sqlite
from dbmigrate.scanner import statements
from dbmigrate.script import PLAIN, Traits

if TYPE_CHECKING:
    from dbmigrate.dialects import Dialect
    from tests.conftest import Database


def traits(text: str, dialect: Dialect) -> Traits:
    """What a dialect says of the only statement of a text."""
    [statement] = statements(text, dialect.grammar)
    return dialect.traits(statement)


def each(text: str) -> pytest.MarkDecorator:
    """Run a test for each line of a text."""
    return pytest.mark.parametrize("text", text.strip().split("\n"))


# SQLite


@each("""
CREATE TABLE a (b)
CREATE TABLE temp (vacuum)
INSERT INTO begin VALUES ('COMMIT')
SELECT 'VACUUM'
ROLLBACK TO s
ROLLBACK TRANSACTION TO SAVEPOINT s
SAVEPOINT s
RELEASE s
PRAGMA foreign_keys
CREATE TRIGGER t INSERT ON a BEGIN SELECT 1; END
""")
def test_sqlite_plain(text: str) -> None:
    """SQLite: most statements do nothing to the transaction."""
    assert PLAIN == traits(text, sqlite.DIALECT)


@pytest.mark.parametrize(
    ("text", "control"),
    [
        ("BEGIN", "begin"),
        ("begin exclusive transaction", "begin"),
        ("COMMIT", "commit"),
        ("END TRANSACTION", "commit"),
        ("ROLLBACK", "other"),
        ("ROLLBACK TRANSACTION", "other"),
    ],
)
def test_sqlite_control(text: str, control: str) -> None:
    """SQLite: transaction control."""
    assert control == traits(text, sqlite.DIALECT).control


@each("""
VACUUM
VACUUM INTO 'x'
ATTACH 'x' AS y
DETACH y
PRAGMA journal_mode=WAL
PRAGMA main.journal_mode = 'wal'
PRAGMA synchronous = OFF
PRAGMA wal_checkpoint(TRUNCATE)
""")
def test_sqlite_outside(text: str) -> None:
    """SQLite: what cannot run in a transaction."""
    assert traits(text, sqlite.DIALECT).outside


@pytest.mark.parametrize("value", ["OFF", "off", "0", "no", "'false'", "ON", "1", "yes", "'true'"])
@pytest.mark.parametrize(
    "form",
    [
        "PRAGMA foreign_keys={}",
        "pragma FOREIGN_KEYS = {}",
        "PRAGMA main.foreign_keys({})",
        'PRAGMA "foreign_keys" = {}',
    ],
)
def test_sqlite_foreign_keys(form: str, value: str) -> None:
    """SQLite: the switch for foreign keys is read as SQLite reads it."""
    text = form.format(value)
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("PRAGMA foreign_keys = 1")
        connection.execute(text)
        [(switched_on,)] = connection.execute("PRAGMA foreign_keys")

    assert ("on" if switched_on else "off") == traits(text, sqlite.DIALECT).foreign_keys


@each("""
PRAGMA user_version = 7
CREATE TEMP TABLE a (b)
CREATE TEMPORARY VIEW a AS SELECT 1
""")
def test_sqlite_session(text: str) -> None:
    """SQLite: what may change the connection."""
    assert traits(text, sqlite.DIALECT).session == "set"


# PostgreSQL


@each("""
CREATE TABLE temp (concurrently_ int)
INSERT INTO a VALUES ('COMMIT')
SAVEPOINT s
RELEASE SAVEPOINT s
ROLLBACK TO s
ROLLBACK TO SAVEPOINT s
ALTER TYPE a ADD VALUE 'b'
TRUNCATE a
CREATE INDEX a ON b (c)
DROP INDEX a
REFRESH MATERIALIZED VIEW CONCURRENTLY a
SET LOCAL search_path = a
SET CONSTRAINTS ALL DEFERRED
ALTER DATABASES_ RENAME TO b
COMMENT ON TABLE a IS 'VACUUM'
""")
def test_postgresql_plain(text: str) -> None:
    """PostgreSQL: most statements live and die with their transaction."""
    assert PLAIN == traits(text, postgresql.DIALECT)


@pytest.mark.parametrize(
    ("text", "control"),
    [
        ("BEGIN", "begin"),
        ("BEGIN WORK", "begin"),
        ("START TRANSACTION", "begin"),
        ("COMMIT", "commit"),
        ("END", "commit"),
        ("COMMIT AND CHAIN", "other"),
        ("COMMIT PREPARED 'a'", "other"),
        ("PREPARE TRANSACTION 'a'", "other"),
        ("ROLLBACK", "other"),
        ("ROLLBACK PREPARED 'a'", "other"),
        ("ABORT", "other"),
    ],
)
def test_postgresql_control(text: str, control: str) -> None:
    """PostgreSQL: transaction control."""
    assert control == traits(text, postgresql.DIALECT).control


OUTSIDE = """
VACUUM
VACUUM FULL a
CREATE DATABASE a
DROP DATABASE a
CREATE TABLESPACE a LOCATION '/a'
DROP TABLESPACE a
ALTER SYSTEM SET work_mem = 1
CREATE INDEX CONCURRENTLY a ON b (c)
CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS a ON b (c)
DROP INDEX CONCURRENTLY IF EXISTS a
REINDEX INDEX CONCURRENTLY a
REINDEX (VERBOSE) TABLE CONCURRENTLY a
REINDEX DATABASE a
REINDEX SYSTEM a
ALTER TABLE a DETACH PARTITION b CONCURRENTLY
"""


@each(OUTSIDE)
def test_postgresql_outside(text: str) -> None:
    """PostgreSQL: what cannot run in a transaction."""
    found = traits(text, postgresql.DIALECT)

    assert (True, False) == (found.outside, found.atomic)


def test_postgresql_outside_on_the_server(postgresql: Database) -> None:
    """The server agrees, wherever it looks at the transaction before it looks at anything else."""
    import psycopg

    postgresql.execute("CREATE TABLE a (b int)")
    for text in OUTSIDE.strip().split("\n")[:6]:
        with postgresql.connect() as connection:
            connection.execute("BEGIN")
            with pytest.raises(psycopg.errors.ActiveSqlTransaction):
                connection.execute(text)


@pytest.mark.parametrize(
    ("text", "session"),
    [
        ("SET search_path = a", "set"),
        ("RESET ALL", "set"),
        ("SELECT pg_catalog.set_config('search_path', '', false)", "set"),
        ("SELECT 1", "unknown"),
        ("DO $$ BEGIN END $$", "unknown"),
        ("CALL a()", "unknown"),
        ("CREATE TEMP TABLE a (b int)", "lost"),
        ("CREATE LOCAL TEMPORARY TABLE a (b int)", "lost"),
        ("CREATE OR REPLACE TEMP VIEW a AS SELECT 1", "lost"),
        ("PREPARE a AS SELECT 1", "lost"),
        ("LISTEN a", "lost"),
        ("DISCARD PLANS", "lost"),
    ],
)
def test_postgresql_session(text: str, session: str) -> None:
    """PostgreSQL: what changes the session, or might."""
    assert session == traits(text, postgresql.DIALECT).session


@each("""
DISCARD ALL
SELECT pg_advisory_unlock_all()
SELECT pg_catalog.pg_advisory_unlock(1)
SET standard_conforming_strings = off
SET LOCAL standard_conforming_strings TO 'off'
""")
def test_postgresql_refused(text: str) -> None:
    """PostgreSQL: what would lose the lock, or change what a quote means."""
    assert traits(text, postgresql.DIALECT).refused


@each("""
SET standard_conforming_strings = on
SET client_min_messages = warning
""")
def test_postgresql_dumps(text: str) -> None:
    """PostgreSQL: the settings at the head of a dump are not refused."""
    assert traits(text, postgresql.DIALECT).refused is None


# MariaDB and MySQL


@each("""
INSERT INTO a VALUES ('COMMIT')
UPDATE a SET b = 1
DELETE FROM a
REPLACE INTO a VALUES (1)
SAVEPOINT s
RELEASE SAVEPOINT s
ROLLBACK TO SAVEPOINT s
ROLLBACK WORK TO s
""")
def test_mariadb_plain(text: str) -> None:
    """MariaDB: what is nothing but data rolls back."""
    assert PLAIN == traits(text, mysql.DIALECT)


@pytest.mark.parametrize(
    ("text", "control"),
    [
        ("BEGIN", "begin"),
        ("BEGIN WORK", "begin"),
        ("START TRANSACTION", "begin"),
        ("COMMIT", "commit"),
        ("COMMIT WORK", "commit"),
        ("COMMIT AND CHAIN", "other"),
        ("COMMIT RELEASE", "other"),
        ("ROLLBACK", "other"),
        ("XA START 'a'", "other"),
        ("SET autocommit = 0", "other"),
        ("SET @@session.autocommit = 1", "other"),
    ],
)
def test_mariadb_control(text: str, control: str) -> None:
    """MariaDB: transaction control."""
    assert control == traits(text, mysql.DIALECT).control


COMMITS = """
CREATE TABLE a (b INT)
CREATE TABLE IF NOT EXISTS a (b INT)
ALTER TABLE a ADD COLUMN c INT
CREATE INDEX i ON a (b)
RENAME TABLE a TO a2
TRUNCATE a2
CREATE VIEW v AS SELECT 1
CREATE OR REPLACE VIEW v AS SELECT 2
CREATE PROCEDURE p() BEGIN DO 1; END
CREATE FUNCTION f() RETURNS INT RETURN 1
CREATE TRIGGER t BEFORE INSERT ON a2 FOR EACH ROW SET @a = 1
CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DO 1
CREATE SEQUENCE s
/*!40101 CREATE TABLE b (c INT) */
DROP TABLE b
DROP VIEW v
"""


@each(COMMITS)
def test_mariadb_commits(text: str) -> None:
    """MariaDB: DDL commits by itself, before it takes effect."""
    found = traits(text, mysql.DIALECT)

    assert (False, True, None) == (found.atomic, found.commits_before, found.control)


def test_mariadb_commits_on_the_server(mariadb: Database) -> None:
    """The server agrees: what was inserted before such a statement is there after a rollback."""
    mariadb.execute("CREATE TABLE done (number INT)")
    with mariadb.connect() as connection, contextlib.closing(connection.cursor()) as cursor:
        for number, text in enumerate(COMMITS.strip().split("\n")):
            for sent in ("BEGIN", f"INSERT INTO done VALUES ({number})", text, "ROLLBACK"):
                cursor.execute(sent)

    found = mariadb.query("SELECT count(DISTINCT number) FROM done")

    assert [(len(COMMITS.strip().split("\n")),)] == found


@each("""
GRANT SELECT ON a TO b
ANALYZE TABLE a
OPTIMIZE TABLE a
INSTALL SONAME 'a'
CALL a()
BEGIN NOT ATOMIC DO 1; END
IF 1 THEN DO 1; END IF
EXECUTE IMMEDIATE 'a'
SET STATEMENT max_statement_time = 1 FOR CREATE TABLE a (b INT)
(SELECT 1)
""")
def test_mariadb_not_atomic(text: str) -> None:
    """MariaDB: what might commit is not taken for data."""
    assert not traits(text, mysql.DIALECT).atomic


def test_mariadb_partial() -> None:
    """MariaDB: an error in a statement about several things may leave some of it behind."""
    assert traits("DROP TABLE a, b", mysql.DIALECT).partial
    assert not traits("DROP TABLE a", mysql.DIALECT).partial
    assert traits("RENAME TABLE a TO b, c TO d", mysql.DIALECT).partial
    assert traits("CALL a()", mysql.DIALECT).partial


@pytest.mark.parametrize(
    ("text", "session"),
    [
        ("SET @a = 1", "set"),
        ("SET NAMES utf8mb4", "set"),
        ("SET sql_mode = 'STRICT_ALL_TABLES'", "set"),
        ("SET SQL_MODE=@OLD_SQL_MODE", "set"),
        ("USE a", "set"),
        ("SET @a = (SELECT 1)", "lost"),
        ("SELECT 1 INTO @a", "lost"),
        ("CREATE TEMPORARY TABLE a (b INT)", "lost"),
        ("CREATE OR REPLACE TEMPORARY TABLE a (b INT)", "lost"),
        ("DROP TEMPORARY TABLE a", "lost"),
        ("PREPARE a FROM 'SELECT 1'", "lost"),
        ("SELECT f()", "unknown"),
        ("DO f()", "unknown"),
        ("CALL f()", "unknown"),
    ],
)
def test_mariadb_session(text: str, session: str) -> None:
    """MariaDB: what changes the session, or might."""
    assert session == traits(text, mysql.DIALECT).session


@each("""
INSERT INTO a VALUES (ROW_COUNT())
SET @a = row_count ()
SELECT ROW_COUNT() INTO @a
SELECT @a := ROW_COUNT()
CALL p(ROW_COUNT())
GET DIAGNOSTICS @a = ROW_COUNT
""")
def test_mariadb_looks_back(text: str) -> None:
    """MariaDB: what keeps what the server says of the statement before it."""
    assert traits(text, mysql.DIALECT).looks_back


@each("""
INSERT INTO a VALUES (LAST_INSERT_ID(), FOUND_ROWS())
INSERT INTO a VALUES ('ROW_COUNT()', `ROW_COUNT`, row_counted) -- ROW_COUNT()
SELECT ROW_COUNT()
CREATE PROCEDURE p() SET @a = ROW_COUNT()
BEGIN NOT ATOMIC DELETE FROM a; SET @a = ROW_COUNT(); END
""")
def test_mariadb_does_not_look_back(text: str) -> None:
    """MariaDB: the journal does not change what these find, or nobody reads it."""
    assert not traits(text, mysql.DIALECT).looks_back


def test_mariadb_looks_back_in_data(mariadb: Database) -> None:
    """In a transaction nothing of ours stands between a statement and the one that asks about it."""
    first = sql_migration("1", "tables", "CREATE TABLE a (b INT); CREATE TABLE seen (n INT)")
    text = "INSERT INTO a VALUES (1), (2), (3); INSERT INTO seen VALUES (ROW_COUNT()); SET @n = ROW_COUNT();"
    second = sql_migration("2", "data", text + "INSERT INTO seen VALUES (@n)")
    Migrator(mariadb.url, MemorySource([first, second])).upgrade()

    assert [(1,), (3,)] == sorted(mariadb.query("SELECT n FROM seen"))


def test_mariadb_looks_back_at_the_journal(mariadb: Database) -> None:
    """What would be told of our journal is refused before anything runs."""
    text = "CREATE TABLE a (b INT);\nUPDATE a SET b = 1;\nINSERT INTO a VALUES (ROW_COUNT());"
    with pytest.raises(SourceError, match=r"(?s)1_mixed.*:3:.*journal"):
        Migrator(mariadb.url, MemorySource([sql_migration("1", "mixed", text)])).upgrade()

    assert [] == mariadb.tables()


@each("""
SELECT RELEASE_LOCK('a')
DO RELEASE_ALL_LOCKS()
LOCK TABLES a WRITE
FLUSH TABLES WITH READ LOCK
SET NAMES latin1
SET CHARACTER SET latin1
SET character_set_client = 'koi8r'
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
SET sql_mode = 'ANSI_QUOTES'
SET SESSION sql_mode = CONCAT(@@sql_mode, ',NO_BACKSLASH_ESCAPES')
SET sql_mode = ORACLE
SET @@sql_mode = 'ansi'
""")
def test_mariadb_refused(text: str) -> None:
    """MariaDB: what would lose the lock, or change how a script is read."""
    assert traits(text, mysql.DIALECT).refused


@each("""
/*!40101 SET @OLD_CHARACTER_SET_CLIENT=@@CHARACTER_SET_CLIENT */
/*!40101 SET NAMES utf8 */
/*!40101 SET SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */
/*!40014 SET UNIQUE_CHECKS=0 */
/*!40101 SET CHARACTER_SET_CLIENT=@OLD_CHARACTER_SET_CLIENT */
SET @mode = 'ORACLE'
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
""")
def test_mariadb_dumps(text: str) -> None:
    """MariaDB: the settings around a dump are not refused."""
    assert traits(text, mysql.DIALECT).refused is None


# the lock


@pytest.mark.parametrize("dialect", [postgresql.PostgreSQL(), mysql.MySQL()], ids=["postgresql", "mysql"])
def test_the_name_of_the_lock(dialect: Dialect) -> None:
    """Each schema and each ledger has a lock of its own, the same in every process, short enough for the server.

    The schema of MariaDB and MySQL is the database. Locks of PostgreSQL are per database; in SQLite BEGIN is the lock.
    """
    keys = [dialect.lock_key(home, table) for home in ("shop", "other", None) for table in ("dbmigrate_ledger", "b")]

    assert len(set(keys)) == 6
    assert keys[0] == dialect.lock_key("shop", "dbmigrate_ledger")
    assert max(map(len, keys)) <= 64
    assert sqlite.SQLite().lock_sql(keys[0]) is None


@pytest.mark.kinds("postgresql")
def test_locks_are_per_database(database: Database) -> None:
    """On PostgreSQL, so the name of the database need not be in that of the lock."""
    dialect = postgresql.PostgreSQL()
    key = dialect.lock_key("public", "dbmigrate_ledger")
    with (
        database.engine().connect() as one,
        database.engine().connect() as same,
        database.another().engine().connect() as other,
    ):
        assert [dialect.try_lock(connection, key) for connection in (one, same, other)] == [True, False, True]
        dialect.unlock(one, key)
        dialect.unlock(other, key)


def test_a_session_in_another_role_has_an_id(postgresql: Database) -> None:
    """What the server hides from that role is not in it; the session is alive as long as its process is."""
    postgresql.execute("CREATE ROLE dbmigrate_owner")
    try:
        with postgresql.engine().connect() as watcher, postgresql.engine().connect() as one:
            one.exec_driver_sql("SET ROLE dbmigrate_owner")
            dialect = dialect_for(postgresql.url)
            found = dialect.session_id(one)
            assert found is not None
            assert found == f"{one.exec_driver_sql('SELECT pg_backend_pid()').scalar_one()}@"
            assert dialect.is_alive(watcher, found)
            assert not dialect.is_alive(one, found)
    finally:
        postgresql.execute("DROP ROLE dbmigrate_owner")
