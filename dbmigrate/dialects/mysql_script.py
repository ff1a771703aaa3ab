"""A snapshot of MariaDB or MySQL as a script that makes an equal schema in an empty database.

Laws of this file: pure; equal snapshots give the same text; what another thing names stands before it. The script sets
the modes that it needs and leaves them set; the users that it names must be there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from dbmigrate.catalogue import Object, Property, Snapshot
from dbmigrate.dialects.mysql_effects import quoted
from dbmigrate.dialects.mysql_grammar import MYSQL
from dbmigrate.dialects.mysql_information import UNSEEN
from dbmigrate.scanner import tokens

_NAME = re.compile(r"`(?:[^`]|``)+`|[\w$]+")
_PARAMETER = re.compile(r"(?P<mode>(?:OUT|INOUT) )?(?P<name>`(?:[^`]|``)+`|[\w$]+) (?P<type>.+)", re.DOTALL)
_NUMBER = re.compile(r" #\d+\Z")
#: Definitions mean the same in it wherever it runs, and an engine that is missing is not replaced.
_MODE = "SET sql_mode = 'NO_ENGINE_SUBSTITUTION'"
_KEYS = {"primary key": "PRIMARY KEY", "unique": "UNIQUE KEY", "index": "KEY"}
#: What ends the list of tables.
_BEHIND_TABLES = (
    *("WHERE", "GROUP", "HAVING", "WINDOW", "ORDER", "LIMIT", "OFFSET", "FETCH", "UNION", "EXCEPT", "INTERSECT"),
)
_DELIMITERS = (";;", "//", "$$", "||", "~~", "<<end>>")


def script(snapshot: Snapshot) -> str:
    """Return SQL that makes the objects of a snapshot in an empty database of such a server.

    It can be run as one migration, or by the client of the database. Programs that were made under ANSI_QUOTES or
    NO_BACKSLASH_ESCAPES, which ORACLE implies, only by the client: migrations must not set these.

    Raises:
        ValueError: Whoever made the snapshot was not permitted to see the definition of something in it.

    """

    def of(*kinds: str) -> list[Object]:
        return sorted((i for i in snapshot if i.kind in kinds), key=lambda i: (i.position, i.table, i.name))

    programs = of("view", "function", "aggregate", "procedure", "package", "trigger", "event")
    blind = [str(item) for item in programs if UNSEEN in (item.get("definition") or UNSEEN, item.get("body"))]
    if blind:
        raise ValueError(f"the snapshot has no definition of {', '.join(blind)}: take it as a user who may see them")
    parts = dict[str, list[Object]]()
    for item in snapshot:
        parts.setdefault(item.table, []).append(item)
    routines = of("function", "aggregate", "procedure", "package")
    pieces = [
        _MODE,
        *(_sequence(item) for item in of("sequence")),
        *(_table(item, parts.get(item.name, ())) for item in of("table")),
        *(_foreign_key(item) for item in of("foreign key")),
        *_programs((item, made) for item in routines for made in _routine(item)),
        *([_MODE] if routines else ()),
        *(_view(item) for item in of("view")),
        *_programs([(item, _trigger(item)) for item in of("trigger")] + [(item, _event(item)) for item in of("event")]),
        *(_grant(item) for item in of("grant")),
    ]
    return "\n\n".join(piece if piece.startswith("DELIMITER") else f"{piece};" for piece in pieces) + "\n"


def _sequence(item: Object) -> str:
    has = dict(item.properties)
    words = [f"CREATE SEQUENCE {quoted(item.name)} START WITH {has['start']} INCREMENT BY {has['increment']}"]
    words += [f"MINVALUE {has['minimum']} MAXVALUE {has['maximum']} CACHE {has['cache']}"]
    words += ["CYCLE"] if "cycle" in has else ["NOCYCLE"]
    return " ".join([*words, f"ENGINE={has['engine']}", *_comment(has, "=")])


def _table(item: Object, parts: Sequence[Object]) -> str:
    has = dict(item.properties)
    columns = sorted((part for part in parts if part.kind == "column"), key=lambda part: (part.position, part.name))
    lines = [_column(part) for part in columns]
    if ends := [
        quoted(part.name) for kind in ("START", "END") for part in columns if part.get("generated") == f"ROW {kind}"
    ]:
        lines.append(f"PERIOD FOR SYSTEM_TIME ({', '.join(ends)})")
    period, *during = [*map(_quoted, _NAME.findall(str(has.get("period", "")))), ""]
    if period:
        lines.append(f"PERIOD FOR {period} ({', '.join(during[:-1])})")
    keys = [part for kind in _KEYS for part in parts if part.kind == kind]
    # The server makes names for the others, and must not make one that is wanted.
    lines += [_key(part, has, period) for part in sorted(keys, key=is_unnamed)]
    lines += [_check(part) for part in parts if part.kind == "check"]
    options = [
        f"ENGINE={has['engine']}",
        f"COLLATE={has['collation']}",
        *_list(has.get("options")),
        *_comment(has, "="),
    ]
    options += ["WITH SYSTEM VERSIONING"] if "system versioned" in has else []
    body = ",\n".join(f"    {line}" for line in lines)
    return f"CREATE TABLE {quoted(item.name)} (\n{body}\n) {' '.join(options)}{partitioning(has)}"


def _column(item: Object) -> str:
    has = dict(item.properties)
    words = [quoted(item.name), str(has["type"])]
    words += ["COMPRESSED"] if "compressed" in has else []
    words += [f"COLLATE {has['collation']}"] if "collation" in has else []
    generated = str(has.get("generated", ""))
    if generated in ("ROW START", "ROW END"):
        words.append(f"GENERATED ALWAYS AS {generated}")
    elif generated:
        words.append(f"GENERATED ALWAYS AS ({generated}) {'STORED' if 'stored' in has else 'VIRTUAL'}")
        words += ["NOT NULL"] if "not null" in has else []
    else:
        # A timestamp is not NULL where nothing is said.
        words.append("NOT NULL" if "not null" in has else "NULL")
    words += ["INVISIBLE"] if "invisible" in has else []
    words += [f"DEFAULT {has['default']}"] if "default" in has else []
    words += [f"ON UPDATE {has['on update']}"] if "on update" in has else []
    words += ["AUTO_INCREMENT"] if "auto_increment" in has else []
    words += ["WITHOUT SYSTEM VERSIONING"] if "without system versioning" in has else []
    words += [*_comment(has), *([f"CHECK ({has['check']})"] if "check" in has else [])]
    return " ".join(words)


def _key(item: Object, table: dict[str, Property], period: str) -> str:
    has = dict(item.properties)
    method = str(has.get("method", ""))
    special = method in ("FULLTEXT", "SPATIAL")
    words = [f"{method} KEY" if special else _KEYS[item.kind]]
    words += [] if item.kind == "primary key" or is_unnamed(item) else [quoted(item.name)]
    columns = [part(column) for column in _list(has.get("columns"))]
    columns += [f"{period} WITHOUT OVERLAPS"] if "without overlaps" in has else []
    words.append(f"({', '.join(columns)})")
    # There an index is one of hashes unless something else is said.
    implied = "BTREE" if table["engine"] == "MEMORY" else ""
    words += [f"USING {method or implied}"] if (method or implied) and not special else []
    words += [*_comment(has), *(word.upper() for word in ("ignored", "invisible") if word in has)]
    return " ".join(words)


def is_unnamed(item: Object) -> bool:
    """Tell whether the server made up the name, and will do so again."""
    has = dict(item.properties)
    columns = ", ".join(_list(has.get("columns")))
    if item.kind == "foreign key":
        columns += f" -> {has['references']}({', '.join(_list(has['referenced columns']))})"
    elif item.kind == "check":
        columns = str(has["definition"]).replace("`", "")
    return _NUMBER.sub("", item.name) == columns


def _check(item: Object) -> str:
    name = "" if is_unnamed(item) else f"CONSTRAINT {quoted(item.name)} "
    return f"{name}CHECK ({item.get('definition')}){' NOT ENFORCED' if item.get('not enforced') else ''}"


def partitioning(has: dict[str, Property]) -> str:
    """Return how a table is partitioned, as CREATE TABLE has it at its end; "" if it is not."""
    lines = [""]
    lines += [f"PARTITION BY {has['partition by']}"] if "partition by" in has else []
    lines += [f"SUBPARTITION BY {has['subpartition by']}"] if "subpartition by" in has else []
    lines += [f"SUBPARTITIONS {has['subpartitions']}"] if "subpartitions" in has else []
    partitions = has.get("partitions")
    if isinstance(partitions, tuple):
        lines.append("(\n" + ",\n".join(f"    PARTITION {text}" for text in partitions) + "\n)")
    elif partitions:
        lines.append(f"PARTITIONS {partitions}")
    return "\n".join(lines)


def _foreign_key(item: Object) -> str:
    has = dict(item.properties)
    name = "" if is_unnamed(item) else f"CONSTRAINT {quoted(item.name)} "
    own, others = (", ".join(map(_quoted, _list(has[key]))) for key in ("columns", "referenced columns"))
    other = ".".join(map(_quoted, _NAME.findall(str(has["references"]))))
    words = [f"ALTER TABLE {quoted(item.table)}\n    ADD {name}FOREIGN KEY ({own}) REFERENCES {other} ({others})"]
    words += [
        f"ON {what.upper()} {str(has[f'on {what}']).upper()}" for what in ("update", "delete") if f"on {what}" in has
    ]
    return " ".join(words)


def _view(item: Object) -> str:
    has = dict(item.properties)
    words = ["CREATE", *([f"ALGORITHM={has['algorithm']}"] if "algorithm" in has else []), *_definer(has)]
    words += [f"SQL SECURITY {has['sql security']}"] if "sql security" in has else []
    end = f"\nWITH {has['check option']} CHECK OPTION" if "check option" in has else ""
    return f"{' '.join([*words, 'VIEW', quoted(item.name), 'AS'])}\n{_as_written(str(has['definition']))}{end}"


def _as_written(view: str) -> str:
    """Return the query of a view with commas between tables where it had them.

    The server prints JOIN for these and for joins, but only joins in parentheses; what it reads without parentheses it
    would put into some.
    """
    kept, levels = list[str](), [""]
    for kind, piece, _ in tokens(view, MYSQL):
        word = piece.upper() if kind == "word" else piece
        if word in ("SELECT", *_BEHIND_TABLES) or (word == "FROM" and levels[-1] == "SELECT"):
            levels[-1] = word
        elif word == "(":
            levels.append("")
        elif word == ")":
            levels.pop()
        kept.append("," if word == "JOIN" and levels[-1] == "FROM" else piece)
    return "".join(kept)


def _programs(found: Iterable[tuple[Object, str]]) -> Iterator[str]:
    """Give statements with semicolons in them, each in the mode that it was made in."""
    texts, mode = list[str](), ""
    for item, text in found:
        wanted = f"SET sql_mode = '{','.join(_list(item.get('sql mode')))}'"
        wanted += f", time_zone = '{item.get('time zone')}'" if item.get("time zone") else ""
        texts += [text] if wanted == mode else [wanted, text]
        mode = wanted
    if texts:
        end = next(end for end in _DELIMITERS if not any(end in text for text in texts))
        yield "\n\n".join([f"DELIMITER {end}", *(f"{text}\n{end}" for text in texts), "DELIMITER ;"])


def _routine(item: Object) -> Iterator[str]:
    has = dict(item.properties)
    oracle = "ORACLE" in _list(has.get("sql mode"))
    create = " ".join(["CREATE", *_definer(has)])
    manner = ["DETERMINISTIC"] if "deterministic" in has else []
    manner += [str(has["data access"]).upper()] if "data access" in has else []
    manner += [f"SQL SECURITY {has['sql security']}"] if "sql security" in has else []
    ends = "".join(f"\n    {word}" for word in [*manner, *_comment(has)]) + f"\n{has['definition']}"
    if item.kind == "package":
        yield f"{create} PACKAGE {quoted(item.name)}{ends}"
        if "body" in has:
            yield f"{create} PACKAGE BODY {quoted(item.name)}\n{has['body']}"
        return
    parameters = ", ".join(_parameter(text, oracle=oracle) for text in _list(has.get("parameters")))
    kind = {"aggregate": "AGGREGATE FUNCTION"}.get(item.kind, item.kind.upper())
    returns = f" {'RETURN' if oracle else 'RETURNS'} {has['returns']}" if "returns" in has else ""
    yield f"{create} {kind} {quoted(item.name)}({parameters}){returns}{ends}"


def _parameter(text: str, *, oracle: bool) -> str:
    found = _PARAMETER.fullmatch(text)
    assert found is not None  # noqa: S101 - it was made so
    name, mode = _quoted(found["name"]), found["mode"] or ""
    return f"{name} {mode}{found['type']}" if oracle else f"{mode}{name} {found['type']}"


def _trigger(item: Object) -> str:
    create = " ".join(
        ["CREATE", *_definer(dict(item.properties)), "TRIGGER", quoted(item.name), str(item.get("timing"))]
    )
    return f"{create} ON {quoted(item.table)} FOR EACH ROW\n{item.get('definition')}"


def _event(item: Object) -> str:
    has = dict(item.properties)
    when = f"AT '{has['at']}'" if "at" in has else f"EVERY {has['every']}"
    when += "".join(f" {word.upper()} '{has[word]}'" for word in ("starts", "ends") if word in has)
    manner = ["ON COMPLETION PRESERVE"] if "preserved" in has else []
    manner += ["DISABLE"] if "disabled" in has else ["DISABLE ON SLAVE"] if "disabled on replicas" in has else []
    ends = "".join(f"\n    {word}" for word in [*manner, *_comment(has)])
    create = " ".join(["CREATE", *_definer(has), "EVENT", quoted(item.name)])
    return f"{create}\n    ON SCHEDULE {when}{ends}\nDO {has['definition']}"


def _grant(item: Object) -> str:
    rights = [re.sub(r"\((.+)\)\Z", lambda m: f"({_quoted(m[1])})", text) for text in _list(item.get("privileges"))]
    # A role has no host.
    to = item.name.removesuffix("@''") + (" WITH GRANT OPTION" if item.get("grant option") else "")
    return f"GRANT {', '.join(rights)} ON {quoted(item.table)} TO {to}"


def _definer(has: dict[str, Property]) -> list[str]:
    if "definer" not in has:
        return []
    user, _, host = str(has["definer"]).rpartition("@")
    return [f"DEFINER={quoted(user)}" + (f"@{quoted(host)}" if host else "")]


def _comment(has: dict[str, Property], sign: str = " ") -> list[str]:
    text = str(has.get("comment", "")).replace("\\", "\\\\").replace("'", "''")
    return [f"COMMENT{sign}'{text}'"] if text else []


def _list(value: Property | None) -> tuple[str, ...]:
    return value if isinstance(value, tuple) else ()


def _quoted(name: str) -> str:
    return name if name.startswith("`") else quoted(name)


def part(column: str) -> str:
    """Return a part of a key as it must be written."""
    return column if column.startswith("(") else _NAME.sub(lambda found: _quoted(found[0]), column, count=1)
