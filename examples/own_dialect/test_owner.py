"""The dialect keeps what every dialect promises, and does what it is for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from owner import OwnedBy  # type: ignore[import-not-found] # it is beside this file
from sqlalchemy import URL, Engine, create_engine, make_url, text

from dbmigrate import MemorySource, Migrator, database, sql_migration
from dbmigrate.testing import DialectContract

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVER = os.environ.get("DATABASE_URL", "")
pytestmark = pytest.mark.skipif(not SERVER.startswith("postgresql"), reason="DATABASE_URL names no PostgreSQL")


@pytest.fixture(scope="session")
def role() -> Iterator[str]:
    """Make a role for the tests, and drop it."""
    name, engine = f"shop_owner_{uuid4().hex}", create_engine(SERVER, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE ROLE {name}"))
        yield name
        connection.execute(text(f"DROP ROLE {name}"))
    engine.dispose()


@pytest.fixture
def url(role: str) -> Iterator[URL]:
    """Make a database in which the role may create tables, and drop it."""
    found = make_url(SERVER).set(database=f"shop_test_{uuid4().hex}")
    database.create(found)
    engine = create_engine(found)
    with engine.begin() as connection:
        connection.execute(text(f"GRANT ALL ON SCHEMA public TO {role}"))
    engine.dispose()
    yield found
    database.drop(found, force=True)


class TestOwnedBy(DialectContract):
    """What every dialect promises."""

    role: str
    url: URL

    @pytest.fixture(autouse=True)
    def _given(self, role: str, url: URL) -> None:
        self.role, self.url = role, url

    def make(self) -> OwnedBy:
        """Return the dialect."""
        return OwnedBy(self.role)

    def engine(self) -> Engine:
        """Return an engine for an empty database."""
        return create_engine(self.url)


def test_tables_belong_to_the_role(role: str, url: URL) -> None:
    """Behind a migration that changes its session, too, for which there is a new one."""
    source = MemorySource(
        [
            sql_migration("1", "users", "CREATE TABLE users (id INTEGER); SET ROLE NONE"),
            sql_migration("2", "orders", "CREATE TABLE orders (id INTEGER)"),
        ]
    )
    Migrator(url, source, dialect=OwnedBy(role)).upgrade()

    engine = create_engine(url)
    with engine.connect() as connection:
        owners = connection.execute(text("SELECT tablename, tableowner FROM pg_tables WHERE schemaname = 'public'"))
        assert {owner for table, owner in owners if table in ("users", "orders")} == {role}
    engine.dispose()
