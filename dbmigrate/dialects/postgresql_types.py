"""The types of PostgreSQL as SQLAlchemy has them; and how what the server prints is taken apart.

Laws of this file: pure; a type that SQLAlchemy does not know, or not so, is None.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import sqlalchemy as everywhere
from sqlalchemy.dialects import postgresql as here

from dbmigrate.dialects.code import Call, Name, evaluated
from dbmigrate.dialects.postgresql_clauses import unquoted
from dbmigrate.dialects.postgresql_grammar import POSTGRESQL
from dbmigrate.scanner import tokens

MODULE = "sqlalchemy.dialects.postgresql"
_TYPE = re.compile(r"([a-z0-9_ ]+?)(?:\(([\d,]+)\))?( with time zone| without time zone)?")
_INTERVAL = re.compile(r"interval(?: ([a-z ]+?))?(?:\((\d)\))?")
#: What SQLAlchemy calls otherwise than the server does.
_NAMES = {
    "character varying": "VARCHAR",
    "character": "CHAR",
    "double precision": "DOUBLE_PRECISION",
    "bit varying": "BIT",
}


def type_named(text: str) -> Name | Call | None:
    """Return a type that comes with the server, or with one of its extensions. None: SQLAlchemy has no such type."""
    if interval := _INTERVAL.fullmatch(text):
        fields, precision = interval.groups()
        named = {"fields": fields and fields.upper(), "precision": int(precision) if precision else None}
        return _bare(Name("INTERVAL", MODULE)(**named))
    found = _TYPE.fullmatch(text)
    if found is None:
        return None
    name, sizes, zone = found.groups()
    known = _NAMES.get(name, name.upper())
    class_ = getattr(here, known, None)
    if class_ is None or (known == "CHAR" and not sizes):  # which would be CHAR(1)
        return None
    numbers = [int(number) for number in sizes.split(",")] if sizes else []
    type_ = Name(known, "sqlalchemy" if getattr(everywhere, known, None) is class_ else MODULE)
    if zone:
        precision = numbers[0] if numbers else None
        made = type_(timezone=True if zone == " with time zone" else None, precision=precision)
    else:
        made = type_(*numbers, varying=True if name == "bit varying" else None)
    return None if evaluated(made) is None else _bare(made)


def _bare(made: Call) -> Name | Call:
    return made if made.args or made.named else made.function


def cut(text: str) -> list[str]:
    """Return the words, and what stands in parentheses, of a text; of the latter each as a whole."""
    pieces, depth = [""], 0
    for kind, piece, _ in tokens(text, POSTGRESQL):
        if depth == 0 and (kind in ("space", "comment") or piece == "("):
            pieces.append("")
        depth += (piece == "(") - (piece == ")")
        pieces[-1] += "" if depth == 0 and kind in ("space", "comment") else piece
        if depth == 0 and piece == ")":
            pieces.append("")
    return [piece for piece in pieces if piece]


def inside(text: str) -> str:
    """Return a text without the parentheses around all of it, if there are any."""
    while text.startswith("(") and len(cut(text)) == 1:
        text = text[1:-1]
    return text


def elements(text: str) -> Iterator[str]:
    """Give what stands between the commas of a list in parentheses."""
    element, depth = "", 0
    for _, piece, _ in tokens(text[1:-1], POSTGRESQL):
        depth += (piece == "(") - (piece == ")")
        if piece == "," and depth == 0:
            yield element.strip()
            element = ""
        else:
            element += piece
    yield element.strip()


def columns(text: str) -> list[str]:
    """Return the names of a list in parentheses."""
    return [unquoted(name) for name in elements(text)]


def named(text: str) -> list[str]:
    """Return a name and what it is qualified by, outermost first."""
    return [unquoted(piece) for kind, piece, _ in tokens(text, POSTGRESQL) if kind in ("word", "name")]


def place(text: str) -> tuple[str, str]:
    """Return the schema and the name of something; "" for the schema if it has none."""
    found = named(text)
    return (found[0], found[1]) if len(found) == 2 else ("", text)  # noqa: PLR2004


def is_name(text: str) -> bool:
    """Tell whether a text is one name and no more."""
    kinds = [kind for kind, _, _ in tokens(text, POSTGRESQL)]
    return kinds == ["name"] or (kinds == ["word"] and text.islower())
