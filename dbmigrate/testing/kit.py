"""Databases for tests: migrated once, and copied for each test. The plugin of pytest is its only caller here.

    kit = Kit(folder, run, worker)
    url = kit.fresh(migrator)
    kit.close()

Laws: only databases that are called as `NAME` says are touched, never the one in the URL of a Migrator; each belongs to
a run, whose processes hold a lock for as long as they live, and those of a run without such a lock are dropped by the
next one. So each process has one, its mark, that is there all the time: its own is not, while it is copied anew. All
processes of a run share a folder, in which the template is made by one of them.
"""

from __future__ import annotations

import re
import socket
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError

from dbmigrate import database
from dbmigrate.connect import without_secrets
from dbmigrate.dialects import Dialect, dialect_for
from dbmigrate.errors import ConfigurationError, MigrationError
from dbmigrate.migrator import Migrator
from dbmigrate.testing.checks import is_a, keep_inside

#: What the names of the kit's databases begin with, and nobody else's.
PREFIX = "dbmigrate_kit_"
#: Behind it: the run, the process that it belongs to or "template", which Migrator it is for, and a number.
NAME = re.compile(PREFIX + "([0-9a-f]{12})_([0-9a-z]{1,12})_([0-9a-f]{8})(?:_[0-9]+)?")
_TEMPLATE = "template"
_LONGEST = 12  # characters of the name of a process
#: Seconds that the processes of a run wait for one that makes the template.
_PATIENCE = 3600.0


@dataclass(slots=True)
class _Place:
    """What this process has for a Migrator: a session on its server that says so, and names."""

    migrator: Migrator
    key: str
    dialect: Dialect
    connection: Connection
    #: The lock that says that this process lives.
    lock: str
    #: The database by whose name others know of this process.
    mark: URL
    own: URL
    #: That of the whole run.
    template: URL
    #: Those of mark and own that this process made.
    made: list[URL] = field(default_factory=list[URL])
    #: Why there is no template.
    trouble: Exception | None = None
    is_complete: bool = False
    count: int = 0


