"""Ledgers of other shapes: through the port, in the database and outside of it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event
from sqlalchemy.pool import NullPool

from dbmigrate import (
    ConfigurationError,
    HistoryError,
    LedgerError,
    MemorySource,
    MigrationFailed,
    Migrator,
    StepFinished,
    StepStarted,
    TableLedger,
    sql_migration,
)
from examples.json_ledger.json_ledger import JsonLedger
from examples.own_table_ledger.own_table_ledger import OwnTable
from tests.processes import run_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy

    from dbmigrate import Event, Ledger, Record
    from tests.conftest import Database

SOURCE = MemorySource(
    [
        sql_migration("1", "a", "CREATE TABLE a (x INTEGER)", "DROP TABLE a"),
        sql_migration("2", "b", "CREATE TABLE b (x INTEGER)", "DROP TABLE b"),
        sql_migration("3", "c", "INSERT INTO a VALUES (1)", "DELETE FROM a"),
    ]
)


def names(migrator: Migrator) -> list[str]:
    """Return what is applied."""
    return [entry.name for entry in migrator.status().applied]


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_table_of_the_users_own_shape(request: pytest.FixtureRequest, kind: str) -> None:
    """Every verb works over a ledger that keeps only what is applied now; its row commits with the step."""
    database: Database = request.getfixturevalue(kind)
    migrator = Migrator(database.url, SOURCE, ledger=OwnTable())

    assert names(migrator) == []
    assert len(migrator.upgrade().outcomes) == 3
    assert not migrator.upgrade()
    assert sorted(database.tables()) == ["a", "b", "installed"]
    migrator.downgrade(steps=2)
    assert names(migrator) == ["a"]
    migrator.upgrade()
    migrator.apply(migrator.plan())
    migrator.downgrade(to="base")
    assert names(migrator) == []
    migrator.baseline("2", reason="they are there")
    assert names(migrator) == ["a", "b"]


def test_a_failed_step_leaves_no_row(sqlite: Database) -> None:
    """As with a ledger of ours."""
    bad = MemorySource([*SOURCE.migrations, sql_migration("4", "d", "INSERT INTO nope VALUES (1)")])

    with pytest.raises(MigrationFailed) as caught:
        Migrator(sqlite.url, bad, ledger=OwnTable()).upgrade()

    assert caught.value.rolled_back
    assert sqlite.query("SELECT version FROM installed ORDER BY place") == [("1",), ("2",), ("3",)]


def test_what_a_ledger_cannot_keep_is_said_before_anything_runs(postgresql: Database) -> None:
    """The begin of a step without a transaction is its first record."""
    source = MemorySource([sql_migration("1", "a", "-- no-transaction\nCREATE TABLE a (x INTEGER)")])

    with pytest.raises(LedgerError, match="cannot keep begin_up"):
        Migrator(postgresql.url, source, ledger=OwnTable()).upgrade()

    assert postgresql.tables() == ["installed"]


def test_a_ledger_of_files(database: Database, tmp_path: Path) -> None:
    """Outside the database: the begin is recorded before, the end behind the transaction."""
    migrator = Migrator(database.url, SOURCE, ledger=JsonLedger(tmp_path / "ledger"))

    assert len(migrator.upgrade().outcomes) == 3
    assert not migrator.upgrade()
    migrator.verify()
    assert sorted(database.tables()) == ["a", "b"]
    actions = [record.action for record in JsonLedger(tmp_path / "ledger").read(None)]  # type: ignore[arg-type]
    assert actions == ["begin_up", "up"] * 3
    migrator.downgrade(to="base")
    assert database.tables() == []
    assert not Migrator(database.url, SOURCE, ledger=JsonLedger(tmp_path / "ledger")).status().applied


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_failed_step_is_closed_outside(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> None:
    """What the database rolled back entirely can simply run again."""
    database: Database = request.getfixturevalue(kind)
    ledger = JsonLedger(tmp_path / "ledger")
    bad = MemorySource([sql_migration("1", "a", "CREATE TABLE a (x INTEGER); INSERT INTO nope VALUES (1)")])

    with pytest.raises(MigrationFailed) as caught:
        Migrator(database.url, bad, ledger=ledger).upgrade()

    assert caught.value.rolled_back
    assert database.tables() == []
    assert len(Migrator(database.url, SOURCE, ledger=ledger).upgrade().outcomes) == 3


@pytest.mark.parametrize("statement", ["CREATE TABLE a (x INTEGER)", "INSERT INTO a VALUES (1)", "COMMIT"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_an_interrupted_step_is_closed_outside(
    request: pytest.FixtureRequest, kind: str, statement: str, tmp_path: Path
) -> None:
    """Ctrl-C rolls the step back as an error does, and that is recorded; behind COMMIT nobody knows, and a person says.

    Each comes in the middle of a statement, and takes the connection with it.
    """
    database: Database = request.getfixturevalue(kind)
    ledger, engine = JsonLedger(tmp_path / "ledger"), database.engine(poolclass=NullPool)
    zero = sql_migration("0", "zero", "CREATE TABLE zero (x INTEGER)")
    source = MemorySource([zero, sql_migration("1", "a", "CREATE TABLE a (x INTEGER); INSERT INTO a VALUES (1)")])
    Migrator(engine, source, ledger=ledger).upgrade("0")

    @event.listens_for(engine, "after_cursor_execute")
    def interrupt(*arguments: Any) -> None:
        if arguments[2] == statement:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Migrator(engine, source, ledger=ledger).upgrade()

    migrator = Migrator(database.url, source, ledger=ledger)
    if statement == "COMMIT":
        with pytest.raises(HistoryError, match="there is no journal"):
            migrator.upgrade()
    else:
        assert len(migrator.upgrade().outcomes) == 1
    assert database.query("SELECT x FROM a") == [(1,)]


def test_a_failed_ddl_step_is_in_doubt_without_a_journal(mariadb: Database, tmp_path: Path) -> None:
    """Nobody knows how far it came: a person says what is true of the whole."""
    ledger = JsonLedger(tmp_path / "ledger")
    bad = MemorySource([sql_migration("1", "a", "CREATE TABLE a (x INTEGER); INSERT INTO nope VALUES (1)")])
    migrator = Migrator(mariadb.url, bad, ledger=ledger)

    with pytest.raises(MigrationFailed, match="there is no journal") as caught:
        migrator.upgrade()

    assert not caught.value.rolled_back
    with pytest.raises(HistoryError, match="there is no journal"):
        migrator.upgrade()
    with pytest.raises(HistoryError, match="there is no journal"):
        migrator.resume()
    with pytest.raises(LedgerError, match="keeps no journal: call it without statement="):
        migrator.resolve("1", statement=1, applied=True, reason="no")
    migrator.resolve("1", applied=True, reason="the table is all that matters")
    migrator.verify()


@dataclass(frozen=True)
class _Call:
    """A call that a process can be given."""

    folder: str

    def __call__(self, engine: sqlalchemy.Engine) -> None:
        Migrator(engine, SOURCE, ledger=JsonLedger(Path(self.folder))).upgrade()


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_killed_at_every_boundary(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> None:
    """A crash leaves at most one step in doubt, and a person's true word about it is enough to go on."""
    database: Database = request.getfixturevalue(kind)
    boundary, killed = 0, True
    while killed:
        folder = tmp_path / str(boundary)
        for name in database.tables():
            database.execute(f"DROP TABLE {name}")
        killed = run_until(boundary, database.url, _Call(str(folder)))
        migrator = Migrator(database.url, SOURCE, ledger=JsonLedger(folder))
        try:
            migrator.upgrade()
        except HistoryError as error:
            (finding,) = error.findings
            done: dict[str, Any] = {
                "1": "a" in database.tables(),
                "2": "b" in database.tables(),
                "3": "a" in database.tables() and database.query("SELECT count(*) FROM a") == [(1,)],
            }
            migrator.resolve(finding.version, applied=done[finding.version], reason="looked")
            migrator.upgrade()
        migrator.verify()
        assert sorted(database.tables()) == ["a", "b"]
        assert database.query("SELECT x FROM a") == [(1,)]
        boundary += 1
    assert boundary > 10


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_running_step_is_not_taken_for_an_interrupted_one(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    """Whoever comes while it runs waits, also where the only lock is a transaction."""
    database: Database = request.getfixturevalue(kind)
    ledger, second = JsonLedger(tmp_path / "ledger"), list[bool]()
    thread = threading.Thread(
        target=lambda: second.append(bool(Migrator(database.url, SOURCE, ledger=ledger).upgrade()))
    )

    def start(event: Event) -> None:
        if isinstance(event, StepStarted) and thread.ident is None:
            thread.start()
            time.sleep(0.3)

    assert len(Migrator(database.url, SOURCE, ledger=ledger, on_event=start).upgrade().outcomes) == 3
    thread.join()
    assert second == [False]


@pytest.mark.parametrize("ledger", [OwnTable(), TableLedger()], ids=["own", "ours"])
def test_who_comes_between_two_steps_does_not_make_them_run_twice(sqlite: Database, ledger: Ledger) -> None:
    """A step follows what was seen in the transaction before it, not what somebody else has committed since."""
    sqlite.execute("CREATE TABLE seen (x)")
    source = MemorySource([sql_migration(str(i), "row", f"INSERT INTO seen VALUES ({i})") for i in range(1, 4)])
    others: list[int] = []

    def overtake(event: Event) -> None:
        if isinstance(event, StepFinished) and not others:
            others.append(len(Migrator(sqlite.url, source, ledger=ledger).upgrade().outcomes))

    report = Migrator(sqlite.url, source, ledger=ledger, on_event=overtake).upgrade()

    assert (len(report.outcomes), others) == (1, [2])
    assert sqlite.query("SELECT x FROM seen ORDER BY x") == [(1,), (2,), (3,)]


def test_a_lock_that_cannot_be_taken(sqlite: Database, tmp_path: Path) -> None:
    """Whatever is in its place is named, and nothing runs."""
    sqlite.execute("CREATE TABLE mine (x)")
    place, migrator = Path(f"{sqlite.name}-dbmigrate"), Migrator(sqlite.url, SOURCE, ledger=JsonLedger(tmp_path / "l"))
    place.write_text("not a database, and long enough to be looked at as one")

    with pytest.raises(ConfigurationError, match=f"{place} cannot be taken: file is not a database") as unusable:
        migrator.upgrade()
    place.unlink()
    place.mkdir()
    with pytest.raises(ConfigurationError, match=f"{place} cannot be taken: unable to open") as not_opened:
        migrator.upgrade()

    for caught in (unusable, not_opened):
        assert "Nothing runs without it: see that it is a file that can be written" in str(caught.value)
    assert sqlite.tables() == ["mine"]


def test_errors_of_a_ledger_are_ledger_errors(sqlite: Database) -> None:
    """Whatever it raises, with what it was about."""

    class Broken(OwnTable):
        def read(self, connection: sqlalchemy.Connection) -> Sequence[Record]:  # noqa: ARG002
            raise KeyError("nope")

    sqlite.execute("CREATE TABLE x (x)")
    with pytest.raises(LedgerError, match="the ledger cannot be read: KeyError: 'nope'"):
        Migrator(sqlite.url, SOURCE, ledger=Broken()).status()


def test_an_end_that_cannot_be_recorded_says_what_is_left(sqlite: Database, tmp_path: Path) -> None:
    """The step ran; its ledger, outside of the database, does not know."""

    class Full(JsonLedger):
        def append(self, connection: sqlalchemy.Connection, record: Record) -> None:
            if record.action == "up":
                raise OSError("disk full")
            super().append(connection, record)

    with pytest.raises(MigrationFailed, match=r"disk full(.|\n)*its end is not recorded") as caught:
        Migrator(sqlite.url, SOURCE, ledger=Full(tmp_path / "ledger")).upgrade("1")

    assert not caught.value.rolled_back
    assert "a" in sqlite.tables()
    migrator = Migrator(sqlite.url, SOURCE, ledger=JsonLedger(tmp_path / "ledger"))
    migrator.resolve("1", applied=True, reason="the table is there")
    migrator.upgrade()
    migrator.verify()
