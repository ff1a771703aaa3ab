"""What tables of PostgreSQL mean, where its catalogue keeps several ways to say the same.

Laws of this file: pure. Two are made equal only where the server would do the same with both, whatever is in the table.
A name without a schema is one of the server's own: the catalogue qualifies all others.
"""

from __future__ import annotations

import re
from dataclasses import replace

from dbmigrate.catalogue import Object

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
_NUMBER = re.compile(r"('?)(?P<number>-?\d+(?:\.\d+)?)\1(?:::(?P<type>[a-z ]+)(?P<size>\([0-9,]+\))?)?")
#: These keep nothing of a number but its value.
_PLAIN = re.compile(r"smallint|integer|bigint|real|double precision|numeric\(\d+,\d+\)")
_EMPTY = re.compile(r"(?:ARRAY\[\]|'\{\}')::[\w .\"]+(?:\([0-9,]+\))?\[\]")
_TEXT = re.compile(rf"(?P<text>E?{_STRING})::(?P<type>text|character varying|bpchar)(?P<array>(?:\[\])?)")
_TEXT_TYPE = re.compile(r"(?:text|bpchar|character(?: varying)?(?:\(\d+\))?)(?P<array>(?:\[\])?)")
_TIMESTAMP = re.compile(r"timestamp(?:\(\d\))? without time zone")
#: What the time of the transaction is called where a column keeps only a part of it.
_TIMES = {"LOCALTIMESTAMP": _TIMESTAMP, "CURRENT_DATE": re.compile("date")}


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
