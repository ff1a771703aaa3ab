"""The source keeps what every source promises."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
from archive_source import ArchiveSource  # type: ignore[import-not-found] # it is beside this file

from dbmigrate.testing import SourceContract

if TYPE_CHECKING:
    from pathlib import Path


class TestArchiveSource(SourceContract):
    """Every test makes the source anew."""

    folder: Path

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self) -> ArchiveSource:
        """Return a source of two migrations, one of them with a way back."""
        return self._source(
            {
                "1_users.up.sql": "CREATE TABLE users (id INTEGER)",
                "1_users.down.sql": "DROP TABLE users",
                "2_seed.up.sql": "INSERT INTO users VALUES (1)",
            }
        )

    def make_broken(self) -> ArchiveSource:
        """Return one with the same version twice."""
        return self._source({"1_users.up.sql": "SELECT 1", "1_again.up.sql": "SELECT 1"})

    def _source(self, members: dict[str, str]) -> ArchiveSource:
        path = self.folder / "migrations.zip"
        with ZipFile(path, "w") as archive:
            for name, text in members.items():
                archive.writestr(name, text)
        return ArchiveSource(path)
