"""The catalogue of MariaDB: nothing is missed, nothing is invented, and a script can make it again."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Final

import pymysql
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from dbmigrate import ConfigurationError, MemorySource, Migrator, sql_migration
from dbmigrate.catalogue import Snapshot, diff
from dbmigrate.dialects.mysql_script import script
from dbmigrate.schema import snapshot
from tests import servers
from tests.conftest import empty
from tests.schema.mysql_drifts import DRIFTS, Drift
from tests.schema.mysql_history import HISTORY, PACKAGES, ROUTINES, SEQUENCES, people

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tests.conftest import Database


@pytest.fixture
def run(mariadb: Database) -> Iterator[Callable[..., None]]:
    """What runs statements of the history; the users in them are gone at the end, and with them all their rights."""
    with people(mariadb) as named:
        yield lambda database, *statements: database.execute(*map(named, statements))


def taken(database: Database, *before: str) -> Snapshot:
    """The schema as a session sees it that has said something before."""
    with database.engine().connect() as connection:
        for sql in before:
            connection.exec_driver_sql(sql)
        return snapshot(connection)


def migrated(database: Database, text: str) -> Snapshot:
    """The schema that a script makes as one migration."""
    Migrator(database.url, MemorySource([sql_migration("1", "everything", text)])).upgrade()
    return taken(database)


# The whole


@pytest.mark.every_driver
def test_it_is_complete(mariadb: Database, run: Callable[..., None]) -> None:
    """A script of the snapshot alone makes an equal schema, and the same script."""
    run(mariadb, *HISTORY)
    found = taken(mariadb)

    again = migrated(mariadb.another(), script(found))

    assert diff(found, again) == ()
    assert found == again
    assert script(again) == script(found)


def test_two_are_equal(mariadb: Database, run: Callable[..., None]) -> None:
    """A database that nobody touched has no changes; another one with the same history has none either."""
    other = mariadb.another()
    run(mariadb, *HISTORY)
    run(other, *HISTORY)

    assert diff(taken(mariadb), taken(mariadb)) == ()
    assert diff(taken(mariadb), taken(other)) == ()
    assert str(taken(mariadb)) == str(taken(other))
    assert mariadb.name not in str(taken(mariadb)).replace(f"{mariadb.name}_r", "")


def test_it_can_be_stored(mariadb: Database, run: Callable[..., None]) -> None:
    """JSON loses nothing."""
    run(mariadb, *HISTORY)
    found = taken(mariadb)

    assert Snapshot.from_dict(json.loads(json.dumps(found.to_dict()))) == found
    assert script(Snapshot.from_dict(json.loads(json.dumps(found.to_dict())))) == script(found)


def test_the_client_runs_the_script(mariadb: Database, run: Callable[..., None]) -> None:
    """Whole, and with what only ORACLE mode has."""
    client = servers.find_client("mariadb")
    if client is None:
        pytest.skip("there is no client program of MariaDB")
    run(mariadb, *HISTORY, *PACKAGES)
    found, other = taken(mariadb), mariadb.another()
    assert other.server is not None
    command = [str(client), "--no-defaults", "--default-character-set=utf8mb4", "--comments", f"--user={servers.USER}"]

    ran = subprocess.run(
        [*command, f"--socket={other.server.socket}", "--skip-ssl", other.name],
        input=script(found).encode(),
        capture_output=True,
        check=False,
    )

    assert (ran.returncode, ran.stderr) == (0, b"")
    assert diff(found, taken(other)) == ()


def test_an_empty_database_has_nothing(mariadb: Database) -> None:
    """The ledger is left out, and so are temporary tables."""
    mariadb.execute("CREATE TEMPORARY TABLE t (a INT)", "CREATE TEMPORARY SEQUENCE s")

    assert migrated(mariadb, "SELECT 1").objects == ()
    assert taken(mariadb, "CREATE TEMPORARY TABLE t (a INT)").objects == ()


def test_without_a_database_there_is_nothing_to_read(mariadb: Database) -> None:
    """It is said what is missing."""
    engine = sqlalchemy.create_engine(mariadb.url.set(database=""))

    with pytest.raises(ConfigurationError, match="names no database"), engine.connect() as connection:
        snapshot(connection)
    engine.dispose()


# In whatever order

_BEFORE: Final = (
    "CREATE TABLE a (x INT, y INT, z VARCHAR(10))",
    "CREATE TABLE b (x INT PRIMARY KEY, y INT, KEY (y))",
    *SEQUENCES,
    *ROUTINES,
    "CREATE PROCEDURE p() SELECT 1",
)
_AFTER: Final = (
    "ALTER TABLE a ADD KEY (x)",
    "ALTER TABLE a ADD KEY (x, y)",
    "ALTER TABLE a ADD UNIQUE (x, z)",
    "ALTER TABLE a ADD FOREIGN KEY (x) REFERENCES b (x)",
    "ALTER TABLE a ADD FOREIGN KEY (y) REFERENCES b (y) ON DELETE CASCADE",
    "ALTER TABLE a ADD CHECK (x > 0)",
    "ALTER TABLE a ADD CHECK (y > 0)",
    "ALTER TABLE a ADD v INT",
    "ALTER TABLE a ADD w INT DEFAULT 5 FIRST",
    "ALTER TABLE a COMMENT 'about a'",
    "CREATE VIEW c AS SELECT b.x FROM a, b",
    "CREATE TRIGGER t BEFORE INSERT ON a FOR EACH ROW BEGIN END",
    "CREATE TRIGGER u AFTER INSERT ON a FOR EACH ROW BEGIN END",
    "GRANT SELECT ON a TO READER",
    "GRANT INSERT (x), UPDATE (y) ON a TO READER",
)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=st.permutations(_BEFORE), after=st.permutations(_AFTER))
def test_the_order_does_not_matter(
    mariadb: Database, run: Callable[..., None], before: Iterable[str], after: Iterable[str]
) -> None:
    """Statements that do not need each other make the same in any order, whatever the server calls it."""
    found = []
    for statements in ((*_BEFORE, *_AFTER), (*before, *after)):
        mariadb.execute(f"DROP DATABASE {mariadb.name}", f"CREATE DATABASE {mariadb.name}", f"USE {mariadb.name}")
        run(mariadb, "REVOKE ALL PRIVILEGES, GRANT OPTION FROM READER", *statements)
        found.append(taken(mariadb))

    assert diff(*found) == ()
    assert str(found[0]) == str(found[1])


# In whatever session


@pytest.mark.parametrize(
    "setting",
    [
        "sql_mode = 'ANSI_QUOTES'",
        "sql_mode = 'ORACLE'",
        "sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'",
        "sql_quote_show_create = 0",
        "sql_select_limit = 2",
        "max_join_size = 1, sql_big_selects = 0",
        "time_zone = '+05:00'",
        "NAMES latin1",
        "character_set_results = NULL",
        "collation_connection = utf8mb4_bin",
        "autocommit = 1",
        "SESSION TRANSACTION READ ONLY",
    ],
)
def test_settings_do_not_matter(mariadb: Database, run: Callable[..., None], setting: str) -> None:
    """The answer is the same, and so are all settings afterwards."""
    run(mariadb, *HISTORY)
    expected = taken(mariadb)
    variables = (
        "SET STATEMENT sql_select_limit = DEFAULT, sql_big_selects = 1 FOR"
        " SELECT * FROM information_schema.session_variables"
        " WHERE variable_name NOT IN ('TIMESTAMP', 'WARNING_COUNT', 'IN_TRANSACTION') ORDER BY variable_name"
    )

    with mariadb.engine().connect() as connection:
        connection.exec_driver_sql(f"SET {setting}")
        before = connection.exec_driver_sql(variables).all()
        found = snapshot(connection)
        after = connection.exec_driver_sql(variables).all()

    assert diff(expected, found) == ()
    assert before == after


def test_errors_leave_the_settings_as_they_were(mariadb: Database) -> None:
    """They are for one statement each."""
    mariadb.execute("CREATE TABLE t (a INT)", "CREATE SEQUENCE s")
    with mariadb.engine().connect() as connection:
        connection.exec_driver_sql("SET sql_mode = 'ANSI_QUOTES', time_zone = '+03:00'")
        connection.exec_driver_sql("LOCK TABLES t READ")
        with pytest.raises(DBAPIError, match="'s' was not locked"):
            snapshot(connection)
        connection.exec_driver_sql("UNLOCK TABLES")

        assert connection.exec_driver_sql("SELECT @@sql_mode, @@time_zone").one() == ("ANSI_QUOTES", "+03:00")


def test_it_sees_and_keeps_a_transaction(mariadb: Database) -> None:
    """Of the caller's: nothing is committed."""
    mariadb.execute("CREATE TABLE t (a INT)", "CREATE SEQUENCE s")
    with mariadb.engine().connect() as connection:
        connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        snapshot(connection)
        connection.rollback()

    assert mariadb.query("SELECT * FROM t") == []


