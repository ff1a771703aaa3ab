"""The tables of an SQLite database as calls of SQLAlchemy.

Laws of this file: pure. A type is one of SQLAlchemy's where that is written in the same way: INT is not INTEGER, which
as a primary key is the number of the row.
"""

from __future__ import annotations

import re
from typing import Any, cast

import sqlalchemy as everywhere
from sqlalchemy import CheckConstraint, Column, Index, PrimaryKeyConstraint, Table
from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.types import TypeEngine

from dbmigrate.dialects.code import Call, Code, Name, sql, sqlalchemy
from dbmigrate.dialects.code_tables import AS_WRITTEN, Item, Made, Reference, Tables, expression
from dbmigrate.dialects.sqlite_catalogue import read

_TYPE = re.compile(r"(\w+(?: \w+)?)(?:\((\d+)(?:, (\d+))?\))?")
_MODULE = "sqlalchemy.dialects.sqlite"
_COLLATED = ("CHAR", "VARCHAR", "TEXT", "NCHAR", "NVARCHAR")


class SQLiteTables(Tables):
    """Says what is in a snapshot of SQLite."""

    def options(self, made: Made) -> dict[str, Code | None]:
        """Take what is said of a table itself."""
        options: dict[str, Code | None] = {}
        for name, option, value in (("without rowid", "with_rowid", False), ("strict", "strict", True)):
            if made.item.left.get(name) and (found := self.option(Table, option, value)):
                made.item.takes(name)
                options |= found
        primary = next(made.are("primary key"), None)
        if primary is not None and primary.left.get("autoincrement") and self._name(primary) is None:
            primary.takes("autoincrement")
            options |= self.option(Table, "autoincrement", value=True)
        return options

    def column(self, made: Made, item: Item) -> tuple[Code, list[Call], dict[str, Code | None]]:
        """Take a column: its type, what else stands in it, and its options."""
        inside, named = list[Call](), dict[str, Code | None]()
        generated = item.take("generated")
        if generated is not None:
            inside.append(sqlalchemy("Computed")(sql(generated), persisted=item.takes("stored")))
        is_null = not item.takes("not null")
        # Here a primary key may be NULL, where SQLAlchemy has it that none is.
        named["nullable"] = is_null if item.name in made.key or not is_null else None
        default = item.take("default")
        if default is not None:
            named["server_default"] = sql(default if len(read(default).found) == 1 else f"({default})")
        if conflict := item.take("not null on conflict"):
            named |= self.option(Column, "on_conflict_not_null", conflict)
        return self._type(item), inside, named

    def _type(self, item: Item) -> Code:
        declared, collation = item.take("type") or "", item.take("collation")
        found = _TYPE.fullmatch(declared)
        made = self._known(found[1], [int(number) for number in found.groups()[1:] if number]) if found else None
        is_same = made is not None and self.can(made, declared)
        if made is None or not is_same or (collation and made.function.name not in _COLLATED):
            return AS_WRITTEN(f"{declared} COLLATE {collation}".strip() if collation else declared)
        made = made.and_also(collation=collation) if collation else made
        return made if made.args or made.named else made.function

    @staticmethod
    def _known(name: str, sizes: list[int]) -> Call | None:
        """Return the type that SQLAlchemy takes a name for, or has of that name."""
        types = cast("dict[str, type[Any]]", SQLiteDialect.ischema_names)  # pyright: ignore[reportUnknownMemberType]
        other = getattr(everywhere, name.replace(" ", "_"), None) if name.isupper() else None
        known = types.get(name, other)
        if not (isinstance(known, type) and issubclass(known, TypeEngine)):
            return None
        module = "sqlalchemy" if known.__module__ == "sqlalchemy.sql.sqltypes" else _MODULE
        return Name(known.__name__, module)(*sizes)

    def key(self, item: Item) -> tuple[list[str], dict[str, Code | None]]:
        """Take a key; the order of one of its columns, or a collation, is not said."""
        columns = self._columns(item, "columns", item.thing.table)
        named: dict[str, Code | None] = {"name": self._name(item)}
        if conflict := item.take("on conflict"):
            named |= self.option(PrimaryKeyConstraint, "on_conflict", conflict)
        return columns, named

    def reference(self, item: Item) -> Reference | None:
        """Take a foreign key; where the columns that it leads to are not named, they are the primary key."""
        columns = self._columns(item, "columns", item.thing.table)
        said = read(str(item.thing.get("references"))).name() or ""
        table = next((name for _, name in self.parts if name.lower() == said.lower()), said)
        if table == said:
            item.take("references")
        if item.thing.get("referenced columns"):
            others = self._columns(item, "referenced columns", table)
        else:
            primary = (part for part in self.parts.get(("", table), ()) if part.thing.kind == "primary key")
            others = [name for part in primary for name in self._columns(Item(part.thing), "columns", table)]
            item.left["referenced columns"] = "those of the primary key"
        deferred = item.takes("deferred")
        named: dict[str, Code | None] = {
            "name": self._name(item),
            "onupdate": item.take("on update"),
            "ondelete": item.take("on delete"),
            "deferrable": True if deferred else None,
            "initially": "DEFERRED" if deferred else None,
            "match": item.take("match"),
        }
        return Reference(columns, ("", table), others, named) if len(columns) == len(others) else None

    def _columns(self, item: Item, name: str, table: str) -> list[str]:
        """Take names of columns, as the table has them; what differs from that in the list is left."""
        known = [part.name for part in self.parts.get(("", table), ()) if part.thing.kind == "column"]
        said = item.take_all(name)
        found = [read(text).name() or "" for text in said]
        columns = [next((each for each in known if each.lower() == one.lower()), one) for one in found]
        if any(len(read(text).found) > 1 for text in said) or columns != found:
            item.left[name] = tuple(said)
        return columns

    def check(self, item: Item) -> Call | None:
        """Take a check."""
        named: dict[str, Code | None] = {"name": self._name(item)}
        if conflict := item.take("on conflict"):
            named |= self.option(CheckConstraint, "on_conflict", conflict)
        return sqlalchemy("CheckConstraint")(sql(item.take("expression") or ""), **named)

    def index(self, made: Made, item: Item) -> Call | None:
        """Take an index."""
        named: dict[str, Code | None] = {"unique": item.takes("unique") or None}
        if where := expression(item.take("where")):
            named |= self.option(Index, "where", where)
        columns: list[Code] = []
        names = {column.name for column in made.columns}
        for column in item.take_all("columns"):
            words = read(column)
            name = words.name()
            columns.append(name if name in names and not words else sql(column))
        return sqlalchemy("Index")(item.name, *columns, **named)

    @staticmethod
    def _name(item: Item) -> str | None:
        """Return the name of a constraint, if somebody gave it one; a snapshot has it in quotes if need be."""
        return None if item.name.startswith("(") else read(item.name).name()
