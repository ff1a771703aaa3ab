"""The calls of a Migrator, on every database."""

from __future__ import annotations

import gc
import logging
import pickle
import warnings
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError

from dbmigrate import (
    Ahead,
    ConfigurationError,
    Edited,
    HistoryError,
    LedgerError,
    MemorySource,
    MigrationFailed,
    MigrationInProgress,
    Migrator,
    Missing,
    NotCurrent,
    OutOfOrder,
    SourceError,
    StalePlan,
    StatementFinished,
    StepFinished,
    StepStarted,
    TargetError,
    Unfinished,
    sql_migration,
)
from tests.processes import relay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dbmigrate import Event, Migration, Report, Status
    from tests.conftest import Database

pytestmark = pytest.mark.every_driver

USERS = sql_migration("1", "users", "CREATE TABLE users (id INTEGER PRIMARY KEY)", "DROP TABLE users")
NOTES = sql_migration("2", "notes", "CREATE TABLE notes (id INTEGER PRIMARY KEY)", "DROP TABLE notes")
ROWS = sql_migration("3", "rows", "INSERT INTO users VALUES (1)", "DELETE FROM users")
ALL = (USERS, NOTES, ROWS)


def migrator(database: Database, migrations: Sequence[Migration] = ALL, **options: object) -> Migrator:
    """Return a migrator over migrations in memory."""
    return Migrator(database.url, MemorySource(migrations), **options)  # type: ignore[arg-type]


def ran(report: Report) -> list[str]:
    """Return what a report says ran."""
    return [str(outcome.step) for outcome in report.outcomes]


def states(status: Status) -> list[tuple[str, str]]:
    """Return versions and states."""
    return [(entry.version, entry.state) for entry in status.entries]


# -- upgrade


def test_upgrade_applies_everything_pending_once(database: Database) -> None:
    """All pending migrations run in order, and a second call runs nothing."""
    assert ran(migrator(database).upgrade()) == ["1_users up", "2_notes up", "3_rows up"]
    assert ran(migrator(database).upgrade()) == []
    assert database.query("SELECT id FROM users") == [(1,)]
    assert migrator(database).status().is_current


def test_upgrade_to_includes_the_target(database: Database) -> None:
    """upgrade(to=X) applies what is pending at or before X."""
    assert ran(migrator(database).upgrade(to="2")) == ["1_users up", "2_notes up"]
    assert ran(migrator(database).upgrade(to="1")) == []
    assert states(migrator(database).status()) == [("1", "applied"), ("2", "applied"), ("3", "pending")]


def test_unknown_target_lists_near_misses(database: Database) -> None:
    """A target that names nothing is an error that names what may have been meant; nothing runs."""
    with pytest.raises(TargetError, match=r"'03'.*3_rows"):
        migrator(database).upgrade(to="03")
    with pytest.raises(TargetError, match=r"'notse'.*2_notes"):
        migrator(database).downgrade(to="notse")
    assert database.tables() == []


def test_source_order_is_history_order(database: Database) -> None:
    """Versions are opaque: what the source returns first runs first."""
    backwards = [sql_migration("b", "first", "CREATE TABLE x (a INT)"), sql_migration("a", "next", "DROP TABLE x")]

    assert ran(migrator(database, backwards).upgrade()) == ["b_first up", "a_next up"]


@pytest.mark.kinds("sqlite", "postgresql")
def test_all_in_one_transaction(database: Database) -> None:
    """transaction="all": a failure takes back the whole call."""
    bad = (*ALL, sql_migration("4", "bad", "INSERT INTO nowhere VALUES (1)"))
    with pytest.raises(MigrationFailed) as caught:
        migrator(database, bad, transaction="all").upgrade()
    assert ran(caught.value.report) == []
    assert set(database.tables()) <= {"dbmigrate_ledger", "dbmigrate_ledger_journal"}
    assert ran(migrator(database, transaction="all").upgrade()) == ["1_users up", "2_notes up", "3_rows up"]


def test_all_in_one_transaction_is_refused_where_it_cannot_be(mariadb: Database) -> None:
    """transaction="all" with a step that is no transaction is refused before anything runs."""
    with pytest.raises(ConfigurationError, match="1_users up, 2_notes up"):
        migrator(mariadb, transaction="all").upgrade()
    assert "users" not in mariadb.tables()


# -- downgrade


def test_downgrade_takes_back_the_newest_applications(database: Database) -> None:
    """One step, several steps, to a version, and everything; the newest application first."""
    migrator(database).upgrade()

    assert ran(migrator(database).downgrade()) == ["3_rows down"]
    migrator(database).upgrade()
    assert ran(migrator(database).downgrade(steps=2)) == ["3_rows down", "2_notes down"]
    migrator(database).upgrade()
    assert ran(migrator(database).downgrade(to="1")) == ["3_rows down", "2_notes down"]
    assert ran(migrator(database).downgrade(to="1")) == []
    assert ran(migrator(database).downgrade(to="base")) == ["1_users down"]
    assert {"users", "notes"} & set(database.tables()) == set()
    assert ran(migrator(database).upgrade()) == ["1_users up", "2_notes up", "3_rows up"]


def test_downgrade_follows_the_order_of_application(database: Database) -> None:
    """What was applied late is taken back first, whatever its place in the source."""
    migrator(database, (USERS, ROWS)).upgrade()
    migrator(database, ALL, allow=frozenset({OutOfOrder})).upgrade()

    assert ran(migrator(database).downgrade(steps=2)) == ["2_notes down", "3_rows down"]


def test_irreversible_steps_are_refused_together(database: Database) -> None:
    """An irreversible step on the way is refused before anything runs, and all of them are named."""
    stuck = (USERS, sql_migration("2", "a", "CREATE TABLE a (x INT)"), sql_migration("3", "b", "DROP TABLE a"), NOTES)
    stuck = (*stuck[:3], sql_migration("4", "notes", "CREATE TABLE notes (x INT)", "DROP TABLE notes"))
    migrator(database, stuck).upgrade()

    with pytest.raises(TargetError, match=r"3_b .no down script., 2_a .no down script."):
        migrator(database, stuck).downgrade(to="base")
    assert "notes" in database.tables()


def test_too_many_steps_back_are_refused(database: Database) -> None:
    """More steps than are applied is an error, not a guess."""
    migrator(database).upgrade(to="1")

    with pytest.raises(TargetError, match="cannot go 3 steps back: 1 migration applied"):
        migrator(database).downgrade(steps=3)
    with pytest.raises(ConfigurationError):
        migrator(database).downgrade(steps=0)
    with pytest.raises(ConfigurationError):
        migrator(database).downgrade(steps=1, to="1")


def test_a_blank_down_script_is_a_way_back(database: Database) -> None:
    """A zero-byte or comment-only down script has nothing to undo, and says so."""
    blank = (
        sql_migration("1", "a", "CREATE TABLE a (x INT)", ""),
        sql_migration("2", "b", "CREATE TABLE b (x INT)", "-- nothing\n"),
    )
    migrator(database, blank).upgrade()

    assert ran(migrator(database, blank).downgrade(to="base")) == ["2_b down", "1_a down"]
    assert states(migrator(database, blank).status()) == [("1", "pending"), ("2", "pending")]


# -- plan, apply, status, verify


