"""The tables of a database of MariaDB or MySQL as calls of SQLAlchemy.

Laws of this file: pure. A name that the server made up is left to it again, but for those of indexes, which SQLAlchemy
wants to know: they get one as the server makes them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain, count

import sqlalchemy as everywhere
from sqlalchemy import Index, Table
from sqlalchemy.dialects import mysql as here

from dbmigrate.catalogue import Object
from dbmigrate.dialects.code import Call, Code, Name, sql, sqlalchemy
from dbmigrate.dialects.code_tables import AS_WRITTEN, METADATA, Item, Made, Reference, Tables
from dbmigrate.dialects.mysql_script import is_unnamed, partitioning
from dbmigrate.dialects.mysql_script import part as written_part

_MODULE = "sqlalchemy.dialects.mysql"
_TYPE = re.compile(r"(\w+)(?:\((.*)\))?( unsigned)?( zerofill)?", re.DOTALL)
_VALUE = re.compile(r"'((?:[^']|'')*)'")
#: How many digits are shown of a number where nobody says it: with a sign, and without.
_WIDTHS = {"tinyint": (4, 3), "smallint": (6, 5), "mediumint": (9, 8), "int": (11, 10), "bigint": (20, 20)}
_TIMES = ("datetime", "timestamp", "time")
_COLLATED = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set")
_NAME = re.compile(r"`((?:[^`]|``)+)`|([^\W\d][\w$]*)")
#: A default that needs no parentheses, on MySQL neither.
_LITERAL = re.compile(
    r"(?:[+-]?[\d.]+(?:e[+-]?\d+)?|[bx]?'(?:[^'\\]|''|\\.)*'|null|current_timestamp(?:\(\d*\))?)",
    re.DOTALL | re.IGNORECASE,
)
_SEQUENCE = {"start": 1, "increment": 1, "minimum": 1, "maximum": 9223372036854775806, "cache": 1000}
_SEQUENCE_NAMES = {"minimum": "minvalue", "maximum": "maxvalue"}


class MySQLTables(Tables):
    """Says what is in a snapshot of MariaDB or MySQL."""

    def find_before(self, wanted: Callable[[Object], bool]) -> None:
        """Take sequences."""
        for item in self.items:
            if item.thing.kind == "sequence" and wanted(item.thing):
                self.before[item.thing.key] = (item, self._sequence(item))

    def _sequence(self, item: Item) -> Call:
        item.is_said = True
        named: dict[str, Code | None] = {}
        for name, usual in _SEQUENCE.items():
            number = int(item.take(name) or usual)
            # One that counts down has other ends.
            if number != usual or "-" in str(item.thing.get("increment")):
                named[_SEQUENCE_NAMES.get(name, name)] = number
        if item.left.get("engine") == "InnoDB":
            item.take("engine")
        return sqlalchemy("Sequence")(item.name, **named, cycle=item.takes("cycle") or None, metadata=METADATA)

    def options(self, made: Made) -> dict[str, Code | None]:
        """Take what is said of a table itself."""
        item, options = made.item, dict[str, Code | None]()
        for name in ("engine", "collation"):
            options |= self.option(Table, name.replace("collation", "collate"), item.take(name))
        for option in item.take_all("options"):
            name, _, value = option.partition("=")
            options |= self.option(Table, name.strip("`"), value)
        by = partitioning(dict(item.thing.properties)).strip()
        if by and "system versioned" not in item.left:
            by = by if "'" in by else re.sub(r"\s+", " ", by)
            options |= self.option(Table, "partition_by", by.removeprefix("PARTITION BY "))
            for name in ("partition by", "subpartition by", "subpartitions", "partitions"):
                item.left.pop(name, None)
        options["comment"] = item.take("comment")
        return options

    def column(self, made: Made, item: Item) -> tuple[Code, list[Call], dict[str, Code | None]]:
        """Take a column: its type, what else stands in it, and its options."""
        within, options, is_key = list[Call](), dict[str, Code | None](), item.name in made.key
        words, default, on_update = item.take("type") or "", item.take("default"), item.take("on update")
        options["nullable"] = False if item.takes("not null") and not is_key else None
        if item.left.get("generated") and not str(item.left["generated"]).startswith("ROW "):
            stored, _ = item.takes("stored"), item.takes("virtual")
            within.append(sqlalchemy("Computed")(sql(item.take("generated") or ""), persisted=stored))
        if default is not None or on_update is not None:
            what = "NULL" if default is None else default if _LITERAL.fullmatch(default) else f"({default})"
            options["server_default"] = sql(f"{what} ON UPDATE {on_update}" if on_update else what)
        if is_key and re.match("tinyint|smallint|mediumint|int|bigint", words):
            options["autoincrement"] = self._autoincrement(made, item)
        if check := item.take("check"):
            within.append(sqlalchemy("CheckConstraint")(sql(check)))
        options["comment"] = item.take("comment")
        return self._type(words, item.take("collation")), within, options

    @staticmethod
    def _autoincrement(made: Made, item: Item) -> bool | None:
        counts = item.takes("auto_increment")
        in_reference = any(item.name in reference.columns for reference in made.references.values())
        by_itself = len(made.key) == 1 and not in_reference and "default" not in dict(item.thing.properties)
        return None if counts is by_itself else counts

    def _type(self, words: str, collation: str | None) -> Code:
        found = _TYPE.fullmatch(words)
        made = self._known(*found.groups()) if found else None
        if made is None or not self.can(made, words, _same) or (collation and found and found[1] not in _COLLATED):
            return AS_WRITTEN(f"{words} COLLATE {collation}" if collation else words)
        made = made.and_also(collation=collation) if collation else made
        return made if made.args or made.named else made.function

    @staticmethod
    def _known(name: str, size: str | None, unsigned: str | None, zerofill: str | None) -> Call | None:
        upper = "INTEGER" if name == "int" else name.upper()
        if hasattr(here, upper):
            same = getattr(here, upper) is getattr(everywhere, upper, None)
            type_ = sqlalchemy(upper) if same else Name(upper, _MODULE)
        elif hasattr(everywhere, upper):
            type_ = sqlalchemy(upper)
        else:
            return None
        named: dict[str, Code | None] = {"unsigned": True if unsigned else None, "zerofill": True if zerofill else None}
        args = list[Code]()
        if name in ("enum", "set"):
            args += [value.replace("''", "'") for value in _VALUE.findall(size or "")]
        elif size is not None:
            numbers = [int(number) for number in size.split(",")]
            if name in _WIDTHS and numbers[0] != _WIDTHS[name][bool(unsigned)]:
                named["display_width"] = numbers[0]
            elif name in _TIMES:
                named["fsp"] = numbers[0]
            elif name not in _WIDTHS and (name, size) != ("year", "4"):
                args += numbers
        return type_(*args, **named)

    # -- keys, constraints, indexes

    def key(self, item: Item) -> tuple[list[str], dict[str, Code | None]]:
        """Take a primary key, or a unique one of plain columns; what is not plain is not said."""
        columns = item.take_all("columns")
        if not _are_plain(columns):
            item.left["columns"] = tuple(columns)
        name = None if item.thing.kind == "primary key" or is_unnamed(item.thing) else item.name
        return [_unquoted(column) for column in columns], {"name": name}

    def unique(self, made: Made, item: Item) -> Call | None:
        """Take a unique key: as an index, where it is not of plain columns."""
        if "without overlaps" in item.left:
            return None
        columns = item.thing.get("columns")
        is_plain = isinstance(columns, tuple) and _are_plain(columns)
        return super().unique(made, item) if is_plain and "method" not in item.left else self.index(made, item)

    def reference(self, item: Item) -> Reference | None:
        """Take a foreign key. None: it leads to another database."""
        to = _NAME.findall(str(item.thing.get("references")))
        if len(to) > 1:
            return None
        item.take("references")
        return Reference(
            [_unquoted(column) for column in item.take_all("columns")],
            ("", _unquoted(str(item.thing.get("references")))),
            [_unquoted(column) for column in item.take_all("referenced columns")],
            {
                "name": None if is_unnamed(item.thing) else item.name,
                "onupdate": (item.take("on update") or "").upper() or None,
                "ondelete": (item.take("on delete") or "").upper() or None,
            },
        )

    def check(self, item: Item) -> Call | None:
        """Take a check."""
        name = None if is_unnamed(item.thing) else item.name
        return sqlalchemy("CheckConstraint")(sql(item.take("definition") or ""), name=name)

    def index(self, made: Made, item: Item) -> Call | None:
        """Take an index."""
        columns, method = item.take_all("columns"), item.take("method")
        is_special = method in ("FULLTEXT", "SPATIAL")
        if made.item.thing.get("engine") == "MEMORY":
            method = method or "BTREE"  # where an index is one of hashes unless something else is said
        options: dict[str, Code | None] = {"unique": True if item.thing.kind == "unique" else None}
        # In capitals SQLAlchemy would quote it.
        options |= (
            self.option(Index, "prefix", method)
            if is_special
            else self.option(Index, "using", method and method.lower())
        )
        parts: list[Code] = [_unquoted(part) if _are_plain([part]) else sql(written_part(part)) for part in columns]
        name = _free_name(made, _unquoted(columns[0])) if is_unnamed(item.thing) else item.name
        return sqlalchemy("Index")(name, *parts, **options)


def _unquoted(text: str) -> str:
    """Return the name that a text begins with."""
    found = _NAME.match(text)
    return "functional_index" if found is None else found[1].replace("``", "`") if found[1] else found[2]


def _are_plain(columns: Sequence[str]) -> bool:
    return all(_NAME.fullmatch(column) for column in columns)


def _free_name(made: Made, column: str) -> str:
    """Return a name for an index as the server makes one up: that of the first column, with a number if it is taken."""
    taken = {name.lower() for name in made.names}
    if not taken:
        keys = [part for part in made.parts if part.thing.kind in ("index", "unique")]
        taken |= {part.name.lower() for part in keys if not is_unnamed(part.thing)}
        made.names |= taken
    candidates = chain([column], (f"{column}_{number}" for number in count(2)))
    name = next(each for each in candidates if each.lower() not in taken)
    made.names.add(name)
    return name


def _same(text: str) -> str:
    """Return a type in one way of writing it: without what is so anyway."""
    text = re.sub(r"^integer", "int", text.lower()).replace(", ", ",")
    found = re.match(r"(\w+)\((\d+)\)(.*)", text, re.DOTALL)
    usual = {str(_WIDTHS.get(found[1], (4, 4))[" unsigned" in found[3]])} if found else ()
    is_usual = found is not None and found[1] in (*_WIDTHS, "year") and found[2] in usual
    return f"{found[1]}{found[3]}" if found and is_usual else text
