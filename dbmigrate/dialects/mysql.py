"""MariaDB and MySQL.

DDL commits by itself, even when it fails, so only a script of nothing but DML is a transaction; every other step is
journalled. The lock is GET_LOCK on the connection that does the work, asked for without waiting: it survives COMMIT
and DDL, and the server gives it up when the session ends and its last statement with it.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, text
from sqlalchemy.exc import DBAPIError

from dbmigrate.catalogue import Object, made
from dbmigrate.dialects.base import NO_RIGHT, Dialect, rows, scalar, send, send_unless
from dbmigrate.dialects.client import MariaDB
from dbmigrate.dialects.mysql_effects import KINDS, effect, parts
from dbmigrate.dialects.mysql_grammar import MYSQL
from dbmigrate.errors import ConfigurationError
from dbmigrate.scanner import ScriptError, blanked, statements, tokens
from dbmigrate.script import PLAIN, Traits

if TYPE_CHECKING:
    from collections.abc import Collection, Generator, Iterable, Sequence

    from sqlalchemy.engine import URL, Connection

    from dbmigrate.dialects.evidence import Effect, Seen
    from dbmigrate.scanner import Statement

_DDL = Traits(atomic=False, commits_before=True)
_PARTIAL = Traits(atomic=False, commits_before=True, partial=True)
_OTHERS = Traits(atomic=False, partial=True)
#: What CREATE, ALTER and DROP do as a whole or not at all when the server reports an error.
_WHOLE = {
    *("TABLE", "INDEX", "UNIQUE", "FULLTEXT", "SPATIAL", "VIEW", "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT"),
    *("DEFINER", "ALGORITHM", "SEQUENCE", "SQL"),
}
#: Access to a database, a table, a column, a routine; what wants SUPER or the like.
_DENIED = (1044, 1142, 1143, 1227, 1370)
_LOCK_FUNCTIONS = re.compile(r"RELEASE_(?:ALL_)?LOCKS?", re.IGNORECASE)
_READ_ONLY = {"information_schema", "performance_schema"}
#: What stands before a dot.
_QUALIFIER = re.compile(r"([\w$]+)`?\s*\.")
_ROW_COUNT = re.compile(r"\bROW_COUNT\b", re.IGNORECASE)
#: What is in these is about their own statements.
_BLOCKS = {"CREATE", "ALTER", "BEGIN", "IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR"}
_UNKNOWN = Traits(atomic=False, partial=True, session="unknown")
_BEGIN, _COMMIT, _OTHER = Traits(control="begin"), Traits(control="commit"), Traits(control="other")
_SET, _LOST, _CALLS = Traits(session="set"), Traits(session="lost"), Traits(session="unknown")
_LOCK_LOSS = Traits(refused="it would give up the lock that keeps other migrators out: leave it out")
_LOCK_TABLES = Traits(
    refused="while tables are locked the ledger cannot be written: leave it out (a migration has the lock of dbmigrate)"
)
_CHARSET = Traits(
    refused="scripts are sent as UTF-8, and another character set would garble them: write utf8mb4, or leave it out"
)
_QUOTES = Traits(
    refused="ANSI_QUOTES and NO_BACKSLASH_ESCAPES change what a quote means, and this file could not be cut into "
    "statements for certain: leave it out"
)
_NEXT_TRANSACTION = Traits(
    refused="it is about the next transaction, and one is open already, with dbmigrate's own rows in it: write "
    "SET SESSION TRANSACTION, or leave it out"
)
_DML = {
    *("INSERT", "UPDATE", "DELETE", "REPLACE", "VALUES", "SAVEPOINT", "RELEASE", "LOAD", "SHOW", "EXPLAIN"),
    *("DESCRIBE",),
}
_STRANGE_MODES = ("ANSI_QUOTES", "NO_BACKSLASH_ESCAPES")
#: Modes of which ANSI_QUOTES is a part.
_COMBINED_MODES = ("ANSI", "ORACLE", "MSSQL", "DB2", "MAXDB", "POSTGRESQL")
_MODE_NUMBER = re.compile(r"SQL_MODE\W{0,9}\d")
_SYSTEM = ("mysql", "information_schema", "performance_schema", "sys")
#: What CREATE DATABASE and DROP DATABASE say when they have done nothing: rights, names, a server that is read-only.
_REFUSALS = {1044, 1045, 1049, 1059, 1064, 1102, 1142, 1227, 1290, 1792, 1836, 4166}
_DROP_WAIT = 5  # seconds, as PostgreSQL
#: What SHOW CREATE says when there is no such thing, or none of that kind.
_MISSING = {1049, 1146, 1305, 1347, 1360, 1539, 4089, 4091}
_AT_LINE = re.compile(r"at line (\d+)\)?\Z")


#: What may be the name of a table.
_NAME = re.compile(r"(?:(?<=`)[^`\n]+(?=`))|\w+")
_WHO = (
    "SELECT DISTINCT p.id, p.user, p.host, p.command, p.time "
    "FROM {} JOIN information_schema.processlist p ON p.id = {} "
    "WHERE {} = DATABASE() AND {} IN :names AND p.id <> CONNECTION_ID() ORDER BY p.time DESC"
)
_LOCK_INFO = _WHO.format("information_schema.metadata_lock_info l", "l.thread_id", "l.table_schema", "l.table_name")
_METADATA_LOCKS = _WHO.format(
    "performance_schema.metadata_locks l JOIN performance_schema.threads t ON t.thread_id = l.owner_thread_id",
    "t.processlist_id",
    "l.object_schema",
    "l.object_name",
)
#: What stands for itself, as it is dropped, in that order.
_WHOLE_THINGS = {
    "view": "VIEW",
    "table": "TABLE",
    "sequence": "SEQUENCE",
    "event": "EVENT",
    "procedure": "PROCEDURE",
    "function": "FUNCTION",
    "aggregate": "FUNCTION",
    "package": "PACKAGE",
}
#: How statements begin that are about the whole server; and what else they may start or stop there.
_OF_SERVERS = {
    *("USE", "INSTALL", "UNINSTALL", "FLUSH", "PURGE", "CHANGE", "KILL", "SHUTDOWN", "RESET", "BACKUP", "CLONE"),
    *("RESTART", "BINLOG"),
}
_SERVICES = ("SLAVE", "ALL", "REPLICA", "GROUP_REPLICATION")
#: What stands before the name of a table that is only read.
_READ = ("FROM", "JOIN", "REFERENCES", "LIKE")
_PROGRAMS = {"function", "aggregate", "procedure", "package", "trigger", "event"}
#: What runs with somebody's rights.
_DEFINED = {*_PROGRAMS, "view"}


class MySQL(Dialect):
    """MariaDB and MySQL over direct connections, on a single server."""

    family = "mysql"
    grammar = MYSQL
    transactional_ddl = False
    begin_sql = "START TRANSACTION"
    text_type = "LONGTEXT"
    time_type = "DATETIME(6)"
    table_options = " ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"
    limits = frozenset({"lock_timeout", "statement_timeout"})
    quote = "`"
    client = MariaDB()

    def catalogue(self, connection: Connection) -> Iterable[Object]:
        """Give everything in the database."""
        from dbmigrate.dialects.mysql_catalogue import objects  # noqa: PLC0415 - only where schemas are compared

        return objects(connection)

    def imitate(self, live: Connection, new: Connection, scripts: Sequence[str]) -> Sequence[str]:
        """Give it the default character set and collation, which tables have that say nothing of it."""
        if any(_alters_database(text) for text in scripts):
            return ()  # it had others before
        charset, collation = rows(live, "SELECT @@character_set_database, @@collation_database")[0]
        name = self.quoted(new.engine.url.database or "")
        send(new, f"ALTER DATABASE {name} CHARACTER SET {charset} COLLATE {collation}")
        return ()

    def for_shadow(self, text: str, live: str, others: Collection[str]) -> str:
        """Leave out what belongs to the whole server (users, databases, USE, its settings), and the name of `live`."""
        names = {name.casefold() for name in others}
        if written := _written(text, names) or _sent(text, names | {live.casefold()}):
            raise ValueError(f"it names another database, and would write there: {written}")
        found = list(tokens(blanked(text, self.grammar, _is_of_the_server), self.grammar))
        kept = [piece for _, piece, _ in found]
        told = [number for number, (kind, _, _) in enumerate(found) if kind not in ("space", "comment")]
        words = ["", "", *(kept[number].upper() for number in told), ""]
        for place, number in enumerate(told):
            kind, piece, _ = found[number]
            before, after = words[place : place + 2], words[place + 3]
            if (
                kind not in ("word", "name")
                or piece.strip("`").casefold() != live.casefold()
                or before[1] in (".", "@")
            ):
                continue
            if after == ".":
                kept[told[place + 1]] = " "
            elif before not in (["ALTER", "DATABASE"], ["ALTER", "SCHEMA"]):
                continue
            kept[number] = " " * len(piece)
        return "".join(kept)

    def elsewhere(self, text: str, others: Collection[str]) -> str:
        """Look for USE too."""
        for statement in statements(text, self.grammar):
            if statement.head[0] == "USE" and "".join(statement.head[1:2]).strip("`").casefold() in others:
                return " ".join(statement.head[:2])
        return _written(text, others) or _sent(text, others)

    def is_same(self, connection: Connection, one: str, other: str) -> bool:
        """Ask the server whether case counts."""
        if scalar(connection, "SELECT @@lower_case_table_names"):
            return one.casefold() == other.casefold()
        return one == other

    def leave(self, new: Connection) -> None:
        """Revoke rights on its tables and routines, which outlive them."""
        for grantee, table, may_grant in rows(
            new,
            "SELECT GRANTEE, TABLE_NAME, IS_GRANTABLE FROM information_schema.table_privileges "
            "WHERE TABLE_SCHEMA = DATABASE() UNION "
            "SELECT GRANTEE, TABLE_NAME, IS_GRANTABLE FROM information_schema.column_privileges "
            "WHERE TABLE_SCHEMA = DATABASE()",
        ):
            of = f"ON {self.quoted(table)} FROM " + grantee.removesuffix("@''")  # a role has no host
            send(new, f"REVOKE ALL PRIVILEGES {of}")
            if may_grant == "YES":  # which is not among all
                send(new, f"REVOKE GRANT OPTION {of}")
        for kind, name in rows(
            new,
            "SELECT ROUTINE_TYPE, ROUTINE_NAME FROM information_schema.routines "
            "WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_TYPE IN ('FUNCTION', 'PROCEDURE')",
        ):
            send(new, f"DROP {kind} {self.quoted(name)}")  # with the rights on it, which no such table tells

    def as_meant(self, objects: Iterable[Object]) -> Iterable[Object]:
        """Have the check of a column as one of its table."""
        for item in objects:
            said = dict(item.properties)
            check = said.pop("check", None) if item.kind == "column" else None
            if check is not None:
                yield made("check", str(check).replace("`", ""), {"definition": check}, table=item.table)
            yield replace(item, properties=tuple(said.items()))

    def make_room(self, objects: Iterable[Object]) -> Iterable[str]:
        """Drop tables, and then the sequences that they took numbers from."""
        kinds, found = ("table", "sequence"), sorted(objects, key=lambda item: item.kind, reverse=True)
        yield "SET SESSION foreign_key_checks = 0"
        yield from (f"DROP {item.kind} {self.quoted(item.name)}" for item in found if item.kind in kinds)
        yield "SET SESSION foreign_key_checks = 1"

    def lasting(self, item: Object) -> Object:
        """Leave out when an event begins and ends, which may be relative to when it was made.

        Programs are written with few spaces: the name of the database leaves some where it stood (see for_shadow).
        """
        if item.kind not in _PROGRAMS:
            return item
        said = dict(_without(item, "at", "starts", "ends").properties)
        said |= {name: _with_few_spaces(str(said[name])) for name in ("definition", "body") if name in said}
        return replace(item, properties=tuple(said.items()))

    def alike(self, expected: Iterable[Object], found: Iterable[Object]) -> tuple[Iterable[Object], Iterable[Object]]:
        """Leave out events that the server drops when they are over, and the definer that is whoever migrated.

        That is the one whose rights most of the things have that the migrations name no definer of: the server does not
        tell who made them.
        """
        made, there = {item.key: item for item in expected}, list(found)
        known = {item.key for item in there}
        wanted = [item for item in made.values() if item.key in known or not _is_dropped_at_its_end(item)]
        unsaid = {key for key, item in made.items() if item.kind in _DEFINED and not item.get("definer")}
        definers = Counter(item.get("definer") for item in there if item.key in unsaid)
        migrated = max(definers, key=lambda name: (definers[name], name is None, str(name)), default=None)
        there = [
            _without(item, "definer") if item.key in unsaid and item.get("definer") == migrated else item
            for item in there
        ]
        return super().alike(wanted, there)

    def traits(self, statement: Statement) -> Traits:
        """Judge a statement by its first words, and by whether it asks for ROW_COUNT and keeps the answer."""
        found = self._traits(statement)
        shown = statement.head[0] == "SELECT" and found.session != "lost" and ":=" not in statement.text
        return replace(found, looks_back=True) if not shown and _looks_back(statement) else found

    def _traits(self, statement: Statement) -> Traits:  # noqa: C901, PLR0912 - a table of words
        """Judge a statement by its first words: what is not known to be DML commits."""
        head = statement.head
        first, second = head[0], head[1] if len(head) > 1 else ""
        routine = first in ("CREATE", "ALTER") and not {"TABLE", "TEMPORARY"} & set(head)
        if not routine and _LOCK_FUNCTIONS.search(statement.text):
            return _LOCK_LOSS
        if first in _DML:
            return _CALLS if ":=" in statement.text else PLAIN
        if first in ("SELECT", "WITH", "DO"):
            upper = statement.text.upper()
            return _LOST if "INTO" in upper and "@" in upper else _CALLS
        if first == "SET":
            return _setting(statement)
        if first == "USE":
            return _SET
        if first == "BEGIN" and second != "NOT":
            return _BEGIN
        if (first, second) == ("START", "TRANSACTION"):
            return _BEGIN
        if first == "COMMIT":
            return _OTHER if "CHAIN" in head or "RELEASE" in head else _COMMIT
        if first == "ROLLBACK":
            return PLAIN if "TO" in head else _OTHER
        if first == "XA":
            return _OTHER
        if first in ("PREPARE", "DEALLOCATE", "HANDLER"):
            return _LOST
        if first in ("CREATE", "DROP") and "TEMPORARY" in (second, *head[3:4] * (head[1:3] == ("OR", "REPLACE"))):
            return _LOST
        if first == "LOCK" or (first, second) == ("FLUSH", "TABLES"):
            return _LOCK_TABLES
        if first in ("CALL", "EXECUTE", "BEGIN", "IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR"):
            return _UNKNOWN
        if first not in ("CREATE", "ALTER", "DROP", "RENAME", "TRUNCATE"):
            return _OTHERS
        several = first in ("DROP", "RENAME") and "," in statement.text
        replaced = head[1:3] == ("OR", "REPLACE")
        what = head[3] if replaced and len(head) > 3 else second  # noqa: PLR2004
        whole = first == "TRUNCATE" or (what in _WHOLE and not (replaced and what in ("TABLE", "SEQUENCE")))
        return _DDL if whole and not several else _PARTIAL

    def manage(self, url: URL) -> tuple[str, Sequence[URL]]:
        """Connect to no database."""
        return str(url.database), [url.set(database="")]

    def is_system(self, name: str) -> bool:
        """Tell what comes with the server, in capitals too: whether they matter is its own affair."""
        return name.lower() in _SYSTEM

    def has_database(self, connection: Connection, name: str) -> bool:
        """Go into it: lists leave out what this user may not see, and an error tells that from what is not there."""
        return send_unless(connection, f"USE {self.quoted(name)}", lambda error: _code(error) == 1049)  # noqa: PLR2004

    def create_database(self, connection: Connection, name: str) -> bool:
        """Create it."""
        return send_unless(connection, f"CREATE DATABASE {self.quoted(name)}", lambda error: _code(error) == 1007)  # noqa: PLR2004

    def drop_database(self, connection: Connection, name: str, *, force: bool) -> bool:  # noqa: ARG002
        """Drop it. Sessions are not in the way, with force or without; the locks of their transactions are."""
        send(connection, f"SET SESSION lock_wait_timeout = {_DROP_WAIT}")
        try:
            return send_unless(connection, f"DROP DATABASE {self.quoted(name)}", lambda error: _code(error) == 1008)  # noqa: PLR2004
        except DBAPIError as error:
            if _code(error) != 1205:  # noqa: PLR2004
                raise
            raise ConfigurationError(
                f"the database {name!r} was not dropped: others hold locks on tables of it, and did not give them up "
                f"within {_DROP_WAIT} s ({self.message(error)}). End their transactions (SHOW PROCESSLIST, KILL): "
                "force does not do that here. Nothing was changed"
            ) from error

    def list_databases(self, connection: Connection, prefix: str) -> Sequence[str]:
        """Ask for those that this user may see."""
        sql = text("SELECT SCHEMA_NAME FROM information_schema.schemata WHERE LEFT(SCHEMA_NAME, :length) = :prefix")
        return [str(name) for (name,) in connection.execute(sql, {"prefix": prefix, "length": len(prefix)})]

    def empty_database(self, connection: Connection, name: str, last: str) -> None:  # noqa: ARG002
        """Drop what this user sees: with the database would go what it does not see, too."""
        send(connection, f"SET SESSION lock_wait_timeout = {_DROP_WAIT}")
        send(connection, "SET SESSION foreign_key_checks = 0")
        found = [(item.kind, item.name) for item in self.catalogue(connection) if item.name != last]
        for kind, word in _WHOLE_THINGS.items():
            for item in (item for found_kind, item in found if found_kind == kind):
                send(connection, f"DROP {word} IF EXISTS {self.quoted(item)}")
        send(connection, f"DROP TABLE IF EXISTS {self.quoted(last)}")

    def stay(self, connection: Connection) -> None:
        """Have the server wait for a year, which is the longest."""
        send(connection, "SET SESSION wait_timeout = 31536000")

    def end_sessions(self, connection: Connection, name: str) -> None:
        """End them, as far as they are this user's or it has the right to."""
        # as bytes: as text names are equal that differ in case, and are two databases
        sql = text(
            "SELECT id FROM information_schema.processlist WHERE CAST(db AS BINARY) = CAST(:name AS BINARY) "
            "AND id <> CONNECTION_ID()"
        )
        for (number,) in connection.execute(sql, {"name": name}).all():
            # it has ended, or is not this user's to end
            send_unless(connection, f"KILL {int(number)}", lambda error: _code(error) in (1094, 1095))

    def copy_database(self, connection: Connection, source: str, target: str) -> bool:
        """Make everything in it again, and insert the rows."""
        from dbmigrate.dialects.mysql_copy import copy  # noqa: PLC0415 - only where databases are copied

        return copy(self, connection, source, target)

    def restore_database(self, connection: Connection, source: str, target: str) -> None:
        """Put back the rows of the tables that differ; all of it is made again only where something else does."""
        from dbmigrate.dialects.mysql_copy import restore  # noqa: PLC0415 - only where databases are copied

        restore(self, connection, source, target)

    def is_refusal(self, error: DBAPIError) -> bool:
        """Go by the code."""
        return _code(error) in _REFUSALS

    def check(self, connection: Connection) -> None:
        """Refuse a cluster, and a mode in which quotes mean something else."""
        mode = str(scalar(connection, "SELECT @@sql_mode"))
        if strange := [name for name in _STRANGE_MODES if name in mode]:
            raise ConfigurationError(
                f"this connection has sql_mode {' and '.join(strange)}, in which scripts cannot be cut into "
                "statements for certain: connect without it"
            )
        nodes = rows(connection, "SHOW GLOBAL STATUS LIKE 'wsrep_cluster_size'")
        if nodes and int(nodes[0][1]) > 0:
            raise ConfigurationError(
                f"this is a Galera cluster of {nodes[0][1]}, where GET_LOCK keeps nobody out: run one migrator at a "
                "time, with dialect= a subclass of dbmigrate.dialects.mysql.MySQL whose check() permits it"
            )

    @contextmanager
    def session(self, connection: Connection, wait: float) -> Generator[None]:
        """Do as the base does, and let go of a session that is gone."""
        with super().session(connection, wait):
            try:
                yield
            except BaseException:
                _give_up_if_gone(connection)
                raise

    def autocommit(self, connection: Connection) -> None:
        """Send it: older versions of SQLAlchemy cannot set it over mysql-connector."""
        send(connection, "SET SESSION autocommit = 1")

    def limit(self, connection: Connection, name: str, seconds: float) -> Sequence[str]:
        """Set it in seconds, for this session; whole ones of at least 1 for locks."""
        if name == "lock_timeout":
            whole = max(round(seconds), 1)
            return (f"SET SESSION lock_wait_timeout = {whole}", f"SET SESSION innodb_lock_wait_timeout = {whole}")
        if not getattr(connection.dialect, "is_mariadb", False):
            raise ConfigurationError("MySQL limits the time of SELECT only: leave statement_timeout out")
        return (f"SET SESSION max_statement_time = {seconds}",)

    def settings(self, connection: Connection) -> Sequence[str]:
        """Be in this connection's database and mode, read UTF-8, and commit what is in no transaction."""
        name, mode = rows(connection, "SELECT DATABASE(), @@sql_mode")[0]
        return (f"USE {self.quoted(str(name))}", "SET NAMES utf8mb4", f"SET sql_mode = '{mode}'", "SET autocommit = 1")

    def home(self, connection: Connection, table: str) -> str | None:  # noqa: ARG002
        """Return the database that the connection is in."""
        found = scalar(connection, "SELECT DATABASE()")
        if found is None:
            raise ConfigurationError("the URL names no database: add /name to it")
        return str(found)

    def lock_key(self, home: str | None, table: str) -> str:
        """Return a name of 44 characters: locks are per server, and MySQL allows 64."""
        return f"dbm:{super().lock_key(home, table)[:40]}"

    def lock_sql(self, key: str) -> str:
        """Ask without waiting; NULL means an error and is not a lock."""
        return f"GET_LOCK('{key}', 0) <=> 1"

    def unlock(self, connection: Connection, key: str) -> None:
        """Give the lock back."""
        send(connection, f"SELECT RELEASE_LOCK('{key}')")

    def has_lock(self, connection: Connection, key: str) -> bool:
        """Ask whose it is; a connection that cannot tell has ended, and the lock with it."""
        try:
            return bool(scalar(connection, f"SELECT IS_USED_LOCK('{key}') <=> CONNECTION_ID()"))
        except DBAPIError:
            return False

    def holder(self, connection: Connection, key: str) -> str | None:
        """Describe the session in the process list that has the lock, as far as this user may see it."""
        number = scalar(connection, f"SELECT IS_USED_LOCK('{key}')")
        if number is None:
            return None
        sql = f"SELECT user, host, time FROM information_schema.processlist WHERE id = {int(number)}"
        found = rows(connection, sql)
        who = " of {} from {}, in its state for {} s".format(*found[0]) if found else ""
        return f"connection {number}{who}"

    def session_id(self, connection: Connection) -> str | None:
        """Return the connection's number and when the server started, since numbers begin anew then."""
        return f"{scalar(connection, 'SELECT CONNECTION_ID()')}@{_server_start(connection)}"

    def is_alive(self, connection: Connection, session: str) -> bool:
        """Look for that connection number, unless the server started anew since (2 seconds of clock are forgiven)."""
        number, _, start = session.partition("@")
        if abs(int(start) - _server_start(connection)) > 2:  # noqa: PLR2004
            return False
        sql = text("SELECT count(*) FROM information_schema.processlist WHERE id = :number AND id <> CONNECTION_ID()")
        return bool(connection.execute(sql, {"number": int(number)}).scalar_one())

    def rollback(self, connection: Connection) -> str | None:
        """Roll back; tables of engines without transactions keep their rows, and the server only warns (1196)."""
        super().rollback(connection)
        return next((str(row[2]) for row in rows(connection, "SHOW WARNINGS") if row[1] == 1196), None)  # noqa: PLR2004

    def drain(self, cursor: Any) -> None:  # noqa: ANN401 - the driver's
        """Read all results: a procedure that fails behind a SELECT says so in its last one."""
        super().drain(cursor)
        while cursor.nextset():
            super().drain(cursor)

    def is_missing_table(self, error: DBAPIError) -> bool:
        """Tell ER_NO_SUCH_TABLE."""
        return _code(error) == 1146  # noqa: PLR2004

    def is_conflict(self, error: DBAPIError) -> bool:
        """Tell a duplicate key, or a table that exists."""
        return _code(error) in (1062, 1050) or self.is_transient(error)

    def is_transient(self, error: DBAPIError) -> bool:
        """Tell a deadlock, a table that is younger than the snapshot, and a lock that was not to be had in time."""
        return _code(error) in (1205, 1213, 1412)

    def reaches_out(self, statement: Statement) -> bool:
        """Tell SELECT ... INTO a file."""
        return re.search(r"\bINTO\s+(?:OUTFILE|DUMPFILE)\b", statement.text, re.IGNORECASE) is not None

    def blockers(self, connection: Connection, sql: str) -> Sequence[str]:
        """Ask the plugin of MariaDB that knows, or MySQL's performance_schema, if this user may."""
        names = sorted(set(_NAME.findall(sql[:10_000])))
        sql = "SELECT count(*) FROM information_schema.plugins WHERE plugin_name = 'METADATA_LOCK_INFO'"
        plugin = scalar(connection, sql)
        query = text(_LOCK_INFO if plugin else _METADATA_LOCKS).bindparams(bindparam("names", expanding=True))
        return [
            f"connection {number} of {user} from {host}, {command} for {seconds} s"
            for number, user, host, command, seconds in connection.execute(query, {"names": names})
        ]

    def had_no_effect(self, error: DBAPIError) -> bool:
        """Tell a syntax error."""
        return _code(error) == 1064  # noqa: PLR2004

    def hint(self, error: DBAPIError) -> str | None:
        """Explain what is denied, and that no database is selected."""
        if _code(error) in _DENIED:
            return NO_RIGHT
        return "The URL names no database: name one" if _code(error) == 1046 else None  # noqa: PLR2004

    def effect(self, statement: Statement) -> Effect | None:
        """Go by the text."""
        return effect(statement)

    def look(self, connection: Connection, effect: Effect) -> Seen | None:
        """Ask SHOW CREATE, which says everything that DDL can change."""
        found: dict[str, str] = {}
        for place in effect.places:
            kind = place.partition(" ")[0]
            try:
                definition = str(rows(connection, f"SHOW CREATE {place}")[0][KINDS[kind]])
            except DBAPIError as error:
                if self.is_transient(error):
                    raise
                if _code(error) not in _MISSING:
                    return None
                continue
            found |= parts(place, definition) if definition.startswith("CREATE TABLE") else {place: definition}
        return found

    def message(self, error: DBAPIError) -> str:
        """Return the message and behind it the code."""
        code = _code(error)
        return _said(error) if code is None else f"{_said(error)} ({code})"

    def locate(self, error: DBAPIError, statement: Statement) -> int | None:
        """Take the line that a syntax error names."""
        found = _AT_LINE.search(_said(error))
        if found is None:
            return None
        lines = statement.text.split("\n")[: int(found[1]) - 1]
        return sum(len(line) + 1 for line in lines)


