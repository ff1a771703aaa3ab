# ruff: noqa: E501 - tables, a line each
"""What an SQLite database has in it is read as it is, whoever wrote it, and however."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, event
from sqlalchemy.pool import StaticPool

from dbmigrate import MemorySource, Migrator, sql_migration
from dbmigrate.catalogue import sorted_snapshot
from dbmigrate.dialects.sqlite import DIALECT
from dbmigrate.schema import Snapshot, diff, script, snapshot
from tests.schema.sqlite_history import DRIFTS, STATEMENTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import Database


def _of(*scripts: str) -> Snapshot:
    """Return the snapshot of a new database in which scripts were run."""
    with closing(sqlite3.connect(":memory:")) as raw:
        for text in scripts:
            raw.executescript(text)
        engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
        with engine.connect() as connection:
            return snapshot(connection)


def _text(statements: Iterable[str] = chain(*STATEMENTS)) -> str:
    return "".join(f"{statement};\n" for statement in statements)


_HISTORY = _text()


def test_it_comes_back_from_json() -> None:
    """A snapshot that was stored is equal to the one that is taken, and both have the same text."""
    taken = _of(_HISTORY)
    stored = Snapshot.from_dict(json.loads(json.dumps(taken.to_dict())))

    assert (stored, str(stored), diff(stored, taken)) == (taken, str(taken), ())


def test_its_script_makes_it_anew(sqlite: Database) -> None:
    """What `script` gives is a migration like any other, and nothing is missing in it."""
    with sqlite.connect() as raw:
        raw.executescript(_HISTORY)
    with sqlite.engine().connect() as connection:
        taken = snapshot(connection)
    empty = sqlite.another()
    Migrator(empty.url, MemorySource([sql_migration("1", "all", script(taken))])).upgrade()

    with empty.engine().connect() as connection:
        assert diff(taken, snapshot(connection)) == ()
    assert script(taken) == script(_of(script(taken)))


@given(st.tuples(*map(st.permutations, STATEMENTS)))
@settings(max_examples=30, deadline=None)
def test_the_order_makes_no_difference(groups: tuple[list[str], ...]) -> None:
    """Equal schemas are equal, in whatever order their parts were made."""
    assert diff(_of(_HISTORY), _of(_text(chain(*groups)))) == ()


@pytest.mark.parametrize("name", DRIFTS)
def test_what_is_done_by_hand_is_named(name: str) -> None:
    """Every change is found, and says where and what; nothing else is said to be different."""
    done, words = DRIFTS[name]
    said = [str(change) for change in diff(_of(_HISTORY), _of(_HISTORY, done))]

    assert [word for word in words if not any(word in text for text in said)] == []
    assert len(said) == len({text.split(" is ")[0].split(":")[0] for text in said})
    assert [text for text in said if not any(word in text for word in words)] == []
    assert diff(_of(_HISTORY, done), _of(_HISTORY)) != ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CREATE TABLE a (x int)", 'create  table "a" ( [x]  INT -- x\n)'),
        ("CREATE TABLE a (x INT PRIMARY KEY)", "CREATE TABLE a (x INT, PRIMARY KEY (x))"),
        ("CREATE TABLE a (x INTEGER PRIMARY KEY)", "CREATE TABLE a (x INTEGER NOT NULL, PRIMARY KEY (x))"),
        ("CREATE TABLE a (x PRIMARY KEY) WITHOUT ROWID", "CREATE TABLE a (x NOT NULL PRIMARY KEY) WITHOUT ROWID"),
        ("CREATE TABLE a (x INT, y REFERENCES a (x))", "CREATE TABLE 'a' ('x' INT, 'y' REFERENCES 'a' ('x'))"),
        ("CREATE TABLE a (x INT UNIQUE CHECK (x>1))", "CREATE TABLE a (x INT, CHECK(x > 1) UNIQUE (`x`))"),
        ("CREATE TABLE a (x INT REFERENCES a (x))", "CREATE TABLE a (x INT, FOREIGN KEY (x) REFERENCES a(x))"),
        ("CREATE TABLE a (x INT DEFAULT 1, y)", "CREATE TABLE a (y); ALTER TABLE a ADD COLUMN x INT DEFAULT (1)"),
        (
            "CREATE TABLE a (x INT DEFAULT 1 NOT NULL ON CONFLICT FAIL)",
            "CREATE TABLE a (x INT NOT NULL ON CONFLICT FAIL DEFAULT 1)",
        ),
        ("CREATE TABLE a (x INT)", "CREATE TABLE b (x INT); ALTER TABLE b RENAME TO a"),
        ("CREATE TABLE a (x INT)", "CREATE TABLE IF NOT EXISTS main.a (x INT); CREATE TEMP TABLE b (x INT)"),
        ("CREATE VIEW v AS SELECT 1 AS x", "CREATE VIEW IF NOT EXISTS main.v AS /* one */ SELECT\n1   AS x"),
        ("CREATE VIEW v AS SELECT 1 AS x WHERE 1 IS NOT NULL", "create view v as select 1 as x where 1 is not null"),
        ("CREATE TABLE a (x INT)", "CREATE TABLE a (x INT); ANALYZE; INSERT INTO a VALUES (1)"),
        ("CREATE TABLE a (x INT)", "CREATE TABLE a (x INT); ATTACH ':memory:' AS b; CREATE TABLE b.c (x)"),
        (
            "CREATE TABLE a (x INT)",
            "CREATE TABLE a (x INT); CREATE TABLE dbmigrate_ledger (x); CREATE INDEX i ON dbmigrate_ledger (x); "
            "CREATE TABLE dbmigrate_ledger_journal (x)",
        ),
    ],
)  # fmt: skip
def test_how_it_was_written_makes_no_difference(one: str, other: str) -> None:
    """Neither do spaces, quotes and comments, nor whether it was made at once."""
    assert diff(_of(one), _of(other)) == ()


_NAMES = st.one_of(
    st.sampled_from(["order", "a b", 'a"b', "a]b", "a`b", "a.b", "50%", "Ünï", "A", ":x", "generated", "1st", "(x)"]),
    st.text("ab_%\"`'. :(),-/*", min_size=1, max_size=6),
)  # fmt: skip
_COLUMNS = st.lists(
    st.tuples(
        _NAMES,
        st.sampled_from(["INT", "varchar(3)", "double  precision", "decimal ( 3 , 2 )", "", '"odd type"']),
        st.lists(
            st.sampled_from(
                ["NOT NULL", "DEFAULT 1", "DEFAULT (x'61')", "DEFAULT -2.5", "COLLATE nocase", "CONSTRAINT c UNIQUE"]
            ),
            unique=True,
        ),
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda column: column[0].lower(),
)


@given(_NAMES, _COLUMNS)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_it_says_what_the_pragma_says(table: str, columns: list[tuple[str, str, list[str]]]) -> None:
    """Of names, types, nullability and keys SQLite itself says the same; and the script makes it anew."""

    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    body = ", ".join(f"{quoted(name)} {type_} {' '.join(rest)}" for name, type_, rest in columns)
    sql = f"CREATE TABLE {quoted(table)} ({body})"
    with closing(sqlite3.connect(":memory:")) as raw:
        raw.execute(sql)
        expected = {
            (name, type_.lower().replace(" ", ""), bool(notnull))
            for _, name, type_, notnull, *_ in raw.execute(f"PRAGMA table_xinfo({quoted(table)})")
        }
    taken = _of(sql)
    found = {
        (item.name, str(item.get("type") or "").lower().strip('"').replace(" ", ""), bool(item.get("not null")))
        for item in taken
        if item.kind == "column"
    }

    assert expected == found
    assert diff(taken, _of(script(taken))) == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CREATE TABLE a (x INTEGER PRIMARY KEY DESC)", "CREATE TABLE a (x INTEGER NOT NULL PRIMARY KEY DESC)"),
        (
            "CREATE TABLE a (x NOT NULL ON CONFLICT IGNORE PRIMARY KEY) WITHOUT ROWID",
            "CREATE TABLE a (x PRIMARY KEY) WITHOUT ROWID",
        ),
        ("CREATE VIRTUAL TABLE a USING fts5(x); CREATE TABLE a_parent (x INT)", "CREATE VIRTUAL TABLE a USING fts5(x)"),
        ("CREATE TABLE 'a' ('x' INT)", "CREATE TABLE 'a' ('x' INT); ALTER TABLE a ADD COLUMN y INT"),
        ("CREATE VIEW v AS SELECT 'a b'", "CREATE VIEW v AS SELECT 'a  b'"),
    ],
)  # fmt: skip
def test_what_looks_alike_is_not_the_same(one: str, other: str) -> None:
    """What it says makes a difference to whoever uses it."""
    assert diff(_of(one), _of(other)) != ()


# What models are compared by


def _meant(text: str) -> Snapshot:
    return sorted_snapshot("sqlite", DIALECT.as_meant(_of(text)))


_P = "CREATE TABLE p (id INTEGER PRIMARY KEY); "


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CREATE TABLE T (ID INTEGER PRIMARY KEY, Name TEXT)", "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)"),
        ("CREATE TABLE a (x INT); CREATE INDEX I ON A (X)", "CREATE TABLE a (x INT); CREATE INDEX i ON a (x)"),
        ("CREATE TABLE a (Xy INT, UNIQUE (xY))", "CREATE TABLE a (Xy INT UNIQUE)"),
        ("CREATE TABLE a (x INT CHECK ((X > 0)))", "CREATE TABLE a (x INT, CHECK (x > 0))"),
        ("CREATE TABLE a (x INT CHECK (x <> 5 OR x == 7))", 'CREATE TABLE a (x INT, CHECK ("x" != 5 or x = 7))'),
        ("CREATE TABLE a (x INT CHECK (x > 1.50))", "CREATE TABLE a (x INT CHECK (x > 1.5))"),
        ("CREATE TABLE a (x, y AS (LOWER(X)))", "CREATE TABLE a (x, y AS (lower(x)))"),
        ("CREATE TABLE a (x DEFAULT (LOWER('A')))", "CREATE TABLE a (x DEFAULT (lower('A')))"),
        ("CREATE TABLE a (x REAL DEFAULT +1)", "CREATE TABLE a (x FLOAT DEFAULT '1')"),
        ("CREATE TABLE a (x NUMERIC DEFAULT 0.0, y INT DEFAULT 1.50)", "CREATE TABLE a (x DECIMAL DEFAULT 0, y INT DEFAULT 1.5)"),
        ("CREATE TABLE a (x INT DEFAULT NULL, y BOOL DEFAULT true)", "CREATE TABLE a (x INTEGER, y BOOLEAN DEFAULT 1)"),
        ('CREATE TABLE a (x TEXT DEFAULT "it\'s", y TEXT DEFAULT Abc)', "CREATE TABLE a (x TEXT DEFAULT 'it''s', y TEXT DEFAULT 'Abc')"),
        (
            'CREATE TABLE a (x, "Order"); CREATE INDEX i ON a (LOWER(X), x collate nocase desc, (x) asc) WHERE "order" is null',
            'CREATE TABLE a (x, "order"); CREATE INDEX i ON a (lower(x), "x" COLLATE NOCASE DESC, x) WHERE ("order" IS NULL)',
        ),
        ("CREATE TABLE a (x INT, y INT, PRIMARY KEY (x, y))", "CREATE TABLE a (x INTEGER, y INTEGER, PRIMARY KEY (x, y))"),
        ("CREATE TABLE a (x INT PRIMARY KEY) WITHOUT ROWID", "CREATE TABLE a (x INTEGER PRIMARY KEY) WITHOUT ROWID"),
        ("CREATE TABLE P (ID INTEGER PRIMARY KEY); CREATE TABLE a (x REFERENCES p)", f"{_P}CREATE TABLE a (x REFERENCES P (Id))"),
        ("CREATE TABLE a (x REFERENCES None_Such)", "CREATE TABLE a (x REFERENCES none_such)"),
    ],
)  # fmt: skip
def test_what_means_the_same_is_no_difference_to_models(one: str, other: str) -> None:
    """As far as it is clear."""
    assert [str(change) for change in diff(_meant(one), _meant(other))] == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CREATE TABLE a (x CHECK (x IN ('on')))", "CREATE TABLE a (x CHECK (x IN ('ON')))"),
        ("CREATE TABLE a (x CONSTRAINT c CHECK (x = 'A'))", "CREATE TABLE a (x CONSTRAINT c CHECK (x = 'a'))"),
        ('CREATE TABLE a (x CHECK (x = "A"))', 'CREATE TABLE a (x CHECK (x = "a"))'),
        ("CREATE TABLE a (x); CREATE INDEX i ON a (x) WHERE x = 'A'", "CREATE TABLE a (x); CREATE INDEX i ON a (x) WHERE x = 'a'"),
        ("CREATE TABLE a (x, y AS (x || 'A'))", "CREATE TABLE a (x, y AS (x || 'a'))"),
        ("CREATE TABLE a (x INT PRIMARY KEY)", "CREATE TABLE a (x INTEGER PRIMARY KEY)"),
        ("CREATE TABLE a (x CHECK (x / 2.0 > 1))", "CREATE TABLE a (x CHECK (x / 2 > 1))"),
        ("CREATE TABLE a (x CHECK ((x > 1) OR (x < 0)))", "CREATE TABLE a (x CHECK (x > 1 AND x < 0))"),
        ("CREATE TABLE a (x TEXT DEFAULT 0.0)", "CREATE TABLE a (x TEXT DEFAULT 0)"),
        ("CREATE TABLE a (x TEXT DEFAULT 'Abc')", "CREATE TABLE a (x TEXT DEFAULT 'abc')"),
        ("CREATE TABLE a (x TEXT DEFAULT 'null')", "CREATE TABLE a (x TEXT)"),
        ("CREATE TABLE a (x TEXT DEFAULT 'CURRENT_TIME')", "CREATE TABLE a (x TEXT DEFAULT CURRENT_TIME)"),
        ("CREATE TABLE a (ä)", "CREATE TABLE a (Ä)"),
        (f"{_P}CREATE TABLE a (x REFERENCES p (y))", f"{_P}CREATE TABLE a (x REFERENCES p)"),
        *(
            ("CREATE TABLE a (x, CONSTRAINT C CHECK (x > 0), CONSTRAINT c CHECK (x < 9))", f"CREATE TABLE a (x, CONSTRAINT c CHECK ({one}))")
            for one in ("x > 0", "x < 9")
        ),
    ],
)  # fmt: skip
def test_what_means_something_else_is_a_difference_to_models(one: str, other: str) -> None:
    """Strings above all, and whether a key is the number of the row."""
    assert diff(_meant(one), _meant(other)) != ()
    assert diff(_meant(other), _meant(one)) != ()


def test_what_is_no_text_is_read() -> None:
    """A database holds any bytes."""
    with closing(sqlite3.connect(":memory:")) as raw:
        raw.executescript("CREATE TABLE a (x DEFAULT '@'); PRAGMA writable_schema = ON")
        raw.execute("UPDATE sqlite_master SET sql = replace(sql, '@', CAST(x'ff' AS TEXT))")
        raw.commit()
        engine = create_engine("sqlite://", creator=lambda: raw, poolclass=StaticPool)
        with engine.connect() as connection:
            assert "column x: default '\\xff'" in str(snapshot(connection))


def test_what_is_left_out() -> None:
    """By patterns, with all that belongs to it."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        for statement in ("CREATE TABLE a (x INT)", "CREATE TABLE b (x INT)", "CREATE INDEX i ON b (x)"):
            connection.exec_driver_sql(statement)
        assert [str(item) for item in snapshot(connection, exclude=["b*"])] == ["table a", "column a.x"]
    engine.dispose()


def test_a_query_a_kind() -> None:
    """However many tables there are."""
    engine, sent = create_engine("sqlite://"), list[str]()
    with engine.connect() as connection:
        for number in range(50):
            connection.exec_driver_sql(f"CREATE TABLE t{number} (x INT PRIMARY KEY, y REFERENCES t1)")
        event.listen(engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
        assert len(snapshot(connection).objects) == 50 * 5
    engine.dispose()

    assert len(sent) == 1
