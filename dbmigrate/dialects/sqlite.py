"""SQLite through the sqlite3 driver.

BEGIN IMMEDIATE is the lock: it takes the database's one write lock at once, where a deferred BEGIN fails later without
waiting. A step outside a transaction (VACUUM, PRAGMA journal_mode) also holds a lock beside the file: a step that began
and whose lock is free is dead. The driver's own transaction control is off meanwhile; it would open a transaction only
before DML, and DDL would commit by itself.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import stat
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from sqlalchemy.exc import IntegrityError

from dbmigrate.dialects.base import Dialect, StepError, rows, scalar, send, send_unless
from dbmigrate.dialects.client import Sqlite3
from dbmigrate.dialects.evidence import REPEATABLE, Effect
from dbmigrate.dialects.sqlite_grammar import SQLITE
from dbmigrate.errors import ConfigurationError, MigrationError
from dbmigrate.scanner import statements
from dbmigrate.script import PLAIN, Traits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Iterable, Sequence

    from sqlalchemy.engine import URL, Connection
    from sqlalchemy.exc import DBAPIError

    from dbmigrate.catalogue import Object
    from dbmigrate.scanner import Statement

_BUSY, _LOCKED, _NOT_A_DATABASE = 5, 6, 26  # sqlite.org/rescode.html; extended codes keep them in the low byte
#: What SQLite keeps beside a file, and the lock that dbmigrate does (see lock_beside).
_COMPANIONS = ("-wal", "-shm", "-journal")
_DROP_WAIT = 1.0  # seconds
_OFF, _ON = {"OFF", "0", "FALSE", "NO"}, {"ON", "1", "TRUE", "YES"}
_OUTSIDE = Traits(atomic=False, outside=True)
_ATTACH = Traits(atomic=False, outside=True, session="lost")
_SYNCHRONOUS = Traits(atomic=False, outside=True, session="set")
_BEGIN, _COMMIT, _CONTROL = Traits(control="begin"), Traits(control="commit"), Traits(control="other")
_SESSION = Traits(session="set")
_FOREIGN_KEYS_OFF, _FOREIGN_KEYS_ON = Traits(foreign_keys="off"), Traits(foreign_keys="on")
_FOREIGN_KEY_CHECK = Traits(foreign_keys="check")
#: What a script can change in a connection that is not closed behind it (an in-memory database).
_RESTORED = (
    *("analysis_limit", "automatic_index", "busy_timeout", "cache_size", "cache_spill", "cell_size_check"),
    *("checkpoint_fullfsync", "count_changes", "defer_foreign_keys", "empty_result_callbacks", "foreign_keys"),
    *("full_column_names", "fullfsync", "ignore_check_constraints", "legacy_alter_table"),
    *("locking_mode", "max_page_count", "query_only", "read_uncommitted", "recursive_triggers"),
    *("reverse_unordered_selects", "secure_delete", "short_column_names", "soft_heap_limit", "synchronous"),
    *("temp_store", "threads", "trusted_schema", "wal_autocheckpoint", "writable_schema"),
)


class SQLite(Dialect):
    """SQLite. Without a server there is nobody to ask who holds the lock."""

    family = "sqlite"
    is_file = True
    grammar = SQLITE
    begin_is_the_lock = True
    begin_sql = "BEGIN IMMEDIATE"
    default_home = "main"  # never the temporary schema, nor an attached one
    switches_foreign_keys = True
    time_type = "TEXT"
    native_times = False  # the driver's adapters for datetime are deprecated
    client = Sqlite3()

    def catalogue(self, connection: Connection) -> Iterable[Object]:
        """Give everything in the database."""
        from dbmigrate.dialects.sqlite_catalogue import objects  # noqa: PLC0415 - only where schemas are compared

        return objects(connection)

    def as_meant(self, objects: Iterable[Object]) -> Iterable[Object]:
        """Write it in one way of those that mean the same."""
        from dbmigrate.dialects.sqlite_meant import meant  # noqa: PLC0415 - only where schemas are compared

        return meant(objects)

    def for_shadow(self, text: str, live: str, others: Collection[str]) -> str:  # noqa: ARG002
        """Refuse what reaches another file."""
        for statement in statements(text, self.grammar):
            if statement.head[0] == "ATTACH" or (statement.head[0] == "VACUUM" and "INTO" in statement.head):
                raise ValueError(f"{statement.head[0]} reaches a file that is not the shadow database")
        return text

    def traits(self, statement: Statement) -> Traits:
        """Judge a statement by its first words."""
        head = statement.head
        first = head[0]
        if first == "PRAGMA":
            return _pragma([word.strip("\"'`[]").upper() for word in head[1:]])
        if first == "BEGIN":
            return _BEGIN
        if first in ("COMMIT", "END"):
            return _COMMIT
        if first == "ROLLBACK":
            return PLAIN if "TO" in head else _CONTROL
        if first == "VACUUM":
            return _OUTSIDE
        if first in ("ATTACH", "DETACH"):
            return _ATTACH
        if first == "CREATE" and (head[1:2] in (("TEMP",), ("TEMPORARY",)) or _in_temp(head)):
            return _SESSION
        return PLAIN

    def exists(self, url: URL) -> bool:
        """Tell whether the file is there: connecting to a missing one would create it."""
        path = _file(url)
        folder = os.path.dirname(path)  # noqa: PTH120 - like its neighbours
        if folder and not os.path.isdir(folder):  # noqa: PTH112
            raise ConfigurationError(f"there is no folder {folder} for the database: correct the path, or create it")
        return not path or os.path.exists(path) or os.path.exists(url.database or "")  # noqa: PTH110

    def beside(self, url: URL, folder: Path) -> URL:
        """Put the path behind the folder, unless it is absolute, or there is none; that of a file: URI stays."""
        path = _file(url)
        return url.set(database=str(folder / path)) if path and path == url.database else url

    def vanishes(self, url: URL) -> bool:
        """Tell a database in memory; a path with the same words in it is none."""
        return not _file(url)

    def manage(self, url: URL) -> tuple[str, Sequence[URL]]:
        """Take the file itself, behind all links; a database in memory will do as a connection."""
        query = _query(url)
        if self.vanishes(url):
            raise ConfigurationError(
                "a database in memory is there while it is open, and is neither created nor dropped"
            )
        if query.get("mode") == "ro":
            raise ConfigurationError("the URL has mode=ro, so nothing is to be created or dropped: leave it out")
        if str(url.database).startswith("file:") and str(query.get("uri")).lower() not in ("true", "1", "yes", "on"):
            raise ConfigurationError(
                "without uri=true what begins with file: is a name like any other: add it, or a path"
            )
        return os.path.realpath(_file(url)), [url.set(database="", query={})]

    def has_database(self, connection: Connection, name: str) -> bool:  # noqa: ARG002
        """Look for the file, and not into it: to close it would end all locks that this process has on it."""
        try:
            is_file = stat.S_ISREG(os.stat(name).st_mode)  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise ConfigurationError(f"{name} cannot be looked for: {error}. Nothing was changed") from error
        if not is_file:
            raise ConfigurationError(f"{name} is no file: name another. Nothing was changed")
        return True

    def create_database(self, connection: Connection, name: str) -> bool:
        """Make an empty file."""
        try:
            Path(name).touch(0o644, exist_ok=False)  # as SQLite
        except FileExistsError:
            self.has_database(connection, name)
            return False
        except OSError as error:
            where = f"its folder {Path(name).parent} is missing" if isinstance(error, FileNotFoundError) else str(error)
            raise ConfigurationError(f"{name} cannot be created: {where}. Nothing was changed") from error
        return True

    def is_same(self, connection: Connection, one: str, other: str) -> bool:  # noqa: ARG002
        """Ask the file system, which may ignore case, or have links."""
        return one == other or (os.path.exists(other) and os.path.samefile(one, other))  # noqa: PTH110, PTH121

    def drop_database(self, connection: Connection, name: str, *, force: bool) -> bool:
        """Remove the file and its companions, under their locks. The file goes first: companions alone mean nothing."""
        while self.has_database(connection, name):
            is_gone = False
            try:
                with ExitStack() as stack:
                    stack.enter_context(_locked(name, force=force))
                    companions, lock = list[str](_COMPANIONS), Path(f"{name}-dbmigrate")
                    if lock.exists() and not lock.stat().st_size:  # or it is somebody's database
                        stack.enter_context(_locked(str(lock), force=force))
                        companions.append("-dbmigrate")
                    Path(name).unlink()
                    is_gone = True
                    for ending in companions:
                        Path(name + ending).unlink(missing_ok=True)
            except FileNotFoundError:  # somebody else was faster: look again
                continue
            except OSError as error:
                if is_gone:
                    raise MigrationError(
                        f"{name} is removed, but not what is beside it: {error}. Remove that"
                    ) from error
                raise ConfigurationError(f"{name} cannot be removed: {error}. Nothing was changed") from error
            return True
        return False

    def copy_database(self, connection: Connection, source: str, target: str) -> bool:
        """Have SQLite itself write it, with what is in a write-ahead log; it has its name when it is whole."""
        if self.has_database(connection, target):
            return False
        half = f"{target}.{secrets.token_hex(8)}"
        self.create_database(connection, half)
        try:
            with ExitStack() as stack:
                old = stack.enter_context(closing(sqlite3.connect(source, timeout=_DROP_WAIT)))
                new = stack.enter_context(closing(sqlite3.connect(half)))
                new.execute("PRAGMA synchronous = OFF")
                old.backup(new, progress=partial(_not_busy, source))
            return _named(half, target)
        except sqlite3.Error as error:
            raise ConfigurationError(f"{source} was not copied: {error}. There is no copy") from error
        finally:
            Path(half).unlink(missing_ok=True)

    def is_disposable(self, connection: Connection) -> bool:
        """Tell whether the main database is a file."""
        is_file = any(row[1] == "main" and row[2] for row in rows(connection, "PRAGMA database_list"))
        return is_file and _query(connection.engine.url).get("vfs") != "memdb"  # which has a name like a file's

    def is_shared(self, connection: Connection) -> bool:
        """Ask the driver, which begins late; with autocommit=False it does so at once."""
        raw = _raw(connection)
        return bool(raw.in_transaction) and getattr(raw, "autocommit", None) is not False

    def autocommits(self, connection: Connection) -> bool:
        """Ask the driver, which puts BEGIN off until the first DML; who has sent it by hand is in a transaction."""
        raw = _raw(connection)
        return not raw.in_transaction and (raw.isolation_level is None or getattr(raw, "autocommit", False) is True)

    def join(self, connection: Connection) -> bool:
        """Send the BEGIN that the driver sends before DML only: DDL in front of it would commit by itself."""
        return bool(_raw(connection).in_transaction) or send_unless(connection, SQLite.begin_sql, _is_busy)

    @contextmanager
    def session(self, connection: Connection, wait: float) -> Generator[None]:
        """Switch the driver's transaction control off, and restore it and the connection's settings at the end.

        Each BEGIN waits in SQLite's own way for a second at most; the caller repeats it.
        """
        if not connection.in_transaction():
            connection.begin()  # now, so that a `begin` hook of the engine's owner fires here and nowhere below
        raw = _raw(connection)
        isolation_level, autocommit = raw.isolation_level, getattr(raw, "autocommit", None)
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        if autocommit is not None:
            raw.autocommit = sqlite3.LEGACY_TRANSACTION_CONTROL  # type: ignore[attr-defined,unused-ignore]
        raw.isolation_level = None
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        kept = not self.is_disposable(connection)
        saved = {name: raw.execute(f"PRAGMA {name}").fetchone() for name in _RESTORED if kept}
        try:
            send(connection, f"PRAGMA busy_timeout = {int(min(wait, 1.0) * 1000)}")
            yield
        finally:
            with suppress(sqlite3.ProgrammingError) if connection.invalidated else nullcontext():  # it may be closed
                if raw.in_transaction:
                    raw.execute("ROLLBACK")
                for name, value in saved.items():
                    if raw.execute(f"PRAGMA {name}").fetchone() != value:
                        raw.execute(f"PRAGMA {name} = {value[0]}")
                raw.isolation_level = isolation_level
                if autocommit is not None:
                    raw.autocommit = autocommit  # type: ignore[attr-defined,unused-ignore]
            if connection.invalidated:
                raw.close()

    @contextmanager
    def lock_beside(self, connection: Connection) -> Generator[Callable[[], bool]]:
        """Lock a second, empty database beside the file; it dies with the process. In memory nobody else is there."""
        path = next((row[2] for row in rows(connection, "PRAGMA database_list") if row[1] == "main"), "")
        if not path:
            yield lambda: True
            return
        path = f"{path}-dbmigrate"
        try:
            lock = sqlite3.connect(path, timeout=0, isolation_level=None)
        except sqlite3.Error as error:
            raise _no_lock(path, error) from error
        with closing(lock):
            yield partial(_lock, lock, path)

    def settings(self, connection: Connection) -> Sequence[str]:
        """Enforce foreign keys as this connection does."""
        return (f"PRAGMA foreign_keys = {int(scalar(connection, 'PRAGMA foreign_keys'))}",)

    def begin(self, connection: Connection) -> bool:
        """Take the write lock."""
        return send_unless(connection, self.begin_sql, _is_busy)

    def commit(self, connection: Connection) -> bool:
        """Commit; readers can be in the way without write-ahead logging, and then COMMIT alone can be repeated."""
        return send_unless(connection, self.commit_sql, _is_busy)

    def rollback(self, connection: Connection) -> str | None:
        """Roll back, unless SQLite has already done so."""
        return super().rollback(connection) if _raw(connection).in_transaction else None

    def in_transaction(self, connection: Connection) -> bool:
        """Ask the driver; INSERT OR ROLLBACK and RAISE(ROLLBACK) end a transaction without a word."""
        return bool(_raw(connection).in_transaction)

    @contextmanager
    def foreign_keys_off(self, connection: Connection) -> Generator[Callable[[], None]]:
        """Switch enforcement off outside of the transaction (inside it is ignored), and back."""

        def check() -> None:
            broken = rows(connection, "PRAGMA foreign_key_check")
            if broken:
                some = "; ".join(f"{row[0]} row {row[1]} refers to {row[2]}" for row in broken[:5])
                raise StepError(f"foreign keys are violated at the end of the migration: {some}")

        before = scalar(connection, "PRAGMA foreign_keys")
        send(connection, "PRAGMA foreign_keys = OFF")
        try:
            yield check
        finally:
            if not _raw(connection).in_transaction:
                send(connection, f"PRAGMA foreign_keys = {int(before)}")

    def effect(self, statement: Statement) -> Effect | None:
        """Say that VACUUM and PRAGMA can be repeated; VACUUM INTO fails where its file is."""
        is_harmless = statement.head[0] in ("VACUUM", "PRAGMA") and "INTO" not in statement.head
        return REPEATABLE if is_harmless else None

    def is_missing_table(self, error: DBAPIError) -> bool:
        """Go by the message; SQLite has no code for it."""
        return "no such table" in str(error.orig)

    def is_conflict(self, error: DBAPIError) -> bool:
        """Tell a taken key or a busy database."""
        return isinstance(error, IntegrityError) or _is_busy(error)

    def hint(self, error: DBAPIError) -> str | None:
        """Explain what is not a database."""
        is_foreign = getattr(error.orig, "sqlite_errorcode", 0) == _NOT_A_DATABASE
        return "The file is no SQLite database (or an encrypted one): correct the path" if is_foreign else None

    def is_spoiled(self, error: DBAPIError) -> bool:
        """Tell results that were not read to their end."""
        return _is_busy(error)

    def is_transient(self, error: DBAPIError) -> bool:
        """Tell a busy database."""
        return _is_busy(error)


def _query(url: URL) -> dict[str, object]:
    """Return the parameters of a `file:` URI, some of which are in its own text."""
    return {**dict(parse_qsl((url.database or "").partition("?")[2])), **url.query}


def _file(url: URL) -> str:
    """Return the path of a database; none if it is in memory, or temporary."""
    name = url.database or ""
    if not name.startswith("file:"):
        return "" if name == ":memory:" else name
    path, query = unquote(urlsplit(name).path), _query(url)
    in_memory = path == ":memory:" or query.get("mode") == "memory" or query.get("vfs") == "memdb"
    return "" if in_memory else path


def _in_temp(head: tuple[str, ...]) -> bool:
    return "." in head and any(a.strip("\"'`[]").upper() == "TEMP" and b == "." for a, b in pairwise(head))


def _pragma(words: list[str]) -> Traits:
    """Judge `PRAGMA [schema .] name [= value | (value)]`."""
    words = words[2:] if words[1:2] == ["."] else words
    name, value = (words or [""])[0], "".join(word for word in words[1:] if word not in ("=", "(", ")"))
    if name == "FOREIGN_KEYS" and value:
        return _FOREIGN_KEYS_OFF if value in _OFF else _FOREIGN_KEYS_ON
    if name == "FOREIGN_KEY_CHECK":
        return _FOREIGN_KEY_CHECK
    if name in ("JOURNAL_MODE", "AUTO_VACUUM", "PAGE_SIZE") and value:
        return _OUTSIDE
    if name in ("INCREMENTAL_VACUUM", "WAL_CHECKPOINT"):
        return _OUTSIDE
    if name == "SYNCHRONOUS" and value:
        return _SYNCHRONOUS
    return _SESSION if value else PLAIN


def _raw(connection: Connection) -> Any:  # noqa: ANN401 - sqlite3.Connection or a driver of its shape
    return connection.connection.dbapi_connection


def _is_busy(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in (_BUSY, _LOCKED)


@contextmanager
def _locked(path: str, *, force: bool) -> Generator[None]:
    """Lock a file that must be an SQLite database, so that nobody is in the middle of a transaction, unless `force`.

    Raises FileNotFoundError if it is not the file any more that was there before.
    """
    uri, before, refusal = f"{Path(path).as_uri()}?mode=rw", os.stat(path), None  # noqa: PTH116
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(
                closing(sqlite3.connect(uri, uri=True, timeout=_DROP_WAIT, isolation_level=None))
            )
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            refusal = error
        if not os.path.samestat(before, os.stat(path)):  # noqa: PTH116
            raise FileNotFoundError(f"{path} was replaced")
        if before.st_size == 1:  # which SQLite takes for empty
            raise ConfigurationError(f"{path} was not removed: file is not a database. Nothing was changed")
        if refusal and refusal.sqlite_errorcode & 0xFF not in (_BUSY, _LOCKED):
            raise ConfigurationError(f"{path} was not removed: {refusal}. Nothing was changed") from refusal
        if refusal and not force:
            raise ConfigurationError(
                f"{path} was not removed: it is locked, so somebody is at work in it. Wait for the end, or pass "
                "force=True, and what is being written is lost. Nothing was changed"
            ) from refusal
        if os.name == "nt":  # where nobody can remove what is open
            stack.close()
        yield


def _not_busy(path: str, status: int, _remaining: int, _total: int) -> None:
    """Give up where sqlite3 would try for ever."""
    if status in (_BUSY, _LOCKED):
        raise ConfigurationError(f"{path} was not copied: somebody is writing into it. There is no copy: try again")


def _named(path: str, name: str) -> bool:
    """Give a file a name. False: there is one of that name."""
    try:
        os.link(path, name)  # which a rename would not notice
    except FileExistsError:
        return False
    except OSError:  # no file has two names here
        if os.path.exists(name):  # noqa: PTH110 - like its neighbours
            return False
        os.rename(path, name)  # noqa: PTH104
    return True


def _no_lock(path: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"the lock {path} cannot be taken: {error}. Nothing runs without it: see that it is a file that can be "
        "written, or that one can be made there, and call again"
    )


def _lock(lock: sqlite3.Connection, path: str) -> bool:
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF in (_BUSY, _LOCKED):
            return False
        raise _no_lock(path, error) from error
    return True


DIALECT = SQLite()
