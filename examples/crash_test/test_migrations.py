"""Kill the upgrade at every moment, and let eight of them race: over the migrations beside this file."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import URL, make_url

from dbmigrate import Migrator
from dbmigrate.testing import check_crash_safe, check_race_safe

MIGRATIONS = Path(__file__).parent / "migrations"


@pytest.fixture
def url(tmp_path: Path) -> URL:
    """Return the URL of a database that does not exist: on the server of DATABASE_URL, or a file."""
    if server := os.environ.get("DATABASE_URL"):
        return make_url(server).set(database=f"shop_test_{uuid4().hex}")
    return make_url(f"sqlite:///{tmp_path / 'shop.db'}")


def test_a_kill_does_no_harm(url: URL) -> None:
    """Whenever the process dies, calling upgrade() again is all there is to do; nobody has to look at the database."""
    crashes = check_crash_safe(Migrator(url, MIGRATIONS))

    print(f"{crashes.kills} processes were killed, and {crashes.settled} statements in doubt were settled")
    assert crashes.asked == ()


def test_a_race_does_no_harm(url: URL) -> None:
    """Eight pods that start at once apply each migration once."""
    reports = check_race_safe(Migrator(url, MIGRATIONS), processes=8)

    # one may have applied the first, and another one the second
    steps = sorted(str(outcome.step) for report in reports for outcome in report.outcomes)
    assert steps == ["1_users up", "2_nobody up"]