def test_planning_and_reading_write_nothing(database: Database) -> None:
    """plan(), status() and verify() leave no ledger table, and on SQLite not even a file."""
    m = migrator(database)

    assert [str(step) for step in m.plan().steps] == ["1_users up", "2_notes up", "3_rows up"]
    assert [str(step) for step in m.plan(to="1").steps] == ["1_users up"]
    assert not m.status().is_current
    with pytest.raises(NotCurrent) as caught:
        m.verify()
    assert caught.value.pending == ("1_users", "2_notes", "3_rows")
    assert database.tables() == []


def test_apply_carries_out_a_plan(database: Database) -> None:
    """A plan runs as it is, and is stale as soon as the ledger has moved."""
    plan = migrator(database).plan(to="2")

    assert ran(migrator(database).apply(plan)) == ["1_users up", "2_notes up"]
    with pytest.raises(StalePlan):
        migrator(database).apply(plan)
    assert states(migrator(database).status())[2] == ("3", "pending")


def test_verify_is_silent_when_current(database: Database) -> None:
    """verify() returns when nothing is pending; Ahead is tolerated."""
    migrator(database).upgrade()

    migrator(database).verify()
    migrator(database, (USERS, NOTES)).verify()
    assert [type(f) for f in migrator(database, (USERS, NOTES)).status().findings] == [Ahead]


# -- findings


def test_an_edited_script_is_found(database: Database) -> None:
    """A changed statement of an applied migration stops upgrade() before anything runs; a comment does not."""
    migrator(database, (USERS,)).upgrade()
    cosmetic = sql_migration("1", "users", "-- people\nCREATE  TABLE users\r\n(id INTEGER PRIMARY KEY)")
    edited = sql_migration("1", "users", "CREATE TABLE users (id INTEGER PRIMARY KEY, name INT)")

    assert migrator(database, (cosmetic,)).status().findings == ()
    with pytest.raises(HistoryError) as caught:
        migrator(database, (edited, NOTES)).upgrade()
    assert caught.value.findings == (Edited("1", "users"),)
    assert "notes" not in database.tables()
    assert ran(migrator(database, (edited, NOTES), allow=frozenset({Edited})).upgrade()) == ["2_notes up"]


def test_a_missing_migration_is_found(database: Database) -> None:
    """An applied migration that the source does not know, with something pending, is missing."""
    migrator(database, (USERS, NOTES)).upgrade()

    with pytest.raises(HistoryError) as caught:
        migrator(database, (USERS, ROWS)).upgrade()
    assert caught.value.findings == (Missing("2", "notes"),)


def test_an_empty_source_is_not_merely_behind(database: Database) -> None:
    """A release that forgot its migrations does not pass for an older one."""
    migrator(database).upgrade()

    with pytest.raises(NotCurrent) as caught:
        migrator(database, ()).verify()
    assert [type(f) for f in caught.value.findings] == [Missing] * 3


def test_out_of_order_is_found(database: Database) -> None:
    """A pending migration before an applied one is an error unless it is allowed."""
    migrator(database, (USERS, ROWS)).upgrade()

    with pytest.raises(HistoryError) as caught:
        migrator(database).upgrade()
    assert caught.value.findings == (OutOfOrder("2", "notes", "3_rows"),)
    assert ran(migrator(database, allow=frozenset({OutOfOrder})).upgrade()) == ["2_notes up"]


def test_an_older_release_does_not_step_back_over_a_newer_one(database: Database) -> None:
    """downgrade() in a source that does not know the newest migration is refused."""
    migrator(database).upgrade()

    with pytest.raises(TargetError, match=r"3_rows .not in the source."):
        migrator(database, (USERS, NOTES)).downgrade()


# -- failure


@pytest.mark.kinds("sqlite", "postgresql")
def test_a_failure_leaves_nothing_where_ddl_is_transactional(database: Database) -> None:
    """A failed step rolls back whole, DDL included; fix and rerun."""
    bad = sql_migration(
        "2", "bad", "CREATE TABLE a (x INT);\nINSERT INTO a VALUES (1);\nINSERT INTO nowhere\nVALUES (1)"
    )
    with pytest.raises(MigrationFailed) as caught:
        migrator(database, (USERS, bad)).upgrade()
    error = caught.value
    assert (error.statement, error.line, error.rolled_back) == (3, 3, True)
    assert ran(error.report) == ["1_users up"]
    assert "a" not in database.tables()
    assert "3 | INSERT INTO nowhere" in str(error)
    assert "nothing of it is left" in str(error)
    assert isinstance(error.__cause__, DBAPIError)
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # noqa: S301 - our own
    assert ran(migrator(database, (USERS, NOTES)).upgrade()) == ["2_notes up"]


def test_the_caret_stands_where_postgresql_points(postgresql: Database) -> None:
    """Line and column come from the server's position, accents and CRLF included; its message comes without codes."""
    text = "CREATE TABLE a (x INT);\r\n-- é😀\r\nSELECT 'é😀',\r\n   nothere FROM a;"
    with pytest.raises(MigrationFailed, match=r'failed: column "nothere" does not exist \(42703\)\n') as caught:
        migrator(postgresql, [sql_migration("1", "x", text)]).upgrade()
    assert (caught.value.line, caught.value.column) == (4, 4)
    assert "     4 |    nothere FROM a;\n       |    ^" in str(caught.value)


def test_the_line_is_the_one_that_mariadb_names(mariadb: Database) -> None:
    """The line comes from the message of a syntax error."""
    with pytest.raises(MigrationFailed, match=r"failed: You have an error .* \(1064\)\n") as caught:
        migrator(mariadb, [sql_migration("1", "x", "SELECT 1;\nSELECT 1\n  FROM FROM;")]).upgrade()
    assert caught.value.line == 3


def test_what_the_server_says_is_all_there(postgresql: Database) -> None:
    """Message, detail and hint of PostgreSQL are in the error, and so is ours where we know more."""
    postgresql.execute("CREATE TABLE a (x int PRIMARY KEY)", "INSERT INTO a VALUES (7)")
    for text, expected in (
        ("INSERT INTO a VALUES (7)", r'unique constraint "a_pkey"\. Key \(x\)=\(7\) already exists \(23505\)'),
        ("SELECT nofunction(1)", r"does not exist\. No function matches .* type casts \(42883\)"),
        ("DO $$ BEGIN EXECUTE 'VACUUM'; END $$", r"\(25001\)(?s:.*)Hint: it cannot run in a transaction"),
    ):
        with pytest.raises(MigrationFailed, match=expected):
            migrator(postgresql, [sql_migration("1", "x", text)]).upgrade()


