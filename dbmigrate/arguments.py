"""What callers pass: each argument is looked at before anything else is, and what is wrong is said in plain words."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from pathlib import PurePath
from typing import Any

from sqlalchemy import make_url
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.exc import ArgumentError

from dbmigrate.dialects import Dialect
from dbmigrate.errors import ConfigurationError
from dbmigrate.model import Ahead, Edited, Missing, OutOfOrder, Plan

_TOLERABLE = (Ahead, Edited, Missing, OutOfOrder)
#: A URL with a password, and with an @ behind the one that ends it: what it seems to name is a part of the password.
_TWO_ATS = re.compile(r"[^:]*://[^:/]*:[^@]*@[^@]*@")
_UNQUOTED = "there is an @ too many in the database URL: in a password, and anywhere but before the host, write %40"
_SYNC = "a URL that names another driver than an asynchronous one, as in postgresql+psycopg://"
_SESSION = "its Engine, or session.connection() to migrate in its transaction"
#: What to pass instead of what is not a database, by the name of its class.
_INSTEAD = {
    **dict.fromkeys(("AsyncEngine", "AsyncConnection", "AsyncSession", "async_sessionmaker"), _SYNC),
    **dict.fromkeys(("Session", "scoped_session", "sessionmaker"), _SESSION),
}


def _is_number(value: object, below: float = 1e6) -> bool:  # seconds in eleven days
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < below


def _is_name(value: object) -> bool:
    return isinstance(value, str) and "://" not in value


def _is_limit(value: object) -> bool:
    return value is None or _is_number(value)


def _is_lock_limit(value: object) -> bool:
    return value == "default" or _is_limit(value)


def _is_schema_file(value: object) -> bool:
    text = str(value) if isinstance(value, str | PurePath) else ""
    return value is None or (_is_name(text) and "\0" not in text and PurePath(text).suffix in (".py", ".sql"))


def _is_tolerable(value: object) -> bool:
    return isinstance(value, Collection) and all(kind in _TOLERABLE for kind in value)  # pyright: ignore[reportUnknownVariableType]


#: How to tell whether an argument is right, and what it is then.
_RIGHT: dict[str, tuple[Callable[[Any], bool], str]] = {
    "source": (
        lambda v: _is_name(v) or isinstance(v, os.PathLike) or hasattr(v, "load"),
        "a Source, or the path of a folder",
    ),
    "ledger": (
        lambda v: _is_name(v) or all(hasattr(v, name) for name in ("read", "create", "append")),
        "a Ledger, or the name of a table",
    ),
    "allow": (_is_tolerable, f"a set of finding types, of {', '.join(kind.__name__ for kind in _TOLERABLE)}"),
    "transaction": (lambda v: v in ("each", "all"), "'each' or 'all'"),
    "acquire_timeout": (_is_number, "a number of seconds"),
    "lock_timeout": (_is_lock_limit, "a number of seconds, 'default' or None"),
    "retries": (lambda v: isinstance(v, int) and _is_number(v), "a number of tries, from 0"),
    "retry_timeout": (_is_number, "a number of seconds"),
    "statement_timeout": (_is_limit, "a number of seconds or None"),
    "timeout": (lambda v: _is_number(v, below=float("inf")), "a number of seconds"),
    "on_event": (lambda v: v is None or callable(v), "a function that takes an event, or None"),
    "dialect": (lambda v: v is None or isinstance(v, Dialect), "a Dialect or None"),
    "schema_file": (_is_schema_file, "a path that ends with .py or .sql, or None"),
    "to": (lambda v: v is None or isinstance(v, str), "the version of a migration, as text"),
    "version": (lambda v: isinstance(v, str), "the version of a migration, as text"),
    "plan": (lambda v: isinstance(v, Plan), "a Plan, as plan() returns it"),
    "steps": (lambda v: isinstance(v, int) and _is_number(v) and v > 0, "a number of at least 1"),
    "statement": (lambda v: v is None or (isinstance(v, int) and _is_number(v)), "the number of a statement or None"),
    "force": (lambda v: isinstance(v, bool), "True or False"),
    "overwrite": (lambda v: isinstance(v, bool), "True or False"),
    "applied": (lambda v: isinstance(v, bool), "True or False"),
    "reason": (lambda v: isinstance(v, str) and bool(v.strip()), "a text that says why"),
}


def check(**given: object) -> None:
    """Raise ConfigurationError for an argument that is not what it should be."""
    for name, value in given.items():
        is_right, what = _RIGHT[name]
        if not is_right(value):
            # the repr of anything else may show more than it should
            shown = repr(value) if type(value).__module__ == "builtins" else type(value).__name__
            shown = "a URL" if "://" in shown else shown
            raise ConfigurationError(f"{name} is {what}, not {shown}")


def read_database(database: object) -> URL | Engine | Connection:
    """Return what was passed as a database, a URL as a value. Raises ConfigurationError, and shows no text of a URL."""
    if isinstance(database, str):
        if _TWO_ATS.match(database):
            raise ConfigurationError(_UNQUOTED)
        try:
            database = make_url(database)
        except (ArgumentError, ValueError):
            database = ""  # raised below: what says why it cannot be read has its text
        if not database:
            raise ConfigurationError("the database URL cannot be read; it looks like sqlite:///app.db")
    if not isinstance(database, URL | Engine | Connection):
        instead = next((f": pass {_INSTEAD[c.__name__]}" for c in type(database).__mro__ if c.__name__ in _INSTEAD), "")
        kind = type(database).__name__
        raise ConfigurationError(f"database must be a URL, an Engine or a Connection, not {kind}{instead}")
    url = database if isinstance(database, URL) else database.engine.url
    if "@" in (url.host or ""):
        raise ConfigurationError(_UNQUOTED)
    return database
