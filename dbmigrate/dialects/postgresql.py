"""PostgreSQL through psycopg, psycopg2 and whatever else speaks its protocol directly.

The lock is a session advisory lock on the connection that does the work: lost with it, never before it. Waiters poll;
a blocking wait deadlocks with the holder's CREATE INDEX CONCURRENTLY. Behind a pooler such a lock means nothing: that
is recognised, and pooled.py says what is different there.
"""

from __future__ import annotations

import re
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from dbmigrate.dialects.base import NO_RIGHT, Dialect, rows, scalar, send, send_unless
from dbmigrate.dialects.client import Psql
from dbmigrate.dialects.postgresql_effects import INVALID, effect
from dbmigrate.dialects.postgresql_grammar import POSTGRESQL
from dbmigrate.errors import ConfigurationError
from dbmigrate.scanner import blanked
from dbmigrate.script import PLAIN, Traits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from contextlib import AbstractContextManager

    from sqlalchemy.engine import URL, Connection

    from dbmigrate.catalogue import Object, Snapshot
    from dbmigrate.dialects.evidence import Effect, Seen
    from dbmigrate.scanner import Statement

_CONTROL = {
    "BEGIN": Traits(control="begin"),
    "COMMIT": Traits(control="commit"),
    "END": Traits(control="commit"),
}
_OTHER = Traits(control="other")
_OUTSIDE = Traits(atomic=False, outside=True)
_OUTSIDE_PARTIAL = Traits(atomic=False, outside=True, partial=True)
_UNKNOWN = Traits(atomic=False, partial=True, session="unknown")
_CALLS = Traits(session="unknown")
_SET = Traits(session="set")
_LOST = Traits(session="lost")
_LOCK_LOSS = Traits(
    refused="it would give up the lock that keeps other migrators out: leave it out (every migration that changes its "
    "session is followed by a new session)"
)
_STRINGS = Traits(
    refused="with standard_conforming_strings off backslashes escape, and this file could not be cut into statements "
    "for certain: use E'...' strings instead"
)
_ENCODING = Traits(
    refused="scripts are sent as UTF-8, and another client encoding would garble them: write UTF8, or leave it out"
)
_TOUCHY = re.compile(
    r"\b(?:pg_advisory_unlock|pg_(?:try_)?advisory_lock|(?:set_config|standard_conforming_strings|pg_temp)\b)",
    re.IGNORECASE,
)
_LONGEST = 63  # bytes of a name; the server cuts the rest off, and means another database then
#: Classes of SQLSTATE in which CREATE DATABASE and DROP DATABASE have done nothing.
_REFUSALS = {"0A", "22", "25", "28", "42", "55"}
_LOCK_SQL = "(('x' || '{key}')::bit(64)::bigint)"
#: What is true of an advisory lock that somebody has, in pg_locks.
_LOCK_IS = (
    "l.locktype = 'advisory' AND l.granted AND "
    "l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()) AND "
    f"((l.classid::bigint << 32) | l.objid::bigint) = {_LOCK_SQL} AND l.objsubid = 1"
)

#: What REINDEX CONCURRENTLY calls the indexes that it works with.
_COPY = re.compile(r'_cc(?:new|old)\d*"\Z')
#: What the catalogue says of a relation; the first column is the name of an index, or NULL for what was asked about.
_LOOK = {
    "indexes": f"""
SELECT '"' || replace(c.relname, '"', '""') || '"', pg_catalog.pg_get_indexdef(c.oid) ||
    CASE WHEN i.indisvalid AND i.indisready THEN ''
    ELSE '{INVALID}' || pg_catalog.format('%I.%I', n.nspname, c.relname) END
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE i.indrelid = coalesce(
    (SELECT indrelid FROM pg_catalog.pg_index WHERE indexrelid = pg_catalog.to_regclass(:name)),
    pg_catalog.to_regclass(:name))""",
    "index": """
SELECT NULL, pg_catalog.pg_get_indexdef(indexrelid) FROM pg_catalog.pg_index
WHERE indexrelid = pg_catalog.to_regclass(:name)""",
    "partition": """
SELECT NULL, CASE WHEN inhdetachpending THEN 'being detached' ELSE 'attached' END
FROM pg_catalog.pg_inherits WHERE inhrelid = pg_catalog.to_regclass(:name)""",
}


