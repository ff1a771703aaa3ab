"""The tables of a snapshot as calls of SQLAlchemy, and what that cannot say.

Laws of this file: pure; a property that is said is taken, so what is left of an object is what SQLAlchemy cannot say of
it; equal schemas give the same calls, in whatever order they were made. What differs between databases is in
sqlite_code.py, postgresql_code.py and mysql_code.py.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import Dialect
from sqlalchemy.exc import SQLAlchemyError

from dbmigrate.catalogue import Object, Property
from dbmigrate.dialects.code import Call, Code, Name, evaluated, sql, sqlalchemy

METADATA = Name("metadata")
#: A type in the words of the database; a class of this name is written into the file that needs it.
AS_WRITTEN = Name("AsWritten")

Place = tuple[str, str]
Key = tuple[str, str, str, str]


class Item:
    """An object, and what is still to be said of it."""

    def __init__(self, thing: Object) -> None:
        self.thing = thing
        self.left: dict[str, Property] = dict(thing.properties)
        #: There is code for it.
        self.is_said = False

    @property
    def name(self) -> str:
        """Its name."""
        return self.thing.name

    def take(self, name: str) -> str | None:
        """Take a property that is a text. None: there is none."""
        found = self.left.pop(name, None)
        return None if found is None else str(found)

    def take_all(self, name: str) -> list[str]:
        """Take a property that has several texts."""
        found = self.left.pop(name, ())
        return list(found) if isinstance(found, tuple) else [str(found)]

    def takes(self, name: str) -> bool:
        """Take a property that is so, or not."""
        return self.left.pop(name, False) is True


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key."""

    columns: Sequence[str]
    to: Place
    referenced: Sequence[str]
    named: Mapping[str, Code | None]


@dataclass(slots=True)
class Made:
    """A table in the making."""

    item: Item
    columns: Sequence[Item]
    parts: Sequence[Item]
    key: list[str]
    references: dict[str, Reference] = field(default_factory=dict[str, Reference])
    #: Names that indexes have been given.
    names: set[str] = field(default_factory=set[str])

    def are(self, kind: str) -> Iterator[Item]:
        """Give the parts of a kind."""
        return (part for part in self.parts if part.thing.kind == kind)