def test_mariadb_keeps_what_ran_and_resumes(mariadb: Database) -> None:
    """A failed DDL script stays unfinished; corrected behind what ran, resume() goes on."""
    bad = "CREATE TABLE a (x INT);\nCREATE TABLE a (x INT);\nCREATE TABLE b (x INT)"
    good = bad.replace("CREATE TABLE a (x INT);\nCREATE TABLE b", "CREATE TABLE c (x INT);\nCREATE TABLE b")
    with pytest.raises(MigrationFailed, match="statement 2 failed") as caught:
        migrator(mariadb, [sql_migration("1", "x", bad)]).upgrade()
    assert caught.value.rolled_back is False

    m = migrator(mariadb, [sql_migration("1", "x", good)])
    with pytest.raises(HistoryError) as found:
        m.upgrade()
    (finding,) = found.value.findings
    assert isinstance(finding, Unfinished)
    assert (finding.statement, finding.in_doubt) == (2, False)
    assert "statement 2 (1_x.up:2: CREATE TABLE c (x INT)) failed with: Table 'a' already exists" in str(finding)
    edited = sql_migration("1", "x", good.replace("TABLE a (x INT)", "TABLE a (y INT)"))
    with pytest.raises(HistoryError, match="ran already, and was edited since"):
        migrator(mariadb, [edited]).resume()
    assert ran(m.resume()) == ["1_x up"]
    assert m.status().is_current
    assert {"a", "b", "c"} <= set(mariadb.tables())
    with pytest.raises(TargetError):
        m.resume()


def test_mariadb_first_statement_failed_is_nothing_done(mariadb: Database) -> None:
    """If no statement of a step took effect it is not unfinished: correct and rerun."""
    with pytest.raises(MigrationFailed, match="No statement of the step took effect") as caught:
        migrator(mariadb, [sql_migration("1", "x", "DROP TABLE nowhere")]).upgrade()
    assert caught.value.rolled_back is True
    assert ran(migrator(mariadb, [sql_migration("1", "x", "CREATE TABLE a (x INT)")]).upgrade()) == ["1_x up"]


def test_mariadb_resolve_says_what_is_true(mariadb: Database) -> None:
    """A person finishes or undoes a step by hand, and says so with a reason."""
    bad = [sql_migration("1", "x", "CREATE TABLE a (x INT);\nCREATE TABLE a (x INT)", "DROP TABLE a")]
    m = migrator(mariadb, bad)
    for applied, state in ((False, "pending"), (True, "applied")):
        with pytest.raises(MigrationFailed):
            m.upgrade()
        with pytest.raises(TargetError, match="'2' is not unfinished"):
            m.resolve("2", applied=True, reason="wrong one")
        assert states(m.resolve("1", applied=applied, reason="by hand")) == [("1", state)]
        if not applied:
            mariadb.execute("DROP TABLE a")
    assert mariadb.query("SELECT reason FROM dbmigrate_ledger WHERE action = 'resolve_applied'") == [("by hand",)]


def test_session_settings_come_back_on_resume(mariadb: Database) -> None:
    """SET statements that ran are repeated in the session that resumes."""
    text = (
        "SET foreign_key_checks = 0;\nCREATE TABLE child (id INT, p INT, FOREIGN KEY (p) REFERENCES parent (id));\n"
        "{};\nINSERT INTO child VALUES (1, 7);\nCREATE TABLE parent (id INT PRIMARY KEY);"
    )
    with pytest.raises(MigrationFailed):
        migrator(mariadb, [sql_migration("1", "x", text.format("CREATE TABLE child (id INT)"))]).upgrade()

    migrator(mariadb, [sql_migration("1", "x", text.format("CREATE TABLE other (id INT)"))]).resume()

    assert mariadb.query("SELECT p FROM child") == [(7,)]


def test_resume_refuses_what_lived_in_the_lost_session(mariadb: Database) -> None:
    """A temporary table that a later statement needs is gone: a person has to finish."""
    text = "CREATE TEMPORARY TABLE t (x INT);\nCREATE TABLE a (x INT);\nCREATE TABLE a (x INT)"
    with pytest.raises(MigrationFailed):
        migrator(mariadb, [sql_migration("1", "x", text)]).upgrade()

    with pytest.raises(HistoryError, match="ended with its session"):
        migrator(
            mariadb, [sql_migration("1", "x", text.replace("a (x INT)", "b (x INT)").replace("b", "a", 1))]
        ).resume()


def test_non_transactional_steps_on_postgresql(postgresql: Database) -> None:
    """CREATE INDEX CONCURRENTLY and VACUUM run statement by statement in a file marked no-transaction."""
    text = "-- dbmigrate: no-transaction\nCREATE INDEX CONCURRENTLY i ON users (id);\nVACUUM users;\n"
    back = "-- no-transaction\nDROP INDEX CONCURRENTLY i;\nVACUUM users;\n"
    m = migrator(postgresql, (USERS, sql_migration("2", "index", text, back)))

    assert ran(m.upgrade()) == ["1_users up", "2_index up"]
    assert postgresql.query("SELECT count(*) FROM pg_class WHERE relname = 'i'") == [(1,)]
    assert ran(m.downgrade()) == ["2_index down"]
    assert [a for (a,) in postgresql.query("SELECT action FROM dbmigrate_ledger ORDER BY seq")] == [
        "up",
        "begin_up",
        "up",
        "begin_down",
        "down",
    ]


def test_statements_that_need_no_transaction_are_told_before(postgresql: Database) -> None:
    """What can never run in a transaction is refused with its line before anything runs."""
    bad = sql_migration("2", "x", "SELECT 1;\nCREATE INDEX CONCURRENTLY i ON users (id)")
    with pytest.raises(SourceError, match=r"2_x.up:2: CREATE INDEX CONCURRENTLY .*no-transaction"):
        migrator(postgresql, (USERS, bad)).upgrade()
    assert postgresql.tables() == []


def test_non_transactional_steps_on_sqlite(sqlite: Database) -> None:
    """VACUUM and the mode of the journal are changed statement by statement, under the lock beside the file."""
    outside = "-- dbmigrate: no-transaction\n"
    text = f"{outside}PRAGMA journal_mode = WAL;\nCREATE TABLE a (x INT);\nINSERT INTO a VALUES (1);\nVACUUM;\n"
    back = f"{outside}DROP TABLE a;\nPRAGMA journal_mode = DELETE;\nVACUUM;\n"
    m = migrator(sqlite, (USERS, sql_migration("2", "x", text, back), ROWS))

    assert ran(m.upgrade()) == ["1_users up", "2_x up", "3_rows up"]
    assert sqlite.query("PRAGMA journal_mode") == [("wal",)]
    assert sqlite.query("SELECT x FROM a") == [(1,)]
    assert ran(m.downgrade(steps=2)) == ["3_rows down", "2_x down"]
    assert sqlite.query("PRAGMA journal_mode") == [("delete",)]
    with pytest.raises(SourceError, match="VACUUM cannot run in a transaction"):
        migrator(sqlite, (USERS, sql_migration("2", "x", "VACUUM"))).plan()


def test_a_step_outside_a_transaction_is_waited_for_on_sqlite(sqlite: Database) -> None:
    """While it runs others wait, though the file itself is not locked; when it is dead they say so."""
    text = "-- dbmigrate: no-transaction\nCREATE TABLE a (x INT);\nVACUUM"
    two, asked = (sql_migration("1", "x", text), sql_migration("2", "y", "CREATE TABLE b (x INT)")), list[str]()

    def look(event: object) -> None:
        if isinstance(event, StatementFinished) and event.ordinal == 1 and not asked:
            with pytest.raises(MigrationInProgress, match="another migrator") as caught:
                migrator(sqlite, two, acquire_timeout=0).upgrade()
            asked.append(str(caught.value))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        migrator(sqlite, two, on_event=look).upgrade()

    assert len(asked) == 1
    with pytest.raises(HistoryError, match=r"call resume\(\)"):
        migrator(sqlite, two).upgrade()
    assert ran(migrator(sqlite, two).resume()) == ["1_x up"]
    assert ran(migrator(sqlite, two).upgrade()) == ["2_y up"]