#: What may be the name of a relation in SQL, with a schema or without.
_NAME = re.compile(r'(?:"(?:[^"\n]|"")+"|[^\W\d]\w*)(?:\.(?:"(?:[^"\n]|"")+"|[^\W\d]\w*))?')
_OUT = re.compile(
    r"\b(?:COPY\b.*\bTO\s*(?:PROGRAM\s*)?'|COPY\b.*\bPROGRAM\b|dblink|lo_export|pg_file_|\bsetval\b|pg_logical_emit)",
    re.IGNORECASE | re.DOTALL,
)
_BLOCKERS = """
SELECT DISTINCT a.pid, a.usename, a.client_addr, a.application_name, a.state, a.xact_start
FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_locks l USING (pid)
WHERE l.granted AND a.pid <> pg_backend_pid()
AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
AND l.relation IN (SELECT pg_catalog.to_regclass(name) FROM pg_catalog.regexp_split_to_table(:names, E'\n') AS name)
ORDER BY a.xact_start"""
#: What models can have, as it is dropped, in that order.
_OF_MODELS = {
    "event trigger": "EVENT TRIGGER",
    "table": "TABLE",
    "domain": "DOMAIN",
    "enum": "TYPE",
    "sequence": "SEQUENCE",
}
#: Milliseconds: the longest lock_timeout there is, by which it is known again.
_UNLIMITED = 2**31 - 1


