"""Tables of MariaDB and MySQL with their columns, keys, checks and partitions, as values.

Laws of this file: a query for each kind of object. SHOW CREATE is asked only about tables that information_schema does
not tell enough of: partitioned by system time, with a list that may have a DEFAULT, with a check that may be a period,
or with one of a column that may have had another name. Names that the server invents are made of what they stand for,
because they would count in which order things were made.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from dbmigrate.catalogue import Object, Property, made
from dbmigrate.dialects.mysql_effects import quoted
from dbmigrate.dialects.mysql_grammar import MYSQL
from dbmigrate.dialects.mysql_information import Information, Row, distinct, shown
from dbmigrate.scanner import tokens

_NAME = r"`((?:[^`]|``)+)`"
_OPTION = re.compile(r"(`(?:[^`]|``)+`|\w+)=('(?:[^']|'')*'|\S+)")
_COMPRESSED = re.compile(r" /\*M?!\d+ COMPRESSED\*/")
_ON_UPDATE = re.compile(r"on update (\S+)", re.IGNORECASE)
_COMPARISON = re.compile(f"{_NAME} < {_NAME}")
_PERIOD = re.compile(rf"^  PERIOD FOR {_NAME} \({_NAME}, {_NAME}\)", re.MULTILINE)
_NO_OVERLAP = re.compile(rf"^  (?:UNIQUE|PRIMARY) KEY (?:{_NAME} )?\(.* WITHOUT OVERLAPS\)", re.MULTILINE)
_SYSTEM_TIME = re.compile(r"PARTITION BY SYSTEM_TIME ?(.*?)(?: STARTS TIMESTAMP'.*?')?( AUTO)?$", re.MULTILINE)
#: What a DEFAULT is said to be in a list of columns.
_REST = re.compile(r"\(?MAXVALUE(?:,MAXVALUE)*\)?")
#: Both mean the same to every engine that has foreign keys.
_REFUSED = ("RESTRICT", "NO ACTION")


def tables(about: Information, found: Sequence[Row]) -> Iterator[Object]:
    """Give tables and what is in them but for triggers."""
    checks, parts = _checks(about), _by_table(_partitions(about))
    creates = {name: about.create("TABLE", name) for name in sorted(_unclear(about, checks, parts))}
    periods = {name: match for name, text in creates.items() if (match := _PERIOD.search(text))}
    for row in found:
        name = row["TABLE_NAME"]
        period = periods.get(name)
        yield made(
            "table",
            name,
            {
                "engine": row["ENGINE"],
                "collation": row["TABLE_COLLATION"],
                "options": tuple(
                    sorted(f"{key.lower()}={value}" for key, value in _OPTION.findall(row["CREATE_OPTIONS"]))
                ),
                "system versioned": row["TABLE_TYPE"] == "SYSTEM VERSIONED",
                "period": "{} ({}, {})".format(*map(shown, _unquoted(period.groups()))) if period else None,
                **_partitioning(parts.get(name, []), creates.get(name, "")),
                "comment": row["TABLE_COMMENT"],
            },
        )
    known = {row["TABLE_NAME"]: row for row in found}
    of_columns = {
        (check["TABLE_NAME"], check["CONSTRAINT_NAME"]): check["CHECK_CLAUSE"]
        for check in checks
        if check.get("LEVEL") == "Column" and check["TABLE_NAME"] not in creates
    }
    of_tables = dict[tuple[str, str], str]()
    for name, text in creates.items():
        for is_column, what, check in _checks_of(text):
            (of_columns if is_column else of_tables)[name, what] = about.expression(check)
    yield from _columns(about, known, of_columns)
    yield from _keys(about, known, creates)
    yield from _foreign_keys(about)
    of_periods = {(name, _unquoted(match.groups())[0]) for name, match in periods.items()}
    beside = [
        {**check, "CHECK_CLAUSE": of_tables[place]}
        if (place := _place(check)) in of_tables and _is_cut(check)
        else check
        for check in checks
        if check.get("LEVEL") != "Column"
    ]
    yield from _named_checks(check for check in beside if _place(check) not in of_periods)


def _place(check: Row) -> tuple[str, str]:
    return check["TABLE_NAME"], check["CONSTRAINT_NAME"]


def _is_cut(check: Row) -> bool:
    """Tell whether information_schema has no letters for what a check says: it knows none of four bytes."""
    return "????" in check["CHECK_CLAUSE"]


def _unclear(about: Information, checks: Iterable[Row], parts: dict[str, list[Row]]) -> Iterator[str]:
    """Give the tables of which only SHOW CREATE says enough."""
    if not about.is_mariadb:
        return
    for check in checks:
        # A check of a column keeps the name that the column had when it was made.
        is_of_another = check.get("LEVEL") == "Column" and _named(check["CHECK_CLAUSE"]) != {check["CONSTRAINT_NAME"]}
        if is_of_another or _is_cut(check) or _COMPARISON.fullmatch(check["CHECK_CLAUSE"]):
            yield check["TABLE_NAME"]
    for name, rows in parts.items():
        # A DEFAULT is said to be a 0 here, and to be MAXVALUE where the list is of columns.
        has_zero = any((row["PARTITION_METHOD"], row["PARTITION_DESCRIPTION"]) == ("LIST", "0") for row in rows)
        if has_zero or rows[0]["PARTITION_METHOD"] == "SYSTEM_TIME":
            yield name


def _named(expression: str) -> set[str]:
    """Return the columns that an expression names."""
    return {*_unquoted(piece[1:-1] for kind, piece, _ in tokens(expression, MYSQL) if kind == "name")}


def _checks_of(create: str) -> Iterator[tuple[bool, str, str]]:
    """Give each check: whether it stands behind a column, the column or its own name, and what it says."""
    depth, last, column, named, start = 0, "", "", "", 0
    for kind, piece, place in tokens(create, MYSQL):
        if kind in ("space", "comment", "code"):
            continue
        if depth == 1 and last in ("(", ","):
            column = _unquoted([piece[1:-1]])[0] if kind == "name" else ""
        if depth == 1 and last == "CONSTRAINT" and kind == "name":
            named = _unquoted([piece[1:-1]])[0]
        depth += (piece == "(") - (piece == ")")
        if depth == 2 and piece == "(" and last == "CHECK":  # noqa: PLR2004
            start = place + 1
        elif depth == 1 and piece == ")" and start:
            yield bool(column), column or named, create[start:place]
            start = 0
        last = piece


def _columns(about: Information, known: dict[str, Row], checks: dict[tuple[str, str], str]) -> Iterator[Object]:
    for row in about.ask(
        "columns",
        *("TABLE_NAME", "COLUMN_NAME", "ORDINAL_POSITION", "COLUMN_DEFAULT", "COLUMN_DEFAULT IS NULL", "IS_NULLABLE"),
        *("DATA_TYPE", "COLUMN_TYPE", "COLLATION_NAME", "EXTRA", "GENERATION_EXPRESSION", "COLUMN_COMMENT"),
    ):
        table, extra = row["TABLE_NAME"], row["EXTRA"].lower()
        if table not in known:
            continue
        on_update = _ON_UPDATE.search(row["EXTRA"])
        default = _default(about, row)
        is_versioned = known[table]["TABLE_TYPE"] == "SYSTEM VERSIONED"
        properties: dict[str, Property | None] = {
            "type": _COMPRESSED.sub("", row["COLUMN_TYPE"]),
            "compressed": _COMPRESSED.search(row["COLUMN_TYPE"]) is not None,
            "collation": row["COLLATION_NAME"] if row["COLLATION_NAME"] != known[table]["TABLE_COLLATION"] else None,
            "not null": row["IS_NULLABLE"] == "NO",
            "default": default if default != "NULL" else None,
            "generated": about.expression(row["GENERATION_EXPRESSION"]),
            "stored": "stored generated" in extra,
            "virtual": "virtual generated" in extra,
            "on update": on_update[1].rstrip(",") if on_update else None,
            "auto_increment": "auto_increment" in extra,
            "invisible": "invisible" in extra,
            # Tables that have versions no more keep the word.
            "without system versioning": "without system versioning" in extra and is_versioned,
            "check": checks.get((table, row["COLUMN_NAME"])),
            "comment": row["COLUMN_COMMENT"],
        }
        yield made("column", row["COLUMN_NAME"], properties, table=table, position=int(row["ORDINAL_POSITION"]))


def _default(about: Information, row: Row) -> str:
    """Return a default as SQL. MariaDB says it so; MySQL gives the value of a literal."""
    default = row["COLUMN_DEFAULT"]
    if about.is_mariadb:
        return about.expression(default)
    if row["COLUMN_DEFAULT IS NULL"] == "1":
        return ""
    if "DEFAULT_GENERATED" in row["EXTRA"]:
        return default if default.upper().startswith("CURRENT_TIMESTAMP") else f"({about.expression(default)})"
    if default.startswith(("b'", "0x")) and row["DATA_TYPE"] in ("bit", "binary", "varbinary"):
        return default
    return "'{}'".format(default.replace("\\", "\\\\").replace("'", "''"))


def _keys(about: Information, known: dict[str, Row], creates: dict[str, str]) -> Iterator[Object]:
    found = about.ask(
        "statistics",
        *("TABLE_NAME", "NON_UNIQUE", "INDEX_NAME", "SEQ_IN_INDEX", "COLUMN_NAME", "COLLATION", "SUB_PART"),
        *("INDEX_TYPE", "INDEX_COMMENT", "IGNORED", "IS_VISIBLE", "EXPRESSION"),
    )
    bare = {(name, key or "PRIMARY") for name, text in creates.items() for key in _unquoted(_NO_OVERLAP.findall(text))}
    keys = defaultdict[tuple[str, str], list[tuple[str, dict[str, Property | None]]]](list)
    place = itemgetter("TABLE_NAME", "INDEX_NAME")
    for (table, name), group in groupby(sorted(found, key=lambda row: (*place(row), int(row["SEQ_IN_INDEX"]))), place):
        rows = list(group)
        if table not in known:
            continue
        columns = [_part(about, row) for row in rows]
        if (table, name) in bare:
            del columns[-2:]
        ordered = rows[0]["INDEX_TYPE"] not in ("FULLTEXT", "SPATIAL")
        if not ordered:
            columns = [shown(row["COLUMN_NAME"]) for row in rows]
        first = rows[0]["COLUMN_NAME"] or "functional_index"
        if re.fullmatch(rf"{re.escape(first)}(?:_\d+)?", name, re.IGNORECASE):
            name = ", ".join(columns)  # noqa: PLW2901
        properties: dict[str, Property | None] = {
            "columns": tuple(columns),
            "without overlaps": (table, rows[0]["INDEX_NAME"]) in bare,
            "method": rows[0]["INDEX_TYPE"] if rows[0]["INDEX_TYPE"] != "BTREE" else None,
            "ignored": rows[0].get("IGNORED") == "YES",
            "invisible": rows[0].get("IS_VISIBLE") == "NO",
            "comment": rows[0]["INDEX_COMMENT"],
        }
        kind = "primary key" if name == "PRIMARY" else "index" if rows[0]["NON_UNIQUE"] == "1" else "unique"
        keys[kind, table].append((name, properties))
    for (kind, table), named in keys.items():
        yield from _distinct(kind, table, named)


def _part(about: Information, row: Row) -> str:
    """Return what is indexed: a column or the beginning of one, or an expression."""
    length = f"({row['SUB_PART']})" if row["SUB_PART"] else ""
    what = f"({about.expression(row['EXPRESSION'])})" if row.get("EXPRESSION") else shown(row["COLUMN_NAME"]) + length
    return what + " DESC" * (row["COLLATION"] == "D")


def _foreign_keys(about: Information) -> Iterator[Object]:
    rules = about.ask(
        *("referential_constraints", "TABLE_NAME", "CONSTRAINT_NAME", "UPDATE_RULE", "DELETE_RULE"),
        schema="CONSTRAINT_SCHEMA",
    )
    by_name = {(row["TABLE_NAME"], row["CONSTRAINT_NAME"]): row for row in rules}
    columns = about.ask(
        *("key_column_usage", "TABLE_NAME", "CONSTRAINT_NAME", "ORDINAL_POSITION", "COLUMN_NAME"),
        *("REFERENCED_TABLE_SCHEMA", "REFERENCED_TABLE_NAME", "REFERENCED_COLUMN_NAME"),
    )
    keys = defaultdict[str, list[tuple[str, dict[str, Property | None]]]](list)
    place = itemgetter("TABLE_NAME", "CONSTRAINT_NAME")
    columns = [row for row in columns if row["REFERENCED_TABLE_NAME"]]
    for key, group in groupby(sorted(columns, key=lambda row: (*place(row), int(row["ORDINAL_POSITION"]))), place):
        table, name = key
        rows, rule = list(group), by_name.get(key, {})
        own, others = ([shown(row[n]) for row in rows] for n in ("COLUMN_NAME", "REFERENCED_COLUMN_NAME"))
        schema, other = rows[0]["REFERENCED_TABLE_SCHEMA"], shown(rows[0]["REFERENCED_TABLE_NAME"])
        if schema != about.database:
            other = f"{shown(schema)}.{other}"
        if re.fullmatch(r"(?:.*_ibfk_)?\d+", name, re.DOTALL):
            name = f"{', '.join(own)} -> {other}({', '.join(others)})"
        properties: dict[str, Property | None] = {
            "columns": tuple(own),
            "references": other,
            "referenced columns": tuple(others),
            **{
                f"on {what}": rule.get(f"{what.upper()}_RULE", "").lower()
                for what in ("update", "delete")
                if rule.get(f"{what.upper()}_RULE") not in _REFUSED
            },
        }
        keys[table].append((name, properties))
    for table, named in keys.items():
        yield from _distinct("foreign key", table, named)


def _checks(about: Information) -> list[Row]:
    """Return all checks with their tables, which MySQL lists elsewhere."""
    mine = ("CHECK_CONSTRAINTS", "TABLE_NAME") in about.columns
    names = ("CONSTRAINT_NAME", "CHECK_CLAUSE", "LEVEL", *(("TABLE_NAME",) if mine else ()))
    checks = about.ask("check_constraints", *names, schema="CONSTRAINT_SCHEMA")
    for check in checks:
        check["CHECK_CLAUSE"] = about.expression(check["CHECK_CLAUSE"])
    if mine:
        return checks
    found = about.ask("table_constraints", "TABLE_NAME", "CONSTRAINT_NAME", "CONSTRAINT_TYPE", "ENFORCED")
    owners = {row["CONSTRAINT_NAME"]: row for row in found if row["CONSTRAINT_TYPE"] == "CHECK"}
    return [owners[check["CONSTRAINT_NAME"]] | check for check in checks if check["CONSTRAINT_NAME"] in owners]


def _named_checks(checks: Iterable[Row]) -> Iterator[Object]:
    for table, group in _by_table(checks).items():
        named = list[tuple[str, dict[str, Property | None]]]()
        for row in group:
            name, clause = row["CONSTRAINT_NAME"], row["CHECK_CLAUSE"]
            if re.fullmatch(r"CONSTRAINT_\d+|.*_chk_\d+", name, re.DOTALL):
                name = clause.replace("`", "")
            named.append((name, {"definition": clause, "not enforced": row.get("ENFORCED") == "NO"}))
        yield from _distinct("check", table, named)


def _distinct(kind: str, table: str, named: list[tuple[str, dict[str, Property | None]]]) -> Iterator[Object]:
    named.sort(key=lambda pair: (pair[0], str(pair[1])))
    for name, (_, properties) in zip(distinct(name for name, _ in named), named, strict=True):
        yield made(kind, name, properties, table=table)


def _partitions(about: Information) -> list[Row]:
    found = about.ask(
        "partitions",
        *("TABLE_NAME", "PARTITION_NAME", "SUBPARTITION_NAME", "PARTITION_METHOD", "SUBPARTITION_METHOD"),
        *("PARTITION_EXPRESSION", "SUBPARTITION_EXPRESSION", "PARTITION_DESCRIPTION", "PARTITION_COMMENT"),
        *("PARTITION_ORDINAL_POSITION", "SUBPARTITION_ORDINAL_POSITION"),
    )
    return [row for row in found if row["PARTITION_NAME"]]


def _partitioning(rows: list[Row], create: str) -> dict[str, Property | None]:
    """Say how a table is partitioned: by what, and into what or how many."""
    if not rows:
        return {}
    first = rows[0]
    method = first["PARTITION_METHOD"]
    if method == "SYSTEM_TIME":
        return _by_system_time(rows, create)
    found: dict[str, Property | None] = {"partition by": f"{method} ({first['PARTITION_EXPRESSION']})"}
    if first["SUBPARTITION_METHOD"]:
        found["subpartition by"] = f"{first['SUBPARTITION_METHOD']} ({first['SUBPARTITION_EXPRESSION']})"
    rows = sorted(
        rows, key=lambda row: (int(row["PARTITION_ORDINAL_POSITION"]), int(row["SUBPARTITION_ORDINAL_POSITION"] or 0))
    )
    groups = {name: list(group) for name, group in groupby(rows, itemgetter("PARTITION_NAME"))}
    plain = all(_is_plain(parts) for parts in groups.values())
    if plain and first["SUBPARTITION_METHOD"]:
        found["subpartitions"] = len(groups[first["PARTITION_NAME"]])
    texts = list[str]()
    for name, parts in groups.items():
        inner = ", ".join(f"SUBPARTITION {quoted(part['SUBPARTITION_NAME'])}{_comment(part)}" for part in parts)
        texts.append(quoted(name) + _bound(method, parts[0], create) + (_comment(parts[0]) if plain else f" ({inner})"))
    invented = texts == [quoted(f"p{number}") for number in range(len(texts))]
    return found | {"partitions": len(texts) if invented else tuple(texts)}


def _is_plain(parts: list[Row]) -> bool:
    """Tell whether one partition has no subpartitions, or nobody said anything about them."""
    names = [part["SUBPARTITION_NAME"] for part in parts]
    invented = [f"{parts[0]['PARTITION_NAME']}sp{number}" for number in range(len(parts))]
    return names == [""] or (names == invented and len({part["PARTITION_COMMENT"] for part in parts}) == 1)


def _by_system_time(rows: list[Row], create: str) -> dict[str, Property | None]:
    """Leave out when the first interval begins, and of AUTO how many there are: time goes on."""
    found = _SYSTEM_TIME.search(create)
    how, auto = (found[1].strip(), found[2]) if found else ("", "")
    kinds = {
        row["PARTITION_NAME"]: "CURRENT" if row["PARTITION_DESCRIPTION"] == "CURRENT" else "HISTORY" for row in rows
    }
    partitions = None if auto else tuple(f"{quoted(name)} {kind}" for name, kind in kinds.items())
    return {"partition by": f"SYSTEM_TIME {how}{auto or ''}".strip(), "partitions": partitions}


def _bound(method: str, part: Row, create: str) -> str:
    bound, kind = part["PARTITION_DESCRIPTION"], method.partition(" ")[0]
    if kind == "RANGE":
        return f" VALUES LESS THAN ({bound})"
    if kind != "LIST":
        return ""
    name = quoted(part["PARTITION_NAME"])
    is_default = _REST.fullmatch(bound) or (bound == "0" and f"PARTITION {name} DEFAULT" in create)
    return " DEFAULT" if is_default else f" VALUES IN ({bound})"


def _comment(part: Row) -> str:
    text = part["PARTITION_COMMENT"].replace("\\", "\\\\").replace("'", "''")
    return f" COMMENT '{text}'" if text else ""


def _by_table(rows: Iterable[Row]) -> dict[str, list[Row]]:
    found = defaultdict[str, list[Row]](list)
    for row in rows:
        found[row["TABLE_NAME"]].append(row)
    return found


def _unquoted(names: Iterable[str]) -> list[str]:
    return [name.replace("``", "`") for name in names]
