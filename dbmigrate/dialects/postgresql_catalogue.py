"""The catalogue of a PostgreSQL database as objects that can be compared.

Laws of this file: it reads and leaves no trace, neither in the database nor in the session; what a session has set
makes no difference; the number of queries does not depend on what is in the database. The queries are in
postgresql_queries.py, the way back to SQL is in postgresql_script.py.

Left out on purpose: who owns what, and the versions of extensions (both differ between places where the same
migrations ran), user mappings and subscriptions (they hold passwords), operator classes and families, conversions,
languages and rights to them, and what belongs to the whole server or to whoever set up the database (roles,
tablespaces, settings of the database, rights to it): other databases of the same migrations have others. The names of
the sequences of identity columns, which stay when a table or column is renamed; triggers of a constraint that fire
ALWAYS; where a partition's index lies. And contents: whether a materialized view has some changes whenever the
application refreshes it.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy.engine import Connection

from dbmigrate.catalogue import Object, made
from dbmigrate.dialects.base import rows, scalar, send
from dbmigrate.dialects.postgresql_grammar import POSTGRESQL
from dbmigrate.dialects.postgresql_queries import COMMENTS, DEPENDENCIES, queries
from dbmigrate.scanner import ScriptError, Token, tokens

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
#: The properties that are expressions, or have some in them.
_EXPRESSIONS = {"definition", "default", "generated", "using", "with check", "partition by", "bound", "tables"}
#: What stands behind the parentheses around an array that is cast: the server quotes all that is not plain.
_NAME = r'(?:[a-z_][a-z0-9_$]*|"(?:[^"]|"")+")'
_TYPE = rf"::((?:{_NAME}\.)?{_NAME}(?: [a-z]+)*(?:\([0-9,]+\))?(?: [a-z]+)*)"
_CAST = re.compile(rf"{_TYPE}\[\]")
#: What is certainly no array itself.
_SCALAR = re.compile(rf"{_TYPE}\Z|\A(?:[0-9.]+|true|false)\Z")
#: What there is in all that the server writes otherwise when it has read it.
_UNSETTLED = re.compile(r"\]\)?::|\) (?:AND|OR) |\(VALUES ")
_LITERAL = re.compile(rf"'(?:[^']|'')*'(?:{_TYPE})+|[0-9.]+")


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
        said = {key: _plain(value, key in _EXPRESSIONS) for key, value in zip(names, values, strict=True)}
        yield _Row((catalogue, oid), kind, schema, table, name, said)


def _plain(value: Any, is_expression: bool) -> Any:  # noqa: ANN401, FBT001 - the driver's
    if isinstance(value, list):
        texts = cast("list[str]", value)
        return tuple(settled(text) for text in texts) if is_expression else tuple(texts)
    return settled(value) if is_expression and isinstance(value, str) else value


@dataclass(slots=True)
class _Bracket:
    """What is between two brackets, by the numbers of the tokens."""

    start: int
    is_array: bool = False
    #: Where the element being read begins, and the first and last token of those before it.
    first: int = 0
    elements: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    #: The arrays in it, by where they begin.
    arrays: dict[int, _Bracket] = field(default_factory=dict[int, "_Bracket"])
    stop: int = 0


def settled(text: str) -> str:
    """Return an expression as the server writes it once it has read its own words.

    It casts the elements of an array: before that it writes `(ARRAY['a'::varchar])::text[]` where a list of `IN` has
    another type than what is compared; a dump that is restored, and a script, make `ARRAY[('a'::varchar)::text]` of it.
    An array of columns and calls alone stays: they could be arrays, and would be cast otherwise. And what BETWEEN is
    made of becomes one with what follows: `((a AND b) AND c)` is read as `(a AND b AND c)`. In a view that is VALUES
    alone, this gets a space in front.
    """
    if not _UNSETTLED.search(text):
        return text
    try:
        return _settled(text, list(tokens(text, POSTGRESQL)))
    except ScriptError:  # no SQL that can be cut, so it is left as it is
        return text


def _chained(found: list[Token]) -> Iterator[int]:
    """Give the parentheses around the first of what AND connects, or OR, if the same word connects what is in them."""
    stack, closed = [(-1, "")], (-1, -1, "")
    for number, (kind, piece, _) in enumerate(found):
        if kind == "operator" and piece in "([":
            stack.append((number, ""))
        elif kind == "operator" and piece in ")]" and len(stack) > 1:
            start, word = stack.pop()
            closed = (start, number, word)
        elif kind == "word" and piece in ("AND", "OR"):
            start, _ = stack[-1]
            if closed == (start + 1, number - 2, piece):
                yield from closed[:2]
            stack[-1] = (start, piece)


def _settled(text: str, found: list[Token]) -> str:
    chained = {*_chained(found)}
    pieces = ["" if number in chained else piece for number, (_, piece, _) in enumerate(found)]
    for number, one in enumerate(found[1:], 1):
        if one[:2] == ("word", "VALUES") and found[number - 1][1] == "(":
            pieces[number] = " VALUES"
    stack, skipped = [_Bracket(-1)], 0
    for number, (kind, piece, place) in enumerate(found):
        if place < skipped:
            pieces[number] = ""
        elif kind == "operator" and piece in "([":
            is_array = piece == "[" and number > 0 and found[number - 1][:2] == ("word", "ARRAY")
            stack.append(_Bracket(number, is_array, number + 1))
        elif kind == "operator" and piece in ",)]" and len(stack) > 1:
            bracket = stack[-1]
            bracket.elements.append((bracket.first, number - 1))
            if piece == ",":
                bracket.first = number + 1 + (found[number + 1][0] == "space")
                continue
            stack.pop()
            bracket.stop = number
            array = bracket.arrays.get(bracket.start + 1)
            whole = array if array and array.stop == number - 1 else None
            if bracket.is_array:
                stack[-1].arrays[bracket.start - 1] = whole = bracket
            # Parentheses behind a name are those of a call.
            is_call = piece == ")" and bracket.start > 0 and found[bracket.start - 1][0] in ("word", "name")
            cast_to = None if is_call or not whole else _CAST.match(text, place + 1)
            if cast_to and whole:
                elements = [(*ends, text[found[ends[0]][2] : found[ends[1] + 1][2]]) for ends in _elements(whole)]
                if any(_SCALAR.search(element) for *_, element in elements):
                    skipped = cast_to.end()
                    if piece == ")":
                        pieces[bracket.start] = pieces[number] = ""
                    for first, last, element in elements:
                        # Only statistics are written with as few parentheses as can be.
                        plain = piece == "]" and _LITERAL.fullmatch(element)
                        pieces[first] = pieces[first] if plain else f"({pieces[first]}"
                        pieces[last] += f"{'' if plain else ')'}::{cast_to[1]}"
    return "".join(pieces)


def _elements(array: _Bracket) -> Iterator[tuple[int, int]]:
    """Give the elements of an array, and of the arrays that are its elements."""
    todo = [array]
    while todo:
        one = todo.pop()
        for first, last in one.elements:
            inner = one.arrays.get(first)
            if inner and inner.stop == last:
                todo.append(inner)
            else:
                yield first, last


def _own_part(row: _Row, columns: Mapping[tuple[int, str], dict[str, Any]]) -> dict[str, Any]:
    """Return what a column does not have from the table that its table is a part or a child of: all or nothing."""
    found = (columns.get((parent, row.name)) for parent in row.said["_parents"] or ())
    theirs = next((said for said in found if said), None)
    if theirs is None:
        return row.said
    # These belong to the parent's column alone, in some versions or always.
    theirs_alone = {"identity options", "identity type", "identity persistence", "not null name"}
    ignored = {*theirs_alone, *(() if row.said["identity"] else ("identity",))}
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
