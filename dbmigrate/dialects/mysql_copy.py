"""Copies of a database of MariaDB or MySQL, which have no command for it.

Laws of this file: the database that is copied is only read, and must not change meanwhile; a copy that is not complete
is dropped; what cannot be put back exactly is made again. Triggers are made behind the rows, so that they do not fire.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from sqlalchemy import text
from sqlalchemy.engine import Connection

from dbmigrate.catalogue import Object, Snapshot, sorted_snapshot
from dbmigrate.dialects.base import Dialect, rows, send
from dbmigrate.dialects.mysql_catalogue import objects
from dbmigrate.dialects.mysql_effects import quoted
from dbmigrate.dialects.mysql_script import script
from dbmigrate.scanner import statements

#: What runs by itself, and is made when the rows are there.
_PROGRAMS = ("trigger", "event")
#: Rows are taken as they are: a zero is no missing number, and no check or foreign key is asked.
_AS_IT_IS = (
    "SET SESSION sql_mode = 'NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION'",
    "SET SESSION time_zone = '+00:00'",
    "SET SESSION foreign_key_checks = 0",
)
_ONLY_MARIADB, _ONLY_MYSQL = (
    "SET SESSION check_constraint_checks = 0",
    "SET SESSION information_schema_stats_expiry = 0",
)
#: As text they would be rounded, if they were not made longer first.
_INEXACT = ("float", "double")
#: Tables that one statement asks about.
_MANY = 100


def copy(dialect: Dialect, connection: Connection, source: str, target: str) -> bool:
    """Make a copy. False: there is a database of that name."""
    sql = (
        "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.schemata "
        "WHERE SCHEMA_NAME = :name"
    )
    charset, collation = connection.execute(text(sql), {"name": source}).one()
    if not dialect.create_database(connection, target):
        return False
    try:
        send(connection, f"ALTER DATABASE {quoted(target)} CHARACTER SET {charset} COLLATE {collation}")
        found = _snapshot(connection, source)
        _as_it_is(connection)
        send(connection, f"USE {quoted(target)}")
        _make(dialect, connection, (item for item in found if item.kind not in _PROGRAMS), found.dialect)
        _as_it_is(connection)
        _fill(connection, source, target, _names(found), _filled(connection, source, _names(found)))
        _make(dialect, connection, (item for item in found if item.kind in _PROGRAMS), found.dialect)
    except BaseException:
        if not connection.invalidated:
            dialect.drop_database(connection, target, force=True)
        raise
    return True


def restore(dialect: Dialect, connection: Connection, source: str, target: str) -> None:
    """Make a database equal to another one."""
    dialect.end_sessions(connection, target)
    if dialect.has_database(connection, target) and _put_back(connection, source, target):
        return
    while not copy(dialect, connection, source, target):
        dialect.drop_database(connection, target, force=True)


def _put_back(connection: Connection, source: str, target: str) -> bool:
    """Put back the rows that differ. False: something else differs, or rows that cannot be put back by themselves."""
    found = _snapshot(connection, source)
    if _exactly(found) != _exactly(_snapshot(connection, target)) or _charset(connection, source, target):
        return False
    if any(item.get("system versioned") for item in found):  # their history is no row that could be put back
        return False
    _as_it_is(connection)
    names = _names(found)
    filled = _filled(connection, source, names)
    changed = _changed(connection, source, target, names, filled)
    fires = {item.table for item in found if item.kind == "trigger"}
    if fires & changed & filled:
        return False
    for name in sorted(changed & fires):
        send(connection, f"TRUNCATE TABLE {_full(target, name)}")
    _fill(connection, source, target, names, changed & filled, emptied=changed - fires)
    return True


def _snapshot(connection: Connection, name: str) -> Snapshot:
    """Return all of a database, the ledger included."""
    send(connection, f"USE {quoted(name)}")
    return sorted_snapshot("mysql", objects(connection))


def _exactly(snapshot: Snapshot) -> list[tuple[Object, int]]:
    """Return the objects as they are equal only if their order is equal, too."""
    return [(item, item.position) for item in snapshot]


def _charset(connection: Connection, *names: str) -> bool:
    """Tell whether databases differ in their own character set or collation."""
    sql = (
        "SELECT COUNT(DISTINCT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME) > 1 FROM "
        "information_schema.schemata WHERE SCHEMA_NAME IN (:a, :b)"
    )
    return bool(connection.execute(text(sql), dict(zip("ab", names, strict=True))).scalar_one())


def _as_it_is(connection: Connection) -> None:
    """Set what a script may have set to something else, too."""
    is_mariadb = getattr(connection.dialect, "is_mariadb", False)
    for sql in (*_AS_IT_IS, _ONLY_MARIADB if is_mariadb else _ONLY_MYSQL):
        send(connection, sql)


def _make(dialect: Dialect, connection: Connection, items: Iterable[Object], family: str) -> None:
    """Make objects in the database of the connection."""
    for statement in statements(script(sorted_snapshot(family, items)), dialect.grammar):
        send(connection, statement.text)


def _names(snapshot: Snapshot) -> dict[str, str]:
    """Return the tables and sequences, each with its kind."""
    return {item.name: item.kind for item in snapshot if item.kind in ("table", "sequence")}


def _filled(connection: Connection, database: str, names: dict[str, str]) -> set[str]:
    """Return the tables that have rows."""
    tables = [name for name, kind in names.items() if kind == "table"]

    def has_rows(name: str) -> str:
        return f"EXISTS (SELECT 1 FROM {_full(database, name)})"

    return _those(connection, tables, has_rows)


def _changed(
    connection: Connection, source: str, target: str, names: dict[str, str], filled: Collection[str]
) -> set[str]:
    """Return the tables that have other rows, or go on with another number."""
    columns = _columns(connection, source, filled)

    def differs(name: str) -> str:
        old, new = _full(source, name), _full(target, name)
        if name not in filled:
            return f"EXISTS (SELECT 1 FROM {new})"
        exact = ", ".join(
            f"CAST({f'CAST({column} AS DOUBLE)' if kind in _INEXACT else column} AS BINARY)"
            for column, kind in columns[name]
        )
        counts = f"(SELECT COUNT(*) FROM {old}) <> (SELECT COUNT(*) FROM {new})"
        return f"{counts} OR EXISTS (SELECT {exact} FROM {old} EXCEPT ALL SELECT {exact} FROM {new})"

    tables = [name for name, kind in names.items() if kind == "table"]
    old, new = _next(connection, source), _next(connection, target)
    return _those(connection, tables, differs) | {name for name in tables if old.get(name) != new.get(name)}


def _those(connection: Connection, names: Sequence[str], condition: Callable[[str], str]) -> set[str]:
    """Return the tables of which a condition is true, with few statements."""
    found = set[str]()
    for start in range(0, len(names), _MANY):
        some = names[start : start + _MANY]
        parts = (f"SELECT {number} FROM DUAL WHERE {condition(name)}" for number, name in enumerate(some))
        found |= {some[int(number)] for (number,) in rows(connection, " UNION ALL ".join(parts))}
    return found


def _fill(
    connection: Connection,
    source: str,
    target: str,
    names: dict[str, str],
    filled: Collection[str],
    *,
    emptied: Collection[str] = (),
) -> None:
    """Insert all rows of tables that are or will be empty; tables and sequences go on where those of the source do."""
    columns = _columns(connection, source, filled)
    send(connection, "START TRANSACTION")
    for name in sorted(emptied):  # TRUNCATE would make the file of the table anew, which takes long on a disk
        send(connection, f"DELETE FROM {_full(target, name)}")
    for name in sorted(filled):
        listed = ", ".join(column for column, _ in columns[name])
        send(connection, f"INSERT INTO {_full(target, name)} ({listed}) SELECT {listed} FROM {_full(source, name)}")
    for name in (name for name, kind in names.items() if kind == "sequence"):
        send(connection, f"INSERT INTO {_full(target, name)} SELECT * FROM {_full(source, name)}")
    send(connection, "COMMIT")
    old, new = _next(connection, source), _next(connection, target)
    for name in sorted(name for name in old if old[name] != new.get(name)):
        send(connection, f"ALTER TABLE {_full(target, name)} AUTO_INCREMENT = {old[name]}")


def _columns(connection: Connection, database: str, names: Collection[str]) -> dict[str, list[tuple[str, str]]]:
    """Return the columns that rows are made of, quoted, each with its type; the server computes the others."""
    sql = (
        "SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE FROM information_schema.columns WHERE TABLE_SCHEMA = :name "
        "AND GENERATION_EXPRESSION = '' OR TABLE_SCHEMA = :name AND GENERATION_EXPRESSION IS NULL "
        "ORDER BY TABLE_NAME, ORDINAL_POSITION"
    )
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in names}
    for name, column, kind in connection.execute(text(sql), {"name": database}) if names else ():
        if name in found:
            found[name].append((quoted(column), kind.lower()))
    return found


def _next(connection: Connection, database: str) -> dict[str, int]:
    """Return the number that each table goes on with, if it counts."""
    sql = (
        "SELECT TABLE_NAME, AUTO_INCREMENT FROM information_schema.tables "
        "WHERE TABLE_SCHEMA = :name AND AUTO_INCREMENT IS NOT NULL AND TABLE_TYPE = 'BASE TABLE'"
    )
    return {name: int(number) for name, number in connection.execute(text(sql), {"name": database})}


def _full(database: str, name: str) -> str:
    return f"{quoted(database)}.{quoted(name)}"
