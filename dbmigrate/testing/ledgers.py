"""The contract of a ledger."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from unittest import SkipTest

from sqlalchemy.engine import Engine

from dbmigrate.dialects import dialect_for
from dbmigrate.dialects.base import send
from dbmigrate.errors import LedgerConflict, MigrationFailed
from dbmigrate.ledger import Ledger
from dbmigrate.model import Migration, Record, Report
from dbmigrate.script import checksum
from dbmigrate.source import MemorySource, sql_migration
from dbmigrate.testing.bench import ROWS, Bench, at_once
from dbmigrate.testing.checks import named, require

#: How many race.
RACERS = 4


#: Records, and the versions that are applied behind each, in order of application.
_BACK_AND_FORTH = (
    *(("up 1", "1"), ("up 2", "12"), ("down 2", "1"), ("up 3", "13")),
    *(("up 2", "132"), ("down 1", "32"), ("up 4", "324"), ("up 1", "3241")),
)


class LedgerContract:
    """What every Ledger promises. Override `make` and `engine`, so that each test finds both empty.

    The tests make a table `contract_rows` beside the ledger, and go about it as a Migrator does: over a connection in
    autocommit, with BEGIN and COMMIT sent as statements.
    """

    def make(self) -> Ledger:
        """Return a ledger that holds nothing and has not been created; called once a test."""
        raise NotImplementedError("override make(): return a ledger that holds nothing")

    def engine(self) -> Engine:
        """Return an engine for an empty database, not in memory; called once a test, and disposed of behind it."""
        raise NotImplementedError("override engine(): return an engine for an empty database")

    # reading

    def test_reading_nothing_is_empty(self) -> None:
        """Where there is no ledger yet there are no records, and reading creates none."""
        with self._bench(create=False) as bench:
            before = bench.tables()
            for _ in range(2):
                require(not bench.records(), "read() must return nothing where there is no ledger yet")
            require(bench.tables() == before, f"read() must create nothing: {bench.tables()}, before {before}")

    def test_reading_leaves_the_transaction_alone(self) -> None:
        """The transaction that is open neither fails nor ends by it, whether there is a ledger or not."""
        with self._bench(create=False) as bench:
            for exists in ("is no ledger", "is a ledger"):
                before = bench.rows()
                with bench.engine.connect() as connection:
                    bench.insert(connection)
                    bench.ledger.read(connection)
                    bench.insert(connection)
                    connection.commit()
                require(bench.rows() == before + 2, f"read() must not roll back where there {exists}")
                with bench.engine.connect() as connection:
                    bench.insert(connection)
                    bench.ledger.read(connection)
                    connection.rollback()
                require(bench.rows() == before + 2, f"read() must not commit where there {exists}")
                bench.create()

    # creating

    def test_create_again(self) -> None:
        """It does nothing where there is a ledger, and keeps what is in it."""
        with self._bench() as bench:
            bench.create()
            bench.append("up 1")
            bench.create()
            bench.expect("1", because="create() must keep what is there")

    def test_create_at_once(self) -> None:
        """Several may, and each finds the ledger there; LedgerConflict means: try again."""
        with self._bench(create=False) as bench:
            for answer in at_once([bench.create] * RACERS):
                require(answer is None, f"create() must be safe when several create at once: {answer!r}")
            bench.append("up 1")
            bench.expect("1", because="several created it at once")

    def test_create_does_not_commit(self) -> None:
        """What else is in the transaction can still be taken back, where the database does not commit by itself."""
        with self._bench(create=False) as bench:
            if bench.transactional and not bench.dialect.transactional_ddl:
                raise SkipTest("this database commits when a table is created")
            before = bench.tables()
            with bench.transaction(commit=False) as connection:
                bench.insert(connection)
                bench.ledger.create(connection)
            require(not bench.rows(), "create() must not commit")
            require(bench.tables() == before, "what create() makes must go when its transaction is rolled back")

    # appending

    def test_records_come_back(self) -> None:
        """In order of seq; each field as it was, or None; a ledger without names may make them empty."""
        with self._bench() as bench:
            appended = [*bench.append("up 1"), *bench.append("up 2"), *bench.append("up 3")]
            records = bench.records()
            require(len(records) == len(appended), f"{len(appended)} were appended, and read() gives {len(records)}")
            for record, found in zip(appended, records, strict=True):
                for name in (field.name for field in fields(Record) if field.name != "down_sql"):
                    value, wanted = getattr(found, name), getattr(record, name)
                    right = value in (wanted, "" if name == "name" else None)
                    require(right, f"{name} of {record} was {wanted!r}, and read() gives {value!r}")
            bench.expect("1", "2", "3")

    def test_what_goes_back_is_not_applied(self) -> None:
        """What is applied now is what `up` and `down` leave, in order of application."""
        with self._bench() as bench:
            for what, applied in _BACK_AND_FORTH:
                bench.append(what)
                bench.expect(*applied, because=what)

    def test_a_baseline_is_applied(self) -> None:
        """Several records in one transaction."""
        with self._bench() as bench:
            bench.append("baseline 1", "baseline 2")
            bench.expect("1", "2")
            bench.append("up 3")
            bench.expect("1", "2", "3")

    def test_down_and_up_in_one_transaction(self) -> None:
        """As `redo` does; what comes next stands behind it."""
        with self._bench() as bench:
            bench.append("up 1", "up 2", "up 3")
            bench.append("down 3", "down 2", "up 2", "up 3")
            bench.expect("1", "2", "3")
            bench.append("up 4")
            bench.expect("1", "2", "3", "4")
            self._taken(bench)

    def test_a_step_that_is_no_transaction(self) -> None:
        """Its begin is kept until it is closed by `up`, `down` or `resolve_*`; or is refused by a LedgerError.

        A ledger outside the database must keep it, for there no step commits together with its record.
        """
        with self._bench() as bench:
            bench.append("up 1")
            for begin, end, applied in (
                *(("begin_up", "up", "12"), ("begin_down", "down", "1"), ("begin_up", "resolve_unapplied", "1")),
                *(("begin_up", "resolve_applied", "12"), ("begin_down", "resolve_applied", "12")),
                ("begin_down", "resolve_unapplied", "1"),
            ):
                before = bench.history()
                if not bench.is_kept(bench.next(begin, "2")):
                    require(bench.transactional, f"a ledger that is not in the database must keep {begin}")
                    require(bench.history() == before, f"{begin} was refused, and left something behind")
                    raise SkipTest(f"it keeps no {begin}, and says so")
                begun = bench.history().unfinished
                is_known = begun is not None and (begun.version, begun.action) == ("2", begin)
                require(is_known, f"{begin} must be read until it is closed, or be refused by a LedgerError")
                bench.append(f"{end} 2")
                bench.expect(*applied, because=f"{begin} and {end}")
                require(bench.history().unfinished is None, f"{end} must close {begin}")

    def test_an_edit_is_accepted(self) -> None:
        """The migration has the new checksum then, if it has one, and its place; or it is refused by a LedgerError."""
        with self._bench() as bench:
            bench.append("up 1", "up 2")
            edited = checksum(b"edited")
            if not bench.is_kept(bench.next("accept", "1", checksum=edited)):
                bench.expect("1", "2", because="accept was refused")
                raise SkipTest("it keeps no accept, and says so")
            bench.expect("1", "2", because="accept")
            found = bench.history().applied["1"].checksum
            require(found in (None, edited), f"accept must put {edited!r} in the place of the checksum {found!r}")

    def test_strange_names_are_kept(self) -> None:
        """Whatever a source may call a migration comes back exactly, or is refused by a LedgerError."""
        with self._bench() as bench:
            kept: list[str] = []
            for version in ("1", "01", "B", "b", "ä", 'it\'s 100 % "x" :y ? \\', "9" * 255):
                if bench.is_kept(bench.next("up", version, name=f"name of {version}"[:255])):
                    kept.append(version)
                found = list(bench.history().applied)
                require(found == kept, f"{version!r} must be kept or refused by a LedgerError: {found}, not {kept}")
            names = {record.version: record.name for record in bench.history().applied.values()}
            wrong = {v: name for v, name in names.items() if name not in ("", f"name of {v}"[:255])}
            require(not wrong, f"names must be kept, or refused by a LedgerError: {wrong}")

    def test_append_does_not_commit(self) -> None:
        """A rollback takes the record back with all else; but not one that is kept elsewhere."""
        with self._bench() as bench:
            with bench.transaction(commit=False) as connection:
                bench.insert(connection)
                bench.claim(connection, bench.next("up", "1"))
            require(not bench.rows(), "append() must not commit")
            bench.expect(*("" if bench.transactional else "1"), because="the transaction was rolled back")

    def test_append_does_not_roll_back(self) -> None:
        """What else is in the transaction is committed with it."""
        with self._bench() as bench:
            with bench.transaction() as connection:
                bench.insert(connection)
                bench.claim(connection, bench.next("up", "1"))
            require(bench.rows() == 1, "append() must not roll back")
            bench.expect("1")

    # the fence

    def test_a_seq_is_claimed_once(self) -> None:
        """The same record again, or another one with a seq that is taken, is a LedgerConflict and leaves nothing."""
        with self._bench() as bench:
            for what, applied in _BACK_AND_FORTH:
                (record,) = bench.append(what)
                bench.refuse(record)
                bench.expect(*applied, because=f"{what} was appended twice")
            self._taken(bench)

    def test_appends_at_once(self) -> None:
        """Of several that claim one seq at the same time exactly one does; the others get a LedgerConflict."""
        with self._bench() as bench:
            for turn in range(3):
                before = bench.history()
                rivals = [bench.next("up", str(turn * RACERS + i)) for i in range(RACERS)]
                answers = at_once([partial(bench.commit, rival) for rival in rivals])
                winners = [rival.version for rival, answer in zip(rivals, answers, strict=True) if answer is None]
                require(len(winners) == 1, f"{len(winners)} of {RACERS} could claim one seq: {answers}")
                others = [answer for answer in answers if not isinstance(answer, LedgerConflict | None)]
                require(not others, f"who comes second must get a LedgerConflict: {others}")
                bench.expect(*before.applied, *winners)

    def _taken(self, bench: Bench) -> None:
        """Every seq that is read is taken."""
        for record in bench.records():
            bench.refuse(replace(bench.next("up", "9"), seq=record.seq))

    # a Migrator over it

    def test_a_migrator_uses_it(self) -> None:
        """Every verb does what it does over a table of ours."""
        with self._bench() as bench:
            migrator = bench.migrator(_SOURCE)
            require(not migrator.status().applied, "status() of nothing: nothing is applied")
            require(len(migrator.upgrade().outcomes) == len(_SOURCE.load()), "upgrade() must apply everything")
            require(not migrator.upgrade(), "the second upgrade() must have nothing to do")
            verbs: list[tuple[str, Callable[[], object], str]] = [
                ("downgrade(steps=2)", lambda: migrator.downgrade(steps=2), "12"),
                ("goto('3')", lambda: migrator.goto("3"), "123"),
                ("redo(2)", lambda: migrator.redo(2), "123"),
                ("apply(plan())", lambda: migrator.apply(migrator.plan()), "1234"),
                ("downgrade(to='1')", lambda: migrator.downgrade(to="1"), "1"),
                ("downgrade(to='base')", lambda: migrator.downgrade(to="base"), ""),
            ]
            for what, call, applied in verbs:
                call()
                bench.expect(*applied, because=what)
                require(bench.rows() == len(applied), f"{what}: {bench.rows()} steps took effect, not {len(applied)}")

    def test_a_migrator_records_a_baseline(self) -> None:
        """On an empty ledger; nothing runs."""
        with self._bench() as bench:
            migrator = bench.migrator(_SOURCE)
            migrator.baseline("2", reason="it is there")
            bench.expect("1", "2", because="baseline('2')")
            migrator.upgrade()
            bench.expect(*"1234", because="upgrade() behind the baseline")
            require(bench.rows() == len("34"), "a baseline runs nothing, and upgrade() what is behind it")

    def test_a_failed_step_is_not_applied(self) -> None:
        """What was rolled back can run again when its script is corrected."""
        with self._bench() as bench:
            script = f"INSERT INTO {ROWS} VALUES (5); INSERT INTO contract_nowhere VALUES (5)"
            bad = MemorySource([*_SOURCE.migrations, sql_migration("5", "five", script)])
            try:
                bench.migrator(bad).upgrade()
            except MigrationFailed as error:
                require(error.rolled_back, f"the step must be rolled back: {error}")
            else:
                raise AssertionError("upgrade() must raise MigrationFailed")
            bench.expect(*"1234", because="a step that failed")
            bench.migrator(MemorySource([*_SOURCE.migrations, _step("5")])).upgrade()
            bench.expect(*"12345", because="the step when it was corrected")
            require(bench.rows() == len("12345"), "what failed must leave nothing")

    def test_migrators_at_once(self) -> None:
        """Each migration is applied by one of several, nobody fails, and all return current."""
        with self._bench() as bench:
            migrator = bench.migrator(_SOURCE)
            answers = at_once([migrator.upgrade] * RACERS)
            trouble = [named(answer) for answer in answers if isinstance(answer, Exception)]
            require(not trouble, f"of {RACERS} at once {len(trouble)} failed: {trouble[:1]}")
            outcomes = [outcome for answer in answers if isinstance(answer, Report) for outcome in answer.outcomes]
            ran = sorted(outcome.step.migration.version for outcome in outcomes)
            require(ran == list("1234"), f"of {RACERS} at once each migration is applied by one: {ran}")
            require(bench.rows() == len(ran), f"{bench.rows()} steps took effect, not {len(ran)}")
            migrator.verify()

    @contextmanager
    def _bench(self, *, create: bool = True) -> Generator[Bench]:
        engine = self.engine()
        try:
            bench = Bench(engine, self.make(), dialect_for(engine.url))
            with bench.transaction() as connection:
                send(connection, f"CREATE TABLE {ROWS} (x INTEGER)")
            if create:
                bench.create()
            yield bench
        finally:
            engine.dispose()


def _step(version: str) -> Migration:
    insert, delete = f"INSERT INTO {ROWS} VALUES ({version})", f"DELETE FROM {ROWS} WHERE x = {version}"
    return sql_migration(version, f"name{version}", insert, delete)


_SOURCE = MemorySource([_step(version) for version in "1234"])