def test_a_reader_in_the_way_of_a_step_outside_a_transaction(sqlite: Database) -> None:
    """Nothing of the step is committed, and no statement of it is at fault: it is said as of any other step."""
    migrator(sqlite, [USERS]).upgrade()
    two = [USERS, sql_migration("2", "x", "-- dbmigrate: no-transaction\nINSERT INTO users VALUES (2)")]
    with sqlite.connect() as reader:
        reader.execute("INSERT INTO users VALUES (5), (6)")
        cursor = reader.execute("SELECT id FROM users")
        cursor.fetchone()  # and not the rest
        with pytest.raises(MigrationInProgress):
            migrator(sqlite, two, acquire_timeout=0.1).upgrade()
        cursor.close()

    assert ran(migrator(sqlite, two).upgrade()) == ["2_x up"]


def test_upgrade_does_not_pass_over_what_is_half_taken_back(database: Database) -> None:
    """A way back that stopped in the middle: whoever needs that migration hears of it, though the ledger has it."""
    head = "-- dbmigrate: no-transaction\n"
    down = f"{head}DELETE FROM users;\nINSERT INTO nowhere VALUES (1);\n"
    m = migrator(database, (USERS, sql_migration("2", "x", f"{head}INSERT INTO users VALUES (7)", down)))
    m.upgrade()
    with pytest.raises(MigrationFailed, match="stays unfinished"):
        m.downgrade()

    for name, to in (("upgrade", None), ("upgrade", "2"), ("goto", "2")):
        with pytest.raises(HistoryError, match="its down script began"):
            getattr(m, name)(to)
    assert ran(m.upgrade("1")) == []


# -- transactions of authors


def test_a_wrapper_of_begin_and_commit_is_dropped(database: Database) -> None:
    """A file that opens with BEGIN and closes with COMMIT is one transaction, ours."""
    text = "-- hello\nBEGIN;\nINSERT INTO users VALUES (2);\nCOMMIT;\n"
    m = migrator(database, (USERS, sql_migration("2", "x", text)))

    assert [o.statements for o in m.upgrade().outcomes] == [1, 1]


@pytest.mark.parametrize("control", ["COMMIT", "ROLLBACK", "BEGIN"])
def test_other_transaction_control_is_refused(database: Database, control: str) -> None:
    """Any other transaction control is refused with its line, before anything runs."""
    text = f"INSERT INTO users VALUES (2);\n{control};\nINSERT INTO users VALUES (3);"
    with pytest.raises(SourceError, match=f"2_x.up:2: {control}") as caught:
        migrator(database, (USERS, sql_migration("2", "x", text))).upgrade()
    assert caught.value.line == 2
    assert database.tables() == []


def test_a_statement_that_ends_the_transaction_is_caught(sqlite: Database) -> None:
    """INSERT OR ROLLBACK ends the transaction without a word; what follows must not run by itself."""
    text = "INSERT INTO users VALUES (1);\nINSERT OR ROLLBACK INTO users VALUES (1);\nCREATE TABLE later (x);"
    with pytest.raises(MigrationFailed):
        migrator(sqlite, (USERS, sql_migration("2", "x", text))).upgrade()
    assert sqlite.query("SELECT count(*) FROM users") == [(0,)]
    assert "later" not in sqlite.tables()


_REBUILD = """PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE new_parent (id INTEGER PRIMARY KEY, extra INT);
INSERT INTO new_parent (id) SELECT id FROM parent;
DROP TABLE parent;
ALTER TABLE new_parent RENAME TO parent;
{}
COMMIT;
PRAGMA foreign_keys=ON;
"""
_FAMILY = sql_migration(
    "1",
    "family",
    "CREATE TABLE parent (id INTEGER PRIMARY KEY);"
    "CREATE TABLE child (p INTEGER REFERENCES parent (id) ON DELETE CASCADE);"
    "INSERT INTO parent VALUES (1); INSERT INTO child VALUES (1)",
)


@pytest.mark.parametrize(
    "text",
    [
        _REBUILD.format(""),
        "-- dbmigrate: foreign-keys=off\n" + _REBUILD.format("").split("TRANSACTION;")[1].split("COMMIT")[0],
    ],
    ids=["pragma", "directive"],
)
def test_a_rebuild_keeps_the_children(sqlite: Database, text: str) -> None:
    """With foreign keys enforced a rebuild would delete the children; off means off, and on again after."""
    engine = sqlite.engine()
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys=ON"))
    broken = sql_migration("3", "orphan", "INSERT INTO child VALUES (7)")

    with pytest.raises(MigrationFailed, match="FOREIGN KEY constraint failed"):  # they are on again in the next step
        Migrator(engine, MemorySource([_FAMILY, sql_migration("2", "rebuild", text), broken])).upgrade()

    assert sqlite.query("SELECT p FROM child") == [(1,)]


def test_foreign_keys_are_checked_before_commit(sqlite: Database) -> None:
    """A rebuild that leaves orphans fails, and nothing of it is left."""
    text = _REBUILD.format("DELETE FROM parent;")
    with pytest.raises(MigrationFailed, match="child row 1 refers to parent"):
        migrator(sqlite, [_FAMILY, sql_migration("2", "rebuild", text)]).upgrade()
    assert sqlite.query("SELECT id FROM parent") == [(1,)]


# -- sessions


_LEAKS = {
    "sqlite": [
        ("PRAGMA recursive_triggers=ON", "CREATE TABLE seen AS SELECT * FROM pragma_recursive_triggers", "0"),
        ("CREATE TEMP TABLE t (x)", "CREATE TABLE seen AS SELECT count(*) AS n FROM sqlite_temp_master", "0"),
    ],
    "postgresql": [
        ("SET lock_timeout = '7s'", "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS v", "2s"),
        (
            "CREATE SCHEMA s; SET search_path = s",
            "CREATE TABLE public.seen AS SELECT current_setting('search_path') AS v",
            '"$user", public',
        ),
        ("CREATE TEMP TABLE t (x int)", "CREATE TABLE seen AS SELECT coalesce(to_regclass('t')::text, '0') AS v", "0"),
        (
            "SELECT set_config('search_path', '', false)",
            "CREATE TABLE public.seen AS SELECT current_setting('search_path') AS v",
            '"$user", public',
        ),
        (
            "DO $$ BEGIN PERFORM set_config('lock_timeout', '7s', false); END $$",
            "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS v",
            "2s",
        ),
    ],
    "mariadb": [
        ("SET foreign_key_checks = 0", "CREATE TABLE seen AS SELECT @@foreign_key_checks AS v", "1"),
        ("SET @x = 5", "CREATE TABLE seen AS SELECT coalesce(@x, 0) AS v", "0"),
        (
            "SET SESSION lock_wait_timeout = 7; CREATE TABLE y (x INT)",
            "CREATE TABLE seen AS SELECT @@lock_wait_timeout = 7 AS v",
            "0",
        ),
    ],
}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def test_settings_do_not_reach_the_next_migration(database: Database) -> None:
    """What one migration sets in its session is gone in the next, and the ledger is found all the same."""
    for leak, look, expected in _LEAKS[database.kind]:
        other = database.another()
        m = migrator(other, [sql_migration("1", "leak", leak), sql_migration("2", "look", look)])
        assert ran(m.upgrade()) == ["1_leak up", "2_look up"]
        assert [_text(v) for (v,) in other.query("SELECT * FROM seen")] == [expected], leak
        assert m.status().is_current


