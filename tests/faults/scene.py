"""A scene for faults: a history of migrations, a run of it that something happens to, and the end that it must have.

To add a fault takes a test like this one, with the name that the tally is to have for it:

    @pytest.mark.fault("the server ends the session of a run")
    @pytest.mark.kinds("postgresql", "mariadb")
    def test_the_server_ends_the_session(database: Database) -> None:
        # what is claimed, as a docstring
        scene = Scene(database)
        run = scene.migrator_at(Moment("before", "INSERT INTO effects VALUES ('2 up')"), lambda _: scene.end_sessions())
        with pytest.raises(MigrationFailed, match="connection was lost"):
            run.upgrade()
        scene.recover()

`migrator_at` does something at a moment, in the thread of the run. `in_the_middle` has a statement wait, in a run of
another thread, for as long as something is done to it; `frozen` freezes the connection of one. `recover` is what
somebody does who knows nothing of the fault: start again, and resume where that is said. Then it looks whether the end
is that of a run that nobody disturbed.
"""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from dbmigrate import HistoryError, MemorySource, Migrator, Report, Unfinished, sql_migration
from tests import conftest
from tests.faults.proxy import Freeze, proxy
from tests.processes import Moment

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from sqlalchemy import URL

    from tests.conftest import Database, Kind
    from tests.faults.proxy import When

_OUTSIDE: Final[dict[Kind, tuple[str, str]]] = {
    "sqlite": ("VACUUM", "VACUUM"),
    "postgresql": ("CREATE INDEX CONCURRENTLY things_n ON things (n)", "DROP INDEX CONCURRENTLY things_n"),
    "mariadb": (
        "ALTER TABLE things ADD COLUMN note VARCHAR(20), ALGORITHM=COPY",
        "ALTER TABLE things DROP COLUMN note, ALGORITHM=COPY",
    ),
}

#: The lasting statements of the history: how one begins, and what keeps it from ending if another session does that.
_IN_THE_WAY: Final[dict[tuple[Kind, str], str]] = {
    ("postgresql", "INSERT INTO effects"): "LOCK TABLE effects IN EXCLUSIVE MODE",
    # It has made its index, which is INVALID, and waits for whoever may still write without knowing that.
    ("postgresql", "CREATE INDEX"): "LOCK TABLE things IN ROW EXCLUSIVE MODE",
    ("mariadb", "INSERT INTO effects"): "LOCK TABLES effects WRITE",
    # It has copied all rows, and waits for whoever has read the table, to put the copy into its place.
    ("mariadb", "ALTER TABLE things"): "SELECT * FROM things",
}

_SESSIONS: Final[dict[Kind, str]] = {
    "sqlite": "SELECT 1 WHERE false",
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend'",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE db = database() AND id <> connection_id()",
}
_BLOCKED: Final[dict[Kind, str]] = {
    "postgresql": f"{_SESSIONS['postgresql']} AND wait_event_type = 'Lock'",
    "mariadb": f"{_SESSIONS['mariadb']} AND state LIKE 'Waiting for%lock'",
}
_END: Final[dict[Kind, str]] = {"postgresql": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}

_COUNT: Final = "CREATE TABLE effects (step VARCHAR(20) NOT NULL)"

_PATIENCE: Final = 60.0

#: What an undisturbed run makes of an empty database, which depends on nothing but its kind.
_UNDISTURBED: Final[dict[Kind, dict[str, list[str]]]] = {}


def history(kind: Kind) -> MemorySource:
    """Return five migrations that can be taken back: DDL, rows, both, a step outside a transaction, and rows again.

    Each script counts itself in the table `effects`, where a second run shows.
    """
    outside = "-- dbmigrate: no-transaction\n" if kind != "mariadb" else ""
    up, down = _OUTSIDE[kind]
    scripts = {
        "1_table": ("CREATE TABLE things (n INTEGER NOT NULL); {};", "{}; DROP TABLE things;"),
        "2_rows": (
            "INSERT INTO things VALUES (1); {}; INSERT INTO things VALUES (2);",
            "DELETE FROM things WHERE n = 1; {}; DELETE FROM things WHERE n = 2;",
        ),
        "3_both": (
            "CREATE TABLE notes (n INTEGER NOT NULL); {}; INSERT INTO notes VALUES (3);",
            "{}; DROP TABLE notes;",
        ),
        "4_outside": (
            f"{outside}INSERT INTO things VALUES (4); {up}; {{}};",
            f"{outside}DELETE FROM things WHERE n = 4; {down}; {{}};",
        ),
        "5_row": ("{}; INSERT INTO notes VALUES (5);", "DELETE FROM notes WHERE n = 5; {};"),
    }
    migrations = []
    for label, texts in scripts.items():
        version, _, name = label.partition("_")
        counted = (f"INSERT INTO effects VALUES ('{version} {way}')" for way in ("up", "down"))
        migrations.append(sql_migration(version, name, *map(str.format, texts, counted)))
    return MemorySource(migrations)


def until(is_so: Callable[[], object], what: str) -> None:
    """Wait for something that is certain to come."""
    deadline = time.monotonic() + _PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"it does not come: {what}"
        time.sleep(0.01)


@dataclass
class Middle:
    """A run that is in the middle of a statement."""

    session: int
    #: The driver's connection, which belongs to the thread of the run.
    connection: Any
    _future: Future[Report]

    def report(self) -> Report:
        """Wait for the end of the run; return what it returns, raise what it raises."""
        return self._future.result(_PATIENCE)