class Kit:
    """The databases of one process in a run."""

    def __init__(self, folder: Path, run: str, worker: str = "main") -> None:
        """Touches nothing.

        Args:
            folder: Where SQLite files and the notes of the run are; the same for all its processes, and of no other.
            run: What all processes of this run say, and those of no other.
            worker: What tells this process from the others of the run.

        """
        self._folder = folder
        # several machines can share a run, but not the folder
        self._run = sha256(f"{run}\x1f{socket.gethostname()}\x1f{folder}".encode()).hexdigest()[:12]
        name = re.sub("[^0-9a-z]", "", worker.lower())
        # one that is too long is not cut, for others may begin as it does
        is_fit = name == worker and 0 < len(name) <= _LONGEST and name != _TEMPLATE
        self._worker = name if is_fit else sha256(worker.encode()).hexdigest()[:_LONGEST]
        self._places: dict[str, _Place] = {}
        #: By the id of a Migrator, which is kept so that it stays its own.
        self._known: dict[int, tuple[Migrator, _Place]] = {}
        self._stack = ExitStack()

    def fresh(self, migrator: Migrator) -> URL:
        """Return the URL of a database with all migrations applied, as if nobody had used it.

        It is this process's only one for that Migrator: what was in it is gone, and who is at work in it is ended. The
        first call of a run migrates; where that fails, every other call of this process raises the same error.

        Raises:
            ConfigurationError: The Migrator has no URL, or one that leads through a pooler; its ledger is elsewhere and
                not empty; a script names another database (MariaDB, MySQL); or the server refuses.
            MigrationError: The migrations fail, with any of their errors.

        """
        place = self._place(migrator)
        if not place.is_complete and place.trouble is None:
            try:
                self._complete(place)
            except Exception as error:  # noqa: BLE001 - it is raised below, each time
                place.trouble = error
        if place.trouble is not None:
            raise place.trouble
        database.copy(place.template, place.own, overwrite=True)
        return place.own

    def named(self, migrator: Migrator) -> Migrator:
        """Return the same Migrator with the URL of a database of the kit's that does not exist; another each time."""
        place = self._place(migrator)
        place.count += 1
        return _at(migrator, self._url(migrator, f"{self._name(self._worker, place.key)}_{place.count}"))

    def close(self) -> None:
        """Drop this process's databases; and all that are left of the run, if no other process of it lives."""
        with self._stack:
            for place in self._places.values():
                place.dialect.end_sessions(place.connection, str(place.own.database))
                while place.made:
                    database.drop(place.made[-1], force=True)
                    place.made.pop()
                if not place.dialect.begin_is_the_lock:
                    place.dialect.unlock(place.connection, place.lock)
                with self._alone():
                    self._sweep(place, ours=True)
        self._places.clear()
        self._known.clear()

    def _name(self, who: str, key: str) -> str:
        return f"{PREFIX}{self._run}_{who}_{key}"

    def _url(self, migrator: Migrator, name: str) -> URL:
        if not isinstance(migrator.database, URL):
            raise ConfigurationError(
                "databases for tests are made on the server of the Migrator: give it a URL, not an Engine or a "
                "Connection. Nothing was touched"
            )
        url = migrator.database.set(database=name)
        dialect = dialect_for(url)
        return dialect.beside(url.set(query={}) if dialect.is_file else url, self._folder)

    def _place(self, migrator: Migrator) -> _Place:
        """Return what this process has for a Migrator; at first, connect and make this process known."""
        if id(migrator) in self._known:
            return self._known[id(migrator)][1]
        if not is_a(migrator, Migrator):
            raise ConfigurationError(f"dbmigrate_migrator returns a Migrator, not a {type(migrator).__name__}")
        key = _key(migrator)
        if key not in self._places:
            own, template = (self._url(migrator, self._name(who, key)) for who in (self._worker, _TEMPLATE))
            mark = self._url(migrator, f"{self._name(self._worker, key)}_0")
            self._folder.mkdir(parents=True, exist_ok=True)
            dialect, connection, _ = self._stack.enter_context(database.managing(own))
            dialect.stay(connection)
            if not dialect.behind(connection).has_session:
                raise ConfigurationError(
                    "databases for tests are made under a lock of the session, and this connection goes through a "
                    "pooler: give the Migrator for tests the URL of the server itself. Nothing was touched"
                )
            keep_inside(migrator, dialect, connection, NAME.fullmatch)
            lock = _lock(dialect, self._run, self._worker, key)
            if not (dialect.begin_is_the_lock or dialect.try_lock(connection, lock)):
                raise ConfigurationError(f"another process of this run is called {self._worker}: call it otherwise")
            place = self._places[key] = _Place(migrator, key, dialect, connection, lock, mark, own, template)
            with self._alone():
                self._sweep(place)
        self._known[id(migrator)] = migrator, self._places[key]
        return self._places[key]

    def _complete(self, place: _Place) -> None:
        """See that there is a template, and that this process's own database is one that it made."""
        # It has the lock by now: a database of a process without one is nobody's.
        for url in (place.mark, place.own):
            if not database.create(url):
                raise ConfigurationError(f"there is a database {url.database}, which this process did not make")
            place.made.append(url)
        note = self._note(place.key)
        with self._alone():
            if not note.exists():
                database.drop(place.template, force=True)  # of one that was killed in the middle
                database.create(place.template)
                migrator = _at(place.migrator, place.template)
                if migrator.history():
                    raise ConfigurationError(
                        "the database was just created, and the ledger has records: it is somewhere else. Give the "
                        "Migrator for tests one that is empty"
                    )
                migrator.upgrade()
                note.touch()
        place.is_complete = True

    def _note(self, key: str) -> Path:
        """Return the file that says that a template is complete."""
        return self._folder / f"{self._run}_{key}.ready"

    def _sweep(self, place: _Place, *, ours: bool = False) -> None:
        """Drop the databases of runs that have ended, on that server: of all others, or of ours."""
        for run in {found[1] for found in _listed(place)}:
            if (run == self._run) is ours:
                with _over(place, run) as names:
                    for found in names:
                        # what another user has left is left to that user's next run
                        with suppress(*() if ours else (DBAPIError, MigrationError)):
                            place.dialect.end_sessions(place.connection, found[0])
                            place.dialect.drop_database(place.connection, found[0], force=True)
                        if ours:
                            self._note(found[3]).unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Keep the other processes of the run out; a lock of SQLite ends with its process on every system."""
        with closing(sqlite3.connect(self._folder / "lock", timeout=_PATIENCE, isolation_level=None)) as lock:
            lock.execute("BEGIN EXCLUSIVE")
            yield


def _lock(dialect: Dialect, run: str, worker: str, key: str) -> str:
    return dialect.lock_key(run, f"{worker}_{key}")


def _listed(place: _Place) -> list[re.Match[str]]:
    """Return the databases of the kit on a server."""
    names = place.dialect.list_databases(place.connection, PREFIX)
    return [found for name in names if (found := NAME.fullmatch(name)) is not None]


@contextmanager
def _over(place: _Place, run: str) -> Generator[Sequence[re.Match[str]]]:
    """Give the databases of a run, with the locks of all its processes; none if one of them lives."""
    with ExitStack() as held:
        known = set[tuple[str, str]]()
        while True:
            names = [found for found in _listed(place) if found[1] == run]
            # one may have begun while the locks of the others were taken
            new = {(found[2], found[3]) for found in names if found[2] != _TEMPLATE} - known
            if not new:
                break
            for worker, key in new:
                lock = _lock(place.dialect, run, worker, key)
                if not place.dialect.try_lock(place.connection, lock):
                    yield ()
                    return
                held.callback(place.dialect.unlock, place.connection, lock)
            known |= new
        yield names


def _at(migrator: Migrator, url: URL) -> Migrator:
    """Return the same Migrator for another database."""
    return replace(migrator, database=url, schema_file=None)  # that of the project is none of a test's


def _key(migrator: Migrator) -> str:
    """Return what tells a Migrator from others, in every process: where its database is, and what it does there."""
    kind, table = type(migrator.ledger).__qualname__, getattr(migrator.ledger, "table", "")
    parts = [without_secrets(migrator.url), kind, str(table), str(getattr(migrator.ledger, "schema", ""))]
    parts += [f"{m.version} {m.name} {m.up.checksum}" for m in migrator.source.load()]
    return sha256("\x1f".join(parts).encode()).hexdigest()[:8]
