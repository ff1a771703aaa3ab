"""Settings of the command line: from options, the environment and a file, each with its origin.

Law of this file: what is not understood is an error that names its place; nothing is guessed.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from sqlalchemy import make_url
from sqlalchemy.engine import URL
from sqlalchemy.exc import SQLAlchemyError

from dbmigrate.arguments import read_database
from dbmigrate.cli.lookup import FILE, find, is_table
from dbmigrate.connect import without_secrets
from dbmigrate.dialects import dialect_for
from dbmigrate.errors import ConfigurationError
from dbmigrate.ledger import TableLedger
from dbmigrate.migrator import Migrator
from dbmigrate.model import Ahead, Edited, Finding, Missing, OutOfOrder
from dbmigrate.source import FilesystemSource, PackageSource, Source

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PASSWORD = re.compile(r"://[^:/@]*:([^@]+)@|[?&](?!passfile=)[^=]*(pass|pwd|secret|token)[^=]*=[^&]", re.IGNORECASE)
_DIALECT = re.compile(r"([a-z]+)(?:\+\w+)?://")
_FINDINGS: dict[str, type[Finding]] = {kind.__name__: kind for kind in (Ahead, Edited, Missing, OutOfOrder)}
_RUN = ("transaction", "acquire_timeout", "lock_timeout", "statement_timeout", "retries", "retry_timeout")
_DEFAULTS: dict[str, object] = {
    "database": None,
    "source": "migrations",
    "layout": "native",
    "ledger": "dbmigrate_ledger",
    "schema": None,
    "allow": ["Ahead"],
    "transaction": "each",
    "acquire_timeout": 60.0,
    "lock_timeout": "default",
    "statement_timeout": None,
    "retries": 10,
    "retry_timeout": 300.0,
    "schema_file": None,
    "template": None,
    "dialect": None,
    "protected": False,
}
_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "source": ((str, dict), 'the path of a folder, or { package = "shop", path = "migrations" }'),
    "allow": (list, "a list of the names of findings"),
    "protected": (bool, "true or false"),
    "lock_timeout": ((int, float, str), "a number of seconds, default, or none"),
    "retries": (int, "a number of tries"),
    **dict.fromkeys(("acquire_timeout", "statement_timeout", "retry_timeout"), ((int, float), "a number of seconds")),
}


@dataclass(frozen=True, slots=True)
class Setting:
    """A value, and where it comes from."""

    value: Any
    origin: str
    #: The folder of the file that it stands in; None: it is from no file.
    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that was set, by name, and what was noticed on the way.

    `${NAME}` in a file is looked up when the setting is wanted: to write a new migration nobody needs a database.
    """

    known: Mapping[str, Setting]
    environment: Mapping[str, str] = field(repr=False)
    warnings: tuple[str, ...] = ()
    #: The places that say that a database is not to be dropped, each with every one that may be meant.
    protected: Mapping[str, tuple[Setting, ...]] = field(default_factory=dict[str, tuple[Setting, ...]], repr=False)

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - what TOML has
        setting = self.known[name]
        if setting.folder is None:
            return setting.value
        return _filled(setting.value, self.environment, f"{setting.origin}: {name}")

    def path(self, name: str) -> str:
        """Return a path as it counts from the working directory."""
        value, folder = str(self[name]), self.known[name].folder
        return value if folder is None or Path(value).is_absolute() else os.path.relpath(folder / value)

    @property
    def url(self) -> URL:
        """The URL of the database. Raises ConfigurationError if there is none."""
        if self["database"] is None:
            raise ConfigurationError(
                "no database: give --database URL, set DATABASE_URL, or write database = in [tool.dbmigrate] of "
                "pyproject.toml"
            )
        setting, text = self.known["database"], self["database"]
        try:
            url = _url(text)
            dialect = dialect_for(url)
            return url if setting.folder is None else dialect.beside(url, setting.folder)
        except ConfigurationError as error:
            place = setting.origin if setting.folder is None else f"{setting.origin}: database"
            raise ConfigurationError(f"{place}: {error}") from error

    def protector(self, url: URL) -> str | None:
        """Return the place that says that this database is protected, also if it was reached another way; or None.

        A URL that cannot be read, or wants a variable that is not set, protects all that it may be.
        """
        from dbmigrate.cli import protection  # noqa: PLC0415 - only where a database is dropped

        if self["protected"]:
            return self.known["protected"].origin
        for origin, settings in self.protected.items():
            for setting in settings:
                other = protection.lenient(setting.value, self.environment)
                if setting.folder is not None and protection.is_known(other):
                    other = dialect_for(other).beside(other, setting.folder)
                if protection.may_be_same(url, other):
                    missing = _missing(setting.value, self.environment)
                    return f"{origin}{f', as far as can be told without {missing}' if missing else ''}"
        return None

    @property
    def source(self) -> Source:
        """What the migrations come from."""
        where = self["source"]
        if is_table(where):
            if set(where) - {"path"} != {"package"} or not all(isinstance(value, str) for value in where.values()):
                raise ConfigurationError(f"{self.known['source'].origin}: source is {_KINDS['source'][1]}")
            return PackageSource(where["package"], where.get("path", "migrations"), layout=self["layout"])
        return FilesystemSource(self.path("source"), self["layout"])

    def migrator(self, database: URL | None = None) -> Migrator:
        """Return a Migrator as everything says; `database`: for this one."""
        return Migrator(
            self.url if database is None else database,
            self.source,
            ledger=TableLedger(self["ledger"], self["schema"]),
            schema_file=None if self["schema_file"] is None else self.path("schema_file"),
            **run_settings({name: self[name] for name in ("allow", *_RUN)}),
        )

    def validator(self) -> Migrator:
        """Return a Migrator for the dialect that is named, or for that of the database; neither has to be there."""
        name, database = self.known["dialect"], self.known["database"]
        if name.value is not None:
            if not re.fullmatch(r"[a-z]+", self["dialect"]):
                raise ConfigurationError(
                    f"{name.origin}: a dialect is one word, such as postgresql; the rest is a URL's"
                )
            return self.migrator(make_url(f"{self['dialect']}:///none"))
        if database.value is None:
            raise ConfigurationError("for which database are the scripts? Say --dialect NAME, or --database URL")
        if (found := _DIALECT.match(database.value)) is not None:  # no more of it is wanted, and may not be known here
            return self.migrator(make_url(f"{found[1]}:///none"))
        return self.migrator()

    def shown(self) -> list[dict[str, Any]]:
        """Return name, value and origin of every setting, without secrets."""
        rows = list[dict[str, Any]]()
        for name, setting in self.known.items():
            try:
                value, origin = self[name], setting.origin
                if name == "database" and value is not None:
                    value = without_secrets(self.url)
            except ConfigurationError as error:
                value, origin = None, str(error)
            rows.append({"name": name, "value": value, "origin": origin})
        return rows


