"""The contract suites find what is wrong: each of these sources and ledgers fails the test that is named beside it."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
import unittest
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
import sqlalchemy
from sqlalchemy import Column, MetaData, Table, text
from sqlalchemy.exc import DBAPIError

from dbmigrate import (
    LedgerConflict,
    LedgerError,
    MemorySource,
    MigrationError,
    Problem,
    Record,
    SourceError,
    sql_migration,
)
from dbmigrate.model import TextBody
from dbmigrate.script import checksum
from dbmigrate.testing import Checked, LedgerContract, SourceContract, check
from examples.json_ledger.json_ledger import JsonLedger
from examples.own_table_ledger.own_table_ledger import INSTALLED, OwnTable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from sqlalchemy import Connection

    from dbmigrate import Ledger, Migration, Source
    from tests.conftest import Database

ROOT = Path(__file__).parent.parent
GOOD = (
    sql_migration("1", "a", "CREATE TABLE a (x INTEGER)", "DROP TABLE a"),
    sql_migration("2", "b", "CREATE TABLE b (x INTEGER)"),
)


# Sources


@dataclass
class Changing:
    """A source as good as what it is given."""

    migrations: Sequence[Migration] = GOOD

    def load(self) -> Any:
        """Return the migrations."""
        return self.migrations


class Lazy(Changing):
    """It can be gone through once."""

    def load(self) -> Any:
        """Give one after the other."""
        return iter(self.migrations)


class Strangers(Changing):
    """These are no migrations."""

    def load(self) -> Any:
        """Return names."""
        return ["1_a.sql", "2_b.sql"]


class Unordered(Changing):
    """The order is another one each time, as that of a set can be."""

    def load(self) -> Sequence[Migration]:
        """Turn the order round."""
        self.migrations = self.migrations[::-1]
        return self.migrations


class Connecting(Changing):
    """It looks into a database."""

    def load(self) -> Sequence[Migration]:
        """Connect."""
        engine = sqlalchemy.create_engine("sqlite://")
        with engine.connect():
            pass
        engine.dispose()
        return self.migrations


class Raising(Changing):
    """It raises what is not documented."""

    def load(self) -> Sequence[Migration]:
        """Fail."""
        raise FileNotFoundError("no such archive")


class Bytes(TextBody):
    """A script that was not decoded."""

    def read(self) -> str:
        """Return bytes."""
        return self.text.encode()  # type: ignore[return-value]


def changed(**values: object) -> Source:
    """Return a source whose first up script has other values."""
    body = {"origin": "1_a", "checksum": checksum(b"SELECT 1"), "text": "SELECT 1", "transaction": True} | values
    return Changing((replace(GOOD[0], up=TextBody(**body)), GOOD[1]))  # type: ignore[arg-type]


SOURCES: dict[str, tuple[Callable[[], Source], str]] = {
    "lazy": (Lazy, "test_load_returns_migrations"),
    "strangers": (Strangers, "test_load_returns_migrations"),
    "one": (lambda: Changing(GOOD[:1]), "test_load_returns_migrations"),
    "unordered": (Unordered, "test_loading_again_is_the_same"),
    "unordered for a migrator": (Unordered, "test_a_migrator_lists_them"),
    "twice": (lambda: Changing(GOOD + GOOD[:1]), "test_versions_and_names_can_be_kept"),
    "no version": (lambda: Changing((replace(GOOD[0], version=""), GOOD[1])), "test_versions_and_names_can_be_kept"),
    "line end": (lambda: Changing((replace(GOOD[0], name="a\nb"), GOOD[1])), "test_versions_and_names_can_be_kept"),
    "bytes": (lambda: Changing((replace(GOOD[0], up=Bytes("1_a", "x", "y")), GOOD[1])), "test_scripts_are_text"),
    "NUL": (lambda: changed(text="SELECT '\0'"), "test_scripts_are_text"),
    "other text": (lambda: changed(text="SELECT 2"), "test_checksums_are_those_of_the_text"),
    "no checksum": (lambda: changed(checksum=None), "test_checksums_are_those_of_the_text"),
    "no tag": (lambda: changed(checksum=checksum(b"SELECT 1")[7:]), "test_checksums_are_those_of_the_text"),
    "no origin": (lambda: changed(origin=""), "test_scripts_say_what_they_are"),
    "no bool": (lambda: changed(transaction=None), "test_scripts_say_what_they_are"),
    "connecting": (Connecting, "test_no_database_is_touched"),
    "raising": (Raising, "test_what_is_wrong_is_a_source_error"),
    "silent": (Changing, "test_what_is_wrong_is_a_source_error"),
}


def promises(contract: type) -> set[str]:
    """Return the names of the tests of a contract."""
    return {name for name in vars(contract) if name.startswith("test_")}


@pytest.mark.parametrize("what", SOURCES)
def test_a_broken_source_is_caught(what: str) -> None:
    """With a message that says what is wrong."""
    make, name = SOURCES[what]

    class Broken(SourceContract):
        """The contract over it."""

        def make(self) -> Source:
            return make()

        make_broken = make

    with pytest.raises(AssertionError, match=r"\w+ \w+"):
        getattr(Broken(), name)()


def test_every_promise_of_a_source_is_broken_once() -> None:
    """The table above leaves no test out."""
    assert {name for _, name in SOURCES.values()} == promises(SourceContract)


# Ledgers


class Eager(OwnTable):
    """Reading creates it."""

    def read(self, connection: Connection) -> Sequence[Record]:
        """Create and read."""
        self.create(connection)
        connection.commit()
        return super().read(connection)


class ReadCommits(OwnTable):
    """Reading ends the transaction."""

    def read(self, connection: Connection) -> Sequence[Record]:
        """Read and commit."""
        records = super().read(connection)
        connection.commit()
        return records


class ReadRollsBack(OwnTable):
    """Reading ends the transaction in the other way."""

    def read(self, connection: Connection) -> Sequence[Record]:
        """Roll back and read."""
        connection.rollback()
        return super().read(connection)


class ReadSpoils(OwnTable):
    """An error aborts the transaction, in PostgreSQL."""

    def read(self, connection: Connection) -> Sequence[Record]:
        """Try."""
        try:
            rows = connection.execute(text("SELECT place, version, name FROM installed ORDER BY place")).all()
        except DBAPIError:
            return []
        return [Record(place, version, name, "up") for place, version, name in rows]


class Backwards(OwnTable):
    """The newest first."""

    def read(self, connection: Connection) -> Sequence[Record]:
        """Turn them round."""
        return super().read(connection)[::-1]


class Numbered(OwnTable):
    """The seq of a record is not what it was appended with."""

    def read(self, connection: Connection) -> Sequence[Record]:
        """Count."""
        return [replace(record, seq=seq) for seq, record in enumerate(super().read(connection), 1)]


class ByVersion(OwnTable):
    """The order is not that of application."""

    def read(self, connection: Connection) -> Sequence[Record]:
        """Sort."""
        records = super().read(connection)
        versions = sorted(records, key=lambda record: record.version)
        return [replace(about, seq=record.seq) for record, about in zip(records, versions, strict=True)]


class Renaming(OwnTable):
    """Names are not what they were."""

    def read(self, connection: Connection) -> Sequence[Record]:
        """Change them."""
        return [replace(record, name=record.name.upper()) for record in super().read(connection)]


class Cached(OwnTable):
    """What was read first is read for ever."""

    known: ClassVar[list[Sequence[Record]]] = []

    def read(self, connection: Connection) -> Sequence[Record]:
        """Remember."""
        if not self.known:
            self.known.append(super().read(connection))
        return self.known[0]


class CreatedOnce(OwnTable):
    """It cannot be created where it is."""

    def create(self, connection: Connection) -> None:
        """Create."""
        self.table.create(connection, checkfirst=False)


class CreatedAnew(OwnTable):
    """What was there is lost."""

    def create(self, connection: Connection) -> None:
        """Drop and create."""
        self.table.drop(connection, checkfirst=True)
        super().create(connection)


class LookThenCreate(OwnTable):
    """Somebody else comes in between."""

    def create(self, connection: Connection) -> None:
        """Look, and create."""
        if not sqlalchemy.inspect(connection).has_table(self.table.name):
            time.sleep(0.1)
            self.table.create(connection, checkfirst=False)


class CreateCommits(OwnTable):
    """The transaction ends with it."""

    def create(self, connection: Connection) -> None:
        """Create and commit."""
        super().create(connection)
        connection.commit()


class AppendCommits(OwnTable):
    """The transaction ends with it."""

    def append(self, connection: Connection, record: Record) -> None:
        """Append and commit."""
        super().append(connection, record)
        connection.commit()


class AppendRollsBack(OwnTable):
    """The transaction begins anew."""

    def append(self, connection: Connection, record: Record) -> None:
        """Roll back and append."""
        connection.rollback()
        super().append(connection, record)


class Forgetful(OwnTable):
    """What it has no place for is gone without a word."""

    forgotten: ClassVar[tuple[str, ...]] = ()

    def append(self, connection: Connection, record: Record) -> None:
        """Append some."""
        if record.action not in self.forgotten:
            super().append(connection, record)


class NoDown(Forgetful):
    """Nothing ever goes back."""

    forgotten = ("down",)


class NoBaseline(Forgetful):
    """A baseline is lost."""

    forgotten = ("baseline",)


class NoBegin(Forgetful):
    """The begin of a step is lost."""

    forgotten = ("begin_up", "begin_down")


class NoAccept(Forgetful):
    """An accepted edit is lost."""

    forgotten = ("accept",)


class Picky(OwnTable):
    """What it cannot keep is another error."""

    def append(self, connection: Connection, record: Record) -> None:
        """Append some."""
        if record.action not in ("up", "down", "baseline"):
            raise ValueError(record.action)
        super().append(connection, record)


class Short(OwnTable):
    """Long versions are cut."""

    def append(self, connection: Connection, record: Record) -> None:
        """Cut."""
        super().append(connection, replace(record, version=record.version[:100]))


class Lowered(OwnTable):
    """Two versions are one."""

    def append(self, connection: Connection, record: Record) -> None:
        """Lower."""
        super().append(connection, replace(record, version=record.version.lower()))


class DriversError(OwnTable):
    """A place that is taken is the driver's error."""

    def append(self, connection: Connection, record: Record) -> None:
        """Do not look before."""
        self._append(connection, record)


