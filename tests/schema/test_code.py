"""Code from a database: what it makes is equal to what was there, but for what it says; it is fit for any checker."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from itertools import chain
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlalchemy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sqlalchemy import MetaData, create_engine, event
from sqlalchemy.dialects import mysql, postgresql, sqlite

from dbmigrate import ConfigurationError, MemorySource, Migrator, sql_migration
from dbmigrate.catalogue import Change, Snapshot, sorted_snapshot
from dbmigrate.dialects import dialect_for
from dbmigrate.dialects.code import evaluated, literal, sql, written
from dbmigrate.schema import code, diff, script, snapshot
from tests.schema.mysql_history import HISTORY
from tests.schema.postgresql_history import history
from tests.schema.shops import SHOPS
from tests.schema.sqlite_history import STATEMENTS
from tests.schema.test_postgresql import make_roles

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.conftest import Database


_VERSION: Final = tuple(int(number) for number in re.findall(r"\d+", sqlalchemy.__version__)[:3])


def coded(database: Database, **how: Any) -> str:
    """The code of a database."""
    with database.engine().connect() as connection:
        return code(connection, **how)


def taken(database: Database) -> Snapshot:
    """The snapshot of a database."""
    with database.engine().connect() as connection:
        return snapshot(connection)


def loaded(text: str) -> MetaData:
    """What the code defines."""
    names: dict[str, Any] = {}
    exec(compile(text, "schema.py", "exec"), names)  # noqa: S102 - it is what is tested

    assert isinstance(names["metadata"], MetaData)
    return names["metadata"]


def made(text: str, database: Database) -> Snapshot:
    """The snapshot of what the code makes."""
    with database.engine().begin() as connection:
        loaded(text).create_all(connection)
    return taken(database)


def listed(text: str) -> dict[str, set[str]]:
    """What the head says that there are no words for: each object, and which of its properties; none: all of it."""
    found = {}
    for line in re.findall(r"^# - (.+)$", text, re.MULTILINE):
        name, _, properties = line.rpartition(": ")
        found[name or line] = set(properties.split(", ")) if name else set()
    return found


def unsaid(changes: Iterable[Change], text: str) -> list[str]:
    """Every difference that the head does not name."""
    found = []
    for change in changes:
        place = ".".join(part for part in change.object.owner if part)
        if change.before and any(name.partition(" ")[2] == place and not known for name, known in listed(text).items()):
            continue  # with what it is a part of
        known = listed(text).get(str(change.object))
        if known is None or (known and {name for name, _, _ in change.properties} - known):
            found.append(str(change))
    return found


def checked(text: str, folder: Path) -> None:
    """Make sure that formatter, linter and type checker have nothing to say."""
    path = folder / "schema.py"
    path.write_text(text, encoding="utf-8")
    commands = [
        ["ruff", "format", "--isolated", "--check", "--diff"],
        ["ruff", "format", "--isolated", "--check", "--diff", "--line-length=120"],
        ["ruff", "check", "--isolated", "--quiet", "--select=E4,E7,E9,F,I,UP"],
    ]
    if _VERSION >= (2, 0, 58):  # earlier ones have functions without types
        # what mypy knows of SQLAlchemy takes long to find out, and serves all tests of a worker
        commands.append(["mypy", "--strict", f"--cache-dir={folder.parent / 'mypy_cache'}"])
    for command in commands:
        ran = subprocess.run(
            [sys.executable, "-m", *command, str(path)], cwd=folder, capture_output=True, text=True, check=False
        )

        assert ran.returncode == 0, ran.stdout + ran.stderr


# -- the whole


@pytest.mark.every_driver
def test_a_shop_comes_back_whole(database: Database) -> None:
    """What is usual has words, all of it, with every driver; and what was made anew gives the same code."""
    if database.driver == "mysqlconnector" and _VERSION < (2, 1):
        pytest.skip("SQLAlchemy writes % twice with this driver before 2.1")
    database.execute(*SHOPS[database.kind])
    text, other = coded(database), database.another()

    assert diff(taken(database), made(text, other)) == ()
    assert listed(text) == {}
    assert coded(other) == text


@pytest.mark.default_driver
def test_a_url_of_mariadb_has_options_of_its_own(mariadb: Database) -> None:
    """SQLAlchemy looks for those that begin with the name in the URL."""
    mariadb.execute(*SHOPS["mariadb"])
    other = mariadb.another()
    one, two = (create_engine(each.url.set(drivername="mariadb+pymysql")) for each in (mariadb, other))
    with one.connect() as before, two.connect() as after:
        text = code(before)
        loaded(text).create_all(after)

        assert diff(snapshot(before), snapshot(after)) == ()
    for engine in (one, two):
        engine.dispose()
    assert "mysql_" not in text
    assert "mariadb_engine=" in text


@pytest.mark.default_driver
def test_a_shop_is_fit_for_checkers(database: Database, tmp_path: Path) -> None:
    """Formatted, with no import too many, and with types."""
    database.execute(*SHOPS[database.kind])

    checked(coded(database), tmp_path)


@pytest.mark.default_driver
def test_all_of_sqlite_is_there_or_listed(sqlite: Database, tmp_path: Path) -> None:
    """Whatever differs in what is made anew, the head of the code says so, and it says nothing else."""
    with sqlite.connect() as raw:
        for statement in chain(*STATEMENTS):
            raw.execute(statement)
    text = coded(sqlite)
    changes = diff(taken(sqlite), made(text, sqlite.another()))

    # It is there, without its order.
    assert unsaid(changes, text) == ["primary key codes.(a, b) is new\n    columns (a, b)"]
    assert set(listed(text)) == {str(change.object) for change in changes if change.before}
    checked(text, tmp_path)


@pytest.mark.default_driver
def test_all_of_postgresql_is_there_or_listed(postgresql: Database, tmp_path: Path) -> None:
    """The same, where the types and functions that tables need are made before."""
    make_roles(postgresql)
    [(version,)] = postgresql.query("SELECT current_setting('server_version_num')::int / 10000")
    extensions = {name for (name,) in postgresql.query("SELECT name FROM pg_available_extensions")}
    postgresql.execute(*history(version, extensions))
    text, found, other = coded(postgresql), taken(postgresql), postgresql.another()
    kinds = ("extension", "schema", "collation", "enum", "type")
    functions = ("day_diff(date, date)", "add(integer, integer)")
    needed = [
        item
        for item in found
        if item.kind in kinds or item.name in functions or (item.kind, item.table) == ("column", "address")
    ]
    text_of_needed = script(sorted_snapshot(found.dialect, needed))
    Migrator(other.url, MemorySource([sql_migration("1", "needed", text_of_needed)])).upgrade()
    changes = diff(found, made(text, other))

    # SQLAlchemy gives the name to NOT NULL: the check is there, with one that the server made up.
    renamed = [change.split("\n")[0] for change in unsaid(changes, text)]
    assert renamed == [
        "check app.positive.above_zero is gone",
        "check app.positive.positive_check is new",
    ]
    assert listed(text)["check app.positive.above_zero"] == {"comment", "name"}
    checked(text, tmp_path)


@pytest.mark.default_driver
def test_all_of_mariadb_is_there_or_listed(mariadb: Database, tmp_path: Path) -> None:
    """The same."""
    mariadb.execute(*(sql for sql in HISTORY if "READER" not in sql and "ROLE" not in sql))
    text = coded(mariadb)
    changes = diff(taken(mariadb), made(text, mariadb.another()))

    # Aria notes this where an index is added later.
    aria = "table places:\n    options: (transactional=1) -> (page_checksum=1, transactional=1)"
    assert unsaid(changes, text) == [aria]
    checked(text, tmp_path)


# -- names and order


def of_sqlite(*statements: str, **how: Any) -> str:
    """The code of a new SQLite database."""
    engine = create_engine("sqlite://")
    try:
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
            return code(connection, **how)
    finally:
        engine.dispose()


def variables(text: str) -> dict[str, str]:
    """The name of each table, by its variable."""
    return dict(re.findall(r"^(\w+): Table = Table\(\n    [\"'](.+)[\"'],$", text, re.MULTILINE))


def test_the_order_of_columns_is_that_of_their_names() -> None:
    """Behind those of the primary key; whatever came first."""
    one = of_sqlite("CREATE TABLE a (z INTEGER, y TEXT, b TEXT, PRIMARY KEY (z, y))", "ALTER TABLE a ADD c TEXT")
    other = of_sqlite("CREATE TABLE a (c TEXT, y TEXT, b TEXT, z INTEGER, PRIMARY KEY (z, y))")

    assert re.findall(r'Column\("(\w)"', one) == ["z", "y", "b", "c"]
    assert one == other


def test_names_are_names_in_python() -> None:
    """Each table has a variable of its own, and that whose name it is has it."""
    names = ["class", "metadata", "text", "Table", "INTEGER", "a b", "a-b", "a_b", "1st", "é", "x²", "__all__", "str"]
    found = variables(of_sqlite(*(f'CREATE TABLE "{name}" (x INTEGER)' for name in names)))

    assert {name: variable for variable, name in found.items()} == {
        "class": "class_",
        "metadata": "metadata_",
        "text": "text_",
        "Table": "Table_",
        "INTEGER": "INTEGER_",
        "a b": "a_b_2",
        "a-b": "a_b_3",
        "a_b": "a_b",
        "1st": "_1st",
        "é": "é",
        "x²": "x2",
        "__all__": "__all___",
        "str": "str_",
    }


_PERCENT: Final = {
    "sqlite": ('CREATE TABLE a_pct (s "5% or %s :x")',),
    "postgresql": (
        "CREATE SCHEMA odd",
        """CREATE TYPE odd."5% or %s :x" AS (n integer)""",
        'CREATE TABLE a_pct (s odd."5% or %s :x")',
    ),
    "mariadb": ("CREATE TABLE a_pct (s ENUM('5%', '%s', '%(x)s', ':x'))",),
}


@pytest.mark.every_driver
def test_a_percent_in_the_words_of_the_database(database: Database, tmp_path: Path) -> None:
    """It comes back with every driver: also with those to which it means something."""
    if database.driver == "mysqlconnector" and _VERSION < (2, 1):
        pytest.skip("SQLAlchemy writes % twice with this driver before 2.1")
    statements, other = _PERCENT[database.kind], database.another()
    database.execute(*statements)
    other.execute(*statements[:-1])  # types

    text = coded(database)

    # To this one it means nothing: SQLAlchemy's own type will do.
    assert ("AsWritten" in text) == (database.driver != "mysqlconnector")
    assert diff(taken(database), made(text, other)) == ()
    checked(text, tmp_path)


#: Everything that a module may import, and what else it says.
_IMPORTED: Final = sorted(
    {name for source in (sqlalchemy, mysql, postgresql, sqlite) for name in dir(source) if name[0].isupper()}
    | {
        "AsWritten",
        "Any",
        "UserDefinedType",
        "compiles",
        "_as_written",
        "metadata",
        "text",
        "literal_column",
        "str",
        "object",
        "super",
    }
)


def test_a_table_may_be_called_as_what_is_imported(tmp_path: Path) -> None:
    """A module that has them all, each beside a column of a type in the words of the database."""
    names = {name.lower(): name for name in _IMPORTED}.values()  # SQLite has no two that differ in case alone
    text = of_sqlite(*(f'CREATE TABLE "{name}" ("{name}" INT4, y INTEGER)' for name in names))

    assert variables(text) == {f"{name}_": name for name in names}
    assert len(loaded(text).tables) == len(names)
    checked(text, tmp_path)


@pytest.mark.default_driver
@pytest.mark.parametrize("name", ["SET", "YEAR", "ENUM", "MEDIUMTEXT", "AsWritten", "super"])
def test_a_table_of_mariadb_may_be_called_as_a_type(mariadb: Database, name: str, tmp_path: Path) -> None:
    """That the module imports."""
    mariadb.execute(f"CREATE TABLE `{name}` (a SET('x'), b YEAR, c ENUM('x'), d MEDIUMTEXT, e POINT)")

    text = coded(mariadb)

    assert diff(taken(mariadb), made(text, mariadb.another())) == ()
    checked(text, tmp_path)


@pytest.mark.default_driver
def test_what_postgresql_has_may_be_called_as_a_type(postgresql: Database, tmp_path: Path) -> None:
    """Tables, and what stands before them."""
    postgresql.execute(
        """CREATE TYPE "DOMAIN" AS ENUM ('x')""",
        """CREATE DOMAIN "ENUM" AS integer""",
        'CREATE SEQUENCE "Sequence"',
        *(
            f'CREATE TABLE "{name}" (a inet, b jsonb, c point, d "DOMAIN", e "ENUM", EXCLUDE (a WITH =))'
            for name in ("INET", "JSONB", "AsWritten", "ExcludeConstraint", "super")
        ),
    )

    text = coded(postgresql)

    assert diff(taken(postgresql), made(text, postgresql.another())) == ()
    checked(text, tmp_path)


_NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"'), min_size=1, max_size=12)


@given(st.lists(_NAMES, min_size=1, max_size=5, unique_by=str.casefold), _NAMES, st.text("a:%\\'\" \n", max_size=8))
@settings(max_examples=60, deadline=None)
def test_any_names_and_defaults_come_back(names: list[str], column: str, default: str) -> None:
    """Nothing in a name or a text means anything in Python, or to SQLAlchemy."""
    assume(not any(name.lower().startswith(("sqlite_", "dbmigrate_ledger")) for name in names))
    literal = default.replace("'", "''")
    statements = [f'CREATE TABLE "{name}" ("{column}" TEXT DEFAULT \'{literal}\')' for name in names]
    engine, again = create_engine("sqlite://"), create_engine("sqlite://")
    with engine.connect() as one, again.connect() as two:
        for statement in statements:
            one.exec_driver_sql(statement)
        loaded(code(one)).create_all(two)

        assert diff(snapshot(one), snapshot(two)) == ()
    engine.dispose()
    again.dispose()


@given(st.text())
def test_texts_are_as_they_were(text: str) -> None:
    """As a literal, and as SQL in `text()`."""
    assert ast.literal_eval(literal(text)) == text
    assert str(evaluated(sql(text))) == text


@given(st.recursive(st.text(max_size=30), lambda inner: st.lists(inner, min_size=1, max_size=4), max_leaves=30))
@settings(max_examples=100, deadline=None)
def test_what_is_written_is_short_enough(value: Any) -> None:
    """No line that could be shorter is longer than 88 columns, and it says the same."""
    lines = f"x = {written(value, used=4)}".split("\n")

    assert ast.literal_eval("\n".join(lines)[4:]) == value
    for line in lines:
        bare = re.sub(r""""([^"\\]|\\.)*"|'([^'\\]|\\.)*'""", "", line)
        assert len(line) <= 88 or ", " not in bare


