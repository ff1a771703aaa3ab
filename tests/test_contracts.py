"""The contract suites: what is built in passes them, and so do the examples."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest

from dbmigrate import FilesystemSource, MemorySource, TableLedger, python_migration, sql_migration
from dbmigrate.dialects import Dialect, dialect_for
from dbmigrate.testing import DialectContract, LedgerContract, SourceContract
from examples.archive_source.archive_source import ArchiveSource
from examples.json_ledger.json_ledger import JsonLedger
from examples.own_table_ledger.own_table_ledger import OwnTable

if TYPE_CHECKING:
    from pathlib import Path

    import sqlalchemy

    from dbmigrate import Ledger, Source
    from tests.conftest import Database

FILES = {"1_users.up.sql": "CREATE TABLE users (id INTEGER);\r\n", "1_users.down.sql": "DROP TABLE users;\n"}
FILES |= {"10_text.up.sql": "\ufeffINSERT INTO users VALUES (1) -- ä\n", "2_more.up.sql": "SELECT 1;\n"}


class OnDatabase(LedgerContract):
    """Each test has the empty database of its fixture."""

    database: Database
    folder: Path

    @pytest.fixture(autouse=True)
    def _place(self, database: Database, tmp_path: Path) -> None:
        self.database, self.folder = database, tmp_path

    def engine(self) -> sqlalchemy.Engine:
        """Return an engine for it."""
        return self.database.engine()


class TestTableLedger(OnDatabase):
    """The ledger that is built in."""

    def make(self) -> Ledger:
        """Return it under its usual name."""
        return TableLedger()


@pytest.mark.kinds("sqlite", "mariadb")
class TestJsonLedger(OnDatabase):
    """The example outside the database; PostgreSQL is no different to it."""

    def make(self) -> Ledger:
        """Return one in a folder that does not exist."""
        return JsonLedger(self.folder / "ledger")


class TestOwnTable(OnDatabase):
    """The example over another table."""

    def make(self) -> Ledger:
        """Return it."""
        return OwnTable()


class TestDialects(DialectContract):
    """Those that are built in, over each driver."""

    pytestmark = pytest.mark.every_driver

    database: Database

    @pytest.fixture(autouse=True)
    def _place_it(self, database: Database) -> None:
        self.database = database

    def make(self) -> Dialect:
        """Return the dialect of the URL."""
        return dialect_for(self.database.url)

    def engine(self) -> sqlalchemy.Engine:
        """Return an engine for it."""
        return self.database.engine()


class InFolder(SourceContract):
    """Each test has a folder of its own."""

    folder: Path

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.folder = tmp_path


class TestFilesystemSource(InFolder):
    """A folder of files."""

    def make(self) -> Source:
        """Return one of pairs and single files."""
        for name, text in FILES.items():
            (self.folder / name).write_text(text, newline="")
        (self.folder / "3_function.py").write_text("def upgrade(connection): pass\n")
        return FilesystemSource(self.folder)

    def make_broken(self) -> Source:
        """Return a folder with a version that is there twice."""
        (self.folder / "1_b.sql").write_text("SELECT 1")
        return self.make()


class TestMemorySource(SourceContract):
    """Migrations in memory, in SQL and in Python."""

    def make(self) -> Source:
        """Return some of both."""
        a = sql_migration("b", "text", "SELECT 'ä\r\n'", "SELECT 2")
        return MemorySource([a, python_migration("a", "function", print, print)])

    def make_broken(self) -> Source:
        """Return the same version twice."""
        return MemorySource([sql_migration("1", "a", "SELECT 1"), sql_migration("1", "b", "SELECT 1")])


class TestArchiveSource(InFolder):
    """The example that reads an archive."""

    def make(self) -> Source:
        """Return an archive of pairs and single files."""
        return ArchiveSource(archive(self.folder / "m.zip", FILES))

    def make_broken(self) -> Source:
        """Return a file that is no archive."""
        (self.folder / "m.zip").write_bytes(b"PK no")
        return ArchiveSource(self.folder / "m.zip")


def archive(path: Path, files: dict[str, str]) -> Path:
    """Write a zip archive."""
    with ZipFile(path, "w") as file:
        for name, text in files.items():
            file.writestr(name, text)
    return path