def test_what_is_there_only_for_a_while_does_not_matter(mariadb: Database, run: Callable[..., None]) -> None:
    """Rows, counters, statistics, and tables of the session that hide others."""
    run(mariadb, *HISTORY)
    before = taken(mariadb)

    mariadb.execute(
        "INSERT INTO teams (id) VALUES (1), (2)",
        "INSERT INTO people (name, age) VALUES ('a', 7)",
        "INSERT INTO rolled VALUES (1, 1)",
        "UPDATE rolled SET x = 2",
        "SELECT NEXTVAL(numbers), SETVAL(plain, 77)",
        "ANALYZE TABLE people",
        "ALTER SEQUENCE down RESTART -50",
        "ALTER TABLE people AUTO_INCREMENT = 1000",
    )

    assert diff(before, taken(mariadb)) == ()
    assert diff(before, taken(mariadb, "CREATE TEMPORARY TABLE teams (other INT)")) == ()


# Drifts


@pytest.mark.parametrize("share", range(4))
def test_a_drift_is_named(mariadb: Database, run: Callable[..., None], share: int) -> None:
    """What was changed by hand is found, with what it was and is, and nothing else."""
    assert mariadb.server is not None
    wrong, is_new = dict[str, str](), False
    for drift in DRIFTS[share::4]:
        # Most changes are not in each other's way, and a schema of that size takes long to make: only where one does
        # not come out as it should it counts in a schema that is as new.
        problem = _named(mariadb, run, drift) if is_new else "there is no schema yet"
        if problem:
            empty(mariadb.server, mariadb.name)
            run(mariadb, "REVOKE ALL PRIVILEGES, GRANT OPTION FROM READER", "REVOKE ALL PRIVILEGES ON *.* FROM ROLE")
            run(mariadb, "CREATE TABLE by_int (a INT PRIMARY KEY)", *HISTORY)
            is_new, problem = True, _named(mariadb, run, drift)
        if problem:
            wrong[drift.name] = problem
    assert wrong == {}