class PlainError(OwnTable):
    """A place that is taken is any error of a ledger."""

    def append(self, connection: Connection, record: Record) -> None:
        """Give the conflict another name."""
        try:
            super().append(connection, record)
        except LedgerConflict as error:
            raise LedgerError(str(error)) from error


LOOSE = Table(INSTALLED.name, MetaData(), *(Column(column.name, column.type) for column in INSTALLED.columns))


class NoKey(OwnTable):
    """It looks whether a place is taken, and nothing keeps two from doing so at once."""


class Overwriting(JsonLedger):
    """The last one wins."""

    def append(self, connection: Connection, record: Record) -> None:  # noqa: ARG002
        """Write."""
        (self.folder / f"{record.seq:06}.json").write_text(json.dumps(record.to_dict()))


class Torn(JsonLedger):
    """Others can read half of a record."""

    def append(self, connection: Connection, record: Record) -> None:  # noqa: ARG002
        """Take the name, then write."""
        try:
            with (self.folder / f"{record.seq:06}.json").open("x") as file:
                time.sleep(0.02)
                json.dump(record.to_dict(), file)
        except FileExistsError as error:
            raise LedgerConflict(f"{record.seq} is taken") from error


class Pretending(JsonLedger):
    """It is not in the database, and says that it is."""

    transactional = True