def test_a_schema_named_like_the_role_does_not_hide_the_ledger(postgresql: Database) -> None:
    """With "$user" in the search path the ledger stays where it was."""
    m = migrator(
        postgresql,
        [sql_migration("1", "s", "CREATE SCHEMA dbmigrate"), sql_migration("2", "t", "CREATE TABLE t (x int)")],
    )

    assert ran(m.upgrade()) == ["1_s up", "2_t up"]
    assert ran(m.upgrade()) == []
    assert ran(Migrator(postgresql.url, MemorySource([*m.source.load(), NOTES_LATER])).upgrade()) == ["9_later up"]


NOTES_LATER = sql_migration("9", "later", "CREATE TABLE later (x int)")


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("postgresql", "DISCARD ALL"),
        ("postgresql", "SELECT pg_advisory_unlock_all()"),
        ("postgresql", "SET standard_conforming_strings = off"),
        ("mariadb", "SELECT release_all_locks()"),
        ("mariadb", "SET NAMES latin1"),
        ("mariadb", "SET sql_mode = 'ANSI_QUOTES'"),
        ("mariadb", "LOCK TABLES users WRITE"),
        ("mariadb", "SET autocommit = 0"),
    ],
)
def test_what_would_break_the_guarantees_is_refused(kind: str, text: str, request: pytest.FixtureRequest) -> None:
    """Statements that drop the lock, or change how text is read, are refused with their line."""
    database: Database = request.getfixturevalue(kind)
    with pytest.raises(SourceError, match=r"2_x.up:1"):
        migrator(database, (USERS, sql_migration("2", "x", text))).upgrade()
    assert database.tables() == []


# -- literals


def test_scripts_are_sent_as_they_are_written(database: Database) -> None:
    """No driver and no layer above it reads %, : or ? in a script."""
    kind = database.kind
    values = ["a%b", "%s", "%%", ":x", "\\:x", "?", "%(x)s", "two\r\nlines", "😀é", "it''s", "$1", "{}"]
    written = [v.replace("\\", "\\\\") if kind == "mariadb" else v for v in values]
    rows = ";\r\n".join(f"INSERT INTO texts VALUES ({i}, '{v}')" for i, v in enumerate(written))
    charset = " CHARACTER SET utf8mb4" if kind == "mariadb" else ""
    up = f"CREATE TABLE texts (n INTEGER, t VARCHAR(50)){charset};\n{rows};"
    more = "INSERT INTO texts SELECT 5 % 3, t FROM texts WHERE t LIKE 'a%'"

    migrator(database, [sql_migration("1", "t", up), sql_migration("2", "m", more)]).upgrade()

    expected = [(i, v.replace("''", "'")) for i, v in enumerate(values)]
    assert database.query("SELECT n, t FROM texts ORDER BY n, t")[:1] == expected[:1]
    assert sorted(database.query("SELECT n, t FROM texts")) == sorted([*expected, (2, "a%b")])


# -- baseline


def test_baseline_records_and_runs_nothing(database: Database) -> None:
    """Every migration up to the version is applied on paper; downgrade stops above it unless asked by version."""
    database.execute("CREATE TABLE users (id INTEGER PRIMARY KEY)", "CREATE TABLE notes (id INTEGER PRIMARY KEY)")

    status = migrator(database).baseline("2", reason="existed before")

    assert states(status) == [("1", "applied"), ("2", "applied"), ("3", "pending")]
    assert ran(migrator(database).upgrade()) == ["3_rows up"]
    assert ran(migrator(database).downgrade(to="base")) == ["3_rows down"]
    with pytest.raises(TargetError, match="no migrations applied above the baseline"):
        migrator(database).downgrade()
    assert ran(migrator(database).downgrade(to="1")) == ["2_notes down"]
    with pytest.raises(HistoryError, match="empty ledger"):
        migrator(database).baseline("3", reason="again")


# -- ledger


def test_a_changed_ledger_is_noticed(database: Database) -> None:
    """An edited row and a deleted row break the chain; nothing runs."""
    for damage in (
        "UPDATE dbmigrate_ledger SET version = '7' WHERE seq = 2",
        "DELETE FROM dbmigrate_ledger WHERE seq = 1",
    ):
        other = database.another()
        migrator(other).upgrade(to="2")
        other.execute(damage)
        with pytest.raises(LedgerError, match="record 2"):
            migrator(other).upgrade()


def test_a_table_that_is_not_a_ledger_is_left_alone(database: Database) -> None:
    """A table of the ledger's name with other columns is an error, not a place to write."""
    database.execute("CREATE TABLE dbmigrate_ledger (x INTEGER)")

    with pytest.raises(LedgerError, match="cannot be read as a ledger"):
        migrator(database).upgrade()


def test_what_a_failed_call_reports_has_its_time(sqlite: Database) -> None:
    """Of the steps before the failure too."""
    broken = sql_migration("2", "broken", "INSERT INTO nowhere VALUES (1)")
    with pytest.raises(MigrationFailed) as caught:
        migrator(sqlite, (USERS, broken)).upgrade()

    report = caught.value.report
    assert [str(outcome.step) for outcome in report.outcomes] == ["1_users up"]
    assert report.seconds > report.outcomes[0].seconds > 0


def test_two_ledgers_are_two_histories(database: Database) -> None:
    """Two migrators with two ledgers do not know each other."""
    first = migrator(database, (USERS,))
    second = migrator(database, (NOTES,), ledger="other_ledger")

    first.upgrade()
    second.upgrade()

    assert states(first.status()) == [("1", "applied")]
    assert states(second.status()) == [("2", "applied")]


@pytest.mark.parametrize("name", ["a b", "x;y", 'x"', "1x", "x" * 56, ""])
def test_ledger_names_are_checked(sqlite: Database, name: str) -> None:
    """A name that would have to be trusted in SQL is refused."""
    with pytest.raises(ConfigurationError):
        migrator(sqlite, ledger=name)


# -- events


def test_events_come_as_things_happen(database: Database) -> None:
    """A step starts, its statements finish, it finishes."""
    events: list[Event] = []
    migrator(database, (USERS,), on_event=events.append).upgrade()

    assert [type(e) for e in events] == [StepStarted, StatementFinished, StepFinished]


@pytest.mark.kinds("sqlite", "postgresql")
def test_an_event_that_raises_fails_the_step(database: Database) -> None:
    """If on_event raises before the commit, the step rolls back."""

    def refuse(event: Event) -> None:
        if isinstance(event, StatementFinished):
            raise RuntimeError("no")  # noqa: TRY004

    with pytest.raises(MigrationFailed, match="RuntimeError: no"):
        migrator(database, on_event=refuse).upgrade()
    assert "users" not in database.tables()


