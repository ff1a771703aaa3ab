"""What is in a database of MariaDB or MySQL, as values.

Laws of this file: it only reads, a query for each kind of object; what the server counts on its own is left out, and
so is what time alone changes. SHOW CREATE is asked about one thing more only where information_schema cannot tell: see
mysql_tables.py, and views and programs with a question mark, which there also stands for what is beyond the Basic
Multilingual Plane.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter

from sqlalchemy.engine import Connection

from dbmigrate.catalogue import Object, Property, made
from dbmigrate.dialects.mysql_effects import quoted
from dbmigrate.dialects.mysql_information import Information, Row, shown
from dbmigrate.dialects.mysql_tables import tables

_AGGREGATE = re.compile(r"\bfetch\s+group\s+next\s+row\b", re.IGNORECASE)
#: The clock of the server said when an event starts, because nobody else did.
_AT_ONCE = "CONVERT_TZ(STARTS, TIME_ZONE, '+00:00') IN (CREATED, LAST_ALTERED)"
#: It has happened, or will not happen again.
_IS_OVER = "CONVERT_TZ(COALESCE(EXECUTE_AT, ENDS), TIME_ZONE, '+00:00') <= UTC_TIMESTAMP()"
_MODES = ("IN", "OUT", "INOUT")


def objects(connection: Connection) -> Iterator[Object]:
    """Give every object in the database of the connection that its user may see.

    Whose rights a view or program has is said unless it is the user of the connection. Left out are the default
    character set of the database itself, the character set of the session that made a view or program, rights on
    programs, and what SHOW CREATE alone says of tables: directories, parsers and block sizes of indexes, the unions of
    MERGE tables. In expressions of columns and checks each byte of a character beyond the Basic Multilingual Plane is a
    question mark, and so is such a character in comments and defaults: MariaDB keeps no more of them.
    """
    about = Information(connection)
    listed = about.ask(
        *("tables", "TABLE_NAME", "TABLE_TYPE", "ENGINE", "TABLE_COLLATION", "CREATE_OPTIONS", "TABLE_COMMENT"),
        "TEMPORARY",
    )
    found = defaultdict[str, list[Row]](list)
    for row in listed:
        if row.get("TEMPORARY") != "Y":
            found[row["TABLE_TYPE"]].append(row)
    yield from tables(about, found["BASE TABLE"] + found["SYSTEM VERSIONED"])
    yield from _sequences(about, found["SEQUENCE"])
    yield from _views(about)
    yield from _triggers(about)
    yield from _routines(about)
    yield from _events(about)
    yield from _grants(about, {row["TABLE_NAME"] for rows in found.values() for row in rows})


def _sequences(about: Information, found: Sequence[Row]) -> Iterator[Object]:
    """Ask all of them at once: a sequence is a table of one row, and reading it does not move it."""
    names = ("start_value", "increment", "minimum_value", "maximum_value", "cache_size", "cycle_option")
    what = f"{', '.join(names)} FROM "
    sql = " UNION ALL SELECT ".join(f"{n}, {what}{quoted(row['TABLE_NAME'])}" for n, row in enumerate(found))
    for number, start, increment, minimum, maximum, cache, cycle in about.select(sql) if found else ():
        row = found[int(number)]
        properties: dict[str, Property | None] = {
            "start": start,
            "increment": increment,
            "minimum": minimum,
            "maximum": maximum,
            "cache": cache,
            "cycle": cycle == "1",
            "engine": row["ENGINE"],
            "comment": row["TABLE_COMMENT"],
        }
        yield made("sequence", row["TABLE_NAME"], properties)


def _views(about: Information) -> Iterator[Object]:
    rows = about.ask(
        *("views", "TABLE_NAME", "VIEW_DEFINITION", "CHECK_OPTION", "DEFINER", "SECURITY_TYPE", "ALGORITHM"),
    )
    texts = {row["TABLE_NAME"]: about.anonymous(row["VIEW_DEFINITION"]) for row in rows}
    depths = _depths({name: used & texts.keys() for name, (_, used) in texts.items()})
    for row in rows:
        name = row["TABLE_NAME"]
        properties: dict[str, Property | None] = {
            "algorithm": row.get("ALGORITHM", "UNDEFINED").replace("UNDEFINED", ""),
            "definer": about.definer(row),
            "sql security": row["SECURITY_TYPE"].replace("DEFINER", ""),
            "check option": row["CHECK_OPTION"].replace("NONE", ""),
            "definition": about.body("VIEW", name, texts[name][0]),
        }
        yield made("view", name, properties, position=depths[name])


def _depths(used: Mapping[str, Collection[str]]) -> dict[str, int]:
    """Return how far each is from those that use none of the others."""
    depths = dict.fromkeys(used, 0)
    for _ in used:
        deeper = {name: max((depths[other] + 1 for other in others), default=0) for name, others in used.items()}
        if deeper == depths:
            break
        depths = deeper
    return depths


def _triggers(about: Information) -> Iterator[Object]:
    rows = about.ask(
        *("triggers", "TRIGGER_NAME", "EVENT_OBJECT_TABLE", "ACTION_TIMING", "EVENT_MANIPULATION", "ACTION_ORDER"),
        *("ACTION_STATEMENT", "SQL_MODE", "DEFINER"),
        schema="TRIGGER_SCHEMA",
    )
    moment = itemgetter("EVENT_OBJECT_TABLE", "ACTION_TIMING", "EVENT_MANIPULATION")
    for (table, timing, event), group in groupby(
        sorted(rows, key=lambda r: (*moment(r), int(r["ACTION_ORDER"]))), moment
    ):
        before = ""
        for row in group:
            name = row["TRIGGER_NAME"]
            properties: dict[str, Property | None] = {
                "timing": f"{timing} {event}",
                "follows": before and shown(before),
                **_program(about, row),
                "definition": about.body("TRIGGER", name, row["ACTION_STATEMENT"]),
            }
            yield made("trigger", name, properties, table=table, position=int(row["ACTION_ORDER"]))
            before = name


def _routines(about: Information) -> Iterator[Object]:
    rows = about.ask(
        *("routines", "ROUTINE_NAME", "ROUTINE_TYPE", "ROUTINE_DEFINITION", "IS_DETERMINISTIC", "SQL_DATA_ACCESS"),
        *("SECURITY_TYPE", "SQL_MODE", "ROUTINE_COMMENT", "DEFINER"),
        schema="ROUTINE_SCHEMA",
    )
    given = about.ask(
        *("parameters", "SPECIFIC_NAME", "ROUTINE_TYPE", "ORDINAL_POSITION", "PARAMETER_MODE", "PARAMETER_NAME"),
        *("DTD_IDENTIFIER", "CHARACTER_SET_NAME", "COLLATION_NAME"),
        schema="SPECIFIC_SCHEMA",
    )
    parameters = defaultdict[tuple[str, str], list[str]](list)
    for row in sorted(given, key=lambda row: int(row["ORDINAL_POSITION"])):
        # A function returns its parameter 0, which has no name.
        mode = f"{row['PARAMETER_MODE']} " if row["PARAMETER_MODE"] in _MODES[1:] else ""
        name = row["PARAMETER_NAME"]
        name = name and f"{quoted(name) if name.upper() in _MODES else shown(name)} "
        parameters[row["ROUTINE_TYPE"], row["SPECIFIC_NAME"]].append(mode + name + _type(row))
    bodies = {row["ROUTINE_NAME"]: row for row in rows if row["ROUTINE_TYPE"] == "PACKAGE BODY"}
    for row in rows:
        name, kind = row["ROUTINE_NAME"], row["ROUTINE_TYPE"]
        if kind == "PACKAGE BODY":
            continue
        about_it = parameters[kind, name]
        returns = about_it.pop(0) if kind == "FUNCTION" else None
        definition = about.body(kind, name, row["ROUTINE_DEFINITION"])
        properties: dict[str, Property | None] = {
            "parameters": tuple(about_it),
            "returns": returns,
            "deterministic": row["IS_DETERMINISTIC"] == "YES",
            "data access": row["SQL_DATA_ACCESS"].replace("CONTAINS SQL", "").lower(),
            "sql security": row["SECURITY_TYPE"].replace("DEFINER", ""),
            **_program(about, row),
            "comment": row["ROUTINE_COMMENT"],
            "definition": definition,
        }
        if name in bodies and kind == "PACKAGE":
            properties["body"] = about.body("PACKAGE BODY", name, bodies[name]["ROUTINE_DEFINITION"])
        aggregate = kind == "FUNCTION" and _AGGREGATE.search(definition)
        yield made("aggregate" if aggregate else kind.lower(), name, properties)


def _type(row: Row) -> str:
    if not row["CHARACTER_SET_NAME"]:
        return row["DTD_IDENTIFIER"]
    return f"{row['DTD_IDENTIFIER']} CHARSET {row['CHARACTER_SET_NAME']} COLLATE {row['COLLATION_NAME']}"


def _program(about: Information, row: Row) -> dict[str, Property | None]:
    """Say in which mode a program runs, and with whose rights."""
    return {"sql mode": tuple(mode for mode in row["SQL_MODE"].split(",") if mode), "definer": about.definer(row)}


def _events(about: Information) -> Iterator[Object]:
    rows = about.ask(
        *("events", "EVENT_NAME", "DEFINER", "TIME_ZONE", "EVENT_DEFINITION", "EXECUTE_AT", "INTERVAL_VALUE"),
        *("INTERVAL_FIELD", "SQL_MODE", "STARTS", "ENDS", "STATUS", "ON_COMPLETION", "LAST_EXECUTED", "EVENT_COMMENT"),
        *(_AT_ONCE, _IS_OVER),
        schema="EVENT_SCHEMA",
    )
    for row in rows:
        name, at_once = row["EVENT_NAME"], row[_AT_ONCE]
        every = f"{row['INTERVAL_VALUE']} {row['INTERVAL_FIELD']}" if row["INTERVAL_FIELD"] else None
        # Then the server disables it.
        is_over = row[_IS_OVER] == "1" or (row["EXECUTE_AT"] and row["LAST_EXECUTED"])
        properties: dict[str, Property | None] = {
            "at": row["EXECUTE_AT"],
            "every": every,
            "starts": row["STARTS"] if at_once != "1" else None,
            "ends": row["ENDS"],
            "preserved": row["ON_COMPLETION"] == "PRESERVE",
            "disabled": row["STATUS"] == "DISABLED" and not is_over,
            "disabled on replicas": row["STATUS"] not in ("ENABLED", "DISABLED"),
            "time zone": row["TIME_ZONE"],
            **_program(about, row),
            "comment": row["EVENT_COMMENT"],
            "definition": about.body("EVENT", name, row["EVENT_DEFINITION"]),
        }
        yield made("event", name, properties)


def _grants(about: Information, known: set[str]) -> Iterator[Object]:
    """Give rights on what is there: they outlive it."""
    rights = defaultdict[tuple[str, str], set[str]](set)
    may_grant = set[tuple[str, str]]()
    for row in [
        *about.ask("table_privileges", "GRANTEE", "TABLE_NAME", "PRIVILEGE_TYPE", "IS_GRANTABLE"),
        *about.ask("column_privileges", "GRANTEE", "TABLE_NAME", "PRIVILEGE_TYPE", "IS_GRANTABLE", "COLUMN_NAME"),
    ]:
        place = row["TABLE_NAME"], row["GRANTEE"]
        column = f" ({shown(row['COLUMN_NAME'])})" if "COLUMN_NAME" in row else ""
        if place[0] in known:
            rights[place].add(row["PRIVILEGE_TYPE"] + column)
            may_grant |= {place} if row["IS_GRANTABLE"] == "YES" else set()
    for (table, grantee), found in rights.items():
        properties: dict[str, Property | None] = {
            "privileges": tuple(sorted(found)),
            "grant option": (table, grantee) in may_grant,
        }
        yield made("grant", grantee, properties, table=table)
