"""Pieces of SQL for PostgreSQL, made of names and of the properties of an object.

Laws of this file: pure; what is not so gives no text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from sqlalchemy.dialects.postgresql.base import RESERVED_WORDS

from dbmigrate.catalogue import Object

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_RESERVED = RESERVED_WORDS | {"lateral", "tablesample", "concurrently", "collation", "system_user"}


def quoted(name: str) -> str:
    """Return a name as it is written in SQL: in quotes only if need be."""
    return name if _PLAIN.fullmatch(name) and name not in _RESERVED else '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """Return a text in quotes; no backslash escapes in it."""
    return "'" + str(text).replace("'", "''") + "'"


def several(item: Object, name: str) -> tuple[str, ...]:
    """Return the texts of a property that has several."""
    found = item.get(name)
    return found if isinstance(found, tuple) else ()


def clauses(item: Object, templates: dict[str, str]) -> Iterator[str]:
    """Give the templates whose properties are so, with the value at the place of {}."""
    for name, template in templates.items():
        if value := item.get(name.replace("_", " ")):
            yield template.replace("{}", str(value), 1)


def said(item: Object, **templates: str) -> str:
    """Return the templates whose properties are so, each with a space in front."""
    return "".join(f" {clause}" for clause in clauses(item, templates))


def altered(item: Object, target: str, /, **templates: str) -> Iterator[str]:
    """Give an ALTER for each of the templates whose properties are so."""
    return (f"ALTER {target} {clause};" for clause in clauses(item, templates))


def listed(head: str, lines: Sequence[str]) -> str:
    """Return a statement whose list has a line for each element."""
    return f"{head} (\n    " + ",\n    ".join(lines) + "\n)" if lines else f"{head} ()"


def assigned(item: Object) -> str:
    """Return storage parameters; catalogues have them as name=value."""
    pairs = (one.partition("=") for one in several(item, "options"))
    return ", ".join(f"{name} = {literal(value)}" for name, _, value in pairs)


def with_options(item: Object) -> str:
    """Return the storage parameters of what is being created."""
    return f" WITH ({assigned(item)})" if item.get("options") else ""


def server_options(item: Object, name: str) -> str:
    """Return what is meant for a foreign server."""
    pairs = (one.partition("=") for one in several(item, name))
    text = ", ".join(f"{quoted(name)} {literal(value)}" for name, _, value in pairs)
    return f" OPTIONS ({text})" if text else ""


def constraint_name(column: Object) -> str:
    """Return what names a NOT NULL, where somebody has."""
    return said(column, not_null_name="CONSTRAINT {}")


def unquoted(name: str) -> str:
    """Return the name that is written so."""
    return name[1:-1].replace('""', '"') if name[0] == '"' else name


def rights(item: Object, what: str) -> Iterator[str]:
    """GRANT and REVOKE what differs from the rights that nobody had to grant."""
    role = "CURRENT_USER" if item.get("to") == "owner" else item.get("to")
    for name, after in (("privileges", ""), ("with grant option", " WITH GRANT OPTION")):
        if found := several(item, name):
            yield f"GRANT {', '.join(found)} ON {what} TO {role}{after};"
    if found := several(item, "revoked"):
        yield f"REVOKE {', '.join(found)} ON {what} FROM {role};"