class Tables:
    """Says what is in a snapshot of one family of databases."""

    def __init__(self, dialect: Dialect, items: Iterable[Item], home: str, variables: Mapping[Key, str]) -> None:
        """`dialect`: SQLAlchemy's, which knows what it can say; `home`: the schema that is not named."""
        self.dialect, self.home, self.items, self.variables = dialect, home, list(items), variables
        #: What options of its own begin with.
        self.prefix = dialect.name
        #: Types and sequences that stand in front of the tables, each behind those that it needs.
        self.before = dict[Key, tuple[Item, Call]]()
        #: What each is made of.
        self.parts = dict[Place, list[Item]]()
        for item in self.items:
            if item.thing.table:
                self.parts.setdefault(item.thing.owner, []).append(item)

    # -- what each database has its own way of

    def is_table(self, item: Item) -> bool:  # noqa: ARG002
        """Tell whether it is a table that SQLAlchemy can make."""
        return True

    def options(self, made: Made) -> dict[str, Code | None]:  # noqa: ARG002
        """Take what is said of a table itself."""
        return {}

    def column(self, made: Made, item: Item) -> tuple[Code, list[Call], dict[str, Code | None]]:
        """Take a column: its type, what else stands in it, and its options."""
        raise NotImplementedError

    def key(self, item: Item) -> tuple[list[str], dict[str, Code | None]]:
        """Take a primary key, or a unique one: its columns, and its options."""
        raise NotImplementedError

    def unique(self, made: Made, item: Item) -> Call | None:  # noqa: ARG002
        """Take a unique key. None: it cannot be said."""
        columns, named = self.key(item)
        return sqlalchemy("UniqueConstraint")(*columns, **named)

    def reference(self, item: Item) -> Reference | None:
        """Take a foreign key. None: it cannot be said."""
        raise NotImplementedError

    def check(self, item: Item) -> Call | None:
        """Take a check."""
        raise NotImplementedError

    def index(self, made: Made, item: Item) -> Call | None:
        """Take an index. None: it cannot be said."""
        raise NotImplementedError

    def constraint(self, item: Item) -> Call | None:  # noqa: ARG002
        """Take a constraint that only this database has."""
        return None

    def find_before(self, wanted: Callable[[Object], bool]) -> None:
        """Take what stands in front of the tables, wherever it is used."""

    # -- what they share

    def schema(self, schema: str) -> str | None:
        """Return the name of a schema where it must be named."""
        return None if schema in ("", self.home) else schema

    def option(self, construct: type[Any], name: str, value: Code | None) -> dict[str, Code]:
        """Return an option of this database, if there is a value and this version of SQLAlchemy has the option."""
        known: Mapping[str, Any] = {}
        for kind, arguments in self.dialect.construct_arguments or ():
            if issubclass(construct, kind):
                known = {**known, **arguments}
        has_it = name in known or "*" in known
        return {f"{self.prefix}_{name}": value} if has_it and value is not None else {}

    def can(self, code: Code, text: str, same: Callable[[str], str] = str.upper) -> bool:
        """Tell whether this version of SQLAlchemy writes a type as the database does."""
        made = evaluated(code)
        try:
            return made is not None and same(made.compile(dialect=self.dialect)) == same(text)
        except SQLAlchemyError:  # it is a type of another server of the family
            return False

    def tables(self, wanted: Callable[[Object], bool]) -> Iterator[tuple[Item, Call]]:
        """Give each table that is wanted, with the call that makes it."""
        self.find_before(wanted)
        found = [
            item for item in self.items if item.thing.kind == "table" and wanted(item.thing) and self.is_table(item)
        ]
        every = {item.thing.owner: self._begun(item) for item in found}
        for made in every.values():
            self._refer(made, every)
        circles = _circles({place: {r.to for r in made.references.values()} for place, made in every.items()})
        for place, made in every.items():
            yield made.item, self._table(made, {to for own, to in circles if own == place})

    def _begun(self, item: Item) -> Made:
        item.is_said = True
        parts = self.parts.get(item.thing.owner, [])
        columns = [part for part in parts if part.thing.kind == "column"]
        return Made(item, columns, [part for part in parts if part.thing.kind != "column"], [])

    def _refer(self, made: Made, every: Mapping[Place, Made]) -> None:
        """Take the foreign keys that can be said: of tables and columns that are there, and of names without a dot."""
        for part in made.are("foreign key"):
            found = self.reference(part)
            to = every.get(found.to) if found else None
            there = {column.name for column in to.columns} if to else set[str]()
            if (
                found
                and to
                and there.issuperset(found.referenced)
                and "." not in "".join((*found.to, *found.referenced))
            ):
                part.is_said = True
                made.references[part.name] = found
            else:
                part.left = dict(part.thing.properties)

    def _table(self, made: Made, circle: Collection[Place]) -> Call:
        thing = made.item.thing
        extra = list[Call]()
        options: dict[str, Code | None] = {"schema": self.schema(thing.schema)}
        primary = next(made.are("primary key"), None)
        if primary is not None:
            primary.is_said = True
            made.key, named = self.key(primary)
            if any(value is not None for value in named.values()):
                extra.append(sqlalchemy("PrimaryKeyConstraint")(*made.key, **named))
        in_column = primary is not None and not extra
        rest = sorted((item for item in made.columns if item.name not in made.key), key=lambda item: item.name)
        by_name = {item.name: item for item in made.columns}
        columns = [
            *(self._column(made, by_name[name], is_key=in_column) for name in made.key if name in by_name),
            *(self._column(made, item, is_key=False) for item in rest),
        ]
        extra += [call for part in sorted(made.parts, key=_rank) for call in self._part(made, part, circle)]
        options |= self.options(made)
        return sqlalchemy("Table")(thing.name, METADATA, *columns, *extra, **options)

    def _column(self, made: Made, item: Item, *, is_key: bool) -> Call:
        item.is_said = True
        type_, inside, named = self.column(made, item)
        return sqlalchemy("Column")(item.name, type_, *inside, primary_key=True if is_key else None, **named)

    def _part(self, made: Made, part: Item, circle: Collection[Place]) -> Iterator[Call]:
        kind, call = part.thing.kind, None
        if kind == "unique":
            call = self.unique(made, part)
        elif kind == "foreign key":
            if (reference := made.references.get(part.name)) is not None:
                call = self._foreign_key(reference, use_alter=reference.to in circle)
        elif kind == "check":
            call = self.check(part)
        elif kind == "index":
            call = self.index(made, part)
        elif kind != "primary key":
            call = self.constraint(part)
        if call is not None:
            part.is_said = True
            yield call

    def _foreign_key(self, reference: Reference, *, use_alter: bool) -> Call:
        schema, table = reference.to
        to = ".".join(part for part in (self.schema(schema), table) if part)
        others = [f"{to}.{column}" for column in reference.referenced]
        call = sqlalchemy("ForeignKeyConstraint")(list(reference.columns), others, **reference.named)
        return call.and_also(use_alter=True) if use_alter else call


def _rank(part: Item) -> tuple[int, str]:
    order = ("unique", "foreign key", "check", "exclusion", "index")
    return order.index(part.thing.kind) if part.thing.kind in order else len(order), part.name


def expression(words: str | None) -> Call | None:
    """Return SQL, if there is any."""
    return None if words is None else sql(words)


def _circles(needs: Mapping[Place, Collection[Place]]) -> set[tuple[Place, Place]]:
    """Return the pairs of tables, from one to another, that are a part of a circle."""
    rest = {place: set(others) - {place} for place, others in needs.items()}
    users = dict[Place, list[Place]]()
    for place, others in rest.items():
        for other in others:
            users.setdefault(other, []).append(place)
    ends = [place for place, others in rest.items() if not others]
    for end in ends:  # which grows meanwhile
        del rest[end]
        for user in users.get(end, ()):
            rest[user].discard(end)
            ends += [] if rest[user] else [user]
    return {(place, other) for place, others in rest.items() for other in others if _reaches(rest, other, place)}


def _reaches(needs: Mapping[Place, Collection[Place]], begin: Place, end: Place) -> bool:
    seen, work = {begin}, [begin]
    while work:
        new = set(needs.get(work.pop(), ())) - seen
        seen |= new
        work += new
    return end in seen