def _without(item: Object, *names: str) -> Object:
    return replace(item, properties=tuple((name, value) for name, value in item.properties if name not in names))


def _is_dropped_at_its_end(item: Object) -> bool:
    return item.kind == "event" and not item.get("preserved") and bool(item.get("at") or item.get("ends"))


def _with_few_spaces(program: str) -> str:
    """Return a program with the same space in front of its words, wherever there was none or more; its lines stay."""
    try:
        found = list(tokens(program, MYSQL))
    except ScriptError:
        return program
    kept, last = list[str](), ("operator", "(")
    for kind, piece, _ in found:
        if kind == "space":
            kept.append("\n" if "\n" in piece else " ")
            continue
        if kind in ("word", "name") and last[0] == "operator" and kept[-1:] != ["\n"]:
            if kept[-1:] == [" "]:
                kept.pop()
            kept.append("" if last[1] in "(.@" else " ")
        kept.append(piece)
        last = kind, piece
    return "".join(kept)


def _looks_back(statement: Statement) -> bool:
    if statement.head[0] in _BLOCKS or not _ROW_COUNT.search(statement.text):
        return False
    return any(kind == "word" and word.upper() == "ROW_COUNT" for kind, word, _ in tokens(statement.text, MYSQL))


def _setting(statement: Statement) -> Traits:
    if statement.head[1:2] == ("STATEMENT",):
        return _UNKNOWN  # any statement can follow
    if statement.head[1:2] == ("TRANSACTION",):
        return _NEXT_TRANSACTION
    upper = statement.text.upper()
    if "AUTOCOMMIT" in upper:
        return _OTHER
    if statement.head[1:2] in (("NAMES",), ("CHARACTER",), ("CHARSET",)) or "CHARACTER_SET_CLIENT" in upper:
        # mysqldump saves and restores it through variables
        return _SET if "UTF8" in upper or "@" in upper else _CHARSET
    modes = _STRANGE_MODES + _COMBINED_MODES if "SQL_MODE" in upper else _STRANGE_MODES
    if _MODE_NUMBER.search(upper) or any(mode in upper for mode in modes):
        return _QUOTES
    if statement.head[1:2] in (("PASSWORD",), ("ROLE",), ("DEFAULT",)):
        return _OTHERS if statement.head[1] != "ROLE" else _SET
    return _LOST if "SELECT" in upper else _SET


