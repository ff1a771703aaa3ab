"""The shop, each test in a database of its own; and its migrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import shop  # type: ignore[import-not-found] # it is beside this file
from sqlalchemy.exc import DBAPIError

from dbmigrate.testing import MigrationTests

if TYPE_CHECKING:
    from sqlalchemy import Engine


class TestMigrations(MigrationTests):
    """Valid, complete, reversible, what the models say; and neither kills nor races do harm."""

    metadata = shop.metadata


def test_orders_add_up(migrated_engine: Engine) -> None:
    """What is committed here is in no other test."""
    shop.order(migrated_engine, 1, "Ada", 30)
    shop.order(migrated_engine, 2, "Ada", 12)

    assert shop.owed(migrated_engine) == {"nobody": 0, "Ada": 42}


def test_a_wrong_order_leaves_nothing(migrated_engine: Engine) -> None:
    """Not even its user."""
    with pytest.raises(DBAPIError):
        shop.order(migrated_engine, 1, "Ada", -30)

    assert shop.owed(migrated_engine) == {"nobody": 0}
