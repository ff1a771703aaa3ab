"""Databases for tests with pytest: migrated once in a run, and a fresh copy for each test.

Override the fixture `dbmigrate_migrator` in conftest.py, and take `migrated_engine` or `migrated_url` in tests:

    @pytest.fixture(scope="session")
    def dbmigrate_migrator() -> Migrator:
        return Migrator(os.environ.get("TEST_DATABASE_URL", "sqlite:///shop"), "migrations")

It stands beside the package, for pytest loads it in every run: nothing of dbmigrate is imported before a fixture is
used.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Engine

    from dbmigrate import Migrator
    from dbmigrate.testing.kit import Kit


@pytest.fixture(scope="session")
def dbmigrate_migrator() -> Migrator:
    """The Migrator of your project: override this fixture, with the scope "session".

    Its URL says on which server databases for tests are made, and with which user, who must have the right to create
    and drop some (PostgreSQL: 13 or later). The database that it names is never touched, and need not exist. SQLite
    files are made in pytest's own temporary folder.
    """
    raise pytest.UsageError(
        "override the fixture dbmigrate_migrator in your conftest.py: it returns the Migrator of your project"
    )


@pytest.fixture(scope="session")
def _dbmigrate_kit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    from dbmigrate.testing.kit import Kit  # noqa: PLC0415 - only where it is used

    base, given = tmp_path_factory.getbasetemp(), getattr(request.config, "workerinput", None)
    if given is None:
        kit = Kit(base / "dbmigrate", uuid4().hex)
    else:  # a worker of pytest-xdist has a folder in that of the whole run
        about = cast("dict[str, Any]", given)
        kit = Kit(base.parent / "dbmigrate", about["testrunuid"], about["workerid"])
    yield kit
    kit.close()


@pytest.fixture
def migrated_url(_dbmigrate_kit: Kit, dbmigrate_migrator: Migrator) -> URL:
    """The URL of a database with all migrations applied, which this test alone uses.

    It is made anew before each test that asks for it, so a test may commit, change the schema, fail, or leave sessions
    open: the next one of this worker ends these and finds nothing of it. At the end of the run it is dropped. It has
    the password in it: `url.render_as_string(hide_password=False)`.
    """
    return _dbmigrate_kit.fresh(dbmigrate_migrator)


@pytest.fixture
def migrated_engine(migrated_url: URL) -> Iterator[Engine]:
    """An Engine for `migrated_url`, disposed of behind the test. Override it where yours is made otherwise."""
    from sqlalchemy import create_engine  # noqa: PLC0415 - only where it is used

    engine = create_engine(migrated_url)
    yield engine
    engine.dispose()


@pytest.fixture
def _dbmigrate_made(request: pytest.FixtureRequest, _dbmigrate_kit: Kit, dbmigrate_migrator: Migrator) -> None:
    """Give a class of `MigrationTests` the Migrator of the project, with a database of its own for each test."""
    cast("Any", request.instance).migrator = _dbmigrate_kit.named(dbmigrate_migrator)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have `MigrationTests` use the fixture, unless they say themselves what to test."""
    module: Any = sys.modules.get("dbmigrate.testing.migrations")  # without which there is no such class
    tests, kind = module and module.MigrationTests, getattr(item, "cls", None)
    if tests and kind and issubclass(kind, tests) and kind.make is tests.make:
        cast("Any", item).fixturenames.append("_dbmigrate_made")