def _written(text: str, others: Collection[str]) -> str:
    """Return the name of another database as a script has it where something may be changed; "" if it has none.

    Elsewhere such a name may be that of a table, or its alias; what has three parts is a column. A table that is only
    read is none of it, unless something may be changed through a view, or nobody knows what is done to it.
    """
    for statement in statements(text, MYSQL):
        told = [(k, piece) for k, piece, _ in tokens(statement.text, MYSQL) if k not in ("space", "comment")]
        pieces = ["", "", *(piece for _, piece in told), "", "", "", ""]
        upper = [piece.upper() for piece in pieces]
        reads = () if {"DELETE", "UPDATE", "VIEW"} & {*upper} else _READ
        for place, (kind, piece) in enumerate(told, 2):
            if kind not in ("word", "name") or piece.strip("`").casefold() not in others:
                continue
            before, after, third = upper[place - 1], pieces[place + 1], pieces[place + 3]
            is_altered = upper[place - 2 : place] in (["ALTER", "DATABASE"], ["ALTER", "SCHEMA"])
            if is_altered or (after == "." and "." not in (before, third) and before not in (*reads, "@")):
                return "".join(pieces[place : place + 3])
    return ""


def _sent(text: str, others: Collection[str]) -> str:
    """Return a text that a script puts together and has run (PREPARE, EXECUTE IMMEDIATE), if it names a database."""
    if any(statement.head[0] in ("PREPARE", "EXECUTE") for statement in statements(text, MYSQL)):
        for kind, piece, _ in tokens(text, MYSQL):
            named = {name.casefold() for name in _QUALIFIER.findall(piece)} if kind == "string" else set[str]()
            if named & {*others} - _READ_ONLY:
                return piece
    return ""