class NeverBegun(JsonLedger):
    """It is not in the database, and keeps no begin of a step."""

    def append(self, connection: Connection, record: Record) -> None:
        """Refuse."""
        if record.action.startswith("begin"):
            raise LedgerError(f"no place for {record.action}")
        super().append(connection, record)


class NeverResolved(JsonLedger):
    """What failed stays as it is."""

    def append(self, connection: Connection, record: Record) -> None:
        """Forget."""
        if not record.action.startswith("resolve"):
            super().append(connection, record)


LEDGERS: dict[type[OwnTable | JsonLedger], tuple[str, ...]] = {
    Eager: ("test_reading_nothing_is_empty",),
    ReadCommits: ("test_reading_leaves_the_transaction_alone",),
    ReadRollsBack: ("test_reading_leaves_the_transaction_alone",),
    ReadSpoils: ("test_reading_leaves_the_transaction_alone",),
    CreatedOnce: ("test_create_again",),
    CreatedAnew: ("test_create_again",),
    LookThenCreate: ("test_create_at_once",),
    CreateCommits: ("test_create_does_not_commit",),
    Backwards: ("test_records_come_back",),
    Renaming: ("test_records_come_back", "test_strange_names_are_kept"),
    ByVersion: ("test_what_goes_back_is_not_applied",),
    NoDown: ("test_what_goes_back_is_not_applied", "test_a_migrator_uses_it"),
    NoBaseline: ("test_a_baseline_is_applied", "test_a_migrator_records_a_baseline"),
    Numbered: ("test_down_and_up_in_one_transaction",),
    NoBegin: ("test_a_step_that_is_no_transaction",),
    Picky: ("test_a_step_that_is_no_transaction", "test_an_edit_is_accepted"),
    NeverBegun: ("test_a_step_that_is_no_transaction",),
    NoAccept: ("test_an_edit_is_accepted",),
    Short: ("test_strange_names_are_kept",),
    Lowered: ("test_strange_names_are_kept",),
    AppendCommits: ("test_append_does_not_commit",),
    Pretending: ("test_append_does_not_commit",),
    AppendRollsBack: ("test_append_does_not_roll_back",),
    DriversError: ("test_appends_at_once",),
    PlainError: ("test_a_seq_is_claimed_once",),
    NoKey: ("test_appends_at_once",),
    Overwriting: ("test_a_seq_is_claimed_once", "test_appends_at_once"),
    Cached: ("test_a_migrator_uses_it",),
    NeverResolved: ("test_a_failed_step_is_not_applied",),
    Torn: ("test_migrators_at_once",),
}
#: On SQLite one writes at a time, and an error leaves its transaction as it was.
ON_POSTGRESQL = (ReadSpoils, LookThenCreate, DriversError, NoKey)


