"""What tables of PostgreSQL mean, where its catalogue keeps several ways to say the same.

Laws of this file: pure. Two are made equal only where the server would do the same with both, whatever is in the table.
A name without a schema is one of the server's own: the catalogue qualifies all others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from dbmigrate.catalogue import Object
from dbmigrate.dialects.postgresql_clauses import literal, quoted

_STRING = r"'(?:[^']|'')*'"
_NOW = r"(?:CURRENT_TIMESTAMP(?!\()|(?:now|transaction_timestamp)\(\))"
#: What can be said in another way, and what must be left alone: other strings, and names in quotes.
_SPELLED = re.compile(
    rf"\((?P<text>E?{_STRING})::character varying\)::text(?!\[)"
    rf"|(?:\({_NOW} AT TIME ZONE (?P<at>{_STRING})::text\))"
    rf"|(?<![\w.$])timezone\((?P<zone>{_STRING})::text, {_NOW}\)"
    rf"|(?<![\w.$])(?P<now>{_NOW})"
    rf'|{_STRING}|"(?:[^"]|"")+"'
)
_EXPRESSIONS = ("default", "generated", "definition", "partition by")

#: Defaults as a whole, and the types of columns with which they mean the same.
_NULL = re.compile(r"NULL::[a-z ]+(?:\([0-9,]+\))?(?:\[\])?")
_OWN_TYPE = re.compile(r"[a-z ]+(?:\([0-9,]+\))?[a-z ]*(?:\[\])?")
_NUMBER = re.compile(
    r"('?)(?P<number>-?\d+(?:\.\d+)?)\1"
    r"(?:::(?P<type>numeric|bigint|integer|smallint|double precision|real)(?P<size>\([0-9,]+\))?)?"
)
#: These keep nothing of a number but its value.
_PLAIN = re.compile(r"smallint|integer|bigint|real|double precision|numeric\(\d+,\d+\)")
_EMPTY = re.compile(r"(?:ARRAY\[\]|'\{\}')::[\w .\"]+(?:\([0-9,]+\))?\[\]")
_TEXT = re.compile(rf"(?P<text>E?{_STRING})::(?P<type>text|character varying|bpchar)(?P<array>(?:\[\])?)")
_TEXT_TYPE = re.compile(r"(?:text|bpchar|character(?: varying)?(?:\(\d+\))?)(?P<array>(?:\[\])?)")
_TIMESTAMP = re.compile(r"timestamp(?:\(\d\))? without time zone")
#: What the time of the transaction is called where a column keeps only a part of it.
_TIMES = {"LOCALTIMESTAMP": _TIMESTAMP, "CURRENT_DATE": re.compile("date")}

#: How the names end that the server chooses.
_ENDS = {
    "primary key": "pkey",
    "unique": "key",
    "foreign key": "fkey",
    "check": "check",
    "exclusion": "excl",
    "sequence": "seq",
}


def meant(item: Object) -> Object:
    """Return an object with one spelling of what it says in expressions."""
    properties = dict(item.properties)
    for name in _EXPRESSIONS:
        if name in properties:
            properties[name] = _SPELLED.sub(_spelled, str(properties[name]))
    if "default" in properties:
        properties["default"] = _default(str(properties["default"]), str(properties.get("type") or ""))
    return replace(item, properties=tuple((name, value) for name, value in properties.items() if value))


def _spelled(found: re.Match[str]) -> str:
    if found["text"]:
        return f"{found['text']}::text"
    if zone := found["at"] or found["zone"]:
        return f"timezone({zone.lower()}::text, now())"
    return "now()" if found["now"] else found[0]


def _default(text: str, kind: str) -> str:
    """Return the default of a column of some type: "" for NULL, unless a domain could have another default."""
    text_type = _TEXT_TYPE.fullmatch(kind)
    if _NULL.fullmatch(text) and _OWN_TYPE.fullmatch(kind):
        return ""
    if number := _NUMBER.fullmatch(text):
        text = _number(number, kind)
    elif kind.endswith("[]") and _EMPTY.fullmatch(text):
        text = "'{}'"
    elif text_type and (said := _TEXT.fullmatch(text)) and said["array"] == text_type["array"]:
        # As a text it would have no blanks at its end.
        text = text if said["type"] == "bpchar" and (said["array"] or said["text"].endswith(" '")) else said["text"]
    elif text in _TIMES and _TIMES[text].fullmatch(kind):
        text = "now()"
    return text


def _number(found: re.Match[str], kind: str) -> str:
    """Return a number without quotes and casts, as far as a column of this type keeps the same of it."""
    number, cast, size = found["number"], found["type"], found["size"]
    casts = {None, "numeric", "bigint", "integer", "smallint"}
    casts |= {"double precision"} if kind in ("real", "double precision") else set()
    casts |= {"real"} if kind == "real" else set()
    if cast not in casts or (size and kind != f"{cast}{size}"):
        return found[0]
    return number.rstrip("0").rstrip(".") if "." in number and _PLAIN.fullmatch(kind) else number


def as_named(before: Iterable[Object], after: Iterable[Object]) -> Iterator[Object]:
    """Give what was before by the names that it has after, where nobody chose the one or the other.

    The server numbers checks in the order in which they are made, and keeps a name when what it was made of is renamed.
    """
    old, new = ({item.key: item for item in objects} for objects in (before, after))
    wanted: dict[object, list[str]] = {}
    for key, item in new.items():
        prefix = f"{item.table}_" if item.table else ""  # models cannot have a sequence that somebody named
        if old.get(key) != item and _is_unnamed(item) and item.name.startswith(prefix):
            wanted.setdefault(_likeness(item), []).append(item.name)
    names = dict[Object, str]()
    for key, item in old.items():
        if new.get(key) != item and _is_unnamed(item) and (found := wanted.get(_likeness(item))):
            names[item] = found.pop(0)
    # Another thing may have that name, and keep it.
    while taken := [one for one, name in names.items() if old.get(replace(one, name=name).key, one) not in names]:
        for one in taken:
            del names[one]
    defaults = {_numbers(one): _numbers(replace(one, name=name)) for one, name in names.items() if not one.table}
    for item in old.values():
        default = defaults.get(str(item.get("default")))
        properties = dict(item.properties) | ({"default": default} if default else {})
        yield replace(item, name=names.get(item, item.name), properties=tuple(properties.items()))


def _is_unnamed(item: Object) -> bool:
    """Tell a constraint, or the sequence of a column, with a name that the server may have chosen."""
    is_part = item.kind in _ENDS and bool(item.table or item.get("owned by"))
    return is_part and re.search(rf"_{_ENDS[item.kind]}\d*\Z", item.name) is not None


def _likeness(item: Object) -> object:
    return item.kind, item.schema, item.table, item.properties


def _numbers(sequence: Object) -> str:
    """Return the default that takes numbers from a sequence."""
    return f"nextval({literal(f'{quoted(sequence.schema)}.{quoted(sequence.name)}')}::regclass)"
