"""Create, copy and drop whole databases: before the first migration, and after the last test.

    from dbmigrate import Migrator, database

    database.create(url)
    Migrator(url).upgrade()

Laws: an answer says what this call did; what comes with a server is never dropped; nothing here asks whether the caller
is sure. Nothing is kept open, and the database itself is not connected to.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import cast

from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError

from dbmigrate.arguments import check, read_database
from dbmigrate.connect import engine_of, hide_secrets, unreachable
from dbmigrate.dialects import Dialect, dialect_for
from dbmigrate.errors import ConfigurationError, MigrationError

#: What would be asked for the name before the path of the URL.
_NAMES = {"database", "db", "dbname"}


def exists(database: str | URL | Engine) -> bool:
    """Tell whether there is a database of the name that the URL has. Changes nothing.

    Args:
        database: A URL; or an Engine, of which only the URL is used (with its password, without its pool, its
            `connect_args`, its `creator` and its hooks).

    True does not mean that this user may connect to it. SQLite: whether there is a file of that path, whatever is in
    it. PostgreSQL: whether it is in the list of the server, which is asked through the database `postgres`, or else
    `template1`, with the same credentials. MariaDB and MySQL: whether one can go into it; a server that will not tell
    this user is an error, not a no.

    Raises:
        ConfigurationError: The URL names no database, one in memory, or one that cannot be; it is a Connection; its
            driver is asynchronous or not installed; or the server cannot be reached, or refuses.

    """
    with managing(database, "looked for") as (dialect, connection, name):
        return dialect.has_database(connection, name)


def create(database: str | URL | Engine) -> bool:
    """Create the database, empty. Return True if this call made it, False if it was there.

    Of any number of processes that call this at the same instant, one gets True and nobody fails. No user, no right, no
    table, not even the ledger is created with it; owner, encoding and the like are the server's defaults (PostgreSQL:
    a copy of `template1`). A database that was there is left as it is, whatever is in it. SQLite: an empty file; its
    folder must be there.

    Args:
        database: As for `exists`.

    Raises:
        ConfigurationError: What `exists` raises it for; or this user may not create it, or the folder is missing.
            Nothing was changed.
        MigrationError: Something broke on the way (a lost connection, a full disk): it may have been created or not,
            and `exists` tells. Repeating the call does no harm.

    """
    with managing(database, "created") as (dialect, connection, name):
        return dialect.create_database(connection, name)


def create_own(database: str | URL | Engine) -> None:
    """Create a database that the caller will drop again.

    Raises what `create` raises, and ConfigurationError if there is one of that name, which is not touched.
    """
    if not create(database):
        raise ConfigurationError(
            "there is a database of that name, and it was not touched: name one that does not exist. It is created "
            "here, and dropped again"
        )


def drop(database: str | URL | Engine, *, force: bool = False) -> bool:
    """Drop the database, with everything in it. Return True if this call did, False if there was none.

    Nobody is asked, and nothing can be taken back. What comes with a server (`postgres`, `template1`, `mysql`, ...) is
    never dropped.

    PostgreSQL: sessions on it keep it from being dropped, idle ones in a pool included, also those of an Engine that is
    passed here: dispose of it first. The server waits for 5 seconds for them to end. `force` ends them (PostgreSQL 13
    and later, and with the right to), but neither prepared transactions nor replication slots.

    MariaDB and MySQL: sessions do not keep it from being dropped, not even a migrator between two statements. Locks
    that a transaction has on a table of it do; they are waited for for 5 seconds, and `force` changes nothing about it.

    SQLite: the file is removed with what is beside it (`-wal`, `-shm`, `-journal`, and the lock of dbmigrate). A file
    that is no SQLite database is kept; an empty one counts as one. A transaction that is open in it, and writes, keeps
    it from being removed, unless `force`; a transaction of a reader does so without write-ahead logging only. Who has
    it open otherwise is not noticed, and goes on with a file that has no name any more.

    Args:
        database: As for `exists`.
        force: Drop it also where others are at work in it.

    Raises:
        ConfigurationError: What `exists` raises it for; or it is in use, comes with the server, is no database, or
            this user may not drop it. Nothing was changed.
        MigrationError: Something broke on the way: it may be there as it was, there and of no use, or gone. Repeat
            the call.

    """
    check(force=force)
    with managing(database, "dropped") as (dialect, connection, name):
        return dialect.drop_database(connection, name, force=force)


def copy(database: str | URL | Engine, to: str | URL, *, overwrite: bool = False) -> bool:
    """Create a database with all that is in another one: schema, rows, ledger. Return True if this call did.

    False: there is one of that name, and it was left as it is; with `overwrite` it is made what the other one is,
    whatever was in it and whoever is at work in it, and nobody is asked. That is much faster than to migrate anew, so
    tests can have a copy each. Of any number of processes that copy to one name at the same instant one gets True.

    PostgreSQL: `CREATE DATABASE ... TEMPLATE`. The server refuses while there are sessions on the database that is
    copied, idle ones in a pool included; it waits for 5 seconds for them to end. Rights on the database itself, its
    comment and the settings of `ALTER DATABASE ... SET` are not copied. `overwrite` needs PostgreSQL 13.

    SQLite: the file with its write-ahead log, as it is committed. The copy is not synced to the disk, and has its name
    when it is whole; a process that is killed before leaves a file of that name with a dot and 16 digits behind it.

    MariaDB and MySQL: there is no such command, so the objects are made by the `script` of a snapshot (what that does
    not say is not in the copy), and the rows are inserted; they must not change meanwhile. `overwrite` ends the
    sessions on the copy, and puts back only the tables that have other rows, or another next AUTO_INCREMENT, as long
    as nothing else differs; so it is fast where little was changed. A sequence goes on behind the values that the
    server had cached, and a system-versioned table has only the rows of now in the copy.

    Args:
        database: As for `exists`.
        to: The URL of the copy, on the same server and with the same user.
        overwrite: Make it what the other one is if it is there.

    Raises:
        ConfigurationError: What `exists` raises it for; there is no such database; it is in use; `to` is the same
            one, on another server, or comes with the server. No copy was made; with `overwrite` the one that was there
            may be gone.
        MigrationError: Something broke on the way: the copy may be there or not, complete or not. Call again, with
            `overwrite`.

    """
    check(overwrite=overwrite)
    url = read_database(to)
    if not isinstance(url, URL):
        raise ConfigurationError("to is the URL of the copy")
    with managing(database, "overwritten" if overwrite else "copied", url) as (dialect, connection, name):
        target = dialect.manage(url)[0]
        if not dialect.has_database(connection, name):
            raise ConfigurationError(f"there is no database {name!r} to copy: create it first. Nothing was changed")
        if dialect.is_same(connection, name, target):
            raise ConfigurationError(f"{target!r} is the database itself: name another one for the copy")
        if not overwrite:
            return dialect.copy_database(connection, name, target)
        dialect.restore_database(connection, name, target)
        return True


def _check_copy(url: URL, to: URL) -> None:
    """Raise ConfigurationError for a copy that cannot be."""
    (dialect, _, _), (_, target, _) = _read(url), _read(to)
    if url.set(database="") != to.set(database=""):
        raise ConfigurationError("a database is copied on its own server: the two URLs differ in more than the name")
    if dialect.is_system(target):
        raise ConfigurationError(f"the database {target!r} comes with the server: name your own")


@contextmanager
def managing(
    database: str | URL | Engine, what: str = "looked for", to: URL | None = None
) -> Generator[tuple[Dialect, Connection, str]]:
    """Give a connection from which the database can be managed, and its name. Errors come out as ours."""
    given = read_database(database)
    if isinstance(given, Connection):
        raise ConfigurationError("databases are not created or dropped in a transaction: pass the URL, or the Engine")
    url = given if isinstance(given, URL) else given.url
    dialect, name, places = _read(url)
    if to is not None:
        _check_copy(url, to)
    if what == "dropped" and dialect.is_system(name):
        raise ConfigurationError(f"the database {name!r} comes with the server, and is not dropped: name your own")
    server = url.set(database="", query={}).render_as_string().rstrip("/")
    with ExitStack() as stack:
        connection = stack.enter_context(_connected(places, dialect, f"the database {name!r} cannot be {what}"))
        try:
            dialect.autocommit(connection)
            yield dialect, connection, name
        except MigrationError as error:
            hide_secrets(error, url)
            connection.invalidate()
            raise
        except DBAPIError as error:
            hide_secrets(error, url)
            connection.invalidate()  # or closing it could fail as well, and hide this
            reason = f"the database {name!r} on {server} cannot be {what}: {dialect.message(error)}"
            if what == "looked for" or (dialect.is_refusal(error) and what != "overwritten"):
                raise ConfigurationError(f"{reason}. Nothing was changed: correct the cause, and call again") from error
            again = "a copy that is there may be half of one: call again, with overwrite=True"
            if what not in ("copied", "overwritten"):
                again = "exists() tells; call again"
            raise MigrationError(f"{reason}. It is not certain what was done: {again}") from error


@contextmanager
def beside(url: URL) -> Generator[Connection]:
    """Give a session on the server of a database, not in it, in which every statement commits by itself."""
    dialect, name, places = _read(url)
    with _connected(places, dialect, f"the server of the database {name!r} cannot be asked") as connection:
        dialect.autocommit(connection)
        dialect.stay(connection)
        try:
            yield connection
        finally:
            connection.invalidate()  # it may be gone, and closing it would fail


def _read(url: URL) -> tuple[Dialect, str, Sequence[URL]]:
    """Return the dialect for a URL, the name of the database, and what to connect to for managing it."""
    if not url.database:
        raise ConfigurationError("the URL names no database: add /name to it")
    if "\0" in url.database:
        raise ConfigurationError("the name of the database has a NUL in it: leave it out")
    if named := sorted(_NAMES & set(url.query)):
        raise ConfigurationError(
            f"the URL names the database in {named[0]}=, behind the ?: write it as the path, /name"
        )
    try:
        dialect = dialect_for(url)
    except ConfigurationError:
        dialect = Dialect()  # which says what it cannot do
    return (dialect, *dialect.manage(url))


@contextmanager
def _connected(places: Sequence[URL], dialect: Dialect, what: str) -> Generator[Connection]:
    """Give a connection to the first place that can be reached, over an engine that is disposed of."""
    for place in places:
        with ExitStack() as stack:
            engine = cast("Engine", stack.enter_context(engine_of(place)))
            try:
                connection = stack.enter_context(engine.connect())
            except Exception as error:  # drivers raise anything
                reason = unreachable(error, place, dialect)
                if place is places[-1]:
                    raise ConfigurationError(
                        f"{what}: {reason}. Nothing was changed: look at the URL and the server"
                    ) from error
                continue
            yield connection
            return
