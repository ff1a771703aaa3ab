"""A part of a snapshot of PostgreSQL, with what that part needs.

Laws of this file: pure. What is needed is found by the names that are in the words of the database: rather one object
too many than one too few.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

from dbmigrate.catalogue import Object, Snapshot, made, sorted_snapshot

#: What comes along; tables and views do not.
_KINDS = ("collation", "type", "enum", "domain", "sequence", "function", "aggregate")
_PART = r'(?:"((?:[^"]|"")+)"|([^\W\d][\w$]*))'
_NAME = re.compile(rf"{_PART}\.(?={_PART})")
_FUNCTION = re.compile(_PART)
_HOME = ("schema", "", "", "public")


def selected(snapshot: Snapshot, wanted: Callable[[Object], bool]) -> Snapshot:
    """Return what is wanted of a snapshot, and what that needs where its script would not run without.

    Those are the schemas and extensions of what is wanted, and the types, sequences and functions that it names;
    `public`, which every database has, is always there.
    """
    found = {item.key: item for item in snapshot if wanted(item)}
    by_key = {item.key: item for item in snapshot}
    places, parts = dict[tuple[str, str], list[Object]](), dict[tuple[str, str], list[Object]]()
    for item in snapshot:
        if item.table:
            parts.setdefault(item.owner, []).append(item)
        else:  # functions are called by what stands in front of what they are given
            called = _FUNCTION.match(item.name) if item.kind in ("function", "aggregate") else None
            name = _unquoted(*called.groups()) if called else item.name
            places.setdefault((item.schema, name), []).append(item)
    extensions = [item for item in snapshot if item.kind == "extension"]
    work = list(found.values())
    for item in work:  # which grows meanwhile
        schemas = [("schema", "", "", name) for name in (item.schema, str(item.get("schema")))]
        new = [by_key[key] for key in schemas if key in by_key]
        for place in _named(item):
            if place in places:
                new += [each for each in places[place] if each.kind in _KINDS]
            else:  # it may be of an extension, whose objects are not in a snapshot
                new += [each for each in extensions if each.get("schema") == place[0]]
        whole = [one for one in new if one.kind in _KINDS and one.kind != "collation"]  # which has none; a table may
        for each in [*new, *(part for one in whole for part in parts.get(one.owner, ()))]:
            if each.key not in found:
                found[each.key] = each
                work.append(each)
    found.setdefault(_HOME, by_key.get(_HOME) or made("schema", "public"))
    return sorted_snapshot(snapshot.dialect, found.values())


def _named(item: Object) -> Iterator[tuple[str, str]]:
    """Give each schema, and name in it, that is in the words of an object: also those in its literals."""
    for text in _texts(item):
        for match in _NAME.finditer(text):
            schema, plain, name, plain_name = match.groups()
            yield _unquoted(schema, plain), _unquoted(name, plain_name)


def _unquoted(quoted: str | None, plain: str | None) -> str:
    return (quoted or "").replace('""', '"') or plain or ""


def _texts(item: Object) -> Iterable[str]:
    for name, value in item.properties:
        if name != "comment":
            yield from value if isinstance(value, tuple) else [str(value)]