def _named(mariadb: Database, run: Callable[..., None], drift: Drift) -> str:
    """What is wrong with what is said of a change by hand; "" if nothing is."""
    before = taken(mariadb)
    try:
        run(mariadb, *drift.sql)
    except pymysql.MySQLError as error:
        return str(error)

    changes = diff(before, taken(mariadb))
    said, *places = (
        text.replace(f"{mariadb.name}_reader", "READER").replace(f"{mariadb.name}_role", "ROLE")
        for text in ("\n".join(map(str, changes)), *(str(change.object) for change in changes))
    )
    if sorted(places) == sorted(drift.named) and all(word in said for word in drift.words):
        return ""
    return f"{said}\n{places}"


# Where a thing belongs

_CHECKED: Final = "CREATE TABLE t (a INT CHECK (a > 0), b INT)"


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ((_CHECKED, "ALTER TABLE t RENAME COLUMN a TO x"), {"x": "`x` > 0"}),
        ((_CHECKED, "ALTER TABLE t RENAME COLUMN a TO x", "ALTER TABLE t ADD a INT"), {"x": "`x` > 0"}),
        ((_CHECKED, "ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a"), {"b": "`b` > 0"}),
        ((_CHECKED, "ALTER TABLE t ADD CONSTRAINT a CHECK (b > 0)"), {"a": "`a` > 0", "check a": "`b` > 0"}),
        (("CREATE TABLE t (a INT, b INT, CONSTRAINT a CHECK (b > 0))",), {"check a": "`b` > 0"}),
        (("CREATE TABLE t (a INT CHECK (b > 0), b INT CHECK (TRUE))",), {"a": "`b` > 0", "b": "1"}),
        (
            ("CREATE TABLE t (a VARCHAR(9), b INT CHECK (b > 1), CONSTRAINT `it's` CHECK (a <> '😀' AND b > 2))",),
            {"b": "`b` > 1", "check it's": "`a` <> '😀' and `b` > 2"},
        ),
        (("CREATE TABLE t (old JSON)", "ALTER TABLE t RENAME COLUMN old TO new"), {"new": "json_valid(`new`)"}),
        (
            (
                """CREATE TABLE t (a VARCHAR(50) COMMENT ', `b` CHECK (0)' CHECK (a <> '), `b` CHECK (1😀'),
                `x``y` INT CHECK (`x``y` > (1)), z TEXT COMPRESSED CHECK (LENGTH(z) > 2), b DECIMAL(9, 3))""",
                "ALTER TABLE t RENAME COLUMN a TO c, RENAME COLUMN `x``y` TO `y``z`",
            ),
            {"c": "`c` <> '), `b` CHECK (1😀'", "y`z": "`y``z` > 1", "z": "octet_length(`z`) > 2"},
        ),
    ],
)
def test_a_check_stays_where_it_is(mariadb: Database, sql: tuple[str, ...], expected: dict[str, str]) -> None:
    """Of a column that got another name, or has the one of a check: when it is gone, that is told."""
    mariadb.execute(*sql)
    found = taken(mariadb)
    of_columns = {item.name: item.get("check") for item in found if item.kind == "column" and item.get("check")}
    of_tables = {f"check {item.name}": item.get("definition") for item in found if item.kind == "check"}

    assert of_columns | of_tables == expected
    assert diff(found, migrated(mariadb.another(), script(found))) == ()
    if "x" in of_columns:
        mariadb.execute("ALTER TABLE t MODIFY x INT")
        assert "check: `x` > 0 -> none" in str(diff(found, taken(mariadb))[0])


