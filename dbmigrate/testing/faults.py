"""Kills and races over migrations of your own: the tests that dbmigrate itself passes, for what you write.

    crashes = check_crash_safe(Migrator("postgresql+psycopg://localhost/shop_crash", "migrations"))
    assert not crashes.asked
    check_race_safe(Migrator("postgresql+psycopg://localhost/shop_race", "migrations"), processes=8)

Laws: only a database that a check made itself is used, and dropped; whatever runs a migration is a process of its own;
a promise that is broken is an AssertionError.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import cast

from sqlalchemy import func, select, table
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import quoted_name

from dbmigrate import database
from dbmigrate.catalogue import Object
from dbmigrate.connect import engine_of, hide_secrets
from dbmigrate.dialects import Dialect
from dbmigrate.errors import ConfigurationError, HistoryError
from dbmigrate.ledger import TableLedger
from dbmigrate.migrator import Migrator
from dbmigrate.model import Report, Unfinished
from dbmigrate.plan import BASE, find
from dbmigrate.schema import snapshot
from dbmigrate.testing.checks import keep_inside, named, require
from dbmigrate.testing.processes import Call, Killed, Nursery, nursery

#: Lines of a difference that are shown.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Crashes:
    """What `check_crash_safe` did, and what it found that is no error."""

    #: How many processes were killed.
    kills: int
    #: How often a statement was in doubt behind a kill, and the catalogue told whether it had run.
    settled: int
    #: The statements of which the catalogue does not tell, so that a person would be asked: migration, place, text.
    asked: tuple[str, ...]


def check_crash_safe(
    migrator: Migrator, *, since: str | None = None, prepare: Callable[[], object] | None = None
) -> Crashes:
    """Kill `upgrade()` at every boundary, one after the other, and make sure that a blind restart mends it.

    A boundary is the moment before, and the moment behind, anything that is sent to the database: BEGIN, a statement, a
    row of ledger or journal, COMMIT; also by a function in Python, and over other engines. What goes past SQLAlchemy
    (COPY over a connection of the driver's own) is sent within a boundary, not at one. For each one an empty
    database is created, and a process calls `upgrade()` and kills itself there (SIGKILL; on Windows TerminateProcess).
    Then another process calls `upgrade()` again, and `resume()` where a step is unfinished; and what is there must be
    what a run that nobody disturbed left. If every migration has a way back, the same is done with
    `downgrade(to="base")`. Where a person would be asked, because the catalogue does not tell whether a statement ran,
    that turn ends there, and the statement is in the result.

    Compared are the snapshots of the schema (see `dbmigrate.schema.snapshot`), the order of columns, the number of rows
    in each table, and version, action and checksum of each record of the ledger. Not compared: what is in the rows, for
    clocks and random values differ. It cannot see what was done outside the database (files, messages), nor what
    another program does meanwhile; and only processes are killed, neither the server nor the machine.

    Turns are many, and each runs all migrations: for a hundred of them that takes long. `since` leaves out those that
    were checked before.

    Args:
        migrator: A Migrator with the URL of a database that does not exist. It is created for each turn, and dropped at
            the end, also behind a failure or Ctrl-C; so the user of the URL must have the right to (PostgreSQL: 13 or
            later). The Migrator must be such that it can be pickled, and is used in processes that import what it needs
            and the caller's main module: in a script the call must stand below `if __name__ == "__main__":`.
        since: A version. Each turn begins with it and all before it applied, and only what comes behind it is applied
            or taken back, and killed.
        prepare: Called in this process whenever the database was created, before anything else: to put into it what
            migrations expect to find, and to empty what is not in it, as the files of a ledger.

    Raises:
        AssertionError: A restart failed, or left something else than an undisturbed run. It names the boundary and what
            differs.
        ConfigurationError: The database exists, or cannot be created or dropped; the Migrator has an Engine or a
            Connection, or cannot be pickled; a script names another database (MariaDB, MySQL); or the ledger is not
            empty when the database is. Nothing that was there was touched.
        MigrationError: The undisturbed run fails, with any of its errors.

    """
    kills, settled, asked = 0, 0, dict[str, None]()
    base = None if since is None else partial(_upgrade, to=since)
    with _turns(migrator, prepare) as turns:
        migrations = migrator.validate()
        new = migrations if since is None else migrations[migrations.index(find(since, migrations)) + 1 :]
        calls: list[tuple[str, Call | None, Call]] = [("upgrade()", base, _upgrade)]
        if all(migration.down is not None for migration in new):
            calls.append(("downgrade()", _upgrade, partial(_downgrade, to=since or BASE)))
        for what, before, call in calls:
            expected = turns.undisturbed(before, call)
            for boundary in count():
                turns.begin(before)
                killed = turns.processes.alone(call, boundary)
                if not isinstance(killed, Killed):
                    break
                kills += 1
                where = f"{what} was killed at boundary {boundary}, {killed.when}; the restart"
                try:
                    doubts, question, records = turns.processes.alone(partial(_restart, call))
                except Exception as error:
                    raise AssertionError(f"{where} failed: {named(error)}") from error
                settled += doubts
                if question is None:
                    _compare(expected, turns.state(records), where)
                else:
                    asked[question] = None
    return Crashes(kills, settled, tuple(asked))


def check_race_safe(
    migrator: Migrator, processes: int = 8, *, prepare: Callable[[], object] | None = None
) -> tuple[Report, ...]:
    """Let many processes call `upgrade()` at the same instant on an empty database; return the Report of each.

    Nobody may fail; each migration must be applied by exactly one of them; the database must be current when a call
    returns, whoever made it so; and the end must be that of a run that nobody disturbed. What is compared, and what is
    not seen, is as in `check_crash_safe`. A race is one sample of many: call it several times.

    Args:
        migrator: As for `check_crash_safe`; the database is created twice, and dropped.
        processes: How many; each needs a connection.
        prepare: As for `check_crash_safe`.

    Raises:
        AssertionError: One of that is not so. It names the process and its error, or what differs.
        ConfigurationError: What `check_crash_safe` raises it for.
        MigrationError: The undisturbed run fails, with any of its errors.

    """
    with _turns(migrator, prepare) as turns:
        expected = turns.undisturbed(None, _upgrade)
        turns.begin(None)
        answers = turns.processes.together([_race] * processes)
        for number, answer in enumerate(answers, 1):
            who = f"process {number} of {processes}"
            if isinstance(answer, Exception):
                raise AssertionError(f"{who} failed: {named(answer)}") from answer  # noqa: TRY004 - a broken promise
            require(not answer[1], f"{who}: behind its upgrade() the database is not current: {answer[1]}")
        reports = tuple(report for report, _ in answers)
        times = Counter(str(outcome.step) for report in reports for outcome in report.outcomes)
        twice = [f"{step} ({times[step]} times)" for step in times if times[step] > 1]
        require(not twice, f"applied by more than one of {processes} processes: {', '.join(twice)}")
        _compare(expected, turns.state(turns.processes.alone(_records)), f"a race of {processes} processes")
    return reports


@dataclass(slots=True)
class _Turns:
    """An empty database for each turn, and the processes that use it."""

    engine: Engine
    prepare: Callable[[], object] | None
    dialect: Dialect
    #: The table of a ledger of ours, whose records are compared; None: it is somewhere else.
    ledger: str | None
    processes: Nursery = field(init=False)
    count: int = 0
    is_ours: bool = False

    def begin(self, before: Call | None) -> None:
        """Create the database, instead of the one of the turn before, and make a call in it that nobody disturbs."""
        self.drop()
        database.create_own(self.engine)
        self.is_ours = True
        if self.prepare is not None:
            self.prepare()
        self.count += 1
        if self.count < 3 and self.processes.alone(_records):  # noqa: PLR2004 - then a turn before left nothing
            raise ConfigurationError(
                "the database was just created, and the ledger has records: it is somewhere else. Empty it in a "
                "function that is passed as prepare="
            )
        if before is not None:
            self.processes.alone(before)

    def drop(self) -> None:
        """Drop the database, if it was created here."""
        if self.is_ours:
            database.drop(self.engine, force=True)
            self.is_ours = False

    def undisturbed(self, before: Call | None, call: Call) -> list[str]:
        """Return what a call leaves that nobody disturbs."""
        self.begin(before)
        return self.state(self.processes.alone(partial(_completed, call)))

    def state(self, records: list[str]) -> list[str]:
        """Return what is in the database, a line each: the records of the ledger, the schema, the number of rows."""
        with self.engine.connect() as connection:
            taken, lines = snapshot(connection, ledger=self.ledger, dialect=self.dialect), list(records)
            for item in taken:
                lines.append(f"{item}: {f'column {item.position}; ' if item.kind == 'column' else ''}{_plain(item)}")
                if item.kind == "table":
                    name = table(quoted_name(item.name, quote=True), schema=item.schema or None)
                    count = connection.scalar(select(func.count()).select_from(name))
                    lines.append(f"rows in {item.place}: {count}")
        return lines


@contextmanager
def _turns(migrator: Migrator, prepare: Callable[[], object] | None) -> Generator[_Turns]:
    """Give what turns need; at the end the processes are gone, and so is the database if it was created here."""
    if not isinstance(migrator.database, URL):
        raise ConfigurationError(
            "other processes must connect to the database, and it is created and dropped: give the Migrator a URL, not "
            f"{'a Connection' if isinstance(migrator.database, Connection) else 'an Engine'}. No database was touched"
        )
    ledger = migrator.ledger.table if isinstance(migrator.ledger, TableLedger) else None
    with ExitStack() as stack:
        engine = stack.enter_context(engine_of(migrator.database))
        with database.managing(migrator.database) as (dialect, connection, own):
            keep_inside(migrator, dialect, connection, lambda name: name == own)
        turns = _Turns(cast("Engine", engine), prepare, migrator.dialect, ledger)
        stack.callback(turns.drop)
        turns.processes = stack.enter_context(nursery(replace(migrator, schema_file=None)))  # it is none of a test's
        try:
            yield turns
        except DBAPIError as error:
            hide_secrets(error, migrator.database)
            raise


def _compare(expected: Iterable[str], found: Iterable[str], what: str) -> None:
    """Make sure that two states are the same."""
    missing, more = Counter(expected), Counter(found)
    lines = [f"missing: {line}" for line in missing - more] + [f"not expected: {line}" for line in more - missing]
    shown = "\n- ".join([f"{what} left something else than a run that nobody disturbed", *lines[:_SHOWN]])
    require(not lines, shown + (f"\nand {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""))


# What runs in a process of its own


def _upgrade(migrator: Migrator, to: str | None = None) -> None:
    migrator.upgrade(to)


def _downgrade(migrator: Migrator, to: str) -> None:
    migrator.downgrade(to=to)


def _records(migrator: Migrator) -> list[str]:
    """Return what the ledger says, a line for each record."""
    return [f"ledger: {record.action} {record} {record.checksum}" for record in migrator.history()]


def _completed(call: Call, migrator: Migrator) -> list[str]:
    call(migrator)
    return _records(migrator)


def _restart(call: Call, migrator: Migrator) -> tuple[int, str | None, list[str]]:
    """Make a call again, and `resume` where it says so.

    Returns how many statements in doubt were settled, the one of which a person would be asked, and the records.
    """
    settled = 0
    while True:
        try:
            return settled, None, _completed(call, migrator)
        except HistoryError as error:
            finding = error.findings[0]
            if not isinstance(finding, Unfinished):
                raise
            try:
                migrator.resume()
            except HistoryError:
                where = finding.where or "how far it came is not known"
                return settled, f"{finding.version}_{finding.name} {finding.direction}: {where}", []
            settled += finding.in_doubt


def _race(migrator: Migrator) -> tuple[Report, str]:
    report, status = migrator.upgrade(), migrator.status()
    return report, "" if status.is_current else "; ".join(map(str, status.entries))


def _plain(item: Object) -> str:
    return "; ".join(name if value is True else f"{name} {value}" for name, value in item.properties)