class Scene:
    """An empty database, but for the table that counts, and the history."""

    def __init__(self, database: Database, *, tcp: bool = False) -> None:
        self.database, self.source = database, history(database.kind)
        self.url = database.url_for(database.driver, tcp=tcp)
        self.steps = [f"{migration} up" for migration in self.source.load()]
        database.execute(_COUNT)

    def migrator(self, url: URL | None = None, **options: Any) -> Migrator:
        """Return what an application has: a migrator for the database."""
        return Migrator(url or self.url, self.source, **options)

    def migrator_at(self, moment: Moment, act: Callable[[Any], object], **options: Any) -> Migrator:
        """Return one in whose first call something happens at a moment; `act` gets the driver's connection."""
        engine = create_engine(self.url, poolclass=NullPool)
        moment.listen(engine, act)
        return Migrator(engine, self.source, **options)

    @contextmanager
    def in_the_middle(self, text: str, of: str = "", **options: Any) -> Generator[Middle]:
        """Run upgrade() in another thread until it is inside a lasting statement that begins so; give that.

        Nobody is in its way any more behind that. `of`: how it goes on, where several begin so.
        """
        raw, connect = list[Any](), self.database.connect
        with ThreadPoolExecutor(1) as pool, connect(autocommit=False) as other, closing(other.cursor()) as cursor:

            def get_in_the_way(connection: Any) -> None:
                raw.append(connection)
                cursor.execute(_IN_THE_WAY[self.database.kind, text])

            run = self.migrator_at(Moment("before", text + of), get_in_the_way, **options)
            future = pool.submit(run.upgrade)
            until(lambda: future.done() or (raw and self.blocked()), text)
            assert not future.done(), future.exception() or f"nothing that begins with {text} was kept waiting"
            yield Middle(self.blocked()[0], raw[0], future)

    @contextmanager
    def frozen(self, word: str, number: int, when: When, **options: Any) -> Generator[tuple[Freeze, Future[Report]]]:
        """Run upgrade() in another thread, over a connection that freezes at a message (proxy.py); give it frozen.

        It is cut at the end, unless it was thawed.
        """
        assert self.database.server is not None
        freeze = Freeze(word, number, when)
        with proxy(self.database.server.port, freeze) as port, ThreadPoolExecutor(1) as pool:
            url = self.database.url_for(self.database.driver, tcp=True).set(port=port)
            future = pool.submit(self.migrator(url, **options).upgrade)
            try:
                until(lambda: freeze.is_done or future.done(), f"{word} {number}")
                assert not future.done(), future.result()
                yield freeze, future
            finally:
                freeze.thaw(cut=not freeze.thawed.is_set())

    def sessions(self) -> list[int]:
        """Return all sessions on the database but the one that asks."""
        return [number for (number,) in self.database.query(_SESSIONS[self.database.kind])]

    def blocked(self) -> list[int]:
        """Return the sessions that wait for a lock."""
        return [number for (number,) in self.database.query(_BLOCKED[self.database.kind])]

    def end_sessions(self, *numbers: int) -> None:
        """Have the server end sessions, or all, and wait until they are gone."""
        chosen = numbers or tuple(self.sessions())
        for number in chosen:
            self.database.execute(_END[self.database.kind].format(number))
        until(lambda: not set(chosen) & set(self.sessions()), "the end of the sessions")

    def recover(self) -> list[str]:
        """Start again blindly, resume where that is said, and check the end. Return the steps that ran."""
        migrator, ran = self.migrator(), list[str]()
        for _ in range(3):
            try:
                report = migrator.upgrade()
            except HistoryError as error:
                (finding,) = error.findings
                assert isinstance(finding, Unfinished), error
                report = migrator.resume()
            ran += steps_of(report)
            if migrator.status().is_current:
                break
        self.check()
        return ran

    def check(self) -> None:
        """Assert that it is as behind an undisturbed run; each script ran as often as recorded; nobody is left."""
        migrator = self.migrator()
        migrator.verify()
        assert self.dump() == undisturbed(self.database)
        recorded = Counter(f"{r.version} {r.action}" for r in migrator.history() if r.action in ("up", "down"))
        assert self.effects() == recorded
        for migration in self.source.load():
            version = migration.version
            assert recorded[f"{version} up"] == recorded[f"{version} down"] + 1
        until(lambda: not self.sessions(), "the end of all sessions")
        assert self.database.leftovers() == []

    def clear(self) -> None:
        """Begin anew."""
        database = self.database
        if database.server is not None:
            conftest.empty(database.server, database.name)
        else:
            path = Path(database.name)
            for file in path.parent.glob(f"{path.name}*"):
                file.unlink()
        database.execute(_COUNT)

    def effects(self) -> Counter[str]:
        """Return how often each script ran."""
        return Counter(step for (step,) in self.database.query("SELECT step FROM effects"))

    def dump(self) -> dict[str, list[str]]:
        """Return catalogue and rows, without the ledger and without what counts."""
        return self.database.dump(exclude=("dbmigrate_", "effects"))


def undisturbed(database: Database) -> dict[str, list[str]]:
    """Return what a run makes of an empty database of that kind if nobody disturbs it."""
    if database.kind not in _UNDISTURBED:
        scene = Scene(database.another())
        assert steps_of(scene.migrator().upgrade()) == scene.steps
        _UNDISTURBED[database.kind] = scene.dump()
    return _UNDISTURBED[database.kind]


def steps_of(report: Report) -> list[str]:
    """Return the steps that a report has."""
    return [str(outcome.step) for outcome in report.outcomes]