class Over(LedgerContract):
    """The contract of a ledger, over one that is given."""

    def __init__(self, ledger: Ledger, engine: Callable[[], sqlalchemy.Engine]) -> None:
        """Take what its methods return."""
        self._ledger, self._engine = ledger, engine

    def make(self) -> Ledger:
        """Return it."""
        return self._ledger

    def engine(self) -> sqlalchemy.Engine:
        """Return an engine."""
        return self._engine()


@pytest.fixture
def forget() -> Generator[None]:
    """Empty what is kept in a class."""
    yield
    Cached.known.clear()


@pytest.mark.usefixtures("forget")
@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, names in LEDGERS.items() for name in names],
    ids=lambda v: getattr(v, "__name__", v),
)
def test_a_broken_ledger_is_caught(
    request: pytest.FixtureRequest, kind: type[OwnTable | JsonLedger], name: str, tmp_path: Path
) -> None:
    """By a message of the contract, or of the Migrator that uses it."""
    database: Database = request.getfixturevalue("postgresql" if kind in ON_POSTGRESQL else "sqlite")
    ledger = kind(tmp_path / "ledger") if issubclass(kind, JsonLedger) else kind(LOOSE if kind is NoKey else INSTALLED)

    def run() -> None:
        for _ in range(50 if kind is NoKey else 1):  # a race is lost now and then only
            getattr(Over(ledger, database.engine), name)()

    with pytest.raises((AssertionError, MigrationError), match=r"\w+ \w+"):
        run()


