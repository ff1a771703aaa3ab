"""What is in an SQLite database in one way of writing it, to compare what migrations make with what models make.

Laws of this file: pure; it works on tokens, so that strings stay as they are; what is not clearly the same stays
different. To SQLite the case of letters makes no difference in names and keywords, as far as they are ASCII.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import chain, count
from string import ascii_lowercase, ascii_uppercase

from dbmigrate.catalogue import Object, Property
from dbmigrate.dialects.evidence import Words
from dbmigrate.dialects.sqlite_catalogue import read, spaced, written
from dbmigrate.dialects.sqlite_grammar import SQLITE

#: Types that SQLAlchemy has two names for, each with another one of the same affinity.
_TYPES = {
    "DECIMAL": "NUMERIC",
    "REAL": "FLOAT",
    "DOUBLE": "FLOAT",
    "DOUBLE PRECISION": "FLOAT",
    "NVARCHAR": "VARCHAR",
    "NCHAR": "CHAR",
    "TIMESTAMP": "DATETIME",
    "INT": "INTEGER",
    "BOOL": "BOOLEAN",
}
_OPERATORS = {"<>": "!=", "==": "="}
_NOW = ("CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME")
#: Words that a default may be, and what else they are called; any other word is a string there.
_DEFAULTS = {"true": "1", "false": "0", **{name.lower(): name for name in _NOW}}
#: As many digits as any number keeps, whatever it is stored as.
_NUMBER = re.compile(r"[+-]?(?=[\d.]{1,15}\Z)(?:\d+(?:\.\d*)?|\.\d+)", re.ASCII)
_REAL = re.compile(r"(?=.*\d)(\d*)\.(\d*)")
_LOWER = str.maketrans(ascii_uppercase, ascii_lowercase)


def meant(objects: Iterable[Object]) -> Iterator[Object]:
    """Write names, types, defaults, expressions and references in one way of those that mean the same."""
    found = [replace(item, name=_lower(item.name), table=_lower(item.table)) for item in objects]
    columns, named = defaultdict[str, set[str]](set), defaultdict[tuple[str, str], list[Object]](list)
    for item in found:
        if item.kind == "column":
            columns[item.table].add(item.name)
    keys = {item.table: _parts(item, "columns", columns[item.table]) for item in found if item.kind == "primary key"}
    without = {item.name for item in found if item.kind == "table" and item.get("without rowid")}
    for item in found:
        here = columns[item.table]
        if item.kind == "column":
            is_key = keys.get(item.table) == (written(item.name),) and item.table not in without
            yield _column(item, here, is_key=is_key)
        elif item.kind in ("primary key", "unique", "foreign key", "check"):
            named[item.kind, item.table].append(_constraint(item, here, columns, keys))
        else:
            yield replace(item, properties=tuple(_properties(item, here, "columns", "where").items()))
    yield from chain.from_iterable(map(_distinct, named.values()))


def _column(item: Object, columns: Collection[str], *, is_key: bool) -> Object:
    said = _properties(item, columns, "generated")
    name, bracket, size = str(said.get("type", "")).partition("(")
    # INT PRIMARY KEY is not the number of the row.
    said["type"] = name if is_key and name == "INT" else f"{_TYPES.get(name, name)}{bracket}{size}"
    default = _default(str(said.pop("default", "NULL")), str(said["type"]))
    return replace(item, properties=tuple((said | ({"default": default} if default else {})).items()))


def _default(text: str, declared: str) -> str | None:
    """Return a default as it must be written. None: it is NULL, which it would be anyway."""
    found = read(text).found
    kind, only = found[0] if len(found) == 1 else ("", "")
    if kind == "word":
        return None if _lower(only) == "null" else _DEFAULTS.get(_lower(only), f"'{only}'")
    if kind == "name":
        return "'" + (read(text).name() or "").replace("'", "''") + "'"
    number = text if kind != "string" else only[1:-1]
    if _is_number(declared) and _NUMBER.fullmatch(number):
        return f"{Decimal(number).normalize():f}"
    return _spelled(text, ())


def _is_number(declared: str) -> bool:
    """Tell whether what looks like a number is stored as one in a column of such a type."""
    return bool(declared) and not any(word in declared for word in ("CHAR", "CLOB", "TEXT", "BLOB", "ANY"))


def _constraint(
    item: Object, here: Collection[str], columns: dict[str, set[str]], keys: dict[str, tuple[str, ...]]
) -> Object:
    said = _properties(item, here, "columns", "expression")
    if item.kind == "foreign key":
        to = _lower(str(said["references"]))
        said["references"] = to
        other = _lower(read(to).name() or to)
        referenced = _parts(item, "referenced columns", columns.get(other, ()))
        said.pop("referenced columns", None)
        if referenced and referenced != keys.get(other):
            said["referenced columns"] = referenced
    about = said.get("columns") or said.get("expression")
    called = f"({', '.join(about) if isinstance(about, tuple) else about})"
    name = called if item.name.startswith("(") else item.name
    return replace(item, name=name, properties=tuple(said.items()))


def _distinct(items: Sequence[Object]) -> Iterator[Object]:
    """Give constraints of one table with a number behind the names that are there already."""
    taken = set[str]()
    for item in sorted(items, key=lambda item: (item.name, str(item.properties))):
        names = chain([item.name], (f"{item.name} {number}" for number in count(2)))
        name = next(name for name in names if name not in taken)
        taken.add(name)
        yield replace(item, name=name)


def _properties(item: Object, columns: Collection[str], *expressions: str) -> dict[str, Property]:
    """Return properties, some of which are expressions or lists of them."""
    said = dict(item.properties)
    for name in said.keys() & {*expressions}:
        value = said[name]
        said[name] = _parts(item, name, columns) if isinstance(value, tuple) else _spelled(str(value), columns)
    return said


def _parts(item: Object, name: str, columns: Collection[str]) -> tuple[str, ...]:
    """Return the columns of a key or an index, or the expressions."""
    value, found = item.get(name), list[str]()
    for text in value if isinstance(value, tuple) else ():
        words = read(text)
        order = words.found.pop()[1].upper() if words.peek(len(words.found) - 1) in ("ASC", "DESC") else "ASC"
        found.append(_of(words, columns) + (" desc" if order == "DESC" else ""))
    return tuple(found)


def _spelled(text: str, columns: Collection[str]) -> str:
    """Return an expression in one way of writing it."""
    return _of(read(text), columns)


def _of(words: Words, columns: Collection[str]) -> str:
    while words.peek() == "(":
        inside = Words(SQLITE, words.found).inside()
        if len(inside.found) + 2 < len(words.found):
            break
        words = inside
    return spaced(Words(SQLITE, [_token(kind, text, columns) for kind, text in words.found]))


def _token(kind: str, text: str, columns: Collection[str]) -> tuple[str, str]:
    if kind == "word":
        return kind, _lower(text)
    if kind == "name" and (name := _lower(text[1:-1].replace('""', '"'))) in columns:  # or it may be a string
        return "word" if written(name) == name else kind, written(name)
    if kind == "number" and (real := _REAL.fullmatch(text)):
        return kind, f"{real[1] or '0'}.{real[2].rstrip('0') or '0'}"
    return kind, _OPERATORS.get(text, text) if kind == "operator" else text


def _lower(text: str) -> str:
    return text.translate(_LOWER)