class PostgreSQL(Dialect):
    """PostgreSQL over direct connections."""

    family = "postgresql"
    has_schemas = True
    grammar = POSTGRESQL
    limits = frozenset({"lock_timeout", "statement_timeout"})
    client = Psql()

    def catalogue(self, connection: Connection) -> Iterable[Object]:
        """Give everything in the database."""
        from dbmigrate.dialects.postgresql_catalogue import objects  # noqa: PLC0415 - only where schemas are compared

        return objects(connection)

    def imitate(self, live: Connection, new: Connection, scripts: Sequence[str]) -> Sequence[str]:
        """Give it the extensions and settings of the database, and rights on the schema public."""
        from dbmigrate.dialects.postgresql_shadow import imitate  # noqa: PLC0415 - only where schemas are compared

        return imitate(live, new, scripts, lambda error: _state(error) == "42501")

    def for_shadow(self, text: str, live: str, others: Collection[str]) -> str:  # noqa: ARG002
        """Leave out what belongs to the whole server: roles, databases, tablespaces, its settings, rights on them."""
        return blanked(text, self.grammar, _is_of_the_server)

    def selected(self, taken: Snapshot, is_wanted: Callable[[Object], bool]) -> Snapshot:
        """Have schemas, types, sequences and functions with what names them."""
        from dbmigrate.dialects.postgresql_selected import selected  # noqa: PLC0415 - only for a part of a script

        return selected(taken, is_wanted)

    def make_room(self, objects: Iterable[Object]) -> Iterable[str]:
        """Drop tables with what needs them, their types and sequences, and what would be asked about new ones."""
        found = list(objects)
        for kind, word in _OF_MODELS.items():
            for item in (item for item in found if item.kind == kind):
                name = ".".join(self.quoted(part) for part in (item.schema, item.name) if part)
                yield f"DROP {word} IF EXISTS {name} CASCADE"

    def as_meant(self, objects: Iterable[Object]) -> Iterable[Object]:
        """Write in one way what can be said in several: numbers, texts, the time of the transaction, and no default."""
        from dbmigrate.dialects.postgresql_meaning import meant  # noqa: PLC0415 - only where schemas are compared

        return map(meant, objects)

    def as_named(self, before: Iterable[Object], after: Iterable[Object]) -> Iterable[Object]:
        """Know constraints and the sequences of columns by what they are."""
        from dbmigrate.dialects.postgresql_meaning import as_named  # noqa: PLC0415 - only where schemas are compared

        return as_named(before, after)

    def traits(self, statement: Statement) -> Traits:
        """Judge a statement by its first words."""
        head = statement.head
        first, second = head[0], head[1] if len(head) > 1 else ""
        touched = _touched(statement)
        if touched is not None:
            return touched
        if first in ("CREATE", "ALTER", "DROP", "REINDEX"):
            return _definition(statement)
        if first in _CONTROL or (first, second) == ("START", "TRANSACTION"):
            plain = set(head) <= {first, "TRANSACTION", "WORK"}  # anything else would get lost with the wrapper
            return _CONTROL.get(first, _CONTROL["BEGIN"]) if plain else _OTHER
        if first in ("ROLLBACK", "ABORT"):
            return PLAIN if "TO" in head else _OTHER
        if first == "PREPARE":
            return _OTHER if second == "TRANSACTION" else _LOST
        if first in ("DO", "CALL", "EXECUTE"):
            return _UNKNOWN
        if first in ("SELECT", "WITH", "VALUES"):
            return _CALLS
        if first in ("SET", "RESET"):
            return _settings(statement)
        if first == "DISCARD":
            return _LOCK_LOSS if second == "ALL" else _LOST
        if first == "VACUUM":
            return _OUTSIDE
        if first in ("CLUSTER", "CHECKPOINT"):
            return Traits(atomic=False)
        return _LOST if first in ("LISTEN", "DECLARE", "LOAD", "DEALLOCATE", "UNLISTEN") else PLAIN

    def manage(self, url: URL) -> tuple[str, Sequence[URL]]:
        """Go through `postgres`, which is there for that, or `template1`, which always is."""
        name = str(url.database)
        if len(name.encode()) > _LONGEST:
            raise ConfigurationError(
                f"the name {name!r} is longer than {_LONGEST} bytes, and PostgreSQL would cut it: choose a shorter one"
            )
        return name, [url.set(database=other) for other in ("postgres", "template1")]

    def is_system(self, name: str) -> bool:
        """Tell what initdb makes."""
        return name in ("postgres", "template0", "template1")

    def has_database(self, connection: Connection, name: str) -> bool:
        """Look into pg_database, which everybody may read."""
        sql = text("SELECT count(*) FROM pg_catalog.pg_database WHERE datname = :name")
        return bool(connection.execute(sql, {"name": name}).scalar_one())

    def create_database(self, connection: Connection, name: str) -> bool:
        """Create it; duplicate_database says that it is there, and so does unique_violation where two do so at once."""
        return send_unless(
            connection, f"CREATE DATABASE {self.quoted(name)}", lambda error: _state(error) in ("42P04", "23505")
        )

    def drop_database(self, connection: Connection, name: str, *, force: bool) -> bool:
        """Drop it; the server waits for 5 s for sessions that are about to end."""
        if force and (connection.dialect.server_version_info or ()) < (13,):
            raise ConfigurationError("force needs PostgreSQL 13: end the sessions on the database, and drop it without")
        sql = f"DROP DATABASE {self.quoted(name)}{' WITH (FORCE)' if force else ''}"
        try:
            return send_unless(connection, sql, lambda error: _state(error) == "3D000")
        except DBAPIError as error:
            if _state(error) != "55006" or force:
                raise
            sessions = text("SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = :name")
            count = connection.execute(sessions, {"name": name}).scalar_one()
            raise ConfigurationError(
                f"the database {name!r} is in use, and was not dropped: {self.message(error)}. Sessions on it now: "
                f"{count}. End them, or pass force=True, which does. Nothing was changed"
            ) from error

    def list_databases(self, connection: Connection, prefix: str) -> Sequence[str]:
        """Look into pg_database, which everybody may read."""
        sql = text("SELECT datname FROM pg_catalog.pg_database WHERE left(datname, length(:prefix)) = :prefix")
        return [str(name) for (name,) in connection.execute(sql, {"prefix": prefix})]

    def contents(self, connection: Connection, last: str) -> Sequence[str]:
        """Ask what would be dropped, which is more than a snapshot tells of, and less: not what this user may not."""
        from dbmigrate.dialects.postgresql_empty import contents  # noqa: PLC0415 - only where schemas are compared

        return contents(connection, last)

    def empty_database(self, connection: Connection, name: str, last: str) -> None:  # noqa: ARG002
        """Drop what is in it: who owns a database may not be permitted to create it anew."""
        from dbmigrate.dialects.postgresql_empty import empty  # noqa: PLC0415 - only where schemas are compared

        empty(connection, last)

    def stay(self, connection: Connection) -> None:
        """Switch its limit off, where there is one."""
        send_unless(connection, "SET idle_session_timeout = 0", lambda error: _state(error) == "42704")

    def end_sessions(self, connection: Connection, name: str) -> None:
        """End those that this user may end, but for the one that asks."""
        sql = text(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity "
            "WHERE datname = :name AND pid <> pg_catalog.pg_backend_pid() AND pg_catalog.pg_has_role(usesysid, 'USAGE')"
        )
        connection.execute(sql, {"name": name}).all()

    def copy_database(self, connection: Connection, source: str, target: str) -> bool:
        """Take it as the template, for which the server wants it to be without sessions; it waits 5 s for that."""
        sql = f"CREATE DATABASE {self.quoted(target)} TEMPLATE {self.quoted(source)}"
        try:
            return send_unless(connection, sql, lambda error: _state(error) in ("42P04", "23505"))
        except DBAPIError as error:
            if _state(error) != "55006":
                raise
            raise ConfigurationError(
                f"the database {source!r} is in use, and was not copied: {self.message(error)}. End the sessions on "
                "it. There is no copy"
            ) from error

    def is_refusal(self, error: DBAPIError) -> bool:
        """Go by the class of the SQLSTATE: not by one that says that something broke, or was stopped, half-way."""
        return (_state(error) or "")[:2] in _REFUSALS

    def is_shared(self, connection: Connection) -> bool:
        """Ask the driver, where it knows; what a hook set without COMMIT would be gone with the first rollback."""
        info: Any = getattr(connection.connection.dbapi_connection, "info", None)
        return info is not None and info.transaction_status != 0

    def check(self, connection: Connection) -> None:
        """Refuse strings in which a backslash escapes."""
        if scalar(connection, "SELECT pg_catalog.current_setting('standard_conforming_strings')") != "on":
            raise ConfigurationError(
                "standard_conforming_strings is off for this role, database or connection, and scripts cannot be cut "
                "into statements for certain then: switch it on"
            )

    def behind(self, connection: Connection) -> Dialect:
        """Recognise a pooler by this: statements do not run in the process that the driver was told of."""
        mine = _process(connection.connection.dbapi_connection)
        if mine in (None, scalar(connection, "SELECT pg_catalog.pg_backend_pid()")):
            return self
        if connection.dialect.driver == "pg8000":
            raise ConfigurationError(
                "this connection goes through a pooler, and pg8000 sends a statement and its values apart, which may "
                "reach two sessions: use psycopg, or give dbmigrate a URL that leads directly to the server"
            )
        from dbmigrate.dialects.pooled import pooled  # noqa: PLC0415 - seldom needed

        twin = pooled(self)
        twin.autocommit(connection)
        return twin

    def limit(self, connection: Connection, name: str, seconds: float) -> Sequence[str]:  # noqa: ARG002
        """Set it in milliseconds, for this session."""
        return (f"SET {name} = {_milliseconds(seconds)}",)

    def settings(self, connection: Connection) -> Sequence[str]:
        """Look for names where this connection does, and read strings and characters as it does."""
        path = scalar(connection, "SELECT pg_catalog.current_setting('search_path')")
        return (
            "SET client_encoding = 'UTF8'",
            "SET standard_conforming_strings = on",
            f"""SET search_path = {path or "''"}""",
        )

    def home(self, connection: Connection, table: str) -> str | None:
        """Return the schema where the search path finds the ledger, else the one where it would create it.

        The first matters: a schema named like the role comes into the path as soon as somebody creates it.
        """
        found = connection.execute(
            text(
                "SELECT coalesce((SELECT nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n "
                "ON n.oid = c.relnamespace WHERE c.relname = :name AND n.nspname = ANY (current_schemas(false)) "
                "ORDER BY array_position(current_schemas(false), n.nspname) LIMIT 1), current_schema())"
            ),
            {"name": table},
        ).scalar_one()
        if found is None:
            raise ConfigurationError(
                "the search_path of this connection names no schema that exists: create it, or name the ledger with "
                "its schema, as in TableLedger('dbmigrate_ledger', schema='public')"
            )
        return str(found)

    def lock_key(self, home: str | None, table: str) -> str:
        """Return the first 64 bits of the hash; advisory locks are per database already."""
        return super().lock_key(home, table)[:16]

    def lock_sql(self, key: str) -> str:
        """Ask for the advisory lock; over a caller's connection for the one that ends with the transaction."""
        kind = "lock" if self.waits and self.has_session else "xact_lock"
        return f"pg_catalog.pg_try_advisory_{kind}({_LOCK_SQL.format(key=key)})"

    def unlock(self, connection: Connection, key: str) -> None:
        """Give the advisory lock back, unless it ends with the caller's transaction."""
        if self.waits:
            send(connection, f"SELECT pg_catalog.pg_advisory_unlock({_LOCK_SQL.format(key=key)})")

    def holder(self, connection: Connection, key: str) -> str | None:
        """Describe the session in pg_stat_activity that has the lock."""
        found = rows(
            connection,
            "SELECT a.pid, a.usename, a.client_addr, a.application_name, a.backend_start "
            "FROM pg_catalog.pg_stat_activity a JOIN pg_catalog.pg_locks l USING (pid) "
            f"WHERE {_LOCK_IS.format(key=key)}",
        )
        if not found:
            return None
        pid, user, address, application, since = found[0]
        return f"process {pid} of {user} from {address or 'this host'} ({application or 'no name'}), since {since}"

    def has_lock(self, connection: Connection, key: str) -> bool:
        """Look into pg_locks; where that is not possible any more, the lock is gone too."""
        mine = f"l.pid = pg_backend_pid() AND {_LOCK_IS.format(key=key)}"
        try:
            return bool(scalar(connection, f"SELECT count(*) FROM pg_catalog.pg_locks l WHERE {mine}"))
        except DBAPIError:
            return False

    def session_id(self, connection: Connection) -> str | None:
        """Return the server process and when it started, unless that is hidden: behind SET ROLE it is."""
        sql = (
            "SELECT pid || '@' || coalesce(CAST(extract(epoch FROM backend_start) AS text), '') "
            "FROM pg_catalog.pg_stat_activity WHERE pid = pg_backend_pid()"
        )
        return str(scalar(connection, sql))

    def is_alive(self, connection: Connection, session: str) -> bool:
        """Look for that process, started at that time."""
        pid, _, start = session.partition("@")
        return bool(
            connection.execute(
                text(
                    "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE pid = :pid AND pid <> pg_backend_pid() "
                    "AND (:start = '' OR coalesce(CAST(extract(epoch FROM backend_start) AS text), :start) = :start)"
                ),
                {"pid": int(pid), "start": start},
            ).scalar_one()
        )

    def is_running(self, connection: Connection, sql: Sequence[str]) -> bool:
        """Look for it among what sessions are at, of which the server shows no more than the beginning."""
        return bool(
            connection.execute(
                text(
                    "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND state = 'active' AND query <> '' "
                    "AND EXISTS (SELECT FROM unnest(CAST(:sql AS text[])) s WHERE starts_with(s, query))"
                ),
                {"sql": list(sql)},
            ).scalar_one()
        )

    def drain(self, cursor: object) -> None:
        """Read nothing: the drivers have it all already, and Python has no value for some (infinity, years BC)."""

    def sparing(self, connection: Connection) -> AbstractContextManager[object]:
        """Use a savepoint, for an error aborts the whole transaction; in autocommit there is none."""
        is_open = connection.in_transaction() and not getattr(
            connection.connection.dbapi_connection, "autocommit", False
        )
        return connection.begin_nested() if is_open else nullcontext()

    def is_missing_table(self, error: DBAPIError) -> bool:
        """Tell undefined_table; also invalid_schema_name."""
        return _state(error) in ("42P01", "3F000")

    def is_conflict(self, error: DBAPIError) -> bool:
        """Tell unique_violation, and what CREATE TABLE IF NOT EXISTS says when two run at once."""
        return _state(error) in ("23505", "42P07", "42710", "XX000") or self.is_transient(error)

    def is_spoiled(self, error: DBAPIError) -> bool:
        """Tell in_failed_sql_transaction."""
        return _state(error) == "25P02"

    def is_transient(self, error: DBAPIError) -> bool:
        """Tell serialization_failure, deadlock_detected and lock_not_available."""
        return _state(error) in ("40001", "40P01", "55P03")

    def reaches_out(self, statement: Statement) -> bool:
        """Tell COPY to a file or program, and the functions that are known for it."""
        return _OUT.search(statement.text) is not None

    def blockers(self, connection: Connection, sql: str) -> Sequence[str]:
        """Describe the sessions in pg_stat_activity that have locks on relations that a statement may name."""
        found = connection.execute(text(_BLOCKERS), {"names": "\n".join(dict.fromkeys(_NAME.findall(sql[:10_000])))})
        return [
            f"process {pid} of {user} from {address or 'this host'} ({application or 'no name'}), {state} since {since}"
            for pid, user, address, application, state, since in found
        ]

    def patience(self, statement: Statement, seconds: float) -> tuple[str, ...]:
        """Lift it for what is done CONCURRENTLY, unless the script has set it: it would leave something INVALID."""
        if self.traits(statement) is not _OUTSIDE_PARTIAL:
            return ()
        set_it = "UPDATE pg_catalog.pg_settings SET setting = '{}' WHERE name = 'lock_timeout' AND setting = '{}'"
        limit = _milliseconds(seconds)
        return (set_it.format(_UNLIMITED, limit), set_it.format(limit, _UNLIMITED))

    def had_no_effect(self, error: DBAPIError) -> bool:
        """Tell syntax errors, a name that is taken, and what is refused inside a transaction.

        Not other errors about names: a function that an index calls can raise them half-way.
        """
        return _state(error) in ("42601", "42P07", "25001")

    def effect(self, statement: Statement) -> Effect | None:
        """Go by the text."""
        return effect(statement)

    def look(self, connection: Connection, effect: Effect) -> Seen | None:
        """Ask for the indexes of a table, each with its definition and whether it can be used; or for what is named."""
        found: dict[str, str] = {}
        for place in effect.places:
            kind, _, name = place.partition(" ")
            for what, value in connection.execute(text(_LOOK[kind]), {"name": name}):
                # what cannot be used is no index yet, to whoever looks for one
                kind = "invalid index" if INVALID in str(value) else "index"
                found[place if what is None else f"{kind} {what}"] = str(value)
        return found

    def leftovers(self, effect: Effect, before: Seen, now: Seen) -> Sequence[str]:
        """Drop what CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY made and did not complete, by its very name.

        Another one that is invalid may be somebody else's, who is building it just now.
        """
        found = (thing for thing in now.keys() - before.keys() if thing.startswith("invalid "))
        ours = (
            t for t in found if t.removeprefix("invalid ") in effect.appears or (effect.repeatable and _COPY.search(t))
        )
        return [f"DROP INDEX CONCURRENTLY {now[thing].partition(INVALID)[2]}" for thing in ours]

    def objection(self, effect: Effect, seen: Seen) -> str | None:
        """Object to IF NOT EXISTS where there is an index of that name, and it is of no use."""
        broken = [
            seen[f"invalid {thing}"].partition(INVALID)[2] for thing in effect.appears if f"invalid {thing}" in seen
        ]
        if not effect.optional or not broken:
            return None
        return (
            f"the index {broken[0]} is there and INVALID, left by a CREATE INDEX CONCURRENTLY that failed, and IF NOT "
            f"EXISTS would leave it so: run DROP INDEX CONCURRENTLY {broken[0]} first"
        )

    def message(self, error: DBAPIError) -> str:
        """Return the primary message and the detail, without the server's own excerpt of the statement."""
        parts = [_field(error, name) for name in ("message_primary", "message_detail", "message_hint")]
        found = ". ".join(part.rstrip(".") for part in parts if part)
        return f"{found} ({_state(error)})" if found else super().message(error)

    def hint(self, error: DBAPIError) -> str | None:
        """Explain insufficient_privilege, active_sql_transaction, and a new enum label used too early."""
        if _state(error) == "42501":
            return NO_RIGHT
        if _state(error) == "25001":
            return "it cannot run in a transaction: put the line -- dbmigrate: no-transaction at the head of the file"
        if _state(error) == "55P04":
            return "a new enum value can be used only after it is committed: move what uses it to the next migration"
        return None

    def locate(self, error: DBAPIError, statement: Statement) -> int | None:  # noqa: ARG002
        """Take the server's position: characters from 1 in the statement as it was sent."""
        found = _field(error, "statement_position")
        return int(found) - 1 if found else None