# What is left out, and what it costs


def test_names_of_the_database_in_text_are_text(mariadb: Database) -> None:
    """Only where it says in which database something is, the name of the database is left out."""
    name = mariadb.name
    mariadb.execute(
        f"CREATE TABLE {name} (id INT, {name} INT)",
        f"CREATE VIEW v AS SELECT {name}.id, '`{name}`.`x`' AS a, EXTRACT(YEAR FROM {name}.{name}) AS y FROM {name}",
        f"CREATE VIEW w AS SELECT {name}.id FROM v {name} WHERE TRIM(BOTH 'x' FROM {name}.a) = 'y'",
    )
    texts = {item.name: item.get("definition") for item in taken(mariadb) if item.kind == "view"}

    assert texts == {
        "v": f"select `{name}`.`id` AS `id`,'`{name}`.`x`' AS `a`,"
        f"extract(year from `{name}`.`{name}`) AS `y` from `{name}`",
        "w": f"select `{name}`.`id` AS `id` from `v` `{name}` where trim(both 'x' from `{name}`.`a`) = 'y'",
    }


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("DELETE FROM NAME.t WHERE NAME . t.a = NAME.f()", "DELETE FROM t WHERE t.a = f()"),
        ("SELECT '`NAME`.x' FROM `NAME`.`t` AS x", "SELECT '`NAME`.x' FROM `t` AS x"),
        ("SELECT @NAME.x, NAME.f()", "SELECT @NAME.x, f()"),
        ("SELECT NAME.a, NAME.f() FROM NAME.t AS NAME", "SELECT NAME.a, f() FROM t AS NAME"),
        ("SELECT NAME.t.a FROM NAME.t, (SELECT 1) AS NAME", "SELECT t.a FROM t, (SELECT 1) AS NAME"),
        ("SELECT NAME.a, NAME.NAME.a FROM NAME.NAME", "SELECT NAME.a, NAME.a FROM NAME"),
    ],
)
def test_a_program_does_not_name_the_database(mariadb: Database, body: str, expected: str) -> None:
    """Where it surely means the database; so a script of it can be run in another one."""
    mariadb.execute(f"CREATE PROCEDURE p() {body.replace('NAME', mariadb.name)}")
    (found,) = taken(mariadb)

    assert str(found.get("definition")).replace(mariadb.name, "NAME") == expected


