"""What the catalogue tells of a statement that was interrupted: it ran, it did not, or a person must look."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from dbmigrate import HistoryError, MemorySource, MigrationFailed, Migrator, Unfinished, sql_migration
from dbmigrate.dialects import dialect_for
from dbmigrate.dialects.evidence import Effect, judge
from dbmigrate.scanner import statements
from tests.conftest import empty

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbmigrate import Report
    from dbmigrate.dialects import Dialect
    from dbmigrate.dialects.evidence import Seen
    from tests.conftest import Database

pytestmark = pytest.mark.every_driver

_URLS: Final = {"mariadb": "mysql+pymysql://h/x", "postgresql": "postgresql+psycopg://h/x"}

_MARIADB: Final = (
    "CREATE TABLE p (id INT PRIMARY KEY)",
    "CREATE TABLE t (id INT PRIMARY KEY, a INT, b VARCHAR(20), c INT, KEY k (a), UNIQUE u (b), "
    "CONSTRAINT f FOREIGN KEY (c) REFERENCES p (id), CONSTRAINT chk CHECK (a > 0))",
    "CREATE TABLE pt (id INT) PARTITION BY RANGE (id) (PARTITION a VALUES LESS THAN (10), "
    "PARTITION b VALUES LESS THAN (20))",
    "CREATE TABLE v2 (id INT)",
    "CREATE VIEW v AS SELECT a FROM t",
    "CREATE PROCEDURE pr() SELECT 1",
    "CREATE FUNCTION fn() RETURNS INT RETURN 1",
    "CREATE TRIGGER tr BEFORE INSERT ON t FOR EACH ROW SET NEW.a = 1",
    "CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO SELECT 1",
    "CREATE SEQUENCE sq",
)
_POSTGRESQL: Final = (
    "CREATE TABLE t (a INT, b INT)",
    "CREATE INDEX k ON t (a)",
    'CREATE SCHEMA "S x"',
    'CREATE TABLE "S x".t2 (a INT)',
    'CREATE INDEX "K ""q" ON "S x".t2 (a)',
    "CREATE TABLE pt (a INT) PARTITION BY RANGE (a)",
    "CREATE TABLE pa PARTITION OF pt FOR VALUES FROM (0) TO (10)",
)

#: Each is seen in the catalogue when it ran, and only then.
_TELLING: Final = {
    "mariadb": (
        "CREATE TABLE n (id INT)",
        "CREATE TABLE `we``ird` (id INT)",
        "CREATE TABLE n LIKE t",
        "CREATE INDEX i ON t (b)",
        "CREATE UNIQUE INDEX i USING BTREE ON t (b, c)",
        "DROP INDEX k ON t",
        "DROP INDEX `u` ON t",
        "DROP TABLE pt",
        "DROP TABLE pt, v2",
        "ALTER TABLE t ADD COLUMN d INT",
        "ALTER ONLINE TABLE t ADD COLUMN d INT /* x */ -- y",
        "ALTER TABLE t ADD d INT NOT NULL DEFAULT 3 AFTER id, ADD INDEX dd (d), LOCK=NONE",
        "ALTER TABLE t ADD (d INT, e DECIMAL(3, 2))",
        "ALTER TABLE t DROP COLUMN A",
        "ALTER TABLE t DROP b",
        "ALTER TABLE t DROP COLUMN c, DROP FOREIGN KEY f",
        "ALTER TABLE t DROP INDEX k",
        "ALTER TABLE t DROP FOREIGN KEY f",
        "ALTER TABLE t DROP PRIMARY KEY",
        "ALTER TABLE t DROP CONSTRAINT CHK",
        "ALTER TABLE t DROP CONSTRAINT f",
        "ALTER TABLE t DROP CONSTRAINT u, DROP CONSTRAINT f, DROP COLUMN c",
        "ALTER TABLE t MODIFY a BIGINT",
        "ALTER TABLE t CHANGE a aa INT",
        "ALTER TABLE t CHANGE COLUMN a a BIGINT",
        "ALTER TABLE t ALTER COLUMN a SET DEFAULT 5",
        "ALTER TABLE t RENAME COLUMN a TO aa",
        "ALTER TABLE t RENAME INDEX k TO kk",
        "ALTER TABLE t ADD INDEX (c, a)",
        "ALTER TABLE t ADD UNIQUE uu (a)",
        "ALTER TABLE t ADD CONSTRAINT x UNIQUE (a)",
        "ALTER TABLE t ADD CONSTRAINT x CHECK (c > 1)",
        "ALTER TABLE t ADD CHECK (c > 1)",
        "ALTER TABLE t ADD FOREIGN KEY (a) REFERENCES p (id)",
        "ALTER TABLE t ADD CONSTRAINT ff FOREIGN KEY (a) REFERENCES p (id)",
        "ALTER TABLE t COMMENT='hello'",
        "ALTER TABLE pt ADD PARTITION (PARTITION c VALUES LESS THAN (30))",
        "ALTER TABLE pt DROP PARTITION b",
        "ALTER TABLE t RENAME TO tt",
        "ALTER TABLE t RENAME tt",
        "RENAME TABLE t TO tt, pt TO ppt",
        "CREATE DEFINER=CURRENT_USER SQL SECURITY INVOKER VIEW vv AS SELECT 1 AS x",
        "DROP VIEW v",
        "CREATE PROCEDURE prr() BEGIN SELECT 1; SELECT 2; END",
        "DROP PROCEDURE pr",
        "CREATE FUNCTION f2() RETURNS INT RETURN 2",
        "DROP FUNCTION fn",
        "CREATE TRIGGER t2 AFTER INSERT ON t FOR EACH ROW SET @x = 1",
        "DROP TRIGGER tr",
        "CREATE EVENT e2 ON SCHEDULE EVERY 1 DAY DO SELECT 1",
        "DROP EVENT ev",
        "CREATE SEQUENCE s2",
        "DROP SEQUENCE sq",
    ),
    "postgresql": (
        "CREATE INDEX CONCURRENTLY I ON t (a)",
        'CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS "I ""x" ON ONLY "S x".t2 USING btree (a)',
        "CREATE INDEX CONCURRENTLY ON t (a)",
        "DROP INDEX CONCURRENTLY K",
        'DROP INDEX CONCURRENTLY "S x"."K ""q"',
        "ALTER TABLE pt DETACH PARTITION pa CONCURRENTLY",
    ),
}
#: What may simply run again.
_REPEATABLE: Final = {
    "mariadb": (
        "CREATE OR REPLACE VIEW v AS SELECT b FROM t",
        "CREATE TABLE IF NOT EXISTS t (id INT)",
        "DROP TABLE IF EXISTS pt, v2",
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS d INT, DROP COLUMN IF EXISTS e",
        "ALTER TABLE t FORCE, ALGORITHM=INPLACE",
        "ALTER TABLE t CONVERT TO CHARACTER SET latin1",
        "ALTER TABLE t DROP CONSTRAINT IF EXISTS chk",
        "CREATE INDEX IF NOT EXISTS i ON t (b)",
        "DROP INDEX IF EXISTS i ON t",
        "DROP PROCEDURE IF EXISTS pr",
        "CREATE OR REPLACE PROCEDURE pr() SELECT 2",
        "ALTER TABLE t ADD COLUMN IF NOT EXISTS d INT, ADD KEY IF NOT EXISTS d (d)",
        "ANALYZE NO_WRITE_TO_BINLOG TABLE t",
        "OPTIMIZE TABLE t",
    ),
    "postgresql": (
        "VACUUM t",
        "REINDEX INDEX CONCURRENTLY k",
        "REINDEX (VERBOSE) TABLE CONCURRENTLY t",
        "DROP INDEX CONCURRENTLY IF EXISTS k",
        "CHECKPOINT",
    ),
}
#: Whose effect may not show, or not as a whole, or may be somebody else's.
_SILENT: Final = {
    "mariadb": (
        "TRUNCATE TABLE t",
        "ALTER TABLE t AUTO_INCREMENT = 7",
        "ALTER TABLE pt EXCHANGE PARTITION a WITH TABLE v2",
        "ALTER TABLE pt TRUNCATE PARTITION a",
        "ALTER TABLE t RENAME TO tt, ADD COLUMN d INT",
        "ALTER TABLE t ADD COLUMN d INT, ORDER BY a",
        "CREATE TABLE n AS SELECT 1 AS x",
        "CREATE OR REPLACE TABLE t (id INT)",
        "CREATE TEMPORARY TABLE n (id INT)",
        "RENAME TABLE t TO v2, v2 TO t",
        "CREATE DATABASE other",
        "CREATE USER nobody",
        "CALL pr()",
        "ALTER SEQUENCE sq RESTART",
        "ALTER TABLE t RENAME COLUMN a TO b, RENAME COLUMN b TO a",
        "ALTER TABLE t CHANGE a b INT, CHANGE b c INT, CHANGE c a INT",
        "ALTER TABLE t DROP COLUMN a, ADD COLUMN a INT",
        "ALTER TABLE t DROP COLUMN IF EXISTS a, ADD COLUMN a INT",
        "ALTER TABLE t DROP COLUMN IF EXISTS a, ADD COLUMN IF NOT EXISTS a INT",
        "ALTER TABLE t DROP KEY IF EXISTS k, ADD KEY IF NOT EXISTS k (b)",
        "ANALYZE UPDATE t SET a = a + 1",
        "ANALYZE FORMAT=JSON DELETE FROM t",
        "CREATE EVENT IF NOT EXISTS e3 ON SCHEDULE AT CURRENT_TIMESTAMP DO SELECT 1",
    ),
    "postgresql": ("DO $$ BEGIN END $$", "CALL p()", "CREATE DATABASE x", "ALTER TABLE pt DETACH PARTITION pa"),
}


def _cases(table: dict[str, tuple[str, ...]]) -> list[Any]:
    """The statements of a table, for each kind of database."""
    return [pytest.param(kind, sql, id=f"{kind}-{sql[:60]}") for kind, found in table.items() for sql in found]


def _effect(kind: str, sql: str) -> tuple[Dialect, Effect | None]:
    dialect = dialect_for(make_url(_URLS[kind]))
    [statement] = statements(sql, dialect.grammar)
    return dialect, dialect.effect(statement)


@pytest.mark.default_driver
@pytest.mark.kinds("postgresql", "mariadb")
def test_statements_that_ran_are_seen(database: Database) -> None:
    """Before a statement the catalogue says "not done", behind it "done"; each on a fresh schema."""
    setup = {"mariadb": _MARIADB, "postgresql": _POSTGRESQL}[database.kind]
    engine = database.engine(poolclass=NullPool)
    for sql in _TELLING[database.kind]:
        dialect, effect = _effect(database.kind, sql)
        assert effect is not None, sql
        assert database.server is not None
        empty(database.server, database.name)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for each in setup:
                connection.exec_driver_sql(each)
            before = dialect.look(connection, effect)
            assert before is not None
            assert judge(effect, before, dialect.look(connection, effect) or {}) == "not done", sql
            connection.exec_driver_sql(sql, execution_options={"no_parameters": True})
            assert judge(effect, before, dialect.look(connection, effect) or {}) == "done", sql


@pytest.mark.parametrize(("kind", "sql"), _cases(_REPEATABLE))
def test_what_may_run_again(kind: str, sql: str) -> None:
    """Its author, or what it is, says that twice is as good as once."""
    _, effect = _effect(kind, sql)

    assert effect is not None
    assert effect.repeatable
    assert judge(effect, {}, {"TABLE `t`": "x"}) == "not done"


@pytest.mark.parametrize(("kind", "sql"), _cases(_SILENT))
def test_what_a_person_must_judge(kind: str, sql: str) -> None:
    """What does not show in the catalogue as a whole or not at all is not judged by it."""
    assert _effect(kind, sql)[1] is None


_COLUMN, _KEY = st.sampled_from("abcd"), st.sampled_from("kl")
_ACTION = st.one_of(
    st.builds("ADD COLUMN {}{} INT".format, st.sampled_from(["", "IF NOT EXISTS "]), _COLUMN),
    st.builds("DROP COLUMN {}{}".format, st.sampled_from(["", "IF EXISTS "]), _COLUMN),
    st.builds("ADD KEY {}{} ({})".format, st.sampled_from(["", "IF NOT EXISTS "]), _KEY, _COLUMN),
    st.builds("DROP KEY {}{}".format, st.sampled_from(["", "IF EXISTS "]), _KEY),
    st.builds("RENAME COLUMN {} TO {}".format, _COLUMN, _COLUMN),
    st.builds("CHANGE {} {} {}".format, _COLUMN, _COLUMN, st.sampled_from(["INT", "BIGINT"])),
    st.builds("MODIFY {} {}".format, _COLUMN, st.sampled_from(["INT", "BIGINT"])),
    st.builds("ALTER {} SET DEFAULT {}".format, _COLUMN, st.sampled_from("12")),
)


@pytest.mark.default_driver
@given(actions=st.lists(_ACTION, min_size=1, max_size=3))
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_said_not_to_have_run_may_run_again(mariadb: Database, actions: list[str]) -> None:
    """Whatever the table is like, and whatever was written into it meanwhile."""
    sql = f"ALTER TABLE t {', '.join(actions)}"
    dialect, effect = _effect("mariadb", sql)
    mariadb.execute("CREATE OR REPLACE TABLE t (a INT, b INT, c INT, KEY k (a))", "INSERT INTO t VALUES (1, 2, 3)")
    with mariadb.engine(poolclass=NullPool).connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        before = None if effect is None else dialect.look(connection, effect)
        try:
            connection.exec_driver_sql(sql)
        except DBAPIError:
            return
        if effect is None or judge(effect, before or {}, dialect.look(connection, effect) or {}) != "not done":
            return
        places = "".join(f", {column} = 9" for column in "abcd" if f"`{column}`" in _state(mariadb)[0])
        mariadb.execute(f"UPDATE t SET{places[1:]}")
        once = _state(mariadb)
        connection.exec_driver_sql(sql)
        assert once == _state(mariadb)


def _state(mariadb: Database) -> tuple[str, list[tuple[Any, ...]]]:
    return str(mariadb.query("SHOW CREATE TABLE t")[0][1]), mariadb.query("SELECT * FROM t")


_T: Final = {"TABLE `t`": ") ENGINE=InnoDB", "TABLE `t` column `a`": "`a` int", "TABLE `t` key `k`": "KEY `k` (`a`)"}


#: A statement that did not run, and what somebody else ran meanwhile: the names are the same.
_OTHERS: Final = {
    "mariadb": (
        ("ALTER TABLE t ADD d BIGINT NOT NULL DEFAULT 7", "ALTER TABLE t ADD d VARCHAR(5)"),
        ("ALTER TABLE t ADD d BIGINT NOT NULL DEFAULT 7", "ALTER TABLE t ADD d BIGINT NOT NULL DEFAULT 8"),
        ("ALTER TABLE t ADD d VARCHAR(50)", "ALTER TABLE t ADD d VARCHAR(5)"),
        ("ALTER TABLE t MODIFY a BIGINT", "ALTER TABLE t MODIFY a VARCHAR(9)"),
        ("ALTER TABLE t CHANGE a z BIGINT", "ALTER TABLE t CHANGE a z VARCHAR(9)"),
        ("ALTER TABLE t ADD INDEX i (b)", "ALTER TABLE t ADD INDEX i (a)"),
        ("ALTER TABLE t ADD INDEX i (b)", "ALTER TABLE t ADD INDEX i (b, a)"),
        ("CREATE UNIQUE INDEX i ON t (b)", "CREATE INDEX i ON t (b)"),
        ("CREATE INDEX i ON t (b)", "CREATE UNIQUE INDEX i ON t (b)"),
        ("ALTER TABLE t ADD CONSTRAINT z CHECK (a < 9)", "ALTER TABLE t ADD CONSTRAINT z CHECK (c < 9)"),
        (
            "ALTER TABLE t ADD CONSTRAINT z FOREIGN KEY (a) REFERENCES p (id)",
            "ALTER TABLE t ADD CONSTRAINT z FOREIGN KEY (c) REFERENCES p (id)",
        ),
        ("CREATE TABLE n (id INT)", "CREATE TABLE n (id TEXT)"),
        ("CREATE TABLE n (id INT)", "CREATE TABLE n (id INT, x INT)"),
        ("CREATE TABLE n (id INT, x INT)", "CREATE TABLE n (id INT)"),
        ("CREATE VIEW w AS SELECT a FROM t", "CREATE VIEW w AS SELECT id FROM p"),
        ("CREATE PROCEDURE x() SELECT 17", "CREATE PROCEDURE x() SELECT 18"),
    ),
    "postgresql": (
        ("CREATE UNIQUE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX i ON t (a)"),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "CREATE UNIQUE INDEX i ON t (a)"),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX i ON t (b)"),
        ("CREATE INDEX CONCURRENTLY i ON t (a)", "CREATE INDEX i ON t (a, b)"),
        ("CREATE INDEX CONCURRENTLY i ON t (a, b)", "CREATE INDEX i ON t (a)"),
        ("CREATE INDEX CONCURRENTLY i ON t (a) WHERE b > 5", "CREATE INDEX i ON t (a)"),
        ("CREATE INDEX CONCURRENTLY i ON t USING hash (a)", "CREATE INDEX i ON t (a)"),
    ),
}


@pytest.mark.default_driver
@pytest.mark.kinds("postgresql", "mariadb")
def test_what_somebody_else_made_by_that_name_is_asked(database: Database) -> None:
    """That a thing of that name came does not prove that our statement ran: it must be the one that it makes."""
    dialect = dialect_for(database.url)
    engine = database.engine(poolclass=NullPool)
    for ours, theirs in _OTHERS[database.kind]:
        assert database.server is not None
        empty(database.server, database.name)
        database.execute(*(_MARIADB if database.kind == "mariadb" else _POSTGRESQL))
        (statement,) = statements(ours, dialect.grammar)
        effect = dialect.effect(statement)
        assert effect is not None
        with engine.connect() as connection:
            before = dialect.look(connection, effect)
            connection.rollback()
            database.execute(theirs)
            now = dialect.look(connection, effect)
        assert before is not None
        assert now is not None
        assert before != now
        assert judge(effect, before, now) is None, (ours, theirs)


@pytest.mark.parametrize(
    ("sql", "now"),
    [
        ("ALTER TABLE t ADD COLUMN d INT", _T | {"TABLE `t` column `e`": "`e` int"}),
        ("ALTER TABLE t ADD COLUMN d INT", _T | {"TABLE `t` column `d`": "`d` int", "TABLE `t` column `e`": "`e` int"}),
        ("ALTER TABLE t ADD d INT, ADD e INT", _T | {"TABLE `t` column `d`": "`d` int"}),
        ("ALTER TABLE t ADD COLUMN d INT", {}),
        ("ALTER TABLE t MODIFY a BIGINT", _T | {"TABLE `t` key `k2`": "KEY `k2` (`a`)"}),
        ("ALTER TABLE t COMMENT='x'", _T | {"TABLE `t` column `e`": "`e` int"}),
        ("ALTER TABLE t ADD INDEX (a)", _T | {"TABLE `t` key `x`": "(`a`)", "TABLE `t` key `y`": "(`a`)"}),
        ("ALTER TABLE t ADD INDEX (a)", _T | {"TABLE `t` column `a`": "`a` bigint"}),
        ("ALTER TABLE t ADD d INT, CONVERT TO CHARACTER SET latin1", _T | {"TABLE `t`": ") CHARSET=latin1"}),
        ("ALTER TABLE t DROP CONSTRAINT c", _T | {"TABLE `t` column `d`": "`d` int"}),
        ("ALTER TABLE t DROP CONSTRAINT k", {n: d for n, d in _T.items() if "column" not in n}),
        ("DROP TABLE t, u", {}),
        ("RENAME TABLE t TO u", {}),
    ],
)
def test_what_is_not_as_the_statement_says_is_asked(sql: str, now: Seen) -> None:
    """Somebody else was at work, or a part of it is missing: existence alone proves nothing."""
    _, effect = _effect("mariadb", sql)

    assert effect is not None
    assert judge(effect, _T, now) is None


@pytest.mark.parametrize(
    ("gone", "verdict"),
    [((), "not done"), (("constraint",), "done"), (("constraint", "key"), "done"), (("key",), None)],
)
def test_a_foreign_key_is_not_its_index(gone: tuple[str, ...], verdict: str | None) -> None:
    """They have the same name, and the index can be dropped without it where another one serves."""
    _, effect = _effect("mariadb", "ALTER TABLE t DROP CONSTRAINT f")
    before = _T | {"TABLE `t` constraint `f`": "FOREIGN KEY (`a`)", "TABLE `t` key `f`": "KEY `f` (`a`)"}

    lost = {f"TABLE `t` {kind} `f`" for kind in gone}

    assert effect is not None
    assert judge(effect, before, {name: text for name, text in before.items() if name not in lost}) == verdict


# -- resume


def _migrator(database: Database, *scripts: str) -> Migrator:
    return Migrator(database.url, MemorySource([sql_migration(str(n), "x", s) for n, s in enumerate(scripts, 1)]))


def _interrupt(database: Database, scripts: Sequence[str], word: str, when: str = "before") -> None:
    """Upgrade, and be interrupted just before or just after what begins with a word is sent."""
    engine = database.engine(poolclass=NullPool)

    def stop(*arguments: Any) -> None:
        if str(arguments[2]).startswith(word):
            raise KeyboardInterrupt

    event.listen(engine, f"{when}_cursor_execute", stop)
    source = MemorySource([sql_migration(str(n), "x", s) for n, s in enumerate(scripts, 1)])
    with pytest.raises(KeyboardInterrupt):
        Migrator(engine, source).upgrade()


def _ran(report: Report) -> list[str]:
    return [str(outcome.step) for outcome in report.outcomes]


@pytest.mark.parametrize(("undo", "verdict"), [((), "done"), (("ALTER TABLE a DROP COLUMN y",), "not done")])
def test_a_statement_in_doubt_is_settled(mariadb: Database, undo: tuple[str, ...], verdict: str) -> None:
    """It does not run again if it did, and runs if nothing of it is there; the journal says how that is known."""
    scripts = ["CREATE TABLE a (x INT); ALTER TABLE a ADD COLUMN y INT; INSERT INTO a VALUES (1, 2)"]
    _interrupt(mariadb, scripts, "ALTER", "after")
    mariadb.execute(*undo)
    (finding,) = _migrator(mariadb, *scripts).status().findings
    assert isinstance(finding, Unfinished)
    assert (finding.statement, finding.in_doubt, finding.is_judged) == (2, True, True)
    assert "Call resume()" in str(finding)

    assert _ran(_migrator(mariadb, *scripts).resume()) == ["1_x up"]

    assert mariadb.query("SELECT * FROM a") == [(1, 2)]
    said = mariadb.query("SELECT error FROM dbmigrate_ledger_journal WHERE ordinal = 2 ORDER BY entry")
    assert said[1] == (f"the catalogue says: {verdict}",)


def test_a_statement_that_was_not_sent_is_not_in_doubt(mariadb: Database) -> None:
    """That it began is committed by the statement itself, with the end of the one before: so that one is settled."""
    scripts = ["CREATE TABLE a (x INT); ALTER TABLE a ADD COLUMN y INT"]
    _interrupt(mariadb, scripts, "ALTER")

    (finding,) = _migrator(mariadb, *scripts).status().findings

    assert isinstance(finding, Unfinished)
    assert (finding.statement, finding.is_judged) == (1, True)
    assert _ran(_migrator(mariadb, *scripts).resume()) == ["1_x up"]


def test_a_person_is_asked_where_the_catalogue_does_not_tell(mariadb: Database) -> None:
    """With the statement, what was there before and is now, and both calls; nothing runs meanwhile."""
    scripts = ["CREATE TABLE a (x INT); ALTER TABLE a ADD COLUMN y INT; INSERT INTO a VALUES (1, 2, 3)"]
    _interrupt(mariadb, scripts, "ALTER", "after")
    mariadb.execute("ALTER TABLE a ADD COLUMN z INT")

    with pytest.raises(HistoryError) as caught:
        _migrator(mariadb, *scripts).resume()

    said = str(caught.value)
    assert "ALTER TABLE a ADD COLUMN y INT" in said
    assert "column `z`: absent before, `z` int(11) DEFAULT NULL now" in said
    assert 'resolve("1", statement=2, applied=True' in said
    assert 'resolve("1", statement=2, applied=False' in said
    assert mariadb.query("SELECT * FROM a") == []
    _migrator(mariadb, *scripts).resolve("1", statement=2, applied=True, reason="z is mine")
    _migrator(mariadb, *scripts).resume()
    assert mariadb.query("SELECT * FROM a") == [(1, 2, 3)]


def test_what_does_not_show_is_asked_of_a_person(mariadb: Database) -> None:
    """TRUNCATE leaves nothing in the catalogue."""
    scripts = ["CREATE TABLE a (x INT); TRUNCATE TABLE a"]
    _interrupt(mariadb, scripts, "TRUNCATE", "after")

    for words in (r'resolve\("1", statement=2, applied=True', r"\(1_x\.up:1: TRUNCATE TABLE a\)"):
        with pytest.raises(HistoryError, match=words):
            _migrator(mariadb, *scripts).resume()


def test_what_came_to_its_end_is_not_asked(mariadb: Database) -> None:
    """Also where nothing shows: that it is done is committed before anything else is sent."""
    scripts = ["CREATE TABLE a (x INT); TRUNCATE TABLE a; INSERT INTO a VALUES (1)"]
    _interrupt(mariadb, scripts, "INSERT INTO a")

    assert _ran(_migrator(mariadb, *scripts).resume()) == ["1_x up"]
    assert mariadb.query("SELECT * FROM a") == [(1,)]


@pytest.mark.default_driver
def test_what_fails_again_is_written_down_again(database: Database) -> None:
    """A statement that failed, and fails when the step is resumed, and again: each time the last error is known."""
    begin = "-- dbmigrate: no-transaction\nCREATE TABLE a (x INT);\n"
    with pytest.raises(MigrationFailed):
        _migrator(database, f"{begin}INSERT INTO nowhere VALUES (1)").upgrade()

    for number in (2, 3):
        wrong = _migrator(database, f"{begin}INSERT INTO nowhere{number} VALUES (1)")
        with pytest.raises(
            MigrationFailed, match=rf"nowhere{number}(.|\n)*statement 2 .*failed with: .*nowhere{number}"
        ):
            wrong.resume()
        (finding,) = wrong.status().findings
        assert isinstance(finding, Unfinished)
        assert f"nowhere{number}" in str(finding.error)

    assert _ran(_migrator(database, f"{begin}INSERT INTO a VALUES (1)").resume()) == ["1_x up"]
    assert database.query("SELECT * FROM a") == [(1,)]


@pytest.mark.parametrize(
    ("edited", "words"),
    [
        ("CREATE TABLE a (x INT); ALTER TABLE a ADD COLUMN y BIGINT", "was edited since: restore it"),
        ("CREATE TABLE a (x INT)", "the statement in doubt is no longer in it: restore it"),
    ],
)
def test_the_statement_in_doubt_must_be_as_it_was_sent(mariadb: Database, edited: str, words: str) -> None:
    """What is compared is what was sent; a script without it would end, and nobody would know whether it ran."""
    _interrupt(mariadb, ["CREATE TABLE a (x INT); ALTER TABLE a ADD COLUMN y INT"], "ALTER", "after")

    with pytest.raises(HistoryError, match=words):
        _migrator(mariadb, edited).resume()


def test_a_drop_that_got_half_way_is_shown(mariadb: Database) -> None:
    """The server reports an error, and one table is gone all the same."""
    mariadb.execute("CREATE TABLE b (x INT)")
    with pytest.raises(MigrationFailed) as caught:
        _migrator(mariadb, "DROP TABLE b, missing").upgrade()
    assert caught.value.rolled_back is False

    with pytest.raises(HistoryError, match=r"TABLE `b`: .* before, absent now"):
        _migrator(mariadb, "DROP TABLE b, missing").resume()


def test_a_drop_of_which_nothing_happened_is_not_in_doubt(mariadb: Database) -> None:
    """The catalogue is as it was, so the script can be corrected and simply run."""
    with pytest.raises(MigrationFailed) as caught:
        _migrator(mariadb, "DROP TABLE missing, missing_too").upgrade()
    assert caught.value.rolled_back is True

    assert _ran(_migrator(mariadb, "CREATE TABLE b (x INT)").upgrade()) == ["1_x up"]


_UNIQUE: Final = "-- dbmigrate: no-transaction\nCREATE UNIQUE INDEX CONCURRENTLY once ON a (x)"


def _invalid(database: Database) -> list[tuple[Any, ...]]:
    sql = "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE NOT i.indisvalid"
    return database.query(sql)


def test_an_invalid_index_is_dropped_and_built_anew(postgresql: Database) -> None:
    """A failed CREATE INDEX CONCURRENTLY leaves one: it is named, and resume() begins with dropping it."""
    postgresql.execute("CREATE TABLE a (x INT)", "INSERT INTO a VALUES (1), (1)")
    with pytest.raises(MigrationFailed, match=r"resume\(\) begins with DROP INDEX CONCURRENTLY public\.once"):
        _migrator(postgresql, _UNIQUE).upgrade()
    assert _invalid(postgresql) == [("once",)]
    postgresql.execute("DELETE FROM a")

    assert _ran(_migrator(postgresql, _UNIQUE).resume()) == ["1_x up"]

    assert _invalid(postgresql) == []
    _migrator(postgresql, _UNIQUE).verify()


def test_if_not_exists_does_not_keep_an_invalid_index(postgresql: Database) -> None:
    """PostgreSQL would say that it exists, and leave it of no use."""
    postgresql.execute("CREATE TABLE a (x INT)", "INSERT INTO a VALUES (1), (1)")
    with pytest.raises(MigrationFailed):
        _migrator(postgresql, _UNIQUE).upgrade()
    _migrator(postgresql, _UNIQUE).resolve("1", applied=False, reason="given up")
    postgresql.execute("DELETE FROM a")
    optional = _UNIQUE.replace("once", "IF NOT EXISTS once")

    with pytest.raises(MigrationFailed, match=r"once is there and INVALID.*run DROP INDEX CONCURRENTLY public\.once"):
        _migrator(postgresql, optional).upgrade()

    postgresql.execute("DROP INDEX once")
    assert _ran(_migrator(postgresql, optional).upgrade()) == ["1_x up"]


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_index_in_doubt_is_settled(postgresql: Database, when: str) -> None:
    """Also where another index has come to the table meanwhile, as long as it can be told apart."""
    postgresql.execute("CREATE TABLE a (x INT)")
    _interrupt(postgresql, [_UNIQUE], "CREATE UNIQUE", when)

    assert _ran(_migrator(postgresql, _UNIQUE).resume()) == ["1_x up"]

    assert postgresql.query("SELECT count(*) FROM pg_indexes WHERE tablename = 'a'") == [(1,)]


def test_the_index_of_somebody_else_is_not_dropped(postgresql: Database) -> None:
    """One that is invalid may be in the making: only the very name of the statement is taken for its own."""
    postgresql.execute("CREATE TABLE a (x INT)")
    _interrupt(postgresql, [_UNIQUE], "CREATE UNIQUE")
    postgresql.execute("INSERT INTO a VALUES (1), (1)")
    with pytest.raises(Exception, match="duplicated"):
        postgresql.execute("CREATE UNIQUE INDEX CONCURRENTLY other ON a (x)")

    with pytest.raises(HistoryError, match=r'invalid index "other": absent before, .* now'):
        _migrator(postgresql, _UNIQUE).resume()

    assert _invalid(postgresql) == [("other",)]


def test_an_invalid_index_without_a_name_is_asked(postgresql: Database) -> None:
    """Nobody knows whose it is, and it does not count as built."""
    postgresql.execute("CREATE TABLE a (x INT)", "INSERT INTO a VALUES (1), (1)")
    unnamed = _UNIQUE.replace(" once", "")
    with pytest.raises(MigrationFailed):
        _migrator(postgresql, unnamed).upgrade()

    with pytest.raises(HistoryError, match='invalid index "a_x_idx": absent before'):
        _migrator(postgresql, unnamed).resume()

    assert _invalid(postgresql) == [("a_x_idx",)]
