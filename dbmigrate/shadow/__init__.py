"""What the migrations make, found out in a database of its own: drift, reversibility, and whether models match.

    for change in drift(Migrator(url, "migrations")):
        print(change)  # column users.email: type: varchar(20) -> varchar(30)

Laws: the database of the Migrator is only read; a shadow database is made for each call, and is gone at its end, also
behind an error (see place.py); what is compared is snapshots (see schema/), never text of scripts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

from sqlalchemy import MetaData, event
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateSchema

from dbmigrate import database
from dbmigrate.arguments import read_database
from dbmigrate.catalogue import Change, Snapshot, diff, sorted_snapshot
from dbmigrate.connect import engine_of
from dbmigrate.dialects import Dialect
from dbmigrate.dialects.base import send
from dbmigrate.errors import ConfigurationError, HistoryError, MigrationError, MigrationInProgress
from dbmigrate.ledger import TableLedger
from dbmigrate.migrator import Migrator
from dbmigrate.model import Ahead, Body, Edited, Migration, Missing, Report, Status, TextBody, Unfinished
from dbmigrate.plan import find
from dbmigrate.python import PythonBody
from dbmigrate.scanner import ScriptError, statements
from dbmigrate.schema import snapshot
from dbmigrate.script import checksum_of
from dbmigrate.shadow.place import MARK, connected, session, shadow_database
from dbmigrate.source import MemorySource, sound

Prepare = Callable[[Connection], object]

#: How often the database is looked at again that is being migrated meanwhile.
_PATIENCE = 5
#: What models can have; all else in the database is not theirs.
_OF_MODELS = {
    *("table", "column", "primary key", "unique", "foreign key", "check", "exclusion", "index"),
    *("enum", "domain", "sequence"),
}
#: How statements begin that change rows which are there.
_OVERWRITING = ("DELETE", "UPDATE", "TRUNCATE", "REPLACE", "MERGE")
_HERE = "This happened in a shadow database, which is dropped again"


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one migration did in an empty database, up, down and up again."""

    migration: Migration
    #: What its up script changed.
    changes: tuple[Change, ...]
    #: What was different behind its way back from what was there before: nothing, if it is reversible.
    remaining: tuple[Change, ...] = ()
    #: What was different when it had been applied again from when it had been applied once.
    again: tuple[Change, ...] = ()
    #: With what its way back, or applying it again, failed.
    error: str | None = None
    #: The statements of its way back that delete or overwrite rows, as "DELETE (2_rows.down.sql:3)".
    overwriting: tuple[str, ...] = ()

    @property
    def is_reversible(self) -> bool:
        """Whether there is a way back, and it leads back."""
        return self.migration.down is not None and not self.trouble

    @property
    def trouble(self) -> str:
        """What is wrong with its way back, for people, in one line or several; "" if nothing is, or there is none."""
        if self.error is not None:
            return f"cannot go up, down and up again: {self.error}"
        for what, changes in (("down", self.remaining), ("down and up again", self.again)):
            if changes:
                than = "there was before" if changes is self.remaining else "at first"
                return "\n".join([f"{what} left something else than {than}:", *map(str, changes)])
        return ""

    @property
    def lost(self) -> tuple[str, ...]:
        """What its way back may lose, as far as that is told by snapshots and by how its statements begin.

        Tables and columns that its up script makes, with all that is in them; rows that statements of its own delete or
        overwrite; values of columns whose type it changes back. What routines and functions in Python do is not known.
        """
        made = [str(c.object) for c in self.changes if c.before is None and c.object.kind in ("table", "column")]
        turned = [
            f"{c.object} ({after} -> {before})"
            for c in self.changes
            if c.object.kind == "column"
            for name, before, after in c.properties
            if name == "type" and before and after
        ]
        back = () if self.migration.down is None else (*turned, *(f"rows by {text}" for text in self.overwriting))
        return (*made, *back)

    @property
    def destroyed(self) -> tuple[str, ...]:
        """What its up script destroys with all that is in it, and no way back can restore."""
        return tuple(str(c.object) for c in self.changes if c.after is None and c.object.kind in ("table", "column"))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values, ready for JSON."""
        changes = {name: [c.to_dict() for c in getattr(self, name)] for name in ("changes", "remaining", "again")}
        return {
            "format": 1,
            "type": "Replayed",
            "migration": self.migration.to_dict(),
            "error": self.error,
            "has_down": self.migration.down is not None,
            "is_reversible": self.is_reversible,
            "lost": list(self.lost),
            "destroyed": list(self.destroyed),
            **changes,
        }


def drift(
    migrator: Migrator,
    *,
    exclude: Collection[str] = (),
    shadow_url: str | URL | None = None,
    prepare: Prepare | None = None,
) -> tuple[Change, ...]:
    """Return what in the database is not as its migrations make it: from what they make (before) to what is (after).

    The migrations that the ledger says are applied are replayed, in the order in which they were, in a shadow database;
    pending ones are not. The database itself is only read, and no lock is taken: of scripts in SQL is left out what
    belongs to the whole server (roles, users, databases, tablespaces, settings, rights on these), and the name of the
    database (MariaDB) is that of the shadow; ATTACH, and what could write to another database of a MariaDB server, is
    refused. What functions in Python do, SQL that is put together in a routine, and what happens to foreign tables, is
    not known before: it is done as it is. What a snapshot does not see (the order of columns, what is in the tables) is
    no drift, nor is when an event begins or ends. A definer that no script names (MariaDB) is whoever migrated: the one
    that most of such objects have.

    A shadow is connected to by URL, without the `connect_args`, the `creator` and the hooks of an Engine: what these
    set must be in the URL, in settings of the database, or come from `prepare`.

    Args:
        migrator: What is compared.
        exclude: Patterns of places that are left out, as for `snapshot`: what others make in the same database.
        shadow_url: A database that is to be the shadow, on this server or on another of the same kind and version. If
            it does not exist it is created, and dropped at the end. If it does, it must be empty and is emptied at the
            end, for users who may not create databases (not for SQLite): everything goes that the user has the right to
            drop. Empty is what has nothing of that; others may keep extensions there. None: one beside the database
            itself, which the user must have the right to create (PostgreSQL: 13 or later); for SQLite a temporary file.
            What a killed call left on a server is removed by the next one; so a given one that it had is emptied then,
            whatever is in it by now: use it for nothing else.
        prepare: Called with a connection to each shadow database, in a transaction, before the first migration: for
            whatever migrations expect to find. Extensions that no script creates, settings of the database, rights on
            the schema `public` if no script speaks of it (PostgreSQL), and the default collation (MariaDB) are made
            like those of the database itself.

    Raises:
        HistoryError: There is no telling what ran: a migration was edited (unless the Migrator allows it), is missing,
            did not end, or is of a newer release.
        MigrationFailed: A migration that ran in the database fails in the shadow.
        MigrationInProgress: The database is being migrated all the time.
        ConfigurationError: The shadow database cannot be created; or there is one of that name which is not empty, is
            the shadow of another call or the database itself, and was not touched; or a script cannot be replayed.

    """
    with ExitStack() as stack:
        live = stack.enter_context(_connected(migrator))
        applied, found = _look(migrator, live, exclude)
        shadow = stack.enter_context(_shadow(migrator, shadow_url, prepare, applied, live))
        expected = _replayed(migrator, shadow, _twins(migrator, applied, shadow), exclude)
        alike = migrator.dialect.own.alike(expected, found)
        return diff(*(sorted_snapshot(expected.dialect, objects) for objects in alike))


def replay(
    migrator: Migrator,
    *,
    since: str | None = None,
    exclude: Collection[str] = (),
    shadow_url: str | URL | None = None,
    prepare: Prepare | None = None,
) -> tuple[Replayed, ...]:
    """Apply all migrations of the source to an empty database, each of them up, down and up again.

    Down must give back the snapshot of before, and up again that of the first time. Of a migration without a way back
    only its changes are told. Behind one whose way back fails or does not lead back, the next one goes on in a new
    shadow database. What is in tables is not compared, and neither are those of the database itself, which need not
    exist. `since` is a version: it and all before it are applied, and what comes behind it is told of. For the other
    arguments see `drift`.

    Raises MigrationFailed if an up script fails, TargetError for an unknown version, and what `drift` raises besides.
    """
    migrations, found = tuple(sound(migrator.source.load())), list[Replayed]()
    twins: Sequence[Migration] = ()
    first = 0 if since is None else migrations.index(find(since, migrations)) + 1
    with ExitStack() as stack:
        live = stack.enter_context(_connected(migrator)) if database.exists(_url(migrator)) else None
        while (start := first + len(found)) < len(migrations):
            with _shadow(migrator, shadow_url, prepare, migrations, live) as shadow:
                twins = twins or _twins(migrator, migrations, shadow)
                before = _replayed(migrator, shadow, twins[:start], exclude)
                for number, migration in enumerate(migrations[start:], start + 1):
                    done, before = _there_and_back(migrator, shadow, twins[:number], before, exclude)
                    found.append(replace(done, migration=migration))
                    if done.trouble:
                        break
    return tuple(found)


def compare_models(
    migrator: Migrator,
    metadata: MetaData,
    *,
    exclude: Collection[str] = (),
    shadow_url: str | URL | None = None,
    prepare: Prepare | None = None,
) -> tuple[Change, ...]:
    """Return how what the migrations make (before) differs from what the models of an application make (after).

    All migrations are applied to a shadow database; then the tables, with the types and sequences that models can have,
    are dropped there, and `metadata.create_all` makes those of the models. So types and defaults are compared as the
    database has them, however they are spelled, and models may use functions that migrations make, as far as these need
    no table. Only what models can have is compared: tables with their columns, keys, checks and indexes, and the types
    they use; not views, triggers and routines. A table of the models with the name of a view is taken for it, and not
    compared. Names of constraints count; those that PostgreSQL chose do not, where all else is the same. For the
    arguments see `drift`.

    Raises what `replay` raises, and what SQLAlchemy raises if the models cannot be created: by events of theirs, for
    one, that create again what migrations made.
    """
    migrations, dialect = tuple(sound(migrator.source.load())), migrator.dialect.own
    with ExitStack() as stack:
        live = stack.enter_context(_connected(migrator)) if database.exists(_url(migrator)) else None
        shadow = stack.enter_context(_shadow(migrator, shadow_url, prepare, migrations, live))
        made_by_migrations = _replayed(migrator, shadow, _twins(migrator, migrations, shadow), exclude)
        connection = stack.enter_context(connected(shadow))
        for statement in dialect.make_room(_taken(migrator, connection, ())):
            send(connection, statement)
        _create_models(migrator, connection, metadata)
        made_by_models = _taken(migrator, connection, exclude)
    before, after = (_restricted(taken, dialect) for taken in (made_by_migrations, made_by_models))
    return diff(sorted_snapshot(before.dialect, dialect.as_named(before, after)), after)


def _create_models(migrator: Migrator, connection: Connection, metadata: MetaData) -> None:
    """Create models where migrations have run, and their tables are gone."""
    schemas = {table.schema for table in metadata.tables.values() if table.schema}
    if migrator.dialect.own.has_schemas:
        for schema in sorted(schemas):
            connection.execute(CreateSchema(schema, if_not_exists=True))
    elif others := sorted(schemas - {_url(migrator).database, "main"}):
        raise ConfigurationError(f"the models are in other databases, too: {', '.join(others)}. Nothing was compared")
    else:  # the name of the database itself, which the shadow does not have
        connection = connection.execution_options(schema_translate_map=dict.fromkeys(schemas))
    metadata.create_all(connection)
    connection.commit()


def _restricted(taken: Snapshot, dialect: Dialect) -> Snapshot:
    """Leave out what models cannot have, with its parts."""
    whole = {item.owner for item in taken if not item.table and item.kind in _OF_MODELS}
    found = (item for item in taken if item.kind in _OF_MODELS and item.owner in whole)
    return sorted_snapshot(taken.dialect, dialect.as_meant(found))


def _ledger(migrator: Migrator) -> TableLedger:
    """Return the ledger that a shadow database has: a table, whatever the one of the database is, and inside of it."""
    ledger = migrator.ledger
    if not isinstance(ledger, TableLedger):
        return TableLedger()
    return TableLedger(ledger.table, ledger.schema if migrator.dialect.own.has_schemas else None)


def _url(migrator: Migrator) -> URL:
    url = migrator.url
    if migrator.dialect.own.vanishes(url):
        raise ConfigurationError("a database in memory has no name, and so no shadow beside it: give the URL of a file")
    return url


@contextmanager
def _connected(migrator: Migrator) -> Generator[Connection]:
    """Give a connection to the database itself."""
    if not migrator.dialect.exists(_url(migrator)):
        raise ConfigurationError("there is no database yet, so nothing in it can differ: upgrade() first")
    with engine_of(migrator.database) as engine, connected(engine) as connection:
        yield connection


def _look(migrator: Migrator, live: Connection, exclude: Collection[str]) -> tuple[Sequence[Migration], Snapshot]:
    """Return what is applied, in the order in which it was, and what is there, both of one moment."""
    for _ in range(_PATIENCE):
        status = migrator.status()
        found = snapshot(live, ledger=_ledger(migrator).table, exclude=exclude)
        if live is not migrator.database:
            live.rollback()
        if migrator.status() == status:
            return _applied(migrator, status), found
    raise MigrationInProgress(
        "the database is being migrated: look when it has ended. Nothing was run", holder=None, report=Report()
    )


def _applied(migrator: Migrator, status: Status) -> Sequence[Migration]:
    kinds = (Missing, Ahead, Unfinished, *(() if Edited in migrator.allow else (Edited,)))
    found = [finding for finding in status.findings if isinstance(finding, kinds)]
    if found:
        raise HistoryError(found, "what ran in the database is not in the source as it ran")
    entries = sorted(status.applied, key=lambda entry: entry.record.seq if entry.record else 0)
    return [entry.migration for entry in entries if entry.migration is not None]


def _scripts(migrations: Iterable[Migration]) -> list[str]:
    return [m.up.read() for m in migrations if not isinstance(m.up, PythonBody)]


@contextmanager
def _shadow(
    migrator: Migrator,
    wanted: str | URL | None,
    prepare: Prepare | None,
    migrations: Sequence[Migration],
    live: Connection | None,
) -> Generator[Engine]:
    """Give an engine for an empty database, like the one of the Migrator but for what migrations make."""
    given = None if wanted is None else read_database(wanted)
    if isinstance(given, Engine | Connection):
        raise ConfigurationError("shadow_url is a URL: it names a database that is empty, or does not exist yet")
    with ExitStack() as stack:
        url = stack.enter_context(shadow_database(migrator.dialect.own, _url(migrator), given))
        settings = () if live is None else _imitate(migrator, live, url, migrations)
        engine = cast("Engine", stack.enter_context(engine_of(url)))
        event.listen(engine, "connect", partial(_begin, settings))
        with connected(engine) as connection:
            if prepare is not None:
                prepare(connection)
            connection.commit()
        yield engine


def _begin(settings: Sequence[str], raw: Any, _: object) -> None:  # noqa: ANN401 - the driver's connection
    """Have a new session as those of the database itself are."""
    if settings:
        with closing(raw.cursor()) as cursor:
            for sql in settings:
                cursor.execute(sql)
        raw.commit()


def _imitate(migrator: Migrator, live: Connection, shadow: URL, migrations: Sequence[Migration]) -> Sequence[str]:
    try:
        with session(shadow) as new:
            settings = migrator.dialect.own.imitate(live, new, _scripts(migrations))
            schema = _ledger(migrator).schema
            if schema is not None:  # it is older than the ledger
                send(new, f"CREATE SCHEMA IF NOT EXISTS {migrator.dialect.own.quoted(schema)}")
            return settings
    except DBAPIError as error:
        reason = migrator.dialect.message(error)
        raise ConfigurationError(f"the shadow database cannot be made like the database: {reason}") from error
    finally:
        if live is not migrator.database:
            live.rollback()  # a transaction would stay open for as long as the replay takes


def _replayed(migrator: Migrator, shadow: Engine, twins: Sequence[Migration], exclude: Collection[str]) -> Snapshot:
    """Apply migrations to a shadow database, and return what is in it then."""
    _shadowing(migrator, shadow, twins, "upgrade")
    return _snapshot(migrator, shadow, exclude)


def _shadowing(migrator: Migrator, shadow: Engine, twins: Sequence[Migration], call: str, **arguments: int) -> None:
    twin = Migrator(
        shadow,
        MemorySource(twins),
        ledger=_ledger(migrator),
        lock_timeout=None,
        statement_timeout=migrator.statement_timeout,
        on_event=lambda _: None,
        dialect=migrator.dialect.own,
    )
    try:
        getattr(twin, call)(**arguments)
    except MigrationError as error:
        error.add_note(_HERE)
        raise


def _twins(migrator: Migrator, migrations: Iterable[Migration], shadow: Engine) -> Sequence[Migration]:
    """Return migrations that do nothing outside of a shadow database, as far as their text tells."""
    dialect, url, others = migrator.dialect.own, _url(migrator), set[str]()
    if not dialect.is_file:
        with database.beside(shadow.url) as connection:
            others = {*dialect.list_databases(connection, "")} - {str(url.database), str(shadow.url.database)}

    def twin(body: Body) -> Body:
        if isinstance(body, PythonBody):
            return body
        text = body.read()
        try:
            other = dialect.for_shadow(text, str(url.database), others)
        except ScriptError:
            return body  # what is wrong with it is said when it is to run
        except ValueError as error:
            raise ConfigurationError(
                f"{body.origin} cannot be replayed: {error}. Nothing was run: with a shadow_url elsewhere it can"
            ) from error
        return body if other == text else TextBody(body.origin, checksum_of(other), other, body.transaction)

    return [replace(m, up=twin(m.up), down=None if m.down is None else twin(m.down)) for m in migrations]


def _snapshot(migrator: Migrator, shadow: Engine, exclude: Collection[str]) -> Snapshot:
    with connected(shadow) as connection:
        return _taken(migrator, connection, exclude)


def _taken(migrator: Migrator, connection: Connection, exclude: Collection[str]) -> Snapshot:
    """Return what is in a shadow database besides its ledger and its mark."""
    return snapshot(connection, ledger=_ledger(migrator).table, exclude=[*exclude, MARK, f"*.{MARK}"])


def _there_and_back(
    migrator: Migrator, shadow: Engine, twins: Sequence[Migration], before: Snapshot, exclude: Collection[str]
) -> tuple[Replayed, Snapshot]:
    """Apply the last one of these twins, take it back, and apply it again; return what is there at the end."""
    last = twins[-1]
    once = _replayed(migrator, shadow, twins, exclude)
    if last.down is None:
        return Replayed(last, diff(before, once)), once
    overwriting = _overwriting(last.down, migrator.dialect.own)
    told = partial(Replayed, last, diff(before, once), overwriting=overwriting)
    try:
        _shadowing(migrator, shadow, twins, "downgrade", steps=1)
        back = _snapshot(migrator, shadow, exclude)
        if remaining := diff(before, back):
            return told(remaining=remaining), once
        again = _replayed(migrator, shadow, twins, exclude)
    except MigrationError as error:
        return told(error=str(error)), once
    return told(again=diff(once, again)), again


def _overwriting(body: Body, dialect: Dialect) -> tuple[str, ...]:
    """Return the statements that delete or overwrite rows, each with its place."""
    if isinstance(body, PythonBody):
        return ()
    found = statements(body.read(), dialect.grammar)
    return tuple(f"{s.head[0]} ({body.origin}:{s.line})" for s in found if s.head[0] in _OVERWRITING)
