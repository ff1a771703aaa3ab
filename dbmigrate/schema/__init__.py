"""The schema as a value: what is in a database, and how two of them differ.

>>> from dbmigrate.schema import diff, snapshot
>>> with engine.connect() as connection:  # doctest: +SKIP
...     print(snapshot(connection))
"""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from importlib import import_module

from sqlalchemy.engine import Connection

from dbmigrate.catalogue import Change as Change
from dbmigrate.catalogue import Object as Object
from dbmigrate.catalogue import Snapshot as Snapshot
from dbmigrate.catalogue import diff as diff
from dbmigrate.catalogue import sorted_snapshot
from dbmigrate.dialects import Dialect, dialect_for


def snapshot(
    connection: Connection,
    *,
    ledger: str | None = "dbmigrate_ledger",
    exclude: Collection[str] = (),
    dialect: Dialect | None = None,
) -> Snapshot:
    """Return everything that migrations can create and that is in the database now, from its own catalogue.

    Reads only, one query for each kind of object, in the transaction of the connection; one that reads at READ
    COMMITTED may see half of what another session changes meanwhile. As any reader it waits behind whoever has locked a
    table exclusively that a view reads. Left out are the ledger, whatever belongs to a session (temporary tables), to
    an extension or to the database itself, and what is in the tables; the order of columns is not compared.

    What the user of the connection may not see is not in it.

    Args:
        connection: An SQLAlchemy connection to SQLite (its main database), PostgreSQL (all schemas) or MariaDB and
            MySQL (the database of the connection).
        ledger: The table that migrations are recorded in, with its journal beside it. None: it is not in there.
        exclude: Patterns, as of file names, of places that are left out with all their parts: `audit.*`, `*_backup`.
            A place is what `Object.place` says of a thing that stands for itself: `schema.table`, or the name alone
            where there are no schemas.
        dialect: None: by the database.

    Raises:
        ConfigurationError: There is no catalogue that dbmigrate can read.
        sqlalchemy.exc.DBAPIError: The database refused a query.

    """
    dialect = dialect or dialect_for(connection.engine.url)
    left_out = set[str]() if ledger is None else {ledger, f"{ledger}_journal"}
    found = list[Object]()
    for item in dialect.catalogue(connection):
        schema, name = item.owner
        place = f"{schema}.{name}" if schema else name
        if name not in left_out and not any(fnmatchcase(place, pattern) for pattern in exclude):
            found.append(item)
    return sorted_snapshot(dialect.family, found)


def script(snapshot: Snapshot) -> str:
    """Return SQL that makes what is in a snapshot in an empty database of its family, in a fixed order, for review.

    It runs as one migration, or through the database's own client, and a snapshot of what it makes is equal; what that
    cannot be said of is in the documentation of `script` in `dbmigrate.dialects.sqlite_script`, `postgresql_script` and
    `mysql_script`. Equal snapshots may differ in it in the order of columns.

    Raises ValueError for a snapshot of another family, or of somebody who was not permitted to see all of it.
    """
    if snapshot.dialect not in ("sqlite", "postgresql", "mysql"):
        raise ValueError(f"dbmigrate has no SQL for a snapshot of {snapshot.dialect!r}")
    text: str = import_module(f"dbmigrate.dialects.{snapshot.dialect}_script").script(snapshot)
    return text
