"""Which migrations the tests are about, and on which server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dbmigrate import Migrator


@pytest.fixture(scope="session")
def dbmigrate_migrator() -> Migrator:
    """Tell the plugin; the name in the URL means nothing."""
    return Migrator(os.environ.get("DATABASE_URL", "sqlite:///shop"), Path(__file__).parent / "migrations")
