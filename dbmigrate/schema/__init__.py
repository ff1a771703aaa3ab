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


def code(
    connection: Connection,
    *,
    ledger: str | None = "dbmigrate_ledger",
    include: Collection[str] = (),
    exclude: Collection[str] = (),
    dialect: Dialect | None = None,
) -> str:
    """Return a Python module with the tables of a database, each a `Table` of SQLAlchemy in a variable of its name.

    What `metadata.create_all()` makes of it in an empty database is equal to what is there, as `diff` has it, but for
    what the head of the module lists: views, triggers and functions, say, and what else SQLAlchemy has no words for.
    Properties behind the name of an object there are those that are missing; without any, all of it is. One thing is
    not listed: Aria, an engine of MariaDB, gives a table one more option when an index is made behind it.

    The text depends on the schema alone; on the version of SQLAlchemy, for a later one may have more words; and on
    MariaDB on whether the URL begins with `mysql` or `mariadb`. Tables stand in the order of their schemas and names,
    and columns in that of their names, behind those of the primary key: where the migrations of two people meet, the
    order in which columns came differs from one database to another, and this file shall not. It is formatted as
    `ruff format` and black have it, imports what it needs and no more, and passes `mypy --strict` (with SQLAlchemy from
    2.0.58 on: before, some of its own types had none).

    Reads only, as `snapshot` does. In a name that cannot be one in Python, `_` stands for each character that is at
    fault; where several become the same, all but one have a number behind them.

    Args:
        connection: As for `snapshot`. On PostgreSQL the schema in which its sessions begin is not named in the text.
        ledger: As for `snapshot`.
        include: Patterns, as of file names, of the places of what is wanted: `app.*`, `user*`; in the schema that is
            not named, of names alone. Empty: everything. The types of what is wanted come with it.
        exclude: Patterns of what is not wanted, though `include` names it. Nothing of that is listed at the head.
        dialect: None: by the database.

    Raises:
        ConfigurationError: There is no catalogue that dbmigrate can read.
        sqlalchemy.exc.DBAPIError: The database refused a query.

    """
    from dbmigrate.schema.python import module  # noqa: PLC0415 - snapshots do not need it

    taken = snapshot(connection, ledger=ledger, dialect=dialect)
    return module(taken, connection, include=include, exclude=exclude)
