"""The tests that every project with migrations wants."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import contextmanager
from typing import ClassVar, cast
from unittest import SkipTest

from sqlalchemy.engine import URL, Engine

from dbmigrate import database
from dbmigrate.connect import engine_of
from dbmigrate.errors import ConfigurationError, MigrationError
from dbmigrate.ledger import TableLedger
from dbmigrate.migrator import Migrator
from dbmigrate.model import Migration
from dbmigrate.plan import BASE, find
from dbmigrate.schema import Snapshot, diff, snapshot
from dbmigrate.testing.checks import named, require
from dbmigrate.testing.faults import check_crash_safe, check_race_safe


class MigrationTests:
    """What is true of migrations that can be trusted. Override `make`, or leave it to the plugin of pytest.

    Each test makes a database, uses it and drops it; none touches one that was there. A migration that is no promise
    kept is an AssertionError that names it. Where there is nothing to test, the test is skipped.
    """

    #: What the plugin of pytest sets, from the fixture `dbmigrate_migrator`.
    migrator: Migrator | None = None
    #: A version: all up to it were tested long ago, and reversing, killing and racing begin behind it.
    since: ClassVar[str | None] = None
    #: How many processes race.
    processes: ClassVar[int] = 8
    #: Parts of what says which statement a person would be asked about behind a kill: those that you know of.
    known_doubts: ClassVar[Collection[str]] = ()

    def make(self) -> Migrator:
        """Return a Migrator with the URL of a database that does not exist; called once a test.

        Its user must have the right to create and drop it; tests that run at the same time need different ones. It
        must be such that it can be pickled (see `check_crash_safe`).
        """
        if self.migrator is None:
            raise NotImplementedError("override make(): return a Migrator with the URL of a database that is not there")
        return self.migrator

    def test_the_history_is_valid(self) -> None:
        """Every script can be read and cut, both ways, and versions are unique; needs no database."""
        migrator = self.make()
        try:
            migrator.validate()
        except MigrationError as error:
            raise AssertionError(f"the migrations are not valid: {error}") from error

    def test_it_applies_from_zero(self) -> None:
        """To an empty database, in one call; behind it nothing is pending, and a second call does nothing.

        There is no finding either, not even one that the Migrator tolerates.
        """
        with self._database() as (migrator, _):
            try:
                report = migrator.upgrade()
            except MigrationError as error:
                raise AssertionError(f"upgrade() of an empty database failed: {named(error)}") from error
            applied, wanted = [str(o.step.migration) for o in report.outcomes], list(map(str, migrator.validate()))
            require(applied == wanted, f"upgrade() of an empty database applied {applied}, not {wanted}")
            status = migrator.status()
            require(not status.findings, f"behind upgrade() there are findings: {'; '.join(map(str, status.findings))}")
            require(status.is_current, "behind upgrade() the database is not current")
            require(not migrator.upgrade(), "a second upgrade() must have nothing to do")

    def test_it_is_reversible(self) -> None:
        """Going back one migration leaves the schema as it was before it, and going up again as it was behind it.

        Asked of each migration that has a way back, from the catalogue of the database, so of everything but the rows:
        whether these come back is not asked, and nor is the order of columns. Those without a way back are passed over.
        """
        with self._database() as (migrator, engine):
            migrations = migrator.validate()
            first = 0 if self.since is None else migrations.index(find(self.since, migrations)) + 1
            if not any(migration.down for migration in migrations[first:]):
                raise SkipTest("no migration has a way back")
            if first:
                migrator.upgrade(self.since)
            before = _seen(migrator, engine)
            for number, migration in enumerate(migrations[first:], first):
                before = _there_and_back(
                    migrator, engine, migrations[number - 1] if number else None, migration, before
                )

    def test_a_kill_does_no_harm(self) -> None:
        """See `check_crash_safe`; statements of which a person would be asked must be in `known_doubts`."""
        migrator = self._some()
        asked = check_crash_safe(migrator, since=self.since).asked
        unknown = [text for text in asked if not any(known in text for known in self.known_doubts)]
        require(not unknown, f"behind a kill a person would be asked whether this has run: {'; '.join(unknown)}")

    def test_a_race_does_no_harm(self) -> None:
        """See `check_race_safe`."""
        check_race_safe(self._some(), self.processes)

    def _some(self) -> Migrator:
        migrator = self.make()
        if not migrator.validate():
            raise SkipTest("there are no migrations yet")
        return migrator

    @contextmanager
    def _database(self) -> Generator[tuple[Migrator, Engine]]:
        """Give the Migrator of a database that is created here, and dropped at the end."""
        migrator = self._some()
        if not isinstance(migrator.database, URL):
            raise ConfigurationError(
                "the database is created and dropped: give the Migrator a URL. Nothing was touched"
            )
        if not database.create(migrator.database):
            raise ConfigurationError(
                "there is a database of that name, and it was not touched: name one that does not exist. It is created "
                "here, and dropped again"
            )
        try:
            with engine_of(migrator.database) as engine:
                yield migrator, cast("Engine", engine)
        finally:
            database.drop(migrator.database, force=True)


def _there_and_back(
    migrator: Migrator, engine: Engine, last: Migration | None, migration: Migration, before: Snapshot
) -> Snapshot:
    """Go up, down and up again; return the schema behind that."""
    try:
        migrator.upgrade(migration.version)
        behind = _seen(migrator, engine)
        if migration.down is None:
            return behind
        migrator.goto(last.version if last else BASE)
        _compare(before, _seen(migrator, engine), f"{migration} down left something else than there was before")
        migrator.upgrade(migration.version)
        _compare(behind, _seen(migrator, engine), f"{migration}, down and up again, left something else than at first")
    except MigrationError as error:
        raise AssertionError(f"{migration} cannot go up, down and up again: {named(error)}") from error
    return behind


def _seen(migrator: Migrator, engine: Engine) -> Snapshot:
    """Return what is in the database, without a ledger of ours."""
    own = {"ledger": migrator.ledger.table} if isinstance(migrator.ledger, TableLedger) else {}
    with engine.connect() as connection:
        try:
            return snapshot(connection, dialect=migrator.dialect, **own)
        except ConfigurationError as error:
            raise SkipTest(str(error)) from error


def _compare(expected: Snapshot, found: Snapshot, what: str) -> None:
    changes = diff(expected, found)
    require(not changes, "\n".join([f"{what}:", *map(str, changes)]))
