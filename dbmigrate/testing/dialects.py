"""The contract of a dialect."""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from unittest import SkipTest

import sqlalchemy
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError

from dbmigrate.dialects import Dialect
from dbmigrate.dialects.base import scalar, send
from dbmigrate.errors import ConfigurationError, MigrationError
from dbmigrate.ledger import TableLedger
from dbmigrate.model import Report
from dbmigrate.scanner import ScriptError, statements
from dbmigrate.schema import snapshot
from dbmigrate.source import MemorySource, sql_migration
from dbmigrate.testing.bench import ROWS, at_once
from dbmigrate.testing.checks import named, require
from dbmigrate.testing.place import PATIENCE, Place, soon

#: What quotes, comments and parameters are made of, as the values of strings.
_TEXTS = ("a;b", "it's", "-- no", "/* no", "*/", "# no", "100 % %s %%", ":x ? $1 {y}", '"', "`", "ä 🐍", "[", "$$;$$")
_NAMES = ("order", "two words", "Mixed", "a.b", "per % cent", ":x", "it's", 'a "b"', "a`b", "semi;colon", "ключ")
_SOURCE = MemorySource(
    [
        sql_migration(version, f"step{version}", f"INSERT INTO {ROWS} VALUES ({version})", f"DELETE FROM {ROWS}")
        for version in "123"
    ]
)


