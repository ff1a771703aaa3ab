"""What is in a database, as values that can be compared, printed and stored.

Laws of this file: pure; equal schemas are equal values, in whatever order they were built; nothing here knows which
database it is. What a catalogue says is read in dialects/, one module a family of databases.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from difflib import ndiff
from typing import Any, cast

#: Absent properties are those that are not so: there is no False and no empty text.
Property = str | int | bool | tuple[str, ...]
#: Every kind of object, in the order in which a snapshot lists them. Those behind the tables are parts of one.
KINDS = (
    *("extension", "schema", "collation", "type", "enum", "domain", "sequence"),
    *("function", "aggregate", "procedure", "package"),
    *("operator", "cast", "text search dictionary", "text search configuration", "foreign data wrapper", "server"),
    *("table", "virtual table", "foreign table", "view", "materialized view"),
    *("column", "primary key", "unique", "foreign key", "check", "exclusion", "index", "trigger", "rule", "policy"),
    *("statistics", "event", "event trigger", "publication", "grant", "default privileges"),
)
_RANK = {kind: number for number, kind in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class Object:
    """One thing in a database: what it is, where it is, and everything that is so about it.

    Two are equal if their properties are. Columns also know their `position`, which is no property: two databases that
    had the same migrations in another order differ in nothing else.
    """

    kind: str
    #: "": there is but one (SQLite, MariaDB).
    schema: str
    #: What it is a part of; "": it stands for itself.
    table: str
    name: str
    properties: tuple[tuple[str, Property], ...]
    position: int = field(default=0, compare=False)

    @property
    def place(self) -> str:
        """Where it is, as people write it: `public.users.email`."""
        return ".".join(part for part in (self.schema, self.table, self.name) if part)

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What makes it the same object, whatever its properties are."""
        return self.kind, self.schema, self.table, self.name

    @property
    def owner(self) -> tuple[str, str]:
        """Schema and name of what it is a part of, or of itself."""
        return self.schema, self.table or self.name

    def get(self, name: str) -> Property | None:
        """Return a property, if it has it."""
        return dict(self.properties).get(name)

    def __str__(self) -> str:
        return f"{self.kind} {self.place}"


def made(
    kind: str,
    name: str,
    properties: Mapping[str, Property | None] | None = None,
    *,
    schema: str = "",
    table: str = "",
    position: int = 0,
) -> Object:
    """Return an object; properties that are not so (None, False, empty) are left out, the others keep their order."""
    given = (properties or {}).items()
    found = tuple((key, value) for key, value in given if not (value is None or value is False or value in ("", ())))
    return Object(kind, schema, table, name, found, position)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything in a database that migrations can create, at one moment: immutable, comparable, serialisable.

    `str()` gives a text in a fixed order, made to be reviewed: a line an object. Equal schemas give the same text.
    """

    #: The name of the family of databases; snapshots of two families are never equal.
    dialect: str
    objects: tuple[Object, ...]

    def __iter__(self) -> Iterator[Object]:
        return iter(self.objects)

    def __str__(self) -> str:
        return "".join(f"{line}\n" for item in self.objects for line in _lines(item))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, ready for JSON; `from_dict` makes an equal one of them."""
        return {"format": 1, "type": "Snapshot", "dialect": self.dialect, "objects": [_plain(item) for item in self]}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Snapshot:
        """Return the snapshot that `to_dict` was called on. Raises ValueError for anything else."""
        try:
            if (plain["format"], plain["type"]) != (1, "Snapshot"):
                raise ValueError("this is no snapshot, or one of a later version of dbmigrate")
            return sorted_snapshot(plain["dialect"], [_object(item) for item in plain["objects"]])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no snapshot: {error!r}") from error


def sorted_snapshot(dialect: str, objects: Iterable[Object]) -> Snapshot:
    """Return a snapshot of objects in any order: parts behind what they are parts of."""
    found = {item.key: item for item in objects}
    ranks = dict[tuple[str, str], int]()
    for item in found.values():  # a table may be called as a type is, or a schema as an extension
        if not item.table:
            ranks[item.owner] = max(_RANK[item.kind], ranks.get(item.owner, 0))

    def place(item: Object) -> tuple[Any, ...]:
        rank = ranks.get(item.owner, _RANK["table"]) if item.table else _RANK[item.kind]
        return rank, *item.owner, bool(item.table), _RANK[item.kind], item.name

    return Snapshot(dialect, tuple(sorted(found.values(), key=place)))


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between two snapshots: what became of an object on the way from the first to the second.

    None for `before`: it is new. None for `after`: it is gone. Otherwise at least one property differs.
    """

    before: Object | None
    after: Object | None
    #: What the object consists of, if it is new or gone as a whole: of a table its columns, keys and so on.
    parts: tuple[Object, ...] = ()

    @property
    def object(self) -> Object:
        """The object as it is, or as it was."""
        found = self.after or self.before
        assert found is not None  # noqa: S101 - one of them is there
        return found

    @property
    def properties(self) -> tuple[tuple[str, Property | None, Property | None], ...]:
        """What differs, each with what it was and what it is; None: it was not, or is not, so."""
        before = dict(self.before.properties if self.before else ())
        after = dict(self.after.properties if self.after else ())
        names = dict.fromkeys((*before, *after))
        return tuple((name, before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name))

    def __str__(self) -> str:
        if self.before is None or self.after is None:
            what = "is new" if self.before is None else "is gone"
            parts = (line for part in self.parts for line in _lines(part))
            return "\n".join([f"{self.object} {what}", *("    " + line for line in _said(self.object)), *parts])
        return "\n".join([f"{self.object}:", *("    " + line for change in self.properties for line in _turn(*change))])

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, ready for JSON, with its `message` for people."""
        what = "added" if self.before is None else "removed" if self.after is None else "changed"
        return {
            "format": 1,
            "type": "Change",
            "change": what,
            "kind": self.object.kind,
            "schema": self.object.schema,
            "table": self.object.table,
            "name": self.object.name,
            "properties": [{"name": name, "before": a, "after": b} for name, a, b in self.properties],
            "parts": [_plain(part) for part in self.parts],
            "message": str(self),
        }


