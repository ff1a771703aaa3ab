"""The tests that a project includes find what is wrong with its migrations, and leave nothing behind."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import SkipTest

import pytest
from sqlalchemy import Column, Index, Integer, MetaData, String, Table, make_url, text

from dbmigrate import ConfigurationError, Edited, MemorySource, Migrator, python_migration, sql_migration
from dbmigrate import database as databases
from dbmigrate.testing import MigrationTests, check
from dbmigrate.testing import kit as kits
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


@pytest.mark.usefixtures("kit_alone")
@pytest.mark.kinds("postgresql")
def test_a_server_that_ends_idle_sessions(url: URL, tmp_path: Path) -> None:
    """Tests may take longer than that, and the run is not taken for dead."""
    limited = url.update_query_dict({"options": "-c idle_session_timeout=300"})
    migrator = Migrator(limited, MemorySource([USERS]))
    kit, other = Kit(tmp_path / "a", "a"), Kit(tmp_path / "b", "b")
    own = kit.fresh(migrator)
    time.sleep(1)

    other.fresh(migrator)
    other.close()

    assert kit.fresh(migrator) == own
    kit.close()


@pytest.mark.usefixtures("kit_alone")
@pytest.mark.kinds("postgresql", "mariadb")
def test_one_that_begins_while_a_run_is_judged(url: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there before the locks were taken is not all that there is."""
    migrator = Migrator(url, MemorySource([USERS]))
    first, second = Kit(tmp_path / "a", "a", "gw0"), Kit(tmp_path / "a", "a", "gw1")
    other, look, looks = Kit(tmp_path / "b", "b"), kits._listed, list[int]()
    first.fresh(migrator)

    def look_and_pause(place: Any) -> Any:
        found = look(place)
        looks.append(len(found))
        if len(looks) == 2:  # the names of the run are known now, and the locks come next
            with monkeypatch.context() as undone:
                undone.setattr(kits, "_listed", look)
                second.fresh(migrator)
                first.close()
        return found

    monkeypatch.setattr(kits, "_listed", look_and_pause)
    other.fresh(migrator)
    monkeypatch.setattr(kits, "_listed", look)

    assert len(looks) >= 3
    second.fresh(migrator)
    for kit in (second, other):
        kit.close()


def test_names_of_processes_that_are_long(sqlite: Database, tmp_path: Path) -> None:
    """Two that begin alike are two, and so is one that is called as the template is."""
    url = sqlite.url.set(database=f"{sqlite.name}_tested")
    migrator = Migrator(url, MemorySource([USERS]))
    kits = [Kit(tmp_path / "a", "a", name) for name in ("linux-worker-12", "linux-worker-13", "template", "main")]

    urls = [kit.fresh(migrator) for kit in kits]
    kits[1].close()

    assert len({*urls}) == 4
    assert [databases.exists(found) for found in urls] == [True, False, True, True]
    assert kits[0].fresh(migrator) == urls[0]
    for kit in kits:
        kit.close()


def test_one_that_was_refused_drops_nothing(sqlite: Database, tmp_path: Path) -> None:
    """A second process by the name of one that lives."""
    migrator = Migrator(sqlite.url.set(database=f"{sqlite.name}_tested"), MemorySource([USERS]))
    kit, same = Kit(tmp_path / "a", "a", "gw0"), Kit(tmp_path / "a", "a", "gw0")
    own = kit.fresh(migrator)

    with pytest.raises(ConfigurationError, match="which this process did not make"):
        same.fresh(migrator)
    same.close()

    assert databases.exists(own)
    kit.close()


@pytest.mark.usefixtures("kit_alone")
def test_two_runs_may_have_one_folder(url: URL, tmp_path: Path) -> None:
    """What says that there is a template is of one run."""
    migrator = Migrator(url, MemorySource([USERS]))
    for run in ("one", "two"):
        kit = Kit(tmp_path / "a", run)
        assert kit.fresh(migrator) is not None
        kit.close()


def test_a_url_of_sqlite_that_is_a_uri(sqlite: Database, tmp_path: Path) -> None:
    """A copy is a file by its own name, and migrated."""
    url = make_url(f"sqlite:///file:{sqlite.name}?mode=rwc&uri=true")
    kit = Kit(tmp_path / "a", "a")

    own = kit.fresh(Migrator(url, MemorySource([USERS])))

    Migrator(own, MemorySource([USERS])).verify()
    kit.close()
    assert [path.name for path in (tmp_path / "a").iterdir() if "?" in path.name] == []


@pytest.mark.usefixtures("kit_alone")
@pytest.mark.kinds("mariadb")
@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM {}.users",
        "USE {}; CREATE TABLE audit (x INT)",
        "EXECUTE IMMEDIATE 'DELETE FROM {}.users'",
        "SET @s = 'DELETE FROM `{}`.users'; PREPARE p FROM @s; EXECUTE p",
    ],
)
def test_a_script_that_names_another_database_is_refused(database: Database, tmp_path: Path, sql: str) -> None:
    """It would write there, and a test is to touch only what was made for it."""
    database.execute("CREATE TABLE users (id INT)", "INSERT INTO users VALUES (1)")
    before = database.dump()
    source = MemorySource([USERS, sql_migration("2", "away", sql.format(database.name))])
    migrator = Migrator(database.url, source)
    kit = Kit(tmp_path / "kit", "a run")
    away = over(database.url.set(database=f"{database.name}_tested"), *source.migrations)

    with pytest.raises(ConfigurationError, match=r"2_away.up names another database(.|\n)*Nothing was run"):
        kit.fresh(migrator)
    kit.close()
    for test in (away.test_a_race_does_no_harm, away.test_a_kill_does_no_harm):
        with pytest.raises(ConfigurationError, match=r"2_away.up names another database"):
            test()

    assert database.dump() == before


@pytest.mark.usefixtures("kit_alone")
@pytest.mark.kinds("postgresql")
def test_what_another_user_left_is_no_obstacle(database: Database, tmp_path: Path) -> None:
    """It is left to that user's next run."""
    left, user = f"dbmigrate_kit_{'0' * 12}_main_{'0' * 8}", f"{database.name}_maker"
    database.execute(f"CREATE DATABASE {left}", f"CREATE ROLE {user} LOGIN CREATEDB")
    try:
        kit = Kit(tmp_path / "kit", "a run")
        kit.fresh(Migrator(database.url.set(username=user), MemorySource([USERS])))
        kit.close()
        assert databases.exists(database.url.set(database=left))
    finally:
        database.execute(f"DROP DATABASE {left}", f"DROP ROLE {user}")


@pytest.mark.usefixtures("kit_alone")
@pytest.mark.kinds("postgresql", "mariadb")
def test_a_run_that_makes_no_copy_sweeps_too(url: URL, tmp_path: Path) -> None:
    """A project may have no tests but those of its migrations."""
    migrator = Migrator(url, MemorySource([USERS]))
    killed, next_one = Kit(tmp_path / "a", "a"), Kit(tmp_path / "b", "b")
    left = killed.named(migrator).url
    databases.create(left)
    killed._stack.close()  # with its process its lock goes

    next_one.named(migrator)

    assert not databases.exists(left)
    next_one.close()


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