def _is_of_the_server(words: Sequence[str]) -> bool:
    first, second, third = [*words, "", "", ""][:3]
    if first in ("CREATE", "ALTER", "DROP"):
        belongs = ("ROLE", "USER", "GROUP", "TABLESPACE", "DATABASE", "SUBSCRIPTION", "SYSTEM", "OWNED")
        return second in belongs and third != "MAPPING"
    if first in ("GRANT", "REVOKE"):
        return "ON" not in words or words[words.index("ON") + 1 :][:1] in (["DATABASE"], ["TABLESPACE"], ["PARAMETER"])
    return (first, second) == ("REASSIGN", "OWNED") or (
        first in ("COMMENT", "SECURITY") and bool({"DATABASE", "ROLE", "TABLESPACE"} & {*words[1:5]})
    )


def _milliseconds(seconds: float) -> int:
    return max(int(seconds * 1000), 1)


def _touched(statement: Statement) -> Traits | None:
    """Judge what any statement can do to the session by what it names; a routine's text does not run yet."""
    head = statement.head
    named = {word.upper() for word in _TOUCHY.findall(statement.text)}
    if not named or (head[0] == "CREATE" and {"FUNCTION", "PROCEDURE"} & set(head[:4])):
        return None
    if "PG_ADVISORY_UNLOCK" in named:
        return _LOCK_LOSS
    if named >= {"SET_CONFIG", "STANDARD_CONFORMING_STRINGS"}:
        return _STRINGS
    if head[0] in ("SET", "RESET", "DO", "CALL"):
        return None
    locks = {"PG_ADVISORY_LOCK", "PG_TRY_ADVISORY_LOCK"} & named
    return _LOST if "PG_TEMP" in named or locks else _SET if "SET_CONFIG" in named else None


