"""redo, goto, accept, wait_until_current, and values as JSON."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import sqlalchemy

from dbmigrate import (
    ConfigurationError,
    HistoryError,
    LedgerError,
    MemorySource,
    Migration,
    MigrationFailed,
    Migrator,
    NotCurrent,
    OutOfOrder,
    SourceError,
    StalePlan,
    StatementFinished,
    TargetError,
    Waiting,
    sql_migration,
)

if TYPE_CHECKING:
    from pathlib import Path

    from dbmigrate import Event
    from tests.conftest import Database


def table(version: str, name: str, down: str | None = None) -> Migration:
    """Return a migration that creates a table."""
    return sql_migration(version, name, f"CREATE TABLE {name} (x INTEGER)", down or f"DROP TABLE {name}")


FIRST = [table("1", "a"), table("2", "b")]
SOURCE = MemorySource([*FIRST, table("3", "c")])


def applied(migrator: Migrator) -> list[str]:
    """Return the names of what is applied."""
    return [entry.name for entry in migrator.status().applied]


def steps(report: Any) -> list[str]:
    """Return the steps of a report."""
    return [str(outcome.step) for outcome in report.outcomes]


# without a ledger


@pytest.mark.every_driver
def test_a_persons_word_makes_no_ledger(database: Database) -> None:
    """Where nothing has happened there is nothing to resolve, accept or resume, and nothing is written."""
    migrator = Migrator(database.url, SOURCE)
    calls = (
        migrator.resume,
        lambda: migrator.accept("1", reason="x"),
        lambda: migrator.resolve("1", applied=True, reason="x"),
    )

    for call in calls:
        with pytest.raises(TargetError):
            call()

    assert list(database.tables()) == []


# history, validate


@pytest.mark.every_driver
def test_history(database: Database) -> None:
    """Every record as it is, in order, with its times and its reason; none where there is no ledger."""
    migrator = Migrator(database.url, SOURCE)
    assert migrator.history() == ()
    migrator.baseline("1", reason="it was there")
    report = migrator.upgrade(to="2")
    migrator.downgrade()

    found = migrator.history()

    assert [r.seq for r in found] == list(range(1, len(found) + 1))
    assert [(str(r), r.action, r.reason) for r in found if not r.action.startswith("begin_")] == [
        ("1_a", "baseline", "it was there"),
        ("2_b", "up", None),
        ("2_b", "down", None),
    ]
    assert [r for r in found if r.action == "up"] == [outcome.record for outcome in report.outcomes]
    assert all(r.finished_at is not None and r.finished_at.tzinfo is not None for r in found if "begin" not in r.action)


def test_history_can_be_looked_at_when_nothing_else_works(sqlite: Database) -> None:
    """A ledger that was changed by hand is shown as it is, and without its source."""
    Migrator(sqlite.url, SOURCE).upgrade()
    sqlite.execute("UPDATE dbmigrate_ledger SET name = 'x' WHERE seq = 2")
    migrator = Migrator(sqlite.url, "missing")

    assert [str(record) for record in migrator.history()] == ["1_a", "2_x", "3_c"]
    with pytest.raises(LedgerError):
        Migrator(sqlite.url, SOURCE).status()


def test_validate(tmp_path: Path) -> None:
    """Both ways of every migration are cut, and everything is said at once; the database need not be there."""
    source = MemorySource(
        [
            table("1", "a"),
            sql_migration("2", "b", "CREATE TABLE b (x TEXT)", "DROP TABLE b; COMMIT;"),
            sql_migration("3", "c", "SELECT 'open", None),
        ]
    )
    for url in (f"sqlite:///{tmp_path}/none.db", "postgresql+psycopg://nobody@localhost:1/none"):
        with pytest.raises(SourceError) as caught:
            Migrator(url, source).validate()
        assert {problem.origin for problem in caught.value.problems} == {"2_b.down", "3_c.up"}
        assert Migrator(url, SOURCE).validate() == SOURCE.migrations
    assert list(tmp_path.iterdir()) == []


# redo


@pytest.mark.every_driver
def test_redo(database: Database) -> None:
    """The last steps go back and up again, with the scripts as they are now."""
    Migrator(database.url, SOURCE).upgrade()
    changed = MemorySource([*FIRST, sql_migration("3", "c", "CREATE TABLE d (x INTEGER)", "DROP TABLE c")])

    report = Migrator(database.url, changed).redo()

    assert steps(report) == ["3_c down", "3_c up"]
    assert "d" in database.tables()
    assert "c" not in database.tables()
    Migrator(database.url, changed).verify()


def test_redo_takes_back_what_was_edited_and_nothing_else(database: Database) -> None:
    """An edit of what is taken back is what redo is for; of anything else it is a finding, and nothing runs."""
    Migrator(database.url, SOURCE).upgrade()
    second = sql_migration("2", "b", "CREATE TABLE b (x INTEGER, y INTEGER)", "DROP TABLE b")
    changed = MemorySource([FIRST[0], second, SOURCE.load()[2]])

    with pytest.raises(HistoryError, match="Edited: 2_b"):
        Migrator(database.url, changed).redo()

    assert steps(Migrator(database.url, changed).redo(2)) == ["3_c down", "2_b down", "2_b up", "3_c up"]
    Migrator(database.url, changed).verify()


def test_redo_of_several(database: Database) -> None:
    """Back newest first, then up oldest first."""
    migrator = Migrator(database.url, SOURCE)
    migrator.upgrade()

    assert steps(migrator.redo(2)) == ["3_c down", "2_b down", "2_b up", "3_c up"]
    migrator.verify()


@pytest.mark.kinds("sqlite", "postgresql")
def test_redo_is_one_transaction(database: Database) -> None:
    """Where DDL is transactional a failure on the way up leaves everything as it was, ledger included."""
    Migrator(database.url, SOURCE).upgrade()
    before = database.dump()
    bad = MemorySource([*FIRST, sql_migration("3", "c", "INSERT INTO nope VALUES (1)", "DROP TABLE c")])

    with pytest.raises(MigrationFailed) as caught:
        Migrator(database.url, bad).redo(2)

    assert caught.value.rolled_back
    assert not caught.value.report.outcomes
    assert database.dump() == before


def test_redo_wants_a_number(sqlite: Database) -> None:
    """At least one step; the error names what was given."""
    for count in (0, -1, "2"):
        with pytest.raises(ConfigurationError, match="steps is a number"):
            Migrator(sqlite.url, SOURCE).redo(count)  # type: ignore[arg-type]
    with pytest.raises(TargetError, match="cannot go 1 step back: no migrations applied"):
        Migrator(sqlite.url, SOURCE).redo()


# goto


@pytest.mark.every_driver
def test_goto(database: Database) -> None:
    """Up or down, whichever leads there; and where it is already, nothing."""
    migrator = Migrator(database.url, SOURCE)

    assert steps(migrator.goto("2")) == ["1_a up", "2_b up"]
    assert not migrator.goto("2")
    assert steps(migrator.goto("1")) == ["2_b down"]
    assert steps(migrator.goto("3")) == ["2_b up", "3_c up"]
    assert steps(migrator.goto("base")) == ["3_c down", "2_b down", "1_a down"]
    with pytest.raises(TargetError, match="no migration with version '4'"):
        migrator.goto("4")


def test_goto_fills_a_gap_on_its_way_down(sqlite: Database) -> None:
    """What is pending before the target is applied after what stands behind it went back."""
    gap = MemorySource([table("1", "a"), table("3", "c")])
    Migrator(sqlite.url, gap).upgrade()

    report = Migrator(sqlite.url, SOURCE, allow={OutOfOrder}).goto("2")

    assert steps(report) == ["3_c down", "2_b up"]
    assert applied(Migrator(sqlite.url, SOURCE)) == ["a", "b"]


@pytest.mark.parametrize("verb", ["goto", "redo"])
def test_two_operators_at_once(postgresql: Database, verb: str) -> None:
    """What goes back does so once: the second is told that the ledger moved."""
    Migrator(postgresql.url, SOURCE).upgrade()
    other: list[BaseException | None] = []

    def call(migrator: Migrator) -> None:
        migrator.goto("1") if verb == "goto" else migrator.redo()

    def second() -> None:
        try:
            call(Migrator(postgresql.url, SOURCE))
            other.append(None)
        except StalePlan as error:
            other.append(error)

    thread = threading.Thread(target=second)

    def meddle(event: Event) -> None:
        if isinstance(event, StatementFinished) and not thread.ident:
            thread.start()
            time.sleep(0.5)  # it has planned by then, and waits for the lock

    call(Migrator(postgresql.url, SOURCE, on_event=meddle))
    thread.join()

    assert isinstance(other[0], StalePlan)
    assert applied(Migrator(postgresql.url, SOURCE)) == (["a"] if verb == "goto" else ["a", "b", "c"])


# accept


@pytest.mark.every_driver
def test_accept(database: Database) -> None:
    """An edit that is right is recorded, with its reason; the order of application stays."""
    Migrator(database.url, SOURCE).upgrade()
    edited = MemorySource(
        [sql_migration("1", "a", "CREATE TABLE a (x BIGINT)", "DROP TABLE a"), *[*SOURCE.migrations][1:]]
    )
    migrator = Migrator(database.url, edited)
    with pytest.raises(NotCurrent, match="Edited"):
        migrator.verify()

    status = migrator.accept("1", reason="widened by hand")

    assert status.is_current
    assert applied(migrator) == ["a", "b", "c"]
    migrator.verify()
    last = database.query("SELECT action, reason FROM dbmigrate_ledger ORDER BY seq DESC")[0]
    assert last == ("accept", "widened by hand")
    with pytest.raises(NotCurrent):
        Migrator(database.url, SOURCE).verify()
    assert steps(migrator.downgrade()) == ["3_c down"]


def test_accept_refuses_what_is_not_edited(sqlite: Database) -> None:
    """Nothing is recorded then, nor is a file created."""
    migrator = Migrator(sqlite.url, SOURCE)
    with pytest.raises(TargetError, match="no database yet"):
        migrator.accept("1", reason="no")
    assert not sqlite.tables()
    migrator.upgrade("1")
    with pytest.raises(TargetError, match="1_a is as it was when it was applied"):
        migrator.accept("1", reason="no")
    with pytest.raises(TargetError, match="2_b is not applied"):
        migrator.accept("2", reason="no")
    with pytest.raises(TargetError, match="no migration with version"):
        migrator.accept("9", reason="no")
    assert sqlite.query("SELECT count(*) FROM dbmigrate_ledger") == [(1,)]


# wait_until_current


def test_wait_until_current(database: Database) -> None:
    """A process that starts beside the migration job waits for it."""
    seen: list[Event] = []
    job = threading.Timer(1.0, Migrator(database.url, SOURCE).upgrade)
    job.start()

    status = Migrator(database.url, SOURCE, on_event=seen.append).wait_until_current(timeout=60)

    job.join()
    assert status.is_current
    assert isinstance(seen[0], Waiting)
    assert "pending (3): 1_a, 2_b, 3_c" in str(seen[0].holder)


def test_wait_until_current_gives_up(database: Database) -> None:
    """At the end it says what it was waiting for."""
    Migrator(database.url, SOURCE).upgrade("2")

    with pytest.raises(NotCurrent, match=r"pending \(1\): 3_c") as caught:
        Migrator(database.url, SOURCE).wait_until_current(timeout=0.5)

    assert any("waited for" in note for note in caught.value.__notes__)


def test_wait_for_a_server_that_is_not_there(tmp_path: Path) -> None:
    """The connection that could not be had is what it was waiting for."""
    url = sqlalchemy.URL.create("postgresql+psycopg", host=str(tmp_path), database="shop")
    begun = time.monotonic()

    with pytest.raises(ConfigurationError, match="cannot connect") as caught:
        Migrator(url, SOURCE).wait_until_current(timeout=1.2)

    assert time.monotonic() - begun >= 1.2
    assert any("waited for" in note for note in caught.value.__notes__)


def test_wait_does_not_wait_for_what_no_time_mends(sqlite: Database, tmp_path: Path) -> None:
    """An edited migration, a missing driver, a broken source."""
    Migrator(sqlite.url, SOURCE).upgrade()
    edited = MemorySource([sql_migration("1", "a", "CREATE TABLE a (x BIGINT)"), *[*SOURCE.migrations][1:]])

    with pytest.raises(NotCurrent, match="Edited"):
        Migrator(sqlite.url, edited).wait_until_current()
    with pytest.raises(ConfigurationError, match="no driver"):
        Migrator("postgresql+nothing://x/y", SOURCE).wait_until_current()
    with pytest.raises(SourceError):
        Migrator(sqlite.url, tmp_path / "nope").wait_until_current()


def test_wait_does_not_wait_for_a_table_that_is_no_ledger(database: Database) -> None:
    """Nor inside a transaction, which it would hold open."""
    database.execute("CREATE TABLE dbmigrate_ledger (x INTEGER)")
    begun = time.monotonic()

    with pytest.raises(LedgerError):
        Migrator(database.url, SOURCE).wait_until_current(timeout=60)

    assert time.monotonic() - begun < 30
    with database.engine().begin() as connection, pytest.raises(ConfigurationError, match="hold it open"):
        Migrator(connection, SOURCE).wait_until_current()


def test_steps_that_are_committed_are_never_denied(postgresql: Database) -> None:
    """Where a new session cannot be had behind a step, the error says what was done before."""
    url, tries = postgresql.url, list[str]()

    def connect() -> Any:
        tries.append("try")
        if len(tries) > 1:
            raise ConnectionRefusedError("gone")
        values: dict[str, Any] = {**url.translate_connect_args(username="user", database="dbname"), **url.query}
        return psycopg.connect(**values)

    first = sql_migration("1", "a", "SET work_mem = '5MB'; CREATE TABLE a (x INTEGER)")
    source = MemorySource([first, table("2", "b")])
    engine = sqlalchemy.create_engine(url, creator=connect, poolclass=sqlalchemy.NullPool)
    with pytest.raises(ConfigurationError, match="1 step of this call had been committed before") as caught:
        Migrator(engine, source).upgrade()

    assert "Nothing was run" not in str(caught.value)
    assert applied(Migrator(url, source)) == ["a"]


# to_dict


def test_values_as_json(sqlite: Database) -> None:
    """Reports, statuses, plans and events are plain values: versioned, without scripts and secrets."""
    seen: list[Event] = []
    migrator = Migrator(sqlite.url, SOURCE, on_event=seen.append)
    plan = migrator.plan("1").to_dict()
    report = migrator.upgrade("1").to_dict()
    status = Migrator(sqlite.url, MemorySource([*SOURCE.migrations][1:])).status().to_dict()

    step = {
        "type": "Step",
        "migration": {"type": "Migration", "version": "1", "name": "a"},
        "direction": "up",
        "transactional": True,
    }
    assert plan == {"format": 1, "type": "Plan", "steps": [step], "head": 0, "chain": None, "findings": []}
    outcome = report["outcomes"][0]
    assert {"format": 1, "type": "Report", "seconds": report["seconds"]} == {
        k: report[k] for k in ("format", "type", "seconds")
    }
    assert outcome["step"] == step
    assert outcome["record"]["version"] == "1"
    assert outcome["record"]["started_at"].endswith("+00:00")
    assert "down_sql" not in outcome["record"]
    assert [event.to_dict()["type"] for event in seen] == ["StepStarted", "StatementFinished", "StepFinished"]
    assert status["is_current"] is False
    assert status["errors"][0]["type"] == "Missing"
    assert status["errors"][0]["message"].startswith("1_a: applied, but not in the source")
    assert [entry["state"] for entry in status["entries"]] == ["applied", "pending", "pending"]
    everything = json.dumps([plan, report, status, *(event.to_dict() for event in seen)])
    assert "CREATE" not in everything


# What a failure says, and what it leaves


def test_a_failed_way_back_is_not_to_be_repeated(database: Database) -> None:
    """To call downgrade(steps=2) again would take back one more than was meant."""
    source = MemorySource([table("1", "a"), table("2", "b", "DROP TABLE nope"), table("3", "c")])
    migrator = Migrator(database.url, source)
    migrator.upgrade()

    with pytest.raises(MigrationFailed) as caught:
        migrator.downgrade(steps=2)

    assert "call again" not in str(caught.value)
    assert len(caught.value.report.outcomes) == 1


@pytest.mark.kinds("postgresql", "mariadb")
def test_accept_waits_for_the_end_of_a_step(database: Database) -> None:
    """The record that ends a step must follow the one that began it."""
    bad = sql_migration("2", "b", "-- no-transaction\nCREATE TABLE b (x INTEGER);\nINSERT INTO nope VALUES (1)")
    with pytest.raises(MigrationFailed):
        Migrator(database.url, MemorySource([table("1", "a"), bad])).upgrade()
    edited = sql_migration("1", "a", "CREATE TABLE a (x BIGINT)")
    good = sql_migration("2", "b", "-- no-transaction\nCREATE TABLE b (x INTEGER);\nINSERT INTO b VALUES (1)")
    migrator = Migrator(database.url, MemorySource([edited, good]))

    with pytest.raises(HistoryError, match="a step is unfinished"):
        migrator.accept("1", reason="too early")

    migrator.resume()
    assert migrator.accept("1", reason="in time").is_current


def test_redo_keeps_settings_apart(postgresql: Database) -> None:
    """What one script sets does not reach the next, so such steps are not one transaction."""
    postgresql.execute("CREATE SCHEMA other")
    source = MemorySource([table("1", "a", "DROP TABLE a; SET search_path TO other")])
    migrator = Migrator(postgresql.url, source)
    migrator.upgrade()

    migrator.redo()

    assert postgresql.query("SELECT table_schema FROM information_schema.tables WHERE table_name = 'a'") == [
        ("public",)
    ]
    leaking = MemorySource([sql_migration("1", "s", "SET search_path TO other; SELECT 1"), table("2", "b")])
    with pytest.raises(ConfigurationError, match="cannot include 1_s up"):
        Migrator(postgresql.url, leaking, transaction="all", ledger="second").upgrade()
