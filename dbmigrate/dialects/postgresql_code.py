"""The tables of a PostgreSQL database as calls of SQLAlchemy.

Laws of this file: pure. Expressions are taken over in the words of the server, with their schemas; SQLAlchemy names a
schema where it is not the one that sessions begin in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import (
    Column,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.schema import CreateTable

from dbmigrate.catalogue import Object
from dbmigrate.dialects.code import Call, Code, Name, evaluated, sql, sqlalchemy
from dbmigrate.dialects.code_tables import AS_WRITTEN, METADATA, Item, Made, Place, Reference, Tables, expression
from dbmigrate.dialects.postgresql_clauses import several, unquoted
from dbmigrate.dialects.postgresql_types import (
    MODULE,
    columns,
    cut,
    elements,
    inside,
    is_name,
    named,
    place,
    type_named,
)

_SERIALS = {"smallint": "smallserial", "integer": "serial", "bigint": "bigserial"}
_NEXT = re.compile(r"nextval\('(.+)'::regclass\)", re.DOTALL)
_SEQUENCE = re.compile(r"(INCREMENT BY|MINVALUE|MAXVALUE|START WITH|CACHE) (-?\d+)")
_SEQUENCE_NAMES = {
    "INCREMENT BY": "increment",
    "MINVALUE": "minvalue",
    "MAXVALUE": "maxvalue",
    "START WITH": "start",
    "CACHE": "cache",
}
#: Tables that have columns from elsewhere.
_OTHERS = ("partition of", "inherits", "of type")
_NO_OVERLAP = " WITHOUT OVERLAPS"
_EXTENSIONS = ("citext", "hstore")


class PostgreSQLTables(Tables):
    """Says what is in a snapshot of PostgreSQL."""

    def is_table(self, item: Item) -> bool:
        """Tell whether it has its columns from itself alone."""
        return not any(name in item.left for name in _OTHERS)

    # -- types and sequences

    def find_before(self, wanted: Callable[[Object], bool]) -> None:
        """Take enums, domains and sequences."""
        self.types: dict[Place, Item] = {i.thing.owner: i for i in self.items if i.thing.kind in ("enum", "domain")}
        self.sequences: dict[Place, Item] = {i.thing.owner: i for i in self.items if i.thing.kind == "sequence"}
        for where, item in self.types.items():
            if wanted(item.thing):
                self._variable(where)
        columns_of = {found.thing.owner: i.thing for i in self.items if (found := self._serial(i.thing)) is not None}
        for where, item in self.sequences.items():
            column = columns_of.get(where)
            if column is None and wanted(item.thing):
                self.before[item.thing.key] = (item, self._sequence(item))
            elif column is not None and not wanted(column):  # neither is what belongs to it
                item.is_said, item.left = True, {}

    def _variable(self, where: Place) -> Name:
        """Return the variable of an enum or a domain."""
        item = self.types[where]
        thing, variable = item.thing, Name(self.variables[item.thing.key])
        if item.is_said:
            return variable
        item.is_said = True
        schema = self.schema(thing.schema)
        if thing.kind == "enum":
            call = Name("ENUM", MODULE)(*item.take_all("values"), name=thing.name, schema=schema, metadata=METADATA)
        else:
            type_ = self._type(item.take("type") or "")
            call = Name("DOMAIN", MODULE)(thing.name, type_, **self._domain(item), schema=schema, metadata=METADATA)
        self.before[thing.key] = (item, call)
        return variable

    def _domain(self, item: Item) -> dict[str, Code | None]:
        options: dict[str, Code | None] = {"default": expression(item.take("default"))}
        options["not_null"] = item.takes("not null") or None
        if "." not in str(item.left.get("collation", ".")):
            options["collation"] = unquoted(item.take("collation") or "")
        for check in [part for part in self.parts.get(item.thing.owner, ()) if part.thing.kind == "check"][:1]:
            _, words, *rest = cut(check.take("definition") or "")
            check.is_said = not rest
            if not rest:
                made = sql(inside(words))
                # A text, where it can be one: not every version of SQLAlchemy says that it may be more.
                options["check"] = made.args[0] if made.function.name == "text" else made
                if check.name == f"{item.name}_check" or not options["not_null"]:
                    options["constraint_name"] = check.name
                else:  # SQLAlchemy would give the name to NOT NULL
                    check.left["name"] = check.name
        return options

    def _sequence(self, item: Item) -> Call:
        item.is_said = True
        options, type_ = item.take("options") or "", item.take("type")
        made_of = None if type_ is None else self._type(type_)
        schema, numbers = self.schema(item.thing.schema), _numbers(options)
        return sqlalchemy("Sequence")(item.name, schema=schema, data_type=made_of, **numbers, metadata=METADATA)

    def _serial(self, column: Object) -> Item | None:
        """Return the sequence of a column that is what the server calls serial, if it is."""
        found, type_ = _NEXT.fullmatch(str(column.get("default"))), str(column.get("type"))
        if column.kind != "column" or found is None or type_ not in _SERIALS or not column.get("not null"):
            return None
        where = place(found[1].replace("''", "'"))
        item = self.sequences.get(where)
        if item is None or where != (column.schema, f"{column.table}_{column.name}_seq"):
            return None
        said = {key: value for key, value in item.thing.properties if key != "comment"}
        is_own = named(str(said.pop("owned by", ""))) == [column.schema, column.table, column.name]
        return item if is_own and said == ({} if type_ == "bigint" else {"type": type_}) else None

    def _type(self, text: str, collation: str | None = None) -> Code:
        if text.endswith("[]"):
            element = self._type(text.removesuffix("[]"), collation)
            return Name("ARRAY", MODULE)(element)
        where = place(text)
        if where in self.types and collation is None:
            return self._variable(where)
        known = type_named(where[1] if where[0] == self.home and where[1] in _EXTENSIONS else text)
        if collation is not None and known is not None:
            collated = known() if isinstance(known, Name) else known
            collated = collated.and_also(collation=unquoted(collation))
            known = None if "." in collation or evaluated(collated) is None else collated
        return AS_WRITTEN(f"{text} COLLATE {collation}" if collation else text) if known is None else known

    # -- tables

    def options(self, made: Made) -> dict[str, Code | None]:
        """Take what is said of a table itself."""
        item = made.item
        options: dict[str, Code | None] = {"prefixes": ["UNLOGGED"] if item.takes("unlogged") else None}
        for name, option in (
            ("partition by", "partition_by"),
            ("access method", "using"),
            ("tablespace", "tablespace"),
        ):
            if (value := item.left.get(name)) and (found := self.option(Table, option, str(value))):
                options |= found
                item.take(name)
        if found := self.option(Table, "with", _storage(several(item.thing, "options"))):
            options |= found
            item.take("options")
        options["comment"] = item.take("comment")
        return options

    def column(self, made: Made, item: Item) -> tuple[Code, list[Call], dict[str, Code | None]]:
        """Take a column: its type, what else stands in it, and its options."""
        within, options, is_key = list[Call](), dict[str, Code | None](), item.name in made.key
        serial, words, default = self._serial(item.thing), item.take("type") or "", item.take("default")
        type_: Code = self._type(words, item.take("collation"))
        options["nullable"] = False if item.takes("not null") and not is_key else None
        if serial is not None:
            serial.is_said = True
            serial.take("type")
            serial.take("owned by")
            default = None
            if not is_key:  # where SQLAlchemy has no word for it
                type_ = AS_WRITTEN(_SERIALS[words])
                options["server_default"] = sqlalchemy("FetchedValue")()
        if default is not None:
            options["server_default"] = sql(default)
        if identity := item.take("identity"):
            numbers = _numbers(item.take("identity options") or "")
            within.append(sqlalchemy("Identity")(always=True if identity == "ALWAYS" else None, **numbers))
        if "generated" in item.left:
            within += self._computed(item)
        if is_key and words in _SERIALS and not (default or within):
            options["autoincrement"] = _autoincrement(made, item.name, is_serial=serial is not None)
        options["comment"] = item.take("comment")
        return type_, within, options

    def _computed(self, item: Item) -> list[Call]:
        call = sqlalchemy("Computed")(sql(inside(str(item.left["generated"]))), persisted="stored" in item.left)
        trial = Table("t", MetaData(), Column("c", evaluated(sqlalchemy("INTEGER")), evaluated(call)))
        try:
            str(CreateTable(trial).compile(dialect=self.dialect))
        except SQLAlchemyError:  # virtual ones are newer than some versions of it
            return []
        for name in ("generated", "stored", "virtual"):
            item.left.pop(name, None)
        return [call]

    # -- keys, constraints, indexes

    def key(self, item: Item) -> tuple[list[str], dict[str, Code | None]]:
        """Take a primary key, or a unique one: its columns, and its options."""
        construct = UniqueConstraint if item.thing.kind == "unique" else PrimaryKeyConstraint
        pieces = cut(item.take("definition") or "")
        where = next(number for number, piece in enumerate(pieces) if piece.startswith("("))
        words = [element.removesuffix(_NO_OVERLAP) for element in elements(pieces[where])]
        usual = f"{item.thing.table}_pkey" if item.thing.kind == "primary key" else None
        options: dict[str, Code | None] = {"name": None if item.name == usual else item.name}
        rest = self._deferred(pieces[where + 1 :], options)
        if rest[:1] == ["INCLUDE"] and (option := self.option(construct, "include", columns(rest[1]))):
            options |= option
            rest = rest[2:]
        if "DISTINCT" in pieces[:where]:
            option = self.option(construct, "nulls_not_distinct", value=True)
            options |= option
            rest += [] if option else ["NULLS NOT DISTINCT"]
        rest += [_NO_OVERLAP.strip()] if pieces[where].endswith(f"{_NO_OVERLAP})") else []
        options["comment"] = item.take("comment")
        _leave(item, rest)
        return [unquoted(word) for word in words], options

    def reference(self, item: Item) -> Reference | None:
        """Take a foreign key. None: it is one of periods."""
        pieces = cut(item.take("definition") or "")
        if any(word.startswith("PERIOD ") for word in elements(pieces[2])):
            return None
        options: dict[str, Code | None] = {"name": item.name}
        rest, left = self._deferred(pieces[6:], options), list[str]()
        while rest:
            if rest[0] == "MATCH":
                options["match"], rest = rest[1], rest[2:]
            elif rest[0] == "ON":
                size = 4 if rest[2] in ("SET", "NO") else 3
                options[f"on{rest[1].lower()}"] = " ".join(rest[2:size])
                rest = rest[size:]
            else:
                left.append(rest.pop(0))
        options["comment"] = item.take("comment")
        _leave(item, left)
        return Reference(columns(pieces[2]), place(pieces[4]), columns(pieces[5]), options)

    def check(self, item: Item) -> Call | None:
        """Take a check."""
        _, words, *rest = cut(item.take("definition") or "")
        _leave(item, rest)  # NOT VALID means nothing in CREATE TABLE
        return sqlalchemy("CheckConstraint")(sql(inside(words)), name=item.name, comment=item.take("comment"))

    def constraint(self, item: Item) -> Call | None:
        """Take an exclusion."""
        if item.thing.kind != "exclusion":
            return None
        _, _, method, words, *rest = cut(item.take("definition") or "")
        options: dict[str, Code | None] = {"name": item.name, "using": method}
        rest = self._deferred(rest, options)
        if rest[:1] == ["WHERE"]:
            options["where"], rest = sql(inside(rest[1])), rest[2:]
        parts = [element.rpartition(" WITH ") for element in elements(words)]
        options["comment"] = item.take("comment")
        _leave(item, rest)
        found = [(unquoted(what) if is_name(what) else sql(what), operator) for what, _, operator in parts]
        return Name("ExcludeConstraint", MODULE)(*found, **options)

    def index(self, made: Made, item: Item) -> Call | None:  # noqa: ARG002
        """Take an index."""
        _, method, words, *rest = cut(item.take("definition") or "")
        options: dict[str, Code | None] = {"unique": item.takes("unique") or None}
        left = list[str]()
        options |= self.option(Index, "using", None if method == "btree" else method)
        while rest:
            if rest[0] == "INCLUDE":
                options |= self.option(Index, "include", columns(rest[1]))
                rest = rest[2:]
            elif rest[0] == "WITH":
                options |= self.option(Index, "with", _storage(elements(rest[1])))
                rest = rest[2:]
            elif rest[0] == "WHERE":
                options |= self.option(Index, "where", sql(inside(" ".join(rest[1:]))))
                rest = []
            elif rest[0] == "NULLS" and (option := self.option(Index, "nulls_not_distinct", value=True)):
                options, rest = {**options, **option}, rest[3:]
            else:
                left.append(rest.pop(0))
        if space := item.take("tablespace"):
            options |= self.option(Index, "tablespace", unquoted(space))
        _leave(item, left)
        found = [unquoted(each) if is_name(each) else sql(each) for each in elements(words)]
        return sqlalchemy("Index")(item.name, *found, **options)

    @staticmethod
    def _deferred(pieces: Sequence[str], options: dict[str, Code | None]) -> list[str]:
        """Take from what stands behind a constraint whether it is deferred; return the rest."""
        rest = list(pieces)
        for words, name, value in (
            (["DEFERRABLE"], "deferrable", True),
            (["INITIALLY", "DEFERRED"], "initially", "DEFERRED"),
        ):
            at = next((n for n in range(len(rest)) if rest[n : n + len(words)] == words), None)
            if at is not None:
                options[name] = value
                del rest[at : at + len(words)]
        return rest


def _autoincrement(made: Made, column: str, *, is_serial: bool) -> bool | None:
    """Return what must be said so that SQLAlchemy makes a column of a primary key a serial one, or does not."""
    is_reference = any(column in reference.columns for reference in made.references.values())
    by_itself = len(made.key) == 1 and not is_reference
    return None if is_serial is by_itself else is_serial


def _numbers(options: str) -> dict[str, Code | None]:
    found: dict[str, Code | None] = {_SEQUENCE_NAMES[word]: int(n) for word, n in _SEQUENCE.findall(options)}
    return found | {"cycle": True if options.endswith("CYCLE") else None}


def _storage(options: Iterable[str]) -> dict[str, Code] | None:
    """Return storage parameters, which the server has as name=value."""
    pairs = (option.partition("=") for option in options)
    return {name: value.strip("'") for name, _, value in pairs} or None


def _leave(item: Item, rest: Sequence[str]) -> None:
    """Note what there are no words for."""
    if rest:
        item.left["definition"] = " ".join(rest)
