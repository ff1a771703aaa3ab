"""The ledger keeps what every ledger promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from own_table_ledger import OwnTable  # type: ignore[import-not-found] # it is beside this file
from sqlalchemy import Engine, create_engine

from dbmigrate.testing import LedgerContract

if TYPE_CHECKING:
    from pathlib import Path


class TestOwnTable(LedgerContract):
    """Every test finds the ledger and the database empty."""

    folder: Path

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make(self) -> OwnTable:
        """Return a ledger that holds nothing."""
        return OwnTable()

    def engine(self) -> Engine:
        """Return an engine for an empty database."""
        return create_engine(f"sqlite:///{self.folder / 'app.db'}")