def diff(before: Snapshot, after: Snapshot) -> tuple[Change, ...]:
    """Return what became of the objects of one snapshot in the other; nothing if they are equal.

    A table that is new or gone is one change, which has its parts with it; nothing is taken for renamed. Raises
    ValueError for snapshots of two families of databases.
    """
    if before.dialect != after.dialect:
        raise ValueError(f"a snapshot of {before.dialect} and one of {after.dialect} cannot be compared")
    old, new = ({item.key: item for item in snapshot} for snapshot in (before, after))
    both = sorted_snapshot(before.dialect, (old | new).values())
    changes = [Change(old.get(item.key), new.get(item.key)) for item in both if old.get(item.key) != new.get(item.key)]
    whole = {c.object.owner for c in changes if not c.object.table and None in (c.before, c.after)}
    whole -= {old[key].owner for key in old.keys() & new.keys() if not old[key].table}
    parts = dict[tuple[bool, tuple[str, str]], list[Object]]()
    for is_new, snapshot in ((False, before), (True, after)):
        for item in snapshot:
            if item.table and item.owner in whole:
                parts.setdefault((is_new, item.owner), []).append(item)
    found = list[Change]()
    for c in reversed(changes):  # of two by one name the last has the parts
        if c.object.owner not in whole:
            found.append(c)
        elif not c.object.table:
            found.append(replace(c, parts=tuple(parts.pop((c.before is None, c.object.owner), ()))))
    return tuple(reversed(found))


def _lines(item: Object) -> Iterator[str]:
    """Give an object as a snapshot lists it: its parts stand below it, indented."""
    indent = "    " if item.table else ""
    words = [_word(name, value) for name, value in item.properties if not _is_long(value)]
    name = item.name if item.table else item.place
    yield f"{indent}{item.kind} {name}{': ' if words else ''}{'; '.join(words)}"
    for key, value in item.properties:
        if _is_long(value):
            yield f"{indent}    {key}"
            yield from (f"{indent}    | {line}".rstrip() for line in str(value).splitlines())


def _said(item: Object) -> Iterator[str]:
    """Give the properties of an object, a line each if they are short."""
    for name, value in item.properties:
        yield from _turn(name, None, value) if _is_long(value) else (_word(name, value),)


def _turn(name: str, before: Property | None, after: Property | None) -> Iterator[str]:
    """Say what became of a property."""
    if not _is_long(before) and not _is_long(after):
        yield f"{name}: {_value(before)} -> {_value(after)}"
        return
    yield f"{name}:"
    old, new = (("" if value is None else str(value)).splitlines() for value in (before, after))
    yield from (line.rstrip() for line in ndiff(old, new) if not line.startswith("?"))


def _is_long(value: Property | None) -> bool:
    return isinstance(value, str) and "\n" in value


def _word(name: str, value: Property) -> str:
    return name if value is True else f"{name} {_value(value)}"


def _value(value: Property | None) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(value)})"
    return "none" if value is None else "yes" if value is True else str(value)


def _plain(item: Object) -> dict[str, Any]:
    found = {"kind": item.kind, "schema": item.schema, "table": item.table, "name": item.name}
    return {**found, "position": item.position, "properties": [[name, value] for name, value in item.properties]}


def _object(plain: Mapping[str, Any]) -> Object:
    found: dict[str, Property] = {}
    for name, value in plain["properties"]:
        found[name] = tuple(cast("list[str]", value)) if isinstance(value, list) else value
    if plain["kind"] not in _RANK:
        raise ValueError(f"{plain['kind']!r} is no kind of object that this version of dbmigrate knows")
    where = {"schema": plain["schema"], "table": plain["table"], "position": plain["position"]}
    return made(plain["kind"], plain["name"], found, **where)