class DialectContract:
    """What every Dialect promises of its database. Override `make` and `engine`, so that each test finds it empty.

    The tests go about it as a Migrator does. What only some databases have (sessions that can be told apart, limits, a
    catalogue) is tested where the dialect says that it is there. Not tested: what a database does when its server
    fails, what is said of single statements (`traits`, `effect`, `look`), poolers, and the creation of databases.
    """

    def make(self) -> Dialect:
        """Return the dialect; called once a test."""
        raise NotImplementedError("override make(): return the dialect")

    def engine(self) -> Engine:
        """Return an engine for an empty database, not in memory; called once a test, and disposed of behind it."""
        raise NotImplementedError("override engine(): return an engine for an empty database")

    # the lock

    def test_the_lock_keeps_others_out(self) -> None:
        """One session has it; nobody waits for it; when it is given back, another one can have it."""
        with self._place() as place, place.session() as one, place.session() as other:
            for turn in ("at first", "when it was given back"):
                require(place.lock(one), f"the lock must be had {turn}")
                began = monotonic()
                require(not place.lock(other), "the lock must be had by one session only")
                require(monotonic() - began < PATIENCE, "who does not get the lock must not wait for it")
                require(place.dialect.has_lock(one, place.key), "has_lock() must be true of who has the lock")
                place.unlock(one)
            require(place.lock(other), "the lock must be had by another session when it was given back")
            place.unlock(other)

    def test_the_lock_ends_with_its_session(self) -> None:
        """However that ends: a process that is killed gives nothing back."""
        with self._place() as place:
            with place.session() as one:
                require(place.lock(one), "the lock must be had")
                one.invalidate()
            with place.session() as other:
                require(soon(lambda: place.lock(other)), "the lock must be free when the session has ended that had it")
                place.unlock(other)

    def test_the_lock_outlives_transactions(self) -> None:
        """COMMIT and ROLLBACK do not give it back, and nor does DDL; where BEGIN is the lock they do."""
        with self._place() as place, place.session() as one, place.session() as other:
            if place.dialect.begin_is_the_lock:
                raise SkipTest("BEGIN is the lock")
            place.lock(one)
            for end in (place.dialect.commit, place.dialect.rollback):
                place.begin(one)
                place.insert(one)
                end(one)
                require(not place.lock(other), f"{end.__name__}() must not give the lock back")
            send(one, "CREATE TABLE contract_more (x INTEGER)")
            require(not place.lock(other), "DDL must not give the lock back")
            place.unlock(one)

    def test_each_ledger_has_a_lock_of_its_own(self) -> None:
        """The same for everybody who means that ledger."""
        with self._place() as place, place.session() as one, place.session() as other:
            if place.dialect.begin_is_the_lock:
                raise SkipTest("BEGIN is the lock")
            keys = [self.make().lock_key(*where) for where in (("a", "x"), ("a", "y"), ("b", "x"), ("a", "x"))]
            require(keys[0] == keys[3], f"one ledger must have one lock: {keys[0]!r}, and {keys[3]!r}")
            require(len(set(keys)) == len(keys) - 1, f"two ledgers must not have the same lock: {keys}")
            require(place.dialect.try_lock(one, keys[0]), "the lock must be had")
            require(place.dialect.try_lock(other, keys[1]), "the lock of one ledger must not be that of another")
            for session, key in ((one, keys[0]), (other, keys[1])):
                place.dialect.unlock(session, key)

    # transactions

    def test_each_statement_commits_by_itself(self) -> None:
        """Where no transaction was begun: a waiter must not hold one."""
        with self._place() as place, place.session() as one:
            place.insert(one)
            require(place.rows() == 1, "in a session a statement without BEGIN must commit by itself")

    def test_commit_commits(self) -> None:
        """What was written since `begin`, and not earlier than that."""
        with self._place() as place, place.session() as one:
            place.begin(one)
            place.insert(one)
            require(place.rows() == 0, "behind begin() nothing must be committed before commit()")
            require(soon(lambda: place.dialect.commit(one)), "commit() said that the database is busy")
            require(place.rows() == 1, "commit() must commit")

    def test_rollback_rolls_back(self) -> None:
        """All that was written since `begin`; and it does no harm where nothing is open."""
        with self._place() as place, place.session() as one:
            place.begin(one)
            place.insert(one)
            place.dialect.rollback(one)
            place.dialect.rollback(one)
            require(place.rows() == 0, "rollback() must take back what was written")
            place.insert(one)
            require(place.rows() == 1, "behind rollback() a statement must commit by itself")

    def test_transactional_ddl_is_the_truth(self) -> None:
        """CREATE TABLE is gone behind a rollback, or it is not: how a step is recorded depends on it."""
        with self._place() as place, place.session() as one:
            place.begin(one)
            send(one, "CREATE TABLE contract_more (x INTEGER)")
            place.dialect.rollback(one)
            is_gone = not place.has("contract_more")
            says = f"transactional_ddl is {place.dialect.transactional_ddl}, and behind a rollback"
            require(is_gone == place.dialect.transactional_ddl, f"{says} the table is {'gone' if is_gone else 'there'}")

    def test_in_transaction_is_true_while_it_is_open(self) -> None:
        """Or steps would be refused that ended nothing; that it is over need not be known."""
        with self._place() as place, place.session() as one:
            place.begin(one)
            place.insert(one)
            require(place.dialect.in_transaction(one), "in_transaction() must be true while a transaction is open")
            place.dialect.rollback(one)

    # text

    def test_names_are_quoted(self) -> None:
        """Whatever is in them, the database means the very same."""
        with self._place() as place, place.session() as one:
            for name in _NAMES:
                quoted = place.dialect.quoted(name)
                error = _refused(one, f"CREATE TABLE {quoted} (x INTEGER)")
                require(error is None, f"quoted({name!r}) is {quoted}, which is no name: {error and error.orig}")
                require(place.has(name), f"quoted({name!r}) is {quoted}, which means another name")

    def test_statements_are_cut_as_the_server_reads_them(self) -> None:
        """Strings, names and comments with a semicolon in them, and backslashes, mean the same to both."""
        with self._place() as place, place.session() as one:
            send(one, "CREATE TABLE contract_texts (x VARCHAR(100))")
            escapes = len(str(scalar(one, r"SELECT '\\'"))) == 1
            texts, backslash = [*_TEXTS, "\\", "\\;"], "\\\\" if escapes else "\\"
            strings = ["'" + text.replace("'", "''").replace("\\", backslash) + "'" for text in texts]
            if escapes:
                texts, strings = [*texts, "a'; b"], [*strings, r"'a\'; b'"]
            name = place.dialect.quoted("a;b")
            script = [f"INSERT INTO contract_texts VALUES ({string})" for string in strings]
            script += [f"-- a comment; of one line\nSELECT 1 AS {name}", "/* a comment;\n of two */ SELECT 1"]
            try:
                found = [statement.text for statement in statements(";\n".join(script), place.dialect.grammar)]
                for sql in found:
                    send(one, sql).close()
            except (ScriptError, DBAPIError) as error:
                raise AssertionError(f"the grammar does not cut a script as the server reads it: {error}") from error
            require(len(found) == len(script), f"{len(script)} statements were cut into {len(found)}: {found}")
            kept = {str(text) for (text,) in send(one, "SELECT x FROM contract_texts")}
            require(kept == set(texts), f"what was cut wrote {kept - set(texts)}, not {set(texts) - kept}")

    def test_times_and_texts_come_back(self) -> None:
        """From the ledger: to the microsecond, each character, and as long as a script can be."""
        with self._place(rows=False) as place:
            bench = place.bench()
            bench.create()
            moment = datetime(2026, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)
            said = "\n".join(["it's 100 % %s :x ? \\ \\n", "ä 🐍", *_TEXTS, " " * 3]) * 1000
            record = bench.next("up", "ä '% \\ 🐍", started_at=moment, finished_at=moment, reason=said, down_sql=None)
            bench.commit(record)
            try:
                (found,) = bench.records()
            except (TypeError, ValueError) as error:
                raise AssertionError(f"a record of the ledger cannot be read: {named(error)}") from error
            for what in ("version", "name", "started_at", "finished_at", "reason"):
                value, wanted = getattr(found, what), getattr(record, what)
                require(value == wanted, f"{what} was {str(wanted)[:100]!r}, and is read as {str(value)[:100]!r}")

    # what it knows

    def test_sessions_are_told_apart(self) -> None:
        """The id of a session is nobody else's, and it is alive until it has ended."""
        with self._place() as place, place.session() as watcher:
            with place.session() as one, place.session() as other:
                ids = [place.dialect.session_id(session) for session in (one, other, one)]
                if ids == [None] * 3:
                    raise SkipTest("sessions are not told apart, and it says so")
                require(None not in ids, f"a session must have an id if any has one: {ids}")
                require(ids[0] == ids[2] != ids[1], f"a session must have one id, of its own: {ids}")
                alive = [place.dialect.is_alive(watcher, str(session)) for session in ids[:2]]
                require(all(alive), "is_alive() must be true of a session that is open")
            dead = partial(place.dialect.is_alive, watcher, str(ids[0]))
            require(soon(lambda: not dead()), "is_alive() must not be true of a session that has ended")

    def test_errors_are_told_apart(self) -> None:
        """A table that is missing, a key that is taken, and what is neither; each has a message."""
        with self._place() as place, place.session() as one:
            send(one, "CREATE TABLE contract_keys (x INTEGER NOT NULL PRIMARY KEY)")
            send(one, "INSERT INTO contract_keys VALUES (1)")
            errors = {
                "missing": _refused(one, "SELECT * FROM contract_nowhere"),
                "taken": _refused(one, "INSERT INTO contract_keys VALUES (1)"),
                "wrong": _refused(one, "SELEKT 1"),
            }
            found = {what: error for what, error in errors.items() if error is not None}
            require(len(found) == len(errors), f"of three statements that must fail only these did: {[*found]}")
            for is_it, name in ((place.dialect.is_missing_table, "missing"), (place.dialect.is_conflict, "taken")):
                said = {what: is_it(error) for what, error in found.items()}
                wanted = {what: what == name for what in found}
                require(said == wanted, f"{is_it.__name__}() says {said}, and {wanted} is true")
            transient = [what for what, error in found.items() if place.dialect.is_transient(error)]
            require(not transient, f"is_transient() must not be true of what fails again each time: {transient}")
            silent = [what for what, error in found.items() if not place.dialect.message(error).strip()]
            require(not silent, f"message() must not be empty: {silent}")

    def test_a_lock_timeout_is_kept(self) -> None:
        """Whoever waits for a row longer than that gets an error, which is transient."""
        with self._place() as place, place.session() as one, place.session() as other:
            if "lock_timeout" not in place.dialect.limits:
                raise SkipTest("it has no lock_timeout, and says so")
            place.insert(one)
            for sql in place.dialect.limit(other, "lock_timeout", 1.0):
                send(other, sql)
            place.begin(one)
            send(one, f"UPDATE {ROWS} SET x = 2")
            relief = threading.Timer(PATIENCE, place.dialect.rollback, [one])  # or it could be waited for without end
            relief.start()
            try:
                error = _refused(other, f"UPDATE {ROWS} SET x = 3")
            finally:
                relief.cancel()
                relief.join()
            place.dialect.rollback(one)
            if error is None:
                raise AssertionError("a statement must fail that waits for longer than lock_timeout")
            require(place.dialect.is_transient(error), f"is_transient() must be true of it: {error.orig}")

    def test_the_catalogue_tells_of_changes(self) -> None:
        """What a migration makes is seen in it, and is not seen any more when it is gone."""
        with self._place() as place, place.session() as one:
            try:
                before = snapshot(one, dialect=place.dialect)
            except ConfigurationError as error:
                raise SkipTest(str(error)) from error
            require(place.dialect.family, "a dialect with a catalogue must have a family")
            seen = [before]
            for sql in ("CREATE TABLE contract_more (x INTEGER)", "ALTER TABLE contract_more ADD COLUMN y INTEGER"):
                send(one, sql)
                seen.append(snapshot(one, dialect=place.dialect))
            require(seen[0] != seen[1] != seen[2], "catalogue() must tell of a table, and of a column, that is new")
            send(one, "DROP TABLE contract_more")
            require(snapshot(one, dialect=place.dialect) == before, "catalogue() must not tell of what is gone")

    # a Migrator over it

    def test_a_migrator_uses_it(self) -> None:
        """Up, down and up, with the ledger where the dialect says; a step that fails is not applied."""
        with self._place() as place:
            migrator = place.migrator(_SOURCE)
            migrator.upgrade()
            require(place.rows() == len(_SOURCE.load()), "upgrade() must run each step")
            with place.engine.connect() as connection:
                home = place.dialect.default_home or place.dialect.home(connection, TableLedger().table)
                is_there = sqlalchemy.inspect(connection).has_table(TableLedger().table, home)
            require(is_there, f"the ledger is said to be in {home!r}, and it was not created there")
            migrator.downgrade(to="base")
            require(place.rows() == 0, "downgrade() must run each step")
            bad = sql_migration("9", "bad", f"INSERT INTO {ROWS} VALUES (9); INSERT INTO contract_nowhere VALUES (9)")
            failing = place.migrator(MemorySource([*_SOURCE.migrations, bad]))
            try:
                failing.upgrade()
            except MigrationError as error:
                applied = [entry.version for entry in failing.status().entries if entry.state == "applied"]
                require(applied == list("123"), f"behind {named(error)} there is applied: {applied}")
                require(place.rows() == len(applied), f"what failed must leave nothing behind {named(error)}")
            else:
                raise AssertionError("upgrade() must fail with a step that fails")

    def test_migrators_at_once(self) -> None:
        """Of several each migration is applied by one, nobody fails, and all return current."""
        with self._place() as place:
            migrator = place.migrator(_SOURCE)
            answers = at_once([migrator.upgrade] * 4)
            trouble = [named(answer) for answer in answers if isinstance(answer, Exception)]
            require(not trouble, f"of 4 at once {len(trouble)} failed: {trouble[:1]}")
            ran = [str(o.step) for answer in answers if isinstance(answer, Report) for o in answer.outcomes]
            require(sorted(ran) == sorted(set(ran)), f"a migration was applied by more than one: {ran}")
            require(place.rows() == len(_SOURCE.load()), f"{place.rows()} steps took effect")

    @contextmanager
    def _place(self, *, rows: bool = True) -> Generator[Place]:
        engine = self.engine()
        try:
            place = Place(engine, self.make())
            if rows:
                with place.session() as connection:
                    send(connection, f"CREATE TABLE {ROWS} (x INTEGER)")
            yield place
        finally:
            engine.dispose()


def _refused(connection: Connection, sql: str) -> DBAPIError | None:
    """Send what must fail; return the error."""
    try:
        send(connection, sql).close()
    except DBAPIError as error:
        return error
    return None
