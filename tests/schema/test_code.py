"""Code from a database: what it makes is equal to what was there, but for what it says; it is fit for any checker."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from sqlalchemy import MetaData

from dbmigrate import MemorySource, Migrator, sql_migration
from dbmigrate.catalogue import Change, Snapshot, sorted_snapshot
from dbmigrate.dialects import dialect_for
from dbmigrate.schema import code, diff, script, snapshot
from tests.schema.mysql_history import HISTORY
from tests.schema.postgresql_history import ROLES, history
from tests.schema.shops import SHOPS
from tests.schema.sqlite_history import STATEMENTS
from tests.schema.test_postgresql import make_roles

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.conftest import Database


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
    for command in (
        ["ruff", "format", "--isolated", "--check", "--diff"],
        ["ruff", "format", "--isolated", "--check", "--diff", "--line-length=120"],
        ["ruff", "check", "--isolated", "--quiet", "--select=E4,E7,E9,F,I,UP"],
        ["mypy", "--strict", f"--cache-dir={folder / 'cache'}"],
    ):
        ran = subprocess.run(
            [sys.executable, "-m", *command, str(path)], cwd=folder, capture_output=True, text=True, check=False
        )

        assert ran.returncode == 0, ran.stdout + ran.stderr


# -- the whole


@pytest.mark.every_driver
def test_a_shop_comes_back_whole(database: Database) -> None:
    """What is usual has words, all of it, with every driver; and what was made anew gives the same code."""
    database.execute(*SHOPS[database.kind])
    text, other = coded(database), database.another()

    assert diff(taken(database), made(text, other)) == ()
    assert listed(text) == {}
    assert coded(other) == text


@pytest.mark.default_driver
def test_a_shop_is_fit_for_checkers(database: Database, tmp_path: Path) -> None:
    """Formatted, with no import too many, and with types."""
    database.execute(*SHOPS[database.kind])

    checked(coded(database), tmp_path)


def prepared(found: Snapshot, database: Database, *kinds: str) -> None:
    """Make what tables need and SQLAlchemy has no words for."""
    needed = sorted_snapshot(found.dialect, [item for item in found if item.kind in kinds and not item.table])
    text = script(needed)
    Migrator(database.url, MemorySource([sql_migration("1", "needed", text)])).upgrade()


@pytest.mark.default_driver
def test_all_of_sqlite_is_there_or_listed(sqlite: Database, tmp_path: Path) -> None:
    """Whatever differs in what is made anew, the head of the code says so."""
    with sqlite.connect() as raw:
        for statement in chain(*STATEMENTS):
            raw.execute(statement)
    text = coded(sqlite)
    changes = diff(taken(sqlite), made(text, sqlite.another()))

    assert unsaid(changes, text) == ["primary key codes.(a, b) is new\n    columns (a, b)"]
    assert listed(text) == {str(change.object): listed(text)[str(change.object)] for change in changes if change.before}
    checked(text, tmp_path)


@pytest.mark.default_driver
def test_all_of_postgresql_is_there_or_listed(postgresql: Database, tmp_path: Path) -> None:
    """The same, where the types and functions that tables need are made before."""
    make_roles(postgresql)
    [(version,)] = postgresql.query("SELECT current_setting('server_version_num')::int / 10000")
    extensions = {name for (name,) in postgresql.query("SELECT name FROM pg_available_extensions")}
    postgresql.execute(*history(version, extensions))
    text, found, other = coded(postgresql), taken(postgresql), postgresql.another()
    Path("/tmp/sc_pg.py").write_text(text)
    other.execute(
        "CREATE FUNCTION public.add(a integer, b integer DEFAULT 1) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS 'SELECT a + b'"
    )
    needed = sorted_snapshot(
        found.dialect,
        [
            i
            for i in found
            if i.kind in ("extension", "schema", "collation", "enum", "type")
            or i.name.startswith("day_diff")
            or (i.kind == "column" and (i.schema, i.table) == ("app", "address"))
        ],
    )
    for sql in [script(needed)]:
        Migrator(other.url, MemorySource([sql_migration("1", "needed", sql)])).upgrade()
    changes = diff(found, made(text, other))

    print(*unsaid(changes, text), sep=chr(10))
    assert unsaid(changes, text) == []
    checked(text, tmp_path)


@pytest.mark.default_driver
def test_all_of_mariadb_is_there_or_listed(mariadb: Database, tmp_path: Path) -> None:
    """The same."""
    mariadb.execute(*(sql for sql in HISTORY if "READER" not in sql and "ROLE" not in sql))
    text = coded(mariadb)
    Path("/tmp/sc_my.py").write_text(text)
    changes = diff(taken(mariadb), made(text, mariadb.another()))

    print(*unsaid(changes, text), sep=chr(10))
    assert unsaid(changes, text) == []
    checked(text, tmp_path)
