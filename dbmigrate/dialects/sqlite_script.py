"""The SQL that makes anew what is in an SQLite database."""

from __future__ import annotations

from collections.abc import Iterable

from dbmigrate.catalogue import Object, Property, Snapshot
from dbmigrate.dialects.sqlite_catalogue import read, written


def script(snapshot: Snapshot) -> str:
    """Return SQL that makes the schema of a snapshot in an empty database: text in a fixed order, for review.

    Triggers and views may name what comes later; SQLite looks when they are used.
    """
    parts = dict[str, list[Object]]()
    for item in snapshot:
        parts.setdefault(item.table, []).append(item)
    statements = list[str]()
    for item in parts.get("", ()):
        if item.kind == "table":
            statements.append(_create_table(item, parts.get(item.name, ())))
        else:
            statements.append(f"CREATE {item.kind.upper()} {written(item.name)} {item.get('definition')}")
    for item in snapshot:
        if item.kind == "index":
            where = f" WHERE {item.get('where')}" if item.get("where") else ""
            unique, on = "UNIQUE " if item.get("unique") else "", f"{written(item.table)} {_list(item.get('columns'))}"
            statements.append(f"CREATE {unique}INDEX {written(item.name)} ON {on}{where}")
        elif item.kind == "trigger":
            statements.append(f"CREATE TRIGGER {written(item.name)} {item.get('definition')}")
    return "\n".join(f"{statement};\n" for statement in statements)


def _list(value: Property | None) -> str:
    return f"({', '.join(value)})" if isinstance(value, tuple) else ""


def _create_table(table: Object, parts: Iterable[Object]) -> str:
    columns = sorted((part for part in parts if part.kind == "column"), key=lambda part: part.position)
    keys = [part for part in parts if part.kind in ("primary key", "unique", "check", "foreign key")]
    lines = ",\n".join(f"    {line}" for line in (*map(_column, columns), *map(_constraint, keys)))
    options = ", ".join(name.upper() for name in ("without rowid", "strict") if table.get(name))
    return f"CREATE TABLE {written(table.name)} (\n{lines}\n){' ' if options else ''}{options}"


def _column(column: Object) -> str:
    found = dict(column.properties)
    text = f"{written(column.name)} {found.get('type', '')}".rstrip()
    if "collation" in found:
        text += f" COLLATE {written(str(found['collation']))}"
    if "not null" in found:
        text += " NOT NULL" + _on_conflict(found.get("not null on conflict"))
    if "default" in found:
        default = str(found["default"])
        text += f" DEFAULT {default}" if len(read(default).found) == 1 else f" DEFAULT ({default})"
    if "generated" in found:
        text += f" AS ({found['generated']}) {'STORED' if 'stored' in found else 'VIRTUAL'}"
    return text


def _on_conflict(action: Property | None) -> str:
    return f" ON CONFLICT {action}" if action else ""


def _constraint(part: Object) -> str:
    found = dict(part.properties)
    name = "" if part.name.startswith("(") else f"CONSTRAINT {part.name} "
    conflict = _on_conflict(found.get("on conflict"))
    if part.kind == "check":
        return f"{name}CHECK ({found['expression']}){conflict}"
    columns = _list(found["columns"])
    if part.kind != "foreign key":
        # AUTOINCREMENT stands within the parentheses of a table's constraint.
        columns = columns[:-1] + " AUTOINCREMENT)" if "autoincrement" in found else columns
        return f"{name}{part.kind.upper()} {columns}{conflict}"
    text = f"{name}FOREIGN KEY {columns} REFERENCES {found['references']}"
    text += f" {_list(found['referenced columns'])}" if "referenced columns" in found else ""
    text += f" MATCH {found['match']}" if "match" in found else ""
    text += "".join(f" {event.upper()} {found[event]}" for event in ("on delete", "on update") if event in found)
    return text + (" DEFERRABLE INITIALLY DEFERRED" if "deferred" in found else "")
