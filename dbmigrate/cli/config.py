"""Settings of the command line: from options, the environment and a file, each with its origin.

Law of this file: what is not understood is an error that names its place; nothing is guessed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard, cast

from sqlalchemy import make_url
from sqlalchemy.engine import URL

from dbmigrate.arguments import read_database
from dbmigrate.connect import without_secrets
from dbmigrate.dialects import dialect_for
from dbmigrate.errors import ConfigurationError
from dbmigrate.ledger import TableLedger
from dbmigrate.migrator import Migrator
from dbmigrate.model import Ahead, Edited, Finding, Missing, OutOfOrder
from dbmigrate.source import FilesystemSource, PackageSource, Source

_FILE, _PYPROJECT = "dbmigrate.toml", "pyproject.toml"
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PASSWORD = re.compile(r"://[^:/@]*:([^@]+)@|[?&][^=]*(pass|pwd|secret|token)[^=]*=[^&]", re.IGNORECASE)
_FINDINGS: dict[str, type[Finding]] = {kind.__name__: kind for kind in (Ahead, Edited, Missing, OutOfOrder)}
_RUN = ("transaction", "acquire_timeout", "lock_timeout", "statement_timeout")
_DEFAULTS: dict[str, object] = {
    "database": None,
    "source": "migrations",
    "layout": "native",
    "ledger": "dbmigrate_ledger",
    "schema": None,
    "allow": ["Ahead"],
    "transaction": "each",
    "acquire_timeout": 60.0,
    "lock_timeout": None,
    "statement_timeout": None,
    "template": None,
    "dialect": None,
    "protected": False,
}
_KINDS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "source": ((str, dict), 'the path of a folder, or { package = "shop", path = "migrations" }'),
    "allow": (list, "a list of the names of findings"),
    "protected": (bool, "true or false"),
    **dict.fromkeys(("acquire_timeout", "lock_timeout", "statement_timeout"), ((int, float), "a number of seconds")),
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
    #: The databases that are not to be dropped, each with the place that says so.
    protected: Mapping[str, Setting] = field(default_factory=dict[str, Setting])

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
        url = _url(self["database"])
        folder = self.known["database"].folder
        return dialect_for(url).beside(url, folder) if folder is not None else url

    def protector(self, url: URL) -> str | None:
        """Return the place that says that this database is protected, also if it was reached another way; or None."""
        if self["protected"]:
            return self.known["protected"].origin
        for origin, setting in self.protected.items():
            filled = _VARIABLE.sub(lambda found: self.environment.get(found[1]) or "x", setting.value)
            with suppress(ConfigurationError):  # it cannot be this one then
                other = _url(filled)
                if setting.folder is not None:
                    other = dialect_for(other).beside(other, setting.folder)
                if _is_same(url, other):
                    return origin
        return None

    @property
    def source(self) -> Source:
        """What the migrations come from."""
        where = self["source"]
        if _is_table(where):
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
            **run_settings({name: self[name] for name in ("allow", *_RUN)}),
        )

    def validator(self) -> Migrator:
        """Return a Migrator for the dialect that is named, or for that of the database; neither has to be there."""
        if self["dialect"] is not None:
            return self.migrator(make_url(f"{self['dialect']}:///none"))
        if self.known["database"].value is None:
            raise ConfigurationError("for which database are the scripts? Say --dialect NAME, or --database URL")
        return self.migrator()

    def shown(self) -> list[dict[str, Any]]:
        """Return name, value and origin of every setting, without secrets."""
        rows = list[dict[str, Any]]()
        for name, setting in self.known.items():
            try:
                value, origin = self[name], setting.origin
            except ConfigurationError as error:
                value, origin = None, str(error)
            if name == "database" and value is not None:
                value = without_secrets(_url(value))
            rows.append({"name": name, "value": value, "origin": origin})
        return rows


def shown(migrator: Migrator) -> list[dict[str, Any]]:
    """Return name, value and origin of everything that an application gave its Migrator, without secrets."""
    names = ("source", "ledger", "allow", *_RUN)
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
    if "allow" in options:
        unknown = [name for name in options["allow"] if name not in (*_FINDINGS, "none")]
        if unknown:
            raise ConfigurationError(f"allow: {unknown[0]!r} is not one of {', '.join(_FINDINGS)}")
        found["allow"] = frozenset(_FINDINGS[name] for name in options["allow"] if name != "none")
    return found


def read(options: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Return the settings of one command. Raises ConfigurationError, naming the place of what is wrong."""
    environment = _with_file(environment, options.get("env_file"))
    path, table = _find(options.get("config"))
    profiles = table.pop("profiles", {})
    if not _is_table(profiles) or not all(map(_is_table, profiles.values())):
        raise ConfigurationError(f"{path}: profiles are tables, as in [profiles.production]")
    name = options.get("profile") or environment.get("DBMIGRATE_PROFILE") or None
    if name is not None and name not in profiles:
        there = f"there are: {', '.join(profiles)}" if profiles else "there is none"
        place = f"in {path}" if path else f"for there is no {_FILE}"
        raise ConfigurationError(f"there is no profile {name!r} {place}{_near(name, profiles)}; {there}")
    known = {key: Setting(value, "default") for key, value in _DEFAULTS.items()}
    folder = path and path.parent
    known["source"] = Setting(_DEFAULTS["source"], "default", folder)  # beside the file, if there is one
    known |= _from_file(table, f"{path}", folder)
    of_profiles = {each: _from_file(profiles[each], f"{path} [profiles.{each}]", folder) for each in profiles}
    if url := environment.get("DATABASE_URL"):
        known["database"] = Setting(url, "DATABASE_URL")
    if name is not None:  # it was asked for, and DATABASE_URL may just be around
        known |= of_profiles[name]
    for key in _DEFAULTS:
        if (value := options.get(key)) is not None:
            known[key] = Setting(value, f"--{key.replace('_', '-')}")
    database = known["database"]
    warnings = list[str]()
    if database.folder is not None and _PASSWORD.search(_VARIABLE.sub("", database.value)):
        warnings.append(f"{database.origin}: there is a password in it: write ${{NAME}}, and set that where it runs")
    protected = {
        each["protected"].origin: each["database"]
        for each in of_profiles.values()
        if "database" in each and "protected" in each and each["protected"].value
    }
    return Settings(known, environment, tuple(warnings), protected)