def shown(migrator: Migrator) -> list[dict[str, Any]]:
    """Return name, value and origin of everything that an application gave its Migrator, without secrets."""
    names = ("source", "ledger", "schema_file", "allow", *_RUN)
    values = {name: getattr(migrator, name) for name in names}
    values["allow"] = sorted(kind.__name__ for kind in migrator.allow)
    found = {"database": without_secrets(migrator.url), **values}
    plain: dict[str, Any] = {
        name: value if isinstance(value, int | float | list | None) else str(value) for name, value in found.items()
    }
    return [{"name": name, "value": value, "origin": "the application"} for name, value in plain.items()]


def text(value: object) -> str:
    """Return a value as people write it."""
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def run_settings(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a Migrator that say how to run, of those that are given."""
    found = {name: options[name] for name in _RUN if name in options}
    if found.get("lock_timeout") == "none":
        found["lock_timeout"] = None  # there is no such value in TOML
    if "allow" in options:
        unknown = [name for name in options["allow"] if name not in (*_FINDINGS, "none")]
        if unknown:
            raise ConfigurationError(f"allow: {unknown[0]!r} is not one of {', '.join(_FINDINGS)}")
        found["allow"] = frozenset(_FINDINGS[name] for name in options["allow"] if name != "none")
    return found


@contextmanager
def checked() -> Generator[None]:
    """Let what settings, arguments and files make others raise come out as an error of configuration."""
    try:
        yield
    except (OSError, ValueError, ImportError, RecursionError, SQLAlchemyError) as error:
        raise ConfigurationError(f"{type(error).__name__}: {error}. Nothing was run") from error


def read(options: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Return the settings of one command. Raises ConfigurationError, naming the place of what is wrong."""
    for key in (*_DEFAULTS, "config", "profile", "env_file"):
        if key in options:
            _check(f"--{key.replace('_', '-')}", options[key])
    environment = _with_file(environment, options.get("env_file"))
    path, table = find(options.get("config"))
    profiles = table.pop("profiles", {})
    if not is_table(profiles) or not all(map(is_table, profiles.values())):
        raise ConfigurationError(f"{path}: profiles are tables, as in [profiles.production]")
    name = options.get("profile") or environment.get("DBMIGRATE_PROFILE") or None
    if name is not None and name not in profiles:
        there = f"there are: {', '.join(profiles)}" if profiles else "there is none"
        place = f"in {path}" if path else f"for there is no {FILE}"
        raise ConfigurationError(f"there is no profile {name!r} {place}{_near(name, profiles)}; {there}")
    folder = path and path.parent
    top = _from_file(table, f"{path}", folder)
    of_profiles = {each: _from_file(profiles[each], f"{path} [profiles.{each}]", folder) for each in profiles}
    known = {key: Setting(value, "default") for key, value in _DEFAULTS.items()}
    known["source"] = Setting(_DEFAULTS["source"], "default", folder)  # beside the file, if there is one
    known |= top
    around = dict[str, Setting]()
    if url := environment.get("DATABASE_URL"):
        _check("DATABASE_URL", url)
        around["database"] = Setting(url, "DATABASE_URL")
    known |= around
    if name is not None:  # it was asked for, and DATABASE_URL may just be around
        known |= of_profiles[name]
    for key in _DEFAULTS:
        if (value := options.get(key)) is not None:
            known[key] = Setting(value, f"--{key.replace('_', '-')}")
    warnings = [
        f"{each['database'].origin}: there is a password in it: write ${{NAME}}, and set that where it runs"
        for each in (top, *of_profiles.values())
        if "database" in each and _PASSWORD.search(_VARIABLE.sub("", each["database"].value))
    ]
    return Settings(known, environment, tuple(warnings), _protected(top, around, of_profiles))


def _protected(
    top: Mapping[str, Setting], around: Mapping[str, Setting], of_profiles: Mapping[str, Mapping[str, Setting]]
) -> dict[str, tuple[Setting, ...]]:
    """Return the places that protect a database, whichever profile is chosen, with every one that may be meant."""
    found = dict[str, tuple[Setting, ...]]()
    base = top.get("protected")
    if base is not None and base.value and "database" in top:
        found[base.origin] = (top["database"],)
    for profile in of_profiles.values():
        own = profile.get("protected")
        is_inherited = own is None and base is not None and base.value
        if "database" in profile and (is_inherited or (own is not None and own.value)):
            found[profile["database"].origin] = (profile["database"],)
        elif own is not None and own.value:  # its database is what it gets where it is chosen
            found[own.origin] = tuple(each["database"] for each in (top, around) if "database" in each)
    return found


def _from_file(values: Mapping[str, object], origin: str, folder: Path | None) -> dict[str, Setting]:
    for key, value in values.items():
        if key not in _DEFAULTS:
            known = (*_DEFAULTS, "profiles")
            raise ConfigurationError(f"{origin}: there is no setting {key!r}{_near(key, known)}")
        kind, what = _KINDS.get(key, (str, "a text"))
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ConfigurationError(f"{origin}: {key} is {what}, not {type(value).__name__}")
        _check(f"{origin}: {key}", value)
    return {key: Setting(value, origin, folder) for key, value in values.items()}


def _check(place: str, value: object) -> None:
    """Raise ConfigurationError for what no setting can be."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigurationError(f"{place} is a number of seconds, not {value}")
    if is_table(value):
        for inner in value.values():
            _check(place, inner)
    elif isinstance(value, str):
        if not value:
            raise ConfigurationError(f"{place} is empty: say which, or leave it out")
        if "\0" in value or value.encode(errors="replace").decode() != value:
            raise ConfigurationError(f"{place} has something in it that is no text: a NUL, or bytes that are not UTF-8")


def _url(text: str) -> URL:
    return cast("URL", read_database(text))


def _with_file(environment: Mapping[str, str], path: str | None) -> Mapping[str, str]:
    """Return the environment, and behind it what a file of variables says."""
    if path is None:
        return environment
    try:
        from dotenv import dotenv_values  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - where asked for
    except ImportError as error:
        raise ConfigurationError("--env-file needs the package python-dotenv: install it, or set variables") from error
    if not Path(path).is_file():
        raise ConfigurationError(f"there is no file {path}")
    try:
        found = dotenv_values(path)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    return {**{name: value or "" for name, value in found.items()}, **environment}


def _near(name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only errors need it

    return "".join(f"; did you mean {near}?" for near in get_close_matches(name, list(names), n=1))


def _filled(value: Any, environment: Mapping[str, str], place: str) -> Any:  # noqa: ANN401 - what TOML has
    """Return a value with what the environment has for each `${NAME}`."""
    if is_table(value):
        return {key: _filled(inner, environment, place) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, environment, place) for inner in value]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, str):
        return value
    if missing := _missing(value, environment):
        raise ConfigurationError(f"{place} wants {missing}, which is not set or empty in the environment")
    if "${" in _VARIABLE.sub("", value):
        raise ConfigurationError(f"{place}: ${{ is to be followed by the name of a variable and }}")
    return _VARIABLE.sub(lambda found: environment[found[1]], value)


def _missing(value: str, environment: Mapping[str, str]) -> str:
    return ", ".join(name for name in _VARIABLE.findall(value) if not environment.get(name))
