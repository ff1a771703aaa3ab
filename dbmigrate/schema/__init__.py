"""The schema as a value: what is in a database, and how two of them differ.

>>> from dbmigrate.schema import diff, snapshot
>>> with engine.connect() as connection:  # doctest: +SKIP
...     print(snapshot(connection))
"""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase

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
    ledger: str = "dbmigrate_ledger",
    exclude: Collection[str] = (),
    dialect: Dialect | None = None,
) -> Snapshot:
    """Return everything that migrations can create and that is in the database now, from its own catalogue.

    Reads only, one query for each kind of object, in the transaction of the connection; one that reads at READ
    COMMITTED may see half of what another session changes meanwhile. No locks are taken but those of reading a
    catalogue. Left out are the ledger, whatever belongs to a session (temporary tables), to an extension or to the
    database itself, and what is in the tables; the order of columns is not compared.

    What the user of the connection may not see is not in it.

    Args:
        connection: An SQLAlchemy connection to SQLite (its main database), PostgreSQL (all schemas) or MariaDB and
            MySQL (the database of the connection).
        ledger: The table that migrations are recorded in, with its journal beside it.
        exclude: Patterns, as of file names, of places that are left out with all their parts: `audit.*`, `*_backup`.
            A place is what `Object.place` says of a thing that stands for itself: `schema.table`, or the name alone
            where there are no schemas.
        dialect: None: by the database.

    Raises:
        ConfigurationError: There is no catalogue that dbmigrate can read.
        sqlalchemy.exc.DBAPIError: The database refused a query.

    """
    dialect = dialect or dialect_for(connection.engine.url)
    left_out = {ledger, f"{ledger}_journal"}
    found = []
    for item in dialect.catalogue(connection):
        schema, name = item.owner
        place = f"{schema}.{name}" if schema else name
        if name not in left_out and not any(fnmatchcase(place, pattern) for pattern in exclude):
            found.append(item)
    return sorted_snapshot(dialect.family, found)