# -- what is wanted


def test_what_is_wanted() -> None:
    """By patterns; a foreign key to what is not there is listed, and nothing of what is not wanted."""
    made_of = (
        "CREATE TABLE users (id INTEGER PRIMARY KEY)",
        "CREATE TABLE user_logs (id INTEGER PRIMARY KEY, user INTEGER REFERENCES users (id))",
        "CREATE TABLE audit_log (x INTEGER)",
        "CREATE VIEW old_users AS SELECT * FROM users",
        "CREATE TABLE dbmigrate_ledger (x INTEGER)",
    )

    assert list(variables(of_sqlite(*made_of))) == ["audit_log", "user_logs", "users"]
    assert list(variables(of_sqlite(*made_of, include=["user*"]))) == ["user_logs", "users"]
    assert listed(of_sqlite(*made_of, include=["user*"])) == {}
    assert list(variables(of_sqlite(*made_of, exclude=["*log*"]))) == ["users"]
    few = of_sqlite(*made_of, include=["user*", "old*"], exclude=["users"])
    assert list(variables(few)) == ["user_logs"]
    assert listed(few) == {"foreign key user_logs.(user)": set(), "view old_users": set()}
    assert "ForeignKeyConstraint" not in few
    loaded(few)


@pytest.mark.default_driver
def test_types_come_with_what_is_wanted(postgresql: Database) -> None:
    """In the schema where sessions begin a name alone is a place, and so it is with it."""
    postgresql.execute(
        "CREATE SCHEMA app",
        "CREATE TYPE app.mood AS ENUM ('sad')",
        "CREATE TYPE other AS ENUM ('x')",
        "CREATE TABLE users (id integer PRIMARY KEY, mood app.mood)",
        "CREATE TABLE app.users (mood app.mood[])",
    )

    one, two, app = (coded(postgresql, include=[pattern]) for pattern in ("users", "public.users", "app.*"))

    assert one == two
    assert list(variables(one)) == ["users"]
    assert 'app_mood = ENUM("sad", name="mood", schema="app", metadata=metadata)' in one
    assert "other" not in one
    assert list(variables(app)) == ["app_users"]


