"""The contract of a source."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from unittest import SkipTest

from sqlalchemy import create_engine, event
from sqlalchemy.pool import Pool

from dbmigrate.errors import SourceError
from dbmigrate.migrator import Migrator
from dbmigrate.model import Body, Migration
from dbmigrate.script import checksum_of, decode
from dbmigrate.source import Source, sound
from dbmigrate.testing.checks import is_a, named, require


class SourceContract:
    """What every Source promises. Override `make`, and `make_broken` if it can be wrong."""

    def make(self) -> Source:
        """Return a source of at least two migrations, one of them with a way back; called several times a test."""
        raise NotImplementedError("override make(): return a source of at least two migrations")

    def make_broken(self) -> Source:
        """Return a source that is wrong, in whatever way it can be: a missing file, a duplicate version."""
        raise SkipTest("no source that is wrong: override make_broken()")

    def test_load_returns_migrations(self) -> None:
        """They come as a sequence, which can be gone through more than once."""
        migrations = self.make().load()
        is_sequence = is_a(migrations, Sequence) and not is_a(migrations, str, bytes)
        require(is_sequence, f"load() must return a list or a tuple, not a {type(migrations).__name__}")
        for m in migrations:
            require(is_a(m, Migration), f"load() must return Migrations, not a {type(m).__name__}")
        require(len(migrations) > 1, "make() must return a source of at least two migrations")
        require(any(m.down for m in migrations), "make() must return a source with a way back for one migration")

    def test_loading_again_is_the_same(self) -> None:
        """The same migrations in the same order: from the same source, and from one that is made anew."""
        source = self.make()
        first = [_marks(m) for m in source.load()]
        for what, again in (("the same source", source), ("a source made anew", self.make())):
            second = [_marks(m) for m in again.load()]
            require(first == second, f"loading {what} gave {second}, and the first time {first}")

    def test_versions_and_names_can_be_kept(self) -> None:
        """A version means one migration; a ledger can hold each version and name, and a message show it."""
        try:
            sound(tuple(self.make().load()))
        except SourceError as error:
            raise AssertionError(f"load() must raise SourceError itself for what is wrong: {error}") from error

    def test_scripts_are_text(self) -> None:
        """`read` returns the same text each time, and text that can be sent to a database."""
        for body in self._bodies():
            text = body.read()
            require(is_a(text, str), f"{body.origin}: read() must return str, not {type(text).__name__}")
            require(text == body.read(), f"{body.origin}: read() gave another text the second time")
            defect = decode(text.encode(errors="surrogatepass"))[1]
            require(defect is None, f"{body.origin}: load() must raise SourceError for such a text: {defect}")

    def test_checksums_are_those_of_the_text(self) -> None:
        """SHA-256 with CRLF as LF, and with its tag; none only where there is no text."""
        for body in self._bodies():
            text, found = body.read(), body.checksum
            wanted = checksum_of(text) if text or found is not None else None
            require(found == wanted, f"{body.origin}: the checksum is {found!r}, and that of the text {wanted!r}")

    def test_scripts_say_what_they_are(self) -> None:
        """Each has an origin to call it by in messages, and says if it must not run in a transaction."""
        for body in self._bodies():
            origin, transaction = body.origin, body.transaction
            require(is_a(origin, str) and origin and origin.isprintable(), f"{origin!r} is no origin")
            require(is_a(transaction, bool), f"{origin}: transaction must be a bool, not {transaction!r}")

    def test_no_database_is_touched(self) -> None:
        """Loading and reading connect to none, as far as SQLAlchemy knows."""
        mine, touched = threading.get_ident(), list[str]()

        def note(*_: object) -> None:
            if threading.get_ident() == mine:
                touched.append("a connection was made or taken from a pool")

        for name in ("connect", "checkout"):
            event.listen(Pool, name, note)
        try:
            for body in self._bodies():
                body.read()
        finally:
            for name in ("connect", "checkout"):
                event.remove(Pool, name, note)
        require(not touched, f"load() and read() must touch no database: {touched[:1]}")

    def test_a_migrator_lists_them(self) -> None:
        """All are pending on an empty database, in the order of the source."""
        engine, source = create_engine("sqlite://"), self.make()
        try:
            found = [(entry.version, entry.name, entry.state) for entry in Migrator(engine, source).status().entries]
        finally:
            engine.dispose()
        wanted = [(m.version, m.name, "pending") for m in source.load()]
        require(found == wanted, f"status() lists {found}, and load() returned {wanted}")

    def test_what_is_wrong_is_a_source_error(self) -> None:
        """It says where and what, each time."""
        source = self.make_broken()
        for _ in range(2):
            try:
                source.load()
            except SourceError as error:
                nameless = [problem for problem in error.problems if not (problem.origin and problem.reason)]
                require(not nameless, f"every problem needs an origin and a reason: {nameless}")
            except Exception as error:
                raise AssertionError(f"what is wrong must be a SourceError, not {named(error)}") from error
            else:
                raise AssertionError("load() must raise SourceError for a source that is wrong")

    def _bodies(self) -> list[Body]:
        return [body for m in self.make().load() for body in (m.up, m.down) if body is not None]


def _marks(m: Migration) -> tuple[object, ...]:
    return (m.version, m.name, m.up.checksum, m.down and m.down.checksum)