def _definition(statement: Statement) -> Traits:
    head = statement.head
    if "CONCURRENTLY" in head and ("INDEX" in head or head[0] == "REINDEX"):
        return _OUTSIDE_PARTIAL
    if head[0] == "REINDEX":
        return Traits(atomic=False, outside=head[1:2] in (("DATABASE",), ("SYSTEM",)), partial=True)
    if head[1:2] in (("DATABASE",), ("TABLESPACE",), ("SYSTEM",), ("SUBSCRIPTION",)):
        never = head[1] == "SYSTEM" or (head[0] != "ALTER" and head[1] != "SUBSCRIPTION")
        return Traits(atomic=False, outside=never)
    if head[:2] == ("ALTER", "TABLE") and "CONCURRENTLY" in statement.text.upper():
        return _OUTSIDE_PARTIAL
    what = head[3:4] if head[1:3] == ("OR", "REPLACE") else head[1:2]
    if head[0] == "CREATE" and what in (("TEMP",), ("TEMPORARY",), ("LOCAL",), ("GLOBAL",)):
        return _LOST
    return PLAIN


def _settings(statement: Statement) -> Traits:
    head = statement.head
    if {"CLIENT_ENCODING", "NAMES"} & set(head) and head[0] == "SET" and "UTF" not in statement.text.upper():
        return _ENCODING
    if head[0] == "SET" and head[1:2] in (("LOCAL",), ("TRANSACTION",), ("CONSTRAINTS",)) and len(head) > 2:  # noqa: PLR2004
        return _STRINGS if _disables_strings(head) else PLAIN
    return _STRINGS if _disables_strings(head) else _SET