@pytest.mark.default_driver
def test_sequences_are_wanted_with_their_columns(postgresql: Database) -> None:
    """What makes a column serial belongs to it; what does not is a sequence of its own."""
    postgresql.execute(
        "CREATE TABLE users (id serial PRIMARY KEY, n bigserial, b integer NOT NULL)",
        "CREATE SEQUENCE other OWNED BY users.b",
        "ALTER TABLE users ALTER b SET DEFAULT nextval('other')",
    )

    every, without, few = (
        coded(postgresql, exclude=e, include=i) for e, i in (((), ()), (["users"], ()), ((), ["users"]))
    )

    assert 'Column("id", INTEGER, primary_key=True)' in every
    assert re.findall(r"^(\w+) = Sequence", every, re.MULTILINE) == ["other"]
    assert listed(every) == {"sequence public.other": {"owned by"}}
    assert (variables(without), listed(without)) == ({}, {"sequence public.other": {"owned by"}})
    assert (list(variables(few)), listed(few), "Sequence" in few) == (["users"], {}, False)


def test_a_foreign_key_to_what_is_not_there_is_listed() -> None:
    """SQLite takes any."""
    text = of_sqlite(
        'CREATE TABLE a (x INTEGER REFERENCES b (y), y INTEGER REFERENCES nowhere (z), z INTEGER REFERENCES "c.d" (e))',
        "CREATE TABLE b (x INTEGER PRIMARY KEY)",
        'CREATE TABLE "c.d" (e INTEGER PRIMARY KEY)',
    )

    assert listed(text) == {f"foreign key a.({name})": set() for name in "xyz"}
    loaded(text).create_all(create_engine("sqlite://"))