def _alters_database(script: str) -> bool:
    """Tell whether a script has such a statement."""
    try:
        words = [piece.upper() for kind, piece, _ in tokens(script, MYSQL) if kind not in ("space", "comment", "code")]
    except ScriptError:
        return False  # it does not run
    return any(a == "ALTER" and b in ("DATABASE", "SCHEMA") for a, b in pairwise(words))


def _is_of_the_server(words: Sequence[str]) -> bool:
    first, second = [*words, "", ""][:2]
    if first in ("CREATE", "ALTER", "DROP", "RENAME"):
        if second in ("DATABASE", "SCHEMA"):
            return first != "ALTER"
        named = {second, *(words[3:5] if second == "OR" else ())}
        return bool({"USER", "ROLE", "SERVER", "TABLESPACE", "LOGFILE"} & named)
    if first == "SET":
        return bool({"GLOBAL", "PERSIST", "PERSIST_ONLY"} & {*words} or {"PASSWORD", "ROLE"} & {*words[1:4]})
    if first in ("START", "STOP"):
        return second in _SERVICES
    if first in ("GRANT", "REVOKE"):
        return "ON" not in words or "*" in words or "PROXY" in words[:2]
    return first in _OF_SERVERS


def _server_start(connection: Connection) -> int:
    uptime = rows(connection, "SHOW GLOBAL STATUS LIKE 'Uptime'")[0][1]
    return int(scalar(connection, "SELECT UNIX_TIMESTAMP()")) - int(uptime)


def _give_up_if_gone(connection: Connection) -> None:
    """Let go of a connection whose session is gone, so that closing it cannot fail and hide what went wrong before.

    SQLAlchemy does not know every way in which mysql-connector says so.
    """
    if not connection.closed and not connection.invalidated:
        try:
            send(connection, "ROLLBACK")
        except DBAPIError:
            connection.invalidate()


def _code(error: DBAPIError) -> int | None:
    args = error.orig.args if error.orig is not None else ()
    # mysql-connector has -1 where the server said nothing
    return args[0] if args and isinstance(args[0], int) and args[0] > 0 else None


def _said(error: DBAPIError) -> str:
    """Return the message; mysql-connector has the SQLSTATE where the others have it."""
    orig: Any = error.orig
    return str(getattr(orig, "msg", None) or (orig.args[-1] if orig is not None and orig.args else orig)).strip()


DIALECT = MySQL()