def test_logging_is_never_configured(sqlite: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Without on_event the logger "dbmigrate" is told, and no handler or level is set."""
    with caplog.at_level(logging.INFO, logger="dbmigrate"):
        migrator(sqlite, (USERS,)).upgrade()

    assert [record.getMessage().split(" in ")[0] for record in caplog.records] == [
        "1_users up: started",
        "1_users up: done",
    ]
    assert logging.getLogger("dbmigrate").handlers == []


# -- the value


def test_a_migrator_is_a_value(database: Database, tmp_path: object) -> None:
    """It is immutable, and picklable when given a URL; no password is in its repr."""
    m = Migrator(database.url, str(tmp_path))

    assert pickle.loads(pickle.dumps(m)).status().entries == ()  # noqa: S301 - our own
    with pytest.raises(AttributeError):
        m.database = "x"  # type: ignore[misc, assignment]
    assert "s3cret" not in repr(Migrator("postgresql+psycopg://u:s3cret@host/db"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"database": "sqlite:///:memory:"}, "would vanish"),
        ({"database": "sqlite://"}, "would vanish"),
        ({"database": "no url"}, "cannot be read"),
        ({"database": "oracle+oracledb://x/y"}, "does not know"),
        ({"database": 5}, "must be a URL"),
        ({"database": "sqlite:///x.db", "allow": {Unfinished}}, "allow is a set of finding types"),
        ({"database": "sqlite:///x.db", "transaction": "none"}, "'each' or 'all'"),
        ({"database": "sqlite:///x.db", "acquire_timeout": -1}, "acquire_timeout"),
        ({"database": "sqlite:///x.db", "lock_timeout": float("nan")}, "lock_timeout"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, object], reason: str) -> None:
    """A wrong call is a ConfigurationError that says what is wrong, before any database is touched."""
    with pytest.raises(ConfigurationError, match=reason):
        Migrator(**arguments)  # type: ignore[arg-type]


def test_a_version_means_one_migration_whatever_the_source(sqlite: Database) -> None:
    """A source of the user's own with a version twice, or one called "base", is refused."""

    class Own:
        """A source that checks nothing."""

        def __init__(self, *migrations: Migration) -> None:
            self.migrations = migrations

        def load(self) -> Sequence[Migration]:
            """Return what there is."""
            return self.migrations

    for twice in (Own(USERS, USERS), Own(sql_migration("base", "x", "SELECT 1"))):
        with pytest.raises(SourceError, match=r"version (1 is there twice|base is the word)"):
            Migrator(sqlite.url, twice).upgrade()


def test_a_script_problem_creates_no_file(sqlite: Database) -> None:
    """What is found while the scripts are cut is found before a connection creates the SQLite file."""
    with pytest.raises(SourceError, match="never closed"):
        migrator(sqlite, [sql_migration("1", "x", "SELECT 'oops")]).upgrade()
    assert sqlite.tables() == []
    assert not Path(sqlite.name).exists()


def test_a_wrapper_that_asks_for_more_is_refused(postgresql: Database) -> None:
    """BEGIN with a mode would lose it with the wrapper."""
    for first in ("BEGIN ISOLATION LEVEL SERIALIZABLE", "START TRANSACTION READ ONLY"):
        with pytest.raises(SourceError, match=r"1_x.up:1"):
            migrator(postgresql, [sql_migration("1", "x", f"{first};\nSELECT 1;\nCOMMIT;")]).upgrade()


@pytest.mark.kinds("postgresql", "mariadb")
def test_a_session_in_which_quotes_mean_something_else_is_refused(database: Database) -> None:
    """Where a backslash or a double quote is not what the scanner takes it for, nothing runs."""
    name, value = {
        "postgresql": ("standard_conforming_strings", "off"),
        "mariadb": ("sql_mode", "'NO_BACKSLASH_ESCAPES'"),
    }[database.kind]
    engine = database.engine()

    @event.listens_for(engine, "connect")
    def change(raw: Any, _: object) -> None:
        with closing(raw.cursor()) as cursor:
            cursor.execute(f"SET {name} = {value}")
        raw.commit()

    with pytest.raises(ConfigurationError, match=rf"{name}.*cut into statements"):
        Migrator(engine, MemorySource(ALL)).upgrade()
    assert database.tables() == []


def test_a_function_that_gives_up_the_lock_is_noticed(database: Database) -> None:
    """Behind that others would not be kept out: the step fails, and nothing more of it is sent."""
    if database.kind == "sqlite":
        pytest.skip("there BEGIN is the lock")
    function = {
        "postgresql": "CREATE FUNCTION leak() RETURNS void LANGUAGE sql AS 'SELECT pg_advisory_unlock_all()'",
        "mariadb": "CREATE PROCEDURE leak() SELECT RELEASE_ALL_LOCKS()",
    }[database.kind]
    call = {"postgresql": "SELECT leak()", "mariadb": "CALL leak()"}[database.kind]
    source = [sql_migration("1", "f", function), sql_migration("2", "leak", f"{call};\nCREATE TABLE late (x int)")]
    with pytest.raises(MigrationFailed, match="gave up the lock"):
        migrator(database, source).upgrade()
    assert "late" not in database.tables()
    outside = sql_migration("2", "leak", f"-- no-transaction\n{call};\nINSERT INTO seen VALUES (1);")
    database.execute("CREATE TABLE seen (x int)")
    if database.kind == "postgresql":
        with pytest.raises(MigrationFailed, match="gave up the lock"):
            migrator(database, [source[0], outside]).upgrade()
    assert database.query("SELECT * FROM seen") == []


def test_a_galera_cluster_is_recognised(mariadb: Database) -> None:
    """GET_LOCK keeps nobody out there: refused with advice, and nothing is run."""
    assert mariadb.server is not None
    name = b"wsrep_cluster_size"
    ((_, size),) = mariadb.query("SHOW GLOBAL STATUS LIKE 'wsrep_cluster_size'")
    was, is_now = (name + bytes([1]) + number for number in (str(size).encode(), b"3"))
    with relay(mariadb.server.port, lambda said: said.replace(was, is_now)) as port:
        url = mariadb.url_for(mariadb.driver, tcp=True).set(port=port)
        with pytest.raises(ConfigurationError, match=r"Galera cluster of 3.*run one migrator at a time"):
            Migrator(url, MemorySource(ALL)).upgrade()
    assert mariadb.tables() == []


def test_cockroachdb_is_recognised(postgresql: Database) -> None:
    """Its advisory locks keep nobody out, so it is refused with advice, by whatever URL."""
    assert postgresql.server is not None
    with relay(postgresql.server.port, lambda said: said.replace(b"PostgreSQL 1", b"CockroachDB ")) as port:
        url = postgresql.url_for(postgresql.driver, tcp=True).set(port=port)
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            # SQLAlchemy 2.0.0 leaves the connection to the garbage collector when it cannot read the version.
            with pytest.raises(ConfigurationError, match=r"CockroachDB.*keep nobody out.*one migrator at a time"):
                Migrator(url, MemorySource(ALL)).upgrade()
            gc.collect()
    assert postgresql.tables() == []
    with pytest.raises(ConfigurationError, match=r"CockroachDB.*keep nobody out"):
        Migrator("cockroachdb://root@localhost/shop", MemorySource(ALL))


def test_a_commit_that_fails_takes_its_statement_with_it(postgresql: Database) -> None:
    """A constraint that fails at COMMIT: the statement is known to have failed, not to be done."""
    table = "CREATE TABLE a (x int, CONSTRAINT c UNIQUE (x) DEFERRABLE INITIALLY DEFERRED)"
    text = "-- dbmigrate: no-transaction\nUPDATE a SET x = 2;\nINSERT INTO a VALUES {};\nVACUUM a;\n"
    first = sql_migration("1", "a", table)
    with pytest.raises(MigrationFailed, match="statement 2 failed"):
        migrator(postgresql, [first, sql_migration("2", "b", text.format("(1), (1)"))]).upgrade()
    assert postgresql.query("SELECT * FROM a") == []

    assert ran(migrator(postgresql, [first, sql_migration("2", "b", text.format("(1), (3)"))]).resume()) == ["2_b up"]
    assert postgresql.query("SELECT x FROM a ORDER BY x") == [(1,), (3,)]


def test_an_event_that_raises_leaves_no_doubt(mariadb: Database) -> None:
    """If on_event raises after a statement outside a transaction, that statement is known to be done."""

    def refuse(event: Event) -> None:
        if isinstance(event, StatementFinished):
            raise RuntimeError("no")  # noqa: TRY004

    with pytest.raises(MigrationFailed, match="RuntimeError: no"):
        migrator(mariadb, on_event=refuse).upgrade()
    (finding,) = migrator(mariadb).status().findings
    assert isinstance(finding, Unfinished)
    assert (finding.statement, finding.in_doubt) == (None, False)
    assert ran(migrator(mariadb).resume()) == ["1_users up"]


@pytest.mark.kinds("postgresql", "mariadb")
def test_a_lost_connection_is_told(database: Database) -> None:
    """A session that the server ends in the middle of a step: the error says so, and a blind restart goes on."""
    kill = {
        "postgresql": "SELECT pg_terminate_backend({})",
        "mariadb": "KILL {}",
    }[database.kind]
    number = {"postgresql": "pg_backend_pid()", "mariadb": "connection_id()"}[database.kind]
    database.execute("CREATE TABLE who (n BIGINT)")
    migrations = [
        sql_migration("1", "who", f"INSERT INTO who VALUES ({number})"),
        sql_migration("2", "rows", "INSERT INTO who VALUES (0);\nINSERT INTO who VALUES (0)"),
    ]

    def end(event: Event) -> None:
        if isinstance(event, StatementFinished) and event.step.migration.version == "2":
            ((session,),) = database.query("SELECT n FROM who WHERE n > 0")
            database.execute(kill.format(session))

    with pytest.raises(MigrationFailed, match="connection was lost") as caught:
        migrator(database, migrations, on_event=end).upgrade()
    assert ran(caught.value.report) == ["1_who up"]
    assert database.query("SELECT count(*) FROM who WHERE n = 0") == [(0,)]
    assert ran(migrator(database, migrations).upgrade()) == ["2_rows up"]


def test_an_error_behind_the_first_result_is_not_lost(mariadb: Database) -> None:
    """A procedure that fails behind a SELECT has failed."""
    procedure = "CREATE PROCEDURE p() BEGIN INSERT INTO l VALUES (1); SELECT 'progress'; INSERT INTO l VALUES (1); END"
    first = sql_migration("1", "p", f"CREATE TABLE l (i INT PRIMARY KEY);\n{procedure}")
    with pytest.raises(MigrationFailed, match="Duplicate entry"):
        migrator(mariadb, [first, sql_migration("2", "call", "CALL p()")]).upgrade()
    (finding,) = migrator(mariadb, [first]).status().errors
    assert (finding.version, finding.in_doubt) == ("2", True)  # type: ignore[attr-defined]


_FAILING_LATE = {
    "sqlite": (
        "SELECT json(CASE x WHEN 5000 THEN '{' ELSE x END) FROM n",
        "INSERT INTO l SELECT x FROM n RETURNING json(CASE x WHEN 5000 THEN '{' ELSE x END)",
    ),
    "postgresql": ("SELECT 1 / (5000 - x) FROM n", "INSERT INTO l SELECT x FROM n RETURNING 1 / (5000 - x)"),
    "mariadb": (
        "SELECT (SELECT 1 UNION ALL SELECT 2 WHERE x >= 5000) FROM n",
        "INSERT INTO l SELECT x FROM n RETURNING (SELECT 1 UNION ALL SELECT 2 FROM DUAL WHERE l.x >= 5000)",
    ),
}


@pytest.mark.parametrize("which", [0, 1], ids=["select", "returning"])
def test_an_error_behind_the_first_row_is_not_lost(database: Database, which: int) -> None:
    """A statement that fails while its rows are read has failed, and nothing of its migration is left."""
    numbers = {
        "sqlite": "WITH RECURSIVE s(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM s WHERE x < 10000) SELECT x FROM s",
        "postgresql": "SELECT x FROM generate_series(1, 10000) x",
        "mariadb": "SELECT seq AS x FROM seq_1_to_10000",
    }[database.kind]
    database.execute(f"CREATE TABLE n AS {numbers}", "CREATE TABLE l (x INTEGER)")
    source = [sql_migration("1", "x", f"INSERT INTO l VALUES (1);\n{_FAILING_LATE[database.kind][which]}")]

    with pytest.raises(MigrationFailed, match=r"malformed JSON|division by zero|more than 1 row") as caught:
        migrator(database, source).upgrade()

    assert (caught.value.statement, caught.value.line, caught.value.rolled_back) == (2, 2, True)
    assert database.query("SELECT count(*) FROM l") == [(0,)]
    assert states(migrator(database, source).status()) == [("1", "pending")]


@pytest.mark.parametrize("value", ["'infinity'::date", "'0044-03-15 BC'::date"])
def test_what_python_has_no_value_for_is_no_error(postgresql: Database, value: str) -> None:
    """Nobody wants the rows of a script."""
    migrator(postgresql, [sql_migration("1", "x", f"SELECT {value}")]).upgrade()


@pytest.mark.parametrize(
    "text",
    [
        "CREATE OR REPLACE TABLE users (a INT PRIMARY KEY) SELECT 1 a UNION ALL SELECT 1",
        "DROP TABLE users, nowhere",
        "CALL p()",
        "GRANT SELECT ON users TO nobody_there",
    ],
)
def test_what_may_have_had_a_part_of_its_effect_is_in_doubt(mariadb: Database, text: str) -> None:
    """After an error of such a statement nobody says that nothing happened."""
    mariadb.execute("CREATE TABLE users (id INT)", "CREATE PROCEDURE p() BEGIN DROP TABLE users; DROP TABLE users; END")
    with pytest.raises(MigrationFailed) as caught:
        migrator(mariadb, [sql_migration("1", "x", text)]).upgrade()
    assert caught.value.rolled_back is False
    (finding,) = migrator(mariadb, [sql_migration("1", "x", text)]).status().findings
    assert isinstance(finding, Unfinished)
    assert finding.in_doubt


def test_a_block_that_commits_is_in_doubt_when_it_fails(postgresql: Database) -> None:
    """A DO block may have committed before its error, whatever the error is."""
    postgresql.execute("CREATE TABLE log (k int)")
    text = (
        "-- dbmigrate: no-transaction\nDO $$ BEGIN FOR k IN 1..3 LOOP INSERT INTO log VALUES (k); COMMIT; END LOOP; "
        "UPDATE log SET nope = 1; END $$;"
    )
    with pytest.raises(MigrationFailed) as caught:
        migrator(postgresql, [sql_migration("1", "x", text)]).upgrade()
    assert caught.value.rolled_back is False
    assert states(migrator(postgresql, [sql_migration("1", "x", text)]).status()) == [("1", "unfinished")]


def test_words_that_only_look_like_dml_are_not_taken_for_it(mariadb: Database) -> None:
    """A table called temporary is made by DDL; a statement that begins in a conditional comment is refused."""
    text = "INSERT INTO d VALUES (1);\nCREATE TABLE temporary (i int);\nINSERT INTO d VALUES (1)"
    mariadb.execute("CREATE TABLE d (i INT PRIMARY KEY)")
    with pytest.raises(MigrationFailed) as caught:
        migrator(mariadb, [sql_migration("1", "x", text)]).upgrade()
    assert caught.value.rolled_back is False
    with pytest.raises(SourceError, match="goes on outside"):
        migrator(mariadb.another(), [sql_migration("1", "x", "/*!80000 INSERT */ COMMIT")]).plan()


def test_the_ledger_stays_where_the_call_found_it(postgresql: Database) -> None:
    """A migration that moves the database's default search_path does not make the next session find a new ledger."""
    alter = "format('ALTER DATABASE %I SET search_path = app', current_database())"
    move = f"CREATE SCHEMA app; DO $$ BEGIN EXECUTE {alter}; END $$"
    m = migrator(postgresql, [sql_migration("1", "move", move), sql_migration("2", "t", "CREATE TABLE t (i int)")])
    assert ran(m.upgrade()) == ["1_move up", "2_t up"]
    assert [t for t in postgresql.tables() if "ledger" in t] == ["dbmigrate_ledger", "dbmigrate_ledger_journal"]


def test_foreign_keys_are_switched_by_any_spelling(sqlite: Database) -> None:
    """PRAGMA "main".foreign_keys=OFF means the same, and the children stay."""
    engine = sqlite.engine()
    event.listen(engine, "connect", lambda raw, _: raw.execute("PRAGMA foreign_keys=ON"))
    text = _REBUILD.format("").replace("PRAGMA foreign_keys=OFF", 'PRAGMA "main".foreign_keys = off')
    Migrator(engine, MemorySource([_FAMILY, sql_migration("2", "rebuild", text)])).upgrade()
    assert sqlite.query("SELECT p FROM child") == [(1,)]


def test_secrets_of_a_url_are_not_shown(postgresql: Database) -> None:
    """Neither the password nor what stands in the query is in a repr or a message."""
    url = "postgresql+psycopg://u:s3cr3t@127.0.0.1:1/db?password=s3cr3t&sslpassword=s3cr3t"
    assert "s3cr3t" not in repr(Migrator(url))
    with pytest.raises(ConfigurationError) as caught:
        Migrator(url, MemorySource(ALL)).upgrade()
    assert "s3cr3t" not in str(caught.value)
    assert "127.0.0.1" in str(caught.value)


@pytest.mark.parametrize(
    "text",
    ["TRUNCATE TABLE dbmigrate_ledger", "DROP TABLE dbmigrate_ledger_journal", "DELETE FROM DBMIGRATE_LEDGER"],
)
def test_migrations_do_not_write_to_the_ledger(database: Database, text: str) -> None:
    """A script that writes to ledger or journal is refused with its line; one that grants reading it is not."""
    with pytest.raises(SourceError, match=r"2_x.up:2: \w+ on the ledger"):
        migrator(database, (USERS, sql_migration("2", "x", f"SELECT 1;\n{text}"))).upgrade()
    assert database.tables() == []
    if database.kind == "postgresql":
        grant = sql_migration("2", "grant", "GRANT SELECT ON dbmigrate_ledger TO public")
        assert ran(migrator(database, (USERS, grant)).upgrade()) == ["1_users up", "2_grant up"]


@pytest.mark.kinds("postgresql", "mariadb")
def test_an_unfinished_step_is_dead_only_when_its_session_is(database: Database) -> None:
    """While the session that began a step is there, nobody goes on with it, or resolves it."""
    number = {"postgresql": "SELECT pg_backend_pid()", "mariadb": "SELECT connection_id()"}[database.kind]
    head = "-- dbmigrate: no-transaction\n" if database.kind == "postgresql" else ""
    text = f"{head}CREATE TABLE a (x INT);\n{{}};"
    with pytest.raises(MigrationFailed):
        migrator(database, [sql_migration("1", "x", text.format("DROP TABLE nowhere"))]).upgrade()
    corrected = [sql_migration("1", "x", text.format("DROP TABLE a"))]
    m = migrator(database, corrected, acquire_timeout=0.3)
    with database.connect() as alive:
        cursor = alive.cursor()
        cursor.execute(number)
        ((pid,),) = cursor.fetchall()
        with database.engine().connect() as connection:
            dialect = m.dialect
            mine = dialect.session_id(connection)
        assert mine is not None
        start = mine.partition("@")[2]
        if database.kind == "postgresql":
            sql = f"SELECT extract(epoch FROM backend_start) FROM pg_stat_activity WHERE pid = {pid}"
            ((start,),) = database.query(sql)
        database.execute(f"UPDATE dbmigrate_ledger SET session = '{pid}@{start}'")
        with pytest.raises(MigrationInProgress, match="is still there"):
            m.resume()
        with pytest.raises(MigrationInProgress):
            m.resolve("1", applied=False, reason="impatient")
    assert ran(migrator(database, corrected).resume()) == ["1_x up"]  # the server needs a moment to see that it is gone


def test_a_migration_may_read_the_ledger_and_speak_of_it(database: Database) -> None:
    """Only what writes to the ledger is refused: not a view of it, nor its name in a text."""
    spoken = sql_migration(
        "2",
        "spoken",
        "CREATE TABLE notes (t VARCHAR(99));\nINSERT INTO notes VALUES ('drop table dbmigrate_ledger');\n"
        "CREATE VIEW seen AS SELECT version FROM dbmigrate_ledger;\n"
        "INSERT INTO notes SELECT version FROM dbmigrate_ledger",
    )
    assert ran(migrator(database, (USERS, spoken)).upgrade()) == ["1_users up", "2_spoken up"]


@pytest.mark.parametrize(
    "table", ["main.dbmigrate_ledger", "a, dbmigrate_ledger", '"dbmigrate_ledger"', "IF EXISTS main . dbmigrate_ledger"]
)
def test_the_ledger_is_known_by_any_spelling(sqlite: Database, table: str) -> None:
    """A schema or quotes do not hide that it is the ledger."""
    with pytest.raises(SourceError, match="DROP on the ledger"):
        migrator(sqlite, [sql_migration("1", "x", f"DROP TABLE {table}")]).plan()


def test_a_name_is_not_taken_for_a_function(postgresql: Database) -> None:
    """An index whose name begins like something of the session's is built like any other."""
    text = "-- dbmigrate: no-transaction\nCREATE INDEX CONCURRENTLY pg_temp_index ON users (id)"
    assert len(migrator(postgresql, (USERS, sql_migration("2", "i", text))).upgrade().outcomes) == 2