def test_names_of_columns_in_another_case() -> None:
    """SQLite does not mind, and SQLAlchemy does."""
    text = of_sqlite(
        "CREATE TABLE Users (Id INTEGER PRIMARY KEY, Mail TEXT, UNIQUE (MAIL))",
        "CREATE TABLE b (x INTEGER REFERENCES USERS (ID))",
    )

    assert 'ForeignKeyConstraint(["x"], ["Users.Id"])' in text
    assert 'UniqueConstraint("Mail")' in text


#: Types of which SQLAlchemy has other words, or none.
_OTHERS: Final = ("INT", "ARRAY", "URL", "DOUBLE_PRECISION", "LABEL_STYLE_NONE", "MONEY", "CHARACTER(5)", "TABLES")
_TYPES: Final = (
    *("DOUBLE PRECISION", "UUID", "CLOB", "BINARY(16)", "VARBINARY(5)", "DOUBLE", "JSON", "TIMESTAMP", "NUMERIC(3, 1)"),
    *("INT PRIMARY KEY", *_OTHERS),
)


def test_types_of_sqlite_are_sqlalchemys_where_it_writes_them_so(tmp_path: Path) -> None:
    """The words stay: INT is not INTEGER, which as a primary key is the number of the row."""
    statements = [f"CREATE TABLE t{number} (x {type_})" for number, type_ in enumerate(_TYPES)]
    text = of_sqlite(*statements)
    one, two = create_engine("sqlite://"), create_engine("sqlite://")
    with one.connect() as before, two.connect() as after:
        for statement in statements:
            before.exec_driver_sql(statement)
        loaded(text).create_all(after)

        assert diff(snapshot(before), snapshot(after)) == ()
    one.dispose()
    two.dispose()
    written_so = re.findall(r'Column\("x", AsWritten\("(.*)"\)', text)
    assert {found.upper() for found in written_so} == {*_OTHERS}
    checked(text, tmp_path)


