"""The files that settings are in: which of them count, and what they say as it is written there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeGuard

from dbmigrate.errors import ConfigurationError

FILE, _PYPROJECT = "dbmigrate.toml", "pyproject.toml"


def is_table(value: object) -> TypeGuard[dict[str, Any]]:
    """Tell a table of TOML."""
    return isinstance(value, dict)


def find(given: str | None) -> tuple[Path | None, dict[str, Any]]:
    """Return the file with the settings, and what it says: the one that is named, or the nearest upwards."""
    if given is not None:
        path = Path(given)
        table = _load(path)
        if table is None:
            raise ConfigurationError(f"{path}: there is no [tool.dbmigrate] in it")
        return path, table
    here = Path.cwd()
    for folder in (here, *here.parents):
        places = (folder / FILE, folder / _PYPROJECT)
        found = [(path, table) for path in places if _is_there(path) and (table := _load(path)) is not None]
        if len(found) > 1:
            raise ConfigurationError(f"there are settings in {found[0][0]} and in {found[1][0]}: keep one of them")
        if found:
            path, table = found[0]
            return (path.relative_to(here) if folder == here else path), table
    return None, {}


def _is_there(path: Path) -> bool:
    """Tell whether a file is there to be read; ours is also where it is a link to nothing, or a folder."""
    if path.name != FILE:
        return path.is_file()
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


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
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    if path.name != _PYPROJECT:
        return values
    tools = values.get("tool")
    table = tools.get("dbmigrate") if is_table(tools) else None
    if table is not None and not is_table(table):
        raise ConfigurationError(f"{path}: tool.dbmigrate is a table, as in [tool.dbmigrate]")
    return table