def _from_file(values: Mapping[str, object], origin: str, folder: Path | None) -> dict[str, Setting]:
    for key, value in values.items():
        if key not in _DEFAULTS:
            raise ConfigurationError(f"{origin}: there is no setting {key!r}{_near(key, _DEFAULTS)}")
        kind, what = _KINDS.get(key, (str, "a text"))
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ConfigurationError(f"{origin}: {key} is {what}, not {type(value).__name__}")
    return {key: Setting(value, origin, folder) for key, value in values.items()}


def _is_table(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_same(one: URL, other: URL) -> bool:
    """Tell whether two URLs lead to the same database, as far as their words tell; a port that is not said is any."""

    def words(url: URL) -> tuple[object, ...]:
        dialect = dialect_for(url)
        return type(dialect), url.host or url.query.get("host") or url.query.get("unix_socket"), dialect.manage(url)[0]

    return words(one) == words(other) and len({one.port, other.port} - {None}) <= 1


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
    return {**{name: value or "" for name, value in dotenv_values(path).items()}, **environment}


def _find(given: str | None) -> tuple[Path | None, dict[str, Any]]:
    """Return the file with the settings, and what it says: the one that is named, or the nearest upwards."""
    if given is not None:
        path = Path(given)
        table = _load(path)
        if table is None:
            raise ConfigurationError(f"{path}: there is no [tool.dbmigrate] in it")
        return path, table
    here = Path.cwd()
    for folder in (here, *here.parents):
        places = (folder / _FILE, folder / _PYPROJECT)
        found = [(path, table) for path in places if path.is_file() and (table := _load(path)) is not None]
        if len(found) > 1:
            raise ConfigurationError(f"there are settings in {found[0][0]} and in {found[1][0]}: keep one of them")
        if found:
            path, table = found[0]
            return (path.relative_to(here) if folder == here else path), table
    return None, {}


def _load(path: Path) -> dict[str, Any] | None:
    """Return the settings in a file; None if it is a pyproject.toml without any."""
    import tomllib  # noqa: PLC0415 - only where there is a file

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from error
    if path.name == _PYPROJECT and "dbmigrate" not in text:
        return None
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if path.name != _PYPROJECT:
        return values
    tools = values.get("tool")
    table = tools.get("dbmigrate") if _is_table(tools) else None
    if table is not None and not _is_table(table):
        raise ConfigurationError(f"{path}: tool.dbmigrate is a table, as in [tool.dbmigrate]")
    return table


def _near(name: str, names: Iterable[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only errors need it

    return "".join(f"; did you mean {near}?" for near in get_close_matches(name, list(names), n=1))


def _filled(value: Any, environment: Mapping[str, str], place: str) -> Any:  # noqa: ANN401 - what TOML has
    """Return a value with what the environment has for each `${NAME}`."""
    if _is_table(value):
        return {key: _filled(inner, environment, place) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, environment, place) for inner in value]  # pyright: ignore[reportUnknownVariableType]
    if not isinstance(value, str):
        return value
    missing = [name for name in _VARIABLE.findall(value) if not environment.get(name)]
    if missing:
        raise ConfigurationError(f"{place} wants {', '.join(missing)}, which is not set or empty in the environment")
    if "${" in _VARIABLE.sub("", value):
        raise ConfigurationError(f"{place}: ${{ is to be followed by the name of a variable and }}")
    return _VARIABLE.sub(lambda found: environment[found[1]], value)