def test_every_promise_of_a_ledger_is_broken_once() -> None:
    """The table above leaves no test out."""
    assert {name for names in LEDGERS.values() for name in names} == promises(LedgerContract)


# Whatever runs them


class Good(SourceContract):
    """A source that is right."""

    def make(self) -> Source:
        """Return it."""
        return MemorySource(GOOD)


def test_check_reports() -> None:
    """What passed, and what there was nothing to test with."""
    checked = check(Good)

    assert isinstance(checked, Checked)
    assert {*checked.passed, "test_what_is_wrong_is_a_source_error"} == promises(SourceContract)
    assert checked.skipped == (
        ("test_what_is_wrong_is_a_source_error", "no source that is wrong: override make_broken()"),
    )


def test_check_raises_everything_that_failed() -> None:
    """Each with the name of its test."""

    class Bad(Good):
        def make(self) -> Source:
            return changed(origin="", checksum="no")

    with pytest.raises(ExceptionGroup, match="2 of 8 tests of a contract failed") as caught:
        check(Bad)

    assert [error.__notes__ for error in caught.value.exceptions] == [
        ["in test_checksums_are_those_of_the_text"],
        ["in test_scripts_say_what_they_are"],
    ]


def test_what_must_be_overridden_says_so() -> None:
    """A contract that was not filled in passes nothing."""
    with pytest.raises(ExceptionGroup) as caught:
        check(SourceContract)
    assert "override make()" in str(caught.value.exceptions[0])
    with pytest.raises(ExceptionGroup) as caught:
        check(LedgerContract)
    assert len(caught.value.exceptions) == len(promises(LedgerContract))


def test_check_of_a_ledger(sqlite: Database, tmp_path: Path) -> None:
    """A function can make the contract: each test has a database of its own."""
    places = (tmp_path / str(number) for number in range(100))

    def make() -> Over:
        place = next(places)
        place.mkdir()
        engine = sqlalchemy.create_engine(f"sqlite:///{place / 'app.db'}")
        return Over(JsonLedger(place / "ledger"), lambda: engine)

    assert set(check(make).passed) == promises(LedgerContract)


def test_unittest_runs_them() -> None:
    """Mixed with a TestCase; a skip is a skip."""

    class Mixed(Good, unittest.TestCase):
        """A contract that unittest runs."""

    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Mixed)
    result = unittest.TextTestRunner(io.StringIO()).run(suite)

    assert result.wasSuccessful()
    assert (result.testsRun, len(result.skipped)) == (len(promises(SourceContract)), 1)


def test_they_need_no_framework_and_no_assert() -> None:
    """Importing loads no pytest, and `python -O` switches nothing off."""
    code = """if True:
        import sys
        from dbmigrate import MemorySource, sql_migration
        from dbmigrate.testing import SourceContract, check
        class Alone(SourceContract):
            def make(self):
                return MemorySource([sql_migration("1", "a", "SELECT 1", "SELECT 1")])
        try:
            check(Alone)
        except ExceptionGroup as group:
            print(__debug__, "pytest" in sys.modules, *group.exceptions)
    """
    run = subprocess.run([sys.executable, "-O", "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert run.stdout == "False False make() must return a source of at least two migrations\n"


def test_a_source_error_without_a_reason_is_caught() -> None:
    """A problem that says nothing helps nobody."""

    class Silent(Good):
        def make_broken(self) -> Source:
            class Nothing(Changing):
                def load(self) -> Sequence[Migration]:
                    raise SourceError([Problem("", None, "")])

            return Nothing()

    with pytest.raises(AssertionError, match="needs an origin and a reason"):
        Silent().test_what_is_wrong_is_a_source_error()
