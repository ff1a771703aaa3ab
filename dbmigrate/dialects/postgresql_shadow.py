"""How a shadow database is made like the one beside it: in what migrations find there, and do not make.

Laws of this file: what a script creates is not there before it; the text of scripts is read without their comments, and
what it does not show (functions in Python, SQL that is put together in a routine) is not known.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dbmigrate.dialects.base import rows, send, send_unless
from dbmigrate.dialects.postgresql_clauses import literal, quoted
from dbmigrate.dialects.postgresql_grammar import POSTGRESQL
from dbmigrate.scanner import ScriptError, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sqlalchemy.engine import Connection
    from sqlalchemy.exc import DBAPIError

#: What was set with ALTER DATABASE SET, and with ALTER ROLE IN DATABASE for the user who asks, which counts more.
_DATABASE_SETTINGS = """
SELECT pg_catalog.split_part(c, '=', 1), pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1)
FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c
WHERE s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
AND s.setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user)) ORDER BY s.setrole, 1"""
#: Settings that only keep a session from its work.
_NOT_OF_SHADOWS = {
    "default_transaction_read_only",
    *(
        f"{name}_timeout"
        for name in ("statement", "lock", "idle_session", "idle_in_transaction_session", "transaction")
    ),
}
#: Who may do what in the schema public, besides its owner.
_PUBLIC_RIGHTS = """
SELECT x.privilege_type,
    coalesce((SELECT pg_catalog.quote_ident(r.rolname) FROM pg_catalog.pg_roles r WHERE r.oid = x.grantee), 'PUBLIC'),
    CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
FROM pg_catalog.pg_namespace n CROSS JOIN LATERAL pg_catalog.aclexplode(n.nspacl) x
WHERE n.nspname = 'public' AND x.grantee <> n.nspowner"""
_PUBLIC = re.compile(r'\bschema\s+"?public\b')
_EXTENSIONS = """
SELECT e.extname, n.nspname, ARRAY(SELECT pg_catalog.lower(x.extname::text)
    FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_extension x ON x.oid = d.objid AND x.extnamespace = e.extnamespace
    WHERE d.classid = e.tableoid AND d.refclassid = e.tableoid AND d.refobjid = e.oid)
FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname <> 'plpgsql' ORDER BY e.oid"""
#: What creates a schema that is not there; and an extension, with "if" where it may be.
_SCHEMA = re.compile(r'\bcreate\s+schema\s+(?!if\b)"?([\w-]+)')
_EXTENSION = re.compile(r'\bcreate\s+extension\s+(?:(if)\s+not\s+exists\s+)?"?([\w-]+)')
_CASCADE = re.compile(rf"{_EXTENSION.pattern}[^;]*\bcascade\b")


def imitate(
    live: Connection, new: Connection, scripts: Sequence[str], is_forbidden: Callable[[DBAPIError], bool]
) -> Sequence[str]:
    """Give it extensions that no script creates, and rights on the schema public if no script speaks of it.

    Sessions have the settings of the database, also those of its user in it, as far as this user may set them.
    """
    said = _said(scripts)
    made, cascading = {*_EXTENSION.findall(said)}, {name for _, name in _CASCADE.findall(said)}
    created, schemas = {name for unless, name in made if not unless}, {*_SCHEMA.findall(said)}
    extensions = rows(live, _EXTENSIONS)
    for extension, _, needed_by in reversed(extensions):  # what needs another one is younger
        if not cascading.isdisjoint(needed_by):
            cascading.add(extension.lower())
    for extension, schema, _ in extensions:
        name = extension.lower()
        # where a script would put it unless it is there already
        is_usual = schema == "public" or schema.startswith("pg_")
        if name in created | cascading or schema.lower() in schemas or (is_usual and ("if", name) in made):
            continue  # or a script would find there what it is to create
        if not schema.startswith("pg_"):
            send(new, f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        send(new, f"CREATE EXTENSION IF NOT EXISTS {quoted(extension)} SCHEMA {quoted(schema)} CASCADE")
    if not _PUBLIC.search(said):
        wanted, had = ({tuple(row) for row in rows(connection, _PUBLIC_RIGHTS)} for connection in (live, new))
        for doing, whom, what in (("REVOKE", "FROM", had - wanted), ("GRANT", "TO", wanted - had)):
            for right, role, option in sorted(what):
                more = option if doing == "GRANT" else ""
                send_unless(new, f"{doing} {right} ON SCHEMA public {whom} {role}{more}", is_forbidden)
    settings = (
        f"SELECT pg_catalog.set_config({literal(setting)}, {literal(value)}, false)"
        for setting, value in rows(live, _DATABASE_SETTINGS)
        if setting not in _NOT_OF_SHADOWS
    )
    return [sql for sql in settings if send_unless(new, sql, is_forbidden)]


def _said(scripts: Iterable[str]) -> str:
    """Return what scripts say, in lower case and without comments."""
    pieces = list[str]()
    for script in scripts:
        try:
            pieces += [" " if kind == "comment" else piece for kind, piece, _ in tokens(script, POSTGRESQL)]
        except ScriptError:
            pieces.append(script)  # what is wrong with it is said when it is to run
        pieces.append(";")
    return "".join(pieces).lower()
