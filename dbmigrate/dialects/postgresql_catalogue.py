"""The catalogue of a PostgreSQL database as objects that can be compared.

Laws of this file: it reads and leaves no trace, neither in the database nor in the session; what a session has set
makes no difference; the number of queries does not depend on what is in the database. The queries are in
postgresql_queries.py, the way back to SQL is in postgresql_script.py.

Left out on purpose: who owns what, and the versions of extensions (both differ between places where the same
migrations ran), user mappings and subscriptions (they hold passwords), operator classes and families, conversions,
languages, and what belongs to the whole server (roles, tablespaces, settings of the database).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy.engine import Connection

from dbmigrate.catalogue import Object, made
from dbmigrate.dialects.base import rows, scalar, send
from dbmigrate.dialects.postgresql_queries import COMMENTS, DEPENDENCIES, queries

#: A catalogue, and an oid in it.
_Node = tuple[str, int]

#: What the text of a definition depends on. With pg_temp last nothing temporary hides what is meant.
_SETTINGS = {
    "search_path": "pg_catalog, pg_temp",
    "quote_all_identifiers": "off",
    "standard_conforming_strings": "on",
    "extra_float_digits": "1",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmlbinary": "base64",
    "jit": "off",  # it takes longer than the query
}
_SET = ", ".join(f"pg_catalog.set_config('{name}', '{value}', true)" for name, value in _SETTINGS.items())
_TRANSACTION = (
    "SELECT virtualtransaction FROM pg_catalog.pg_locks WHERE locktype = 'virtualxid' AND pid = pg_backend_pid()"
)


def objects(connection: Connection) -> Iterator[Object]:
    """Give everything that people have made in the database, in no order.

    Definitions are in the database's own words, with every name qualified. A grant says what is so beyond the rights
    that nobody had to grant, or no longer of these; the owner of a thing is called `owner`. Partitions and children
    list only what they do not have from their parents. The position of a column is its place among those of its table,
    that of anything else how deep it stands in the graph of what depends on what.

    Reading a definition takes the lock of a reader on the tables in it, so this waits for whoever is changing one.
    """
    with _same_settings(connection):
        comments = {(catalogue, oid, part): said for catalogue, oid, part, said in rows(connection, COMMENTS)}
        dependencies = rows(connection, DEPENDENCIES)
        version = int(scalar(connection, "SELECT current_setting('server_version_num')")) // 10000
        found = [row for sql in queries(version) for row in _read(connection, sql)]
    depths = _depths({row.node for row in found if row.kind != "column"}, dependencies)
    columns = {(row.node[1], row.name): row.said for row in found if row.kind == "column"}
    for row in found:
        said, position = row.said, row.said.get("_position") or depths.get(row.node, 0)
        comment = comments.get((*row.node, said.get("_number", 0)))
        if row.kind == "column":
            said = _own_part(row, columns)
        said = {name: value for name, value in said.items() if name[0] != "_"} | {"comment": comment}
        item = made(row.kind, row.name, said, schema=row.schema, table=row.table, position=position)
        if row.kind != "column" or set(dict(item.properties)) - {"inherited"}:
            yield item


@dataclass(frozen=True, slots=True)
class _Row:
    """What a query says of an object."""

    node: _Node
    kind: str
    schema: str
    table: str
    name: str
    said: dict[str, Any]


def _read(connection: Connection, sql: str) -> Iterator[_Row]:
    answer = send(connection, sql)
    names = list(answer.keys())[6:]
    for row in answer:
        catalogue, oid, kind, schema, table, name, *values = tuple(row)
        said = {key: _plain(value) for key, value in zip(names, values, strict=True)}
        yield _Row((catalogue, oid), kind, schema, table, name, said)


def _plain(value: Any) -> Any:  # noqa: ANN401 - the driver's
    return tuple(cast("list[str]", value)) if isinstance(value, list) else value


def _own_part(row: _Row, columns: Mapping[tuple[int, str], dict[str, Any]]) -> dict[str, Any]:
    """Return what a column does not have from the table that its table is a part or a child of: all or nothing."""
    found = (columns.get((parent, row.name)) for parent in row.said["_parents"] or ())
    theirs = next((said for said in found if said), None)
    if theirs is None:
        return row.said
    # These belong to the parent's column alone, in some versions or always.
    ignored = {"identity options", "not null name", *(() if row.said["identity"] else ("identity",))}
    same = all(value == theirs[name] for name, value in row.said.items() if name[0] != "_" and name not in ignored)
    return {**({} if same else row.said), "inherited": True}


def _depths(nodes: AbstractSet[_Node], dependencies: Iterable[tuple[Any, ...]]) -> dict[_Node, int]:
    """Return how many levels of other objects each one needs below it."""
    # A row type is a part of its table, the rule of a view of the view, and so on: follow them to what is listed.
    parts: dict[_Node, _Node] = {}
    for wanted in ("i", "a"):
        for catalogue, oid, other, other_oid, kind in dependencies:
            if kind == wanted and (catalogue, oid) not in nodes:
                parts.setdefault((catalogue, oid), (other, other_oid))

    def whole(node: _Node) -> _Node:
        seen: set[_Node] = set()
        while node not in nodes and node in parts and node not in seen:
            seen.add(node)
            node = parts[node]
        return node

    needs: dict[_Node, set[_Node]] = {node: set() for node in nodes}
    for catalogue, oid, other, other_oid, _ in dependencies:
        one, two = whole((catalogue, oid)), whole((other, other_oid))
        if one != two and one in needs and two in needs:
            needs[one].add(two)
    depths: dict[_Node, int] = {}
    level = 0
    while needs:
        ready = [node for node, others in needs.items() if not any(other in needs for other in others)]
        # What needs itself has no order.
        for node in ready or list(needs):
            depths[node] = level
            del needs[node]
        level += 1
    return depths


@contextmanager
def _same_settings(connection: Connection) -> Generator[None]:
    """Have the session set up in the same way whoever asks, and as it was at the end, also behind an error.

    Rolling back does so exactly, whether the caller's transaction or the session had set it.
    """
    # In a transaction two statements have the same number. To try a savepoint would leave an error in the server's log.
    if rows(connection, _TRANSACTION) == rows(connection, _TRANSACTION):
        mark = "dbmigrate_catalogue"
        begin, end = f"SAVEPOINT {mark}", [f"ROLLBACK TO SAVEPOINT {mark}", f"RELEASE SAVEPOINT {mark}"]
    else:
        begin, end = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY", ["ROLLBACK"]
    send(connection, begin)
    try:
        send(connection, f"SELECT {_SET}")
        yield
    finally:
        if not connection.invalidated:
            for sql in end:
                send(connection, sql)
