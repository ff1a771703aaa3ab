"""The tests that every project with migrations wants."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar
from unittest import SkipTest

from sqlalchemy import MetaData
from sqlalchemy.engine import URL

from dbmigrate import database
from dbmigrate.errors import ConfigurationError, MigrationError
from dbmigrate.migrator import Migrator
from dbmigrate.shadow import compare_models, replay
from dbmigrate.testing.checks import named, require
from dbmigrate.testing.faults import check_crash_safe, check_race_safe


class MigrationTests:
    """What is true of migrations that can be trusted. Override `make`, or leave it to the plugin of pytest.

    Each test makes a database, uses it and drops it; none touches one that was there. A migration that is no promise
    kept is an AssertionError that names it. Where there is nothing to test, the test is skipped.
    """

    #: What the plugin of pytest sets, from the fixture `dbmigrate_migrator`.
    migrator: Migrator | None = None
    #: The models of the application, of which `test_models_match` asks, and patterns of what is none of theirs.
    metadata: ClassVar[MetaData | None] = None
    exclude: ClassVar[Collection[str]] = ()
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
        with self._database() as migrator:
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

        Asked of each migration that has a way back (see `dbmigrate.shadow.replay`), from the catalogue of the database,
        so of everything but the rows: whether these come back is not asked. Those without a way back are passed over.
        """
        migrator = self._some()
        try:
            found = replay(migrator, since=self.since, shadow_url=_url(migrator))
        except ConfigurationError:
            raise
        except MigrationError as error:
            raise AssertionError(f"the migrations cannot be replayed: {named(error)}") from error
        if not any(done.migration.down for done in found):
            raise SkipTest("no migration has a way back")
        bad = [f"{done.migration} {done.trouble}" for done in found if done.trouble]
        require(not bad, "\n".join(bad))

    def test_models_match(self) -> None:
        """What the migrations make is what the models make, as the database has both (`compare_models`)."""
        migrator = self._some()
        if self.metadata is None:
            raise SkipTest("there are no models to compare with: set `metadata`")
        changes = compare_models(migrator, self.metadata, exclude=self.exclude, shadow_url=_url(migrator))
        require(not changes, "\n".join(["the models differ from what the migrations make:", *map(str, changes)]))

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
        migrator = replace(self.make(), schema_file=None)  # that of the project is none of a test's
        if not migrator.validate():
            raise SkipTest("there are no migrations yet")
        return migrator

    @contextmanager
    def _database(self) -> Generator[Migrator]:
        """Give the Migrator of a database that is created here, and dropped at the end."""
        migrator = self._some()
        url = _url(migrator)
        database.create_own(url)
        try:
            yield migrator
        finally:
            database.drop(url, force=True)


def _url(migrator: Migrator) -> URL:
    if not isinstance(migrator.database, URL):
        raise ConfigurationError("the database is created and dropped: give the Migrator a URL. Nothing was touched")
    return migrator.database
