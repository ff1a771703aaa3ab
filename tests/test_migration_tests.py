"""The tests that a project includes find what is wrong with its migrations, and leave nothing behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

import pytest
from sqlalchemy import Column, Index, Integer, MetaData, String, Table, text

from dbmigrate import ConfigurationError, Edited, MemorySource, Migrator, python_migration, sql_migration
from dbmigrate import database as databases
from dbmigrate.testing import MigrationTests, check
from dbmigrate.testing.kit import Kit
from tests.test_broken import promises

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import URL, Connection

    from dbmigrate import Migration
    from tests.conftest import Database

USERS = sql_migration("1", "users", "CREATE TABLE users (id INTEGER, name VARCHAR(9))", "DROP TABLE users")
INDEX = {"mariadb": "DROP INDEX by_name ON users"}


@pytest.fixture
def url(database: Database) -> Iterator[URL]:
    """The URL of a database that does not exist, and must not exist afterwards."""
    found = database.url.set(database=f"{database.name}_tested")
    yield found
    assert not databases.drop(found, force=True)


def over(url: URL, *migrations: Migration, **more: Any) -> MigrationTests:
    """Return the tests of migrations."""
    found = MigrationTests()
    found.migrator = Migrator(url, MemorySource(migrations), **more)
    return found


def history(database: Database) -> list[Migration]:
    """Return migrations that are right, two of them with a way back."""
    drop = INDEX.get(database.kind, "DROP INDEX by_name")
    return [
        USERS,
        sql_migration("2", "index", "CREATE INDEX by_name ON users (name)", drop),
        sql_migration("3", "seed", "INSERT INTO users VALUES (1, 'Ada')"),
    ]


def test_what_is_right_passes(database: Database, url: URL) -> None:
    """Every test, on every database."""
    models = MetaData()
    Table("users", models, Column("id", Integer), Column("name", String(9)), Index("by_name", "name"))
    migrator = Migrator(url, MemorySource(history(database)))

    class Right(MigrationTests):
        """They are."""

        processes = 3
        metadata = models
        since = "1" if database.server else None  # a database on a server takes a while to create

        def make(self) -> Migrator:
            """Return it."""
            return migrator

    checked = check(Right)

    assert set(checked.passed) == promises(MigrationTests)


def test_a_script_that_cannot_be_cut(url: URL) -> None:
    """Also one of a way back, which upgrade() would not look at."""
    with pytest.raises(AssertionError, match=r"the migrations are not valid(.|\n)*never closed|not valid(.|\n)*quote"):
        over(url, sql_migration("1", "a", "SELECT 1", "SELECT 'a")).test_the_history_is_valid()


def test_a_script_that_fails(url: URL) -> None:
    """On an empty database."""
    with pytest.raises(AssertionError, match=r"upgrade\(\) of an empty database failed: MigrationFailed(.|\n)*nowhere"):
        over(url, sql_migration("1", "a", "INSERT INTO nowhere VALUES (1)")).test_it_applies_from_zero()


@dataclass
class Restless:
    """A source whose script is another one each time."""

    count: int = 0

    def load(self) -> Sequence[Migration]:
        """Count."""
        self.count += 1
        return [sql_migration("1", "a", f"CREATE TABLE a{self.count} (x INTEGER)")]


def test_a_finding_that_is_tolerated(url: URL) -> None:
    """It is said nevertheless."""
    found = MigrationTests()
    found.migrator = Migrator(url, Restless(), allow={Edited})

    with pytest.raises(AssertionError, match="behind upgrade\\(\\) there are findings: 1_a: "):
        found.test_it_applies_from_zero()


@pytest.mark.parametrize(
    ("up", "down", "said"),
    [
        (
            "ALTER TABLE users ADD COLUMN email VARCHAR(50); CREATE TABLE more (x INTEGER)",
            "DROP TABLE more",
            r"\A2_more down left something else than there was before:\ncolumn (\S+\.)?users\.email is new",
        ),
        (
            "CREATE TABLE more (x INTEGER)",
            "DROP TABLE more; DROP TABLE users; CREATE TABLE users (id INTEGER, name VARCHAR(5))",
            r"\A2_more down left something else than there was before:\ncolumn (\S+\.)?users\.name:\n"
            r"    type: \S+ ?\S*\(9\) -> \S+ ?\S*\(5\)\Z",
        ),
        ("CREATE TABLE more (x INTEGER)", "DROP TABLE nowhere", r"\A2_more cannot go up, down and up again: .*nowhere"),
        (
            "CREATE TABLE IF NOT EXISTS more (x INTEGER)",
            "SELECT 1",
            r"\A2_more down left something else than there was before:\ntable (\S+\.)?more is new",
        ),
    ],
    ids=["too little", "too much", "an error", "nothing"],
)
def test_a_way_back_that_leads_elsewhere(url: URL, up: str, down: str, said: str) -> None:
    """The migration is named, and what is left of the difference."""
    with pytest.raises(AssertionError, match=said):
        over(url, USERS, sql_migration("2", "more", up, down)).test_it_is_reversible()


def test_a_second_time_that_is_another(url: URL) -> None:
    """Going up again makes what it did not make at first."""
    tables = iter(("log", "third"))

    def up(connection: Connection) -> None:
        connection.execute(text("CREATE TABLE IF NOT EXISTS log (x INTEGER)"))
        connection.execute(text(f"CREATE TABLE IF NOT EXISTS {next(tables)} (x INTEGER)"))

    def down(connection: Connection) -> None:
        connection.execute(text("DROP TABLE log"))

    tests = over(url, python_migration("1", "log", up, down))
    with pytest.raises(AssertionError, match=r"1_log down and up again left something else(.|\n)*third is new"):
        tests.test_it_is_reversible()


@pytest.mark.usefixtures("kit_alone")
def test_the_schema_file_is_none_of_a_tests(url: URL, tmp_path: Path) -> None:
    """It says what the database of the project is."""
    tests = over(url, USERS, schema_file=tmp_path / "schema.sql")
    tests.test_it_applies_from_zero()
    tests.test_a_race_does_no_harm()
    kit = Kit(tmp_path / "kit", "a run")
    kit.fresh(tests.make())
    kit.close()

    assert list(tmp_path.glob("schema*")) == []


@pytest.mark.usefixtures("kit_alone")
@pytest.mark.kinds("postgresql", "mariadb")
@pytest.mark.parametrize("same", [True, False], ids=["of its run", "of another run"])
def test_a_process_that_copies_is_not_taken_for_dead(url: URL, tmp_path: Path, same: bool) -> None:
    """By one that ends, or begins, just when there is no database of its own: the template stays."""
    migrator = Migrator(url, MemorySource([USERS]))
    kit, other = Kit(tmp_path / "a", "a", "gw0"), Kit(tmp_path / "a", "a", "gw1") if same else Kit(tmp_path / "b", "b")
    own = kit.fresh(migrator)
    assert databases.drop(own, force=True)  # as a copy begins

    other.fresh(migrator)
    other.close()

    assert kit.fresh(migrator) == own
    kit.close()
    assert databases.exists(own) is False


def test_models_that_differ(url: URL) -> None:
    """Each difference is named; without models there is nothing to test."""
    models = MetaData()
    Table("users", models, Column("id", Integer), Column("name", String(10)))

    class Modelled(MigrationTests):
        """One column is longer than the migrations make it."""

        metadata = models
        exclude = ("more", "*.more")

    tests, more = Modelled(), sql_migration("2", "more", "CREATE TABLE more (x INTEGER)")
    tests.migrator = Migrator(url, MemorySource([USERS, more]))

    with pytest.raises(
        AssertionError, match=r"the models differ(.|\n)*users\.name:\n    type: \S+ ?\S*\(9\) -> \S+ ?\S*\(10\)\Z"
    ):
        tests.test_models_match()
    with pytest.raises(SkipTest, match="there are no models to compare with"):
        over(url, USERS).test_models_match()


def test_each_step_is_looked_at_alone(url: URL) -> None:
    """What a second migration makes good again does not hide it."""
    one = sql_migration("1", "a", "CREATE TABLE a (x INTEGER)", "SELECT 1")
    two = sql_migration("2", "b", "CREATE TABLE b (x INTEGER)", "DROP TABLE b; DROP TABLE a")

    with pytest.raises(AssertionError, match=r"\A1_a down left(.|\n)*a is new"):
        over(url, one, two).test_it_is_reversible()


def test_what_was_tested_long_ago_is_passed_over(database: Database, url: URL) -> None:
    """And what has no way back as well."""

    class Later(MigrationTests):
        """The second one, and what is behind it."""

        since = "1"

    tests, wrong = Later(), sql_migration("1", "users", USERS.up.read(), "SELECT 1")
    tests.migrator = Migrator(url, MemorySource([wrong, *history(database)[1:]]))
    tests.test_it_is_reversible()

    tests.migrator = Migrator(url, MemorySource([USERS, history(database)[2]]))
    with pytest.raises(SkipTest, match="no migration has a way back"):
        tests.test_it_is_reversible()


def test_a_race_that_is_lost(sqlite: Database) -> None:
    """See test_checks_faults.py, where there are more."""
    from tests.test_checks_faults import InMemory

    tests = over(sqlite.url, USERS, ledger=InMemory())

    with pytest.raises(AssertionError, match=r"process \d of 8 failed"):
        tests.test_a_race_does_no_harm()


@pytest.mark.kinds("mariadb")
def test_a_statement_that_a_person_would_be_asked_about(url: URL) -> None:
    """Unless it is known."""

    class Known(MigrationTests):
        """It is."""

        known_doubts = ("2_empty",)

    class Unknown(MigrationTests):
        """It is not."""

    Known.since = Unknown.since = "1"
    known, unknown = Known(), Unknown()
    source = MemorySource([USERS, sql_migration("2", "empty", "TRUNCATE TABLE users")])
    known.migrator = unknown.migrator = Migrator(url, source)

    known.test_a_kill_does_no_harm()
    with pytest.raises(AssertionError, match=r"a person would be asked whether this has run: 2_empty up: .*TRUNCATE"):
        unknown.test_a_kill_does_no_harm()


def test_without_migrations_there_is_nothing_to_test(url: URL) -> None:
    """An empty source is no failure."""
    checked = check(lambda: over(url))

    assert checked.passed == ("test_the_history_is_valid",)
    assert {reason for _, reason in checked.skipped} == {"there are no migrations yet"}


def test_a_database_that_is_there_is_not_touched(database: Database) -> None:
    """Nor is one that is not the Migrator's."""
    databases.create(database.url)
    database.execute("CREATE TABLE mine (x INTEGER)")
    before = database.dump()

    for name in promises(MigrationTests) - {"test_the_history_is_valid"}:
        with pytest.raises(ConfigurationError, match=r"and it was not touched|not touched: it is"):
            getattr(over(database.url, USERS), name)()
        engine = MigrationTests()
        engine.migrator = Migrator(database.engine(), MemorySource([USERS]))
        with pytest.raises(ConfigurationError, match="give the Migrator a URL"):
            getattr(engine, name)()
    assert before == database.dump()


def test_what_must_be_overridden_says_so() -> None:
    """Without the plugin there is no Migrator."""
    with pytest.raises(NotImplementedError, match=r"override make\(\)"):
        MigrationTests().test_it_applies_from_zero()
