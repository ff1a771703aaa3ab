"""What differs between database systems: one module each, named after SQLAlchemy's, imported when it is used.

`Dialect` in base.py says what a dialect must know; nothing outside this package asks which database it talks to.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from dbmigrate.dialects.base import Dialect
from dbmigrate.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

COCKROACHDB = (
    "CockroachDB has advisory locks that keep nobody out, and does not roll back all of its DDL: dbmigrate does not "
    "run there. Run one migrator at a time, with dialect= an object that knows it: see dbmigrate.dialects.Dialect"
)
_MODULES = {"sqlite": "sqlite", "postgresql": "postgresql", "mysql": "mysql", "mariadb": "mysql"}


def dialect_for(url: URL) -> Dialect:
    """Return the dialect for a database URL. Raises ConfigurationError for a database that is not supported."""
    name = url.get_backend_name()
    if name == "cockroachdb":
        raise ConfigurationError(COCKROACHDB)
    if name not in _MODULES:
        raise ConfigurationError(
            f"dbmigrate does not know how to lock and to cut scripts for {name!r} (it knows {', '.join(_MODULES)}). "
            "Pass dialect= an object that does: see dbmigrate.dialects.Dialect"
        )
    return cast("Dialect", import_module(f"dbmigrate.dialects.{_MODULES[name]}").DIALECT)


def is_async(url: URL) -> bool:
    """Tell whether a URL names a driver that has to be awaited, which need not be installed."""
    return url.get_dialect().is_async


__all__ = ["COCKROACHDB", "Dialect", "dialect_for", "is_async"]