def test_an_empty_database_has_no_tables(tmp_path: Path) -> None:
    """And its code is code."""
    text = of_sqlite()

    assert loaded(text).tables == {}
    checked(text, tmp_path)


def test_circles_are_no_obstacle() -> None:
    """SQLAlchemy can put tables in an order, and is not warned about those that refer to each other."""
    text = of_sqlite(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER REFERENCES b (id), a INTEGER REFERENCES a (id))",
        "CREATE TABLE b (id INTEGER PRIMARY KEY, c INTEGER REFERENCES c (id))",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a (id), d INTEGER REFERENCES d (id))",
        "CREATE TABLE d (id INTEGER PRIMARY KEY, e INTEGER REFERENCES e (id))",
        "CREATE TABLE e (id INTEGER PRIMARY KEY)",
        "CREATE TABLE f (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a (id))",
    )

    assert len(loaded(text).sorted_tables) == 6
    assert text.count("use_alter=True") == 3


@pytest.mark.default_driver
def test_a_query_a_kind(database: Database) -> None:
    """However many tables there are."""

    def asked(count: int) -> int:
        database.execute(*(f"CREATE TABLE t{count}_{n} (id INTEGER PRIMARY KEY)" for n in range(count)))
        sent, engine = list[str](), database.engine()
        with engine.connect() as connection:
            event.listen(engine, "before_cursor_execute", lambda *given: sent.append(given[2]))
            code(connection)
        return len(sent)

    assert asked(1) == asked(30)


@pytest.mark.default_driver
def test_there_must_be_words_for_the_database(sqlite: Database) -> None:
    """Otherwise it says so."""

    class Strange(type(dialect_for(sqlite.url))):  # type: ignore[misc]
        family = "strange"

    with sqlite.engine().connect() as connection, pytest.raises(ConfigurationError, match="of the kind 'strange'"):
        code(connection, dialect=Strange())