def _disables_strings(head: Sequence[str]) -> bool:
    value = head[-1].strip("'").upper()
    return "STANDARD_CONFORMING_STRINGS" in head and value in ("OFF", "FALSE", "0", "NO")


def _process(raw: Any) -> int | None:  # noqa: ANN401 - the driver's connection
    """Return the server process that the driver was told when it connected, where it says."""
    key: bytes | None = getattr(raw, "_backend_key_data", None)  # pg8000: process and secret, as they came
    return int.from_bytes(key[:4], "big") if key else getattr(getattr(raw, "info", None), "backend_pid", None)


#: The fields of an error as the protocol has them (postgresql.org/docs/current/protocol-error-fields.html).
_FIELDS = {
    "sqlstate": "C",
    "message_primary": "M",
    "message_detail": "D",
    "message_hint": "H",
    "statement_position": "P",
}


def _field(error: DBAPIError, name: str) -> str | None:
    """Return a field of what the server said: psycopg has an object for it, pg8000 a dictionary."""
    orig: Any = error.orig
    if orig is not None and orig.args and isinstance(orig.args[0], dict):
        return orig.args[0].get(_FIELDS[name])
    return getattr(getattr(orig, "diag", None), name, None)


def _state(error: DBAPIError) -> str | None:
    orig: Any = error.orig
    return getattr(orig, "sqlstate", None) or getattr(orig, "pgcode", None) or _field(error, "sqlstate")


DIALECT = PostgreSQL()
