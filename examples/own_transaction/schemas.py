"""Tenants in schemas of PostgreSQL: the row of a tenant, its schema and all that is in it come with one commit.

The database is the one that DATABASE_URL names.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import column, create_engine, func, insert, inspect, select, table
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateSchema

from dbmigrate import Migrator, TableLedger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

HERE = Path(__file__).parent
NAME = re.compile(r"[a-z][a-z0-9]{0,19}")
TENANTS = table("tenants", column("name"), schema="public")
USERS = table("users", column("email"))


def create_tenant(engine: Engine, tenant: str, owner: str) -> None:
    """Make a tenant with its schema and its first user. Whatever fails, nothing of it is left."""
    if not NAME.fullmatch(tenant):  # the search_path would have it in quotes
        raise ValueError(f"{tenant!r} cannot be the name of a tenant")
    with engine.begin() as connection:
        connection.execute(insert(TENANTS).values(name=tenant))
        connection.execute(CreateSchema(tenant))
        connection.execute(select(func.set_config("search_path", tenant, True)))  # noqa: FBT003 - SET LOCAL
        Migrator(connection, HERE / "tenant", ledger=TableLedger(schema=tenant)).upgrade()
        connection.execute(insert(USERS).values(email=owner))


def tenants(engine: Engine) -> Sequence[str]:
    """Return the names of all tenants."""
    with engine.connect() as connection:
        return connection.scalars(select(TENANTS.c.name).order_by(TENANTS.c.name)).all()


def upgrade(engine: Engine) -> None:
    """Bring everything up to date, for a new release: what all share, and then what each tenant has."""
    Migrator(engine, HERE / "shared").upgrade()
    for tenant in tenants(engine):
        url = engine.url.update_query_dict({"options": f"-csearch_path={tenant}"})
        Migrator(url, HERE / "tenant", ledger=TableLedger(schema=tenant)).upgrade()


def main() -> None:
    """Create a tenant, fail to create another one, and show what there is."""
    engine = create_engine(os.environ["DATABASE_URL"])
    upgrade(engine)
    if "acme" not in tenants(engine):
        create_tenant(engine, "acme", "ada@acme.example")
        print("created acme")
    try:
        create_tenant(engine, "globex", "nobody")
    except IntegrityError as error:
        print(f"refused globex: {str(error.orig).splitlines()[0]}")
    for schema in inspect(engine).get_schema_names():
        if schema != "information_schema":
            print(f"{schema}:", *sorted(inspect(engine).get_table_names(schema)))
    engine.dispose()


if __name__ == "__main__":
    main()
