"""How a database of PostgreSQL is emptied by a user who cannot drop it and create it anew.

Laws of this file: each query gives the statements that remove one sort of thing, and they run one by one, because there
may be more than one transaction has locks for. What came with the server, and extensions and schemas that the user has
no right to drop, stay, with what is in these extensions. The schema `last` goes last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from dbmigrate.dialects.base import send
from dbmigrate.dialects.postgresql_queries import STANDARD_RIGHTS, THINGS, own

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection

_MINE = "pg_has_role({}, 'USAGE')"
#: Schemas that stay: what is in them is dropped piece by piece.
_KEPT = f"""SELECT n.oid FROM pg_namespace n WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND (
    n.nspname = 'public' OR NOT {_MINE.format("n.nspowner")}
    OR EXISTS (SELECT FROM pg_extension e WHERE e.extnamespace = n.oid)
    OR NOT {own("pg_namespace", "n.oid")})"""
#: What is in no schema, in an order in which nothing goes that another one needs.
_WITHOUT_SCHEMA = ("pg_publication", "pg_cast", "pg_transform", "pg_foreign_server", "pg_foreign_data_wrapper")
_DROP = "SELECT 'DROP ' || CASE o.type {} ELSE upper(o.type) END || ' IF EXISTS ' || o.identity || ' CASCADE'".format(
    " ".join(
        f"WHEN '{kind}' THEN '{word}'"
        for kind, word in {
            "foreign-data wrapper": "FOREIGN DATA WRAPPER",
            "statistics object": "STATISTICS",
            **dict.fromkeys(("function", "procedure", "aggregate"), "ROUTINE"),
        }.items()
    )
)
_ROLE = "coalesce((SELECT quote_ident(r.rolname) FROM pg_roles r WHERE r.oid = x.grantee), 'PUBLIC')"
#: Rights that whoever makes something has given or taken before: once they are those of the server, they are forgotten.
_DEFAULTS = """SELECT DISTINCT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I {doing} %s {whom} ', w.rolname, {things})
    || {role} FROM pg_default_acl d JOIN pg_roles w ON w.oid = d.defaclrole
    CROSS JOIN LATERAL aclexplode({rights}) x WHERE d.defaclnamespace = 0"""
_REMOVING = (
    # Or they would be asked about the rest.
    f"""SELECT format('DROP EVENT TRIGGER %I', e.evtname) FROM pg_event_trigger e
    WHERE {own("pg_event_trigger", "e.oid")}""",
    f"""SELECT format('DROP EXTENSION IF EXISTS %I CASCADE', e.extname) FROM pg_extension e
    WHERE e.oid >= 16384 AND {_MINE.format("e.extowner")}""",
    f"""SELECT format('DROP SCHEMA %I CASCADE', n.nspname) FROM pg_namespace n
    WHERE n.nspname !~ '^pg_' AND n.nspname NOT IN ('information_schema', :last) AND n.oid NOT IN ({_KEPT})""",
    f"""{_DROP} FROM pg_depend d CROSS JOIN LATERAL pg_identify_object(d.classid, d.objid, 0) o
    WHERE d.refclassid = 'pg_namespace'::regclass AND d.refobjid IN ({_KEPT}) AND d.deptype = 'n'
    AND o.type <> 'default acl'
    AND NOT EXISTS (SELECT FROM pg_depend x WHERE x.classid = d.classid AND x.objid = d.objid AND x.objsubid = 0
        AND x.deptype IN ('a', 'e', 'i'))""",
    *(
        f"""{_DROP} FROM {catalogue} c CROSS JOIN LATERAL pg_identify_object('{catalogue}'::regclass, c.oid, 0) o
    WHERE c.oid >= 16384 AND {own(catalogue, "c.oid")}"""
        for catalogue in _WITHOUT_SCHEMA
    ),
    f"SELECT format('SELECT lo_unlink(%s)', l.oid) FROM pg_largeobject_metadata l WHERE {_MINE.format('l.lomowner')}",
    f"""SELECT format('DROP LANGUAGE IF EXISTS %I CASCADE', c.lanname) FROM pg_language c
    WHERE c.oid >= 16384 AND {own("pg_language", "c.oid")}""",
    f"""SELECT DISTINCT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA %I REVOKE ALL ON %s FROM ', w.rolname,
    n.nspname, {THINGS}) || {_ROLE} FROM pg_default_acl d JOIN pg_roles w ON w.oid = d.defaclrole
    JOIN pg_namespace n ON n.oid = d.defaclnamespace CROSS JOIN LATERAL aclexplode(d.defaclacl) x""",
    _DEFAULTS.format(doing="REVOKE ALL ON", whom="FROM", things=THINGS, role=_ROLE, rights="d.defaclacl"),
    _DEFAULTS.format(doing="GRANT ALL ON", whom="TO", things=THINGS, role=_ROLE, rights=STANDARD_RIGHTS),
)
#: The schema public, as it came.
_RESTORING = (
    "SELECT 'CREATE SCHEMA public' WHERE NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public')",
    f"""SELECT DISTINCT 'REVOKE ALL ON SCHEMA public FROM ' || {_ROLE} FROM pg_namespace n
    CROSS JOIN LATERAL aclexplode(n.nspacl) x
    WHERE n.nspname = 'public' AND x.grantee <> n.nspowner AND {_MINE.format("n.nspowner")}""",
    f"""SELECT CASE WHEN current_setting('server_version_num')::int < 150000 THEN 'GRANT USAGE, CREATE'
    ELSE 'GRANT USAGE' END || ' ON SCHEMA public TO PUBLIC' FROM pg_namespace n
    WHERE n.nspname = 'public' AND {_MINE.format("n.nspowner")}""",
    f"""SELECT 'COMMENT ON SCHEMA public IS ''standard public schema''' FROM pg_namespace n
    WHERE n.nspname = 'public' AND {_MINE.format("n.nspowner")}
    AND obj_description(n.oid, 'pg_namespace') IS DISTINCT FROM 'standard public schema'""",
)


def contents(connection: Connection, last: str) -> list[str]:
    """Return statements that remove what is in the database of a connection, besides the schema `last`."""
    return [statement for query in _REMOVING for statement in _statements(connection, query, last)]


def empty(connection: Connection, last: str) -> None:
    """Remove everything from the database that a connection in autocommit is in."""
    send(connection, "SET search_path = pg_catalog")
    send(connection, "SET lock_timeout = '5s'")  # as the server waits where it drops a database
    for query in (*_REMOVING, *_RESTORING):
        for statement in _statements(connection, query, last):
            send(connection, statement)
    send(connection, f"DROP SCHEMA IF EXISTS {last}")
    send(connection, "RESET search_path")
    send(connection, "RESET lock_timeout")


def _statements(connection: Connection, query: str, last: str) -> Iterator[str]:
    values = {"last": last} if ":last" in query else {}
    for (statement,) in connection.execute(text(query), values).all():
        yield str(statement)
