"""Tenants in one SQLite file: the row of a tenant, its tables and their history come with one commit, or not at all.

Run it twice: the second time there is less to do.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import column, create_engine, insert, inspect, select, table
from sqlalchemy.exc import IntegrityError

from dbmigrate import MemorySource, Migrator, Source, sql_migration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

HERE = Path(__file__).parent
NAME = re.compile(r"[a-z][a-z0-9]{0,19}")
TENANTS = table("tenants", column("name"))


def history(tenant: str) -> Source:
    """Return the migrations of one tenant, whose tables have its name in front."""
    return MemorySource(
        [
            sql_migration("1", "users", f"CREATE TABLE {tenant}_users (email TEXT NOT NULL CHECK (email LIKE '%@%'))"),
            sql_migration("2", "notes", f"CREATE TABLE {tenant}_notes (body TEXT NOT NULL)"),
        ]
    )


def create_tenant(engine: Engine, tenant: str, owner: str) -> None:
    """Make a tenant with its tables and its first user. Whatever fails, nothing of it is left."""
    if not NAME.fullmatch(tenant):  # it becomes part of SQL
        raise ValueError(f"{tenant!r} cannot be the name of a tenant")
    with engine.begin() as connection:
        connection.execute(insert(TENANTS).values(name=tenant))
        Migrator(connection, history(tenant), ledger=f"{tenant}_history").upgrade()
        connection.execute(insert(table(f"{tenant}_users", column("email"))).values(email=owner))


def tenants(engine: Engine) -> Sequence[str]:
    """Return the names of all tenants."""
    with engine.connect() as connection:
        return connection.scalars(select(TENANTS.c.name).order_by(TENANTS.c.name)).all()


def upgrade(engine: Engine) -> None:
    """Bring everything up to date, for a new release: what all share, and then what each tenant has."""
    Migrator(engine, HERE / "shared").upgrade()
    for tenant in tenants(engine):
        Migrator(engine, history(tenant), ledger=f"{tenant}_history").upgrade()


def main() -> None:
    """Create a tenant, fail to create another one, and show what there is."""
    engine = create_engine(f"sqlite:///{HERE / 'app.db'}")
    upgrade(engine)
    if "acme" not in tenants(engine):
        create_tenant(engine, "acme", "ada@acme.example")
        print("created acme")
    try:
        create_tenant(engine, "globex", "nobody")
    except IntegrityError as error:
        print(f"refused globex: {error.orig}")
    print(*sorted(inspect(engine).get_table_names()))
    engine.dispose()


if __name__ == "__main__":
    main()