def test_a_view_of_what_is_gone_is_still_there(mariadb: Database) -> None:
    """The server knows what it would do."""
    mariadb.execute("CREATE TABLE t (a INT)", "CREATE VIEW v AS SELECT a, '😀' AS b FROM t", "DROP TABLE t")

    (view,) = taken(mariadb)

    assert (str(view), view.get("definition")) == ("view v", "select `t`.`a` AS `a`,'😀' AS `b` from `t`")


def test_who_may_not_see_a_definition_cannot_make_a_script(mariadb: Database, run: Callable[..., None]) -> None:
    """It says of what."""
    run(mariadb, "CREATE TABLE t (a INT)", "CREATE VIEW v AS SELECT a FROM t", "GRANT SELECT ON v TO READER")
    engine = sqlalchemy.create_engine(mariadb.url.set(username=f"{mariadb.name}_reader"))
    with engine.connect() as connection:
        found = snapshot(connection)
    engine.dispose()
    (change,) = (change for change in diff(taken(mariadb), found) if change.object.name == "v")

    assert "definition: select `t`.`a` AS `a` from `t` -> (this user may not see it)" in str(change)
    with pytest.raises(ValueError, match=r"no definition of view v: take it as a user who may see them"):
        script(found)


def test_events_that_begin_at_once_are_equal(mariadb: Database) -> None:
    """The second in which one was made is no part of it."""
    mariadb.execute("CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DO 1")
    before = taken(mariadb)

    mariadb.execute("DROP EVENT e", "DO SLEEP(1.1)", "CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO DO 1")

    assert diff(before, taken(mariadb)) == ()


def test_the_number_of_queries_does_not_depend_on_the_number_of_tables(mariadb: Database) -> None:
    """One for each kind of object."""
    counts = []
    engine, sent = mariadb.engine(), list[str]()
    event.listen(engine, "before_cursor_execute", lambda *arguments: sent.append(arguments[2]))
    mariadb.execute("CREATE TABLE t (id INT PRIMARY KEY)", "CREATE SEQUENCE s", "CREATE VIEW v AS SELECT 1")
    for start, end in ((0, 2), (2, 200)):
        for number in range(start, end):
            mariadb.execute(
                f"CREATE TABLE t{number} (id INT PRIMARY KEY, p INT REFERENCES t (id), n INT CHECK (n > 0), KEY (n))",
                f"CREATE SEQUENCE s{number}",
                f"CREATE VIEW v{number} AS SELECT id FROM t{number}",
            )
        with engine.connect() as connection:
            sent.clear()
            snapshot(connection)
            counts.append(len(sent))

    assert counts == [17, 17]
